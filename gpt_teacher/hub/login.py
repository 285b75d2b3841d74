"""Whose token the calls carry: this machine's, or for a while a visitor's. 用谁的令牌。"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from huggingface_hub import HfApi

_visitors_token: ContextVar[str | None] = ContextVar("_visitors_token", default=None)


@contextmanager
def logged_in(token: str | None) -> Iterator[None]:
    """Let the calls inside carry this token; None = the login of this machine. 临时登录。

    Other threads keep their own; nothing is stored.
    """
    before = _visitors_token.set(token)
    try:
        yield
    finally:
        _visitors_token.reset(before)


def visitors_token() -> str | None:
    """Return the token of the visitor whose calls these are, if any. 访客的令牌。"""
    return _visitors_token.get()


def api() -> HfApi:
    """Return the client with the token to use now. 客户端。"""
    return HfApi(token=_visitors_token.get())
