"""What is wrong with files of questions and answers, before training does. 训练前检查题目。

A problem spoils a training or its exam and must be mended; a warning may be meant. Each finding
says what was found, what to do, and shows a few places.
"""

from __future__ import annotations

import itertools
import math
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from gpt_teacher.commands import quoted
from gpt_teacher.data_counts import Counts, count, show_characters
from gpt_teacher.look_alikes import NEAR, bare, look_alikes
from gpt_teacher.prompt import LEADING_PUNCTUATION, normalise
from gpt_teacher.tables import Table, role
from gpt_teacher.text_files import Row
from gpt_teacher.tokenizer import Tokenizer

MAX_EXAMPLES = 5  # of each finding
SHOWN = 40  # characters of a text in an example
MOST_SPELLED = 0.05  # of the characters; more make rows long and hard to learn
BUILD_TOKENIZER = "python -m scripts.build_tokenizer"
MAX_PAIRS = 20_000  # that look alike; texts made from one template would give millions
MAX_COMPARED = 2_000_000  # pairs, which takes seconds: each two of 2,000 questions
# How UTF-8 looks that was read in another encoding.
MOJIBAKE = re.compile("锟斤拷|ï»¿|ï¼|ã€|â€|çš„|锛[屻屼屽屾岀岃岄]|銆")
ODD_TEXTS = {
    "rows with characters damaged by a wrong encoding (乱码)": "take them from the source anew",
    "rows with control or invisible characters (不可见字符)": "delete these characters",
    "rows with space around the answer (首尾空白)": "it would be learnt: delete it",
    "rows whose answer is the question (答案与问题相同)": "write the answer",
    "rows whose answer begins with punctuation (答案以标点开头)": "it is left out when the model "
    "answers: begin with a word",
}
HARMLESS = "\t\r\n\u200c\u200d"  # white space, and joiners of words and emoji
Severity = Literal["problem", "warning"]


class Finding(NamedTuple):
    """One thing that was found. 一项发现。"""

    severity: Severity
    sentence: str  # what, how often, and the remedy
    examples: list[str]  # each with file and line


@dataclass(frozen=True)
class Report:
    """All that was found in some files. 检查结果。"""

    counts: list[Counts]  # of each file
    findings: list[Finding]  # problems first

    @property
    def n_problems(self) -> int:
        """Number of findings that must be mended. 必须改正的项数。"""
        return sum(finding.severity == "problem" for finding in self.findings)


class Question(NamedTuple):
    """A row and the file it stands in. 一题及其出处。"""

    path: Path
    row: Row

    @property
    def answer(self) -> str:
        """Its answer; spaces around it make no other one. 答案。"""
        return self.row.completion.strip()

    @property
    def asked(self) -> str:
        """What training sees: rows in which it is the same are one question. 训练所见。"""
        return normalise(self.row.prompt)

    def __str__(self) -> str:
        """Show place and question. 出处与题目。"""
        return f"{self.path}, line {self.row.line}: {self.row.prompt[:SHOWN]!r}"


Groups = dict[str, list[Question]]  # bare question -> where it stands


def check(
    tables: list[Table],
    tokenizer: Tokenizer,
    seq_len: int,
    written_to: Path | None = None,
    options: Sequence[str] = (),
) -> Report:
    """Check files that belong together: each is a split. 检查一组文件。

    With written_to, the one file is converted, so its form and encoding are no problem. `options`
    are those that a command keeps which a finding advises.
    """
    groups: Groups = defaultdict(list)
    for table in tables:
        for row in table.rows:
            groups[bare(row.prompt)].append(Question(table.path, row))
    counts = [count(table, tokenizer) for table in tables]
    findings = [
        *([] if written_to else find_unready(tables)),
        *find_cut(tables),
        *find_headers(tables),
        *find_contradictions(groups),
        *find_leaks(groups),
        *find_duplicates(groups),
        *find_look_alikes(groups),
        *find_untaught(tables),
        *find_odd_texts([question for group in groups.values() for question in group]),
    ]
    for table, counted in zip(tables, counts, strict=True):
        findings += find_too_long(table, counted.lengths, seq_len)
        findings += find_badly_spelled(counted, written_to or table.jsonl_path, options)
    return Report(counts, sorted(findings, key=lambda finding: finding.severity))


def find_unready(tables: list[Table]) -> list[Finding]:
    """Find files that training cannot read yet. 需要转换的文件。"""
    return [
        Finding(
            "problem",
            f"{table.path} is {table.form} in {table.encoding}, and training reads JSONL in UTF-8 "
            f"(先转换); convert it: python -m scripts.check_data {quoted(str(table.path))} "
            f"--to {quoted(str(table.jsonl_path))}",
            [],
        )
        for table in tables
        if not table.is_ready
    ]


