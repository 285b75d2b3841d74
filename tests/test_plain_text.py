"""Plain text: encoded once, cut into windows, split by position."""

from __future__ import annotations

import hashlib
import json
import random
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from gpt_teacher import plain_text
from gpt_teacher.config import Config, DataConfig, ModelConfig, TokenizerConfig, TrainingConfig
from gpt_teacher.data import MAX_VALIDATION, PROBE_PROMPT_TOKENS, load_training_data
from gpt_teacher.errors import DataError
from gpt_teacher.loss import Batch
from gpt_teacher.plain_text import TextBatches, encoded_text, text_validation
from gpt_teacher.text_files import file_sha256
from gpt_teacher.tokenizer import EOS_ID, UNK_ID, Tokenizer
from gpt_teacher.tokenizer_training import train_tokenizer

TEXTS = ["", "魑魅，hello world 🙂", "ＡＢＣ　，", "\r\n\t"]
NOVEL = (
    "话说山中有一猴，生性好动。\n一日，它下山去，见河中有月，便伸手去捞。\n\t月碎了，猴也笑了。\n"
    * 12
)
KINDS = ["hf_tokenizers", "sentencepiece", "char"]


@pytest.fixture(scope="module")
def trained() -> dict[str, Tokenizer]:
    texts = [NOVEL, *TEXTS]
    return {
        kind: train_tokenizer(texts, TokenizerConfig(type=kind, vocab_size=330))  # type: ignore[arg-type]
        for kind in KINDS
    }


@pytest.fixture
def char(trained: dict[str, Tokenizer]) -> Tokenizer:
    return trained["char"]


def _file(folder: Path, text: str, name: str = "novel.txt") -> Path:
    path = folder / name
    path.write_bytes(text.encode())
    return path


def _documents(folder: Path, documents: list[str], name: str = "novel.jsonl") -> Path:
    lines = [json.dumps({"text": text}, ensure_ascii=False) + "\n" for text in documents]
    return _file(folder, "".join(lines), name)


def _config(folder: Path, path: Path, seq_len: int = 8, **data: Any) -> Config:
    values = {"val_path": None, **data}
    return Config(
        model=ModelConfig(seq_len=seq_len),
        training=TrainingConfig(batch_size=4, micro_batch=2, seed=5),
        data=DataConfig(
            train_path=str(path), format="lm", cache_dir=str(folder / "cache"), **values
        ),
    )


def _windows(batches: list[Batch]) -> list[tuple[list[int], list[int]]]:
    """(inputs, targets) of each window."""
    return [
        (inputs.tolist(), targets.tolist())
        for batch in batches
        for inputs, targets in zip(batch.input_ids, batch.targets, strict=True)
    ]


def _numbered(n: int, seq_len: int, batch_size: int = 4, seed: int = 5) -> TextBatches:
    """Batches of a text whose ids are its positions."""
    training = TrainingConfig(batch_size=batch_size, micro_batch=2, seed=seed)
    config = Config(model=ModelConfig(seq_len=seq_len), training=training)
    return TextBatches(torch.arange(n, dtype=torch.int32), config)


# Encoding


@pytest.mark.parametrize("together", [1, 7, 100, 1 << 20])
def test_encoded_in_pieces_a_text_has_the_ids_of_the_whole(
    together: int, char: Tokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plain_text, "ENCODED_TOGETHER", together)
    ids = encoded_text(_file(tmp_path, NOVEL), char, tmp_path / "cache")
    assert ids.tolist() == [*char.encode(NOVEL), EOS_ID]


