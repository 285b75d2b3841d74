"""The calculator against real models: their tensors, their files, their optimizer."""

from __future__ import annotations

import pytest
import torch

from gpt_teacher import SHIPPED
from gpt_teacher.config import ModelConfig
from gpt_teacher.model import GPT, n_parameters
from gpt_teacher.parameter_count import count_parameters, memory_bytes
from gpt_teacher.quantize import quantize

SIZES = [
    (ModelConfig(), 824),
    (ModelConfig(n_layer=1, n_head=1, n_embd=2, seq_len=8), 1),
    (ModelConfig(n_layer=3, n_head=2, n_embd=8, seq_len=16), 50),
    (ModelConfig(n_layer=3, n_head=2, n_embd=8, seq_len=16, position="learned"), 50),
    (ModelConfig(n_layer=7, n_head=4, n_embd=64, seq_len=32, position="learned"), 300),
]
sizes = pytest.mark.parametrize(("config", "vocab_size"), SIZES)


def n_bytes(tensors: list[torch.Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def test_the_terms_of_the_default_model_are_worked_out_by_hand() -> None:
    count = count_parameters(ModelConfig(), 824)
    # 824·256; none with RoPE; 4·(12·65,536 + 11·256); 256
    assert count == (210_944, 0, 3_156_992, 256)
    assert count.total == 3_368_192


@sizes
def test_the_terms_sum_to_the_parameters_of_the_real_model(
    config: ModelConfig, vocab_size: int
) -> None:
    count, model = count_parameters(config, vocab_size), GPT(config, vocab_size)
    assert count.total == sum(p.numel() for p in model.parameters())
    assert count.total == n_parameters(config, vocab_size)
    assert count.blocks == sum(p.numel() for p in model.layers.parameters())
    assert count.embedding == model.embed_tokens.weight.numel()
    assert count.last_norm == model.norm.weight.numel()
    learned = model.embed_positions
    assert count.positions == (0 if learned is None else learned.weight.numel())


@sizes
def test_the_memory_is_that_of_the_real_tensors(config: ModelConfig, vocab_size: int) -> None:
    memory, model = memory_bytes(config, vocab_size), GPT(config, vocab_size)
    weights = model.state_dict()
    assert memory.float32 == n_bytes([*weights.values()])
    assert memory.int8 == n_bytes([*quantize(weights).values()])
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.tensor([[0]])).sum().backward()
    for parameter in model.parameters():
        assert parameter.grad is not None
    optimizer.step()
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    averages = [
        state[name] for state in optimizer.state.values() for name in ("exp_avg", "exp_avg_sq")
    ]
    assert memory.training == n_bytes([*model.parameters(), *gradients, *averages])


@pytest.mark.parametrize(("folder", "key"), [("last", "float32"), ("quantized", "int8")])
def test_the_shipped_files_are_as_large_as_that(folder: str, key: str) -> None:
    size = (SHIPPED / folder / "model.safetensors").stat().st_size
    expected = getattr(memory_bytes(ModelConfig(), 824), key)
    assert expected < size < expected + 20_000, "and a header that names the tensors"
