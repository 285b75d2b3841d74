"""Names of the files that a model's repo has beside those of a checkpoint. 仓库里的文件名。"""

from __future__ import annotations

CARD_FILE = "README.md"
LICENCE_FILE = "LICENSE"
LOSS_CURVE_FILE = "loss_curve.svg"
QUANTIZED_FOLDER = "quantized"  # a checkpoint of its own, beside the weights of the root
