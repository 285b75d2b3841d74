"""release: exam, card, push, tag, Space; each step is done once, and again when it has to be."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest
from conftest import Commands, Finished, Silent, TinyRun, never
from hub_commands import REPO, HubCommands
from hub_server import HubServer

from gpt_teacher import from_pretrained, late_exam
from gpt_teacher.checkpoint import load_checkpoint
from gpt_teacher.config import load_config
from gpt_teacher.errors import CheckpointError
from gpt_teacher.exam_report import report_on
from gpt_teacher.late_exam import take_late_exam
from gpt_teacher.run_log import LOG_FILE, read_log
from gpt_teacher.run_state import resumed
from gpt_teacher.stored_report import REPORT_FILE, read_report, save_report
from gpt_teacher.training_run import initial_weights, run_training

SPACE = "teacher/app"
# Two updates that change next to nothing: what was learnt before stays.
GENTLE = ("training.max_steps=2", "training.eval_interval=2", "training.optimizer=adamw")
GENTLE += ("training.lr=1e-6",)


class StopsBeforeTheExam(Silent):
    """Ctrl+C when the updates are done and saved, and the exam begins."""

    def say(self, text: str) -> None:
        if text.startswith("exam: "):
            raise KeyboardInterrupt


@pytest.fixture(scope="module")
def stopped_project(
    untrained_project: Path, tiny_run: TinyRun, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A run that has learnt its questions and was stopped before its exam."""
    project = shutil.copytree(untrained_project, tmp_path_factory.mktemp("stopped") / "project")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(project)
        config = load_config(Path("config.yaml"), list(GENTLE))
        weights = initial_weights(tiny_run.last, config)
        with pytest.raises(KeyboardInterrupt):
            run_training(config, StopsBeforeTheExam(), never, init_weights=weights)
    assert "exam" not in load_checkpoint(project / "checkpoints/last").metrics
    return project


