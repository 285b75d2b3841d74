"""The training pass with hand-made gradients against model.py, loss.py and autograd."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from gpt_teacher.config import ModelConfig, TrainingConfig
from gpt_teacher.loss import IGNORE_INDEX, Batch, LossSum, next_token_loss
from gpt_teacher.model import GPT
from gpt_teacher.tokenizer import PAD_ID
from gpt_teacher.training_pass import learnt_positions, loss_by_hand, training_loss

VOCAB = 50
QUESTION_WEIGHT = 0.3


def scaled_gpt(**changes: object) -> GPT:
    """Return a model in which each part matters: a fresh one hides errors."""
    torch.manual_seed(3)
    config = replace(ModelConfig(n_layer=3, n_head=2, n_embd=16, seq_len=24), **changes)  # type: ignore[arg-type]
    model = GPT(config, VOCAB)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn_like(parameter)
            parameter.copy_(1 + 0.3 * noise if name.endswith("norm.weight") else 0.3 * noise)
    return model


def questions(smoothing: float = 0.0) -> Batch:
    """Two rows of 13 tokens: sequences of 4, 7 and 2 tokens, and of 5 and 5 with filling behind."""
    ids = torch.randint(4, VOCAB, (2, 14), generator=torch.Generator().manual_seed(5))
    sequence = torch.tensor([[0] * 4 + [1] * 7 + [2] * 2, [0] * 5 + [1] * 5 + [-1] * 3])
    ids[1, 10:] = PAD_ID
    is_answer = torch.tensor(
        [[0, 0, 1, 1] + [0] * 3 + [1] * 4 + [0, 1], [0, 0, 0, 1, 1] * 2 + [0] * 3]
    )
    answer = (is_answer == 1) & (sequence >= 0)
    targets = ids[:, 1:].masked_fill(~answer, IGNORE_INDEX)
    question = ids[:, 1:].masked_fill(answer | (sequence < 0), IGNORE_INDEX)
    return Batch(ids[:, :-1], targets, sequence, question, smoothing)


def answers_alone() -> Batch:
    """Sixteen such rows, 208 tokens, 88 of them learnt: most end before the last block does."""
    few = questions()
    ids, targets, sequence = few.input_ids, few.targets, few.sequence
    assert sequence is not None
    return Batch(ids.repeat(8, 1), targets.repeat(8, 1), sequence.repeat(8, 1))


def text(length: int = 9) -> Batch:
    """Two windows of plain text: no sequences, no questions, each token learnt."""
    ids = torch.randint(4, VOCAB, (2, length + 1), generator=torch.Generator().manual_seed(6))
    return Batch(ids[:, :-1], ids[:, 1:])


def learnt(loss: LossSum) -> Tensor:
    """Return all that the gradient is of."""
    return loss.total + loss.aside


def gradients(model: GPT, loss: LossSum) -> dict[str, Tensor]:
    """Return what an update would see, and forget it."""
    model.zero_grad()
    learnt(loss).backward()  # type: ignore[no-untyped-call]
    found = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    return found


@pytest.mark.parametrize("position", ["rope", "learned"])
@pytest.mark.parametrize(
    "batch",
    [questions(), questions(smoothing=0.2), answers_alone(), text(), text(length=1)],
    ids=["questions", "smoothed", "answers alone", "text", "one token"],
)
def test_loss_and_gradients_are_those_of_the_model_and_autograd(
    batch: Batch, position: str
) -> None:
    model = scaled_gpt(position=position)
    expected = next_token_loss(model, batch, QUESTION_WEIGHT)
    found = loss_by_hand(model, batch, QUESTION_WEIGHT, torch.float32)
    assert found.count == expected.count
    assert found.total.item() == pytest.approx(expected.total.item(), rel=1e-5)
    assert learnt(found).item() == pytest.approx(learnt(expected).item(), rel=1e-5)
    by_autograd, by_hand = gradients(model, expected), gradients(model, found)
    assert by_hand.keys() == by_autograd.keys()
    for name, gradient in by_autograd.items():
        allowed = 1e-5 + 1e-4 * gradient.abs().max().item()  # some gradients are 0 but for rounding
        assert (by_hand[name] - gradient).abs().max().item() < allowed, name


def test_learnt_tokens_are_kept_and_others_fill_up() -> None:
    """Of 150 tokens every third counts: 50, and 14 others make 64; of 15 all are kept."""
    weights = (torch.arange(150) % 3 == 0).float()
    kept = learnt_positions(weights).tolist()
    assert kept[:50] == list(range(0, 150, 3))
    assert len(kept) == len(set(kept)) == 64
    assert sorted(learnt_positions(weights[:15]).tolist()) == list(range(15))


def test_a_gradient_is_the_slope_of_the_loss() -> None:
    """Without autograd: a small step along a gradient changes the loss by its length."""
    model, batch = scaled_gpt(), questions(smoothing=0.1)

    def now() -> float:
        with torch.no_grad():
            return learnt(loss_by_hand(model, batch, QUESTION_WEIGHT, torch.float32)).item()

    found = gradients(model, loss_by_hand(model, batch, QUESTION_WEIGHT, torch.float32))
    for name, parameter in model.named_parameters():
        direction = found[name] / found[name].norm()
        step = 0.01
        with torch.no_grad():
            parameter.add_(direction, alpha=step)
            above = now()
            parameter.add_(direction, alpha=-2 * step)
            below = now()
            parameter.add_(direction, alpha=step)
        slope = (above - below) / (2 * step)
        assert slope == pytest.approx(found[name].norm().item(), rel=0.02), name


def test_bfloat16_comes_near_float32() -> None:
    model, batch = scaled_gpt(), questions(smoothing=0.1)
    expected = loss_by_hand(model, batch, QUESTION_WEIGHT, torch.float32)
    found = loss_by_hand(model, batch, QUESTION_WEIGHT, torch.bfloat16)
    assert found.total.item() == pytest.approx(expected.total.item(), rel=0.02)
    exact, rounded = gradients(model, expected), gradients(model, found)
    for name, gradient in exact.items():
        assert rounded[name].dtype == torch.float32
        assert (rounded[name] - gradient).norm() < 0.1 * gradient.norm(), name


def test_a_batch_without_targets_changes_nothing() -> None:
    batch = questions()
    nothing = torch.full_like(batch.targets, IGNORE_INDEX)
    model = scaled_gpt()
    loss = loss_by_hand(model, batch._replace(targets=nothing), 0.0, torch.float32)
    assert (loss.total.item(), loss.count) == (0.0, 0)
    assert all(not gradient.any() for gradient in gradients(model, loss).values())


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_run_trains_by_hand_on_a_cpu(precision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model, batch = scaled_gpt(), questions()
    config = replace(TrainingConfig(), precision=precision, question_weight=QUESTION_WEIGHT)  # type: ignore[arg-type]
    expected = loss_by_hand(model, batch, QUESTION_WEIGHT, getattr(torch, precision))
    monkeypatch.setattr(GPT, "hidden_states", None)  # what model.py and autograd would need
    assert training_loss(model, batch, config).total.item() == expected.total.item()


def test_a_run_with_dropout_trains_by_autograd() -> None:
    """The hand-made gradients know no dropout: two passes over one batch must differ."""
    model, batch = scaled_gpt(dropout=0.5).train(), questions()
    config = replace(TrainingConfig(), precision="float32")
    torch.manual_seed(1)
    first, second = (training_loss(model, batch, config).total.item() for _ in range(2))
    torch.manual_seed(1)
    with_autograd = next_token_loss(model, batch, config.question_weight).total.item()
    assert first != pytest.approx(second, rel=1e-3)
    assert first == pytest.approx(with_autograd, rel=1e-5)


@pytest.mark.parametrize("dropout", [0.0, 1e-9])  # by hand, and by autograd
def test_a_run_learns_the_questions_with_the_weight_that_is_configured(dropout: float) -> None:
    model, batch = scaled_gpt(dropout=dropout), questions()
    config = replace(TrainingConfig(), precision="float32", question_weight=QUESTION_WEIGHT)
    expected = learnt(next_token_loss(model, batch, QUESTION_WEIGHT)).item()
    assert learnt(training_loss(model, batch, config)).item() == pytest.approx(expected, rel=1e-5)


def test_a_run_with_dropout_multiplies_in_its_precision() -> None:
    model, batch = scaled_gpt(dropout=1e-9), questions()
    exact, rounded = (
        training_loss(model, batch, replace(TrainingConfig(), precision=p)).total.item()
        for p in ("float32", "bfloat16")
    )
    assert rounded != exact
    assert rounded == pytest.approx(exact, rel=0.02)


def test_a_token_of_zeros_has_a_gradient_that_is_a_number() -> None:
    """The root of its mean square is not 0: RMS_NORM_EPS is under it."""
    model, batch = scaled_gpt(), text()
    with torch.no_grad():
        model.embed_tokens.weight[batch.input_ids[0, 0]] = 0
    expected = gradients(model, next_token_loss(model, batch))
    found = gradients(model, loss_by_hand(model, batch, 0.0, torch.float32))
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-3, atol=1e-3)
