"""The answer that is expected, told by one pass: the same as decoding, or none."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from conftest import QUESTIONS, TinyRun

from gpt_teacher import Pretrained, evaluate, from_pretrained
from gpt_teacher.config import SamplingConfig
from gpt_teacher.decoder import decoder_of
from gpt_teacher.evaluate import take_exam
from gpt_teacher.expected_answers import expected_answers
from gpt_teacher.model import GPT
from gpt_teacher.prompt import encode_example
from gpt_teacher.sampler import NEVER_SAMPLED, Answer, answers
from gpt_teacher.text_files import Row

ROWS = [Row(prompt, answer, line) for line, (prompt, answer) in enumerate(QUESTIONS.items(), 1)]


@pytest.fixture(scope="module")
def trained(tiny_run: TinyRun) -> Pretrained:
    return from_pretrained(tiny_run.last)


def test_what_is_said_as_expected_is_what_decoding_gives(trained: Pretrained) -> None:
    """Text, tokens and probabilities; of any number of rows of any length, in their order."""
    rows = [ROWS[i % len(ROWS)] for i in range(150)]
    found = expected_answers(trained.model, trained.tokenizer, rows)
    prompts = [row.prompt for row in rows]
    decoded = answers(trained.model, trained.tokenizer, prompts, SamplingConfig())
    assert found == decoded == [row.completion for row in rows]
    for one, other in zip(found, decoded, strict=True):
        assert one is not None
        assert [token.token_id for token in one.tokens] == [t.token_id for t in other.tokens]
        assert [t.probability for t in one.tokens] == pytest.approx(
            [t.probability for t in other.tokens], abs=1e-5
        )
        assert one.finish_reason == "eos"


def test_what_the_model_does_not_say_to_the_letter_is_none(trained: Pretrained) -> None:
    """Nearly right, cut short and too long a text are other answers."""
    first, second, third, *_ = ROWS
    rows = [
        first._replace(completion=first.completion[:-1]),
        second,
        third._replace(completion=third.completion + third.completion),
        first._replace(completion="不知道，这个问题我没有学过。"),
    ]
    found = expected_answers(trained.model, trained.tokenizer, rows)
    assert found == [None, second.completion, None, None]


def test_it_is_told_up_to_the_last_token_that_fits(trained: Pretrained) -> None:
    row = max(ROWS, key=lambda row: len(encode_example(trained.tokenizer, *row[:2]).ids))
    n_tokens = len(encode_example(trained.tokenizer, *row[:2]).ids) - 1  # all but <eos> are read
    for seq_len, expected in ((n_tokens, row.completion), (n_tokens - 1, None)):
        model = GPT(replace(trained.model.config, seq_len=seq_len), trained.tokenizer.vocab_size)
        model.load_state_dict(trained.model.state_dict())
        (found,) = expected_answers(model.eval(), trained.tokenizer, [row])
        (decoded,) = answers(model, trained.tokenizer, [row.prompt], SamplingConfig())
        assert found == expected
        assert (decoded.finish_reason == "eos") is (found is not None)


def test_a_token_that_is_never_sampled_is_never_the_likeliest(trained: Pretrained) -> None:
    """Decoding passes over it, and gives what is expected."""
    model = GPT(trained.model.config, trained.tokenizer.vocab_size)
    model.load_state_dict(trained.model.state_dict())
    with torch.no_grad():  # each of them now beats what it is added to by a little
        best = model.embed_tokens.weight[trained.tokenizer.encode(ROWS[0].completion)[-1]]
        model.embed_tokens.weight[list(NEVER_SAMPLED)] = 1.01 * best
    model.eval()
    (decoded,) = answers(model, trained.tokenizer, [ROWS[0].prompt], SamplingConfig())
    (found,) = expected_answers(model, trained.tokenizer, ROWS[:1])
    assert decoded == found == ROWS[0].completion


def test_an_exam_decodes_only_what_is_not_as_expected(
    trained: Pretrained, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[str] = []

    def watched(model: GPT, tokenizer: object, prompts: list[str], *rest: object) -> object:
        decoded.extend(prompts)
        return answers(model, tokenizer, prompts, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(evaluate, "answers", watched)
    rows = [ROWS[0], ROWS[1]._replace(completion="错"), ROWS[2]]
    replies = take_exam(trained.model, trained.tokenizer, rows)
    assert decoded == [ROWS[1].prompt]
    assert [one.text for one in replies] == [row.completion for row in ROWS[:3]]


def test_an_expected_answer_of_punctuation_alone_leaves_the_others_in_their_places(
    trained: Pretrained, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found here: without its punctuation it is empty, and the next answer took its turn."""
    said = expected_answers(trained.model, trained.tokenizer, ROWS[:1])[0]
    assert said is not None
    empty = Answer("", said.tokens, "eos")
    monkeypatch.setattr(evaluate, "expected_answers", lambda *_: [None, empty, None])
    replies = take_exam(trained.model, trained.tokenizer, ROWS[:3])
    assert [one.text for one in replies] == [ROWS[0].completion, "", ROWS[2].completion]


def test_an_exam_of_an_int8_model_decodes_all(
    tiny_run: TinyRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its decoder computes with other roundings than the pass over whole sequences."""
    quantized = from_pretrained(tiny_run.last.parent / "quantized")
    if not decoder_of(quantized.model).is_int8:
        pytest.skip("no int8 product on this machine")
    monkeypatch.setattr(evaluate, "expected_answers", lambda *_: pytest.fail("not decoded"))
    replies = take_exam(quantized.model, quantized.tokenizer, ROWS)
    decoded = answers(
        quantized.model, quantized.tokenizer, [row.prompt for row in ROWS], SamplingConfig()
    )
    assert [one.text for one in replies] == decoded
