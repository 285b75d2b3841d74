"""docs/CLASSROOM.md is true: each of its commands is run, as the page goes, by who is to run it.

Teacher, students and strangers have a computer each, with a project, a login and a cache of its
own; what `--output` and `--local-dir` write goes round on a stick. These lines cannot be run as
they stand:

    hf auth login                                  asks: it is given --token
    export HF_ENDPOINT=https://hf-mirror.com       the Hub of the tests, otherwise out of reach
    python app.py …                                does not end: it is looked at, then Ctrl+C
"""

from __future__ import annotations

import argparse
import json
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from classroom_page import (
    CHINESE,
    ENGLISH,
    STRANGER,
    STUDENT,
    TEACHER,
    Block,
    blocks,
    failures,
    programs,
)
from conftest import QUESTIONS, ROOT, Commands, Finished, TinyRun
from hub_commands import REPO, HubCommands
from hub_faults import refused_endpoint, silent_endpoint, web_page_endpoint
from hub_server import HubServer
from hub_wire import Request

from gpt_teacher.config import Config
from scripts import page_models

pytestmark = pytest.mark.slow  # the lesson from end to end, with an app for each computer

NO_TOKEN = {"token": None, "xet": True}  # but for a login; over Xet, as the real Hub
TOKENS = {TEACHER: "hf_write", STUDENT: "hf_student"}
MIRROR, NOWHERE = "https://hf-mirror.com", "http://127.0.0.1:9"
WRITES = ("--output", "--local-dir")
QUESTION = "什么是密度?"
PAGE_UP_SECONDS = 45.0


@dataclass(frozen=True)
class Ran:
    """A line of the page and what came of it."""

    line: str
    who: str
    output: str
    requests: list[Request]
    computer: HubCommands


@dataclass(frozen=True)
class App:
    """A line `python app.py …`: they start together, when the page is through."""

    line: str
    computer: HubCommands
    arguments: list[str]


@dataclass
class Classroom:
    """The people of the page at their computers."""

    hub: HubServer
    commands: Commands
    trained: Path
    untrained: Path
    folder: Path
    computers: dict[str, HubCommands] = field(default_factory=dict)
    ran: list[Ran] = field(default_factory=list)
    apps: list[App] = field(default_factory=list)
    n_computers: int = 0

    def run(self, block: Block) -> None:
        """Run a block where it belongs. Strangers are many: each block is another of them."""
        computer = self.computers.get(block.who)
        if computer is None:
            computer = self.new_computer(any("push_to_hub" in line for line in block.lines))
        if block.who != STRANGER:
            self.computers[block.who] = computer
        shutil.copytree(self.stick, computer.project, dirs_exist_ok=True)
        mirrored = any(line.startswith("export HF_ENDPOINT") for line in block.lines)
        variables = {"HF_ENDPOINT": NOWHERE if mirrored else self.hub.url}
        for line in block.lines:
            n_requests = len(self.hub.requests)
            output = self.run_line(line, block.who, computer, variables)
            self.ran.append(Ran(line, block.who, output, self.hub.requests[n_requests:], computer))

    def run_line(
        self, line: str, who: str, computer: HubCommands, variables: dict[str, str]
    ) -> str:
        """Return what it prints."""
        words = shlex.split(line, comments=True)
        if words[0] == "export":
            name, value = words[1].split("=", 1)
            variables[name] = self.hub.url if value == MIRROR else value
            return ""
        if words[:2] == ["python", "app.py"]:
            self.apps.append(App(line, computer, words[2:]))
            return ""
        if words[0] == "hf":
            done = self.hf(computer, *words[1:], *login(words, who), **variables)
        elif words[:2] == ["python", "-m"] and words[2].startswith("scripts."):
            name = words[2].removeprefix("scripts.")
            if name == "release" or "--create-pr" in words:
                train_again(computer)
            done = computer.run(self.hub, name, *words[3:], **NO_TOKEN, **variables)
        else:
            pytest.fail(f"nobody runs {line!r}")
        assert done.code == 0, (line, done.stderr)
        for option in WRITES:
            if option in words:
                written = words[words.index(option) + 1]
                shutil.copytree(computer.project / written, self.stick / written)
        assert not any(token in done.stdout + done.stderr for token in TOKENS.values())
        return done.stdout + done.stderr

    def new_computer(self, trained: bool) -> HubCommands:
        self.n_computers += 1
        place = self.folder / f"computer {self.n_computers}"
        shutil.copytree(self.trained if trained else self.untrained, place / "project")
        return HubCommands(self.commands, place / "project", place / "home")

    @property
    def stick(self) -> Path:
        stick = self.folder / "stick"
        stick.mkdir(exist_ok=True)
        return stick

    def hf(self, computer: HubCommands, *words: str, **variables: str) -> Finished:
        """Run the `hf` that was installed with the client."""
        done = subprocess.run(
            [str(Path(sys.executable).with_name("hf")), *words],
            env=computer.environment(self.hub, **NO_TOKEN) | variables,
            cwd=computer.project,
            capture_output=True,
            encoding="utf-8",
            timeout=60,
        )
        return computer.checked(Finished(done.returncode, done.stdout, done.stderr))

    def output_of(self, line: str) -> str:
        return next(one.output for one in self.ran if one.line == line)


