"""The schedule and the optimizer against hand-worked steps."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Literal

import pytest
import torch
from torch import Tensor

from gpt_teacher.config import ModelConfig, TrainingConfig
from gpt_teacher.model import GPT
from gpt_teacher.optim import build_optimizer, learning_rate

Position = Literal["rope", "learned"]


def tiny_gpt(position: Position = "rope") -> GPT:
    torch.manual_seed(0)
    model = GPT(ModelConfig(n_layer=1, n_head=1, n_embd=4, seq_len=8, position=position), 10)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn_like(parameter))
    return model


def test_the_schedule_at_hand_worked_points() -> None:
    config = TrainingConfig(lr=1e-3, min_lr_ratio=0.1, warmup_steps=4)
    for step, expected in [
        (0, 0.2e-3),  # a fifth, two fifths ... and lr itself after 4 updates
        (1, 0.4e-3),
        (3, 0.8e-3),
        (4, 1.0e-3),
        (9, 0.868198e-3),  # a quarter of the way down: 0.1 + 0.9 · (1 + cos 45°) / 2
        (14, 0.55e-3),  # half of the way: midway between 1 and 0.1
        (19, 0.231802e-3),
        (24, 0.1e-3),  # the end, and whatever comes after it
        (30, 0.1e-3),
    ]:
        assert learning_rate(step, 24, config) == pytest.approx(expected, rel=1e-5), step


def test_warm_up_takes_a_quarter_of_the_run_at_most() -> None:
    config = TrainingConfig(lr=6e-3, min_lr_ratio=0.0, warmup_steps=100)
    rates = [learning_rate(step, 20, config) for step in range(21)]
    assert rates[:6] == pytest.approx([1e-3, 2e-3, 3e-3, 4e-3, 5e-3, 6e-3])
    assert rates[6] < 6e-3
    assert rates[20] == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize(("warmup_steps", "max_steps"), [(0, 10), (5, 1), (5, 3)])
def test_a_run_without_room_for_warm_up_begins_at_the_peak(
    warmup_steps: int, max_steps: int
) -> None:
    config = TrainingConfig(lr=1e-3, warmup_steps=warmup_steps)
    assert learning_rate(0, max_steps, config) == pytest.approx(1e-3)


@pytest.mark.parametrize(("warmup_steps", "max_steps"), [(30, 600), (7, 29), (50, 40), (0, 3)])
def test_the_rate_rises_to_the_peak_once_and_falls_to_the_floor(
    warmup_steps: int, max_steps: int
) -> None:
    config = TrainingConfig(lr=2e-3, min_lr_ratio=0.05, warmup_steps=warmup_steps)
    rates = [learning_rate(step, max_steps, config) for step in range(max_steps + 1)]
    peak = rates.index(max(rates))
    assert rates[peak] == pytest.approx(2e-3)
    assert peak <= max_steps // 4
    assert all(a < b for a, b in pairwise(rates[: peak + 1]))
    assert all(a > b for a, b in pairwise(rates[peak:]))
    assert rates[-1] == pytest.approx(1e-4)
    assert min(rates) > 0


@pytest.mark.parametrize("position", ["rope", "learned"])
def test_matrices_decay_and_biases_and_norm_scales_do_not(position: Position) -> None:
    """With no gradient, a decayed weight shrinks by 1 - lr · weight_decay = 0.95; others stay."""
    model = tiny_gpt(position)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    optimizer = build_optimizer(model, TrainingConfig(lr=0.1, weight_decay=0.5))
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    decayed = set()
    for name, parameter in model.named_parameters():
        if torch.equal(parameter, before[name]):
            continue
        torch.testing.assert_close(parameter.detach(), 0.95 * before[name])
        decayed.add(name)
    projections = ["self_attn.q", "self_attn.k", "self_attn.v", "self_attn.o", "mlp.up", "mlp.down"]
    expected = {f"layers.0.{p}_proj.weight" for p in projections} | {"embed_tokens.weight"}
    expected |= {"embed_positions.weight"} if position == "learned" else set()
    assert decayed == expected


def test_each_parameter_is_optimized_once() -> None:
    model = tiny_gpt("learned")
    optimizer = build_optimizer(model, TrainingConfig())
    held = [id(p) for group in optimizer.param_groups for p in group["params"]]
    assert sorted(held) == sorted(id(p) for p in model.parameters())


def test_two_updates_follow_adamw_by_hand() -> None:
    """Gradients 2, then 0, on a norm scale (no decay), beta1 = 0.9, beta2 = 0.5, lr = 0.1.

    First: m / sqrt(v), both corrected, is 2 / sqrt(4) = 1. Second: m = 0.9 · 0.1 · 2 over
    1 - 0.9², v = 0.5 · 0.5 · 4 over 1 - 0.5².
    """
    model = tiny_gpt()
    scale: Tensor = model.norm.weight
    start = scale.detach().clone()
    optimizer = build_optimizer(model, TrainingConfig(lr=0.1, weight_decay=0.3, beta2=0.5))
    scale.grad = torch.full_like(scale, 2.0)
    optimizer.step()
    torch.testing.assert_close(scale.detach(), start - 0.1)
    scale.grad = torch.zeros_like(scale)
    optimizer.step()
    second = 0.1 * (0.18 / 0.19) / math.sqrt(1 / 0.75)
    torch.testing.assert_close(scale.detach(), start - 0.1 - second)
