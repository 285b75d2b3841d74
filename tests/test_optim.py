"""The schedule and the optimizer against hand-worked steps."""

from __future__ import annotations

import math
from copy import deepcopy
from itertools import pairwise
from typing import Literal

import pytest
import torch
from torch import Tensor

from gpt_teacher.config import ModelConfig, TrainingConfig
from gpt_teacher.model import GPT
from gpt_teacher.optim import NEWTON_SCHULZ, build_optimizer, learning_rate, orthogonalise

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


@pytest.mark.parametrize("kind", ["muon", "adamw"])
@pytest.mark.parametrize("position", ["rope", "learned"])
def test_matrices_decay_and_biases_and_norm_scales_do_not(
    position: Position, kind: Literal["muon", "adamw"]
) -> None:
    """With no gradient, a decayed weight shrinks by 1 - lr · weight_decay = 0.95 at each of four
    updates, or, a matrix of Muon, by four times as much at one of them; others stay."""
    model = tiny_gpt(position)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    config = TrainingConfig(optimizer=kind, lr=0.1, muon_lr=0.1, weight_decay=0.5)
    optimizer = build_optimizer(model, config)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    for _ in range(4):
        optimizer.step()
    decayed = set()
    for name, parameter in model.named_parameters():
        if torch.equal(parameter, before[name]):
            continue
        left = 0.8 if kind == "muon" and "proj" in name else 0.95**4
        torch.testing.assert_close(parameter.detach(), left * before[name])
        decayed.add(name)
    projections = ["self_attn.q", "self_attn.k", "self_attn.v", "self_attn.o", "mlp.up", "mlp.down"]
    expected = {f"layers.0.{p}_proj.weight" for p in projections} | {"embed_tokens.weight"}
    expected |= {"embed_positions.weight"} if position == "learned" else set()
    assert decayed == expected


@pytest.mark.parametrize("kind", ["muon", "adamw"])
def test_each_parameter_is_optimized_once(kind: Literal["muon", "adamw"]) -> None:
    model = tiny_gpt("learned")
    optimizer = build_optimizer(model, TrainingConfig(optimizer=kind))
    held = [id(p) for group in optimizer.param_groups for p in group["params"]]
    assert sorted(held) == sorted(id(p) for p in model.parameters())


@pytest.mark.parametrize("kind", ["muon", "adamw"])
def test_two_updates_of_a_vector_follow_adamw_by_hand(kind: Literal["muon", "adamw"]) -> None:
    """Gradients 2, then 0, on a norm scale (no decay), beta1 = 0.9, beta2 = 0.5, lr = 0.1.

    First: m / sqrt(v), both corrected, is 2 / sqrt(4) = 1. Second: m = 0.9 · 0.1 · 2 over
    1 - 0.9², v = 0.5 · 0.5 · 4 over 1 - 0.5².
    """
    model = tiny_gpt()
    scale: Tensor = model.norm.weight
    start = scale.detach().clone()
    optimizer = build_optimizer(
        model, TrainingConfig(optimizer=kind, lr=0.1, weight_decay=0.3, beta2=0.5)
    )
    scale.grad = torch.full_like(scale, 2.0)
    optimizer.step()
    torch.testing.assert_close(scale.detach(), start - 0.1)
    scale.grad = torch.zeros_like(scale)
    optimizer.step()
    second = 0.1 * (0.18 / 0.19) / math.sqrt(1 / 0.75)
    torch.testing.assert_close(scale.detach(), start - 0.1 - second)


# ---------------------------------------------------------------- Muon


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_the_newton_schulz_polynomials_bring_singular_values_near_one_by_hand(
    dtype: torch.dtype,
) -> None:
    """On a diagonal matrix the iteration acts on each value alone."""
    diagonal = torch.tensor([0.8, 0.5, 0.3, 0.1, 0.05, 0.02])
    matrix = torch.diag(diagonal)
    expected = diagonal / diagonal.norm()
    for a, b, c in NEWTON_SCHULZ:
        expected = a * expected + b * expected**3 + c * expected**5
    found = orthogonalise(matrix[None].to(dtype))[0].float()
    torch.testing.assert_close(found, torch.diag(expected), rtol=0.03, atol=0.03)
    assert 0.5 < expected.min() < expected.max() < 1.4


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("shape", [(16, 16), (16, 64), (64, 16)])
def test_orthogonalising_keeps_directions_and_makes_their_lengths_alike(
    shape: tuple[int, int], dtype: torch.dtype
) -> None:
    """Against the exact answer U Vᵀ of the singular value decomposition."""
    torch.manual_seed(1)
    matrices = torch.randn(3, *shape) * torch.tensor([1e-3, 1.0, 1e3])[:, None, None]
    found = orthogonalise(matrices.to(dtype)).float()
    u, _, vh = torch.linalg.svd(matrices, full_matrices=False)
    for one, exact in zip(found, u @ vh, strict=True):
        cosine = (one * exact).sum() / one.norm() / exact.norm()
        assert cosine > 0.95
        values = torch.linalg.svdvals(one)
        assert 0.5 < values.min() < values.max() < 1.4


