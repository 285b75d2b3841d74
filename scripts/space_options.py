"""How an app is put online as a Space. 部署 Space 的选项。"""

from __future__ import annotations

import argparse
import math


def add(parser: argparse.ArgumentParser) -> None:
    """Add the options. 添加选项。"""
    help_gpu = "on ZeroGPU, which is free for two Spaces"
    parser.add_argument("--zero-gpu", action="store_true", help=help_gpu)
    parser.add_argument(
        "--wait",
        type=seconds,
        default=900.0,
        metavar="SECONDS",
        help="for its start; 0 = do not wait",
    )


def seconds(text: str) -> float:
    """Return a time to wait; ValueError is told as all wrong numbers are. 等待的秒数。"""
    number = float(text)
    if not 0 <= number < math.inf:
        raise argparse.ArgumentTypeError(f"{text}: give 0 (do not wait) or more seconds")
    return number
