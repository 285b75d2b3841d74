"""The exam: four numbers, and where they come from. 考试：四个数字与它们的来由。

memorised         taught questions answered to the letter
paraphrase        other wordings of taught topics that get their topic's answer
unknown_refused   questions on topics never taught that are refused
wrongly_refused   other wordings of taught topics that are refused: the fewer, the better

Each question is asked once, without a threshold; what a threshold does follows from the probability
of the least sure token.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import Literal, NamedTuple

from gpt_teacher.prompt import is_refusal
from gpt_teacher.refusal import Outcome, fit_threshold
from gpt_teacher.text_files import Row

FOUR_NUMBERS = ("memorised", "paraphrase", "unknown_refused", "wrongly_refused")
Label = Literal["subject", "kind"]
MAX_NAME = 12  # characters


class Score(NamedTuple):
    """So many of so many. 几分之几。"""

    hits: int
    questions: int

    @property
    def share(self) -> float:
        """Return the share, from 0 to 1. 比例。"""
        return self.hits / self.questions if self.questions else 0.0

    def __str__(self) -> str:
        """Return `47/50 94.0%`. 显示。"""
        return f"{self.hits}/{self.questions} {self.share:.1%}"


@dataclass(frozen=True)
class Reply:
    """A question of the exam and what the model said to it, threshold aside. 一题与它的回答。"""

    row: Row
    text: str
    min_probability: float

    def refused(self, threshold: float) -> bool:
        """Tell whether it is refused: taught to, or too unsure. 是否拒答。"""
        return is_refusal(self.text) or self.min_probability < threshold

    def right(self, threshold: float) -> bool:
        """Tell whether it is right: the expected answer, or the expected refusal. 是否正确。"""
        if is_refusal(self.row.completion):
            return self.refused(threshold)
        return self.text == self.row.completion and not self.refused(threshold)

    def outcome(self) -> Outcome:
        """Return what counts for the threshold. 供门槛拟合。"""
        return Outcome(not is_refusal(self.text), self.right(0.0), self.min_probability)


@dataclass(frozen=True)
class Replies:
    """The replies of one model to all parts of the exam. 一个模型的全部回答。"""

    taught: list[Reply]
    reworded: list[Reply]
    unknown: list[Reply]

    def all(self) -> list[Reply]:
        """Return the replies of all parts. 全部。"""
        return self.taught + self.reworded + self.unknown

    def scores(self, threshold: float) -> dict[str, Score]:
        """Return the four numbers; a part without questions has none. 四个数字。"""
        parts = {
            "memorised": [reply.right(threshold) for reply in self.taught],
            "paraphrase": [reply.right(threshold) for reply in self.reworded],
            "unknown_refused": [reply.refused(threshold) for reply in self.unknown],
            "wrongly_refused": [r.refused(threshold) for r in _known(self.reworded)],
        }
        return {name: Score(sum(marks), len(marks)) for name, marks in parts.items() if marks}


def calibrate(reworded: list[Reply], unknown: list[Reply]) -> float:
    """Return the threshold fitted on replies to held-out questions. 拟合拒答门槛。"""
    return fit_threshold([r.outcome() for r in _known(reworded)], [r.outcome() for r in unknown])


def _known(replies: list[Reply]) -> list[Reply]:
    """Return those whose expected answer is no refusal. 有答案的题。"""
    return [reply for reply in replies if not is_refusal(reply.row.completion)]


def same_answers(one: list[Reply], other: list[Reply]) -> float:
    """Return the share of questions that two models answered alike. 回答一致的比例。"""
    return sum(a.text == b.text for a, b in zip(one, other, strict=True)) / max(1, len(one))


def scores_by(replies: list[Reply], label: Label, threshold: float) -> dict[str, Score]:
    """Return the score of each subject or kind, in the order of the file. 按学科或类别统计。"""
    marks: defaultdict[str, list[bool]] = defaultdict(list)
    for one in replies:
        marks[getattr(one.row, label)].append(one.right(threshold))
    return {name: Score(sum(m), len(m)) for name, m in marks.items() if name}


def worst_topics(replies: list[Reply], threshold: float, most: int) -> list[tuple[str, Score]]:
    """Return the topics with most wrong replies as (answer, score), worst first. 最差的知识点。"""
    marks: defaultdict[str, list[bool]] = defaultdict(list)
    for one in replies:
        marks[one.row.completion].append(one.right(threshold))
    scores = [(answer, Score(sum(m), len(m))) for answer, m in marks.items() if not all(m)]
    return sorted(scores, key=lambda pair: (pair[1].share, pair[1].hits - pair[1].questions))[:most]


def confusions(
    replies: list[Reply], taught_answers: set[str], threshold: float, most: int
) -> list[tuple[str, str, int]]:
    """Return (expected answer, another topic's answer given, how often), commonest first. 混淆。"""
    mixed_up = Counter(
        (one.row.completion, one.text)
        for one in replies
        if not one.right(threshold) and not one.refused(threshold) and one.text in taught_answers
    )
    return [(*pair, n) for pair, n in mixed_up.most_common(most)]


def topic_names(rows: list[Row]) -> dict[str, str]:
    """Return a short name of each answer: its topic, or its beginning. 知识点简称。"""
    return {row.completion: row.topic or row.completion[:MAX_NAME] for row in rows}
