"""What somebody who means harm sends to the running page: it is text, and the page lives on.

One server for all tests of this file. What single functions do with such input stands beside them:
test_page_questions.py (own questions), test_replay_data.py (own logs), test_ask_data.py (settings).
"""

from __future__ import annotations

import io
import json
import math
import os
import re
import sys
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from page_jobs import HOSTILE, end_of, quick_config, stub
from pages import opened, served
from playwright.sync_api import Browser, expect

from gpt_teacher import SHIPPED, Pretrained, from_pretrained
from gpt_teacher.run_log import LOG_FILE, read_log
from gpt_teacher.training_jobs import Limits, TrainingJobs
from gpt_teacher.views.page import build_page
from gpt_teacher.views.text import CHINESE

ATTENTION = "什么是注意力机制?"
MARKUP = "".join(HOSTILE) + "{{hacked=4}}"  # each sets a variable of the page if it ever runs
TEXTS = {
    "markup": MARKUP,
    "megabyte": "长" * 350_000,  # 1.05 MB
    "control": "".join(map(chr, range(32))) + "\x7f\x9b\ufeff\ufffe",
    "emoji": "👩‍👩‍👧‍👦🏳️‍🌈🙂" * 3,
    "right to left": "\u202eגלגל العربية\u2066",
    "half a character": "\ud800",
    "path": "../../../../etc/passwd",
    "format": "{} {0.__class__} %s %n $(id) `id` '; --",
}
DEFAULTS: dict[str, Any] = {
    "question": ATTENTION,
    "temperature": 0,
    "top_k": 0,
    "top_p": 1,
    "repetition_penalty": 1,
    "max_new_tokens": 120,
    "stop": "",
    "seed": 42,
    "refusal": True,
}
NUMBERS = [math.nan, math.inf, -math.inf, -1, 2**70, 1e308, None, "x", [], {}, True]
Seen = list[str]


# ---------------------------------------------------------------- the page and its callers


class Site:
    """The running page, called as a program calls it."""

    def __init__(self, url: str, page: Any, jobs: TrainingJobs) -> None:
        self.url, self.page, self.jobs = url, page, jobs

    def send(self, path: str, body: bytes | None, **headers: str) -> bytes:
        request = urllib.request.Request(f"{self.url}/gradio_api/{path}", body, headers)
        with urllib.request.urlopen(request, timeout=60) as reply:
            return bytes(reply.read())

    def call(self, name: str, *data: Any, visitor: str = "guest") -> list[Any] | None:
        """Call an endpoint; None if it was refused with an error."""
        body = json.dumps({"data": data, "session_hash": visitor}).encode()
        started = self.send(f"call/{name}", body, **{"Content-Type": "application/json"})
        event = json.loads(started)["event_id"]
        lines = [
            line for line in self.send(f"call/{name}/{event}", None).decode().split("\n") if line
        ]
        assert "Traceback" not in lines[-1]
        if lines[-2] != "event: complete":
            assert lines[-2] == "event: error"
            return None
        return list(json.loads(lines[-1].removeprefix("data: ")))

    def upload(self, name: str, content: bytes) -> str:
        """Upload a file under a name and return where it lies."""
        head = f'--x\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\n\r\n'
        body = head.encode() + content + b"\r\n--x--\r\n"
        found = self.send("upload", body, **{"Content-Type": "multipart/form-data; boundary=x"})
        return str(json.loads(found)[0])

    def ask(self, **given: Any) -> list[Any] | None:
        """Call /ask with some of its parameters, the others as the page has them."""
        return self.call("ask", *(DEFAULTS | given).values())

    def lives(self) -> bool:
        """Tell whether it still answers as it should."""
        found = self.ask()
        return found is not None and found[0].startswith("注意力机制")


@pytest.fixture(scope="module")
def teacher() -> Pretrained:
    return from_pretrained(SHIPPED / "last")


@pytest.fixture(scope="module")
def site(
    teacher: Pretrained, uploads: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    config = quick_config(tmp_path_factory.mktemp("quick"))
    limits = Limits(waiting=5, per_address=300)
    jobs = TrainingJobs(config, tmp_path_factory.mktemp("runs") / "page", limits, worker=stub())
    page = build_page(teacher, read_log(SHIPPED / "last" / LOG_FILE), "zh", jobs=jobs)
    with served(page) as url:
        yield Site(url, page, jobs)
    jobs.close()


@pytest.fixture(scope="module")
def opened_files() -> Iterator[Callable[[], Seen]]:
    """Gives what this process has opened since the last look: `r PATH` or `w PATH`."""
    seen: Seen | None = []

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if seen is None:
            return  # a hook cannot be taken away
        path, *others = arguments or [None]
        if not isinstance(path, (str, bytes, os.PathLike)):
            return  # a file that is open already
        if event == "open":
            writes = bool(others[1] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))
        elif event in ("os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.link", "os.symlink"):
            writes = True
        else:
            return
        if (
            Path(os.fsdecode(path)).is_absolute() or -1 in others or event == "open"
        ):  # else it is in an open folder
            seen.append(f"{'w' if writes else 'r'} {os.path.realpath(os.fsdecode(path))}")

    def look() -> Seen:
        found = [*(seen or [])]
        if seen is not None:
            seen.clear()
        return found

    sys.addaudithook(hook)
    yield look
    seen = None


