"""Many askers share a batch, and each gets what it would get alone."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any

import pytest

from gpt_teacher import SHIPPED, Pretrained, from_pretrained
from gpt_teacher.batched_answers import MAX_ROWS, Asked, Batch, Batcher
from gpt_teacher.config import SamplingConfig
from gpt_teacher.errors import PromptError
from gpt_teacher.sampler import Answer, GrowingAnswer, answer

GREEDY = SamplingConfig()
WARM = SamplingConfig(temperature=2.0, seed=7, max_new_tokens=40)
# Questions of different lengths; settings that differ in every way that a row is chosen by.
ASKED = [
    ("什么是注意力机制?", GREEDY),
    ("光", SamplingConfig(refuse_below=0.9999)),
    ("请用一句话说说什么是过拟合，为什么会发生过拟合?", WARM),
    ("什么是注意力机制?", SamplingConfig(temperature=2.0, seed=8, max_new_tokens=40)),
    ("什么是注意力机制?", WARM),
    ("魑魅，hello world 🙂", SamplingConfig(temperature=1.5, top_k=5, top_p=0.8, seed=1)),
    ("什么是密度?", SamplingConfig(repetition_penalty=1.3, stop=("的",))),
    ("豫剧是哪里的戏", SamplingConfig(refusal=False, max_new_tokens=3)),
    ("豫剧是哪里的戏", SamplingConfig(refusal=False, min_new_tokens=60)),
    ("长" * 100, SamplingConfig(temperature=2.0, seed=3)),  # fills the context
]


@pytest.fixture(scope="module")
def teacher() -> Pretrained:
    return from_pretrained(SHIPPED / "last")


@pytest.fixture(scope="module")
def alone(teacher: Pretrained) -> list[Answer]:
    """What each asker would get without the others."""
    model, tokenizer = teacher.model, teacher.tokenizer
    return [list(answer(model, tokenizer, *one))[-1] for one in ASKED]


def asked(teacher: Pretrained, question: str, settings: SamplingConfig) -> Asked:
    return Asked(teacher.tokenizer, teacher.model.vocab_size, question, settings)


def assert_same(found: Answer | None, expected: Answer) -> None:
    assert found == expected
    assert found is not None
    assert [t.token_id for t in found.tokens] == [t.token_id for t in expected.tokens]
    assert found.finish_reason == expected.finish_reason
    assert found.min_probability == pytest.approx(expected.min_probability, abs=1e-4)


def test_the_answers_end_in_every_way(alone: list[Answer]) -> None:
    """Else the tests below would show less than they seem to."""
    assert {one.finish_reason for one in alone} == {"eos", "length", "stop", "unsure"}
    assert len(set(alone[2:5])) == 3
    assert alone[9].n_tokens < SamplingConfig().max_new_tokens  # the context was full


def test_together_each_gets_what_it_would_get_alone(
    teacher: Pretrained, alone: list[Answer]
) -> None:
    batcher = Batcher(teacher.model, teacher.tokenizer)
    asks = [batcher.ask(*one) for one in ASKED]
    for one, expected in zip(asks, alone, strict=True):
        assert one.wait(60)
        assert_same(one.latest, expected)
        assert one.seconds > 0


def test_who_joins_later_or_leaves_early_changes_nothing_for_the_others(
    teacher: Pretrained, alone: list[Answer]
) -> None:
    batch, asks = Batch(teacher.model), [asked(teacher, *one) for one in ASKED]
    for number, one in enumerate(asks):
        batch.join([one])
        for _ in range(number):
            batch.step()
        if number == 4:
            asks[2].give_up()
    while batch.askers:
        batch.step()
        assert not any(one.ended.is_set() for one in batch.askers)
    for number in {*range(len(ASKED))} - {2}:
        assert_same(asks[number].latest, alone[number])
    left = asks[2].latest
    assert left is not None
    assert left.finish_reason == ""
    assert left.n_tokens < alone[2].n_tokens


def test_a_row_that_is_used_again_has_forgotten_the_one_before(
    teacher: Pretrained, alone: list[Answer]
) -> None:
    batch = Batch(teacher.model)
    for number in (9, 1, 0):  # the longest first
        one = asked(teacher, *ASKED[number])
        batch.join([one])
        while batch.askers:
            batch.step()
        assert_same(one.latest, alone[number])


def test_more_askers_than_rows_wait_for_their_turn(
    teacher: Pretrained, alone: list[Answer]
) -> None:
    batcher = Batcher(teacher.model, teacher.tokenizer)
    asks = [batcher.ask(*ASKED[1]) for _ in range(MAX_ROWS + 3)]
    assert 3 < batcher.n_askers <= MAX_ROWS + 3
    for one in asks:
        assert one.wait(60)
        assert_same(one.latest, alone[1])


def test_an_answer_grows_and_its_end_comes_last(teacher: Pretrained) -> None:
    batch, one = Batch(teacher.model), asked(teacher, *ASKED[0])
    batch.join([one])
    grown = [one.latest]
    while batch.askers:
        assert not one.wait(0)
        batch.step()
        grown.append(one.latest)
    assert one.wait(0)
    texts = [str(text) for text in grown]
    assert texts == sorted(texts, key=len)
    assert all(texts[-1].startswith(text) for text in texts)


def test_who_asks_during_some_steps_is_read_together_with_others(
    teacher: Pretrained, alone: list[Answer], monkeypatch: pytest.MonkeyPatch
) -> None:
    batcher = Batcher(teacher.model, teacher.tokenizer)
    later: list[Asked] = []
    read: list[int] = []
    join, step = Batch.join, Batch.step

    def count(batch: Batch, new: list[Asked]) -> None:
        read.append(len(new))
        join(batch, new)

    def ask_one_more(batch: Batch) -> None:
        step(batch)
        if len(later) < 3:
            later.append(batcher.ask(*ASKED[len(later) + 2]))

    monkeypatch.setattr(Batch, "join", count)
    monkeypatch.setattr(Batch, "step", ask_one_more)
    first = batcher.ask(*ASKED[0])
    assert first.wait(60)
    assert_same(first.latest, alone[0])
    for number, one in enumerate(later):
        assert one.wait(60)
        assert_same(one.latest, alone[number + 2])
    assert [n for n in read if n] == [1, 3]


def wait_for_threads() -> None:
    """Wait until nothing is decoded any more: a thread outlives the last answer by a moment."""
    for thread in threading.enumerate():
        if "_decode" in thread.name:
            thread.join(60)


def test_threads_and_rows_are_gone_when_nobody_waits(teacher: Pretrained) -> None:
    wait_for_threads()  # of the tests before
    batcher, before = Batcher(teacher.model, teacher.tokenizer), threading.active_count()
    for _ in range(2):  # the second time with a new thread
        asks = [batcher.ask(*one) for one in ASKED[:4]]
        for one in asks[1:]:
            one.give_up()
        assert asks[0].wait(60)
        wait_for_threads()
        assert batcher.n_askers == 0
        assert threading.active_count() == before


def test_an_error_reaches_only_its_own_asker(
    teacher: Pretrained, alone: list[Answer], monkeypatch: pytest.MonkeyPatch
) -> None:
    push = GrowingAnswer.push

    def break_at_seed_8(self: GrowingAnswer, token: Any) -> None:
        if self is asks[3]._growing:
            raise RuntimeError("of this one alone")
        push(self, token)

    batch, asks = Batch(teacher.model), [asked(teacher, *one) for one in ASKED[:5]]
    batch.join(asks)
    monkeypatch.setattr(GrowingAnswer, "push", break_at_seed_8)
    while batch.askers:
        batch.step()
    with pytest.raises(RuntimeError, match="of this one alone"):
        asks[3].wait(0)
    for number in (0, 1, 2, 4):
        assert asks[number].wait(0)
        assert_same(asks[number].latest, alone[number])


def test_an_error_of_the_step_itself_is_told_to_all_and_the_next_question_is_answered(
    teacher: Pretrained, alone: list[Answer], monkeypatch: pytest.MonkeyPatch
) -> None:
    def out_of_memory(*_: object) -> None:
        raise MemoryError

    batcher = Batcher(teacher.model, teacher.tokenizer)
    with monkeypatch.context() as patch:
        patch.setattr(Batch, "_logits", out_of_memory)
        asks = [batcher.ask(*ASKED[number]) for number in (0, 2)]
        for one in asks:
            with pytest.raises(MemoryError):
                one.wait(60)
    again = batcher.ask(*ASKED[0])
    assert again.wait(60)
    assert_same(again.latest, alone[0])


def test_a_question_that_is_too_long_is_refused_before_it_joins(teacher: Pretrained) -> None:
    batcher = Batcher(teacher.model, teacher.tokenizer)
    with pytest.raises(PromptError):
        batcher.ask("长" * 400, GREEDY)
    assert batcher.n_askers == 0


@pytest.mark.parametrize(
    "other",
    [{"top_k": 2}, {"top_p": 0.3}, {"repetition_penalty": 3.0}, {"temperature": 0.5}],
    ids=str,
)
def test_who_differs_in_one_setting_alone_is_chosen_for_apart(
    teacher: Pretrained, other: dict[str, Any]
) -> None:
    both = [WARM, replace(WARM, **other)]
    expected = [
        list(answer(teacher.model, teacher.tokenizer, "什么是注意力机制?", s))[-1] for s in both
    ]
    assert expected[0] != expected[1]
    batch, asks = Batch(teacher.model), [asked(teacher, "什么是注意力机制?", s) for s in both]
    batch.join(asks)
    while batch.askers:
        batch.step()
    for one, alone in zip(asks, expected, strict=True):
        assert_same(one.latest, alone)


def test_the_seconds_of_an_answer_are_those_of_all_its_steps(teacher: Pretrained) -> None:
    one = asked(teacher, "光", GREEDY)
    for seconds in (0.5, 0.25, 0.25):
        one.show(seconds)
    assert one.seconds == 1.0
