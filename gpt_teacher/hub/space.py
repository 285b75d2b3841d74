"""The app online: make or update a Space, and wait until it runs. 把网页部署到 Space。"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from huggingface_hub import HfApi

from gpt_teacher.errors import HubError
from gpt_teacher.hub.connection import Say, call
from gpt_teacher.hub.failures import without_tokens
from gpt_teacher.hub.files import RemoteFiles
from gpt_teacher.hub.push import PushOptions, Repository, commit_folder, remote_files
from gpt_teacher.hub.space_folder import MARK

FREE, ZERO_GPU = "cpu-basic", "zero-a10g"
FAILED = ("CONFIG_ERROR", "BUILD_ERROR", "RUNTIME_ERROR", "NO_APP_FILE", "DELETING")
ASLEEP = ("PAUSED", "SLEEPING", "STOPPED")  # SLEEPING is not in the client's list, but comes
POLL_SECONDS = 3.0
SETTLE_SECONDS = 20.0  # after a push the Hub may still tell how the version before was
N_LOG_LINES = 30
PAYMENT = (
    "Since July 2026 a Gradio Space on a CPU takes a PRO or Team account. Free ways: --zero-gpu "
    "(two Spaces; the account older than 30 days, its e-mail confirmed), or `python app.py` on a "
    "computer of yours. A static page that needs no server is to come."
)
PRIVATE = (
    "{model} is private: the Space cannot read it. Make the model public, or give the Space a "
    "secret HF_TOKEN that may read it, on {address}/settings"
)


class Deployed(NamedTuple):
    """What has come of it. 部署结果。"""

    commit: str  # of the Space
    changed: bool  # False = all was there already


def deploy(
    folder: Path, space: Repository, variables: dict[str, str], zero_gpu: bool, say: Say
) -> Deployed:
    """Make the Space hold the folder and these variables. 部署。

    Running it again goes on where it stopped. Raises HubError.
    """
    hardware = ZERO_GPU if zero_gpu else FREE
    before, moved = remote_files(space, say), False
    if before is None:
        before = _create(space, hardware, say)
    else:
        _check_ours(space, before)
        moved = zero_gpu and _move_to(space, hardware, say)
    changed = _set_variables(space, variables, say)
    published = commit_folder(folder, space, before, PushOptions(), say)
    return Deployed(published.commit, moved or changed or bool(published.changed))


def _check_ours(space: Repository, before: RemoteFiles) -> None:
    """Raise HubError if it is another app: nobody's work is to be overwritten.

    A static page or a Docker image is one as well, with no app.py.
    """
    if before.own_files() and MARK not in before.fingerprints:
        raise HubError(
            f"{space.repo_id} is another app already; nothing was changed: choose a new name for "
            f"the Space, or delete that one on {space.address}/settings"
        )


def _create(space: Repository, hardware: str, say: Say) -> RemoteFiles:
    say(f"新建 Space / creating {space.repo_id} on {hardware}")
    _paying(
        call,
        say,
        f"creating {space.repo_id}",
        HfApi().create_repo,
        space.repo_id,
        repo_type="space",
        space_sdk="gradio",
        space_hardware=hardware,
        exist_ok=True,
    )
    made = remote_files(space, say)
    assert made is not None, "it has just been made"
    return made


def _move_to(space: Repository, hardware: str, say: Say) -> bool:
    """Ask for other hardware; tell if it was another."""
    api, doing = HfApi(), f"asking for {hardware}"
    runtime = call(say, doing, api.get_space_runtime, space.repo_id)
    if runtime.requested_hardware == hardware:
        return False
    _paying(call, say, doing, api.request_space_hardware, space.repo_id, hardware)
    say(f"改用 {hardware} / {space.repo_id} moves to {hardware}")
    return True


def _paying(function: Callable[..., object], *arguments: Any, **named: Any) -> None:
    """Call; explain what is free when the Hub wants money (402). Raises HubError."""
    try:
        function(*arguments, **named)
    except HubError as error:
        if error.status != 402:
            raise
        raise HubError(f"{error}\n{PAYMENT}", 402) from None


def _set_variables(space: Repository, wanted: dict[str, str], say: Say) -> bool:
    api, doing = HfApi(), f"setting the variables of {space.repo_id}"
    found = call(say, doing, api.get_space_variables, space.repo_id)
    missing = {k: v for k, v in wanted.items() if k not in found or found[k].value != v}
    for key, value in missing.items():
        call(say, doing, api.add_space_variable, space.repo_id, key, value)
    return bool(missing)


def wait_until_running(space: Repository, commit: str, seconds: float, say: Say) -> None:
    """Wait for this commit of the Space to run; show its log. 等待启动。

    One that is asleep is started. Raises HubError, log included, if it fails or takes too long.
    """
    api, started_at, shown, settled = HfApi(), time.monotonic(), "", False
    while True:
        runtime = call(say, f"asking how {space.repo_id} is", api.get_space_runtime, space.repo_id)
        stage, waited = str(runtime.stage), time.monotonic() - started_at
        if stage != shown:
            say(f"Space: {stage}")
        if stage in ASLEEP and stage != shown:
            call(say, f"starting {space.repo_id}", api.restart_space, space.repo_id)
            shown = stage
            continue
        shown, at_rest = stage, stage == "RUNNING" or stage in FAILED
        settled |= not at_rest or runtime.raw.get("sha") == commit or waited >= SETTLE_SECONDS
        if at_rest and settled:
            _tell_end(space, stage, runtime.raw.get("errorMessage") or "", say)
            return
        if waited >= seconds:
            raise HubError(
                f"{space.repo_id} is not up after {seconds:g} s ({stage}); it goes on by itself: "
                f"look at {space.address}, or wait longer with --wait SECONDS"
            )
        time.sleep(min(POLL_SECONDS, seconds - waited))


def _tell_end(space: Repository, stage: str, error: str, say: Say) -> None:
    """Show the log of a Space that has come up. Raises HubError for one that has not."""
    log = _log(space, stage == "BUILD_ERROR", say)
    if stage != "RUNNING":
        raise HubError(f"{space.repo_id} does not start: {stage} {without_tokens(error)}\n{log}")
    say(log)


def _log(space: Repository, build: bool, say: Say) -> str:
    """Return the last lines of its log; a Hub that does not give them is no failure."""
    try:
        lines = call(
            say,
            "reading the log",
            lambda: list(HfApi().fetch_space_logs(space.repo_id, build=build)),
        )
    except HubError as error:
        return str(error)
    return without_tokens("".join(lines[-N_LOG_LINES:]).rstrip())
