"""The original project's way of training the same network, for comparison. 原项目的训练方法。

Written anew from its description and its configuration: 2,000 updates of 16 sequences, duplicates
of the file included, each filled up to 128 tokens, in micro-batches of 4; logits of all positions;
float32; AdamW with a learning rate of 3e-4 and 5 steps of warm-up.
"""

from __future__ import annotations

import random

import torch
import torch.nn.functional as F

from gpt_teacher.loss import IGNORE_INDEX
from gpt_teacher.model import GPT
from gpt_teacher.prompt import Example
from gpt_teacher.tokenizer import PAD_ID

UPDATES, BATCH, MICRO, LENGTH = 2_000, 16, 4, 128
LEARNING_RATE, WEIGHT_DECAY, WARMUP = 3e-4, 0.01, 5


class OriginalRecipe:
    """A model and its optimizer, trained the original way. 原方法训练的模型。"""

    def __init__(self, model: GPT, examples: list[Example], seed: int = 42) -> None:
        """Take the rows of the file as they are, duplicates included. 不去重。"""
        self.model, self._examples, self._random = model, examples, random.Random(seed)
        self.n_updates = 0
        self._optimizer = torch.optim.AdamW(
            model.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY
        )

    def update(self) -> float:
        """Make one update; return its loss in nats. 一次更新。"""
        self._optimizer.zero_grad()
        mean = 0.0
        for _ in range(BATCH // MICRO):
            input_ids, targets = self._micro_batch()  # (4, 128) each
            logits = self.model(input_ids)  # (4, 128, V)
            loss = F.cross_entropy(
                logits.flatten(0, 1), targets.flatten(), ignore_index=IGNORE_INDEX
            )
            (loss * MICRO / BATCH).backward()  # type: ignore[no-untyped-call]
            mean += loss.item() * MICRO / BATCH
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.n_updates += 1
        for group in self._optimizer.param_groups:
            group["lr"] = LEARNING_RATE * min(1.0, self.n_updates / WARMUP)
        self._optimizer.step()
        return mean

    def _micro_batch(self) -> tuple[torch.Tensor, torch.Tensor]:
        input_ids = torch.full((MICRO, LENGTH), PAD_ID)
        targets = torch.full((MICRO, LENGTH), IGNORE_INDEX)
        for row, (ids, n_prompt) in enumerate(self._random.choices(self._examples, k=MICRO)):
            end = len(ids) - 1
            input_ids[row, :end] = torch.tensor(ids[:-1])
            targets[row, n_prompt - 1 : end] = torch.tensor(ids[n_prompt:])
        return input_ids, targets
