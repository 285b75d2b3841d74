"""The bytes of a text file -> its text, and which encoding that was. 认出文本文件的编码。

Without a byte-order mark, what reads as UTF-8 is UTF-8; UTF-16 is known by the NULs of its line
ends, and the rest is GBK if it can be read so. A few words in GBK may look like UTF-8, sound or
broken: they are known by their common characters.
"""

from __future__ import annotations

import codecs
import re
from collections import Counter
from pathlib import Path

from gpt_teacher.errors import DataError

MARKS = (
    (codecs.BOM_UTF8, "utf-8", "UTF-8 with BOM"),
    (codecs.BOM_UTF16_LE, "utf-16-le", "UTF-16 LE"),
    (codecs.BOM_UTF16_BE, "utf-16-be", "UTF-16 BE"),
)
UTF16 = (("utf-16-le", "UTF-16 LE"), ("utf-16-be", "UTF-16 BE"))
CHINESE = (("gbk", "GBK"), ("gb18030", "GB18030"))
ARCHIVES = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")  # .xlsx, .docx and .zip; .xls and .doc
ENDS = frozenset("\n\t,;")  # without one of these there is no table
USUAL_SHARE = 0.9  # of the characters of a Chinese or English text
# In UTF-8 什么, written in GBK, is ʲô: no Chinese, but letters that no Western, Greek or Russian
# text has, but for phonetics, among Latin letters.
STRANGE = re.compile("(?<![A-Za-z/])[\u0180-\u0390\u03ca-\u03ff\u0460-\u07ff](?![A-Za-z/])")
LAST_OF_TWO_BYTES = "\u07ff"  # Chinese takes three in UTF-8
LAST_COMMON = 0xD7  # first byte, in GB 2312, of the last of its 3,755 common characters
COMMON_SHARE = 0.8  # beyond ASCII in Chinese; in broken UTF-8 read as GBK there are fewer
MOST_NULS = 0.25  # of the bytes of a UTF-8 file: one of UTF-16 in ASCII has half


def read_text(path: Path) -> tuple[str, str]:
    """Return the text of a file and the name of its encoding. 读出文字与编码。Raises DataError."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from None
    if data.startswith(ARCHIVES):
        raise DataError(
            f"{path}: this is a workbook or document under another name; save it in Excel as "
            f"CSV UTF-8 (文件 -> 另存为 -> CSV UTF-8) and check the .csv"
        )
    try:
        return decode(data)
    except ValueError as error:
        raise DataError(f"{path}: {error}") from None


def piped_text(data: bytes) -> str:
    """Return the text of bytes from a pipe, GBK in cmd.exe. 管道里的文字。Raises DataError."""
    try:
        return decode(data)[0].replace("\r\n", "\n")
    except ValueError:
        raise DataError("what is piped in is no text in UTF-8 or GBK (编码不对)") from None


def decode(data: bytes) -> tuple[str, str]:
    """Return the text of some bytes and its encoding; ValueError says why not. 解码。"""
    for mark, codec, name in MARKS:
        if data.startswith(mark):
            text = _try(data[len(mark) :], codec)
            if text is None:
                raise ValueError(f"this file is {name}, but cut off or damaged; save it anew")
            return text, name
    text = _try(data, "utf-8")
    like_gbk = text is not None and _is_strange(text) and _is_common_gbk(data)
    if text is not None and data.count(0) <= MOST_NULS * len(data) and not like_gbk:
        return text, "UTF-8"
    for codec, name in UTF16:
        text = _try(data, codec)
        if text is not None and reads_well(text):
            return text, name
    if _is_broken_utf8(data) and not _is_common_gbk(data):
        raise ValueError("this file is UTF-8 with a broken character; it may be cut off or damaged")
    for codec, name in CHINESE:
        text = _try(data, codec)
        if text is not None:
            return text, name
    raise ValueError(
        "this file is neither UTF-8 nor GBK nor UTF-16; save it as UTF-8 "
        "(Notepad: 另存为 -> 编码 -> UTF-8)"
    )


def _try(data: bytes, codec: str) -> str | None:
    try:
        return data.decode(codec)
    except UnicodeDecodeError:
        return None


def reads_well(text: str) -> bool:
    """Tell whether a text is plainly Chinese or English. 像不像中英文。

    In the wrong byte order, and for bytes that are no UTF-16, there are no line ends, commas or
    TABs, or most characters are of other scripts.
    """
    n_usual = sum(map(_is_usual, text))
    return not ENDS.isdisjoint(text) and n_usual >= USUAL_SHARE * len(text)


def _is_usual(c: str) -> bool:
    return (
        " " <= c <= "~"
        or c in "\r\n\t"
        or "\u2010" <= c <= "\u2027"  # dashes, quotes, ellipsis
        or "\u3000" <= c <= "\u303f"  # Chinese punctuation
        or "\u4e00" <= c <= "\u9fff"
        or "\uff00" <= c <= "\uffef"  # full-width forms
    )


def _is_strange(text: str) -> bool:
    """Tell whether no Chinese is in it, but letters that are in no usual text. 有没有怪字母。"""
    return max(text, default="") <= LAST_OF_TWO_BYTES and STRANGE.search(text) is not None


def _is_common_gbk(data: bytes) -> bool:
    """Tell whether it is GBK, most of it common characters. 是不是常用字的 GBK。"""
    text = _try(data, "gbk") or ""
    counts = Counter(c for c in text if c > "\x7f")
    first_bytes = {c: c.encode("gb2312", errors="ignore")[:1] for c in counts}
    n_common = sum(n for c, n in counts.items() if b"" < first_bytes[c] <= bytes([LAST_COMMON]))
    return n_common > 0 and n_common >= COMMON_SHARE * counts.total()


def _is_broken_utf8(data: bytes) -> bool:
    """Tell whether most characters beyond ASCII are sound UTF-8: no long text else looks so."""
    text = data.decode("utf-8", errors="replace")
    n_broken = text.count("\ufffd")
    return sum(c > "\x7f" for c in text) - n_broken > n_broken
