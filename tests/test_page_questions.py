"""What a visitor pastes or uploads: read, checked, limited, and never more than data."""

from __future__ import annotations

import io
import json
import random
import time
import zipfile
from collections.abc import Callable

import pytest
from page_jobs import PAIRS, WRITTEN

from gpt_teacher.config import load_config
from gpt_teacher.errors import DataError
from gpt_teacher.own_questions import (
    MAX_BYTES,
    MAX_CHARACTERS,
    MAX_ROWS,
    OwnQuestions,
    as_text,
    form_of_name,
    form_of_text,
    read_own,
)
from gpt_teacher.text_files import Row
from gpt_teacher.tokenizer import load_tokenizer
from gpt_teacher.training_files import ROOT
from gpt_teacher.views.text import CHINESE, ENGLISH, EXAMPLE_PAIRS
from gpt_teacher.views.train_lines import verdict

Read = Callable[[str | bytes, str], OwnQuestions]


@pytest.fixture(scope="module")
def read(tmp_path_factory: pytest.TempPathFactory) -> Read:
    config = load_config(ROOT / "config.yaml").tokenizer
    tokenizer = load_tokenizer(ROOT / config.path, config)
    folder = tmp_path_factory.mktemp("runs") / "page"

    def read(content: str | bytes, suffix: str = "") -> OwnQuestions:
        raw = content.encode() if isinstance(content, str) else content
        try:
            return read_own(raw, suffix or form_of_text(str(content)), tokenizer, 128, folder)
        finally:
            assert [*folder.rglob("*")] == []  # what is refused leaves nothing, either

    return read


def pairs(own: OwnQuestions) -> list[list[str]]:
    return [[row.prompt, row.completion] for row in own.table.rows]


@pytest.mark.parametrize(
    ("written", "suffix"),
    [
        ("光有多快?,每秒三十万千米", ".csv"),
        ("光有多快?\t每秒三十万千米", ".txt"),
        ('\n {"prompt": "光有多快?", "completion": "每秒三十万千米"}', ".jsonl"),
        ("问题;答案\n光有多快?;每秒三十万千米", ".csv"),
        ("\ufeff题目\t答案\n光有多快?\t每秒三十万千米\r\n", ".txt"),
    ],
)
def test_a_pasted_text_is_read_whatever_its_form(read: Read, written: str, suffix: str) -> None:
    assert form_of_text(written) == suffix
    own = read(written, suffix)
    assert pairs(own) == [["光有多快?", "每秒三十万千米"]]
    assert own.can_be_trained


@pytest.mark.parametrize("encoding", ["gbk", "utf-16", "utf-8-sig"])
def test_an_upload_is_read_in_the_encodings_that_excel_writes(read: Read, encoding: str) -> None:
    assert pairs(read(WRITTEN.encode(encoding), ".tsv")) == PAIRS


def test_the_example_can_be_trained_on_as_it_stands(read: Read) -> None:
    own = read(EXAMPLE_PAIRS, ".csv")
    assert len(own.table.rows) == 20
    assert own.can_be_trained
    assert "20 题" in verdict(own, CHINESE).splitlines()[0]


@pytest.mark.parametrize(
    ("name", "suffix"),
    [
        ("a.CSV", ".csv"),
        ("../../etc/x.txt", ".txt"),
        ("..\\..\\a.jsonl", ".jsonl"),
        ("a.xlsx", ".xlsx"),
    ],
)
def test_of_a_name_only_the_ending_counts(name: str, suffix: str) -> None:
    assert form_of_name(name) == suffix


@pytest.mark.parametrize("name", ["", "csv", ".csv/..", "a.py", "a.csv.exe", "a.zip", "a.csv\0"])
def test_other_kinds_of_file_are_refused_by_name(name: str) -> None:
    with pytest.raises(DataError, match=r"unknown kind of file; bring one of: \.jsonl"):
        form_of_name(name)


def test_a_zip_bomb_is_not_unpacked_whatever_it_is_called(read: Read) -> None:
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("questions.csv", b"\0" * 50_000_000)
    assert len(bomb.getvalue()) < MAX_BYTES
    for suffix in (".csv", ".txt", ".jsonl", ".xlsx"):
        with pytest.raises(DataError, match="workbook") as caught:
            read(bomb.getvalue(), suffix)
        assert str(caught.value).startswith(f"questions{suffix}: ")  # no folder of this machine


def test_too_much_is_refused_in_one_sentence(read: Read) -> None:
    rows = [f"问题{number}?,答案{number}" for number in range(MAX_ROWS + 1)]
    assert len(read("\n".join(rows[:-1]), ".csv").table.rows) == MAX_ROWS
    for written, sentence in (
        ("\n".join(rows), r"^501 questions; bring 500 at most"),
        ("x" * (MAX_BYTES + 1), r"^1,000,001 bytes are too many; bring 1,000,000 at most"),
        (
            f"a?,b\nc?,{'长' * (MAX_CHARACTERS + 1)}",
            r"^questions\.csv, line 2: a text of 1,001 char",
        ),
    ):
        with pytest.raises(DataError, match=sentence) as caught:
            read(written, ".csv")
        assert "\n" not in str(caught.value)


