"""The taught question that is most like the one asked. 最相近的训练题。"""

from __future__ import annotations

import math
from collections import defaultdict
from typing import NamedTuple

from gpt_teacher.look_alikes import bare, character_pairs


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
        self._having: defaultdict[str, list[int]] = defaultdict(list)
        pairs_of = [character_pairs(bare(question)) for question in questions]
        for index, pairs in enumerate(pairs_of):
            for pair in pairs:
                self._having[pair].append(index)
        self._weights = [sum(map(self._weight, sorted(pairs))) for pairs in pairs_of]

    def _weight(self, pair: str) -> float:
        """Return how much a pair counts; one that no question has counts like the rarest. 权重。"""
        return math.log(1 + len(self.questions) / max(1, len(self._having.get(pair, ()))))

    def nearest(self, question: str) -> Similar | None:
        """Return the most similar question, the first of equals; None if none has a pair. 最相近。

        Similarity is the weighted Jaccard index: weight of the pairs in both by that of the pairs
        in either.
        """
        pairs = character_pairs(bare(question))
        shared: defaultdict[int, float] = defaultdict(float)
        for pair in sorted(pairs):  # in a fixed order: sums of floats depend on it
            weight = self._weight(pair)
            for index in self._having.get(pair, ()):
                shared[index] += weight
        own = sum(map(self._weight, sorted(pairs)))
        found = (Similar(i, w / (own + self._weights[i] - w)) for i, w in shared.items())
        return max(found, key=lambda s: (round(s.similarity, 9), -s.number), default=None)
