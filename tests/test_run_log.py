"""The training log: what is written is read, whatever the answers hold and wherever it breaks."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any, cast

import pytest
from conftest import QUESTIONS, Silent, TinyRun

from gpt_teacher.config import Config, TrainingConfig
from gpt_teacher.errors import CheckpointError, DataError
from gpt_teacher.run_log import (
    Evaluation,
    LogWriter,
    Sample,
    Step,
    read_log,
)
from gpt_teacher.trainer import Progress
from gpt_teacher.training_run import TrainingRun

ONE_MEGABYTE = 1_000_000
LONGEST_TOKEN = "<|的的的的的的的的|>"
# An untrained byte-level model answers with anything: line ends of Unicode among it.
ODD_TEXTS = [
    "",
    "魑魅，hello world 🙂",
    "ＡＢＣ　，",
    "\r\n\t",
    "\x00\x0b\x0c\x1c\x1e\x85\u2028\u2029\ufeff\ufffd",
]


def a_step(number: int) -> Step:
    return Step(number, 5.25, 0.0015, 1.5, 20_000.0, 0.25 * number)


def an_evaluation(step: int, text: str = "密度是质量除以体积。") -> Evaluation:
    return Evaluation(step, 4.5, [Sample("什么是密度?", text, [("密", 0.5), (text, 0.25)])])


def a_log(path: Path, n_steps: int = 4, interval: int = 2) -> LogWriter:
    """Write a short run: an evaluation before the first update, then every second."""
    log = LogWriter(path)
    log.write("start", seed=42)
    log.evaluation(an_evaluation(0))
    for number in range(1, n_steps + 1):
        log.step(a_step(number))
        if number % interval == 0:
            log.evaluation(an_evaluation(number))
    return log


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    log = a_log(tmp_path / "new" / "folder" / "log.jsonl")
    log.write("end", steps=4, exam={"fp32": {"right": 3}})
    read = read_log(log.path)
    assert read.start == {"event": "start", "seed": 42}
    assert read.steps == [a_step(number) for number in (1, 2, 3, 4)]
    assert read.evaluations == [an_evaluation(step) for step in (0, 2, 4)]
    assert read.end == {"event": "end", "steps": 4, "exam": {"fp32": {"right": 3}}}
    assert read.last_step == 4


@pytest.mark.parametrize("text", ODD_TEXTS)
def test_an_answer_of_any_characters_is_read_back(tmp_path: Path, text: str) -> None:
    """Found here: U+0085 and U+2028 in an answer ended the line and broke the log."""
    log = LogWriter(tmp_path / "log.jsonl")
    evaluation = Evaluation(0, None, [Sample(text, text, [(text, 0.125)])])
    log.evaluation(evaluation)
    log.step(a_step(1))
    assert read_log(log.path).evaluations == [evaluation]
    log.rewind(0)
    log.step(a_step(1))
    assert read_log(log.path).evaluations == [evaluation]
    assert read_log(log.path).steps == [a_step(1)]


def test_figures_keep_what_they_are_worth(tmp_path: Path) -> None:
    log = LogWriter(tmp_path / "log.jsonl")
    log.step(Step(1, 1 / 3, 0.00123456, 2 / 3, 12345.67, 1.23456))
    log.evaluation(Evaluation(1, 2 / 3, [Sample("q", "a", [("t", 1 / 3)])]))
    read = read_log(log.path)
    assert read.steps == [Step(1, 0.33333, 0.001235, 0.6667, 12346, 1.23)]
    assert read.evaluations == [Evaluation(1, 0.66667, [Sample("q", "a", [("t", 0.3333)])])]


def test_each_line_is_an_object_with_its_event_first_and_readable_chinese(
    tiny_run: TinyRun,
) -> None:
    text = (tiny_run.last / "train_log.jsonl").read_text(encoding="utf-8")
    lines = text.split("\n")
    assert lines.pop() == ""
    events = [json.loads(line) for line in lines]
    assert all(next(iter(event)) == "event" for event in events)
    assert (events[0]["event"], events[-1]["event"]) == ("start", "end")
    assert "密度是质量除以体积。" in text


def test_a_run_logs_each_update_and_evaluation_that_its_listener_saw(tiny_run: TinyRun) -> None:
    log = read_log(tiny_run.last / "train_log.jsonl")
    config = tiny_run.config.training
    assert [step.step for step in log.steps] == [*range(1, config.max_steps + 1)]
    evaluated = [*range(0, config.max_steps + 1, config.eval_interval)]
    assert [evaluation.step for evaluation in log.evaluations] == evaluated
    for logged, seen in zip(log.steps, tiny_run.listener.steps, strict=True):
        assert logged.loss_nats == pytest.approx(seen.loss_nats, abs=5e-6)
        assert logged.learning_rate == pytest.approx(seen.learning_rate, rel=5e-4)
    for logged_one, seen_one in zip(log.evaluations, tiny_run.listener.evaluations, strict=True):
        assert [s.answer for s in logged_one.samples] == [s.answer for s in seen_one.samples]
    last = {sample.question: sample.answer for sample in log.evaluations[-1].samples}
    assert {q: a for q, a in last.items() if q in QUESTIONS}.items() <= QUESTIONS.items()
    every = len(QUESTIONS)
    assert log.end["exam"]["fp32"]["memorised"] == {"hits": every, "questions": every}
    assert log.start["fingerprints"]["data"]["train"]["rows_used"] == len(QUESTIONS)


# ---------------------------------------------------------------- broken logs


def test_a_last_line_cut_short_anywhere_is_passed_over(tmp_path: Path) -> None:
    log = a_log(tmp_path / "log.jsonl")
    whole = log.path.read_bytes()
    begin = whole.rstrip(b"\n").rfind(b"\n") + 1  # of the evaluation after step 4
    for end in range(begin, len(whole) - 2):  # cuts inside characters, too
        log.path.write_bytes(whole[:end])
        read = read_log(log.path)
        assert [evaluation.step for evaluation in read.evaluations] == [0, 2]
        assert read.last_step == 4


@pytest.mark.parametrize("cut", [1, 2, 40])
def test_a_log_goes_on_after_a_last_line_cut_short(tmp_path: Path, cut: int) -> None:
    log = a_log(tmp_path / "log.jsonl", n_steps=3)
    log.path.write_bytes(log.path.read_bytes()[:-cut])  # of step 3; 1 = only its line end
    log.rewind(2)
    log.step(a_step(3))
    assert [step.step for step in read_log(log.path).steps] == [1, 2, 3]


@pytest.mark.parametrize("broken", ["{", "", "[1]", '{"step": 3}', "密度", '{"event": 5}'])
def test_a_broken_line_in_the_middle_is_named(tmp_path: Path, broken: str) -> None:
    log = a_log(tmp_path / "log.jsonl")
    lines = log.path.read_text(encoding="utf-8").splitlines()
    lines[3] = broken
    log.path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    expected = rf"{log.path}, line 4: this is not a line of a training log"
    with pytest.raises(DataError, match=expected):
        read_log(log.path)


def test_an_event_without_its_figures_is_named(tmp_path: Path) -> None:
    log = a_log(tmp_path / "log.jsonl")
    log.write("step", step=5)
    with pytest.raises(DataError, match=rf"{log.path}: an event .* lacks 'loss_nats'"):
        read_log(log.path)


def test_a_missing_log_and_an_empty_one_are_named(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    with pytest.raises(DataError, match=rf"{path}: cannot read .* \(No such file or directory\)"):
        read_log(path)
    LogWriter(path).write("start")
    with pytest.raises(DataError, match=rf"{path}: this training log holds no steps yet"):
        read_log(path)


def test_a_log_that_cannot_be_written_names_its_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    path = tmp_path / "file" / "log.jsonl"
    expected = rf"cannot write the training log {path}: .*; free some space or choose another"
    with pytest.raises(CheckpointError, match=expected):
        LogWriter(path).step(a_step(1))


# ---------------------------------------------------------------- rewind


@pytest.mark.parametrize("step", [0, 1, 2, 3, 4])
def test_a_rewound_log_is_the_log_at_that_step(tmp_path: Path, step: int) -> None:
    log = a_log(tmp_path / "log.jsonl")
    log.write("end", steps=4)
    log.rewind(step)
    short = a_log(tmp_path / "short.jsonl", n_steps=step)
    assert log.path.read_bytes() == short.path.read_bytes()
    assert {path.name for path in tmp_path.iterdir()} == {"log.jsonl", "short.jsonl"}


def test_a_log_that_another_program_reads_for_a_moment_is_rewound(
    tmp_path: Path, held_for_a_moment: Counter[str]
) -> None:
    log = a_log(tmp_path / "log.jsonl")
    log.rewind(2)
    assert log.path.read_bytes() == a_log(tmp_path / "short.jsonl", n_steps=2).path.read_bytes()
    assert held_for_a_moment == {"log.jsonl": 3}


def test_there_is_nothing_to_rewind_in_a_missing_log(tmp_path: Path) -> None:
    LogWriter(tmp_path / "log.jsonl").rewind(3)
    assert list(tmp_path.iterdir()) == []


# ---------------------------------------------------------------- size


def thinned(max_steps: int, path: Path) -> list[int]:
    """Return which updates a run of max_steps logs."""
    run = TrainingRun(
        Config(),
        Silent(),
        *cast(Any, [None] * 4),
        progress=Progress(0, max_steps),
        log=LogWriter(path),
        is_new=True,
    )
    for number in range(1, max_steps + 1):
        run.on_step(a_step(number))
    return [step.step for step in read_log(path).steps]


def test_a_default_log_takes_less_than_a_megabyte(tiny_run: TinyRun, tmp_path: Path) -> None:
    """With probe answers as long as they get and the longest of tokens."""
    training = TrainingConfig()
    start = read_log(tiny_run.last / "train_log.jsonl").start
    log = LogWriter(tmp_path / "log.jsonl")
    log.write(**start)
    sample = Sample("什么是注意力机制?" * 2, "的" * 60, [(LONGEST_TOKEN, 0.1234)] * 5)
    for number in thinned(training.max_steps, tmp_path / "thinned.jsonl"):
        log.step(Step(number, 5.12345, 0.00123456, 1.23456, 23_456.7, 123.45))
    for number in range(0, training.max_steps + 1, training.eval_interval):
        log.evaluation(Evaluation(number, 4.12345, [sample] * 5))
    assert log.path.stat().st_size < ONE_MEGABYTE / 2


def test_a_long_run_logs_some_updates_and_a_short_one_all(tmp_path: Path) -> None:
    assert thinned(1_500, tmp_path / "short") == [*range(1, 1_501)]
    logged = thinned(20_500, tmp_path / "long")
    assert logged == [1, *range(11, 20_501, 11)]
    assert thinned(3_800, tmp_path / "between") == [1, *range(2, 3_801, 2)]
    assert (tmp_path / "long").stat().st_size < ONE_MEGABYTE / 2
