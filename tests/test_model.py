"""The network against hand-worked numbers, plain references and its own invariants."""

from __future__ import annotations

import cmath
import math
from typing import Literal

import pytest
import torch
from torch import Tensor

from gpt_teacher.config import ModelConfig
from gpt_teacher.errors import PromptError
from gpt_teacher.loss import Batch, next_token_loss
from gpt_teacher.model import (
    GPT,
    ROPE_THETA,
    Attention,
    KVCache,
    RMSNorm,
    RotaryEmbedding,
    addend,
    n_parameters,
    rotate,
)

VOCAB = 50
SEQ_LEN = 24
Position = Literal["rope", "learned"]
POSITIONS: list[Position] = ["rope", "learned"]


def scaled_gpt(position: Position = "rope", n_layer: int = 2, dropout: float = 0.0) -> GPT:
    """Return a model in which attention, biases and norms matter: a fresh one hides errors."""
    torch.manual_seed(1)
    config = ModelConfig(
        n_layer=n_layer, n_head=2, n_embd=16, seq_len=SEQ_LEN, dropout=dropout, position=position
    )
    model = GPT(config, VOCAB).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn_like(parameter)
            if name.endswith("norm.weight"):
                parameter.copy_(1.0 + 0.3 * noise)
            else:
                parameter.copy_(0.4 * noise)
    return model


def random_ids(*shape: int) -> Tensor:
    return torch.randint(4, VOCAB, shape, generator=torch.Generator().manual_seed(2))


def logits_of(model: GPT, ids: Tensor, n_pad: Tensor | None = None) -> Tensor:
    with torch.no_grad():
        return model(ids, n_pad=n_pad)


def decode_in_chunks(model: GPT, ids: Tensor, sizes: list[int]) -> Tensor:
    """Return the logits of all positions, read through a cache in pieces of these sizes."""
    cache = KVCache(model, ids.size(0), ids.size(1))
    with torch.no_grad():
        parts = [model(part, cache) for part in ids.split(sizes, dim=1)]
    return torch.cat(parts, dim=1)


def test_the_default_model_has_3_368_192_parameters() -> None:
    model = GPT(ModelConfig(), 824)
    assert sum(p.numel() for p in model.parameters()) == 3_368_192
    assert n_parameters(ModelConfig(), 824) == 3_368_192


@pytest.mark.parametrize(
    ("config", "vocab_size", "by_hand"),
    [
        # embedding 10·2, one layer of 4·(4 + 2) + (16 + 8) + (16 + 2) + 2·2, last norm 2
        (ModelConfig(n_layer=1, n_head=1, n_embd=2, seq_len=8), 10, 20 + 24 + 24 + 18 + 4 + 2),
        (ModelConfig(n_layer=3, n_head=2, n_embd=8, seq_len=16), 50, 400 + 3 * (768 + 88) + 8),
        (
            ModelConfig(n_layer=3, n_head=2, n_embd=8, seq_len=16, position="learned"),
            50,
            400 + 16 * 8 + 3 * (768 + 88) + 8,
        ),
    ],
)
def test_the_formula_counts_the_parameters_of_any_shape(
    config: ModelConfig, vocab_size: int, by_hand: int
) -> None:
    assert n_parameters(config, vocab_size) == by_hand
    assert sum(p.numel() for p in GPT(config, vocab_size).parameters()) == by_hand


@pytest.mark.parametrize("position", POSITIONS)
@pytest.mark.parametrize("seed", [0, 42])
def test_the_first_loss_is_ln_v_within_5_percent(position: Position, seed: int) -> None:
    torch.manual_seed(seed)
    model = GPT(ModelConfig(position=position), 824)
    ids = torch.randint(824, (4, 33))
    with torch.no_grad():
        loss = next_token_loss(model, Batch(ids[:, :-1], ids[:, 1:]))
    assert loss.total.item() / loss.count == pytest.approx(math.log(824), rel=0.05)


