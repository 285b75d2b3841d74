"""Questions to try: taught, reworded, never taught, from the very files of the run. 示例问题。"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from gpt_teacher import Pretrained
from gpt_teacher.config import SamplingConfig
from gpt_teacher.errors import DataError, PromptError
from gpt_teacher.sampler import answers
from gpt_teacher.text_files import Row, read_rows
from gpt_teacher.views.text import KNOWN_EXAMPLES, REWORDED_EXAMPLES, UNKNOWN_EXAMPLES

N_EXAMPLES = 4  # of each kind
N_LOOKED_AT = 500  # held-out questions, all at once when one is first asked for
MAX_EXAMPLE_CHARACTERS = 24  # a button on a phone holds so many


class Examples(NamedTuple):
    """Questions of three kinds. 三种问题。"""

    known: list[str]
    reworded: list[str]
    unknown: list[str]


def example_questions(teacher: Pretrained) -> Examples:
    """Return examples of each kind; where a file is gone or changed, those of text.py. 取示例。

    They are spread evenly over the topics, not chosen by whether the model gets them right; the
    reworded ones ask for the topics of the known ones. A model of plain text has none.
    """
    if teacher.metrics.get("is_text"):
        return Examples([], [], [])
    taught = _one_of_each_topic(_rows(teacher, "train"))
    known = _spread(taught)
    topics = {row.id for row in known if row.id}
    reworded = _one_of_each_topic([row for row in _rows(teacher, "test") if row.id in topics])
    unknown = _one_of_each_topic(_rows(teacher, "unknown_test"))
    return Examples(
        [row.prompt for row in known] or list(KNOWN_EXAMPLES),
        [row.prompt for row in _spread(reworded)] or list(REWORDED_EXAMPLES),
        [row.prompt for row in _spread(unknown)] or list(UNKNOWN_EXAMPLES),
    )


def held_out_questions(teacher: Pretrained) -> list[str]:
    """Return some questions that were not trained on, spread over the topics. 没训练过的问法。"""
    held_out = _one_of_each_topic(_rows(teacher, "test"))
    every = -(-len(held_out) // N_LOOKED_AT) or 1
    return [row.prompt for row in held_out[::every]]


def hesitating_question(teacher: Pretrained, questions: list[str]) -> str | None:
    """Return the question whose answer the model is least sure how to begin. 拿不准的题。

    None if one of them is longer than what the model reads.
    """
    first_token = SamplingConfig(max_new_tokens=1)
    try:
        begun = answers(teacher.model, teacher.tokenizer, questions, first_token)
    except PromptError:  # a model that reads next to nothing
        return None
    return min(zip(begun, questions, strict=True), key=lambda pair: pair[0].min_probability)[1]


def _rows(teacher: Pretrained, name: str) -> list[Row]:
    path: Path | None = teacher.data_file(name)
    try:
        return read_rows(path) if path is not None else []
    except DataError:  # gone between two looks
        return []


def _one_of_each_topic(rows: list[Row]) -> list[Row]:
    """Return the first short question of each topic, or of each answer. 每个话题取一题。"""
    short = [row for row in rows if len(row.prompt) <= MAX_EXAMPLE_CHARACTERS]
    return list({row.id or row.completion: row for row in reversed(short)}.values())[::-1]


def _spread(rows: list[Row]) -> list[Row]:
    n = min(N_EXAMPLES, len(rows))
    return [rows[i * len(rows) // n] for i in range(n)]
