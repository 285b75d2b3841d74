"""What all benchmarks share: the machine's facts, medians and spread, tables, JSON. 公共部分。"""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Sequence
from typing import Any

import torch

from gpt_teacher import machine

Json = dict[str, Any]


def facts() -> Json:
    """Return what a result depends on: machine, versions, commit. 机器与版本。"""
    return {
        "cpu": machine.cpu_name(),
        "cores": machine.usable_cores(),
        "threads": torch.get_num_threads(),
        "versions": machine.versions(),
        "commit": machine.code_commit(),
    }


def summary(values: Sequence[float], digits: int = 1) -> Json:
    """Return median, smallest, largest and the 95th percentile of measured values. 概括。"""
    ranked = sorted(values)
    p95 = ranked[min(len(ranked) - 1, int(0.95 * len(ranked)))]
    return {
        "median": round(statistics.median(ranked), digits),
        "min": round(ranked[0], digits),
        "max": round(ranked[-1], digits),
        "p95": round(p95, digits),
        "n": len(ranked),
    }


def say(text: str) -> None:
    """Show how far it is. 进度。"""
    print(text, file=sys.stderr, flush=True)


def show(title: str, rows: list[tuple[str, str]]) -> None:
    """Print a table for the reader. 打印表格。"""
    width = max(len(name) for name, _ in rows)
    say(f"\n{title}")
    for name, value in rows:
        say(f"  {name:<{width}}  {value}")


def finish(result: Json) -> None:
    """Print the JSON. 输出结果。"""
    print(json.dumps({"facts": facts(), **result}, ensure_ascii=False, indent=2))
