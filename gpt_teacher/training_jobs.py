"""Trainings that visitors of the page start: one at a time, the others wait. 网页上的训练任务。

Each run has a folder, runs/page/ID, and is trained by a process of its own (training_worker.py):
the page stays quick, and a crash there is one run's failure. Whoever knows the ID, which nobody
can guess, can watch the run, stop it and have its model, also after the page was started anew.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
import secrets
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from gpt_teacher import Pretrained, from_pretrained
from gpt_teacher.config import Config
from gpt_teacher.errors import DataError, GPTTeacherError
from gpt_teacher.own_questions import OwnQuestions, read_own
from gpt_teacher.run_log import LOG_FILE, TrainingLog, read_log
from gpt_teacher.tables import Table, read_table, write_jsonl
from gpt_teacher.tokenizer import Tokenizer, load_tokenizer
from gpt_teacher.training_files import (
    ROOT,
    RunFiles,
    RunState,
    found_state,
    page_config,
    text_of,
)

RUN_ID = re.compile(r"[0-9a-f]{24}")  # 96 random bits
WORKER = (sys.executable, "-m", "gpt_teacher.training_worker")
WINDOWS_FLAGS: int = getattr(subprocess, "BELOW_NORMAL_PRIORITY_CLASS", 0) | getattr(
    subprocess, "CREATE_NEW_PROCESS_GROUP", 0
)
MINUTES = (1, 5)  # that a training may take
LAST_WORDS = 500  # characters of worker.log in the reason of a crash
Refusal = Literal["minutes", "problems", "one_each", "crowd", "full"]


class TrainingRefusedError(GPTTeacherError):
    """A training that is not taken; `why` says which rule it breaks. 不接受的训练。"""

    def __init__(self, why: Refusal) -> None:
        """Keep the reason. 记下原因。"""
        super().__init__(f"training refused: {why}")
        self.why: Refusal = why


@dataclass(frozen=True)
class Limits:
    """What the page lets its visitors do. 限制。"""

    waiting: int = 20  # runs in the queue
    per_address: int = 10  # of them from one network address: a class may share one
    kept: int = 40  # ended runs
    kept_hours: float = 24.0
    grace_seconds: float = 240.0  # beyond its minutes, after which a run is taken to hang
    are_timed: bool = True  # else training.max_steps ends a run: the same for every machine


@dataclass
class _Job:
    run_id: str
    minutes: int
    n_questions: int
    visitor: str
    address: str
    process: subprocess.Popen[bytes] | None = None
    is_stopped: bool = False


class TrainingJobs:
    """Takes trainings, runs them one by one, and finds them again. 训练任务管理。"""

    def __init__(
        self,
        config: Config,
        folder: Path = Path("runs/page"),
        limits: Limits | None = None,
        worker: Sequence[str] = WORKER,
    ) -> None:
        """Name the folder, which the first run makes, and the command that trains. 指定文件夹。"""
        self.config, self.folder, self.limits = config, folder.resolve(), limits or Limits()
        self._worker = [*worker]
        self._waiting: list[_Job] = []
        self._running: _Job | None = None
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closed = False
        self._open = functools.lru_cache(maxsize=4)(from_pretrained)

    # ------------------------------------------------------------ what a visitor may do

    def read(self, content: bytes, suffix: str) -> OwnQuestions:
        """Read and check the questions of a visitor. 读取题目。Raises DataError."""
        return read_own(content, suffix, self._tokenizer, self.config.model.seq_len, self.folder)

    def submit(self, questions: OwnQuestions, minutes: int, visitor: str, address: str) -> str:
        """Take a training and return its run id. 提交。

        Raises TrainingRefusedError, or DataError if the disk is full.
        """
        if not MINUTES[0] <= minutes <= MINUTES[1]:
            raise TrainingRefusedError("minutes")
        if not questions.can_be_trained:
            raise TrainingRefusedError("problems")
        rows = questions.table.rows
        job = _Job(secrets.token_hex(12), minutes, len(rows), visitor, address)
        with self._changed:
            self._check_room(job)
            self._clean_up()
            self._write(job, questions)
            self._waiting.append(job)
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, daemon=True)
                self._thread.start()
            self._changed.notify_all()
        return job.run_id

    def state(self, run_id: str) -> RunState | None:
        """Return how a run stands; None if there is no such run. 状态。"""
        files = self.files(run_id)
        if files is None:
            return None
        with self._changed:
            active = [*([self._running] if self._running else []), *self._waiting]
            place = next((i for i, job in enumerate(active) if job.run_id == run_id), None)
            if place is not None:
                job, before = active[place], active[:place]
                if job is not self._running:
                    wait = sum(other.minutes for other in before)
                    return RunState("waiting", job.minutes, job.n_questions, len(before), wait)
                state = RunState("running", job.minutes, job.n_questions)
                return replace(state, stage=text_of(files.stage))
        return found_state(files)

    def log(self, run_id: str) -> TrainingLog | None:
        """Return the log of a run so far; None before its first line. 日志。"""
        files = self.files(run_id)
        for place in (files.checkpoints / "resume", files.model) if files else ():
            with contextlib.suppress(DataError):
                return read_log(place / LOG_FILE)
        return None

    def questions(self, run_id: str) -> Table | None:
        """Return what a run was given to learn. 题目。"""
        files = self.files(run_id)
        return read_table(files.questions) if files else None

    def stop(self, run_id: str) -> None:
        """End a run early; what it has learnt so far is kept. 停止。"""
        with self._changed:
            for job in [job for job in self._waiting if job.run_id == run_id]:
                self._waiting.remove(job)
                RunFiles(self.folder / run_id).write_end("stopped")
            if self._running is not None and self._running.run_id == run_id:
                self._running.is_stopped = True
                _hang_up(self._running.process)

    def model(self, run_id: str) -> Pretrained | None:
        """Return the model of an ended run; None if it has none. 训练出的模型。"""
        files, state = self.files(run_id), self.state(run_id)
        if files is None or state is None or not state.has_model:
            return None
        return self._open(files.model)

    def files(self, run_id: str) -> RunFiles | None:
        """Return the files of a run; None if there is no such run. 文件。"""
        if not isinstance(run_id, str) or not RUN_ID.fullmatch(run_id):
            return None
        files = RunFiles(self.folder / run_id)
        return files if files.job.is_file() else None

    def close(self) -> None:
        """Stop the running training and take no other. 关闭。"""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            if self._running is not None:
                _hang_up(self._running.process)
        if self._thread is not None:
            self._thread.join()

    # ------------------------------------------------------------ one run after the other

    @functools.cached_property
    def _tokenizer(self) -> Tokenizer:
        tokenizer = page_config(self.config, RunFiles(self.folder)).tokenizer
        return load_tokenizer(Path(tokenizer.path), tokenizer)

    def _check_room(self, job: _Job) -> None:
        """Raise TrainingRefusedError if the queue, or the visitor's share of it, is full."""
        active = [*([self._running] if self._running else []), *self._waiting]
        if any(other.visitor == job.visitor for other in active):
            raise TrainingRefusedError("one_each")
        if sum(other.address == job.address for other in active) >= self.limits.per_address:
            raise TrainingRefusedError("crowd")
        if len(self._waiting) >= self.limits.waiting:
            raise TrainingRefusedError("full")

    def _write(self, job: _Job, questions: OwnQuestions) -> None:
        """Make the folder of a run."""
        files = RunFiles(self.folder / job.run_id)
        facts = {"minutes": job.minutes, "questions": job.n_questions}
        try:
            files.folder.mkdir(parents=True)
            write_jsonl(questions.table, files.questions)
            files.config.write_text(page_config(self.config, files).to_yaml(), encoding="utf-8")
            files.write(files.job, facts | {"is_timed": self.limits.are_timed})
        except (DataError, OSError):
            shutil.rmtree(files.folder, ignore_errors=True)
            raise DataError("this machine has no room to train (磁盘写不进去)") from None

    def _work(self) -> None:
        """Train whoever comes first, for ever."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closed)
                if self._closed:
                    return
                job = self._running = self._waiting.pop(0)
                files = RunFiles(self.folder / job.run_id)
            try:
                self._train(job, files)
            except OSError as error:  # the next one shall have its turn all the same
                with contextlib.suppress(OSError):
                    files.write_end("failed", reason=f"cannot start: {error.strerror}")
            finally:
                with self._changed:
                    self._running = None

    def _train(self, job: _Job, files: RunFiles) -> None:
        """Let a process train, and see to its end."""
        with (files.folder / "worker.log").open("wb") as log:
            process = subprocess.Popen(
                [*self._worker, str(files.folder)],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8"},
                start_new_session=True,  # Ctrl+C ends the page, and this by the line to it
                creationflags=WINDOWS_FLAGS,
            )
            with self._changed:
                job.process = process
                if job.is_stopped or self._closed:
                    _hang_up(process)
            try:
                process.wait(60 * job.minutes + self.limits.grace_seconds)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            _hang_up(process)
        if not files.end.is_file():
            words = text_of(files.folder / "worker.log").strip()[-LAST_WORDS:].splitlines()
            files.write_end("failed", reason=words[-1] if words else f"exit {process.returncode}")

    def _clean_up(self) -> None:
        """Delete ended runs beyond the newest few, and those of yesterday."""
        active = {job.run_id for job in [*self._waiting, self._running] if job is not None}
        folders = [f for f in self.folder.glob("*") if RUN_ID.fullmatch(f.name)]
        folders = [f for f in folders if f.name not in active]
        folders.sort(key=_changed_at, reverse=True)
        oldest = time.time() - 3600 * self.limits.kept_hours
        for number, folder in enumerate(folders):
            has_ended = RunFiles(folder).end.is_file()  # else another page may be at it
            if _changed_at(folder) < oldest or (number >= self.limits.kept and has_ended):
                shutil.rmtree(folder, ignore_errors=True)


def _hang_up(process: subprocess.Popen[bytes] | None) -> None:
    """Close the line to a worker: it ends after its next update."""
    if process is not None and process.stdin is not None:
        with contextlib.suppress(OSError):
            process.stdin.close()


def _changed_at(folder: Path) -> float:
    """Return when a run began or ended, in seconds since 1970; 0 if it has just gone."""
    files = RunFiles(folder)
    for path in (files.end, files.job):
        with contextlib.suppress(OSError):
            return path.stat().st_mtime
    return 0.0
