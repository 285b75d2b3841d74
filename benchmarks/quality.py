"""Time to quality: how long until every taught question is answered to the letter. 多久能学会。

The original recipe's time is that of one update times its 2,000; both are measured in turn.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import torch

from benchmarks.common import ROOT, Json, say, show, summary
from benchmarks.original_recipe import UPDATES, OriginalRecipe
from gpt_teacher import from_pretrained, machine
from gpt_teacher.config import Config, SamplingConfig, load_config
from gpt_teacher.data import spread
from gpt_teacher.model import GPT
from gpt_teacher.prompt import ASSISTANT, USER, encode_example, normalise
from gpt_teacher.run_log import Evaluation, Step
from gpt_teacher.sampler import answers
from gpt_teacher.text_files import Row, read_rows
from gpt_teacher.tokenizer import Tokenizer
from gpt_teacher.tokenizer_training import train_tokenizer
from gpt_teacher.training_run import run_training

N_DISTINCT, N_ROWS = 61, 510  # the original's file
ROUNDS = 3
UPDATES_A_ROUND = 5
# Few questions, nothing held out: no noise, no cut answers, large steps.
FEW_QUESTIONS = (
    "training.max_steps=40",
    "training.warmup_steps=3",
    "training.eval_interval=40",
    "training.lr=8e-3",
    "training.muon_lr=0.03",
    "training.question_weight=0",
    "training.label_smoothing=0",
    "data.noise=0",
    "data.short_answers=0",
)


def time_to_quality(data: Path | None, full: bool) -> Json:
    """Train both ways in turn on a file, None = one like the original's. 比较两种方法。

    With full, the original recipe runs to its end, too.
    """
    rows = read_rows(data) if data else like_the_original()
    with a_folder() as folder:
        lines = (json.dumps({"prompt": r.prompt, "completion": r.completion}) for r in rows)
        (folder / "train.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
        return measure(rows, full)


def like_the_original() -> list[Row]:
    """Return 61 questions of our own data, a topic each, 510 rows with duplicates. 同样形状。"""
    topics: dict[str, Row] = {}
    for row in read_rows(ROOT / "data" / "train.jsonl"):
        topics.setdefault(row.completion, row)
    distinct = spread([*topics.values()], N_DISTINCT)
    return [distinct[i % N_DISTINCT] for i in range(N_ROWS)]


@contextmanager
def a_folder() -> Iterator[Path]:
    """Work in a folder that is gone in the end. 临时文件夹。"""
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            yield Path(folder)
        finally:
            os.chdir(before)


def measure(rows: list[Row], full: bool) -> Json:
    """Measure both recipes in turn. 交替测量。"""
    machine.set_threads(0)
    config, tokenizer = configuration(rows, seed=42)
    distinct = list({(normalise(row.prompt), row.completion): row for row in rows}.values())
    torch.manual_seed(42)
    original = OriginalRecipe(
        GPT(config.model, tokenizer.vocab_size),
        [encode_example(tokenizer, row.prompt, row.completion) for row in rows],
    )
    original.update()  # the first one is slower
    update_seconds, seconds, right = [], [], []
    for number in range(ROUNDS):
        say(f"round {number + 1} of {ROUNDS} …")
        update_seconds += [timed(original) for _ in range(UPDATES_A_ROUND)]
        config, tokenizer = configuration(rows, seed=42 + number)
        started_at = time.perf_counter()
        run = run_training(config, Silent(), lambda: False)
        seconds.append(run.progress.elapsed_seconds)
        say(f"  {seconds[-1]:.1f} s, with the exam {time.perf_counter() - started_at:.1f} s")
        teacher = from_pretrained(run.folder)
        right.append(n_right(teacher.model, teacher.tokenizer, distinct))
    whole = median(update_seconds) * UPDATES
    result: Json = {
        "questions": len(distinct),
        "ours": {"seconds": summary(seconds, 2), "right": right, "set": list(FEW_QUESTIONS)},
        "original": {
            "update_seconds": summary(update_seconds, 3),
            "updates": UPDATES,
            "seconds": round(whole, 1),
        },
        "ratio": round(whole / median(seconds), 1),
    }
    if full:
        result["original"] |= to_the_end(original, tokenizer, distinct)
    print_table(result)
    return result


def configuration(rows: list[Row], seed: int) -> tuple[Config, Tokenizer]:
    """Return our recipe for this folder and a tokenizer learnt from the rows. 配置与分词器。"""
    paths = ("val", "unknown", "test", "unknown_val", "unknown_test")
    overrides = [
        *FEW_QUESTIONS,
        f"training.seed={seed}",
        "data.train_path=train.jsonl",
        *(f"data.{name}_path=null" for name in paths),
    ]
    config = load_config(ROOT / "config.yaml", overrides)
    pairs = dict.fromkeys((normalise(row.prompt), row.completion) for row in rows)
    texts = [text for prompt, answer in pairs for text in (USER + prompt + ASSISTANT, answer)]
    tokenizer = train_tokenizer(texts, config.tokenizer)
    tokenizer.save(Path(config.tokenizer.path))
    return config, tokenizer


class Silent:
    """A listener that says nothing. 不出声。"""

    def say(self, text: str) -> None:
        """Ignore a sentence. 忽略。"""

    def step(self, step: Step, max_steps: int) -> None:
        """Ignore an update. 忽略。"""

    def evaluation(self, evaluation: Evaluation) -> None:
        """Ignore an evaluation. 忽略。"""


def timed(original: OriginalRecipe) -> float:
    """Return the seconds of one update the original way. 一次更新的时间。"""
    started_at = time.perf_counter()
    original.update()
    return time.perf_counter() - started_at


def n_right(model: GPT, tokenizer: Tokenizer, rows: list[Row]) -> int:
    """Return how many questions are answered to the letter. 答对几题。"""
    given = answers(model, tokenizer, [row.prompt for row in rows], SamplingConfig())
    return sum(one.text == row.completion for one, row in zip(given, rows, strict=True))


def to_the_end(original: OriginalRecipe, tokenizer: Tokenizer, rows: list[Row]) -> Json:
    """Finish the original recipe's updates; return how much it has learnt. 训练到底。"""
    started_at, done = time.perf_counter(), original.n_updates
    for number in range(done, UPDATES):
        loss = original.update()
        if number % 100 == 0:
            say(f"  original recipe, update {number}: loss {loss:.3f}")
    seconds = time.perf_counter() - started_at
    whole = round(seconds * UPDATES / (UPDATES - done), 1)
    return {"full_seconds": whole, "right": n_right(original.model.eval(), tokenizer, rows)}


def print_table(result: Json) -> None:
    """Show the result. 打印。"""
    ours, original = result["ours"], result["original"]
    rows = [
        ("questions", str(result["questions"])),
        ("ours", f"{ours['seconds']['median']} s, right: {ours['right']}"),
        ("the original recipe, an update", f"{original['update_seconds']['median']} s"),
        (f"the original recipe, {UPDATES} updates", f"{original['seconds']} s"),
        ("ratio", f"{result['ratio']}"),
    ]
    if "right" in original:
        rows.append(("run to the end", f"{original['full_seconds']} s, right: {original['right']}"))
    show("time to quality", rows)
