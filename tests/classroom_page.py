"""The pages for the class, taken apart: blocks, who runs them, the table of failures. 课堂页。"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

DOCS = Path(__file__).parent.parent / "docs"
CHINESE, ENGLISH = DOCS / "CLASSROOM.md", DOCS / "CLASSROOM_EN.md"
TEACHER, STUDENT, STRANGER = "teacher", "student", "stranger"
WHO = {  # the first line of a block
    "# 老师": TEACHER,
    "# 学生（有账号）": STUDENT,
    "# 学生（没有账号）": STRANGER,
    "# teacher": TEACHER,
    "# student with an account": STUDENT,
    "# student without an account": STRANGER,
}
FAILURES = ("## 出错了怎么办", "## When something fails")
FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """Commands that one person runs on one computer. 一段命令。"""

    who: str
    lines: list[str]


def blocks(page: Path) -> list[Block]:
    """The bash blocks of a page. 全部命令段。"""
    found = []
    for language, text in FENCED.findall(page.read_text(encoding="utf-8")):
        if language == "bash":
            first, *lines = text.splitlines()
            found.append(Block(WHO[first], [line for line in lines if shlex.split(line, True)]))
    return found


def programs(page: Path) -> list[str]:
    """The Python blocks of a page. 全部程序段。"""
    text = page.read_text(encoding="utf-8")
    return [body for language, body in FENCED.findall(text) if language == "python"]


def failures(page: Path) -> list[list[str]]:
    """The words to look for, row by row of the table of failures. 报错表。"""
    text = page.read_text(encoding="utf-8")
    heading = next(heading for heading in FAILURES if heading in text)
    table = text.split(heading)[1].split("\n## ")[0]
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    return [re.findall("`([^`]+)`", row) for row in rows]
