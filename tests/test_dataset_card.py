"""The card of the corpus: its figures by hand, and the shipped card as it is made."""

from __future__ import annotations

from dataclasses import replace

import pytest
import yaml
from conftest import ROOT

from gpt_teacher.corpus import UNKNOWN, Corpus, Item
from gpt_teacher.dataset_card import dataset_card
from gpt_teacher.prompt import REFUSAL_ANSWER

DATA = ROOT / "data"


def known(id: str, subject: str, *prompts: str) -> list[Item]:
    return [Item(id, subject, "定义", f"topic {id}", prompt, f"answer {id}") for prompt in prompts]


def unknown(id: str, kind: str, *prompts: str) -> list[Item]:
    return [Item(id, UNKNOWN, kind, f"topic {id}", prompt, REFUSAL_ANSWER) for prompt in prompts]


@pytest.fixture
def tiny_corpus() -> Corpus:
    """Three topics of two subjects in eight wordings; three unknown topics in five questions."""
    return {
        "train": known("t1", "物理", "a", "b", "c") + known("t2", "化学", "d"),
        "val": known("t1", "物理", "e"),
        "test": known("t2", "化学", "f") + known("t3", "物理", "g", "h"),
        "unknown": unknown("u1", "百科", "i", "j") + unknown("u2", "实时", "k"),
        "unknown_val": unknown("u3", "百科", "l", "m"),
        "unknown_test": [],
    }


def tables(card: str) -> list[list[list[str]]]:
    """The cells of each table, without its head."""
    found, rows = [], list[list[str]]()
    for line in [*card.splitlines(), ""]:
        if line.startswith("|"):
            rows.append([cell.strip(" `") for cell in line.strip("|").split("|")])
        elif rows:
            found.append(rows[2:])
            rows = []
    return found


def front_matter(card: str) -> dict[str, object]:
    _, front, _ = card.split("---\n", 2)
    document: dict[str, object] = yaml.safe_load(front)
    return document


def test_the_figures_of_a_tiny_corpus_are_counted_by_hand(tiny_corpus: Corpus) -> None:
    card = dataset_card(tiny_corpus)
    assert "3 个知识点，8 个问法" in card
    assert f"3 个没教过的话题，5 个问题，都应回答“{REFUSAL_ANSWER}”" in card
    assert "3 topics in 8 wordings, and 5 questions\non 3 other topics" in card
    files, subjects, kinds = tables(card)
    assert [row[:3] for row in files] == [
        ["train.jsonl", "4", "2"],
        ["val.jsonl", "1", "1"],
        ["test.jsonl", "3", "2"],
        ["unknown.jsonl", "3", "2"],
        ["unknown_val.jsonl", "2", "1"],
        ["unknown_test.jsonl", "0", "0"],
    ]
    assert all(use for *_, use in files)
    assert subjects == [["物理", "2", "3", "1", "2"], ["化学", "1", "1", "0", "1"]]
    assert kinds == [["百科", "2", "4"], ["实时", "1", "1"]]


def test_an_unknown_topic_beside_two_taught_ones_counts_once(tiny_corpus: Corpus) -> None:
    """Found here: what had two ids was counted twice."""
    again = [replace(item, id=f"{item.id}-9") for item in tiny_corpus["unknown"]]
    asked = [replace(item, prompt=f"{item.prompt}呢") for item in again]
    card = dataset_card(tiny_corpus | {"unknown": tiny_corpus["unknown"] + asked})
    assert "3 个没教过的话题，8 个问题" in card


def test_topics_of_one_name_in_two_subjects_are_two_topics_and_one_name(
    tiny_corpus: Corpus,
) -> None:
    """Found here: who counted `topic` in the files found fewer than the card says, untold."""
    assert "教过的有 3 个：" in dataset_card(tiny_corpus)
    in_physics = [replace(item, topic="topic t2") for item in tiny_corpus["test"]]
    card = dataset_card(tiny_corpus | {"test": in_physics})
    assert "3 topics in 8 wordings" in card
    assert "教过的有 2 个：同名的在不同学科里各有回答" in card
    assert "the taught topics have 2 names in `topic`" in card


def test_large_numbers_are_grouped_and_the_size_is_told(tiny_corpus: Corpus) -> None:
    many = known("t1", "物理", *map(str, range(9_994)))
    card = dataset_card(tiny_corpus | {"train": many})
    assert "9,998 个问法" in card
    assert "| `train.jsonl` | 9,994 | 1 |" in card
    assert front_matter(card)["size_categories"] == ["10K<n<100K"], "with the 5 unknown ones"
    fewer = dataset_card(tiny_corpus | {"train": many[:5_000]})
    assert front_matter(fewer)["size_categories"] == ["1K<n<10K"]


def test_the_shipped_card_is_what_the_sources_make(shipped_corpus: Corpus) -> None:
    assert (DATA / "README.md").read_text(encoding="utf-8") == dataset_card(shipped_corpus)


def test_the_front_matter_names_the_files_that_there_are(shipped_corpus: Corpus) -> None:
    front = front_matter((DATA / "README.md").read_text(encoding="utf-8"))
    assert front["language"] == ["zh"]
    assert front["license"] == "mit"
    configs = front["configs"]
    assert isinstance(configs, list)
    named = [file["path"] for config in configs for file in config["data_files"]]
    assert sorted(named) == sorted(f"{split}.jsonl" for split in shipped_corpus)
    assert all((DATA / name).is_file() for name in named)
    for config in configs:
        splits = [file["split"] for file in config["data_files"]]
        assert splits == ["train", "validation", "test"]
