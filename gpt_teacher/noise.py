"""Noise in the questions: the model learns what matters in them. 给问题加噪声。

    drop_letters   characters left out, as a hasty student does
    add_context    a piece of another question before or after
    add_courtesy   please and thank you, which change nothing
    swap_topic     an unknown topic in a taught wording: to be refused
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
SPLICED_SHARE = 0.5  # of the swapped topics are half of the old one, half of the new one
CUT = 0.15  # chance of a cut between two characters
GREETINGS = ("请问", "老师,", "老师,请问", "小老师,", "你好,", "想问一下,", "我想知道", "告诉我,")
THANKS = (",谢谢", "谢谢", ",谢谢老师", ",多谢", ",麻烦了", ",求解答", "呢", "呀", "啊")


def noisy_example(
    tokenizer: Tokenizer, question: str, answer: str, other: str, source: random.Random
) -> Example:
    """Return a training sequence with a noisy question; other lends context. 带噪声的样本。"""
    return encode_example(tokenizer, cut(noisy_question(question, other, source), source), answer)


def noisy_question(question: str, other: str, source: random.Random) -> str:
    """Return a question with letters left out and perhaps a piece of another one. 带噪声的问题。"""
    question = drop_letters(normalise(question), source)
    if source.random() < CONTEXT_SHARE:
        question = add_context(question, normalise(other), source)
    return normalise(question)


def swap_topic(question: str, topic: str, unknown: str, source: random.Random) -> str:
    """Return a taught wording around an unknown topic: 火山咋来的 -> 冰雹咋来的. 换话题。

    Or around half of each, 火雹咋来的. So neither the wording nor a part of the name is enough to
    answer: the whole topic counts.
    """
    if len(topic) > 1 and source.random() < SPLICED_SHARE:
        cut = source.randrange(1, len(topic))
        head, tail = (topic[:cut], unknown[1:]), (unknown[:-1], topic[cut:])
        unknown = "".join(source.choice((head, tail))) or unknown
    return question.replace(topic, unknown)


def drop_letters(question: str, source: random.Random) -> str:
    """Return a question with some characters left out. 漏字。"""
    return "".join(c for c in question if source.random() >= LETTER_DROP) or question


def add_context(question: str, other: str, source: random.Random) -> str:
    """Return a question with a piece of another one before or after it. 加上下文。"""
    length = source.randint(*CONTEXT_CHARACTERS)
    start = source.randrange(max(1, len(other) - length + 1))
    piece = other[start : start + length]
    return f"{piece},{question}" if source.random() < 0.5 else f"{question},{piece}"


def add_courtesy(question: str, source: random.Random) -> str:
    """Return a question with a greeting before it, thanks after it, or both. 加客套话。"""
    greeting, thanks = source.choice(GREETINGS), source.choice(THANKS)
    kind = source.randrange(3)
    return (greeting if kind != 1 else "") + normalise(question) + (thanks if kind != 0 else "")


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
