"""Files as teachers have them: which rows are read, and what each broken file is told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from conftest import ROOT

from gpt_teacher.errors import DataError
from gpt_teacher.tables import Table, read_table, role, write_jsonl
from gpt_teacher.text_encoding import decode
from gpt_teacher.text_files import MAX_PROBLEMS, read_rows

# As Excel and Notepad write them: Windows line ends, quotes only where they are needed.
PAIRS = [
    ("什么是密度?", "密度是质量除以体积。"),
    ("what is RoPE?", "RoPE turns q and k, by an angle."),
]
COMMA = '什么是密度?,密度是质量除以体积。\r\nwhat is RoPE?,"RoPE turns q and k, by an angle."\r\n'
TAB = "什么是密度?\t密度是质量除以体积。\r\nwhat is RoPE?\tRoPE turns q and k, by an angle.\r\n"
JSONL = "".join(
    json.dumps({"prompt": prompt, "completion": answer, "id": "t1"}, ensure_ascii=False) + "\n"
    for prompt, answer in PAIRS
)
CONTENT = {".csv": COMMA, ".txt": TAB, ".jsonl": JSONL}
ENCODINGS = {
    "UTF-8": ("utf-8", b""),
    "UTF-8 with BOM": ("utf-8", b"\xef\xbb\xbf"),
    "UTF-16 LE": ("utf-16-le", b"\xff\xfe"),
    "UTF-16 BE": ("utf-16-be", b"\xfe\xff"),
    "GBK": ("gbk", b""),
}


def file(folder: Path, content: str | bytes, name: str) -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def pairs(table: Table) -> list[tuple[str, str]]:
    return [(row.prompt, row.completion) for row in table.rows]


def lines(table: Table) -> list[int]:
    return [row.line for row in table.rows]


def message(path: Path) -> str:
    """The error of reading a file; each of its lines begins with the path, which is left out."""
    with pytest.raises(DataError) as caught:
        read_table(path)
    told = str(caught.value).splitlines()
    assert all(line.startswith(str(path)) for line in told)
    return "\n".join(line.removeprefix(str(path)) for line in told)


# ---------------------------------------------------------------- encodings


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("suffix", CONTENT)
def test_every_form_is_read_in_every_encoding_and_that_is_said(
    suffix: str, encoding: str, tmp_path: Path
) -> None:
    codec, mark = ENCODINGS[encoding]
    table = read_table(file(tmp_path, mark + CONTENT[suffix].encode(codec), f"a{suffix}"))
    assert pairs(table) == PAIRS
    assert lines(table) == [1, 2]
    assert table.encoding == encoding
    assert table.is_ready == (suffix == ".jsonl" and encoding.startswith("UTF-8"))


@pytest.mark.parametrize("codec", ["utf-16-le", "utf-16-be"])
@pytest.mark.parametrize(
    "text",
    [
        TAB,
        "一\t一二三\n",  # 一 is U+4E00, so its NUL byte is where that of the other order would be
        "what is it\tit is that, in english letters only\r\n",
        "photosynthesis\tphotosynthesis\n",  # letters are Chinese characters in the other order
        "什么是密度，请讲一讲\t"
        + "密度是质量与体积之比。" * 40
        + "\n",  # one NUL in a thousand bytes
    ],
    ids=["both", "U+4E00", "english", "letters", "long"],
)
def test_utf_16_is_known_without_its_mark(codec: str, text: str) -> None:
    assert decode(text.encode(codec)) == (text, f"UTF-16 {codec[-2:].upper()}")


def test_a_nul_in_utf8_or_gbk_does_not_make_it_utf_16() -> None:
    """Pairs of ASCII letters are Chinese characters in UTF-16."""
    for text in ("ab\n\0cd\tefgh", "ab\0,密度", "abcdefghijkl\n\0nop"):
        assert decode(text.encode()) == (text, "UTF-8")
    for text in ("密度是什么,密度是质量\n\0除以体积", "天空蓝色\n\0蓝色天空"):
        assert decode(text.encode("gbk")) == (text, "GBK")


def test_a_character_beyond_gbk_makes_it_gb18030() -> None:
    for text, name in (("魑魅,密度", "GBK"), ("𠮷🙂,密度", "GB18030")):
        assert decode(text.encode("gb18030")) == (text, name)


def test_a_question_in_gbk_is_read_however_short_it_is() -> None:
    """Found here: 什么是光? was called broken UTF-8, and ML指什么 was read as MLָʲô."""
    assert decode("什么是光?".encode("gbk")) == ("什么是光?", "GBK")
    assert decode("ML指什么".encode("gbk")) == ("ML指什么", "GBK")
    rows, wrong = read_rows(ROOT / "data" / "train.jsonl"), []
    for row in rows:
        assert decode(row.prompt.encode()) == (row.prompt, "UTF-8")
        data = row.prompt.encode("gbk", errors="replace")
        try:
            text = decode(data)[0]
        except ValueError:
            text = ""
        if text != data.decode("gbk"):
            wrong.append(row.prompt)
    assert len(wrong) * 5_000 < len(rows), wrong  # 谢谢 is лл in UTF-8, as good a word


@pytest.mark.parametrize(
    "text",
    [
        "S=πr²",
        "αβ",
        "café",
        "¿Cuál es la capital de Perú?",
        "зал",
        "nǐ hǎo",
        "·",
        "sit\t/sɪt/\nkit\t/kɪt/",
    ],
)
def test_letters_of_others_in_utf8_are_no_gbk(text: str) -> None:
    assert decode(text.encode()) == (text, "UTF-8")


def test_letters_of_others_before_a_chinese_one_are_looked_at_once() -> None:
    """Found here: each was a new beginning, and 60,000 of them took 19 seconds."""
    text = "ط" * 200_000 + "\t答\n"
    assert decode(text.encode()) == (text, "UTF-8")


@pytest.mark.parametrize("lost", [1, 2])
def test_a_short_text_in_utf8_that_breaks_off_is_no_gbk(lost: int) -> None:
    for text in ("什么是光", "谢谢泥", "阿巴阿巴阿巴", "a²+b²=c²啥意思", "大象 寿命"):
        with pytest.raises(ValueError, match="UTF-8 with a broken character"):
            decode(text.encode()[:-lost])


@pytest.mark.parametrize("text", ["", "a", "\n", "魑魅，hello world 🙂", "ＡＢＣ　，", "\r\n\t"])
def test_utf8_keeps_every_character(text: str) -> None:
    assert decode(text.encode()) == (text, "UTF-8")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("密度\t质量".encode()[:-1], ": this file is UTF-8 with a broken character; it may be cut"),
        (b"\xff\xfe" + "密\t度".encode("utf-16-le")[:-1], ": this file is UTF-16 LE, but cut off"),
        (b"\xef\xbb\xbf" + "密\t度".encode("gbk"), ": this file is UTF-8 with BOM, but cut off or"),
        (b"na\xefve caf\xe9\n\xff\xff", ": this file is neither UTF-8 nor GBK nor UTF-16; save"),
        (b"PK\x03\x04\x14\0\x06\0", ": this is a workbook or document under another name; save it"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1", ": this is a workbook or document under another name"),
    ],
    ids=["utf8", "utf16", "mark", "latin", "xlsx", "xls"],
)
def test_bytes_that_are_no_text_are_told_apart(
    content: bytes, expected: str, tmp_path: Path
) -> None:
    for suffix in CONTENT:
        assert message(file(tmp_path, content, f"a{suffix}")).startswith(expected)


# ---------------------------------------------------------------- CSV


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_the_delimiter_is_found_though_answers_hold_the_others(
    delimiter: str, tmp_path: Path
) -> None:
    others = {",": "；;\t", ";": ", ，", "\t": ",;"}[delimiter]
    content = "".join(f"问{n}{delimiter}答{others * (n % 3)}{n}\n" for n in range(6))
    table = read_table(file(tmp_path, content, "a.csv"))
    assert pairs(table) == [(f"问{n}", f"答{others * (n % 3)}{n}") for n in range(6)]


@pytest.mark.parametrize("first", ["sep={}", '"sep={}"', "SEP={}"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_a_first_line_for_excel_names_the_delimiter(
    first: str, delimiter: str, tmp_path: Path
) -> None:
    """Found here: it was refused as a question without an answer."""
    other = ";" if delimiter == "," else ","
    rows = ["问题{}答案", *(f"问{n}{other}{{}}答{n}" for n in range(3))]
    content = "\r\n".join(row.format(delimiter) for row in [first, *rows])
    table = read_table(file(tmp_path, b"\xef\xbb\xbf" + content.encode(), "a.csv"))
    assert pairs(table) == [(f"问{n}{other}", f"答{n}") for n in range(3)]
    assert lines(table) == [3, 4, 5]


def test_a_quoted_field_may_hold_commas_quotes_and_line_ends(tmp_path: Path) -> None:
    """Line numbers are those of the file: the row after a field of three lines is in line 4."""
    content = (
        '说一首诗,"床前明月光，\r\n疑是地上霜。\r\n他说""好"", 是吧"\r\n'
        '"什么是\n密度?",密度\r\n\r\n光速,c\r\n'
    )
    table = read_table(file(tmp_path, content, "a.csv"))
    assert pairs(table) == [
        ("说一首诗", '床前明月光，\n疑是地上霜。\n他说"好", 是吧'),
        ("什么是\n密度?", "密度"),
        ("光速", "c"),
    ]
    assert lines(table) == [1, 4, 7]


@pytest.mark.parametrize(
    "header",
    [
        *("prompt,completion", "Question,Answer", " 问题 ,答案", "题目,回答", "提问：,回复："),
        *('"question","answer"', "PROMPT,COMPLETION", "问,答", "instruction,output"),
    ],
)
def test_a_header_is_no_question(header: str, tmp_path: Path) -> None:
    table = read_table(file(tmp_path, f"{header}\n光速,c\n", "a.csv"))
    assert pairs(table) == [("光速", "c")]
    assert lines(table) == [2]


def test_columns_are_found_by_name_wherever_they_stand(tmp_path: Path) -> None:
    content = "序号,答案,id,备注,问题\n1,c,t7,,光速\n2,密度,t8,难,什么是密度\n"
    table = read_table(file(tmp_path, content, "a.csv"))
    assert pairs(table) == [("光速", "c"), ("什么是密度", "密度")]
    assert [row.id for row in table.rows] == ["t7", "t8"]
    assert table.columns == "columns 问题 and 答案"
    assert table.objects == [
        {"序号": "1", "id": "t7", "prompt": "光速", "completion": "c"},
        {"序号": "2", "id": "t8", "备注": "难", "prompt": "什么是密度", "completion": "密度"},
    ]


def test_without_a_header_the_first_two_columns_count(tmp_path: Path) -> None:
    table = read_table(file(tmp_path, "光速,c,物理\n密度,ρ,物理\n,,\n", "a.csv"))
    assert pairs(table) == [("光速", "c"), ("密度", "ρ")]
    assert table.columns == "columns 1 and 2"
    assert table.is_cut
    assert not read_table(file(tmp_path, "光速,c,\n密度,ρ,\n", "b.csv")).is_cut
    assert not read_table(file(tmp_path, "问题,答案,x\n光速,c,1\n", "c.csv")).is_cut


@pytest.mark.parametrize(
    ("first", "looks"),
    [
        ("学生提问,老师回答", True),
        ("My question,Correct answer", True),
        ("问题是什么?,答案是 42", False),
        ("这道题怎么做,先读题再写答案，最后再检查一遍", False),
        ("什么是密度,质量除以体积", False),
    ],
)
def test_a_first_row_like_a_header_is_noticed(first: str, looks: bool, tmp_path: Path) -> None:
    table = read_table(file(tmp_path, f"{first}\n光有多快?,很快\n", "a.csv"))
    assert table.may_be_named == looks
    assert len(table.rows) == 2


def test_a_remark_in_brackets_is_no_part_of_a_columns_name(tmp_path: Path) -> None:
    table = read_table(file(tmp_path, "问题（必填）,答案(必填)\n光有多快?,很快\n", "a.csv"))
    assert [row.prompt for row in table.rows] == ["光有多快?"]
    assert not table.may_be_named


def test_words_of_a_header_inside_rows_are_questions(tmp_path: Path) -> None:
    """A list of English words may teach `answer` and `question`."""
    content = "apple,苹果\nquestion,问题\nanswer,答案\nprompt,completion\n"
    assert len(read_table(file(tmp_path, content, "a.csv")).rows) == 4
    assert len(read_table(file(tmp_path, "question,问题\nb,c\n", "b.csv")).rows) == 2


def test_a_header_without_one_of_the_columns_is_told(tmp_path: Path) -> None:
    assert message(file(tmp_path, "问题,内容\n光速,c\n", "a.csv")) == (
        ", line 1: a header with '问题' but no column of answers; name it 答案 "
        "(if this row is no header, move it down)"
    )
    told = message(file(tmp_path, "\n序号,答案\n光速,c\n", "b.csv"))
    assert told.startswith(
        ", line 2: a header with '答案' but no column of questions; name it 问题"
    )


def test_all_bad_rows_are_told_with_their_lines(tmp_path: Path) -> None:
    content = '问题,答案\n"两\n行",甲\n光速,\n只有问题\n,没有问题\n密度,ρ,多余\n光速,c\n'
    assert message(file(tmp_path, content, "a.csv")).splitlines() == [
        ", line 4: no answer to '光速'; write it or delete the row (缺答案)",
        ", line 5: only one column, '只有问题'; put a comma between question and answer (英文逗号)",
        ", line 6: no question to '没有问题'; write it or delete the row (缺问题)",
        ", line 7: 3 columns where the table has 2; an answer with the delimiter in it stands in "
        'quotes: "…"',
    ]


def test_a_comma_in_an_unquoted_answer_never_cuts_it_in_silence(tmp_path: Path) -> None:
    for others in ("光速,c\n", "光速,c\n沸点,100\n"):
        path = file(tmp_path, "什么是密度,质量,除以体积\n" + others, "a.csv")
        assert message(path).startswith(", line 1: 3 columns where the table has 2; an answer with")
    assert read_table(file(tmp_path, "什么是密度,质量,除以体积\n", "b.csv")).is_cut


def test_a_full_width_comma_is_no_delimiter(tmp_path: Path) -> None:
    told = message(file(tmp_path, "光速，c\n密度，ρ\n", "a.csv"))
    assert told.splitlines()[1].startswith(", line 2: only one column, '密度，ρ'; put a comma")


@pytest.mark.parametrize(
    ("content", "line"),
    [('光速,c\n密度,"ρ\n沸点,100\n', 2), ('光速,c\n密度,ρ\n"他说"好",甲\n', 3)],
    ids=["open", "inside"],
)
def test_wrong_quotes_are_told_where_the_row_begins(
    content: str, line: int, tmp_path: Path
) -> None:
    told = message(file(tmp_path, content, "a.csv"))
    assert told.startswith(f", line {line}: this is not CSV (")
    assert told.endswith('and each quote inside is doubled ("")')


def test_only_so_many_problems_are_listed(tmp_path: Path) -> None:
    content = "光速,c\n" + "密度,\n" * (MAX_PROBLEMS + 3)
    told = message(file(tmp_path, content, "a.csv")).splitlines()
    assert len(told) == MAX_PROBLEMS + 1
    assert told[-1] == ": and 3 more"


# ---------------------------------------------------------------- text


def test_a_text_has_a_tab_in_each_line_and_blank_lines_are_skipped(tmp_path: Path) -> None:
    content = '光速\tc = 3,0; "快"\n\n \t \n密度\t ρ \n'
    table = read_table(file(tmp_path, content, "a.txt"))
    assert pairs(table) == [("光速", 'c = 3,0; "快"'), ("密度", " ρ ")]
    assert lines(table) == [1, 4]


def test_a_text_as_excel_writes_it_has_quotes_around_some_fields(tmp_path: Path) -> None:
    """A comma, a quote or a line end in a field: Excel writes quotes around it, and doubles those
    inside. Notepad writes what was typed."""
    content = '"他说""你好"",什么意思?"\t"第一行\n第二行"\n密度?\t质量除以体积\n'
    rows = read_table(file(tmp_path, content.encode("utf-16"), "a.txt")).rows
    assert [(row.prompt, row.completion, row.line) for row in rows] == [
        ('他说"你好",什么意思?', "第一行\n第二行", 1),
        ("密度?", "质量除以体积", 3),
    ]
    typed = '"甲"是谁?\t小明\n乙?\t"小红"\n'
    rows = read_table(file(tmp_path, typed, "b.txt")).rows
    assert [(row.prompt, row.completion) for row in rows] == [
        ('"甲"是谁?', "小明"),
        ("乙?", '"小红"'),
    ]


def test_a_text_may_have_a_header(tmp_path: Path) -> None:
    table = read_table(file(tmp_path, "答案\t问题\nc\t光速\n", "a.txt"))
    assert pairs(table) == [("光速", "c")]


def test_bad_lines_of_a_text_are_told(tmp_path: Path) -> None:
    content = "光速\tc\n密度 是什么 ρ\n沸点\t\n\t100\n熔点\t\t0\n质量\tm\n"
    assert message(file(tmp_path, content, "a.txt")).splitlines() == [
        ", line 2: no TAB in '密度 是什么 ρ'; put one between question and answer (Tab 键)",
        ", line 3: no answer to '沸点'; write it or delete the row (缺答案)",
        ", line 4: no question to '100'; write it or delete the row (缺问题)",
        ", line 5: no answer to '熔点'; write it or delete the row (缺答案)",
    ]
    told = message(file(tmp_path, "光速\tc\n密度\tρ\t多\n沸点\t100\n", "b.txt"))
    assert told == (
        ", line 2: 3 columns where the table has 2; "
        "put one TAB between question and answer, and no other in the line"
    )


# ---------------------------------------------------------------- files that are none


@pytest.mark.parametrize("suffix", [".csv", ".txt"])
def test_a_nul_is_told_with_its_line(suffix: str, tmp_path: Path) -> None:
    delimiter = {".csv": ",", ".txt": "\t"}[suffix]
    content = f"光速{delimiter}c\n密\0度{delimiter}比重，质量除以体积\n"
    for codec in ("utf-8", "utf-16", "utf-16-le"):
        told = message(file(tmp_path, content.encode(codec), f"a{suffix}"))
        assert told.startswith(", line 2: a NUL character (byte 0); the file is damaged or no tex")


@pytest.mark.parametrize("suffix", [".csv", ".txt"])
def test_a_file_without_rows_is_told(suffix: str, tmp_path: Path) -> None:
    for content in ("", "\n", " \r\n\t\n", "\ufeff"):
        told = message(file(tmp_path, content, f"a{suffix}"))
        assert told == ": the file is empty; it needs a row for each question"
    header = file(tmp_path, "问题\t答案\n", f"a{suffix}")
    assert message(header) == ": only a header; the file needs a row for each question"


@pytest.mark.parametrize("name", ["a.xlsx", "a.XLS", "a.et"])
def test_a_workbook_is_to_be_saved_as_csv(name: str, tmp_path: Path) -> None:
    told = message(tmp_path / name)
    assert told.startswith(
        f": this is a workbook ({name[1:].lower()}); save it in Excel as CSV UTF"
    )


def test_a_file_of_another_kind_or_none_is_told(tmp_path: Path) -> None:
    known = "name it one of: .jsonl, .json, .csv, .tsv, .txt"
    (tmp_path / "a.docx").touch()
    assert message(tmp_path / "a.docx") == f": unknown kind of file '.docx'; {known}"
    assert message(tmp_path / "none.csv") == ": no such file"
    (tmp_path / "folder.csv").mkdir()
    assert message(tmp_path / "folder.csv") == ": cannot be read: Is a directory"


def test_a_name_that_training_cannot_log_is_a_problem_of_the_file(tmp_path: Path) -> None:
    """GBK in an old zip gives such names on Linux; the check passed, then training failed."""
    told = message(tmp_path / "\udccc\udce2.jsonl")
    assert told.startswith(": training logs the names of its files, and this one is not UTF-8")
    assert told.endswith("; rename it (请改文件名)")


@pytest.mark.parametrize("codec", ["utf-8", "gbk", "utf-16"])
def test_bad_lines_of_a_jsonl_are_told_by_file_and_line_in_any_encoding(
    codec: str, tmp_path: Path
) -> None:
    content = JSONL + '{"prompt": "一"}\n\n{"prompt": "二", "completion": 2}\n'
    assert message(file(tmp_path, content.encode(codec), "a.jsonl")).splitlines() == [
        ", line 3: no 'completion' in this row; it has 'prompt'",
        ", line 5: 'completion' is 2; it must be text in quotes",
    ]


# ---------------------------------------------------------------- conversion


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("suffix", CONTENT)
def test_what_is_written_is_what_training_reads(suffix: str, encoding: str, tmp_path: Path) -> None:
    codec, mark = ENCODINGS[encoding]
    table = read_table(file(tmp_path, mark + CONTENT[suffix].encode(codec), f"a{suffix}"))
    written = tmp_path / "new" / "out.jsonl"
    write_jsonl(table, written)
    assert read_rows(written) == table.rows
    assert read_table(written).is_ready
    if suffix == ".jsonl":
        assert written.read_text(encoding="utf-8") == JSONL


@pytest.mark.parametrize(
    "text", ["魑魅，hello world 🙂", "ＡＢＣ　，", '"a", b\n\tc', "\u2028\x85x"]
)
def test_a_field_keeps_every_character_on_its_way(text: str, tmp_path: Path) -> None:
    escaped = text.replace('"', '""')
    table = read_table(file(tmp_path, f'问题,答案\n"{escaped}","{escaped}"\n', "a.csv"))
    write_jsonl(table, tmp_path / "out.jsonl")
    (row,) = read_rows(tmp_path / "out.jsonl")
    assert (row.prompt, row.completion) == (text, text)


def test_half_a_character_under_another_key_is_kept_as_its_escape(tmp_path: Path) -> None:
    line = '{"prompt": "一", "completion": "甲", "note": "\\ud83d"}\n'
    table = read_table(file(tmp_path, line, "a.jsonl"))
    write_jsonl(table, tmp_path / "out.jsonl")
    assert (tmp_path / "out.jsonl").read_text(encoding="utf-8") == line


def test_the_file_that_was_read_is_never_overwritten(tmp_path: Path) -> None:
    path = file(tmp_path, JSONL.encode("gbk"), "a.jsonl")
    table = read_table(path)
    (tmp_path / "link.jsonl").symlink_to(path)
    for target in (path, tmp_path / "." / "a.jsonl", tmp_path / "link.jsonl"):
        with pytest.raises(DataError, match="this is the file that was read; write to another one"):
            write_jsonl(table, target)
    assert path.read_bytes() == JSONL.encode("gbk")


def test_a_conversion_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    table = read_table(file(tmp_path, COMMA, "a.csv"))
    with pytest.raises(DataError, match=r"out.csv: JSONL is written; give a name that ends in"):
        write_jsonl(table, tmp_path / "out.csv")
    with pytest.raises(DataError, match=r"cannot write .*a.csv/out.jsonl: .*; choose another file"):
        write_jsonl(table, tmp_path / "a.csv" / "out.jsonl")


@pytest.mark.parametrize(
    ("name", "codec", "expected"),
    [
        ("a.csv", "utf-8", "a.jsonl"),
        ("a.json", "gbk", "a.jsonl"),
        ("a.jsonl", "gbk", "a_utf8.jsonl"),
        ("a.json", "utf-8", "a.json"),
    ],
)
def test_the_file_to_train_on_is_never_another_encoding(
    name: str, codec: str, expected: str, tmp_path: Path
) -> None:
    content = CONTENT[".csv" if name == "a.csv" else ".jsonl"]
    table = read_table(file(tmp_path, content.encode(codec), name))
    assert table.jsonl_path == tmp_path / expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("data/train.jsonl", "train"),
        ("mine.csv", "train"),
        ("latest.csv", "train"),  # no word of it is `test`
        ("物理_验证.csv", "val"),
        ("dev-2.jsonl", "val"),
        ("val.jsonl", "val"),
        ("my_test.txt", "test"),
        ("unknown.jsonl", "unknown"),
        ("unknown_test.jsonl", "unknown_test"),
        ("val-test.jsonl", "test"),
        ("测试与验证.csv", "test"),
        ("unknown_dev_test.jsonl", "unknown_test"),
    ],
)
def test_the_name_of_a_file_tells_what_it_is_for(name: str, expected: str) -> None:
    assert role(Path(name)) == expected
