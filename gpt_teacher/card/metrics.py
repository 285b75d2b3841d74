"""What a card reads of metrics.json is of the right kind, or it is said. 成绩文件的检查。"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import NoneType
from typing import Any

from gpt_teacher.checkpoint import METRICS_FILE
from gpt_teacher.errors import CheckpointError
from gpt_teacher.exam import FOUR_NUMBERS

ANY_KEY = "*"
NUMBER, TEXT = (int, float, NoneType), (str, NoneType)
SCORE = {"hits": int, "questions": int}
EXAM = {
    **dict.fromkeys(FOUR_NUMBERS, SCORE),
    **dict.fromkeys(("same_as_fp32", "val_loss_nats", "val_bits_per_byte"), NUMBER),
    "val_tokens": NUMBER,
}
DATA_FILE = {
    **dict.fromkeys(("path", "sha256"), str),
    **dict.fromkeys(("rows_used", "tokens", "answers"), NUMBER),
}
METRICS = {  # key -> what its value is: a type, or an object with these keys; each may be missing
    **dict.fromkeys(("parameters", "steps", "max_steps", "tokens"), NUMBER),
    **dict.fromkeys(("elapsed_seconds", "peak_memory_bytes", "refuse_below"), NUMBER),
    **dict.fromkeys(("cpu", "device", "code_commit"), TEXT),
    "versions": {"torch": TEXT, "python": TEXT},
    "fingerprints": {"data": {ANY_KEY: DATA_FILE}, "tokenizer_sha256": TEXT},
    "exam": {"fp32": EXAM, "int8": EXAM},
}


def check_metrics(metrics: dict[str, Any], folder: Path) -> None:
    """Raise CheckpointError if no card can be made of these metrics of a folder. 检查成绩。"""
    for problem in _problems(metrics, METRICS, ""):
        raise CheckpointError(
            f"{folder / METRICS_FILE} is damaged: {problem}; copy the whole checkpoint folder again"
        )


def _problems(found: Any, expected: Any, place: str) -> Iterator[str]:
    """Yield what is of another kind than expected, like `exam.fp32 is 'x'`."""
    if not isinstance(found, dict if isinstance(expected, dict) else expected):
        yield f"{place} is {repr(found)[:40]}"
    elif isinstance(expected, dict):
        for key, value in found.items():
            inside = expected.get(key, expected.get(ANY_KEY, object))
            yield from _problems(value, inside, f"{place}.{key}".lstrip("."))
