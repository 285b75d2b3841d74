"""A question and its settings as a link: ?tab=&q=&t=&seed=. 用链接分享一个提问。"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from typing import NamedTuple

from gpt_teacher.views.settings import LIMITS

MAX_CHARACTERS = 400  # of a question; the box's own limit is not enforced by the server
_SPACE = re.compile(r"[\w.-]+/[\w.-]+")

# The link is made in the browser: only it knows by which address the page was opened. A seed that
# is no whole number is rounded as Python does it for the answer: halves to the even one.
MAKE_LINK = """(question, temperature, seed) => {
    const page = SPACE || location.origin + location.pathname;
    const whole = Math.abs(seed % 1) === 0.5 ? 2 * Math.round(seed / 2) : Math.round(seed);
    const shared = new URLSearchParams({tab: 'ask', q: question, t: temperature});
    if (seed !== null) shared.set('seed', whole);
    const link = `${page}?${shared}`;
    if (navigator.clipboard) navigator.clipboard.writeText(link).catch(() => {});
    return {__type__: 'update', value: link, visible: true};
}"""
HIDE_LINK = "() => ({__type__: 'update', visible: false})"


class Shared(NamedTuple):
    """What a link asks for; None = it does not say, or not in a way that makes sense. 链接内容。"""

    tab: str | None
    question: str | None
    temperature: float | None
    seed: int | None


def read_link(params: Mapping[str, str]) -> Shared:
    """Return what a page's query string asks for, each value checked. 读链接。"""
    tab = params.get("tab", "")
    question = params.get("q", "").strip()[:MAX_CHARACTERS]
    temperature, seed = _number(params.get("t", ""), "temperature"), params.get("seed", "")
    in_range = seed.isdecimal() and len(seed) <= 10 and int(seed) <= LIMITS["seed"].high
    return Shared(
        tab if re.fullmatch(r"[a-z]{1,20}", tab) else None,
        question or None,
        temperature,
        int(seed) if in_range else None,
    )


def _number(written: str, key: str) -> float | None:
    if not re.fullmatch(r"[0-9]{1,3}(\.[0-9]{1,6})?", written):
        return None
    value = float(written)
    return value if LIMITS[key].low <= value <= LIMITS[key].high else None


def make_link_script(space: str | None) -> str:
    """Return the script that makes a link; on a Space the page lies within another. 生成链接。"""
    address = f"https://huggingface.co/spaces/{space}" if _SPACE.fullmatch(space or "") else ""
    return MAKE_LINK.replace("SPACE", json.dumps(address))


def this_space() -> str | None:
    """Return owner/name of the Space that serves the page, if one does. 所在的 Space。"""
    return os.getenv("SPACE_ID")
