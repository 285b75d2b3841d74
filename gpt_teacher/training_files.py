"""The folder of a run that was started in the page, and what it tells. 网页训练的文件夹。"""

from __future__ import annotations

import contextlib
import json
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from gpt_teacher import SHIPPED
from gpt_teacher.atomic import replace_file
from gpt_teacher.config import Config
from gpt_teacher.machine import usable_cores

ROOT = SHIPPED.parent
EVAL_INTERVAL = 30  # updates between the answers that the page shows
BEAT_SECONDS = 2.0  # between two signs of life of a worker
SILENT_SECONDS = 20.0  # without one, after which it is taken to be gone
EndPhase = Literal["finished", "stopped", "failed"]
Phase = Literal["waiting", "running"] | EndPhase


@dataclass(frozen=True)
class RunFiles:
    """Where everything of a run lies; nothing of it lies elsewhere. 各个文件的位置。"""

    folder: Path

    @property
    def job(self) -> Path:
        """What was asked for. 任务。"""
        return self.folder / "run.json"

    @property
    def config(self) -> Path:
        """Its configuration. 配置。"""
        return self.folder / "config.yaml"

    @property
    def questions(self) -> Path:
        """What is taught. 题目。"""
        return self.folder / "train.jsonl"

    @property
    def checkpoints(self) -> Path:
        """What training writes; gone at the end. 训练时的检查点。"""
        return self.folder / "checkpoints"

    @property
    def stage(self) -> Path:
        """What it is busy with: training, exam or packing. 阶段。"""
        return self.folder / "stage"

    @property
    def beat(self) -> Path:
        """Touched again and again while its worker lives. 心跳。"""
        return self.folder / "beat"

    @property
    def is_alive(self) -> bool:
        """Tell whether its worker lives. 训练进程是否还在。"""
        with contextlib.suppress(OSError):
            # abs: after a power cut the clock of some machines starts in the past.
            return abs(time.time() - self.beat.stat().st_mtime) < SILENT_SECONDS
        return False

    @property
    def model(self) -> Path:
        """The model: last, with quantized/ inside and a card. 模型。"""
        return self.folder / "model"

    @property
    def archive(self) -> Path:
        """The same as a zip. 压缩包。"""
        return self.folder / "model.zip"

    @property
    def published(self) -> Path:
        """The same under the name that it was published as. 要发布的文件夹。"""
        return self.folder / "hub"

    @property
    def end(self) -> Path:
        """How it ended; there when nothing more will change. 结局。"""
        return self.folder / "end.json"

    def write_end(
        self, phase: EndPhase, reason: str = "", wrong: list[list[str | None]] | None = None
    ) -> None:
        """Write down how the run ended. 记下结局。"""
        self.write(self.end, {"phase": phase, "reason": reason, "wrong": wrong})

    @staticmethod
    def write(path: Path, value: dict[str, Any]) -> None:
        """Write a JSON file, whole or not at all. 写 JSON。"""
        replace_file(path, json.dumps(value, ensure_ascii=False, indent=2).encode())

    @staticmethod
    def read(path: Path) -> dict[str, Any] | None:
        """Return a JSON object; None if it is not there or damaged. 读 JSON。"""
        try:
            value = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return value if isinstance(value, dict) else None


@dataclass(frozen=True)
class RunState:
    """How a run stands. 一次训练的状态。"""

    phase: Phase
    minutes: int
    n_questions: int
    ahead: int = 0  # runs that come before it
    wait_minutes: int = 0  # that these may train
    stage: str = ""  # of a running one: "", training, exam, packing
    reason: str = ""  # of a failure
    wrong: list[list[str | None]] | None = None  # question, answer taught, answer given if asked
    has_model: bool = False

    @property
    def has_ended(self) -> bool:
        """Tell whether nothing more will change. 是否已结束。"""
        return self.phase in ("finished", "stopped", "failed")


def found_state(files: RunFiles) -> RunState:
    """Return how a run stands that is no longer, or never was, this page's own. 状态。

    One without an end was cut off, unless its worker lives: it saves what it has learnt, for some
    seconds after its page was closed.
    """
    job, end = files.read(files.job) or {}, files.read(files.end)
    minutes, n_questions = job.get("minutes", 0), job.get("questions", 0)
    if end is None and files.is_alive:
        return RunState("running", minutes, n_questions, stage=text_of(files.stage))
    end = end or {"phase": "failed", "reason": ""}
    state = RunState(end["phase"], minutes, n_questions)
    has_model = files.archive.is_file() and end["phase"] != "failed"
    return replace(state, reason=end["reason"], wrong=end.get("wrong"), has_model=has_model)


def page_config(config: Config, files: RunFiles) -> Config:
    """Return the page's own configuration, for these questions. 训练用的配置。

    The project's unknown questions are taught along where they are there. Paths are absolute, so
    that only the names of files are published with the model. One core is left to the page.
    """
    data = replace(
        config.data,
        train_path=str(files.questions),
        val_path=None,
        test_path=None,
        unknown_path=_shipped(config.data.unknown_path),
        unknown_val_path=_shipped(config.data.unknown_val_path),
        unknown_test_path=_shipped(config.data.unknown_test_path),
        format="instruct",
    )
    training = replace(
        config.training,
        save_dir=str(files.checkpoints),
        eval_interval=min(EVAL_INTERVAL, config.training.eval_interval),
        threads=max(1, usable_cores() - 1),
        probe_questions=(),
    )
    tokenizer = replace(config.tokenizer, path=str((ROOT / config.tokenizer.path).resolve()))
    return replace(config, data=data, training=training, tokenizer=tokenizer)


def _shipped(path: str | None) -> str | None:
    """Return where a file of the project lies; None if it is not there."""
    return str((ROOT / path).resolve()) if path and (ROOT / path).is_file() else None


def text_of(path: Path) -> str:
    """Return the text of a file; "" if it cannot be read. 文件内容。"""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
