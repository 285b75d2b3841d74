"""How training grows with the model: five sizes, and one dimension at a time. 模型大小与训练。

python -m benchmarks.sizes

Each line is measured in a process of its own, so that its memory is its own. The time for a GPU is
computed, not measured: the operations of the updates at a share of the GPU's peak.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import replace
from statistics import median

import torch

from benchmarks.common import ROOT, Json, finish, make_parser, say, show
from gpt_teacher import machine
from gpt_teacher.config import Config, load_config
from gpt_teacher.loss import Batch, LossSum
from gpt_teacher.model import GPT, n_parameters
from gpt_teacher.optim import build_optimizer
from gpt_teacher.trainer import update
from gpt_teacher.training_pass import training_loss

VOCABULARY = 824
ROWS = 12  # of a batch, each as long as the context: what 32 questions fill
LONGEST_SECONDS = 20.0  # for one line, after the first updates
WARM_UP, MOST_UPDATES = 2, 12
GPU, GPU_PEAK, GPU_SHARE = "A100", 312e12, 0.4  # bfloat16 operations a second; share reached

SIZES = {
    "1M": ("model.n_layer=5", "model.n_embd=128"),
    "3.37M": (),
    "12M": ("model.n_layer=7", "model.n_head=6", "model.n_embd=384"),
    "30M": ("model.n_layer=9", "model.n_head=8", "model.n_embd=512"),
    "110M": ("model.n_layer=15", "model.n_head=12", "model.n_embd=768"),
}
DIMENSIONS = {
    "model.n_layer": (2, 4, 8),
    "model.n_embd": (128, 256, 512),
    "model.seq_len": (64, 128, 256, 512),
    "tokenizer.vocab_size": (824, 4096, 16384),
    "rows": (6, 12, 24),
}


def main() -> None:
    """Measure line by line, print a table. 主程序。"""
    parser = make_parser(__doc__)
    parser.add_argument("--one", help="measure one line, JSON, in this process; for our own use")
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(measure(**json.loads(arguments.one))))
        return
    sizes = {name: in_its_own_process(list(changes)) for name, changes in SIZES.items()}
    grown = {
        dimension: {str(value): grow(dimension, value) for value in values}
        for dimension, values in DIMENSIONS.items()
    }
    for title, lines in {"sizes": sizes, **grown}.items():
        show(title, [(name, describe(line)) for name, line in lines.items()])
    finish({"benchmark": "sizes", "sizes": sizes, "grown": grown}, arguments.save)


def grow(dimension: str, value: int) -> Json:
    """Measure the default model with one dimension changed. 只改一项。"""
    if dimension == "rows":
        return in_its_own_process([], rows=value)
    return in_its_own_process([f"{dimension}={value}"])


def in_its_own_process(overrides: list[str], rows: int = ROWS) -> Json:
    """Measure one line in a process of its own. 单独的进程。"""
    say(f"{' '.join(overrides) or 'the default model'}, {rows} rows …")
    line = json.dumps({"overrides": overrides, "rows": rows})
    command = [sys.executable, "-m", "benchmarks.sizes", "--one", line]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True, encoding="utf-8")
    measured: Json = json.loads(done.stdout)
    return measured


def measure(overrides: list[str], rows: int) -> Json:
    """Train some updates on random ids; return speed and memory. 测一种大小。"""
    config = load_config(ROOT / "config.yaml", overrides)
    machine.set_threads(config.training.threads)
    precision = machine.pick_precision(config.training.precision, torch.device("cpu"))
    training = replace(config.training, precision=precision)
    torch.manual_seed(training.seed)
    vocabulary = config.tokenizer.vocab_size
    model = GPT(config.model, vocabulary)
    optimizer = build_optimizer(model, training)
    ids = torch.randint(4, vocabulary, (rows, config.model.seq_len + 1))
    batch = Batch(ids[:, :-1], ids[:, 1:])  # every position is learnt

    def objective(model: GPT, batch: Batch) -> LossSum:
        return training_loss(model, batch, training)

    seconds: list[float] = []
    while len(seconds) < WARM_UP + 1 or (
        sum(seconds[WARM_UP:]) < LONGEST_SECONDS and len(seconds) < WARM_UP + MOST_UPDATES
    ):
        started_at = time.perf_counter()
        update(model, optimizer, [batch], objective, training.max_grad_norm)
        seconds.append(time.perf_counter() - started_at)
    return figures(config, vocabulary, ids[:, 1:].numel(), median(seconds[WARM_UP:]), precision)


def figures(config: Config, vocabulary: int, n_tokens: int, seconds: float, precision: str) -> Json:
    """Return the line: measured, and computed for the default number of updates. 一行结果。"""
    n = n_parameters(config.model, vocabulary)
    operations = 6 * n * n_tokens * config.training.max_steps
    return {
        "parameters": n,
        "precision": precision,
        "tokens_per_second": round(n_tokens / seconds),
        "update_ms": round(1000 * seconds, 1),
        "memory_mb": round((machine.peak_memory_bytes() or 0) / 1e6),
        "minutes_computed": round(seconds * config.training.max_steps / 60, 1),
        "gpu_seconds_computed": round(operations / GPU_PEAK / GPU_SHARE, 1),
    }


def describe(line: Json) -> str:
    """Return a line for the table. 一行文字。"""
    return (
        f"{line['parameters']:>11,} parameters, {line['tokens_per_second']:>6,} tokens/s, "
        f"{line['update_ms']:>8,} ms an update, {line['memory_mb']:,} MB"
    )


if __name__ == "__main__":
    main()
