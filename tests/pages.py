"""A page served for a test file, and a browser that opens it as a student would."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import pytest

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # read when gradio is imported
os.environ["GRADIO_ANALYTICS_CACHE_FREQUENCY"] = "1000000"  # as app.py has it

from playwright.sync_api import Browser, Page, expect, sync_playwright

from gpt_teacher.config import AppConfig
from gpt_teacher.views.theme import launch_options

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
SIZES = {"desktop": (1280, 800), "phone": (390, 844)}


@contextmanager
def served(page: Any) -> Iterator[str]:
    """Serve a page with the launch options of the app; gives its address."""
    _, url, _ = page.launch(**launch_options(AppConfig()), prevent_thread_lock=True, quiet=True)
    yield url.rstrip("/")
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


@contextmanager
def opened(
    browser: Browser,
    url: str,
    path: str = "/",
    size: Literal["desktop", "phone"] = "desktop",
    scheme: Literal["light", "dark"] = "light",
) -> Iterator[Page]:
    """Open a page; fails on a console error, a request elsewhere, or horizontal scrolling."""
    width, height = SIZES[size]
    context = browser.new_context(
        locale="zh-CN", viewport={"width": width, "height": height}, color_scheme=scheme
    )
    page = context.new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda m: problems.append(m.text) if m.type == "error" else None)
    page.on(
        "request",
        lambda r: (
            None
            if r.url.startswith((url, "data:", "blob:"))
            else problems.append(f"request to {r.url}")
        ),
    )
    page.goto(url + path)
    yield page
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert problems == []
    context.close()
