"""Questions and answers: which rows are used, what is learnt of them, and in which order."""

from __future__ import annotations

import json
import math
import random
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise, permutations
from pathlib import Path
from typing import Any

import pytest
import torch

from gpt_teacher.batches import EpochOrder
from gpt_teacher.config import (
    Config,
    ModelConfig,
    TokenizerConfig,
    TrainingConfig,
)
from gpt_teacher.data import (
    MAX_VALIDATION,
    N_PROBES,
    index_of_answered,
    leave_out_taught,
    load_training_data,
    spread,
)
from gpt_teacher.errors import DataError
from gpt_teacher.loss import IGNORE_INDEX, Batch
from gpt_teacher.noise import (
    CONTEXT_CHARACTERS,
    GREETINGS,
    LETTER_DROP,
    THANKS,
    add_context,
    add_courtesy,
    cut,
    drop_letters,
    noisy_example,
    swap_topic,
)
from gpt_teacher.prompt import Example, encode_example, encode_prompt, normalise
from gpt_teacher.questions import (
    MAX_LISTED,
    SHORT_ANSWER,
    Examples,
    QuestionBatches,
    collate,
    load_questions,
    pack,
    question_validation,
)
from gpt_teacher.text_files import Row
from gpt_teacher.tokenizer import BOS_ID, EOS_ID, PAD_ID, Tokenizer
from gpt_teacher.tokenizer_training import train_tokenizer

TEXTS = ["", "魑魅，hello world 🙂", "ＡＢＣ　，", "\r\n\t"]
TOPICS = {
    "密度": "密度是质量与体积的比。",
    "惯性": "惯性是物体保持原来运动状态的性质。",
    "频率": "频率是每秒振动的次数，单位是赫兹。",
    "熔点": "熔点是固体变成液体的温度。",
    "RoPE": "RoPE 把位置写进注意力。",
    "催化剂": "催化剂能改变反应快慢，自己不消耗。",
    "光年": "光年是光一年走过的路程，是长度单位。",
    "质数": "质数只能被一和它自己整除。",
    "回声": "声音遇到障碍物反射回来，就是回声。",
    "露水": "夜里空气遇冷，水汽凝成小水珠，落在草叶上，就是露水。",
}
ROWS = [Row(f"什么是{name}?", answer, n) for n, (name, answer) in enumerate(TOPICS.items(), 1)]
SEQ_LEN = 128


@pytest.fixture(scope="module")
def bpe() -> Tokenizer:
    texts = [text for row in ROWS for text in (f"用户:{row.prompt}\n助手:", row.completion)]
    return train_tokenizer(texts * 2, TokenizerConfig(vocab_size=340))


@pytest.fixture(scope="module")
def char() -> Tokenizer:
    texts = [text for row in ROWS for text in (f"用户:{row.prompt}\n助手:", row.completion)]
    return train_tokenizer(texts, TokenizerConfig(type="char"))


def _config(**sections: Any) -> Config:
    config = Config(
        model=ModelConfig(seq_len=SEQ_LEN),
        training=TrainingConfig(batch_size=4, micro_batch=2, seed=7),
    )
    return replace(
        config,
        **{name: replace(getattr(config, name), **keys) for name, keys in sections.items()},
    )


def _file(folder: Path, pairs: list[tuple[str, str]], name: str = "train.jsonl") -> Path:
    path = folder / name
    lines = [json.dumps({"prompt": p, "completion": c}, ensure_ascii=False) for p, c in pairs]
    path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    return path


def _parts(batch: Batch) -> Iterator[tuple[list[int], list[int]]]:
    """Inputs and targets of each sequence of a batch, without padding."""
    for row in range(len(batch.input_ids)):
        inputs, targets = batch.input_ids[row], batch.targets[row]
        numbers = (inputs == PAD_ID).long().neg() if batch.sequence is None else batch.sequence[row]
        for number in range(int(numbers.max()) + 1):
            its = numbers == number
            yield inputs[its].tolist(), targets[its].tolist()


def _sequences(batches: list[Batch]) -> list[tuple[int, ...]]:
    """The ids of each sequence that a step trains on, without padding."""
    return [tuple(inputs) for batch in batches for inputs, _ in _parts(batch)]


def _answers(batches: list[Batch], tokenizer: Tokenizer) -> list[str]:
    """What is learnt of each sequence; its <eos> is shown, too."""
    texts = []
    for targets in (targets for batch in batches for _, targets in _parts(batch)):
        *ids, last = [target for target in targets if target != IGNORE_INDEX]
        texts.append(tokenizer.decode(ids) + tokenizer.label(last))
    return texts


# Which rows are used


def test_a_row_that_stands_twice_counts_once_however_its_question_is_spelt(
    bpe: Tokenizer, tmp_path: Path
) -> None:
    pairs = [
        ("什么是密度?", "密度是…"),
        ("什么是惯性?", "惯性是…"),
        ("什么是密度？", "密度是…"),
        (" 什么是 密度？\n", "密度是…"),
        ("什么是密度?", "密度是…"),
        ("惯性是什么?", "惯性是…"),  # another wording is no duplicate
    ]
    questions = load_questions(_file(tmp_path, pairs), bpe, SEQ_LEN)
    assert [row.line for row in questions.rows] == [1, 2, 6]
    assert (questions.n_rows, questions.n_duplicates) == (6, 3)
    assert questions.report() == [
        f"{tmp_path / 'train.jsonl'}: 6 rows, 3 used",
        "3 duplicate rows count once (to count each: --set data.keep_duplicates=true)",
    ]


def test_duplicates_are_kept_when_asked_for(bpe: Tokenizer, tmp_path: Path) -> None:
    path = _file(tmp_path, [("什么是密度?", "密度是…")] * 3 + [("什么是惯性?", "惯性是…")])
    questions = load_questions(path, bpe, SEQ_LEN, keep_duplicates=True)
    assert [row.line for row in questions.rows] == [1, 2, 3, 4]
    assert questions.n_duplicates == 0
    assert questions.report() == [f"{path}: 4 rows, 4 used"]


