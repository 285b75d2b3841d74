"""The nearest taught question, against brute force and by hand."""

from __future__ import annotations

import math
import random

import pytest

from gpt_teacher.look_alikes import character_pairs
from gpt_teacher.similar import SimilarQuestions


def test_rare_pairs_count_more_than_common_ones_by_hand() -> None:
    """什么 is in two of the three questions, 光合 in one."""
    index = SimilarQuestions(["什么光合", "什么重力", "密度"])
    rare, common = math.log(1 + 3 / 1), math.log(1 + 3 / 2)
    found = index.nearest("光合呢")  # pairs 光合 and 合呢; no question has 合呢
    assert found is not None
    # 什么光合 has 什么, 么光, 光合
    either = common + rare + rare + rare
    assert (found.number, found.similarity) == (0, pytest.approx(rare / either))


def test_the_same_question_has_similarity_one_whatever_its_punctuation() -> None:
    index = SimilarQuestions(["什么是密度?", "什么是 RoPE?"])
    found = index.nearest("什么是ｒｏｐｅ！")
    assert found is not None
    assert (found.number, found.similarity) == (1, pytest.approx(1.0))


def test_of_equally_similar_questions_the_first_is_found() -> None:
    found = SimilarQuestions(["密度?", "密度", "密度!"]).nearest("密度。")
    assert found is not None
    assert found.number == 0


def test_nothing_is_like_a_question_that_shares_no_pair() -> None:
    assert SimilarQuestions(["什么是密度?"]).nearest("hello") is None
    assert SimilarQuestions([]).nearest("什么是密度?") is None


def test_the_index_finds_what_brute_force_finds() -> None:
    source = random.Random(0)

    def text() -> str:
        return "".join(source.choices("甲乙丙丁戊己", k=source.randint(1, 8)))

    questions = [text() for _ in range(200)]
    index = SimilarQuestions(questions)
    sets = [character_pairs(q) for q in questions]

    def weight(pairs: frozenset[str]) -> float:
        total = 0.0
        for pair in sorted(pairs):
            n = max(1, sum(pair in other for other in sets))
            total += math.log(1 + len(sets) / n)
        return total

    for _ in range(50):
        asked = text()
        own = character_pairs(asked)
        by_hand = [weight(own & other) / weight(own | other) for other in sets]
        best = max(by_hand)
        found = index.nearest(asked)
        if best == 0:
            assert found is None
            continue
        assert found is not None
        assert found.similarity == pytest.approx(best)
        assert found.number == next(i for i, s in enumerate(by_hand) if s > best - 1e-9)
        for least in (best - 1e-6, best, best + 1e-6, 0.3, 0.9):
            near = index.nearest(asked, least)
            assert near == (found if found.similarity >= least else None)
