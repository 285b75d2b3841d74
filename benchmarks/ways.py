"""The ways to answer that benchmarks.generate compares: this project, transformers, llama.cpp.

各种解码方式。Each takes questions and returns the ids of their answers, <eos> included, all greedy
and with no refusal threshold. This project is timed from text to text, the others on ids alone.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch

from gpt_teacher import from_pretrained
from gpt_teacher.config import SamplingConfig
from gpt_teacher.prompt import encode_prompt
from gpt_teacher.sampler import answer, answers
from gpt_teacher.tokenizer import EOS_ID, PAD_ID, Tokenizer

GREEDY = SamplingConfig(temperature=0.0, refuse_below=0.0)


class Question(NamedTuple):
    """A question, as text and as what the model reads. 问题。"""

    text: str
    ids: list[int]


Way = Callable[[list[Question]], list[list[int]]]


def encoded(tokenizer: Tokenizer, texts: list[str]) -> list[Question]:
    """Return questions with their ids. 编码问题。"""
    return [Question(text, encode_prompt(tokenizer, text)) for text in texts]


def until_end(ids: list[int]) -> list[int]:
    """Return the ids up to the first <eos>, which is included. 到结束符为止。"""
    return ids[: ids.index(EOS_ID) + 1] if EOS_ID in ids else ids


def is_installed(library: str) -> bool:
    """Tell whether a library can be imported. 是否已安装。"""
    return importlib.util.find_spec(library) is not None


def own(folder: Path) -> Way:
    """Return this project's decoding, as it answers one visitor or many. 本项目。"""
    teacher = from_pretrained(folder)
    model, tokenizer = teacher.model, teacher.tokenizer

    def decode(questions: list[Question]) -> list[list[int]]:
        texts = [question.text for question in questions]
        if len(texts) == 1:
            given = list(answer(model, tokenizer, texts[0], GREEDY))[-1:]
        else:
            given = answers(model, tokenizer, texts, GREEDY)
        return [[token.token_id for token in one.tokens] for one in given]

    return decode


def transformers(folder: Path) -> Way:
    """Return `generate` of transformers on the same folder, rows filled on the left. 对照。"""
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder).eval()

    def decode(questions: list[Question]) -> list[list[int]]:
        longest = max(len(question.ids) for question in questions)
        padding = [longest - len(question.ids) for question in questions]
        ids = torch.tensor([[PAD_ID] * n + q.ids for n, q in zip(padding, questions, strict=True)])
        mask = torch.arange(longest) >= torch.tensor(padding)[:, None]  # (B, T)
        with torch.inference_mode():
            whole = model.generate(input_ids=ids, attention_mask=mask.long(), min_new_tokens=1)
        return [until_end(row) for row in whole[:, longest:].tolist()]

    return decode


def llama_cpp(gguf: Path) -> Way:
    """Return llama.cpp on a GGUF of the same weights; one question at a time. 对照。"""
    from llama_cpp import Llama

    llama = Llama(str(gguf), n_ctx=0, n_threads=torch.get_num_threads(), verbose=False)

    def decode(questions: list[Question]) -> list[list[int]]:
        return [_until_end_of(llama, question) for question in questions]

    def _until_end_of(llama: Llama, question: Question) -> list[int]:
        ids: list[int] = []
        for token_id in llama.generate(question.ids, temp=0.0, repeat_penalty=1.0):
            ids.append(token_id)
            if token_id == EOS_ID or len(question.ids) + len(ids) >= llama.n_ctx():
                break
        return ids

    return decode
