"""Two processes that share each batch train the model that one process trains."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from conftest import ROOT, Commands, Finished, Silent, StopAfter, never, sets

from gpt_teacher.config import load_config
from gpt_teacher.distributed import ALONE, Team
from gpt_teacher.loss import Batch
from gpt_teacher.run_log import read_log
from gpt_teacher.run_state import resumed
from gpt_teacher.training_run import run_training

MAX_STEPS = 12
SHORT = (f"training.max_steps={MAX_STEPS}", "training.eval_interval=5")
TOLERANCE = 1e-4  # nats


def a_batch(n_rows: int) -> Batch:
    ids = torch.arange(n_rows * 3).view(n_rows, 3)
    return Batch(ids, ids + 100, sequence=ids + 200)


def two_processes(
    commands: Commands, project: Path, *arguments: str, other: tuple[str, ...] | None = None
) -> list[Finished]:
    """Run scripts.train twice, told of each other as torchrun tells them; return how both ended.

    `other` are the arguments of the second, if they differ.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    started = []
    for rank, words in enumerate((arguments, arguments if other is None else other)):
        numbers = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 2}
        place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        environment = {**os.environ, **{name: str(n) for name, n in {**numbers, **place}.items()}}
        started.append(commands.start("train", *words, folder=project, environment=environment))
    return [commands.wait(process) for process in started]


def losses(project: Path) -> list[float]:
    """Return the losses of all updates and evaluations, each once and in order."""
    log = read_log(project / "checkpoints" / "last" / "train_log.jsonl")
    assert [step.step for step in log.steps] == [*range(1, MAX_STEPS + 1)]
    assert log.end["steps"] == MAX_STEPS
    return [s.loss_nats for s in log.steps] + [e.val_loss_nats or 0.0 for e in log.evaluations]


# ---------------------------------------------------------------- shares


@pytest.mark.parametrize("n_rows", [1, 2, 3, 7])
@pytest.mark.parametrize("size", [1, 2, 3])
def test_each_row_is_in_the_share_of_one_process(n_rows: int, size: int) -> None:
    batch = a_batch(n_rows)
    shares = [Team(rank, size).share(batch) for rank in range(size)]
    assert [share is None for share in shares] == [rank >= n_rows for rank in range(size)]
    for name in ("input_ids", "targets", "sequence"):
        rows = [row for share in shares if share for row in getattr(share, name).tolist()]
        assert sorted(rows) == getattr(batch, name).tolist()
    assert all(share.question is None for share in shares if share)


def test_a_process_on_its_own_is_a_team_of_one() -> None:
    assert ALONE.leads
    assert ALONE.add_up(1.5, 2) == [1.5, 2]
    assert ALONE.any(True)
    assert not ALONE.any(False)
    assert ALONE.from_leader("plan") == "plan"


# ---------------------------------------------------------------- the same run


@pytest.mark.slow
def test_torchrun_trains_the_model_that_one_process_trains(
    tiny_project: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    together, alone = tiny_project("together"), tiny_project("alone")
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    ended = subprocess.run(
        [sys.executable, *torchrun, "-m", "scripts.train", *sets(*SHORT)],
        cwd=together,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert "2 processes share each batch" in ended.stderr
    assert ended.stderr.count("val loss") == 4  # one of them speaks
    assert ended.stdout.count("ask it:") == 1
    monkeypatch.chdir(alone)
    run_training(load_config(Path("config.yaml"), [*SHORT]), Silent(), never)
    assert losses(together) == pytest.approx(losses(alone), abs=TOLERANCE)


@pytest.mark.parametrize("override", ["training.micro_batch=1", "data.noise=0.5"])
def test_a_run_goes_on_with_another_number_of_processes(
    override: str,
    commands: Commands,
    tiny_project: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One process, then two, then one: the same as one, one, one."""

    def resume_alone(project: Path) -> None:
        resume(max_steps=8)

    def resume_together(project: Path) -> None:
        ended = two_processes(commands, project, "--resume", *sets("training.max_steps=8"))
        assert [one.code for one in ended] == [0, 0], ended

    found = []
    for name, go_on in (("alone", resume_alone), ("together", resume_together)):
        project = tiny_project(name)
        monkeypatch.chdir(project)
        first = StopAfter(3)
        config = load_config(Path("config.yaml"), [*SHORT, override])
        run_training(config, first, first.should_stop)
        go_on(project)
        assert resume(max_steps=MAX_STEPS) == [9, 10, 11, 12]
        found.append(losses(project))
    assert found[0] == pytest.approx(found[1], abs=TOLERANCE)


def resume(max_steps: int) -> list[int]:
    """Go on with the run in this folder; return the updates that were made."""
    listener = Silent()
    config, n = resumed(Path("checkpoints"), [f"training.max_steps={max_steps}"])
    run_training(config, listener, never, resume=True, max_steps=n)
    return [step.step for step in listener.steps]


# ---------------------------------------------------------------- trouble


def test_a_process_whose_leader_ends_says_so(
    commands: Commands, tiny_project: Callable[..., Path]
) -> None:
    project = tiny_project()
    (project / "full").write_text("a file, not a folder")
    blocked = sets(*SHORT, "training.save_dir=full/x")
    leader, other = two_processes(commands, project, *blocked)
    assert (leader.code, other.code) == (2, 2)
    assert "error: cannot write to full/x" in leader.stderr
    assert other.stderr.endswith(
        "error: another process of this run has ended; what it said before tells why\n"
    )


def test_a_leader_whose_follower_cannot_start_says_so(
    commands: Commands, tiny_project: Callable[..., Path]
) -> None:
    project = tiny_project()
    wrong = sets(*SHORT, "data.train_path=missing.jsonl")
    leader, other = two_processes(commands, project, *sets(*SHORT), other=tuple(wrong))
    assert (leader.code, other.code) == (2, 2)
    assert "missing.jsonl" in other.stderr
    assert "another process of this run has ended" in leader.stderr
    assert "Traceback" not in leader.stderr + other.stderr