def test_one_question_with_two_answers_is_used_and_reported(bpe: Tokenizer, tmp_path: Path) -> None:
    pairs = [
        ("什么是密度?", "密度是…"),
        ("什么是惯性?", "惯性是…"),
        ("什么是密度？", "不知道。"),
        ("什么是惯性？", "惯性不是…"),
    ]
    questions = load_questions(_file(tmp_path, pairs), bpe, SEQ_LEN)
    assert [row.line for row in questions.rows] == [1, 2, 3, 4]
    assert questions.contradictory == [(3, 1), (4, 2)]
    assert questions.report()[1] == (
        "one question with two different answers in lines 1 and 3, 2 and 4"
    )


def test_the_second_answer_of_a_question_counts_once_too(bpe: Tokenizer, tmp_path: Path) -> None:
    """Lines 3 and 4 repeat rows, though line 1 has another answer to the question."""
    pairs = [("什么是密度?", answer) for answer in ("甲。", "乙。", "乙。", "甲。", "丙。")]
    questions = load_questions(_file(tmp_path, pairs), bpe, SEQ_LEN)
    assert [(row.line, row.completion) for row in questions.rows] == [
        (1, "甲。"),
        (2, "乙。"),
        (5, "丙。"),
    ]
    assert questions.n_duplicates == 2
    assert questions.contradictory == [(2, 1), (5, 1)]


def test_a_row_that_just_fits_is_used_and_one_token_more_is_not(
    char: Tokenizer, tmp_path: Path
) -> None:
    """The model reads all but the last id. The prompt with its frame is 13 ids, this answer 6."""
    path = _file(tmp_path, [("什么是密度?", "密度是质量"), ("什么是惯性?", "惯性")])
    assert len(encode_example(char, "什么是密度?", "密度是质量").ids) == 19
    assert load_questions(path, char, 18).too_long == []
    questions = load_questions(path, char, 17)
    assert questions.too_long == [(1, 18)]
    assert [row.line for row in questions.rows] == [2]


def test_rows_that_are_too_long_are_listed_with_lines_and_never_cut(
    char: Tokenizer, tmp_path: Path
) -> None:
    pairs = [("什么是密度?", "密度"), ("什么是惯性?", "惯" * 60), ("什么是频率?", "频" * 50)]
    path = _file(tmp_path, pairs)
    questions = load_questions(path, char, 40)
    assert [(row.prompt, row.completion) for row in questions.rows] == pairs[:1]
    assert questions.report() == [
        f"{path}: 3 rows, 1 used",
        f"{path}: 2 rows are longer than model.seq_len: line 2 (73 tokens), line 3 (63 tokens); "
        "these were left out",
    ]


def test_a_long_list_of_lines_is_cut_and_counted(char: Tokenizer, tmp_path: Path) -> None:
    pairs = [(f"什么是{n}?", "密" * 90) for n in range(MAX_LISTED + 3)]
    report = load_questions(_file(tmp_path, [*pairs, ("密", "度")]), char, 40).report()[1]
    assert f"line {MAX_LISTED} (" in report
    assert f"line {MAX_LISTED + 1} (" not in report
    assert " and 3 more; these were left out" in report


def test_a_file_in_which_nothing_fits_is_an_error(char: Tokenizer, tmp_path: Path) -> None:
    path = _file(tmp_path, [("什么是密度?", "密" * 90)])
    message = (
        f"{path}: no row fits model.seq_len = 40 tokens; shorten the rows "
        f"or set a longer model.seq_len"
    )
    with pytest.raises(DataError, match=re.escape(message)):
        load_questions(path, char, 40)


def test_unknown_characters_are_reported_once_each(
    char: Tokenizer, bpe: Tokenizer, tmp_path: Path
) -> None:
    path = _file(tmp_path, [("什么是魑魅?", "魑魅是🙂"), ("什么是密度?", "🙂密度")])
    questions = load_questions(path, char, SEQ_LEN)
    assert questions.unknown_characters == ["魑", "魅", "🙂"]
    assert questions.report()[-1] == (
        "3 characters are unknown to the tokenizer and become <unk>: 魑魅🙂"
    )
    assert load_questions(path, bpe, SEQ_LEN).unknown_characters == []


# What is learnt of a row


def test_the_targets_are_the_answer_and_its_end_one_place_earlier() -> None:
    """By hand. Ids 10 11 12 | 20 21 <eos>: from 12 on, the next id is learnt."""
    short, long = Example([10, 11, 20, 1], 2), Example([10, 11, 12, 20, 21, 1], 3)
    batch = collate([short, long])
    assert batch.input_ids.tolist() == [[10, 11, 20, 2, 2], [10, 11, 12, 20, 21]]
    assert batch.targets.tolist() == [[-100, 20, 1, -100, -100], [-100, -100, 20, 21, 1]]
    assert batch.input_ids.dtype == batch.targets.dtype == torch.long


@pytest.mark.parametrize("text", TEXTS, ids=ascii)
def test_of_each_row_the_answer_is_learnt_to_the_letter(bpe: Tokenizer, text: str) -> None:
    example = encode_example(bpe, text + "问", text + "答")
    batch = collate([example, encode_example(bpe, "什么是露水?", "露" * 40)])
    assert _answers([batch], bpe)[0] == f"{text}答<eos>"
    # A target is the id that follows, wherever there is one.
    for inputs, targets in zip(batch.input_ids, batch.targets, strict=True):
        learnt = (targets != IGNORE_INDEX).nonzero().flatten()
        for place in learnt[:-1].tolist():
            assert targets[place] == inputs[place + 1]
    given = batch.input_ids[0, : example.n_prompt].tolist()
    assert given == encode_prompt(bpe, text + "问")


