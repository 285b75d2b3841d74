"""int8 weights: a quarter of the size. 量化：把权重压成 8 位整数。

Weight-only, symmetric, one scale for each output channel: w ≈ scale · round(w / scale), where the
scale takes the channel's largest weight to 127. Only the matrices of the blocks are quantized;
the embedding, which is the output layer too, and all vectors stay in float32.
"""

from __future__ import annotations

import torch
from torch import Tensor

from gpt_teacher.errors import CheckpointError

LARGEST = 127  # symmetric: -128 is not used
SCALE_SUFFIX = "_scale"  # X.weight (int8) and X.weight_scale, as compressed-tensors names them


def quantize_matrix(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Return the int8 weights (O, I) and the scale of each output channel (O, 1). 量化一个矩阵。"""
    scale = weight.abs().amax(dim=1, keepdim=True) / LARGEST  # (O, 1)
    scale = torch.where(scale == 0, torch.ones_like(scale), scale)  # a channel of zeros stays zero
    return torch.round(weight / scale).to(torch.int8), scale


def dequantize_matrix(weight: Tensor, scale: Tensor) -> Tensor:
    """Return float32 weights (O, I). 还原一个矩阵。"""
    return weight.float() * scale


def quantize(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors of a quantized checkpoint. 量化整个模型。"""
    quantized: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        if name.endswith("_proj.weight"):
            quantized[name], quantized[name + SCALE_SUFFIX] = quantize_matrix(tensor)
        else:
            quantized[name] = tensor
    return quantized


def is_quantized(tensors: dict[str, Tensor]) -> bool:
    """Tell whether these are the tensors of a quantized checkpoint. 是否已量化。"""
    return any(name.endswith(SCALE_SUFFIX) for name in tensors)


def dequantize(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return float32 tensors: inverse of quantize up to rounding. 还原整个模型。

    Raises CheckpointError if a scale does not fit its weights.
    """
    for name, tensor in tensors.items():
        scale, expected = tensors.get(name + SCALE_SUFFIX), (*tensor.shape[:1], 1)
        if scale is not None and (tensor.dim() != 2 or scale.shape != expected):
            raise CheckpointError(
                f"{name}{SCALE_SUFFIX} is {tuple(scale.shape)} for weights {tuple(tensor.shape)}, "
                f"expected {expected}; copy or download the checkpoint again"
            )
    return {
        name: dequantize_matrix(tensor, tensors[name + SCALE_SUFFIX])
        if name + SCALE_SUFFIX in tensors
        else tensor
        for name, tensor in tensors.items()
        if not name.endswith(SCALE_SUFFIX)
    }
