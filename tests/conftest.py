"""What several test files share: a tiny project, a tiny but real run, commands as processes."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch

from gpt_teacher.config import Config, load_config
from gpt_teacher.corpus import Corpus, read_corpus
from gpt_teacher.prompt import ASSISTANT, USER, normalise
from gpt_teacher.run_log import Evaluation, Step
from gpt_teacher.tokenizer_training import train_tokenizer
from gpt_teacher.training_run import run_training

if TYPE_CHECKING:
    from hub_commands import HubCommands
    from hub_server import HubServer
    from playwright.sync_api import Browser

ROOT = Path(__file__).parent.parent

# A shell lets what it starts in the background ignore Ctrl+C, and so would the processes that are
# interrupted here.
signal.signal(signal.SIGINT, signal.default_int_handler)

# The workers and what they start share the cores; two threads each would wait for one another.
os.environ["OMP_NUM_THREADS"] = "1"

QUESTIONS = {
    "什么是密度?": "密度是质量除以体积。",
    "光有多快?": "每秒约三十万千米。",
    "什么是词元?": "词元是模型读写的最小单位。",
    "what is RoPE?": "RoPE turns q and k by an angle.",
    "什么是梯度?": "梯度指出损失上升最快的方向。",
    "水的沸点是多少?": "一个大气压下是100℃。",
    "植物怎样吃饭?": "靠光合作用，用光把水和二氧化碳变成糖。",
    "说一个表情": "hello world 🙂",
    "写三个全角字母": "ＡＢＣ　，就是这三个。",
    "谁是魑魅?": "魑魅是传说里的山中精怪。",
    "为什么会下雨?": "云里的水滴太重，就落下来。",
    "明天的彩票号码?": "不知道，这个问题我没有学过。",
}
VALIDATION = {
    "密度是什么?": "密度是质量除以体积。",
    "光的速度是多少?": "每秒约三十万千米。",
    "词元是什么?": "词元是模型读写的最小单位。",
}
CONFIG = """\
model: {n_layer: 2, n_head: 2, n_embd: 64, seq_len: 64}
training:
  batch_size: 12
  micro_batch: 6
  lr: 4e-3
  max_steps: 160
  warmup_steps: 10
  eval_interval: 40
  save_dir: checkpoints
  threads: 1
  precision: float32
  device: cpu
data: {train_path: data/train.jsonl, val_path: data/val.jsonl}
tokenizer: {path: tokenizer/tokenizer.json, vocab_size: 360}
"""


# The workers take the files in this order, so that none is left with a long one in the end.
LONG_FILES = (
    "test_train_tab",
    "test_hub_faults",
    "test_push",
    "test_inside_page",
    "test_report_card",
    "test_pull",
    "test_classroom",
    "test_space",
    "test_pretrained",
    "test_commands",
    "test_distributed",
    "test_replay_tab",
    "test_resume",
    "test_served_model",
    "test_hostile_input",
    "test_release",
    "test_screenshots",
    "test_ask_tab",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    order = {name: number for number, name in enumerate(LONG_FILES)}
    items.sort(key=lambda item: order.get(item.path.stem, len(order)))


class Silent:
    """A listener that keeps what it is told."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.steps: list[Step] = []
        self.evaluations: list[Evaluation] = []

    def say(self, text: str) -> None:
        self.said.append(text)

    def step(self, step: Step, max_steps: int) -> None:
        self.steps.append(step)

    def evaluation(self, evaluation: Evaluation) -> None:
        self.evaluations.append(evaluation)


class StopAfter(Silent):
    """A listener that asks to stop after some updates."""

    def __init__(self, n_steps: int) -> None:
        super().__init__()
        self.n_steps = n_steps

    def should_stop(self) -> bool:
        return len(self.steps) == self.n_steps


def never() -> bool:
    return False


def sets(*overrides: object) -> list[str]:
    """Return --set options."""
    return [word for override in overrides for word in ("--set", str(override))]


def write_rows(path: Path, rows: dict[str, str]) -> Path:
    """Write questions and answers as JSONL."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [
        json.dumps({"prompt": prompt, "completion": completion}, ensure_ascii=False)
        for prompt, completion in rows.items()
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@contextmanager
def largest_file(n_bytes: int) -> Iterator[None]:
    """Let the system refuse to write files beyond a size, as a full disk does."""
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture
def held_for_a_moment(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Refuse the first two renamings to each path, as Windows does while an antivirus reads."""
    monkeypatch.setattr("gpt_teacher.atomic.PAUSES", (0.0, 0.0))
    tries: Counter[str] = Counter()

    def watch(name: str) -> None:
        real: Callable[[Path, Path], Path] = getattr(Path, name)

        def watched(source: Path, target: Path) -> Path:
            tries[target.name] += 1
            if tries[target.name] <= 2:
                raise PermissionError(13, "The process cannot access the file")
            return real(source, target)

        monkeypatch.setattr(Path, name, watched)

    watch("rename")
    watch("replace")
    return tries


def absolute_config(project: Path, *overrides: str) -> Config:
    """Return a project's configuration with paths that are good from any folder."""
    places = {
        "training.save_dir": "checkpoints",
        "data.train_path": "data/train.jsonl",
        "data.val_path": "data/val.jsonl",
        "data.cache_dir": "runs/cache",
        "tokenizer.path": "tokenizer/tokenizer.json",
    }
    paths = [f"{key}={project / place}" for key, place in places.items()]
    return load_config(project / "config.yaml", [*paths, *overrides])


