"""Write the tables of what was measured into the READMEs and docs/SCALING. 速度表。

python -m benchmarks.readme            after a benchmark has been run with --save
python -m benchmarks.readme --check    change nothing; exit code 1 if a README is not current
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Literal, NamedTuple

from benchmarks.common import RESULTS, ROOT, Json, say
from benchmarks.sizes_table import sizes_table
from gpt_teacher.atomic import replace_file

BEGIN, END = "<!-- benchmarks -->", "<!-- /benchmarks -->"
Language = Literal["zh", "en"]
READMES: dict[str, Language] = {"README.md": "zh", "README_EN.md": "en"}
GUIDES: dict[str, Language] = {"docs/SCALING.md": "zh", "docs/SCALING_EN.md": "en"}
HEADS = {
    "zh": ("测量", "中位数", "最小到最大"),
    "en": ("measured", "median", "smallest to largest"),
}
NAMES = {
    "train": {"zh": "训练", "en": "training"},
    "generate": {"zh": "生成", "en": "generation"},
    "start": {"zh": "启动", "en": "start"},
    "serve": {"zh": "网页压力", "en": "page under load"},
}
MACHINE = {
    "zh": "{name}：{cpu}，{cores} 核，{threads} 线程，{versions}，代码 {commit}。",
    "en": "{name}: {cpu}, {cores} cores, {threads} threads, {versions}, code {commit}.",
}


class Row(NamedTuple):
    """A line of the table: where its number stands, and what it is called. 表的一行。"""

    path: str  # result.key.key …; a summary or a number. The row is left out where it is missing
    unit: str
    zh: str
    en: str


def _speed(way: str, batch_size: int, zh: str, en: str) -> Row:
    path = f"generate.ways.{way}.{batch_size}.tokens_per_second"
    return Row(path, "tokens/s", zh, en)


ROWS = [
    Row(
        "train.quality.original.seconds",
        "s",
        "原项目的方法：61 题的 2,000 步（按实测的一步计算）",
        "the original recipe: its 2,000 updates on 61 questions (computed from one, measured)",
    ),
    Row(
        "train.quality.ours.seconds",
        "s",
        "本项目：训练 61 题",
        "this project: training on 61 questions",
    ),
    Row(
        "train.exact",
        "",
        "本项目：答对最少的一次训练（共 61 题，一字不差才算）",
        "this project: answered to the letter after the worst training, of 61",
    ),
    Row("train.quality.ratio", "×", "快多少倍", "times as fast"),
    Row(
        "train.speed.bfloat16.tokens_per_second",
        "tokens/s",
        "训练速度，bfloat16",
        "training, bfloat16",
    ),
    Row(
        "train.speed.float32.tokens_per_second",
        "tokens/s",
        "训练速度，float32",
        "training, float32",
    ),
    Row(
        "train.speed.float32.percent_of_peak",
        "%",
        "训练用到的 float32 矩阵乘峰值",
        "of the float32 matrix-product peak, in training",
    ),
    Row(
        "train.speed.bfloat16.peak_memory_mb",
        "MB",
        "训练的内存峰值，bfloat16",
        "peak memory of training, bfloat16",
    ),
    _speed("fp32", 1, "原精度，一次一题", "fp32, one question at a time"),
    _speed("fp32", 8, "原精度，一批 8 题", "fp32, batch of 8"),
    _speed("fp32", 32, "原精度，一批 32 题", "fp32, batch of 32"),
    _speed("int8", 1, "量化，一次一题", "quantized, one question at a time"),
    _speed("int8", 8, "量化，一批 8 题", "quantized, batch of 8"),
    _speed("int8", 32, "量化，一批 32 题", "quantized, batch of 32"),
    _speed("transformers", 1, "transformers，一次一题", "transformers, one question at a time"),
    _speed("transformers", 8, "transformers，一批 8 题", "transformers, batch of 8"),
    _speed("transformers", 32, "transformers，一批 32 题", "transformers, batch of 32"),
    _speed("llama_cpp", 1, "llama.cpp，一次一题", "llama.cpp, one question at a time"),
    Row(
        "generate.ways.fp32.1.milliseconds",
        "ms",
        "原精度，一题的完整回答",
        "fp32, the full answer to one question",
    ),
    Row(
        "generate.ways.int8.1.milliseconds",
        "ms",
        "量化，一题的完整回答",
        "quantized, the full answer to one question",
    ),
    Row(
        "generate.ratios.fp32_by_transformers",
        "×",
        "原精度比 transformers，一次一题",
        "fp32 by transformers, one question at a time",
    ),
    Row(
        "generate.ratios.int8_by_fp32",
        "×",
        "量化比原精度，一次一题",
        "quantized by fp32, one question at a time",
    ),
    Row(
        "generate.ratios.fp32_of_32_by_single",
        "×",
        "原精度，一批 32 题比一次一题",
        "fp32, batch of 32 by one question at a time",
    ),
    Row("start.import_seconds", "s", "导入（含 torch）", "import, torch included"),
    Row("start.load_seconds", "s", "打开模型", "opening the model"),
    Row("start.first_answer_milliseconds", "ms", "第一个回答", "first answer"),
    Row("start.warm_answer_milliseconds", "ms", "之后的回答", "an answer after that"),
    Row(
        "start.command_seconds",
        "s",
        "`python -m scripts.ask` 整条命令",
        "`python -m scripts.ask`, all of it",
    ),
    Row("start.page_seconds", "s", "`app.py` 到能打开网页", "`app.py` until the page opens"),
    Row("start.page_memory_mb", "MB", "网页空闲时的内存", "memory of the idle page"),
    Row("serve.answer_seconds", "s", "全班一起问，一个回答", "the whole class asks, an answer"),
    Row("serve.memory_mb.after_soak", "MB", "许多问题以后的内存", "memory after many questions"),
]


def main() -> int:
    """Write the tables, or check them. 主程序。"""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="change nothing")
    check = parser.parse_args().check
    results, stale = read_results(RESULTS), []
    tables = {name: table(results, language) for name, language in READMES.items()}
    tables |= {name: sizes_table(results, language) for name, language in GUIDES.items()}
    for name, lines in tables.items():
        path = ROOT / name
        text = path.read_text(encoding="utf-8")
        current = with_table(text, lines)
        if text != current and check:
            stale.append(name)
        elif text != current:
            replace_file(path, current.encode())
            say(f"{name}: written")
    for name in stale:
        say(
            f"{name} is not what benchmarks/results/ says; mend it with: "
            "python -m benchmarks.readme"
        )
    return 1 if stale else 0


def read_results(folder: Path) -> dict[str, Json]:
    """Return the results that are kept, by the name of their benchmark. 读取结果。"""
    files = sorted(folder.glob("*.json"))
    return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in files}


def with_table(text: str, lines: list[str]) -> str:
    """Return a README with these lines between its two marks. 换上新表。"""
    before, rest = text.split(BEGIN + "\n")
    _, after = rest.split(END)
    return "".join([before, BEGIN, "\n", *(line + "\n" for line in lines), END, after])


def table(results: dict[str, Json], language: Language) -> list[str]:
    """Return the lines of the table, and of the machines below it. 生成表格。"""
    rows = [line for row in ROWS if (line := _line(row, results, language))]
    head = " | ".join(HEADS[language])
    machines = [_machine(name, results[name], language) for name in NAMES if name in results]
    return [f"| {head} |", "| --- | --- | --- |", *rows, "", *machines] if rows else []


def _line(row: Row, results: dict[str, Json], language: Language) -> str:
    value: object = results
    for key in row.path.split("."):
        value = value.get(key) if isinstance(value, dict) else None
    if value is None:
        return ""
    name = row.zh if language == "zh" else row.en
    if not isinstance(value, dict):
        shown = f"{number(value)} {row.unit}" if row.unit else str(value)  # a count has none
        return f"| {name} | {shown} | |"
    low, high = number(value["min"]), number(value["max"])
    to = "到" if language == "zh" else "to"
    return f"| {name} | {number(value['median'])} {row.unit} | {low} {to} {high} |"


def number(value: object) -> str:
    """Return a number with three figures, or all before the point: 1,234; 56.8; 0.123. 数字。"""
    assert isinstance(value, (int, float)), "the rows name numbers"
    digits = sum(abs(value) < limit for limit in (1, 10, 100))
    return f"{value:,.{digits}f}"


def _machine(name: str, result: Json, language: Language) -> str:
    facts = result["facts"]
    versions = ", ".join(f"{library} {version}" for library, version in facts["versions"].items())
    commit = facts["commit"] or "?"
    commit = f"`{commit[:8]}{'+' * commit.endswith('+')}`"
    line = MACHINE[language].format(
        name=NAMES[name][language],
        cpu=facts["cpu"],
        cores=facts["cores"],
        threads=facts["threads"],
        versions=versions.replace(", ", "、") if language == "zh" else versions,
        commit=commit,
    )
    return f"- {line}"


if __name__ == "__main__":
    sys.exit(main())
