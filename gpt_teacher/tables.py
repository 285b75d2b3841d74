"""Files as teachers have them -> questions and answers. 老师手里的表格 -> 问答。

    .jsonl .json   {"prompt": …, "completion": …} a line
    .csv .tsv      as Excel saves it: comma, semicolon or TAB; columns found by their header, if any
    .txt           question TAB answer, a line each, as Notepad or Excel (Unicode text) saves it

UTF-8, UTF-16 or GBK. Training reads JSONL in UTF-8: write_jsonl makes that of the others.
"""

from __future__ import annotations

import csv
import io
import itertools
import json
import os
import re
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from gpt_teacher.atomic import replace_file
from gpt_teacher.errors import DataError
from gpt_teacher.text_encoding import read_text
from gpt_teacher.text_files import LABELS, MAX_PROBLEMS, Row, read_prompts, read_rows

Form = Literal["JSONL", "CSV", "text"]
FORMS: dict[str, Form] = {
    ".jsonl": "JSONL",
    ".json": "JSONL",
    ".csv": "CSV",
    ".tsv": "CSV",
    ".txt": "text",
}
WORKBOOKS = (".xlsx", ".xls", ".xlsm", ".et", ".ods", ".numbers")
PROMPT_NAMES = {
    *("prompt", "question", "questions", "q", "query", "instruction", "input", "user"),
    *("问题", "题目", "提问", "问", "问句", "题干", "用户", "输入"),
}
COMPLETION_NAMES = {
    *("completion", "answer", "answers", "a", "response", "reply", "output", "assistant"),
    *("答案", "回答", "回复", "答", "答复", "解答", "助手", "输出"),
}
DELIMITERS = ("\t", ",", ";")
SNIFFED_ROWS = 200  # enough of a CSV to recognise its delimiter
SHOWN = 20  # characters of a text that an error shows
MAX_NAME = 20  # characters of a column's name; longer texts are questions or answers
MARKS = re.compile("[?？。.!！,，;；]")  # of sentences, not of names
# Words of file names, and the part of its data that such a file is.
ROLES = {"unknown": "unknown", "未知": "unknown", "val": "val", "valid": "val"}
ROLES |= {"validation": "val", "dev": "val", "验证": "val", "test": "test", "测试": "test"}
_NAMED_DELIMITER = re.compile(r'"?sep=([\t,;])"?\n?', re.IGNORECASE)  # Excel's first line
_BRACKETS = re.compile(r"[(（\[【].*$")  # 问题(必填)
_ONE_COLUMN = {
    "text": "no TAB in {!r}; put one between question and answer (Tab 键)",
    "CSV": "only one column, {!r}; put a comma between question and answer (英文逗号)",
}
_TOO_MANY = {
    "text": "put one TAB between question and answer, and no other in the line",
    "CSV": 'an answer with the delimiter in it stands in quotes: "…"',
}


@dataclass(frozen=True)
class Table:
    """Questions and answers of a file, and how they stood there. 一个文件里的问答。"""

    path: Path
    rows: list[Row]
    objects: list[dict[str, object]]  # each row with its other keys or columns, for write_jsonl
    form: Form
    encoding: str
    columns: str = ""  # those that were read, where the file has columns
    is_cut: bool = False  # without a header, there are more than two columns
    may_be_named: bool = False  # no header was found, but the first row looks like one

    @property
    def is_ready(self) -> bool:
        """Tell whether training can read the file as it is. 能否直接训练。"""
        return self.form == "JSONL" and self.encoding.startswith("UTF-8")

    @property
    def jsonl_path(self) -> Path:
        """The file that training reads, or a name for it. 供训练的文件。"""
        path = self.path.with_suffix(".jsonl")
        if self.is_ready:
            return self.path
        return path if path != self.path else path.with_stem(path.stem + "_utf8")


class _Record(NamedTuple):
    line: int  # that it begins in, from 1
    fields: list[str]


class _Columns(NamedTuple):
    prompt: int
    completion: int
    names: list[str]  # of all columns; empty without a header
    width: int  # fields that a row may have


def read_table(path: Path) -> Table:
    """Read the questions and answers of a file. 读取一个问答文件。

    Raises DataError with all problems found, each with its line.
    """
    try:
        str(path).encode()
    except UnicodeEncodeError:  # unpacked from an old zip
        raise DataError(
            f"{path}: training logs the names of its files, and this one is not UTF-8; rename it "
            f"(请改文件名)"
        ) from None
    suffix = path.suffix.lower()
    if suffix in WORKBOOKS:
        raise DataError(
            f"{path}: this is a workbook ({suffix}); save it in Excel as CSV UTF-8 "
            f"(文件 -> 另存为 -> CSV UTF-8) and check the .csv"
        )
    if suffix not in FORMS and not os.access(path, os.F_OK):
        raise DataError(f"{path}: no such file")
    if suffix not in FORMS:
        known = ", ".join(FORMS)
        raise DataError(f"{path}: unknown kind of file {suffix!r}; name it one of: {known}")
    text, encoding = read_text(path)
    form = FORMS[suffix]
    if form == "JSONL":
        rows, objects = _read_jsonl(path, text, encoding)
        return Table(path, rows, objects, form, encoding)
    return read_columns(path, text, form, encoding)


