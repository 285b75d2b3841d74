"""Loss and gradients on a CPU, the gradients worked out by hand. 手写的训练前向与反向传播。

    B rows   T tokens   N = B·T   M of them are learnt   C = n_embd   H = n_head   D = head_dim
    V vocabulary

The same function of the same weights as model.py with loss.py, which is the reference: the tests
compare loss and gradients. Autograd keeps each small step of a block with a backward step of its
own, and on a CPU these take longer than the matrix products. Here a block is two functions that
know their gradients; all that flows between products has the precision of the products.

With y = x W^T + b and dy, the gradient of the loss by y: dx = dy W, dW = dy^T x, db = sum of dy.
"""

from __future__ import annotations

from typing import Any, NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor

from gpt_teacher.config import TrainingConfig
from gpt_teacher.loss import IGNORE_INDEX, TARGET_STEP, Batch, LossSum, next_token_loss
from gpt_teacher.model import GPT, RMS_NORM_EPS, Block, Rotations, rotate


def training_loss(model: GPT, batch: Batch, config: TrainingConfig) -> LossSum:
    """Return the loss to train on; matrix products in config.precision. 训练目标。

    On a CPU by this file; on other devices, and with dropout, by model.py and autograd.
    """
    dtype, device = getattr(torch, config.precision), model.device.type
    if device == "cpu" and not model.config.dropout:
        return loss_by_hand(model, batch, config.question_weight, dtype)
    with torch.autocast(device, torch.bfloat16, enabled=dtype == torch.bfloat16):
        return next_token_loss(model, batch, config.question_weight)


def loss_by_hand(model: GPT, batch: Batch, question_weight: float, dtype: torch.dtype) -> LossSum:
    """Return what loss.next_token_loss does, without dropout. 手写求导的目标函数。

    dtype is that of the matrix products and of what flows between them.
    """
    answers = batch.targets.flatten()  # (N,)
    is_answer = answers != IGNORE_INDEX
    weights, targets = is_answer.float(), answers
    if batch.question is not None and question_weight:
        questions = batch.question.flatten()
        weights += question_weight * (questions != IGNORE_INDEX)
        targets = answers.where(is_answer, questions)
    kept = learnt_positions(weights)  # (M,)
    learnt, surprises = OutputLoss.apply(  # type: ignore[no-untyped-call]
        hidden_states(model, batch, dtype, kept),  # (M, C)
        model.norm.weight,
        model.embed_tokens.weight,
        targets[kept].clamp(min=0),
        weights[kept],
        batch.smoothing,
    )
    reported = surprises[is_answer[kept]].sum()
    return LossSum(reported, int(is_answer.sum()), learnt - reported)


def learnt_positions(weights: Tensor) -> Tensor:
    """Return which of N tokens have a weight (M,), and some more: M is rounded up. 要学的位置。

    Matrix libraries prepare code for each new shape and keep it.
    """
    n_learnt = int(weights.count_nonzero())
    return (weights == 0).byte().argsort(stable=True)[: n_learnt + -n_learnt % TARGET_STEP]


