"""Questions and answers -> batches (data.format: instruct). 问答数据。"""

from __future__ import annotations

import random
from array import array
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import torch
from torch import Tensor

from gpt_teacher.batches import EpochOrder
from gpt_teacher.config import Config
from gpt_teacher.errors import DataError
from gpt_teacher.loss import IGNORE_INDEX, Batch
from gpt_teacher.noise import add_courtesy, noisy_example, swap_topic
from gpt_teacher.prompt import Example, encode_example, normalise
from gpt_teacher.text_files import Row, read_rows
from gpt_teacher.tokenizer import PAD_ID, Tokenizer

SWAPPED_SHARE = 0.1  # of the unknown questions: a taught wording around an unknown topic
COURTESY_SHARE = 0.05  # of all questions, where there is noise: to the end of the run
ROW_TOKENS = 96  # of several samples in one row
LENGTH_STEP = 8  # tokens; finer steps made training slower and its memory twice as large
QUESTIONS_SHARE = 0.3  # of a run: so long the tokens of questions are learnt, too
NOISY_SHARE = 0.6  # of a run: the noise has faded by then, and the rest is learnt to the letter
SHORT_ANSWER = 8  # tokens: enough to tell topics apart
LATE_SHORT_SHARE = 0.8  # of the answers cut short are cut when the noise has faded, too
MAX_LISTED = 10  # lines named in one sentence of a report


@dataclass(frozen=True)
class Questions:
    """Rows that are used, and what was left out of their file. 可用的问答与未用的行。"""

    path: Path
    rows: list[Row]
    n_rows: int  # in the file
    n_duplicates: int
    too_long: list[tuple[int, int]]  # (line, tokens) of rows that do not fit the context
    contradictory: list[tuple[int, int]]  # (line, earlier line) of one question with two answers
    unknown_characters: list[str]  # that the tokenizer cannot keep

    def report(self) -> list[str]:
        """Return what a user should know, a sentence each. 说明。"""
        lines = [f"{self.path}: {self.n_rows} rows, {len(self.rows)} used"]
        if self.n_duplicates:
            lines.append(
                f"{self.n_duplicates} duplicate rows count once "
                f"(to count each: --set data.keep_duplicates=true)"
            )
        if self.too_long:
            lines.append(f"{self.report_too_long()}; these were left out")
        if self.contradictory:
            listed = _list(f"{first} and {line}" for line, first in self.contradictory)
            lines.append(f"one question with two different answers in lines {listed}")
        if self.unknown_characters:
            shown = "".join(self.unknown_characters[:20])
            lines.append(
                f"{len(self.unknown_characters)} characters are unknown to the tokenizer and "
                f"become <unk>: {shown}"
            )
        return lines

    def report_too_long(self) -> str:
        """Return which rows do not fit the context. 超长的行。"""
        listed = _list(f"line {line} ({n} tokens)" for line, n in self.too_long)
        return f"{self.path}: {len(self.too_long)} rows are longer than model.seq_len: {listed}"


def _list(items: Iterable[str]) -> str:
    items = list(items)
    more = len(items) - MAX_LISTED
    return ", ".join(items[:MAX_LISTED]) + (f" and {more} more" if more > 0 else "")


def load_questions(
    path: Path, tokenizer: Tokenizer, seq_len: int, keep_duplicates: bool = False
) -> Questions:
    """Read questions and answers and leave out what cannot be used. 读取问答并筛选。"""
    all_rows = read_rows(path)
    rows: list[Row] = []
    too_long: list[tuple[int, int]] = []
    contradictory: list[tuple[int, int]] = []
    seen: dict[str, Row] = {}  # normalised prompt -> the first row that has it
    pairs: set[tuple[str, str]] = set()
    n_duplicates = 0
    unknown: dict[str, None] = {}
    for row in all_rows:
        prompt = normalise(row.prompt)
        first = seen.setdefault(prompt, row)
        if (prompt, row.completion) in pairs and not keep_duplicates:
            n_duplicates += 1
            continue
        pairs.add((prompt, row.completion))
        if first.completion != row.completion:
            contradictory.append((row.line, first.line))
        n_tokens = len(encode_example(tokenizer, row.prompt, row.completion).ids) - 1
        if n_tokens > seq_len:
            too_long.append((row.line, n_tokens))
            continue
        unknown |= dict.fromkeys(tokenizer.unknown_characters(prompt + row.completion))
        rows.append(row)
    if not rows:
        raise DataError(
            f"{path}: no row fits model.seq_len = {seq_len} tokens; shorten the rows "
            f"or set a longer model.seq_len"
        )
    return Questions(
        path, rows, len(all_rows), n_duplicates, too_long, contradictory, list(unknown)
    )


