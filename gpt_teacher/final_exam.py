"""The exam at the end of a run, for the model and its quantized twin. 期末考试。"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch

from gpt_teacher.data import TrainingData, spread
from gpt_teacher.evaluate import GREEDY, PROBE_TOKENS, evaluating, take_exam, validation_loss
from gpt_teacher.exam import FOUR_NUMBERS, Replies, Score, calibrate, same_answers
from gpt_teacher.loss import IGNORE_INDEX, Batch, bits_per_byte, next_token_loss
from gpt_teacher.model import GPT
from gpt_teacher.noise import noisy_question
from gpt_teacher.prompt import encode_prompt, is_refusal
from gpt_teacher.sampler import BATCH_SIZE, answers
from gpt_teacher.text_files import Row
from gpt_teacher.tokenizer import UNK_ID, Tokenizer

MAX_TAUGHT = 500  # taught questions asked, spread evenly: the class is waiting
MAX_UNKNOWN = 2000  # unknown ones, whose answers are short
MAX_FITTING = 2000  # questions of each kind that the threshold is fitted on
LEAST_ASKED = BATCH_SIZE  # of each part, however short the time: a class's own are few
Results = dict[str, dict[str, Any]]  # precision -> what was measured, for metrics.json


class ExamResult(NamedTuple):
    """What the exam of a run has shown. 考试结果。"""

    results: Results
    table: list[str]  # lines for the user
    threshold: float | None  # answers less sure than this are to be refused; None: plain text


@dataclass(frozen=True)
class Paper:
    """The questions of an exam. 试卷。"""

    taught: list[Row]
    reworded: list[Row]
    unknown: list[Row]
    fit_known: list[Row]  # the threshold is fitted on these two
    fit_unknown: list[Row]

    @property
    def n_scored(self) -> int:
        """Return the number of questions that count. 计分的题数。"""
        return len(self.taught) + len(self.reworded) + len(self.unknown)

    @property
    def n_questions(self) -> int:
        """Return how many answers it takes: two models are scored, one is fitted. 总题数。"""
        return 2 * self.n_scored + len(self.fit_known) + len(self.fit_unknown)


def set_paper(
    data: TrainingData,
    tokenizer: Tokenizer,
    seq_len: int,
    share: float = 1.0,
    most_taught: int = MAX_TAUGHT,
    most_unknown: int = MAX_UNKNOWN,
) -> Paper:
    """Choose the questions of the exam; with a share below 1 only that part of them. 出题。

    Of few questions all are asked, whatever the share.
    Without a test file the validation file takes its place, though the threshold is fitted on it,
    too. Without either, the threshold is fitted on taught questions with letters left out.
    """
    rows = data.rows
    known = [row for row in rows["train"] if not is_refusal(row.completion)]
    parts = (
        (rows["train"], most_taught),  # not those to be refused, which may be many more
        (rows["test"] or rows["val"], len(rows["test"] or rows["val"])),
        (rows["unknown_test"] or rows["unknown_val"], most_unknown),
        (rows["val"] or _with_noise(spread(known, MAX_FITTING), tokenizer, seq_len), MAX_FITTING),
        (rows["unknown_val"] or rows["unknown"], MAX_FITTING),
    )
    wanted = ((p, min(most, len(p))) for p, most in parts)
    return Paper(*(spread(p, max(math.ceil(share * n), min(LEAST_ASKED, n))) for p, n in wanted))


def _with_noise(rows: list[Row], tokenizer: Tokenizer, seq_len: int) -> list[Row]:
    """Return the rows with noisy questions; one that would get too long stays as it is."""
    source = random.Random(0)
    noisy = []
    for row in rows:
        prompt = noisy_question(row.prompt, source.choice(rows).prompt, source)
        fits = len(encode_prompt(tokenizer, prompt)) < seq_len
        noisy.append(row._replace(prompt=prompt) if fits else row)
    return noisy


def exam_seconds(model: GPT, tokenizer: Tokenizer, data: TrainingData) -> float:
    """Return about how long the whole exam will take for two models. 预计考试用时。

    Measured on a small part; an untrained model gives longer answers, so it is an upper bound.
    """
    started_at = time.perf_counter()
    if data.is_text:
        validation_loss(model, data.validation, next_token_loss)
        whole = 2 * len(data.val_text) / len(data.validation)
    else:
        paper = set_paper(data, tokenizer, model.config.seq_len)
        rows = spread(paper.taught + paper.reworded, BATCH_SIZE)
        settings = replace(GREEDY, max_new_tokens=PROBE_TOKENS)
        with evaluating(model):
            answers(model, tokenizer, [row.prompt for row in rows], settings)
        whole = paper.n_questions / len(rows)
    return whole * (time.perf_counter() - started_at)


def final_exam(
    models: dict[str, GPT],
    tokenizer: Tokenizer,
    data: TrainingData,
    share: float,
    say: Callable[[str], None],
    threshold: float | None = None,
) -> ExamResult:
    """Return the results of the models `fp32` and `int8`, and a table of them. 考试并列表。

    The refusal threshold is fitted with fp32, unless it is given, and holds for both. With a share
    below 1, only that part of the questions is asked, spread evenly.
    """
    if data.is_text:
        say("exam: the validation text …")
        return _text_exam(models, tokenizer, data, share)
    paper = set_paper(data, tokenizer, models["fp32"].config.seq_len, share)
    say(f"exam: {paper.n_questions:,} questions …")
    if threshold is None:
        threshold = fit_refusal(models["fp32"], tokenizer, paper)
    replies = {name: answer_paper(model, tokenizer, paper) for name, model in models.items()}
    results: Results = {}
    for name, given in replies.items():
        scores = given.scores(threshold)
        results[name] = {key: score._asdict() for key, score in scores.items()}
    same = same_answers(replies["fp32"].all(), replies["int8"].all())
    results["int8"]["same_as_fp32"] = round(same, 5)
    table = score_table({name: given.scores(threshold) for name, given in replies.items()})
    table.append(f"{'same answer':18}{same:>20.1%}")
    table.append(f"{'refused below':18}{threshold:>20.2f}   probability of the least sure token")
    return ExamResult(results, table, threshold)


def fit_refusal(model: GPT, tokenizer: Tokenizer, paper: Paper) -> float:
    """Return the threshold fitted on held-out questions. 拟合拒答门槛。"""
    known, unknown = (take_exam(model, tokenizer, r) for r in (paper.fit_known, paper.fit_unknown))
    return calibrate(known, unknown)


def answer_paper(model: GPT, tokenizer: Tokenizer, paper: Paper) -> Replies:
    """Return a model's replies to the scored parts of the exam. 答卷。"""
    parts = (paper.taught, paper.reworded, paper.unknown)
    return Replies(*(take_exam(model, tokenizer, rows) for rows in parts))


