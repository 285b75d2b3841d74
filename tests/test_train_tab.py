"""The tab 动手训练, served for real: as a student uses it, and as somebody who means harm does."""

from __future__ import annotations

import json
import re
import shutil
import threading
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from conftest import Commands
from page_jobs import PAIRS, UNTIMED, WRITTEN, end_of, quick_config, state_of, stub, wait_for
from pages import opened, served
from playwright.sync_api import Browser, Page, expect

from gpt_teacher import SHIPPED, Pretrained, from_pretrained
from gpt_teacher.config import Config
from gpt_teacher.training_jobs import Limits, TrainingJobs
from gpt_teacher.views.page import build_page
from gpt_teacher.views.text import CHINESE, EXAMPLE_PAIRS, Text

# ---------------------------------------------------------------- pages and callers


@pytest.fixture(scope="module")
def teacher() -> Pretrained:
    return from_pretrained(SHIPPED / "last")


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    return quick_config(tmp_path_factory.mktemp("quick"))


@contextmanager
def serve(teacher: Pretrained, jobs: TrainingJobs | None) -> Iterator[str]:
    with served(build_page(teacher, None, "zh", jobs=jobs)) as url:
        yield url
    if jobs is not None:
        jobs.close()


@pytest.fixture(scope="module")
def jobs(config: Config, tmp_path_factory: pytest.TempPathFactory) -> TrainingJobs:
    """Real trainings of a tiny model."""
    return TrainingJobs(config, tmp_path_factory.mktemp("real") / "page", UNTIMED)


@pytest.fixture(scope="module")
def url(teacher: Pretrained, jobs: TrainingJobs) -> Iterator[str]:
    with serve(teacher, jobs) as url:
        yield url


@pytest.fixture(scope="module")
def waiting_page(
    teacher: Pretrained, config: Config, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, TrainingJobs]]:
    """A page whose trainings go on until they are stopped."""
    jobs = TrainingJobs(config, tmp_path_factory.mktemp("waiting") / "page", worker=stub())
    with serve(teacher, jobs) as url:
        yield url, jobs


@pytest.fixture
def waiting_url(waiting_page: tuple[str, TrainingJobs]) -> str:
    return waiting_page[0]


@pytest.fixture
def waiting_jobs(waiting_page: tuple[str, TrainingJobs]) -> Iterator[TrainingJobs]:
    """The trainings of that page: none at first, and none is left behind."""
    jobs = waiting_page[1]
    yield jobs
    runs = [file.parent.name for file in jobs.folder.glob("*/run.json")]
    for run_id in reversed(runs):
        jobs.stop(run_id)
    for run_id in runs:
        end_of(jobs, run_id)
    shutil.rmtree(jobs.folder, ignore_errors=True)


def call(url: str, name: str, *data: Any) -> list[Any]:
    """Call an endpoint as a program does, private ones included; fails if it does."""
    body = json.dumps({"data": data}).encode()
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(f"{url}/gradio_api/call/{name}", body, headers)
    event = json.loads(urllib.request.urlopen(request, timeout=60).read())["event_id"]
    stream = urllib.request.urlopen(f"{url}/gradio_api/call/{name}/{event}", timeout=60)
    *_, last, result = [line for line in stream.read().decode().splitlines() if line]
    assert last == "event: complete", result
    return list(json.loads(result.removeprefix("data: ")))


Visit = Callable[..., Page]


@pytest.fixture
def visit(browser: Browser) -> Iterator[Visit]:
    """Opens pages, each for somebody else; fails on errors, other hosts, and scripts."""
    with ExitStack() as stack:
        pages: list[Page] = []

        def visit(url: str, *how: Any) -> Page:
            pages.append(stack.enter_context(opened(browser, url, "/?tab=train", *how)))
            return pages[-1]

        yield visit
        assert [page.evaluate("typeof hacked") for page in pages] == ["undefined"] * len(pages)


def shown(page: Page, elem_id: str) -> str:
    return page.locator(f"#{elem_id} textarea, #{elem_id} input").first.input_value()


def read_until(page: Page, elem_id: str, text: str, seconds: float = 240) -> None:
    """Wait for a box, which may not be there yet, to hold a text."""
    box = page.locator(f"#{elem_id} textarea, #{elem_id} input").first
    expect(box).to_have_value(re.compile(re.escape(text)), timeout=1000 * seconds)


