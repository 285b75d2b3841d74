"""Tokens a second on the shipped corpus, and where the time of an update goes. 训练一步的时间。

float32 and bfloat16 take turns, and the matrix product that they are compared with takes turns with
them.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from statistics import median
from typing import Any, Literal

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.common import ROOT, Json, say, show, summary
from gpt_teacher import machine, trainer
from gpt_teacher.config import Config, load_config
from gpt_teacher.data import TrainingData, load_training_data
from gpt_teacher.evaluate import probe, validation_loss
from gpt_teacher.loss import Batch, LossSum, next_token_loss
from gpt_teacher.model import GPT
from gpt_teacher.optim import build_optimizer
from gpt_teacher.tokenizer import Tokenizer, load_tokenizer
from gpt_teacher.training_pass import training_loss

Precision = Literal["float32", "bfloat16"]
ROUNDS, UPDATES_A_ROUND = 5, 10
MEMORY_UPDATES = 100
MATRIX = 1024  # of the matrix product that is the measure
PARTS = ("data", "forward", "backward", "clipping", "optimizer")


def training_speed() -> Json:
    """Measure both precisions in turn. 交替测量。"""
    machine.set_threads(0)
    config = from_anywhere()
    tokenizer = load_tokenizer(ROOT / config.tokenizer.path, config.tokenizer)
    data = load_training_data(config, tokenizer)
    say("counting operations …")
    flops = operations(Trained("float32", config, tokenizer, data))
    trained: dict[Precision, Trained] = {
        "float32": Trained("float32", config, tokenizer, data),
        "bfloat16": Trained("bfloat16", config, tokenizer, data),
    }
    peaks: dict[Precision, list[float]] = {"float32": [], "bfloat16": []}
    for number in range(-1, ROUNDS):
        say(f"round {number + 1} of {ROUNDS} …")
        for precision, one in trained.items():
            peaks[precision].append(matrix_product(precision))
            one.updates(UPDATES_A_ROUND, counted=number >= 0)
    result: Json = {
        p: one.result(flops, median(peaks[p]), median(peaks["float32"]))
        for p, one in trained.items()
    }
    ratio = result["bfloat16"]["tokens_per_second"] / result["float32"]["tokens_per_second"]
    print_table(result, ratio)
    return {**result, "bfloat16_over_float32": round(ratio, 2)}


def from_anywhere() -> Config:
    """Return the default configuration with paths that are good from any folder. 绝对路径。"""
    paths = vars(load_config(ROOT / "config.yaml").data).items()
    absolute = [f"data.{n}={ROOT / path}" for n, path in paths if n.endswith("_path") and path]
    return load_config(ROOT / "config.yaml", absolute)


def matrix_product(precision: Precision) -> float:
    """Return the speed of a square matrix product in GFLOP/s. 矩阵乘的速度。"""
    a, b = (torch.randn(MATRIX, MATRIX, dtype=getattr(torch, precision)) for _ in range(2))
    times = []
    for _ in range(5):
        started_at = time.perf_counter()
        a @ b
        times.append(time.perf_counter() - started_at)
    return 2 * MATRIX**3 / median(times) / 1e9


class Trained:
    """A model in training, its clock running. 计时的训练。"""

    def __init__(
        self, precision: Precision, config: Config, tokenizer: Tokenizer, data: TrainingData
    ) -> None:
        """Start from new weights, in the middle of a run. 从头开始。"""
        self.precision, self.tokenizer, self.data = precision, tokenizer, data
        self.config = replace(config.training, precision=precision)
        torch.manual_seed(config.training.seed)
        self.model = GPT(config.model, tokenizer.vocab_size)
        self.optimizer = build_optimizer(self.model, self.config)
        self.n_updates = 0
        self.seconds: defaultdict[str, float] = defaultdict(float)  # of each part
        self.step_seconds: list[float] = []
        self.n_tokens = 0

    def objective(self, model: GPT, batch: Batch) -> LossSum:
        """Return the loss, as a training run computes it. 训练目标。"""
        return training_loss(model, batch, self.config)

    def batches(self, number: int) -> list[Batch]:
        """Return the batches of an update; those measured are spread over a run. 批次。"""
        spread = self.config.max_steps // ((ROUNDS + 1) * UPDATES_A_ROUND)
        return self.data.batches(number * spread, self.config.max_steps)

    def updates(self, n: int, counted: bool) -> None:
        """Make n updates, and count their time. 若干次更新。"""
        for _ in range(n):
            seconds, n_tokens = self.update()
            self.n_updates += 1
            if counted:
                self.step_seconds.append(sum(seconds.values()))
                self.n_tokens += n_tokens
                for part, spent in seconds.items():
                    self.seconds[part] += spent

    def update(self) -> tuple[dict[str, float], int]:
        """Make one update; return the seconds of its parts, and its tokens. 一步。"""
        seconds: dict[str, float] = {}
        batches = clocked(seconds, "data", self.batches)(self.n_updates)
        objective = clocked(seconds, "forward", self.objective)
        changed: list[tuple[Any, str, Any]] = [
            (torch.Tensor, "backward", clocked(seconds, "backward", torch.Tensor.backward)),
            (trainer, "mean_gradients", clocked(seconds, "clipping", trainer.mean_gradients)),
            (self.optimizer, "step", clocked(seconds, "optimizer", self.optimizer.step)),
        ]
        before = [getattr(owner, name) for owner, name, _ in changed]
        for owner, name, function in changed:
            setattr(owner, name, function)
        try:
            _, _, n_tokens = trainer.update(
                self.model, self.optimizer, batches, objective, self.config.max_grad_norm
            )
        finally:
            for (owner, name, _), function in zip(changed, before, strict=True):
                setattr(owner, name, function)
        return seconds, n_tokens

    def result(self, flops: int, peak: float, float32_peak: float) -> Json:
        """Return what was measured; flops are those of all the updates that count. 结果。"""
        whole = sum(self.step_seconds)
        gflops = flops / whole / 1e9
        return {
            "tokens_per_second": round(self.n_tokens / whole),
            "update_ms": summary([1000 * s for s in self.step_seconds]),
            "parts_percent": {p: round(100 * self.seconds[p] / whole, 1) for p in PARTS},
            "evaluation_percent": round(100 * self.evaluation_share(), 1),
            "gflops": round(gflops, 1),
            "matrix_gflops": round(peak, 1),
            "percent_of_peak": round(100 * gflops / float32_peak, 1),  # of float32
            "peak_memory_mb": peak_memory(self.precision),
        }

    def evaluation_share(self) -> float:
        """Return the share of a run that goes into its evaluations. 评估占的时间。"""
        self.model.eval()
        started_at = time.perf_counter()
        validation_loss(self.model, self.data.validation, next_token_loss)
        probe(self.model, self.tokenizer, self.data.probes)
        seconds = time.perf_counter() - started_at
        self.model.train()
        return seconds / (seconds + self.config.eval_interval * median(self.step_seconds))


def operations(one: Trained) -> int:
    """Return the operations of the matrix products of all updates that count. 计算量。

    Those of both passes and of the optimizer; the same in both precisions.
    """
    one.updates(UPDATES_A_ROUND, counted=False)
    with FlopCounterMode(display=False) as counter:
        one.updates(ROUNDS * UPDATES_A_ROUND, counted=False)
    return int(counter.get_total_flops())


def clocked(
    seconds: dict[str, float], part: str, function: Callable[..., Any]
) -> Callable[..., Any]:
    """Return a function that adds its time to a part. 计时。"""

    def run(*arguments: Any, **options: Any) -> Any:
        started_at = time.perf_counter()
        try:
            return function(*arguments, **options)
        finally:
            seconds[part] = seconds.get(part, 0.0) + time.perf_counter() - started_at

    return run


def peak_memory(precision: Precision) -> float:
    """Return the largest memory of a training process of its own, in MB. 峰值内存。"""
    command = [sys.executable, "-m", "benchmarks.training_speed", precision]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, encoding="utf-8")
    return float(json.loads(done.stdout))


def main() -> None:
    """Train a little and print the peak memory: the process that peak_memory starts. 子进程。"""
    machine.set_threads(0)
    config = from_anywhere()
    tokenizer = load_tokenizer(ROOT / config.tokenizer.path, config.tokenizer)
    one = Trained(sys.argv[1], config, tokenizer, load_training_data(config, tokenizer))  # type: ignore[arg-type]
    for number in range(MEMORY_UPDATES):
        batches = one.data.batches(
            number * one.config.max_steps // MEMORY_UPDATES, one.config.max_steps
        )
        trainer.update(one.model, one.optimizer, batches, one.objective, one.config.max_grad_norm)
    print(json.dumps(round((machine.peak_memory_bytes() or 0) / 1e6, 1)))


def print_table(result: Json, ratio: float) -> None:
    """Show the result. 打印。"""
    for precision, one in result.items():
        parts = ", ".join(f"{part} {share} %" for part, share in one["parts_percent"].items())
        rows = [
            ("tokens/s", f"{one['tokens_per_second']:,}"),
            ("update", f"{one['update_ms']['median']} ms ({parts})"),
            ("evaluations", f"{one['evaluation_percent']} % of a run"),
            ("matrix products", f"{one['gflops']} GFLOP/s, alone {one['matrix_gflops']}"),
            ("of the float32 peak", f"{one['percent_of_peak']} %"),
            ("peak memory", f"{one['peak_memory_mb']} MB"),
        ]
        show(f"training in {precision}", rows)
    say(f"\nbfloat16 is {ratio:.2f} times as fast as float32")


if __name__ == "__main__":
    main()
