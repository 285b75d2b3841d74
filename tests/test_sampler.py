"""Filters against hand-worked examples, decoding against a naive loop, streams against a script.

A model that says what a test wants is a real GPT whose weights spell it out (`table_gpt`).
"""

from __future__ import annotations

import math
import random
import re
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from conftest import QUESTIONS, TinyRun
from torch import Tensor

from gpt_teacher import Pretrained, from_pretrained
from gpt_teacher.batched_answers import Batcher
from gpt_teacher.config import ModelConfig, SamplingConfig, TokenizerConfig
from gpt_teacher.errors import PromptError
from gpt_teacher.model import GPT
from gpt_teacher.prompt import REFUSAL, REFUSAL_ANSWER, encode_prompt, is_refusal
from gpt_teacher.sampler import (
    Answer,
    Token,
    answer,
    answers,
    choose,
    continue_text,
    generate,
    keep_top_k,
    keep_top_p,
    next_token_probabilities,
    penalise_repetition,
    shape_logits,
    unsayable_tokens,
)
from gpt_teacher.tokenizer import BOS_ID, EOS_ID, PAD_ID, UNK_ID, Tokenizer
from gpt_teacher.tokenizer_training import train_tokenizer

INF = math.inf
GREEDY = SamplingConfig()
VARIED = SamplingConfig(temperature=3.0, top_k=20, seed=7)  # a trained model varies, too
TEXTS = ["", "魑魅，hello world 🙂", "ＡＢＣ　，", "\r\n\t", "密度是质量除以体积。它不变。"]
QUESTIONS_OF_MANY_LENGTHS = [*QUESTIONS, "", "魑魅，hello world 🙂", "ＡＢＣ　，", "\r\n\t"]


@pytest.fixture(scope="module")
def trained(tiny_run: TinyRun) -> Pretrained:
    return from_pretrained(tiny_run.last)


@pytest.fixture(scope="module")
def tokenizer(trained: Pretrained) -> Tokenizer:
    return trained.tokenizer


def table_gpt(table: Tensor) -> GPT:
    """Return a model whose logits at position p are table[p], whatever the tokens (T, V).

    Attention and MLP add nothing. The learned position p is a huge number in place p, so that the
    normalised stream is sqrt(T) there and 0 elsewhere, and the embedding holds the table.
    """
    T, V = table.shape
    model = GPT(ModelConfig(n_layer=1, n_head=1, n_embd=T, seq_len=T, position="learned"), V).eval()
    assert model.embed_positions is not None
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "o_proj" in name or "down_proj" in name:
                parameter.zero_()
        model.embed_tokens.weight.copy_(table.T / math.sqrt(T))
        model.embed_positions.weight.copy_(1e7 * torch.eye(T))
    return model


def constant_gpt(logits: dict[int, float], seq_len: int = 16, vocab_size: int = 9) -> GPT:
    """Return a model with the same logits everywhere; those not given are -20."""
    row = torch.full((vocab_size,), -20.0)
    for token_id, logit in logits.items():
        row[token_id] = logit
    return table_gpt(row.repeat(seq_len, 1))


def scripted_gpt(tokenizer: Tokenizer, question: str, ids: list[int], seq_len: int = 96) -> GPT:
    """Return a model whose greedy answer to a question is these ids."""
    n_prompt = len(encode_prompt(tokenizer, question))
    assert n_prompt + len(ids) <= seq_len
    table = torch.zeros(seq_len, tokenizer.vocab_size)
    table[torch.arange(n_prompt - 1, n_prompt - 1 + len(ids)), ids] = 30.0
    return table_gpt(table)


def say(
    tokenizer: Tokenizer, text: str | list[int], settings: SamplingConfig = GREEDY
) -> list[Answer]:
    """Return the stream of a model that says a text and ends."""
    ids = tokenizer.encode(text) if isinstance(text, str) else text
    model = scripted_gpt(tokenizer, "问", [*ids, EOS_ID])
    return list(answer(model, tokenizer, "问", replace(settings, min_new_tokens=0)))


def ids_of(model: GPT, prompt: list[int], settings: SamplingConfig) -> list[int]:
    """Return what a model generates after a prompt."""
    return [tokens[0].token_id for tokens in generate(model, [prompt], settings, set())]


def single_answers(
    trained: Pretrained, questions: list[str], settings: SamplingConfig
) -> list[Answer]:
    return [list(answer(trained.model, trained.tokenizer, q, settings))[-1] for q in questions]


# ---------------------------------------------------------------- filters


def test_repetition_penalty_makes_seen_tokens_less_likely_whatever_their_sign() -> None:
    """A relative of this project divided negative logits, too, and so favoured repetition."""
    logits = torch.tensor([[2.0, -2.0, 3.0, -3.0, 0.0, -INF]])
    seen = torch.tensor([[True, True, False, False, True, True]])
    expected = torch.tensor([[1.0, -4.0, 3.0, -3.0, 0.0, -INF]])
    torch.testing.assert_close(penalise_repetition(logits, seen, 2.0), expected)
    favoured = penalise_repetition(logits, seen, 0.5)
    torch.testing.assert_close(favoured, torch.tensor([[4.0, -1.0, 3.0, -3.0, 0.0, -INF]]))


