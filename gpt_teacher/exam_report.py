"""The whole exam of a checkpoint: numbers for a file, lines for a reader. 成绩单。"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gpt_teacher.checkpoint import build_model, load_checkpoint
from gpt_teacher.config import Config, parse_config
from gpt_teacher.data import TrainingData, load_training_data
from gpt_teacher.errors import DataError
from gpt_teacher.evaluate import validation_loss
from gpt_teacher.exam import (
    FOUR_NUMBERS,
    Replies,
    Score,
    confusions,
    same_answers,
    scores_by,
    topic_names,
    worst_topics,
)
from gpt_teacher.final_exam import (
    Paper,
    answer_paper,
    fit_refusal,
    score_table,
    set_paper,
    target_bytes,
)
from gpt_teacher.loss import IGNORE_INDEX, bits_per_byte, next_token_loss
from gpt_teacher.model import GPT
from gpt_teacher.quantize import dequantize, is_quantized, quantize
from gpt_teacher.questions import question_validation
from gpt_teacher.refusal import risk_coverage
from gpt_teacher.text_files import Row
from gpt_teacher.tokenizer import Tokenizer

Report = dict[str, Any]  # a JSON object
MAX_LISTED = 10  # topics and confusions
THRESHOLDS = [n / 20 for n in range(20)]  # of the risk-coverage curve
BATCH = 32  # rows, for bits per byte


def report_on(
    folder: Path, overrides: list[str], most_taught: int, say: Callable[[str], None]
) -> tuple[Report, dict[str, Replies]]:
    """Return the report on a checkpoint and the replies of its models. 考一个检查点。

    The questions are those of the data files that it was trained with; overrides are `--set`
    texts that name others. A float32 checkpoint is examined as it is and quantized.
    """
    started_at = time.perf_counter()
    checkpoint = load_checkpoint(folder)
    source = str(folder / "config.yaml")
    config = parse_config(checkpoint.config.to_yaml(), source, overrides)
    paper, data = _paper(config, checkpoint.tokenizer, most_taught, folder)
    models = {"int8": build_model(checkpoint, dequantize(checkpoint.tensors), int8=True)}
    if not is_quantized(checkpoint.tensors):
        weights = checkpoint.tensors
        models = {
            "fp32": build_model(checkpoint, weights),
            "int8": build_model(checkpoint, dequantize(quantize(weights)), int8=True),
        }
    threshold = config.sampling.refuse_below
    if threshold is None:
        say(f"{folder}: no refusal threshold in it; fitting one …")
        threshold = fit_refusal(next(iter(models.values())), checkpoint.tokenizer, paper)
    report: Report = {"checkpoint": folder.as_posix(), "refuse_below": threshold, "models": {}}
    all_replies = {}
    for name, model in models.items():
        say(f"{folder}, {name}: {paper.n_scored:,} questions …")
        replies = all_replies[name] = answer_paper(model, checkpoint.tokenizer, paper)
        bits = answer_bits(model, checkpoint.tokenizer, paper.reworded or paper.taught)
        report["models"][name] = _describe(replies, threshold, data) | {"bits_per_byte": bits}
    if "fp32" in all_replies:
        same = same_answers(all_replies["fp32"].all(), all_replies["int8"].all())
        report["same_answers"] = round(same, 5)
    report["seconds"] = round(time.perf_counter() - started_at, 1)
    return report, all_replies


def _paper(
    config: Config, tokenizer: Tokenizer, most_taught: int, folder: Path
) -> tuple[Paper, TrainingData]:
    if config.data.format == "lm":
        raise DataError(f"{folder}: it was trained on plain text; there are no questions to ask")
    data = load_training_data(config, tokenizer)
    n_unknown = len(data.rows["unknown_test"]) + len(data.rows["unknown_val"])  # all of them
    return set_paper(data, tokenizer, config.model.seq_len, 1.0, most_taught, n_unknown), data


def answer_bits(model: GPT, tokenizer: Tokenizer, rows: list[Row]) -> float | None:
    """Return the bits per byte of the expected answers to these questions. 每字节比特数。

    None if the tokenizer does not know a character of them.
    """
    batches = question_validation(rows, tokenizer, BATCH)
    n_targets = sum(int((batch.targets != IGNORE_INDEX).sum()) for batch in batches)
    n_bytes = target_bytes(batches, tokenizer)
    if n_bytes is None:
        return None
    loss = validation_loss(model, batches, next_token_loss)
    return round(bits_per_byte(loss, n_targets, n_bytes), 5)


def _describe(replies: Replies, threshold: float, data: TrainingData) -> Report:
    """Return all that is known of a model's replies, as JSON. 汇总。"""
    rows = data.rows["train"] + data.rows["val"] + data.rows["test"]
    names, answers = topic_names(rows), {row.completion for row in data.rows["train"]}
    # Without reworded questions nothing can be answered right, and a curve says nothing.
    asked = replies.reworded + replies.unknown if replies.reworded else []
    outcomes = [one.outcome() for one in asked]
    return {
        **{name: score._asdict() for name, score in replies.scores(threshold).items()},
        "paraphrase_by_subject": _scores(scores_by(replies.reworded, "subject", threshold)),
        "paraphrase_by_kind": _scores(scores_by(replies.reworded, "kind", threshold)),
        "unknown_refused_by_kind": _scores(scores_by(replies.unknown, "kind", threshold)),
        "worst_topics": [
            {"topic": names[answer], **score._asdict()}
            for answer, score in worst_topics(replies.reworded, threshold, MAX_LISTED)
        ],
        "confusions": [
            {"asked": names[asked], "answered": names[given], "times": times}
            for asked, given, times in confusions(replies.reworded, answers, threshold, MAX_LISTED)
        ],
        "risk_coverage": [
            point._asdict() for point in risk_coverage(outcomes, THRESHOLDS if outcomes else [])
        ],
        "at_threshold": risk_coverage(outcomes, [threshold])[0]._asdict(),
    }