def test_validation_asks_every_row_once_sorted_by_length(bpe: Tokenizer) -> None:
    batches = question_validation(ROWS, bpe, micro_batch=4)
    assert [len(batch.input_ids) for batch in batches] == [4, 4, 2]
    assert sorted(_answers(batches, bpe)) == sorted(f"{row.completion}<eos>" for row in ROWS)
    lengths = [len(ids) for ids in _sequences(batches)]
    assert lengths == sorted(lengths)
    assert question_validation([], bpe, micro_batch=4) == []


# The order


@pytest.mark.parametrize(("n_items", "seed"), [(1, 0), (2, 1), (7, 2), (100, 3)])
def test_each_epoch_has_every_item_once(n_items: int, seed: int) -> None:
    order = EpochOrder(n_items, seed)
    for epoch in range(5):
        places = [order(epoch * n_items + offset) for offset in range(n_items)]
        assert {e for e, _ in places} == {epoch}
        assert sorted(item for _, item in places) == [*range(n_items)]


@pytest.mark.parametrize("groups", [None, [i % 7 for i in range(50)]])
def test_each_epoch_and_each_seed_has_another_order(groups: list[int] | None) -> None:
    orders = {
        (seed, epoch): tuple(EpochOrder(50, seed, groups)(epoch * 50 + i)[1] for i in range(50))
        for seed in range(5)
        for epoch in range(5)
    }
    assert len({*orders.values()}) == 25
    assert tuple(range(50)) not in orders.values()


def test_the_order_may_be_asked_for_from_any_place() -> None:
    forward = [EpochOrder(9, 1)(position) for position in range(60)]
    order, places = EpochOrder(9, 1), [*range(60)]
    random.Random(0).shuffle(places)
    for position in places:
        assert order(position) == forward[position]


def test_the_items_of_a_group_come_at_equal_distances() -> None:
    """Between two items of one group there is another group's share, rounded up or down."""
    sizes = {"a": 30, "b": 20, "c": 9, "d": 2}
    groups = [name for name, size in sizes.items() for _ in range(size)]
    order = EpochOrder(61, 4, groups)
    for epoch in range(20):
        names = [groups[order(epoch * 61 + offset)[1]] for offset in range(61)]
        assert Counter(names) == sizes
        for one, other in permutations(sizes, 2):
            share = sizes[other] / sizes[one]
            places = [place for place, name in enumerate(names) if name == one]
            between = [names[begin:end].count(other) for begin, end in pairwise(places)]
            assert {*between} <= {math.floor(share), math.ceil(share)}


@pytest.mark.parametrize(("batch_size", "steps"), [(5, 2), (4, 5), (10, 1), (20, 1), (1, 10)])
def test_every_row_is_trained_on_equally_often(bpe: Tokenizer, batch_size: int, steps: int) -> None:
    """Also when a batch begins in one epoch and ends in the next."""
    batches = QuestionBatches(ROWS, [], bpe, _config(training={"batch_size": batch_size}))
    learnt = Counter(answer for step in range(steps) for answer in _answers(batches(step), bpe))
    times = batch_size * steps // len(ROWS)
    assert learnt == {f"{row.completion}<eos>": times for row in ROWS}


@pytest.mark.parametrize("noise", [0.0, 0.7])
def test_a_resumed_run_gets_the_same_batches_from_its_step_on(bpe: Tokenizer, noise: float) -> None:
    config = _config(data={"noise": noise})
    uninterrupted = QuestionBatches(ROWS, [], bpe, config)
    steps = [uninterrupted(step) for step in range(12)]
    resumed = QuestionBatches(ROWS, [], bpe, config)
    random.seed(0)  # the state of no global generator matters
    for step in (7, 8, 11, 3):
        for one, other in zip(resumed(step), steps[step], strict=True):
            assert torch.equal(one.input_ids, other.input_ids)
            assert torch.equal(one.targets, other.targets)


@pytest.mark.parametrize(("rows", "noise"), [(ROWS, 0.0), (ROWS[:1], 1.0)])
def test_another_seed_gives_another_order_and_other_noise(
    bpe: Tokenizer, rows: list[Row], noise: float
) -> None:
    one, other = (
        [
            _sequences(
                QuestionBatches(rows, [], bpe, _config(training=t, data={"noise": noise}))(step)
            )
            for step in range(3)
        ]
        for t in ({"seed": 7}, {"seed": 8})
    )
    assert one != other


def test_micro_batches_are_cut_from_one_batch_without_losing_a_row(bpe: Tokenizer) -> None:
    whole = QuestionBatches(ROWS, [], bpe, _config(training={"batch_size": 10, "micro_batch": 10}))
    for micro_batch, sizes in ((4, [4, 4, 2]), (3, [3, 3, 3, 1]), (16, [10])):
        training = {"batch_size": 10, "micro_batch": micro_batch}
        batches = QuestionBatches(ROWS, [], bpe, _config(training=training))
        for step in range(3):
            assert [len(_sequences([batch])) for batch in batches(step)] == sizes
            assert sorted(_sequences(batches(step))) == sorted(_sequences(whole(step)))


def test_sequences_are_packed_by_hand() -> None:
    """Inputs of 5, 3, 2 and 2 tokens into rows of 7: 5 + 2, and 3 + 2 with two places to fill."""
    examples = [
        Example([10, 11, 1], 1),
        Example([20, 21, 22, 23, 24, 1], 4),
        Example([30, 31, 32, 1], 2),
        Example([40, 41, 1], 2),
    ]
    batch = pack(examples, seq_len=7)
    assert batch.sequence is not None
    assert batch.input_ids.tolist() == [[20, 21, 22, 23, 24, 10, 11], [30, 31, 32, 40, 41, 2, 2]]
    nothing = IGNORE_INDEX
    assert batch.targets.tolist() == [
        [nothing, nothing, nothing, 24, 1, 11, 1],
        [nothing, 32, 1, nothing, 1, nothing, nothing],
    ]
    assert batch.sequence.tolist() == [[0, 0, 0, 0, 0, 1, 1], [0, 0, 0, 1, 1, -1, -1]]
    assert batch.question is not None
    assert batch.question.tolist() == [
        [21, 22, 23, nothing, nothing, nothing, nothing],
        [31, nothing, nothing, 41, nothing, nothing, nothing],
    ]


