"""The source files of the corpus: which question goes where, and what is refused."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gpt_teacher.corpus import REFUSAL_ANSWER, Corpus, Item, read_corpus
from gpt_teacher.errors import DataError
from gpt_teacher.prompt import is_refusal

PHYSICS = """\
subject: 物理
topics:
  - id: t1
    kind: 定义
    topic: 密度
    answer: "密度是质量与体积的比，ＡＢＣ　留着。🙂"
    questions: ["什么是密度?", "密度 定义"]
    val: ["密度指什么?"]
    test: ["啥叫密度"]
  - id: t2
    kind: 原因
    topic: 惯性
    answer: "惯性是保持原来运动状态的性质。"
    questions: ["what is 惯性", "魑魅，hello world 🙂"]
    val: []
    test: ["\\r\\n\\t为什么会往前倒"]
"""
UNKNOWN = "unknown:\n" + "".join(
    f'  - {{kind: 百科, topic: "物{n}", questions: ["物{n}是什么?", "讲讲物{n}"]}}\n'
    for n in range(10)
)


def _read(folder: Path, *sources: str) -> Corpus:
    """The corpus of some source files, named a.yaml, b.yaml …"""
    for name, source in zip("abcdef", sources, strict=False):
        (folder / f"{name}.yaml").write_text(source, encoding="utf-8")
    return read_corpus(folder)


def _message(folder: Path, *sources: str) -> str:
    with pytest.raises(DataError) as caught:
        _read(folder, *sources)
    assert str(caught.value).startswith(str(folder))
    return str(caught.value).removeprefix(str(folder))


def _prompts(corpus: Corpus, split: str) -> list[str]:
    return [item.prompt for item in corpus[split]]


def test_each_question_goes_to_the_split_that_it_stands_under(tmp_path: Path) -> None:
    corpus = _read(tmp_path, PHYSICS)
    assert _prompts(corpus, "train") == [
        "什么是密度?",
        "密度 定义",
        "what is 惯性",
        "魑魅，hello world 🙂",
    ]
    assert _prompts(corpus, "val") == ["密度指什么?"]
    assert _prompts(corpus, "test") == ["啥叫密度", "\r\n\t为什么会往前倒"]
    density = "密度是质量与体积的比，ＡＢＣ　留着。🙂"
    assert corpus["train"][0] == Item("t1", "物理", "定义", "密度", "什么是密度?", density)
    assert [item.topic for item in corpus["test"]] == ["密度", "惯性"]
    assert {item.completion for item in corpus["test"]} == {
        density,
        "惯性是保持原来运动状态的性质。",
    }
    assert corpus["unknown"] == corpus["unknown_val"] == corpus["unknown_test"] == []


def test_unknown_topics_go_to_one_split_each_by_their_position(tmp_path: Path) -> None:
    """Of eight, the first is for validation, the second for the test, six are taught."""
    corpus = _read(tmp_path, UNKNOWN)
    assert _prompts(corpus, "unknown_val") == ["物0是什么?", "讲讲物0", "物8是什么?", "讲讲物8"]
    assert _prompts(corpus, "unknown_test") == ["物1是什么?", "讲讲物1", "物9是什么?", "讲讲物9"]
    taught = [form for n in range(2, 8) for form in (f"物{n}是什么?", f"讲讲物{n}")]
    assert _prompts(corpus, "unknown") == taught
    assert corpus["train"] == corpus["val"] == corpus["test"] == []
    assert corpus["unknown"][0] == Item(
        "u0003", "未知", "百科", "物2", "物2是什么?", REFUSAL_ANSWER
    )
    answers = {item.completion for items in corpus.values() for item in items}
    assert answers == {REFUSAL_ANSWER}
    assert is_refusal(REFUSAL_ANSWER)


def test_what_is_near_a_taught_topic_is_refused_and_never_held_out(tmp_path: Path) -> None:
    near = '    near: {"引力波": "引力波是什么", "密度板": "密度板能防水吗"}\n'
    corpus = _read(tmp_path, PHYSICS.replace('    test: ["啥叫密度"]\n', near + "    test: []\n"))
    assert corpus["unknown"] == [
        Item("t1-1", "未知", "近邻", "引力波", "引力波是什么", REFUSAL_ANSWER),
        Item("t1-2", "未知", "近邻", "密度板", "密度板能防水吗", REFUSAL_ANSWER),
    ]
    assert corpus["unknown_val"] == corpus["unknown_test"] == []
    assert len(corpus["train"]) == 4


@pytest.mark.parametrize(
    "near", ["[引力波]", "引力波", '{"引力波": ["引力波是什么"]}', '{"": "a"}']
)
def test_near_topics_without_a_question_each_are_named(near: str, tmp_path: Path) -> None:
    source = PHYSICS.replace('    test: ["啥叫密度"]\n', f"    test: []\n    near: {near}\n")
    assert _message(tmp_path, source).startswith("/a.yaml, t1: near must be topics in quotes")


def test_files_are_read_in_the_order_of_their_names(tmp_path: Path) -> None:
    second = PHYSICS.replace("物理", "化学").replace("t1", "t3").replace("t2", "t4")
    second = second.replace("密度", "熔点").replace("惯性", "沸点").replace("往前倒", "烧开")
    second = second.replace("魑魅", "魍魉")
    corpus = _read(tmp_path, PHYSICS, UNKNOWN, second)
    (tmp_path / "notes.txt").write_text("not a source", encoding="utf-8")
    assert read_corpus(tmp_path) == corpus
    subjects = [item.subject for item in corpus["train"]]
    assert subjects == ["物理"] * 4 + ["化学"] * 4
    assert len(corpus["unknown"]) == 12


@pytest.mark.parametrize(
    "again",
    ["什么是密度?", "什么是密度？", " 什么是 密度? ", "密度指什么?"],
)
def test_a_question_that_stands_in_two_topics_is_refused(again: str, tmp_path: Path) -> None:
    """However it is spelt, and in whichever split: else an exam would ask what was taught."""
    source = PHYSICS.replace("what is 惯性", again)
    message = _message(tmp_path, source)
    if again == "密度指什么?":
        assert message == f": {again!r} stands in topic t1 and in topic t2"
    else:
        assert message == f": {again!r} stands in topic t2 and in topic t1"


def test_a_question_is_not_both_taught_and_asked_in_the_exam(tmp_path: Path) -> None:
    message = _message(tmp_path, PHYSICS.replace("啥叫密度", "密度　定义"))
    assert message == ": '密度\\u3000定义' stands in topic t1 and in topic t1"


def test_a_question_is_not_both_known_and_unknown(tmp_path: Path) -> None:
    message = _message(tmp_path, PHYSICS, UNKNOWN.replace("讲讲物3", "什么是密度?"))
    assert message == ": '什么是密度?' stands in topic u0004 and in topic t1"


def test_two_topics_with_the_same_answer_are_refused(tmp_path: Path) -> None:
    source = PHYSICS.replace(
        "惯性是保持原来运动状态的性质。", "密度是质量与体积的比，ＡＢＣ　留着。🙂"
    )
    assert _message(tmp_path, source) == ": topics t1 and t2 have the same answer"


def test_two_topics_with_the_same_id_are_refused(tmp_path: Path) -> None:
    assert "t1" in _message(tmp_path, PHYSICS.replace("t2", "t1"))


def test_a_folder_without_sources_is_named(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "none"):
        with pytest.raises(DataError, match=re.escape(f"{folder}: no source files (*.yaml) there")):
            read_corpus(folder)


@pytest.mark.parametrize("source", ["topics: [", "a: b: c", "\x01"], ids=ascii)
def test_broken_yaml_is_named(source: str, tmp_path: Path) -> None:
    assert _message(tmp_path, source).startswith("/a.yaml: this is not YAML in UTF-8: ")


def test_another_encoding_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_bytes(PHYSICS.replace("🙂", "").encode("gbk"))
    with pytest.raises(
        DataError, match=re.escape(f"{tmp_path / 'a.yaml'}: this is not YAML in UT")
    ):
        read_corpus(tmp_path)


@pytest.mark.parametrize("source", ["", "- a", "3", "subject: 物理", "topic: []"])
def test_a_file_of_another_form_is_told_the_form(source: str, tmp_path: Path) -> None:
    assert _message(tmp_path, source) == (
        "/a.yaml: expected `subject:` and `topics:`, or `unknown:`"
    )


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("id: t2", "name: t2", "/a.yaml, topic 2: id is None; it must be text"),
        ("id: t2", "id: 2", "/a.yaml, topic 2: id is 2; it must be text"),
        ("kind: 原因", 'kind: " "', "/a.yaml, topic 2: kind is ' '; it must be text"),
        ("topic: 惯性", "about: 惯性", "/a.yaml, topic 2: topic is None; it must be text"),
        (
            'answer: "惯性是保持原来运动状态的性质。"',
            "answer: [a]",
            "/a.yaml, topic 2: answer is ['a']; it must be text",
        ),
        (
            "val: []",
            "vals: []",
            "/a.yaml, t2: val must be a list of texts in quotes, got None",
        ),
        (
            "val: []",
            "val: 惯性指什么?",
            "/a.yaml, t2: val must be a list of texts in quotes, got '惯性指什么?'",
        ),
        (
            'val: ["密度指什么?"]',
            "val: [2024]",
            "/a.yaml, t1: val must be a list of texts in quotes, got [2024]",
        ),
        (
            'val: ["密度指什么?"]',
            'val: [""]',
            "/a.yaml, t1: val must be a list of texts in quotes, got ['']",
        ),
        (
            'questions: ["什么是密度?", "密度 定义"]',
            "questions: {a: b}",
            "/a.yaml, t1: questions must be a list of texts in quotes, got {'a': 'b'}",
        ),
    ],
)
def test_a_topic_that_lacks_something_is_named(
    old: str, new: str, message: str, tmp_path: Path
) -> None:
    assert old in PHYSICS
    assert _message(tmp_path, PHYSICS.replace(old, new)) == message


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (PHYSICS.replace("subject: 物理\n", ""), "/a.yaml: subject is None"),
        (PHYSICS.replace("subject: 物理", "subject: 3"), "/a.yaml: subject is 3"),
        ("subject: 物理\ntopics:\n", "/a.yaml: topics "),
        ("subject: 物理\ntopics: 密度\n", "/a.yaml: topics "),
        ("subject: 物理\ntopics: {a: 3}\n", "/a.yaml: topics "),
        ("unknown:\n", "/a.yaml: unknown "),
        ("unknown: 陀螺仪\n", "/a.yaml: unknown "),
        ('unknown: [{questions: ["a"]}]', "/a.yaml, topic 1: kind is None; it must be text"),
        ('unknown: [{kind: 3, questions: ["a"]}]', "/a.yaml, topic 1: kind is 3; it must be text"),
        ("unknown: [{kind: 百科}]", "/a.yaml, topic 1: topic is None; it must be text"),
        (
            "unknown: [{kind: 百科, topic: 陀螺仪}]",
            "/a.yaml, topic 1: questions must be a list of texts",
        ),
    ],
)
def test_a_source_that_lacks_something_is_named(source: str, message: str, tmp_path: Path) -> None:
    """With its file, and without a traceback."""
    assert _message(tmp_path, source).startswith(message)


def test_a_topic_that_is_no_mapping_is_named(tmp_path: Path) -> None:
    assert _message(tmp_path, "subject: 物理\ntopics: [密度]") == (
        "/a.yaml, topic 1: id is None; it must be text"
    )
    assert _message(tmp_path, "unknown: [陀螺仪]") == (
        "/a.yaml, topic 1: kind is None; it must be text"
    )
