"""The table of model sizes in docs/SCALING.md, from benchmarks/results/sizes.json. 模型大小表。"""

from __future__ import annotations

from typing import Literal

from benchmarks.common import Json
from benchmarks.sizes import SIZES

HEADS = {
    "zh": ("大小", "设置", "参数", "词元/秒", "内存", "默认步数", "A100（计算值）"),
    "en": (
        "size",
        "settings",
        "parameters",
        "tokens/s",
        "memory",
        "default updates",
        "A100 (computed)",
    ),
}
DEFAULT = {"zh": "（默认）", "en": "(default)"}
MINUTES = {"zh": "分钟", "en": "min"}
MACHINE = {
    "zh": "实测于 {cpu}，{cores} 核，{precision}。",
    "en": "Measured on {cpu}, {cores} cores, {precision}.",
}


def sizes_table(results: dict[str, Json], language: Literal["zh", "en"]) -> list[str]:
    """Return the lines of the table, none without a result. 生成表格。"""
    if "sizes" not in results:
        return []
    result = results["sizes"]
    lines = [_line(name, line, language) for name, line in result["sizes"].items()]
    head = HEADS[language]
    precision = result["sizes"]["3.37M"]["precision"]
    facts = result["facts"]
    machine = MACHINE[language].format(cpu=facts["cpu"], cores=facts["cores"], precision=precision)
    return [_row(head), _row(("---",) * len(head)), *lines, "", machine]


def _line(name: str, line: Json, language: Literal["zh", "en"]) -> str:
    settings = " ".join(f"--set {change}" for change in SIZES[name])
    return _row(
        (
            name,
            f"`{settings}`" if settings else DEFAULT[language],
            f"{line['parameters']:,}",
            f"{line['tokens_per_second']:,}",
            f"{line['memory_mb']:,} MB",
            f"{line['minutes_computed']:,} {MINUTES[language]}",
            f"{line['gpu_seconds_computed']:,} s",
        )
    )


def _row(cells: tuple[str, ...]) -> str:
    return f"| {' | '.join(cells)} |"
