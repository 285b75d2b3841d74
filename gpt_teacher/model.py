"""The network: ids -> logits. 网络结构：从编号到分数。

    B sequences   T tokens   C = n_embd   H = n_head   D = head_dim = C / H   V vocabulary
    P tokens already in the cache

Decoder-only: embedding, n_layer blocks (RMSNorm, attention, RMSNorm, MLP, each added to the
stream), RMSNorm, and the embedding again as output layer. The modules bear the names of
`ArceeForCausalLM` in transformers, which is the same network: the saved weights open there as
they are.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gpt_teacher.config import ModelConfig
from gpt_teacher.errors import PromptError

RMS_NORM_EPS = 1e-6  # Touvron et al. 2023, arXiv:2302.13971
ROPE_THETA = 10_000.0  # Su et al. 2021, arXiv:2104.09864, §3.2.2
INIT_STD = 0.02  # Radford et al. 2019 (GPT-2)


def n_parameters(config: ModelConfig, vocab_size: int) -> int:
    """Return the number of parameters by formula: V·C + L·(12·C² + 11·C) + C. 参数量公式。

    Learned positions add seq_len·C.
    """
    C = config.n_embd
    positions = config.seq_len * C if config.position == "learned" else 0
    return vocab_size * C + positions + config.n_layer * (12 * C * C + 11 * C) + C


class RMSNorm(nn.Module):
    """Divide by the root of the mean square, then scale. 均方根归一化。

    Source: Zhang & Sennrich 2019, arXiv:1910.07467, eq. 4; in float32 whatever the input.
    """

    def __init__(self, size: int) -> None:
        """Start with a scale of 1. 初始缩放为 1。"""
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))

    def forward(self, x: Tensor) -> Tensor:
        """(..., C) -> (..., C). 归一化。"""
        x32 = x.float()
        x32 = x32 * torch.rsqrt(x32.square().mean(-1, keepdim=True) + RMS_NORM_EPS)
        return self.weight * x32.to(x.dtype)


Rotations = tuple[Tensor, Tensor]  # what x and x rolled by half a head are multiplied by


class RotaryEmbedding(nn.Module):
    """RoPE: turn pairs of numbers in q and k by an angle set by the position. 旋转位置编码。

    Dot products then depend on the distance of two tokens only. Pair i is (i, i + D/2), the
    rotate-half layout. Source: Su et al. 2021, arXiv:2104.09864, eq. 34.
    """

    cos: Tensor
    sin: Tensor

    def __init__(self, head_dim: int, seq_len: int) -> None:
        """Tabulate cos and signed sin for seq_len positions. 预先算好。"""
        super().__init__()
        frequency = ROPE_THETA ** (-torch.arange(0, head_dim, 2).float() / head_dim)  # (D/2,)
        angle = torch.outer(torch.arange(seq_len).float(), frequency)  # (seq_len, D/2)
        cos, sin = angle.cos(), angle.sin()
        self.register_buffer("cos", torch.cat((cos, cos), dim=1), persistent=False)  # (seq_len, D)
        self.register_buffer("sin", torch.cat((-sin, sin), dim=1), persistent=False)

    def forward(self, positions: Tensor) -> Rotations:
        """Return the rotations of positions (T,) or (B, T), each (…, T, D). 各位置的旋转。"""
        cos, sin = self.cos[positions], self.sin[positions]  # (T, D) or (B, T, D)
        return (cos, sin) if positions.dim() == 1 else (cos[:, None], sin[:, None])


def rotate(x: Tensor, rotations: Rotations) -> Tensor:
    """Turn each pair (a, b) of x (..., T, D) to (a cos - b sin, b cos + a sin). 旋转。

    Rolled by half a head, x is (b, a); the sines come signed.
    """
    cos, sin = rotations
    return torch.addcmul(x * cos, x.roll(x.size(-1) // 2, dims=-1), sin)


class KVCache:
    """Keys and values of the tokens seen so far, so that each is computed once. 键值缓存。"""

    def __init__(self, model: GPT, batch_size: int, capacity: int) -> None:
        """Reserve room for capacity tokens in batch_size sequences. 预留空间。"""
        config, weight = model.config, model.embed_tokens.weight
        shape = (batch_size, config.n_head, capacity, config.head_dim)
        self.length = 0  # P, the same for all sequences
        self.keys = [weight.new_empty(shape) for _ in range(config.n_layer)]
        self.values = [weight.new_empty(shape) for _ in range(config.n_layer)]

    def append(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Store k and v (B, H, T, D) and return all so far (B, H, P+T, D). 追加。"""
        T, keys, values = k.size(2), self.keys[layer], self.values[layer]
        keys.narrow(2, self.length, T).copy_(k)
        values.narrow(2, self.length, T).copy_(v)
        return keys.narrow(2, 0, self.length + T), values.narrow(2, 0, self.length + T)

    def keep(self, rows: Tensor) -> None:
        """Go on with some of the sequences only; row i becomes rows[i]. 只保留部分序列。"""
        n, P = rows.numel(), self.length
        places = (rows != torch.arange(n, device=rows.device)).nonzero()[:, 0]
        moved = rows[places]
        for stored in (*self.keys, *self.values):
            stored[places, :, :P] = stored[moved, :, :P]
        self.keys, self.values = [k[:n] for k in self.keys], [v[:n] for v in self.values]