class OutputLoss(torch.autograd.Function):
    """The last norm, the output layer, and the cross-entropy of smoothed targets. 输出层与损失。

    The gradient by the logits is weight · (softmax - target), the target spread a little. It is
    worked out at once, while the logits are at hand.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,  # (M, C)
        scale: Tensor,  # (C,), of the norm
        embedding: Tensor,  # (V, C)
        targets: Tensor,  # (M,)
        weights: Tensor,  # (M,), 0 where nothing is learnt
        smoothing: float,
    ) -> tuple[Tensor, Tensor]:
        """Return the weighted sum, and each target's own surprise (M,). 前向。"""
        h, shrink = normalise(x)
        scaled = (embedding * scale).to(x.dtype)  # (V, C)
        log_p = (h @ scaled.T).float().log_softmax(dim=-1)  # (M, V)
        surprises = -log_p.gather(1, targets[:, None])[:, 0]  # (M,)
        smoothed = surprises.lerp(-log_p.mean(dim=-1), smoothing) if smoothing else surprises
        dlogits = log_p.exp_().sub_(smoothing / log_p.size(1))
        dlogits[torch.arange(len(targets)), targets] -= 1 - smoothing
        dlogits = dlogits.mul_(weights[:, None]).to(x.dtype)
        ctx.save_for_backward(h, shrink, scale, embedding, scaled, dlogits)
        ctx.mark_non_differentiable(surprises)
        return smoothed @ weights, surprises

    @staticmethod
    def backward(ctx: Any, dloss: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of x, scale, embedding. 反向。"""
        h, shrink, scale, embedding, scaled, dlogits = ctx.saved_tensors
        dlogits = dlogits * dloss.to(dlogits.dtype)
        dscaled = dlogits.T @ h  # (V, C)
        dx = normalise_back(dlogits @ scaled, h, shrink)
        return dx, (dscaled * embedding).sum(0), dscaled * scale, None, None, None


class Layout(NamedTuple):
    """What all blocks of a pass share. 各层共用。"""

    shape: tuple[int, int, int, int]  # B, T, H, D
    mask: Tensor  # (B·H, T, T), 0 where a token may look, -inf elsewhere
    rotations: Rotations  # of q and k (2, 1 or B, 1, T, D), those of q with the scale of attention


def hidden_states(model: GPT, batch: Batch, dtype: torch.dtype, kept: Tensor) -> Tensor:
    """Return the states of kept tokens after the last block (M, C), before the last norm. 状态。

    Behind the last attention no token needs another one, so the others end there.
    """
    B, T = batch.input_ids.shape
    H, D, C = model.config.n_head, model.config.head_dim, model.config.n_embd
    x, mask, rotations = model.first_states(batch.input_ids, sequence=batch.sequence)
    mask = torch.zeros(1, 1, T, T) if mask is None else mask  # one token alone
    cos, sin = (torch.ones(1, D), torch.zeros(1, D)) if rotations is None else rotations
    scales = torch.tensor([D**-0.5, 1.0]).view(2, 1, 1, 1, 1)  # of q and k
    layout = Layout(
        (B, T, H, D),
        mask.to(dtype).expand(B, H, T, T).reshape(B * H, T, T),
        ((cos * scales).to(dtype), (sin * scales).to(dtype)),
    )
    x = x.to(dtype).view(B * T, C)
    *blocks, last = cast(list[Block], [*model.layers])
    for block in blocks:
        x = _add_mlp(block, _add_attention(block, x, layout))
    return _add_mlp(last, _add_attention(last, x, layout)[kept])


def _add_attention(block: Block, x: Tensor, layout: Layout) -> Tensor:
    """(N, C) -> (N, C). 一层的前半。"""
    attention = block.self_attn
    inward = (attention.q_proj, attention.k_proj, attention.v_proj)
    out: Tensor = AddAttention.apply(  # type: ignore[no-untyped-call]
        x,
        block.input_layernorm.weight,
        torch.cat([layer.weight for layer in inward]),
        torch.cat([layer.bias for layer in inward]),
        attention.o_proj.weight,
        attention.o_proj.bias,
        layout,
    )
    return out


def _add_mlp(block: Block, x: Tensor) -> Tensor:
    """(N, C) -> (N, C). 一层的后半。"""
    mlp = block.mlp
    out: Tensor = AddMLP.apply(  # type: ignore[no-untyped-call]
        x,
        block.post_attention_layernorm.weight,
        mlp.up_proj.weight,
        mlp.up_proj.bias,
        mlp.down_proj.weight,
        mlp.down_proj.bias,
    )
    return out


class AddAttention(torch.autograd.Function):
    """x + attention(norm(x)), as model.Attention. 注意力与残差。"""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,  # (N, C)
        scale: Tensor,  # (C,), of the norm
        w_in: Tensor,  # (3C, C): q, k, v
        b_in: Tensor,  # (3C,)
        w_out: Tensor,  # (C, C)
        b_out: Tensor,  # (C,)
        layout: Layout,
    ) -> Tensor:
        """Return the stream behind the attention (N, C). 前向。"""
        B, T, H, D = layout.shape
        dtype = x.dtype
        h, shrink = normalise(x)
        scaled_in, cast_out = (w_in * scale).to(dtype), w_out.to(dtype)
        qkv = split_heads(F.linear(h, scaled_in, b_in.to(dtype)), layout)  # (3, B, H, T, D)
        qk, v = rotate(qkv[:2], layout.rotations).view(2, B * H, T, D), qkv[2].view(B * H, T, D)
        p = torch.baddbmm(layout.mask, qk[0], qk[1].mT).softmax(dim=-1)  # (B·H, T, T)
        y = join_heads((p @ v).view(1, B, H, T, D), layout)  # (N, C)
        ctx.save_for_backward(h, shrink, scale, w_in, scaled_in, qk, v, p, y, cast_out)
        ctx.layout = layout
        return F.linear(y, cast_out, b_out.to(dtype)).add_(x)

    @staticmethod
    def backward(ctx: Any, dout: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of x, scale, w_in, b_in, w_out, b_out. 反向。"""
        h, shrink, scale, w_in, scaled_in, (q, k), v, p, y, cast_out = ctx.saved_tensors
        layout: Layout = ctx.layout
        B, T, H, D = layout.shape
        dw_out, db_out = dout.T @ y, dout.sum(0)
        dy = split_heads(dout @ cast_out, layout).view(B * H, T, D)
        dp = torch.ops.aten._softmax_backward_data(dy @ v.mT, p, -1, p.dtype)  # (B·H, T, T)
        dqkv = torch.empty(3, B * H, T, D, dtype=p.dtype)
        for one, (left, right) in zip(dqkv, ((dp, k), (dp.mT, q), (p.mT, dy)), strict=True):
            torch.bmm(left, right, out=one)
        dqkv = dqkv.view(3, B, H, T, D)
        cos, sin = layout.rotations
        dqkv[:2] = rotate(dqkv[:2], (cos, -sin))  # back by the same angle
        joined = join_heads(dqkv, layout)  # (N, 3C)
        dscaled = joined.T @ h  # (3C, C)
        dx = normalise_back(joined @ scaled_in, h, shrink).add_(dout)
        dw_in, dscale = dscaled * scale, (dscaled * w_in).sum(0)
        return dx, dscale, dw_in, joined.sum(0).float(), dw_out.float(), db_out.float(), None


class AddMLP(torch.autograd.Function):
    """x + mlp(norm(x)), as model.MLP. 前馈网络与残差。"""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,  # (N, C)
        scale: Tensor,  # (C,), of the norm
        w_up: Tensor,  # (4C, C)
        b_up: Tensor,  # (4C,)
        w_down: Tensor,  # (C, 4C)
        b_down: Tensor,  # (C,)
    ) -> Tensor:
        """Return the stream behind the MLP (N, C). 前向。"""
        dtype = x.dtype
        h, shrink = normalise(x)
        scaled_up, cast_down = (w_up * scale).to(dtype), w_down.to(dtype)
        u = F.linear(h, scaled_up, b_up.to(dtype))  # (N, 4C)
        a = F.silu(u)
        ctx.save_for_backward(h, shrink, scale, w_up, scaled_up, u, a, cast_down)
        return F.linear(a, cast_down, b_down.to(dtype)).add_(x)

    @staticmethod
    def backward(ctx: Any, dout: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of x, scale, w_up, b_up, w_down, b_down. 反向。"""
        h, shrink, scale, w_up, scaled_up, u, a, cast_down = ctx.saved_tensors
        dw_down, db_down = dout.T @ a, dout.sum(0)
        du = torch.ops.aten.silu_backward(dout @ cast_down, u)  # (N, 4C)
        dscaled = du.T @ h  # (4C, C)
        dx = normalise_back(du @ scaled_up, h, shrink).add_(dout)
        dw_up, dscale = dscaled * scale, (dscaled * w_up).sum(0)
        return dx, dscale, dw_up, du.sum(0).float(), dw_down.float(), db_down.float()


def normalise(x: Tensor) -> tuple[Tensor, Tensor]:
    """(N, C) -> x shrunk to a mean square of 1, and by how much (N, 1). 归一化。

    RMSNorm without its scale, which is multiplied into the columns of the next matrix.
    """
    norm = torch.linalg.vector_norm(x, dim=-1, keepdim=True).float()
    shrink = (norm.square() / x.size(-1) + RMS_NORM_EPS).rsqrt().to(x.dtype)
    return x * shrink, shrink


def normalise_back(dh: Tensor, h: Tensor, shrink: Tensor) -> Tensor:
    """Return the gradient by x of normalise(x) = h, all (N, C). 归一化的反向。

    What points along h is lost, since the length of x does not count.
    """
    along = (dh * h).mean(dim=-1, keepdim=True)  # (N, 1)
    return torch.addcmul(dh, h, along, value=-1).mul_(shrink)


def split_heads(x: Tensor, layout: Layout) -> Tensor:
    """(N, S·C) -> (S, B, H, T, D): S tensors side by side, in heads. 拆成多头。"""
    B, T, H, D = layout.shape
    return x.view(B, T, -1, H, D).permute(2, 0, 3, 1, 4).contiguous()


def join_heads(x: Tensor, layout: Layout) -> Tensor:
    """(S, B, H, T, D) -> (N, S·C): the way back. 合并多头。"""
    B, T, H, D = layout.shape
    return x.permute(1, 3, 0, 2, 4).reshape(B * T, x.size(0) * H * D)
