"""Publishing on a network that fails: one sentence, nothing half-published, safe to repeat."""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Literal

import pytest
from conftest import Commands
from hub_commands import REPO, HubCommands
from hub_faults import refused_endpoint, silent_endpoint, web_page_endpoint
from hub_server import HubServer

from gpt_teacher.errors import HubError
from gpt_teacher.hub.connection import repo_id_of

pytestmark = pytest.mark.slow  # who waits for a network that fails waits long

DENSITY = "密度是质量除以体积。"
# Each request that a push makes, in its order.
REQUESTS = {
    "who am I": ("GET", "/api/whoami-v2"),
    "look": ("GET", f"/api/models/{REPO}$"),
    "create": ("POST", "/api/repos/create"),
    "plan": ("POST", "/preupload/"),
    "batch": ("POST", "/objects/batch"),
    "upload": ("PUT", "/_s3/"),
    "verify": ("POST", "/_verify"),
    "commit": ("POST", "/commit/"),
    "tag": ("POST", "/tag/"),
}


def is_untouched(hub: HubServer) -> bool:
    """Nothing is published: no repository, or one with the Hub's own first commit."""
    repository = hub.repositories.get(("model", REPO))
    return repository is None or len(repository.history("main")) == 1


def is_whole(hub: HubServer, student: HubCommands) -> bool:
    """The repository holds the run, its weights above all."""
    stored = hub.model(REPO).files["model.safetensors"]
    weights = (student.project / "checkpoints/last/model.safetensors").read_bytes()
    return hub.blobs[stored.oid] == weights and len(hub.model(REPO).history("main")) == 2


def refused(hub: HubServer | str, student: HubCommands, *sentences: str, **how: object) -> None:
    """A push that ends with these words and publishes nothing."""
    done = student.push(hub, **how)
    assert done.code == 2
    assert done.stderr.count("error: ") == 1
    for sentence in sentences:
        assert sentence in done.stderr
    assert isinstance(hub, str) or is_untouched(hub)


# ---------------------------------------------------------------- accounts


def test_without_a_token_one_is_told_to_log_in(hub: HubServer, student: HubCommands) -> None:
    refused(hub, student, "hf auth login", "HF_TOKEN", token=None)
    assert not hub.repositories


def test_a_token_that_is_no_longer_good(hub: HubServer, student: HubCommands) -> None:
    refused(hub, student, "the Hub does not accept the token", "hf auth login", token="hf_oldone")
    assert not hub.repositories


def test_a_token_for_reading(hub: HubServer, student: HubCommands) -> None:
    refused(hub, student, "the token of teacher may only read", token="hf_read")
    refused(hub, student, "this account may not do that", token="hf_fine_read")
    assert not hub.requested("POST", "/preupload/")


def test_a_fine_grained_token_for_this_repository_is_enough(
    hub: HubServer, student: HubCommands
) -> None:
    done = student.run(hub, "push_to_hub", "--repo-id", "teacher/lesson", token="hf_fine_write")
    assert done.code == 0, done.stderr


def test_somebody_elses_namespace(hub: HubServer, student: HubCommands) -> None:
    refused(
        hub,
        student,
        "teacher is not yours: you may publish as student",
        "--repo-id student/demo",
        "--create-pr",
        token="hf_student",
    )
    assert not hub.repositories


@pytest.mark.parametrize(
    "name", ["demo", "三班/模型", "teacher/a/b", "teacher/a--b", "teacher/demo.git", "-/x"]
)
def test_a_name_that_is_none(student: HubCommands, name: str) -> None:
    done = student.run("http://127.0.0.1:9", "push_to_hub", f"--repo-id={name}")
    assert done.code == 2
    assert "is not the name of a repository; write USER/NAME" in done.stderr


@pytest.mark.parametrize(
    "address",
    ["https://huggingface.co/teacher/demo", "{url}/teacher/demo/tree/main", "{url}/teacher/demo/"],
)
def test_a_pasted_address_is_a_name(hub: HubServer, student: HubCommands, address: str) -> None:
    done = student.run(hub, "push_to_hub", "--repo-id", address.format(url=hub.url))
    assert done.code == 0, done.stderr
    assert is_whole(hub, student)


@pytest.mark.parametrize(
    ("kind", "address", "what"),
    [
        ("model", "https://huggingface.co/datasets/teacher/demo", "a dataset, not of a model"),
        ("model", "https://huggingface.co/datasets/squad", "a dataset, not of a model"),
        ("model", "https://huggingface.co/spaces/teacher/demo", "a space, not of a model"),
        ("space", "https://huggingface.co/datasets/teacher/demo", "a dataset, not of a space"),
    ],
)
def test_a_pasted_address_of_something_else_is_refused(
    kind: Literal["model", "space"], address: str, what: str
) -> None:
    """Found here: the dataset's became the repository datasets/teacher."""
    with pytest.raises(HubError, match=rf"^'{address}' is the address of {what}; write USER/NAME"):
        repo_id_of(address, kind)
    assert repo_id_of(f"https://huggingface.co/{kind}s/teacher/demo", kind) == "teacher/demo"


