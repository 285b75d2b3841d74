"""The refusal threshold, worked out by hand."""

from __future__ import annotations

import random

import pytest

from gpt_teacher.refusal import Outcome, fit_threshold, risk_coverage


def right(probability: float) -> Outcome:
    return Outcome(answered=True, right=True, min_probability=probability)


def wrong(probability: float) -> Outcome:
    return Outcome(answered=True, right=False, min_probability=probability)


def refused(probability: float, as_expected: bool) -> Outcome:
    return Outcome(answered=False, right=as_expected, min_probability=probability)


def test_the_threshold_of_a_hand_worked_example() -> None:
    """Known: right at 0.9, 0.8, 0.5 and 0.3. Unknown: answered at 0.4, 0.35, 0.2, one refused.

    threshold   known kept   unknown refused   70 times the one share plus 30 times the other
    0           4 of 4       1 of 4            77.50
    0.25        4            2                 85.00   <- between 0.2 and 0.3
    0.375       3            3                 75.00
    0.45        3            4                 82.50
    0.65        2            4                 65.00
    """
    known = [right(0.9), right(0.8), right(0.5), right(0.3)]
    unknown = [wrong(0.4), wrong(0.35), wrong(0.2), refused(0.99, as_expected=True)]
    assert fit_threshold(known, unknown) == pytest.approx(0.25)


def test_a_right_answer_is_given_up_for_more_than_seven_thirds_of_its_share() -> None:
    """One of ten right answers at 0.3: two of ten unknown ones above it are not enough."""
    known = [right(0.3), *[right(0.9)] * 9]
    two = [wrong(0.4)] * 2 + [refused(0.9, as_expected=True)] * 8
    three = [wrong(0.4)] * 3 + [refused(0.9, as_expected=True)] * 7
    assert fit_threshold(known, two) == 0.0
    assert fit_threshold(known, three) == pytest.approx(0.65)


def test_of_equally_good_thresholds_the_smallest_is_taken() -> None:
    """Refusing the one unknown question costs the one known answer: then rather answer."""
    assert fit_threshold([right(0.3)], [wrong(0.6)]) == 0.0


def test_wrong_answers_to_known_questions_do_not_hold_the_threshold_down() -> None:
    known = [right(0.9), wrong(0.1), refused(0.2, as_expected=False)]
    assert fit_threshold(known, [wrong(0.5)]) == pytest.approx(0.7)


def test_without_questions_to_fit_on_nothing_is_withheld() -> None:
    assert fit_threshold([], [wrong(0.5)]) == 0.0
    assert fit_threshold([right(0.5)], []) == 0.0


def good(threshold: float, known: list[Outcome], unknown: list[Outcome]) -> float:
    """Return what is to be maximised, counted one by one."""
    kept = sum(o.answered and o.right and o.min_probability >= threshold for o in known)
    caught = sum(not o.answered or o.min_probability < threshold for o in unknown)
    return 0.7 * kept / len(known) + 0.3 * caught / len(unknown)


def test_no_threshold_on_a_fine_grid_does_more_good() -> None:
    source = random.Random(1)
    for _ in range(20):
        known = [
            Outcome(source.random() < 0.9, source.random() < 0.8, source.random())
            for _ in range(30)
        ]
        unknown = [Outcome(source.random() < 0.6, False, source.random() ** 2) for _ in range(20)]
        fitted = good(fit_threshold(known, unknown), known, unknown)
        grid = (n / 1000 for n in range(1001))
        assert all(good(threshold, known, unknown) <= fitted + 1e-9 for threshold in grid)


def test_risk_and_coverage_counted_by_hand() -> None:
    outcomes = [right(0.9), right(0.6), wrong(0.5), wrong(0.2), refused(0.99, as_expected=True)]
    points = risk_coverage(outcomes, [0.0, 0.5, 0.7, 0.95])
    assert [(p.threshold, p.coverage) for p in points] == [
        (0, 0.8),
        (0.5, 0.6),
        (0.7, 0.2),
        (0.95, 0),
    ]
    assert [p.risk for p in points] == pytest.approx([0.5, 1 / 3, 0.0, 0.0])


def test_risk_and_coverage_of_no_questions() -> None:
    assert risk_coverage([], [0.5]) == [(0.5, 0.0, 0.0)]
