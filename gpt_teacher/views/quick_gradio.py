"""gradio as `gr`, imported in two thirds of the time, and quicker at each event. 更快的 gradio。

While it is imported, gradio parses the source of each of its components to write stub files for
editors: a third of its three seconds. Where it finds no source it goes on without.

At each event it imports matplotlib, twice. Where that is not installed, Python looks for it in all
its folders each time: a tenth of what an event costs. Once told that it is not there, it does not.
"""

from __future__ import annotations

import importlib.util
import inspect
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def _without_sources() -> Iterator[None]:
    """Let no source be found for the classes of gradio. 暂时找不到源码。"""
    original = inspect.getfile

    def getfile(what: Any) -> str:
        if isinstance(what, type) and what.__module__.startswith("gradio."):
            raise OSError("nobody needs its source")
        return original(what)

    inspect.getfile = getfile  # type: ignore[assignment]
    try:
        yield
    finally:
        inspect.getfile = original


@contextmanager
def without_proxy() -> Iterator[None]:
    """Use no proxy: neither one of the environment nor one of Windows or macOS. 暂时不走代理。"""
    before = os.environ.get("no_proxy")
    os.environ["no_proxy"] = "*"
    try:
        yield
    finally:
        del os.environ["no_proxy"]
        if before is not None:
            os.environ["no_proxy"] = before


# Gradio makes an HTTP client, for files that nobody asks it for: a SOCKS proxy would end it.
with _without_sources(), without_proxy():
    import gradio as gr

if importlib.util.find_spec("matplotlib") is None:
    sys.modules["matplotlib"] = None  # type: ignore[assignment]  # import then fails at once

__all__ = ["gr", "without_proxy"]
