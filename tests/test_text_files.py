"""Data files: what is read, and what each broken file is told."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gpt_teacher.errors import DataError
from gpt_teacher.text_files import (
    MAX_PROBLEMS,
    SNIFFED_BYTES,
    Row,
    file_sha256,
    read_prompts,
    read_rows,
    read_texts,
)

TEXTS = ["", "魑魅，hello world 🙂", "ＡＢＣ　，", "\r\n\t"]
GOOD = '{"prompt": "什么是密度?", "completion": "密度是质量与体积的比。"}\n'
UTF8_REMEDY = "save it as UTF-8 (Notepad: 另存为 -> 编码 -> UTF-8; or: iconv -f"


def _jsonl(rows: list[Any]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def _file(folder: Path, content: str | bytes, name: str = "rows.jsonl") -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def _message(read: Callable[[Path], object], path: Path) -> str:
    """The error that reading a file gives, without the path that it begins with."""
    with pytest.raises(DataError) as caught:
        read(path)
    assert str(caught.value).startswith(str(path))
    return str(caught.value).removeprefix(str(path))


def _read_all_texts(path: Path) -> list[str]:
    return list(read_texts(path))


def test_rows_are_read_with_the_lines_that_they_stand_in(tmp_path: Path) -> None:
    content = _jsonl([{"prompt": "一", "completion": "甲", "topic": "x"}]) + "\n  \n"
    content += _jsonl([{"id": 3, "completion": "乙", "prompt": "二"}])
    assert read_rows(_file(tmp_path, content)) == [
        Row("一", "甲", 1, topic="x"),
        Row("二", "乙", 4, id="3"),
    ]


def test_a_label_that_is_null_is_none(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"prompt": "一", "completion": "甲", "topic": null, "id": 7}\n', "utf-8")
    assert read_rows(path) == [Row("一", "甲", 1, id="7", topic="")]


def test_a_row_knows_its_topic_subject_and_kind_if_its_file_does(tmp_path: Path) -> None:
    labels = {"id": "t061", "subject": "物理", "kind": "定义", "topic": "万有引力"}
    content = _jsonl([{"prompt": "一", "completion": "甲", **labels}])
    (row,) = read_rows(_file(tmp_path, content))
    assert row == Row("一", "甲", 1, **labels)
    assert read_rows(_file(tmp_path, _jsonl([{"prompt": "一", "completion": "甲"}]))) == [
        Row("一", "甲", 1, id="", subject="", kind="", topic="")
    ]


@pytest.mark.parametrize("text", [text + "文" for text in TEXTS], ids=ascii)
def test_a_row_keeps_every_character(text: str, tmp_path: Path) -> None:
    text = f"{text}\u2028\x85\0\u2581"  # line ends for some, but not in a JSONL file
    for ensure_ascii in (True, False):
        line = json.dumps({"prompt": text, "completion": text}, ensure_ascii=ensure_ascii)
        assert read_rows(_file(tmp_path, line)) == [Row(text, text, 1)]


def test_a_byte_order_mark_and_windows_line_ends_are_accepted(tmp_path: Path) -> None:
    content = b"\xef\xbb\xbf" + GOOD.replace("\n", "\r\n").encode() * 2
    rows = read_rows(_file(tmp_path, content))
    assert [row.line for row in rows] == [1, 2]
    assert {(row.prompt, row.completion) for row in rows} == {
        ("什么是密度?", "密度是质量与体积的比。")
    }
    text = _file(tmp_path, b"\xef\xbb\xbf" + "文\n".encode(), "a.txt")
    assert _read_all_texts(text) == ["文\n"]


def test_questions_alone_keep_their_other_keys(tmp_path: Path) -> None:
    path = _file(tmp_path, _jsonl([{"prompt": "ＡＢＣ　，", "id": 7, "tags": ["a"]}]))
    assert read_prompts(path) == [{"prompt": "ＡＢＣ　，", "id": 7, "tags": ["a"]}]


@pytest.mark.parametrize("text", [text + "。" for text in TEXTS], ids=ascii)
def test_the_pieces_of_a_text_joined_are_the_file(text: str, tmp_path: Path) -> None:
    """But for Windows line ends, which the questions to the model do not have."""
    text = f"{text}\n\n  {text}\n\tb\rc\u2028d\x0c{text}".replace("\r\n", "\n")
    assert "".join(read_texts(_file(tmp_path, text, "novel.txt"))) == text
    windows = text.replace("\n", "\r\n")
    assert "".join(read_texts(_file(tmp_path, windows, "novel.txt"))) == text


def test_a_text_without_a_last_line_end_gets_none(tmp_path: Path) -> None:
    assert _read_all_texts(_file(tmp_path, "一\n二", "a.txt")) == ["一\n", "二"]


def test_the_documents_of_a_jsonl_are_read_one_by_one(tmp_path: Path) -> None:
    documents = ["第一篇。\n\n", "魑魅，hello world 🙂", "ＡＢＣ　，", "\r\n\tx"]
    content = _jsonl([{"text": text, "id": n} for n, text in enumerate(documents)]) + "\n"
    assert _read_all_texts(_file(tmp_path, content)) == [*documents[:-1], "\n\tx"]


# What is wrong with a file


@pytest.mark.parametrize("read", [read_rows, read_prompts, _read_all_texts])
def test_a_missing_file_is_named(read: Callable[[Path], object], tmp_path: Path) -> None:
    path = tmp_path / "none.jsonl"
    assert (
        _message(read, path)
        == ": no such file; check its name, or data.train_path and data.val_path"
    )
    assert _message(file_sha256, path) == ": cannot be read: No such file or directory"


def test_a_folder_cannot_be_read(tmp_path: Path) -> None:
    assert _message(read_rows, tmp_path) == ": cannot be read: Is a directory"
    assert _message(file_sha256, tmp_path) == ": cannot be read: Is a directory"


@pytest.mark.parametrize("name", ["q.csv", "q.tsv", "q.txt"])
def test_a_table_of_questions_alone_is_told_the_form_of_a_line(name: str, tmp_path: Path) -> None:
    """It was told to convert it with check_data, which refuses questions without answers."""
    path = _file(tmp_path, "什么是密度?\n光有多快?\n", name)
    assert _message(read_prompts, path) == (
        ': questions are read from JSONL; write one object a line: {"prompt": "什么是密度?"}'
    )
    path = _file(tmp_path, '{"prompt": "什么是密度?"}\n', name)
    assert read_prompts(path) == [{"prompt": "什么是密度?"}]
    assert "check_data" in _message(read_rows, path)


@pytest.mark.parametrize("content", ["", "\n", " \r\n\t\n", "\ufeff"], ids=ascii)
def test_an_empty_file_says_what_it_needs(content: str, tmp_path: Path) -> None:
    message = _message(read_rows, _file(tmp_path, content))
    assert message == (
        ": the file is empty; it needs a line for each question: "
        '{"prompt": "什么是密度?", "completion": "密度是…"}'
    )
    message = _message(_read_all_texts, _file(tmp_path, content, "a.txt"))
    assert message == ": the file is empty; plain text is needed for data.format=lm"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"prompt": "一" "completion": "甲"}', ", column 16: this is not JSON: Expecting ',' del"),
        ("{'prompt': '一'}", ", column 2: this is not JSON: Expecting property name enclosed in"),
        ('{"prompt": 一}', ", column 12: this is not JSON: Expecting value"),
        ('{"prompt": "一"} {}', ", column 17: this is not JSON: Extra data"),
        ("什么是密度?\t密度是…", ", column 1: this is not JSON: Expecting value"),
        ('{"prompt": "一"', ", column 15: this is not JSON: Expecting ',' delimiter"),
        (
            '{"prompt": "一", "completion": "甲',
            ", column 31: this is not JSON: Unterminated string",
        ),
        ("[", ", column 2: this is not JSON: Expecting value; a JSON array? write one object a li"),
        ('  [{"prompt": "一"},', "this is not JSON: "),
        ("3", ': expected an object such as {"prompt": "什么是密度?", "completion": '),
        ('["一", "甲"]', 'got ["一", "甲"]'),
        ("null", "got null"),
    ],
    ids=lambda value: ascii(value[:30]),
)
@pytest.mark.parametrize("line_end", ["", "\n", "\r\n"], ids=ascii)
def test_a_line_that_is_no_object_is_named_with_line_and_column(
    line: str, message: str, line_end: str, tmp_path: Path
) -> None:
    """A row cut off at its end is the commonest: the column is its own, not the next line's."""
    path = _file(tmp_path, GOOD + "\n" + line + line_end)
    found = _message(read_rows, path)
    assert found.startswith(", line 3")
    assert "\n" not in found
    assert message in found


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"prompt": "一"}, "no 'completion' in this row; it has 'prompt'"),
        (
            {"question": "一", "answer": "甲"},
            "no 'prompt' in this row; it has 'question', 'answer'",
        ),
        ({}, "no 'prompt' in this row; it has no keys"),
        ({"prompt": "一", "completion": 3}, "'completion' is 3; it must be text in quotes"),
        ({"prompt": ["一"], "completion": "甲"}, "'prompt' is ['一']; it must be text in quotes"),
        (
            {"prompt": [*range(11)], "completion": "甲"},
            "'prompt' is [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, ...]; it must be text in quotes",
        ),
        ({"prompt": None, "completion": "甲"}, "'prompt' is None; it must be text in quotes"),
        ({"prompt": True, "completion": "甲"}, "'prompt' is True; it must be text in quotes"),
        ({"prompt": "", "completion": "甲"}, "'prompt' is empty"),
        ({"prompt": "一", "completion": "\r\n\t"}, "'completion' is empty"),
        ({"prompt": "一", "completion": "\u3000"}, "'completion' is empty"),
    ],
    ids=str,
)
def test_a_row_without_its_texts_is_named(
    row: dict[str, object], message: str, tmp_path: Path
) -> None:
    path = _file(tmp_path, GOOD + _jsonl([row]))
    assert _message(read_rows, path) == f", line 2: {message}"