def test_top_k_keeps_the_k_likeliest_of_each_row() -> None:
    logits = torch.tensor([[1.0, 4.0, 2.0, 3.0], [-1.0, -4.0, -2.0, -3.0]])
    kept = torch.tensor([[-INF, 4.0, -INF, 3.0], [-1.0, -INF, -2.0, -INF]])
    assert torch.equal(keep_top_k(logits, 2), kept)
    assert keep_top_k(logits, 1).isfinite().tolist() == [
        [False, True, False, False],
        [True, False, False, False],
    ]
    assert torch.equal(keep_top_k(logits, 99), logits)


@pytest.mark.parametrize(
    ("top_p", "kept"),
    [
        (0.001, [1]),  # the best token survives, however small top_p
        (0.49, [1]),
        (0.51, [1, 3]),  # 0.5 is not enough: the token that crosses 0.51 stays
        (0.79, [1, 3]),
        (0.81, [1, 3, 0]),
        (0.96, [1, 3, 0, 2]),
        (1.0, [1, 3, 0, 2]),
    ],
)
def test_top_p_keeps_the_likeliest_tokens_up_to_the_crossing_one(
    top_p: float, kept: list[int]
) -> None:
    logits = torch.tensor([0.15, 0.5, 0.05, 0.3]).log()
    expected = torch.full((4,), -INF)
    expected[kept] = logits[kept]
    assert torch.equal(keep_top_p(logits[None], top_p)[0], expected)


def test_top_p_keeps_a_token_that_is_likelier_than_p_alone_and_no_other() -> None:
    """A relative of this project kept nothing in this case, and then fell back on everything."""
    logits = torch.tensor([[0.95, 0.03, 0.02], [0.02, 0.03, 0.95]]).log()
    assert keep_top_p(logits, 0.9).isfinite().tolist() == [
        [True, False, False],
        [False, False, True],
    ]


def test_temperature_comes_first_then_top_k_then_top_p() -> None:
    """At temperature 2, e^logits of 16 4 1 1 become 4 2 1 1; top_k 2 makes 4/6 and 2/6 of it."""
    logits = torch.tensor([[16.0, 4.0, 1.0, 1.0]]).log()
    settings = SamplingConfig(temperature=2.0, top_k=2, top_p=0.7)
    probabilities = shape_logits(logits, settings).softmax(dim=-1)
    torch.testing.assert_close(probabilities, torch.tensor([[4 / 6, 2 / 6, 0.0, 0.0]]))
    alone = shape_logits(logits, replace(settings, top_p=0.6)).softmax(dim=-1)
    torch.testing.assert_close(alone, torch.tensor([[1.0, 0.0, 0.0, 0.0]]))


# ---------------------------------------------------------------- choose


def generators(seed: int, n: int) -> list[torch.Generator]:
    """Return one generator n times: n draws from one stream."""
    return [torch.Generator().manual_seed(seed)] * n


def test_temperature_0_is_exactly_greedy() -> None:
    logits = torch.randn(50, 30, generator=torch.Generator().manual_seed(1))
    logits[:, 7] = logits.amax(dim=1) + 1e-6  # a hair's breadth ahead
    logits[0, 3] = 9.0
    chosen = choose(logits, SamplingConfig(temperature=0, top_p=0.5, top_k=3), generators(0, 50))
    assert chosen.tolist() == [row.index(max(row)) for row in logits.tolist()]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (SamplingConfig(temperature=1.0), [0.1, 0.4, 0.05, 0.25, 0.0, 0.2]),
        # squares of 10 40 5 25 20: 100 1600 25 625 400
        (
            SamplingConfig(temperature=0.5),
            [100 / 2750, 1600 / 2750, 25 / 2750, 625 / 2750, 0, 400 / 2750],
        ),
        (SamplingConfig(temperature=1.0, top_k=3), [0, 40 / 85, 0, 25 / 85, 0, 20 / 85]),
        (SamplingConfig(temperature=1.0, top_p=0.6), [0, 40 / 65, 0, 25 / 65, 0, 0]),
        (SamplingConfig(temperature=1.0, top_p=0.3), [0, 1, 0, 0, 0, 0]),
    ],
    ids=["plain", "temperature", "top_k", "top_p", "best alone"],
)
def test_tokens_are_drawn_with_their_exact_probabilities(
    settings: SamplingConfig, expected: list[float]
) -> None:
    n = 10_000
    logits = torch.tensor([0.1, 0.4, 0.05, 0.25, 0.0, 0.2]).log().repeat(n, 1)
    counts = choose(logits, settings, generators(5, n)).bincount(minlength=6).tolist()
    assert all(count == 0 for count, p in zip(counts, expected, strict=True) if p == 0)
    chi_square = sum(
        (count - n * p) ** 2 / (n * p) for count, p in zip(counts, expected, strict=True) if p
    )
    assert chi_square < 20  # of 4 degrees of freedom: once in 2000 seeds by chance


