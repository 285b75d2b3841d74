"""The training log, train_log.jsonl: write it, read it. 训练日志。

One JSON object a line, `event` first, units in the keys:

    start   config, data and tokenizer SHA-256, versions, CPU, seed
    step    step, loss_nats, learning_rate, grad_norm, tokens_per_second, elapsed_seconds
    eval    step, val_loss_nats, samples: question, answer now, likeliest first tokens
    end     steps, elapsed_seconds, peak_memory_bytes, exam scores

The replay, the model card and the plots read this file and nothing else.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from gpt_teacher.atomic import replace_file
from gpt_teacher.errors import CheckpointError, DataError

LOG_FILE = "train_log.jsonl"
MAX_STEP_LINES = 2_000  # about 150 bytes each: a long run logs every n-th update
MAX_STEP = 10**12

Event = dict[str, Any]  # a JSON object


class Step(NamedTuple):
    """One update. 一次更新。"""

    step: int
    loss_nats: float
    learning_rate: float
    grad_norm: float
    tokens_per_second: float
    elapsed_seconds: float


class Sample(NamedTuple):
    """A probe question, the answer now, its likeliest first tokens and their probability. 抽查。"""

    question: str
    answer: str
    first_tokens: list[tuple[str, float]]


class Evaluation(NamedTuple):
    """One evaluation. 一次评估。"""

    step: int
    val_loss_nats: float | None
    samples: list[Sample]


@dataclass(frozen=True)
class TrainingLog:
    """A whole log, read. 读出的日志。"""

    start: Event
    steps: list[Step]
    evaluations: list[Evaluation]
    end: Event

    @property
    def last_step(self) -> int:
        """Return the last logged step. 最后一步。"""
        steps = [s.step for s in self.steps] + [e.step for e in self.evaluations]
        return max(steps, default=0)


class LogWriter:
    """Appends events to a log file, each on disk at once. 写日志。"""

    def __init__(self, path: Path) -> None:
        """Name the file; it and its folder are made by the first event. 指定文件。"""
        self.path = path

    def write(self, event: str, **values: Any) -> None:
        """Append one event. 记一条。Raises CheckpointError if the disk does not take it."""
        line = json.dumps({"event": event, **values}, ensure_ascii=False)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("a", encoding="utf-8") as file:
                file.write(line + "\n")
        except OSError as error:
            raise CheckpointError(
                f"cannot write the training log {self.path}: {error.strerror}; free some space or "
                f"choose another folder with --set training.save_dir=FOLDER"
            ) from None

    def step(self, step: Step) -> None:
        """Append an update, figures rounded to what they are worth. 记一次更新。"""
        self.write(
            "step",
            step=step.step,
            loss_nats=round(step.loss_nats, 5),
            learning_rate=float(f"{step.learning_rate:.4g}"),
            grad_norm=round(step.grad_norm, 4),
            tokens_per_second=round(step.tokens_per_second),
            elapsed_seconds=round(step.elapsed_seconds, 2),
        )

    def evaluation(self, evaluation: Evaluation) -> None:
        """Append an evaluation. 记一次评估。"""
        loss = evaluation.val_loss_nats
        self.write(
            "eval",
            step=evaluation.step,
            val_loss_nats=None if loss is None else round(loss, 5),
            samples=[
                {
                    "question": s.question,
                    "answer": s.answer,
                    "first_tokens": [[text, round(p, 4)] for text, p in s.first_tokens],
                }
                for s in evaluation.samples
            ],
        )

    def rewind(self, step: int) -> None:
        """Forget what came after a step: a killed run repeats it when resumed. 退回到某一步。"""
        if not self.path.exists():
            return
        kept = [
            e
            for e in _read_events(self.path.read_bytes(), str(self.path))
            if e.get("step", 0) <= step
        ]
        kept = [e for e in kept if e["event"] != "end"]
        lines = [json.dumps(event, ensure_ascii=False) + "\n" for event in kept]
        try:
            replace_file(self.path, "".join(lines).encode())
        except OSError as error:
            raise CheckpointError(
                f"cannot write {self.path}: {error.strerror or error}; nothing is lost. Free some "
                f"space, then try again"
            ) from None


def _read_events(content: bytes, source: str) -> list[Event]:
    """Read the events; a last line cut short by a crash is passed over. 读事件。"""
    events: list[Event] = []
    # Not splitlines: U+0085 and U+2028, which an answer may hold, end no line of JSON.
    lines = content.decode("utf-8-sig", errors="replace").rstrip("\n").split("\n")
    for number, line in enumerate(lines, start=1):
        try:
            event = json.loads(line)
        except (ValueError, RecursionError):
            event = None
        if isinstance(event, dict) and isinstance(event.get("event"), str):
            events.append(event)
        elif number < len(lines):
            raise DataError(f"{source}, line {number}: this is not a line of a training log")
    return events


def read_log(path: Path) -> TrainingLog:
    """Read a training log. 读日志。Raises DataError if it is missing or is something else."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot read the training log ({error.strerror})") from None
    return parse_log(content, str(path))


def parse_log(content: bytes, source: str) -> TrainingLog:
    """Return the log that a file's bytes hold; source names it in errors. 解析日志。

    Raises DataError if it is something else: a stranger's log is read, too.
    """
    events = _read_events(content, source)
    start: Event = {}
    end: Event = {}
    steps: list[Step] = []
    evaluations: list[Evaluation] = []
    try:
        for event in events:
            if event["event"] == "start":
                start = event
            elif event["event"] == "step":
                steps.append(_step(event))
            elif event["event"] == "eval":
                evaluations.append(_evaluation(event))
            elif event["event"] == "end":
                end = event
    except KeyError as error:
        raise DataError(f"{source}: an event of the training log lacks {error}") from None
    except (TypeError, ValueError, OverflowError) as error:
        raise DataError(f"{source}: an event of the training log is wrong: {error}") from None
    if not steps and not evaluations:
        raise DataError(f"{source}: this training log holds no steps yet")
    return TrainingLog(start, steps, evaluations, end)


def _step(event: Event) -> Step:
    number, *values = (event[key] for key in Step._fields)
    return Step(_step_number(number), *map(_number, values))


def _evaluation(event: Event) -> Evaluation:
    samples = [
        Sample(
            _text(s["question"]),
            _text(s["answer"]),
            [(_text(text), _number(p)) for text, p in s["first_tokens"]],
        )
        for s in event["samples"]
    ]
    loss = event["val_loss_nats"]
    return Evaluation(_step_number(event["step"]), None if loss is None else _number(loss), samples)


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ValueError(f"{str(value)[:20]!r} is not a number")
    return float(value)


def _step_number(value: Any) -> int:
    if type(value) is not int or not 0 <= value <= MAX_STEP:
        raise ValueError(f"{str(value)[:20]!r} is not the number of a step")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{str(value)[:20]!r} is not text")
    return value