# ---------------------------------------------------------------- as a student


@pytest.mark.slow
def test_a_student_trains_twenty_questions_asks_and_takes_the_model_home(
    visit: Visit, url: str, jobs: TrainingJobs, commands: Commands, tmp_path: Path
) -> None:
    page = visit(url)
    page.locator("#own-questions textarea").fill(WRITTEN)
    page.get_by_role("button", name=CHINESE["own_check"], exact=True).click()
    read_until(page, "own-verdict", "可以训练：20 题，20 种答案。")
    page.get_by_role("button", name=CHINESE["own_start"], exact=True).click()
    page.wait_for_url("**run=*")
    run_id = page.url.split("run=")[1]
    read_until(page, "own-id", run_id)
    expect(page.locator("#own-start")).to_be_disabled()
    read_until(page, "own-status", "损失")
    page.reload()  # the connection drops; the run does not
    read_until(page, "own-answers", "答：")
    assert shown(page, "own-questions") == WRITTEN
    assert page.url.endswith(f"run={run_id}")
    read_until(page, "own-result", "20 题全部一字不差地答对了")
    expect(page.locator("#own-start")).to_be_enabled()
    expect(page.locator("#own-stop")).to_be_disabled()
    for question, answer in PAIRS:
        assert call(url, "ask_own", question, run_id)[0] == answer
    page.locator("#own-question textarea").fill(PAIRS[-1][0])
    page.get_by_role("button", name=CHINESE["own_ask_button"], exact=True).click()
    read_until(page, "own-answer", PAIRS[-1][1])
    read_until(page, "own-sure", "把握：平均")
    with page.expect_download() as download:
        page.locator("#own-download").click()
    download.value.save_as(tmp_path / "model.zip")
    with zipfile.ZipFile(tmp_path / "model.zip") as archive:
        archive.extractall(tmp_path)
    question, answer = PAIRS[0]
    home = tmp_path / "my-gpt"
    asked = commands.run("ask", question, "--checkpoint", home, folder=SHIPPED.parent)
    assert (asked.code, asked.stdout) == (0, f"{answer}\n"), asked.stderr
    phone = visit(url, "phone", "dark")  # a friend's
    phone.locator("#own-id input").fill(f" {run_id.upper()} ")
    phone.locator("#own-id input").press("Enter")
    read_until(phone, "own-result", "20 题全部一字不差地答对了")
    assert phone.url.endswith(f"run={run_id}")
    for button in phone.get_by_role("button").all():
        box = button.bounding_box() if button.is_visible() else None
        if box is not None and str(button.get_attribute("id")).startswith("own-"):
            assert box["height"] >= 40, button.inner_text()


def test_who_waits_sees_the_place_and_may_withdraw(
    visit: Visit, waiting_url: str, waiting_jobs: TrainingJobs
) -> None:
    first, second = visit(waiting_url), visit(waiting_url, "phone")
    for page in (first, second):
        page.get_by_role("button", name=CHINESE["own_example"], exact=True).click()
        read_until(page, "own-questions", "谁是班长?")
        page.locator("#own-start").click()
        page.wait_for_url("**run=*")
    read_until(second, "own-status", "前面还有 1 个训练，大约再等 1 分钟")
    runs = [page.url.split("run=")[1] for page in (first, second)]
    assert [state_of(waiting_jobs, run).phase for run in runs] == ["running", "waiting"]
    first.locator("#own-stop").click()
    assert end_of(waiting_jobs, runs[0]).phase == "stopped"
    read_until(second, "own-status", CHINESE["own_starting"])
    second.locator("#own-stop").click()
    end_of(waiting_jobs, runs[1])
    read_until(second, "own-status", CHINESE["own_withdrawn"])
    expect(second.locator("#own-start")).to_be_enabled()


def begin(page: Page) -> str:
    """Start to train the examples; returns the run id."""
    page.locator("#own-example").click()
    read_until(page, "own-questions", "谁是班长?")
    page.locator("#own-start").click()
    page.wait_for_url("**run=*")
    run_id = page.url.split("run=")[1]
    read_until(page, "own-id", run_id)
    return run_id