def test_weights_start_small_and_what_is_added_to_the_stream_smaller() -> None:
    torch.manual_seed(0)
    state = GPT(ModelConfig(), 824).state_dict()
    added = 0.02 / math.sqrt(8)  # 4 layers add 8 times
    for name, expected in [
        ("embed_tokens.weight", 0.02),
        ("layers.0.self_attn.q_proj.weight", 0.02),
        ("layers.3.mlp.up_proj.weight", 0.02),
        ("layers.3.self_attn.o_proj.weight", added),
        ("layers.0.mlp.down_proj.weight", added),
    ]:
        assert state[name].std().item() == pytest.approx(expected, rel=0.03), name
    assert all(not t.any() for name, t in state.items() if name.endswith("bias"))


@pytest.mark.parametrize("position", POSITIONS)
def test_a_later_token_does_not_change_earlier_logits(position: Position) -> None:
    model, ids = scaled_gpt(position), random_ids(2, 12)
    before = logits_of(model, ids)
    for t in range(12):
        changed = ids.clone()
        changed[:, t] = (changed[:, t] + 7) % VOCAB
        after = logits_of(model, changed)
        torch.testing.assert_close(after[:, :t], before[:, :t], rtol=0, atol=1e-5)
        # ... and every position from t on sees it
        assert (after[:, t:] - before[:, t:]).abs().amax(dim=-1).min() > 1e-3


def test_rms_norm_of_3_4_is_worked_out_by_hand() -> None:
    norm = RMSNorm(2)
    with torch.no_grad():
        norm.weight.copy_(torch.tensor([1.0, 2.0]))
    # mean square 12.5, root 3.535534
    expected = torch.tensor([[0.848528, 2.262742]])
    torch.testing.assert_close(norm(torch.tensor([[3.0, 4.0]])), expected, rtol=0, atol=1e-5)


def test_rms_norm_adds_its_eps_under_the_root() -> None:
    # mean square 1e-6 and eps 1e-6: 1e-3 / sqrt(2e-6) = 0.707107
    normed = RMSNorm(2)(torch.tensor([[1e-3, -1e-3]]))
    torch.testing.assert_close(normed, torch.tensor([[0.707107, -0.707107]]), rtol=0, atol=1e-5)
    assert not RMSNorm(2)(torch.zeros(1, 2)).any()


def test_rms_norm_squares_in_float32_whatever_the_input() -> None:
    # 400² does not fit float16, whose largest number is 65504
    normed = RMSNorm(2)(torch.tensor([[300.0, 400.0]], dtype=torch.float16))
    torch.testing.assert_close(normed, torch.tensor([[0.8485, 1.1314]]), rtol=0, atol=1e-3)


def test_rope_turns_the_pairs_i_and_i_plus_half_by_hand_worked_angles() -> None:
    rope = RotaryEmbedding(head_dim=4, seq_len=8)
    x = torch.tensor([1.0, 2.0, 3.0, 4.0]).view(1, 1, 1, 4)
    torch.testing.assert_close(rotate(x, rope(torch.tensor([0]))), x)
    # position 1: (1, 3) by 1 rad, (2, 4) by 10000^(-1/2) = 0.01 rad
    expected = torch.tensor([-1.984111, 1.959901, 2.462378, 4.019800]).view(1, 1, 1, 4)
    torch.testing.assert_close(rotate(x, rope(torch.tensor([1]))), expected, rtol=0, atol=1e-5)


def test_rope_makes_dot_products_depend_on_the_distance_alone() -> None:
    rope = RotaryEmbedding(head_dim=8, seq_len=64)
    q, k = torch.randn(2, 1, 1, 1, 8, generator=torch.Generator().manual_seed(3))

    def dot(q_at: int, k_at: int) -> float:
        turned = rotate(q, rope(torch.tensor([q_at]))) * rotate(k, rope(torch.tensor([k_at])))
        return turned.sum().item()

    for distance in range(5):
        here = dot(distance, 0)
        for shift in (1, 7, 40, 63 - distance):
            assert dot(distance + shift, shift) == pytest.approx(here, abs=1e-5)
    assert abs(dot(1, 0) - dot(2, 0)) > 0.01
    assert dot(9, 9) == pytest.approx((q * k).sum().item(), abs=1e-5)


