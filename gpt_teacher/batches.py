"""The order of training: a function of the step and the seed. 训练的顺序。

Nothing about it needs saving: a resumed run asks for the same steps and gets the same batches.
"""

from __future__ import annotations

import random
from typing import Protocol

from gpt_teacher.loss import Batch


class Batches(Protocol):
    """Training data as a function of the step. 训练数据。"""

    def __call__(self, step: int, max_steps: int | None = None) -> list[Batch]:
        """Return the micro-batches of update `step` (from 0) of max_steps. 某一步的小批。"""
        ...


class EpochOrder:
    """An endless stream of items: all of them in a new order, then again. 每轮一个新顺序。"""

    def __init__(self, n_items: int, seed: int | str) -> None:
        """Order 0 … n_items - 1 by a seed. 指定种子。"""
        self._n_items, self._seed = n_items, seed
        self._epoch, self._order = -1, list[int]()  # the last one made

    def __call__(self, position: int) -> tuple[int, int]:
        """Return (epoch, item) at a position of the stream. 第几个是谁。"""
        epoch, offset = divmod(position, self._n_items)
        if epoch != self._epoch:
            self._epoch, self._order = epoch, list(range(self._n_items))
            random.Random(f"{self._seed} epoch {epoch}").shuffle(self._order)
        return epoch, self._order[offset]