def find_cut(tables: list[Table]) -> list[Finding]:
    """Find files with columns that are left out. 被略去的列。"""
    what = "has more than two columns and no header: the others are left out (多余的列)"
    remedy = "name the columns in a first row; an answer with the delimiter in it stands in quotes"
    return [Finding("warning", f"{t.path} {what}; {remedy}", []) for t in tables if t.is_cut]


def find_headers(tables: list[Table]) -> list[Finding]:
    """Find first rows that look like names of columns. 像表头的第一行。"""
    what = "its first row looks like names of columns and would be taught as a question (像表头)"
    remedy = "name them 问题 and 答案, or delete that row"
    return [Finding("warning", f"{t.path}: {what}; {remedy}", []) for t in tables if t.may_be_named]


def find_contradictions(groups: Groups) -> list[Finding]:
    """Find questions with more than one answer. 同题异答。

    「，」 and 「。」 look alike, and training keeps them apart: they may have an answer each.
    """
    found = []
    for same in (same for group in groups.values() for same in _split(group, "asked")):
        firsts = {question.answer: question for question in reversed(same)}
        if len(firsts) > 1:
            first, second = sorted(firsts.values(), key=same.index)[:2]
            found.append((first, second))
    what, remedy = "questions with different answers (同题异答)", "keep one answer for each"
    return _pairs("problem", what, remedy, found, with_answers=True)


def find_leaks(groups: Groups) -> list[Finding]:
    """Find questions that stand in two files. 泄题。

    Those that only look alike are the same if they have the same answer.
    """
    found = []
    for group in groups.values():
        for same in (*_split(group, "asked"), *_split(group, "answer")):
            firsts = {question.path: question for question in reversed(same)}
            if len(firsts) > 1:
                first, second = sorted(firsts.values(), key=same.index)[:2]
                found.append((first, second))
                break
    remedy = "an exam would ask what was taught: delete them from one file"
    return _pairs("problem", "questions that stand in two files (泄题)", remedy, found)


def find_duplicates(groups: Groups) -> list[Finding]:
    """Find rows that stand twice in a file. 重复的行。"""
    found = []
    for group in groups.values():
        firsts: dict[tuple[Path, str], Question] = {}
        for question in group:
            first = firsts.setdefault((question.path, question.answer), question)
            if first is not question:
                found.append((first, question))
    return _pairs("warning", "rows that repeat an earlier one (重复)", "they add nothing", found)


def find_look_alikes(groups: Groups) -> list[Finding]:
    """Find questions that are nearly the same. 几乎相同的题目。"""
    texts, members = list(groups), [_distinct(group) for group in groups.values()]
    across, within = [], []
    different = [pair for group in groups.values() for pair in _asked_apart(group)]
    alike = look_alikes(texts, NEAR, MAX_PAIRS, MAX_COMPARED)
    for first, second, _ in sorted(alike.pairs):
        pairs = [*itertools.product(members[first], members[second])]
        same_answer = [(one, other) for one, other in pairs if one.answer == other.answer]
        two_files = [(one, other) for one, other in same_answer if one.path != other.path]
        if not same_answer:
            different.append(pairs[0])
        elif two_files:
            across.append(two_files[0])
        else:
            within.append(same_answer[0])
    more = "; there are more" if len(alike.pairs) == MAX_PAIRS else ""
    leak = ("pairs nearly the same in two files (近似泄题)", f"an exam is easier with them{more}")
    twin = ("pairs nearly the same in a file (近似重复)", f"other wordings would teach more{more}")
    trap = ("pairs that look alike but have different answers (题近答异)", f"is it meant?{more}")
    return [
        *_pairs("warning", *leak, across),
        *_pairs("warning", *twin, within),
        *_pairs("warning", *trap, different, with_answers=True),
        *([] if alike.is_complete or more else [_unfinished()]),
    ]


def _unfinished() -> Finding:
    """Say that questions were left uncompared, and how many can be compared. 没有比完。"""
    what = "not all questions were compared (没有比完): too many are made from one template"
    n_compared = math.isqrt(2 * MAX_COMPARED)  # n questions are n * (n - 1) / 2 pairs
    return Finding("warning", f"{what}; check {n_compared:,} at a time", [])


def _split(group: list[Question], by: Literal["asked", "answer"]) -> list[list[Question]]:
    """Split questions that look alike into those that are the same in this. 分开。"""
    split = defaultdict(list)
    for question in group:
        split[question.asked if by == "asked" else question.answer].append(question)
    return [*split.values()]


def _asked_apart(group: list[Question]) -> Iterator[tuple[Question, Question]]:
    """Yield the first two questions that training keeps apart, with other answers. 形近实异。"""
    first, *others = group
    apart = (o for o in others if o.asked != first.asked and o.answer != first.answer)
    return ((first, other) for other in itertools.islice(apart, 1))


def _distinct(group: list[Question]) -> list[Question]:
    """Return one question for each file and answer. 每个文件每种答案取一题。"""
    return [*{(question.path, question.answer): question for question in reversed(group)}.values()]


