"""ship: a finished run takes the place of the shipped model, or nothing changes."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import largest_file

from gpt_teacher.checkpoint import load_checkpoint
from gpt_teacher.errors import CheckpointError
from gpt_teacher.exam_report import report_on
from gpt_teacher.stored_report import save_report
from scripts import ship

LAST = Path("checkpoints/last")


@pytest.fixture
def shipped(tiny_project: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where models are shipped to; we are in the folder of a finished run with its report."""
    monkeypatch.chdir(tiny_project(trained=True))
    save_report(LAST, report_on(LAST, [], 4, str)[0])
    folder = Path("shipped").resolve()
    monkeypatch.setattr(ship, "SHIPPED", folder)
    return folder


def shipping(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr(sys, "argv", ["ship", *words])
    return ship.main()


def contents(folder: Path) -> dict[str, bytes]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def test_a_run_without_unknown_questions_is_shipped(
    shipped: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found here: a run on own questions was copied, then its README ended in a KeyError."""
    assert "unknown_refused" not in load_checkpoint(LAST).metrics["exam"]["fp32"]
    assert shipping(monkeypatch) == 0
    for name in ("last", "quantized"):
        assert contents(shipped / name) == contents(LAST.parent / name)
    assert "| memorised, int8 | 12/12 100.0% |" in (shipped / "README.md").read_text("utf-8")
    assert {path.name for path in shipped.iterdir()} == {"last", "quantized", "README.md"}


def test_what_a_system_does_not_say_is_left_out(
    shipped: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found here: of a run on Windows, the README said 0 MB."""
    for name in ("last", "quantized"):
        file = LAST.parent / name / "metrics.json"
        metrics = json.loads(file.read_text(encoding="utf-8"))
        file.write_text(json.dumps({**metrics, "peak_memory_bytes": None}), encoding="utf-8")
    assert shipping(monkeypatch) == 0
    readme = (shipped / "README.md").read_text(encoding="utf-8")
    assert "peak memory" not in readme
    assert "| seed |" in readme


def test_the_shipped_model_does_not_take_its_own_place(
    shipped: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found here: it was deleted, then not found."""
    shutil.copytree("checkpoints", shipped)
    before = contents(shipped)
    with pytest.raises(CheckpointError, match="shipped is shipped already; name a run: training"):
        shipping(monkeypatch, "--set", "training.save_dir=shipped")
    assert contents(shipped) == before


def test_a_model_of_plain_text_is_not_shipped(
    shipped: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found here: an exam report was asked for, which such a model cannot have."""
    for name in ("last", "quantized"):
        (LAST.parent / name / "exam_report.json").unlink(missing_ok=True)
        metrics = LAST.parent / name / "metrics.json"
        facts = json.loads(metrics.read_text(encoding="utf-8"))
        metrics.write_text(json.dumps(facts | {"is_text": True}), encoding="utf-8")
    with pytest.raises(CheckpointError, match="checkpoints: it learnt plain text; ship a run on q"):
        shipping(monkeypatch)
    assert not shipped.exists()


def test_the_advised_command_examines_the_run_that_is_to_be_shipped(
    shipped: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found here: it named no folder, and so saved the report of another model."""
    shutil.copytree("checkpoints", "my run")
    Path("my run/last/exam_report.json").unlink()
    with pytest.raises(CheckpointError) as raised:
        shipping(monkeypatch, "--set", "training.save_dir=my run")
    last = Path("my run/last")
    assert str(raised.value) == (
        f"{last} has no exam report; make it with: python -m scripts.evaluate --save --checkpoint "
        f'"{last}"'
    )


def test_a_full_disk_leaves_what_was_shipped_before(
    shipped: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shipped.joinpath("last").mkdir(parents=True)
    (shipped / "last" / "model.safetensors").write_bytes(b"shipped before")
    before = contents(shipped)
    with largest_file(1000), pytest.raises(CheckpointError, match=r"cannot write .*File too large"):
        shipping(monkeypatch)
    assert contents(shipped) == before