@pytest.mark.parametrize("text", TEXTS, ids=ascii)
@pytest.mark.parametrize("kind", KINDS)
def test_no_character_of_a_text_is_lost(
    kind: str,
    text: str,
    trained: dict[str, Tokenizer],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(plain_text, "ENCODED_TOGETHER", 5)
    text = f"{text}\n\n月{text}\n  {text}。".replace("\r\n", "\n")
    ids = encoded_text(_file(tmp_path, text), trained[kind], tmp_path / "cache").tolist()
    assert trained[kind].decode(ids) == text
    assert ids.count(EOS_ID) == 1
    assert ids[-1] == EOS_ID


@pytest.mark.parametrize("kind", KINDS)
def test_each_document_ends_with_eos(
    kind: str, trained: dict[str, Tokenizer], tmp_path: Path
) -> None:
    documents = ["话说山中有一猴。\n\n", "魑魅，hello world 🙂", "ＡＢＣ　，", "\r\n\t月"]
    path = _documents(tmp_path, documents)
    ids = encoded_text(path, trained[kind], tmp_path / "cache").tolist()
    found: list[list[int]] = [[]]
    for token_id in ids:
        if token_id == EOS_ID:
            found.append([])
        else:
            found[-1].append(token_id)
    assert [trained[kind].decode(part) for part in found] == [*documents[:-1], "\n\t月", ""]


def test_a_text_is_encoded_once_and_then_read_from_the_cache(
    char: Tokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, cache = _file(tmp_path, NOVEL), tmp_path / "new" / "cache"
    first = encoded_text(path, char, cache)

    def encode(text: str) -> list[int]:
        raise AssertionError("encoded again")

    monkeypatch.setattr(char, "encode", encode)
    again = encoded_text(path, char, cache)
    assert torch.equal(first, again)
    assert len([*cache.iterdir()]) == 1
    # The same text elsewhere under the same name is the same text.
    (tmp_path / "copy").mkdir()
    assert torch.equal(encoded_text(_file(tmp_path / "copy", NOVEL), char, cache), first)


def test_a_file_of_another_kind_with_the_same_contents_never_gets_an_old_cache(
    char: Tokenizer, tmp_path: Path
) -> None:
    """JSONL by the name novel.txt is plain text; renamed, it is not any more."""
    cache, lines = tmp_path / "cache", json.dumps({"text": NOVEL}, ensure_ascii=False) + "\n"
    as_text = encoded_text(_file(tmp_path, lines, "novel.txt"), char, cache)
    as_rows = encoded_text(_file(tmp_path, lines, "novel.jsonl"), char, cache)
    assert as_rows.tolist() == [*char.encode(NOVEL), EOS_ID]
    assert len(as_text) > len(as_rows)


def test_a_novel_of_windows_is_encoded_as_the_same_novel_elsewhere(
    char: Tokenizer, tmp_path: Path
) -> None:
    """Found here: the model wrote \\r\\n, while an opening that is piped in has \\n."""
    path, cache = _file(tmp_path, NOVEL.replace("\n", "\r\n")), tmp_path / "cache"
    named_before = hashlib.sha256((file_sha256(path) + ".txt" + char.fingerprint).encode())
    cache.mkdir()
    (cache / f"novel-{named_before.hexdigest()[:16]}.int32").write_bytes(b"\1\0\0\0" * 9)
    assert encoded_text(path, char, cache).tolist() == [*char.encode(NOVEL), EOS_ID]


def test_a_text_that_cannot_be_read_to_its_end_leaves_nothing_in_the_cache(
    char: Tokenizer, tmp_path: Path
) -> None:
    path, cache = tmp_path / "novel.txt", tmp_path / "cache"
    path.write_bytes((NOVEL * 9_000).encode() + b"\xff\n")
    with pytest.raises(DataError, match=r"novel\.txt"):
        encoded_text(path, char, cache)
    assert [*cache.iterdir()] == []


def test_a_text_with_a_long_name_is_cached(char: Tokenizer, tmp_path: Path) -> None:
    path = _file(tmp_path, NOVEL, "长" * 81 + ".txt")
    assert encoded_text(path, char, tmp_path / "cache").tolist() == [*char.encode(NOVEL), EOS_ID]


def test_another_text_or_tokenizer_never_gets_an_old_cache(
    trained: dict[str, Tokenizer], tmp_path: Path
) -> None:
    cache, char = tmp_path / "cache", trained["char"]
    path = _file(tmp_path, NOVEL)
    encoded_text(path, char, cache)
    other = NOVEL.replace("猴", "月")  # of the same length in bytes
    assert encoded_text(_file(tmp_path, other), char, cache).tolist() == [
        *char.encode(other),
        EOS_ID,
    ]
    swapped = train_tokenizer([NOVEL + "猴" * 500], TokenizerConfig(type="char"))
    ids = encoded_text(path, swapped, cache).tolist()
    assert ids == [*swapped.encode(other), EOS_ID] != [*char.encode(other), EOS_ID]
    assert encoded_text(_file(tmp_path, NOVEL), char, cache).tolist() == [
        *char.encode(NOVEL),
        EOS_ID,
    ]


def test_a_broken_off_encoding_leaves_nothing_to_be_read(
    char: Tokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, cache = _file(tmp_path, NOVEL), tmp_path / "cache"
    monkeypatch.setattr(plain_text, "ENCODED_TOGETHER", 100)
    right, calls = char.encode, iter(range(100))

    def encode(text: str) -> list[int]:
        if next(calls) == 3:
            raise KeyboardInterrupt
        return right(text)

    with monkeypatch.context() as broken:
        broken.setattr(char, "encode", encode)
        with pytest.raises(KeyboardInterrupt):
            encoded_text(path, char, cache)
    assert encoded_text(path, char, cache).tolist() == [*char.encode(NOVEL), EOS_ID]


@pytest.mark.parametrize("n_bytes", [0, 1001, 1000])
def test_a_cache_that_was_cut_off_is_made_anew(
    n_bytes: int, char: Tokenizer, tmp_path: Path
) -> None:
    """Found here: 250 tokens of a novel were trained on without a word."""
    path, cache = _file(tmp_path, NOVEL * 3), tmp_path / "cache"
    encoded_text(path, char, cache)
    (cached,) = cache.iterdir()
    with cached.open("r+b") as file:
        file.truncate(n_bytes)
    assert encoded_text(path, char, cache).tolist() == [*char.encode(NOVEL * 3), EOS_ID]
    assert [*cache.iterdir()] == [cached]


def test_a_cache_that_another_run_has_made_meanwhile_will_do(
    char: Tokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Windows does not replace a file that another run has mapped."""
    path, cache = _file(tmp_path, NOVEL), tmp_path / "cache"
    right = Path.replace

    def replaced_before(self: Path, target: Path) -> None:
        right(self, target)
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "replace", replaced_before)
    assert encoded_text(path, char, cache).tolist() == [*char.encode(NOVEL), EOS_ID]
    assert len([*cache.iterdir()]) == 1


def test_writing_into_the_ids_does_not_change_the_cache(char: Tokenizer, tmp_path: Path) -> None:
    path, cache = _file(tmp_path, NOVEL), tmp_path / "cache"
    ids = encoded_text(path, char, cache)
    ids[:10] = 999
    assert encoded_text(path, char, cache).tolist() == [*char.encode(NOVEL), EOS_ID]


def test_a_cached_file_that_another_program_reads_for_a_moment_is_waited_for(
    char: Tokenizer, tmp_path: Path, held_for_a_moment: Counter[str]
) -> None:
    ids = encoded_text(_file(tmp_path, NOVEL), char, tmp_path / "cache")
    assert ids.tolist() == [*char.encode(NOVEL), EOS_ID]
    assert list(held_for_a_moment.values()) == [3]


def test_a_cache_that_cannot_be_written_is_a_clear_error(char: Tokenizer, tmp_path: Path) -> None:
    cache = _file(tmp_path, "a file, no folder", "cache")
    with pytest.raises(DataError, match=re.escape(str(cache)) + ".*data.cache_dir"):
        encoded_text(_file(tmp_path, NOVEL), char, cache)


# Windows


@pytest.mark.parametrize(("n", "seq_len"), [(17, 8), (24, 8), (25, 8), (100, 8), (1003, 16)])
def test_targets_are_the_inputs_one_token_later(n: int, seq_len: int) -> None:
    batches = _numbered(n, seq_len)
    for step in range(20):
        assert [len(batch.input_ids) for batch in batches(step)] == [2, 2]
        for inputs, targets in _windows(batches(step)):
            assert inputs == [*range(inputs[0], inputs[0] + seq_len)]
            assert targets == [i + 1 for i in inputs]
            assert targets[-1] < n


def test_an_epoch_is_the_text_in_windows_side_by_side() -> None:
    """101 tokens have 100 targets: 11 windows of 8 and room to shift them."""
    batches = _numbered(101, 8, batch_size=11)
    shifts = set()
    for epoch in range(30):
        starts = sorted(inputs[0] for inputs, _ in _windows(batches(epoch)))
        assert starts == [starts[0] + 8 * i for i in range(11)]
        shifts.add(starts[0])
    assert len(shifts) > 5  # each epoch cuts at new places


@pytest.mark.parametrize(("n", "seq_len"), [(17, 8), (24, 8), (101, 8)])
def test_every_token_but_the_first_is_learnt_sooner_or_later(n: int, seq_len: int) -> None:
    """Also the last ones: the end of the text and its <eos>."""
    batches, learnt = _numbered(n, seq_len), set[int]()
    for step in range(400):
        learnt.update(target for _, targets in _windows(batches(step)) for target in targets)
    assert learnt == {*range(1, n)}


def test_the_order_is_that_of_the_seed_from_any_step() -> None:
    uninterrupted = _numbered(200, 8)
    steps = [_windows(uninterrupted(step)) for step in range(20)]
    resumed = _numbered(200, 8)
    random.seed(0)
    torch.manual_seed(0)
    for step in (13, 14, 2, 19):
        assert _windows(resumed(step)) == steps[step]
    other = _numbered(200, 8, seed=6)
    assert [_windows(other(step)) for step in range(20)] != steps
    assert steps[0] != steps[6]  # another epoch
    # With one window only, the seed still chooses where it is cut.
    one, two = _numbered(24, 8), _numbered(24, 8, seed=6)
    assert [_windows(one(step)) for step in range(20)] != [
        _windows(two(step)) for step in range(20)
    ]


def test_a_text_too_short_for_a_window_says_what_to_change() -> None:
    _numbered(17, 8)  # two windows less the shift
    message = (
        "16 tokens of training text are too few for windows of model.seq_len = 8; "
        "use more text or a smaller seq_len"
    )
    with pytest.raises(DataError, match=f"data/train.jsonl: {message}"):
        _numbered(16, 8)


def test_validation_windows_stand_side_by_side() -> None:
    """By hand: ten tokens in windows of four; the last token is left out."""
    ids = torch.arange(10, dtype=torch.int32)
    assert _windows(text_validation(ids, 4, micro_batch=8)) == [
        ([0, 1, 2, 3], [1, 2, 3, 4]),
        ([4, 5, 6, 7], [5, 6, 7, 8]),
    ]
    assert [len(b.input_ids) for b in text_validation(ids, 2, micro_batch=3)] == [3, 1]
    nine = text_validation(ids[:9], 4, micro_batch=8)  # fits to the last token
    assert _windows(nine)[-1][1] == [5, 6, 7, 8]


@pytest.mark.parametrize(("n", "length"), [(2, 8), (8, 8), (9, 8)])
def test_a_validation_text_of_less_than_a_window_is_one_window(n: int, length: int) -> None:
    ids = torch.arange(n, dtype=torch.int32)
    assert _windows(text_validation(ids, length, micro_batch=8)) == [
        ([*range(n - 1)], [*range(1, n)])
    ]


# The whole of a run's data


def _ids(batches: list[Batch]) -> set[int]:
    return {i for inputs, targets in _windows(batches) for i in [*inputs, *targets]}


def test_the_last_part_of_the_text_is_for_validation_alone(tmp_path: Path) -> None:
    """300 characters, each of them once, so that each tells its place."""
    text = "".join(chr(0x4E00 + i) for i in range(300))
    tokenizer = train_tokenizer([text], TokenizerConfig(type="char"))
    config = _config(tmp_path, _file(tmp_path, text), val_fraction=0.2)
    data = load_training_data(config, tokenizer)
    trained_on = {i for step in range(200) for i in _ids(data.batches(step))}
    assert {*tokenizer.decode(trained_on)} <= {*text[:240]}
    assert data.is_text
    (n_train, n_val) = (240, 61)  # of 301 tokens with <eos>: 80 % and the rest
    assert data.facts["train"]["tokens"] == n_train  # type: ignore[index]
    assert data.facts["val"]["tokens"] == n_val  # type: ignore[index]
    # Side by side, the windows are the text from its split on: 7 of 8, and a rest.
    shown = [tokenizer.decode(inputs) for inputs, _ in _windows(data.val_text)]
    assert "".join(shown) == text[240:296]
    path = tmp_path / "novel.txt"
    assert data.report == [f"{path}: 301 tokens, the last 20% of it are for validation"]


def test_a_validation_file_leaves_the_whole_text_for_training(
    char: Tokenizer, tmp_path: Path
) -> None:
    path, val_path = _file(tmp_path, NOVEL), _file(tmp_path, NOVEL[:100], "val.txt")
    data = load_training_data(_config(tmp_path, path, val_path=str(val_path)), char)
    assert data.facts["train"]["tokens"] == len(NOVEL) + 1  # type: ignore[index]
    shown = [char.decode(inputs) for inputs, _ in _windows(data.val_text)]
    assert "".join(shown) == NOVEL[:96]
    assert f"validation text: {val_path}" in data.report[0]


def test_on_the_way_a_sample_of_the_validation_text_is_enough(
    char: Tokenizer, tmp_path: Path
) -> None:
    data = load_training_data(
        _config(tmp_path, _file(tmp_path, NOVEL * 20), val_fraction=0.5), char
    )
    assert sum(len(b.input_ids) for b in data.validation) <= MAX_VALIDATION
    every = [batch.input_ids.tolist() for batch in data.val_text]
    places = [every.index(batch.input_ids.tolist()) for batch in data.validation]
    assert len(data.val_text) > 2 * len(data.validation)
    assert all(batch.input_ids.tolist() in every for batch in data.validation)
    assert places[0] == 0


def test_unknown_characters_are_counted(char: Tokenizer, tmp_path: Path) -> None:
    text = NOVEL + "鹏鹏程" * 4
    data = load_training_data(_config(tmp_path, _file(tmp_path, text)), char)
    said = "characters are unknown to the tokenizer and become <unk>"
    assert data.report[1:] == [f"{tmp_path / 'novel.txt'}: 12 {said}"]
    ids = encoded_text(tmp_path / "novel.txt", char, tmp_path / "cache")
    assert int((ids == UNK_ID).sum()) == 12
    path, val_path = _file(tmp_path, NOVEL), _file(tmp_path, "程鹏" + NOVEL, "val.txt")
    assert len(load_training_data(_config(tmp_path, path), char).report) == 1
    # Found here: those of a validation file were told to nobody.
    with_file = load_training_data(_config(tmp_path, path, val_path=str(val_path)), char)
    assert with_file.report[1:] == [f"{val_path}: 2 {said}"]


@pytest.mark.parametrize("kind", KINDS)
def test_the_probe_is_the_beginning_of_the_validation_text(
    kind: str, trained: dict[str, Tokenizer], tmp_path: Path
) -> None:
    val_path = _file(tmp_path, "月碎了，猴也笑了。" * 20, "val.txt")
    config = _config(tmp_path, _file(tmp_path, NOVEL), val_path=str(val_path))
    (probe,) = load_training_data(config, trained[kind]).probes
    assert probe
    assert ("月碎了，猴也笑了。" * 20).startswith(probe)
    assert len(trained[kind].encode(probe)) <= PROBE_PROMPT_TOKENS


def test_a_probe_never_shows_half_a_character(tmp_path: Path) -> None:
    """Each Chinese character is three tokens here: the split and the eighth token fall inside."""
    tokenizer = train_tokenizer(["abc"], TokenizerConfig(vocab_size=260))
    for n in range(3):
        path = _file(tmp_path, "a" * n + "山中有一猴好动" * 30)
        (probe,) = load_training_data(_config(tmp_path, path), tokenizer).probes
        assert "\ufffd" not in probe
        assert probe in path.read_text(encoding="utf-8")


@pytest.mark.parametrize("kind", KINDS)
def test_a_probe_is_the_beginning_of_the_first_line_alone(
    kind: str, trained: dict[str, Tokenizer], tmp_path: Path
) -> None:
    """Found here: the command on the card continued 一日, the sample above it "\\n\\n一日"."""
    val_path = _file(tmp_path, "。”\r\n" * 9 + "\t一日 \n\t月碎了，猴也笑了。" * 20, "val.txt")
    config = _config(tmp_path, _file(tmp_path, NOVEL), val_path=str(val_path))
    assert load_training_data(config, trained[kind]).probes == ["一日"]


def test_a_probe_of_the_config_is_continued_as_it_stands(char: Tokenizer, tmp_path: Path) -> None:
    config = _config(tmp_path, _file(tmp_path, NOVEL))
    asked = ("话说", "魑魅，hello world 🙂")
    config = replace(config, training=replace(config.training, probe_questions=asked))
    assert load_training_data(config, char).probes == [*asked]


def test_a_text_too_short_for_validation_is_an_error(char: Tokenizer, tmp_path: Path) -> None:
    path = _file(tmp_path, NOVEL)
    said = ": the text is too short to keep some for validation; use more text"
    with pytest.raises(DataError) as raised:
        load_training_data(_config(tmp_path, path, val_fraction=1e-7), char)
    assert str(raised.value) == f"{path}{said} or a larger data.val_fraction (1e-07)"
    val_path = _file(tmp_path, "月", "val.txt")
    with pytest.raises(DataError) as raised:
        load_training_data(_config(tmp_path, path, val_path=str(val_path)), char)
    assert str(raised.value) == f"{val_path}{said}"


def test_a_text_of_which_nearly_all_is_for_validation_is_told_the_share(
    char: Tokenizer, tmp_path: Path
) -> None:
    """Found here: more text was advised, and "the last 0%" said of a small share."""
    path = _file(tmp_path, NOVEL * 3)
    message = r"use more text or a smaller seq_len or data\.val_fraction \(0\.999\)"
    with pytest.raises(DataError, match=message):
        load_training_data(_config(tmp_path, path, val_fraction=0.999), char)
    (told,) = load_training_data(_config(tmp_path, path, val_fraction=0.004), char).report
    assert told.endswith(" tokens, the last 0.4% of it are for validation")


def test_a_text_too_short_for_training_is_named(char: Tokenizer, tmp_path: Path) -> None:
    path = _file(tmp_path, "话说山中有一猴。")
    with pytest.raises(DataError, match=re.escape(f"{path}: 7 tokens of training text are too fe")):
        load_training_data(_config(tmp_path, path, val_fraction=0.2), char)


def test_questions_given_as_text_are_told_the_format(char: Tokenizer, tmp_path: Path) -> None:
    path = _file(tmp_path, '{"prompt": "什么是密度?", "completion": "密度"}\n', "q.jsonl")
    with pytest.raises(DataError, match=r"line 1: no 'text' .* needs data.format=instruct"):
        load_training_data(_config(tmp_path, path), char)
