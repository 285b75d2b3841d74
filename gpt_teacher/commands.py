"""Command lines that a message tells the user to type. 提示用户输入的命令。"""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path

from gpt_teacher.config import TrainingConfig


def quoted(word: str) -> str:
    """Return a word as a shell takes it, here and on Windows. 命令行里的写法。"""
    if os.name != "nt" and set(word) & set('"$`!\\'):  # on Windows '…' are no quotes
        return shlex.quote(word)
    if re.fullmatch(r"[\w@%+=:,./\\-]+", word):
        return word
    escaped = word.replace('"', r"\"")
    return f'"{escaped}"'


def resume_command(save_dir: Path, max_steps: int | None = None) -> str:
    """Return what goes on with the run in a folder; max_steps = so far. 续训的命令。"""
    overrides = []
    if save_dir != Path(TrainingConfig().save_dir):
        overrides.append(f"training.save_dir={save_dir}")
    if max_steps is not None:
        overrides.append(f"training.max_steps={max_steps}")
    return " ".join(
        ["python -m scripts.train --resume", *(f"--set {quoted(o)}" for o in overrides)]
    )
