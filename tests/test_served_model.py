"""Which model the page serves: the wanted one, else one of this machine, and it says which."""

from __future__ import annotations

import argparse
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from conftest import TinyRun
from hub_faults import silent_endpoint
from hub_server import HubServer, client_environment

from gpt_teacher import SHIPPED, Origin
from gpt_teacher.card.markdown import plain
from gpt_teacher.config import AppConfig, Config, HubConfig, TrainingConfig
from gpt_teacher.errors import CheckpointError, ConfigError, HubError
from gpt_teacher.views.quick_gradio import gr
from gpt_teacher.views.serving import served, shown_folder
from gpt_teacher.views.text import CHINESE, ENGLISH
from gpt_teacher.views.theme import launch
from scripts import page_models

ROOT = Path(__file__).parent.parent
REPO = "teacher/demo"
PATIENCE = 30.0  # seconds; about 10 where nothing else runs


# ---------------------------------------------------------------- the order of preference


@pytest.fixture
def project(tiny_project: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    """A finished run; we are in its folder."""
    project = tiny_project(trained=True)
    monkeypatch.chdir(project)
    monkeypatch.delenv("MODEL_REPO_ID", raising=False)
    monkeypatch.delenv("MODEL_REVISION", raising=False)
    return project


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str | None]]:
    """What the Hub was asked for; it has none of it."""
    found: list[tuple[str, str | None]] = []
    really = page_models.locate

    def locate(model: str, revision: str | None, offline: bool, **patience: object) -> Origin:
        if model.startswith("teacher/"):
            found.append((model, revision))
            raise HubError("no way to the Hub", unreachable=True)
        return really(model, revision, offline)

    monkeypatch.setattr(page_models, "locate", locate)
    return found


def options(checkpoint: str | None = None, revision: str | None = None) -> argparse.Namespace:
    return argparse.Namespace(checkpoint=checkpoint, revision=revision, offline=False)


