"""The exam at the end of a run, for the model and its quantized twin. 期末考试。"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch

from gpt_teacher.data import TrainingData, spread
from gpt_teacher.evaluate import (
    GREEDY,
    PROBE_TOKENS,
    Exam,
    evaluating,
    same_answers,
    take_exam,
    validation_loss,
)
from gpt_teacher.loss import IGNORE_INDEX, Batch, bits_per_byte, next_token_loss
from gpt_teacher.model import GPT
from gpt_teacher.sampler import BATCH_SIZE, answers
from gpt_teacher.tokenizer import Tokenizer

MAX_QUESTIONS = 1_000  # of each file, spread evenly: the class is waiting
Results = dict[str, dict[str, Any]]  # precision -> what was measured, for metrics.json


def exam_seconds(model: GPT, tokenizer: Tokenizer, data: TrainingData) -> float:
    """Return about how long the whole exam will take for two models. 预计考试用时。

    Measured on a small part; an untrained model gives longer answers, so it is an upper bound.
    """
    started_at = time.perf_counter()
    if data.is_text:
        validation_loss(model, data.validation, next_token_loss)
        whole = len(data.val_text) / len(data.validation)
    else:
        rows = spread(data.train_rows + data.val_rows, BATCH_SIZE)
        settings = replace(GREEDY, max_new_tokens=PROBE_TOKENS)
        with evaluating(model):
            answers(model, tokenizer, [row.prompt for row in rows], settings)
        asked = sum(min(MAX_QUESTIONS, len(r)) for r in (data.train_rows, data.val_rows))
        whole = asked / len(rows)
    return 2 * whole * (time.perf_counter() - started_at)


def final_exam(
    models: dict[str, GPT],
    tokenizer: Tokenizer,
    data: TrainingData,
    share: float,
    say: Callable[[str], None],
) -> tuple[Results, list[str]]:
    """Return the results of the models `fp32` and `int8`, and a table of them. 考试并列表。

    With a share below 1, only that part of the questions is asked, spread evenly.
    """
    if data.is_text:
        return _text_exam(models, tokenizer, data, share)
    results: Results = {name: {} for name in models}
    table = [f"{'':24}" + "".join(f"{name:>20}" for name in models) + f"{'same answer':>14}"]
    for key, title, all_rows in (
        ("memorised", "training questions", data.train_rows),
        ("validation", "validation questions", data.val_rows),
    ):
        if not all_rows:
            continue
        rows = spread(all_rows, min(MAX_QUESTIONS, math.ceil(share * len(all_rows))))
        say(f"exam: {len(rows)} of {len(all_rows)} {title} …")
        fp32, int8 = (take_exam(models[name], tokenizer, rows) for name in ("fp32", "int8"))
        same = same_answers(fp32.answers, int8.answers)
        for name, exam in (("fp32", fp32), ("int8", int8)):
            results[name][key] = {"right": exam.n_right, "questions": exam.n_questions}
        results["int8"][key]["same_as_fp32"] = round(same, 5)
        table.append(f"{title:24}{_score(fp32):>20}{_score(int8):>20}{same:>14.1%}")
    return results, table


def _text_exam(
    models: dict[str, GPT], tokenizer: Tokenizer, data: TrainingData, share: float
) -> tuple[Results, list[str]]:
    batches = spread(data.val_text, math.ceil(share * len(data.val_text)))
    n_tokens = sum(batch.targets.numel() for batch in batches)
    n_bytes = target_bytes(batches, tokenizer)
    results: Results = {}
    table = []
    for name, model in models.items():
        loss = validation_loss(model, batches, next_token_loss)
        bits = bits_per_byte(loss, n_tokens, n_bytes)
        results[name] = {"val_loss_nats": round(loss, 5), "val_bits_per_byte": round(bits, 5)}
        table.append(f"{name}: {loss:.4f} nats a token, {bits:.4f} bits a byte")
    return results, table


def target_bytes(batches: list[Batch], tokenizer: Tokenizer) -> int:
    """Return how many bytes the targets stand for; special tokens for none. 字节数。"""
    n_bytes = torch.tensor([len(tokenizer.token_bytes(i)) for i in range(tokenizer.vocab_size)])
    return sum(int(n_bytes[b.targets[b.targets != IGNORE_INDEX]].sum()) for b in batches)


def _score(exam: Exam) -> str:
    return f"{exam.n_right}/{exam.n_questions} {exam.share:.1%}"
