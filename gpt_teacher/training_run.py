"""A training run, from the configuration to the checkpoint folders. 一次完整的训练。

checkpoints/last/        the model so far, whole at any moment
checkpoints/quantized/   the same in int8, after the run
checkpoints/resume/      what --resume needs; the log grows here
checkpoints/previous/    the `last` and `resume` that a new run took the place of
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from gpt_teacher import machine
from gpt_teacher.checkpoint import (
    load_checkpoint,
    load_state,
    load_weights,
    save_checkpoint,
    save_state,
)
from gpt_teacher.commands import resume_command
from gpt_teacher.config import Config
from gpt_teacher.data import TrainingData, load_training_data
from gpt_teacher.distributed import ALONE, Team
from gpt_teacher.errors import CheckpointError, ConfigError, PromptError, TokenizerError, shown
from gpt_teacher.evaluate import probe, validation_loss
from gpt_teacher.final_exam import exam_seconds, final_exam
from gpt_teacher.loss import Batch, LossSum
from gpt_teacher.model import GPT, n_parameters
from gpt_teacher.optim import build_optimizer
from gpt_teacher.prompt import CHAT_TEMPLATE
from gpt_teacher.quantize import dequantize, quantize
from gpt_teacher.run_log import LOG_FILE, MAX_STEP_LINES, Evaluation, LogWriter, Step
from gpt_teacher.run_state import (
    load_optimizer,
    optimizer_tensors,
    reserved,
    set_aside,
    state_file,
)
from gpt_teacher.sampler import check_question
from gpt_teacher.tokenizer import Tokenizer, load_tokenizer
from gpt_teacher.trainer import Hooks, Progress, train
from gpt_teacher.training_pass import training_loss

MAX_EXAM_SHARE = 0.25  # of the time given by --minutes; a longer exam asks only some questions


class Listener(Protocol):
    """Whoever watches a run: a terminal or a page. 观看训练的人。"""

    def say(self, text: str) -> None:
        """Show a sentence. 说一句。"""
        ...

    def step(self, step: Step, max_steps: int) -> None:
        """Show an update. 一次更新。"""
        ...

    def evaluation(self, evaluation: Evaluation) -> None:
        """Show an evaluation. 一次评估。"""
        ...


@dataclass(frozen=True)
class Result:
    """What a run has left. 训练结果。"""

    folder: Path  # checkpoints/last
    finished: bool
    progress: Progress
    exam_table: list[str]  # lines for the user
    is_text: bool = False  # it continues text, and answers no questions


@dataclass
class TrainingRun:
    """The parts of one run. 一次训练的各个部分。"""

    config: Config
    listener: Listener
    tokenizer: Tokenizer
    data: TrainingData
    model: GPT
    optimizer: torch.optim.Optimizer
    progress: Progress
    log: LogWriter
    is_new: bool  # nothing saved yet: what is in the folder belongs to another run
    exam_share: float = 1.0  # of the questions, asked at the end
    exam_taken: bool = False
    refuse_below: float | None = None  # known after the exam, or configured
    first_loss: float | None = None
    last_loss: float | None = None

    @property
    def save_dir(self) -> Path:
        """Return the folder of all that this run writes. 保存位置。"""
        return Path(self.config.training.save_dir)

    def on_step(self, step: Step) -> None:
        """Log and show an update. 记录一次更新。"""
        self.first_loss = step.loss_nats if self.first_loss is None else self.first_loss
        self.last_loss = step.loss_nats
        every = -(-self.progress.max_steps // MAX_STEP_LINES)  # rounded up
        if step.step % every == 0 or step.step == 1:
            self.log.step(step)
        self.listener.step(step, self.progress.max_steps)

    def objective(self, model: GPT, batch: Batch) -> LossSum:
        """Return the loss to train on; matrix products in the precision of the run. 训练目标。"""
        return training_loss(model, batch, self.config.training)

    def evaluate(self, step: int) -> float | None:
        """Log and show the validation loss and the probe questions. 评估。

        The loss is computed as in training: in bfloat16 in half the time, three digits the same.
        """
        batches = self.data.validation
        loss = validation_loss(self.model, batches, self.objective) if batches else None
        samples = probe(self.model, self.tokenizer, self.data.probes, raw=self.data.is_text)
        evaluation = Evaluation(step, loss, samples)
        self.log.evaluation(evaluation)
        self.listener.evaluation(evaluation)
        return loss

    def save(self, progress: Progress) -> None:
        """Save the model and what resuming needs. 保存。"""
        self.save_folder("last", self.model.state_dict(), self.metrics())
        self.save_state(progress)
        self.is_new = False

    def save_state(self, progress: Progress) -> None:
        """Save what resuming needs. 保存续训状态。"""
        state = {
            "progress": asdict(progress),
            "first_loss": self.first_loss,
            "last_loss": self.last_loss,
            "exam_taken": self.exam_taken,
            "config": self.config.to_yaml(),
            "fingerprints": self.fingerprints(),
        }
        tensors = {f"model.{name}": t.cpu() for name, t in self.model.state_dict().items()}
        save_state(state_file(self.save_dir), tensors | optimizer_tensors(self.optimizer), state)

    def save_folder(self, name: str, tensors: dict[str, Tensor], metrics: dict[str, Any]) -> None:
        """Write one checkpoint folder; a new run keeps the one that it finds. 写检查点文件夹。"""
        sampling = replace(self.config.sampling, refuse_below=self.refuse_below)
        previous = self.save_dir / "previous" / name if self.is_new else None
        save_checkpoint(
            self.save_dir / name,
            tensors,
            replace(self.config, sampling=sampling),
            self.tokenizer,
            metrics,
            CHAT_TEMPLATE,
            self.log.path,
            previous,
        )

    def restore(
        self, tensors: dict[str, Tensor], state: dict[str, Any], rewind_log: bool = True
    ) -> None:
        """Go back to a saved state. 恢复。Raises CheckpointError if the data have changed since."""
        source = str(state_file(self.save_dir))
        if state["fingerprints"] != self.fingerprints():
            raise CheckpointError(
                f"{source}: the data or the tokenizer have changed since this run began, so it "
                f"cannot go on; start a new one without --resume"
            )
        weights = {n[6:]: t for n, t in tensors.items() if n.startswith("model.")}
        load_weights(self.model, weights, source)
        load_optimizer(self.optimizer, tensors)
        self.first_loss, self.last_loss = state["first_loss"], state.get("last_loss")
        if rewind_log:
            self.log.rewind(self.progress.step)

    def fingerprints(self) -> dict[str, object]:
        """Return what must not change in the middle of a run. 数据与分词器的指纹。"""
        return {"data": self.data.facts, "tokenizer_sha256": self.tokenizer.fingerprint}

    def metrics(self) -> dict[str, Any]:
        """Return the measured facts of the run so far. 测得的事实。"""
        progress, data = self.progress, self.data
        best = progress.best_val_loss
        return {
            "parameters": sum(p.numel() for p in self.model.parameters()),
            "vocab_size": self.tokenizer.vocab_size,
            "steps": progress.step,
            "max_steps": progress.max_steps,
            "tokens": progress.n_tokens,
            "elapsed_seconds": round(progress.elapsed_seconds, 1),
            "first_loss_nats": self.first_loss,
            "last_loss_nats": self.last_loss,
            "best_val_loss_nats": best if math.isfinite(best) else None,
            "fingerprints": self.fingerprints(),
            "cpu": machine.cpu_name(),
            "device": str(self.model.device),
            "threads": torch.get_num_threads(),
            "peak_memory_bytes": machine.peak_memory_bytes(),
            "versions": machine.versions(),
            "code_commit": machine.code_commit(),
            "seed": self.config.training.seed,
            "is_text": data.is_text,
        }

    def finish(self) -> list[str]:
        """Take the exam, write last/ and quantized/, end the log. 收尾。"""
        weights = {name: t.cpu() for name, t in self.model.state_dict().items()}
        quantized = quantize(weights)
        int8_model = GPT(self.config.model, self.tokenizer.vocab_size)
        int8_model.load_state_dict(dequantize(quantized))
        int8_model.came_as_int8 = True
        models = {"fp32": self.model, "int8": int8_model.to(self.model.device).eval()}
        results, table, self.refuse_below = final_exam(
            models,
            self.tokenizer,
            self.data,
            self.exam_share,
            self.listener.say,
            self.config.sampling.refuse_below,
        )
        metrics = self.metrics() | {"exam": results, "refuse_below": self.refuse_below}
        self.log.write(
            "end",
            steps=self.progress.step,
            elapsed_seconds=round(self.progress.elapsed_seconds, 1),
            peak_memory_bytes=machine.peak_memory_bytes(),
            exam=results,
        )
        self.save_folder("last", weights, metrics)
        self.save_folder("quantized", quantized, metrics)
        self.exam_taken = True
        self.save_state(self.progress)
        for name in ("last", "quantized"):
            size = (self.save_dir / name / "model.safetensors").stat().st_size
            table.append(f"{self.save_dir / name}: {size / 1e6:.2f} MB of weights")
        return table


def run_training(
    config: Config,
    listener: Listener,
    should_stop: Callable[[], bool],
    *,
    minutes: float | None = None,
    resume: bool = False,
    max_steps: int | None = None,
    init_weights: dict[str, Tensor] | None = None,
    strict: bool = False,
    team: Team = ALONE,
) -> Result:
    """Train as the configuration says and leave checkpoint folders behind. 训练一个模型。

    `minutes` bounds the whole run; `resume` goes on from the saved state (`resumed` gives config
    and max_steps, the new number of updates); init_weights are float32 tensors to start from.
    Raises children of GPTTeacherError.
    """
    started_at = time.perf_counter()
    run = _prepare(config, listener, resume, init_weights, strict, team)
    with reserved(run.save_dir) if team.leads else nullcontext():
        _begin(run, resume, max_steps, team)
        return _train(run, should_stop, minutes, started_at, team)


def _train(
    run: TrainingRun,
    should_stop: Callable[[], bool],
    minutes: float | None,
    started_at: float,
    team: Team,
) -> Result:
    """Train a run that has begun, to its end or until told to stop. 训练与考试。"""
    seconds = None
    if minutes is not None:
        exam = exam_seconds(run.model, run.tokenizer, run.data)
        exam_limit = MAX_EXAM_SHARE * minutes * 60
        run.exam_share = min(1.0, exam_limit / exam)
        used = time.perf_counter() - started_at
        seconds = max(1.0, minutes * 60 - used - min(exam, exam_limit))
    hooks = Hooks(run.on_step, run.evaluate, run.save, should_stop)
    if not team.leads:
        hooks = Hooks(lambda _: None, lambda _: None, lambda _: None, should_stop)
    train(
        run.model,
        run.optimizer,
        run.data.batches,
        run.objective,
        run.config.training,
        run.progress,
        hooks,
        seconds,
        team=team,
    )
    finished = run.progress.finished and not should_stop()  # told so in the last update: no exam
    table: list[str] = run.finish() if finished and team.leads else []
    last = run.save_dir / "last"
    return Result(last, finished, run.progress, table, run.data.is_text)


def _prepare(
    config: Config,
    listener: Listener,
    resume: bool,
    init_weights: dict[str, Tensor] | None,
    strict: bool,
    team: Team,
) -> TrainingRun:
    """Load and build everything that a run needs. 准备。"""
    training = config.training
    save_dir = Path(training.save_dir)
    tokenizer = load_tokenizer(Path(config.tokenizer.path), config.tokenizer)
    data = load_training_data(config, tokenizer, strict)
    for line in data.report:
        listener.say(line)
    if training.early_stop and not data.validation:
        listener.say(
            "training.early_stop does nothing without validation questions (没有验证题): "
            "name a file of them with data.val_path"
        )
    device = machine.pick_device(training.device, team.local_rank)
    precision = machine.pick_precision(training.precision, device)
    training = replace(training, precision=precision)
    config = replace(config, training=training)
    threads = machine.set_threads(training.threads, team.local_size)
    torch.manual_seed(training.seed)
    model = _new_model(config, tokenizer)
    if init_weights is not None:
        load_weights(model, init_weights, "--init-from")
    if not data.is_text:
        _check_probes(model, tokenizer, training.probe_questions)
    model.to(device)
    n_parameters = sum(p.numel() for p in model.parameters())
    listener.say(f"model: {n_parameters:,} parameters on {device}, {threads} threads, {precision}")
    if team.size > 1:
        listener.say(f"{team.size} processes share each batch")
    return TrainingRun(
        config,
        listener,
        tokenizer,
        data,
        model,
        build_optimizer(model, training),
        Progress(step=0, max_steps=training.max_steps),
        LogWriter(save_dir / "resume" / LOG_FILE),
        is_new=not resume,
        refuse_below=config.sampling.refuse_below,
    )


def _new_model(config: Config, tokenizer: Tokenizer) -> GPT:
    """Return a fresh model. 新模型。Raises ConfigError if the memory is too small for it."""
    try:
        return GPT(config.model, tokenizer.vocab_size)
    except (RuntimeError, MemoryError) as error:
        if isinstance(error, RuntimeError) and "alloc" not in str(error):
            raise
        n = n_parameters(config.model, tokenizer.vocab_size)
        raise ConfigError(
            [f"model: {n:,} parameters do not fit into memory; make n_embd or n_layer smaller"]
        ) from None


def _check_probes(model: GPT, tokenizer: Tokenizer, questions: tuple[str, ...]) -> None:
    """Raise ConfigError if a probe question leaves no room for an answer. 检查抽查题的长度。"""
    for question in questions:
        try:
            check_question(model, tokenizer, question)
        except PromptError as error:
            raise ConfigError([f"training.probe_questions: {shown(question)}: {error}"]) from None


def _begin(run: TrainingRun, resume: bool, max_steps: int | None, team: Team) -> None:
    """Go on from the saved state, or make room for a new run. 接着训练，或新开一次。"""
    if resume:
        tensors, state = load_state(state_file(run.save_dir))
        run.progress = Progress(**state["progress"])
        if max_steps is not None:  # and however many evaluations were worse, it shall go on
            run.progress.max_steps, run.progress.n_worse = max_steps, 0
        run.exam_taken = state.get("exam_taken", False) and run.progress.finished
        if run.exam_taken:
            raise CheckpointError(
                f"this run is finished at step {run.progress.step}; to train longer: "
                f"{resume_command(run.save_dir, 2 * run.progress.step)}"
            )
        run.restore(tensors, state, rewind_log=team.leads)
        run.listener.say(f"going on from step {run.progress.step} of {run.progress.max_steps}")
    elif team.leads:
        set_aside(run.save_dir, run.listener.say)
        run.log.write("start", **run.metrics(), config=run.config.to_yaml())
    team.copy_from_leader(run.model.parameters())


def initial_weights(folder: Path, config: Config) -> dict[str, Tensor]:
    """Return the float32 weights of a checkpoint with the same tokenizer. 起始权重。"""
    checkpoint = load_checkpoint(folder)
    tokenizer = load_tokenizer(Path(config.tokenizer.path), config.tokenizer)
    if tokenizer.fingerprint != checkpoint.tokenizer.fingerprint:
        raise TokenizerError(
            f"--init-from {folder}: its tokenizer is not {config.tokenizer.path}; "
            f"use its own: --set tokenizer.path={folder / checkpoint.tokenizer.file_name} "
            f"--set tokenizer.type={checkpoint.config.tokenizer.type}"
        )
    return dequantize(checkpoint.tensors)