@pytest.mark.parametrize("vocab_size", [824, 70_000])
def test_examples_come_out_of_few_bytes_as_they_went_in(vocab_size: int) -> None:
    examples = [Example([1, 5, vocab_size - 1, 2], 2), Example([1, 7, 2], 1), Example([3, 2], 1)]
    kept = Examples(iter(examples), vocab_size)
    assert [kept[i] for i in range(3)] == examples


def test_little_of_a_packed_batch_is_filling(bpe: Tokenizer) -> None:
    config = _config(training={"batch_size": 40, "micro_batch": 40})
    (batch,) = QuestionBatches(ROWS, [], bpe, config)(0)
    filling = (batch.input_ids == PAD_ID).float().mean()
    assert filling < 0.15
    assert len(_sequences([batch])) == 40 > 2 * len(batch.input_ids)


def test_the_length_of_packed_rows_is_rounded_up_within_the_context(char: Tokenizer) -> None:
    examples = [encode_example(char, "密", "度" * n) for n in (12, 12)]  # 21 tokens each
    assert pack(examples, seq_len=64).input_ids.shape == (1, 48)
    assert pack(examples, seq_len=41).input_ids.shape == (2, 24)
    assert pack(examples, seq_len=22).input_ids.shape == (2, 22)
    assert collate(examples).input_ids.shape == (2, 21)


def test_the_noise_fades_and_at_the_end_there_is_courtesy_only(bpe: Tokenizer) -> None:
    config = _config(training={"batch_size": 200}, data={"noise": 1.0})
    clean = {tuple(encode_example(bpe, row.prompt, row.completion).ids[:-1]) for row in ROWS}

    def noisy(step: int, max_steps: int) -> list[tuple[int, ...]]:
        sequences = _sequences(QuestionBatches(ROWS, [], bpe, config)(step, max_steps))
        return [ids for ids in sequences if ids not in clean]

    def share_of_noisy(step: int, max_steps: int) -> float:
        return len(noisy(step, max_steps)) / 200

    assert share_of_noisy(0, 100) > 0.5
    late = [ids for step in range(60, 80) for ids in noisy(step, 100)]  # of 4,000 samples
    assert 130 < len(late) < 270, "a twentieth, five standard deviations either way"
    for ids in late:
        question, answer = bpe.decode(list(ids)).removeprefix("用户:").split("\n助手:")
        (row,) = (row for row in ROWS if normalise(row.prompt) in question)
        greeting, thanks = question.split(normalise(row.prompt))
        assert greeting in ("", *GREETINGS)
        assert thanks in ("", *THANKS)
        assert answer == row.completion
    assert share_of_noisy(50, 100) < share_of_noisy(0, 100)


def test_the_smoothing_of_targets_fades_with_the_noise(bpe: Tokenizer) -> None:
    """A straight line from 0.2 to nothing at 60 % of the run."""
    batches = QuestionBatches(ROWS, [], bpe, _config(training={"label_smoothing": 0.2}))
    found = [batches(step, 100)[0].smoothing for step in (0, 30, 60, 99)]
    assert found == pytest.approx([0.2, 0.1, 0.0, 0.0])
    (plain, *_) = QuestionBatches(ROWS, [], bpe, _config())(0, 100)
    assert plain.smoothing == 0


def test_the_questions_themselves_are_learnt_in_the_first_part_of_a_run(bpe: Tokenizer) -> None:
    batches = QuestionBatches(ROWS, [], bpe, _config())
    found = [batches(step, 100)[0].question is not None for step in (0, 29, 30, 99)]
    assert found == [True, True, False, False]
    assert batches(99)[0].question is not None  # of a run whose end is not known


def test_short_answers_are_whole_ones_cut_off_and_fewer_when_the_noise_has_faded(
    bpe: Tokenizer,
) -> None:
    """Of an answer with three questions two thirds of the share are cut, of a lone one none."""
    frames = ("什么是{}?", "{}是啥", "{} 定义")
    lone = Row("为何?", "因为所以，科学道理，没有什么为什么。", 1)
    rows = [Row(f.format(name), answer, 1) for name, answer in TOPICS.items() for f in frames]
    examples = [encode_example(bpe, row.prompt, row.completion) for row in [lone, *rows]]
    whole = [tuple(one.ids[:-1]) for one in examples]
    short = [tuple(one.ids[: one.n_prompt + SHORT_ANSWER - 1]) for one in examples]
    assert not {*whole} & {*short}, "all answers are longer"
    config = _config(training={"batch_size": 600}, data={"short_answers": 0.9})
    batches = QuestionBatches([lone, *rows], [], bpe, config)

    def share_of_short(step: int) -> float:
        given = _sequences(batches(step, 100))
        assert {*given} <= {*whole, *short}
        assert whole[0] in given
        assert short[0] not in given
        return sum(ids in short for ids in given) / len(given)

    assert 0.52 < share_of_short(10) < 0.68
    assert 0.40 < share_of_short(61) < 0.54, "eight tenths of it"


def test_padding_stands_at_the_end_and_is_never_learnt(bpe: Tokenizer) -> None:
    batches = QuestionBatches(
        ROWS, [], bpe, _config(training={"batch_size": 10, "micro_batch": 10})
    )
    (batch,) = batches(0)
    assert (batch.input_ids == PAD_ID).any()
    for inputs, targets in zip(batch.input_ids, batch.targets, strict=True):
        length = int((inputs != PAD_ID).sum())
        assert inputs[0] == BOS_ID
        assert (inputs[length:] == PAD_ID).all()
        assert (targets[length:] == IGNORE_INDEX).all()
        assert targets[length - 1] == EOS_ID  # each row ends with a whole sequence


