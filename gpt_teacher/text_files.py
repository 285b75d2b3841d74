"""Files -> rows and text, with errors that say what to do. 读取数据文件。

    JSONL   {"prompt": …, "completion": …} a line for questions, {"text": …} a line for plain text
    .txt    plain text

UTF-8, with or without a byte-order mark. Every problem names the file and the line.
"""

from __future__ import annotations

import codecs
import hashlib
import json
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from gpt_teacher.commands import quoted
from gpt_teacher.errors import DataError, shown
from gpt_teacher.text_encoding import UTF16, reads_well

MAX_PROBLEMS = 10  # listed in one error; the rest are counted
SNIFFED_BYTES = 1 << 16  # enough of a file to recognise its encoding
TABLES = (".csv", ".tsv", ".txt")  # that scripts.check_data converts
LABELS = ("id", "subject", "kind", "topic")  # of a row's topic, for the tables of the exam
_WANTED = '{"prompt": "什么是密度?", "completion": "密度是…"}'
_ASKED = '{"prompt": "什么是密度?"}'


class Row(NamedTuple):
    """One question and its answer. 一问一答。"""

    prompt: str
    completion: str
    line: int  # in its file, from 1
    id: str = ""  # of its topic; these four are there if the file has them
    subject: str = ""
    kind: str = ""
    topic: str = ""


def read_rows(path: Path) -> list[Row]:
    """Read a JSONL file of {"prompt", "completion"}; other keys are allowed. 读取问答文件。

    Raises DataError with all problems found, each with its line.
    """
    one_copy = sys.intern  # of an answer or a label, however many rows have it
    return [
        Row(row["prompt"], one_copy(row["completion"]), line, *(_label(row, key) for key in LABELS))
        for line, row in _read_objects(path, ("prompt", "completion"))
    ]


def _label(row: dict[str, Any], key: str) -> str:
    """Return a label as text; null is none. 标签。"""
    value = row.get(key)
    return "" if value is None else sys.intern(str(value))


def read_prompts(path: Path) -> list[dict[str, Any]]:
    """Read a JSONL file of {"prompt"}: each row as it stands, other keys kept. 读取问题文件。

    Raises DataError with all problems found, each with its line.
    """
    return [row for _, row in _read_objects(path, ("prompt",))]


def _read_objects(path: Path, keys: tuple[str, ...]) -> list[tuple[int, dict[str, Any]]]:
    """Return (line, object) of a JSONL file whose objects have text under these keys. 读 JSONL。"""
    rows: list[tuple[int, dict[str, Any]]] = []
    problems: list[str] = []
    for number, line in read_lines(path):
        if not line.strip():
            continue
        try:
            row = _parse_object(line)
            rows.append((number, row | {key: _text(row, key) for key in keys}))
        except ValueError as error:
            problems.append(f"{path}, line {number}{error}")
    if problems and path.suffix.lower() in TABLES:
        remedy = (
            f"convert it: python -m scripts.check_data "
            f"{quoted(str(path))} --to {quoted(str(path.with_suffix('.jsonl')))}"
            if "completion" in keys
            else f"write one object a line: {_ASKED}"  # check_data wants answers, too
        )
        raise DataError(f"{path}: questions are read from JSONL; {remedy}")
    _raise_problems(path, problems)
    if not rows:
        raise DataError(f"{path}: the file is empty; it needs a line for each question: {_WANTED}")
    return rows


