"""int8 weights: hand-worked rows, and the most that rounding may change."""

from __future__ import annotations

import re

import pytest
import torch
from torch import Tensor

from gpt_teacher.config import ModelConfig
from gpt_teacher.errors import CheckpointError
from gpt_teacher.model import GPT
from gpt_teacher.quantize import (
    dequantize,
    dequantize_matrix,
    is_quantized,
    quantize,
    quantize_matrix,
)

MATRICES = (
    "self_attn.q_proj",
    "self_attn.k_proj",
    "self_attn.v_proj",
    "self_attn.o_proj",
    "mlp.up_proj",
    "mlp.down_proj",
)


@pytest.fixture(scope="module")
def weights() -> dict[str, Tensor]:
    torch.manual_seed(0)
    model = GPT(ModelConfig(n_layer=2, n_head=2, n_embd=16, seq_len=8), 30)
    return {name: torch.randn_like(t) for name, t in model.state_dict().items()}


def test_rows_are_quantized_as_worked_out_by_hand() -> None:
    weight = torch.tensor(
        [
            [127.0, -50.4, 0.6, -0.4, 0.0],  # step 1
            [1.0, -2.54, 0.5, 0.011, -0.029],  # step 0.02: the largest goes to -127
        ]
    )
    int8, scale = quantize_matrix(weight)
    assert int8.tolist() == [[127, -50, 1, 0, 0], [50, -127, 25, 1, -1]]
    torch.testing.assert_close(scale, torch.tensor([[1.0], [0.02]]))
    expected = torch.tensor([[127.0, -50.0, 1.0, 0.0, 0.0], [1.0, -2.54, 0.5, 0.02, -0.02]])
    torch.testing.assert_close(dequantize_matrix(int8, scale), expected)


def test_the_error_is_at_most_half_a_step_of_the_weights_own_row() -> None:
    weight = torch.randn(40, 30, generator=torch.Generator().manual_seed(1))
    weight *= torch.logspace(-6, 3, 40)[:, None]  # rows of very different size
    int8, scale = quantize_matrix(weight)
    error = (dequantize_matrix(int8, scale) - weight).abs()
    assert (error <= scale * (0.5 + 1e-4)).all()
    assert (scale[:, 0] <= weight.abs().amax(dim=1) / 127 * (1 + 1e-6)).all()


def test_a_weight_and_its_negative_are_rounded_alike_and_128_is_not_used() -> None:
    weight = torch.randn(20, 50, generator=torch.Generator().manual_seed(2))
    int8, scale = quantize_matrix(weight)
    negative, same_scale = quantize_matrix(-weight)
    assert torch.equal(negative, -int8)
    assert torch.equal(same_scale, scale)
    assert int8.abs().amax(dim=1).tolist() == [127] * 20
    assert int8.min() >= -127


def test_a_row_of_zeros_stays_zero_beside_others() -> None:
    weight = torch.tensor([[0.0, 0.0, 0.0], [1.27, -0.5, 0.0], [0.0, 1e-45, -1e-45]])
    int8, scale = quantize_matrix(weight)
    assert int8.tolist() == [[0, 0, 0], [127, -50, 0], [0, 0, 0]]
    assert (scale > 0).all()  # whoever divides by it gets a number
    restored = dequantize_matrix(int8, scale)  # 1e-45 has no 127th part in float32: it is 0, too
    torch.testing.assert_close(restored, weight, rtol=0, atol=1e-7)


def test_quantizing_again_changes_nothing(weights: dict[str, Tensor]) -> None:
    once = quantize(weights)
    twice = quantize(dequantize(once))
    assert twice.keys() == once.keys()
    for name, tensor in once.items():
        if tensor.dtype == torch.int8:
            assert torch.equal(twice[name], tensor), name
        else:
            torch.testing.assert_close(twice[name], tensor)


def test_the_matrices_of_the_blocks_are_quantized_and_nothing_else(
    weights: dict[str, Tensor],
) -> None:
    quantized = quantize(weights)
    matrices = {f"layers.{layer}.{name}.weight" for layer in range(2) for name in MATRICES}
    assert {n for n, t in quantized.items() if t.dtype == torch.int8} == matrices
    assert quantized.keys() == weights.keys() | {f"{name}_scale" for name in matrices}
    for name in weights.keys() - matrices:
        assert torch.equal(quantized[name], weights[name]), name
    assert torch.equal(quantized["embed_tokens.weight"], weights["embed_tokens.weight"])


def test_dequantize_gives_back_every_weight_within_half_a_step(
    weights: dict[str, Tensor],
) -> None:
    restored = dequantize(quantize(weights))
    assert restored.keys() == weights.keys()
    for name, tensor in weights.items():
        assert restored[name].dtype == torch.float32
        step = tensor.abs().amax(dim=-1, keepdim=True) / 127
        atol = 0.51 * step.max().item() if name.endswith("_proj.weight") else 0.0
        torch.testing.assert_close(restored[name], tensor, rtol=0, atol=atol)


def test_weights_that_are_not_quantized_are_left_as_they_are(weights: dict[str, Tensor]) -> None:
    restored = dequantize(weights)
    assert restored.keys() == weights.keys()
    assert all(torch.equal(restored[name], tensor) for name, tensor in weights.items())
    assert not is_quantized(weights)
    assert not is_quantized(restored)
    assert is_quantized(quantize(weights))


@pytest.mark.parametrize("shape", [(15, 1), (1, 16), (16,), ()])
def test_a_scale_that_does_not_fit_its_weights_is_refused(
    weights: dict[str, Tensor], shape: tuple[int, ...]
) -> None:
    name = "layers.1.mlp.down_proj.weight"
    damaged = quantize(weights) | {f"{name}_scale": torch.ones(shape)}
    expected = (
        rf"{name}_scale is {re.escape(str(shape))} for weights \(16, 64\), expected \(16, 1\)"
    )
    with pytest.raises(CheckpointError, match=f"^{expected}; copy or download"):
        dequantize(damaged)


def test_the_default_model_takes_at_most_4_3_mb() -> None:
    tensors = quantize(GPT(ModelConfig(), 824).state_dict())
    n_bytes = sum(t.numel() * t.element_size() for t in tensors.values())
    matrices, scales = 4 * 12 * 256**2, 4 * (4 + 4 + 1) * 256 * 4
    vectors = (4 * 11 + 1) * 256 * 4
    assert n_bytes == matrices + scales + vectors + 824 * 256 * 4
    assert n_bytes <= 4.3e6
