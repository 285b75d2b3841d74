"""Answers that know how long they took, of one model or of two side by side. 计时的回答。"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from gpt_teacher import Pretrained
from gpt_teacher.config import SamplingConfig
from gpt_teacher.prompt import normalise
from gpt_teacher.sampler import Answer, answer

MAX_REMEMBERED = 256  # answers of a page: a class asks the same questions


class Timed(NamedTuple):
    """An answer so far, and the seconds that the model itself spent on it. 计时的回答。"""

    answer: Answer
    seconds: float
    remembered: bool = False  # True = asked before: the seconds are those of that time

    @property
    def tokens_per_second(self) -> float:
        """Return the speed. 每秒词元数。"""
        return self.answer.n_tokens / self.seconds if self.seconds > 0 else 0.0


class Answerer:
    """Answers questions with one model; the same question with the same settings once. 答题者。

    The same seed gives the same answer, so nothing changes but the waiting time.
    """

    def __init__(self, teacher: Pretrained) -> None:
        """Take the model. 选定模型。"""
        self.teacher = teacher
        self._remembered: OrderedDict[tuple[str, SamplingConfig], Timed] = OrderedDict()
        self._lock = threading.Lock()

    def stream(self, question: str, settings: SamplingConfig) -> Iterator[Timed]:
        """Yield the answer as it grows; the last one is finished. 逐步回答。Raises PromptError."""
        settings = self.teacher.fitted(settings)
        key = (normalise(question), settings)
        with self._lock:
            known = self._remembered.get(key)
        if known is not None:
            yield known._replace(remembered=True)
            return
        seconds, started_at = 0.0, time.perf_counter()
        timed = None
        for growing in answer(self.teacher.model, self.teacher.tokenizer, question, settings):
            seconds += time.perf_counter() - started_at
            timed = Timed(growing, seconds)
            yield timed
            started_at = time.perf_counter()  # while others compute or the page is sent: not ours
        if timed is not None:
            self._remember(key, timed)

    def _remember(self, key: tuple[str, SamplingConfig], timed: Timed) -> None:
        with self._lock:
            self._remembered[key] = timed
            while len(self._remembered) > MAX_REMEMBERED:
                self._remembered.popitem(last=False)


def side_by_side(streams: Sequence[Iterator[Timed]]) -> Iterator[list[Timed | None]]:
    """Yield the latest of each stream, a token of each in turn. 轮流取每路的最新回答。"""
    latest: list[Timed | None] = [None] * len(streams)
    going = list(range(len(streams)))
    while going:
        for number in list(going):
            timed = next(streams[number], None)
            if timed is None:
                going.remove(number)
            else:
                latest[number] = timed
        if going:
            yield list(latest)
