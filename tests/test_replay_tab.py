"""The tab 训练回放 as a class uses it: play, drag, jump, and a log of one's own."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from pages import opened, served
from playwright.sync_api import Browser, Locator, Page, expect

from gpt_teacher import SHIPPED, from_pretrained
from gpt_teacher.run_log import LOG_FILE, TrainingLog, read_log
from gpt_teacher.views.page import build_page
from gpt_teacher.views.replay_data import Film, replay_data
from gpt_teacher.views.right_answers import answer_book
from gpt_teacher.views.text import CHINESE

LOG = SHIPPED / "last" / LOG_FILE
N_STEPS: int = json.loads((SHIPPED / "last" / "metrics.json").read_text(encoding="utf-8"))["steps"]
STEP = "#replay-step input[type=range]"


@pytest.fixture(scope="module")
def log() -> TrainingLog:
    return read_log(LOG)


@pytest.fixture(scope="module")
def film(log: TrainingLog) -> Film:
    return replay_data(log, CHINESE, answer_book(from_pretrained(SHIPPED / "last")))


@pytest.fixture(scope="module")
def url(log: TrainingLog, uploads: Path) -> Iterator[str]:
    with served(build_page(from_pretrained(SHIPPED / "last"), log, "zh")) as url:
        yield url


def box(page: Page, name: str) -> Locator:
    return page.locator(f"#replay-{name} textarea, #replay-{name} input").first


def wait_for_film(page: Page) -> None:
    expect(box(page, "answers")).not_to_have_value("", timeout=30_000)


def curves(page: Page) -> list[str]:
    """What is written in the chart, the legend among it."""
    return page.locator("#replay-chart svg text").all_text_contents()


@pytest.fixture(scope="module")
def page(browser: Browser, url: str) -> Iterator[Page]:
    """The tab on a desktop; what a test leaves there is no matter to the next."""
    with opened(browser, url, "/?tab=replay") as page:
        wait_for_film(page)
        yield page


def check_moments(page: Page, film: Film, log: TrainingLog) -> None:
    slider = page.locator(STEP)
    slider.press("Home")
    expect(box(page, "phase")).to_have_value(film["frames"][0]["caption"])
    expect(box(page, "train-loss")).to_have_value("–")  # before the first update
    expect(box(page, "val-loss")).to_have_value(f"{film['val'][0][1]:.3f}")
    slider.press("End")
    last, frame = log.steps[-1], film["frames"][-1]
    expect(box(page, "train-loss")).to_have_value(f"{last.loss_nats:.3f}")
    expect(box(page, "elapsed")).to_have_value(f"{last.elapsed_seconds:.1f}")
    expect(box(page, "speed")).to_have_value(f"{last.tokens_per_second:,.0f}")
    expect(box(page, "phase")).to_have_value(frame["caption"])
    expect(box(page, "answers")).to_have_value(frame["answers"])
    token, _ = frame["tokens"][film["favourite"]][0]
    expect(page.locator("#replay-first-tokens")).to_contain_text(token)


def test_a_moment_shows_the_figures_of_the_log(page: Page, film: Film, log: TrainingLog) -> None:
    check_moments(page, film, log)


def test_a_moment_shows_them_on_a_phone_in_the_dark_too(
    browser: Browser, url: str, film: Film, log: TrainingLog
) -> None:
    with opened(browser, url, "/?tab=replay", "phone", "dark") as page:
        wait_for_film(page)
        check_moments(page, film, log)


def test_the_film_that_the_scripts_read_is_not_drawn(page: Page) -> None:
    """Found here: gr.JSON drew it, hidden, as 79,000 elements; each visit took seconds longer."""
    assert page.locator("*").count() < 5_000


def test_playing_moves_the_film_without_a_request_until_it_is_paused(
    page: Page, film: Film
) -> None:
    slider = page.locator(STEP)
    slider.press("End")
    page.get_by_label("4×").check()
    page.wait_for_timeout(300)
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.locator("#play").click()  # at the end: from the beginning
    value = f"Number(document.querySelector('{STEP}').value)"
    page.wait_for_function(f"{value} > 100 && {value} < 1000")
    page.locator("#pause").click()
    page.wait_for_timeout(300)
    stopped_at = slider.input_value()
    page.wait_for_timeout(500)
    assert slider.input_value() == stopped_at
    slider.press("End")
    for _ in range(3):
        slider.press("ArrowLeft")
    page.locator("#play").click()  # goes on from there, and stops at the end
    page.wait_for_function(f"{value} === {film['max']}")
    slider.press("Home")
    page.wait_for_timeout(500)
    assert slider.input_value() == "0"
    assert [request for request in requests if not request.startswith("data:")] == []


def test_jumping_leads_to_the_first_right_answer_of_the_chosen_question(
    page: Page, film: Film
) -> None:
    page.locator(STEP).press("End")
    at = film["max"]
    favourite_last = sorted(range(len(film["questions"])), key=lambda i: i == film["favourite"])
    for number in favourite_last[-3:]:
        first = film["first_right"][number]
        page.get_by_label(film["questions"][number], exact=True).check()
        expect(box(page, "story")).to_have_value(film["stories"][number])
        page.locator("#jump").click()
        at = at if first is None else first  # where there is none, the film stays
        expect(page.locator(STEP)).to_have_value(str(at))
    expect(box(page, "answers")).to_have_value(re.compile(re.escape(CHINESE["answered_right"])))


@pytest.fixture
def other_log(tmp_path: Path) -> Path:
    """Another run, of which nobody has the data: 200 steps, hostile texts."""
    hostile = "<img src=x onerror=\"document.title='owned'\">${document.title='owned'}"
    events: list[dict[str, object]] = [{"event": "start", "vocab_size": 824}]
    for i in (0, 100, 200):
        sample = {"question": hostile, "answer": hostile, "first_tokens": [[hostile, 0.5]]}
        events.append(
            {"event": "eval", "step": i, "val_loss_nats": 3 - i / 100, "samples": [sample]}
        )
    for i in range(1, 201):
        numbers = {"loss_nats": 3.5, "learning_rate": 0.01, "grad_norm": 1}
        more = {"tokens_per_second": 1234, "elapsed_seconds": i}
        events.append({"event": "step", "step": i, **numbers, **more})
    path = tmp_path / "train_log.jsonl"
    path.write_text("\n".join(map(json.dumps, events)), encoding="utf-8")
    return path


def test_ones_own_log_is_laid_over_this_one_and_nothing_of_it_is_kept(
    browser: Browser, url: str, other_log: Path, tmp_path: Path, uploads: Path
) -> None:
    before = set(uploads.rglob("*"))
    with opened(browser, url, "/?tab=replay") as page:
        wait_for_film(page)
        page.locator("#own-log button").first.click()
        page.locator("#upload-log").wait_for()
        chooser = page.locator("input[type=file]")
        chooser.set_input_files(other_log)
        expect(box(page, "log-note")).to_have_value(CHINESE["log_read"].format(steps=200))
        expect(box(page, "train-loss")).to_have_value("3.500")
        expect(box(page, "speed")).to_have_value("1,234")
        expect(box(page, "answers")).to_have_value(re.compile("onerror"))
        expect(page.locator("#replay-chart")).to_contain_text("验证（你的）")
        assert {"训练", "验证", "训练（你的）", "验证（你的）"} <= set(curves(page))
        expect(page.locator(STEP)).to_have_attribute("max", str(N_STEPS))
        page.locator("#replay-overlay input").uncheck()
        expect(page.locator(STEP)).to_have_attribute("max", "200")
        expect(page.locator("#replay-chart")).not_to_contain_text(f"{N_STEPS:,}")
        expect(page.locator("#replay-chart")).to_contain_text("验证（你的）")
        assert "训练" not in curves(page)
        page.get_by_label(CHINESE["this_run"], exact=True).check()
        expect(page.locator(STEP)).to_have_attribute("max", str(N_STEPS))
        expect(box(page, "answers")).not_to_have_value(re.compile("onerror"))
        broken = tmp_path / "broken.jsonl"
        broken.write_text("not a log\nat all\n", encoding="utf-8")
        chooser.set_input_files(broken)
        expect(box(page, "log-note")).to_have_value(
            re.compile(re.escape(CHINESE["log_unreadable"].split("（")[0]))
        )
        assert page.title() == CHINESE["title"]
    kept = [path for path in uploads.rglob("*") if path not in before and path.is_file()]
    assert kept == []


def test_the_question_that_is_looked_at_stays_when_another_run_is_shown(
    browser: Browser, url: str, film: Film, other_log: Path
) -> None:
    """Each look at the other run, or at both, went back to the first question."""
    number = next(i for i in range(len(film["questions"])) if i != film["favourite"])
    question = film["questions"][number]
    events = [json.loads(line) for line in other_log.read_text(encoding="utf-8").splitlines()]
    for event in events:
        if event["event"] == "eval":
            for asked in (question, "x" * 400 + "a", "x" * 400 + "b"):  # shown as one text
                event["samples"].append({"question": asked, "answer": "密", "first_tokens": []})
    other_log.write_text("\n".join(map(json.dumps, events)), encoding="utf-8")
    with opened(browser, url, "/?tab=replay") as page:
        wait_for_film(page)
        slider, chosen = page.locator(STEP), page.get_by_label(question, exact=True)
        chosen.check()
        expect(box(page, "story")).to_have_value(film["stories"][number])
        page.locator("#own-log button").first.click()
        page.locator("#upload-log").wait_for()
        page.locator("input[type=file]").set_input_files(other_log)
        expect(box(page, "answers")).to_have_value(re.compile("onerror"))
        expect(page.locator("#replay-question label")).to_have_count(4)
        expect(chosen).to_be_checked()
        page.locator("#replay-overlay input").uncheck()
        expect(slider).to_have_attribute("max", "200")
        expect(chosen).to_be_checked()
        page.get_by_label(CHINESE["this_run"], exact=True).check()
        expect(slider).to_have_attribute("max", str(N_STEPS))
        expect(chosen).to_be_checked()
        expect(box(page, "story")).to_have_value(film["stories"][number])


@pytest.mark.parametrize("kept", ["steps", "evaluations"])
def test_the_tab_is_built_for_a_log_of_steps_or_of_evaluations_alone(
    log: TrainingLog, kept: str
) -> None:
    part = {"steps": log.steps, "evaluations": log.evaluations} | {
        "evaluations" if kept == "steps" else "steps": []
    }
    part_of_log = TrainingLog(log.start, **part, end={})  # type: ignore[arg-type]
    build_page(from_pretrained(SHIPPED / "last"), part_of_log, "zh")


def test_without_a_log_the_tab_says_so(browser: Browser) -> None:
    page_without = build_page(from_pretrained(SHIPPED / "last"), None, "zh")
    with served(page_without) as url, opened(browser, url, "/?tab=replay") as page:
        expect(page.get_by_text(CHINESE["no_log"])).to_be_visible()
