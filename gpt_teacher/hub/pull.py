"""One commit of a repository -> a checked folder on this machine. 从 Hub 取模型。

A commit that is in the cache is opened without a request. All else is done by fetch.py, a process
that gets a time limit; without an answer, what was fetched on an earlier day serves.
"""

from __future__ import annotations

import json
import os
import queue
import re
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import IO, Any

from huggingface_hub import constants

from gpt_teacher import Origin
from gpt_teacher.errors import HubError
from gpt_teacher.hub.cache import cached_model
from gpt_teacher.hub.connection import Say, repo_id_of

COMMIT = re.compile(r"[0-9a-f]{40}")
PATIENCE_SECONDS = 300.0
PACKAGE_ROOT = Path(__file__).parent.parent.parent
OLDER_COPY = "Hub 没有回应，用的是以前下载的 / no answer from the Hub: an earlier copy"


def quiet(message: str) -> None:
    """Say nothing. 不出声。"""


def pull(
    repo: str,
    revision: str | None = None,
    offline: bool = False,
    seconds: float = PATIENCE_SECONDS,
    go_on: bool = False,
    cache: Path | None = None,
    say: Say = quiet,
) -> Origin:
    """Return a model of the Hub as a folder of this machine. 取一个模型。

    revision is a branch, tag or commit; None = main. What takes longer than `seconds` is stopped,
    or with go_on left to fill the cache for the next time. Raises HubError.
    """
    repo_id, offline = repo_id_of(repo), offline or constants.HF_HUB_OFFLINE
    pinned = revision is not None and COMMIT.fullmatch(revision) is not None
    if offline or pinned:
        folder = cached_model(repo_id, revision, cache)
        if folder is not None:
            return Origin(folder, repo_id, folder.name)
        if offline:
            raise HubError(
                f"{repo_id} at {revision or 'main'} is not on this machine; fetch it once with the "
                f"network on: {_download(repo_id, revision)}, or name a folder with --checkpoint "
                f"FOLDER"
            )
    try:
        answer = _fetch(repo_id, revision, seconds, go_on, cache, say)
    except HubError as error:
        folder = cached_model(repo_id, revision, cache) if error.unreachable else None
        if folder is None:
            raise
        say(f"{error}\n{OLDER_COPY}")
        return Origin(folder, repo_id, folder.name, OLDER_COPY)
    return Origin(Path(answer["folder"]), repo_id, answer["commit"])


def _fetch(
    repo_id: str,
    revision: str | None,
    seconds: float,
    go_on: bool,
    cache: Path | None,
    say: Say,
) -> dict[str, Any]:
    """Run fetch.py for at most so many seconds; return its last message. Raises HubError."""
    process = _start(repo_id, revision, cache)
    messages = _messages(process.stdout)
    ends_at, left_alone = time.monotonic() + seconds, False
    try:
        while True:
            answer = messages.get(timeout=max(0.0, ends_at - time.monotonic()))
            if answer is None:
                code = process.wait()
                raise HubError(f"fetching {repo_id}: the process ended (exit code {code}); again?")
            if "error" in answer:
                raise HubError(answer["error"], answer["status"], answer["unreachable"])
            if "folder" in answer:
                return answer
            say(answer["say"])
    except queue.Empty:
        left_alone = go_on
        raise HubError(_too_slow(repo_id, revision, seconds, go_on), unreachable=True) from None
    finally:
        if not left_alone:
            process.kill()
            process.wait()


def _too_slow(repo_id: str, revision: str | None, seconds: float, go_on: bool) -> str:
    if go_on:
        return (
            f"{repo_id} is not here after {seconds:.0f} s; the download goes on for the next time"
        )
    return (
        f"{repo_id} did not arrive within {seconds:.0f} s; on a better network: "
        f"{_download(repo_id, revision)}, or copy a folder and name it with --checkpoint FOLDER"
    )


def _download(repo_id: str, revision: str | None) -> str:
    """Return the command that fetches just this revision."""
    named = "" if revision in (None, "main") else f" --revision {revision}"
    return f"hf download {repo_id}{named}"


def _start(repo_id: str, revision: str | None, cache: Path | None) -> subprocess.Popen[str]:
    shows_progress = sys.stderr.isatty()
    before = os.environ.get("PYTHONPATH")
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(PACKAGE_ROOT), *([before] if before else [])]),
        "HF_HUB_VERBOSITY": "error",
        "HF_HUB_DISABLE_PROGRESS_BARS": "0" if shows_progress else "1",
    }
    if os.name == "nt":  # where making links takes rights that a student has not
        environment.setdefault("HF_HUB_DISABLE_SYMLINKS", "1")
    return subprocess.Popen(
        [sys.executable, "-m", "gpt_teacher.hub.fetch", repo_id, revision or "", str(cache or "")],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=None if shows_progress else subprocess.DEVNULL,
        encoding="utf-8",
        env=environment,
    )


def _messages(lines: IO[str] | None) -> queue.Queue[dict[str, Any] | None]:
    """Return a queue of what a process says; None at its end. A pipe itself has no time limit."""
    messages: queue.Queue[dict[str, Any] | None] = queue.Queue()

    def read() -> None:
        for line in lines or ():
            messages.put(json.loads(line))
        messages.put(None)

    threading.Thread(target=read, daemon=True).start()
    return messages
