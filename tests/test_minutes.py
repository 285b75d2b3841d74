"""What --minutes leaves for training and for the exam."""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain, repeat
from pathlib import Path

import pytest
from conftest import Silent, never

from gpt_teacher import training_run
from gpt_teacher.config import load_config
from gpt_teacher.training_run import TrainingRun, run_training


@pytest.mark.parametrize(("exam", "training", "share"), [(6.0, 54.0, 1.0), (60.0, 45.0, 0.25)])
def test_minutes_hold_training_and_exam_which_takes_a_quarter_at_most(
    exam: float,
    training: float,
    share: float,
    tiny_project: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given: list[float] = []

    def train(*arguments: object, team: object) -> None:
        arguments[5].step = arguments[5].max_steps  # type: ignore[attr-defined]
        given.append(arguments[7])  # type: ignore[arg-type]

    monkeypatch.chdir(tiny_project())
    monkeypatch.setattr(training_run, "exam_seconds", lambda *_: exam)
    monkeypatch.setattr(training_run, "train", train)
    monkeypatch.setattr(TrainingRun, "finish", lambda run: given.append(run.exam_share) or [])
    clock = chain([100.0], repeat(103.0))  # to load the data took three seconds
    monkeypatch.setattr(training_run.time, "perf_counter", lambda: next(clock))
    run_training(load_config(Path("config.yaml")), Silent(), never, minutes=1.0)
    assert given == [pytest.approx(training - 3), share]
