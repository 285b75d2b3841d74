"""The optimizer and the learning-rate schedule. 优化器与学习率。

Muon for the matrices of the blocks, AdamW for the embedding, the biases and the norms.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from gpt_teacher.config import TrainingConfig
from gpt_teacher.model import GPT

ADAM_BETA1 = 0.9  # Loshchilov & Hutter 2019, arXiv:1711.05101
MUON_MOMENTUM = 0.95
MUON_TURNS = 4  # a matrix moves at every fourth update, four times as far: less work, as good
# Each step maps a singular value x to ax + bx³ + cx⁵, and all from 0.02 to 1 to about 1 in the end.
NEWTON_SCHULZ = ((4.0848, -6.8946, 2.9270), (3.9505, -6.3029, 2.6377), (2.8366, -3.0525, 1.2046))


def build_optimizer(model: GPT, config: TrainingConfig) -> torch.optim.Optimizer:
    """Return Muon or AdamW, as configured; only matrices decay. 优化器。"""
    named = [*model.named_parameters()]
    blocks = [p for name, p in named if p.dim() == 2 and "embed" not in name]
    embeddings = [p for name, p in named if p.dim() == 2 and "embed" in name]
    vectors = [p for _, p in named if p.dim() < 2]
    with_adam = embeddings if config.optimizer == "muon" else [*embeddings, *blocks]
    adamw = torch.optim.AdamW(
        [
            {"params": with_adam, "weight_decay": config.weight_decay},
            {"params": vectors, "weight_decay": 0.0},
        ],
        lr=config.lr,
        betas=(ADAM_BETA1, config.beta2),
        fused=True,
    )
    if config.optimizer == "adamw":
        return adamw
    dtype = torch.bfloat16 if config.precision == "bfloat16" else torch.float32
    return Muon(blocks, adamw, config.lr, config.muon_lr / config.lr, config.weight_decay, dtype)


class Muon(torch.optim.Optimizer):
    """Momentum made orthogonal: a step that turns all directions of a matrix equally far. Muon。

    The parameters that are no matrices of a block are given to an AdamW, which steps along.
    Source: Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/.
    """

    def __init__(
        self,
        matrices: Sequence[Tensor],
        adamw: torch.optim.AdamW,
        lr: float,
        lr_ratio: float,
        weight_decay: float,
        dtype: torch.dtype,
    ) -> None:
        """Step matrices by lr * lr_ratio, so that one schedule serves both. 构造。

        dtype is that of the matrix products: bfloat16 is fast where the processor computes it.
        """
        defaults = {"lr": lr, "lr_ratio": lr_ratio, "weight_decay": weight_decay}
        super().__init__(matrices, defaults)
        self._adamw, self._dtype = adamw, dtype
        self.param_groups += adamw.param_groups
        self._share_with_adamw()

    def _share_with_adamw(self) -> None:
        """Let both see the same state and groups, the first of which is Muon's own. 共享状态。"""
        self._adamw.state, self._adamw.param_groups = self.state, self.param_groups[1:]

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore what state_dict gave. 恢复。"""
        super().load_state_dict(state_dict)
        self._share_with_adamw()

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Update all parameters that have a gradient, matrices in their turn. 更新一步。"""
        group = self.param_groups[0]
        lr = MUON_TURNS * group["lr"] * group["lr_ratio"]
        by_shape: dict[torch.Size, list[Tensor]] = {}
        for number, matrix in enumerate(group["params"]):
            if matrix.grad is not None and self._gather(matrix, number):
                by_shape.setdefault(matrix.shape, []).append(matrix)
        for (rows, columns), matrices in by_shape.items():  # one batched product for all of a shape
            moved = matrices[0].new_empty(len(matrices), rows, columns, dtype=self._dtype)
            for one, matrix in zip(moved, matrices, strict=True):
                one.copy_(self._nesterov(matrix))
            further = math.sqrt(max(1.0, rows / columns))
            for matrix, update in zip(matrices, orthogonalise(moved), strict=True):
                matrix.mul_(1 - lr * group["weight_decay"])
                matrix.add_(update, alpha=-lr * further)
        self._adamw.step()

    def _gather(self, matrix: Tensor, number: int) -> bool:
        """Add its gradient to the momentum of a matrix; tell whether it is its turn. 累积动量。"""
        state = self.state[matrix]
        if "step" not in state:
            state["step"] = torch.tensor(0.0)
            state.setdefault("momentum", torch.zeros_like(matrix))
        state["momentum"].lerp_(matrix.grad, 1 - MUON_MOMENTUM)
        state["step"] += 1
        return (int(state["step"]) + number) % MUON_TURNS == 0

    def _nesterov(self, matrix: Tensor) -> Tensor:
        """Return Nesterov's momentum of a matrix. 动量。"""
        assert matrix.grad is not None, "the caller has looked"
        gradient: Tensor = matrix.grad
        return gradient.lerp(self.state[matrix]["momentum"], MUON_MOMENTUM)


def orthogonalise(x: Tensor) -> Tensor:
    """Return matrices (N, rows, columns) with singular values near 1, directions kept. 正交化。

    It need not be exact. Source: Newton-Schulz iteration as in Muon, with a polynomial of its own
    for each step. The smaller of x x^T and x^T x is what it multiplies by.
    """
    is_wide = x.size(1) <= x.size(2)
    x = x / (x.flatten(1).norm(dim=1)[:, None, None] + 1e-7)  # singular values at most 1
    for a, b, c in NEWTON_SCHULZ:
        gram = x @ x.mT if is_wide else x.mT @ x  # (N, r, r), r the smaller side
        power = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)  # (N, r, r)
        factors = (power, x) if is_wide else (x, power)
        x = torch.baddbmm(x, *factors, beta=a)  # (N, rows, columns)
    return x


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
