"""How sure an answer is, why it was refused, and what was taught that is like it. 对回答的说明。"""

from __future__ import annotations

from gpt_teacher import Nearest
from gpt_teacher.config import SamplingConfig
from gpt_teacher.sampler import Answer


def explanation(answer: Answer, settings: SamplingConfig, nearest: Nearest | None) -> str:
    """Return what to show beside an answer. 说明文字。"""
    lines = [
        f"sure: {answer.mean_probability:.0%} on average, "
        f"{answer.min_probability:.0%} at the least sure token"
    ]
    if answer.finish_reason == "unsure":
        lines.append(
            f"refused: too unsure, below {settings.refuse_below:.0%}; "
            f"see what it would have said: --no-refusal"
        )
    elif answer.finish_reason == "length":
        remedy = "let it go on with --max-new-tokens, up to the end of the context (model.seq_len)"
        if answer.n_tokens < settings.max_new_tokens:
            remedy = "the context is full (model.seq_len); a shorter question leaves it more room"
        lines.append(f"cut short: it was still going on after {answer.n_tokens} tokens; {remedy}")
    elif answer.refused:
        lines.append("refused: it was taught to, for questions like this one")
    if nearest is not None:
        lines.append(
            f"most like it among the taught questions: {nearest.question} "
            f"({nearest.similarity:.0%} alike)"
        )
    return "\n".join(lines)
