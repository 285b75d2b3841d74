"""How good is the model? 评估。

validation_loss   the objective on text that was not trained on
take_exam         questions answered greedily
probe             the answer now and the likeliest first tokens, for the training log
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import torch

from gpt_teacher.config import SamplingConfig
from gpt_teacher.decoder import decoder_of
from gpt_teacher.exam import Reply
from gpt_teacher.expected_answers import expected_answers
from gpt_teacher.loss import Batch, LossSum
from gpt_teacher.model import GPT
from gpt_teacher.prompt import encode_prompt
from gpt_teacher.run_log import Sample
from gpt_teacher.sampler import answers, continue_text, next_token_probabilities
from gpt_teacher.text_files import Row
from gpt_teacher.tokenizer import EOS_ID, Tokenizer

GREEDY = SamplingConfig()
N_FIRST_TOKENS = 5
PROBE_TOKENS = 60  # an untrained model would babble on to the end of the context

Objective = Callable[[GPT, Batch], LossSum]


@contextmanager
def evaluating(model: GPT) -> Iterator[None]:
    """Switch dropout off, and back to what it was. 评估模式。"""
    was_training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was_training)


@torch.no_grad()
def validation_loss(model: GPT, batches: list[Batch], objective: Objective) -> float:
    """Return the mean loss per target token in nats. 验证损失。"""
    total, count = 0.0, 0
    with evaluating(model):
        for batch in batches:
            part = objective(model, batch.to(model.device))
            total, count = total + part.total.item(), count + part.count
    return total / count


def take_exam(model: GPT, tokenizer: Tokenizer, rows: list[Row]) -> list[Reply]:
    """Ask every row's question, greedily and without a threshold. 考试：逐题提问。

    An answer may be as long as the longest that is expected; a longer one is wrong anyway. Only
    what is not the expected answer is decoded; of an int8 model all, as its decoder rounds.
    """
    longest = max((len(tokenizer.encode(row.completion)) for row in rows), default=0)
    settings = replace(GREEDY, max_new_tokens=max(GREEDY.max_new_tokens, longest + 1))
    with evaluating(model):
        rounds = decoder_of(model).is_int8
        given = [None] * len(rows) if rounds else expected_answers(model, tokenizer, rows)
        prompts = [row.prompt for row, one in zip(rows, given, strict=True) if one is None]
        others = iter(answers(model, tokenizer, prompts, settings))
        whole = [next(others) if one is None else one for one in given]  # one may be empty
    return [Reply(row, one.text, one.min_probability) for row, one in zip(rows, whole, strict=True)]


def probe(
    model: GPT, tokenizer: Tokenizer, questions: list[str], raw: bool = False
) -> list[Sample]:
    """Ask the probe questions, or with raw continue them as text. 抽查。"""
    settings = SamplingConfig(max_new_tokens=min(PROBE_TOKENS, model.config.seq_len // 2))
    with evaluating(model):
        if raw:
            room = model.config.seq_len - 1  # for the last part of a long text
            prompts = [(tokenizer.encode(one) or [EOS_ID])[-room:] for one in questions]
            given = [list(continue_text(model, tokenizer, q, settings))[-1] for q in questions]
        else:
            prompts = [encode_prompt(tokenizer, question) for question in questions]
            given = answers(model, tokenizer, questions, settings, clean=False)
        return [
            Sample(question, answer.text, first_tokens(model, tokenizer, ids))
            for question, answer, ids in zip(questions, given, prompts, strict=True)
        ]


def first_tokens(model: GPT, tokenizer: Tokenizer, ids: list[int]) -> list[tuple[str, float]]:
    """Return the likeliest next tokens as (label, probability). 最可能的下一词元。"""
    probabilities, order = next_token_probabilities(model, ids).topk(N_FIRST_TOKENS)
    return [
        (tokenizer.label(token_id), p)
        for token_id, p in zip(order.tolist(), probabilities.tolist(), strict=True)
    ]
