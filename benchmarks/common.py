"""What all benchmarks share: the machine's facts, medians and spread, tables, JSON. 公共部分。"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from gpt_teacher import machine
from gpt_teacher.atomic import replace_file
from gpt_teacher.text_files import read_rows

Json = dict[str, Any]
ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results"
QUESTIONS = ROOT / "data" / "test.jsonl"


def make_parser(doc: str | None) -> argparse.ArgumentParser:
    """Return a parser with the option that all benchmarks take. 公共选项。"""
    parser = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--save",
        action="store_true",
        help="keep the result in benchmarks/results/ for the README's table",
    )
    return parser


def facts(libraries: Sequence[str] = ()) -> Json:
    """Return what a result depends on: machine, versions, commit. 机器与版本。"""
    others = {name: importlib.metadata.version(name) for name in libraries}
    return {
        "cpu": machine.cpu_name(),
        "cores": machine.usable_cores(),
        "threads": torch.get_num_threads(),
        "versions": machine.versions() | others,
        "commit": machine.code_commit(),
    }


def summary(values: Sequence[float], digits: int = 1) -> Json:
    """Return median, smallest, largest and the 95th percentile of measured values. 概括。

    The percentile is the smallest value that at least 95 of 100 do not exceed.
    """
    ranked = sorted(values)
    n_below = -(-95 * len(ranked) // 100)  # rounded up
    return {
        "median": round(statistics.median(ranked), digits),
        "min": round(ranked[0], digits),
        "max": round(ranked[-1], digits),
        "p95": round(ranked[n_below - 1], digits),
        "n": len(ranked),
    }


def spread(values: Json, unit: str = "") -> str:
    """Return a summary in words for a table. 中位数与范围。"""
    return f"{values['median']:g}{unit} ({values['min']:g} to {values['max']:g})"


def held_out_questions(n: int | None = None) -> list[str]:
    """Return n questions of data/test.jsonl, evenly spread; None = all. 固定的一份题。"""
    prompts = [row.prompt for row in read_rows(QUESTIONS)]
    n = len(prompts) if n is None else n
    return [prompts[i * len(prompts) // n] for i in range(n)]


def say(text: str) -> None:
    """Show how far it is. 进度。"""
    print(text, file=sys.stderr, flush=True)


def show(title: str, rows: list[tuple[str, str]]) -> None:
    """Print a table for the reader. 打印表格。"""
    width = max(len(name) for name, _ in rows)
    say(f"\n{title}")
    for name, value in rows:
        say(f"  {name:<{width}}  {value}")


def finish(result: Json, save: bool, libraries: Sequence[str] = ()) -> None:
    """Print the JSON; with `save` also keep it for the README's table. 输出结果。"""
    whole = {"benchmark": result["benchmark"], "facts": facts(libraries), **result}
    text = json.dumps(whole, ensure_ascii=False, indent=2) + "\n"
    print(text, end="")
    if save:
        replace_file(RESULTS / f"{result['benchmark']}.json", text.encode())
