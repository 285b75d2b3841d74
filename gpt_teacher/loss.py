"""The objective: how surprised the model is by each next token. 目标函数。"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

if TYPE_CHECKING:
    from gpt_teacher.model import GPT

IGNORE_INDEX = -100  # in targets: a position that is not learnt
TARGET_STEP = 64  # their number is rounded up to it: each new shape costs time and memory


class Batch(NamedTuple):
    """Sequences of one forward pass, filled up to a common length at the end. 一个批次。

    A row may hold several sequences; then `sequence` says which one each token belongs to, and no
    token sees those of another.
    """

    input_ids: Tensor  # (B, T)
    targets: Tensor  # (B, T): the next token, or IGNORE_INDEX
    sequence: Tensor | None = None  # (B, T): its number in the row; None = one sequence a row
    question: Tensor | None = None  # (B, T): the next token inside a question, or IGNORE_INDEX
    smoothing: float = 0.0  # share of each target that goes to all tokens alike

    def to(self, device: torch.device) -> Batch:
        """Return the batch on a device. 移到设备上。"""
        return self._each(lambda tensor: tensor.to(device))

    def rows(self, which: slice) -> Batch:
        """Return some of its rows. 其中几行。"""
        return self._each(lambda tensor: tensor[which])

    def _each(self, change: Callable[[Tensor], Tensor]) -> Batch:
        sequence, question = (
            None if tensor is None else change(tensor) for tensor in (self.sequence, self.question)
        )
        return self._replace(
            input_ids=change(self.input_ids),
            targets=change(self.targets),
            sequence=sequence,
            question=question,
        )


@dataclass(frozen=True)
class LossSum:
    """A sum over targets and their number; never a mean, so that parts can be added. 损失之和。"""

    total: Tensor  # nats, a scalar
    count: int
    aside: Tensor | float = 0.0  # learnt along with it, but no part of the loss that is reported


def next_token_loss(model: GPT, batch: Batch, question_weight: float = 0.0) -> LossSum:
    """Return the summed cross-entropy of the targets, in nats. 下一词元的交叉熵。

    Only positions with a target pass through the output layer: the rest of the logits, more than
    half in question answering, would be computed for nothing. With a question_weight, the tokens of
    the questions are learnt along with the answers, each counting so much. What smoothing adds is
    learnt aside, too: the loss that is reported stays the surprise at the targets. Source: Szegedy
    et al. 2016, arXiv:1512.00567, §7.
    """
    hidden = model.hidden_states(batch.input_ids, sequence=batch.sequence)  # (B, T, C)
    answers = _summed_loss(model, hidden, batch.targets, batch.smoothing)
    if batch.question is None or not question_weight:
        return answers
    questions = _summed_loss(model, hidden, batch.question, batch.smoothing)
    aside = answers.aside + question_weight * (questions.total + questions.aside)
    return LossSum(answers.total, answers.count, aside)


def _summed_loss(model: GPT, hidden: Tensor, targets: Tensor, smoothing: float) -> LossSum:
    """Return the cross-entropy of targets (B, T) given states (B, T, C); aside what smooths it."""
    learnt = targets != IGNORE_INDEX  # (B, T)
    hidden, targets = hidden[learnt], targets[learnt]  # (N, C), (N,)
    filling = -len(targets) % TARGET_STEP
    logits = model.lm_head(F.pad(hidden, (0, 0, 0, filling))).float()  # (N, V), N rounded up
    log_p = logits.log_softmax(dim=-1)
    filled = F.pad(targets, (0, filling), value=IGNORE_INDEX)
    total = F.nll_loss(log_p, filled, ignore_index=IGNORE_INDEX, reduction="sum")
    if not smoothing:
        return LossSum(total, len(targets))
    of_all_alike = -log_p[: len(targets)].mean(dim=-1).sum()
    return LossSum(total, len(targets), smoothing * (of_all_alike - total))


def token_log_probabilities(model: GPT, batch: Batch) -> Tensor:
    """Return log p of each target in nats, 0 where there is none (B, T). 对数概率。"""
    logits = model(batch.input_ids).float()  # (B, T, V)
    flat = F.cross_entropy(
        logits.flatten(0, 1), batch.targets.flatten(), ignore_index=IGNORE_INDEX, reduction="none"
    )
    return -flat.view_as(batch.targets)


def bits_per_byte(loss_nats: float, n_tokens: int, n_bytes: int) -> float:
    """Return the loss per byte of UTF-8 text, in bits: comparable across tokenizers. 每字节比特数。

    loss_nats is per token; n_tokens tokens stand for n_bytes bytes.
    """
    return loss_nats * n_tokens / n_bytes / math.log(2)