def _scores(scores: dict[str, Score]) -> dict[str, dict[str, int]]:
    return {name: score._asdict() for name, score in scores.items()}


def _table_scores(model: Report) -> dict[str, Score]:
    return {key: Score(**model[key]) for key in FOUR_NUMBERS if key in model}


def report_lines(report: Report) -> list[str]:
    """Return a report as lines to read. 成绩单的文字。"""
    models = report["models"]
    lines = [f"{report['checkpoint']}: refused below {report['refuse_below']:.2f}"]
    lines += score_table({name: _table_scores(model) for name, model in models.items()})
    bits = [model["bits_per_byte"] for model in models.values()]
    if None in bits:
        lines.append(f"{'bits per byte':18}{'-':>20}   unknown characters in the expected answers")
    else:
        figures = "".join(f"{one:>20.4f}" for one in bits)
        lines.append(f"{'bits per byte':18}{figures}   of the expected answers")
    if "same_answers" in report:
        lines.append(f"{'same answer':18}{report['same_answers']:>20.1%}")
    first_name, first = next(iter(models.items()))
    for key in ("paraphrase_by_subject", "paraphrase_by_kind", "unknown_refused_by_kind"):
        if first[key]:
            lines += ["", f"{key.replace('_', ' ')}, {first_name}:"]
            lines += [f"  {Score(**score)!s:>20}  {name}" for name, score in first[key].items()]
    if first["worst_topics"]:
        lines += ["", f"worst topics, {first_name}:"]
        for topic in first["worst_topics"]:
            score = Score(topic["hits"], topic["questions"])
            lines.append(f"  {score!s:>20}  {topic['topic']}")
    if first["confusions"]:
        lines += ["", f"taken for another topic, {first_name}:"]
        lines += [
            f"  {c['times']:>3} times  {c['asked']} -> {c['answered']}" for c in first["confusions"]
        ]
    if first["risk_coverage"]:
        lines += ["", f"risk and coverage of the refusal threshold, {first_name}:"]
        lines.append("  threshold   answered   wrong among the answers")
    for point in first["risk_coverage"][::2]:
        lines.append(
            f"  {point['threshold']:>9.2f}   {point['coverage']:>8.1%}   {point['risk']:.1%}"
        )
    return [*lines, "", f"{report['seconds']} seconds"]


def comparison_lines(reports: list[Report], replies: list[Replies], names: list[str]) -> list[str]:
    """Return two checkpoints side by side, and what only one of them gets right. 并列对比。"""
    columns = {}
    for name, report in zip(names, reports, strict=True):
        columns[name] = _table_scores(next(iter(report["models"].values())))
    lines = score_table(columns)
    marks = [
        {(r.row.prompt, r.row.completion): r.right(report["refuse_below"]) for r in given.all()}
        for report, given in zip(reports, replies, strict=True)
    ]
    for name, own, other in zip(names, marks, marks[::-1], strict=True):
        only = [key[0] for key, right in own.items() if right and other.get(key) is False]
        lines += ["", f"only {name} is right: {len(only)} questions"]
        lines += [f"  {question}" for question in only[:MAX_LISTED]]
    return lines
