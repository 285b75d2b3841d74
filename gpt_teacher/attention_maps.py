"""Who looks at whom: the attention weights of a text, all layers and heads. 注意力图。"""

from __future__ import annotations

import torch
from torch import Tensor

from gpt_teacher.model import GPT, Block, addend


@torch.inference_mode()
def attention_maps(model: GPT, ids: list[int]) -> Tensor:
    """Return how much token t takes from token s (L, H, T, T), L layers; rows sum to 1. 注意力图。

    They are the model's own: each layer's weights, from the input that the layer really gets.
    """
    input_ids = torch.tensor([ids], device=model.device)  # (1, T)
    positions = torch.arange(len(ids), device=model.device)  # (T,)
    mask = addend(positions <= positions[:, None])[None, None]  # (1, 1, T, T): none looks ahead
    rotations = None if model.rope is None else model.rope(positions)
    x = model.embed_tokens(input_ids)  # (1, T, C)
    if model.embed_positions is not None:
        x = x + model.embed_positions(positions)
    maps = []
    for layer, block in enumerate(model.layers):
        assert isinstance(block, Block), "a GPT has no others"
        normed, attention = block.input_layernorm(x), block.self_attn
        q, k, _ = attention.queries_keys_values(normed, rotations)
        maps.append(attention.weights(q, k, mask)[0])  # (H, T, T)
        x = block(x, layer, rotations, mask, None)
    return torch.stack(maps)
