"""Pulling a model: whole, checked, in bounded time, and from this machine when it must be."""

from __future__ import annotations

import math
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import Commands, Finished, TinyRun
from hub_commands import REPO, HubCommands
from hub_faults import refused_endpoint, silent_endpoint, web_page_endpoint
from hub_server import HubServer

from gpt_teacher import is_folder_name

ROOT = Path(__file__).parent.parent
DENSITY = "密度是质量除以体积。"
EARLIER_COPY = "an earlier copy"


@pytest.fixture
def hub(tiny_run: TinyRun) -> Iterator[HubServer]:
    """A Hub that has REPO: the tiny run as it is published."""
    with HubServer() as server:
        publish(server, tiny_run.save_dir)
        yield server


def publish(hub: HubServer, folder: Path) -> str:
    """Put a run into REPO at the Hub itself; return the commit."""
    repository = hub.repositories.get(("model", REPO)) or hub.create(REPO)
    files = {}
    for name, prefix in (("last", ""), ("quantized", "quantized/")):
        for path in sorted((folder / name).iterdir()):
            is_lfs = path.suffix == ".safetensors"
            files[prefix + path.name] = repository.store(path.read_bytes(), is_lfs)
    return repository.commit("main", files, "a run").sha


@pytest.fixture
def student(commands: Commands, untrained_project: Path, tmp_path: Path) -> HubCommands:
    """Somebody without a model, in a folder of the project."""
    project = Path(shutil.copytree(untrained_project, tmp_path / "project"))
    return HubCommands(commands, project, tmp_path / "home")


def answered(
    student: HubCommands, endpoint: HubServer | str, *arguments: object, **how: object
) -> str:
    """The answer's stderr, after the right answer has come."""
    how.setdefault("token", None)
    done = student.ask(endpoint, *arguments, **how)
    assert (done.code, done.stdout) == (0, DENSITY + "\n"), done.stderr
    return done.stderr


def refused(
    student: HubCommands, endpoint: HubServer | str, *arguments: object, **how: object
) -> str:
    """The message, after no answer has come."""
    how.setdefault("token", None)
    done = student.ask(endpoint, *arguments, **how)
    assert (done.code, done.stdout) == (2, "")
    return done.stderr


def at_once(student: HubCommands, *endpoints: str) -> list[Finished]:
    """Ask through several endpoints at the same time."""
    words = ("ask", "什么是密度?", "--checkpoint", REPO)
    processes = [student.start(endpoint, *words, token=None) for endpoint in endpoints]
    return [student.checked(student.commands.wait(process), None) for process in processes]


# ---------------------------------------------------------------- what is asked and fetched


def test_a_model_is_fetched_whole_and_once(hub: HubServer, student: HubCommands) -> None:
    assert "downloading teacher/demo" in answered(student, hub)
    n_requests = len(hub.requests)
    assert "downloading" not in answered(student, hub)
    assert len(hub.requests) == n_requests + 1, "at main, one: is it still this commit?"


def test_a_pinned_commit_that_is_here_is_opened_without_a_request(
    hub: HubServer, student: HubCommands
) -> None:
    commit = hub.model(REPO).history("main")[0].sha
    answered(student, hub, "--revision", commit)
    n_requests = len(hub.requests)
    answered(student, hub, "--revision", commit)
    assert len(hub.requests) == n_requests
    with silent_endpoint() as endpoint:
        answered(student, endpoint, "--revision", commit)


def test_a_newer_commit_is_fetched_and_a_tag_keeps_the_old_one(
    hub: HubServer, student: HubCommands
) -> None:
    repository = hub.model(REPO)
    repository.tags["v1"] = repository.history("main")[0].sha
    answered(student, hub)
    broken = repository.store(b"no weights", True)
    repository.commit("main", repository.files | {"model.safetensors": broken}, "by mistake")
    assert "model.safetensors is damaged" in refused(student, hub)
    answered(student, hub, "--revision", "v1")


def test_offline_only_what_is_here_is_opened(hub: HubServer, student: HubCommands) -> None:
    assert f"{REPO} at main is not on this machine" in refused(student, hub, "--offline")
    answered(student, hub)
    n_requests = len(hub.requests)
    answered(student, hub, "--offline")
    answered(student, hub, HF_HUB_OFFLINE="1")
    answered(student, hub, "--set", "hub.offline=true")
    assert "at v9 is not on this machine" in refused(student, hub, "--offline", "--revision", "v9")
    assert len(hub.requests) == n_requests


