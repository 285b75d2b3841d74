"""One token after the other, fast: what an answer spends its time on. 逐个词元的快速解码。

    B sequences   C = n_embd   H = n_head   D = head_dim   P tokens in the cache, this one included

The same network as model.py, for one new token of each sequence, in as few calls as it takes: on a
CPU a small call costs more than what it computes. A model that came as int8 is decoded as int8:
its matrices are a quarter of the bytes to read, the rest is float32.
"""

from __future__ import annotations

import functools
from typing import NamedTuple, Protocol
from weakref import WeakKeyDictionary

import torch
import torch.nn.functional as F
from torch import Tensor

from gpt_teacher.model import (
    GPT,
    RMS_NORM_EPS,
    Block,
    KVCache,
    RMSNorm,
    RotaryEmbedding,
    Rotations,
    rotate,
)
from gpt_teacher.quantize import quantize_matrix

INT8_STEP = 32  # torch's int8 kernel reads whole vectors: with other sizes beyond the end
STRIP = 32  # outputs computed together: their weights for 256 inputs take 32 KiB


@functools.cache
def int8_kernel_works() -> bool:
    """Tell whether this machine's int8 product is there, and right. int8 矩阵乘法是否可用。"""
    source = torch.Generator().manual_seed(0)
    x = torch.randn(1, 2 * INT8_STEP, generator=source).bfloat16()
    weight = torch.randint(-127, 128, (INT8_STEP, 2 * INT8_STEP), generator=source).to(torch.int8)
    scale = torch.rand(INT8_STEP, generator=source).bfloat16()
    expected = F.linear(x.float(), weight.float()) * scale.float()
    try:
        found = torch._weight_int8pack_mm(x, weight, scale).float()
    except (RuntimeError, AttributeError):  # no kernel for this processor, or none at all
        return False
    return bool((found - expected).abs().max() < 0.02 * expected.abs().max())


class Linear(Protocol):
    """x -> x W^T + b, O outputs for I inputs. 线性层。"""

    def __call__(self, x: Tensor, /) -> Tensor:
        """(B, I) -> (B, O). 线性变换。"""


class StripLinear(NamedTuple):
    """A layer whose weights are laid out for few rows of input: x -> x W^T + b. 线性层。

    F.linear on a CPU reads many rows of W at once, each from another place: with one row of input
    that takes two to four times as long as reading W from its first byte to its last. So the
    outputs are in K strips, and the weights of a strip lie together.
    """

    strips: Tensor  # (K, I, STRIP)
    bias: Tensor  # (K, 1, STRIP)
    n_outputs: int  # O, in K strips: the last one is filled up with zeros

    @classmethod
    def of(cls, weight: Tensor, bias: Tensor) -> StripLinear:
        """Lay out weight (O, I) and bias (O,). 排列权重。"""
        n_outputs, n_inputs = weight.shape
        filling = -n_outputs % STRIP
        rows = F.pad(weight.detach(), (0, 0, 0, filling)).view(-1, STRIP, n_inputs)
        strips = rows.transpose(1, 2).contiguous()  # (K, I, STRIP)
        return cls(strips, F.pad(bias.detach(), (0, filling)).view(-1, 1, STRIP), n_outputs)

    def __call__(self, x: Tensor) -> Tensor:
        """(B, I) -> (B, O). 线性变换。"""
        K, B = self.strips.size(0), x.size(0)
        y = torch.baddbmm(self.bias, x.expand(K, -1, -1), self.strips)  # (K, B, STRIP)
        y = y.view(1, -1) if B == 1 else y.transpose(0, 1).reshape(B, -1)  # (B, K·STRIP)
        return y if y.size(1) == self.n_outputs else y.narrow(1, 0, self.n_outputs)


class Int8Linear(NamedTuple):
    """A layer of int8 weights, and a scale for each output. int8 线性层。"""

    weight: Tensor  # (O, I)
    bias: Tensor  # (O,)
    scale: Tensor  # (O,)

    @classmethod
    def of(cls, weight: Tensor, bias: Tensor) -> Int8Linear:
        """Get back the integers that weight (O, I) came with. 取回整数权重。"""
        quantized, scale = quantize_matrix(weight.detach())
        return cls(quantized, bias.detach(), scale[:, 0].bfloat16())

    def __call__(self, x: Tensor) -> Tensor:
        """(B, I) -> (B, O). 线性变换。"""
        # The kernel is fast with bfloat16 only; the sum with the bias is float32 again.
        return self.bias + torch._weight_int8pack_mm(x.bfloat16(), self.weight, self.scale)


def fast_linear(weight: Tensor, bias: Tensor) -> Linear:
    """Return x -> x W^T + b, as this machine does it fastest for few rows of x. 最快的线性变换。"""
    has_mkl: bool = torch.backends.mkl.is_available()  # type: ignore[no-untyped-call]
    if weight.device.type == "cpu" and has_mkl:
        return StripLinear.of(weight, bias)
    return functools.partial(F.linear, weight=weight.detach(), bias=bias.detach())


class Norm(NamedTuple):
    """RMSNorm in half the time of F.rms_norm, which is many small calls on a CPU. 归一化。

    The norm of x is sqrt(C) times its root mean square.
    """

    scale: Tensor  # (C,): weight · sqrt(C)
    least: Tensor  # (): sqrt(C · eps)

    @classmethod
    def of(cls, norm: RMSNorm) -> Norm:
        """Take over a layer of the model. 由模型的层得到。"""
        weight, C = norm.weight.detach(), norm.weight.numel()
        return cls(weight * C**0.5, weight.new_tensor((C * RMS_NORM_EPS) ** 0.5))

    def __call__(self, x: Tensor) -> Tensor:
        """(B, C) -> (B, C). 归一化。"""
        norm = torch.linalg.vector_norm(x, dim=-1, keepdim=True)  # (B, 1)
        return x / torch.hypot(norm, self.least) * self.scale


