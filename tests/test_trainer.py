"""One update, and the loop around it, on a tiny model with a clock of our own."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from gpt_teacher.config import ModelConfig, TrainingConfig
from gpt_teacher.distributed import ALONE, Team
from gpt_teacher.errors import TrainingError
from gpt_teacher.loss import Batch, LossSum, next_token_loss
from gpt_teacher.model import GPT
from gpt_teacher.optim import build_optimizer, learning_rate
from gpt_teacher.prompt import Example
from gpt_teacher.questions import collate
from gpt_teacher.run_log import Step
from gpt_teacher.trainer import SEED_STEP, Hooks, Progress, train, update

VOCABULARY = 40
N_EXAMPLES = 12
NO_LIMIT = 1e9  # of the gradient norm


def a_model(seed: int = 0) -> GPT:
    """Return a model with weights large enough that every position matters."""
    torch.manual_seed(seed)
    model = GPT(ModelConfig(n_layer=2, n_head=2, n_embd=16, seq_len=32), VOCABULARY)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(5)
    return model


def examples() -> list[Example]:
    """Return sequences of 4 to 26 ids with 1 to 14 targets."""
    random = torch.Generator().manual_seed(7)
    made = []
    for n in range(N_EXAMPLES):
        n_targets = 1 + n if n % 2 else 14 - n
        ids = torch.randint(4, VOCABULARY, (3 + n + n_targets,), generator=random)
        made.append(Example(ids.tolist(), 3 + n))
    return made


def split(sizes: list[int]) -> list[Batch]:
    """Cut the examples into micro-batches of these sizes."""
    ends = [sum(sizes[: n + 1]) for n in range(len(sizes))]
    return [collate(examples()[end - size : end]) for end, size in zip(ends, sizes, strict=True)]


def weights(model: GPT) -> dict[str, Tensor]:
    return {name: p.detach().clone() for name, p in model.named_parameters()}


def after_one_update(
    sizes: list[int], max_grad_norm: float
) -> tuple[dict[str, Tensor], tuple[float, float, int]]:
    """Return the weights after a plain gradient step of size 0.1, and what update() says."""
    model = a_model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    result = update(model, optimizer, split(sizes), next_token_loss, max_grad_norm)
    return weights(model), result


def by_hand(max_grad_norm: float) -> tuple[dict[str, Tensor], float, float]:
    """Return weights, loss and gradient norm of one mean over the targets of one big batch."""
    model = a_model()
    batch = collate(examples())
    logits = model(batch.input_ids)  # (B, T, V)
    loss = F.cross_entropy(logits.flatten(0, 1), batch.targets.flatten(), ignore_index=-100)
    loss.backward()
    gradients = {n: p.grad for n, p in model.named_parameters() if p.grad is not None}
    norm = math.sqrt(sum(float(g.double().square().sum()) for g in gradients.values()))
    scale = min(1.0, max_grad_norm / norm)
    moved = {n: p.detach() - 0.1 * scale * gradients[n] for n, p in model.named_parameters()}
    return moved, loss.item(), norm


# ---------------------------------------------------------------- update


@pytest.mark.parametrize("max_grad_norm", [NO_LIMIT, 0.5])
@pytest.mark.parametrize("sizes", [[12], [6, 6], [5, 7], [2, 3, 7], [11, 1], [1] * 12])
def test_any_split_into_micro_batches_gives_the_update_of_the_mean_over_all_targets(
    sizes: list[int], max_grad_norm: float
) -> None:
    expected, loss, norm = by_hand(max_grad_norm)
    assert norm > 0.5  # so that the limit bites
    moved, result = after_one_update(sizes, max_grad_norm)
    assert result[0] == pytest.approx(loss, rel=1e-5)
    assert result[1] == pytest.approx(norm, rel=1e-4)  # before clipping
    assert result[2] == sum(len(e.ids) - 1 for e in examples())  # padding is not read
    for name, tensor in expected.items():
        torch.testing.assert_close(moved[name], tensor, rtol=1e-4, atol=1e-5, msg=name)


def test_one_update_does_not_remember_the_gradients_of_the_one_before() -> None:
    once, twice = a_model(), a_model()
    still = torch.optim.SGD(twice.parameters(), lr=0.0)
    update(twice, still, split([3, 9]), next_token_loss, NO_LIMIT)
    for model in (once, twice):
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        update(model, optimizer, split([6, 6]), next_token_loss, NO_LIMIT)
    for name, tensor in weights(once).items():
        assert torch.equal(tensor, weights(twice)[name]), name


def nan_loss(model: GPT, batch: Batch) -> LossSum:
    loss = next_token_loss(model, batch)
    return LossSum(loss.total * math.nan, loss.count)


def nan_gradient(model: GPT, batch: Batch) -> LossSum:
    """A finite loss whose gradient is not: the root of 0 is infinitely steep."""
    loss = next_token_loss(model, batch)
    return LossSum(loss.total + (loss.total * 0).sqrt(), loss.count)


@pytest.mark.parametrize("objective", [nan_loss, nan_gradient])
def test_a_loss_or_gradient_that_is_no_number_leaves_weights_and_optimizer_untouched(
    objective: Callable[[GPT, Batch], LossSum],
) -> None:
    model = a_model()
    before = weights(model)
    optimizer = build_optimizer(model, TrainingConfig())
    with pytest.raises(TrainingError, match=r"the loss is .* and the gradient norm nan"):
        update(model, optimizer, split([6, 6]), objective, 1.0)
    assert all(torch.equal(tensor, before[name]) for name, tensor in weights(model).items())
    assert optimizer.state_dict()["state"] == {}


# ---------------------------------------------------------------- the loop


@dataclass
class Course:
    """A run on three examples, every second of it made by us, and what happened in it."""

    step_seconds: Callable[[int], float] = lambda step: 0.0
    evaluation_seconds: float = 0.0
    losses: list[float | None] = field(default_factory=list)  # of the evaluations; then none
    stop_at: int = -1
    objective: Callable[[GPT, Batch], LossSum] = next_token_loss
    model: GPT = field(default_factory=a_model)
    team: Team = ALONE
    now: float = 1_000.0
    events: list[str] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)

    def batches(self, step: int, max_steps: int | None = None) -> list[Batch]:
        self.now += self.step_seconds(step)
        return [collate(examples()[step % 3 : step % 3 + 1])]

    def evaluate(self, step: int) -> float | None:
        self.events.append(f"evaluate {step}")
        self.now += self.evaluation_seconds
        self.model.eval()  # and forgets to go back
        return self.losses.pop(0) if self.losses else None

    def save(self, progress: Progress) -> None:
        self.events.append(f"save {progress.step}")

    def should_stop(self) -> bool:
        return len(self.steps) == self.stop_at

    def run(
        self,
        max_steps: int,
        step: int = 0,
        seconds: float | None = None,
        eval_interval: int = 4,
        early_stop: int = 0,
    ) -> Progress:
        self.config = TrainingConfig(
            lr=1e-3, warmup_steps=4, eval_interval=eval_interval, early_stop=early_stop
        )
        self.optimizer = build_optimizer(self.model, self.config)
        return train(
            self.model,
            self.optimizer,
            self.batches,
            self.objective,
            self.config,
            Progress(step, max_steps),
            Hooks(self.steps.append, self.evaluate, self.save, self.should_stop),
            seconds,
            clock=lambda: self.now,
            team=self.team,
        )


def test_evaluation_and_saving_come_when_due() -> None:
    course = Course()
    progress = course.run(max_steps=10)
    assert course.events == [
        *("evaluate 0", "evaluate 4", "save 4"),
        *("evaluate 8", "save 8", "evaluate 10", "save 10"),
    ]
    assert progress.finished


def test_a_run_makes_as_many_optimizer_steps_as_it_says() -> None:
    course = Course()
    progress = course.run(max_steps=10)
    states = course.optimizer.state_dict()["state"].values()
    assert {int(state["step"]) for state in states if "momentum" not in state} == {10}, "of AdamW"
    assert progress.step == 10
    assert [step.step for step in course.steps] == [*range(1, 11)]
    lengths = [len(example.ids) - 1 for example in examples()[:3]]
    assert progress.n_tokens == sum(lengths[n % 3] for n in range(10))


def test_a_run_that_goes_on_takes_up_the_steps_where_they_were() -> None:
    course = Course()
    course.run(max_steps=10, step=6)
    assert [step.step for step in course.steps] == [7, 8, 9, 10]
    assert course.events == ["evaluate 8", "save 8", "evaluate 10", "save 10"]
    assert [step.learning_rate for step in course.steps] == [
        learning_rate(n, 10, course.config) for n in (6, 7, 8, 9)
    ]


def test_what_an_update_drops_is_its_own_whatever_was_random_before() -> None:
    """So a run that goes on drops what it would have dropped, on a device whose state is lost."""

    seeds: list[int] = []

    def noting(model: GPT, batch: Batch) -> LossSum:
        seeds.append(torch.initial_seed())
        return next_token_loss(model, batch)

    def losses(salt: int) -> list[float]:
        model = a_model()
        model.config = replace(model.config, dropout=0.5)
        for module in model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.5
        torch.manual_seed(salt)
        course = Course(model=model, objective=noting)
        course.run(max_steps=6)
        return [step.loss_nats for step in course.steps]

    assert losses(salt=1) == losses(salt=2)
    assert len(set(seeds)) == 6
    plain = Course()
    plain.run(max_steps=6)
    assert losses(salt=1)[0] != pytest.approx(plain.steps[0].loss_nats, rel=1e-3)


def test_each_process_drops_its_own_and_one_alone_what_it_always_did() -> None:
    """Found here: the masks were the same in all processes, so their rows shared them."""

    class Numbered(Team):
        def share(self, batch: Batch) -> Batch:
            return batch

    def seeds(rank: int) -> list[int]:
        found: list[int] = []

        def noting(model: GPT, batch: Batch) -> LossSum:
            found.append(torch.initial_seed())
            return next_token_loss(model, batch)

        model = a_model()
        model.config = replace(model.config, dropout=0.5)
        Course(model=model, objective=noting, team=Numbered(rank)).run(max_steps=6)
        return found

    assert seeds(0) == [TrainingConfig().seed * SEED_STEP + step for step in range(6)]
    assert len({seed for rank in range(3) for seed in seeds(rank)}) == 18


def test_the_optimizer_uses_the_learning_rate_of_the_schedule() -> None:
    """Warm-up takes a quarter of ten steps at most: lr/3, 2 lr/3, then the peak."""
    used: list[float] = []

    def noting(model: GPT, batch: Batch) -> LossSum:
        used.extend({group["lr"] for group in course.optimizer.param_groups})
        return next_token_loss(model, batch)

    course = Course(objective=noting)
    course.run(max_steps=10)
    assert used == [step.learning_rate for step in course.steps]
    assert used[:3] == pytest.approx([1e-3 / 3, 2e-3 / 3, 1e-3])
    assert used == sorted(used[:3]) + sorted(used[3:], reverse=True)


def test_dropout_is_on_in_each_update_even_after_an_evaluation() -> None:
    modes: list[bool] = []

    def noting(model: GPT, batch: Batch) -> LossSum:
        modes.append(model.training)
        return next_token_loss(model, batch)

    Course(objective=noting).run(max_steps=10)
    assert modes == [True] * 10


@pytest.mark.parametrize("stop_at", [3, 4])
def test_a_stopped_run_is_saved_once_and_not_evaluated_out_of_turn(stop_at: int) -> None:
    course = Course(stop_at=stop_at)
    progress = course.run(max_steps=10)
    due = ["evaluate 4"] if stop_at == 4 else []
    assert course.events == ["evaluate 0", *due, f"save {stop_at}"]
    assert progress.step == stop_at
    assert not progress.finished


def test_early_stop_counts_evaluations_without_a_better_loss() -> None:
    """The same loss again is not better; a better one starts the count anew."""
    course = Course(losses=[5.0, 4.0, 4.0, 3.0, 3.5, 3.0, 2.0])
    progress = course.run(max_steps=100, early_stop=2)
    assert progress.step == 20  # the sixth evaluation
    assert progress.best_val_loss == 3.0
    assert progress.finished
    assert course.events[-2:] == ["evaluate 20", "save 20"]


@pytest.mark.parametrize("early_stop", [0, 1])
def test_without_early_stop_or_validation_a_run_goes_to_its_end(early_stop: int) -> None:
    losses: list[float | None] = [] if early_stop else [1.0, 2.0, 3.0, 4.0]
    progress = Course(losses=losses).run(max_steps=12, early_stop=early_stop)
    assert progress.step == progress.max_steps == 12


def test_a_loss_that_is_no_number_names_its_step_and_the_remedy() -> None:
    def third_is_nan(model: GPT, batch: Batch) -> LossSum:
        return nan_loss(model, batch) if len(course.steps) == 2 else next_token_loss(model, batch)

    course = Course(objective=third_is_nan)
    expected = (
        r"step 3: the loss is nan and the gradient norm nan, at a learning rate of 0.001\. "
        r"The weights saved before are good; try lower rates: "
        r"--set training\.lr=0\.0003 --set training\.muon_lr=0\.003$"
    )
    with pytest.raises(TrainingError, match=expected):
        course.run(max_steps=10)
    assert [step.step for step in course.steps] == [1, 2]


def test_speed_is_in_tokens_read_a_second_of_the_update_alone() -> None:
    course = Course(step_seconds=lambda step: 0.5, evaluation_seconds=100.0)
    progress = course.run(max_steps=5)
    lengths = [len(example.ids) - 1 for example in examples()[:3]]
    speeds = [step.tokens_per_second for step in course.steps]
    assert speeds == pytest.approx([lengths[n % 3] / 0.5 for n in range(5)])
    assert course.steps[3].elapsed_seconds == pytest.approx(102.0)  # one evaluation, four steps
    assert progress.elapsed_seconds == pytest.approx(302.5)


# ---------------------------------------------------------------- a budget of time


@pytest.mark.parametrize("max_steps", [20, 10_000])
@pytest.mark.parametrize(
    ("step_seconds", "evaluation_seconds"), [(0.5, 0.0), (0.5, 1.5), (0.13, 0.4)]
)
def test_a_run_ends_on_time_whatever_number_of_steps_was_set(
    max_steps: int, step_seconds: float, evaluation_seconds: float
) -> None:
    course = Course(lambda step: step_seconds, evaluation_seconds)
    progress = course.run(max_steps, seconds=60.0, eval_interval=10)
    tolerance = 2 * step_seconds + evaluation_seconds
    assert course.now - 1_000.0 == pytest.approx(60.0, abs=tolerance)
    assert progress.finished
    assert course.steps[-1].step == progress.step
    assert course.events[-2:] == [f"evaluate {progress.step}", f"save {progress.step}"]


def test_slow_first_steps_do_not_shorten_the_run() -> None:
    """Memory is being reserved in them; they say nothing about the speed."""
    course = Course(lambda step: 3.0 if step < 2 else 0.5)
    progress = course.run(20, seconds=60.0, eval_interval=1_000)
    assert progress.step == 2 + (60 - 6) / 0.5


def test_a_run_that_is_slowed_down_is_planned_again() -> None:
    """From 0.2 to 0.4 s a step in the middle; without a new plan it would take 90 s."""
    course = Course(lambda step: 0.2 if course.now < 1_030 else 0.4, evaluation_seconds=0.5)
    course.run(10_000, seconds=60.0, eval_interval=10)
    assert course.now - 1_000.0 == pytest.approx(60.0, abs=2.0)


def test_the_schedule_of_a_planned_run_reaches_its_end() -> None:
    """And the first plan is the right one: evaluations, too, take their share of the time."""
    course = Course(lambda step: 0.25, evaluation_seconds=2.0)
    progress = course.run(10_000, seconds=60.0, eval_interval=20)
    rates = [step.learning_rate for step in course.steps]
    whole = [learning_rate(n, progress.step, course.config) for n in range(progress.step)]
    assert rates[-1] == whole[-1]
    assert rates[10:] == pytest.approx(whole[10:], abs=0.03 * course.config.lr)
    floor = course.config.lr * course.config.min_lr_ratio
    assert floor <= rates[-1] < 1.1 * floor


def test_a_few_steps_set_do_not_end_a_run_with_time_left() -> None:
    """The number of steps is planned from the clock instead, the first ones measure the speed."""
    progress = Course(lambda step: 0.5).run(5, seconds=60.0, eval_interval=10)
    assert progress.step == 120


def test_a_run_that_is_trained_out_is_not_trained_on_for_the_time_it_is_given() -> None:
    """It only lacks its exam; once, the steps that measure the speed were trained, too."""
    course = Course(lambda step: 0.5)
    progress = course.run(20, step=20, seconds=60.0)
    assert (progress.step, progress.max_steps, course.steps) == (20, 20, [])


def test_the_batches_are_told_how_long_the_run_is() -> None:
    """Noise and smoothing fade by it; without it they would stay to the end."""
    course, told = Course(), list[tuple[int, int | None]]()
    batches = course.batches

    def noting(step: int, max_steps: int | None = None) -> list[Batch]:
        told.append((step, max_steps))
        return batches(step, max_steps)

    course.batches = noting  # type: ignore[method-assign]
    course.run(max_steps=5)
    assert told == [(step, 5) for step in range(5)]


@pytest.mark.parametrize(("step", "seed"), [(0, 42), (3, 7)])
def test_what_an_update_drops_depends_on_its_number_and_the_seed_of_the_run(
    step: int, seed: int
) -> None:
    seeds: list[int] = []

    def noting(model: GPT, batch: Batch) -> LossSum:
        seeds.append(torch.initial_seed())
        return next_token_loss(model, batch)

    course = Course(objective=noting)
    course.model.config = replace(course.model.config, dropout=0.5)
    config = TrainingConfig(seed=seed)
    optimizer = build_optimizer(course.model, config)
    hooks = Hooks(course.steps.append, course.evaluate, course.save, course.should_stop)
    progress = Progress(step, step + 1)
    train(course.model, optimizer, course.batches, noting, config, progress, hooks)
    assert seeds == [seed * 1_000_003 + step]
