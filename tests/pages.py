"""A page served for a test file, and a browser that opens it as a student would."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

import pytest

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # read when gradio is imported
os.environ["GRADIO_ANALYTICS_CACHE_FREQUENCY"] = "1000000"  # as app.py has it

from playwright.sync_api import Browser, Page, expect, sync_playwright

from gpt_teacher.config import AppConfig
from gpt_teacher.views import ask
from gpt_teacher.views.theme import launch

expect.set_options(timeout=20_000)  # milliseconds: tests share the machine
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
BROWSER_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
IDLE: list[Page] = []  # wiped pages, each in a context of its own
SIZES = {"desktop": (1280, 800), "phone": (390, 844)}


@contextmanager
def served(page: Any) -> Iterator[str]:
    """Serve a page with the launch options of the app; gives its address."""
    yield launch(page, AppConfig(), quiet=True).rstrip("/")
    page.close()


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start a browser; without one the tests are skipped, but fail in CI."""
    if CHROMIUM is None:
        if os.getenv("GPT_TEACHER_REQUIRE_BROWSER"):
            pytest.fail("no chromium on this machine: apt-get install chromium fonts-noto-cjk")
        pytest.skip("no chromium on this machine")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=BROWSER_FLAGS)
        yield browser
        browser.close()
        IDLE.clear()


def _is_leaving(said: str) -> bool:
    """Gradio's client stops its stream when a page is left, and reports its own signal."""
    return said.startswith("AbortError: signal is aborted") and ".close (" in said


@contextmanager
def opened(
    browser: Browser,
    url: str,
    path: str = "/",
    size: Literal["desktop", "phone"] = "desktop",
    scheme: Literal["light", "dark"] = "light",
) -> Iterator[Page]:
    """Open a page; fails on a console error, a dialog, a request elsewhere, or wide content.

    Pages that are open at the same time share nothing. One that was left whole is wiped and opened
    again for the next test: the browser has then compiled the scripts, which takes it longest.
    """
    width, height = SIZES[size]
    page = IDLE.pop() if IDLE else browser.new_context(locale="zh-CN").new_page()
    page.set_viewport_size({"width": width, "height": height})
    page.emulate_media(color_scheme=scheme)
    problems: list[str] = []
    watchers: dict[str, Callable[[Any], None]] = {
        "pageerror": lambda error: problems.append(str(error)),
        "console": lambda m: (
            problems.append(m.text) if m.type == "error" and not _is_leaving(m.text) else None
        ),
        "dialog": lambda dialog: (problems.append(dialog.message), dialog.dismiss()),
        "request": lambda r: (
            None
            if r.url.startswith((url, "data:", "blob:"))
            else problems.append(f"request to {r.url}")
        ),
    }
    for event, watcher in watchers.items():
        page.on(event, watcher)  # type: ignore[call-overload]
    is_whole = False
    try:
        page.goto(url + path)
        yield page
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert not problems, problems
        is_whole = True
    finally:
        for event, watcher in watchers.items():
            page.remove_listener(event, watcher)
        if is_whole:
            wipe(page)
            IDLE.append(page)
        else:
            page.context.close()


def wipe(page: Page) -> None:
    """Leave a page and nothing of it: what it stored, and what it still waits for."""
    page.evaluate("localStorage.clear(); sessionStorage.clear()")
    page.goto("about:blank")
    page.context.clear_cookies()


def show_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Show an answer more often than a reader needs: a fast machine has it before one update."""
    monkeypatch.setattr(ask, "SHOWN_EVERY_SECONDS", 0.002)
    monkeypatch.setattr(ask, "SECONDS_OF_EACH", 0.002)
