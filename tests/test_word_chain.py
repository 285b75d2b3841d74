"""The word chain: its bars are the sampler's own chances, its automatic steps the sampler's own."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
import torch

from gpt_teacher import SHIPPED, from_pretrained
from gpt_teacher.config import SamplingConfig
from gpt_teacher.prompt import encode_prompt
from gpt_teacher.sampler import NEVER_SAMPLED, answer, choose, next_token_probabilities
from gpt_teacher.tokenizer import BOS_ID, EOS_ID, PAD_ID, UNK_ID
from gpt_teacher.views.token_labels import shown_text
from gpt_teacher.word_chain import Candidate, Chain, candidates, go_on

TEACHER = from_pretrained(SHIPPED / "last")
MODEL, TOKENIZER = TEACHER.model, TEACHER.tokenizer
QUESTION = "什么是RoPE?"  # its first token is less than sure
START = Chain(encode_prompt(TOKENIZER, QUESTION), [])
AS_IT_IS = SamplingConfig(temperature=1.0)


def all_candidates(chain: Chain, settings: SamplingConfig) -> dict[int, Candidate]:
    found = candidates(MODEL, chain, settings, MODEL.vocab_size)
    return {one.token_id: one for one in found}


def last(chain: Chain, settings: SamplingConfig) -> Chain:
    return list(go_on(MODEL, chain, settings))[-1]


# ---------------------------------------------------------------- bars


def test_candidates_come_best_first_with_the_probabilities_of_the_model() -> None:
    found = candidates(MODEL, START, AS_IT_IS, 8)
    probabilities = next_token_probabilities(MODEL, START.ids)
    assert len(found) == 8
    assert [one.token_id for one in found] == probabilities.topk(8).indices.tolist()
    for one in found:
        assert one.probability == pytest.approx(probabilities[one.token_id].item())
        assert one.chance == pytest.approx(one.probability, rel=1e-4), "nothing reshapes it"
    assert found[0].probability > 0.5


@pytest.mark.parametrize(
    "settings",
    [
        AS_IT_IS,
        SamplingConfig(temperature=0.0),
        SamplingConfig(temperature=0.3, top_p=0.95),
        SamplingConfig(temperature=2.0, top_k=7),
    ],
    ids=str,
)
def test_chances_sum_to_1_and_fall_with_the_probability(settings: SamplingConfig) -> None:
    chances = [one.chance for one in all_candidates(START, settings).values()]
    assert sum(chances) == pytest.approx(1, abs=1e-5)
    assert chances == sorted(chances, reverse=True)


def test_a_temperature_of_2_takes_the_root_of_each_probability() -> None:
    found = all_candidates(START, replace(AS_IT_IS, temperature=2.0))
    possible = [one for one in found.values() if one.chance > 0]
    roots = {one.token_id: one.probability**0.5 for one in possible}
    for one in possible[:50]:
        expected = roots[one.token_id] / sum(roots.values())
        assert one.chance == pytest.approx(expected, rel=1e-3)


def test_temperature_0_leaves_the_likeliest_alone() -> None:
    chances = [one.chance for one in candidates(MODEL, START, SamplingConfig(), 8)]
    assert chances == [1.0] + [0.0] * 7


def test_top_k_and_top_p_cut_the_tail_and_share_out_what_is_left() -> None:
    free = candidates(MODEL, START, replace(AS_IT_IS, temperature=2.0), 8)
    cut = candidates(MODEL, START, SamplingConfig(temperature=2.0, top_k=3), 8)
    kept = sum(one.chance for one in free[:3])
    assert [one.chance for one in cut[3:]] == [0.0] * 5
    for one, before in zip(cut[:3], free[:3], strict=True):
        assert one.chance == pytest.approx(before.chance / kept, rel=1e-4)
    p = free[0].chance + free[1].chance / 2  # reached inside the second
    nucleus = candidates(MODEL, START, SamplingConfig(temperature=2.0, top_p=p), 8)
    assert [one.chance > 0 for one in nucleus] == [True, True] + [False] * 6


def test_the_sampler_chooses_as_often_as_the_chances_say() -> None:
    settings, n = SamplingConfig(temperature=3.0, top_k=6), 4_000
    found = all_candidates(START, settings)
    logits = next_token_probabilities(MODEL, START.ids).log()[None].expand(n, -1)
    random = [torch.Generator().manual_seed(seed) for seed in range(n)]
    counted = Counter(choose(logits, settings, random).tolist())
    assert len(counted) == 6
    for token_id, times in counted.items():
        assert times / n == pytest.approx(found[token_id].chance, abs=0.02)


def test_special_tokens_never_come_and_the_end_not_at_once() -> None:
    first = all_candidates(START, replace(AS_IT_IS, temperature=2.0))
    assert not any(first[i].chance for i in (*NEVER_SAMPLED, EOS_ID) if i in first)
    second = all_candidates(START.append(MODEL, 53), replace(AS_IT_IS, temperature=2.0))
    assert second[EOS_ID].chance > 0
    assert not any(second[i].chance for i in NEVER_SAMPLED if i in second)


# ---------------------------------------------------------------- steps


@pytest.mark.parametrize("question", [QUESTION, "什么是注意力机制?", "今天天气怎么样"])
@pytest.mark.parametrize("temperature", [0.0, 1.2])
def test_going_on_to_the_end_is_the_answer(question: str, temperature: float) -> None:
    settings = SamplingConfig(temperature=temperature, seed=7)
    chain = last(Chain(encode_prompt(TOKENIZER, question), []), settings)
    given = list(answer(MODEL, TOKENIZER, question, settings))[-1]
    assert TOKENIZER.decode(chain.chosen) == given.text
    assert len(chain.chosen) == given.n_tokens
    assert chain.ended == (given.finish_reason == "eos")


def test_step_by_step_is_the_same_as_all_at_once() -> None:
    one, chain = SamplingConfig(max_new_tokens=1), START
    while not chain.ended:
        chain = last(chain, one)
    assert chain == last(START, SamplingConfig())
    assert list(go_on(MODEL, chain, one)) == []
    by_hand = START
    while not by_hand.ended:
        by_hand = by_hand.append(MODEL, candidates(MODEL, by_hand, AS_IT_IS, 1)[0].token_id)
    assert by_hand == chain


def test_each_automatic_step_throws_new_dice_and_the_seed_repeats_them() -> None:
    """With one seed for every step, 20 single steps among equals would be one token 20 times."""
    settings = SamplingConfig(temperature=100.0, max_new_tokens=1, seed=3)

    def steps() -> list[int]:
        chain = START
        for _ in range(20):
            chain = last(chain, settings)
        return chain.chosen

    assert len(set(steps())) > 15
    assert steps() == steps()


def test_n_steps_append_n_tokens() -> None:
    grown = [len(chain.chosen) for chain in go_on(MODEL, START, SamplingConfig(max_new_tokens=5))]
    assert grown == [1, 2, 3, 4, 5]


def test_a_character_of_three_tokens_grows_byte_by_byte() -> None:
    """Text that is encoded again would lose the bytes of half a character."""
    chain, shown = START, []
    for token_id in TOKENIZER.encode("蒸"):
        chain = chain.append(MODEL, token_id)
        shown.append(shown_text(TOKENIZER, chain.chosen))
    assert shown == ["⟨E8⟩", "⟨E8 92⟩", "蒸"]
    assert chain.undo().undo().chosen == TOKENIZER.encode("蒸")[:1]
    assert chain.undo().append(MODEL, chain.chosen[-1]) == chain
    assert chain.restart() == START == START.undo()


@pytest.mark.parametrize("token_id", [-1, 824, 10**9, BOS_ID, PAD_ID, UNK_ID])
def test_what_may_not_come_is_not_appended(token_id: int) -> None:
    assert START.append(MODEL, token_id) == START


def test_a_chain_that_has_ended_takes_nothing_more() -> None:
    ended = START.append(MODEL, 53).append(MODEL, EOS_ID)
    assert ended.ended
    assert ended.append(MODEL, 53) == ended
    assert candidates(MODEL, ended, AS_IT_IS, 8) == []
    assert not ended.undo().ended


def test_a_full_context_ends_the_chain() -> None:
    longest = MODEL.config.seq_len
    chain = Chain([BOS_ID, *[53] * (longest - 3)], [])
    chain = chain.append(MODEL, 53)
    assert candidates(MODEL, chain, AS_IT_IS, 8)
    full = chain.append(MODEL, 53)
    assert len(full.ids) == longest
    assert full.append(MODEL, 53) == full
    assert candidates(MODEL, full, AS_IT_IS, 8) == []
    assert list(go_on(MODEL, full, SamplingConfig())) == []
    never_ending = SamplingConfig(max_new_tokens=10**9, min_new_tokens=10**9)
    assert len(last(chain, never_ending).chosen) == 3  # it reads all that fits, and says one more
