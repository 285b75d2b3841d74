"""Questions that a visitor of the page brings -> rows, checked. 访客自带的题目。

The text is data and nothing else: no name of a file is used, nothing is unpacked or run.
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from gpt_teacher.data_check import BUILD_TOKENIZER, Report, check
from gpt_teacher.errors import DataError
from gpt_teacher.tables import FORMS, WORKBOOKS, Table, read_columns, read_table
from gpt_teacher.text_encoding import decode
from gpt_teacher.tokenizer import Tokenizer

MAX_BYTES = 1_000_000  # of a text
MAX_ROWS = 500  # a class's questions; more are not learnt in five minutes on one core
MAX_CHARACTERS = 1_000  # of a question or an answer: several times what the model reads
NAME = "questions"  # how a visitor's text is called in messages


@dataclass(frozen=True)
class OwnQuestions:
    """A visitor's questions, and what was found in them. 自带题目与检查结果。"""

    table: Table
    report: Report

    @property
    def can_be_trained(self) -> bool:
        """Tell whether there is no problem; warnings may be meant. 能否训练。"""
        return not self.report.n_problems


def form_of_name(name: str) -> str:
    """Return the suffix that a file's name ends in, the only part of it that counts. 后缀。

    Raises DataError for a kind of file that holds no table.
    """
    suffix = PurePosixPath(name).suffix.lower()
    if suffix not in FORMS and suffix not in WORKBOOKS:
        raise DataError(f"unknown kind of file; bring one of: {', '.join(FORMS)}")
    return suffix


def form_of_text(text: str) -> str:
    """Return the suffix that a pasted text would have as a file. 粘贴的文字是哪种格式。"""
    first = text.lstrip("\ufeff \t\r\n").split("\n", 1)[0]
    if first.startswith(("{", "[")):
        return ".jsonl"
    return ".txt" if "\t" in first else ".csv"


def check_bytes(n_bytes: int) -> None:
    """Raise DataError for more bytes than a page's visitor may bring. 字节数。"""
    if n_bytes > MAX_BYTES:
        raise DataError(f"{n_bytes:,} bytes are too many; bring {MAX_BYTES:,} at most (太大)")


def _read_copy(content: bytes, suffix: str, folder: Path) -> Table:
    """Read the questions from a copy, which is gone afterwards. 从临时副本读取。"""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".check-") as place:
        path = Path(place) / f"{NAME}{suffix}"
        path.write_bytes(content)
        try:
            return read_table(path)
        except DataError as error:
            raise DataError(str(error).replace(str(path), path.name)) from None


def read_own(
    content: bytes, suffix: str, tokenizer: Tokenizer, seq_len: int, folder: Path
) -> OwnQuestions:
    """Read and check the questions of a visitor; a copy lies in `folder` meanwhile. 读取并检查。

    Raises DataError with all problems found, each with its line.
    """
    check_bytes(len(content))
    try:
        table = _read_copy(content, suffix, folder)
    except OSError as error:
        raise DataError(
            f"the questions cannot be kept on this machine ({error.strerror}); free some space, "
            f"then try again (磁盘写不进去)"
        ) from None
    table = replace(table, path=Path(table.path.name))
    _check_size(table)
    report = check([table], tokenizer, seq_len, Path(f"{NAME}.jsonl"))
    # Who is at a page cannot make a tokenizer; the page says itself that some characters are rare.
    found = [one for one in report.findings if BUILD_TOKENIZER not in one.sentence]
    return OwnQuestions(table, replace(report, findings=found))


def as_text(table: Table) -> str:
    """Return a table as a text to show and edit, from which the same rows are read. 显示成文字。

    A line each, question TAB answer; where other rows would be read from that, JSONL.
    """
    plain = all(row.keys() == {"prompt", "completion"} for row in table.objects)
    lines = "\n".join(f"{row.prompt}\t{row.completion}" for row in table.rows)
    if plain and form_of_text(lines) == ".txt" and _read_back(lines) == table.objects:
        return lines
    return "\n".join(json.dumps(row, ensure_ascii=False) for row in table.objects)


def _read_back(lines: str) -> list[dict[str, object]]:
    """Return the rows that are read from a text with TABs; none if it cannot be read. 读回。"""
    try:
        text, encoding = decode(lines.encode())
        return read_columns(Path(f"{NAME}.txt"), text, "text", encoding).objects
    except (ValueError, DataError):
        return []


def _check_size(table: Table) -> None:
    """Raise DataError for more than a page's visitor may bring."""
    if len(table.rows) > MAX_ROWS:
        raise DataError(f"{len(table.rows)} questions; bring {MAX_ROWS} at most (题目太多)")
    for row in table.rows:
        longest = max(len(row.prompt), len(row.completion))
        if longest > MAX_CHARACTERS:
            raise DataError(
                f"{table.path}, line {row.line}: a text of {longest:,} characters; the model "
                f"reads a tenth of that: shorten it (太长)"
            )
