"""ZeroGPU, the free hardware of Spaces: it wants a function for its GPU. 免费的 ZeroGPU。

This model is answered by the CPU at once, so that no visitor's GPU time is used up: the function
that is shown to ZeroGPU does nothing. Anywhere else there is no library `spaces`.
"""

from __future__ import annotations


def prepare_zero_gpu() -> None:
    """Show ZeroGPU a function; call it before torch is imported. 登记一个空函数。"""
    try:
        import spaces  # type: ignore[import-not-found, unused-ignore]
    except ImportError:
        return
    if hasattr(spaces, "GPU"):  # not in a folder of the user's that is named so, too
        spaces.GPU(_nothing)


def _nothing() -> None:
    """Use no GPU."""
