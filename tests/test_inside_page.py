"""The tab 看内部, served for real: used in a browser as a student would, and called by programs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal

import pytest
from gradio_client import Client
from gradio_client.exceptions import AppError
from pages import opened, served
from playwright.sync_api import Browser, Locator, Page, expect

from gpt_teacher import SHIPPED, from_pretrained
from gpt_teacher.config import SamplingConfig
from gpt_teacher.prompt import encode_prompt, normalise
from gpt_teacher.sampler import next_token_probabilities
from gpt_teacher.views.attention_view import attention_value
from gpt_teacher.views.page import build_page
from gpt_teacher.views.text import CHINESE, KNOWN_EXAMPLES
from gpt_teacher.word_chain import Chain, candidates

TEACHER = from_pretrained(SHIPPED / "last")
TOKENIZER = TEACHER.tokenizer
WATER = "解释蒸馏水与纯水区别?"
HOSTILE = "<img src=x onerror='hacked=1'>${hacked=2}{{hacked}}"
on_a_phone = pytest.mark.parametrize("page", ["phone"], indirect=True)
SCREENS: dict[str, Literal["light", "dark"]] = {"desktop": "light", "phone": "dark"}


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with served(build_page(TEACHER, None, "zh")) as url:
        yield url


# ---------------------------------------------------------------- programs


@pytest.fixture(scope="module")
def client(url: str) -> Client:
    return Client(url, verbose=False, analytics_enabled=False)


def test_the_endpoints_name_their_parameters(client: Client) -> None:
    named = client.view_api(return_format="dict", print_info=False)["named_endpoints"]
    parameters = {
        name: [p["parameter_name"] for p in named[name]["parameters"]]
        for name in ("/tokenize", "/next_token")
    }
    assert parameters == {
        "/tokenize": ["question"],
        "/next_token": ["question", "chosen", "temperature", "top_k", "top_p"],
    }


def test_a_program_gets_tokens_and_candidates(client: Client) -> None:
    tokenized = client.predict(WATER, api_name="/tokenize")
    ids = encode_prompt(TOKENIZER, WATER)
    assert tokenized["ids"] == ids
    assert tokenized["prompt"] == f"<bos>用户:{normalise(WATER)}\n助手:"
    counts = {"characters": 17, "bytes": 45, "tokens": 23, "fragments": 12, "unknown": 0}
    assert tokenized["counts"] == counts
    settings = SamplingConfig(temperature=2.0, top_k=5, top_p=0.9)
    chosen = TOKENIZER.encode("蒸")[:2]
    found = client.predict(WATER, chosen, 2.0, 5, 0.9, api_name="/next_token")
    expected = candidates(TEACHER.model, Chain(ids, chosen), settings, 8)
    assert [one["token_id"] for one in found] == [one.token_id for one in expected]
    assert [one["chance"] for one in found] == pytest.approx([one.chance for one in expected])
    assert found[0]["token"] == TOKENIZER.label(expected[0].token_id)


def test_a_program_that_asks_wrongly_gets_a_sentence(client: Client) -> None:
    too_long = CHINESE["too_long"].format(limit=127)
    for wrong, name, sentence in [
        ((" ",), "/tokenize", CHINESE["empty_question"]),
        ((None,), "/tokenize", CHINESE["empty_question"]),
        (("长" * 10**6,), "/tokenize", too_long),
        (("长" * 200,), "/next_token", too_long),
        (("光", [0]), "/next_token", CHINESE["chain_bad_ids"]),
        (("光", "光"), "/next_token", CHINESE["chain_bad_ids"]),
        (("光", [], -1), "/next_token", CHINESE["chain_bad_settings"]),
        (("光", [], "nan"), "/next_token", CHINESE["chain_bad_settings"]),
        (("光", [], 1, 0, 7), "/next_token", CHINESE["chain_bad_settings"]),
    ]:
        with pytest.raises(AppError, match=re.escape(sentence)):
            client.predict(*wrong, api_name=name)
    assert client.predict(HOSTILE, api_name="/tokenize")["prompt"].count("<img") == 1
    assert len(client.predict("光", api_name="/next_token")) == 8


# ---------------------------------------------------------------- students


@pytest.fixture(params=SCREENS)
def page(browser: Browser, url: str, request: pytest.FixtureRequest) -> Iterator[Page]:
    """The tab, opened on a desktop in light, on a phone in dark."""
    with opened(browser, url, "/?tab=inside", request.param, SCREENS[request.param]) as page:
        expect(box(page)).to_have_value(KNOWN_EXAMPLES[0])
        yield page


def box(page: Page) -> Locator:
    return page.locator("#inside-question textarea")


def open_view(page: Page, title: str) -> None:
    page.get_by_role("button", name=CHINESE[title]).click()


def look(page: Page, question: str) -> None:
    box(page).fill(question)
    page.get_by_role("button", name="查看", exact=True).click()


def test_the_question_is_cut_into_tokens_and_fragments(page: Page) -> None:
    tokens, prompt = page.locator("#inside-tokens"), page.locator("#inside-prompt textarea")
    expect(tokens).to_contain_text("用户")
    expect(prompt).to_have_value(f"<bos>用户:{normalise(KNOWN_EXAMPLES[0])}\n助手:")
    look(page, WATER)
    expect(prompt).to_have_value(f"<bos>用户:{normalise(WATER)}\n助手:")
    shown = "".join(tokens.inner_text().split())
    for token_id in TOKENIZER.encode("释蒸"):
        label = "".join(TOKENIZER.label(token_id).split())
        assert f"{label}{token_id}" in shown
    assert "⟨E8⟩168" in shown
    assert "\ufffd" not in page.locator("body").inner_text()
    expect(page.locator("#inside-counts textarea")).to_have_value(
        CHINESE["tokens_counts"].format(characters=17, bytes=45, tokens=23, fragments=12)
    )


@on_a_phone
def test_a_question_that_the_model_is_unsure_of_gives_a_real_choice(page: Page) -> None:
    page.get_by_role("button", name=CHINESE["inside_unsure"]).click()
    expect(page.locator("#inside-prompt textarea")).not_to_have_value(
        f"<bos>用户:{normalise(KNOWN_EXAMPLES[0])}\n助手:"
    )
    ids = encode_prompt(TOKENIZER, box(page).input_value())
    assert next_token_probabilities(TEACHER.model, ids).max() < 0.5


@on_a_phone
def test_a_bad_question_gets_a_sentence_and_changes_nothing(page: Page) -> None:
    notice, prompt = (
        page.locator("#inside-notice textarea"),
        page.locator("#inside-prompt textarea"),
    )
    before = prompt.input_value()
    expect(notice).to_have_count(0)
    look(page, "  ")
    expect(notice).to_have_value(CHINESE["empty_question"])
    look(page, "魑魅" * 30)
    expect(notice).to_have_value(CHINESE["too_long"].format(limit=127))
    assert prompt.input_value() == before
    look(page, WATER)
    expect(notice).to_have_count(0)
    expect(prompt).not_to_have_value(before)


@on_a_phone
def test_nothing_is_sent_while_one_types(page: Page) -> None:
    """Each letter of a pinyin input would be a question otherwise."""
    sent: list[str] = []
    page.on("request", lambda r: sent.append(r.url) if r.method == "POST" else None)
    box(page).press("End")
    box(page).press_sequentially("ni hao ")
    page.locator("h1").click()
    assert sent == []
    box(page).press("Enter")
    expect(page.locator("#inside-prompt textarea")).to_have_value(re.compile("ni hao"))
    assert sent != []


@on_a_phone
def test_markup_in_a_question_stays_text(page: Page) -> None:
    for title in ("chain_title", "attention_title"):
        open_view(page, title)
    look(page, HOSTILE)
    expect(page.locator("#inside-prompt textarea")).to_have_value(re.compile(re.escape("${hacked")))
    expect(page.locator("#attention-map .row", has_text="$")).to_be_visible()
    assert page.evaluate("typeof hacked") == "undefined"
    assert page.locator("img[src=x]").count() == 0


def bars(page: Page) -> Locator:
    return page.locator("#next-token-bars button")


def chosen(page: Page) -> Locator:
    return page.locator("#inside-chain textarea")


def test_a_chain_is_clicked_taken_back_and_completed(page: Page) -> None:
    open_view(page, "chain_title")
    expect(bars(page)).to_have_count(8)
    look(page, WATER)
    status = page.locator("#inside-chain-status textarea")
    n_prompt = len(encode_prompt(TOKENIZER, WATER))
    expect(status).to_have_value(CHINESE["chain_length"].format(chosen=0, total=n_prompt))
    answer = TEACHER.answer(WATER).text
    first = TOKENIZER.encode(answer)[0]
    start = Chain(encode_prompt(TOKENIZER, WATER), [])
    best, second = candidates(TEACHER.model, start, SamplingConfig(), 2)
    assert best.token_id == first
    bars(page).nth(1).click()
    expect(chosen(page)).to_have_value(TOKENIZER.label(second.token_id))
    page.get_by_role("button", name="撤销", exact=True).click()
    expect(chosen(page)).to_have_value("")
    page.locator(f"#next-token-bars button[data-id='{first}']").click()
    expect(chosen(page)).to_have_value(TOKENIZER.label(first))
    page.locator("#inside-temperature input[type=range]").press("Home")
    expect(bars(page).nth(1)).to_contain_text(CHINESE["bars_never"])
    page.get_by_role("button", name="自动接下去", exact=True).click()
    expect(chosen(page)).to_have_value(answer + CHINESE["chain_end"], timeout=30_000)
    expect(bars(page)).to_have_count(0)
    expect(status).to_have_value(re.compile(CHINESE["chain_ended"]))
    page.get_by_role("button", name="撤销", exact=True).click()
    expect(chosen(page)).to_have_value(answer)
    expect(bars(page).first).to_contain_text(CHINESE["bars_end"])
    page.get_by_role("button", name="重新开始", exact=True).click()
    expect(chosen(page)).to_have_value("")
    expect(bars(page)).to_have_count(8)


@on_a_phone
def test_starting_again_stops_the_automatic_steps(page: Page) -> None:
    """The chain came back when the last of the steps arrived after the click."""
    open_view(page, "chain_title")
    page.locator("#inside-temperature input[type=range]").press("End")
    status = page.locator("#inside-chain-status textarea")
    n_prompt = len(encode_prompt(TOKENIZER, KNOWN_EXAMPLES[0]))
    for _ in range(3):
        page.get_by_role("button", name="自动接下去", exact=True).click()
        expect(chosen(page)).not_to_have_value("")
        page.get_by_role("button", name="重新开始", exact=True).click()
        expect(chosen(page)).to_have_value("")
        page.get_by_role("button", name="撤销", exact=True).click()
        page.wait_for_timeout(300)
        expect(status).to_have_value(CHINESE["chain_length"].format(chosen=0, total=n_prompt))
        expect(bars(page)).to_have_count(8)


@on_a_phone
def test_temperature_and_top_k_reshape_the_bars(page: Page) -> None:
    open_view(page, "chain_title")
    start = Chain(encode_prompt(TOKENIZER, KNOWN_EXAMPLES[0]), [])

    def expect_drawn(settings: SamplingConfig) -> None:
        expected = candidates(TEACHER.model, start, settings, 8)
        numbers = [f"{one.chance:.1%}" if one.chance else CHINESE["bars_never"] for one in expected]
        expect(page.locator("#next-token-bars .numbers")).to_contain_text(numbers)
        for kind, shares in (
            ("chance", [one.chance for one in expected]),
            ("model", [one.probability for one in expected]),
        ):
            drawn = page.locator(f"#next-token-bars .{kind}").evaluate_all(
                "nodes => nodes.map(node => parseFloat(node.style.width) / 100)"
            )
            assert drawn == pytest.approx(shares, abs=1e-4)

    expect_drawn(SamplingConfig(temperature=1.0))
    page.locator("#inside-temperature input[type=range]").press("End")
    expect_drawn(SamplingConfig(temperature=2.0))
    page.locator("#inside-top-k input[type=range]").fill("2")
    expect_drawn(SamplingConfig(temperature=2.0, top_k=2))
    expect(page.locator("#next-token-bars .cut")).to_have_count(6)


def test_a_number_half_typed_gets_a_sentence_until_it_is_one(page: Page) -> None:
    """On its way to 0.5 top-p is nothing, then 0: each gave an English error of Gradio."""
    open_view(page, "chain_title")
    status = page.locator("#inside-chain-status textarea")
    good = status.input_value()
    expect(bars(page)).to_have_count(8)
    first = page.locator("#inside-temperature input[type=number]")
    for _ in range(10):  # a page that is still being mounted misses a change
        first.fill("")
        page.wait_for_timeout(1_000)
        if status.input_value() != good:
            break
        first.fill("1")
    for name in ("temperature", "top-k", "top-p"):
        number = page.locator(f"#inside-{name} input[type=number]")
        number.fill("")
        expect(status).to_have_value(CHINESE["chain_bad_settings"])
        number.fill("1")
        expect(status).to_have_value(good)
    number.fill("")
    number.press_sequentially("0.5", delay=300)
    start = Chain(encode_prompt(TOKENIZER, KNOWN_EXAMPLES[0]), [])
    settings = SamplingConfig(temperature=1.0, top_k=1, top_p=0.5)
    best = candidates(TEACHER.model, start, settings, 1)[0]
    expect(bars(page).first).to_contain_text(f"{best.chance:.1%}")
    expect(status).to_have_value(good)
    assert page.get_by_test_id("toast-body").count() == 0


def test_the_heat_map_shows_the_weights_of_the_layer_and_head(page: Page) -> None:
    open_view(page, "attention_title")
    ids = encode_prompt(TOKENIZER, KNOWN_EXAMPLES[0])
    rows, cells = page.locator("#attention-map .row"), page.locator("#attention-map .cell")
    detail = page.locator("#attention-map .detail")
    expect(rows).to_have_text([TOKENIZER.label(i) for i in ids], use_inner_text=True)
    page.locator("#attention-layer").get_by_label("3", exact=True).check()
    page.locator("#attention-head").get_by_label("2", exact=True).check()
    expected = attention_value(TEACHER, CHINESE, ids, 3, 2)
    expect(detail).to_have_text(expected["details"][-1])
    assert cells.count() == len(ids) ** 2
    shades = cells.evaluate_all(
        "nodes => nodes.map(node => node.style.getPropertyValue('--shade'))"
    )
    for t, row in enumerate(expected["weights"]):
        drawn = shades[t * len(ids) : (t + 1) * len(ids)]
        squares = [(float(shade.rstrip("%")) / 100) ** 2 for shade in drawn[: t + 1]]
        assert squares == pytest.approx(row, abs=1e-6)
        assert not any(drawn[t + 1 :]), "what comes later is empty"
    rows.nth(4).click()
    expect(detail).to_have_text(expected["details"][4])
    page.locator("#attention-map .map").press("ArrowUp")
    expect(detail).to_have_text(expected["details"][3])


@on_a_phone
def test_of_a_long_question_the_last_32_tokens_are_drawn(page: Page) -> None:
    open_view(page, "attention_title")
    question = "解释蒸馏水与纯水区别" * 3
    look(page, question)
    n_left_out = len(encode_prompt(TOKENIZER, question)) - 32
    expect(page.locator("#attention-map .caption")).to_have_text(
        CHINESE["map_left_out"].format(shown=32, left_out=n_left_out)
    )
    expect(page.locator("#attention-map .row")).to_have_count(32)


def test_the_calculator_follows_each_change(page: Page) -> None:
    open_view(page, "size_title")
    table = page.locator("#size-table")
    expect(table).to_contain_text("3,368,192")
    layers = page.locator("#size-n-layer input")
    layers.fill("8")
    expect(table).to_contain_text("6,525,184")  # 210,944 + 8 · 789,248 + 256
    layers.fill("")
    expect(table).to_contain_text("请填整数")
    page.get_by_role("button", name="像 GPT-2", exact=True).click()
    expect(table).to_contain_text("124,420,608")
    expect(table).to_contain_text("T·d")
    page.get_by_role("button", name="本模型", exact=True).click()
    expect(table).to_contain_text("3,368,192")
    expect(table).not_to_contain_text("T·d")


def test_half_a_layer_is_refused_and_not_rounded(page: Page) -> None:
    """2.5 layers showed the table of 2: Gradio rounded them before they were checked."""
    open_view(page, "size_title")
    layers, table = page.locator("#size-n-layer input"), page.locator("#size-table")
    layers.fill("2.5")
    expect(table).to_contain_text(CHINESE["size_bad"].split("：")[0])
    layers.fill("2")
    expect(table).to_contain_text("2 × (12 × 256² + 11 × 256)")
