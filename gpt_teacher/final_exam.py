"""The exam at the end of a run, for the model and its quantized twin. 期末考试。"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gpt_teacher.data import TrainingData
from gpt_teacher.evaluate import Exam, same_answers, take_exam, validation_loss
from gpt_teacher.loss import bits_per_byte, next_token_loss
from gpt_teacher.model import GPT
from gpt_teacher.text_files import Row
from gpt_teacher.tokenizer import Tokenizer

MAX_QUESTIONS = 5_000  # of each file; a larger one is sampled evenly
Results = dict[str, dict[str, Any]]  # precision -> what was measured, for metrics.json


def final_exam(
    models: dict[str, GPT], tokenizer: Tokenizer, data: TrainingData, say: Callable[[str], None]
) -> tuple[Results, list[str]]:
    """Return the results of the models `fp32` and `int8`, and a table of them. 考试并列表。"""
    if data.is_text:
        return _text_exam(models, data)
    results: Results = {name: {} for name in models}
    table = [f"{'':24}" + "".join(f"{name:>20}" for name in models) + f"{'same answer':>14}"]
    for key, title, all_rows in (
        ("memorised", "training questions", data.train_rows),
        ("validation", "validation questions", data.val_rows),
    ):
        rows = _sample(all_rows, MAX_QUESTIONS)
        if not rows:
            continue
        say(f"exam: {len(rows)} {title} …")
        exams = {name: take_exam(model, tokenizer, rows) for name, model in models.items()}
        for name, exam in exams.items():
            results[name][key] = {
                "right": exam.n_right,
                "questions": exam.n_questions,
                "same_as_fp32": round(same_answers(exams["fp32"].answers, exam.answers), 5),
            }
        columns = "".join(f"{_score(exam):>20}" for exam in exams.values())
        same = results["int8"][key]["same_as_fp32"]
        table.append(f"{title:24}{columns}{same:>14.1%}")
    return results, table


def _text_exam(models: dict[str, GPT], data: TrainingData) -> tuple[Results, list[str]]:
    results: Results = {}
    n_tokens = sum(batch.targets.numel() for batch in data.validation)
    for name, model in models.items():
        loss = validation_loss(model, data.validation, next_token_loss)
        bits = bits_per_byte(loss, n_tokens, data.validation_bytes)
        results[name] = {"val_loss_nats": round(loss, 5), "val_bits_per_byte": round(bits, 5)}
    table = [
        f"{name}: {r['val_loss_nats']:.4f} nats a token, {r['val_bits_per_byte']:.4f} bits a byte"
        for name, r in results.items()
    ]
    return results, table


def _sample(rows: list[Row], most: int) -> list[Row]:
    """Return all rows, or `most` of them spread evenly. 均匀抽样。"""
    if len(rows) <= most:
        return rows
    return [rows[i * len(rows) // most] for i in range(most)]


def _score(exam: Exam) -> str:
    return f"{exam.n_right}/{exam.n_questions} {exam.share:.1%}"