def test_a_mirror_is_for_reading(student: HubCommands) -> None:
    done = student.push("https://hf-mirror.com")
    assert done.code == 2
    assert "is a mirror for reading only" in done.stderr


# ---------------------------------------------------------------- faults of the Hub


def test_a_fault_of_each_request_once_is_waited_out(hub: HubServer, student: HubCommands) -> None:
    for method, path in REQUESTS.values():
        hub.fault(path, method=method, status=500)
    done = student.pushed(hub, "--tag", "v1")
    assert done.stderr.count("等待") >= 5
    assert is_whole(hub, student)
    assert hub.model(REPO).tags["v1"] == hub.model(REPO).history("main")[0].sha


def test_a_fault_of_any_request_for_ever_ends_in_a_sentence_and_the_next_push_works(
    commands: Commands, tiny_project: Callable[..., Path], tmp_path: Path
) -> None:
    """All at once: the client itself tries some of them for half a minute."""
    with ExitStack() as stack:
        pushes = []
        for name, (method, path) in REQUESTS.items():
            hub = stack.enter_context(HubServer())
            fault = hub.fault(path, method=method, status=503, times=math.inf)
            student = HubCommands(
                commands, tiny_project(name, trained=True), tmp_path / f"of {name}"
            )
            process = student.start(hub, "push_to_hub", "--repo-id", REPO, "--tag", "v1")
            pushes.append((name, hub, fault, student, process))
        for name, hub, fault, student, process in pushes:
            done = student.checked(commands.wait(process))
            assert done.code == 2, name
            assert "HTTP 503" in done.stderr, name
            assert "safe to run the same command again" in done.stderr, name
            assert is_untouched(hub) or name == "tag"
            fault.times = 0
        again = [
            student.start(hub, "push_to_hub", "--repo-id", REPO, "--tag", "v1")
            for _, hub, _, student, _ in pushes
        ]
        for (name, hub, _, student, _), process in zip(pushes, again, strict=True):
            done = student.checked(commands.wait(process))
            assert done.code == 0, (name, done.stderr)
            assert is_whole(hub, student)
            assert "v1" in hub.model(REPO).tags


def test_too_many_requests_are_waited_out_as_the_hub_asks(
    hub: HubServer, student: HubCommands
) -> None:
    hub.fault("/api/whoami-v2", status=429, headers={"Retry-After": "2"})
    started_at = time.monotonic()
    done = student.pushed(hub)
    assert time.monotonic() - started_at > 2
    assert "限流，等待 2 秒" in done.stderr


def test_a_wait_of_ten_minutes_is_left_to_the_user(hub: HubServer, student: HubCommands) -> None:
    hub.fault("/api/whoami-v2", status=429, headers={"Retry-After": "600"}, times=math.inf)
    refused(hub, student, "too many requests from this network")


def test_a_repository_that_somebody_makes_meanwhile_is_used(
    hub: HubServer, student: HubCommands
) -> None:
    hub.fault("/api/repos/create").before = lambda: hub.create(REPO)
    student.pushed(hub)
    assert is_whole(hub, student)


def test_a_repository_that_goes_away_meanwhile(hub: HubServer, student: HubCommands) -> None:
    hub.fault("/commit/").before = lambda: hub.repositories.pop(("model", REPO))
    done = student.push(hub)
    assert done.code == 2
    assert "there is no such repository" in done.stderr
    student.pushed(hub)
    assert is_whole(hub, student)


def test_an_answer_lost_after_the_commit_is_found(hub: HubServer, student: HubCommands) -> None:
    hub.fault("/commit/", cut=0)
    student.pushed(hub)
    assert is_whole(hub, student)


def test_an_upload_address_that_has_expired(hub: HubServer, student: HubCommands) -> None:
    hub.fault("/_s3/", status=403)
    done = student.pushed(hub)
    assert "等待" in done.stderr
    assert is_whole(hub, student)


def test_a_connection_that_is_cut_in_mid_upload(hub: HubServer, student: HubCommands) -> None:
    hub.fault("/_s3/", cut=0)
    student.pushed(hub)
    assert is_whole(hub, student)


# ---------------------------------------------------------------- no way to the Hub


