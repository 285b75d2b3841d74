"""GPT Teacher: a GPT that a class trains and looks into. 在课堂上训练、提问、看懂一个 GPT。

from gpt_teacher import from_pretrained
teacher = from_pretrained("pretrained/last")      # or a model of the Hub: "USER/NAME"
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
OWN_FOLDERS = ("checkpoints", "pretrained", "runs")  # first parts of names that are no repo's


class Nearest(NamedTuple):
    """A taught question that resembles the one asked. 最相近的训练题。"""

    question: str
    similarity: float  # 0 to 1; 1 = the same but for punctuation


class Origin(NamedTuple):
    """Where a model comes from. 模型的来处。"""

    folder: Path  # on this machine; a model of the Hub lies in its client's cache
    repo_id: str = ""  # USER/NAME on the Hub; "" = a folder of this machine
    commit: str = ""  # of the repository
    note: str = ""  # why it may not be the newest


@dataclass(frozen=True)
class Pretrained:
    """A trained model with all that belongs to it. 训练好的模型。"""

    origin: Origin
    model: GPT  # ids (B, T) -> logits (B, T, V)
    tokenizer: Tokenizer
    config: Config
    metrics: dict[str, object]

    @property
    def folder(self) -> Path:
        """Return the checkpoint folder. 检查点文件夹。"""
        return self.origin.folder

    def answer(self, question: str, settings: SamplingConfig | None = None) -> Answer:
        """Return the answer to a question: text that also knows how sure the model was. 回答。

        Greedy unless the settings say otherwise. Raises PromptError if the question is too long,
        TokenizerError if it holds half a character.
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

    def data_file(self, name: str) -> Path | None:
        """Return the file of questions that it used as `train`, `val`, `unknown` …. 数据文件。

        None if the file is not on this machine, has changed since, or is plain text.
        """
        from gpt_teacher.text_files import file_sha256

        path, used = getattr(self.config.data, f"{name}_path"), self.data_fingerprint(name)
        for place in (Path(path), SHIPPED.parent / path) if path and used else ():
            if place.is_file() and file_sha256(place) == used:
                return place
        return None

    def data_fingerprint(self, name: str) -> str | None:
        """Return the SHA-256 of that file of questions, as it was then. 数据指纹。"""
        fingerprints: Any = self.metrics.get("fingerprints", {})
        facts = fingerprints.get("data", {}).get(name, {})
        return str(facts["sha256"]) if "rows" in facts else None

    @cached_property
    def _taught(self) -> SimilarQuestions:
        """Index what it was taught; empty if its file is gone or changed. 训练题索引。"""
        from gpt_teacher.similar import SimilarQuestions
        from gpt_teacher.text_files import read_rows

        path = self.data_file("train")
        if path is not None:
            return SimilarQuestions([row.prompt for row in read_rows(path)])
        return SimilarQuestions([])


def from_pretrained(
    model: str | Path, revision: str | None = None, offline: bool = False
) -> Pretrained:
    """Open a checkpoint folder, quantized or not, or a model of the Hub. 打开一个模型。

    `model` is a folder or USER/NAME, `revision` a branch, tag or commit of the latter (None = the
    newest). Offline, only what has been downloaded before is opened. Raises CheckpointError if it
    is missing, incomplete or damaged, TokenizerError if it has a wrong tokenizer, HubError if it
    does not come from the Hub, ConfigError for a revision of a folder.
    """
    if revision is not None and is_folder_name(str(model)):
        from gpt_teacher.errors import ConfigError

        raise ConfigError(
            [
                f"revision {revision!r} names a version of a model of the Hub, not of the folder "
                f"{model}: name USER/NAME, or leave out the revision"
            ]
        )
    return open_origin(locate(model, revision, offline))


def locate(
    model: str | Path,
    revision: str | None = None,
    offline: bool = False,
    **patience: Any,
) -> Origin:
    """Return the folder of a model; of the Hub's it is downloaded first. 找到模型的文件夹。

    `patience`: how long, and who is told (hub.pull.pull). Raises HubError.
    """
    if is_folder_name(str(model)):
        return Origin(Path(model).expanduser())
    from gpt_teacher.errors import HubError
    from gpt_teacher.hub.pull import pull

    try:
        return pull(str(model), revision, offline, **patience)
    except HubError as error:
        if error.status in (401, 404) and revision is None:
            raise HubError(f"{error} (there is no folder {model} here, either)") from None
        raise


def is_folder_name(model: str) -> bool:
    """Tell whether it names a folder, not USER/NAME of the Hub. 是文件夹还是仓库名。

    What exists is a folder, and so is what lies in a folder that exists or starts like a path.
    """
    path = Path(model).expanduser()
    like_a_path = model.startswith((".", "~")) or "\\" in model or model.count("/") != 1
    is_address = model.startswith(("http://", "https://"))
    inside = path.parent != Path() and (path.parent.is_dir() or path.parts[0] in OWN_FOLDERS)
    return not is_address and (path.exists() or path.is_absolute() or like_a_path or inside)


def open_origin(origin: Origin) -> Pretrained:
    """Open the model of a folder. 打开文件夹里的模型。See from_pretrained."""
    from gpt_teacher.checkpoint import build_model, load_checkpoint
    from gpt_teacher.quantize import dequantize, is_quantized

    checkpoint = load_checkpoint(origin.folder)
    tensors = checkpoint.tensors
    model = build_model(checkpoint, dequantize(tensors), is_quantized(tensors))
    return Pretrained(origin, model, checkpoint.tokenizer, checkpoint.config, checkpoint.metrics)


def default_checkpoint(config: Config) -> Path:
    """Return the user's own model if there is one, else the shipped one. 默认检查点。"""
    from gpt_teacher.atomic import finish_swap

    own = Path(config.training.save_dir) / "last"
    finish_swap(own)
    return own if own.exists() else SHIPPED / "last"
