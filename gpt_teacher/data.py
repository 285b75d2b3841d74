"""Files -> everything that a run trains on and is tested on. 一次训练用到的全部数据。

questions.py    data.format: instruct
plain_text.py   data.format: lm
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from torch import Tensor

from gpt_teacher.batches import Batches
from gpt_teacher.config import Config
from gpt_teacher.errors import DataError
from gpt_teacher.loss import Batch
from gpt_teacher.plain_text import TextBatches, encoded_text, text_validation
from gpt_teacher.prompt import is_refusal
from gpt_teacher.questions import (
    QuestionBatches,
    Questions,
    load_questions,
    question_validation,
)
from gpt_teacher.similar import SimilarQuestions
from gpt_teacher.text_files import Row, file_sha256
from gpt_teacher.tokenizer import EOS_ID, UNK_ID, Tokenizer

MAX_VALIDATION = 64  # sequences of an evaluation on the way: seconds count there
SPLITS = ("train", "val", "test", "unknown", "unknown_val", "unknown_test")
TAUGHT_SIMILARITY = 0.5  # an unknown question so similar to a taught one is left out
T = TypeVar("T")
N_PROBES = 5
PROBE_PROMPT_TOKENS = 8  # of plain text, to be continued
LOOKED_AT = 256  # tokens, for the first letter


@dataclass(frozen=True)
class TrainingData:
    """What a run trains on and is tested on. 训练与测试数据。"""

    batches: Batches
    validation: list[Batch]  # a sample, for the evaluations on the way; empty = there is none
    rows: dict[str, list[Row]]  # split -> its questions, see SPLITS; empty for plain text
    val_text: list[Batch]  # the exam of plain text: all of the validation text
    probes: list[str]
    is_text: bool
    facts: dict[str, object]  # for the log and metrics.json
    report: list[str]  # for the user, a sentence each


def load_training_data(config: Config, tokenizer: Tokenizer, strict: bool = False) -> TrainingData:
    """Read the files of config.data. 读取训练数据。

    Raises DataError for a file that cannot be used; with strict also for rows that would be left
    out.
    """
    if config.data.format == "lm":
        return _load_text(config, tokenizer)
    return _load_questions(config, tokenizer, strict)


def _load_questions(config: Config, tokenizer: Tokenizer, strict: bool) -> TrainingData:
    paths = {split: getattr(config.data, f"{split}_path") for split in SPLITS}
    seq_len, keep = config.model.seq_len, config.data.keep_duplicates
    loaded = {
        name: load_questions(Path(path), tokenizer, seq_len, keep)
        for name, path in paths.items()
        if path
    }
    if strict and any(questions.too_long for questions in loaded.values()):
        raise DataError("\n".join(q.report_too_long() for q in loaded.values() if q.too_long))
    rows = {split: loaded[split].rows if split in loaded else [] for split in SPLITS}
    report = [line for questions in loaded.values() for line in questions.report()]
    taught = index_of_answered(rows["train"])
    for split in ("unknown", "unknown_val", "unknown_test"):
        rows[split], n_taught = leave_out_taught(rows[split], taught)
        if n_taught:
            report.append(
                f"{loaded[split].path}: {n_taught} questions look like taught ones, left out"
            )
    sample = spread(rows["val"], MAX_VALIDATION)
    facts: dict[str, object] = {name: _describe(questions) for name, questions in loaded.items()}
    return TrainingData(
        batches=QuestionBatches(rows["train"], rows["unknown"], tokenizer, config),
        validation=question_validation(sample, tokenizer, config.training.micro_batch),
        rows=rows,
        val_text=[],
        probes=list(config.training.probe_questions) or _pick_probes(rows),
        is_text=False,
        facts=facts,
        report=report,
    )


def index_of_answered(train: list[Row]) -> SimilarQuestions:
    """Return an index of the training questions that have an answer. 有答案的训练题。"""
    return SimilarQuestions([row.prompt for row in train if not is_refusal(row.completion)])


def leave_out_taught(unknown: list[Row], taught: SimilarQuestions) -> tuple[list[Row], int]:
    """Return the unknown questions that are like no taught one, and how many are. 去掉已教的。

    Who teaches 红烧肉 does not want 不知道 for it.
    """
    kept = [row for row in unknown if taught.nearest(row.prompt, TAUGHT_SIMILARITY) is None]
    return kept, len(unknown) - len(kept)


def _describe(questions: Questions) -> dict[str, object]:
    return {
        "path": questions.path.as_posix(),
        "sha256": file_sha256(questions.path),
        "rows": questions.n_rows,
        "rows_used": len(questions.rows),
        "duplicates": questions.n_duplicates,
        "too_long": len(questions.too_long),
        "answers": len({row.completion for row in questions.rows}),
    }


def _pick_probes(rows: dict[str, list[Row]]) -> list[str]:
    """Choose questions to watch: some taught, one reworded, one to be refused. 选抽查题。"""
    refused = [row for row in rows["train"] + rows["unknown"] if is_refusal(row.completion)]
    known = [row for row in rows["train"] if not is_refusal(row.completion)] or rows["train"]
    reworded = [row for row in rows["val"] if not is_refusal(row.completion)][:1]
    chosen = reworded + (rows["unknown_val"] or refused)[:1]
    n_known = min(N_PROBES - len(chosen), len(known))
    taught = [known[i * len(known) // n_known] for i in range(n_known)]
    return list(dict.fromkeys(row.prompt for row in taught + chosen))


def _load_text(config: Config, tokenizer: Tokenizer) -> TrainingData:
    path, cache = Path(config.data.train_path), Path(config.data.cache_dir)
    length, val_path = config.model.seq_len, config.data.val_path
    ids = encoded_text(path, tokenizer, cache)
    if val_path:
        train_ids, val_ids = ids, encoded_text(Path(val_path), tokenizer, cache)
        split = f"validation text: {val_path}"
    else:
        n_train = int(len(ids) * (1 - config.data.val_fraction))
        train_ids, val_ids = ids[:n_train], ids[n_train:]
        split = f"the last {100 * config.data.val_fraction:.3g}% of it are for validation"
    batches = TextBatches(train_ids, config)
    if not (val_ids[1:] != EOS_ID).any():  # the first token is given, an end has no bytes
        more = "" if val_path else f" or a larger data.val_fraction ({config.data.val_fraction})"
        raise DataError(
            f"{val_path or path}: the text is too short to keep some for validation; "
            f"use more text{more}"
        )
    val_text = text_validation(val_ids, length, config.training.micro_batch)
    report = [f"{path}: {len(train_ids) + len(val_ids):,} tokens, {split}"]
    for file, file_ids in ((path, ids), *([(val_path, val_ids)] if val_path else [])):
        unknown = int((file_ids == UNK_ID).sum())
        if unknown:
            report.append(
                f"{file}: {unknown} characters are unknown to the tokenizer and become <unk>"
            )
    return TrainingData(
        batches=batches,
        validation=spread(val_text, max(1, MAX_VALIDATION // config.training.micro_batch)),
        rows={split: [] for split in SPLITS},
        val_text=val_text,
        probes=list(config.training.probe_questions) or [_opening(val_ids, tokenizer)],
        is_text=True,
        facts={
            name: {"path": file.as_posix(), "sha256": file_sha256(file), "tokens": len(part)}
            for name, file, part in (
                ("train", path, train_ids),
                ("val", Path(val_path) if val_path else path, val_ids),
            )
        },
        report=report,
    )


def _opening(ids: Tensor, tokenizer: Tokenizer) -> str:
    """Return the beginning of a text, of its first line alone. 开头一行。

    Blank space around it would be lost in a table or a command, and another text be continued.
    """
    seen = (i for i in range(len(ids[:LOOKED_AT])) if _has_letter(tokenizer.decode([int(ids[i])])))
    first = next(seen, 0)
    start = tokenizer.decode(ids[first : first + PROBE_PROMPT_TOKENS].tolist())
    return "".join(start.strip("\ufffd").strip().splitlines()[:1]).strip()


def _has_letter(text: str) -> bool:
    return any(map(str.isalnum, text))


def spread(items: list[T], most: int) -> list[T]:
    """Return all items, or `most` of them spread evenly. 均匀抽样。"""
    if len(items) <= most:
        return items
    return [items[i * len(items) // most] for i in range(most)]
