"""What the READMEs say of the page: tabs, links, endpoints, the program, the pictures."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from gradio_client import Client
from pages import served
from test_lesson import tables

from gpt_teacher import SHIPPED, from_pretrained
from gpt_teacher.run_log import LOG_FILE, read_log
from gpt_teacher.views.page import build_page
from gpt_teacher.views.settings import LIMITS
from gpt_teacher.views.share import MAX_CHARACTERS, read_link
from gpt_teacher.views.text import TEXTS, Language

ROOT = Path(__file__).parent.parent
READMES: dict[Language, str] = {"zh": "README.md", "en": "README_EN.md"}
TITLES = {"zh": "网页：五个标签页", "en": "The page: five tabs"}
TABS = ("replay", "ask", "inside", "train", "report")
PICTURES = ("replay", "inside", "report")
MAX_PICTURE_BYTES = 150_000


def _section(language: Language) -> str:
    text = (ROOT / READMES[language]).read_text(encoding="utf-8")
    return text.split(f"\n## {TITLES[language]}\n")[1].split("\n## ")[0]


def _program(language: Language) -> str:
    (program,) = re.findall(r"^```python\n(.*?)^```$", _section(language), flags=re.M | re.S)
    return program


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    teacher, quantized = (from_pretrained(SHIPPED / name) for name in ("last", "quantized"))
    log = read_log(SHIPPED / "last" / LOG_FILE)
    with served(build_page(teacher, log, "zh", quantized)) as url:
        yield url


@pytest.fixture(scope="module")
def client(url: str) -> Client:
    return Client(url, verbose=False, analytics_enabled=False)


@pytest.mark.parametrize("language", READMES)
def test_the_five_tabs_have_a_line_each_in_the_order_of_the_page(language: Language) -> None:
    (_, *rows), *_ = tables(_section(language))
    assert [row[0] for row in rows] == [TEXTS[language][f"{tab}_tab"] for tab in TABS]


@pytest.mark.parametrize("language", READMES)
def test_the_links_are_read_as_it_says(language: Language) -> None:
    (_, *rows) = list(tables(_section(language)))[1]
    written = dict(row[0].strip("`").lstrip("?").split("=") for row in rows)
    assert read_link(written) == ("replay", "什么是密度?", 0.8, 7)
    (tabs, question, temperature, _) = (row[1] for row in rows)
    assert tuple(re.findall("`(\\w+)`", tabs))[:5] == TABS
    assert str(MAX_CHARACTERS) in question
    assert f"{LIMITS['temperature'].low:g}" in temperature
    assert f"{LIMITS['temperature'].high:g}" in temperature
    assert TEXTS[language]["share"] in _section(language)


@pytest.mark.parametrize("language", READMES)
def test_each_endpoint_has_the_parameters_that_it_says(language: Language, client: Client) -> None:
    (_, *rows) = list(tables(_section(language)))[2]
    endpoints = client.view_api(return_format="dict", print_info=False)["named_endpoints"]
    said = {row[0].strip("`"): re.findall(r"`(\w+)`", row[1]) for row in rows}
    assert said == {
        name: [parameter["parameter_name"] for parameter in endpoint["parameters"]]
        for name, endpoint in endpoints.items()
    }
    for name, endpoint in endpoints.items():
        required = [
            parameter["parameter_name"]
            for parameter in endpoint["parameters"]
            if not parameter["parameter_has_default"]
        ]
        assert required in ([], ["question"]), name


@pytest.mark.parametrize("language", READMES)
def test_each_endpoint_returns_the_keys_that_it_says(language: Language, client: Client) -> None:
    (_, *rows) = list(tables(_section(language)))[2]
    said = {row[0].strip("`"): re.findall(r"`(\w+)`", row[2]) for row in rows}
    assert set(said["/tokenize"]) == set(client.predict("密度", api_name="/tokenize"))
    candidates = client.predict("密度", api_name="/next_token")
    assert set(said["/next_token"]) == set(candidates[0])
    assert re.findall(r"\d+", rows[2][2]) == [str(len(candidates))]
    for name in ("/replay_log", "/exam"):
        assert len(said[name]) > 2
        assert set(said[name]) <= set(client.predict(api_name=name))


def test_both_languages_show_the_same_program() -> None:
    assert _program("zh") == _program("en")


def test_the_program_runs_and_prints_what_the_model_says(
    url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    program = _program("zh").replace("http://127.0.0.1:7860", url)
    assert url in program
    exec(compile(program, "README.md", "exec"), {})
    shown = capsys.readouterr().out
    teacher = from_pretrained(SHIPPED / "last")
    assert teacher.answer("什么是注意力机制?").text in shown.splitlines()
    ids = [line for line in shown.splitlines() if re.fullmatch(r"\[\d+(, \d+)*\]", line)]
    assert len(ids) == 1
    assert "'hits'" in shown


@pytest.mark.parametrize("language", READMES)
def test_the_pictures_are_small_and_say_what_they_show(language: Language) -> None:
    shown = re.findall(r"!\[([^\]]*)\]\(([^)]+)\)", _section(language))
    assert [Path(path).stem for _, path in shown] == list(PICTURES)
    assert {ROOT / path for _, path in shown} == set((ROOT / "docs" / "images").iterdir())
    for (alt, path), tab in zip(shown, PICTURES, strict=True):
        assert alt.startswith(TEXTS[language][f"{tab}_tab"])
        assert len(alt) > 20
        content = (ROOT / path).read_bytes()
        assert content.startswith(b"\x89PNG")
        assert len(content) < MAX_PICTURE_BYTES


def test_the_tabs_of_the_links_are_those_of_the_page() -> None:
    source = inspect.getsource(build_page.__globals__["_build_route"])
    assert tuple(re.findall(r'"(\w+)": lambda', source)) == TABS
