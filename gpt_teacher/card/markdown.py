"""Text of others inside Markdown: it stays text, whatever it holds. 转义。"""

from __future__ import annotations

import re

# With these escaped nothing is a link, a tag, a table cell, a formula, a mention or emphasis.
_MARKS = re.compile(r"[\\`*_\[\]|~#$:@!^=]|(?<=www)\.", re.IGNORECASE)
_HTML = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}


def one_line(text: str) -> str:
    """Return a text in one line: what cannot be seen becomes one space. 合成一行。"""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def plain(text: str) -> str:
    """Return a text for a line or a table cell. 普通文字。"""
    text = "".join(_HTML.get(c, c) for c in one_line(text))
    return _MARKS.sub(lambda match: "\\" + match.group(), text)


def code(text: str) -> str:
    """Return a text as a code span, or as plain text where a span could break. 代码样式。"""
    safe = text.isprintable() and text.strip() == text and text and not set("`|") & set(text)
    return f"`{text}`" if safe else plain(text)


def table(head: list[str], rows: list[list[str]]) -> str:
    """Return a table of cells that are Markdown already. 表格。"""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)