def test_the_problems_of_a_text_name_its_lines(read: Read) -> None:
    with pytest.raises(
        DataError, match=r"^questions\.csv, line 2: only one column, '谁是班长？小明'"
    ):
        read("a?,b\n谁是班长？小明", ".csv")
    with pytest.raises(DataError, match=r"^questions\.jsonl, line 1, column 2: this is not JSON"):
        read("{a?,b", ".jsonl")


def test_contradictions_must_be_mended_and_duplicates_may_stay(read: Read) -> None:
    twice = read("谁是班长?,小明\n谁是班长？,小明", ".csv")
    assert twice.can_be_trained
    assert "【提醒】1 行与前面重复" in verdict(twice, CHINESE)
    two_answers = read("谁是班长?,小明\n谁是班长？,小红", ".csv")
    assert not two_answers.can_be_trained
    lines = verdict(two_answers, CHINESE).splitlines()
    assert lines[0] == CHINESE["own_bad"]
    assert lines[1].startswith("【必须改】1 个问题有不止一种答案")
    assert "第 1 行：'谁是班长?' -> '小明' | 第 2 行" in lines[2]


def test_rare_characters_are_told_without_a_command(read: Read) -> None:
    told = verdict(read("魑魅魍魉?,鬣鬃魃魈", ".csv"), ENGLISH)
    assert "more slowly: 鬃×1 鬣×1 魃×1" in told
    assert "python" not in told


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        "${1+1} {{value}} {0} {question}",
        "\u202egnirts\u202c",
        "魑魅，hello world 🙂",
        "ＡＢＣ　，",
        "\u2028\u0085 x",
        "=1+1",
        "../../etc/passwd",
    ],
)
def test_hostile_text_is_text(read: Read, text: str) -> None:
    row = json.dumps({"prompt": f"q {text}", "completion": f"a {text}"}, ensure_ascii=False)
    own = read(row, ".jsonl")
    assert pairs(own) == [[f"q {text}", f"a {text}"]]
    assert verdict(own, CHINESE)


def test_control_characters_are_told(read: Read) -> None:
    own = read('{"prompt": "a\\u0007?", "completion": "b\\u202e"}', ".jsonl")
    assert "看不见的字符" in verdict(own, CHINESE)
    with pytest.raises(DataError, match="NUL character"):
        read("a?,b\0", ".csv")


def test_a_table_shown_as_text_is_read_back_the_same(read: Read) -> None:
    source = random.Random(0)
    pieces = ["光", "a", " ", "\t", "\n", ",", ";", '"', "{", "[", "\\", "🙂", "\u2028", "?"]
    for _ in range(60):
        rows = [
            {key: "x" + "".join(source.choices(pieces, k=4)) for key in ("prompt", "completion")}
            for _ in range(source.randint(1, 3))
        ]
        rows[0] |= {"topic": "光"} if source.random() < 0.3 else {}
        rows[0]["prompt"] = rows[0]["prompt"][source.randint(0, 1) :]
        if not rows[0]["prompt"].strip():
            continue
        own = read("\n".join(map(json.dumps, rows)), ".jsonl")
        shown = as_text(own.table)
        again = read(shown, form_of_text(shown))
        assert [_texts(row) for row in again.table.rows] == [_texts(row) for row in own.table.rows]


@pytest.mark.parametrize(
    ("content", "suffix"),
    [
        ('"""红豆生南国,春来发几枝""",谁写的？', ".csv"),  # Excel's own quotes, to a reader of text
        ('"""红豆生南国,春来发几枝"""\t谁写的？', ".tsv"),
        ("问题,答案\na,一个\nb,两个", ".csv"),  # `a` is the name of a column of answers
        ('{"prompt": "问题", "completion": "答案"}\n{"prompt": "a?", "completion": "b"}', ".jsonl"),
    ],
)
def test_what_is_shown_of_an_upload_is_what_is_trained(
    read: Read, content: str, suffix: str
) -> None:
    """Quotes were lost, a row vanished as a header, or the text in the box could not be read."""
    own = read(content, suffix)
    shown = as_text(own.table)
    assert pairs(read(shown, form_of_text(shown))) == pairs(own)


def test_an_ordinary_upload_is_shown_as_lines_with_a_tab(read: Read) -> None:
    own = read('问题,答案\n光有多快?,"每秒三十万千米,很快"\n"谁说""是""?",小明', ".csv")
    assert as_text(own.table) == '光有多快?\t每秒三十万千米,很快\n谁说"是"?\t小明'


def _texts(row: Row) -> tuple[str, str, str]:
    return row.prompt, row.completion, row.topic


def test_the_check_of_the_largest_text_ends_soon(read: Read) -> None:
    """500 rows of the longest texts, all alike: nobody can keep the page busy for long."""
    rows = [f"{'长' * 320}{number:03}?,{'短' * 320}" for number in range(MAX_ROWS)]
    started_at = time.perf_counter()
    own = read("\n".join(rows), ".csv")
    assert time.perf_counter() - started_at < 10
    assert not own.can_be_trained  # none of them fits the model
