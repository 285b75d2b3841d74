"""The tab 成绩单 and the frame around the tabs, in both languages, on a report made by hand."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from accessibility import serious_violations
from conftest import TinyRun
from gradio_client import Client
from pages import SIZES, opened, served
from playwright.sync_api import Browser, Page, expect

from gpt_teacher import Origin, from_pretrained
from gpt_teacher.exam import Score
from gpt_teacher.run_log import LOG_FILE, read_log
from gpt_teacher.stored_report import read_report, save_report
from gpt_teacher.text_files import file_sha256
from gpt_teacher.views.page import build_page
from gpt_teacher.views.quick_gradio import gr
from gpt_teacher.views.report import missing, number_lines, weights_table
from gpt_teacher.views.report_card import (
    confusion_rows,
    curve_rows,
    percent,
    read_report_card,
    subject_rows,
    topic_rows,
)
from gpt_teacher.views.text import CHINESE, ENGLISH

HOSTILE = "<img src=x onerror=\"document.title='hacked'\">${document.title='hacked'}{{value}}"
TABS = {
    "replay": "训练回放",
    "ask": "提问",
    "inside": "看内部",
    "train": "动手训练",
    "report": "成绩单",
}  # in the order of a lesson


def score(hits: int, questions: int) -> dict[str, int]:
    return {"hits": hits, "questions": questions}


def model(paraphrase: int) -> dict[str, Any]:
    return {
        "memorised": score(11, 12),
        "paraphrase": score(paraphrase, 8),
        "unknown_refused": score(3, 4),
        "wrongly_refused": score(1, 8),
        "paraphrase_by_subject": {"物理": score(1, 4), HOSTILE: score(4, 4)},
        "worst_topics": [{"topic": HOSTILE, **score(0, 2)}, {"topic": "密度", **score(1, 2)}],
        "confusions": [{"asked": "密度", "answered": "光速", "times": 2}],
        "risk_coverage": [
            {"threshold": 0.0, "coverage": 1.0, "risk": 0.4},
            {"threshold": 0.5, "coverage": 0.6, "risk": 0.125},
            {"threshold": 0.9, "coverage": 0.0, "risk": 0.0},
        ],
        "at_threshold": {"threshold": 0.25, "coverage": 0.75, "risk": 0.2},
    }


@pytest.fixture(scope="module")
def last(tiny_run: TinyRun, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint with its quantized twin and a report made by hand."""
    folder = tmp_path_factory.mktemp("served")
    for name in ("last", "quantized"):
        shutil.copytree(tiny_run.save_dir / name, folder / name)
    save_report(folder / "last", {"models": {"fp32": model(5), "int8": model(4)}})
    return folder / "last"


# ---------------------------------------------------------------- data


def test_the_rows_are_those_of_the_report(last: Path) -> None:
    report = read_report(last)
    assert report is not None
    assert percent(Score(47, 50)) == "94.0% (47/50)"
    assert subject_rows(report) == [
        [HOSTILE, "100.0% (4/4)", "100.0% (4/4)"],
        ["物理", "25.0% (1/4)", "25.0% (1/4)"],
    ]
    assert topic_rows(report) == [[HOSTILE, 0, 2], ["密度", 1, 2]]
    assert confusion_rows(report) == [["密度", "光速", 2]]
    # Where nothing is answered nothing can be wrong: no point.
    assert curve_rows(report)[:2] == [(100.0, 40.0, "fp32"), (60.0, 12.5, "fp32")]
    assert [name for *_, name in curve_rows(report)] == ["fp32"] * 2 + ["int8"] * 2


def test_the_four_numbers_are_of_the_stored_exam_else_of_the_runs_end(
    last: Path, tmp_path: Path
) -> None:
    card = read_report_card(from_pretrained(last))
    assert number_lines(card, "paraphrase", CHINESE) == "原精度：62.5% (5/8)\n量化：50.0% (4/8)"
    bare = Path(shutil.copytree(last, tmp_path / "last"))
    (bare / "exam_report.json").unlink()
    card = read_report_card(from_pretrained(bare))
    assert card.report is None
    measured = card.metrics["exam"]["fp32"]["memorised"]
    assert card.scores["fp32"]["memorised"] == Score(**measured) == Score(12, 12)
    assert "`python -m scripts.evaluate --save --checkpoint " in missing(card, CHINESE)
    from_hub = replace(card, origin=Origin(bare, "teacher/demo", "0123456789" * 4))
    assert missing(from_hub, ENGLISH) == ENGLISH["no_report_hub"], "nothing is saved in the cache"
    assert f"`teacher/demo` @ `{'0123456789' * 4}`" in weights_table(from_hub, ENGLISH)
    unfinished = replace(card, scores={})
    assert missing(unfinished, CHINESE) == CHINESE["no_scores"]