class Examples:
    """Many examples, two or four bytes a token; in lists of integers it takes thirty. 样本集。"""

    def __init__(self, examples: Iterable[Example], vocab_size: int) -> None:
        """Take over the examples in their order. 收下样本。"""
        self._ids = array("H" if vocab_size <= 1 << 16 else "i")
        self._ends, self._n_prompts = array("q", [0]), array("i")
        for ids, n_prompt in examples:
            self._ids.extend(ids)
            self._ends.append(len(self._ids))
            self._n_prompts.append(n_prompt)

    def __getitem__(self, index: int) -> Example:
        """Return the example at an index from 0. 第几个样本。"""
        ids = self._ids[self._ends[index] : self._ends[index + 1]]
        return Example(ids.tolist(), self._n_prompts[index])


class QuestionBatches:
    """Batches of questions: each epoch in a new order, packed into few rows. 问答批次。

    Taught and unknown questions come in turn, in the shares that the configuration asks for,
    however many there are of each.
    """

    def __init__(
        self, taught: list[Row], unknown: list[Row], tokenizer: Tokenizer, config: Config
    ) -> None:
        """Encode the rows once; noise is made anew for each sample. 编码。"""
        rows = taught + unknown
        self._rows, self._tokenizer, self._n_taught = rows, tokenizer, len(taught)
        self._training, self._data = config.training, config.data
        self._unknown_share = config.data.unknown_share if unknown else 0.0
        self._seq_len = config.model.seq_len
        self._examples = Examples(
            (encode_example(tokenizer, r.prompt, r.completion) for r in rows), tokenizer.vocab_size
        )
        n_wordings = Counter(row.completion for row in rows)
        self._cut_shares = array(
            "d", (config.data.short_answers * (1 - 1 / n_wordings[r.completion]) for r in rows)
        )
        self._swappable = [
            i for i, row in enumerate(taught) if row.topic and row.topic in row.prompt
        ]
        self._taught_prompts = {normalise(row.prompt) for row in taught}
        seed = config.training.seed
        self._taught_order = EpochOrder(len(taught), seed, [row.completion for row in taught])
        self._unknown_order = EpochOrder(len(unknown), f"{seed} unknown")

    def __call__(self, step: int, max_steps: int | None = None) -> list[Batch]:
        """See Batches; noise and smoothing fade on the way to max_steps. 某一步的小批。"""
        size, micro = self._training.batch_size, self._training.micro_batch
        done = step / max_steps if max_steps else 0.0
        examples = [self._sample(step * size + i, done) for i in range(size)]
        packed = [pack(examples[i : i + micro], self._seq_len) for i in range(0, size, micro)]
        smoothing = self._training.label_smoothing * _fading(done)
        if done >= QUESTIONS_SHARE:
            packed = [batch._replace(question=None) for batch in packed]
        return [batch._replace(smoothing=smoothing) for batch in packed]

    def _sample(self, position: int, done: float) -> Example:
        """Return the sample at a position of the endless stream of epochs. 第几个样本。

        Choosing the topic takes the first tokens of an answer and is hard to learn; the others
        follow. So many samples end early, and more questions are seen in the same time; none where
        an answer has one question only, since it comes too rarely.
        """
        source = random.Random(f"{self._training.seed} {position}")
        index = self._index(position)
        example = self._noisy_sample(index, self._data.noise * _fading(done), source)
        late = LATE_SHORT_SHARE if done >= NOISY_SHARE else 1.0
        if source.random() < self._cut_shares[index] * late:
            return Example(example.ids[: example.n_prompt + SHORT_ANSWER], example.n_prompt)
        return example

    def _noisy_sample(self, index: int, noise: float, source: random.Random) -> Example:
        example, row = self._examples[index], self._rows[index]
        changed = row
        if index >= self._n_taught and source.random() < SWAPPED_SHARE:
            changed = self._swapped(row, source)
        if self._data.noise and source.random() < COURTESY_SHARE:
            changed = changed._replace(prompt=add_courtesy(changed.prompt, source))
        if changed is not row:
            encoded = encode_example(self._tokenizer, changed.prompt, changed.completion)
            if len(encoded.ids) - 1 <= self._seq_len:
                row, example = changed, encoded
        if source.random() >= noise:
            return example
        other = source.choice(self._rows)
        noisy = noisy_example(self._tokenizer, row.prompt, row.completion, other.prompt, source)
        return noisy if len(noisy.ids) - 1 <= self._seq_len else example

    def _swapped(self, unknown: Row, source: random.Random) -> Row:
        """Return an unknown question in a taught wording, where there are topics. 换话题。"""
        if not (unknown.topic and self._swappable):
            return unknown
        taught = self._rows[source.choice(self._swappable)]
        prompt = swap_topic(taught.prompt, taught.topic, unknown.topic, source)
        is_taught = normalise(prompt) in self._taught_prompts
        return unknown if is_taught else unknown._replace(prompt=prompt)

    def _index(self, position: int) -> int:
        """Return which row comes at a position of the stream. 第几题。"""
        n_unknown = int(position * self._unknown_share)  # before this position
        if int((position + 1) * self._unknown_share) > n_unknown:
            return self._n_taught + self._unknown_order(n_unknown)[1]
        return self._taught_order(position - n_unknown)[1]


