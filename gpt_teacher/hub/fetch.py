"""The process that fetches a model: it can be stopped, or left to itself. 下载进程。

    python -m gpt_teacher.hub.fetch REPO REVISION [CACHE]

A process of its own, since the client has calls without a time limit, and a thread cannot be
stopped. It asks which commit is meant, fetches the whole set at that one commit, and compares
every file with the fingerprint that the Hub has of it. It prints JSON objects, one a line: {"say"}
on the way, and at the end {"folder", "commit"} or {"error", "status", "unreachable"}.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from contextlib import suppress
from pathlib import Path

from huggingface_hub import HfApi, constants, snapshot_download

from gpt_teacher.errors import HubError
from gpt_teacher.hub.cache import cached_folder, forget, remember
from gpt_teacher.hub.connection import LOOK_SECONDS, call, prepare_client
from gpt_teacher.hub.failures import CLIENT_ERRORS, explained, fail
from gpt_teacher.hub.files import ALL_PATTERNS, RemoteFiles, belongs, is_model

LONGEST_SECONDS = 900.0  # when nobody waits for it any more
WORKERS = 4  # files at a time: thirty students share one line


def main(repo_id: str, revision: str | None, cache: Path | None) -> int:
    """Fetch, print what came of it. 主程序。"""
    guard = threading.Timer(LONGEST_SECONDS, os._exit, (3,))
    guard.daemon = True
    guard.start()
    prepare_client()
    try:
        folder, commit = fetch(repo_id, revision, cache)
    except HubError as error:
        tell(error=str(error), status=error.status, unreachable=error.unreachable)
        return 2
    if revision != commit:
        with suppress(OSError):  # a cache that cannot be written: it will not open offline
            remember(folder, revision or "main")
    tell(folder=str(folder), commit=commit)
    return 0


def tell(**message: object) -> None:
    """Tell the process that waits. 报告。"""
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def say(text: str) -> None:
    """Tell how far it is. 进度。"""
    tell(say=text)


def fetch(repo_id: str, revision: str | None, cache: Path | None) -> tuple[Path, str]:
    """Return the folder of a revision, every file checked, and its commit. 取模型。

    Raises HubError.
    """
    files, token = look(repo_id, revision)
    wanted = [path for path in files.fingerprints if belongs(path)]
    if not is_model(wanted):
        raise HubError(
            f"{repo_id} is no model of this project; those are published with "
            f"`python -m scripts.push_to_hub`"
        )
    folder = cached_folder(repo_id, files.commit, cache)
    if folder is not None and not files.differing(folder, wanted):
        return folder, files.commit
    say(f"正在下载 / downloading {repo_id} @ {files.commit[:7]} …")
    for _ in range(2):
        folder = download(repo_id, files.commit, cache, token)
        damaged = files.differing(folder, wanted)
        if not damaged:
            return folder, files.commit
        say(f"{', '.join(damaged)}：传输有误，重新下载 / damaged on the way, fetched again")
        for path in damaged:
            forget(folder / path)
    raise HubError(
        f"{repo_id}: {', '.join(damaged)} arrived damaged twice; something between this machine "
        f"and {constants.ENDPOINT} changes files: try another network or mirror"
    )


def look(repo_id: str, revision: str | None) -> tuple[RemoteFiles, bool | None]:
    """Ask which files a revision has; also whether to show the token (None: if any). 先问一问。

    A token that is no longer good must not hide a public model: then the Hub is asked without.
    """
    doing, ask = f"looking for {repo_id}", HfApi().repo_info
    wanted = {"revision": revision, "timeout": LOOK_SECONDS, "files_metadata": True}
    try:
        return RemoteFiles.of(call(say, doing, ask, repo_id, **wanted)), None
    except HubError as error:
        if error.status != 401:
            raise
        with_token = error
    try:
        return RemoteFiles.of(call(say, doing, ask, repo_id, token=False, **wanted)), False
    except HubError:
        raise with_token from None


def download(repo_id: str, commit: str, cache: Path | None, token: bool | None) -> Path:
    """Download one commit; once more over the other way when the first fails. 下载。

    Large files come over Xet or plainly, and a mirror may know only one of the two.
    """

    def once() -> Path:
        found = snapshot_download(
            repo_id,
            revision=commit,
            cache_dir=cache,
            allow_patterns=ALL_PATTERNS,
            token=token,
            max_workers=WORKERS,
        )
        return Path(found)

    try:
        return once()
    except CLIENT_ERRORS as error:
        if isinstance(error, OSError) and error.errno is not None:  # the disk: no way helps
            fail(f"downloading {repo_id}", error)
    say("换一种方式再试 / trying the other way")
    constants.HF_HUB_DISABLE_XET = not constants.HF_HUB_DISABLE_XET
    with explained(f"downloading {repo_id}"):
        return once()


if __name__ == "__main__":
    sys.stdout.reconfigure(encoding="utf-8")  # type: ignore[union-attr]
    repo, wanted_revision, cache_folder = (*sys.argv[1:], "", "")[:3]
    sys.exit(main(repo, wanted_revision or None, Path(cache_folder) if cache_folder else None))