def read_columns(path: Path, text: str, form: Form, encoding: str) -> Table:
    """Read the text of a file that has columns, which is CSV or text. 读取分列的文字。

    Raises DataError with all problems found, each with its line.
    """
    records = [r for r in _records(path, text, form) if any(field.strip() for field in r.fields)]
    if not records:
        raise DataError(f"{path}: the file is empty; it needs a row for each question")
    columns = _find_columns(path, records)
    rows, objects = _read_records(path, records[bool(columns.names) :], columns, form)
    first, second = (
        columns.names[column].strip() if columns.names else str(column + 1)
        for column in (columns.prompt, columns.completion)
    )
    is_cut = not columns.names and any(f.strip() for r in records for f in r.fields[2:])
    read = f"columns {first} and {second}"
    may_be_named = not columns.names and _looks_like_names(records[0].fields)
    return Table(path, rows, objects, form, encoding, read, is_cut, may_be_named)


def role(path: Path) -> str:
    """Return what a file is for, by its name: train, val, unknown, unknown_test … 文件的用途。

    A file of val and test is for the test: what is asked there decides nothing before.
    """
    words = re.findall(r"[a-z]+|未知|验证|测试", path.stem.lower())
    found = {ROLES[word] for word in words if word in ROLES}
    if "test" in found:
        found.discard("val")
    return "_".join(name for name in ("unknown", "val", "test") if name in found) or "train"


def write_jsonl(table: Table, path: Path) -> None:
    """Write a table as training reads it; a file that is there is replaced. 存成 JSONL。"""
    if path.suffix.lower() not in (".jsonl", ".json"):
        raise DataError(f"{path}: JSONL is written; give a name that ends in .jsonl")
    if path.exists() and path.samefile(table.path):
        raise DataError(f"{path}: this is the file that was read; write to another one")
    lines = [json.dumps(item, ensure_ascii=False) + "\n" for item in table.objects]
    try:
        # Half a character, which other keys may hold, becomes its JSON escape.
        replace_file(path, "".join(lines).encode(errors="backslashreplace"))
    except OSError as error:
        raise DataError(f"cannot write {path}: {error.strerror}; choose another file") from None


def _read_jsonl(path: Path, text: str, encoding: str) -> tuple[list[Row], list[dict[str, object]]]:
    """Read JSONL; in another encoding, through a copy in UTF-8. 读 JSONL。"""
    if encoding.startswith("UTF-8"):
        return read_rows(path), read_prompts(path)
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / path.name
        copy.write_text(text, encoding="utf-8", newline="")
        try:
            return read_rows(copy), read_prompts(copy)
        except DataError as error:
            raise DataError(str(error).replace(str(copy), str(path))) from None


def _records(path: Path, text: str, form: Form) -> list[_Record]:
    """Cut a text into rows and these into fields. 切成行与列。"""
    lines = list(io.StringIO(text, newline=None))  # any line end, also one in a field, is \n
    for number, line in enumerate(lines, start=1):
        if "\0" in line:
            raise DataError(
                f"{path}, line {number}: a NUL character (byte 0); the file is damaged or no text: "
                f"save it anew as text"
            )
    if form == "text" and not _is_from_excel(lines):
        return [_Record(n, line.rstrip("\n").split("\t")) for n, line in enumerate(lines, 1)]
    delimiter = "\t" if form == "text" else _find_delimiter(lines)
    if form == "CSV" and (named := _NAMED_DELIMITER.fullmatch(lines[0] if lines else "")):
        delimiter, lines[0] = named[1], "\n"
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    records: list[_Record] = []
    line_number = 1
    try:
        for fields in reader:
            records.append(_Record(line_number, fields))
            line_number = reader.line_num + 1  # a quoted field may span lines
    except csv.Error as error:
        raise DataError(
            f"{path}, line {line_number}: this is not CSV ({error}); a field that begins with a "
            f'quote (") ends with one, and each quote inside is doubled ("")'
        ) from None
    return records