# Noise


def test_noise_keeps_every_answer_and_changes_questions(bpe: Tokenizer) -> None:
    config = _config(training={"batch_size": 10}, data={"noise": 1.0})
    noisy, clean = QuestionBatches(ROWS, [], bpe, config), QuestionBatches(ROWS, [], bpe, _config())
    expected = sorted(f"{row.completion}<eos>" for row in ROWS)
    texts = set()
    for step in range(10):
        batches = noisy(step)
        assert sorted(_answers(batches, bpe)) == expected
        texts |= {bpe.decode(ids) for ids in _sequences(batches)}
    assert len(texts) > 3 * len(ROWS)  # each row in many forms
    clean_texts = {bpe.decode(ids) for step in range(10) for ids in _sequences(clean(step))}
    assert len(clean_texts) == len(ROWS)
    for text in texts:
        assert text.startswith("用户:")
        assert text.count("\n助手:") == 1


def test_the_share_of_noisy_questions_is_the_one_asked_for(bpe: Tokenizer) -> None:
    clean = {tuple(encode_example(bpe, row.prompt, row.completion).ids[:-1]) for row in ROWS}
    batches = QuestionBatches(
        ROWS, [], bpe, _config(training={"batch_size": 400}, data={"noise": 0.5})
    )
    noisy = QuestionBatches(
        ROWS, [], bpe, _config(training={"batch_size": 400}, data={"noise": 1.0})
    )
    n_clean = sum(ids in clean for ids in _sequences(batches(0)))
    n_unchanged = sum(ids in clean for ids in _sequences(noisy(0)))  # noise may change nothing
    assert n_unchanged < 170
    expected = 200 + n_unchanged / 2
    assert abs(n_clean - expected) < 50  # five standard deviations


def test_a_noisy_row_that_no_longer_fits_is_trained_on_as_it_is(char: Tokenizer) -> None:
    """A piece of another question would make these longer than the context: nothing is cut."""
    rows = [Row("密度" * 5, "度" * 10, 1), Row("惯性" * 5, "性" * 10, 2)]
    seq_len = len(encode_example(char, rows[0].prompt, rows[0].completion).ids) - 1
    config = _config(model={"seq_len": seq_len}, data={"noise": 1.0})
    batches = QuestionBatches(rows, [], char, config)
    for step in range(20):
        for batch in batches(step):
            assert batch.input_ids.shape[1] <= seq_len
            for answer in _answers([batch], char):
                assert answer in ("度" * 10 + "<eos>", "性" * 10 + "<eos>")


def test_courtesy_comes_before_or_after_a_question_or_both() -> None:
    made = Counter(add_courtesy("什么是　密度？", random.Random(seed)) for seed in range(3000))
    before = {f"{greeting}什么是密度" for greeting in GREETINGS}
    after = {f"什么是密度{thanks}" for thanks in THANKS}
    both = {f"{greeting}什么是密度{thanks}" for greeting in GREETINGS for thanks in THANKS}
    assert made.keys() == before | after | both
    for kind in (before, after, both):
        assert 870 < sum(made[text] for text in kind) < 1130, "a third, five standard deviations"
    assert all(normalise(text) == text for text in made)


def test_a_noisy_example_depends_on_its_source_alone(bpe: Tokenizer) -> None:
    def make(seed: int) -> Example:
        source = random.Random(seed)
        return noisy_example(bpe, "什么是密度？", "密度，是…", "什么是 惯性？", source)

    assert [make(seed) for seed in range(50)] == [make(seed) for seed in range(50)]
    assert len({tuple(make(seed).ids) for seed in range(50)}) > 25
    for seed in range(50):
        example = make(seed)
        assert bpe.decode(example.ids[example.n_prompt : -1]) == "密度，是…"
        assert example.ids[-1] == EOS_ID


@pytest.mark.parametrize("text", [*TEXTS, "什么是注意力机制?"], ids=ascii)
def test_a_cut_text_joins_to_the_text(text: str) -> None:
    for seed in range(30):
        pieces = cut(text, random.Random(seed))
        assert "".join(pieces) == text
        assert all(pieces) or not text


def test_letters_are_left_out_in_their_share_and_none_changes_place() -> None:
    text = "什么是注意力机制?" * 100
    kept = [drop_letters(text, random.Random(seed)) for seed in range(20)]
    share = 1 - sum(map(len, kept)) / (20 * len(text))
    assert abs(share - LETTER_DROP) < 0.02
    for one in kept:
        rest = iter(text)
        assert all(letter in rest for letter in one)  # a subsequence
    assert all(drop_letters("密", random.Random(seed)) == "密" for seed in range(200))
    assert drop_letters("", random.Random(0)) == ""


def test_context_is_a_piece_of_the_other_question_on_one_side() -> None:
    other, sides = "什么是注意力机制呢?", Counter[str]()
    shortest, longest = CONTEXT_CHARACTERS
    for seed in range(300):
        text = add_context("密度", other, random.Random(seed))
        side = "before" if text.endswith(",密度") else "after"
        piece = text.removesuffix(",密度").removeprefix("密度,")
        assert text in (f"{piece},密度", f"密度,{piece}")
        assert piece in other
        assert shortest <= len(piece) <= longest
        sides[side] += 1
    assert min(sides.values()) > 100
    assert add_context("密度", "问", random.Random(0)) in ("问,密度", "密度,问")


# Taught wordings around unknown topics


