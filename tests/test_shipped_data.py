"""The shipped corpus: how much there is of it, and that no exam asks what was taught."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict
from itertools import combinations

import pytest
from conftest import ROOT, Commands

from gpt_teacher.corpus import SPLITS, UNKNOWN_SPLITS, Corpus, Item
from gpt_teacher.look_alikes import bare
from gpt_teacher.prompt import REFUSAL_ANSWER, is_refusal

MAX_ANSWER = 45  # characters: an answer fits the context, and a screen
SHORT_SUBJECTS = ("改写", "闲聊")  # a sentence to rewrite, or a greeting, has fewer wordings


@pytest.fixture(scope="module")
def known(shipped_corpus: Corpus) -> list[Item]:
    return [item for split in SPLITS for item in shipped_corpus[split]]


@pytest.fixture(scope="module")
def unknown(shipped_corpus: Corpus) -> list[Item]:
    return [item for split in UNKNOWN_SPLITS.values() for item in shipped_corpus[split]]


def test_the_corpus_is_as_large_as_promised(known: list[Item], unknown: list[Item]) -> None:
    assert len({item.id for item in known}) >= 340
    assert len(known) >= 4_000
    assert len(unknown) >= 900
    assert len({item.topic for item in unknown}) >= 700


def test_the_data_files_are_what_the_sources_make(shipped_corpus: Corpus) -> None:
    for split, items in shipped_corpus.items():
        written = (ROOT / "data" / f"{split}.jsonl").read_text(encoding="utf-8").splitlines()
        assert [json.loads(line) for line in written] == [asdict(item) for item in items], split


def test_no_question_stands_in_two_files_however_it_is_written(shipped_corpus: Corpus) -> None:
    """Neither in another width, nor without its question mark."""
    questions = {split: {bare(i.prompt) for i in items} for split, items in shipped_corpus.items()}
    for one, other in combinations(questions, 2):
        assert questions[one] & questions[other] == set(), (one, other)
    for split, items in shipped_corpus.items():
        assert len(questions[split]) == len(items), split


def test_an_unknown_topic_is_in_one_file_and_is_no_taught_one(
    shipped_corpus: Corpus, known: list[Item]
) -> None:
    topics = {s: {bare(i.topic) for i in shipped_corpus[s]} for s in UNKNOWN_SPLITS.values()}
    topics["known"] = {bare(item.topic) for item in known}
    for one, other in combinations(topics, 2):
        assert topics[one] & topics[other] == set(), (one, other)


def test_every_topic_has_enough_wordings_and_some_of_them_held_out(
    shipped_corpus: Corpus, known: list[Item]
) -> None:
    in_all, taught = (Counter(i.id for i in items) for items in (known, shipped_corpus["train"]))
    in_val, in_test = (Counter(i.id for i in shipped_corpus[s]) for s in ("val", "test"))
    subjects = {item.id: item.subject for item in known}
    assert set(SHORT_SUBJECTS) <= set(subjects.values())
    for id, subject in subjects.items():
        assert in_all[id] >= (8 if subject in SHORT_SUBJECTS else 12), id
        assert in_val[id] >= 1, id
        assert in_test[id] >= 1, id
        assert taught[id] >= 6, id


def test_answers_are_short_and_each_topic_has_its_own(known: list[Item]) -> None:
    owners: dict[str, set[str]] = {}
    for item in known:
        assert len(item.completion) <= MAX_ANSWER, item
        owners.setdefault(bare(item.completion), set()).add(item.id)
    assert [ids for ids in owners.values() if len(ids) > 1] == []


def test_unknown_questions_are_refused_and_known_ones_are_not(
    known: list[Item], unknown: list[Item]
) -> None:
    assert {item.completion for item in unknown} == {REFUSAL_ANSWER}
    assert not any(is_refusal(item.completion) for item in known)


def test_a_topic_has_one_name_kind_and_subject(known: list[Item], unknown: list[Item]) -> None:
    for items in (known, unknown):
        labels: dict[str, tuple[str, ...]] = {}
        for item in items:
            own = (item.subject, item.kind, item.topic, item.completion)
            assert labels.setdefault(item.id, own) == own, item


def test_check_data_finds_no_problem_in_the_shipped_files(commands: Commands) -> None:
    ended = commands.run("check_data", "data/*.jsonl", folder=ROOT)
    assert (ended.code, ended.stderr) == (0, "")
    assert "problem" not in ended.stdout
    assert "can be trained on" in ended.stdout
    assert ended.stdout.splitlines()[-1] == "  python -m scripts.train"