@pytest.mark.parametrize("half", ["\\ud83d", "\\ude42", "\\ud83d\\ud83d"])
def test_half_a_character_is_named_with_its_code(half: str, tmp_path: Path) -> None:
    path = _file(tmp_path, GOOD + f'{{"prompt": "一", "completion": "甲{half}"}}\n')
    assert _message(read_rows, path) == (
        f", line 2: 'completion' holds half a character, '{half[:6]}'; remove it"
    )


def test_two_halves_make_one_character(tmp_path: Path) -> None:
    path = _file(tmp_path, '{"prompt": "一", "completion": "\\ud83d\\ude42"}\n')
    assert read_rows(path) == [Row("一", "🙂", 1)]


def test_several_problems_are_listed_in_one_error(tmp_path: Path) -> None:
    content = GOOD + "{\n" + GOOD + _jsonl([{"prompt": "一"}, {"prompt": 1, "completion": "甲"}])
    path = _file(tmp_path, content)
    with pytest.raises(DataError) as caught:
        read_rows(path)
    first, second, third = str(caught.value).splitlines()
    assert first.startswith(f"{path}, line 2, column 2: this is not JSON: ")
    assert second == f"{path}, line 4: no 'completion' in this row; it has 'prompt'"
    assert third == f"{path}, line 5: 'prompt' is 1; it must be text in quotes"