def test_a_swapped_topic_is_the_unknown_one_or_half_of_each() -> None:
    """By hand, with its cut after the first letter: 万有引力 and 磁铁 make 万铁, 磁有引力 …"""
    expected = {
        "磁铁是啥",
        *(f"{head}铁是啥" for head in ("万", "万有", "万有引")),
        *(f"磁{tail}是啥" for tail in ("有引力", "引力", "力")),
    }
    made = Counter(
        swap_topic("万有引力是啥", "万有引力", "磁铁", random.Random(seed)) for seed in range(600)
    )
    assert made.keys() == expected
    assert 240 < made["磁铁是啥"] < 360, "half of them are the whole unknown topic"
    assert min(made.values()) > 20


def test_a_swapped_topic_changes_in_all_its_places_and_the_rest_stays() -> None:
    for seed in range(50):
        text = swap_topic("熔点，就是熔点吗？🙂", "熔点", "冰糖葫芦", random.Random(seed))
        first, second = text.removesuffix("吗？🙂").split("，就是")
        assert first == second
        assert first[0] in "熔冰"
        assert first != "熔点"
    assert swap_topic("什么是光?", "光", "暗", random.Random(1)) == "什么是暗?"


def _asked(batches: list[Batch], tokenizer: Tokenizer) -> dict[str, str]:
    """Each question that a step asks, without its frame -> the answer that is learnt of it."""
    asked = {}
    for inputs, targets in (part for batch in batches for part in _parts(batch)):
        answer = [target for target in targets if target not in (IGNORE_INDEX, EOS_ID)]
        n_prompt = sum(target == IGNORE_INDEX for target in targets) + 1
        prompt = tokenizer.decode(inputs[1:n_prompt])
        asked[prompt.removeprefix("用户:").removesuffix("\n助手:")] = tokenizer.decode(answer)
    return asked


LABELLED = [row._replace(topic=name) for row, name in zip(ROWS, TOPICS, strict=True)]
UNKNOWN_ROWS = [
    Row("陀螺仪怎么用?", "不知道。", 1, topic="陀螺仪"),
    Row("红烧肉怎么做?", "不知道。", 2, topic="红烧肉"),
]


def test_taught_wordings_around_unknown_topics_are_taught_as_refusals(bpe: Tokenizer) -> None:
    """So the wording 什么是…? alone is no reason to answer."""
    config = _config(training={"batch_size": 40}, data={"unknown_share": 0.5})
    batches = QuestionBatches(LABELLED, UNKNOWN_ROWS, bpe, config)
    asked: dict[str, str] = {}
    n_swapped = 0
    for step in range(20):
        of_step = _asked(batches(step), bpe)
        n_swapped += sum(q.startswith("什么是") and a == "不知道。" for q, a in of_step.items())
        asked |= of_step
    refused = {question for question, answer in asked.items() if answer == "不知道。"}
    swapped = refused - {normalise(row.prompt) for row in UNKNOWN_ROWS}
    assert {"什么是陀螺仪", "什么是红烧肉"} <= swapped
    assert all(question.startswith("什么是") for question in swapped)
    assert {normalise(row.prompt): row.completion for row in ROWS}.items() <= asked.items()
    assert 21 < n_swapped < 53, "of 400 unknown questions a tenth, some of them alike"


def test_a_swapped_question_is_never_a_taught_one(bpe: Tokenizer) -> None:
    """Found here: 惯 of 惯性 and 性 of 酸性 make 惯性, which was then taught with 不知道.

    Nor one that differs from it by its mark at the end only.
    """
    names = ("酸性", "惯例", "频道", "效率", "光谱")
    unknown = [Row(f"{name}怎么办?", "不知道。", 1, topic=name) for name in names]
    config = _config(training={"batch_size": 40}, data={"unknown_share": 0.9})
    marked = [row._replace(prompt=row.prompt.replace("?", "!?")) for row in LABELLED[::2]]
    batches = QuestionBatches([*marked, *LABELLED[1::2]], unknown, bpe, config)
    learnt = {pair for step in range(50) for pair in _asked(batches(step), bpe).items()}
    refused = {question for question, answer in learnt if answer == "不知道。"}
    assert not refused & {normalise(row.prompt) for row in ROWS}
    assert {f"什么是{name}" for name in names} <= refused


@pytest.mark.parametrize(
    ("taught", "unknown"),
    [
        (ROWS, UNKNOWN_ROWS),
        (LABELLED, [row._replace(topic="") for row in UNKNOWN_ROWS]),
        ([row._replace(topic="别的") for row in ROWS], UNKNOWN_ROWS),
    ],
    ids=["taught rows without topic", "unknown rows without topic", "a topic not in its question"],
)
def test_nothing_is_swapped_where_no_topic_is_known(
    bpe: Tokenizer, taught: list[Row], unknown: list[Row]
) -> None:
    config = _config(training={"batch_size": 40}, data={"unknown_share": 0.5})
    batches = QuestionBatches(taught, unknown, bpe, config)
    asked = {q for step in range(5) for q in _asked(batches(step), bpe)}
    assert asked == {normalise(row.prompt) for row in [*taught, *unknown]}


def test_a_swapped_question_that_does_not_fit_is_left_as_it_was(char: Tokenizer) -> None:
    """Found here: the answer 不知道 may be longer than the taught one; the batch broke."""
    taught = [Row(f"{'密度' * 5}频率是?", "度", 1, topic="频率")]
    unknown = [Row("熔点?", "质数" * 6, 1, topic="光年" * 3)]
    seq_len = len(encode_example(char, taught[0].prompt, taught[0].completion).ids) - 1
    assert len(encode_example(char, unknown[0].prompt, unknown[0].completion).ids) - 1 <= seq_len
    for noise in (0.0, 1.0):
        config = _config(model={"seq_len": seq_len}, data={"unknown_share": 0.5, "noise": noise})
        batches = QuestionBatches(taught, unknown, char, config)
        for step in range(20):
            assert all(batch.input_ids.shape[1] <= seq_len for batch in batches(step))


# The whole of a run's data


