"""What a model card may say: facts measured by a run, and answers given to it. 模型卡的依据。"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, NamedTuple

from gpt_teacher import SHIPPED
from gpt_teacher.card.layout import QUANTIZED_FOLDER
from gpt_teacher.card.metrics import check_metrics
from gpt_teacher.checkpoint import WEIGHTS_FILE, Checkpoint
from gpt_teacher.config import Config
from gpt_teacher.data import spread
from gpt_teacher.errors import CheckpointError
from gpt_teacher.exam import FOUR_NUMBERS, Score
from gpt_teacher.model import n_parameters
from gpt_teacher.run_log import LOG_FILE, TrainingLog, read_log
from gpt_teacher.sampler import Answer
from gpt_teacher.text_files import Row, file_sha256, read_rows

N_ANSWERS = 3  # sample answers on a card, and one refusal
TRIES = 4  # questions asked for each of them, until one is answered, or refused
Json = dict[str, Any]  # a JSON object
Ask = Callable[[str], Answer]


class WeightsFile(NamedTuple):
    """A file of weights, as it lies in the repo. 权重文件。"""

    path: str
    n_bytes: int
    sha256: str


class SampleAnswer(NamedTuple):
    """A question and what the model said to it. 回答示例。"""

    question: str
    answer: str
    confidence: float  # probability of the least sure token, 0 to 1
    refused: bool
    expected: str | None  # the answer in the data file; None if the question is not from one
    source: str  # file that the question is from


@dataclass(frozen=True)
class CardFacts:
    """All that a card is made of. 模型卡的全部事实。"""

    repo_id: str  # user/name
    config: Config
    vocab_size: int
    parameters: int  # counted in the weights
    tokenizer_file: str
    metrics: Json  # metrics.json; empty if there is none
    log: TrainingLog | None
    weights: dict[str, WeightsFile]  # fp32, and int8 if there is a quantized twin
    samples: list[SampleAnswer]

    @property
    def name(self) -> str:
        """Return the repo id without its owner. 仓库名。"""
        return self.repo_id.rpartition("/")[2]

    @property
    def is_text(self) -> bool:
        """Tell whether it was taught plain text, not questions. 是否续写模型。"""
        return bool(self.metrics.get("is_text", self.config.data.format == "lm"))

    @property
    def opens_in_transformers(self) -> bool:
        """Tell whether transformers has a class for network and tokenizer. 能否直接打开。"""
        return self.config.model.position == "rope" and self.tokenizer_file == "tokenizer.json"

    @property
    def data(self) -> dict[str, Json]:
        """Return the facts of each data file. 各数据文件的事实。"""
        found: dict[str, Json] = self.metrics.get("fingerprints", {}).get("data", {})
        return found

    def exam(self, precision: str) -> Json:
        """Return what the exam measured for `fp32` or `int8`. 考试结果。"""
        found: Json = self.metrics.get("exam", {}).get(precision, {})
        return found

    def scores(self, precision: str) -> dict[str, Score]:
        """Return those of the four numbers that were measured. 四个数字。"""
        exam = self.exam(precision)
        return {
            key: Score(exam[key]["hits"], exam[key]["questions"])
            for key in FOUR_NUMBERS
            if {"hits", "questions"} <= exam.get(key, {}).keys()
        }


def read_facts(
    repo_id: str,
    last: Checkpoint,
    quantized: Checkpoint | None,
    samples: list[SampleAnswer],
    with_log: bool = True,
) -> CardFacts:
    """Return the facts of a checkpoint and its quantized twin. 收集事实。

    Without `with_log` the training log is left out. Raises CheckpointError if the parts are not of
    one run or the metrics are damaged, DataError if the log cannot be read.
    """
    check_metrics(last.metrics, last.folder)
    if quantized is not None and quantized.metrics != last.metrics:
        raise CheckpointError(
            f"{last.folder} and {quantized.folder} are not of one run; finish it with: "
            f"python -m scripts.train --resume"
        )
    # Only a quantized model has scales beside its weights.
    counted = sum(t.numel() for name, t in last.tensors.items() if not name.endswith("_scale"))
    by_formula = n_parameters(last.config.model, last.tokenizer.vocab_size)
    for source, number in (("formula", by_formula), ("metrics", last.metrics.get("parameters"))):
        if number not in (None, counted):
            raise CheckpointError(
                f"{last.folder}: its weights have {counted:,} parameters, its {source} says "
                f"{number:,}; copy the whole checkpoint folder again"
            )
    weights = {"fp32": weights_file(last.folder, WEIGHTS_FILE)}
    if quantized is not None:
        path = f"{QUANTIZED_FOLDER}/{WEIGHTS_FILE}"
        weights["int8"] = weights_file(quantized.folder, path)
    return CardFacts(
        repo_id,
        last.config,
        last.tokenizer.vocab_size,
        counted,
        last.tokenizer.file_name,
        last.metrics,
        log_of(last.folder) if with_log else None,
        weights,
        samples,
    )


def weights_file(folder: Path, path: str) -> WeightsFile:
    """Measure the weights of a checkpoint folder; `path` is their place in the repo. 权重文件。"""
    file = folder / WEIGHTS_FILE
    return WeightsFile(path, file.stat().st_size, file_sha256(file))


def log_of(folder: Path) -> TrainingLog | None:
    """Return the training log of a checkpoint folder, if it has one. 训练日志。"""
    file = folder / LOG_FILE
    return read_log(file) if file.is_file() else None


def shown_path(path: str) -> str:
    """Return a path fit for strangers: one that leads elsewhere is its file's name. 可公开的路径。

    Elsewhere than below the working folder: absolute, on a drive, in ~ or through `..`.
    """
    for flavour in (PurePosixPath(path), PureWindowsPath(path)):
        first, *_ = (*flavour.parts, "")
        if flavour.anchor or ".." in flavour.parts or first.startswith("~"):
            return flavour.name
    return path


# ---------------------------------------------------------------- sample answers


class Question(NamedTuple):
    """A question that may stand on the card. 候选问题。"""

    text: str
    expected: str | None
    source: str


def choose_samples(metrics: Json, log: TrainingLog | None, ask: Ask) -> list[SampleAnswer]:
    """Ask questions spread evenly; return three answered ones, then a refused one. 选回答示例。

    They are of the last data files that the run knew, test before validation before training, if
    those lie here unchanged; else the probe questions of the log. Nobody looks whether an answer is
    right. There may be fewer, or none: a model that refuses nothing has no refusal.
    """
    known = _file_questions(metrics, ("test", "val", "train"))
    unknown = _file_questions(metrics, ("unknown_test", "unknown_val", "unknown"))
    if not known and log is not None and log.evaluations:
        known = [Question(s.question, None, LOG_FILE) for s in log.evaluations[-1].samples]
    asked: list[SampleAnswer] = []
    answered: list[SampleAnswer] = []
    third = -(-len(known) // N_ANSWERS) or 1
    for question in [q for start in range(third) for q in known[start::third]]:
        if len(answered) < N_ANSWERS:
            asked.append(_sample(question, ask))
            answered += [] if asked[-1].refused else [asked[-1]]
    refused = [sample for sample in asked if sample.refused][:1]
    for question in unknown:
        sample = _sample(question, ask)
        if sample.refused:
            refused = [sample]
            break
    return answered + refused


def _file_questions(metrics: Json, splits: tuple[str, ...]) -> list[Question]:
    """Return questions of the first of the files that lies here unchanged. 数据文件里的问题。"""
    files = metrics.get("fingerprints", {}).get("data", {})
    for split in splits:
        if metrics.get("is_text") or not files.get(split, {}).get("rows_used"):
            continue
        path = Path(files[split].get("path", ""))
        for place in (path, SHIPPED.parent / path):
            if place.is_file() and file_sha256(place) == files[split].get("sha256"):
                rows: list[Row] = spread(read_rows(place), N_ANSWERS * TRIES)
                source = shown_path(path.as_posix())
                return [Question(row.prompt, row.completion, source) for row in rows]
    return []


def _sample(question: Question, ask: Ask) -> SampleAnswer:
    answer = ask(question.text)
    return SampleAnswer(
        question.text,
        answer.text,
        answer.min_probability,
        answer.refused,
        question.expected,
        question.source,
    )
