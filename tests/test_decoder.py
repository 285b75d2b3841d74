"""The fast decoder computes what the model computes, one token at a time."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from gpt_teacher import SHIPPED, from_pretrained
from gpt_teacher.checkpoint import load_checkpoint
from gpt_teacher.config import ModelConfig
from gpt_teacher.decoder import (
    Decoder,
    Int8Linear,
    StripLinear,
    decoder_of,
    fast_linear,
    int8_kernel_works,
)
from gpt_teacher.model import GPT, KVCache
from gpt_teacher.quantize import dequantize, dequantize_matrix, quantize_matrix

VOCAB, T = 50, 12


def make_model(position: str = "rope", n_embd: int = 32) -> GPT:
    torch.manual_seed(3)
    config = ModelConfig(n_layer=2, n_head=2, n_embd=n_embd, seq_len=24, position=position)
    model = GPT(config, VOCAB).eval()
    for parameter in model.parameters():  # not the small first weights: errors would hide
        torch.nn.init.normal_(parameter, std=0.3)
    return model


@pytest.mark.parametrize("n_outputs", [1, 31, 32, 96, 100])
@pytest.mark.parametrize("has_mkl", [True, False])
def test_a_layer_for_few_rows_computes_what_a_layer_does(
    n_outputs: int, has_mkl: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.backends.mkl, "is_available", lambda: has_mkl)
    weight, bias = torch.randn(n_outputs, 40), torch.randn(n_outputs)
    linear = fast_linear(weight, bias)
    assert isinstance(linear, StripLinear) is has_mkl
    for batch_size in (1, 3):
        x = torch.randn(batch_size, 40)
        torch.testing.assert_close(linear(x), x @ weight.T + bias, rtol=1e-5, atol=1e-5)


@torch.inference_mode()
def decoded(model: GPT, ids: Tensor, n_prompt: int, n_pad: Tensor | None = None) -> Tensor:
    """Logits (B, T - n_prompt, V) of all after the prompt, which the model itself reads."""
    cache = KVCache(model, ids.size(0), ids.size(1))
    model.hidden_states(ids[:, :n_prompt], cache, n_pad)
    decoder = Decoder(model)
    steps = [decoder(ids[:, at], cache, n_pad) for at in range(n_prompt, ids.size(1))]
    assert cache.length == ids.size(1)
    return torch.stack(steps, dim=1)


@pytest.mark.parametrize("position", ["rope", "learned"])
@pytest.mark.parametrize("batch_size", [1, 3])
def test_each_step_gives_the_logits_of_the_whole_sequence(position: str, batch_size: int) -> None:
    model = make_model(position)
    ids = torch.randint(VOCAB, (batch_size, T))
    with torch.inference_mode():
        expected = model(ids)[:, 4:]  # (B, T - 4, V)
    assert expected.abs().max() > 1
    torch.testing.assert_close(decoded(model, ids, 4), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("position", ["rope", "learned"])
def test_filling_on_the_left_changes_nothing(position: str) -> None:
    model, n_pad = make_model(position), torch.tensor([0, 2, 3])
    ids = torch.randint(VOCAB, (3, T))
    together = decoded(model, ids, 5, n_pad)
    for row, pad in enumerate(n_pad.tolist()):
        alone = decoded(model, ids[row : row + 1, pad:], 5 - pad)
        torch.testing.assert_close(together[row], alone[0], rtol=1e-4, atol=1e-4)


def test_a_decoder_is_made_once_until_the_weights_change() -> None:
    model = make_model()
    first = decoder_of(model)
    assert decoder_of(model) is first
    with torch.no_grad():
        model.norm.weight.mul_(2)
    second = decoder_of(model)
    assert second is not first
    model.load_state_dict(make_model().state_dict())
    assert decoder_of(model) is not second


def test_a_model_that_came_as_int8_gets_its_integers_back() -> None:
    """So float weights are all that has to be kept of it."""
    generator = torch.Generator().manual_seed(1)
    for scale in (1e-4, 0.02, 3.0):
        integers, scales = quantize_matrix(scale * torch.randn(64, 256, generator=generator))
        again, scales_again = quantize_matrix(dequantize_matrix(integers, scales))
        assert torch.equal(again, integers)
        torch.testing.assert_close(scales_again, scales)


def test_the_shipped_int8_model_is_decoded_as_int8_with_small_errors() -> None:
    checkpoint = load_checkpoint(SHIPPED / "quantized")
    teacher = from_pretrained(SHIPPED / "quantized")
    decoder = decoder_of(teacher.model)
    assert decoder.is_int8
    up = decoder._layers[0].up
    assert isinstance(up, Int8Linear)
    assert torch.equal(up.weight, checkpoint.tensors["layers.0.mlp.up_proj.weight"])
    floats = GPT(checkpoint.config.model, checkpoint.tokenizer.vocab_size).eval()
    floats.load_state_dict(dequantize(checkpoint.tensors))
    ids = torch.tensor([checkpoint.tokenizer.encode("用户:什么是注意力机制?\n助手:注意力机制让")])
    expected = decoded(floats, ids, 4).log_softmax(-1).exp()
    got = decoded(teacher.model, ids, 4).log_softmax(-1).exp()
    assert (got - expected).abs().max() < 0.03  # of a probability


def test_a_width_that_the_int8_kernel_cannot_read_is_decoded_as_float() -> None:
    model = make_model(n_embd=40)
    model.came_as_int8 = True
    ids = torch.randint(VOCAB, (2, T))
    with torch.inference_mode():
        expected = model(ids)[:, 4:]
    torch.testing.assert_close(decoded(model, ids, 4), expected, rtol=1e-4, atol=1e-4)


def test_a_kernel_that_is_missing_or_wrong_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: Tensor) -> Tensor:
        raise RuntimeError("not for this processor")

    for kernel in (missing, lambda x, weight, scale: torch.zeros(1, weight.size(0))):
        monkeypatch.setattr(torch, "_weight_int8pack_mm", kernel)
        int8_kernel_works.cache_clear()
        assert not int8_kernel_works()
    monkeypatch.undo()
    int8_kernel_works.cache_clear()
    model = make_model()
    model.came_as_int8 = True
    assert Decoder(model).is_int8 == int8_kernel_works()