def _is_from_excel(lines: list[str]) -> bool:
    """Tell whether quotes stand around fields, as Excel writes Unicode text. 是否 Excel 的文本。

    It puts those in quotes that hold a comma, a quote or a line end; in all others is no quote.
    """
    try:
        rows = list(csv.reader(lines, delimiter="\t", strict=True))
    except csv.Error:
        return False
    written = io.StringIO()
    for row in rows:
        written.write("\t".join(map(_as_excel_writes, row)) + "\n")
    return any('"' in line for line in lines) and "".join(lines).rstrip("\n") == (
        written.getvalue().rstrip("\n")
    )


def _as_excel_writes(field: str) -> str:
    return '"' + field.replace('"', '""') + '"' if re.search(r'[",\n]', field) else field


def _find_delimiter(lines: list[str]) -> str:
    """Return the delimiter that cuts the most rows into equally many fields. 认出分隔符。"""

    def n_alike(delimiter: str) -> int:
        rows = itertools.islice(_rows_until_error(lines, delimiter), SNIFFED_ROWS)
        return max(Counter(len(row) for row in rows if len(row) > 1).values(), default=0)

    return max(DELIMITERS, key=n_alike)


def _rows_until_error(lines: list[str], delimiter: str) -> Iterator[list[str]]:
    try:
        yield from csv.reader(lines, delimiter=delimiter)
    except csv.Error:  # told when the file is read with the delimiter that was found
        return


def _find_columns(path: Path, records: list[_Record]) -> _Columns:
    """Find the columns by their header, or take the first two. 找到问题列与答案列。"""
    line, names = records[0]
    plain = [_BRACKETS.sub("", name).strip(" \u3000:：*").lower() for name in names]
    prompts = [i for i, name in enumerate(plain) if name in PROMPT_NAMES]
    completions = [i for i, name in enumerate(plain) if name in COMPLETION_NAMES]
    if prompts and completions:
        return _Columns(prompts[0], completions[0], names, len(names))
    found = prompts or completions
    if len(names) > 1 and len(found) == 1:
        missing, name = ("answers", "答案") if prompts else ("questions", "问题")
        raise DataError(
            f"{path}, line {line}: a header with {names[found[0]]!r} but no column of {missing}; "
            f"name it {name} (if this row is no header, move it down)"
        )
    widths = Counter(len(r.fields) for r in records if len(r.fields) > 1)
    return _Columns(0, 1, [], max(sorted(widths), key=widths.__getitem__, default=2))


def _looks_like_names(fields: list[str]) -> bool:
    """Tell whether a row speaks of questions and answers, as a header would. 像不像表头。"""
    words = "".join(fields).lower()
    short = all(len(name.strip()) <= MAX_NAME and not MARKS.search(name) for name in fields)
    return short and bool(re.search("问|题|question", words) and re.search("答|answer", words))


def _read_records(
    path: Path, records: list[_Record], columns: _Columns, form: Form
) -> tuple[list[Row], list[dict[str, object]]]:
    rows: list[Row] = []
    objects: list[dict[str, object]] = []
    problems: list[str] = []
    for record in records:
        try:
            item = _read_record(record.fields, columns, form)
        except ValueError as error:
            problems.append(f"{path}, line {record.line}: {error}")
            continue
        labels = (item.get(key, "") for key in LABELS)
        rows.append(Row(item["prompt"], item["completion"], record.line, *labels))
        objects.append(dict(item))
    more = len(problems) - MAX_PROBLEMS
    if problems:
        listed = problems[:MAX_PROBLEMS] + ([f"{path}: and {more} more"] if more > 0 else [])
        raise DataError("\n".join(listed))
    if not rows:
        raise DataError(f"{path}: only a header; the file needs a row for each question")
    return rows, objects


def _read_record(fields: list[str], columns: _Columns, form: Form) -> dict[str, str]:
    """Return a row as an object; ValueError says what is wrong with it. 读一行。"""
    if len(fields) == 1:
        raise ValueError(_ONE_COLUMN[form].format(fields[0][:SHOWN]))
    prompt, completion = (
        fields[column] if column < len(fields) else ""
        for column in (columns.prompt, columns.completion)
    )
    if not completion.strip():
        raise ValueError(f"no answer to {prompt[:SHOWN]!r}; write it or delete the row (缺答案)")
    if not prompt.strip():
        raise ValueError(
            f"no question to {completion[:SHOWN]!r}; write it or delete the row (缺问题)"
        )
    if any(field.strip() for field in fields[columns.width :]):
        raise ValueError(
            f"{len(fields)} columns where the table has {columns.width}; {_TOO_MANY[form]}"
        )
    others = {
        name.strip(): field
        for i, (name, field) in enumerate(zip(columns.names, fields))  # noqa: B905  may be shorter
        if i not in (columns.prompt, columns.completion) and name.strip() and field.strip()
    }
    return {**others, "prompt": prompt, "completion": completion}
