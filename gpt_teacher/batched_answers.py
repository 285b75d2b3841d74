"""Answers for many askers at once: one batch that each joins and leaves by itself. 连续批处理。

    ask -> waiting -> its question is read -> a row of the batch, a token a step -> ended

A step for thirty rows costs little more than one for a single row, so a class waits for a few
answers, not for thirty. Each row has its own length, settings and seed: an asker gets what it
would get alone. One thread decodes for all; it begins with a question and ends when none is left.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from gpt_teacher.config import SamplingConfig
from gpt_teacher.decoder import decoder_of
from gpt_teacher.model import GPT, KVCache
from gpt_teacher.prompt import encode_prompt
from gpt_teacher.sampler import (
    Answer,
    GrowingAnswer,
    Token,
    barred_beginnings,
    check_prompts,
    pick,
    unsayable_tokens,
)
from gpt_teacher.tokenizer import PAD_ID, Tokenizer

MAX_ROWS = 32  # answered at once; who comes later waits until a row is free
STEPS_BETWEEN_JOINS = 4  # who asks meanwhile is read together with others: fewer, larger products


class Asked:
    """A question in the batch, and its answer as far as it has come. 批中的一问。"""

    def __init__(
        self, tokenizer: Tokenizer, vocab_size: int, question: str, settings: SamplingConfig
    ) -> None:
        """Make it ready to be read. 备好提问。"""
        self.ids = encode_prompt(tokenizer, question)  # that the cache is to hold
        self.settings = settings
        self.barred = unsayable_tokens(tokenizer, settings)  # no answer begins with all of them
        self.random = torch.Generator().manual_seed(settings.seed)
        self.seen = torch.zeros(1, vocab_size, dtype=torch.bool)
        self.n_new = 0
        self.latest: Answer | None = None
        self.seconds = 0.0  # that the steps took in which it was a row
        self.ended = threading.Event()
        self._growing = GrowingAnswer(tokenizer, settings, clean=True)
        self._is_whole = False
        self._error: Exception | None = None

    def wait(self, seconds: float | None = None) -> bool:
        """Wait for the end, at most so long; tell whether it has come. 等待结束。

        Raises what went wrong with this answer.
        """
        ended = self.ended.wait(seconds)
        if self._error is not None:
            raise self._error
        return ended

    @property
    def never_next(self) -> int | None:
        """Return the token that may not come next: it would make a refusal. 禁用的词元。"""
        *before, last = self.barred or (None,)
        is_next = self.n_new == len(before) and self.ids[len(self.ids) - self.n_new :] == before
        return last if is_next else None

    def give_up(self) -> None:
        """Want no more of it: its row is free from the next step on. 放弃。"""
        self.ended.set()

    def fail(self, error: Exception) -> None:
        """End it with an error, which `wait` raises. 出错。"""
        self._error = error
        self.give_up()

    def take(self, token_id: int, probability: float, seq_len: int) -> None:
        """Add a token to the answer, and end it if that was the last. 加一个词元。"""
        growing = self._growing
        growing.push(Token(0, token_id, probability))
        self.n_new += 1
        is_full = len(self.ids) >= seq_len  # no room for one more
        is_last = bool(growing.reason) or is_full or self.n_new == self.settings.max_new_tokens
        self.latest = growing.finish() if is_last else growing.answer()
        self._is_whole = is_last
        self.ids.append(token_id)
        if self.settings.repetition_penalty != 1:
            self.seen[0, token_id] = True

    def show(self, seconds: float) -> None:
        """Count the time of a step and tell who waits what has come of it. 计时并通知。"""
        self.seconds += seconds
        if self._is_whole:
            self.ended.set()


class Rows:
    """Keys and values of sequences of different lengths, each from the left. 各行的键值缓存。"""

    def __init__(self, model: GPT) -> None:
        """Reserve room for one row; more is made when more is needed. 预留空间。"""
        config = model.config
        shape = (config.n_layer, 1, config.n_head, config.seq_len, config.head_dim)
        self.keys = torch.zeros(shape, device=model.device)
        self.values = torch.zeros(shape, device=model.device)
        self.at(torch.zeros(1, dtype=torch.long), 1)

    def at(self, positions: Tensor, longest: int) -> None:
        """Say where append is to store: positions (B,), their maximum longest - 1. 指定位置。"""
        self._positions, self._longest = positions, longest
        self._rows = torch.arange(positions.numel(), device=positions.device)

    def append(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Store k and v (B, H, 1, D) and return all up to the longest row (B, H, P, D). 追加。"""
        n, rows, at = k.size(0), self._rows, self._positions
        keys, values = self.keys[layer], self.values[layer]  # (rows reserved, H, seq_len, D)
        keys[rows, :, at], values[rows, :, at] = k[:, :, 0], v[:, :, 0]
        return keys[:n, :, : self._longest], values[:n, :, : self._longest]

    def put(self, row: int, cache: KVCache, source: int, length: int) -> None:
        """Take over the first tokens of a row that the model has read. 接收读过的提问。"""
        while row >= self.keys.size(1):  # twice as many, those that are added all zeros
            self.keys = torch.cat((self.keys, torch.zeros_like(self.keys)), dim=1)
            self.values = torch.cat((self.values, torch.zeros_like(self.values)), dim=1)
        for layer, (keys, values) in enumerate(zip(cache.keys, cache.values, strict=True)):
            self.keys[layer, row, :, :length] = keys[source, :, :length]
            self.values[layer, row, :, :length] = values[source, :, :length]

    def move(self, source: int, row: int, length: int) -> None:
        """Copy a row to another place. 移动一行。"""
        for tensor in (self.keys, self.values):
            tensor[:, row, :, :length] = tensor[:, source, :, :length]