def _files_config(folder: Path, train: list[Row], val: list[Row] | None, **keys: Any) -> Config:
    train_path = _file(folder, [(row.prompt, row.completion) for row in train])
    val_path = None
    if val is not None:
        pairs = [(row.prompt, row.completion) for row in val]
        val_path = str(_file(folder, pairs, "val.jsonl"))
    return _config(data={"train_path": str(train_path), "val_path": val_path, **keys})


def test_a_run_learns_the_training_file_and_is_tested_on_the_other(
    bpe: Tokenizer, tmp_path: Path
) -> None:
    val = [Row("密度是什么？", ROWS[0].completion, 1), Row("啥叫惯性", ROWS[1].completion, 2)]
    data = load_training_data(_files_config(tmp_path, ROWS, val), bpe)
    assert [row.prompt for row in data.rows["train"]] == [row.prompt for row in ROWS]
    assert data.rows["val"] == val
    assert not data.is_text
    assert sorted(_answers(data.validation, bpe)) == sorted(f"{r.completion}<eos>" for r in val)
    learnt = {answer for step in range(3) for answer in _answers(data.batches(step), bpe)}
    assert learnt == {f"{row.completion}<eos>" for row in ROWS}
    assert data.val_text == []
    assert data.report == [
        f"{tmp_path / 'train.jsonl'}: 10 rows, 10 used",
        f"{tmp_path / 'val.jsonl'}: 2 rows, 2 used",
    ]


def test_a_run_without_a_validation_file_has_no_validation(bpe: Tokenizer, tmp_path: Path) -> None:
    data = load_training_data(_files_config(tmp_path, ROWS, None), bpe)
    assert (data.validation, data.rows["val"]) == ([], [])
    assert set(data.facts) == {"train"}


def test_of_many_validation_questions_a_sample_of_all_parts_is_asked_on_the_way(
    bpe: Tokenizer, tmp_path: Path
) -> None:
    val = [Row(f"什么是{n}?", f"{n}。", n + 1) for n in range(MAX_VALIDATION + 36)]
    data = load_training_data(_files_config(tmp_path, ROWS, val), bpe)
    assert data.rows["val"] == val  # the exam asks all
    numbers = sorted(int(a.removesuffix("。<eos>")) for a in _answers(data.validation, bpe))
    assert len(numbers) == MAX_VALIDATION
    assert numbers[0] < 3
    assert numbers[-1] > len(val) - 4
    assert max(b - a for a, b in pairwise(numbers)) <= 2


def test_a_sample_is_spread_evenly() -> None:
    assert spread([*range(10)], 4) == [0, 2, 5, 7]  # 0, 2.5, 5, 7.5, rounded down
    assert spread([*range(4)], 4) == [0, 1, 2, 3]
    assert spread([], 4) == []


def test_refusals_of_their_own_file_are_taught_along(bpe: Tokenizer, tmp_path: Path) -> None:
    path = _file(tmp_path, [("陀螺仪为什么不倒?", "不知道，我没有学过。")], "unknown.jsonl")
    config = _files_config(tmp_path, ROWS, None, unknown_path=str(path))
    data = load_training_data(config, bpe)
    assert data.rows["train"][-1].completion == ROWS[-1].completion
    assert [row.completion for row in data.rows["unknown"]] == ["不知道，我没有学过。"]
    learnt = {answer for step in range(15) for answer in _answers(data.batches(step), bpe)}
    assert learnt == {f"{row.completion}<eos>" for row in data.rows["train"] + data.rows["unknown"]}
    assert "陀螺仪为什么不倒?" in data.probes
    assert data.report[-1] == f"{path}: 1 rows, 1 used"


@pytest.mark.parametrize("n_unknown", [1, 3, 500])
def test_unknown_questions_have_their_share_however_many_there_are(
    bpe: Tokenizer, n_unknown: int
) -> None:
    """Else 30 questions of a teacher would drown in a thousand unknown ones."""
    unknown = [Row(f"问题{n}", "不知道。", n) for n in range(n_unknown)]
    config = _config(training={"batch_size": 20}, data={"unknown_share": 0.25})
    batches = QuestionBatches(ROWS, unknown, bpe, config)
    for step in range(4):
        learnt = Counter(_answers(batches(step), bpe))
        assert learnt["不知道。<eos>"] == 5, "a quarter of 20, in every batch"
    seen = Counter(answer for step in range(40) for answer in _answers(batches(step), bpe))
    times = [seen[f"{row.completion}<eos>"] for row in ROWS]
    assert sum(times) == 600
    assert max(times) - min(times) <= 1


def test_unknown_questions_that_the_file_teaches_are_left_out() -> None:
    """Who teaches 红烧肉 does not want 不知道 for it, but a taught refusal is no answer."""
    taught = [Row("红烧肉怎么做不腻?", "先焯水。", 1), Row("陀螺仪为什么不倒", "不知道。", 2)]
    unknown = [
        Row("红烧肉怎么做不腻呢", "不知道。", 1),
        Row("陀螺仪为什么不倒", "不知道。", 2),
        Row("红楼梦是谁写的", "不知道。", 3),
    ]
    assert leave_out_taught(unknown, index_of_answered(taught)) == (unknown[1:], 1)
    assert leave_out_taught(unknown, index_of_answered([])) == (unknown, 0)


