"""When to say 不知道: a threshold on how sure the model is, fitted on held-out questions. 拒答。

A model that was taught to refuse still answers some questions that it was never taught; it is less
sure of those answers. An answer whose least sure token has a smaller probability than the threshold
is withheld.
"""

from __future__ import annotations

import bisect
from itertools import pairwise
from typing import NamedTuple

UNKNOWN_SHARE = 0.3  # of the questions that a class asks; the others are taught ones


class Point(NamedTuple):
    """What a threshold does to a set of questions. 某个门槛的效果。"""

    threshold: float
    coverage: float  # share of the questions that get an answer
    risk: float  # share of the answers given that are wrong; 0 if none is given


class Outcome(NamedTuple):
    """What became of a question that was asked without a threshold. 一题的结果。"""

    answered: bool  # the model did not refuse of its own accord
    right: bool  # the answer, or the refusal, is what was expected
    min_probability: float


def fit_threshold(known: list[Outcome], unknown: list[Outcome]) -> float:
    """Return the threshold that does most good. 拟合门槛。

    The good of a threshold is the expected share of right replies: known questions that get their
    right answer, and unknown ones that are refused, in the shares in which a class asks them.
    Candidates lie half-way between two neighbouring probabilities; of equally good ones the
    smallest. Without questions it is 0.
    """
    if not known or not unknown:
        return 0.0
    kept = sorted(o.min_probability for o in known if o.answered and o.right)
    caught = sorted(o.min_probability for o in unknown if o.answered)
    values = sorted({0.0, *kept, *caught, 1.0})
    candidates = [0.0, *((low + high) / 2 for low, high in pairwise(values))]

    def good(threshold: float) -> float:
        n_kept = len(kept) - bisect.bisect_left(kept, threshold)
        n_caught = bisect.bisect_left(caught, threshold)
        share_right = (1 - UNKNOWN_SHARE) * n_kept / len(known)
        return round(share_right + UNKNOWN_SHARE * n_caught / len(unknown), 9)

    return max(candidates, key=lambda threshold: (good(threshold), -threshold))


def risk_coverage(outcomes: list[Outcome], thresholds: list[float]) -> list[Point]:
    """Return the share answered, and the share of wrong answers among them. 风险与覆盖率。

    Source: Geifman & El-Yaniv 2017, arXiv:1705.08500, §2.
    """
    points = []
    for threshold in thresholds:
        given = [o for o in outcomes if o.answered and o.min_probability >= threshold]
        n_wrong = sum(not o.right for o in given)
        risk = n_wrong / len(given) if given else 0.0
        points.append(Point(threshold, len(given) / max(1, len(outcomes)), risk))
    return points
