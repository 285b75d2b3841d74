"""The exam report that lies in a checkpoint folder and belongs to its weights. 存下的成绩单。

python -m scripts.evaluate --save       measures it, which takes a while, and writes the file
read_report(folder)                     gives it back, if it is of the weights that lie there
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from gpt_teacher import Origin
from gpt_teacher.atomic import replace_file
from gpt_teacher.checkpoint import WEIGHTS_FILE, load_checkpoint
from gpt_teacher.errors import CheckpointError, ConfigError, DataError
from gpt_teacher.exam import FOUR_NUMBERS, Score
from gpt_teacher.exam_report import Report
from gpt_teacher.refusal import Point
from gpt_teacher.text_files import file_sha256

REPORT_FILE = "exam_report.json"
SAVE_COMMAND = "python -m scripts.evaluate --save"
MAX_BYTES = 1_000_000  # a hundred times a report; a stranger's file may be anything
PRECISIONS = ("fp32", "int8")
# What a file can raise that is no report.
DAMAGED = (
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    RecursionError,
    OverflowError,
    DataError,
)


class Confusion(NamedTuple):
    """A topic that was taken for another one. 混淆。"""

    asked: str
    answered: str
    times: int


@dataclass(frozen=True)
class ModelReport:
    """What the exam has shown of one model. 一个模型的成绩。"""

    scores: dict[str, Score]  # those of the four numbers that were measured
    by_subject: dict[str, Score]  # other wordings, right
    worst_topics: list[tuple[str, Score]]  # worst first
    confusions: list[Confusion]  # commonest first
    curve: list[Point]  # of the refusal threshold
    served: Point  # what the model's own threshold does


@dataclass(frozen=True)
class StoredReport:
    """The report of a checkpoint, read and checked. 读出的成绩单。"""

    models: dict[str, ModelReport]  # fp32, int8 or both
    json: Report  # as it lies in the file


def check_may_save(origin: Origin, overrides: list[str]) -> None:
    """Raise unless an exam taken now asks what this checkpoint was trained with. 存之前的检查。

    Raises CheckpointError for a model of the Hub, ConfigError for other questions or another
    threshold, DataError if a data file has changed.
    """
    if origin.repo_id:
        raise CheckpointError(
            f"{origin.repo_id} lies in the cache of the Hub, where nothing is added; leave out "
            f"--save, or save the report of your own folder and publish that"
        )
    other = [text for text in overrides if text.startswith(("data.", "sampling."))]
    if other:
        raise ConfigError(
            [f"--save keeps the model's own exam; leave out --set {t}" for t in other]
        )
    trained_on = load_checkpoint(origin.folder).metrics.get("fingerprints", {}).get("data", {})
    for facts in trained_on.values():
        if file_sha256(Path(facts["path"])) != facts["sha256"]:
            raise DataError(
                f"{facts['path']} has changed since {origin.folder} was trained on it; "
                f"put the file back, or train anew"
            )


def save_report(folder: Path, report: Report) -> Path:
    """Write a report into its checkpoint folder, whole or not at all. 存下成绩单。

    It names the weights, not the folder, and holds no path. Raises CheckpointError.
    """
    kept = {key: value for key, value in report.items() if key != "checkpoint"}
    kept = {"weights_sha256": file_sha256(folder / WEIGHTS_FILE), **kept}
    path = folder / REPORT_FILE
    try:
        replace_file(path, (json.dumps(kept, ensure_ascii=False, indent=2) + "\n").encode())
    except OSError as error:
        raise CheckpointError(f"cannot write {path}: {error.strerror or error}") from None
    return path


def read_report(folder: Path) -> StoredReport | None:
    """Return the report of the weights in this folder. 读取成绩单。

    None if there is none, if it is of other weights, or if it is damaged: SAVE_COMMAND mends each.
    """
    path = folder / REPORT_FILE
    try:
        if path.stat().st_size > MAX_BYTES:
            return None
        found = json.loads(path.read_bytes())
        if found["weights_sha256"] != file_sha256(folder / WEIGHTS_FILE):
            return None
        models = {
            name: _model(found["models"][name]) for name in PRECISIONS if name in found["models"]
        }
        if not models:
            return None
        return StoredReport(models, found)
    except (OSError, *DAMAGED):
        return None


def _model(found: Report) -> ModelReport:
    return ModelReport(
        {key: _score(found[key]) for key in FOUR_NUMBERS if key in found},
        {str(name): _score(score) for name, score in found["paraphrase_by_subject"].items()},
        [(str(one["topic"]), _score(one)) for one in found["worst_topics"]],
        [
            Confusion(str(one["asked"]), str(one["answered"]), int(one["times"]))
            for one in found["confusions"]
        ],
        [_point(one) for one in found["risk_coverage"]],
        _point(found["at_threshold"]),
    )


def _score(found: Report) -> Score:
    hits, questions = found["hits"], found["questions"]
    if not (isinstance(hits, int) and isinstance(questions, int) and 0 <= hits <= questions):
        raise ValueError(f"{hits} of {questions}")
    return Score(hits, questions)


def _point(found: Report) -> Point:
    return Point(*(_share(found[key]) for key in Point._fields))


def _share(value: Any) -> float:
    if not 0 <= value <= 1:  # nor is NaN
        raise ValueError(f"{value} is no share")
    return float(value)
