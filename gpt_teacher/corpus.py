"""data/source/*.yaml -> rows of each split. 语料：从源文件到训练、验证、测试集。

A file of topics, one subject each, and a file of questions that the model shall not answer:

    subject: 物理                       unknown:
    topics:                               - kind: 百科
      - id: t061                            topic: "陀螺仪"
        kind: 定义                           questions: ["陀螺仪为什么不倒"]
        topic: 万有引力
        answer: "万有引力是…"
        questions: ["什么是万有引力?", …]    taught
        val: […]                             other wordings, held out for validation
        test: […]                            other wordings, held out for the final exam
        near: {"引力波": "引力波是什么"}         sounds like it, and it is no answer: to be refused

Topics go to train, val and test; unknown topics to unknown, unknown_val and unknown_test, one split
each, by their position in the file; what is near a taught topic goes to unknown.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from gpt_teacher.errors import DataError
from gpt_teacher.prompt import REFUSAL_ANSWER, normalise

SPLITS = ("train", "val", "test")
UNKNOWN_SPLITS = {"train": "unknown", "val": "unknown_val", "test": "unknown_test"}
UNKNOWN = "未知"
NEAR = "近邻"
UNKNOWN_CYCLE = ("val", "test", *["train"] * 6)  # splits of successive unknown topics


@dataclass(frozen=True)
class Item:
    """One question of the corpus. 语料中的一问。"""

    id: str
    subject: str
    kind: str
    topic: str
    prompt: str
    completion: str


Corpus = dict[str, list[Item]]  # split, known or unknown -> its items


def read_corpus(folder: Path) -> Corpus:
    """Read all source files of a folder, sorted by name. 读取语料。

    Raises DataError if a file is not of the form above, if two topics share an answer, or if a
    question stands in two places.
    """
    paths = sorted(folder.glob("*.yaml"))
    if not paths:
        raise DataError(f"{folder}: no source files (*.yaml) there")
    corpus: Corpus = {split: [] for split in (*SPLITS, *UNKNOWN_SPLITS.values())}
    for path in paths:
        document = _read_yaml(path)
        if "unknown" in document:
            _add_unknown(_list(document, "unknown", path), corpus, path)
        else:
            _add_topics(document, corpus, path)
    _check_unique(corpus, folder)
    return corpus


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: this is not YAML in UTF-8: {error}") from None
    if not isinstance(document, dict) or not ("unknown" in document or "topics" in document):
        raise DataError(f"{path}: expected `subject:` and `topics:`, or `unknown:`")
    return document


def _add_topics(document: dict[str, Any], corpus: Corpus, path: Path) -> None:
    subject = _text(document, "subject", str(path))
    for number, topic in enumerate(_list(document, "topics", path), start=1):
        place = f"{path}, topic {number}"
        id, kind, name, answer = (_text(topic, k, place) for k in ("id", "kind", "topic", "answer"))
        for split, key in zip(SPLITS, ("questions", "val", "test"), strict=True):
            for question in _texts(topic, key, f"{path}, {id}"):
                corpus[split].append(Item(id, subject, kind, name, question, answer))
        for n, (near, question) in enumerate(_near(topic, f"{path}, {id}").items(), start=1):
            refused = Item(f"{id}-{n}", UNKNOWN, NEAR, near, question, REFUSAL_ANSWER)
            corpus[UNKNOWN_SPLITS["train"]].append(refused)


def _add_unknown(topics: list[Any], corpus: Corpus, path: Path) -> None:
    for number, topic in enumerate(topics):
        split = UNKNOWN_SPLITS[UNKNOWN_CYCLE[number % len(UNKNOWN_CYCLE)]]
        place, id = f"{path}, topic {number + 1}", f"u{number + 1:04}"
        kind, name = (_text(topic, key, place) for key in ("kind", "topic"))
        for question in _texts(topic, "questions", place):
            corpus[split].append(Item(id, UNKNOWN, kind, name, question, REFUSAL_ANSWER))


def _list(document: dict[str, Any], key: str, path: Path) -> list[Any]:
    value = document[key]
    if not isinstance(value, list):
        raise DataError(f"{path}: {key} must be a list, got {value!r}")
    return value


def _text(topic: Any, key: str, place: str) -> str:
    value = topic.get(key) if isinstance(topic, dict) else None
    if not isinstance(value, str) or not value.strip():
        raise DataError(f"{place}: {key} is {value!r}; it must be text")
    return value


def _texts(topic: Any, key: str, place: str) -> list[str]:
    values = topic.get(key) if isinstance(topic, dict) else None
    if not isinstance(values, list) or not all(isinstance(v, str) and v.strip() for v in values):
        raise DataError(f"{place}: {key} must be a list of texts in quotes, got {values!r}")
    return values


def _near(topic: Any, place: str) -> dict[str, str]:
    """Return unknown topics near a taught one, and a question on each. 近邻。"""
    near = topic.get("near", {})
    if not isinstance(near, dict) or not all(
        isinstance(text, str) and text.strip() for pair in near.items() for text in pair
    ):
        raise DataError(f"{place}: near must be topics in quotes, a question each, got {near!r}")
    return near


def _check_unique(corpus: Corpus, folder: Path) -> None:
    """Raise DataError if a question stands twice or two topics share an answer. 查重。"""
    questions: dict[str, Item] = {}
    answers: dict[str, str] = {}
    owned: dict[str, str] = {}
    for item in (item for items in corpus.values() for item in items):
        first = questions.setdefault(normalise(item.prompt), item)
        if first is not item:
            raise DataError(
                f"{folder}: {item.prompt!r} stands in topic {item.id} and in topic {first.id}"
            )
        if item.completion != owned.setdefault(item.id, item.completion):
            raise DataError(f"{folder}: two topics have the id {item.id}")
        owner = answers.setdefault(item.completion, item.id)
        if owner != item.id and item.completion != REFUSAL_ANSWER:
            raise DataError(f"{folder}: topics {owner} and {item.id} have the same answer")
