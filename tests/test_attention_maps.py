"""Attention maps are the model's own weights: its own output can be made of them."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from gpt_teacher import SHIPPED, from_pretrained
from gpt_teacher.attention_maps import attention_maps
from gpt_teacher.config import ModelConfig
from gpt_teacher.model import GPT, Attention
from gpt_teacher.prompt import encode_prompt

TEXTS = ["", "什么是注意力机制?", "魑魅，hello world 🙂", "解释蒸馏水与纯水区别?" * 4]


def scaled_gpt() -> GPT:
    """A model with learned positions in which attention matters: a fresh one hides errors."""
    torch.manual_seed(1)
    config = ModelConfig(n_layer=3, n_head=2, n_embd=16, seq_len=24, position="learned")
    model = GPT(config, 50).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.4 * torch.randn_like(parameter))
    return model


def cases() -> dict[str, tuple[GPT, list[int]]]:
    teacher = from_pretrained(SHIPPED / "last")
    found = {text: (teacher.model, encode_prompt(teacher.tokenizer, text)) for text in TEXTS}
    quantized = from_pretrained(SHIPPED / "quantized")
    found["quantized"] = (quantized.model, encode_prompt(quantized.tokenizer, TEXTS[1]))
    found["learned positions"] = (scaled_gpt(), [0, 7, 9, 9, 41, 5, 7])
    found["one token"] = (scaled_gpt(), [3])
    return found


CASES = cases()


@pytest.fixture(params=CASES, ids=repr)
def case(request: pytest.FixtureRequest) -> tuple[GPT, list[int]]:
    return CASES[request.param]


def attention_inputs_and_outputs(
    model: GPT, ids: list[int]
) -> list[tuple[Attention, Tensor, Tensor]]:
    """What each layer's attention was given and gave, in the model's own forward pass."""
    seen: list[tuple[Attention, Tensor, Tensor]] = []
    handles = [
        block.self_attn.register_forward_hook(
            lambda module, args, output: seen.append((module, args[0], output))
        )
        for block in model.layers
    ]
    with torch.no_grad():
        model(torch.tensor([ids]))
    for handle in handles:
        handle.remove()
    return seen


def test_weights_times_values_are_the_attention_output_of_each_layer(
    case: tuple[GPT, list[int]],
) -> None:
    model, ids = case
    maps = attention_maps(model, ids)
    layers = attention_inputs_and_outputs(model, ids)
    assert len(maps) == len(layers) == model.config.n_layer
    for weights, (attention, x, output) in zip(maps, layers, strict=True):
        with torch.no_grad():
            v = attention.split_heads(attention.v_proj(x))[0]  # (H, T, D)
            y = (weights @ v).transpose(0, 1).flatten(1)  # (T, C)
            torch.testing.assert_close(attention.o_proj(y), output[0], rtol=1e-4, atol=1e-5)


def test_rows_sum_to_1_and_nothing_looks_ahead(case: tuple[GPT, list[int]]) -> None:
    model, ids = case
    maps = attention_maps(model, ids)
    assert maps.shape == (model.config.n_layer, model.config.n_head, len(ids), len(ids))
    torch.testing.assert_close(maps.sum(dim=-1), torch.ones(maps.shape[:-1]))
    assert not maps.triu(diagonal=1).any()
    assert (maps >= 0).all()
    assert (maps[:, :, 0, 0] == 1).all()


def test_a_head_whose_queries_meet_all_keys_alike_looks_everywhere_alike() -> None:
    model = scaled_gpt()
    attention = model.layers[1].self_attn
    with torch.no_grad():
        attention.q_proj.weight.zero_()
        attention.q_proj.bias.zero_()
    expected = torch.tensor([[1, 0, 0], [1 / 2, 1 / 2, 0], [1 / 3, 1 / 3, 1 / 3]])
    maps = attention_maps(model, [5, 6, 7])
    torch.testing.assert_close(maps[1, 0], expected)
    assert (maps[0, 0] - expected).abs().max() > 0.01


def test_looking_leaves_the_model_as_it_was(case: tuple[GPT, list[int]]) -> None:
    model, ids = case
    with torch.no_grad():
        before = model(torch.tensor([ids]))
        attention_maps(model, ids)
        assert torch.equal(model(torch.tensor([ids])), before)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