def test_whatever_is_wrong_with_the_endpoint_is_said_in_a_sentence(
    commands: Commands, tiny_project: Callable[..., Path], tmp_path: Path
) -> None:
    """All at once, since each waits some seconds."""
    with refused_endpoint() as nobody, silent_endpoint() as silent, web_page_endpoint() as page:
        sentences = {
            nobody: f"no way to {nobody}",
            silent: f"{silent} does not answer",
            page: f"{page} is no Hub, or a login page of the network",
            "huggingface.co": "'huggingface.co' is no address; write https://HOST",
            "htp://127.0.0.1": "'htp://127.0.0.1' is no address",
        }
        student = HubCommands(commands, tiny_project(trained=True), tmp_path / "home")
        started_at = time.monotonic()
        processes = [student.start(e, "push_to_hub", "--repo-id", REPO) for e in sentences]
        for sentence, process in zip(sentences.values(), processes, strict=True):
            done = student.checked(commands.wait(process))
            assert done.code == 2
            assert done.stderr.count("error: ") == 1
            assert sentence in done.stderr
        assert time.monotonic() - started_at < 25


@pytest.mark.parametrize(
    ("proxy", "remedy"),
    [
        ("socks5://127.0.0.1:9", 'pip install "httpx2[socks]"'),
        ("socks://127.0.0.1:9", "write http://HOST:PORT"),
    ],
)
def test_proxy_variables_that_break_the_client(
    hub: HubServer, student: HubCommands, proxy: str, remedy: str
) -> None:
    done = student.push(hub, all_proxy=proxy, NO_PROXY="", no_proxy="")
    assert done.code == 2
    assert "proxy variable" in done.stderr
    assert remedy in done.stderr
    pulled = student.ask(hub, all_proxy=proxy, NO_PROXY="", no_proxy="")
    assert pulled.code == 2
    assert remedy in pulled.stderr


def test_offline_mode_is_named(hub: HubServer, student: HubCommands) -> None:
    refused(hub, student, "HF_HUB_OFFLINE is set", HF_HUB_OFFLINE="1")


# ---------------------------------------------------------------- interrupted, and at once


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_push_ended_in_mid_upload_is_done_by_the_next(
    hub: HubServer, student: HubCommands, number: signal.Signals
) -> None:
    fault = hub.fault("/_s3/", delay=30, times=math.inf)
    process = student.start(hub, "push_to_hub", "--repo-id", REPO)
    until = time.monotonic() + 20
    while not hub.requested("PUT", "/_s3/") and time.monotonic() < until:
        time.sleep(0.02)
    done = student.checked(student.commands.kill(process, number))
    assert done.code == (130 if number == signal.SIGINT else -number)
    assert is_untouched(hub)
    fault.times = 0
    student.pushed(hub)
    assert is_whole(hub, student)


def test_of_two_pushes_at_once_one_is_published_whole(
    hub: HubServer, commands: Commands, tiny_project: Callable[..., Path], tmp_path: Path
) -> None:
    hub.create(REPO)
    students = []
    for name in ("one", "two"):
        student = HubCommands(commands, tiny_project(name, trained=True), tmp_path / f"of {name}")
        path = student.project / "checkpoints/last/train_log.jsonl"
        path.write_bytes(path.read_bytes() + b'{"event": "note", "by": "%s"}\n' % name.encode())
        students.append(student)
    hub.fault("/preupload/", delay=1.0, times=2)  # both have looked before one commits
    processes = [s.start(hub, "push_to_hub", "--repo-id", REPO) for s in students]
    ends = [s.checked(commands.wait(p)) for s, p in zip(students, processes, strict=True)]
    assert sorted(end.code for end in ends) == [0, 2]
    loser = next(end for end in ends if end.code == 2)
    assert "has changed meanwhile" in loser.stderr
    winner = students[[end.code for end in ends].index(0)]
    stored = hub.model(REPO).files["train_log.jsonl"]
    log = (winner.project / "checkpoints/last/train_log.jsonl").read_bytes()
    assert hub.blobs[stored.oid] == log
    assert len(hub.model(REPO).history("main")) == 2


def test_a_checkpoint_that_is_not_whole_is_not_published(
    hub: HubServer, student: HubCommands
) -> None:
    folder = student.project / "checkpoints/last"
    weights = folder / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[: len(whole) // 2])
    refused(hub, student, "model.safetensors is damaged")
    weights.unlink()
    refused(hub, student, "is not a whole checkpoint: model.safetensors missing")
    done = student.push(hub, "--checkpoint", "nowhere")
    assert done.code == 2
    assert "no checkpoint in nowhere; train one with: python -m scripts.train" in done.stderr
    assert not hub.repositories
