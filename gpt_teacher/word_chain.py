"""The word chain: choose the next token, again and again. 词语接龙。

A chain is a prompt and the ids chosen so far; it is never text that is encoded again, because the
bytes of half a character would be lost on the way.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

import torch

from gpt_teacher.config import SamplingConfig
from gpt_teacher.model import GPT
from gpt_teacher.sampler import (
    NEVER_SAMPLED,
    chances,
    forbid,
    generate,
    next_token_probabilities,
)
from gpt_teacher.tokenizer import EOS_ID


class Candidate(NamedTuple):
    """A token that may come next. 候选词元。"""

    token_id: int
    probability: float  # as the model gives it
    chance: float  # of being chosen, after temperature, top-k and top-p


class Chain(NamedTuple):
    """A prompt and what was chosen after it. 接龙的状态。"""

    prompt_ids: list[int]
    chosen: list[int]

    @property
    def ids(self) -> list[int]:
        """All that the model reads. 全部编号。"""
        return self.prompt_ids + self.chosen

    @property
    def ended(self) -> bool:
        """Tell whether <eos> was chosen. 是否已结束。"""
        return self.chosen[-1:] == [EOS_ID]

    def fits(self, model: GPT) -> bool:
        """Tell whether the model can read it and say one token more. 是否还有位置。"""
        return len(self.ids) < model.config.seq_len

    def undo(self) -> Chain:
        """Return the chain without its last choice; a prompt alone stays as it is. 撤销一步。"""
        return self._replace(chosen=self.chosen[:-1])

    def restart(self) -> Chain:
        """Return the prompt alone. 重新开始。"""
        return self._replace(chosen=[])

    def append(self, model: GPT, token_id: int) -> Chain:
        """Return the chain with one token more; as it is, if that may not come. 接上一个词元。"""
        may_come = 0 <= token_id < model.vocab_size and token_id not in NEVER_SAMPLED
        if self.ended or not may_come or not self.fits(model):
            return self
        return self._replace(chosen=[*self.chosen, token_id])


@torch.inference_mode()
def candidates(model: GPT, chain: Chain, settings: SamplingConfig, limit: int) -> list[Candidate]:
    """Return the likeliest next tokens, best first; none if the chain is at its end. 候选词元。"""
    if chain.ended or not chain.fits(model):
        return []
    probabilities = next_token_probabilities(model, chain.ids)  # (V,)
    logits = probabilities.log()[None]  # (1, V); up to a constant, which softmax does not see
    forbid(logits, len(chain.chosen), settings)
    chance = chances(logits, settings)[0]  # (V,)
    likeliest = logits[0].topk(min(limit, model.vocab_size - len(NEVER_SAMPLED))).indices
    return [Candidate(i, probabilities[i].item(), chance[i].item()) for i in likeliest.tolist()]


def go_on(model: GPT, chain: Chain, settings: SamplingConfig) -> Iterator[Chain]:
    """Yield the chain after each token that the model itself chooses. 自动接龙。

    It ends with <eos>, after settings.max_new_tokens tokens, or when the context is full. From a
    prompt alone it is what sampler.answer does; later on the seed moves along, or one step after
    the other would throw the same dice.
    """
    if chain.ended or not chain.fits(model):
        return
    n = len(chain.chosen)
    room = model.config.seq_len - len(chain.ids) + 1  # the last token is never read
    n_new = min(settings.max_new_tokens, room)
    settings = replace(
        settings,
        seed=settings.seed + n,
        max_new_tokens=n_new,
        min_new_tokens=min(max(0, settings.min_new_tokens - n), n_new),
    )
    for (token,) in generate(model, [chain.ids], settings, finished=set()):
        chain = chain._replace(chosen=[*chain.chosen, token.token_id])
        yield chain