class Attention(nn.Module):
    """Each token gathers from the tokens before it, weighted by how well q meets k. 因果自注意力。

    Source: Vaswani et al. 2017, arXiv:1706.03762, §3.2.
    """

    def __init__(self, config: ModelConfig) -> None:
        """Four C x C layers with biases. 四个线性层。"""
        super().__init__()
        C = config.n_embd
        self.n_head, self.head_dim, self.dropout = config.n_head, config.head_dim, config.dropout
        self.q_proj, self.k_proj = nn.Linear(C, C), nn.Linear(C, C)
        self.v_proj, self.o_proj = nn.Linear(C, C), nn.Linear(C, C)

    def split_heads(self, x: Tensor) -> Tensor:
        """(B, T, C) -> (B, H, T, D). 拆成多头。"""
        B, T, _ = x.shape
        return x.view(B, T, self.n_head, self.head_dim).transpose(1, 2)

    def queries_keys_values(
        self, x: Tensor, rotations: Rotations | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """(B, T, C) -> q, k, v, each (B, H, T, D), q and k turned by RoPE. 查询、键、值。"""
        q, k, v = (self.split_heads(f(x)) for f in (self.q_proj, self.k_proj, self.v_proj))
        if rotations is not None:
            q, k = rotate(q, rotations), rotate(k, rotations)
        return q, k, v

    def weights(self, q: Tensor, k: Tensor, mask: Tensor | None) -> Tensor:
        """Return how much each token takes from each (B, H, T, P+T); rows sum to 1. 注意力权重。"""
        # Written out, not F.scaled_dot_product_attention, whose backward pass is slow on CPUs.
        scores = (q * self.head_dim**-0.5) @ k.mT  # (B, H, T, P+T)
        if mask is not None:
            scores = scores + mask
        weights: Tensor = scores.float().softmax(dim=-1).to(k.dtype)
        return weights

    def forward(
        self,
        x: Tensor,
        layer: int,
        rotations: Rotations | None,
        mask: Tensor | None,
        cache: KVCache | None,
    ) -> Tensor:
        """(B, T, C) -> (B, T, C); mask (B or 1, 1, T, P+T): 0 = seen, -inf = not. 注意力。"""
        q, k, v = self.queries_keys_values(x, rotations)
        if cache is not None:
            k, v = cache.append(layer, k, v)  # (B, H, P+T, D)
        weights = self.weights(q, k, mask)  # (B, H, T, P+T)
        y = F.dropout(weights, self.dropout, self.training) @ v  # (B, H, T, D)
        out: Tensor = self.o_proj(y.transpose(1, 2).flatten(2))  # (B, H, T, D) -> (B, T, C)
        return out


class MLP(nn.Module):
    """Think about each token alone: widen four times, SiLU, back. 前馈网络。"""

    def __init__(self, config: ModelConfig) -> None:
        """C -> 4C -> C with biases. 两个线性层。"""
        super().__init__()
        self.up_proj = nn.Linear(config.n_embd, 4 * config.n_embd)
        self.down_proj = nn.Linear(4 * config.n_embd, config.n_embd)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, C) -> (B, T, C). 前馈。"""
        out: Tensor = self.down_proj(F.silu(self.up_proj(x)))
        return out


class Block(nn.Module):
    """Attention and MLP, each normalised before and added after. 一层。"""

    def __init__(self, config: ModelConfig) -> None:
        """Build the four parts. 四个部件。"""
        super().__init__()
        self.input_layernorm = RMSNorm(config.n_embd)
        self.self_attn = Attention(config)
        self.post_attention_layernorm = RMSNorm(config.n_embd)
        self.mlp = MLP(config)
        self.dropout = nn.Dropout(config.dropout)

    def forward(
        self,
        x: Tensor,
        layer: int,
        rotations: Rotations | None,
        mask: Tensor | None,
        cache: KVCache | None,
    ) -> Tensor:
        """(B, T, C) -> (B, T, C). 一层。"""
        normed = self.input_layernorm(x)
        x = x + self.dropout(self.self_attn(normed, layer, rotations, mask, cache))
        out: Tensor = x + self.dropout(self.mlp(self.post_attention_layernorm(x)))
        return out


class GPT(nn.Module):
    """ids (B, T) -> logits (B, T, V). 整个模型。"""

    def __init__(self, config: ModelConfig, vocab_size: int) -> None:
        """Make a fresh model from torch's global random state. 随机初始化。"""
        super().__init__()
        self.config, self.vocab_size = config, vocab_size
        self.came_as_int8 = False  # the weights are those of an int8 checkpoint, made float
        self.embed_tokens = nn.Embedding(vocab_size, config.n_embd)
        learned, rope = config.position == "learned", config.position == "rope"
        self.embed_positions = nn.Embedding(config.seq_len, config.n_embd) if learned else None
        self.rope = RotaryEmbedding(config.head_dim, config.seq_len) if rope else None
        self.layers = nn.ModuleList(Block(config) for _ in range(config.n_layer))
        self.norm = RMSNorm(config.n_embd)
        self.dropout = nn.Dropout(config.dropout)
        self._initialise()

    def _initialise(self) -> None:
        """Small weights; what is added to the stream is scaled by its number of additions. 初始化。

        So the stream has the same size at any depth, and the first loss is ln V. Source: GPT-2,
        §2.3.
        """
        for name, parameter in self.named_parameters():
            if name.endswith("bias"):
                nn.init.zeros_(parameter)
            elif parameter.dim() == 2:
                adds = name.endswith(("o_proj.weight", "down_proj.weight"))
                depth = math.sqrt(2 * self.config.n_layer) if adds else 1.0
                nn.init.normal_(parameter, std=INIT_STD / depth)

    @property
    def device(self) -> torch.device:
        """Where the weights are. 所在设备。"""
        return self.embed_tokens.weight.device

    def forward(
        self, input_ids: Tensor, cache: KVCache | None = None, n_pad: Tensor | None = None
    ) -> Tensor:
        """Return the logits of each next token (B, T, V). 每个位置的下一词元分数。

        With a cache, input_ids continue what the cache holds. n_pad (B,) says how many ids on the
        left of each sequence are only filling, cache included; nothing looks at them. Raises
        PromptError beyond seq_len tokens.
        """
        return self.lm_head(self.hidden_states(input_ids, cache, n_pad))

    def lm_head(self, hidden: Tensor) -> Tensor:
        """Return logits (..., V) of hidden states (..., C): the embedding again. 输出层。"""
        return F.linear(hidden, self.embed_tokens.weight)

    def hidden_states(
        self,
        input_ids: Tensor,
        cache: KVCache | None = None,
        n_pad: Tensor | None = None,
        sequence: Tensor | None = None,
    ) -> Tensor:
        """Return the last hidden states (B, T, C); arguments as in forward. 最后一层的输出。

        Rows may hold several sequences, one after the other: sequence (B, T) numbers them. Each is
        computed as if it were alone.
        """
        x, mask, rotations = self.first_states(input_ids, cache, n_pad, sequence)
        for layer, block in enumerate(self.layers):
            x = block(x, layer, rotations, mask, cache)
        if cache is not None:
            cache.length += input_ids.size(1)
        out: Tensor = self.norm(x)
        return out

    def first_states(
        self,
        input_ids: Tensor,
        cache: KVCache | None = None,
        n_pad: Tensor | None = None,
        sequence: Tensor | None = None,
    ) -> tuple[Tensor, Tensor | None, Rotations | None]:
        """Return what goes into the first block (B, T, C), and the mask and rotations of all.

        Arguments as in hidden_states. 进入第一层的状态。
        """
        past, T = cache.length if cache else 0, input_ids.size(1)
        longest = past + T - (int(n_pad.min()) if n_pad is not None else 0)
        if longest > self.config.seq_len:
            raise PromptError(
                f"{longest} tokens do not fit: the model reads at most {self.config.seq_len} "
                f"(model.seq_len); shorten the text"
            )
        positions = torch.arange(past, past + T, device=input_ids.device)  # (T,)
        mask = _attention_mask(positions, n_pad, past)
        if n_pad is not None:
            positions = (positions - n_pad[:, None]).clamp(min=0)  # (B, T)
        if sequence is not None:
            same = sequence[:, :, None] == sequence[:, None, :]  # (B, T, T)
            mask = same[:, None] if mask is None else mask & same[:, None]
            positions = _positions_in(sequence)  # (B, T)
        x = self.embed_tokens(input_ids)  # (B, T, C)
        if self.embed_positions is not None:
            x = x + self.embed_positions(positions)
        x = self.dropout(x)
        rotations = None if self.rope is None else self.rope(positions)
        return x, None if mask is None else addend(mask), rotations


