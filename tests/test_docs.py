"""What the documents say is so."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest
import yaml

from gpt_teacher.config import SECTIONS, Config, load_config
from scripts import handout

ROOT = Path(__file__).parent.parent
READMES = ["README.md", "README_EN.md"]
GUIDES = ["docs/CLASSROOM", "docs/LESSON", "docs/HANDOUT", "docs/SCALING"]
PAGES = [*READMES, *(f"{guide}{suffix}" for guide in GUIDES for suffix in (".md", "_EN.md"))]


def _read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", READMES)
def test_every_command_in_the_readme_exists(name: str) -> None:
    modules = set(re.findall(r"python -m ((?:scripts|benchmarks)\.\w+)", _read(name)))
    assert {"scripts.train", "scripts.ask", "scripts.build_tokenizer", "scripts.build_data"} <= (
        modules
    )
    for module in modules:
        assert (ROOT / (module.replace(".", "/") + ".py")).exists(), module


@pytest.mark.parametrize("name", READMES)
def test_every_command_has_a_place_in_the_readme(name: str) -> None:
    commands = {
        path.stem
        for path in (ROOT / "scripts").glob("*.py")
        if '__name__ == "__main__"' in path.read_text(encoding="utf-8")
    }
    assert {"train", "push_to_hub"} <= commands
    for command in commands:
        assert f"python -m scripts.{command}" in _read(name), command


@pytest.mark.parametrize("name", handout.LANGUAGES)
def test_the_hand_out_to_be_printed_is_the_one_that_is_written(name: str) -> None:
    assert _read(f"docs/{name}.html") == handout.page(name)


@pytest.mark.parametrize("name", PAGES)
def test_every_option_of_a_page_is_an_option_of_its_command(name: str) -> None:
    options = ("sampling_options", "model_options", "space_options")
    shared = ["scripts/command_line", *(f"scripts/{name}" for name in options)]
    for module, rest in re.findall(r"python -m (scripts\.\w+)([^\n`#&]*)", _read(name)):
        files = [module.replace(".", "/"), *shared]
        source = "".join(_read(f"{file}.py") for file in files)
        for option in re.findall(r"--[a-z-]+", rest):
            assert f'"{option}"' in source, f"{module} {option}"


@pytest.mark.parametrize("name", PAGES)
def test_every_link_of_a_page_leads_to_a_file(name: str) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", _read(name)):
        assert ((ROOT / name).parent / target).is_file(), target


@pytest.mark.parametrize("name", PAGES)
def test_every_file_of_a_page_exists(name: str) -> None:
    for file in re.findall(
        r"`((?:gpt_teacher|scripts|data|tests|pretrained)/[\w./]+)`", _read(name)
    ):
        assert (ROOT / file).exists(), file


@pytest.mark.parametrize("name", PAGES)
def test_every_config_key_of_a_page_is_known(name: str) -> None:
    keys = {f"{s}.{f.name}" for s, cls in SECTIONS.items() for f in fields(cls)}  # type: ignore[arg-type]
    for key in re.findall(r"(?:--set |`)([a-z_]+\.[a-z_0-9]+)(?==|`)", _read(name)):
        if key.endswith((".py", ".md", ".yaml", ".json", ".jsonl")):
            continue
        assert key in keys, key


@pytest.mark.parametrize("name", PAGES)
def test_no_command_of_a_page_has_a_comment_behind_it(name: str) -> None:
    """cmd.exe and the zsh of a Mac hand it to the command: unrecognized arguments."""
    blocks = re.findall(r"```bash\n(.*?)```", _read(name), flags=re.DOTALL)
    assert [line for block in blocks for line in block.splitlines() if " #" in line] == []


def test_the_test_line_of_the_readme_is_what_ci_runs() -> None:
    line = "pip install -r requirements-dev.txt && python -m pytest"
    for name in (*READMES, ".ci/run"):
        assert line in _read(name), name


def test_every_config_key_has_a_line_with_its_comment() -> None:
    lines = _read("config.yaml").splitlines()
    for section, cls in SECTIONS.items():
        for field in fields(cls):  # type: ignore[arg-type]
            written = [line for line in lines if line.startswith(f"  {field.name}:")]
            assert written, f"{section}.{field.name} is not in config.yaml"
            assert all(re.search(r"# \S.{9}", line) for line in written), written


def test_the_shipped_config_states_every_default_as_it_is() -> None:
    """Only what needs the shipped data differs from the defaults of the original's files."""
    shipped = load_config(ROOT / "config.yaml")
    differs = [
        f"{section}.{field.name}"
        for section, cls in SECTIONS.items()
        for field in fields(cls)  # type: ignore[arg-type]
        if getattr(getattr(shipped, section), field.name)
        != getattr(getattr(Config(), section), field.name)
    ]
    assert differs == [
        "training.question_weight",
        "training.label_smoothing",
        "data.unknown_path",
        "data.test_path",
        "data.unknown_val_path",
        "data.unknown_test_path",
        "data.noise",
        "data.short_answers",
    ]


def test_the_page_speaks_both_languages_in_full() -> None:
    from gpt_teacher.views.text import CHINESE, ENGLISH

    assert CHINESE.keys() == ENGLISH.keys()
    for key in CHINESE:
        places = [sorted(re.findall(r"{(\w+)", text[key])) for text in (CHINESE, ENGLISH)]
        assert places[0] == places[1], key


def test_requirements_and_project_agree() -> None:
    assert 'file = ["requirements.txt"]' in _read("pyproject.toml")
    assert _read("requirements-dev.txt").startswith("-r requirements.txt\n")
    assert yaml.safe_load(_read("config.yaml")).keys() == SECTIONS.keys()
