"""The streams of a command, on every system: UTF-8, and whoever reads may leave. 标准输入输出。"""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path


def prepare() -> None:
    """Make all streams UTF-8; what is said to one that is closed is dropped. 准备好。"""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # `python -m scripts.ask … >&-`
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # not when a test has replaced it
            stream.reconfigure(encoding="utf-8", errors="replace")


def reader_left(error: OSError) -> bool:
    """Tell whether nobody reads stdout any more: `… | head -1`. 读者是否已离开。

    On Windows such a pipe is an invalid argument; so is a bad file name, which has its name.
    """
    is_windows = os.name == "nt" and error.errno == errno.EINVAL and error.filename is None
    return is_windows or isinstance(error, BrokenPipeError)


def drop_the_rest() -> None:
    """Let what is still to be printed go nowhere. 丢弃剩下的输出。"""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
