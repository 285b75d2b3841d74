"""The exam report in a checkpoint folder: measured by the command, believed only of its weights."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Commands, Finished

from gpt_teacher import SHIPPED, Origin
from gpt_teacher.errors import CheckpointError, ConfigError, DataError
from gpt_teacher.exam import Score
from gpt_teacher.exam_report import report_on
from gpt_teacher.hub.folder import checkpoint_files
from gpt_teacher.stored_report import REPORT_FILE, check_may_save, read_report, save_report

ROOT = Path(__file__).parent.parent
LAST = Path("checkpoints/last")


@pytest.fixture
def project(tiny_project: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    project = tiny_project(trained=True)
    monkeypatch.chdir(project)
    return project


@pytest.fixture
def evaluate(commands: Commands, project: Path) -> Callable[..., Finished]:
    return lambda *arguments: commands.run("evaluate", *arguments, folder=project)


def test_save_keeps_what_was_measured_in_the_folder_of_the_weights(
    evaluate: Callable[..., Finished], project: Path
) -> None:
    ended = evaluate("--save")
    assert ended.code == 0, ended.stderr
    assert ended.stderr.endswith(f"saved: {LAST / REPORT_FILE}\n")
    measured, _ = report_on(LAST, [], 10**9, print)
    stored = read_report(LAST)
    assert stored is not None
    assert list(stored.models) == ["fp32", "int8"]
    for name, model in stored.models.items():
        expected = measured["models"][name]
        for key, score in model.scores.items():
            assert score._asdict() == expected[key]
        assert model.scores["memorised"] == Score(12, 12)
        assert [topic for topic, _ in model.worst_topics] == [
            one["topic"] for one in expected["worst_topics"]
        ]
        assert [point._asdict() for point in model.curve] == expected["risk_coverage"]
        assert model.served.threshold == measured["refuse_below"]
    text = (LAST / REPORT_FILE).read_text(encoding="utf-8")
    assert str(project) not in text
    assert "checkpoints" not in text, "a report names its weights, not a place"
    assert checkpoint_files(LAST, "")[REPORT_FILE] == text.encode(), "it is published"


def test_what_the_threshold_does_is_counted_by_hand(project: Path) -> None:
    """Of 3 other wordings and no unknown question, a threshold of 0 answers all."""
    model = report_on(LAST, ["sampling.refuse_below=0.0"], 12, print)[0]["models"]["fp32"]
    answered, right = model["at_threshold"]["coverage"], model["paraphrase"]["hits"] / 3
    assert model["at_threshold"]["threshold"] == 0.0
    assert answered == 1.0 - model["wrongly_refused"]["hits"] / 3
    assert model["at_threshold"]["risk"] == pytest.approx(1 - right / answered)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with weights, whatever they are, and their report."""
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    score = {"hits": 1, "questions": 2}
    model = {
        "memorised": score,
        "paraphrase_by_subject": {"物理": score},
        "worst_topics": [{"topic": "密度", **score}],
        "confusions": [{"asked": "密度", "answered": "光速", "times": 1}],
        "risk_coverage": [{"threshold": 0.0, "coverage": 1.0, "risk": 0.5}],
        "at_threshold": {"threshold": 0.4, "coverage": 0.5, "risk": 0.25},
    }
    save_report(tmp_path, {"checkpoint": "/home/somebody/x", "models": {"fp32": model}})
    return tmp_path


def test_a_report_is_believed_of_its_own_weights_only(folder: Path) -> None:
    report = read_report(folder)
    assert report is not None
    assert report.models["fp32"].by_subject == {"物理": Score(1, 2)}
    assert "somebody" not in json.dumps(report.json)
    (folder / "model.safetensors").write_bytes(b"other weights")
    assert read_report(folder) is None


def _set(report: dict[str, Any], path: str, value: Any) -> None:
    *parents, last = path.split(".")
    for key in parents:
        report = report[key]
    report[last] = value


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("models", []),
        ("models", {}),
        ("models.fp32", None),
        ("models.fp32.memorised", {"hits": 3, "questions": 2}),
        ("models.fp32.memorised", {"hits": "3", "questions": 4}),
        ("models.fp32.paraphrase_by_subject", [1]),
        ("models.fp32.worst_topics", [{"topic": "x"}]),
        ("models.fp32.confusions", {"asked": 1}),
        ("models.fp32.risk_coverage", [{"threshold": 0, "coverage": float("nan"), "risk": 0}]),
        ("models.fp32.at_threshold", {"threshold": 0, "coverage": 1, "risk": 1.5}),
        ("weights_sha256", None),
        ("padding", "x" * 1_000_001),
    ],
)
def test_a_damaged_report_is_no_report(folder: Path, path: str, value: object) -> None:
    report = json.loads((folder / REPORT_FILE).read_text(encoding="utf-8"))
    _set(report, path, value)
    (folder / REPORT_FILE).write_text(json.dumps(report), encoding="utf-8")
    assert read_report(folder) is None


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"\xff\xfe", b"[" * 100_000, b"null"])
def test_a_file_that_is_no_report_is_none(folder: Path, content: bytes) -> None:
    (folder / REPORT_FILE).write_bytes(content)
    assert read_report(folder) is None


