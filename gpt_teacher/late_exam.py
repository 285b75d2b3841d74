"""The exam of a run that was stopped before it: for a checkpoint that is to be shown. 补考。"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from gpt_teacher.checkpoint import Checkpoint, build_model, load_checkpoint, save_checkpoint
from gpt_teacher.data import TrainingData, load_training_data
from gpt_teacher.errors import CheckpointError, DataError
from gpt_teacher.final_exam import final_exam
from gpt_teacher.prompt import CHAT_TEMPLATE
from gpt_teacher.quantize import dequantize, quantize
from gpt_teacher.run_log import LOG_FILE, LogWriter
from gpt_teacher.stored_report import read_report, save_report


def take_late_exam(last: Path, say: Callable[[str], None]) -> bool:
    """Examine the checkpoint `last` unless its metrics have an exam; tell if it was done. 补考。

    The quantized twin is made anew beside it; both get the results, and the log its `end` row. A
    stored report stays: it is of the same weights.
    Raises children of GPTTeacherError, e.g. if its data are not on this machine, or not the same.
    """
    checkpoint = load_checkpoint(last)
    if "exam" in checkpoint.metrics:
        return False
    if last.name != "last":
        raise CheckpointError(
            f"{last} was stopped before its exam, and is no folder `last` of a run; name the "
            f"folder of the run that holds last/, or push it as it is with scripts.push_to_hub"
        )
    data = load_training_data(checkpoint.config, checkpoint.tokenizer)
    _check_same(checkpoint, data)
    quantized = quantize(checkpoint.tensors)
    models = {
        "fp32": build_model(checkpoint, checkpoint.tensors),
        "int8": build_model(checkpoint, dequantize(quantized), int8=True),
    }
    sampling = checkpoint.config.sampling
    exam = final_exam(models, checkpoint.tokenizer, data, 1.0, say, sampling.refuse_below)
    for line in exam.table:
        say(line)
    config = replace(checkpoint.config, sampling=replace(sampling, refuse_below=exam.threshold))
    metrics = checkpoint.metrics | {"exam": exam.results, "refuse_below": exam.threshold}
    report = read_report(last)
    with tempfile.TemporaryDirectory() as folder:
        log = _ended_log(last, Path(folder), metrics)
        # `last` comes last: if this is cut short, the exam is taken anew.
        for place, tensors in ((last.parent / "quantized", quantized), (last, checkpoint.tensors)):
            save_checkpoint(
                place, tensors, config, checkpoint.tokenizer, metrics, CHAT_TEMPLATE, log
            )
    if report is not None:
        save_report(last, report.json)
    return True


def _check_same(checkpoint: Checkpoint, data: TrainingData) -> None:
    """Raise DataError if the data are not those that it was trained on."""
    trained_on: dict[str, Any] = checkpoint.metrics.get("fingerprints", {}).get("data", {})
    now: dict[str, Any] = data.facts
    for name, facts in trained_on.items():
        if facts.get("sha256") != now.get(name, {}).get("sha256"):
            raise DataError(
                f"{facts.get('path')} has changed since {checkpoint.folder} was trained on it, so "
                f"an exam would say nothing; put the file back, or train anew"
            )


def _ended_log(last: Path, folder: Path, metrics: dict[str, Any]) -> Path | None:
    """Copy the log of a checkpoint there and give it its last row; None if there is no log."""
    if not (last / LOG_FILE).is_file():
        return None
    log = Path(shutil.copyfile(last / LOG_FILE, folder / LOG_FILE))
    known = {key: metrics.get(key) for key in ("steps", "elapsed_seconds", "peak_memory_bytes")}
    LogWriter(log).write("end", **known, exam=metrics["exam"])
    return log
