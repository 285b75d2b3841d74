"""The tab 提问 with both models: by gradio_client, and in a browser as a student."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from typing import Any

import pytest
from gradio_client import Client
from pages import opened, served, show_often
from playwright.sync_api import Browser, Page, expect

import gpt_teacher.batched_answers
from gpt_teacher import SHIPPED, Pretrained, from_pretrained
from gpt_teacher.batched_answers import Asked
from gpt_teacher.config import SamplingConfig
from gpt_teacher.text_files import read_rows
from gpt_teacher.views.coloured import band_names
from gpt_teacher.views.examples import example_questions
from gpt_teacher.views.page import build_page
from gpt_teacher.views.text import CHINESE

ATTENTION = "什么是注意力机制?"
SLOW_SEED = 777  # with it each token takes SLOW_SECONDS: time enough to press stop
SLOW_SECONDS = 0.15
BABBLE = (2.0, 0, 1.0, 1.0, 100, "", SLOW_SEED, False)  # a long answer
given_up: list[bool] = []  # for each slow answer: was it given up before its end?


class SlowAsked(Asked):
    """A question that is answered as ever, but slowly if the seed says so."""

    def take(self, *token: Any) -> None:
        if self.settings.seed == SLOW_SEED:
            time.sleep(SLOW_SECONDS)
        super().take(*token)

    def give_up(self) -> None:
        if self.settings.seed == SLOW_SEED:
            given_up.append(not self.ended.is_set())
        super().give_up()


@pytest.fixture(scope="module")
def teacher() -> Pretrained:
    return from_pretrained(SHIPPED / "last")


@pytest.fixture(scope="module")
def quantized() -> Pretrained:
    return from_pretrained(SHIPPED / "quantized")


@pytest.fixture(scope="module")
def url(teacher: Pretrained, quantized: Pretrained) -> Iterator[str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gpt_teacher.batched_answers, "Asked", SlowAsked)
        with served(build_page(teacher, None, "zh", quantized)) as url:
            yield url


@pytest.fixture(scope="module")
def client(url: str) -> Client:
    return Client(url, verbose=False, analytics_enabled=False)


def wait_until_given_up(n: int) -> None:
    for _ in range(100):
        if len(given_up) >= n:
            return
        time.sleep(0.1)
    pytest.fail(f"{len(given_up)} of {n} answers ended within ten seconds")


def test_the_endpoint_keeps_its_parameters_and_says_what_it_returns(client: Client) -> None:
    endpoint = client.view_api(return_format="dict", print_info=False)["named_endpoints"]["/ask"]
    assert [p["parameter_name"] for p in endpoint["parameters"]] == [
        "question",
        "temperature",
        "top_k",
        "top_p",
        "repetition_penalty",
        "max_new_tokens",
        "stop",
        "seed",
        "refusal",
    ]
    assert all(p["parameter_has_default"] for p in endpoint["parameters"][1:])
    assert "nearest taught question" in " ".join(endpoint["description"].split())
    labels = [r["label"] for r in endpoint["returns"]]
    sizes = [
        f"{(SHIPPED / n / 'model.safetensors').stat().st_size / 1e6:.1f} MB"
        for n in ("last", "quantized")
    ]
    assert [sizes[0] in labels[0], sizes[1] in labels[3]] == [True, True]
    assert labels[1:3] == labels[4:] == [CHINESE["status"], CHINESE["tokens_chosen"]]


def test_both_models_stream_and_end_as_the_package_answers(
    client: Client,
    teacher: Pretrained,
    quantized: Pretrained,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    show_often(monkeypatch)
    job = client.submit(ATTENTION, api_name="/ask")
    text, status, tokens, twin_text, twin_status, twin_tokens = job.result(timeout=60)
    expected = teacher.answer(ATTENTION), quantized.answer(ATTENTION)
    assert (text, twin_text) == expected
    grown = [output[0] for output in job.outputs()]
    assert len(set(grown)) >= 2
    assert all(text.startswith(part) for part in grown)
    names = band_names(CHINESE, teacher.config.sampling.refuse_below or 0)
    for marked, answer_text in ((tokens, text), (twin_tokens, twin_text)):
        assert "".join(piece["token"] for piece in marked) == answer_text + "<eos>"
        assert {piece["class_or_confidence"] for piece in marked} <= set(names)
    for line, one in ((status, expected[0]), (twin_status, expected[1])):
        assert f"{one.mean_probability:.1%}" in line
        assert re.search(rf"{one.n_tokens} 个词元，用时 \d+ 毫秒，每秒 [\d,]+ 个词元", line)
    nearest = CHINESE["nearest"].format(question=ATTENTION, similarity=1)
    assert nearest in status
    assert nearest not in twin_status
    again = client.predict(ATTENTION, api_name="/ask")
    assert (again[0], again[3]) == expected
    assert "刚才有人问过" in again[1]


def test_a_cancelled_answer_stops_and_the_next_one_is_given(
    client: Client, teacher: Pretrained
) -> None:
    given_up.clear()
    job = client.submit(ATTENTION, *BABBLE, api_name="/ask")
    for _ in range(100):
        if len(job.outputs()) >= 3:
            break
        time.sleep(0.1)
    assert job.outputs()
    job.cancel()
    wait_until_given_up(2)
    assert given_up == [True, True]
    assert client.predict(ATTENTION, api_name="/ask")[0] == teacher.answer(ATTENTION)


@pytest.mark.parametrize(
    ("place", "value", "key"), [(6, -5, "seed"), (6, 2**40, "seed"), (6, None, "seed")]
)
def test_a_bad_setting_gets_a_sentence(client: Client, place: int, value: Any, key: str) -> None:
    settings: list[Any] = [0, 0, 1, 1, 60, "", 42]
    settings[place] = value
    text, status, *_ = client.predict(ATTENTION, *settings, api_name="/ask")
    assert text == ""
    assert status.startswith(f"“{CHINESE[key]}”的值不对")
    assert "\n" not in status


@pytest.mark.parametrize(
    "question",
    [
        "<script>document.title='owned'</script>${document.title='owned'}",
        "\x00\u202e🙂\ufeff\x1b[31m",
        "长" * 300_000,
    ],
    ids=["script", "control", "long"],
)
def test_a_hostile_question_gets_an_answer_or_a_sentence(client: Client, question: str) -> None:
    result = client.predict(question, 0, 0, 1, 1, 20, api_name="/ask")
    assert len(result) == 6
    assert result[1]


def ask(page: Page, question: str) -> None:
    page.locator("#question textarea").fill(question)
    page.locator("#ask").click()


@pytest.mark.parametrize(("size", "scheme"), [("desktop", "dark"), ("phone", "light")])
def test_a_student_compares_the_two_models(
    browser: Browser,
    url: str,
    teacher: Pretrained,
    quantized: Pretrained,
    size: Any,
    scheme: Any,
) -> None:
    with opened(browser, url, "/?tab=ask", size, scheme) as page:
        ask(page, ATTENTION)
        expect(page.locator("#answer textarea")).to_have_value(teacher.answer(ATTENTION))
        expect(page.locator("#quantized-answer textarea")).to_have_value(
            quantized.answer(ATTENTION)
        )
        expect(page.locator("#tokens .token").first).to_be_visible()
        left, right = (
            page.locator(f"#{name}").bounding_box() for name in ("answer", "quantized-answer")
        )
        assert left is not None
        assert right is not None
        assert (left["y"] < right["y"]) == (size == "phone")  # side by side, or one below the other
        if scheme == "dark":
            colour = "getComputedStyle(document.querySelector('#tokens .token .text')).color"
            assert page.evaluate(colour) == "rgb(255, 255, 255)"


def test_stop_ends_the_answer_where_it_is(browser: Browser, url: str) -> None:
    given_up.clear()
    with opened(browser, url, "/?tab=ask&t=2&seed=777") as page:
        page.locator("#refusal input").uncheck()
        ask(page, "人工智能是怎样学习的")
        shown = page.locator("#answer textarea")
        expect(shown).not_to_have_value("", timeout=15_000)
        page.locator("#stop").click()
        wait_until_given_up(2)
        stopped_at = shown.input_value()
        page.wait_for_timeout(500)
        assert shown.input_value() == stopped_at
    assert given_up == [True, True]


def an_unsure_question(teacher: Pretrained) -> tuple[str, str]:
    """A question that is withheld, and what it would have been answered."""
    held_out = teacher.data_file("unknown_val")
    assert held_out is not None
    for row in read_rows(held_out):
        if teacher.answer(row.prompt).finish_reason == "unsure":
            return row.prompt, teacher.answer(row.prompt, SamplingConfig(refusal=False))
    pytest.fail("the shipped model withholds no answer")


def test_the_switch_shows_what_a_refusal_hides(
    browser: Browser, url: str, teacher: Pretrained
) -> None:
    question, made_up = an_unsure_question(teacher)
    with opened(browser, url, "/?tab=ask") as page:
        ask(page, question)
        expect(page.locator("#answer textarea")).to_have_value(re.compile("^不知道"))
        expect(page.locator("#status textarea")).to_have_value(
            re.compile("拒答：最没把握处低于门槛")
        )
        page.locator("#refusal input").uncheck()
        page.locator("#ask").click()
        expect(page.locator("#answer textarea")).to_have_value(made_up)


def test_an_example_fills_the_box_and_a_link_brings_it_back(
    browser: Browser, url: str, teacher: Pretrained
) -> None:
    example = example_questions(teacher).unknown[1]
    with opened(browser, url, "/?tab=ask&t=0.8&seed=12") as page:
        page.get_by_role("button", name=example, exact=True).click()
        expect(page.locator("#question textarea")).to_have_value(example)
        page.locator("#share").click()
        link = page.locator("#link textarea, #link input").first
        expect(link).to_have_value(re.compile(r"tab=ask&q=.+&t=0\.8&seed=12$"))
        page.goto(link.input_value())
        expect(page.locator("#question textarea")).to_have_value(example)
        expect(page.locator("#temperature input[type=number]")).to_have_value("0.8")
        expect(page.locator("#seed input")).to_have_value("12")
    with opened(browser, url, "/?tab=nowhere&q=&t=nan&seed=-1") as page:
        expect(page.locator("#question textarea")).to_have_value("")
        page.get_by_role("button", name=CHINESE["settings"]).click()
        expect(page.locator("#temperature input[type=number]")).to_have_value("0")
        expect(page.locator("#seed input")).to_have_value("42")


def test_a_link_goes_when_what_it_leads_to_changes_and_has_the_seed_that_is_used(
    browser: Browser, url: str
) -> None:
    """It stayed, and led to the question before; a seed of 1.5 was 2 for the answer alone."""
    link = "#link textarea, #link input"
    with opened(browser, url, "/?tab=ask&t=0.8&seed=12") as page:
        expect(page.locator("#seed input")).to_have_value("12")
        for box, value, ending in (
            ("#question textarea", "甲", "&t=0.8&seed=12"),
            ("#temperature input[type=number]", "0.5", "&t=0.5&seed=12"),
            ("#seed input", "1.5", "&t=0.5&seed=2"),
            ("#seed input", "2.5", "&t=0.5&seed=2"),
            ("#seed input", "2.6", "&t=0.5&seed=3"),
            ("#seed input", "", "&t=0.5"),
        ):
            page.locator(box).fill(value)
            page.locator(box).press("Tab")
            expect(page.locator(link)).to_have_count(0)
            page.locator("#share").click()
            expect(page.locator(link).first).to_have_value(re.compile(f"{ending}$"))