def test_a_long_list_of_problems_is_cut_and_counted(tmp_path: Path) -> None:
    path = _file(tmp_path, GOOD + '{"prompt": "一"}\n' * (MAX_PROBLEMS + 2))
    with pytest.raises(DataError) as caught:
        read_rows(path)
    lines = str(caught.value).splitlines()
    assert lines[0].startswith(f"{path}, line 2: ")
    assert lines[-2].startswith(f"{path}, line {MAX_PROBLEMS + 1}: ")
    assert lines[-1] == f"{path}: and 2 more"
    for n, last in ((MAX_PROBLEMS, f"{path}, line {MAX_PROBLEMS}: "), (MAX_PROBLEMS + 1, "1 more")):
        path = _file(tmp_path, '{"prompt": "一"}\n' * n)
        with pytest.raises(DataError) as caught:
            read_rows(path)
        lines = str(caught.value).splitlines()
        assert len(lines) == n
        assert last in lines[-1]


def test_a_plain_text_run_on_questions_is_told_the_format(tmp_path: Path) -> None:
    path = _file(tmp_path, "\n" + GOOD)
    assert _message(_read_all_texts, path) == (
        ", line 2: no 'text' in this row; it has 'prompt', 'completion' (data.format is lm: plain "
        "text; a file of questions and answers needs data.format=instruct)"
    )


