"""A checkpoint folder opens in transformers with no code of ours, and answers alike."""

from __future__ import annotations

import copy
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from conftest import QUESTIONS, TinyRun
from torch import Tensor

from gpt_teacher import Pretrained, from_pretrained
from gpt_teacher.config import SamplingConfig
from gpt_teacher.prompt import encode_prompt
from gpt_teacher.sampler import generate
from gpt_teacher.tokenizer import EOS_ID, PAD_ID, UNK_ID

TEXTS = ["", "魑魅，hello world 🙂", "ＡＢＣ　，", "\r\n\t", " 两 个  空格 ", "a\n\n 'll b"]
ASKED = [*QUESTIONS, "", "魑魅,hello world 🙂", "ABC , D"]  # as normalise() leaves them


class Opened(NamedTuple):
    """One folder, opened by us and by transformers."""

    ours: Pretrained
    model: Any
    tokenizer: Any


@pytest.fixture(scope="module", autouse=True)
def alone() -> Iterator[None]:
    """One thread, and no network."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:

        def refuse(self: socket.socket, address: object) -> None:
            raise AssertionError(f"opening a folder must not connect to {address}")

        patch.setattr(socket.socket, "connect", refuse)
        yield
    torch.set_num_threads(threads)


def open_folder(folder: Path) -> Opened:
    from transformers import AutoModelForCausalLM, AutoTokenizer  # slow: not for every process

    return Opened(
        from_pretrained(folder),
        AutoModelForCausalLM.from_pretrained(folder, trust_remote_code=False),
        AutoTokenizer.from_pretrained(folder, trust_remote_code=False),
    )


@pytest.fixture(scope="module")
def last(tiny_run: TinyRun) -> Opened:
    return open_folder(tiny_run.last)


@pytest.fixture(scope="module")
def quantized(tiny_run: TinyRun) -> Opened:
    return open_folder(tiny_run.quantized)


def both_logits(opened: Opened, ids: list[int]) -> tuple[Tensor, Tensor]:
    with torch.no_grad():
        input_ids = torch.tensor([ids])
        return opened.model(input_ids).logits, opened.ours.model(input_ids)


def chat(opened: Opened, question: str) -> list[int]:
    """Return the ids of the chat template."""
    messages = [{"role": "user", "content": question}]
    encoded = opened.tokenizer.apply_chat_template(messages, add_generation_prompt=True)
    return list(encoded["input_ids"])


def generated(opened: Opened, question: str) -> str:
    """Return what generate() answers with the folder's own generation settings."""
    ids = torch.tensor([chat(opened, question)])
    with torch.no_grad():
        new = opened.model.generate(ids, attention_mask=torch.ones_like(ids))[0, ids.size(1) :]
    assert new.tolist().index(EOS_ID) == len(new) - 1  # it stops there
    return str(opened.tokenizer.decode(new, skip_special_tokens=True))


def test_transformers_opens_the_same_network(last: Opened) -> None:
    assert type(last.model).__module__ == "transformers.models.arcee.modeling_arcee"
    n_ours = sum(p.numel() for p in last.ours.model.parameters())
    assert last.model.num_parameters() == n_ours
    assert last.model.lm_head.weight is last.model.model.embed_tokens.weight
    theirs = {name.removeprefix("model."): t for name, t in last.model.state_dict().items()}
    for name, tensor in last.ours.model.state_dict().items():
        assert torch.equal(theirs[name], tensor), name


def test_logits_are_equal_to_1e_5(last: Opened) -> None:
    for question, answer in QUESTIONS.items():
        ids = encode_prompt(last.ours.tokenizer, question) + last.ours.tokenizer.encode(answer)
        theirs, ours = both_logits(last, ids)
        assert ours.abs().max() > 5  # trained: a fresh model would agree whatever RoPE does
        torch.testing.assert_close(theirs, ours, rtol=0, atol=1e-5)


def test_logits_are_equal_to_1e_5_over_the_whole_context(last: Opened) -> None:
    ids = torch.randint(4, 360, (64,), generator=torch.Generator().manual_seed(1)).tolist()
    theirs, ours = both_logits(last, ids)
    torch.testing.assert_close(theirs, ours, rtol=0, atol=1e-5)


@pytest.mark.parametrize("text", TEXTS, ids=repr)
def test_the_tokenizer_gives_the_same_ids_and_the_text_back(last: Opened, text: str) -> None:
    ids = last.tokenizer(text)["input_ids"]
    assert ids == last.ours.tokenizer.encode(text)
    assert last.tokenizer.decode(ids) == text


def test_the_tokenizer_knows_its_special_tokens_and_length(last: Opened) -> None:
    tokenizer = last.tokenizer
    special = [tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id]
    assert [*special, tokenizer.unk_token_id] == [0, 1, 2, 3]
    assert tokenizer.model_max_length == 64
    assert len(tokenizer) == last.ours.tokenizer.vocab_size


@pytest.mark.parametrize("question", ASKED, ids=repr)
def test_the_chat_template_gives_the_ids_of_a_prompt(last: Opened, question: str) -> None:
    assert chat(last, question) == encode_prompt(last.ours.tokenizer, question)


@pytest.mark.parametrize("name", ["last", "quantized"])
def test_generate_gives_the_same_greedy_answers(name: str, request: pytest.FixtureRequest) -> None:
    opened: Opened = request.getfixturevalue(name)
    for question in QUESTIONS:
        assert generated(opened, question) == opened.ours.answer(question).text


def test_generate_never_gives_a_special_token(last: Opened) -> None:
    """Even if <pad> and <unk> are far likelier than the right answer: both suppress them."""
    question, first = "什么是密度?", last.ours.tokenizer.encode("密度是质量除以体积。")[0]
    ids = encode_prompt(last.ours.tokenizer, question)
    theirs, ours = copy.deepcopy(last.model), copy.deepcopy(last.ours.model)
    with torch.no_grad():
        for embedding in (theirs.model.embed_tokens.weight, ours.embed_tokens.weight):
            embedding[[PAD_ID, UNK_ID]] = 2 * embedding[first]
        assert ours(torch.tensor([ids]))[0, -1].argmax() in (PAD_ID, UNK_ID)
        new = theirs.generate(torch.tensor([ids]), max_new_tokens=8)[0, len(ids) :].tolist()
    settings = SamplingConfig(max_new_tokens=8)
    assert new == [tokens[0].token_id for tokens in generate(ours, [ids], settings, set())]
    assert new[0] == first


def test_the_quantized_folder_gives_the_logits_of_our_dequantized_model(
    quantized: Opened, last: Opened
) -> None:
    for question, answer in QUESTIONS.items():
        tokenizer = quantized.ours.tokenizer
        ids = encode_prompt(tokenizer, question) + tokenizer.encode(answer)
        theirs, ours = both_logits(quantized, ids)
        torch.testing.assert_close(
            theirs, ours, rtol=1e-6, atol=1e-5
        )  # they scale in another order
        assert (ours - both_logits(last, ids)[1]).abs().max() > 1e-3  # it is another model