def test_what_is_not_here_is_fetched_by_the_command_that_is_named(
    hub: HubServer, student: HubCommands
) -> None:
    """Found here: without --revision the client fetched main, and v1 was still not there."""
    repository = hub.model(REPO)
    repository.tags["v1"] = repository.history("main")[0].sha
    repository.commit("main", {}, "another version")
    said = refused(student, hub, "--offline", "--revision", "v1")
    words = said.partition("hf download")[2].partition(",")[0]
    assert words == f" {REPO} --revision v1"
    client = [Path(sys.executable).with_name("hf"), "download", *words.split()]
    environment = student.environment(hub, token=None)
    subprocess.run(client, env=environment, check=True, capture_output=True, timeout=60)
    answered(student, hub, "--offline", "--revision", "v1")


def test_a_stale_token_does_not_hide_a_public_model(hub: HubServer, student: HubCommands) -> None:
    answered(student, hub, token="hf_oldone")


def test_what_is_not_there_is_said(hub: HubServer, student: HubCommands) -> None:
    assert "it has no such branch, tag or commit" in refused(student, hub, "--revision", "v9")
    done = student.run(hub, "ask", "你好", "--checkpoint", "teacher/nothere")
    assert done.code == 2
    assert "there is no such repository, or it is private" in done.stderr
    assert "there is no folder teacher/nothere here, either" in done.stderr
    hub.create("teacher/other").commit("main", {}, "empty")
    done = student.run(hub, "ask", "你好", "--checkpoint", "teacher/other")
    assert "teacher/other is no model of this project" in done.stderr
    hub.model(REPO).gated = "manual"
    assert "asks for consent" in refused(student, hub)


@pytest.mark.parametrize(
    ("name", "is_folder"),
    [
        ("teacher/demo", False),
        ("https://huggingface.co/teacher/demo", False),
        ("checkpoints/last", True),
        ("runs/mine", True),
        ("here/new", True),
        ("./teacher", True),
        ("/media/usb/demo", True),
        ("E:\\demo", True),
        ("demo", True),
        ("a/b/c", True),
    ],
)
def test_which_names_are_folders(
    name: str, is_folder: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path)
    assert is_folder_name(name) is is_folder


# ---------------------------------------------------------------- faults on the way


def test_faults_that_pass_are_waited_out(hub: HubServer, student: HubCommands) -> None:
    hub.fault(f"/api/models/{REPO}", status=503)
    hub.fault("/resolve/", method="HEAD", status=503)
    hub.fault("/_cdn/", method="GET", status=429, headers={"Retry-After": "1"})
    assert "等待 1 秒后重试" in answered(student, hub)


def test_a_connection_cut_in_mid_file_is_taken_up_again(
    hub: HubServer, student: HubCommands
) -> None:
    hub.fault("/_cdn/", method="GET", cut=1000)
    answered(student, hub)


def test_a_flipped_byte_is_noticed_and_the_file_fetched_again(
    hub: HubServer, student: HubCommands
) -> None:
    hub.fault("/_cdn/", method="GET", corrupt=True)
    hub.fault("/resolve/.*/tokenizer.json", method="GET", corrupt=True)
    said = answered(student, hub)
    assert "model.safetensors" in said
    assert "tokenizer.json" in said
    assert "damaged on the way" in said


def test_bytes_that_are_always_wrong_are_never_opened(hub: HubServer, student: HubCommands) -> None:
    fault = hub.fault("/_cdn/", method="GET", corrupt=True, times=math.inf)
    assert "arrived damaged twice" in refused(student, hub)
    assert "is not on this machine" in refused(student, hub, "--offline")
    fault.times = 0
    answered(student, hub)


def test_a_truncated_file_is_never_opened(hub: HubServer, student: HubCommands) -> None:
    fault = hub.fault("/_cdn/", method="GET", shorten=100, times=math.inf)
    assert "downloading teacher/demo" in refused(student, hub)
    fault.times = 0
    answered(student, hub)


def test_a_file_damaged_on_this_disk_is_fetched_again(hub: HubServer, student: HubCommands) -> None:
    commit = hub.model(REPO).history("main")[0].sha
    answered(student, hub, "--revision", commit)
    for blob in (student.home / "hub").rglob("blobs/*"):
        blob.write_bytes(blob.read_bytes()[:-1] + b"?")
    assert "downloading" in answered(student, hub, "--revision", commit)