def test_the_command_for_the_report_names_a_folder_that_is_there(
    last: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found here: of a folder elsewhere its name alone was told, and the command found nothing."""
    folder = Path(shutil.copytree(last, tmp_path / "my class" / "last"))
    (folder / "exam_report.json").unlink()
    card = read_report_card(from_pretrained(folder))
    command = "python -m scripts.evaluate --save --checkpoint"
    monkeypatch.chdir(tmp_path)
    assert f'`{command} "my class/last"`' in missing(card, CHINESE)
    relative = read_report_card(from_pretrained("my class/last"))
    assert missing(relative, CHINESE) == missing(card, CHINESE)
    monkeypatch.chdir(last)
    assert f"`{command} 这个模型的文件夹`" in missing(card, CHINESE)
    assert f"`{command} FOLDER_OF_THIS_MODEL`" in missing(card, ENGLISH)


def test_weights_are_named_as_what_they_are(last: Path) -> None:
    card = read_report_card(from_pretrained(last))
    sha256 = {
        "fp32": file_sha256(last / "model.safetensors"),
        "int8": file_sha256(last.parent / "quantized" / "model.safetensors"),
    }
    assert {name: file["sha256"] for name, file in card.json()["weights"].items()} == sha256
    alone = read_report_card(from_pretrained(last.parent / "quantized"))
    assert {name: file.sha256 for name, file in alone.weights.items()} == {"int8": sha256["int8"]}
    assert sha256["int8"][:16] in weights_table(alone, CHINESE)


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("metrics.json", "{}"),
        ("model.safetensors", "broken"),
        ("tokenizer.json", "{"),
        ("config.yaml", "model: {layers: 4}"),
    ],
)
def test_a_twin_of_another_run_or_a_damaged_one_is_not_shown(
    last: Path, tmp_path: Path, file: str, content: str
) -> None:
    """Found here: a twin with a broken tokenizer or configuration stopped the page."""
    for name in ("last", "quantized"):
        shutil.copytree(last.parent / name, tmp_path / name)
    (tmp_path / "quantized" / file).write_text(content, encoding="utf-8")
    assert list(read_report_card(from_pretrained(tmp_path / "last")).weights) == ["fp32"]


def test_the_card_shows_limits_and_no_broken_picture(last: Path) -> None:
    card = read_report_card(from_pretrained(last)).card
    assert "局限 · Limits" in card
    assert "![" not in card
    assert "python app.py" not in card


# ---------------------------------------------------------------- the page


@pytest.fixture(scope="module")
def app(last: Path) -> gr.Blocks:
    return build_page(from_pretrained(last), read_log(last / LOG_FILE), "zh")


@pytest.fixture(scope="module")
def url(app: gr.Blocks) -> Iterator[str]:
    with served(app) as url:
        yield url


@pytest.fixture(params=SIZES)
def page(browser: Browser, url: str, request: pytest.FixtureRequest) -> Iterator[Page]:
    """The report card, in Chinese."""
    with opened(browser, url, "/?tab=report&q=什么是密度", request.param) as page:
        expect_tab(page, "成绩单")
        yield page


def expect_tab(page: Page, name: str) -> None:
    expect(page.get_by_role("tab", name=name, selected=True).first).to_be_visible()


def test_exam_gives_the_report_card_as_json(url: str, last: Path) -> None:
    client = Client(url, verbose=False, analytics_enabled=False)
    given = client.predict(api_name="/exam")
    assert given == read_report_card(from_pretrained(last)).json()
    assert given["scores"]["int8"]["paraphrase"] == score(4, 8)
    assert given["report"]["models"]["fp32"]["at_threshold"]["risk"] == 0.2


def test_each_event_is_public_in_one_language_only(app: gr.Blocks) -> None:
    public = [(e.page, e.api_name) for e in app.fns.values() if e.api_visibility == "public"]
    names = ["ask", "exam", "next_token", "replay_log", "tokenize"]
    assert sorted(public) == [("", name) for name in names]
    assert len([e for e in app.fns.values() if e.page == "en"]) == len(
        [e for e in app.fns.values() if e.page == ""]
    )


def test_the_configured_language_is_at_the_root(last: Path) -> None:
    english = build_page(from_pretrained(last), None, "en")
    labels = {
        route: [
            b.label for b in english.blocks.values() if isinstance(b, gr.Tab) and b.page == route
        ]
        for route in ("", "zh")
    }
    assert labels["zh"] == list(TABS.values())
    assert labels[""] == [ENGLISH[f"{name}_tab"] for name in TABS]
    assert english.title == ENGLISH["title"]


def test_the_report_card_is_read_and_its_text_stays_text(page: Page) -> None:
    numbers = page.locator("#exam-wrongly_refused textarea")
    expect(numbers).to_have_value("原精度：12.5% (1/8)\n量化：12.5% (1/8)")
    expect(page.get_by_text(CHINESE["wrongly_refused_info"])).to_be_visible()
    expect(page.locator("#subjects")).to_contain_text(HOSTILE)
    expect(page.locator("#worst-topics")).to_contain_text(HOSTILE)
    expect(page.locator("#confusions")).to_contain_text("光速")
    curve = page.locator("#curve textarea")
    assert "原精度：门槛 0.25，回答了 75% 的问题，其中答错 20.0%。" in curve.input_value()
    card = page.locator("#model-card")
    expect(card).to_be_hidden()
    page.get_by_role("button", name=CHINESE["model_card"]).click()
    expect(card).to_contain_text("不能用于医疗")
    assert page.title() == CHINESE["title"]


def test_the_language_is_switched_both_answer_and_the_address_keeps_its_query(
    page: Page, url: str
) -> None:
    expect(page.locator("html")).to_have_attribute("lang", "zh-CN")
    page.get_by_role("button", name="English", exact=True).click()
    expect_tab(page, "Report")
    assert page.url.startswith(f"{url}/en?tab=report&q=")
    expect(page.locator("html")).to_have_attribute("lang", "en")
    expect(page).to_have_title(ENGLISH["title"])
    expect(page.locator("#served")).to_contain_text("can be wrong")
    ask_density(page, tab="Ask", button="Ask")
    page.get_by_role("button", name="中文", exact=True).click()
    expect_tab(page, "成绩单")
    assert page.url.startswith(f"{url}/?tab=report&q=")
    ask_density(page, tab="提问", button="提问")


def ask_density(page: Page, tab: str, button: str) -> None:
    """Ask, by the words of a language, and see the right answer."""
    page.get_by_role("tab", name=tab, exact=True).click()
    page.locator("#question textarea").fill("什么是密度?")
    page.get_by_role("button", name=button, exact=True).click()
    expect(page.locator("#answer textarea")).to_have_value("密度是质量除以体积。", timeout=30_000)


def test_the_tabs_stand_in_the_order_of_a_lesson_and_the_address_opens_one(
    page: Page, url: str
) -> None:
    expect(page.locator("[role=tablist] [role=tab]:visible")).to_have_text(list(TABS.values()))
    expect(page.locator(".nav-holder")).to_be_hidden()
    for query, name in {"?tab=replay": "训练回放", "?tab=<b>": "提问", "?tab=": "提问"}.items():
        page.goto(f"{url}/{query}")
        expect_tab(page, name)


@pytest.mark.slow
@pytest.mark.parametrize(("size", "scheme"), [("desktop", "light"), ("phone", "dark")])
def test_no_tab_breaks_a_serious_rule_of_accessibility(
    browser: Browser, url: str, size: Any, scheme: Any
) -> None:
    with opened(browser, url, "/?tab=replay", size, scheme) as page:
        expect(page.locator("body.dark")).to_have_count(int(scheme == "dark"))
        for name in TABS.values():
            page.get_by_role("tab", name=name, exact=True).click()
            expect_tab(page, name)
            closed = page.locator("button.label-wrap:visible:not(.open)")
            while closed.count():
                closed.first.click()
            page.wait_for_function(
                "document.getAnimations().every(one => one.playState != 'running')"
            )
            assert serious_violations(page) == []
