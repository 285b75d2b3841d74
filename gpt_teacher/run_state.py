"""What a run keeps on disk in order to go on. 续训所需的状态。

checkpoints/resume/     the state and the log of the run
checkpoints/previous/   what a new run took the place of
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from gpt_teacher.checkpoint import load_state
from gpt_teacher.commands import resume_command
from gpt_teacher.config import Config, parse_config
from gpt_teacher.errors import CheckpointError, ConfigError

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

LOCK_FILE = ".training.lock"  # held by the run that writes to the folder
RESUME_MAY_SET = ("training.max_steps", "training.early_stop", "training.eval_interval")


@contextmanager
def reserved(save_dir: Path) -> Iterator[None]:
    """Keep a folder for one run; the system frees it, however the run ends. 独占保存目录。

    Raises CheckpointError if another run writes to it.
    """
    try:
        save_dir.mkdir(parents=True, exist_ok=True)
        file = (save_dir / LOCK_FILE).open("wb")
    except OSError as error:
        raise CheckpointError(
            f"cannot write to {save_dir}: {error.strerror}; choose another folder with "
            f"--set training.save_dir=FOLDER"
        ) from None
    with file:
        try:
            _lock(file.fileno())
        except (BlockingIOError, PermissionError):  # the second one on Windows
            raise CheckpointError(
                f"another training writes to {save_dir} (另一个训练正在使用); wait for its end, or "
                f"choose another folder: --set training.save_dir=FOLDER"
            ) from None
        except OSError:
            pass  # a network drive without locks
        yield


def _lock(handle: int) -> None:
    if sys.platform == "win32":
        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
    else:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


class Resumed(NamedTuple):
    """How a saved run is to go on. 续训的设置。"""

    config: Config
    max_steps: int | None  # the new number of updates; None = as planned before


def state_file(save_dir: Path) -> Path:
    """Return where the state of a run is kept. 续训状态文件。"""
    return save_dir / "resume" / "state.safetensors"


def resumed(save_dir: Path, overrides: list[str]) -> Resumed:
    """Return the saved run's configuration with the overrides it allows. 续训的配置。"""
    file = state_file(save_dir)
    state = load_state(file)[1]
    keys = [override.partition("=")[0].strip() for override in overrides]
    named = list(zip(keys, overrides, strict=True))
    allowed = [override for key, override in named if key in RESUME_MAY_SET]
    refused = [o for key, o in named if key not in (*RESUME_MAY_SET, "training.save_dir")]
    if refused:
        raise ConfigError(
            [
                f"--set {override}: a resumed run keeps its configuration; only "
                f"{', '.join(RESUME_MAY_SET)} may change. Start a new run without --resume"
                for override in refused
            ]
        )
    config = parse_config(state["config"], str(file), allowed)
    # Not compared with the saved number: --minutes may have planned another one.
    max_steps = config.training.max_steps if "training.max_steps" in keys else None
    return Resumed(
        replace(config, training=replace(config.training, save_dir=str(save_dir))), max_steps
    )


def set_aside(save_dir: Path, say: Callable[[str], None]) -> None:
    """Keep the state of the run before: a new run loses nothing. 旧状态另存。"""
    resume, kept = save_dir / "resume", save_dir / "previous" / "resume"
    if not (resume / "state.safetensors").exists():  # killed before its first save
        shutil.rmtree(resume, ignore_errors=True)
        return
    shutil.rmtree(kept, ignore_errors=True)
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        resume.rename(kept)
    except OSError as error:
        raise CheckpointError(
            f"{resume} cannot be moved to {kept} ({error.strerror}), where the run before would be "
            f"kept; mend that, or choose another training.save_dir"
        ) from None
    try:
        progress = load_state(kept / "state.safetensors")[1]["progress"]
    except CheckpointError as error:
        say(f"the run before cannot be resumed: {error}")
        return
    step, max_steps = progress["step"], progress["max_steps"]
    if step < max_steps:
        say(
            f"the unfinished run in {save_dir} (step {step} of {max_steps}) was moved to "
            f"{kept.parent}; to go on with it, stop now, delete {resume}, move {kept} there and "
            f"run: {resume_command(save_dir)}"
        )


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return the optimizer's state under flat names. 优化器状态。"""
    state = optimizer.state_dict()["state"]
    return {
        f"optimizer.{index}.{key}": tensor.cpu()
        for index, tensors in state.items()
        for key, tensor in tensors.items()
    }


def load_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Restore what optimizer_tensors gave. 恢复优化器。"""
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        kind, _, rest = name.partition(".")
        if kind == "optimizer":
            index, _, key = rest.partition(".")
            state.setdefault(int(index), {})[key] = tensor
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})
