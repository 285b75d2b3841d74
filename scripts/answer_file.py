"""A file of questions -> the same rows with their answers. 批量回答。"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from gpt_teacher import Pretrained
from gpt_teacher.config import SamplingConfig
from gpt_teacher.errors import DataError, PromptError
from gpt_teacher.sampler import Answer, answers, check_question
from gpt_teacher.text_files import read_prompts
from scripts.command_line import write_text

ANSWER_KEYS = ("answer", "refused", "confidence", "min_probability", "finish_reason")


def answer_file(
    teacher: Pretrained, path: Path, output: Path | None, settings: SamplingConfig
) -> None:
    """Answer each row of a file, in order; its other keys are kept. 逐行回答。"""
    rows = read_prompts(path)
    if output is not None and output.resolve() == path.resolve():
        raise DataError(f"{output}: this is the file of the questions; give --output another one")
    check_keys(rows, path)
    for row in rows:
        try:
            check_question(teacher.model, teacher.tokenizer, row["prompt"])
        except PromptError as error:
            raise PromptError(f"{path}, {row['prompt'][:20]!r}: {error}") from None
    given = answers(teacher.model, teacher.tokenizer, [row["prompt"] for row in rows], settings)
    for row, one in zip(rows, given, strict=True):
        row |= answer_row(one)
    write_text(output, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def check_keys(rows: list[dict[str, Any]], path: Path) -> None:
    """Raise DataError if an answer would take the place of what a row has. 不覆盖原有的列。"""
    taken = [key for key in ANSWER_KEYS if any(key in row for row in rows)]
    if taken:
        raise DataError(
            f"{path}: the answers would take the place of {', '.join(taken)}; give these keys "
            f"another name"
        )


def answer_row(answer: Answer) -> dict[str, object]:
    """Return what is said of an answer, under the names of ANSWER_KEYS. 批量回答的一行。"""
    return {
        "answer": answer.text,
        "refused": answer.refused,
        "confidence": round(answer.mean_probability, 4),
        "min_probability": round(answer.min_probability, 4),
        "finish_reason": answer.finish_reason,
    }