def login(words: list[str], who: str) -> list[str]:
    """What is typed when it asks."""
    return ["--token", TOKENS[who]] if words == ["hf", "auth", "login"] else []


def train_again(computer: HubCommands) -> None:
    """Another run, as far as the Hub can tell."""
    for place in ("last", "quantized"):
        file = computer.project / "checkpoints" / place / "metrics.json"
        metrics = json.loads(file.read_text(encoding="utf-8"))
        file.write_text(json.dumps(metrics | {"seed": metrics.get("seed", 0) + 1}), "utf-8")


@pytest.fixture(scope="module")
def classroom(
    commands: Commands,
    tiny_run: TinyRun,
    untrained_project: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Classroom]:
    """The lesson of the page, over."""
    folder = tmp_path_factory.mktemp("classroom")
    with HubServer(xet=True) as hub:
        room = Classroom(hub, commands, tiny_run.project, untrained_project, folder)
        room.computers[TEACHER] = room.new_computer(trained=True)
        for block in blocks(CHINESE):
            room.run(block)
        yield room


# ---------------------------------------------------------------- the commands


def test_both_pages_have_the_same_commands() -> None:
    assert blocks(CHINESE) == blocks(ENGLISH)
    assert programs(CHINESE) == programs(ENGLISH)
    assert len(blocks(CHINESE)) > 10


def test_every_command_of_the_page_was_run(classroom: Classroom) -> None:
    assert [one.line for one in classroom.ran] == [
        line for block in blocks(CHINESE) for line in block.lines
    ]


def test_the_login_is_the_teachers_and_ends_with_the_lesson(classroom: Classroom) -> None:
    assert "teacher" in classroom.output_of("hf auth whoami")
    with_token = classroom.hf(
        classroom.computers[STUDENT], "auth", "whoami", HF_TOKEN=TOKENS[TEACHER]
    )
    assert "teacher" in with_token.stdout, "HF_TOKEN goes before the login"
    assert not (classroom.computers[TEACHER].home / "token").exists()


def test_the_models_of_the_page_are_on_the_hub(classroom: Classroom) -> None:
    hub = classroom.hub
    names = {name for kind, name in hub.repositories if kind == "model"}
    assert names == {REPO, "teacher/homework"}
    tags = hub.model(REPO).tags
    assert tags["v1"] != tags["v2"]
    assert tags["v1"] in classroom.output_of("hf repos tag list teacher/demo")
    assert len(hub.model(REPO).history("refs/pr/1")) == 3
    space = hub.space("teacher/app")
    assert space.variables["MODEL_REVISION"]["value"] == tags["v2"]


def test_every_question_of_the_page_is_answered(classroom: Classroom) -> None:
    asked = [one for one in classroom.ran if "scripts.ask" in one.line]
    assert len(asked) >= 5
    for one in asked:
        assert one.output.startswith(QUESTIONS[QUESTION]), one


