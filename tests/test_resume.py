"""A run that is killed, stopped or refused by the disk goes on as if nothing had happened."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from conftest import (
    ROOT,
    Commands,
    Silent,
    StopAfter,
    TinyRun,
    largest_file,
    never,
    sets,
    write_rows,
)

from gpt_teacher.checkpoint import load_checkpoint, load_state, save_state
from gpt_teacher.config import load_config
from gpt_teacher.errors import CheckpointError, ConfigError, GPTTeacherError
from gpt_teacher.run_log import Step, TrainingLog, read_log
from gpt_teacher.run_state import reserved, resumed, state_file
from gpt_teacher.training_run import TrainingRun, run_training
from scripts.terminal import Terminal

WEIGHTS = ("last/model.safetensors", "quantized/model.safetensors")
STOPPED_AT, MAX_STEPS = 7, 20
SHORT = (f"training.max_steps={MAX_STEPS}", "training.eval_interval=5")
SHORT += ("model.n_layer=1", "model.n_embd=32")  # 97 kB of weights, and a state of 290 kB
NOISY = ("model.dropout=0.1", "data.noise=0.5", "training.precision=bfloat16")
MAX_LINES = 1 + MAX_STEPS + (1 + MAX_STEPS // 5) + 1  # of the log: start, steps, evaluations, end
DEADLINE_SECONDS = 40


class Crash(BaseException):
    """The process ends here: no handler of errors runs."""


class CrashAtStep(Silent):
    def step(self, *_: object) -> None:
        raise Crash


class CrashAtStep2(CrashAtStep):
    """Ends after the first save."""

    def step(self, step: Step, *_: object) -> None:
        if step.step == 2:
            raise Crash


def train(*overrides: str, listener: Silent | None = None) -> list[str]:
    """Start a new run in this folder; return what it said."""
    listener = listener or Silent()
    config = load_config(Path("config.yaml"), [*SHORT, *overrides])
    run_training(config, listener, getattr(listener, "should_stop", never))
    return listener.said


def resume(*overrides: str) -> list[str]:
    """Go on with the run in this folder, as --resume does; return what it said."""
    listener = Silent()
    save_dir = Path(load_config(Path("config.yaml"), [*overrides]).training.save_dir)
    config, max_steps = resumed(save_dir, [*overrides])
    run_training(config, listener, never, resume=True, max_steps=max_steps)
    return listener.said


def weights(save_dir: Path) -> list[bytes]:
    return [(save_dir / name).read_bytes() for name in WEIGHTS]


def history(log: TrainingLog) -> tuple[list[tuple[float, ...]], list[object]]:
    """Return all that a log says but times and speeds."""
    return [step[:4] for step in log.steps], [*log.evaluations]


def assert_same_run(save_dir: Path, other: Path) -> None:
    """Weights and optimizer to the bit, and each step once in the log."""
    assert weights(save_dir) == weights(other)
    states = [load_state(f / "resume" / "state.safetensors")[0] for f in (save_dir, other)]
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    logs = [read_log(folder / "last" / "train_log.jsonl") for folder in (save_dir, other)]
    assert history(logs[0]) == history(logs[1])
    assert logs[0].end["steps"] == logs[1].end["steps"]


@pytest.fixture(scope="module")
def uninterrupted(
    untrained_project: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Path]:
    """Make the checkpoints of a run that nothing disturbed, once for each configuration."""
    made: dict[tuple[str, ...], Path] = {}

    def make(*overrides: str) -> Path:
        if overrides not in made:
            project = tmp_path_factory.mktemp("uninterrupted") / "project"
            shutil.copytree(untrained_project, project)
            with pytest.MonkeyPatch.context() as patch:
                patch.chdir(project)
                train(*overrides)
            made[overrides] = project / "checkpoints"
        return made[overrides]

    return make


@pytest.fixture
def stopped(tiny_project: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    """The checkpoints of a run stopped at step 7 of 20; we are in its project."""
    project = tiny_project()
    monkeypatch.chdir(project)
    train(listener=StopAfter(STOPPED_AT))
    return Path("checkpoints")


@pytest.fixture
def finished(tiny_project: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    """The checkpoints of a finished run; we are in its project."""
    monkeypatch.chdir(tiny_project(trained=True))
    return Path("checkpoints")


# ---------------------------------------------------------------- killed


def n_lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


def wait_for_lines(log: Path, n: int) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while n_lines(log) < n and time.monotonic() < deadline:
        time.sleep(0.001)


def kill_a_python_process(project: Path, log: Path) -> None:
    """Start `python -m scripts.train` as a user does, and kill it in its first steps."""
    process = subprocess.Popen(
        [sys.executable, "-m", "scripts.train", *sets(*SHORT, *NOISY)],
        cwd=project,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        stderr=subprocess.DEVNULL,
    )
    wait_for_lines(log, 10)
    process.kill()
    assert process.wait() == -signal.SIGKILL


def test_a_run_killed_at_random_moments_ends_bit_for_bit_as_an_uninterrupted_one(
    commands: Commands, tiny_project: Callable[..., Path], uninterrupted: Callable[..., Path]
) -> None:
    project = tiny_project()
    save_dir = project / "checkpoints"
    log, state = (save_dir / "resume" / name for name in ("train_log.jsonl", "state.safetensors"))
    source = random.Random(20)
    kill_a_python_process(project, log)
    for number in range(12):
        arguments = ["--resume"] if state.exists() else sets(*SHORT, *NOISY)
        before = n_lines(log)
        process = commands.start("train", *arguments, folder=project)
        if number % 3:  # in its steps, evaluations and saves
            wait_for_lines(log, min(before + source.randrange(-2, 8), MAX_LINES))
        time.sleep(source.uniform(0, 0.15) if number % 3 == 0 else source.uniform(0, 0.02))
        ended = commands.kill(process, signal.SIGKILL)
        assert ended.code in (-signal.SIGKILL, 0), ended
        if (save_dir / "last").exists() or (save_dir / ".last.old").exists():
            load_checkpoint(save_dir / "last")
        if ended.code == 0:
            break
    if ended.code != 0:
        ended = commands.run("train", "--resume", folder=project)
    assert ended.code == 0, ended
    assert_same_run(save_dir, uninterrupted(*NOISY))
    lines = log.read_text(encoding="utf-8").split("\n")
    assert sum('"event": "start"' in line for line in lines) == 1
    assert sum('"event": "end"' in line for line in lines) == 1
    assert [step.step for step in read_log(log).steps] == [*range(1, MAX_STEPS + 1)]


def test_ctrl_c_saves_exits_with_130_and_tells_how_to_go_on(
    commands: Commands, tiny_project: Callable[..., Path], uninterrupted: Callable[..., Path]
) -> None:
    project = tiny_project()
    save_dir = project / "checkpoints"
    process = commands.start("train", *sets(*SHORT), folder=project)
    wait_for_lines(save_dir / "resume" / "train_log.jsonl", 4)
    ended = commands.kill(process, signal.SIGINT)
    step = load_checkpoint(save_dir / "last").metrics["steps"]
    assert 2 <= step < MAX_STEPS
    assert ended.code == 130
    assert ended.stdout == ""
    assert "stopping after this update; the run will be saved" in ended.stderr
    last_words = (
        f"stopped and saved at step {step}; go on with:\n  python -m scripts.train --resume"
    )
    assert ended.stderr.endswith(last_words + "\n")
    assert read_log(save_dir / "last" / "train_log.jsonl").last_step == step
    resumed = commands.run("train", "--resume", folder=project)
    assert resumed.code == 0
    assert f"going on from step {step} of {MAX_STEPS}" in resumed.stderr
    assert_same_run(save_dir, uninterrupted())


def test_ctrl_c_in_the_exam_says_that_it_goes_on_and_before_it_that_the_run_will_be_saved(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Found here: in the last evaluation, with all updates done and nothing saved, it said so."""
    before = signal.getsignal(signal.SIGINT)
    try:
        for said, expected in (
            ("step 20: val loss 0.1", "stopping after this update; the run will be saved"),
            ("exam: 20 questions …", "the run is saved; its exam goes on"),
        ):
            terminal = Terminal()
            terminal.step(Step(20, 1.0, 1e-3, 1.0, 1.0, 1.0), 20)
            terminal.say(said)
            signal.raise_signal(signal.SIGINT)
            terminal.bar.close()
            assert expected in capsys.readouterr().err
            assert terminal.should_stop()
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_run_killed_in_its_exam_takes_it_when_resumed(
    tiny_project: Callable[..., Path],
    uninterrupted: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Found here: its state said "finished", so that --resume refused, and int8 never came."""
    monkeypatch.chdir(tiny_project())

    def crash(_: TrainingRun) -> list[str]:
        raise Crash

    with monkeypatch.context() as context:
        context.setattr(TrainingRun, "finish", crash)
        with pytest.raises(Crash):
            train()
    resume()
    assert_same_run(Path("checkpoints"), uninterrupted())


@pytest.mark.parametrize("half", [0.3, 0.9])
def test_a_half_line_in_the_log_does_not_stop_a_run(
    stopped: Path, uninterrupted: Callable[..., Path], half: float
) -> None:
    log = stopped / "resume" / "train_log.jsonl"
    line = log.read_bytes().split(b"\n")[1]  # an evaluation, as if of a later step
    with log.open("ab") as file:
        file.write(line[: int(half * len(line))])
    resume()
    assert_same_run(stopped, uninterrupted())


# ---------------------------------------------------------------- a disk that does not take it


def test_a_run_that_the_disk_refuses_goes_on_when_there_is_space(
    stopped: Path, uninterrupted: Callable[..., Path]
) -> None:
    before = (stopped / "last" / "model.safetensors").read_bytes()
    with largest_file(60_000), pytest.raises(CheckpointError, match="File too large"):
        resume()
    assert (stopped / "last" / "model.safetensors").read_bytes() == before
    with largest_file(150_000), pytest.raises(CheckpointError, match="File too large") as caught:
        resume()  # the model is saved then, the state, three times as large, is not
    assert "go on with: python -m scripts.train --resume" in str(caught.value)
    load_checkpoint(stopped / "last")
    resume()
    assert_same_run(stopped, uninterrupted())


def test_a_new_run_that_the_disk_refuses_leaves_the_old_model(finished: Path) -> None:
    before = weights(finished)
    with largest_file(60_000), pytest.raises(CheckpointError, match="still whole"):
        train()
    assert weights(finished) == before
    load_checkpoint(finished / "last")


def test_a_loss_that_is_no_number_leaves_the_model_saved_before(finished: Path) -> None:
    before = weights(finished)
    expected = r"step \d+: the loss is .* --set training\.lr=3e\+29 --set training\.muon_lr=0\.003$"
    with pytest.raises(GPTTeacherError, match=expected):
        train("training.lr=1e30", "training.warmup_steps=0")
    assert weights(finished) == before


# ---------------------------------------------------------------- what --resume says


def test_a_finished_run_says_so_and_how_to_train_longer(finished: Path) -> None:
    expected = (
        r"this run is finished at step 160; to train longer: "
        r"python -m scripts\.train --resume --set training\.max_steps=320$"
    )
    log = finished / "resume" / "train_log.jsonl"
    before = log.read_bytes()
    with pytest.raises(CheckpointError, match=expected):
        resume()
    assert log.read_bytes() == before, "its end belongs to it"


def test_a_run_that_stopped_early_trains_longer_when_told_to(stopped: Path) -> None:
    """The evaluations that were worse before counted on, and ended it at the next one."""
    file = stopped / "resume" / "state.safetensors"
    tensors, state = load_state(file)
    state["progress"] |= {"n_worse": 1, "best_val_loss": 0.0, "max_steps": STOPPED_AT}
    save_state(file, tensors, state)
    resume("training.max_steps=20", "training.early_stop=2")
    assert load_checkpoint(stopped / "last").metrics["steps"] == 15, "two evaluations later"


def test_an_early_stop_without_validation_questions_is_told_to_do_nothing(
    tiny_project: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tiny_project())
    without = "training.early_stop does nothing without validation questions (没有验证题)"
    said = train("training.early_stop=2", "data.val_path=null")
    assert any(line.startswith(without) for line in said)
    assert not any(line.startswith(without) for line in train("training.early_stop=9"))


def test_a_run_told_to_stop_in_its_last_update_takes_its_exam_when_resumed(
    tiny_project: Callable[..., Path],
    uninterrupted: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tiny_project())
    said = train(listener=StopAfter(MAX_STEPS))
    assert not any(line.startswith("exam") for line in said)
    assert not Path("checkpoints/quantized").exists()
    resume()
    assert_same_run(Path("checkpoints"), uninterrupted())


def test_a_finished_run_trains_longer_when_told_to(finished: Path) -> None:
    """Found here: the number of steps stayed the saved one, and the advice did not help."""
    said = resume("training.max_steps=165")
    assert "going on from step 160 of 165" in said
    log = read_log(finished / "last" / "train_log.jsonl")
    assert [step.step for step in log.steps] == [*range(1, 166)]
    assert log.end["steps"] == 165
    assert load_checkpoint(finished / "last").config.training.max_steps == 165


def test_a_longer_run_killed_in_its_exam_takes_it_when_resumed(
    finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found here: the exam of the shorter run counted for the longer one."""

    def crash(_: TrainingRun) -> list[str]:
        raise Crash

    with monkeypatch.context() as context:
        context.setattr(TrainingRun, "finish", crash)
        with pytest.raises(Crash):
            resume("training.max_steps=165")
    resume()
    for name in ("last", "quantized"):
        metrics = load_checkpoint(finished / name).metrics
        assert metrics["steps"] == 165
        assert "exam" in metrics


def test_the_number_of_steps_may_be_the_configured_one_after_a_planned_run(stopped: Path) -> None:
    """Found here: --minutes had planned another number, and the configured one changed nothing."""
    file = state_file(stopped)
    tensors, state = load_state(file)
    state["progress"]["max_steps"] = 50  # as --minutes plans it
    save_state(file, tensors, state)
    said = resume(f"training.max_steps={MAX_STEPS}")
    assert any(line.endswith(f" of {MAX_STEPS}") for line in said)


def test_a_stopped_run_keeps_the_threshold_that_was_asked_for(
    tiny_project: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tiny_project())
    with pytest.raises(Crash):
        train("sampling.refuse_below=0.3", "training.eval_interval=1", listener=CrashAtStep2())
    assert load_checkpoint(Path("checkpoints/last")).config.sampling.refuse_below == 0.3


def test_a_folder_takes_one_training_at_a_time(stopped: Path) -> None:
    before = (stopped / "last" / "model.safetensors").read_bytes()
    with reserved(stopped), pytest.raises(CheckpointError, match="another training writes to"):
        resume()
    with reserved(stopped), pytest.raises(CheckpointError, match="another training writes to"):
        train()
    assert (stopped / "last" / "model.safetensors").read_bytes() == before
    resume()


def test_a_log_that_cannot_be_rewound_is_told(
    stopped: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as context:
        context.setattr("gpt_teacher.run_log.replace_file", full)
        with pytest.raises(CheckpointError, match="No space left on device; nothing is lost"):
            resume()
    resume()


def test_a_run_before_that_cannot_be_set_aside_is_told(finished: Path) -> None:
    before = weights(finished)
    (finished / "previous").touch()
    with pytest.raises(CheckpointError, match=r"cannot be moved to .*previous"):
        train()
    assert weights(finished) == before


def test_a_stopped_run_may_end_sooner_or_be_evaluated_more_often(stopped: Path) -> None:
    resume("training.max_steps=12", "training.eval_interval=3")
    log = read_log(stopped / "last" / "train_log.jsonl")
    assert [step.step for step in log.steps] == [*range(1, 13)]
    assert [evaluation.step for evaluation in log.evaluations] == [0, 5, 9, 12]


def test_a_missing_run_cannot_be_resumed(
    tiny_project: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tiny_project())
    expected = (
        r"nothing to resume: checkpoints/resume/state.safetensors does not exist; "
        r"start with: python -m scripts.train"
    )
    with pytest.raises(CheckpointError, match=expected):
        resume()


def test_a_resumed_run_keeps_its_configuration(stopped: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        resume("training.lr=1", "training.max_steps=30", "model.n_layer=3")
    assert [problem.split(";")[0] for problem in caught.value.problems] == [
        "--set training.lr=1: a resumed run keeps its configuration",
        "--set model.n_layer=3: a resumed run keeps its configuration",
    ]
    expected = "only training.max_steps, training.early_stop, training.eval_interval may change"
    assert expected in str(caught.value)
    file = Path("config.yaml")
    file.write_text(file.read_text(encoding="utf-8").replace("4e-3", "1.0"), encoding="utf-8")
    resume()
    rates = {s.learning_rate for s in read_log(stopped / "last" / "train_log.jsonl").steps}
    assert max(rates) == pytest.approx(4e-3)


@pytest.mark.parametrize("changed", ["data/train.jsonl", "data/val.jsonl"])
def test_a_run_does_not_go_on_with_other_data(stopped: Path, changed: str) -> None:
    before = (stopped / "last" / "model.safetensors").read_bytes()
    write_rows(Path(changed), {"什么是密度?": "密度是质量除以体积!"})
    expected = (
        r"checkpoints/resume/state.safetensors: the data or the tokenizer have changed since this "
        r"run began, so it cannot go on; start a new one without --resume"
    )
    with pytest.raises(CheckpointError, match=expected):
        resume()
    assert (stopped / "last" / "model.safetensors").read_bytes() == before


def test_a_run_goes_on_in_the_folder_that_it_was_moved_to(
    stopped: Path, uninterrupted: Callable[..., Path]
) -> None:
    stopped.rename("moved")
    resume("training.save_dir=moved")
    assert_same_run(Path("moved"), uninterrupted())
    assert not stopped.exists()


def test_a_damaged_state_is_named(stopped: Path) -> None:
    file = stopped / "resume" / "state.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match=rf"{file} is damaged"):
        resume()


# ---------------------------------------------------------------- a new run loses nothing


def test_a_probe_question_that_is_too_long_is_named_before_the_old_run_is_moved(
    finished: Path,
) -> None:
    before = {path: path.read_bytes() for path in finished.rglob("*") if path.is_file()}
    question = "什么是密度" * 200
    with pytest.raises(
        ConfigError, match=r"^training.probe_questions: '什么是.*too long.*ask a shorter one$"
    ):
        train(f"training.probe_questions=['光有多快?', {question}]")
    after = {path: path.read_bytes() for path in finished.rglob("*") if path.is_file()}
    assert after == before


def test_a_new_run_keeps_the_old_one_in_previous(finished: Path, tiny_run: TinyRun) -> None:
    said = train()
    assert not [line for line in said if "unfinished" in line]
    kept = finished / "previous"
    for folder in ("last", "resume"):
        for file in (tiny_run.save_dir / folder).iterdir():
            assert (kept / folder / file.name).read_bytes() == file.read_bytes()
    assert load_checkpoint(finished / "last").metrics["steps"] == MAX_STEPS
    assert read_log(finished / "last" / "train_log.jsonl").last_step == MAX_STEPS


def test_the_previous_model_is_not_replaced_by_an_earlier_save_of_the_same_run(
    finished: Path, tiny_run: TinyRun
) -> None:
    train("training.max_steps=6", "training.eval_interval=1")
    kept = finished / "previous" / "last" / "model.safetensors"
    assert kept.read_bytes() == (tiny_run.last / "model.safetensors").read_bytes()


def test_an_unfinished_run_that_was_set_aside_goes_on_as_its_message_says(
    stopped: Path, uninterrupted: Callable[..., Path]
) -> None:
    said = train("training.max_steps=3")
    kept, place = stopped / "previous" / "resume", stopped / "resume"
    expected = (
        f"the unfinished run in checkpoints (step 7 of 20) was moved to {kept.parent}; to go on "
        f"with it, stop now, delete {place}, move {kept} there and run: "
        f"python -m scripts.train --resume"
    )
    assert expected in said
    shutil.rmtree(place)
    kept.rename(place)
    resume()
    assert_same_run(stopped, uninterrupted())


def test_a_run_killed_before_its_first_save_does_not_take_the_place_of_a_good_one(
    finished: Path, tiny_run: TinyRun
) -> None:
    """Found here: its empty folder was moved over the state of the run before."""
    with pytest.raises(Crash):
        train(listener=CrashAtStep())
    train()
    state = load_state(finished / "previous" / "resume" / "state.safetensors")[1]
    assert state["progress"]["step"] == tiny_run.config.training.max_steps
    previous = finished / "previous" / "last" / "model.safetensors"
    assert previous.read_bytes() == (tiny_run.last / "model.safetensors").read_bytes()


def test_a_damaged_old_state_does_not_stop_a_new_run(stopped: Path) -> None:
    """Found here: the advice to train anew led to the same message."""
    (stopped / "resume" / "state.safetensors").write_bytes(b"damaged")
    train()
    assert load_checkpoint(stopped / "last").metrics["steps"] == MAX_STEPS