# Other encodings


@pytest.mark.parametrize("read", [read_rows, _read_all_texts])
def test_a_file_in_gbk_is_recognised_with_the_remedy(
    read: Callable[[Path], object], tmp_path: Path
) -> None:
    for encoding in ("gbk", "gb18030"):
        message = _message(read, _file(tmp_path, (GOOD * 3).encode(encoding)))
        assert (
            message == f": this file is GBK, not UTF-8; {UTF8_REMEDY} GB18030 -t UTF-8 OLD > NEW)"
        )


def test_a_long_file_in_gbk_is_recognised_wherever_its_sample_ends(tmp_path: Path) -> None:
    for shift in range(4):
        content = (" " * shift + "魑魅密度" * SNIFFED_BYTES).encode("gbk")
        message = _message(_read_all_texts, _file(tmp_path, content, "a.txt"))
        assert message.startswith(": this file is GBK, not UTF-8; ")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_a_file_in_utf_16_is_recognised_with_the_remedy(encoding: str, tmp_path: Path) -> None:
    """With a byte-order mark, as Notepad writes it, or without."""
    path = _file(tmp_path, (GOOD * 3).encode(encoding))
    assert _message(read_rows, path) == (
        f": this file is UTF-16, not UTF-8; {UTF8_REMEDY} UTF-16 -t UTF-8 OLD > NEW)"
    )


def test_a_file_in_big_endian_utf_16_with_its_mark_is_recognised(tmp_path: Path) -> None:
    path = _file(tmp_path, b"\xfe\xff" + "密度\n".encode("utf-16-be"), "a.txt")
    assert _message(_read_all_texts, path).startswith(": this file is UTF-16, not UTF-8; ")


@pytest.mark.parametrize("order", ["LE", "BE"])
def test_a_chinese_novel_in_utf_16_without_its_mark_is_recognised(
    order: str, tmp_path: Path
) -> None:
    """Found here: with few NULs in it, it was said to be no text in an encoding of its own."""
    for shift in range(3):
        text = "话" * shift + "话说山中有一猴，生性好动🙂。\n" * SNIFFED_BYTES
        path = _file(tmp_path, text.encode(f"utf-16-{order}"), "a.txt")
        remedy = f"{UTF8_REMEDY} UTF-16{order} -t UTF-8 OLD > NEW)"
        assert _message(_read_all_texts, path) == (
            f": this file is UTF-16 {order}, not UTF-8; {remedy}"
        )


def test_a_file_in_an_unknown_encoding_says_what_it_should_be(tmp_path: Path) -> None:
    path = _file(tmp_path, b"na\xefve caf\xe9\n\xff\xff", "a.txt")
    assert _message(_read_all_texts, path) == (
        f": this file is not UTF-8 text; {UTF8_REMEDY} ITS_ENCODING -t UTF-8 OLD > NEW)"
    )


@pytest.mark.parametrize("lost", [1, 2])
@pytest.mark.parametrize("text", ["密度是质量与体积之比", "密度\n质量\n体积\n", "什么是密度"])
def test_a_utf8_file_that_breaks_off_inside_a_character_is_not_called_gbk(
    text: str, lost: int, tmp_path: Path
) -> None:
    """Its bytes in pairs are Chinese characters in GBK, too; converting it would spoil it all."""
    path = _file(tmp_path, (text + "密").encode()[:-lost], "a.txt")
    message = _message(_read_all_texts, path)
    assert "GBK" not in message
    assert "UTF-8" in message


def test_a_broken_byte_deep_in_a_file_is_found(tmp_path: Path) -> None:
    good = "密度abc\n".encode() * (SNIFFED_BYTES // 4)
    path = _file(tmp_path, good + b"\xff" + good, "a.txt")
    message = _message(_read_all_texts, path)
    assert "UTF-8" in message
    assert "GBK" not in message


def test_the_fingerprint_is_that_of_the_bytes(tmp_path: Path) -> None:
    content = (
        "\ufeff魑魅，hello world 🙂\r\n\t".encode() * 70_000
    )  # longer than one piece of reading
    path = _file(tmp_path, content)
    assert file_sha256(path) == hashlib.sha256(content).hexdigest()
    assert re.fullmatch("[0-9a-f]{64}", file_sha256(path))
