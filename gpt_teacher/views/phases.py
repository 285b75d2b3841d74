"""What a model is doing at a moment of its training: noise, characters, phrases, answers. 阶段。"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

from gpt_teacher.prompt import is_refusal
from gpt_teacher.run_log import Evaluation
from gpt_teacher.views.guesswork import NOISE_ABOVE, PHRASES_BELOW, guesswork, n_choices
from gpt_teacher.views.right_answers import Reference
from gpt_teacher.views.text import Text

CHOICES_SURE = 1.1  # tokens; fewer would be called "about 1.0"
Phase = Literal["noise", "characters", "phrases", "answers"]


class Moment(NamedTuple):
    """What an evaluation shows of a model. 某次评估的情形。"""

    phase: Phase
    n_choices: float | None  # among so many tokens it hesitates; None = the log has no loss
    n_right: int  # known questions answered right
    n_known: int  # probe questions whose right answer is known and is no refusal
    settled: bool  # known only from the run's own settled answers
    n_refused: int  # questions answered with 不知道
    n_questions: int


def moment(
    evaluation: Evaluation,
    loss_nats: float | None,
    n_vocabulary: int | None,
    right: Mapping[str, Reference],
) -> Moment:
    """Return what an evaluation shows; loss_nats: validation loss, or training loss. 情形。

    answers      at least one known question gets its right answer
    phrases      else, the loss is below half of ln V: half of what there is to know is known
    noise        the loss is still near ln V
    characters   between: which tokens are frequent is known, not much else
    """
    known = [
        (sample.answer, right[sample.question])
        for sample in evaluation.samples
        if sample.question in right and not is_refusal(right[sample.question].answer)
    ]
    n_right = sum(answer == reference.answer for answer, reference in known)
    share = guesswork(loss_nats, n_vocabulary)
    phase: Phase = "characters"
    if n_right:
        phase = "answers"
    elif share is None or share > NOISE_ABOVE:
        phase = "noise"
    elif share < PHRASES_BELOW:
        phase = "phrases"
    return Moment(
        phase,
        n_choices(loss_nats, n_vocabulary),
        n_right,
        n_known=len(known),
        settled=any(reference.source == "settled" for _, reference in known),
        n_refused=sum(is_refusal(sample.answer) for sample in evaluation.samples),
        n_questions=len(evaluation.samples),
    )


def caption(moment: Moment, text: Text) -> str:
    """Return what is happening, and the figures that say so. 阶段说明。"""
    parts = [text[f"phase_{moment.phase}"]]
    if moment.n_choices is not None:
        digits = 0 if moment.n_choices >= 10 else 1
        key = "choices" if moment.n_choices >= CHOICES_SURE else "choices_sure"
        parts.append(text[key].format(n=f"{moment.n_choices:.{digits}f}"))
    if moment.n_known:
        key = "n_settled" if moment.settled else "n_right"
        parts.append(text[key].format(right=moment.n_right, known=moment.n_known))
    if moment.n_refused:
        parts.append(text["n_refused"].format(refused=moment.n_refused, all=moment.n_questions))
    return "".join(parts).rstrip()
