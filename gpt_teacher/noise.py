"""Noise in the questions: the model learns what matters in them. 给问题加噪声。

    drop_letters   characters left out, as a hasty student does
    add_context    a piece of another question before or after
    cut            the text tokenized in pieces: a word is learnt in many spellings

Made anew for each sample. Answers stay as they are.
"""

from __future__ import annotations

import random

from gpt_teacher.prompt import Example, encode_example, normalise
from gpt_teacher.tokenizer import Tokenizer

LETTER_DROP = 0.08  # share of the characters that are left out
CONTEXT_SHARE = 0.4  # share of the noisy questions that get a piece of another one
CONTEXT_CHARACTERS = (3, 9)
CUT = 0.15  # chance of a cut between two characters


def noisy_example(
    tokenizer: Tokenizer, question: str, answer: str, other: str, source: random.Random
) -> Example:
    """Return a training sequence with a noisy question; other lends context. 带噪声的样本。"""
    question = drop_letters(normalise(question), source)
    if source.random() < CONTEXT_SHARE:
        question = add_context(question, normalise(other), source)
    return encode_example(tokenizer, cut(normalise(question), source), answer)


def drop_letters(question: str, source: random.Random) -> str:
    """Return a question with some characters left out. 漏字。"""
    return "".join(c for c in question if source.random() >= LETTER_DROP) or question


def add_context(question: str, other: str, source: random.Random) -> str:
    """Return a question with a piece of another one before or after it. 加上下文。"""
    length = source.randint(*CONTEXT_CHARACTERS)
    start = source.randrange(max(1, len(other) - length + 1))
    piece = other[start : start + length]
    return f"{piece},{question}" if source.random() < 0.5 else f"{question},{piece}"


def cut(question: str, source: random.Random) -> list[str]:
    """Return a question cut into pieces to be tokenized apart. 随机切开，分别分词。

    Source: the same idea as BPE-dropout, Provilkov et al. 2020, arXiv:1910.13267, §3.
    """
    pieces = [""]
    for character in question:
        if pieces[-1] and source.random() < CUT:
            pieces.append("")
        pieces[-1] += character
    return pieces