@pytest.fixture
def stopped(stopped_project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it; the test runs in its folder."""
    project = shutil.copytree(stopped_project, tmp_path / "stopped")
    monkeypatch.chdir(project)
    return project


def release(
    student: HubCommands, endpoint: HubServer | str, *arguments: object, **how: str | None
) -> Finished:
    return student.run(endpoint, "release", "--repo-id", REPO, *arguments, **how)


def released(student: HubCommands, hub: HubServer, *arguments: object) -> str:
    """Return what a release that goes well has said on the way."""
    done = release(student, hub, *arguments)
    assert done.code == 0, done.stderr
    return done.stderr


def changes(hub: HubServer, since: int) -> set[str]:
    return {request.method for request in hub.requests[since:]} - {"GET", "HEAD"}


def n_commits(hub: HubServer) -> int:
    return len(hub.model(REPO).history("main"))


def metrics_of(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "metrics.json").read_text(encoding="utf-8")))


# ---------------------------------------------------------------- the steps


def test_a_release_is_all_steps_and_the_second_time_none(
    hub: HubServer, student: HubCommands
) -> None:
    words = ("--tag", "v1", "--space", SPACE, "--zero-gpu")
    said = released(student, hub, *words)
    commit = hub.model(REPO).history("main")[0].sha
    for step in ("exam: taken already", "card: ", "拉回核对无误", "tagged v1", "Space: RUNNING"):
        assert step in said, step
    assert hub.model(REPO).tags == {"v1": commit}
    assert hub.space(SPACE).variables["MODEL_REVISION"]["value"] == commit
    n_requests = len(hub.requests)
    said = released(student, hub, *words)
    for step in ("exam: taken", "push: current", "tagged v1", "the Space is current"):
        assert f"{step} already" in said, step
    assert changes(hub, n_requests) == set()


def test_only_the_steps_that_are_missing_are_done(hub: HubServer, student: HubCommands) -> None:
    released(student, hub)
    assert n_commits(hub) == 2
    assert "push: current already" in released(student, hub, "--tag", "v1")
    assert (n_commits(hub), set(hub.model(REPO).tags)) == (2, {"v1"})
    done = release(student, hub, "--tag", "v1", "--space", SPACE)
    assert done.code == 2
    assert "--zero-gpu" in done.stderr  # a free account
    said = released(student, hub, "--tag", "v1", "--space", SPACE, "--zero-gpu")
    assert "tagged v1 already" in said
    assert "Space: RUNNING" in said
    assert n_commits(hub) == 2


def test_a_new_run_is_released_over_the_old_one(hub: HubServer, student: HubCommands) -> None:
    released(student, hub, "--tag", "v1", "--space", SPACE, "--zero-gpu")
    words = [word for change in GENTLE for word in ("--set", change)]
    assert student.commands.run("train", *words, folder=student.project).code == 0
    done = release(student, hub, "--tag", "v1")
    assert done.code == 2
    assert "has a tag v1 already, of another commit" in done.stderr
    released(student, hub, "--tag", "v2", "--space", SPACE, "--zero-gpu")
    tags = hub.model(REPO).tags
    assert tags["v1"] != tags["v2"] == hub.model(REPO).history("main")[0].sha
    assert hub.space(SPACE).variables["MODEL_REVISION"]["value"] == tags["v2"]


@pytest.mark.parametrize(
    ("words", "token", "message"),
    [
        ((), None, "no token on this machine"),
        ((), "hf_read", "may only read"),
        ((), "hf_student", "use --repo-id student/demo"),
        (("--space", "student/app"), "hf_write", "use --space teacher/app"),
        (("--checkpoint", "nowhere"), "hf_write", "no checkpoint in nowhere"),
    ],
)
def test_what_cannot_be_is_one_sentence_before_anything_is_made(
    hub: HubServer, student: HubCommands, words: tuple[str, ...], token: str | None, message: str
) -> None:
    done = release(student, hub, *words, token=token)
    assert done.code == 2
    assert message in done.stderr
    assert "--create-pr" not in done.stderr  # this command has no such option
    assert hub.repositories == {}


# ---------------------------------------------------------------- the exam


def test_a_late_exam_measures_what_the_exam_of_the_run_would_have(stopped: Path) -> None:
    """The same weights twice: by --resume, which finishes the run, and by the late exam."""
    shutil.copytree("checkpoints", "finished")
    overrides = ["training.save_dir=finished"]
    config, max_steps = resumed(Path("finished"), overrides)
    run_training(config, Silent(), never, resume=True, max_steps=max_steps)
    last = stopped / "checkpoints/last"
    said: list[str] = []
    assert take_late_exam(last, said.append)
    assert any(line.startswith("memorised") for line in said)
    wanted = metrics_of(stopped / "finished/last")
    assert wanted["exam"]["fp32"]["memorised"]["hits"] >= 10  # of 12: an exam that says something
    for name in ("last", "quantized"):
        found, ordinary = stopped / "checkpoints" / name, stopped / "finished" / name
        assert metrics_of(found)["exam"] == wanted["exam"]
        assert metrics_of(found)["refuse_below"] == wanted["refuse_below"]
        assert (
            found.joinpath("model.safetensors").read_bytes()
            == (ordinary / "model.safetensors").read_bytes()
        )
        threshold = load_checkpoint(found).config.sampling.refuse_below
        assert threshold is not None
        assert math.isclose(threshold, wanted["refuse_below"])
        log, reference = read_log(found / LOG_FILE), read_log(ordinary / LOG_FILE)
        assert log.end["exam"] == reference.end["exam"]
        assert log.end.keys() == reference.end.keys()
        assert log.end["steps"] == reference.end["steps"] == 2
        assert [s.step for s in log.steps] == [s.step for s in reference.steps]
        assert {p.name for p in found.iterdir()} == {p.name for p in ordinary.iterdir()}
        assert from_pretrained(found).answer("什么是密度?").text == "密度是质量除以体积。"
    assert not take_late_exam(last, said.append)


def test_a_run_that_was_stopped_is_examined_and_released(
    hub: HubServer, stopped: Path, commands: Commands, tmp_path: Path
) -> None:
    student = HubCommands(commands, stopped, tmp_path / "home")
    said = released(student, hub)
    assert "memorised" in said
    assert "taken already" not in said
    assert "quantized/model.safetensors" in hub.model(REPO).files
    published = json.loads(hub.model(REPO).read("metrics.json"))
    assert published["exam"] == metrics_of(stopped / "checkpoints/last")["exam"]
    said = released(student, hub)
    assert "taken already" in said
    assert "push: current already" in said


def test_an_exam_that_is_cut_short_is_taken_anew(
    stopped: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the two checkpoints the power fails."""
    save, last = late_exam.save_checkpoint, stopped / "checkpoints/last"
    saved: list[Path] = []

    def once(folder: Path, *arguments: Any) -> None:
        if saved:
            raise CheckpointError("no space left")
        saved.append(folder)
        save(folder, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(late_exam, "save_checkpoint", once)
        with pytest.raises(CheckpointError, match="no space left"):
            take_late_exam(last, str)
    assert take_late_exam(last, str)
    assert metrics_of(last) == metrics_of(stopped / "checkpoints/quantized")


def test_a_late_exam_keeps_the_stored_report(stopped: Path) -> None:
    """Found here: what `evaluate --save` had taken minutes for was gone after a release."""
    last = stopped / "checkpoints/last"
    kept = save_report(last, report_on(last, [], 4, str)[0]).read_bytes()
    assert take_late_exam(last, str)
    assert (last / REPORT_FILE).read_bytes() == kept
    report = read_report(last)
    assert report is not None
    assert report.json["refuse_below"] == metrics_of(last)["refuse_below"]


def test_without_a_log_none_is_made_up(stopped: Path) -> None:
    """A log of an `end` alone could not be read: there was no card any more."""
    last = stopped / "checkpoints/last"
    (last / LOG_FILE).unlink()
    assert take_late_exam(last, str)
    assert not (last / LOG_FILE).exists()


@pytest.mark.parametrize("fault", ["missing", "changed", "elsewhere"])
def test_an_exam_that_cannot_be_taken_is_one_sentence_and_changes_nothing(
    hub: HubServer, stopped: Path, commands: Commands, tmp_path: Path, fault: str
) -> None:
    student = HubCommands(commands, stopped, tmp_path / "home")
    words, data, place = [], stopped / "data/val.jsonl", stopped / "checkpoints/last"
    if fault == "missing":
        data.unlink()
        message = "data/val.jsonl: no such file"
    elif fault == "changed":
        data.write_text(data.read_text("utf-8").replace("密度", "重量"), encoding="utf-8")
        message = "data/val.jsonl has changed since"
    else:
        place = shutil.move(place, stopped / "copy")
        words, message = ["--checkpoint", "copy"], "copy was stopped before its exam"
    before = {path.name: path.read_bytes() for path in place.iterdir()}
    done = release(student, hub, *words)
    assert done.code == 2
    assert message in done.stderr
    assert {path.name: path.read_bytes() for path in place.iterdir()} == before
    assert hub.repositories == {}