def test_rope_takes_positions_of_each_row() -> None:
    rope = RotaryEmbedding(head_dim=4, seq_len=16)
    x = torch.randn(2, 3, 5, 4, generator=torch.Generator().manual_seed(4))
    rows = torch.tensor([[0, 1, 2, 3, 4], [9, 0, 3, 3, 15]])
    expected = torch.cat([rotate(x[:1], rope(rows[0])), rotate(x[1:], rope(rows[1]))])
    torch.testing.assert_close(rotate(x, rope(rows)), expected, rtol=0, atol=0)


def reference_attention(attention: Attention, x: Tensor, theta: float) -> Tensor:
    """Softmax attention in plain loops; RoPE as complex numbers, as in the paper."""
    q, k, v = attention.q_proj(x), attention.k_proj(x), attention.v_proj(x)  # (T, C)
    T, C = x.shape
    D = attention.head_dim
    heads = torch.zeros(T, C)
    for first in range(0, C, D):

        def turned(row: Tensor, position: int, first: int = first) -> list[complex]:
            numbers = row[first : first + D].tolist()
            pairs = zip(numbers[: D // 2], numbers[D // 2 :], strict=True)
            return [
                complex(a, b) * cmath.exp(1j * position * theta ** (-2 * i / D))
                for i, (a, b) in enumerate(pairs)
            ]

        for t in range(T):
            here = turned(q[t], t)
            scores = []
            for s in range(t + 1):
                there = turned(k[s], s)
                dot = sum((a * b.conjugate()).real for a, b in zip(here, there, strict=True))
                scores.append(dot / math.sqrt(D))
            weights = [math.exp(score) for score in scores]
            for weight, value in zip(weights, v, strict=False):
                heads[t, first : first + D] += weight / sum(weights) * value[first : first + D]
    return attention.o_proj(heads)


def test_attention_equals_a_plain_softmax_reference() -> None:
    model = scaled_gpt()
    attention = model.layers[0].self_attn
    x = torch.randn(9, 16, generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        mask = addend(torch.ones(1, 1, 9, 9, dtype=torch.bool).tril())
        rotations = model.rope(torch.arange(9)) if model.rope else None
        got = attention(x[None], 0, rotations, mask, None)[0]
        torch.testing.assert_close(
            got, reference_attention(attention, x, ROPE_THETA), rtol=1e-4, atol=1e-4
        )


@pytest.mark.parametrize("position", POSITIONS)
@pytest.mark.parametrize(
    "sizes", [[1] * SEQ_LEN, [7, 1, 5, 1, 1, 9], [SEQ_LEN - 1, 1], [SEQ_LEN]], ids=str
)
def test_decoding_with_a_cache_equals_the_full_forward(
    position: Position, sizes: list[int]
) -> None:
    model, ids = scaled_gpt(position), random_ids(3, SEQ_LEN)
    torch.testing.assert_close(
        decode_in_chunks(model, ids, sizes), logits_of(model, ids), rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize("position", POSITIONS)
def test_left_padding_equals_no_padding(position: Position) -> None:
    model, T = scaled_gpt(position), 12
    ids, n_pad = random_ids(3, T), torch.tensor([0, 3, 9])
    padded = logits_of(model, ids, n_pad)
    for row, pad in enumerate(n_pad.tolist()):
        alone = logits_of(model, ids[row : row + 1, pad:])[0]
        torch.testing.assert_close(padded[row, pad:], alone, rtol=1e-4, atol=1e-4)
    assert padded.isfinite().all()


@pytest.mark.parametrize("position", POSITIONS)
@pytest.mark.parametrize("sizes", [[10, 1, 1, 1, 1], [10, 4]], ids=str)
def test_left_padding_equals_no_padding_with_a_cache(position: Position, sizes: list[int]) -> None:
    model = scaled_gpt(position)
    ids, n_pad = random_ids(3, 14), torch.tensor([4, 0, 11])
    cache, parts = KVCache(model, 3, 14), []
    with torch.no_grad():
        for part in ids.split(sizes, dim=1):
            parts.append(model(part, cache, n_pad))
    padded = torch.cat(parts, dim=1)
    for row, pad in enumerate(n_pad.tolist()):
        alone = logits_of(model, ids[row : row + 1, pad:])[0]
        torch.testing.assert_close(padded[row, pad:], alone, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("position", POSITIONS)
def test_packed_sequences_are_computed_as_if_each_were_alone(position: Position) -> None:
    """Three sequences of 4, 7 and 2 tokens in one row, and filling behind them in the other."""
    model, ids = scaled_gpt(position), random_ids(2, 13)
    numbers = torch.tensor([[0] * 4 + [1] * 7 + [2] * 2, [0] * 5 + [1] * 5 + [-1] * 3])
    with torch.no_grad():
        packed = model.hidden_states(ids, sequence=numbers)
        for row, start, end in [(0, 0, 4), (0, 4, 11), (0, 11, 13), (1, 0, 5), (1, 5, 10)]:
            alone = model.hidden_states(ids[row : row + 1, start:end])
            torch.testing.assert_close(packed[row, start:end], alone[0], rtol=1e-4, atol=1e-5)
        together = model.hidden_states(ids)
    assert not torch.allclose(packed[0, 4:], together[0, 4:], atol=0.1), "numbers must matter"


def test_the_loss_of_packed_sequences_is_the_sum_of_their_losses() -> None:
    model, ids = scaled_gpt(), random_ids(1, 9)
    targets = random_ids(1, 9)
    numbers = torch.tensor([[0] * 4 + [1] * 5])
    with torch.no_grad():
        packed = next_token_loss(model, Batch(ids, targets, numbers))
        parts = [
            next_token_loss(model, Batch(ids[:, part], targets[:, part]))
            for part in (slice(0, 4), slice(4, 9))
        ]
    assert packed.count == 9
    assert packed.total.item() == pytest.approx(sum(p.total.item() for p in parts), rel=1e-5)


def test_what_stands_in_the_padding_does_not_matter() -> None:
    model, n_pad = scaled_gpt(), torch.tensor([5, 2])
    ids = random_ids(2, 10)
    other = ids.clone()
    other[0, :5], other[1, :2] = 2, 3
    before, after = logits_of(model, ids, n_pad), logits_of(model, other, n_pad)
    for row, pad in enumerate(n_pad.tolist()):
        torch.testing.assert_close(after[row, pad:], before[row, pad:], rtol=0, atol=1e-5)


@pytest.mark.parametrize("kept", [[3, 1], [1, 0, 2], [0, 3, 2], [2]], ids=str)
def test_a_cache_that_keeps_some_rows_goes_on_as_if_they_had_been_alone(kept: list[int]) -> None:
    model, ids = scaled_gpt(), random_ids(4, 11)
    cache = KVCache(model, 4, 11)
    rows = torch.tensor(kept)
    with torch.no_grad():
        model(ids[:, :8], cache)
        cache.keep(rows)
        after = model(ids[rows, 8:], cache)
    torch.testing.assert_close(after, logits_of(model, ids[rows])[:, 8:], rtol=1e-4, atol=1e-4)


def test_dropout_works_in_training_and_nowhere_else() -> None:
    """A relative of this project dropped attention under eval(): its val loss was noise."""
    model, ids = scaled_gpt(dropout=0.5), random_ids(2, 12)
    torch.testing.assert_close(logits_of(model, ids), logits_of(model, ids), rtol=0, atol=0)
    torch.testing.assert_close(logits_of(model, ids), logits_of(scaled_gpt(), ids))
    model.train()
    assert (logits_of(model, ids) - logits_of(model, ids)).abs().max() > 0.1


@pytest.mark.parametrize("place", ["embedding", "attention output", "mlp output"])
def test_dropout_reaches_the_embedding_and_what_each_sublayer_adds(place: str) -> None:
    """The other places are silenced, so that this one alone can make two forwards differ."""
    model, ids = scaled_gpt(n_layer=1, dropout=0.5).train(), random_ids(2, 12)
    block = model.layers[0]
    block.self_attn.dropout = 0.0
    if place != "embedding":
        model.dropout.p = 0.0
    for name, projection in [
        ("attention output", block.self_attn.o_proj),
        ("mlp output", block.mlp.down_proj),
    ]:
        if place != name:
            torch.nn.init.zeros_(projection.weight)
            torch.nn.init.zeros_(projection.bias)
    assert (logits_of(model, ids) - logits_of(model, ids)).abs().max() > 0.1
    torch.testing.assert_close(logits_of(model.eval(), ids), logits_of(model, ids))


def test_attention_itself_is_dropped_in_training() -> None:
    model = scaled_gpt(dropout=0.5).train()
    attention = model.layers[0].self_attn
    x = torch.randn(1, 12, 16, generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        one, other = (attention(x, 0, None, None, None) for _ in range(2))
    assert (one - other).abs().max() > 0.1


def test_a_learned_position_is_seen_by_its_own_token_and_later_ones() -> None:
    model, ids = scaled_gpt("learned"), random_ids(1, 12)
    before = logits_of(model, ids)
    assert model.embed_positions is not None
    with torch.no_grad():
        model.embed_positions.weight[5] += 1.0
    after = logits_of(model, ids)
    torch.testing.assert_close(after[:, :5], before[:, :5], rtol=0, atol=1e-5)
    assert (after[:, 5:] - before[:, 5:]).abs().amax(dim=-1).min() > 1e-3


@pytest.mark.parametrize("position", POSITIONS)
def test_without_positions_one_layer_sees_a_bag_of_tokens(position: Position) -> None:
    """The order of earlier tokens reaches the last one through positions alone."""
    model, ids = scaled_gpt(position, n_layer=1), random_ids(1, 10)
    shuffled = torch.cat([ids[:, :9].flip(1), ids[:, 9:]], dim=1)
    assert (logits_of(model, ids) - logits_of(model, shuffled))[0, -1].abs().max() > 0.01
    if model.embed_positions is not None:
        torch.nn.init.zeros_(model.embed_positions.weight)
    model.rope = None
    torch.testing.assert_close(
        logits_of(model, shuffled)[0, -1], logits_of(model, ids)[0, -1], rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize("position", POSITIONS)
def test_more_tokens_than_the_context_are_a_clear_error(position: Position) -> None:
    model, ids = scaled_gpt(position), random_ids(1, SEQ_LEN + 1)
    message = (
        rf"^{SEQ_LEN + 1} tokens do not fit: the model reads at most {SEQ_LEN} "
        r"\(model\.seq_len\); shorten the text$"
    )
    with pytest.raises(PromptError, match=message):
        logits_of(model, ids)
    cache = KVCache(model, 1, SEQ_LEN + 1)
    with torch.no_grad():
        model(ids[:, :SEQ_LEN], cache)
        with pytest.raises(PromptError, match=message):
            model(ids[:, SEQ_LEN:], cache)


@pytest.mark.parametrize("position", POSITIONS)
def test_padding_takes_no_room_in_the_context(position: Position) -> None:
    model, ids = scaled_gpt(position), random_ids(2, SEQ_LEN + 4)
    padded = logits_of(model, ids, torch.tensor([4, 10]))
    torch.testing.assert_close(padded[:1, 4:], logits_of(model, ids[:1, 4:]), rtol=1e-4, atol=1e-4)
    with pytest.raises(PromptError, match=f"{SEQ_LEN + 1} tokens do not fit"):
        logits_of(model, ids, torch.tensor([3, 10]))
