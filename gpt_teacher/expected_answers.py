"""Does the model say what is expected? One pass over question and answer tells. 核对预期回答。

    B sequences   T tokens, filled up on the right   M of them are answer   V vocabulary

Greedily the next token is the likeliest one. So where each token of the expected answer is the
likeliest after those before it, decoding would give this answer, and need not be done: all tokens
pass through the network at once instead of one after the other.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from gpt_teacher.config import SamplingConfig
from gpt_teacher.model import GPT
from gpt_teacher.prompt import Example, encode_example
from gpt_teacher.sampler import BATCH_SIZE, Answer, GrowingAnswer, Token, forbid
from gpt_teacher.text_files import Row
from gpt_teacher.tokenizer import PAD_ID, Tokenizer

GREEDY = SamplingConfig()


@torch.inference_mode()
def expected_answers(model: GPT, tokenizer: Tokenizer, rows: list[Row]) -> list[Answer | None]:
    """Return the greedy answer to each row's question where it is what the row expects. 核对。

    None = it is another one, or question and answer do not fit the context.
    """
    examples = [encode_example(tokenizer, row.prompt, row.completion) for row in rows]
    fitting = [i for i, (ids, _) in enumerate(examples) if len(ids) - 1 <= model.config.seq_len]
    by_length = sorted(fitting, key=lambda i: len(examples[i].ids))
    found: list[Answer | None] = [None] * len(rows)
    for start in range(0, len(by_length), BATCH_SIZE):
        batch = by_length[start : start + BATCH_SIZE]
        for i, tokens in zip(batch, _said(model, [examples[i] for i in batch]), strict=True):
            if tokens is not None:
                growing = GrowingAnswer(tokenizer, GREEDY, clean=True)
                for token in tokens:
                    growing.push(token)
                found[i] = growing.finish()
    return found


def _said(model: GPT, examples: list[Example]) -> Iterator[list[Token] | None]:
    """Yield the tokens of each example's answer, if the model would say just them. 逐题核对。"""
    longest = max(len(ids) for ids, _ in examples)
    padded = [ids + [PAD_ID] * (longest - len(ids)) for ids, _ in examples]
    whole = torch.tensor(padded, device=model.device)  # (B, T + 1)
    hidden = model.hidden_states(whole[:, :-1])  # (B, T, C); nothing looks at what comes behind it
    places = [range(n_prompt - 1, len(ids) - 1) for ids, n_prompt in examples]
    rows = torch.tensor([row for row, place in enumerate(places) for _ in place])  # (M,)
    columns = torch.tensor([column for place in places for column in place])  # (M,)
    logits = model.lm_head(hidden[rows, columns]).float()  # (M, V)
    targets = whole[rows, columns + 1]  # (M,)
    sure, likeliest = _greedy(logits, targets)
    lengths = [len(place) for place in places]
    parts = (torch.split(values, lengths) for values in (targets, sure, likeliest))
    for row, (target, p, token) in enumerate(zip(*parts, strict=True)):
        same = torch.equal(target, token)
        tokens = zip(target.tolist(), p.tolist(), strict=True)
        yield [Token(row, *one) for one in tokens] if same else None


def _greedy(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Return the probability of each target, and what would be chosen (M,), (M,). 贪心。"""
    sure = logits.softmax(dim=-1).gather(1, targets[:, None])[:, 0]
    forbid(logits, GREEDY.min_new_tokens, GREEDY)  # an expected answer is never empty
    return sure, logits.argmax(dim=-1)