@pytest.mark.usefixtures("project")
def test_checkpoint_comes_before_the_environment_and_that_before_the_configuration(
    asked: list[tuple[str, str | None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = Config(hub=HubConfig(repo_id="teacher/of-config", revision="v1"))
    page_models.open_for_page(options(), config)
    monkeypatch.setenv("MODEL_REPO_ID", "teacher/of-space")
    page_models.open_for_page(options(), config)
    monkeypatch.setenv("MODEL_REVISION", "v2")
    page_models.open_for_page(options(), config)
    page_models.open_for_page(options("teacher/named"), config)
    page_models.open_for_page(options("teacher/named", "v3"), config)
    assert asked == [
        ("teacher/of-config", "v1"),
        ("teacher/of-space", None),
        ("teacher/of-space", "v2"),
        ("teacher/named", None),
        ("teacher/named", "v3"),
    ]


@pytest.mark.usefixtures("asked")
def test_what_does_not_come_is_replaced_by_the_own_model_then_by_the_shipped_one(
    project: Path,
) -> None:
    config = Config(hub=HubConfig(repo_id=REPO))
    teacher = page_models.open_for_page(options(), config)
    assert teacher.folder == Path("checkpoints/last")
    assert "没有打开 teacher/demo" in teacher.origin.note
    assert "no way to the Hub" in teacher.origin.note
    (project / "checkpoints/last/model.safetensors").write_bytes(b"damaged")
    assert page_models.open_for_page(options(), config).folder == SHIPPED / "last"
    shutil.rmtree(project / "checkpoints")
    assert page_models.open_for_page(options(), config).folder == SHIPPED / "last"


@pytest.mark.usefixtures("project", "asked")
def test_a_folder_that_was_named_is_not_replaced() -> None:
    with pytest.raises(CheckpointError, match="no checkpoint at checkpoints/lasst"):
        page_models.open_for_page(options("checkpoints/lasst"), Config())
    assert page_models.open_for_page(options("checkpoints/last"), Config()).origin.note == ""


@pytest.mark.parametrize("folder", ["checkpoints/last", None])
@pytest.mark.usefixtures("project", "asked")
def test_a_folder_has_no_revision(folder: str | None) -> None:
    """Found here: it was passed over in silence, and another version served than was asked for."""
    with pytest.raises(ConfigError, match=r"--revision v9 names a version .* not of the folder"):
        page_models.open_for_page(options(folder, "v9"), Config())


def test_a_damaged_own_model_is_replaced_and_the_page_says_so(project: Path) -> None:
    (project / "checkpoints/last/config.json").write_text("{")
    own = Config(training=TrainingConfig(save_dir="checkpoints"))
    teacher = page_models.open_for_page(options(), own)
    assert teacher.folder == SHIPPED / "last"
    assert "config.json is damaged" in teacher.origin.note


# ---------------------------------------------------------------- what the page says


@pytest.mark.usefixtures("project")
def test_the_lines_above_the_tabs_name_model_place_commit_and_why() -> None:
    teacher = page_models.open_for_page(options("checkpoints/last"), Config())
    lines = served(teacher, CHINESE).split("  \n")
    steps, seconds = teacher.metrics["steps"], teacher.metrics["elapsed_seconds"]
    assert lines[0] == f"正在使用：`checkpoints/last` · {steps} 步 · 训练用时 {seconds} 秒"
    assert lines[1] == CHINESE["may_be_wrong"]
    origin = Origin(teacher.folder, REPO, "0123456789abcdef" * 2 + "01234567", "<b>*断网*</b>")
    object.__setattr__(teacher, "origin", origin)
    lines = served(teacher, CHINESE).split("  \n")
    assert lines[0].startswith("正在使用：Hub 上的 `teacher/demo`，提交 `0123456` · ")
    assert lines[1] == r"注意：&lt;b&gt;\*断网\*&lt;/b&gt;"


def test_a_model_of_plain_text_is_said_to_answer_no_questions(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found here: the page let it answer as if it had learnt to."""
    teacher = page_models.open_for_page(options("checkpoints/last"), Config())
    teacher.metrics["is_text"] = True
    line = served(teacher, CHINESE).split("  \n")[-1]
    assert "不会回答问题" in line
    assert '`python -m scripts.ask --raw "文章的开头" --checkpoint checkpoints/last`' in line
    assert CHINESE["may_be_wrong"] not in served(teacher, CHINESE)
    monkeypatch.chdir(project.parent)
    object.__setattr__(teacher, "origin", Origin(project / "checkpoints" / "last"))
    assert "--checkpoint project/checkpoints/last`" in served(teacher, ENGLISH)
    monkeypatch.chdir(project / "data")
    assert "--checkpoint FOLDER_OF_THIS_MODEL`" in served(teacher, ENGLISH)
    object.__setattr__(teacher, "origin", Origin(teacher.folder, REPO, "0123456789abcdef"))
    command = "--checkpoint teacher/demo --revision 0123456789abcdef`"
    assert command in served(teacher, ENGLISH), "the newest may be another model"


@pytest.mark.usefixtures("project")
def test_figures_of_a_model_from_elsewhere_are_text_not_markdown() -> None:
    teacher = page_models.open_for_page(options("checkpoints/last"), Config())
    link = "[1](https://example.org)"
    teacher.metrics.update(steps=link, elapsed_seconds="<img src=x>")
    line = served(teacher, CHINESE).split("  \n")[0]
    assert line.endswith(f" · {plain(link)} 步 · 训练用时 &lt;img src\\=x&gt; 秒")


def test_folders_elsewhere_are_shown_by_their_name_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert shown_folder(tmp_path / "checkpoints" / "last") == "checkpoints/last"
    assert shown_folder(Path("usb")) == "usb"
    assert shown_folder(tmp_path.parent / "of somebody" / "demo") == "demo"


# ---------------------------------------------------------------- the app itself


@contextmanager
def app(folder: Path, environment: dict[str, str], *arguments: str) -> Iterator[str]:
    """Start `python app.py`; give the page as a browser gets it."""
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "app.py"), *arguments],
        cwd=folder,
        env=environment | {"PYTHONPATH": str(ROOT), "GRADIO_ANALYTICS_ENABLED": "False"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
    )
    assert process.stdout is not None
    try:
        printed = ""
        for line in process.stdout:
            printed += line
            address = re.search(r"http://127\.0\.0\.1:\d+", line) if "URL" in line else None
            if address:
                with urllib.request.urlopen(address[0]) as page:
                    yield page.read().decode()
                break
        else:
            pytest.fail(printed)
        assert "Traceback" not in printed
    finally:
        process.kill()
        process.communicate()


def test_the_app_is_up_soon_though_the_hub_never_answers(project: Path, tmp_path: Path) -> None:
    with silent_endpoint() as endpoint:
        environment = client_environment(endpoint, tmp_path / "home", token=None)
        del environment["HF_HUB_DISABLE_TELEMETRY"]  # which would ask the Hub, too
        started_at = time.monotonic()
        with app(project, environment, "--checkpoint", REPO) as page:
            assert time.monotonic() - started_at < PATIENCE
            assert "没有打开 teacher/demo" in page
            assert "`checkpoints/last`" in page


def test_the_app_goes_without_a_log_that_holds_no_steps(project: Path, tmp_path: Path) -> None:
    """Found here: a whole model with an empty log stopped the page."""
    (project / "checkpoints/last/train_log.jsonl").write_bytes(b"")
    environment = client_environment("http://127.0.0.1:9", tmp_path / "home", token=None)
    with app(project, environment, "--checkpoint", "checkpoints/last") as page:
        assert "`checkpoints/last`" in page


@pytest.mark.parametrize("name", ["http_proxy", "all_proxy"])
@pytest.mark.parametrize("others", [None, "example.org"])
def test_the_page_starts_behind_a_proxy(
    name: str, others: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found here: Gradio asks its own address through the proxy, and ended in a traceback."""
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    if others:
        monkeypatch.setenv("no_proxy", others)
    monkeypatch.setenv(name, "http://127.0.0.1:9")
    with gr.Blocks() as page:
        gr.Markdown("密度")
    launch(page, AppConfig(port=0), quiet=True)
    page.close(verbose=False)
    assert os.environ.get("no_proxy") == others, "the Hub is asked through the proxy"


def test_a_file_is_taken_where_the_project_cannot_be_written(project: Path, tmp_path: Path) -> None:
    """Found here: uploads were to go to a folder that could not be made."""
    shutil.rmtree(project / "runs", ignore_errors=True)
    (project / "runs").touch()
    environment = client_environment("http://127.0.0.1:9", tmp_path / "home", token=None)
    with app(project, environment, "--checkpoint", "checkpoints/last") as page:
        root = re.search(r'"root":"([^"]+)"', page)
        assert root is not None
        files = {"files": ("questions.txt", "什么是密度?".encode())}
        reply = httpx.post(f"{root[1]}/gradio_api/upload", files=files, trust_env=False)
        assert reply.status_code == 200, reply.text


def refused(folder: Path, setting: str) -> str:
    """What `python app.py` says when it cannot be served so."""
    ended = subprocess.run(
        [sys.executable, str(ROOT / "app.py"), "--set", setting],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        encoding="utf-8",
        timeout=2 * PATIENCE,
    )
    assert ended.returncode == 2, ended
    assert "Traceback" not in ended.stderr
    return ended.stderr[ended.stderr.index("error: ") :]


def test_a_port_that_is_taken_is_named_with_its_remedy(project: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        message = refused(project, f"app.port={port}")
    assert message.startswith(f"error: app.port is {port}, and")
    assert "--set app.port=0" in message
    assert message.count("\n") == 1


def test_an_address_with_colons_is_to_be_in_brackets(project: Path) -> None:
    assert '--set "app.host=[::1]"' in refused(project, "app.host=::1")


@pytest.mark.parametrize("host", ["192.0.2.1", "x" * 99])
def test_an_address_of_another_machine_is_named_at_once(host: str, project: Path) -> None:
    started_at = time.monotonic()
    message = refused(project, f"app.host={host}")
    assert time.monotonic() - started_at < PATIENCE
    assert message.startswith(f"error: app.host is '{host}', which")
    assert "0.0.0.0" in message


def test_the_app_serves_a_model_of_the_hub(
    tiny_run: TinyRun, untrained_project: Path, tmp_path: Path
) -> None:
    project = Path(shutil.copytree(untrained_project, tmp_path / "project"))
    with HubServer() as hub:
        repository = hub.create(REPO)
        files = {p.name: repository.store(p.read_bytes()) for p in tiny_run.last.iterdir()}
        commit = repository.commit("main", files, "a run").sha
        environment = client_environment(hub, tmp_path / "home", token=None)
        environment |= {"MODEL_REPO_ID": REPO, "MODEL_REVISION": commit}
        with app(project, environment) as page:
            assert f"Hub 上的 `{REPO}`，提交 `{commit[:7]}`" in page
