"""The page, served for real: its endpoints by gradio_client, its tabs in a browser."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from gradio_client import Client
from pages import SIZES, opened, served, show_often
from playwright.sync_api import Browser, Page, expect

from gpt_teacher import SHIPPED, from_pretrained
from gpt_teacher.run_log import LOG_FILE, read_log
from gpt_teacher.views.page import build_page
from gpt_teacher.views.replay_data import replay_data
from gpt_teacher.views.right_answers import answer_book
from gpt_teacher.views.text import CHINESE

ATTENTION = "什么是注意力机制?"
WATER = "解释蒸馏水与纯水区别?"


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    teacher = from_pretrained(SHIPPED / "last")
    with served(build_page(teacher, read_log(SHIPPED / "last" / LOG_FILE), "zh")) as url:
        yield url


@pytest.fixture(scope="module")
def client(url: str) -> Client:
    return Client(url, verbose=False, analytics_enabled=False)


@pytest.fixture(scope="module")
def answers() -> dict[str, str]:
    teacher = from_pretrained(SHIPPED / "last")
    return {question: teacher.answer(question).text for question in (ATTENTION, WATER)}


def test_the_public_endpoints_are_those_of_one_language(client: Client) -> None:
    named = client.view_api(return_format="dict", print_info=False)["named_endpoints"]
    assert set(named) == {"/ask", "/tokenize", "/next_token", "/replay_log", "/exam"}
    names = [p["parameter_name"] for p in named["/ask"]["parameters"]]
    assert names[:4] == ["question", "temperature", "top_k", "top_p"]


def test_the_answer_streams_and_ends_as_the_package_answers(
    client: Client, answers: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    show_often(monkeypatch)
    job = client.submit(ATTENTION, api_name="/ask")
    text, status, _ = job.result(timeout=60)
    grown = [output[0] for output in job.outputs()]
    assert text == answers[ATTENTION]
    assert len(set(grown)) >= 2
    assert all(text.startswith(part) for part in grown)
    assert "把握" in status


def test_bad_input_gets_a_sentence_and_the_endpoint_lives_on(
    client: Client, answers: dict[str, str]
) -> None:
    assert client.predict("   ", api_name="/ask") == ("", CHINESE["empty_question"], [])
    _, status, _ = client.predict("长" * 5000, api_name="/ask")
    assert status == CHINESE["too_long"].format(limit=127)
    _, status, _ = client.predict(ATTENTION, -1, api_name="/ask")
    assert CHINESE["temperature"] in status
    for seed in (-5, 2**70):
        _, status, _ = client.predict(ATTENTION, 0, 0, 1, 1, 120, "", seed, api_name="/ask")
        assert CHINESE["seed"] in status
    hostile = "<script>alert(1)</script>${1+1}\x00\u202e🙂"
    assert client.predict(hostile, api_name="/ask")
    assert client.predict(ATTENTION, api_name="/ask")[0] == answers[ATTENTION]


def test_the_replay_endpoint_gives_the_shipped_log(client: Client) -> None:
    log = read_log(SHIPPED / "last" / LOG_FILE)
    film = client.predict(api_name="/replay_log")
    teacher = from_pretrained(SHIPPED / "last")
    assert film == json.loads(json.dumps(replay_data(log, CHINESE, answer_book(teacher))))
    assert film["max"] == log.last_step
    assert film["train"][0][1] == pytest.approx(log.steps[0].loss_nats, abs=1e-3)
    assert film["train"][-1][0] == log.steps[-1].step
    assert len(film["train"]) <= 400


@pytest.fixture(scope="module", params=SIZES)
def page(browser: Browser, url: str, request: pytest.FixtureRequest) -> Iterator[Page]:
    """The page; what a test leaves there is no matter to the next."""
    with opened(browser, url, size=request.param) as page:
        yield page


def test_a_student_asks_and_reads_the_answer(page: Page, answers: dict[str, str]) -> None:
    shown = page.locator("#answer textarea")
    for question in (ATTENTION, WATER, "什么是注意力机制？", "解释蒸馏水与纯水区别？"):
        expected = answers[question.replace("？", "?")]
        expect(shown).not_to_have_value(expected)
        page.locator("#question textarea").fill(question)
        page.get_by_role("button", name="提问", exact=True).click()
        expect(shown).to_have_value(expected, timeout=30_000)
        assert "注意力" in expected or "蒸馏水" in expected


@pytest.mark.parametrize("page", ["phone"], indirect=True)  # a desktop: test_replay_tab.py
def test_the_replay_is_dragged_and_plays(page: Page) -> None:
    log = read_log(SHIPPED / "last" / LOG_FILE)
    page.get_by_role("tab", name="训练回放").click()
    slider = page.locator("#replay-step input[type=range]")
    shown = page.locator("#replay-answers textarea")
    expect(shown).not_to_have_value("", timeout=30_000)
    at_end = shown.input_value()
    slider.press("Home")
    expect(shown).not_to_have_value(at_end)
    assert log.evaluations[0].samples[0].question in shown.input_value()
    page.get_by_role("button", name="播放", exact=True).click()
    page.wait_for_function(
        "Number(document.querySelector('#replay-step input[type=range]').value) > 10"
    )
    page.get_by_role("button", name="暂停", exact=True).click()
    slider.press("End")
    expect(shown).to_have_value(at_end)