@contextmanager
def _told(askers: list[Asked]) -> Iterator[None]:
    """Let what goes wrong be raised where those askers wait, not here. 出错时告诉提问者。"""
    try:
        yield
    except Exception as error:  # noqa: BLE001  none of them shall wait for ever
        for asked in askers:
            asked.fail(error)


class Batch:
    """The rows that are being answered; belongs to one thread. 正在回答的一批。"""

    def __init__(self, model: GPT) -> None:
        """Begin without rows. 空的一批。"""
        self._model = model
        self._decoder = decoder_of(model)
        self._rows = Rows(model)
        self.askers: list[Asked] = []  # in the order of the rows

    @torch.inference_mode()
    def join(self, new: list[Asked]) -> None:
        """Read some questions and choose the first token of each answer. 读题。"""
        new = [asked for asked in new if not asked.ended.is_set()]
        if not new:
            return
        started_at = time.perf_counter()
        with _told(new):
            lengths = [len(asked.ids) for asked in new]
            padded = [a.ids + [PAD_ID] * (max(lengths) - len(a.ids)) for a in new]
            input_ids = torch.tensor(padded, device=self._model.device)  # (B, T)
            cache = KVCache(self._model, len(new), max(lengths))
            # The filling is on the right, where no token of the question looks.
            hidden = self._model.hidden_states(input_ids, cache)  # (B, T, C)
            self._decoder = decoder_of(self._model)  # not for each token: it looks at all weights
            last = torch.tensor(lengths, device=hidden.device) - 1
            logits = self._model.lm_head(hidden[torch.arange(len(new)), last]).float()  # (B, V)
            for number, asked in enumerate(new):
                (asked.barred,) = barred_beginnings(self._model, [asked.ids], asked.barred)
                self._rows.put(len(self.askers), cache, number, lengths[number])
                self.askers.append(asked)
                self._choose([asked], logits[number : number + 1])
        for asked in new:
            asked.show(time.perf_counter() - started_at)
        self._drop_ended()

    @torch.inference_mode()
    def step(self) -> None:
        """Give each row its next token. 每行生成一个词元。"""
        self._drop_ended()
        if not self.askers:
            return
        askers, started_at = [*self.askers], time.perf_counter()
        with _told(askers):
            logits = self._logits()  # (B, V)
            for numbers in _alike(askers):
                group = [askers[number] for number in numbers]
                self._choose(group, logits if len(group) == len(askers) else logits[numbers])
        for asked in askers:
            asked.show(time.perf_counter() - started_at)
        self._drop_ended()

    def _logits(self) -> Tensor:
        """Store the last token of each row and return the logits after it (B, V)."""
        last = [(asked.ids[-1], len(asked.ids) - 1) for asked in self.askers]
        ids, positions = torch.tensor(last, device=self._model.device).unbind(1)  # (B,), (B,)
        lengths, mask = {len(asked.ids) for asked in self.askers}, None
        if len(lengths) > 1:  # what is beyond a row's length is another's, or was
            places = torch.arange(max(lengths), device=ids.device)
            mask = (places <= positions[:, None])[:, None, None]  # (B, 1, 1, P)
        self._rows.at(positions, max(lengths))
        return self._decoder.step(ids, positions, mask, self._rows)

    def _choose(self, group: list[Asked], logits: Tensor) -> None:
        """Choose a token for each of some rows that are chosen alike: logits (B, V)."""
        with _told(group):
            first, seq_len = group[0], self._model.config.seq_len
            random, seen = [asked.random for asked in group], None
            if first.settings.repetition_penalty != 1:  # alike in this, too
                seen = torch.cat([asked.seen for asked in group]).to(logits.device)  # (B, V)
            never = [(row, a.never_next) for row, a in enumerate(group) if a.never_next is not None]
            chosen, sure = pick(logits, first.n_new, first.settings, random, seen, never)
            tokens = zip(group, chosen.tolist(), sure.tolist(), strict=True)
            for asked, token_id, probability in tokens:
                with _told([asked]):
                    asked.take(token_id, probability, seq_len)

    def _drop_ended(self) -> None:
        """Free the rows of ended answers: the last row takes the place of each."""
        for row in reversed(range(len(self.askers))):
            if self.askers[row].ended.is_set():
                last = self.askers.pop()
                if row < len(self.askers):
                    self._rows.move(len(self.askers), row, len(last.ids) - 1)
                    self.askers[row] = last