def test_the_browser_remembers_its_training(
    visit: Visit, waiting_url: str, waiting_jobs: TrainingJobs
) -> None:
    """The memory lay in a closed tab: it was read too late, and each visit wiped it."""
    page = visit(waiting_url)
    run_id = begin(page)
    for path in ("/", "/?tab=train", "/en"):
        page.goto(waiting_url + path)
        page.get_by_role("tab", name=re.compile("动手训练|Train")).first.click()
        read_until(page, "own-id", run_id)
        read_until(page, "own-questions", "谁是班长?")
        expect(page.locator("#own-stop")).to_be_enabled()
        assert page.url == waiting_url + path  # who opens the page next begins where all do


def test_a_mistyped_id_changes_nothing_but_what_is_said_of_it(
    visit: Visit, waiting_url: str, waiting_jobs: TrainingJobs
) -> None:
    """It took the place of the run that was going on, which could then not be stopped."""
    page = visit(waiting_url)
    run_id = begin(page)
    address, memory = page.url, page.evaluate("localStorage['gpt-teacher-run']")
    box = page.locator("#own-id")
    for typed, said in ((f"{run_id[:-1]}x", "own_unknown_id"), ("", "own_id_info")):
        box.locator("input").fill(typed)
        box.locator("input").press("Enter")
        expect(box).to_contain_text(CHINESE[said])
        read_until(page, "own-id", typed or run_id)
        read_until(page, "own-status", CHINESE["own_starting"])
        assert (page.url, page.evaluate("localStorage['gpt-teacher-run']")) == (address, memory)
    page.locator("#own-stop").click()
    expect(page.locator("#own-start")).to_be_enabled()
    page.goto(f"{waiting_url}/?tab=train&run={'0' * 24}")  # of a friend, and long deleted
    read_until(page, "own-id", run_id)


def test_an_address_of_no_run_is_said_to_be_one(visit: Visit, waiting_url: str) -> None:
    page = visit(waiting_url)
    page.goto(f"{waiting_url}/?tab=train&run=nobody")
    expect(page.locator("#own-id")).to_contain_text(CHINESE["own_unknown_id"])
    read_until(page, "own-id", "nobody")


