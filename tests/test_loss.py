"""The objective against sums worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from gpt_teacher.config import ModelConfig
from gpt_teacher.loss import (
    IGNORE_INDEX,
    Batch,
    LossSum,
    bits_per_byte,
    next_token_loss,
    token_log_probabilities,
)
from gpt_teacher.model import GPT

VOCAB = 11


@pytest.fixture(scope="module")
def model() -> GPT:
    torch.manual_seed(1)
    model = GPT(ModelConfig(n_layer=1, n_head=2, n_embd=8, seq_len=16), VOCAB).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn_like(parameter))
    return model


@pytest.fixture
def batch() -> Batch:
    """Three rows: all learnt, the end learnt, a prompt in front and filling behind."""
    ids = torch.randint(4, VOCAB, (3, 7), generator=torch.Generator().manual_seed(2))
    targets = ids[:, 1:].clone()
    targets[1, :4] = IGNORE_INDEX
    targets[2, :2] = targets[2, 4:] = IGNORE_INDEX
    return Batch(ids[:, :-1], targets)


def log_probability(logits: Tensor, target: int) -> float:
    """Return log softmax in plain Python."""
    numbers = logits.tolist()
    largest = max(numbers)
    log_sum = largest + math.log(sum(math.exp(x - largest) for x in numbers))
    return numbers[target] - log_sum


def loss_of(model: GPT, batch: Batch) -> LossSum:
    with torch.no_grad():
        return next_token_loss(model, batch)


def test_the_loss_is_the_sum_of_log_softmax_over_the_targets_by_hand(
    model: GPT, batch: Batch
) -> None:
    with torch.no_grad():
        logits = model(batch.input_ids)
    by_hand = [
        -log_probability(logits[row, t], target)
        for row, targets in enumerate(batch.targets.tolist())
        for t, target in enumerate(targets)
        if target != IGNORE_INDEX
    ]
    loss = loss_of(model, batch)
    assert loss.count == len(by_hand) == 6 + 2 + 2
    assert loss.total.item() == pytest.approx(sum(by_hand), rel=1e-5)


def test_a_masked_target_adds_nothing(model: GPT, batch: Batch) -> None:
    alone = [
        loss_of(model, Batch(batch.input_ids[r : r + 1], batch.targets[r : r + 1]))
        for r in range(3)
    ]
    nothing = torch.full_like(batch.targets, IGNORE_INDEX)
    nothing[1] = batch.targets[1]
    masked = loss_of(model, Batch(batch.input_ids, nothing))
    assert masked.count == alone[1].count
    assert masked.total.item() == pytest.approx(alone[1].total.item(), rel=1e-5)


def test_filling_at_the_end_of_a_row_changes_nothing(model: GPT, batch: Batch) -> None:
    ids = torch.nn.functional.pad(batch.input_ids, (0, 5), value=2)
    targets = torch.nn.functional.pad(batch.targets, (0, 5), value=IGNORE_INDEX)
    filled, plain = loss_of(model, Batch(ids, targets)), loss_of(model, batch)
    assert filled.count == plain.count
    assert filled.total.item() == pytest.approx(plain.total.item(), rel=1e-5)


def test_parts_of_a_batch_add_up_to_the_whole(model: GPT, batch: Batch) -> None:
    parts = [
        loss_of(model, Batch(batch.input_ids[rows], batch.targets[rows]))
        for rows in (slice(0, 1), slice(1, 3))
    ]
    whole = loss_of(model, batch)
    assert sum(part.count for part in parts) == whole.count
    total = sum(part.total.item() for part in parts)
    assert total == pytest.approx(whole.total.item(), rel=1e-5)


def test_a_batch_without_targets_costs_nothing_and_can_be_learnt_from(
    model: GPT, batch: Batch
) -> None:
    empty = Batch(batch.input_ids, torch.full_like(batch.targets, IGNORE_INDEX))
    loss = next_token_loss(model, empty)
    loss.total.backward()
    assert (loss.total.item(), loss.count) == (0.0, 0)
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    assert all(not gradient.any() for gradient in gradients)
    model.zero_grad()


def test_the_tokens_of_questions_are_learnt_aside_with_their_weight(
    model: GPT, batch: Batch
) -> None:
    """The loss that is reported is that of the answers; the gradient is that of both."""
    question = torch.full_like(batch.targets, IGNORE_INDEX)
    question[1, :4] = batch.input_ids[1, 1:5]
    both = batch._replace(question=question)
    answers, questions = loss_of(model, batch), loss_of(model, Batch(batch.input_ids, question))
    with torch.no_grad():
        loss, plain = (next_token_loss(model, both, question_weight=w) for w in (0.25, 0.0))
    assert loss.count == answers.count
    assert loss.total.item() == pytest.approx(answers.total.item(), rel=1e-5)
    assert float(loss.aside) == pytest.approx(0.25 * questions.total.item(), rel=1e-5)
    assert plain.aside == 0.0


def test_smoothing_spreads_a_share_of_each_target_over_all_tokens_by_hand(
    model: GPT, batch: Batch
) -> None:
    """What is learnt is 0.7 times the loss and 0.3 times the mean loss of all tokens as targets.

    What is reported is the loss as it was.
    """
    plain = loss_of(model, batch)
    of_all = [
        loss_of(model, batch._replace(targets=batch.targets.where(batch.targets < 0, token)))
        for token in range(VOCAB)
    ]
    mean = sum(one.total.item() for one in of_all) / VOCAB
    smooth = loss_of(model, batch._replace(smoothing=0.3))
    assert smooth.total.item() == pytest.approx(plain.total.item(), rel=1e-5)
    assert smooth.count == plain.count
    learnt = smooth.total.item() + float(smooth.aside)
    assert learnt == pytest.approx(0.7 * plain.total.item() + 0.3 * mean, rel=1e-5)


def test_smoothing_reaches_the_tokens_of_questions_with_their_weight(
    model: GPT, batch: Batch
) -> None:
    question = torch.full_like(batch.targets, IGNORE_INDEX)
    question[1, :4] = batch.input_ids[1, 1:5]
    smooth = batch._replace(smoothing=0.3)
    answers = loss_of(model, smooth)
    questions = loss_of(model, smooth._replace(targets=question))
    with torch.no_grad():
        both = next_token_loss(model, smooth._replace(question=question), question_weight=0.25)
    aside = float(answers.aside) + 0.25 * (questions.total.item() + float(questions.aside))
    assert float(both.aside) == pytest.approx(aside, rel=1e-5)


def test_token_log_probabilities_are_the_terms_of_the_loss(model: GPT, batch: Batch) -> None:
    with torch.no_grad():
        logits = model(batch.input_ids)
        found = token_log_probabilities(model, batch)
    for row, targets in enumerate(batch.targets.tolist()):
        for t, target in enumerate(targets):
            expected = 0.0 if target == IGNORE_INDEX else log_probability(logits[row, t], target)
            assert found[row, t].item() == pytest.approx(expected, abs=1e-4)
    assert -found.sum().item() == pytest.approx(loss_of(model, batch).total.item(), rel=1e-5)


def test_bits_per_byte_are_worked_out_by_hand() -> None:
    assert bits_per_byte(math.log(2), n_tokens=3, n_bytes=6) == pytest.approx(0.5)
    assert bits_per_byte(math.log(256), n_tokens=7, n_bytes=7) == pytest.approx(8.0)
    assert bits_per_byte(2.0, n_tokens=100, n_bytes=300) == pytest.approx(0.961797)
