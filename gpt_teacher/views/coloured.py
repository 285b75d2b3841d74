"""An answer in pieces, each with how sure the model was of it. 按把握给回答上色的数据。"""

from __future__ import annotations

import codecs
from collections.abc import Sequence
from typing import NamedTuple

from gpt_teacher.sampler import Token
from gpt_teacher.tokenizer import Tokenizer
from gpt_teacher.views.text import Text

SURE, RATHER_SURE = 0.95, 0.7  # probabilities at which a colour begins
COLOURS = ("#3b82f6", "#ca8a04", "#ea580c", "#be185d")  # from the surest to the least sure


class Piece(NamedTuple):
    """Some whole characters, and the probability of their least sure token. 一小段。"""

    text: str
    probability: float


def pieces(tokenizer: Tokenizer, tokens: Sequence[Token]) -> list[Piece]:
    """Return the tokens, those that share a character joined. 词元，半个字的拼成整字。

    Bytes that never become a character stand as ⟨E8 92⟩, `<eos>` as its name.
    """
    done: list[Piece] = []
    waiting: list[Token] = []  # together the beginning of a character
    for token in tokens:
        data = tokenizer.token_bytes(token.token_id)
        before = b"".join(tokenizer.token_bytes(t.token_id) for t in waiting)
        if not data or not _may_become_text(before + data):
            done += [_labelled(tokenizer, t) for t in waiting]
            waiting, before = [], b""
        if not data:
            done.append(_labelled(tokenizer, token))
            continue
        waiting.append(token)
        if _is_text(before + data):
            done.append(Piece((before + data).decode(), min(t.probability for t in waiting)))
            waiting = []
    return done + [_labelled(tokenizer, token) for token in waiting]


def _labelled(tokenizer: Tokenizer, token: Token) -> Piece:
    return Piece(tokenizer.label(token.token_id), token.probability)


def _may_become_text(data: bytes) -> bool:
    """Tell whether some bytes are UTF-8, the last character perhaps unfinished. 能否成字。"""
    try:
        codecs.getincrementaldecoder("utf-8")().decode(data)
    except UnicodeDecodeError:
        return False
    return True


def _is_text(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def band_names(text: Text, threshold: float) -> list[str]:
    """Return the names of the colours, the surest first. 各颜色的名字。"""
    percent = {"sure": f"{SURE:.0%}", "rather": f"{RATHER_SURE:.0%}", "least": f"{threshold:.0%}"}
    keys = ["band_sure", "band_rather", "band_unsure", *["band_refused"][: threshold > 0]]
    return [text[key].format(**percent) for key in keys]


def coloured(
    found: Sequence[Piece], names: Sequence[str], threshold: float
) -> list[tuple[str, str]]:
    """Return (text, name of its colour) for each piece. 上色。"""
    return [(piece.text, names[_band(piece.probability, threshold)]) for piece in found]


def _band(probability: float, threshold: float) -> int:
    if probability < threshold:
        return 3
    return 0 if probability >= SURE else 1 if probability >= RATHER_SURE else 2
