"""The optimizer and the learning-rate schedule. 优化器与学习率。"""

from __future__ import annotations

import math

import torch

from gpt_teacher.config import TrainingConfig
from gpt_teacher.model import GPT

ADAM_BETA1 = 0.9  # Loshchilov & Hutter 2019, arXiv:1711.05101


def build_optimizer(model: GPT, config: TrainingConfig) -> torch.optim.Optimizer:
    """Return AdamW that decays matrices only; biases and norm scales stay free. AdamW 优化器。"""
    parameters = list(model.parameters())
    groups = [
        {"params": [p for p in parameters if p.dim() >= 2], "weight_decay": config.weight_decay},
        {"params": [p for p in parameters if p.dim() < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=config.lr, betas=(ADAM_BETA1, config.beta2), fused=True)


def learning_rate(step: int, max_steps: int, config: TrainingConfig) -> float:
    """Return the learning rate of update `step` (from 0) of max_steps. 学习率。

    A straight line up to config.lr in warmup_steps updates (a quarter of the run at most), then
    half a cosine down to config.lr * min_lr_ratio. Source: Loshchilov & Hutter 2017,
    arXiv:1608.03983, eq. 5.
    """
    warmup = min(config.warmup_steps, max_steps // 4)
    if step < warmup:
        return config.lr * (step + 1) / (warmup + 1)
    progress = min(1.0, (step - warmup) / max(1, max_steps - warmup))
    floor = config.lr * config.min_lr_ratio
    return floor + (config.lr - floor) * 0.5 * (1.0 + math.cos(math.pi * progress))