def read_texts(path: Path) -> Iterator[str]:
    """Yield the text of a file in pieces: lines of a .txt, documents of a JSONL. 读取纯文本。

    Joined, the pieces of a .txt are the file. Lines end as they do in a question: Windows line ends
    would be learnt. Memory stays small however long it is.
    """
    is_jsonl = path.suffix.lower() in (".jsonl", ".json")
    empty = True
    for number, line in read_lines(path):
        if is_jsonl and not line.strip():
            continue
        if is_jsonl:
            try:
                line = _text(_parse_object(line), "text")
            except ValueError as error:
                raise DataError(
                    f"{path}, line {number}{error} (data.format is lm: plain text; a file of "
                    f"questions and answers needs data.format=instruct)"
                ) from None
        line = line.replace("\r\n", "\n")
        empty = empty and not line.strip()
        yield line
    if empty:
        raise DataError(f"{path}: the file is empty; plain text is needed for data.format=lm")


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield (number from 1, line with its end) of a UTF-8 file. 逐行读取。"""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            yield from enumerate(file, start=1)
    except FileNotFoundError:
        raise DataError(
            f"{path}: no such file; check its name, or data.train_path and data.val_path"
        ) from None
    except UnicodeDecodeError:
        raise DataError(f"{path}: {_name_encoding(path)}") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from None


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes. 文件指纹。"""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while piece := file.read(1 << 20):
                digest.update(piece)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from None
    return digest.hexdigest()


def _parse_object(line: str) -> dict[str, Any]:
    """Parse a line; ValueError holds the column and the reason. 解析一行。"""
    try:
        value = json.loads(line.rstrip("\r\n"))  # else the column may be one of the next line
    except json.JSONDecodeError as error:
        hint = "; a JSON array? write one object a line" if line.lstrip().startswith("[") else ""
        raise ValueError(f", column {error.colno}: this is not JSON: {error.msg}{hint}") from None
    except RecursionError:
        raise ValueError(": this is not JSON: too many brackets") from None
    if not isinstance(value, dict):
        raise ValueError(f": expected an object such as {_WANTED}, got {line.strip()[:40]}")
    return value


def _text(row: dict[str, Any], key: str) -> str:
    """Return a row's text; ValueError says what is wrong with it. 取出一个字段。"""
    if key not in row:
        raise ValueError(
            f": no {key!r} in this row; it has {', '.join(map(repr, row)) or 'no keys'}"
        )
    value = row[key]
    if not isinstance(value, str):
        raise ValueError(f": {key!r} is {shown(value)}; it must be text in quotes")
    if not value.strip():
        raise ValueError(f": {key!r} is empty")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        half = value[error.start]
        raise ValueError(f": {key!r} holds half a character, {half!r}; remove it") from None
    return value


def _raise_problems(path: Path, problems: list[str]) -> None:
    if not problems:
        return
    more = len(problems) - MAX_PROBLEMS
    listed = problems[:MAX_PROBLEMS] + ([f"{path}: and {more} more"] if more > 0 else [])
    raise DataError("\n".join(listed))


def _name_encoding(path: Path) -> str:
    """Say which encoding a file that is not UTF-8 seems to have, and the remedy. 认出编码。"""
    with path.open("rb") as file:
        head = file.read(SNIFFED_BYTES)
    remedy = (
        "save it as UTF-8 (Notepad: 另存为 -> 编码 -> UTF-8; or: "
        "iconv -f {name} -t UTF-8 OLD > NEW)"
    )
    if head[:2] in (b"\xff\xfe", b"\xfe\xff") or head[:200].count(b"\0") > 20:
        return f"this file is UTF-16, not UTF-8; {remedy.format(name='UTF-16')}"
    for codec, name in UTF16:
        with suppress(UnicodeDecodeError):
            known_as = name.replace(" ", "")  # to iconv
            if reads_well(codecs.getincrementaldecoder(codec)().decode(head)):
                return f"this file is {name}, not UTF-8; {remedy.format(name=known_as)}"
    if _is_broken_utf8(path):
        return "this file is UTF-8 with a broken character; it may be cut off or damaged"
    for cut in range(4):  # the head may end inside a character
        try:
            head[: len(head) - cut].decode("gb18030")
        except UnicodeDecodeError:
            continue
        return f"this file is GBK, not UTF-8; {remedy.format(name='GB18030')}"
    return f"this file is not UTF-8 text; {remedy.format(name='ITS_ENCODING')}"


def _is_broken_utf8(path: Path) -> bool:
    """Tell whether most characters beyond ASCII are sound UTF-8: no other encoding looks so."""
    text = path.read_bytes().decode("utf-8", errors="replace")
    n_broken = text.count("\ufffd")
    n_sound = sum(c > "\x7f" for c in text) - n_broken
    return n_sound > n_broken