def test_a_model_is_asked_for_as_often_as_the_page_says(classroom: Classroom) -> None:
    first, offline = [
        one
        for one in classroom.ran
        if one.who == STRANGER and f'"{QUESTION}" --checkpoint {REPO}' in one.line
    ][:2]
    assert offline.requests == []
    n = Counter("downloads" if "/resolve/" in r.path else "queries" for r in first.requests)
    for page, words in (
        (CHINESE, r"不超过 (\d+) 次查询、(\d+) 次下载"),
        (ENGLISH, r"at most (\d+) queries and (\d+) downloads"),
    ):
        text = page.read_text(encoding="utf-8")
        queries, downloads = map(int, re.findall(words, text)[0])
        assert n["queries"] <= queries <= n["queries"] + 1
        assert n["downloads"] <= downloads <= 1.3 * n["downloads"]
    commit, asked = classroom.hub.model(REPO).tags["v1"], []
    for revision in ("v1", commit):
        n_before = len(classroom.hub.requests)
        again = first.computer.ask(classroom.hub, "--revision", revision, **NO_TOKEN)
        assert again.code == 0
        asked.append(len(classroom.hub.requests) - n_before)
    assert asked == [1, 0]


def test_the_mirror_is_asked_and_shown_no_token(classroom: Classroom) -> None:
    number = [one.line for one in classroom.ran].index(f"export HF_ENDPOINT={MIRROR}")
    requests = classroom.ran[number + 1].requests
    assert len(requests) > 10
    for request in requests:
        assert "authorization" not in request.headers


def test_folders_need_no_hub(classroom: Classroom) -> None:
    for one in classroom.ran:
        if "--dry-run" in one.line or "--checkpoint demo-v1" in one.line:
            assert one.requests == [], one.line


# ---------------------------------------------------------------- what takes long to start


def test_the_program_of_the_page_runs(classroom: Classroom) -> None:
    [program] = programs(CHINESE)
    reader = classroom.new_computer(trained=False)
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=reader.environment(classroom.hub, **NO_TOKEN) | {"PYTHONPATH": str(ROOT)},
        cwd=reader.project,
        capture_output=True,
        encoding="utf-8",
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (0, QUESTIONS[QUESTION] + "\n"), done.stderr


def test_the_apps_of_the_page_open_and_say_which_model_they_serve(classroom: Classroom) -> None:
    assert len(classroom.apps) == sum("app.py" in one.line for one in classroom.ran) > 0
    commit = classroom.hub.model(REPO).tags["v1"][:7]
    of_the_hub = f"Hub 上的 `{REPO}`，提交 `{commit}`"
    with ExitStack() as stack:
        pages = [stack.enter_context(opened(classroom.hub, app)) for app in classroom.apps]
        for app, page in zip(classroom.apps, pages, strict=True):
            texts = page()
            of_a_folder = "--checkpoint demo " in app.line
            assert ("正在使用：`demo`" if of_a_folder else of_the_hub) in texts, app.line


@contextmanager
def opened(hub: HubServer, app: App) -> Iterator[Callable[[], str]]:
    """Start an app; yield what waits for its page and returns the texts there."""
    computer, port = app.computer, free_port()
    process = computer.start(hub, "app", *app.arguments, **NO_TOKEN, GRADIO_SERVER_PORT=str(port))
    ends_at = time.monotonic() + PAGE_UP_SECONDS

    def page() -> str:
        while True:
            try:
                with urllib.request.urlopen(
                    f"http://127.0.0.1:{port}/config", timeout=20
                ) as answer:
                    components = json.load(answer)["components"]
                return "\n".join(str(one["props"].get("value")) for one in components)
            except urllib.error.URLError:
                assert time.monotonic() < ends_at
                time.sleep(0.1)

    try:
        yield page
    finally:
        done = computer.checked(computer.commands.kill(process, signal.SIGINT))
    assert done.code in (0, 130), done
    host = "0.0.0.0" if "app.host=0.0.0.0" in app.line else "127.0.0.1"
    assert f"http://{host}:{port}" in done.stdout


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


# ---------------------------------------------------------------- the table of failures


@dataclass(frozen=True)
class Row:
    """Words of the table, and a command that says them when it fails."""

    words: str
    name: str
    arguments: tuple[str, ...]
    endpoint: HubServer | str
    token: str | None
    variables: dict[str, str] = field(default_factory=dict)


N_AT_ONCE = 4


