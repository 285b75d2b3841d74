"""What the probe questions of a log should be answered, and when they first were. 何时第一次答对。

A log holds questions and answers, not what is right. That stands in the files of questions, which
are taken only if they are, by fingerprint, the ones of that run. Without them an answer that the
last two evaluations agree on stands in for it, if the run has learnt anything, and the page says
so.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

from gpt_teacher import Pretrained
from gpt_teacher.errors import DataError
from gpt_teacher.prompt import is_refusal
from gpt_teacher.run_log import Event, TrainingLog
from gpt_teacher.text_files import read_rows
from gpt_teacher.views.guesswork import knows_phrases
from gpt_teacher.views.text import Text

PROBED_FILES = ("train", "val", "unknown", "unknown_val")
AnswerBook = dict[str, dict[str, str]]  # fingerprint of a file -> its questions -> answers


class Reference(NamedTuple):
    """What counts as right for a question. 标准答案。"""

    answer: str
    source: Literal["taught", "settled"]  # from the run's data, or its own settled answer


class Progress(NamedTuple):
    """When a question was answered right. 一题的经过。"""

    first: int | None  # step of the first right answer
    steady_from: int | None  # from this step on, all answers were right


def answer_book(teacher: Pretrained) -> AnswerBook:
    """Return the answers in the model's own files of questions, as far as here. 答案册。"""
    book: AnswerBook = {}
    for name in PROBED_FILES:
        path, fingerprint = teacher.data_file(name), teacher.data_fingerprint(name)
        if path is None or fingerprint is None:
            continue
        try:
            book[fingerprint] = {row.prompt: row.completion for row in read_rows(path)}
        except DataError:  # gone between two looks
            continue
    return book


def references(log: TrainingLog, book: AnswerBook) -> dict[str, Reference]:
    """Return what is right for each probe question that has such an answer. 各题的标准答案。"""
    if log.start.get("is_text"):
        return {}
    taught: dict[str, str] = {}
    for name in reversed(PROBED_FILES):
        taught |= book.get(_fingerprint(log.start, name), {})
    history = histories(log)
    found = {
        question: Reference(taught[question], "taught")
        for question in history
        if question in taught
    }
    for question, answers in history.items() if knows_phrases(log) else ():
        last_two = list(answers.values())[-2:]
        if question not in found and len(last_two) == 2 and last_two[0] == last_two[1]:
            found[question] = Reference(last_two[0], "settled")
    return found


def _fingerprint(start: Event, name: str) -> str:
    """Return the SHA-256 that a log gives for a file; a stranger's log may hold anything. 指纹。"""
    value: object = start
    for key in ("fingerprints", "data", name, "sha256"):
        value = value.get(key) if isinstance(value, Mapping) else None
    return value if isinstance(value, str) else ""


def histories(log: TrainingLog) -> dict[str, dict[int, str]]:
    """Return for each probe question its answer at each evaluation. 每题的历次回答。"""
    found: dict[str, dict[int, str]] = {}
    for evaluation in log.evaluations:
        for sample in evaluation.samples:
            found.setdefault(sample.question, {})[evaluation.step] = sample.answer
    return found


def progress(answers: Mapping[int, str], reference: Reference | None) -> Progress:
    """Return when the answers (step -> answer) were right. 何时答对。"""
    if reference is None:
        return Progress(None, None)
    right = [(step, answer == reference.answer) for step, answer in sorted(answers.items())]
    first = next((step for step, is_right in right if is_right), None)
    steady_from = None
    for step, is_right in reversed(right):
        if not is_right:
            break
        steady_from = step
    return Progress(first, steady_from)


def story(reference: Reference | None, when: Progress, text: Text) -> str:
    """Return in words how a question fared. 一题的经过，用话说。"""
    if reference is None:
        return text["story_no_reference"]
    before = text["story_settled"] if reference.source == "settled" else ""
    if reference.source == "taught" and is_refusal(reference.answer):
        before = text["story_unknown"]
    if when.first is None:
        key = "story_never"
    elif when.steady_from is None:
        key = "story_lost"
    else:
        key = "story_steady" if when.steady_from == when.first else "story_wavering"
    return before + text[key].format(first=when.first, steady=when.steady_from)
