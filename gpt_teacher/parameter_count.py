"""How many parameters a model has, part by part, and the memory they take. 参数量与内存。"""

from __future__ import annotations

from typing import NamedTuple

from gpt_teacher.config import ModelConfig

FLOAT32_BYTES, INT8_BYTES = 4, 1
ADAMW_COPIES = 4  # weights, gradients, and AdamW's means of gradients and of their squares


class ParameterCount(NamedTuple):
    """The terms of the formula V·d + L·(12·d² + 11·d) + d, where d = n_embd. 公式的各项。"""

    embedding: int  # V·d; the output layer is the embedding again
    positions: int  # seq_len·d if they are learned; RoPE has none
    blocks: int  # L·(12·d² + 11·d): attention 4d²+4d, MLP 8d²+5d, two norms 2d
    last_norm: int  # d

    @property
    def total(self) -> int:
        """All of them. 总数。"""
        return sum(self)


class MemoryBytes(NamedTuple):
    """What the parameters take in memory or in a file. 内存。"""

    float32: int
    int8: int  # as quantize.py does it
    training: int  # with AdamW, without the numbers between the layers


def count_parameters(config: ModelConfig, vocab_size: int) -> ParameterCount:
    """Return the terms whose sum is model.n_parameters. 逐项计算参数量。"""
    d, L = config.n_embd, config.n_layer
    return ParameterCount(
        embedding=vocab_size * d,
        positions=config.seq_len * d if config.position == "learned" else 0,
        blocks=L * (12 * d * d + 11 * d),
        last_norm=d,
    )


def memory_bytes(config: ModelConfig, vocab_size: int) -> MemoryBytes:
    """Return the memory that a model needs, quantized or not, and to train it. 内存。"""
    total = count_parameters(config, vocab_size).total
    d, L = config.n_embd, config.n_layer
    matrices = L * 12 * d * d  # only these become int8 ...
    scales = L * 9 * d  # ... with a scale for each output: d of each of q, k, v, o, down; 4d of up
    quantized = INT8_BYTES * matrices + FLOAT32_BYTES * (total - matrices + scales)
    whole = FLOAT32_BYTES * total
    return MemoryBytes(float32=whole, int8=quantized, training=ADAMW_COPIES * whole)
