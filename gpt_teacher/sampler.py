"""Logits -> the next token -> an answer. 从分数到回答。

answer             a question -> its answer, growing token by token
answers            many questions at once, in order
continue_text      raw text -> its continuation
generate           prompt ids -> tokens, for a batch, with cache: the only decoding loop
choose             logits -> one token for each row, through the filters
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from gpt_teacher.config import SamplingConfig
from gpt_teacher.decoder import decoder_of
from gpt_teacher.errors import PromptError
from gpt_teacher.model import GPT, KVCache
from gpt_teacher.prompt import (
    LEADING_PUNCTUATION,
    REFUSAL,
    REFUSAL_ANSWER,
    encode_prompt,
    is_refusal,
)
from gpt_teacher.tokenizer import BOS_ID, EOS_ID, PAD_ID, UNK_ID, Tokenizer

NEVER_SAMPLED = (BOS_ID, PAD_ID, UNK_ID)
_NEVER = torch.tensor(NEVER_SAMPLED)
BATCH_SIZE = 64  # sequences decoded together
DROPPED_SHARE = 1 / 16  # of the rows finished: now it pays to go on without them
Place = tuple[int, int]  # a row and a token id
FinishReason = Literal["", "eos", "stop", "length", "unsure"]


class Token(NamedTuple):
    """A token chosen for one row of a batch. 选出的词元。"""

    row: int
    token_id: int
    probability: float  # as the model gave it, before temperature and filters


class Answer(str):
    """An answer: its text, and how sure the model was of it. 回答及其把握。"""

    tokens: tuple[Token, ...]  # all that were chosen, <eos> and a doubtful last one included
    mean_probability: float  # mean and smallest probability of its tokens, <eos> included
    min_probability: float
    n_tokens: int
    finish_reason: FinishReason  # "" = still growing; "unsure" = withheld, see refuse_below

    def __new__(cls, text: str, tokens: tuple[Token, ...], reason: FinishReason) -> Answer:
        """Make an answer of its text and its tokens. 构造。"""
        answer = super().__new__(cls, text)
        answer.tokens = tokens
        probabilities = [token.probability for token in tokens]
        n = len(probabilities)
        answer.mean_probability = sum(probabilities) / n if n else 0.0
        answer.min_probability = min(probabilities, default=0.0)
        answer.n_tokens = n
        answer.finish_reason = reason
        return answer

    def __reduce__(self) -> tuple[type[Answer], tuple[str, tuple[Token, ...], FinishReason]]:
        """Let copy and pickle make an equal answer. 供复制用。"""
        return Answer, (str(self), self.tokens, self.finish_reason)

    @property
    def text(self) -> str:
        """Return the plain text. 文字。"""
        return str(self)

    @property
    def refused(self) -> bool:
        """Tell whether it says that it does not know: taught to, or too unsure. 是否拒答。"""
        return is_refusal(self)


# ---------------------------------------------------------------- filters: logits (B, V) -> logits


def forbid(
    logits: Tensor, n_new: int, settings: SamplingConfig, never: Sequence[Place] = ()
) -> None:
    """Rule out, in place, what may not be the new token number n_new (from 0). 禁用的词元。

    Of `never`, each is ruled out for its row alone.
    """
    logits.index_fill_(1, _NEVER.to(logits.device), -torch.inf)
    for row, token_id in never:
        logits[row, token_id] = -torch.inf
    if n_new < settings.min_new_tokens:
        logits[:, EOS_ID] = -torch.inf


def penalise_repetition(logits: Tensor, seen: Tensor, penalty: float) -> Tensor:
    """Make tokens of the answer so far (seen (B, V), bool) less likely. 重复惩罚。

    Positive logits are divided, negative ones multiplied. Source: Keskar et al. 2019,
    arXiv:1909.05858, §4.1, which divides both and so favours repetition where logits are
    negative. Only the answer's own tokens count: an answer should repeat the words of its
    question.
    """
    penalised = torch.where(logits > 0, logits / penalty, logits * penalty)
    return torch.where(seen, penalised, logits)


def keep_top_k(logits: Tensor, k: int) -> Tensor:
    """Keep the k likeliest tokens of each row. 只留前 k 个。"""
    k = min(k, logits.size(-1))
    smallest_kept = logits.topk(k, dim=-1).values[:, -1:]
    return logits.masked_fill(logits < smallest_kept, -torch.inf)


def keep_top_p(logits: Tensor, p: float) -> Tensor:
    """Keep the likeliest tokens until they reach probability p, the crossing one included. 核采样。

    Source: Holtzman et al. 2020, arXiv:1904.09751, §3.1.
    """
    ranked, order = logits.sort(dim=-1, descending=True)
    probabilities = ranked.softmax(dim=-1)
    before = probabilities.cumsum(dim=-1) - probabilities  # probability of all likelier tokens
    ranked = ranked.masked_fill(before >= p, -torch.inf)
    return torch.empty_like(logits).scatter(-1, order, ranked)


def shape_logits(logits: Tensor, settings: SamplingConfig) -> Tensor:
    """Apply temperature, top-k and top-p, in this order. 温度、top-k、top-p。"""
    if settings.temperature > 0:
        logits = logits / settings.temperature
    if settings.top_k:
        logits = keep_top_k(logits, settings.top_k)
    if settings.top_p < 1:
        logits = keep_top_p(logits, settings.top_p)
    return logits


def chances(logits: Tensor, settings: SamplingConfig) -> Tensor:
    """Return the probability with which `choose` takes each token (B, V). 各词元被选中的机会。"""
    if settings.temperature == 0:
        return F.one_hot(logits.argmax(dim=-1), logits.size(-1)).float()
    return shape_logits(logits, settings).softmax(dim=-1)


def choose(logits: Tensor, settings: SamplingConfig, random: list[torch.Generator]) -> Tensor:
    """Return one token id for each row (B,), each with its own generator. 选词元。"""
    if settings.temperature == 0:
        return logits.argmax(dim=-1)
    cumulative = chances(logits, settings).cumsum(dim=-1)  # (B, V)
    points = torch.cat([torch.rand(1, generator=generator) for generator in random])
    points = points.to(logits.device)[:, None] * cumulative[:, -1:]
    # right=True passes over tokens of probability 0, whose cumulative value equals the one before
    return torch.searchsorted(cumulative, points, right=True)[:, 0].clamp(max=logits.size(-1) - 1)


def pick(
    logits: Tensor,
    n_new: int,
    settings: SamplingConfig,
    random: list[torch.Generator],
    seen: Tensor | None,
    never: Sequence[Place] = (),
) -> tuple[Tensor, Tensor]:
    """Return new token number n_new of each row, and how sure the model is (B,), (B,). 选词元。

    Logits (B, V) are changed in place; seen (B, V) as in penalise_repetition; None = no token;
    never as in forbid.
    """
    probabilities = logits.softmax(dim=-1)  # (B, V)
    forbid(logits, n_new, settings, never)
    if seen is not None and settings.repetition_penalty != 1:
        logits = penalise_repetition(logits, seen, settings.repetition_penalty)
    chosen = choose(logits, settings, random)  # (B,)
    return chosen, probabilities.gather(-1, chosen.unsqueeze(-1)).squeeze(-1)


# ---------------------------------------------------------------- generation


@torch.inference_mode()
def generate(
    model: GPT,
    prompts: list[list[int]],
    settings: SamplingConfig,
    finished: set[int],
    unsayable: tuple[int, ...] = (),
) -> Iterator[list[Token]]:
    """Yield, step by step, a token for each row that is not in `finished`. 逐步生成。

    The caller adds rows to `finished` when they need no more; <eos> and a full context end a row,
    too. No answer begins with all of the unsayable tokens. Raises PromptError if a prompt leaves no
    room for an answer.
    """
    check_prompts(model, prompts)
    longest, seq_len = max(map(len, prompts)), model.config.seq_len
    padding = [longest - len(prompt) for prompt in prompts]  # on the left of each row
    padded = [[PAD_ID] * pad + p for pad, p in zip(padding, prompts, strict=True)]
    input_ids = torch.tensor(padded, device=model.device)  # (B, T)
    n_pad = torch.tensor(padding, device=model.device) if any(padding) else None
    cache = KVCache(model, len(prompts), longest + min(settings.max_new_tokens, seq_len))
    logits = model.lm_head(model.hidden_states(input_ids, cache, n_pad)[:, -1]).float()  # (B, V)
    decoder = decoder_of(model)
    rows, seen = list(range(len(prompts))), torch.zeros_like(logits, dtype=torch.bool)
    random = [torch.Generator().manual_seed(settings.seed) for _ in rows]
    barred = barred_beginnings(model, prompts, unsayable)
    begun = [bool(unsayable)] * len(rows)  # what is barred, and nothing else so far
    for n_new in range(settings.max_new_tokens):
        never = [(i, b[-1]) for i, b in enumerate(barred) if begun[i] and len(b) == n_new + 1]
        chosen, sure = pick(logits, n_new, settings, random, seen, never)  # (B,), (B,)
        tokens = [Token(*t) for t in zip(rows, chosen.tolist(), sure.tolist(), strict=True)]
        begun = [begun[i] and t.token_id == barred[i][n_new] for i, t in enumerate(tokens)]
        yield [token for token in tokens if token.row not in finished]
        full = [cache.length - padding[row] >= seq_len for row in rows]  # no room for one more
        finished.update(token.row for token in tokens if token.token_id == EOS_ID)
        finished.update(row for row, is_full in zip(rows, full, strict=True) if is_full)
        going = [i for i, row in enumerate(rows) if row not in finished]
        if not going or n_new + 1 == settings.max_new_tokens:
            return
        seen.scatter_(1, chosen[:, None], value=True)
        if len(rows) - len(going) >= DROPPED_SHARE * len(rows) or any(full):
            going = _closed_up(going)
            kept = torch.tensor(going, device=model.device)
            cache.keep(kept)
            chosen, seen = chosen[kept], seen[kept]
            n_pad = None if n_pad is None else n_pad[kept]
            rows, random = [rows[i] for i in going], [random[i] for i in going]
            begun, barred = [begun[i] for i in going], [barred[i] for i in going]
        logits = decoder(chosen, cache, n_pad)


def _closed_up(going: list[int]) -> list[int]:
    """Return the rows in another order: the last ones fill the gaps, the others stay. 补位。"""
    n, staying = len(going), set(going)
    last = [i for i in going if i >= n]
    return [i if i in staying else last.pop() for i in range(n)]


def fits(model: GPT, prompt: list[int]) -> bool:
    """Tell whether a prompt leaves room for one token of answer at least. 是否放得下。"""
    return len(prompt) < model.config.seq_len


def check_prompts(model: GPT, prompts: list[list[int]]) -> None:
    """Raise PromptError if one leaves no room for an answer. 检查提问的长度。"""
    longest, seq_len = max(prompts, key=len), model.config.seq_len
    if not fits(model, longest):
        raise PromptError(
            f"the question is too long: it takes {len(longest)} tokens with its frame, and the "
            f"model reads {seq_len - 1} at most (model.seq_len = {seq_len}); ask a shorter one"
        )


def check_question(model: GPT, tokenizer: Tokenizer, question: str) -> None:
    """Raise PromptError if a question does not fit the context. 检查问题的长度。"""
    check_prompts(model, [encode_prompt(tokenizer, question)])


def unsayable_tokens(tokenizer: Tokenizer, settings: SamplingConfig) -> tuple[int, ...]:
    """Return what an answer may not begin with: 不知道, if it must not refuse. 禁用的开头。"""
    return () if settings.refusal else tuple(tokenizer.encode(REFUSAL))


@torch.inference_mode()
def barred_beginnings(
    model: GPT, prompts: list[list[int]], unsayable: tuple[int, ...]
) -> list[tuple[int, ...]]:
    """Return what each answer may not begin with, given the unsayable tokens. 各题禁用的开头。

    The last token is ruled out behind the others: where 不 is a token, 不是 may be said. But where
    the model would go on from 不 to 不知道, 不 is barred itself: 不知 alone is no answer.
    """
    barred, seq_len = [unsayable] * len(prompts), model.config.seq_len
    for row, prompt in enumerate(prompts if len(unsayable) > 1 else []):
        begun = torch.tensor([[*prompt, *unsayable[:-1]][:seq_len]], device=model.device)
        likeliest = model(begun)[0, len(prompt) :].argmax(dim=-1)
        if likeliest.tolist() == [*unsayable[1:]][: len(likeliest)]:
            barred[row] = unsayable[:1]
    return barred


class GrowingAnswer:
    """The answer of one row while its tokens come in. 正在生成的回答。"""

    def __init__(self, tokenizer: Tokenizer, settings: SamplingConfig, clean: bool) -> None:
        """Begin with no token; clean = without punctuation at the beginning. 从空开始。"""
        self._tokenizer, self._stop, self._clean = tokenizer, settings.stop, clean
        self._refuse_below = (settings.refuse_below or 0.0) if settings.refusal else 0.0
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._text = ""
        self._tokens: list[Token] = []
        self.reason: FinishReason = ""

    def push(self, token: Token) -> None:
        """Add a token; `reason` then says whether the answer ends with it. 加一个词元。"""
        self._tokens.append(token)
        if token.probability < self._refuse_below:
            self.reason = "unsure"
            return
        if token.token_id == EOS_ID:
            self.reason = "eos"
            return
        self._text += self._decoder.decode(self._tokenizer.token_bytes(token.token_id))
        found = [at for text in self._stop if (at := self._text.find(text)) >= 0]
        if found:
            self._text, self.reason = self._text[: min(found)], "stop"

    def finish(self) -> Answer:
        """Return the whole answer, when no token follows. 完整的回答。"""
        self.reason = self.reason or "length"
        if self.reason not in ("stop", "unsure"):
            self._text += self._decoder.decode(b"", final=True)
        return self.answer()

    def answer(self) -> Answer:
        """Return the answer so far, without what may still become a stop text. 目前的回答。"""
        text = self._text
        if self.reason == "unsure":
            text = REFUSAL_ANSWER
        if not self.reason:
            text = text[: len(text) - self._possible_stop()]
        text = text.lstrip(LEADING_PUNCTUATION) if self._clean else text
        return Answer(text, tuple(self._tokens), self.reason)

    def _possible_stop(self) -> int:
        """Return how many last characters could begin a stop text. 可能是停止词的开头。"""
        lengths = range(max(map(len, self._stop), default=1) - 1, 0, -1)
        ends = (n for n in lengths if any(s.startswith(self._text[-n:]) for s in self._stop))
        return next((n for n in ends if n <= len(self._text)), 0)


def _grow(
    model: GPT,
    tokenizer: Tokenizer,
    prompt_ids: list[int],
    settings: SamplingConfig,
    clean: bool,
) -> Iterator[Answer]:
    """Yield the answer each time its text grows, then the finished one. 逐步给出回答。"""
    growing, finished, shown = GrowingAnswer(tokenizer, settings, clean), set[int](), ""
    unsayable = unsayable_tokens(tokenizer, settings)
    for tokens in generate(model, [prompt_ids], settings, finished, unsayable):
        growing.push(tokens[0])
        if growing.reason:
            break
        answer = growing.answer()
        if answer != shown:
            shown = answer.text
            yield answer
    yield growing.finish()


def answer(
    model: GPT, tokenizer: Tokenizer, question: str, settings: SamplingConfig
) -> Iterator[Answer]:
    """Yield the answer to a question as it grows; the last one is finished. 流式回答。

    Each is the whole answer so far. Raises PromptError if the question does not fit the context.
    """
    return _grow(model, tokenizer, encode_prompt(tokenizer, question), settings, clean=True)


def continue_text(
    model: GPT, tokenizer: Tokenizer, text: str, settings: SamplingConfig
) -> Iterator[Answer]:
    """Yield the continuation of raw text as it grows; the last one is finished. 续写。

    A text longer than the context is continued from its last part; an empty one from the start of
    a document.
    """
    settings = replace(settings, refusal=True, refuse_below=None)  # plain text has no refusal
    ids = tokenizer.encode(text) or [EOS_ID]
    room = max(model.config.seq_len // 2, model.config.seq_len - settings.max_new_tokens)
    return _grow(model, tokenizer, ids[-room:], settings, clean=False)


def answers(
    model: GPT,
    tokenizer: Tokenizer,
    questions: list[str],
    settings: SamplingConfig,
    clean: bool = True,
) -> list[Answer]:
    """Return the answers to many questions, in order, decoded in batches. 批量回答。

    With clean=False, punctuation at the beginning stays.
    """
    prompts = [encode_prompt(tokenizer, question) for question in questions]
    by_length = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    unsayable = unsayable_tokens(tokenizer, settings)
    done: dict[int, Answer] = {}
    for start in range(0, len(by_length), BATCH_SIZE):
        batch = by_length[start : start + BATCH_SIZE]
        growing = [GrowingAnswer(tokenizer, settings, clean) for _ in batch]
        finished: set[int] = set()
        for tokens in generate(model, [prompts[i] for i in batch], settings, finished, unsayable):
            for token in tokens:
                growing[token.row].push(token)
            finished.update(row for row, one in enumerate(growing) if one.reason)
        done.update((i, one.finish()) for i, one in zip(batch, growing, strict=True))
    return [done[i] for i in range(len(questions))]


@torch.inference_mode()
def next_token_probabilities(model: GPT, ids: list[int]) -> Tensor:
    """Return the probability of each token to come next (V,). 下一词元的概率。"""
    check_prompts(model, [ids])
    hidden = model.hidden_states(torch.tensor([ids], device=model.device))
    return model.lm_head(hidden[0, -1]).float().softmax(dim=-1)
