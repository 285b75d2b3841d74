"""A training log -> what the browser needs to show it as a film. 回放所需的数据。"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from gpt_teacher.prompt import is_refusal
from gpt_teacher.run_log import Evaluation, Step, TrainingLog
from gpt_teacher.views.guesswork import vocabulary
from gpt_teacher.views.phases import caption, moment
from gpt_teacher.views.right_answers import (
    AnswerBook,
    Progress,
    Reference,
    histories,
    progress,
    references,
    story,
)
from gpt_teacher.views.text import Text

MAX_POINTS = 300  # of a curve; more cannot be told apart
MAX_STEPS, MAX_FRAMES = 2_000, 500  # a stranger's log may hold more
MAX_QUESTIONS, MAX_TEXT, MAX_LABEL = 12, 300, 24  # questions; characters of an answer, of a token
N_TOKENS = 5
COLOURS = ("#3b82f6", "#ea580c")  # training, validation: seen on white and on black
YOUR_COLOURS = ("#0d9488", "#a855f7")
T = TypeVar("T")
Film = dict[str, Any]  # a JSON object


def replay_data(log: TrainingLog, text: Text, book: AnswerBook, is_yours: bool = False) -> Film:
    """Return what the browser needs to replay a log. 回放所需的数据。

    names        of the two curves, and their colours: a visitor's run has others
    train, val   [step, loss]
    steps        [step, loss, learning rate, tokens per second, elapsed seconds]
    questions    the probe questions; first_right, stories: when each was answered right
    favourite    the number of the question that was right first
    frames       step, caption, answers, and the likeliest first tokens for each question
    """
    suffix = text["yours_suffix"] if is_yours else ""
    right, history = references(log, book), histories(log)
    questions = list(history)[:MAX_QUESTIONS]
    whens = [progress(history[question], right.get(question)) for question in questions]
    steps = thin(log.steps, MAX_STEPS)
    train = [[s.step, round(s.loss_nats, 4)] for s in thin(log.steps, MAX_POINTS)]
    val = [
        [e.step, round(e.val_loss_nats, 4)] for e in log.evaluations if e.val_loss_nats is not None
    ]
    return {
        "names": [text[key] + suffix for key in ("train_series", "val_series")],
        "colours": list(YOUR_COLOURS if is_yours else COLOURS),
        "max": max(1, log.last_step),
        "top": max((loss for _, loss in train + val), default=1.0),
        "train": train,
        "val": thin(val, MAX_POINTS),
        "steps": [_figures(s) for s in steps],
        "questions": [_shown(question) for question in questions],
        "first_right": [when.first for when in whens],
        "stories": [
            story(right.get(question), when, text)
            for question, when in zip(questions, whens, strict=True)
        ],
        "favourite": _favourite(questions, whens, right),
        "frames": _frames(log, text, questions, right),
    }


def thin(items: Sequence[T], most: int) -> list[T]:
    """Return at most so many items, spread evenly, the first and the last among them. 抽稀。"""
    if len(items) <= most:
        return list(items)
    return [items[round(i * (len(items) - 1) / (most - 1))] for i in range(most)]


def _figures(step: Step) -> list[float]:
    return [
        step.step,
        round(step.loss_nats, 4),
        float(f"{step.learning_rate:.3g}"),
        round(step.tokens_per_second, 0),  # stays a float: orjson sends no integer of 1e30
        round(step.elapsed_seconds, 1),
    ]


def _favourite(questions: list[str], whens: list[Progress], right: Mapping[str, Reference]) -> int:
    """Return the question that was answered right first; 不知道 is easily said. 最早答对的题。"""

    def order(number: int) -> tuple[bool, float]:
        reference, first = right.get(questions[number]), whens[number].first
        refusal = reference is None or is_refusal(reference.answer)
        return refusal, math.inf if first is None else first

    return min(range(len(questions)), key=order, default=0)


def _frames(
    log: TrainingLog, text: Text, questions: list[str], right: Mapping[str, Reference]
) -> list[Film]:
    n_vocabulary = vocabulary(log)
    frames = []
    for evaluation in thin(log.evaluations, MAX_FRAMES):
        loss = evaluation.val_loss_nats
        if loss is None:
            loss = _training_loss(log.steps, evaluation.step)
        frames.append(
            {
                "step": evaluation.step,
                "caption": caption(moment(evaluation, loss, n_vocabulary, right), text),
                "answers": _answers(evaluation, text, questions, right),
                "tokens": _first_tokens(evaluation, questions),
            }
        )
    return frames


def _training_loss(steps: list[Step], at: int) -> float | None:
    """Return the training loss at a step, or at the first one after it. 当时的训练损失。"""
    before = [s.loss_nats for s in steps if s.step <= at][-1:]
    return next(iter(before or [s.loss_nats for s in steps[:1]]), None)


def _answers(
    evaluation: Evaluation, text: Text, questions: list[str], right: Mapping[str, Reference]
) -> str:
    blocks = []
    for sample in evaluation.samples:
        if sample.question in questions:
            reference = right.get(sample.question)
            is_right = (
                reference is not None
                and reference.source == "taught"
                and sample.answer == reference.answer
            )
            answered = text["answered_right" if is_right else "answered_by"]
            blocks.append(
                f"{text['asked']}{_shown(sample.question)}\n{answered}{_shown(sample.answer)}"
            )
    return "\n".join(blocks)


def _first_tokens(evaluation: Evaluation, questions: list[str]) -> list[list[tuple[str, float]]]:
    by_question = {sample.question: sample.first_tokens for sample in evaluation.samples}
    return [
        [
            (_shown(label)[:MAX_LABEL], min(1.0, max(0.0, p)))
            for label, p in by_question.get(question, [])[:N_TOKENS]
        ]
        for question in questions
    ]


def _shown(text: str) -> str:
    """Return a text as the page shows it: not too long, stray bytes as ⟨?⟩. 显示。"""
    text = text.replace("\ufffd", "⟨?⟩")
    return text if len(text) <= MAX_TEXT else text[:MAX_TEXT] + "…"