def test_four_updates_of_a_matrix_follow_muon_by_hand() -> None:
    """A gradient g, again and again, gives a momentum that is g but for its size, which is lost.

    A matrix moves once in four updates, by 4 · 0.2; a tall one, 16 x 4, twice as far:
    sqrt(16 / 4). Of the six of the only block, the last, the wide one, has its turn at the third
    update, the tall one before it at the fourth.
    """
    model = tiny_gpt()
    config = TrainingConfig(lr=0.1, muon_lr=0.2, weight_decay=0.0)
    optimizer = build_optimizer(model, config)
    tall, wide = model.layers[0].mlp.up_proj.weight, model.layers[0].mlp.down_proj.weight
    starts = [tall.detach().clone(), wide.detach().clone()]
    torch.manual_seed(2)
    tall.grad, wide.grad = 7 * torch.randn_like(tall), torch.randn_like(wide)
    tall_moved = starts[0] - 0.8 * 2 * orthogonalise(tall.grad[None])[0]
    wide_moved = starts[1] - 0.8 * orthogonalise(wide.grad[None])[0]
    for expected in [starts, starts, (starts[0], wide_moved), (tall_moved, wide_moved)]:
        optimizer.step()
        torch.testing.assert_close(tall.detach(), expected[0], rtol=0, atol=0.08)
        torch.testing.assert_close(wide.detach(), expected[1], rtol=0, atol=0.04)


def test_momentum_remembers_the_gradients_before() -> None:
    """Gradients g, then 0 until it is the turn of the matrix: it goes in the direction of g."""
    model = tiny_gpt()
    optimizer = build_optimizer(model, TrainingConfig(weight_decay=0.0))
    matrix = model.layers[0].self_attn.q_proj.weight
    start = matrix.detach().clone()
    matrix.grad = torch.eye(4)
    for _ in range(3):
        optimizer.step()
        assert torch.equal(matrix, start)
        matrix.grad = torch.zeros(4, 4)
    optimizer.step()
    step = start - matrix.detach()
    assert (step.diagonal() > 0.01).all()
    torch.testing.assert_close(step, torch.diag(step.diagonal()), rtol=0, atol=1e-4)


@pytest.mark.parametrize("kind", ["muon", "adamw"])
def test_a_restored_optimizer_goes_on_as_the_old_one(kind: Literal["muon", "adamw"]) -> None:
    config = TrainingConfig(optimizer=kind, lr=0.1)
    models = [tiny_gpt(), tiny_gpt()]
    old, new = (build_optimizer(model, config) for model in models)

    def step(number: int, seed: int) -> None:
        torch.manual_seed(seed)
        for parameter in models[number].parameters():
            parameter.grad = torch.randn_like(parameter)
        (old, new)[number].step()

    step(0, 1)
    models[1].load_state_dict(models[0].state_dict())
    new.load_state_dict(deepcopy(old.state_dict()))
    step(0, 2)
    step(1, 2)
    for name, parameter in models[0].state_dict().items():
        assert torch.equal(parameter, models[1].state_dict()[name]), name


def test_a_matrix_moves_by_nesterovs_momentum_of_gradients_that_differ() -> None:
    """The momentum m becomes 0.95 m + 0.05 g; a step goes along 0.95 m + 0.05 g once more."""
    model = tiny_gpt()
    optimizer = build_optimizer(model, TrainingConfig(lr=0.1, muon_lr=0.2, weight_decay=0.0))
    matrix = model.layers[0].self_attn.q_proj.weight  # the first: it moves at the fourth update
    start, momentum = matrix.detach().clone(), torch.zeros(4, 4)
    for sign in (1, -1, 1, -1):
        matrix.grad = sign * torch.randn(4, 4, generator=torch.Generator().manual_seed(sign + 3))
        momentum = 0.95 * momentum + 0.05 * matrix.grad
        optimizer.step()
    expected = start - 0.8 * orthogonalise((0.95 * momentum + 0.05 * matrix.grad)[None])[0]
    torch.testing.assert_close(matrix.detach(), expected, rtol=0, atol=0.04)
