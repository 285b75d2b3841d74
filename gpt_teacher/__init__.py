"""GPT Teacher: a GPT that a class trains and looks into. 在课堂上训练、提问、看懂一个 GPT。

from gpt_teacher import from_pretrained
teacher = from_pretrained("pretrained/last")
print(teacher.answer("什么是注意力机制?"))
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gpt_teacher.config import Config, SamplingConfig
    from gpt_teacher.model import GPT
    from gpt_teacher.sampler import Answer
    from gpt_teacher.tokenizer import Tokenizer

__version__ = "0.1.0"
SHIPPED = Path(__file__).parent.parent / "pretrained"


@dataclass(frozen=True)
class Pretrained:
    """A trained model with all that belongs to it. 训练好的模型。"""

    folder: Path
    model: GPT  # ids (B, T) -> logits (B, T, V)
    tokenizer: Tokenizer
    config: Config
    metrics: dict[str, object]

    def answer(self, question: str, settings: SamplingConfig | None = None) -> Answer:
        """Return the answer to a question: text that also knows how sure the model was. 回答。

        Greedy unless the settings say otherwise. Raises PromptError if the question is too long.
        """
        from gpt_teacher.sampler import answer

        settings = settings or replace(self.config.sampling, temperature=0.0)
        return list(answer(self.model, self.tokenizer, question, settings))[-1]


def from_pretrained(folder: str | Path) -> Pretrained:
    """Open a checkpoint folder, quantized or not. 打开一个检查点。

    Raises CheckpointError if it is missing, incomplete or damaged, TokenizerError if it has a
    wrong tokenizer.
    """
    from gpt_teacher.checkpoint import build_model, load_checkpoint
    from gpt_teacher.quantize import dequantize

    checkpoint = load_checkpoint(Path(folder))
    model = build_model(checkpoint, dequantize(checkpoint.tensors))
    return Pretrained(
        checkpoint.folder, model, checkpoint.tokenizer, checkpoint.config, checkpoint.metrics
    )


def default_checkpoint(config: Config) -> Path:
    """Return the user's own model if there is one, else the shipped one. 默认检查点。"""
    from gpt_teacher.atomic import finish_swap

    own = Path(config.training.save_dir) / "last"
    finish_swap(own)
    return own if own.exists() else SHIPPED / "last"
