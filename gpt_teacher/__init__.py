"""GPT Teacher: a GPT that a class trains and looks into. 在课堂上训练、提问、看懂一个 GPT。

from gpt_teacher import from_pretrained
teacher = from_pretrained("pretrained/last")
print(teacher.answer("什么是注意力机制?"))
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from gpt_teacher.config import Config, SamplingConfig
    from gpt_teacher.model import GPT
    from gpt_teacher.sampler import Answer
    from gpt_teacher.similar import SimilarQuestions
    from gpt_teacher.tokenizer import Tokenizer

__version__ = "0.1.0"
SHIPPED = Path(__file__).parent.parent / "pretrained"


class Nearest(NamedTuple):
    """A taught question that resembles the one asked. 最相近的训练题。"""

    question: str
    similarity: float  # 0 to 1; 1 = the same but for punctuation


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

        settings = self.fitted(settings or replace(self.config.sampling, temperature=0.0))
        return list(answer(self.model, self.tokenizer, question, settings))[-1]

    def fitted(self, settings: SamplingConfig) -> SamplingConfig:
        """Return the settings with this model's own refusal threshold, if they name none. 门槛。"""
        if settings.refuse_below is not None:
            return settings
        return replace(settings, refuse_below=self.config.sampling.refuse_below)

    def nearest(self, question: str) -> Nearest | None:
        """Return the taught question that is most like this one, if any. 最相近的训练题。"""
        found = self._taught.nearest(question)
        if found is None:
            return None
        return Nearest(self._taught.questions[found.number], found.similarity)

    @cached_property
    def _taught(self) -> SimilarQuestions:
        """Index what it was taught; empty if its file is gone or changed. 训练题索引。"""
        from gpt_teacher.similar import SimilarQuestions
        from gpt_teacher.text_files import file_sha256, read_rows

        fingerprints: Any = self.metrics.get("fingerprints", {})
        taught = fingerprints.get("data", {}).get("train", {})
        path = Path(self.config.data.train_path)
        for place in (path, SHIPPED.parent / path):
            if place.is_file() and "rows" in taught and file_sha256(place) == taught["sha256"]:
                return SimilarQuestions([row.prompt for row in read_rows(place)])
        return SimilarQuestions([])


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
