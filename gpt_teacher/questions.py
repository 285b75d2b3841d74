"""Questions and answers -> batches (data.format: instruct). 问答数据。"""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch

from gpt_teacher.batches import EpochOrder
from gpt_teacher.config import Config
from gpt_teacher.errors import DataError
from gpt_teacher.loss import IGNORE_INDEX, Batch
from gpt_teacher.noise import noisy_example
from gpt_teacher.prompt import Example, encode_example, normalise
from gpt_teacher.text_files import Row, read_rows
from gpt_teacher.tokenizer import PAD_ID, Tokenizer

LENGTH_STEP = 8  # tokens; finer steps made training slower and its memory twice as large
NOISY_SHARE = 0.7  # of a run: the noise has faded by then, and the rest is learnt to the letter
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
        unknown |= dict.fromkeys(tokenizer.unknown_characters(row.prompt + row.completion))
        rows.append(row)
    if not rows:
        raise DataError(
            f"{path}: no row fits model.seq_len = {seq_len} tokens; shorten the rows "
            f"or set a longer model.seq_len"
        )
    return Questions(
        path, rows, len(all_rows), n_duplicates, too_long, contradictory, list(unknown)
    )


class QuestionBatches:
    """Batches of questions: each epoch in a new order, each batch sorted by length. 问答批次。

    Sorting inside a batch and cutting it into micro-batches keeps both randomness and short
    padding.
    """

    def __init__(self, rows: list[Row], tokenizer: Tokenizer, config: Config) -> None:
        """Encode the rows once; noise is made anew for each sample. 编码。"""
        self._rows, self._tokenizer = rows, tokenizer
        self._training, self._noise = config.training, config.data.noise
        self._seq_len = config.model.seq_len
        self._examples = [encode_example(tokenizer, r.prompt, r.completion) for r in rows]
        self._order = EpochOrder(len(rows), config.training.seed)

    def __call__(self, step: int, max_steps: int | None = None) -> list[Batch]:
        """See Batches; the noise fades on the way to max_steps, if given. 某一步的小批。"""
        size, micro = self._training.batch_size, self._training.micro_batch
        done = step / max_steps if max_steps else 0.0
        noise = self._noise * max(0.0, 1 - done / NOISY_SHARE)
        examples = [self._sample(step * size + i, noise) for i in range(size)]
        examples.sort(key=lambda example: len(example.ids))
        return [collate(examples[i : i + micro], self._seq_len) for i in range(0, size, micro)]

    def _sample(self, position: int, noise: float) -> Example:
        """Return the sample at a position of the endless stream of epochs. 第几个样本。"""
        index = self._order(position)[1]
        source = random.Random(f"{self._training.seed} {position}")
        if source.random() >= noise:
            return self._examples[index]
        row, other = self._rows[index], source.choice(self._rows)
        noisy = noisy_example(self._tokenizer, row.prompt, row.completion, other.prompt, source)
        return noisy if len(noisy.ids) - 1 <= self._seq_len else self._examples[index]


def collate(examples: list[Example], seq_len: int | None = None) -> Batch:
    """Return a batch of examples, filled up at the end, with targets shifted by one. 拼成一批。

    With seq_len, the length is rounded up within it: matrix libraries prepare code for each new
    shape and keep it, so many shapes cost time and memory.
    """
    T = max(len(example.ids) for example in examples) - 1
    if seq_len is not None:
        T = min(seq_len, -(-T // LENGTH_STEP) * LENGTH_STEP)
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