class Layer(NamedTuple):
    """The weights of a block. 一层的权重。"""

    attention_norm: Norm
    qkv: Linear  # C -> 3C; q comes out scaled by 1/sqrt(D)
    out: Linear  # C -> C
    mlp_norm: Norm
    up: Linear  # C -> 4C
    down: Linear  # 4C -> C


class Cache(Protocol):
    """Where keys and values are kept: KVCache, or rows of different lengths. 缓存。"""

    def append(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Store k and v (B, H, 1, D) and return all so far (B, H, P, D). 追加。"""


class Decoder:
    """The next token's logits, from one id of each sequence and the cache. 单步解码器。"""

    def __init__(self, model: GPT) -> None:
        """Lay out the weights as they are now. 排好权重。"""
        config, rope, learned = model.config, model.rope, model.embed_positions
        self._n_head, self._head_dim = config.n_head, config.head_dim
        fits = config.n_embd % INT8_STEP == 0 and model.device.type == "cpu"
        self.is_int8 = model.came_as_int8 and fits and int8_kernel_works()
        self._embedding = model.embed_tokens.weight.detach()
        self._positions = None if learned is None else learned.weight.detach()
        self._rotations = None if rope is None else _stacked(rope)
        self._layers = [self._layer(block) for block in model.layers if isinstance(block, Block)]
        self._norm = Norm.of(model.norm)
        no_bias = self._embedding.new_zeros(len(self._embedding))  # (V,)
        self._lm_head = fast_linear(self._embedding, no_bias)

    def _layer(self, block: Block) -> Layer:
        attention, mlp = block.self_attn, block.mlp
        scale = self._head_dim**-0.5
        q, k, v = attention.q_proj, attention.k_proj, attention.v_proj
        return Layer(
            Norm.of(block.input_layernorm),
            self._linear(
                torch.cat((q.weight * scale, k.weight, v.weight)),  # (3C, C)
                torch.cat((q.bias * scale, k.bias, v.bias)),
            ),
            self._linear(attention.o_proj.weight, attention.o_proj.bias),
            Norm.of(block.post_attention_layernorm),
            self._linear(mlp.up_proj.weight, mlp.up_proj.bias),
            self._linear(mlp.down_proj.weight, mlp.down_proj.bias),
        )

    def _linear(self, weight: Tensor, bias: Tensor) -> Linear:
        if self.is_int8:
            return Int8Linear.of(weight, bias)
        return fast_linear(weight, bias)

    def __call__(self, ids: Tensor, cache: KVCache, n_pad: Tensor | None = None) -> Tensor:
        """Return logits (B, V) after ids (B,); n_pad (B,) as in GPT.forward. 下一词元的分数。"""
        at, mask = cache.length, None
        positions = torch.full_like(ids, at)  # (B,)
        if n_pad is not None:
            positions = positions - n_pad
            keys = torch.arange(at + 1, device=ids.device)
            mask = (keys >= n_pad[:, None])[:, None, None]  # (B, 1, 1, P)
        logits = self.step(ids, positions, mask, cache)
        cache.length = at + 1
        return logits

    def step(self, ids: Tensor, positions: Tensor, mask: Tensor | None, cache: Cache) -> Tensor:
        """Return logits (B, V) after ids (B,) at positions (B,); mask (B, 1, 1, P). 一步。"""
        x = F.embedding(ids, self._embedding)  # (B, C)
        if self._positions is not None:
            x = x + F.embedding(positions, self._positions)
        rotations = None
        if self._rotations is not None:
            cos, sin = self._rotations.index_select(1, positions).unbind()  # (B, 1, 1, D)
            rotations = (cos, sin)
        for number, layer in enumerate(self._layers):
            qkv = layer.qkv(layer.attention_norm(x))  # (B, 3C)
            x = x + layer.out(self._attention(qkv, number, cache, rotations, mask))
            x = x + layer.down(F.silu(layer.up(layer.mlp_norm(x))))
        return self._lm_head(self._norm(x)).float()  # (B, V)

    def _attention(
        self,
        qkv: Tensor,
        layer: int,
        cache: Cache,
        rotations: Rotations | None,
        mask: Tensor | None,
    ) -> Tensor:
        """Gather from the tokens so far: (B, 3C) -> (B, C). 注意力。"""
        H, D = self._n_head, self._head_dim
        heads = qkv.view(-1, 3 * H, 1, D)
        qk, v = heads.narrow(1, 0, 2 * H), heads.narrow(1, 2 * H, H)
        if rotations is not None:
            qk = rotate(qk, rotations)
        q, k = qk.chunk(2, dim=1)  # (B, H, 1, D)
        keys, values = cache.append(layer, k, v)  # (B, H, P, D)
        y = F.scaled_dot_product_attention(q, keys, values, mask, scale=1.0)  # (B, H, 1, D)
        return y.reshape(-1, H * D)


def _stacked(rope: RotaryEmbedding) -> Tensor:
    """Return the rotations of all positions (2, seq_len, 1, 1, D). 各位置的旋转。"""
    return torch.stack((rope.cos, rope.sin))[:, :, None, None]


_known: WeakKeyDictionary[GPT, tuple[list[int], Decoder]] = WeakKeyDictionary()


def decoder_of(model: GPT) -> Decoder:
    """Return the decoder of a model as it is now, made once until its weights change. 取解码器。"""
    version = [n for p in model.parameters() for n in (p.data_ptr(), p._version)]
    known = _known.get(model)
    if known is None or known[0] != version:
        known = _known[model] = (version, Decoder(model))
    return known[1]
