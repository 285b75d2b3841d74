"""Calls to the Hub with retries and time limits. 带重试与时限的调用。"""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeVar
from urllib.parse import urlsplit

from huggingface_hub import constants, set_client_factory, utils
from huggingface_hub.utils import httpx  # type: ignore[attr-defined]  # httpx or httpx2

from gpt_teacher.errors import HubError
from gpt_teacher.hub.failures import CLIENT_ERRORS, LOG_IN, explained, is_network_error, status_of
from gpt_teacher.hub.login import api

T = TypeVar("T")
Say = Callable[[str], None]

TRIES = 3
WAITS = (1.0, 3.0)  # seconds before the second and the third try
LONGEST_WAIT = 60.0  # seconds; a server that asks for more is not waited for
LOOK_SECONDS = 5.0  # for the first question to the Hub: is it there?
ACCOUNT_SECONDS = 10.0  # for the same before publishing
SILENCE_SECONDS = 60.0  # a call that gets no byte for so long has failed
REPO_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}", re.ASCII)
RETRIED_BY_CLIENT = re.compile(r"/preupload/|\.git/info/lfs/|/tree/")  # five times, 23 seconds
READ_ONLY_MIRRORS = ("hf-mirror.com", "hf-cdn.sufy.com", "aifasthub.com")


@dataclass(frozen=True)
class Account:
    """Whose token it is and what it may do. 账号。"""

    name: str
    organisations: tuple[str, ...]
    role: str  # of the token: write | read | fineGrained
    is_pro: bool


def repo_id_of(text: str, kind: Literal["model", "space"] = "model") -> str:
    """Return USER/NAME of a repository id or the address of its page. 仓库名。Raises HubError."""
    bare = text.strip()
    address = re.match(r"https?://[^/]+/(?:(dataset|model|space)s/)?([^/]+/[^/?#]+)", bare)
    first = address[2].partition("/")[0] if address else ""  # of datasets/squad, which has no user
    named = (address and address[1]) or {"datasets": "dataset", "spaces": "space"}.get(first)
    if named not in (None, "model", kind):
        raise HubError(
            f"{text!r} is the address of a {named}, not of a {kind}; write USER/NAME, "
            f"for example: teacher/gpt-teacher-demo"
        )
    bare = address[2] if address else bare
    if not REPO_ID.fullmatch(bare) or ".." in bare or "--" in bare or bare.endswith(".git"):
        raise HubError(
            f"{text!r} is not the name of a repository; write USER/NAME in letters, digits, "
            f"- _ and ., for example: teacher/gpt-teacher-demo"
        )
    return bare


def call(say: Say, doing: str, function: Callable[..., T], *arguments: Any, **named: Any) -> T:
    """Call the client; three tries where the fault may pass. 调用，必要时重试。Raises HubError."""
    with explained(doing):
        for number in range(TRIES):
            try:
                return function(*arguments, **named)
            except CLIENT_ERRORS as error:
                wait = _wait_seconds(error, number)
                if wait is None:
                    raise
                say(f"{doing}: {_why(error)}，等待 {wait:.0f} 秒后重试 / trying again")
                time.sleep(wait)
    raise AssertionError("the last try returns or raises")


def _wait_seconds(error: BaseException, number: int) -> float | None:
    """Return how long to wait before the next try; None = give up."""
    if not may_pass(error) or number >= len(WAITS):
        return None
    response = getattr(error, "response", None)
    asked = response.headers.get("Retry-After", "") if response is not None else ""
    wait = float(asked) if asked.isdigit() else WAITS[number]
    return wait if wait <= LONGEST_WAIT else None


def may_pass(error: BaseException) -> bool:
    """Tell whether a next try may do better. 再试是否有用。

    Not after a long silence, nor where the client itself has tried for half a minute.
    """
    status = status_of(error)
    if isinstance(error, RuntimeError):  # a file's upload; 403: its address has expired
        return status == 403
    if isinstance(error, httpx.TimeoutException) or RETRIED_BY_CLIENT.search(_asked(error)):
        return False
    return is_network_error(error) or status in (408, 429) or (status or 0) >= 500


def _asked(error: BaseException) -> str:
    """Return the address that an error is about, if it is known."""
    request = getattr(getattr(error, "response", None), "request", None)
    return str(request.url) if request is not None else ""


def _why(error: BaseException) -> str:
    status = status_of(error)
    if status == 429:
        return "限流"
    return f"HTTP {status}" if status else "网络中断"


def prepare_client(silence: float = SILENCE_SECONDS) -> None:
    """Give up calls after so many seconds of silence; no progress bars into a file. 时限与进度条。

    The client itself would wait for ever. Its telemetry, too, asks the Hub before the first call.
    """
    constants.HF_HUB_DISABLE_TELEMETRY = True
    if not sys.stderr.isatty():
        utils.disable_progress_bars()  # type: ignore[attr-defined]
    timeout = httpx.Timeout(silence, connect=LOOK_SECONDS)
    set_client_factory(lambda: httpx.Client(follow_redirects=True, timeout=timeout))


def look_up_account(say: Say) -> Account:
    """Ask the Hub whose token this is, before anything is published. 查询账号。

    Raises HubError if nobody is logged in, or nothing can be published through this endpoint.
    """
    if constants.HF_HUB_OFFLINE:
        raise HubError("HF_HUB_OFFLINE is set; unset it to reach the Hub")
    if urlsplit(constants.ENDPOINT).hostname in READ_ONLY_MIRRORS:
        raise HubError(
            f"HF_ENDPOINT = {constants.ENDPOINT} is a mirror for reading only; unset it to publish"
        )
    prepare_client(ACCOUNT_SECONDS)
    found = call(say, "asking the Hub who you are", api().whoami)
    prepare_client()
    token = found.get("auth", {}).get("accessToken", {})
    organisations = tuple(one["name"] for one in found.get("orgs", []))
    return Account(found["name"], organisations, token.get("role", ""), bool(found.get("isPro")))


def check_may_publish(
    account: Account, repo_id: str, create_pr: bool | None = None, option: str = "--repo-id"
) -> None:
    """Raise HubError if the account cannot publish there, before anything is made. 检查权限。

    create_pr: whether a pull request is to be made; None = the command makes none. option: the
    one that names the repository.
    """
    if account.role == "read":
        raise HubError(
            f"the token of {account.name} may only read; make one with write access on the Hub's "
            f"settings page, then {LOG_IN}"
        )
    namespace = repo_id.split("/")[0]
    mine = (account.name, *account.organisations)
    if namespace not in mine and not create_pr:
        name = repo_id.split("/")[1]
        propose = "" if create_pr is None else f", or --create-pr to propose it to {namespace}"
        raise HubError(
            f"{namespace} is not yours: you may publish as {' or '.join(mine)}; use "
            f"{option} {account.name}/{name}{propose}"
        )
