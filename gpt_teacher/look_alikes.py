"""Which of many questions are the same, or nearly. 哪些题目相同或几乎相同。

Two questions are as alike as their sets of character pairs: pairs in both, divided by pairs in
either (the Jaccard index).
"""

from __future__ import annotations

import math
import re
import sys
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from gpt_teacher.prompt import normalise

NEAR = 0.9  # Jaccard index from which two questions are nearly the same
ROUNDING = 1e-9  # 0.9 * 10 may be more than 9
# 3.5 is not 35, 5-3 not 53, C# not C and (1+2)*3 not 1+2*3: such marks stay.
_MEANINGFUL = re.compile(r"(?<=\d)[.,: ](?=\d)|(?<=\d)[()\[\]]|[()\[\]](?=\d)|[#%&*/@\\-]")


class Pair(NamedTuple):
    """Two texts that look alike, by their positions. 相似的一对。"""

    first: int
    second: int  # after the first
    similarity: float  # their Jaccard index


class LookAlikes(NamedTuple):
    """The pairs that were found. 找到的各对。"""

    pairs: list[Pair]
    is_complete: bool  # the search did not end at a limit


def bare(text: str) -> str:
    """Return what makes a question itself: no case, no punctuation, no spaces. 只留实质。

    Signs that change the meaning stay, as in 3+5, 3.5 and C#; a text of punctuation stays as it is.
    """
    text = normalise(text).lower()
    meaningful = {match.start() for match in _MEANINGFUL.finditer(text)}
    kept = (c for i, c in enumerate(text) if i in meaningful or not _is_punctuation(c))
    return "".join(kept) or text


def _is_punctuation(c: str) -> bool:
    return c in " ~" or unicodedata.category(c)[0] == "P"


def character_pairs(text: str) -> frozenset[str]:
    """Return the set of neighbouring characters; of one character, itself. 相邻两字的集合。"""
    return frozenset(text[i : i + 2] for i in range(max(1, len(text) - 1)))


def jaccard(one: frozenset[str], other: frozenset[str]) -> float:
    """Return how much two sets have in common, 0 to 1. 交集除以并集。"""
    shared = len(one & other)
    return shared / (len(one) + len(other) - shared)


def look_alikes(
    texts: Sequence[str],
    least: float = NEAR,
    most_pairs: int = sys.maxsize,
    most_compared: int = sys.maxsize,
) -> LookAlikes:
    """Find all pairs of texts that are at least so alike. 找出所有相似的题目。

    The search ends at the first limit that is reached; texts of one template must nearly all be
    compared with each other.
    """
    pairs: list[Pair] = []
    for n_compared, pair in enumerate(_compare(texts, least)):
        if n_compared == most_compared or len(pairs) == most_pairs:
            return LookAlikes(pairs, is_complete=False)
        if pair.similarity >= least:
            pairs.append(pair)
    return LookAlikes(pairs, is_complete=True)


def _compare(texts: Sequence[str], least: float) -> Iterator[Pair]:
    """Yield all pairs of texts that may be so alike, with how much they are. 逐对比较。

    Sets that alike share one of the few rarest members of each, and differ little in size, so only
    those are compared. Source: Bayardo et al. 2007 (WWW), "Scaling up all pairs similarity search".
    """
    sets = [character_pairs(text) for text in texts]
    counts = Counter(pair for members in sets for pair in members)
    having: defaultdict[str, list[int]] = defaultdict(list)  # rare member -> sets before this one
    for second in sorted(range(len(sets)), key=lambda i: len(sets[i])):
        members = sets[second]
        n_shared = math.ceil(least * len(members) - ROUNDING)  # at the least, with a larger set
        by_rarity = sorted(members, key=lambda pair: (counts[pair], pair))
        rarest = by_rarity[: len(members) - n_shared + 1]
        candidates = {i for pair in rarest for i in having[pair]}
        for first in candidates:
            if len(sets[first]) >= least * len(members) - ROUNDING:
                similarity = jaccard(sets[first], members)
                yield Pair(min(first, second), max(first, second), similarity)
        for pair in rarest:
            having[pair].append(second)
