"""Answers that know how long they took, of one model or of two side by side. 计时的回答。"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import NamedTuple

from gpt_teacher import Pretrained
from gpt_teacher.batched_answers import Asked, Batcher
from gpt_teacher.config import SamplingConfig
from gpt_teacher.prompt import normalise
from gpt_teacher.sampler import Answer

MAX_REMEMBERED = 256  # answers of a page: a class asks the same questions
Key = tuple[str, SamplingConfig]


class Timed(NamedTuple):
    """An answer so far, and the seconds that the model itself spent on it. 计时的回答。"""

    answer: Answer
    seconds: float
    remembered: bool = False  # True = asked before: the seconds are those of that time

    @property
    def tokens_per_second(self) -> float:
        """Return the speed. 每秒词元数。"""
        return self.answer.n_tokens / self.seconds if self.seconds > 0 else 0.0


class Reply:
    """The reply of one model to one question: growing, or remembered. 一个模型的回复。"""

    def __init__(self, asked: Asked | None, known: Timed | None = None) -> None:
        """Take a question of the batch, or the whole answer. 两者之一。"""
        self._asked, self._known = asked, known

    def latest(self) -> Timed | None:
        """Return what there is by now. 目前的回答。"""
        if self._asked is None or self._asked.latest is None:
            return self._known
        return Timed(self._asked.latest, self._asked.seconds)

    def wait(self, seconds: float) -> bool:
        """Wait for the end, at most so long; tell whether it has come. 等待结束。"""
        return self._asked is None or self._asked.wait(seconds)

    def give_up(self) -> None:
        """Want no more of it. 放弃。"""
        if self._asked is not None:
            self._asked.give_up()


class Answerer:
    """Answers questions with one model; the same question with the same settings once. 答题者。

    The same seed gives the same answer, so nothing changes but the waiting time.
    """

    def __init__(self, teacher: Pretrained) -> None:
        """Take the model. 选定模型。"""
        self.teacher = teacher
        self.batcher = Batcher(teacher.model, teacher.tokenizer)
        self._remembered: OrderedDict[Key, Timed] = OrderedDict()
        self._lock = threading.Lock()

    def ask(self, question: str, settings: SamplingConfig) -> Reply:
        """Return the reply, which grows from now on. 提问。Raises PromptError."""
        key = self._key(question, settings)
        with self._lock:
            known = self._remembered.get(key)
        if known is not None:
            return Reply(None, known._replace(remembered=True))
        return Reply(self.batcher.ask(*key))

    def remember(self, question: str, settings: SamplingConfig, timed: Timed) -> None:
        """Keep a whole answer for who asks the same. 记住回答。"""
        with self._lock:
            self._remembered[self._key(question, settings)] = timed._replace(remembered=False)
            while len(self._remembered) > MAX_REMEMBERED:
                self._remembered.popitem(last=False)

    def _key(self, question: str, settings: SamplingConfig) -> Key:
        return normalise(question), self.teacher.fitted(settings)


def side_by_side(
    answerers: list[Answerer],
    question: str,
    settings: SamplingConfig,
    pace: Callable[[], float],
) -> Iterator[list[Timed | None]]:
    """Yield what each model has said, every `pace` seconds and in the end. 并排回答。

    The last one is whole. A stream that is closed before gives up its answers. Raises PromptError.
    """
    replies: list[Reply] = []
    try:
        for answerer in answerers:
            replies.append(answerer.ask(question, settings))
        while not _all_end_by(time.monotonic() + pace(), replies):
            yield [reply.latest() for reply in replies]
        latest = [reply.latest() for reply in replies]
        for answerer, timed in zip(answerers, latest, strict=True):
            if timed is not None:
                answerer.remember(question, settings, timed)
        yield latest
    finally:
        for reply in replies:
            reply.give_up()


def _all_end_by(moment: float, replies: list[Reply]) -> bool:
    """Wait until all have ended, or until that moment; tell which. 等到全部结束或到时。"""
    return all([reply.wait(max(0.0, moment - time.monotonic())) for reply in replies])