def test_without_an_answer_the_earlier_copy_serves(hub: HubServer, student: HubCommands) -> None:
    answered(student, hub)
    fault = hub.fault("/", status=500, times=math.inf)
    assert EARLIER_COPY in answered(student, hub)
    fault.times = 0
    with refused_endpoint() as nobody, silent_endpoint() as silent, web_page_endpoint() as page:
        for done in at_once(student, nobody, silent, page):
            assert (done.code, done.stdout) == (0, DENSITY + "\n")
            assert EARLIER_COPY in done.stderr


def test_without_an_answer_or_a_copy_it_is_said_soon(student: HubCommands) -> None:
    started_at = time.monotonic()
    with refused_endpoint() as nobody, silent_endpoint() as silent, web_page_endpoint() as page:
        ends = at_once(student, nobody, silent, page)
    assert time.monotonic() - started_at < 15
    assert [done.code for done in ends] == [2, 2, 2]
    assert f"no way to {nobody}" in ends[0].stderr
    assert f"{silent} does not answer" in ends[1].stderr
    assert f"{page} is no Hub" in ends[2].stderr


def test_a_mirror_without_xet_is_tried_the_other_way(
    student: HubCommands, tiny_run: TinyRun
) -> None:
    """The Hub names Xet for a file, but its store is not to be reached."""
    with HubServer(xet=True) as hub:
        publish(hub, tiny_run.save_dir)
        stored = hub.model(REPO).files["model.safetensors"]
        assert hub.xet is not None
        hub.xet.hashes[stored.oid] = "0" * 64
        hub.fault("/xet-read-token", status=404, times=math.inf)
        assert "trying the other way" in answered(student, hub, xet=True)


def test_a_cache_that_cannot_be_written_is_named(
    hub: HubServer, student: HubCommands, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    said = refused(student, hub, HF_HUB_CACHE=str(tmp_path / "file" / "cache"))
    assert "cannot write" in said
    assert "HF_HOME" in said


def test_a_full_disk_is_named(hub: HubServer, student: HubCommands) -> None:
    resource = pytest.importorskip("resource")
    limit = (100_000, 100_000)  # bytes a file: less than the weights
    done = subprocess.run(
        [sys.executable, "-m", "scripts.ask", "什么是密度?", "--checkpoint", REPO],
        cwd=student.project,
        env=student.environment(hub, token=None) | {"PYTHONPATH": str(ROOT)},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, limit),
        capture_output=True,
        encoding="utf-8",
        timeout=60,
    )
    assert done.returncode == 2
    assert "free some space, or set HF_HOME to a folder that can be written" in done.stderr
    assert "Traceback" not in done.stderr
    answered(student, hub)


# ---------------------------------------------------------------- the time limit

PULL = """
import sys
from gpt_teacher.hub.pull import pull
from gpt_teacher.errors import HubError
try:
    print(pull("teacher/demo", seconds=2.0, go_on=sys.argv[1] == "go on").folder)
except HubError as error:
    sys.exit(str(error))
"""


@pytest.mark.parametrize("then", ["stop", "go on"])
def test_a_slow_download_is_left_after_the_time_given(
    hub: HubServer, student: HubCommands, then: str
) -> None:
    hub.fault("/_cdn/", method="GET", delay=4.0)
    started_at = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", PULL, then],
        env=student.environment(hub, token=None) | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        encoding="utf-8",
        timeout=60,
    )
    assert done.returncode == 1
    assert 2.0 < time.monotonic() - started_at < 6.0
    until = time.monotonic() + 5
    offline = (2, "")
    while offline[0] != 0 and time.monotonic() < until:
        offline = (lambda d: (d.code, d.stderr))(student.ask(hub, "--offline", token=None))
    if then == "stop":
        assert "did not arrive within 2 s" in done.stderr
        assert offline[0] == 2, "nothing is left behind that goes on"
    else:
        assert "the download goes on for the next time" in done.stderr
        assert offline[0] == 0, offline[1]


def test_from_pretrained_opens_a_repository_at_a_revision(
    hub: HubServer, student: HubCommands
) -> None:
    program = """
from gpt_teacher import from_pretrained
teacher = from_pretrained("teacher/demo", revision="main")
print(teacher.answer("什么是密度?"), teacher.origin.repo_id, teacher.origin.commit)
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=student.environment(hub, token=None) | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        encoding="utf-8",
        timeout=60,
    )
    commit = hub.model(REPO).history("main")[0].sha
    assert done.stdout == f"{DENSITY} {REPO} {commit}\n", done.stderr
