"""What a file of questions holds, in numbers. 一个问答文件的统计。"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from gpt_teacher.prompt import encode_example, is_refusal, normalise
from gpt_teacher.tables import Table
from gpt_teacher.tokenizer import UNK_ID, Tokenizer

SPELLED = 3  # tokens of a character that is spelled byte by byte, or more
MAX_SHOWN = 10  # characters


class Spread(NamedTuple):
    """Smallest, middle and largest of some numbers. 最小、中位、最大。"""

    least: int
    median: float
    most: int

    def __str__(self) -> str:
        """Show them as `1 to 9, median 4`. 显示。"""
        return f"{self.least} to {self.most}, median {self.median:g}"


@dataclass(frozen=True)
class Counts:
    """What a file holds. 文件里有什么。"""

    questions: int
    answers: int  # distinct
    topics: int  # 0 = the file has none
    refusals: int
    per_answer: Spread | None  # questions of an answer, refusals apart; None = only refusals
    lengths: list[int]  # of each row, in tokens that the model reads
    characters: int
    tokens: int  # of the texts alone, without 用户: and 助手:
    spelled: list[tuple[str, int]]  # characters that take many tokens, the commonest first
    unknown: list[tuple[str, int]]  # characters that become <unk>

    @property
    def spelled_share(self) -> float:
        """Share of the characters that are spelled in bytes. 按字节拼写的字占多少。"""
        return sum(count for _, count in self.spelled) / self.characters


class Labelled(Protocol):
    """A question with the labels of its topic. 带知识点标签的一题。"""

    @property
    def id(self) -> str:
        """Its topic's id; one unknown topic may have several. 编号。"""

    @property
    def topic(self) -> str:
        """Its topic's name; several taught topics may share one. 名字。"""

    @property
    def completion(self) -> str:
        """Its answer. 答案。"""


def n_topics(questions: Iterable[Labelled]) -> int:
    """Return how many topics there are: taught ones by id, unknown ones by name. 知识点数。"""
    return len({q.topic or q.id if is_refusal(q.completion) else q.id for q in questions})


def count(table: Table, tokenizer: Tokenizer) -> Counts:
    """Count what stands in a file. 统计一个文件。"""
    texts = [text for row in table.rows for text in (normalise(row.prompt), row.completion)]
    characters = Counter("".join(texts))
    ids_of = {character: tokenizer.encode(character) for character in characters}
    ranked = sorted(characters.items(), key=lambda item: (-item[1], item[0]))
    refusals = [row for row in table.rows if is_refusal(row.completion)]
    answers = Counter(row.completion for row in table.rows if not is_refusal(row.completion))
    return Counts(
        questions=len(table.rows),
        answers=len({row.completion for row in table.rows}),
        topics=n_topics([row for row in table.rows if row.id]),
        refusals=len(refusals),
        per_answer=_spread(list(answers.values())) if answers else None,
        lengths=[_length(tokenizer, row.prompt, row.completion) for row in table.rows],
        characters=characters.total(),
        tokens=sum(len(tokenizer.encode(text)) for text in texts),
        spelled=[(c, n) for c, n in ranked if len(ids_of[c]) >= SPELLED],
        unknown=[(c, n) for c, n in ranked if UNK_ID in ids_of[c]],
    )


def describe(table: Table, counts: Counts) -> list[str]:
    """Return the numbers of a file in sentences. 用几句话说明。"""
    topics = f" on {counts.topics} topics" if counts.topics else ""
    columns = f", {table.columns}" if table.columns else ""
    per_answer = f"; questions an answer: {counts.per_answer}" if counts.per_answer else ""
    per_character = counts.tokens / counts.characters
    lines = [
        f"{table.path}: {table.form} in {table.encoding}{columns}; {counts.questions} questions"
        f"{topics}, {counts.answers} answers, {counts.refusals} refusals",
        f"  tokens a row: {_spread(counts.lengths)}{per_answer}",
        f"  tokens a character: {per_character:.2f}; spelled in bytes: {_spelled(counts)}",
    ]
    if counts.unknown:
        lines.append(f"  unknown to the tokenizer: {show_characters(counts.unknown)}")
    return lines


def show_characters(counted: list[tuple[str, int]], and_more: str = " and {n} more") -> str:
    """Return the first few characters with their counts, and how many more. 列出几个字。"""
    shown = " ".join(
        f"{c if c.isprintable() else f'U+{ord(c):04X}'}×{n}" for c, n in counted[:MAX_SHOWN]
    )
    more = len(counted) - MAX_SHOWN
    return shown + (and_more.format(n=more) if more > 0 else "")


def _spelled(counts: Counts) -> str:
    if not counts.spelled:
        return "none"
    return f"{counts.spelled_share:.1%} of the characters: {show_characters(counts.spelled)}"


def _length(tokenizer: Tokenizer, prompt: str, completion: str) -> int:
    """Return the tokens that the model reads of a row: all but the last. 一行的长度。"""
    return len(encode_example(tokenizer, prompt, completion).ids) - 1


def _spread(numbers: list[int]) -> Spread:
    return Spread(min(numbers), statistics.median(numbers), max(numbers))
