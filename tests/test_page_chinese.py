"""The checks of a visitor's questions speak Chinese on the Chinese page, all of them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gpt_teacher.config import load_config
from gpt_teacher.errors import DataError
from gpt_teacher.own_questions import MAX_BYTES, MAX_CHARACTERS, MAX_ROWS, form_of_name, read_own
from gpt_teacher.tokenizer import Tokenizer, load_tokenizer
from gpt_teacher.training_files import ROOT
from gpt_teacher.views.chinese import SENTENCES, in_chinese
from gpt_teacher.views.text import CHINESE, ENGLISH
from gpt_teacher.views.train_lines import unreadable, verdict

GOOD = "光有多快?,每秒三十万千米\n"
LONG = "长" * 150
AS_IT_IS = {"prompt", "completion", "json", "jsonl", "csv", "utf", "excel", "tab"}
# text or bytes, the end of its name, and what the page says of it
CASES: list[tuple[str | bytes, str, str]] = [
    ("谁是班长?,小明\n谁是班长？,小红", ".csv", "1 个问题有不止一种答案"),
    ("谁是班长?,小明\n谁是班长？,小红", ".csv", "第 1 行：'谁是班长?' -> '小明' | 第 2 行：'谁是"),
    (GOOD + GOOD, ".csv", "1 行与前面重复"),
    ("三角形的内角和是多少度?,180 度\n三角形的内角和是多少度呢?,180 度", ".csv", "1 对题目几乎"),
    ("三角形的内角和一共是多少度?,180\n三角形的内角和一共是多少度数?,3", ".csv", "1 对题目很像"),
    (GOOD + "锟斤拷?,a", ".csv", "1 行有乱码"),
    (GOOD + "a\u0007?,b", ".csv", "1 行有看不见的字符"),
    (GOOD + "a?, b", ".csv", "1 行的答案前后有空格"),
    (GOOD + "a?,a?", ".csv", "1 行的答案就是问题"),
    (GOOD + "a?,.NET", ".csv", "1 行的答案以标点开头"),
    ("学生的问题,老师的答案\n" + GOOD, ".csv", "第一行像是表头"),
    (f"{LONG}?,甲", ".csv", "全部 1 行都太长，模型一次最多读 128 个词元：请缩短"),
    (f"{GOOD}{LONG}?,a", ".csv", "1 行太长，模型一次最多读 128 个词元，训练时会跳过"),
    ("a?,b,c\nd?,e,f", ".csv", "不止两列"),
    ("x" * (MAX_BYTES + 1), ".csv", "太大：1,000,001 字节，最多 1,000,000 字节"),
    ("".join(f"{n}?,{n}\n" for n in range(MAX_ROWS + 1)), ".csv", "题目太多：501 题，最多 500 题"),
    (f"{GOOD}a?,{'b' * (MAX_CHARACTERS + 1)}", ".csv", "第 2 行：有一格长达 1,001 个字"),
    (b"PK\x03\x04", ".csv", "这是工作簿或文档"),
    ("魑魅魍魉饕餮鳜鳢鳣鳤鸑鷟?,鬼", ".csv", "×1，还有 3 个字"),
    ("a?,b", ".xlsx", "这是工作簿或文档"),
    ("\n\n", ".csv", "没有题目"),
    ("问题,答案\n", ".csv", "只有表头"),
    (GOOD + "a?,\0", ".csv", "第 2 行：有空字符"),
    (GOOD + '"a?,b', ".csv", "第 2 行：英文引号没有配对"),
    (f'{GOOD}"{"a" * 140_000}', ".csv", "第 2 行：有一格太长"),
    ("问题,b\nc?,d", ".csv", "第 1 行：表头有 '问题'，却没有“答案”这一列"),
    ("谁是班长? 小明", ".txt", "第 1 行：'谁是班长? 小明' 里没有 Tab"),
    (GOOD + "谁是班长?", ".csv", "第 2 行：只有一列：'谁是班长?'"),
    (GOOD + "谁是班长?,", ".csv", "第 2 行：'谁是班长?' 没有答案"),
    (GOOD + ",小明", ".csv", "第 2 行：答案 '小明' 缺少对应的问题"),
    (GOOD + GOOD + "a?,b,c", ".csv", "第 3 行：这一行有 3 列，应该是 2 列"),
    (GOOD + "a?,\n" * 12, ".csv", "还有 2 处"),
    ("光?,a".encode("utf-16")[:-1], ".csv", "文件不完整或者坏了"),
    ("光有多快,".encode() + "光".encode()[:2] + b"a", ".csv", "文件不完整或者坏了"),
    (b"a\xff\xff?,\x81", ".csv", "认不出文字的编码"),
    ('[{"prompt": "a"},\n', ".jsonl", "第 1 行，第 18 个字符：这不是 JSONL"),
    ('{"prompt" "a"}', ".jsonl", "第 1 行，第 11 个字符：这不是 JSON：请检查"),
    ("1", ".jsonl", "第 1 行：每行要写成这样：{"),
    ('{"prompt": "a"}', ".jsonl", "第 1 行：这一行没有 completion"),
    ('{"prompt": 1, "completion": "b"}', ".jsonl", "prompt 是 1：要写成加英文双引号的文字"),
    ('{"prompt": "a", "completion": " "}', ".jsonl", "completion 是空的"),
    ('{"prompt": "\\ud800", "completion": "b"}', ".jsonl", "prompt 里有半个字符"),
]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    config = load_config(ROOT / "config.yaml").tokenizer
    return load_tokenizer(ROOT / config.path, config)


def said(content: str | bytes, suffix: str, tokenizer: Tokenizer, folder: Path) -> tuple[str, str]:
    """What the Chinese page says, and the English one."""
    raw = content.encode() if isinstance(content, str) else content
    try:
        own = read_own(raw, suffix, tokenizer, 128, folder)
    except DataError as error:
        return unreadable(error, CHINESE), unreadable(error, ENGLISH)
    return verdict(own, CHINESE), verdict(own, ENGLISH)


@pytest.mark.parametrize(("content", "suffix", "sentence"), CASES)
def test_what_is_wrong_is_said_in_chinese(
    content: str | bytes, suffix: str, sentence: str, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    chinese, english = said(content, suffix, tokenizer, tmp_path)
    assert sentence in chinese
    assert sentence not in english
    own_words = re.sub(r"'.*?'", "", chinese)  # what the visitor wrote stands in quotes
    words = {word.lower() for word in re.findall(r"[A-Za-z]{2,}", own_words)}
    assert words <= AS_IT_IS


def test_a_kind_of_file_that_is_unknown_is_said_in_chinese() -> None:
    with pytest.raises(DataError) as caught:
        form_of_name("a.exe")
    assert in_chinese(str(caught.value)).startswith("不认识这种文件，可以用：.jsonl, ")


def test_a_disk_that_takes_nothing_is_said_in_chinese(tokenizer: Tokenizer, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "题目存不下来" in said(GOOD, ".csv", tokenizer, tmp_path / "file")[0]


def test_every_sentence_is_one_that_the_checks_say(tokenizer: Tokenizer, tmp_path: Path) -> None:
    messages = ["unknown kind of file; bring one of: .jsonl"]
    not_a_folder = tmp_path / "file"
    not_a_folder.touch()
    messages.append(said(GOOD, ".csv", tokenizer, not_a_folder)[1])
    for content, suffix, _ in CASES:
        messages.append(said(content, suffix, tokenizer, tmp_path)[1])
    for pattern, _ in SENTENCES:
        assert any(pattern.search(message) for message in messages), pattern.pattern


def test_a_sentence_that_is_not_known_stays() -> None:
    assert in_chinese("questions.csv, line 3: something new") == "第 3 行：something new"
    assert in_chinese("something | new") == "something | new"
