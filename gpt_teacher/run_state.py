"""What a run keeps on disk in order to go on. 续训所需的状态。

checkpoints/resume/     the state and the log of the run
checkpoints/previous/   what a new run took the place of
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from gpt_teacher.checkpoint import load_state
from gpt_teacher.config import Config, parse_config
from gpt_teacher.errors import CheckpointError, ConfigError

RESUME_MAY_SET = ("training.max_steps", "training.early_stop", "training.eval_interval")


def state_file(save_dir: Path) -> Path:
    """Return where the state of a run is kept. 续训状态文件。"""
    return save_dir / "resume" / "state.safetensors"


def resumed_config(save_dir: Path, overrides: list[str]) -> Config:
    """Return the saved run's configuration with the overrides it allows. 续训的配置。"""
    file = state_file(save_dir)
    state = load_state(file)[1]
    allowed = [o for o in overrides if o.partition("=")[0].strip() in RESUME_MAY_SET]
    refused = [o for o in overrides if o not in allowed and not o.startswith("training.save_dir=")]
    if refused:
        raise ConfigError(
            [
                f"--set {override}: a resumed run keeps its configuration; only "
                f"{', '.join(RESUME_MAY_SET)} may change. Start a new run without --resume"
                for override in refused
            ]
        )
    config = parse_config(state["config"], str(file), allowed)
    return replace(config, training=replace(config.training, save_dir=str(save_dir)))


def set_aside(save_dir: Path, say: Callable[[str], None]) -> None:
    """Keep the state of the run before: a new run loses nothing. 旧状态另存。"""
    resume, kept = save_dir / "resume", save_dir / "previous" / "resume"
    if not (resume / "state.safetensors").exists():  # killed before its first save
        shutil.rmtree(resume, ignore_errors=True)
        return
    shutil.rmtree(kept, ignore_errors=True)
    kept.parent.mkdir(parents=True, exist_ok=True)
    resume.rename(kept)
    try:
        progress = load_state(kept / "state.safetensors")[1]["progress"]
    except CheckpointError as error:
        say(f"the run before cannot be resumed: {error}")
        return
    step, max_steps = progress["step"], progress["max_steps"]
    if step < max_steps:
        say(
            f"the unfinished run in {save_dir} (step {step} of {max_steps}) was "
            f"moved to {kept.parent}; to go on with it, stop now, move {kept} back to {resume} "
            f"and run again with --resume"
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
