"""Tokenizers: no byte is lost, the library agrees, and every message says what to do."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sentencepiece
import tokenizers

from gpt_teacher.config import TokenizerConfig
from gpt_teacher.errors import GPTTeacherError, TokenizerError
from gpt_teacher.tokenizer import (
    BYTE_OF,
    EOS_ID,
    PAD_ID,
    SPECIAL_TOKENS,
    UNK_ID,
    HFTokenizer,
    SentencePieceTokenizer,
    Tokenizer,
    load_tokenizer,
    stream_text,
)
from gpt_teacher.tokenizer_training import train_tokenizer

TEXTS = ["", "魑魅，hello world 🙂", "ＡＢＣ　，", "\r\n\t"]
HARD = [
    *TEXTS,
    "\0",
    "a\0b\0\0",
    "\u2581",  # how sentencepiece writes a space
    "a\u2581 \u2581b",
    "<eos>",
    "<bos>x<pad><unk></s><0xE4><0x0A>",
    " ",
    "  two  spaces  ",
    "\n\n\n",
    " \n ",
    "\u2028\u2029\x85\x0b\x0c\x1c",  # other line ends
    "\ufeff",
    "\ufffd",  # the replacement character, as text
    "e\u0301 é",  # two spellings of one letter stay two
    "👨\u200d👩\u200d👧\ufe0f",
    "𠀀𪚥",  # Chinese of four bytes
    "\u200b\u00ad\u202e",
    "\U0010ffff\ue000\uffff",
    "١٢٣ ไทย हिन्दी",
    "it's 's 're",  # the pre-tokenizer cuts here
    "1234567890" * 20,
]
SAMPLE = [
    "用户:什么是密度?\n助手:",
    "密度是质量与体积的比，单位是千克每立方米。",
    "用户:什么是惯性?\n助手:",
    "惯性是物体保持静止或匀速运动的性质。hello world, hello RoPE",
    "密度大的物体质量大，惯性也大。",
    "温度高的物体，分子运动快；温度低的物体，分子运动慢。\r\n\t",
]
Kind = str  # as in config.yaml, tokenizer.type


def _train(kind: Kind, texts: list[str] | None = None, vocab_size: int = 320) -> Tokenizer:
    config = TokenizerConfig(type=kind, vocab_size=vocab_size)  # type: ignore[arg-type]
    return train_tokenizer(SAMPLE if texts is None else texts, config)


@pytest.fixture(scope="module")
def trained() -> dict[Kind, Tokenizer]:
    return {kind: _train(kind) for kind in ("hf_tokenizers", "sentencepiece", "char")}


@pytest.fixture(params=["hf_tokenizers", "sentencepiece"])
def lossless(request: pytest.FixtureRequest, trained: dict[Kind, Tokenizer]) -> Tokenizer:
    """Each tokenizer that keeps any text."""
    return trained[request.param]


@pytest.fixture(params=["hf_tokenizers", "sentencepiece", "char"])
def tokenizer(request: pytest.FixtureRequest, trained: dict[Kind, Tokenizer]) -> Tokenizer:
    return trained[request.param]


def _random_text(source: random.Random) -> str:
    """Code points of all planes; half of them from the first one, where the trouble is."""
    return "".join(
        chr(point)
        for point in (
            source.choice(
                [source.randrange(0x80), source.randrange(0x3100), source.randrange(0x110000)]
            )
            for _ in range(source.randrange(1, 40))
        )
        if not 0xD800 <= point <= 0xDFFF  # halves of characters are no text
    )


@pytest.mark.parametrize("text", HARD, ids=ascii)
def test_every_text_survives(lossless: Tokenizer, text: str) -> None:
    ids = lossless.encode(text)
    assert lossless.decode(ids) == text
    assert not {*ids} & {*range(len(SPECIAL_TOKENS))}  # special tokens come from prompt.py alone
    assert lossless.unknown_characters(text) == []


def test_random_code_points_survive(lossless: Tokenizer) -> None:
    source = random.Random(0)
    for _ in range(400):
        text = _random_text(source)
        assert lossless.decode(lossless.encode(text)) == text, ascii(text)


def test_every_single_code_point_of_the_first_planes_survives(lossless: Tokenizer) -> None:
    for start in range(0, 0x20000, 0x400):
        text = "".join(chr(p) for p in range(start, start + 0x400) if not 0xD800 <= p <= 0xDFFF)
        assert lossless.decode(lossless.encode(text)) == text, hex(start)


def _largest_sentencepiece(texts: list[str]) -> Tokenizer:
    """The model with the most tokens that so little text can give."""
    for vocab_size in range(290, 259, -1):
        with contextlib.suppress(TokenizerError):
            return _train("sentencepiece", texts, vocab_size)
    raise AssertionError("no size fits")


@pytest.mark.parametrize("texts", [["\u2581\u2581 a"], ["a"], [" "], ["\t\t"], ["密"]], ids=ascii)
def test_a_sentencepiece_model_of_a_strange_text_still_keeps_every_text(
    texts: list[str],
) -> None:
    """Without a token for the space, the library would spell it as U+2581."""
    tokenizer = _largest_sentencepiece(texts * 9)
    for text in HARD:
        assert tokenizer.decode(tokenizer.encode(text)) == text


def test_special_tokens_in_the_training_text_are_learnt_as_text() -> None:
    texts = ["<eos>"] * 50 + ["<unk><bos>"] * 50 + ["<0x41>"] * 50
    for tokenizer in (_train("hf_tokenizers", texts, 264), _largest_sentencepiece(texts)):
        for text in ("<eos>", "<unk>", "<0x41>", "A"):
            ids = tokenizer.encode(text)
            assert min(ids) >= len(SPECIAL_TOKENS)
            assert tokenizer.decode(ids) == text


@pytest.mark.parametrize("text", HARD, ids=ascii)
def test_decoding_is_the_tokenizers_librarys_own(trained: dict[Kind, Tokenizer], text: str) -> None:
    for kind in ("hf_tokenizers", "char"):
        ours = trained[kind]
        library = tokenizers.Tokenizer.from_buffer(ours.file_bytes)
        library.encode_special_tokens = True
        ids = ours.encode(text)
        assert ids == library.encode(text, add_special_tokens=False).ids
        if UNK_ID not in ids:
            assert ours.decode(ids) == library.decode(ids, skip_special_tokens=True) == text


def test_decoding_any_ids_is_the_tokenizers_librarys_own(trained: dict[Kind, Tokenizer]) -> None:
    """Also ids that are no whole characters, as a model may choose them."""
    ours = trained["hf_tokenizers"]
    library = tokenizers.Tokenizer.from_buffer(ours.file_bytes)
    source = random.Random(1)
    kept = [i for i in range(ours.vocab_size) if i != UNK_ID]  # shown by us, hidden by the library
    for _ in range(500):
        ids = source.choices(kept, k=12)
        assert ours.decode(ids) == library.decode(ids, skip_special_tokens=True)


def test_decoding_is_the_sentencepiece_librarys_own(trained: dict[Kind, Tokenizer]) -> None:
    ours = trained["sentencepiece"]
    library = sentencepiece.SentencePieceProcessor(model_proto=ours.file_bytes)
    for text in [*SAMPLE, *TEXTS]:
        assert ours.encode(text) == library.encode(text)
        assert library.decode(ours.encode(text)) == ours.decode(ours.encode(text)) == text


def test_no_text_has_no_ids_and_no_ids_have_no_text(tokenizer: Tokenizer) -> None:
    assert tokenizer.encode("") == []
    assert tokenizer.decode([]) == ""


def test_special_tokens_stand_for_nothing_but_unknown_for_a_replacement(
    tokenizer: Tokenizer,
) -> None:
    a = tokenizer.encode("密")
    assert tokenizer.decode([0, *a, EOS_ID, PAD_ID, *a]) == "密密"
    assert tokenizer.decode([*a, UNK_ID, *a]) == "密\ufffd密"


@pytest.mark.parametrize("text", HARD, ids=ascii)
def test_a_stream_never_shows_half_a_character(lossless: Tokenizer, text: str) -> None:
    ids = lossless.encode(text)
    shown = ""
    for n, piece in enumerate(stream_text(lossless, ids), start=1):
        shown += piece
        assert text.startswith(shown)
        # Nothing is held back but the bytes of one unfinished character.
        so_far = b"".join(lossless.token_bytes(i) for i in ids[:n])
        assert shown == so_far.decode(errors="ignore")
    assert shown == text


def test_a_stream_of_any_ids_joins_to_what_decode_gives(tokenizer: Tokenizer) -> None:
    source = random.Random(2)
    for _ in range(300):
        ids = source.choices(range(tokenizer.vocab_size), k=15)
        assert "".join(stream_text(tokenizer, ids)) == tokenizer.decode(ids)


def test_a_stream_that_ends_inside_a_character_says_so_at_the_end(
    trained: dict[Kind, Tokenizer],
) -> None:
    tokenizer = trained["hf_tokenizers"]
    first, second, third = tokenizer.encode("魑")  # not in the sample, so a byte each
    assert [*stream_text(tokenizer, [first, second, third])] == ["", "", "魑", ""]
    assert [*stream_text(tokenizer, [first, second])] == ["", "", "\ufffd"]
    a = tokenizer.encode("a")
    assert [*stream_text(tokenizer, [first, *a])] == ["", "\ufffda", ""]


def test_byte_level_pairs_are_merged_in_the_order_of_their_counts() -> None:
    """Worked out by hand: a,b stands 3 + 2 times, then ab,c twice.

    So 256 bytes + 4 special tokens + `ab` + `abc`, and `bc` alone is never merged.
    """
    tokenizer = _train("hf_tokenizers", ["ab"] * 3 + ["abc"] * 2, 262)
    a, b, c = (tokenizer.encode(letter)[0] for letter in "abc")
    assert tokenizer.vocab_size == 262
    assert [tokenizer.token_bytes(i) for i in (260, 261)] == [b"ab", b"abc"]
    assert tokenizer.encode("abcab") == [261, 260]
    assert tokenizer.encode("aabb") == [a, 260, b]
    assert tokenizer.encode("bcab") == [b, c, 260]
    merges = json.loads(tokenizer.file_bytes)["model"]["merges"]
    assert [list(pair) for pair in merges] == [["a", "b"], ["ab", "c"]]


def test_merges_join_bytes_of_one_chinese_character_first() -> None:
    """`密` is E5 AF 86: (E5,AF) and (AF,86) stand 4 times each, then (E5 AF,86) does.

    `度` is E5 BA A6 and stands once, so nothing of it is among the two merges.
    """
    tokenizer = _train("hf_tokenizers", ["密", "密", "密", "密度"], 262)
    assert [tokenizer.token_bytes(i) for i in tokenizer.encode("密")] == ["密".encode()]
    assert [tokenizer.token_bytes(i) for i in tokenizer.encode("度")] == [b"\xe5", b"\xba", b"\xa6"]


def test_characters_are_ranked_by_their_counts_then_by_code_point() -> None:
    tokenizer = _train("char", ["bba", "ac", "\n"])
    assert tokenizer.encode("abc\n") == [4, 5, 7, 6]  # a: 2, b: 2, \n: 1, c: 1
    assert tokenizer.vocab_size == 8


@pytest.mark.parametrize("text", HARD, ids=ascii)
def test_a_character_tokenizer_keeps_the_characters_of_its_text(text: str) -> None:
    tokenizer = _train("char", [text])
    assert len(tokenizer.encode(text)) == len(text)
    assert tokenizer.decode(tokenizer.encode(text)) == text
    assert tokenizer.vocab_size == len(SPECIAL_TOKENS) + len({*text})


def test_characters_outside_become_unknown_and_are_reported(
    trained: dict[Kind, Tokenizer],
) -> None:
    tokenizer = trained["char"]
    ids = tokenizer.encode("密魑度🙂魑")
    (m, d) = tokenizer.encode("密度")
    assert ids == [m, UNK_ID, d, UNK_ID, UNK_ID]
    assert tokenizer.decode(ids) == "密\ufffd度\ufffd\ufffd"
    assert tokenizer.unknown_characters("密魑度🙂魑") == ["魑", "🙂"]
    assert tokenizer.unknown_characters("密度\r\n\t") == []
    assert tokenizer.unknown_characters("") == []
    assert tokenizer.unknown_characters("ＡＢＣ　，") == ["Ａ", "Ｂ", "Ｃ", "\u3000"]


def test_a_character_tokenizer_reads_special_tokens_as_letters() -> None:
    tokenizer = _train("char", ["<eos>"])
    ids = tokenizer.encode("<eos>")
    assert len(ids) == 5
    assert EOS_ID not in ids
    assert tokenizer.decode(ids) == "<eos>"


def test_all_256_bytes_have_a_token(lossless: Tokenizer) -> None:
    assert {bytes([b]) for b in range(256)} <= {
        lossless.token_bytes(i) for i in range(4, lossless.vocab_size)
    }


def test_the_byte_alphabet_is_that_of_the_library() -> None:
    assert {*BYTE_OF} == {*tokenizers.pre_tokenizers.ByteLevel.alphabet()}
    assert sorted(BYTE_OF.values()) == [*range(256)]
    assert (BYTE_OF["A"], BYTE_OF["Ġ"], BYTE_OF["Ċ"], BYTE_OF["ÿ"]) == (65, 32, 10, 255)


def test_the_vocabulary_has_the_size_asked_for() -> None:
    for kind, size in (("hf_tokenizers", 290), ("sentencepiece", 310)):
        assert _train(kind, vocab_size=size).vocab_size == size


def test_the_special_tokens_come_first(tokenizer: Tokenizer) -> None:
    assert [tokenizer.label(i) for i in range(4)] == ["<bos>", "<eos>", "<pad>", "<unk>"]
    assert [tokenizer.token_bytes(i) for i in range(3)] == [b"", b"", b""]


def test_a_label_shows_text_bytes_and_white_space(trained: dict[Kind, Tokenizer]) -> None:
    tokenizer = trained["hf_tokenizers"]

    def labels(text: str) -> list[str]:
        return [tokenizer.label(i) for i in tokenizer.encode(text)]

    assert labels("a") == ["a"]
    assert labels("魑") == ["⟨E9⟩", "⟨AD⟩", "⟨91⟩"]
    assert labels("\t") == [r"'\t'"]
    assert labels("密度") == ["密度"]
    halves = [i for i in range(260, 320) if tokenizer.label(i).startswith("⟨")]
    assert halves
    for i in halves:  # a token of several bytes that are no whole character
        assert tokenizer.label(i) == f"⟨{tokenizer.token_bytes(i).hex(' ').upper()}⟩"


@pytest.mark.parametrize("kind", ["hf_tokenizers", "sentencepiece", "char"])
def test_the_same_texts_give_the_same_tokenizer_byte_for_byte(kind: Kind) -> None:
    """Many pairs stand equally often: no order of a hash table may show."""
    source = random.Random(3)
    texts = ["".join(source.choices("甲乙丙丁戊己庚辛壬癸abcde ", k=30)) for _ in range(20)]
    files = {_train(kind, texts, 330).file_bytes for _ in range(5)}
    assert len(files) == 1


@pytest.mark.parametrize("kind", ["hf_tokenizers", "sentencepiece", "char"])
def test_a_saved_tokenizer_is_the_same_tokenizer(
    kind: Kind, trained: dict[Kind, Tokenizer], tmp_path: Path
) -> None:
    path = tmp_path / "new" / "folder" / trained[kind].file_name
    trained[kind].save(path)
    config = TokenizerConfig(type=kind)  # type: ignore[arg-type]
    loaded = load_tokenizer(path, config)
    assert loaded.type == kind
    assert loaded.file_bytes == trained[kind].file_bytes
    for text in HARD:
        assert loaded.encode(text) == trained[kind].encode(text)
    assert loaded.fingerprint == trained[kind].fingerprint
    assert loaded.fingerprint == hashlib.sha256(path.read_bytes()).hexdigest()


def test_other_texts_give_another_fingerprint(trained: dict[Kind, Tokenizer]) -> None:
    for kind, tokenizer in trained.items():
        other = _train(kind, [*SAMPLE, "磁铁磁铁磁铁磁铁"])
        assert other.fingerprint != tokenizer.fingerprint


def test_a_long_line_is_learnt_from_like_any_other() -> None:
    """The library leaves out long lines in silence unless told otherwise."""
    line = "密度" * 5000 + "魑魅" * 40  # more bytes than the library's usual limit of 4192
    tokenizer = _train("sentencepiece", [line], 268)
    assert tokenizer.token_bytes(tokenizer.encode("魑")[0]).decode().startswith("魑")


def test_a_novel_in_one_line_is_learnt_from_to_its_end() -> None:
    """Found here: a line above 16 MiB was left out in silence."""
    line = "密度 " * 2_500_000 + "魑魅 " * 2_500_000
    tokenizer = _train("sentencepiece", [line], 271)
    assert len(line.encode()) > 1 << 24
    assert len(tokenizer.encode("魑魅")) == 1


# Messages


def _edited(tokenizer: Tokenizer, edit: Callable[[dict[str, Any]], None]) -> bytes:
    """The tokenizer.json with one thing in it changed."""
    document = json.loads(tokenizer.file_bytes)
    edit(document)
    return json.dumps(document, ensure_ascii=False).encode()


def _message(path: Path, file_bytes: bytes, config: TokenizerConfig | None = None) -> str:
    path.write_bytes(file_bytes)
    with pytest.raises(TokenizerError) as caught:
        load_tokenizer(path, config)
    assert str(caught.value).startswith(f"{path}: ")
    return str(caught.value).removeprefix(f"{path}: ")


def test_a_missing_tokenizer_is_named_with_the_command_that_makes_one(tmp_path: Path) -> None:
    path = tmp_path / "none.json"
    message = f"no tokenizer at {path} (No such file or directory); make one with: "
    with pytest.raises(TokenizerError, match=re.escape(message)) as caught:
        load_tokenizer(path)
    assert str(caught.value).endswith("python -m scripts.build_tokenizer")
    with pytest.raises(TokenizerError, match=re.escape(f"no tokenizer at {tmp_path} (Is a dir")):
        load_tokenizer(tmp_path)


def test_a_broken_file_is_named_with_the_command_that_makes_one(
    tmp_path: Path, trained: dict[Kind, Tokenizer]
) -> None:
    path = tmp_path / "tokenizer"
    half = trained["hf_tokenizers"].file_bytes[:2000]
    for file_bytes in (b"{", b"{}", half, b'\n {"version": "1.0"}'):
        message = _message(path, file_bytes)
        assert message.startswith("this is not a tokenizer.json (")
        assert message.endswith("make one with: python -m scripts.build_tokenizer")
    half = trained["sentencepiece"].file_bytes[:2001]
    for file_bytes in (b"hello", b"\0\1", half):
        message = _message(path, file_bytes)
        assert message.startswith("this is not a sentencepiece model (")
        assert message.endswith(
            "python -m scripts.build_tokenizer --set tokenizer.type=sentencepiece"
        )


def test_an_empty_file_is_called_empty_and_the_library_stays_quiet(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    message = _message(tmp_path / "tokenizer.json", b"")
    assert "empty" in message
    assert "python -m scripts.build_tokenizer" in message
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("held", "wanted"), [("char", "hf_tokenizers"), ("hf_tokenizers", "sentencepiece")]
)
def test_a_tokenizer_of_another_type_is_an_error(
    held: Kind, wanted: Kind, trained: dict[Kind, Tokenizer], tmp_path: Path
) -> None:
    config = TokenizerConfig(type=wanted)  # type: ignore[arg-type]
    assert _message(tmp_path / "t.json", trained[held].file_bytes, config) == (
        f"holds a tokenizer of type {held}, but tokenizer.type is {wanted}; make one with: "
        f"python -m scripts.build_tokenizer --set tokenizer.type={wanted} "
        f"--set tokenizer.path=ANOTHER_FILE"
    )


def test_a_tokenizer_without_all_bytes_would_lose_text_and_is_an_error(tmp_path: Path) -> None:
    library = tokenizers.Tokenizer(tokenizers.models.BPE())
    library.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    library.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=300, special_tokens=list(SPECIAL_TOKENS), show_progress=False
    )
    library.train_from_iterator(["abc"], trainer)
    assert _message(tmp_path / "tokenizer.json", library.to_str().encode()) == (
        "253 of the 256 bytes have no token, so text would be lost; make a new tokenizer with: "
        "python -m scripts.build_tokenizer"
    )


def test_other_special_tokens_are_an_error(tmp_path: Path, trained: dict[Kind, Tokenizer]) -> None:
    def swap(document: dict[str, Any]) -> None:
        vocabulary = document["model"]["vocab"]
        vocabulary["<bos>"], vocabulary["<eos>"] = 1, 0
        document["added_tokens"][0]["content"] = "<eos>"
        document["added_tokens"][1]["content"] = "<bos>"

    message = _message(tmp_path / "t.json", _edited(trained["hf_tokenizers"], swap))
    assert message == (
        "ids 0 to 3 are ('<eos>', '<bos>', '<pad>', '<unk>'), expected "
        "('<bos>', '<eos>', '<pad>', '<unk>'); make a new tokenizer with: "
        "python -m scripts.build_tokenizer"
    )


def test_a_sentencepiece_model_of_another_layout_is_an_error(tmp_path: Path) -> None:
    for byte_fallback, (bos, eos, pad, unk) in (
        (False, (0, 1, 2, 3)),
        (True, (1, 0, 2, 3)),
        (True, (0, 1, 3, 2)),
    ):
        model = io.BytesIO()
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(SAMPLE),
            model_writer=model,
            model_type="bpe",
            vocab_size=350 if byte_fallback else 90,
            byte_fallback=byte_fallback,
            bos_id=bos,
            eos_id=eos,
            pad_id=pad,
            unk_id=unk,
            bos_piece="<bos>",
            eos_piece="<eos>",
            pad_piece="<pad>",
            unk_piece="<unk>",
            minloglevel=2,
        )
        assert _message(tmp_path / "tokenizer.model", model.getvalue()) == (
            "needs the special tokens ('<bos>', '<eos>', '<pad>', '<unk>') at 0 to 3 and byte "
            "fallback; make a new one with: python -m scripts.build_tokenizer "
            "--set tokenizer.type=sentencepiece"
        )


@pytest.mark.parametrize(
    "part",
    [
        {"normalizer": {"type": "Lowercase"}},
        {"normalizer": {"type": "NFKC"}},
        {"normalizer": {"type": "Strip", "strip_left": True, "strip_right": True}},
        {"pre_tokenizer": {"type": "Whitespace"}},
        {"pre_tokenizer": None},
    ],
    ids=str,
)
def test_a_tokenizer_that_changes_text_is_an_error(
    part: dict[str, Any], tmp_path: Path, trained: dict[Kind, Tokenizer]
) -> None:
    """All 256 bytes have a token, and still the text is not what was asked."""
    file_bytes = _edited(trained["hf_tokenizers"], lambda document: document.update(part))
    message = _message(tmp_path / "tokenizer.json", file_bytes)
    assert "text would be lost" in message
    assert "python -m scripts.build_tokenizer" in message


def test_a_token_that_is_not_written_in_bytes_is_an_error(
    tmp_path: Path, trained: dict[Kind, Tokenizer]
) -> None:
    def add(document: dict[str, Any]) -> None:
        added = document["added_tokens"][0] | {"id": 320, "content": "你好", "special": False}
        document["added_tokens"].append(added)

    message = _message(tmp_path / "tokenizer.json", _edited(trained["hf_tokenizers"], add))
    assert "你好" in message
    assert "python -m scripts.build_tokenizer" in message


def test_too_many_tokens_for_the_text_are_an_error_with_the_key_to_change() -> None:
    message = r"sentencepiece cannot learn 900 tokens from this text \(.*<= \d+.*tokenizer.vocab_s"
    with pytest.raises(TokenizerError, match=message):
        _train("sentencepiece", ["abc"], 900)


@pytest.mark.parametrize("texts", [[], [""], ["\r\n"]], ids=ascii)
def test_sentencepiece_cannot_learn_from_nothing(texts: list[str]) -> None:
    with pytest.raises(TokenizerError, match="sentencepiece cannot learn 300 tokens from this te"):
        _train("sentencepiece", texts, 300)


def test_a_place_where_no_file_can_be_is_a_clear_error(
    tmp_path: Path, trained: dict[Kind, Tokenizer]
) -> None:
    (tmp_path / "file").write_bytes(b"")
    path = tmp_path / "file" / "tokenizer.json"
    with pytest.raises(TokenizerError, match=re.escape(str(path))):
        trained["hf_tokenizers"].save(path)


def test_half_a_character_is_a_clear_error(tokenizer: Tokenizer) -> None:
    """A terminal hands over bytes that are no UTF-8 as lone surrogates."""
    with pytest.raises(GPTTeacherError, match="half a character"):
        tokenizer.encode("什么\udcff")


def test_half_a_character_is_not_looked_up_among_characters() -> None:
    """Found here: `ask` looks for unknown characters first, and ended in a traceback."""
    with pytest.raises(GPTTeacherError, match="half a character"):
        _train("char", ["什么"]).unknown_characters("什么\udcff")


def test_the_classes_are_told_apart_by_the_file_alone(
    tmp_path: Path, trained: dict[Kind, Tokenizer]
) -> None:
    for kind, cls in (("hf_tokenizers", HFTokenizer), ("sentencepiece", SentencePieceTokenizer)):
        path = tmp_path / "any_name"
        path.write_bytes(trained[kind].file_bytes)
        assert type(load_tokenizer(path)) is cls
