"""How much of the next token is still guesswork, from the loss. 还有多少靠猜。"""

from __future__ import annotations

import math

from gpt_teacher.run_log import TrainingLog

# As shares of ln V, the loss of a model that holds all V tokens for equally likely. The borders are
# ours: below a half, half of what there is to know about the next token is known.
NOISE_ABOVE, PHRASES_BELOW = 0.9, 0.5
MAX_LOSS_NATS = 16.0  # nine million tokens: beyond any vocabulary


def vocabulary(log: TrainingLog) -> int | None:
    """Return the number of tokens, as the log says, else e to its first loss. 词表大小。"""
    size = log.start.get("vocab_size")
    if type(size) is int and 2 <= size <= 10**7:
        return size
    losses = [loss for e in log.evaluations[:1] if (loss := e.val_loss_nats) is not None]
    losses += [step.loss_nats for step in log.steps[:1]]
    return max(2, round(math.exp(min(losses[0], MAX_LOSS_NATS)))) if losses else None


def guesswork(loss_nats: float | None, n_vocabulary: int | None) -> float | None:
    """Return the loss as a share of ln V: 1 = guessing, 0 = knowing. 靠猜的比例。"""
    if loss_nats is None or n_vocabulary is None:
        return None
    return loss_nats / math.log(n_vocabulary)


def n_choices(loss_nats: float | None, n_vocabulary: int | None) -> float | None:
    """Return among how many tokens a model hesitates, e to the loss, V at most. 犹豫的个数。"""
    if loss_nats is None:
        return None
    choices = math.exp(min(loss_nats, MAX_LOSS_NATS))
    return choices if n_vocabulary is None else min(choices, n_vocabulary)


def knows_phrases(log: TrainingLog) -> bool:
    """Tell whether a run ended with less guesswork than knowledge. 是否学到了东西。"""
    losses = [e.val_loss_nats for e in log.evaluations if e.val_loss_nats is not None]
    last = losses[-1] if losses else log.steps[-1].loss_nats if log.steps else None
    share = guesswork(last, vocabulary(log))
    return share is not None and share < PHRASES_BELOW