# ---------------------------------------------------------------- through the API


@pytest.mark.parametrize("name", TEXTS)
def test_every_endpoint_takes_hostile_text_as_text(site: Site, name: str) -> None:
    text = TEXTS[name]
    asked = site.ask(question=text)
    assert asked is not None
    assert asked[1]  # how it went, or what is wrong with it
    stopped = site.ask(stop=text)
    assert stopped is not None
    assert stopped[1]
    for endpoint in ("tokenize", "next_token"):
        site.call(endpoint, text)  # an answer, or an error that the caller gets
    for endpoint, others in (("check_questions", ()), ("train", (9, ""))):  # 9 minutes: never taken
        for written in (text, f"{text}\t{text}", json.dumps({"prompt": text, "completion": text})):
            found = site.call(endpoint, written, *others)
            assert found is None or found[-1]
    for endpoint in ("training", "stop_training"):
        assert site.call(endpoint, text) is not None
    assert site.call("ask_own", text, text) == ["", CHINESE["own_no_model"]]
    assert site.lives()


def test_stop_texts_of_ten_thousand_characters_get_a_sentence(site: Site) -> None:
    found = site.ask(stop="停" * 10_000)
    assert found is not None
    assert found[:2] == ["", CHINESE["bad_stop"].format(count=8, characters=32)]


@pytest.mark.parametrize("name", [*DEFAULTS][1:])
def test_no_value_of_a_setting_breaks_the_answer(site: Site, name: str) -> None:
    for value in NUMBERS:
        found = site.ask(**{name: value})
        assert found is None or found[1]
    assert site.lives()


def test_no_event_of_the_page_dies_of_what_it_is_given(site: Site) -> None:
    """Also the private ones, which a program can call: each gets the same bad value everywhere."""
    functions = [fn for fn in site.page.fns.values() if fn.fn and fn.inputs and not fn.page]
    names = [fn.api_name for fn in functions]
    assert len({*names} & {"ask", "train", "upload_questions", "look_inside", "fill"}) >= 4
    for fn in functions:
        for value in (None, math.nan, -1, 2**70, MARKUP, [], {"path": "/etc/passwd"}):
            found = site.call(str(fn.api_name), *[value] * len(fn.inputs))
            assert "root:" not in json.dumps(found)
    assert site.lives()


def test_no_file_outside_its_folders_is_read_or_written(
    site: Site, uploads: Path, opened_files: Callable[[], Seen], tmp_path: Path
) -> None:
    secret = tmp_path / "secret.csv"
    secret.write_text("secret?,42", encoding="utf-8")
    tricks = [str(secret), "/etc/passwd", "../../../etc/passwd", "config.yaml", f"file://{secret}"]
    opened_files()
    for name in ("../../x.csv", "/tmp/hostile.csv", "..\\..\\x.csv", "a\0.csv", "x" * 300 + ".csv"):
        path = site.upload(name, b"a?,b")
        assert Path(path).resolve().is_relative_to(uploads.resolve())
        file = {"path": path, "meta": {"_type": "gradio.FileData"}, "orig_name": name}
        assert site.call("upload_questions", file) is not None
    for trick in tricks:
        file = {"path": trick, "meta": {"_type": "gradio.FileData"}, "orig_name": "x.csv"}
        assert site.call("upload_questions", file) is None
        assert site.call("ask_own", ATTENTION, trick) == ["", CHINESE["own_no_model"]]
        with pytest.raises(urllib.error.HTTPError) as refused:
            site.send(f"file={urllib.request.pathname2url(trick)}", None)
        assert refused.value.code in (403, 404)
    seen = opened_files()
    homes = (uploads.resolve(), site.jobs.folder.resolve(), Path(os.devnull))
    written = [Path(line[2:]) for line in seen if line[0] == "w"]
    assert written
    assert [path for path in written if not any(map(path.is_relative_to, homes))] == []
    assert not any("passwd" in line or "secret.csv" in line for line in seen)