def _alike(askers: list[Asked]) -> list[list[int]]:
    """Return the numbers of those rows that are chosen in one go, group by group. 分组。"""
    groups: dict[tuple[float, ...], list[int]] = {}
    for number, asked in enumerate(askers):
        s, is_short = asked.settings, asked.n_new < asked.settings.min_new_tokens
        key = (s.temperature, s.top_k, s.top_p, s.repetition_penalty, is_short)
        groups.setdefault(key, []).append(number)
    return list(groups.values())


class Batcher:
    """Answers the questions of all who ask, with one model. 批量答题者。"""

    def __init__(self, model: GPT, tokenizer: Tokenizer) -> None:
        """Take the model; there is no thread yet. 选定模型。"""
        self._model, self._tokenizer = model, tokenizer
        self._lock = threading.Lock()
        self._waiting: deque[Asked] = deque()
        self._batch: Batch | None = None  # kept from one thread to the next: it is large
        self._is_decoding = False
        self._n_rows = 0

    @property
    def n_askers(self) -> int:
        """Return how many wait for an answer or for more of it. 正在等的人数。"""
        return len(self._waiting) + self._n_rows

    def ask(self, question: str, settings: SamplingConfig) -> Asked:
        """Put a question to the batch. 提问。Raises PromptError if it does not fit the context."""
        asked = Asked(self._tokenizer, self._model.vocab_size, question, settings)
        check_prompts(self._model, [asked.ids])
        with self._lock:
            self._batch = self._batch or Batch(self._model)
            if not self._is_decoding:
                # No daemon: a program that ends waits for the last answers, seconds at most.
                threading.Thread(target=self._decode, args=(self._batch,)).start()
                self._is_decoding = True
            self._waiting.append(asked)
        return asked

    def _decode(self, batch: Batch) -> None:
        """Decode until nobody waits."""
        while (new := self._take(batch)) is not None:
            batch.join(new)
            for _ in range(STEPS_BETWEEN_JOINS):
                batch.step()

    def _take(self, batch: Batch) -> list[Asked] | None:
        """Return who may join now; None if nobody is left."""
        with self._lock:
            n_free = min(MAX_ROWS - len(batch.askers), len(self._waiting))
            new = [self._waiting.popleft() for _ in range(n_free)]
            self._n_rows = len(batch.askers) + len(new)
            self._is_decoding = self._n_rows > 0
            return new if self._is_decoding else None