def addend(mask: Tensor) -> Tensor:
    """Return what scores take on: 0 where a token may look (True), -inf elsewhere. 加性掩码。"""
    return torch.zeros_like(mask, dtype=torch.float32).masked_fill(~mask, -torch.inf)


def _positions_in(sequence: Tensor) -> Tensor:
    """Return the position of each token in its own sequence (B, T). 序列内位置。"""
    places = torch.arange(sequence.size(1), device=sequence.device).expand_as(sequence)  # (B, T)
    is_first = torch.ones_like(sequence, dtype=torch.bool)
    is_first[:, 1:] = sequence[:, 1:] != sequence[:, :-1]
    return places - places.where(is_first, 0).cummax(dim=1).values


def _attention_mask(positions: Tensor, n_pad: Tensor | None, past: int) -> Tensor | None:
    """Return who may look at whom (B or 1, 1, T, P+T); None = all at all. 掩码。"""
    T = positions.numel()
    if n_pad is None and T == 1:
        return None  # one token alone may see all there is
    keys = torch.arange(past + T, device=positions.device)
    causal = keys[None, :] <= positions[:, None]  # (T, P+T)
    if n_pad is None:
        return causal[None, None]
    real = keys >= n_pad[:, None]  # (B, P+T)
    itself = keys[None, :] == positions[:, None]  # filling sees itself: softmax of nothing is NaN
    return ((causal & real[:, None, :]) | itself)[:, None]