def _fading(done: float) -> float:
    """Return what is left of the noise and the smoothing at a point of the run, from 1 to 0."""
    return max(0.0, 1 - done / NOISY_SHARE)


def pack(examples: list[Example], seq_len: int) -> Batch:
    """Return a batch of as few rows of at most seq_len tokens as it takes. 多个样本拼进一行。

    The longest first, each into the first row with room for it; so little is filling. Rows end at
    ROW_TOKENS where no sample is longer: attention costs the square. Their length is rounded up:
    matrix libraries prepare code for each new shape and keep it.
    """
    longest_first = sorted(examples, key=lambda example: -len(example.ids))
    full = min(seq_len, max(ROW_TOKENS, len(longest_first[0].ids) - 1))
    rows: list[list[Example]] = []
    room: list[int] = []  # of each row, in tokens
    for example in longest_first:
        n_tokens = len(example.ids) - 1
        row = next((i for i, left in enumerate(room) if left >= n_tokens), len(rows))
        if row == len(rows):
            rows.append([])
            room.append(full)
        rows[row].append(example)
        room[row] -= n_tokens
    T = min(seq_len, -(-(full - min(room)) // LENGTH_STEP) * LENGTH_STEP)
    packed = [_pack_row(row, T) for row in rows]
    input_ids, targets, sequence, question = map(_tensor, zip(*packed, strict=True))
    return Batch(input_ids, targets, sequence, question)


def _tensor(rows: Sequence[list[int]]) -> Tensor:
    """Return rows of equal length as (B, T), some five times as fast as torch.tensor. 整数张量。"""
    numbers = array("q", chain.from_iterable(rows))
    return torch.frombuffer(numbers, dtype=torch.int64).view(len(rows), -1)


def _pack_row(examples: list[Example], T: int) -> tuple[list[int], ...]:
    """Return ids, targets, sequence numbers and question targets of one row, T each. 一行。"""
    ids: list[int] = []
    targets: list[int] = []
    sequence: list[int] = []
    question: list[int] = []
    for number, (tokens, n_prompt) in enumerate(examples):
        ids += tokens[:-1]
        targets += [IGNORE_INDEX] * (n_prompt - 1) + tokens[n_prompt:]
        sequence += [number] * (len(tokens) - 1)
        question += tokens[1:n_prompt] + [IGNORE_INDEX] * (len(tokens) - n_prompt)
    filling = T - len(ids)
    nothing = [IGNORE_INDEX] * filling
    # Filling is a sequence of its own.
    return (
        ids + [PAD_ID] * filling,
        targets + nothing,
        sequence + [-1] * filling,
        question + nothing,
    )


def collate(examples: list[Example]) -> Batch:
    """Return a batch of examples, a row each, with targets shifted by one. 一行一个样本。"""
    T = max(len(example.ids) for example in examples) - 1
    input_ids = torch.full((len(examples), T), PAD_ID)
    targets = torch.full((len(examples), T), IGNORE_INDEX)
    for row, (ids, n_prompt) in enumerate(examples):
        input_ids[row, : len(ids) - 1] = torch.tensor(ids[:-1])
        targets[row, n_prompt - 1 : len(ids) - 1] = torch.tensor(ids[n_prompt:])
    return Batch(input_ids, targets)


def question_validation(rows: list[Row], tokenizer: Tokenizer, micro_batch: int) -> list[Batch]:
    """Return all rows as batches, sorted by length. 验证批次。"""
    examples = [encode_example(tokenizer, r.prompt, r.completion) for r in rows]
    examples.sort(key=lambda example: len(example.ids))
    return [collate(examples[i : i + micro_batch]) for i in range(0, len(examples), micro_batch)]