def test_a_report_that_cannot_be_written_is_said(folder: Path) -> None:
    (folder / REPORT_FILE).unlink()
    (folder / REPORT_FILE).mkdir()
    with pytest.raises(CheckpointError, match=r"cannot write .*exam_report\.json"):
        save_report(folder, {"models": {}})


def test_an_exam_that_cannot_be_saved_is_shown_and_written_first(
    evaluate: Callable[..., Finished], project: Path
) -> None:
    """Found here: the questions were asked for minutes, and the answers lost."""
    (LAST / REPORT_FILE).unlink(missing_ok=True)
    (LAST / REPORT_FILE).mkdir()
    ended = evaluate("--save", "--json", "exam.json")
    assert ended.code == 2
    assert "12/12 100.0%" in ended.stdout
    written = json.loads(Path("exam.json").read_text(encoding="utf-8"))
    assert written["models"]["fp32"]["memorised"]["hits"] == 12
    assert f"error: cannot write {LAST / REPORT_FILE}" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_an_exam_is_saved_where_its_numbers_cannot_be_written(
    evaluate: Callable[..., Finished], project: Path
) -> None:
    ended = evaluate("--save", "--json", "config.yaml/exam.json")
    assert ended.code == 2
    assert "error: cannot write config.yaml/exam.json" in ended.stderr
    assert read_report(LAST) is not None


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_an_exam_is_saved_where_nothing_can_be_printed(project: Path) -> None:
    (LAST / REPORT_FILE).unlink(missing_ok=True)
    command = shlex.join([sys.executable, "-m", "scripts.evaluate", "--save"]) + " >/dev/full"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    ended = subprocess.run(
        command, shell=True, cwd=project, env=environment, capture_output=True, check=False
    )
    assert ended.returncode != 0
    assert read_report(LAST) is not None


def test_another_exam_is_not_kept(project: Path, evaluate: Callable[..., Finished]) -> None:
    with pytest.raises(ConfigError, match=r"leave out --set data\.test_path=x"):
        check_may_save(Origin(LAST), ["training.threads=1", "data.test_path=x"])
    with pytest.raises(CheckpointError, match="lies in the cache of the Hub"):
        check_may_save(Origin(LAST, "teacher/demo", "0" * 40), [])
    check_may_save(Origin(LAST), ["training.threads=1"])
    with (project / "data" / "train.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"prompt": "新题", "completion": "新答案"}\n')
    with pytest.raises(DataError, match=r"data/train\.jsonl has changed since"):
        check_may_save(Origin(LAST), [])
    ended = evaluate("--save")
    assert (ended.code, ended.stdout) == (2, "")
    assert not (LAST / REPORT_FILE).exists()


def test_two_models_side_by_side_are_not_kept(evaluate: Callable[..., Finished]) -> None:
    ended = evaluate("--save", "--compare", LAST, LAST)
    assert ended.code == 2
    assert "leave out --compare" in ended.stderr


def test_the_shipped_model_has_its_report() -> None:
    last = SHIPPED / "last"
    report = read_report(last)
    assert report is not None
    metrics = json.loads((last / "metrics.json").read_text(encoding="utf-8"))
    for name, model in report.models.items():
        for key in ("paraphrase", "unknown_refused", "wrongly_refused"):
            at_the_end_of_training = Score(**metrics["exam"][name][key])
            assert model.scores[key].questions == at_the_end_of_training.questions
            # Another machine rounds its sums in another way: a token in a thousand may differ.
            assert model.scores[key].share == pytest.approx(at_the_end_of_training.share, abs=0.01)
        of_some = Score(**metrics["exam"][name]["memorised"])  # the report is of all
        assert model.scores["memorised"].questions > of_some.questions
        assert model.scores["memorised"].share == pytest.approx(of_some.share, abs=0.02)
        assert model.served.threshold == pytest.approx(metrics["refuse_below"])