@pytest.mark.parametrize("draw", [0.0, 1 - 2**-24], ids=["smallest", "largest"])
def test_the_rarest_draws_take_no_impossible_token(
    draw: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once in 16 million draws each: too rare for a seed, so the draw itself is given.

    The sum of thousands of rounded probabilities may miss 1 by more than the largest draw does.
    """
    monkeypatch.setattr(torch, "rand", lambda *_, generator: torch.tensor([draw]))
    logits = torch.randn(40, 5_000, generator=torch.Generator().manual_seed(4))
    logits[:, :7] = logits[:, -7:] = -INF
    chosen = choose(logits, SamplingConfig(temperature=1.0), generators(0, 40))
    expected = 7 if draw == 0 else 5_000 - 8
    assert chosen.tolist() == [expected] * 40


def test_each_row_of_a_batch_has_its_own_luck() -> None:
    """A row draws what it would have drawn alone, whatever its neighbours are."""
    logits = torch.randn(3, 40, generator=torch.Generator().manual_seed(2))
    settings = SamplingConfig(temperature=1.5, top_k=30)
    seeds = [11, 12, 13]
    together = [torch.Generator().manual_seed(seed) for seed in seeds]
    draws = torch.stack([choose(logits, settings, together) for _ in range(20)], dim=1)
    for row, seed in enumerate(seeds):
        alone = [torch.Generator().manual_seed(seed)]
        assert draws[row].tolist() == [
            choose(logits[row : row + 1], settings, alone).item() for _ in range(20)
        ]
        assert len(set(draws[row].tolist())) > 3


# ---------------------------------------------------------------- generation: which tokens


def test_special_tokens_are_not_sampled_even_when_they_are_likeliest() -> None:
    model = constant_gpt({BOS_ID: 9.0, PAD_ID: 8.0, UNK_ID: 7.0, 5: 1.0, 6: 0.5})
    assert ids_of(model, [4, 4], SamplingConfig(max_new_tokens=5)) == [5] * 5
    warm = SamplingConfig(temperature=5.0, max_new_tokens=14)
    drawn = {i for seed in range(20) for i in ids_of(model, [4], replace(warm, seed=seed))}
    assert {5, 6} <= drawn <= {EOS_ID, 4, 5, 6, 7, 8}


def test_the_probability_of_a_token_is_the_models_own_before_filters() -> None:
    """<bos> has most of the probability and cannot be chosen: the model is not sure of token 5."""
    model = constant_gpt({BOS_ID: math.log(6), 5: math.log(3), 6: math.log(1)})
    settings = SamplingConfig(temperature=0.1, top_k=1, max_new_tokens=1)
    ((token,),) = generate(model, [[4]], settings, set())
    assert token == Token(0, 5, pytest.approx(0.3, abs=1e-5))


@pytest.mark.parametrize("min_new_tokens", [0, 1, 4])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_the_answer_does_not_end_before_its_least_length(
    min_new_tokens: int, temperature: float
) -> None:
    model = constant_gpt({EOS_ID: 20.0, 5: 0.0})
    settings = SamplingConfig(temperature=temperature, min_new_tokens=min_new_tokens)
    assert ids_of(model, [4], settings) == [5] * min_new_tokens + [EOS_ID]


def test_repetition_penalty_counts_tokens_of_the_answer_once() -> None:
    """2.0 1.5 0.9 -> take 5; 1.0 1.5 0.9 -> take 6; 1.0 0.75 0.9 -> take 5 from now on.

    The prompt is full of 5s: an answer should repeat the words of its question.
    """
    model = constant_gpt({5: 2.0, 6: 1.5, 7: 0.9})
    settings = SamplingConfig(repetition_penalty=2.0, max_new_tokens=5)
    assert ids_of(model, [5, 5, 5], settings) == [5, 6, 5, 5, 5]
    assert ids_of(model, [5, 5, 5], replace(settings, repetition_penalty=1.0)) == [5] * 5


def test_rows_that_the_caller_has_finished_yield_no_more_tokens() -> None:
    model, finished = constant_gpt({5: 1.0}), set[int]()
    counts = [0, 0, 0]
    settings = SamplingConfig(max_new_tokens=8)
    for step, tokens in enumerate(generate(model, [[4], [4, 4], [4] * 5], settings, finished)):
        for token in tokens:
            counts[token.row] += 1
        finished.update({2: {1}, 4: {0}}.get(step, set()))
    assert counts == [5, 3, 8]


@pytest.mark.parametrize("n_prompts", [[1], [15], [3, 9, 14], [1, 15, 15, 15, 15]], ids=str)
def test_an_answer_fills_the_context_to_the_last_token(n_prompts: list[int]) -> None:
    """Prompt, answer and one more token, which is chosen and never read. Others go on."""
    model = constant_gpt({5: 1.0}, seq_len=16)
    prompts, counts = [[4] * n for n in n_prompts], dict.fromkeys(range(len(n_prompts)), 0)
    for tokens in generate(model, prompts, SamplingConfig(max_new_tokens=99), set()):
        for token in tokens:
            counts[token.row] += 1
    assert list(counts.values()) == [16 - n + 1 for n in n_prompts]


# ---------------------------------------------------------------- generation: a trained model


def naive_greedy(trained: Pretrained, question: str, max_new_tokens: int) -> list[int]:
    """Decode greedily with a whole forward pass for each token, and no cache."""
    ids = encode_prompt(trained.tokenizer, question)
    new: list[int] = []
    while len(new) < max_new_tokens and len(ids) <= trained.config.model.seq_len:
        with torch.no_grad():
            logits = trained.model(torch.tensor([ids]))[0, -1].tolist()
        never = {BOS_ID, PAD_ID, UNK_ID} | (set() if new else {EOS_ID})
        best = max((i for i in range(len(logits)) if i not in never), key=logits.__getitem__)
        ids, new = [*ids, best], [*new, best]
        if best == EOS_ID:
            break
    return new


def test_cached_decoding_equals_a_naive_greedy_loop(trained: Pretrained) -> None:
    settings = SamplingConfig(max_new_tokens=40)
    for question in QUESTIONS_OF_MANY_LENGTHS:
        prompt = encode_prompt(trained.tokenizer, question)
        expected = naive_greedy(trained, question, 40)
        assert ids_of(trained.model, prompt, settings) == expected, question


@pytest.mark.parametrize(
    "settings",
    [
        GREEDY,
        VARIED,
        replace(VARIED, top_k=9, top_p=0.9, repetition_penalty=1.5, min_new_tokens=3),
        replace(VARIED, stop=("。", "，")),
        replace(VARIED, max_new_tokens=4),
    ],
    ids=["greedy", "sampled", "filtered", "stopped", "short"],
)
def test_a_batch_gives_the_same_answers_as_one_question_at_a_time(
    trained: Pretrained, settings: SamplingConfig
) -> None:
    single = single_answers(trained, QUESTIONS_OF_MANY_LENGTHS, settings)
    batched = answers(trained.model, trained.tokenizer, QUESTIONS_OF_MANY_LENGTHS, settings)
    assert batched == single
    for one, other in zip(batched, single, strict=True):
        assert one.finish_reason == other.finish_reason
        assert one.n_tokens == other.n_tokens
        assert one.mean_probability == pytest.approx(other.mean_probability, abs=1e-4)
        assert one.min_probability == pytest.approx(other.min_probability, abs=1e-4)


def test_answers_come_in_the_order_of_the_questions_over_many_batches(
    trained: Pretrained,
) -> None:
    questions = list(QUESTIONS) * 6  # more than are decoded together
    assert answers(trained.model, trained.tokenizer, questions, GREEDY) == [*QUESTIONS.values()] * 6
    assert answers(trained.model, trained.tokenizer, [], GREEDY) == []


def test_a_seed_gives_the_same_answer_again_and_another_seed_another(
    trained: Pretrained,
) -> None:
    def ask(seed: int) -> list[Answer]:
        return single_answers(trained, list(QUESTIONS)[:3], replace(VARIED, seed=seed))

    assert ask(1) == ask(1)
    assert len({tuple(ask(seed)) for seed in range(6)}) == 6


def test_the_confidence_of_an_answer_is_recomputed_by_a_full_forward(
    trained: Pretrained,
) -> None:
    for settings in (GREEDY, replace(VARIED, repetition_penalty=1.3)):
        for question in QUESTIONS_OF_MANY_LENGTHS[:6]:
            prompt = encode_prompt(trained.tokenizer, question)
            new = ids_of(trained.model, prompt, settings)
            with torch.no_grad():
                logits = trained.model(torch.tensor([[*prompt, *new[:-1]]]))[0]
            logs = logits[len(prompt) - 1 :].log_softmax(dim=-1)
            probabilities = [math.exp(logs[t, token_id]) for t, token_id in enumerate(new)]
            given = list(answer(trained.model, trained.tokenizer, question, settings))[-1]
            assert given.n_tokens == len(new)
            mean = sum(probabilities) / len(new)
            assert given.mean_probability == pytest.approx(mean, abs=1e-4)
            assert given.min_probability == pytest.approx(min(probabilities), abs=1e-4)


def test_an_answer_knows_that_it_is_a_refusal(trained: Pretrained) -> None:
    by_question = dict(zip(QUESTIONS, single_answers(trained, [*QUESTIONS], GREEDY), strict=True))
    assert {q for q, given in by_question.items() if given.refused} == {"明天的彩票号码?"}
    assert {given.finish_reason for given in by_question.values()} == {"eos"}


def test_next_token_probabilities_are_the_softmax_of_the_last_logits(trained: Pretrained) -> None:
    ids = encode_prompt(trained.tokenizer, "什么是密度?")
    with torch.no_grad():
        expected = trained.model(torch.tensor([ids]))[0, -1].double().softmax(dim=-1).float()
    torch.testing.assert_close(next_token_probabilities(trained.model, ids), expected)


# ---------------------------------------------------------------- text: growing, stopping, cleaning


@pytest.mark.parametrize("text", TEXTS, ids=repr)
def test_a_scripted_answer_is_told_to_the_letter(tokenizer: Tokenizer, text: str) -> None:
    settings = replace(GREEDY, min_new_tokens=0)
    model = scripted_gpt(tokenizer, "问", [*tokenizer.encode(text), EOS_ID])
    (given,) = answers(model, tokenizer, ["问"], settings, clean=False)
    assert (given.text, given.finish_reason) == (text, "eos")
    assert given.n_tokens == len(tokenizer.encode(text)) + 1


@pytest.mark.parametrize("text", TEXTS, ids=repr)
@pytest.mark.parametrize(
    "stop",
    [(), ("。",), ("ello w",), ("魅，", "rld 🙂!"), ("Ｂ", "Ｃ　，。"), ("\n\n", "\t\t")],
    ids=repr,
)
def test_a_stream_only_grows_and_never_shows_what_is_taken_back(
    tokenizer: Tokenizer, text: str, stop: tuple[str, ...]
) -> None:
    stream = say(tokenizer, text, replace(GREEDY, stop=stop))
    cut = min((text.find(s) for s in stop if s in text), default=len(text))
    final = stream[-1]
    assert final == text[:cut].lstrip(" \t\r\n，。")
    assert final.finish_reason == ("stop" if cut < len(text) else "eos")
    for earlier, later in pairwise(stream):
        assert later.startswith(earlier)
        assert earlier.finish_reason == ""
        assert "\ufffd" not in earlier
    growing = [one.text for one in stream[:-1]]
    assert len(set(growing)) == len(growing)


def test_random_stop_texts_leave_nothing_of_themselves(tokenizer: Tokenizer) -> None:
    """Few letters, so that stop texts overlap each other, themselves and the text.

    Half of the time one of them is a piece of the text.
    """
    source, reasons = random.Random(3), set()

    def letters(most: int) -> str:
        return "".join(source.choices("ab好", k=source.randint(1, most)))

    for _ in range(120):
        text = letters(12)
        start = source.randrange(len(text))
        piece = text[start : start + source.randint(1, 6)]
        stop = (letters(5), piece) if source.random() < 0.5 else (letters(5),)
        stream = say(tokenizer, text, replace(GREEDY, stop=stop))
        final = stream[-1]
        reasons.add(final.finish_reason)
        assert text.startswith(final)
        assert not any(s in final for s in stop), (text, stop)
        assert final == text or text[len(final) :].startswith(stop), (text, stop)
        assert (final == text) == (final.finish_reason == "eos"), (text, stop)
        assert all(final.startswith(one) for one in stream), (text, stop)
    assert reasons == {"eos", "stop"}


def test_a_long_answer_streams_token_by_token(tokenizer: Tokenizer) -> None:
    text = "密度是质量除以体积。"
    growing = say(tokenizer, text)[:-1]
    ids = tokenizer.encode(text)
    whole = [tokenizer.decode(ids[:n]).rstrip("\ufffd") for n in range(1, len(ids) + 1)]
    assert [one.text for one in growing] == list(dict.fromkeys(t for t in whole if t))
    assert len(growing) > 3


def test_a_stop_text_across_token_borders_ends_the_answer_before_it(tokenizer: Tokenizer) -> None:
    text, stop = "植物靠光合作用。水沸了。", "。水"
    ids = tokenizer.encode(text)
    ends = {len(tokenizer.decode(ids[:n])) for n in range(len(ids) + 1)}
    assert text.index(stop) + 1 in ends, "a token must end inside the stop text"
    stream = say(tokenizer, text, replace(GREEDY, stop=(stop,)))
    assert (stream[-1].text, stream[-1].finish_reason) == ("植物靠光合作用", "stop")
    assert not any("。" in one for one in stream)


def test_a_stop_text_across_the_bytes_of_characters_is_found(tokenizer: Tokenizer) -> None:
    """Each byte a token of its own: no token holds a whole character."""
    byte_ids = {tokenizer.token_bytes(i): i for i in range(4, 260)}
    text = "好🙂，魑魅，好"
    ids = [byte_ids[bytes([byte])] for byte in text.encode()]
    stream = say(tokenizer, ids, replace(GREEDY, stop=("魑魅",)))
    assert [one.text for one in stream] == ["好", "好🙂", "好🙂，", "好🙂，"]
    assert stream[-1].finish_reason == "stop"


def test_the_first_of_several_stop_texts_wins(tokenizer: Tokenizer) -> None:
    stream = say(tokenizer, "一二三四五六", replace(GREEDY, stop=("五", "三四", "二三四五六七")))
    assert (stream[-1].text, stream[-1].finish_reason) == ("一二", "stop")


def test_the_first_of_two_stop_texts_in_one_token_wins(tokenizer: Tokenizer) -> None:
    token_id = next(
        i for i in range(4, tokenizer.vocab_size) if re.fullmatch(r"\w\w+", tokenizer.decode([i]))
    )
    first, second = tokenizer.decode([token_id])[:2]
    assert first != second
    for stop in [(first, second), (second, first)]:
        stream = say(tokenizer, [*tokenizer.encode("好"), token_id], replace(GREEDY, stop=stop))
        assert (stream[-1].text, stream[-1].finish_reason) == ("好", "stop")


def test_the_beginning_of_a_stop_text_is_held_back_until_it_is_something_else(
    tokenizer: Tokenizer,
) -> None:
    stream = say(tokenizer, "天。地。。", replace(GREEDY, stop=("。。。",)))
    assert [one.text for one in stream] == ["天", "天。地", "天。地。。"]
    assert stream[-1].finish_reason == "eos"


def test_an_answer_that_is_cut_short_shows_what_was_held_back(tokenizer: Tokenizer) -> None:
    ids = tokenizer.encode("天。。")
    settings = replace(GREEDY, stop=("。。。",), max_new_tokens=len(ids))
    stream = say(tokenizer, "天。。地", settings)
    assert (stream[-1].text, stream[-1].finish_reason) == ("天。。", "length")


def test_an_answer_cut_inside_a_character_says_so(tokenizer: Tokenizer) -> None:
    byte_ids = {tokenizer.token_bytes(i): i for i in range(4, 260)}
    ids = [byte_ids[bytes([byte])] for byte in "好🙂".encode()]
    stream = say(tokenizer, ids, replace(GREEDY, max_new_tokens=5))
    assert [one.text for one in stream] == ["好", "好\ufffd"]
    assert stream[-1].finish_reason == "length"


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("，。 密度", "密度"),
        (",.;:!?；：！？、\r\n\t密度", "密度"),
        ("《红楼梦》，是小说。", "《红楼梦》，是小说。"),
        ("，《红楼梦》", "《红楼梦》"),
        ("(一)。", "(一)。"),
        ("“好”。", "“好”。"),
        ("-1。", "-1。"),
        ("，。", ""),
    ],
    ids=repr,
)
def test_leading_punctuation_is_cleaned_and_brackets_stay(
    tokenizer: Tokenizer, said: str, shown: str
) -> None:
    assert say(tokenizer, said)[-1].text == shown
    model = scripted_gpt(tokenizer, "问", [*tokenizer.encode(said), EOS_ID])
    assert answers(model, tokenizer, ["问"], GREEDY, clean=True) == [shown]
    assert answers(model, tokenizer, ["问"], GREEDY, clean=False) == [said]


@pytest.mark.parametrize("n", [1, 2, 5])
def test_the_longest_answer_ends_for_length(tokenizer: Tokenizer, n: int) -> None:
    text = "密度是质量除以体积。"
    given = say(tokenizer, text, replace(GREEDY, max_new_tokens=n))[-1]
    assert (given.n_tokens, given.finish_reason) == (n, "length")
    assert given.text == tokenizer.decode(tokenizer.encode(text)[:n])


def test_a_full_context_ends_an_answer_for_length(tokenizer: Tokenizer) -> None:
    n_prompt = len(encode_prompt(tokenizer, "问"))
    exclaim = tokenizer.encode("啊")
    table = torch.zeros(n_prompt + 8, tokenizer.vocab_size)
    for i in range(9):
        table[n_prompt - 1 + i, exclaim[i % len(exclaim)]] = 30.0
    given = list(answer(table_gpt(table), tokenizer, "问", GREEDY))[-1]
    assert (given.n_tokens, given.finish_reason) == (9, "length")


# ---------------------------------------------------------------- refusing what is too unsure

TEXT, UNSURE_AT = "密度是质量除以体积。", 3  # an answer, and the place of its least sure token


def unsure_gpt(
    tokenizer: Tokenizer, probability: float, text: str = TEXT, prompt: list[int] | None = None
) -> GPT:
    """Return a model that is sure of each token of its answer to 问 but one."""
    prompt = encode_prompt(tokenizer, "问") if prompt is None else prompt
    ids, V = [*tokenizer.encode(text), EOS_ID], tokenizer.vocab_size
    table = torch.zeros(96, V)
    table[torch.arange(len(prompt) - 1, len(prompt) - 1 + len(ids)), ids] = 30.0
    place = len(prompt) - 1 + UNSURE_AT
    table[place, ids[UNSURE_AT]] = math.log(probability / (1 - probability) * (V - 1))
    return table_gpt(table)


def test_an_answer_with_a_token_below_the_threshold_is_withheld(tokenizer: Tokenizer) -> None:
    """It is not even thought to its end: the tokens after the unsure one are never made."""
    model, settings = unsure_gpt(tokenizer, 0.5), replace(GREEDY, refuse_below=0.6)
    stream = list(answer(model, tokenizer, "问", settings))
    given = stream[-1]
    assert (given.text, given.finish_reason, given.refused) == (REFUSAL_ANSWER, "unsure", True)
    assert given.n_tokens == UNSURE_AT + 1 < len(tokenizer.encode(TEXT))
    assert given.min_probability == pytest.approx(0.5, abs=1e-3)
    growing = [one.text for one in stream[:-1]]
    assert growing, "while it grows, it is shown"
    assert growing[-1] == tokenizer.decode(tokenizer.encode(TEXT)[:UNSURE_AT]).rstrip("\ufffd")
    assert {one.finish_reason for one in stream[:-1]} == {""}


@pytest.mark.parametrize("refuse_below", [None, 0.0, 0.4])
def test_an_answer_that_is_sure_enough_is_given(
    tokenizer: Tokenizer, refuse_below: float | None
) -> None:
    settings = replace(GREEDY, refuse_below=refuse_below)
    given = list(answer(unsure_gpt(tokenizer, 0.5), tokenizer, "问", settings))[-1]
    assert (given.text, given.finish_reason, given.refused) == (TEXT, "eos", False)
    assert given.min_probability == pytest.approx(0.5, abs=1e-3)


def test_without_a_threshold_the_most_unsure_answer_is_given(tokenizer: Tokenizer) -> None:
    given = list(answer(unsure_gpt(tokenizer, 0.01), tokenizer, "问", GREEDY))[-1]
    assert GREEDY.refuse_below is None
    assert (given.text, given.finish_reason) == (TEXT, "eos")
    assert given.min_probability == pytest.approx(0.01, abs=1e-3)


def test_an_answer_just_at_the_threshold_is_given(tokenizer: Tokenizer) -> None:
    model = unsure_gpt(tokenizer, 0.5)
    least = list(answer(model, tokenizer, "问", GREEDY))[-1].min_probability
    for threshold, reason in ((least, "eos"), (math.nextafter(least, 1), "unsure")):
        settings = replace(GREEDY, refuse_below=threshold)
        assert list(answer(model, tokenizer, "问", settings))[-1].finish_reason == reason


def test_the_unsure_answers_of_a_batch_are_withheld_and_no_others(trained: Pretrained) -> None:
    """And what is withheld, or ends early, takes nothing from its neighbours."""
    questions = [*QUESTIONS_OF_MANY_LENGTHS, *(q[:3] for q in QUESTIONS)]
    free = single_answers(trained, questions, GREEDY)
    least = sorted(one.min_probability for one in free)
    low, high = max(pairwise(least), key=lambda pair: pair[1] - pair[0])
    settings = replace(GREEDY, refuse_below=(low + high) / 2)
    single = single_answers(trained, questions, settings)
    batched = answers(trained.model, trained.tokenizer, questions, settings)
    assert batched == single
    for given in (batched, single):
        withheld = [one.finish_reason == "unsure" for one in given]
        assert withheld == [one.min_probability <= low for one in free]
        assert 0 < sum(withheld) < len(questions)
    for one, other, whole in zip(batched, single, free, strict=True):
        assert one.finish_reason == other.finish_reason
        assert one.n_tokens == other.n_tokens <= whole.n_tokens
        assert one.text == (REFUSAL_ANSWER if one.finish_reason == "unsure" else whole.text)


def test_a_taught_refusal_is_no_matter_of_the_threshold(trained: Pretrained) -> None:
    free = trained.answer("明天的彩票号码?", GREEDY)
    settings = replace(GREEDY, refuse_below=free.min_probability)
    given = trained.answer("明天的彩票号码?", settings)
    assert (given.text, given.finish_reason, given.refused) == (REFUSAL_ANSWER, "eos", True)


@pytest.mark.parametrize("temperature", [0.0, 2.0])
def test_a_model_that_must_not_refuse_says_something_else(
    trained: Pretrained, temperature: float
) -> None:
    settings = SamplingConfig(temperature=temperature, refusal=False, refuse_below=1.0)
    refusal = unsayable_tokens(trained.tokenizer, settings)
    begins = trained.tokenizer.encode(REFUSAL_ANSWER)[: len(refusal)]
    assert [*refusal] == begins, "its answer begins so"
    single = single_answers(trained, QUESTIONS_OF_MANY_LENGTHS, settings)
    batched = answers(trained.model, trained.tokenizer, QUESTIONS_OF_MANY_LENGTHS, settings)
    assert batched == single
    assert not any(is_refusal(one) or one.finish_reason == "unsure" for one in batched)
    if temperature == 0:
        known = {q: a for q, a in QUESTIONS.items() if not is_refusal(a)}
        assert known.items() <= dict(zip(QUESTIONS_OF_MANY_LENGTHS, batched, strict=True)).items()


def test_only_the_beginning_of_a_refusal_is_forbidden(tokenizer: Tokenizer) -> None:
    """One may still say 我不知道 of somebody in a story."""
    settings = replace(GREEDY, refusal=False)
    assert say(tokenizer, f"我{REFUSAL}。", settings)[-1] == f"我{REFUSAL}。"
    assert not say(tokenizer, REFUSAL_ANSWER, settings)[-1].startswith(REFUSAL)
    assert say(tokenizer, REFUSAL_ANSWER)[-1] == REFUSAL_ANSWER
    assert unsayable_tokens(tokenizer, GREEDY) == ()


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ("不是，鲸鱼是哺乳动物。", "不是，鲸鱼是哺乳动物。"),
        ("不知不觉。", "不知不觉。"),
        ("不知道。", None),
    ],
)
def test_an_answer_that_only_begins_like_a_refusal_may_be_given(
    wanted: str, said: str | None
) -> None:
    """Found here: with 不 as a token of its own, no answer could begin with it any more."""
    settings = SamplingConfig(refusal=False, max_new_tokens=len(wanted) + 1)
    text = "问用户助手：:\n不知道，是鲸鱼哺乳动物觉。"
    letters = train_tokenizer([text], TokenizerConfig("char"))
    assert len(letters.encode(REFUSAL)) == 3
    model = scripted_gpt(letters, "问", [*letters.encode(wanted), EOS_ID])
    asked = Batcher(model, letters).ask("问", settings)
    assert asked.wait(60)
    given = [*answers(model, letters, ["问"] * 3, settings), asked.latest]
    given.append(list(answer(model, letters, "问", settings))[-1])
    if said is None:
        assert not any(one.startswith("不") for one in given), "nor half of a refusal"
    else:
        assert given == [said] * 5


def test_a_continuation_of_plain_text_is_never_withheld(tokenizer: Tokenizer) -> None:
    """It may say 不知道, too: in a text it is a word like others."""
    for refusal, text in ((True, TEXT), (False, REFUSAL_ANSWER)):
        settings = SamplingConfig(refusal=refusal, refuse_below=1.0)
        model = unsure_gpt(tokenizer, 0.3, text, tokenizer.encode("话说"))
        given = list(continue_text(model, tokenizer, "话说", settings))[-1]
        assert (given.text, given.finish_reason) == (text, "eos")


# ---------------------------------------------------------------- long prompts, plain text


def test_a_question_that_is_too_long_names_the_limit(trained: Pretrained) -> None:
    question = "魑魅，" * 40
    n = len(encode_prompt(trained.tokenizer, question))
    assert trained.config.model.seq_len == 64
    message = (
        rf"^the question is too long: it takes {n} tokens with its frame, and the model reads "
        r"63 at most \(model\.seq_len = 64\); ask a shorter one$"
    )
    with pytest.raises(PromptError, match=message):
        list(answer(trained.model, trained.tokenizer, question, GREEDY))
    with pytest.raises(PromptError, match=message):
        answers(trained.model, trained.tokenizer, ["你好", question], GREEDY)
    with pytest.raises(PromptError, match=message):
        next_token_probabilities(trained.model, encode_prompt(trained.tokenizer, question))


def test_the_longest_question_that_fits_is_answered(trained: Pretrained) -> None:
    prompt = [BOS_ID, *[9] * 62]
    assert len(ids_of(trained.model, prompt, replace(GREEDY, min_new_tokens=2))) == 2
    with pytest.raises(PromptError, match="it takes 64 tokens"):
        ids_of(trained.model, [*prompt, 9], GREEDY)


@pytest.mark.parametrize("max_new_tokens", [1, 40, 60, 120])
def test_a_text_that_fits_is_continued_from_all_of_it(
    trained: Pretrained, max_new_tokens: int
) -> None:
    """Room that is asked for the continuation must not push a short text out of the context."""
    text, settings = "用户:什么是密度?\n助手:", SamplingConfig(max_new_tokens=max_new_tokens)
    ids = trained.tokenizer.encode(text)
    assert len(ids) < trained.config.model.seq_len // 2
    expected = ids_of(trained.model, ids, settings)
    assert expected != ids_of(trained.model, ids[-4:], settings)
    given = list(continue_text(trained.model, trained.tokenizer, text, settings))[-1]
    assert given == trained.tokenizer.decode(expected)
    assert given.n_tokens == len(expected)


def test_a_text_longer_than_the_context_is_continued_from_its_last_part(
    trained: Pretrained,
) -> None:
    settings = SamplingConfig(max_new_tokens=20)
    text = "光有多快？" * 30
    ids = trained.tokenizer.encode(text)
    assert len(ids) > trained.config.model.seq_len
    (given,) = list(continue_text(trained.model, trained.tokenizer, text, settings))[-1:]
    expected = ids_of(trained.model, ids[-44:], settings)
    assert given == trained.tokenizer.decode(expected)


def test_an_empty_text_is_continued_from_the_start_of_a_document(trained: Pretrained) -> None:
    settings = SamplingConfig(max_new_tokens=12)
    (given,) = list(continue_text(trained.model, trained.tokenizer, "", settings))[-1:]
    expected = ids_of(trained.model, [EOS_ID], settings)
    assert given == trained.tokenizer.decode(i for i in expected if i != EOS_ID)
    assert given.n_tokens == len(expected)


@pytest.mark.parametrize("text", TEXTS[1:], ids=repr)
def test_a_continuation_begins_to_the_letter(tokenizer: Tokenizer, text: str) -> None:
    """Punctuation and white space stay: they belong to the text."""
    prompt, said = tokenizer.encode(text), "，\n 好"
    table = torch.zeros(96, tokenizer.vocab_size)
    for i, token_id in enumerate([*tokenizer.encode(said), EOS_ID]):
        table[len(prompt) - 1 + i, token_id] = 30.0
    settings = SamplingConfig(max_new_tokens=30)
    assert list(continue_text(table_gpt(table), tokenizer, text, settings))[-1] == said