def score_table(scores: dict[str, dict[str, Score]]) -> list[str]:
    """Return the lines of a table: the four numbers, a column for each model. 四个数字的表。"""
    width = max(20, *(len(name) + 2 for name in scores))
    table = [f"{'':18}" + "".join(f"{name:>{width}}" for name in scores)]
    for key in FOUR_NUMBERS:
        cells = [str(of_model[key]) if key in of_model else "-" for of_model in scores.values()]
        table.append(f"{key.replace('_', ' '):18}" + "".join(f"{cell:>{width}}" for cell in cells))
    return table


def _text_exam(
    models: dict[str, GPT], tokenizer: Tokenizer, data: TrainingData, share: float
) -> ExamResult:
    batches = spread(data.val_text, math.ceil(share * len(data.val_text)))
    n_tokens = sum(batch.targets.numel() for batch in batches)
    n_bytes = target_bytes(batches, tokenizer)
    results: Results = {}
    table = []
    for name, model in models.items():
        loss = validation_loss(model, batches, next_token_loss)
        results[name] = {"val_loss_nats": round(loss, 5), "val_tokens": n_tokens}
        line = f"{name}: {loss:.4f} nats a token"
        if n_bytes is not None:
            bits = bits_per_byte(loss, n_tokens, n_bytes)
            results[name]["val_bits_per_byte"] = round(bits, 5)
            line += f", {bits:.4f} bits a byte"
        table.append(line)
    if n_bytes is None:
        table.append("no bits a byte: the text has characters that the tokenizer does not know")
    if len(batches) < len(data.val_text):
        n_all = sum(batch.targets.numel() for batch in data.val_text)
        table.append(f"examined: {n_tokens:,} of {n_all:,} validation tokens, spread evenly")
    return ExamResult(results, table, None)


def target_bytes(batches: list[Batch], tokenizer: Tokenizer) -> int | None:
    """Return how many bytes the targets stand for; special tokens for none. 字节数。

    None if `<unk>` is among them: the model need not tell which character that was, so a text of
    unknown ones would seem easy.
    """
    n_bytes = torch.tensor([len(tokenizer.token_bytes(i)) for i in range(tokenizer.vocab_size)])
    if any((b.targets == UNK_ID).any() for b in batches):
        return None
    return sum(int(n_bytes[b.targets[b.targets != IGNORE_INDEX]].sum()) for b in batches)
