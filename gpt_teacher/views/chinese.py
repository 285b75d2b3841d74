"""What the checks of a visitor's questions say -> the same in Chinese. 检查结果的中文说法。

The checks speak to whoever reads a terminal: English with a Chinese word. A sentence that is not
known here is shown as it is.
"""

from __future__ import annotations

import re

from gpt_teacher.own_questions import NAME

# How a line begins (the file is the visitor's own, so it goes without a name), and what follows.
PLACE = re.compile(
    rf"(?:{NAME}\.\w+)?(?:, )?(?:line (?P<line>\d+))?(?:, column (?P<column>\d+))?:? ?"
)
KEY = r"'(prompt|completion)'"
SENTENCES = [
    (re.compile(pattern), chinese)
    for pattern, chinese in (
        # ---- what was found in questions that can be read
        (r"questions with different answers .*: (\d+);", "{0} 个问题有不止一种答案：每题只留一种"),
        (r"rows that repeat an earlier one .*: (\d+);", "{0} 行与前面重复：重复的不会多教什么"),
        (
            r"pairs nearly the same in a file .*: (\d+);",
            "{0} 对题目几乎一样：换成差别大的问法，学得更活",
        ),
        (r"pairs that look alike .*: (\d+);", "{0} 对题目很像，答案却不同：是有意的吗？"),
        (
            r"rows with characters damaged .*: (\d+);",
            "{0} 行有乱码：存的时候编码错了，请从原文重新复制",
        ),
        (r"rows with control or invisible .*: (\d+);", "{0} 行有看不见的字符：请删掉它们"),
        (r"rows with space around .*: (\d+);", "{0} 行的答案前后有空格：会一起学进去，请删掉"),
        (r"rows whose answer is the question .*: (\d+);", "{0} 行的答案就是问题：请写上答案"),
        (
            r"rows of .* = (\d+) tokens .*: (\d+); no other row",
            "全部 {1} 行都太长，模型一次最多读 {0} 个词元：请缩短",
        ),
        (
            r"rows of .* = (\d+) tokens .*: (\d+); they would",
            "{1} 行太长，模型一次最多读 {0} 个词元，训练时会跳过：请缩短",
        ),
        (
            r"has more than two columns and no header",
            "不止两列，又没有表头，后面的列会略去：请在第一行写上列名“问题”“答案”；"
            "答案里有逗号时，给整个答案加英文引号",
        ),
        (
            r"rows whose answer begins with punctuation .*: (\d+);",
            "{0} 行的答案以标点开头：回答时会略去它，请以文字开头",
        ),
        (
            r"its first row looks like names of columns",
            "第一行像是表头，会被当成一道题：请把列名改成“问题”“答案”，或者删掉这一行",
        ),
        (r"(\d+) tokens$", "{0} 个词元"),
        # ---- why they cannot be read
        (r"unknown kind of file; .*: (.*)", "不认识这种文件，可以用：{0}"),
        (r"([\d,]+) bytes are too many; bring ([\d,]+)", "太大：{0} 字节，最多 {1} 字节"),
        (
            r"the questions cannot be kept on this machine",
            "题目存不下来：磁盘写不进去，请腾出空间再试",
        ),
        (r"(\d+) questions; bring (\d+) at most", "题目太多：{0} 题，最多 {1} 题"),
        (r"a text of ([\d,]+) characters;", "有一格长达 {0} 个字，模型读不完：请缩短"),
        (
            r"this is a workbook",
            "这是工作簿或文档：请在 Excel 里“文件 → 另存为 → CSV UTF-8”，再上传那个 .csv",
        ),
        (r"the file is empty", "没有题目：请每行写一题"),
        (r"only a header", "只有表头，没有题目"),
        (r"a NUL character", "有空字符（字节 0）：文件坏了或者不是文字，请重新存成文本"),
        (r"this is not CSV \(field larger", "有一格太长，可能是英文引号没有配对"),
        (
            r"this is not CSV",
            "英文引号没有配对：一格以引号开头，就要以引号结尾；里面的引号要写两遍",
        ),
        (
            r"a header with (.*) but no column of \w+; name it (\S+)",
            "表头有 {0}，却没有“{1}”这一列：请写上列名（如果这一行不是表头，把它往下移）",
        ),
        (r"no TAB in (.*); put", "{0} 里没有 Tab：请在问题和答案之间按一下 Tab 键"),
        (r"only one column, (.*); put", "只有一列：{0}。请在问题和答案之间加英文逗号"),
        (r"no answer to (.*); write", "{0} 没有答案：请补上，或者删掉这一行"),
        (r"no question to (.*); write", "答案 {0} 缺少对应的问题：请补上，或者删掉这一行"),
        (
            r"(\d+) columns where the table has (\d+);",
            "这一行有 {0} 列，应该是 {1} 列：答案里有分隔符时，给整个答案加英文引号",
        ),
        (r"and (\d+) more", "还有 {0} 处"),
        (r"this file is .* damaged", "文件不完整或者坏了：请重新保存"),
        (r"this file is neither", "认不出文字的编码：请用记事本“另存为 → 编码 → UTF-8”"),
        (r"this is not JSON.*a JSON array", "这不是 JSONL：请每行单独写一个 {{…}}，不要用 [ ]"),
        (r"this is not JSON", "这不是 JSON：请检查引号、逗号和括号"),
        (r"expected an object such as (.*), got", "每行要写成这样：{0}"),
        (rf"no {KEY} in this row", "这一行没有 {0}"),
        (rf"{KEY} is (.*); it must be text", "{0} 是 {1}：要写成加英文双引号的文字"),
        (rf"{KEY} is empty", "{0} 是空的：请补上，或者删掉这一行"),
        (rf"{KEY} holds half a character", "{0} 里有半个字符：请删掉它"),
    )
]


def in_chinese(message: str) -> str:
    """Return a message of the checks, line by line in Chinese. 译成中文。"""
    return "\n".join(" | ".join(map(_part, line.split(" | "))) for line in message.split("\n"))


def _part(part: str) -> str:
    """Return a sentence with its place, or one of the two questions of an example."""
    place = PLACE.match(part)
    assert place, "all of it is optional"
    rest = part[place.end() :]
    where = "，".join(
        said.format(place[name])
        for name, said in (("line", "第 {} 行"), ("column", "第 {} 个字符"))
        if place[name]
    )
    sentence = translated(rest, SENTENCES)
    return f"{where}：{sentence}" if where else sentence


def translated(sentence: str, sentences: list[tuple[re.Pattern[str], str]]) -> str:
    """Return a sentence as the first pattern that its beginning fits says it. 按句型翻译。"""
    for pattern, chinese in sentences:
        if found := pattern.match(sentence):
            return chinese.format(*found.groups())
    return sentence
