"""Tokens as a reader may see them: names, whole characters, bytes as ⟨E8 92⟩. 词元的样子。"""

from __future__ import annotations

import itertools
from typing import NamedTuple

from gpt_teacher.tokenizer import SPECIAL_TOKENS, UNK_ID, Tokenizer


class TokenCounts(NamedTuple):
    """What a tokenized text consists of, special tokens but <unk> aside. 数量。"""

    characters: int  # whole ones; an <unk> stands for one
    bytes: int  # without those of unknown characters, which nothing tells any more
    tokens: int  # special ones included
    fragments: int  # tokens that are no whole characters
    unknown: int  # characters that became <unk>


def is_special(token_id: int) -> bool:
    """Tell whether an id is <bos>, <eos>, <pad> or <unk>. 是否特殊词元。"""
    return token_id < len(SPECIAL_TOKENS)


def is_fragment(tokenizer: Tokenizer, token_id: int) -> bool:
    """Tell whether a token's bytes are no whole characters. 是否半个字。"""
    try:
        tokenizer.token_bytes(token_id).decode()
    except UnicodeDecodeError:
        return True
    return False


def count_tokens(tokenizer: Tokenizer, ids: list[int]) -> TokenCounts:
    """Count the characters, bytes and tokens of a text. 数一数。"""
    data = b"".join(tokenizer.token_bytes(i) for i in ids if not is_special(i))
    unknown = ids.count(UNK_ID)
    return TokenCounts(
        characters=len(data.decode("utf-8", errors="ignore")) + unknown,
        bytes=len(data),
        tokens=len(ids),
        fragments=sum(is_fragment(tokenizer, i) for i in ids),
        unknown=unknown,
    )


def shown_text(tokenizer: Tokenizer, ids: list[int]) -> str:
    """Return the text of some ids, special tokens by name, lone bytes as ⟨E8⟩. 可见的文字。"""
    parts = []
    for special, group in itertools.groupby(ids, key=is_special):
        if special:
            parts += [tokenizer.label(i) for i in group]
        else:
            parts.append(readable(b"".join(map(tokenizer.token_bytes, group))))
    return "".join(parts)


def readable(data: bytes) -> str:
    """Return UTF-8 as text, and what is none as ⟨E8 92⟩, never U+FFFD. 可读的字节。"""
    shown = ""
    while data:
        try:
            return shown + data.decode()
        except UnicodeDecodeError as error:
            whole, lone = data[: error.start], data[error.start : error.end]
            shown += f"{whole.decode()}⟨{lone.hex(' ').upper()}⟩"
            data = data[error.end :]
    return shown