def provoked(hub: HubServer, stack: ExitStack) -> list[Row]:
    """One command for each row, but for those where somebody else publishes."""
    mirror = stack.enter_context(HubServer())  # one that we do not know by its name
    mirror.fault("/api/repos/create", status=405)
    bert = hub.create("teacher/bert")
    bert.commit("main", {"vocab.json": bert.store(b"{}")}, "of another project")
    busy = stack.enter_context(HubServer())
    busy.fault("/api/models/", status=429, headers={"Retry-After": "999"}, times=99)
    nobody, nothing = (stack.enter_context(one()) for one in (silent_endpoint, refused_endpoint))
    gate = stack.enter_context(web_page_endpoint())

    def push(
        words: str, *arguments: str, at: HubServer | str = hub, token: str | None = None
    ) -> Row:
        return Row(words, "push_to_hub", ("--repo-id", REPO, *arguments), at, token)

    def ask(words: str, *arguments: str, at: HubServer | str = hub, **variables: str) -> Row:
        where = () if "--checkpoint" in arguments else ("--checkpoint", REPO)
        return Row(words, "ask", (QUESTION, *where, *arguments), at, None, variables)

    return [
        ask("does not answer", at=nobody),
        ask("no way to", at=nothing),
        push("no token on this machine"),
        push("the Hub does not accept the token", token="hf_no_such_token"),
        push("may only read", token="hf_read"),
        push("is not yours", token="hf_student"),
        ask("there is no such repository, or it is private", "--checkpoint", "teacher/dmeo"),
        ask("it has no such branch, tag or commit", "--revision", "v9"),
        ask("too many requests", at=busy),
        ask("is no Hub, or a login page", at=gate),
        push("holds other files", "--repo-id", "teacher/bert", token="hf_write"),
        push("is a mirror for reading only", token="hf_write", at=mirror),
        ask("a SOCKS proxy", all_proxy="socks5://127.0.0.1:1"),
        ask("is not on this machine", "--offline"),
        push("is in the way", "--dry-run", "--output", "data"),
        Row(
            "asks for a paid account",
            "deploy_space",
            ("--repo-id", "teacher/other", "--model", REPO),
            hub,
            "hf_write",
        ),
    ]


def test_the_table_of_failures_quotes_what_the_commands_say(classroom: Classroom) -> None:
    hub, computer = classroom.hub, classroom.new_computer(trained=True)
    said = set(those_of_the_page())
    with ExitStack() as stack:
        rows = provoked(hub, stack)
        for first in range(0, len(rows), N_AT_ONCE):
            wave = [
                (
                    row,
                    computer.start(
                        row.endpoint, row.name, *row.arguments, token=row.token, **row.variables
                    ),
                )
                for row in rows[first : first + N_AT_ONCE]
            ]
            for row, process in wave:
                done = computer.checked(classroom.commands.wait(process), row.token)
                assert done.code == 2, (row.words, done)
                assert row.words in done.stderr, done.stderr
                said.add(row.words)
    said |= those_of_a_concurrent_push(hub, computer)
    for page in (CHINESE, ENGLISH):
        quoted = {words for row in failures(page) for words in row}
        assert quoted <= said
        assert len(quoted) == len(said) - 1  # the page of the app says it in both languages


def those_of_the_page() -> list[str]:
    """What stands above the tabs when a model is not here; in Chinese, and in English."""
    options = argparse.Namespace(checkpoint="teacher/never-fetched", revision=None, offline=True)
    note = page_models.open_for_page(options, Config()).origin.note
    words = ["改用这一个", "was not opened, this one serves"]
    assert all(one in note for one in words)
    return words


def those_of_a_concurrent_push(hub: HubServer, computer: HubCommands) -> set[str]:
    repository = hub.model(REPO)
    files = repository.files | {"config.json": repository.store(b"{}")}
    fault = hub.fault("/commit/", method="POST")
    fault.before = lambda: repository.commit("main", files, "somebody else")
    overtaken = computer.push(hub)
    assert "has changed meanwhile" in overtaken.stderr
    taken = computer.push(hub, "--tag", "v1")
    assert "has a tag v1 already" in taken.stderr
    assert (overtaken.code, taken.code) == (2, 2)
    return {"has changed meanwhile", "has a tag v1 already"}
