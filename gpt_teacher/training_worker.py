"""The process that trains for the page: python -m gpt_teacher.training_worker FOLDER. 训练进程。

    config.yaml  train.jsonl  run.json      what is to be done; it is there before
    checkpoints/  stage  beat  worker.log   while it runs
    model/  model.zip  end.json             what is left: last, with quantized/ inside

Its standard input is the line to the page: when that closes (stop was pressed, or the page is
gone), the run ends after the next update, and what has been learnt so far is kept.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
import threading
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from gpt_teacher import from_pretrained
from gpt_teacher.config import load_config
from gpt_teacher.errors import GPTTeacherError
from gpt_teacher.hub.files import files_in
from gpt_teacher.hub.folder import make_folder
from gpt_teacher.prompt import encode_prompt
from gpt_teacher.run_log import Evaluation, Step
from gpt_teacher.run_state import resumed
from gpt_teacher.sampler import answers, fits
from gpt_teacher.text_files import Row, read_rows
from gpt_teacher.training_files import BEAT_SECONDS, RunFiles
from gpt_teacher.training_run import run_training

NICENESS = 10  # of 19: the page goes before
CARD_NAME = "YOUR_NAME/my-gpt"  # in the card of the folder; publishing puts the true name there
ZIP_FOLDER = "my-gpt"  # that the zip unpacks to


@dataclass
class Stages:
    """A listener that notes what the run is busy with. 记下进行到哪一步。"""

    files: RunFiles
    now: str = field(default="", init=False)

    def say(self, text: str) -> None:
        """Notice the exam; everything else goes to the worker's log. 说一句。"""
        print(text, flush=True)  # noqa: T201  a process of its own: this is worker.log
        if text.startswith("exam:"):
            self.enter("exam")

    def step(self, step: Step, max_steps: int) -> None:
        """Notice the first update; the log has the figures. 一次更新。"""
        self.enter("training")

    def evaluation(self, evaluation: Evaluation) -> None:
        """Leave it to the log. 一次评估。"""

    def enter(self, stage: str) -> None:
        """Write down a new stage. 进入新阶段。"""
        if stage != self.now:
            self.now = stage
            self.files.stage.write_text(stage, encoding="utf-8")


def train_for_page(files: RunFiles, should_stop: Callable[[], bool]) -> None:
    """Train, pack, ask what was taught, and write down how it ended. 训练、打包、检验。"""
    job = json.loads(files.job.read_text(encoding="utf-8"))
    stages, minutes = Stages(files), job["minutes"] if job["is_timed"] else None
    config = load_config(files.config)
    result = run_training(config, stages, should_stop, minutes=minutes)
    if not result.finished:  # its exam and its quantized twin are still to be made
        last_step = f"training.max_steps={result.progress.step}"
        again, n = resumed(files.checkpoints, [last_step])
        run_training(again, stages, lambda: False, minutes=minutes, resume=True, max_steps=n)
    stages.enter("packing")
    make_folder(files.checkpoints, CARD_NAME, files.model)
    write_zip(files.model, files.archive)
    wrong = [[row.prompt, row.completion, given] for row, given in wrong_answers(files)]
    shutil.rmtree(files.checkpoints, ignore_errors=True)  # the page may be reading its log
    files.write_end("finished" if result.finished else "stopped", wrong=wrong)


def wrong_answers(files: RunFiles) -> list[tuple[Row, str | None]]:
    """Return the questions that the model does not answer to the letter, and its answers. 错题。

    A question that is too long to be asked has none.
    """
    teacher = from_pretrained(files.model)
    model, tokenizer = teacher.model, teacher.tokenizer
    rows = read_rows(files.questions)
    settings = teacher.fitted(teacher.config.sampling)
    asked = [row for row in rows if fits(model, encode_prompt(tokenizer, row.prompt))]
    given = answers(model, tokenizer, [row.prompt for row in asked], settings)
    texts = {row: one.text for row, one in zip(asked, given, strict=True)}
    return [(row, text) for row in rows if (text := texts.get(row)) != row.completion]


def write_zip(folder: Path, archive: Path) -> None:
    """Write a zip that unpacks to one folder. 打包。"""
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file:
        for name in files_in(folder):
            file.write(folder / name, f"{ZIP_FOLDER}/{name}")


def when_stdin_closes() -> threading.Event:
    """Return an event that is set when standard input closes. 监听停止。"""
    closed = threading.Event()

    def wait() -> None:
        while os.read(0, 1):  # not sys.stdin, whose lock a process cannot leave behind
            pass
        closed.set()

    threading.Thread(target=wait, daemon=True).start()
    return closed


def show_life(files: RunFiles) -> None:
    """Touch the beat as long as this process lives, for a page that is started anew. 心跳。"""

    def go_on() -> None:
        while True:
            with contextlib.suppress(OSError):  # the disk is full, or the folder is gone
                files.beat.touch()
            time.sleep(BEAT_SECONDS)

    threading.Thread(target=go_on, daemon=True).start()


def main() -> None:
    """Train as the folder says; whatever happens is written to end.json. 主程序。"""
    files = RunFiles(Path(sys.argv[1]))
    if hasattr(os, "nice"):  # on Windows whoever starts it sets the priority
        os.nice(NICENESS)
    stop = when_stdin_closes()
    show_life(files)
    try:
        train_for_page(files, stop.is_set)
    except GPTTeacherError as error:
        files.write_end("failed", reason=str(error).replace(str(files.folder) + os.sep, ""))


if __name__ == "__main__":
    main()