def test_the_facts_name_the_contents_of_the_files(bpe: Tokenizer, tmp_path: Path) -> None:
    config = _files_config(tmp_path, [*ROWS, ROWS[0], Row("密", "密" * 200, 12)], ROWS[:1])
    facts: dict[str, Any] = load_training_data(config, bpe).facts
    sha256 = facts["train"].pop("sha256")
    assert facts["train"] == {
        "path": (tmp_path / "train.jsonl").as_posix(),
        "rows": 12,
        "rows_used": 10,
        "duplicates": 1,
        "too_long": 1,
        "answers": 10,
    }
    path = tmp_path / "train.jsonl"
    path.write_text(path.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    other: dict[str, Any] = load_training_data(config, bpe).facts
    assert other["train"]["sha256"] != sha256
    assert other["val"] == facts["val"]


def test_strict_makes_too_long_rows_of_any_file_an_error(bpe: Tokenizer, tmp_path: Path) -> None:
    long = Row("什么是密度?", "密" * 200, 11)
    config = _files_config(tmp_path, [*ROWS, long], [ROWS[0], long, long])
    data = load_training_data(config, bpe)
    assert long.completion not in {row.completion for row in data.rows["train"] + data.rows["val"]}
    with pytest.raises(DataError) as caught:
        load_training_data(config, bpe, strict=True)
    first, second = str(caught.value).splitlines()
    n = len(encode_example(bpe, long.prompt, long.completion).ids) - 1
    longer = "rows are longer than model.seq_len"
    assert first == f"{tmp_path / 'train.jsonl'}: 1 {longer}: line 11 ({n} tokens)"
    assert second.startswith(f"{tmp_path / 'val.jsonl'}: ")
    assert f"line 2 ({n} tokens)" in second
    fine = _files_config(tmp_path, ROWS, ROWS[:2])
    assert load_training_data(fine, bpe, strict=True).report == load_training_data(fine, bpe).report


@pytest.mark.parametrize("missing", ["train_path", "val_path", "unknown_path"])
def test_each_missing_file_is_an_error(missing: str, bpe: Tokenizer, tmp_path: Path) -> None:
    config = _files_config(tmp_path, ROWS, ROWS[:1])
    path = tmp_path / "none.jsonl"
    config = replace(config, data=replace(config.data, **{missing: str(path)}))
    with pytest.raises(DataError, match=re.escape(f"{path}: no such file")):
        load_training_data(config, bpe)


def test_the_probes_are_taught_reworded_and_refused_questions(
    bpe: Tokenizer, tmp_path: Path
) -> None:
    refusal = Row("陀螺仪为什么不倒?", "不知道，我没有学过。", 11)
    val = [Row("啥是陀螺仪", "不知道，我没有学过。", 1), Row("啥叫惯性", ROWS[1].completion, 2)]
    data = load_training_data(_files_config(tmp_path, [*ROWS, refusal], val), bpe)
    assert data.probes == [
        ROWS[0].prompt,
        ROWS[3].prompt,
        ROWS[6].prompt,
        "啥叫惯性",
        "陀螺仪为什么不倒?",
    ]
    assert len(data.probes) == N_PROBES


@pytest.mark.parametrize("n_rows", [1, 2, 4, 10])
def test_the_probes_are_as_many_as_there_are_questions_up_to_five(
    n_rows: int, bpe: Tokenizer, tmp_path: Path
) -> None:
    data = load_training_data(_files_config(tmp_path, ROWS[:n_rows], None), bpe)
    assert len(data.probes) == len({*data.probes}) == min(n_rows, N_PROBES)
    assert {*data.probes} <= {row.prompt for row in ROWS}


def test_the_probes_of_the_config_are_asked_as_they_stand(bpe: Tokenizer, tmp_path: Path) -> None:
    config = _files_config(tmp_path, ROWS, ROWS[:1])
    asked = ("魑魅，hello world 🙂", "ＡＢＣ　，")
    config = replace(config, training=replace(config.training, probe_questions=asked))
    assert load_training_data(config, bpe).probes == [*asked]


def test_a_noisy_question_is_as_normal_as_an_asked_one(bpe: Tokenizer) -> None:
    """At inference every prompt is normalised: what is learnt must be so, too."""
    for seed in range(60):
        source = random.Random(seed)
        example = noisy_example(
            bpe, "what is　RoPE？ ＡＢＣ", "答", " how does a  tide work", source
        )
        text = bpe.decode(example.ids[: example.n_prompt])
        prompt = text.removeprefix("用户:").removesuffix("\n助手:")
        assert prompt == normalise(prompt), seed


def test_each_stretch_of_training_samples_has_all_answers_alike(bpe: Tokenizer) -> None:
    """Ten answers with four questions each: any tenth of an epoch after another has each once."""
    frames = ("什么是{}?", "{}是啥", "{} 定义", "说说{}")
    rows = [Row(f.format(name), answer, 1) for name, answer in TOPICS.items() for f in frames]
    batches = QuestionBatches(rows, [], bpe, _config(training={"batch_size": len(TOPICS)}))
    for step in range(8):
        assert {*_answers(batches(step), bpe)} == {f"{a}<eos>" for a in TOPICS.values()}, step


def test_no_held_out_question_is_ever_trained_on(bpe: Tokenizer, tmp_path: Path) -> None:
    """Nor asked as an unknown one if it looks like a taught one; the last of each file does."""
    val, test = (
        [row._replace(prompt=frame.format(name)) for name, row in zip(TOPICS, ROWS, strict=True)]
        for frame in ("{}，说说看", "何谓{}")
    )
    refused = {
        split: [*(f"{word}{n}号几点开门" for n in range(3)), ROWS[0].prompt]
        for split, word in (("unknown", "邮局"), ("unknown_val", "超市"), ("unknown_test", "车站"))
    }
    paths = {
        f"{split}_path": str(
            _file(tmp_path, [(q, "不知道。") for q in questions], f"{split}.jsonl")
        )
        for split, questions in refused.items()
    }
    paths["test_path"] = str(
        _file(tmp_path, [(r.prompt, r.completion) for r in test], "test.jsonl")
    )
    data = load_training_data(_files_config(tmp_path, ROWS, val, noise=0.0, **paths), bpe)
    for split, questions in refused.items():
        assert [row.prompt for row in data.rows[split]] == questions[:-1], split
    asked = {ids for step in range(30) for ids in _sequences(data.batches(step))}
    taught = data.rows["train"] + data.rows["unknown"]
    assert asked == {tuple(encode_example(bpe, r.prompt, r.completion).ids[:-1]) for r in taught}
