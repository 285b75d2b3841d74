"""The training loop, the only one. 训练循环。

It knows batches and an objective. Files, stages and screens are its caller's, who says through
`Hooks` what to do after an update, at an evaluation, and when to stop.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch.nn.utils import get_total_norm

from gpt_teacher.batches import Batches
from gpt_teacher.config import TrainingConfig
from gpt_teacher.distributed import ALONE, Team
from gpt_teacher.errors import TrainingError
from gpt_teacher.evaluate import Objective
from gpt_teacher.loss import Batch
from gpt_teacher.model import GPT
from gpt_teacher.optim import learning_rate
from gpt_teacher.run_log import Step
from gpt_teacher.tokenizer import PAD_ID

UNMEASURED_STEPS = 2  # the first updates are slower: memory is being reserved
MEASURED_STEPS = 8  # then the speed is known well enough for a first plan
SEED_STEP = 1_000_003  # between the seeds of two runs: more than a run has updates
RANK_STEP = SEED_STEP << 31  # between those of two processes: more than all runs take


@dataclass
class Progress:
    """Where a run stands; saved with it. 训练进度。"""

    step: int  # updates done
    max_steps: int
    elapsed_seconds: float = 0.0
    n_tokens: int = 0  # read so far, padding left out
    best_val_loss: float = math.inf
    n_worse: int = 0  # evaluations since the best one

    @property
    def finished(self) -> bool:
        """Tell whether there is nothing left to train. 是否训练完。"""
        return self.step >= self.max_steps


class Hooks(NamedTuple):
    """What the caller does along the way. 调用者提供的动作。"""

    on_step: Callable[[Step], None]
    evaluate: Callable[[int], float | None]  # step -> validation loss in nats, or None
    save: Callable[[Progress], None]
    should_stop: Callable[[], bool]  # asked after each update


def update(
    model: GPT,
    optimizer: torch.optim.Optimizer,
    micro_batches: Iterable[Batch],
    objective: Objective,
    max_grad_norm: float,
    team: Team = ALONE,
) -> tuple[float, float, int]:
    """One optimizer step; each process of a team takes its share of the rows. 一次参数更新。

    Returns loss in nats per target token, gradient norm before clipping, and tokens read.
    Raises TrainingError, the weights untouched, if the gradient is not finite.
    """
    optimizer.zero_grad(set_to_none=True)
    loss_sum, n_targets, n_tokens = 0.0, 0.0, 0.0
    for whole_batch in micro_batches:
        batch = team.share(whole_batch)
        if batch is None:
            continue
        part = objective(model, batch.to(model.device))  # a sum, never a mean
        whole = part.total + part.aside
        whole.backward()  # type: ignore[no-untyped-call]  # gradients add up over micro-batches ...
        loss_sum, n_targets = loss_sum + part.total.item(), n_targets + part.count
        n_tokens += int((batch.input_ids != PAD_ID).sum())
    team.add_up_gradients(model.parameters())
    loss_sum, n_targets, n_tokens = team.add_up(loss_sum, n_targets, n_tokens)
    grad_norm = mean_gradients(model, n_targets, max_grad_norm)  # ... so divide once
    loss = loss_sum / n_targets
    if not (math.isfinite(loss) and math.isfinite(grad_norm)):
        raise TrainingError(f"the loss is {loss} and the gradient norm {grad_norm}")
    optimizer.step()
    return loss, grad_norm, int(n_tokens)


def mean_gradients(model: GPT, n_targets: float, max_grad_norm: float) -> float:
    """Divide summed gradients by the number of targets and clip them, at one go. 平均并裁剪。

    Returns the norm of the mean before clipping. Source: Pascanu et al. 2013, arXiv:1211.5063, §3.
    """
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    grad_norm = get_total_norm(gradients).item() / n_targets
    scale = min(1.0, max_grad_norm / (grad_norm + 1e-6)) / n_targets
    for gradient in gradients:
        gradient *= scale
    return grad_norm


def train(
    model: GPT,
    optimizer: torch.optim.Optimizer,
    batches: Batches,
    objective: Objective,
    config: TrainingConfig,
    progress: Progress,
    hooks: Hooks,
    seconds: float | None = None,
    clock: Callable[[], float] = time.perf_counter,
    team: Team = ALONE,
) -> Progress:
    """Train from progress.step to progress.max_steps, or until told to stop. 训练。

    With `seconds`, the number of updates is planned from the speed of the first ones so that the
    run, with its evaluations, ends on time, and planned again at each evaluation; the schedule
    follows the plan. The processes of a team follow their leader's. Raises TrainingError, naming
    the step, when the loss is not a number any more.
    """
    budget = TimeBudget(seconds, clock)
    started_at = clock() - progress.elapsed_seconds
    if seconds is not None and not progress.finished:  # the first plan needs so many
        first_plan = progress.step + UNMEASURED_STEPS + MEASURED_STEPS + 1
        progress.max_steps = max(progress.max_steps, first_plan)
    if progress.step == 0:
        _evaluate(progress, hooks, budget, team)
    while not progress.finished:
        step_at = clock()
        record, n_tokens = _one_step(model, optimizer, batches, objective, config, progress, team)
        step_seconds = clock() - step_at
        progress.step += 1
        progress.n_tokens += n_tokens
        progress.elapsed_seconds = clock() - started_at
        hooks.on_step(
            record._replace(
                tokens_per_second=n_tokens / max(step_seconds, 1e-9),
                elapsed_seconds=progress.elapsed_seconds,
            )
        )
        budget.measure(step_seconds)
        if budget.n_measured == MEASURED_STEPS:
            progress.max_steps = team.from_leader(budget.plan(progress, config.eval_interval))
        stop = team.any(hooks.should_stop())
        due = progress.step % config.eval_interval == 0 or progress.finished
        if due:
            _evaluate(progress, hooks, budget, team)
            progress.max_steps = team.from_leader(budget.plan(progress, config.eval_interval))
            if 0 < config.early_stop <= progress.n_worse:
                progress.max_steps = progress.step
            progress.elapsed_seconds = clock() - started_at
        if due or stop:
            hooks.save(progress)
        if stop:
            break
    return progress


def _one_step(
    model: GPT,
    optimizer: torch.optim.Optimizer,
    batches: Batches,
    objective: Objective,
    config: TrainingConfig,
    progress: Progress,
    team: Team,
) -> tuple[Step, int]:
    """Update once; return what to log, its times left open, and the tokens read. 走一步。"""
    lr = learning_rate(progress.step, progress.max_steps, config)
    for group in optimizer.param_groups:
        group["lr"] = lr
    model.train()
    if model.config.dropout:  # seeded by the update: a resumed run drops the same, on any device
        torch.manual_seed(config.seed * SEED_STEP + progress.step + team.rank * RANK_STEP)
    try:
        micro_batches = batches(progress.step, progress.max_steps)
        loss, norm, n = update(
            model, optimizer, micro_batches, objective, config.max_grad_norm, team
        )
    except TrainingError as error:
        raise TrainingError(
            f"step {progress.step + 1}: {error}, at a learning rate of {lr:.3g}. The weights saved "
            f"before are good; try lower rates: {_lower_rates(config)}"
        ) from None
    return Step(progress.step + 1, loss, lr, norm, 0.0, 0.0), n


def _lower_rates(config: TrainingConfig) -> str:
    """Return the overrides for a third of the learning rates. 更低的学习率。"""
    rates = {"lr": config.lr} | ({"muon_lr": config.muon_lr} if config.optimizer == "muon" else {})
    return " ".join(f"--set training.{name}={rate / 3:.1g}" for name, rate in rates.items())


def _evaluate(progress: Progress, hooks: Hooks, budget: TimeBudget, team: Team) -> None:
    """Evaluate and count evaluations without a better loss. 评估一次。"""
    started_at = budget.clock()
    loss = team.from_leader(hooks.evaluate(progress.step))
    budget.evaluation_seconds = budget.clock() - started_at
    if loss is None:
        return
    progress.n_worse = 0 if loss < progress.best_val_loss else progress.n_worse + 1
    progress.best_val_loss = min(loss, progress.best_val_loss)


class TimeBudget:
    """Plans how many updates fit into the time that is left. 按时间规划步数。"""

    def __init__(self, seconds: float | None, clock: Callable[[], float]) -> None:
        """Start the clock; None = no limit, keep to the number of updates. 开始计时。"""
        self.clock = clock
        self._ends_at = None if seconds is None else clock() + seconds
        self._n_steps, self._seconds, self.n_measured = 0, 0.0, 0
        self.evaluation_seconds = 0.0  # of the last one

    def measure(self, step_seconds: float) -> None:
        """Note the time of one update. 记一步的时间。"""
        self._n_steps += 1
        if self._n_steps > UNMEASURED_STEPS:
            self._seconds += step_seconds
            self.n_measured += 1

    def plan(self, progress: Progress, eval_interval: int) -> int:
        """Return the number of updates, done ones included, that ends on time. 规划总步数。"""
        if self._ends_at is None or not self.n_measured or progress.finished:
            return progress.max_steps
        step_seconds = self._seconds / self.n_measured + self.evaluation_seconds / eval_interval
        left = self._ends_at - self.clock() - self.evaluation_seconds  # one comes at the end
        return progress.step + max(1, int(left / max(step_seconds, 1e-9)))
