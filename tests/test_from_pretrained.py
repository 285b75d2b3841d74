"""from_pretrained: the model with its own threshold, and the taught question nearest to one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import QUESTIONS, write_rows

import gpt_teacher
from gpt_teacher import Nearest, Pretrained, from_pretrained
from gpt_teacher.config import SamplingConfig
from gpt_teacher.errors import ConfigError, TokenizerError
from gpt_teacher.prompt import REFUSAL_ANSWER

QUESTION, ANSWER = "什么是密度?", "密度是质量除以体积。"


@pytest.fixture
def project(tiny_project: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    """A finished run; we are in its folder."""
    project = tiny_project(trained=True)
    monkeypatch.chdir(project)
    return project


def with_threshold(threshold: float | None) -> Pretrained:
    """Return the model of this folder, as if this threshold had been fitted for it."""
    path = Path("checkpoints/last/config.yaml")
    text = path.read_text(encoding="utf-8")
    assert text.count("refuse_below: 0.0") == 1, "no unknown questions: nothing to withhold for"
    written = "null" if threshold is None else str(threshold)
    path.write_text(text.replace("refuse_below: 0.0", f"refuse_below: {written}"), "utf-8")
    return from_pretrained("checkpoints/last")


# ---------------------------------------------------------------- the checkpoint's own threshold


@pytest.mark.usefixtures("project")
def test_an_answer_below_the_checkpoints_own_threshold_is_withheld() -> None:
    teacher = with_threshold(1.0)
    for given in (teacher.answer(QUESTION), teacher.answer(QUESTION, SamplingConfig())):
        assert (given.text, given.finish_reason) == (REFUSAL_ANSWER, "unsure")


@pytest.mark.usefixtures("project")
def test_settings_that_name_a_threshold_win_over_the_checkpoints() -> None:
    teacher = with_threshold(1.0)
    assert teacher.answer(QUESTION, SamplingConfig(refuse_below=0.0)) == ANSWER
    assert teacher.answer(QUESTION, SamplingConfig(refusal=False)) == ANSWER
    low = SamplingConfig(refuse_below=0.25, temperature=0.5)
    assert teacher.fitted(low) == low
    assert teacher.fitted(SamplingConfig(seed=3)) == SamplingConfig(seed=3, refuse_below=1.0)


@pytest.mark.usefixtures("project")
def test_a_checkpoint_without_a_threshold_withholds_nothing() -> None:
    """One saved on the way, before its exam, has none."""
    teacher = with_threshold(None)
    assert teacher.fitted(SamplingConfig()).refuse_below is None
    assert {q: teacher.answer(q).text for q in QUESTIONS} == QUESTIONS


# ---------------------------------------------------------------- what is wrong is told


@pytest.mark.usefixtures("project")
def test_a_version_of_a_folder_is_refused_as_the_commands_refuse_it() -> None:
    """Found here: it was passed over without a word."""
    with pytest.raises(ConfigError, match=r"revision 'v1' names a version .* of the folder check"):
        from_pretrained("checkpoints/last", revision="v1")


@pytest.mark.usefixtures("project")
def test_half_a_character_raises_what_the_docstring_says() -> None:
    with pytest.raises(TokenizerError):
        from_pretrained("checkpoints/last").answer("\ud800")
    assert "TokenizerError" in (Pretrained.answer.__doc__ or "")


@pytest.mark.usefixtures("project")
def test_one_stop_text_is_not_taken_for_its_letters() -> None:
    """Found here: the answer ended before any letter of it."""
    settings = SamplingConfig(stop="质量体")  # type: ignore[arg-type]
    assert from_pretrained("checkpoints/last").answer(QUESTION, settings) == ANSWER


# ---------------------------------------------------------------- the nearest taught question


@pytest.mark.usefixtures("project")
@pytest.mark.parametrize("folder", ["last", "quantized"])
def test_the_nearest_taught_question_is_found(folder: str) -> None:
    teacher = from_pretrained(f"checkpoints/{folder}")
    for question in QUESTIONS:
        assert teacher.nearest(question) == Nearest(question, pytest.approx(1.0))
        assert teacher.nearest(question.replace("?", "？")) == teacher.nearest(question)
    for reworded, taught in (("密度是什么", QUESTION), ("你说说词元!", "什么是词元?")):
        near = teacher.nearest(reworded)
        assert near is not None
        assert near.question == taught
        assert 0 < near.similarity < 1
    assert teacher.nearest("zzz") is None
    assert teacher.nearest("") is None


@pytest.mark.parametrize("change", ["more", "spaces", "gone", "a folder"])
def test_there_is_no_nearest_question_when_what_was_taught_is_not_known(
    project: Path, change: str
) -> None:
    """A changed file is another one, though the question may still stand in it."""
    data = project / "data" / "train.jsonl"
    text = data.read_text(encoding="utf-8")
    if change in ("more", "spaces"):
        data.write_text(text + ('{"prompt": "a", "completion": "b"}' * (change == "more")) + "\n")
    else:
        data.unlink()
    if change == "a folder":
        data.mkdir()
    assert from_pretrained("checkpoints/last").nearest(QUESTION) is None
    if change == "more":
        data.write_text(text, encoding="utf-8")
        assert from_pretrained("checkpoints/last").nearest(QUESTION) == (QUESTION, 1.0)


def test_what_the_shipped_model_was_taught_is_found_from_any_folder(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where a file of the same name holds something else."""
    elsewhere = tmp_path / "elsewhere"
    write_rows(elsewhere / "data" / "train.jsonl", {"别的问题": "别的回答"})
    monkeypatch.chdir(elsewhere)
    last = project / "checkpoints" / "last"
    assert from_pretrained(last).nearest(QUESTION) is None
    monkeypatch.setattr(gpt_teacher, "SHIPPED", project / "pretrained")
    assert from_pretrained(last).nearest(QUESTION) == (QUESTION, 1.0)
