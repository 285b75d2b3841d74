"""The command that takes pictures of the page."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT, TinyRun
from playwright.sync_api import Browser

from gpt_teacher.errors import GPTTeacherError
from scripts import screenshots

PROGRAM = """
from scripts import screenshots
screenshots.SIZES = {"phone": (390, 844)}
screenshots.SCHEMES = ("dark",)
screenshots.SETTLE_MILLISECONDS = 1
raise SystemExit(screenshots.main())
"""


@pytest.mark.slow
def test_each_tab_has_its_picture(browser: Browser, tiny_run: TinyRun, tmp_path: Path) -> None:
    """In a process of its own: two browsers of one process get in each other's way."""
    assert browser.is_connected()  # or there is nothing to test
    options = ["--checkpoint", "checkpoints/last", "--output", str(tmp_path)]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *options],
        cwd=tiny_run.project,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        encoding="utf-8",
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    pictures = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    tabs = ("replay", "ask", "inside", "train", "report")
    assert set(pictures) == {f"{tab}-phone-dark.png" for tab in tabs}
    assert len(set(pictures.values())) == len(pictures), "no two are the same"


def test_without_playwright_a_sentence_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "playwright.sync_api", None)
    monkeypatch.setattr(sys, "argv", ["screenshots"])
    with pytest.raises(GPTTeacherError, match=r"pip install -r requirements-dev\.txt"):
        screenshots.main()
