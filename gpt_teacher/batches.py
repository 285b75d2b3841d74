"""The order of training: a function of the step and the seed. 训练的顺序。

Nothing about it needs saving: a resumed run asks for the same steps and gets the same batches.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Hashable, Sequence
from typing import Protocol

from gpt_teacher.loss import Batch


class Batches(Protocol):
    """Training data as a function of the step. 训练数据。"""

    def __call__(self, step: int, max_steps: int | None = None) -> list[Batch]:
        """Return the micro-batches of update `step` (from 0) of max_steps. 某一步的小批。"""
        ...


class EpochOrder:
    """An endless stream of items: all of them in a new order, then again. 每轮一个新顺序。

    The items of a group, if there are groups, come at equal distances, so that each batch is a fair
    sample of all: by chance alone, a topic comes three times in a tenth of an epoch and not at all
    in the next.
    """

    def __init__(
        self, n_items: int, seed: int | str, groups: Sequence[Hashable] | None = None
    ) -> None:
        """Order 0 … n_items - 1 by a seed; item i belongs to groups[i]. 指定种子与分组。"""
        self._n_items, self._seed, self._groups = n_items, seed, groups
        self._sizes = Counter(groups or ())
        self._epoch, self._order = -1, list[int]()  # the last one made

    def __call__(self, position: int) -> tuple[int, int]:
        """Return (epoch, item) at a position of the stream. 第几个是谁。"""
        epoch, offset = divmod(position, self._n_items)
        if epoch != self._epoch:
            source = random.Random(f"{self._seed} epoch {epoch}")
            self._epoch, self._order = epoch, list(range(self._n_items))
            source.shuffle(self._order)
            if self._groups is not None:
                self._order = self._spread(self._order, self._groups, source)
        return epoch, self._order[offset]

    def _spread(
        self, order: list[int], groups: Sequence[Hashable], source: random.Random
    ) -> list[int]:
        """Return the items with those of a group at equal distances. 同组均匀铺开。"""
        first: dict[Hashable, float] = {}  # where a group begins, in its own distances
        n_before: Counter[Hashable] = Counter()
        places: dict[int, float] = {}  # item -> share of the epoch before it
        for item in order:
            group = groups[item]
            begins = first.setdefault(group, source.random())
            places[item] = (begins + n_before[group]) / self._sizes[group]
            n_before[group] += 1
        return sorted(order, key=places.__getitem__)
