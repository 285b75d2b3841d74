"""The four numbers and their tables, counted by hand."""

from __future__ import annotations

import pytest

from gpt_teacher.exam import (
    Replies,
    Reply,
    Score,
    calibrate,
    confusions,
    same_answers,
    scores_by,
    topic_names,
    worst_topics,
)
from gpt_teacher.prompt import REFUSAL_ANSWER
from gpt_teacher.text_files import Row


def reply(expected: str, given: str, probability: float = 0.9, subject: str = "物理") -> Reply:
    row = Row(f"{expected}?", expected, 1, "t1", subject, "定义", f"topic {expected}")
    return Reply(row, given, probability)


MISSED = reply("密度", "重力")
UNSURE = reply("光", "光", 0.3, "生物")
SHY = reply("力", REFUSAL_ANSWER)
RIGHT = reply("热", "热", subject="生物")
REWORDED = [MISSED, UNSURE, SHY, RIGHT, RIGHT]
UNKNOWN = [
    reply(REFUSAL_ANSWER, REFUSAL_ANSWER),
    reply(REFUSAL_ANSWER, "密度", 0.2),
    reply(REFUSAL_ANSWER, "密度", 0.8),
]


def test_the_four_numbers_of_a_hand_counted_exam() -> None:
    replies = Replies([RIGHT, RIGHT, MISSED, UNKNOWN[0]], REWORDED, UNKNOWN)
    assert replies.scores(0.0) == {
        "memorised": (3, 4),
        "paraphrase": (3, 5),
        "unknown_refused": (1, 3),
        "wrongly_refused": (1, 5),
    }
    assert replies.scores(0.5) == {
        "memorised": (3, 4),
        "paraphrase": (2, 5),  # UNSURE is withheld
        "unknown_refused": (2, 3),
        "wrongly_refused": (2, 5),
    }


def test_a_taught_refusal_is_memorised_when_it_is_refused() -> None:
    assert Replies([UNKNOWN[1]], [], []).scores(0.0)["memorised"] == (0, 1)
    assert Replies([UNKNOWN[1]], [], []).scores(0.5)["memorised"] == (1, 1)


def test_an_exam_without_a_part_has_no_number_for_it() -> None:
    assert [*Replies([RIGHT], [], []).scores(0.0)] == ["memorised"]


def test_a_right_answer_just_at_the_threshold_is_given() -> None:
    assert UNSURE.right(0.3)
    assert not UNSURE.right(0.30001)


def test_a_score_reads_as_count_and_share() -> None:
    assert str(Score(47, 50)) == "47/50 94.0%"
    assert Score(0, 0).share == 0.0


def test_scores_by_subject_come_in_the_order_of_the_file() -> None:
    scores = scores_by(REWORDED, "subject", 0.0)
    assert [*scores.items()] == [("物理", (0, 2)), ("生物", (3, 3))]
    assert scores_by([reply("a", "a", subject="")], "subject", 0.0) == {}


def test_the_worst_topics_come_first_and_right_ones_not_at_all() -> None:
    half = [reply("电", "电"), reply("电", "光")]
    worst = worst_topics([*half, MISSED, MISSED, SHY, RIGHT], 0.0, 9)
    assert worst == [("密度", (0, 2)), ("力", (0, 1)), ("电", (1, 2))]
    assert worst_topics([*half, MISSED], 0.0, 1) == [("密度", (0, 1))]


def test_a_confusion_is_the_answer_of_another_topic() -> None:
    replies = [
        MISSED,
        MISSED,
        SHY,
        reply("光", "光。"),
        reply("力", "重力"),
        reply("电", "光", 0.1),
    ]
    taught = {"密度", "重力", "光", "力", "电"}
    assert confusions(replies, taught, 0.5, 9) == [("密度", "重力", 2), ("力", "重力", 1)]
    assert confusions(replies, taught, 0.0, 1) == [("密度", "重力", 2)]


def test_answers_are_compared_by_their_text() -> None:
    assert same_answers([RIGHT, MISSED], [RIGHT, SHY]) == 0.5
    assert same_answers([], []) == 0.0


def test_a_topic_is_named_by_the_file_or_by_its_answer() -> None:
    nameless = Row("q", "一个很长很长很长很长的回答", 1)
    assert topic_names([RIGHT.row, nameless]) == {
        "热": "topic 热",
        "一个很长很长很长很长的回答": "一个很长很长很长很长的回",
    }


def test_the_threshold_is_fitted_on_known_and_unknown_replies() -> None:
    """Right at 0.9 and, one of five, at 0.3; an unknown one at 0.8: refusing it gains more."""
    no_known_question = reply(REFUSAL_ANSWER, "密度", 0.95)
    known = [*[RIGHT] * 4, UNSURE, no_known_question]
    assert calibrate(known, [reply(REFUSAL_ANSWER, "密度", 0.8)]) == pytest.approx(0.85)


def test_a_refusal_that_is_expected_is_not_a_wrong_one() -> None:
    expected = Reply(Row("今天天气?", REFUSAL_ANSWER, 1), REFUSAL_ANSWER, 0.9)
    wrong = Reply(Row("密度?", "质量除以体积", 2), REFUSAL_ANSWER, 0.9)
    scores = Replies([], [expected, wrong], []).scores(0.0)
    assert scores["wrongly_refused"] == Score(1, 1)
    assert scores["paraphrase"] == Score(1, 2)


def test_what_is_refused_or_unsure_counts_in_the_threshold_as_what_it_is() -> None:
    """Of two known questions one is right at 0.3: refusing it loses 0.35 and gains 0.3."""
    expected_refusal = reply(REFUSAL_ANSWER, "密度", 0.95)  # no known question: two, not three
    known = [RIGHT, UNSURE, expected_refusal]
    assert calibrate(known, [reply(REFUSAL_ANSWER, "密度", 0.8)]) == 0.0


def test_of_topics_all_wrong_the_one_with_more_questions_is_worse() -> None:
    assert worst_topics([SHY, MISSED, MISSED], 0.0, 1) == [("密度", (0, 2))]
