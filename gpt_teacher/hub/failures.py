"""What the Hub client raises -> one sentence that says what to do. 把客户端的异常变成一句话。

The client's errors come from four families: its own, those of its HTTP library, RuntimeError and
ConnectionError around failed uploads, and what the proxy settings and the disk do to it.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

from huggingface_hub import constants, get_token
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    LocalTokenNotFoundError,
    OfflineModeIsEnabled,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils import httpx  # type: ignore[attr-defined]  # httpx or httpx2

from gpt_teacher.errors import HubError
from gpt_teacher.hub.login import visitors_token

LOG_IN = "log in with `hf auth login`, or set HF_TOKEN (it goes before the login)"
AGAIN = "it is safe to run the same command again"
TOKEN = re.compile(r"hf_[A-Za-z0-9_]{3,}")
# RuntimeError and ConnectionError: a failed upload. ValueError, ImportError: proxy variables.
CLIENT_ERRORS = (
    HfHubHTTPError,
    httpx.HTTPError,
    httpx.InvalidURL,
    OSError,
    RuntimeError,
    ValueError,
    ImportError,
)
FULL_OR_READ_ONLY = (
    *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM),
    *(errno.ENOTDIR, errno.EEXIST),
)


@contextmanager
def explained(doing: str) -> Iterator[None]:
    """Turn what the client raises into HubError: what failed, why, what to do. 翻译。"""
    try:
        yield
    except HubError:
        raise
    except CLIENT_ERRORS as error:
        fail(doing, error)


def fail(doing: str, error: BaseException) -> NoReturn:
    """Raise HubError for an error of the client. 抛出可读的错误。"""
    status = status_of(error)
    passing = is_network_error(error) or is_no_hub(error)
    unreachable = passing if status is None else status == 429 or status >= 500
    raise HubError(without_tokens(f"{doing}: {reason(error)}"), status, unreachable) from None


def without_tokens(text: str) -> str:
    """Return a text in which no token can be read. 去掉令牌。"""
    for token in (visitors_token(), get_token()):
        if token:
            text = text.replace(token, "hf_…")
    return TOKEN.sub("hf_…", text)


def status_of(error: BaseException) -> int | None:
    """Return the HTTP status of an error, or of the one that caused it. HTTP 状态码。"""
    for one in (error, error.__cause__, error.__context__):
        response = getattr(one, "response", None)
        if response is not None:
            return int(response.status_code)
    return None


def is_network_error(error: BaseException) -> bool:
    """Tell whether no answer came, or only a part of one. 是否网络故障。"""
    if isinstance(error, HfHubHTTPError) or status_of(error) is not None:
        return False
    if isinstance(error, RuntimeError) and error.__cause__ is not None:
        return is_network_error(error.__cause__)
    return isinstance(error, (httpx.TransportError, ConnectionError, LocalEntryNotFoundError))


def is_no_hub(error: BaseException) -> bool:
    """Tell whether something answered that is no Hub: a web page, say. 是否不是 Hub。"""
    not_json = isinstance(error, ValueError) and type(error).__name__.endswith("DecodeError")
    return not_json or isinstance(error, httpx.DecodingError) or "X-Repo-Commit" in str(error)


def reason(error: BaseException) -> str:
    """Return why it failed and what to do, a sentence. 原因与办法。"""
    return (
        _of_this_machine(error)
        or _of_the_repository(error)
        or _of_the_status(error)
        or _of_the_network(error)
        or f"{type(error).__name__}: {_first_line(error)}; {AGAIN}"
    )


def _of_this_machine(error: BaseException) -> str:
    text = str(error)
    if isinstance(error, OfflineModeIsEnabled):
        return "HF_HUB_OFFLINE is set; unset it to reach the Hub"
    if isinstance(error, LocalTokenNotFoundError):
        return f"no token on this machine; {LOG_IN}"
    if isinstance(error, ImportError) and "socks" in text:
        return (
            "a proxy variable (all_proxy, https_proxy) names a SOCKS proxy, which needs more: "
            'pip install "httpx2[socks]", or name the http:// port of the proxy'
        )
    if isinstance(error, ValueError) and "proxy" in text.lower():
        return f"a proxy variable is not understood ({_first_line(error)}); write http://HOST:PORT"
    if isinstance(error, HFValidationError):
        return f"not the name of a repository ({_first_line(error)}); write USER/NAME"
    if isinstance(error, OSError) and error.errno in FULL_OR_READ_ONLY:
        return (
            f"cannot write {error.filename or constants.HF_HUB_CACHE}: {error.strerror}; free some "
            f"space, or set HF_HOME to a folder that can be written"
        )
    return ""


def _of_the_repository(error: BaseException) -> str:
    if isinstance(error, GatedRepoError):
        return "it asks for consent: open its page on the Hub, agree, and log in here"
    if isinstance(error, RevisionNotFoundError):
        return "it has no such branch, tag or commit; its page on the Hub lists them"
    if isinstance(error, RemoteEntryNotFoundError):
        return "the repository lacks a file; was it published with scripts.push_to_hub?"
    if isinstance(error, RepositoryNotFoundError):
        return f"there is no such repository, or it is private; check the name, or {LOG_IN}"
    return ""


def _of_the_status(error: BaseException) -> str:
    status, said = status_of(error), _server_message(error)
    if status == 401:
        return f"the Hub does not accept the token{said}; {LOG_IN}"
    if status == 402:
        return f"the Hub asks for a paid account{said}"
    if status == 403 and isinstance(error, RuntimeError):
        return f"the address for uploading a file has expired; {AGAIN}"
    if status == 403 and "write" in said:
        return f"the token may only read{said}; make one with write access: hf auth login"
    if status == 403:
        return f"this account may not do that{said}; publish as USER/NAME with your own USER"
    if status == 405:
        return f"{constants.ENDPOINT} is a mirror for reading only; unset HF_ENDPOINT to publish"
    if status == 409:
        return f"it exists already{said}"
    if status == 412:
        return f"somebody else has published meanwhile{said}"
    if status == 429:
        return "too many requests from this network; wait some minutes, and log in: it allows more"
    if status is not None and status >= 500:
        return f"the Hub has a fault (HTTP {status}); {AGAIN} later"
    return "" if status is None else f"the Hub answers HTTP {status}{said}; {AGAIN}"


def _of_the_network(error: BaseException) -> str:
    endpoint = constants.ENDPOINT
    if isinstance(error, httpx.UnsupportedProtocol | httpx.InvalidURL):
        return f"HF_ENDPOINT = {endpoint!r} is no address; write https://HOST"
    if is_no_hub(error):
        return (
            f"{endpoint} is no Hub, or a login page of the network answers in its place; "
            f"check HF_ENDPOINT"
        )
    if isinstance(error, httpx.TimeoutException):
        return (
            f"{endpoint} does not answer; check the network, a mirror (HF_ENDPOINT), or --offline"
        )
    if is_network_error(error):
        return f"no way to {endpoint} ({_first_line(error)}); check the network, or set a mirror"
    return ""


def _server_message(error: BaseException) -> str:
    for one in (error, error.__cause__):
        said = getattr(one, "server_message", None)
        if said:
            return f" ({' '.join(str(said).split())})"
    return ""


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0].rstrip(".")