def test_what_one_model_has_said_does_not_stand_under_the_next(
    visit: Visit,
    waiting_url: str,
    waiting_jobs: TrainingJobs,
    teacher: Pretrained,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The answers of one model stood under another, and were taken for its own."""
    late, is_asked, may_answer = "迟到的回答", threading.Event(), threading.Event()

    def ask(teacher: Pretrained, question: str, text: Text) -> tuple[str, str]:
        if question != late:
            return f"{question}的回答", CHINESE["own_refused_taught"]
        is_asked.set()
        may_answer.wait(60)
        return late, late

    def finished(run_id: str) -> str:
        (waiting_jobs.folder / run_id / "go").touch()
        end_of(waiting_jobs, run_id)
        (waiting_jobs.folder / run_id / "model.zip").touch()
        return run_id

    def look_up(run_id: str) -> None:
        page.locator("#own-id input").fill(run_id.upper())
        page.locator("#own-id input").press("Enter")
        read_until(page, "own-id", run_id)

    monkeypatch.setattr(waiting_jobs, "model", lambda run_id: teacher)
    monkeypatch.setattr("gpt_teacher.views.train.train_lines.ask", ask)
    first, second = (finished(call(waiting_url, "train", WRITTEN, 1, "")[0]) for _ in range(2))
    page = visit(waiting_url)
    look_up(first)
    page.locator("#own-question textarea").fill("甲")
    page.locator("#own-ask").click()
    read_until(page, "own-answer", "甲的回答")
    page.get_by_role("button", name=CHINESE["own_push"]).click()
    page.locator("#own-push").click()
    read_until(page, "own-push-status", CHINESE["own_push_name_first"])
    look_up(first)  # the same one
    read_until(page, "own-answer", "甲的回答")
    look_up(second)
    said = ["own-question", "own-answer", "own-sure", "own-push-status"]
    for part in said:
        expect(page.locator(f"#{part} textarea").first).to_have_value("")
    page.locator("#own-question textarea").fill(late)
    page.locator("#own-ask").click()
    assert is_asked.wait(60)
    look_up(first)
    expect(page.locator("#own-question textarea")).to_have_value("")
    may_answer.set()
    page.locator("#own-check").click()  # what comes late has come when this has
    read_until(page, "own-verdict", "可以训练：20 题")
    assert [shown(page, part) for part in said] == [""] * len(said)


def test_the_example_takes_no_questions_away(visit: Visit, waiting_url: str) -> None:
    """It took the place of twenty typed questions, and Ctrl+Z did not bring them back."""
    page = visit(waiting_url)
    page.locator("#own-questions textarea").fill("谁是班长?,小明")
    page.locator("#own-example").click()
    read_until(page, "own-verdict", CHINESE["own_example_no_room"])
    assert shown(page, "own-questions") == "谁是班长?,小明"
    for may_go in (" ", EXAMPLE_PAIRS.replace(",", "\t")):  # so the page shows a run's own rows
        page.locator("#own-questions textarea").fill(may_go)
        page.locator("#own-example").click()
        read_until(page, "own-questions", EXAMPLE_PAIRS)
        expect(page.locator("#own-verdict textarea")).to_have_value("")


def test_a_file_is_uploaded_into_the_box(visit: Visit, waiting_url: str, tmp_path: Path) -> None:
    page = visit(waiting_url)
    good, wrong = tmp_path / "..x;$(id).CSV", tmp_path / "notes.pdf"
    good.write_text("问题,答案\n" + "\n".join(",".join(p) for p in PAIRS), encoding="gbk")
    wrong.write_bytes(b"%PDF")
    with page.expect_file_chooser() as chooser:
        page.locator("#own-upload").click()
    chooser.value.set_files(good)
    read_until(page, "own-verdict", "可以训练：20 题")
    assert shown(page, "own-questions") == WRITTEN
    with page.expect_file_chooser() as chooser:
        page.locator("#own-upload").click()
    chooser.value.set_files(wrong)
    read_until(page, "own-verdict", "不认识这种文件")
    large = tmp_path / "large.csv"
    large.write_bytes(b"a?,b\n" * 250_000)
    with page.expect_file_chooser() as chooser:
        page.locator("#own-upload").click()
    chooser.value.set_files(large)
    read_until(page, "own-verdict", "太大：1,250,000 字节，最多 1,000,000 字节")


def test_a_model_can_be_downloaded_as_long_as_its_run_is_kept(teacher: Pretrained) -> None:
    """Gradio hands out a copy: it was cleared away after an hour, and the button led to a 403."""
    every, age = build_page(teacher, None, "zh").delete_cache
    assert age >= 3600 * Limits().kept_hours
    assert every <= age


def test_training_can_be_switched_off(visit: Visit, teacher: Pretrained) -> None:
    with serve(teacher, None) as url:
        page = visit(url)
        expect(page.get_by_text("老师关掉了网页训练")).to_be_visible()
        with pytest.raises(urllib.error.HTTPError):
            call(url, "train", WRITTEN, 1, "")


# ---------------------------------------------------------------- as somebody who means harm


def test_hostile_calls_get_a_sentence_and_the_endpoints_live_on(
    waiting_url: str, waiting_jobs: TrainingJobs
) -> None:
    for written, sentence in (
        (None, CHINESE["own_empty"]),
        ("  \n", CHINESE["own_empty"]),
        ("x" * 1_000_001, "太大：1,000,001 字节"),
        ("\0" * 1000, "空字符"),
        ("PK\x03\x04" + "\0" * 100, "工作簿"),
        ("a?,b\n" * 600, "题目太多：600 题"),
        ("{" * 100_000, "这不是 JSON"),
        ('{"prompt": "' + "[" * 99 + '\\ud800", "completion": "b"}', "半个字符"),
        ("谁是班长?,小明\n谁是班长?,小红", "不止一种答案"),
    ):
        for name, others in (("check_questions", ()), ("train", (1, ""))):
            *_, verdict = call(waiting_url, name, written, *others)
            assert sentence in verdict
            assert "Traceback" not in verdict
            assert str(waiting_jobs.folder) not in verdict
    for run_id in ("../../x", "a" * 24, "x" * 10**5, "", None, "<script>", "runs/page/../../data"):
        assert call(waiting_url, "ask_own", "谁是班长?", run_id) == ["", CHINESE["own_no_model"]]
        assert call(waiting_url, "publish_own", "x", True, run_id) == [CHINESE["own_no_model"]]
        for name in ("training", "stop_training"):
            told = call(waiting_url, name, run_id)[1]
            assert told == (CHINESE["own_unknown_id"] if run_id else "")
    assert not waiting_jobs.folder.exists() or [*waiting_jobs.folder.iterdir()] == []


@pytest.mark.parametrize("minutes", [0, 6, 1.5, None, "1; rm", 1e308, -1])
def test_minutes_that_the_page_does_not_offer_train_nothing(
    waiting_url: str, waiting_jobs: TrainingJobs, minutes: object
) -> None:
    try:
        run_id, verdict = call(waiting_url, "train", WRITTEN, minutes, "")
    except AssertionError:
        pass  # the slider itself has refused it
    else:
        assert run_id == ""
        assert verdict == CHINESE["own_refused_minutes"].format(least=1, most=5)
    assert not [*waiting_jobs.folder.glob("*/run.json")]


def test_one_address_cannot_fill_the_queue(waiting_url: str, waiting_jobs: TrainingJobs) -> None:
    told = [call(waiting_url, "train", WRITTEN, 5, "") for _ in range(13)]
    limit = waiting_jobs.limits.per_address
    assert sum(bool(run_id) for run_id, _ in told) == limit
    assert {verdict for _, verdict in told[limit:]} == {CHINESE["own_refused_crowd"]}
    first = told[0][0]
    refused = call(waiting_url, "train", WRITTEN, 1, first)  # the page that shows it
    assert refused == [first, CHINESE["own_refused_one_each"]]


def test_no_file_of_the_machine_can_be_named_as_an_upload(waiting_url: str, tmp_path: Path) -> None:
    secret = tmp_path / "secret.csv"
    secret.write_text("secret?,42", encoding="utf-8")
    for path in (str(secret), "/etc/passwd", "config.yaml", "http://127.0.0.1/x.csv"):
        file = {"path": path, "meta": {"_type": "gradio.FileData"}, "orig_name": "x.csv"}
        with pytest.raises(AssertionError) as caught:
            call(waiting_url, "upload_questions", file)
        assert "42" not in str(caught.value)


def test_a_file_of_fifty_megabytes_is_turned_away(waiting_url: str) -> None:
    mark = b"--x\r\n"
    head = mark + b'Content-Disposition: form-data; name="files"; filename="../../a.csv"\r\n\r\n'
    body = head + b"a?,b\n" * 10_000_000 + b"\r\n--x--\r\n"
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    request = urllib.request.Request(f"{waiting_url}/gradio_api/upload", body, headers)
    with pytest.raises((urllib.error.HTTPError, ConnectionError, urllib.error.URLError)) as caught:
        urllib.request.urlopen(request, timeout=60)
    assert getattr(caught.value, "code", 413) == 413
    assert call(waiting_url, "check_questions", WRITTEN)[0].startswith("可以训练")


def test_a_run_that_goes_on_has_no_model_to_ask_or_publish(
    waiting_url: str, waiting_jobs: TrainingJobs
) -> None:
    run_id, _ = call(waiting_url, "train", WRITTEN, 1, "")
    wait_for(lambda: state_of(waiting_jobs, run_id).phase == "running")
    assert call(waiting_url, "ask_own", "谁是班长?", run_id) == ["", CHINESE["own_no_model"]]
    assert call(waiting_url, "publish_own", "x", True, run_id) == [CHINESE["own_no_model"]]


def test_nobody_publishes_with_a_login_that_is_not_theirs(
    waiting_url: str, waiting_jobs: TrainingJobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a Space without a login, or from another computer: the login of the machine stays out."""

    def publish(*_: object) -> str:
        raise AssertionError("it must not come so far")

    run_id, _ = call(waiting_url, "train", WRITTEN, 1, "")
    (waiting_jobs.folder / run_id / "go").touch()
    end_of(waiting_jobs, run_id)
    (waiting_jobs.folder / run_id / "model.zip").touch()
    monkeypatch.setattr("gpt_teacher.views.publish.publish_own", publish)
    monkeypatch.setattr("gpt_teacher.views.publish.is_this_machine", lambda host: False)
    told = call(waiting_url, "publish_own", "my-gpt", True, run_id)
    assert told == [CHINESE["own_push_not_here"]]
    monkeypatch.setattr("gpt_teacher.views.publish.is_space", lambda: True)
    monkeypatch.setattr("gpt_teacher.views.publish.is_this_machine", lambda host: True)
    told = call(waiting_url, "publish_own", "my-gpt", True, run_id)
    assert told == [CHINESE["own_push_login_first"]]