def test_a_zip_bomb_is_not_unpacked(site: Site) -> None:
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("xl/worksheets/sheet1.xml", b"\0" * 50_000_000)
    assert len(bomb.getvalue()) < 1_000_000
    for name in ("questions.xlsx", "questions.csv"):
        path = site.upload(name, bomb.getvalue())
        file = {"path": path, "meta": {"_type": "gradio.FileData"}, "orig_name": name}
        found = site.call("upload_questions", file)
        assert found is not None
        assert "工作簿" in found[1]


def test_fifty_megabytes_are_turned_away_however_they_come(site: Site, uploads: Path) -> None:
    with pytest.raises((urllib.error.URLError, ConnectionError)) as refused:
        site.upload("a.csv", b"a?,b\n" * 10_000_000)
    assert getattr(refused.value, "code", 413) == 413
    written = "a?,b\n" * 10_000_000  # not as a file, but as the text of a box
    found = site.call("check_questions", written)
    assert found is not None
    assert "太大：50,000,000 字节" in found[0]
    assert max((p.stat().st_size for p in uploads.rglob("*") if p.is_file()), default=0) < 2_000_000
    assert site.lives()


def test_of_two_hundred_trainings_the_queue_takes_its_share(site: Site) -> None:
    n_taken = site.jobs.limits.waiting + 1

    # The late ones share a session: to make one takes long. Its calls must come one by one.
    visitors = [f"visitor {min(number, n_taken)}" for number in range(200)]
    told = [site.call("train", "a?,b", 5, "", visitor=visitor) for visitor in visitors]
    verdicts = [found for found in told if found is not None]
    assert len(verdicts) == 200
    taken = [run_id for run_id, _ in verdicts if run_id]
    assert len(taken) == n_taken
    refused = {verdict for run_id, verdict in verdicts if not run_id}
    assert refused == {CHINESE["own_refused_full"]}
    for run_id in reversed(taken):
        site.call("stop_training", run_id)
        end_of(site.jobs, run_id)
    assert site.lives()


# ---------------------------------------------------------------- through the page


def a_log(path: Path) -> Path:
    """A training log whose every text is markup."""
    sample = {"question": MARKUP, "answer": MARKUP, "first_tokens": [[MARKUP[:20], 0.5]]}
    figures = {"loss_nats": 3.5, "grad_norm": 1.0, "learning_rate": 1e-3}
    step = {"event": "step", "step": 1, **figures, "tokens_per_second": 9, "elapsed_seconds": 1}
    evaluation = {"event": "eval", "step": 1, "val_loss_nats": 3.0, "samples": [sample]}
    lines = map(json.dumps, ({"event": "start", "vocab_size": 9}, step, evaluation))
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def test_no_script_runs_from_a_question_from_training_data_or_from_a_log(
    browser: Browser, site: Site, tmp_path: Path
) -> None:
    log = a_log(tmp_path / "log.jsonl")
    row = json.dumps({"prompt": HOSTILE[0], "completion": HOSTILE[1], "topic": MARKUP})
    address = f"/?tab=ask&q={urllib.request.pathname2url(MARKUP)}&run=%22%3E{HOSTILE[0]}"
    with opened(browser, site.url, address) as page:

        def box(name: str) -> Any:
            return page.locator(f"#{name} textarea, #{name} input").first

        def open_tab(name: str) -> None:
            page.get_by_role("tab", name=CHINESE[f"{name}_tab"]).click()

        expect(box("question")).to_have_value(MARKUP)
        page.locator("#ask").click()
        expect(box("status")).not_to_have_value("")
        open_tab("inside")
        box("inside-question").fill(MARKUP)
        page.get_by_role("button", name=CHINESE["inside_look"], exact=True).click()
        expect(box("inside-prompt")).to_have_value(f"<bos>用户:{MARKUP}\n助手:")
        open_tab("train")
        box("own-questions").fill(row)
        page.locator("#own-check").click()
        expect(box("own-verdict")).not_to_have_value("")
        page.locator("#own-start").click()
        page.wait_for_url(re.compile("run=[0-9a-f]{24}"))
        page.reload()  # the run is found again, and its questions are shown
        expect(box("own-questions")).to_have_value(row)
        page.locator("#own-stop").click()
        expect(page.locator("#own-start")).to_be_enabled()
        open_tab("replay")
        page.locator("#own-log button").first.click()
        page.locator("#upload-log").wait_for()
        page.locator("input[type=file]").first.set_input_files(log)
        expect(box("replay-log-note")).to_have_value(CHINESE["log_read"].format(steps=1))
        expect(page.locator("#replay-question")).to_contain_text("onerror")
        assert page.evaluate("typeof hacked") == "undefined"
        assert page.locator("img[src=x]").count() == 0
        assert page.title() == CHINESE["title"]