@dataclass(frozen=True)
class TinyRun:
    """A finished run that answers all its training questions."""

    project: Path  # config.yaml, data/, tokenizer/, checkpoints/
    config: Config  # paths absolute
    listener: Silent

    @property
    def save_dir(self) -> Path:
        return self.project / "checkpoints"

    @property
    def last(self) -> Path:
        return self.save_dir / "last"

    @property
    def quantized(self) -> Path:
        return self.save_dir / "quantized"


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Tiny matrices gain nothing from more threads, and on a busy machine lose much."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def shipped_corpus() -> Corpus:
    """The sources of data/, read once."""
    return read_corpus(ROOT / "data" / "source")


@pytest.fixture(scope="session")
def untrained_project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """config.yaml, data and tokenizer. Copy it (tiny_project) before you change anything."""
    project = tmp_path_factory.mktemp("untrained")
    (project / "config.yaml").write_text(CONFIG, encoding="utf-8")
    write_rows(project / "data" / "train.jsonl", QUESTIONS)
    write_rows(project / "data" / "val.jsonl", VALIDATION)
    texts = [
        text
        for prompt, answer in QUESTIONS.items()
        for text in (USER + normalise(prompt) + ASSISTANT, answer)
    ]
    config = load_config(project / "config.yaml")
    train_tokenizer(texts, config.tokenizer).save(project / "tokenizer" / "tokenizer.json")
    return project


@pytest.fixture(scope="session")
def tiny_run(untrained_project: Path, tmp_path_factory: pytest.TempPathFactory) -> TinyRun:
    """A tiny but real run. Copy it (tiny_project(trained=True)) before you change anything."""
    project = tmp_path_factory.mktemp("tiny") / "project"
    shutil.copytree(untrained_project, project)
    listener = Silent()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(project)  # so that the saved configuration, relative, is good for copies
        result = run_training(load_config(Path("config.yaml")), listener, never)
    assert f"{len(QUESTIONS)}/{len(QUESTIONS)} 100.0%" in result.exam_table[1], result.exam_table
    return TinyRun(project, absolute_config(project), listener)


@pytest.fixture
def tiny_project(
    untrained_project: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> Callable[..., Path]:
    """Make projects in tmp_path, with a finished run if trained=True. Paths are relative."""

    def make(name: str = "project", trained: bool = False) -> Path:
        source = untrained_project
        if trained:
            source = request.getfixturevalue("tiny_run").project
        return Path(shutil.copytree(source, tmp_path / name))

    return make


@dataclass(frozen=True)
class Finished:
    """How a command ended."""

    code: int  # negative: killed by that signal
    stdout: str
    stderr: str


class Commands:
    """Starts `python -m scripts.NAME` in a folder, as a process of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._numbers = folder, itertools.count()
        self._streams: dict[int, list[Path]] = {}  # of each process: stdin, stdout, stderr
        self._server = subprocess.Popen(
            [sys.executable, Path(__file__).with_name("command_server.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            text=True,
        )

    def start(
        self,
        name: str,
        *arguments: object,
        folder: Path,
        stdin: bytes = b"",
        stdout: str | None = None,
        environment: dict[str, str] | None = None,
    ) -> int:
        """Return the process id of `python -m scripts.name`; stdout: where it goes.

        The name "app" stands for `python app.py`.
        """
        number = next(self._numbers)
        streams = [self._folder / f"{number}.{kind}" for kind in ("stdin", "stdout", "stderr")]
        for stream, content in zip(streams, (stdin, b"", b""), strict=True):
            stream.write_bytes(content)
        process = self._request(
            module=name if name == "app" else f"scripts.{name}",
            arguments=[str(argument) for argument in arguments],
            folder=str(folder),
            streams=[str(streams[0]), stdout or str(streams[1]), str(streams[2])],
            environment=environment,
        )
        self._streams[process] = streams
        return process

    def wait(self, process: int) -> Finished:
        """Wait for the end of a process."""
        code = self._request(wait=process)
        stdout, stderr = (stream.read_bytes().decode() for stream in self._streams[process][1:])
        return Finished(code, stdout, stderr)

    def kill(self, process: int, number: signal.Signals) -> Finished:
        """Send a signal to a process (which may have ended) and wait for its end."""
        os.kill(process, number)
        return self.wait(process)

    def run(self, name: str, *arguments: object, folder: Path, stdin: bytes = b"") -> Finished:
        """Run `python -m scripts.name arguments` to its end."""
        return self.wait(self.start(name, *arguments, folder=folder, stdin=stdin))

    def close(self) -> None:
        self._server.kill()
        self._server.communicate()

    def _request(self, **request: object) -> int:
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        self._server.stdin.write(json.dumps(request) + "\n")
        self._server.stdin.flush()
        return int(self._server.stdout.readline())


@pytest.fixture(scope="session")
def commands(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Commands]:
    """Commands as processes, quick to start."""
    if not hasattr(os, "fork"):
        pytest.skip("needs fork")
    server = Commands(tmp_path_factory.mktemp("commands"))
    yield server
    server.close()


@pytest.fixture
def hub() -> Iterator[HubServer]:
    """A Hub for one test, empty."""
    from hub_server import HubServer

    with HubServer() as server:
        yield server


@pytest.fixture
def student(commands: Commands, tiny_project: Callable[..., Path], tmp_path: Path) -> HubCommands:
    """Somebody with a finished run, who runs commands that talk to a Hub."""
    from hub_commands import HubCommands

    return HubCommands(commands, tiny_project(trained=True), tmp_path / "home")


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """One browser for all test files; each test opens a context of its own."""
    from pages import chromium  # imports gradio: not for those who test something else

    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def uploads(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder in which Gradio puts what visitors send."""
    folder = tmp_path_factory.mktemp("uploads")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(folder))
        yield folder