def find_untaught(tables: list[Table]) -> list[Finding]:
    """Find answers of validation and test files that no other file teaches. 没教过的答案。"""
    held_out = [table for table in tables if role(table.path) not in ("train", "unknown")]
    taught = {row.completion for t in tables if t not in held_out for row in t.rows}
    findings: list[Finding] = []
    for table in held_out if taught else []:
        rows = {r.completion: r for r in reversed(table.rows) if r.completion not in taught}
        examples = [str(Question(table.path, row)) for row in reversed(rows.values())]
        what = f"answers of {table.path} that no training file has (没教过)"
        findings += _finding("warning", what, "the model cannot know them", examples)
    return findings


def find_odd_texts(questions: list[Question]) -> list[Finding]:
    """Find text that was damaged or copied badly. 可疑的文字。"""
    places: dict[str, list[str]] = {what: [] for what in ODD_TEXTS}
    for question in questions:
        for what in odd_texts(question.row.prompt, question.row.completion):
            places[what].append(str(question))
    return [f for w, found in places.items() for f in _finding("warning", w, ODD_TEXTS[w], found)]


def odd_texts(prompt: str, completion: str) -> Iterator[str]:
    """Yield what is odd about a row, as named in ODD_TEXTS. 一行里可疑之处。"""
    damaged, invisible, spaces, echo, punctuation = ODD_TEXTS
    text = prompt + completion
    if "\ufffd" in text or MOJIBAKE.search(text):
        yield damaged
    if any(unicodedata.category(c) in ("Cc", "Cf") and c not in HARMLESS for c in text):
        yield invisible
    if completion != completion.strip():
        yield spaces
    if normalise(prompt) == normalise(completion):
        yield echo
    if completion.strip() != completion.strip().lstrip(LEADING_PUNCTUATION):
        yield punctuation


def find_too_long(table: Table, lengths: list[int], seq_len: int) -> list[Finding]:
    """Find rows that the model cannot read whole. 太长的行。"""
    examples = [
        f"{table.path}, line {row.line}: {n} tokens"
        for row, n in zip(table.rows, lengths, strict=True)
        if n > seq_len
    ]
    what = f"rows of {table.path} longer than model.seq_len = {seq_len} tokens (太长)"
    remedy = "shorten them or set a longer model.seq_len"
    if len(examples) == len(table.rows):
        return _finding("problem", what, f"no other row is there: {remedy}", examples)
    return _finding("warning", what, f"they would be left out: {remedy}", examples)


def find_badly_spelled(counts: Counts, path: Path, options: Sequence[str] = ()) -> list[Finding]:
    """Find characters that the tokenizer does not know or spells in bytes. 生僻字。"""
    text, tokenizer = (
        quoted(f"{key}={value}")
        for key, value in (
            ("data.train_path", path),
            ("tokenizer.path", path.with_suffix("") / "tokenizer.json"),
        )
    )
    build = " ".join([BUILD_TOKENIZER, *options])
    remedy = (
        f"make a tokenizer of this text: {build} --set {text} --set {tokenizer} and train with "
        f"--set {tokenizer}, too"
    )
    findings = []
    if counts.spelled_share > MOST_SPELLED:
        what = f"characters of {path} spelled in bytes (生僻字): {counts.spelled_share:.1%}"
        findings.append(Finding("warning", f"{what}; {remedy}", [show_characters(counts.spelled)]))
    if counts.unknown:
        what = f"characters of {path} lost as <unk> (不认识的字): {len(counts.unknown)}"
        findings.append(Finding("warning", f"{what}; {remedy}", [show_characters(counts.unknown)]))
    return findings


def _finding(severity: Severity, what: str, remedy: str, examples: list[str]) -> list[Finding]:
    """Return a finding, if there is an example. 有才报。"""
    sentence = f"{what}: {len(examples)}; {remedy}"
    return [Finding(severity, sentence, examples[:MAX_EXAMPLES])] if examples else []


def _pairs(
    severity: Severity,
    what: str,
    remedy: str,
    found: list[tuple[Question, Question]],
    with_answers: bool = False,
) -> list[Finding]:
    """Return a finding of pairs, if there is one. 成对的发现。"""
    examples = [_two(*pair, with_answers) for pair in found[:MAX_EXAMPLES]]
    sentence = f"{what}: {len(found)}; {remedy}"
    return [Finding(severity, sentence, examples)] if found else []


def _two(first: Question, second: Question, with_answers: bool) -> str:
    """Show two questions of which the second is as the first, or nearly. 成对的题目。"""
    file = "" if second.path == first.path else f"{second.path}, "
    answers = [f" -> {q.answer[:SHOWN]!r}" if with_answers else "" for q in (first, second)]
    place = f"{file}line {second.row.line}: {second.row.prompt[:SHOWN]!r}"
    return f"{first}{answers[0]} | {place}{answers[1]}"
