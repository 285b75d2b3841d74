"""The taught question that is most like the one asked. 最相近的训练题。"""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from typing import NamedTuple

import torch

from gpt_teacher.look_alikes import ROUNDING, bare, character_pairs


class Similar(NamedTuple):
    """A question of an index that resembles the one asked. 相似的一题。"""

    number: int  # of the question, from 0
    similarity: float  # 0 = no pair of characters in common; 1 = the same but for punctuation


class SimilarQuestions:
    """An index that finds the most similar of many questions in milliseconds. 相似题索引。

    Pairs count by how rare they are, ln(1 + N / n) where n of the N questions have them: that two
    questions share 注意 says more than that both have 什么.
    """

    def __init__(self, questions: list[str]) -> None:
        """Note for each pair of characters which questions have it. 建索引。"""
        self.questions = questions
        having: defaultdict[str, list[int]] = defaultdict(list)
        pairs_of = [character_pairs(bare(question)) for question in questions]
        for index, pairs in enumerate(pairs_of):
            for pair in pairs:
                having[pair].append(index)
        ends = [*itertools.accumulate(map(len, having.values()))]
        self._places = {
            pair: slice(end - len(numbers), end)
            for (pair, numbers), end in zip(having.items(), ends, strict=True)
        }
        # All in one tensor: tens of thousands of small ones take far more memory.
        numbers_of_all = [*itertools.chain.from_iterable(having.values())]
        self._numbers = torch.tensor(numbers_of_all, dtype=torch.int64)
        weight = {pair: self._weight(pair) for pair in having}
        totals = [sum(weight[pair] for pair in sorted(pairs)) for pairs in pairs_of]
        self._weights = torch.tensor(totals, dtype=torch.float64)  # of each question's own pairs

    def _weight(self, pair: str) -> float:
        """Return how much a pair counts; one that no question has counts like the rarest. 权重。"""
        place = self._places.get(pair, slice(0, 0))
        return math.log(1 + len(self.questions) / max(1, place.stop - place.start))

    def nearest(self, question: str, least: float = 0.0) -> Similar | None:
        """Return the most similar question, the first of equals; None if none has a pair. 最相近。

        Similarity is the weighted Jaccard index: weight of the pairs in both by that of the pairs
        in either. With `least` also None if none is so similar, which is often seen at once.
        """
        pairs = sorted(character_pairs(bare(question)))  # in a fixed order: sums depend on it
        shared = torch.zeros(len(self.questions), dtype=torch.float64)  # weight of pairs in both
        for pair in filter(self._places.__contains__, pairs):
            shared[self._numbers[self._places[pair]]] += self._weight(pair)
        if not shared.any():
            return None
        own = sum(map(self._weight, pairs))
        if shared.max() < least * own - ROUNDING:  # the pairs in either weigh as much at least
            return None
        similarity = shared / (own + self._weights - shared)
        number = int(similarity.round(decimals=9).argmax())  # the first of several
        nearest = Similar(number, float(similarity[number]))
        return nearest if nearest.similarity >= least else None
