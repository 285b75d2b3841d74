"""What the tab 看内部 shows, without a page: labels, bars, heat map, table."""

from __future__ import annotations

import math
import re

import pytest
import torch

from gpt_teacher import SHIPPED, from_pretrained
from gpt_teacher.config import SamplingConfig, TokenizerConfig
from gpt_teacher.errors import ConfigError, PromptError
from gpt_teacher.prompt import ASSISTANT, USER, encode_prompt
from gpt_teacher.tokenizer import BOS_ID, EOS_ID, UNK_ID
from gpt_teacher.tokenizer_training import train_tokenizer
from gpt_teacher.views.bars import bars_value
from gpt_teacher.views.chain_view import (
    Game,
    automatic,
    chain_settings,
    chain_values,
    chosen_tokens,
)
from gpt_teacher.views.heat_map import heat_map_value
from gpt_teacher.views.inside import MAX_CHARACTERS, question_ids
from gpt_teacher.views.quick_gradio import gr
from gpt_teacher.views.size_view import FAMOUS_SIZES, LARGEST, readable_bytes, size_table
from gpt_teacher.views.text import CHINESE, ENGLISH, TEXTS, Text
from gpt_teacher.views.token_labels import TokenCounts, count_tokens, readable, shown_text
from gpt_teacher.views.tokens_view import (
    COLOURS,
    build_tokens_view,
    coloured_tokens,
    colours,
    counted,
    tokenized,
)
from gpt_teacher.word_chain import Candidate, Chain

TEACHER = from_pretrained(SHIPPED / "last")
TOKENIZER = TEACHER.tokenizer
WATER = "解释蒸馏水与纯水区别?"
ANY_TEXT = ["", "魑魅，hello world 🙂", "ＡＢＣ　，", "\r\n\t", WATER, "<bos><eos>", "a\x00\u202e"]


def prompt(question: str) -> list[int]:
    return encode_prompt(TOKENIZER, question)


# ---------------------------------------------------------------- tokens


@pytest.mark.parametrize(
    ("data", "shown"),
    [
        (b"", ""),
        ("蒸 a".encode(), "蒸 a"),
        (b"\xe8", "⟨E8⟩"),
        (b"a\xe8\x92b", "a⟨E8 92⟩b"),
        (b"\xb8\xe8\x92\xb8\xff", "⟨B8⟩蒸⟨FF⟩"),
    ],
)
def test_bytes_are_read_as_far_as_they_are_text(data: bytes, shown: str) -> None:
    assert readable(data) == shown


def test_the_prompt_is_shown_as_the_model_sees_it() -> None:
    assert shown_text(TOKENIZER, prompt("什么是 注意力？")) == "<bos>用户:什么是注意力\n助手:"
    assert shown_text(TOKENIZER, [53, EOS_ID, 168]) == "R<eos>⟨E8⟩"


@pytest.mark.parametrize("text", ANY_TEXT, ids=repr)
def test_any_text_is_shown_whole_and_its_pieces_never_as_a_replacement(text: str) -> None:
    ids = TOKENIZER.encode(text)
    assert shown_text(TOKENIZER, ids) == text
    for n in range(len(ids)):
        assert "\ufffd" not in shown_text(TOKENIZER, ids[:n])
    labels = [label for label, _ in coloured_tokens(TOKENIZER, ids)]
    assert not any("\ufffd" in label or not label.strip() for label in labels)


def test_tokens_bytes_and_characters_are_counted_by_hand() -> None:
    # 用户: 7 bytes, the question 30, ⏎助手: 8; fragments: 3 of 蒸 and 馏, 2 of 释, 纯 and 区
    assert count_tokens(TOKENIZER, prompt(WATER)) == TokenCounts(
        characters=17, bytes=45, tokens=23, fragments=12, unknown=0
    )
    assert count_tokens(TOKENIZER, []) == (0, 0, 0, 0, 0)
    assert count_tokens(TOKENIZER, [BOS_ID, UNK_ID, 53, EOS_ID]) == (2, 1, 4, 0, 1)


def test_characters_that_became_unk_are_counted_and_told() -> None:
    """Found here: of 11 characters the page counted 7, and said that rare ones become bytes."""
    known = train_tokenizer([USER + ASSISTANT], TokenizerConfig(type="char"))
    ids = encode_prompt(known, "魑魅🙂魑")
    assert count_tokens(known, ids) == TokenCounts(
        characters=11, bytes=15, tokens=12, fragments=0, unknown=4
    )
    assert "11 个字符" in counted(known, ids, CHINESE)
    assert counted(known, ids, CHINESE).endswith(CHINESE["tokens_unknown"].format(unknown=4))
    assert "<unk>" not in counted(TOKENIZER, prompt(WATER), CHINESE)
    for tokenizer, intro in ((known, "tokens_intro_char"), (TOKENIZER, "tokens_intro")):
        with gr.Blocks() as page:
            build_tokens_view(tokenizer, ids[:1], CHINESE)
        shown = [b.value for b in page.blocks.values() if isinstance(b, gr.Markdown)]
        assert shown == [CHINESE[intro]]


@pytest.mark.parametrize("text", ANY_TEXT, ids=repr)
def test_ids_tokens_and_counts_of_a_prompt_belong_together(text: str) -> None:
    ids = prompt(text)
    found = tokenized(TOKENIZER, ids)
    assert found["ids"] == ids
    assert found["tokens"] == [TOKENIZER.label(i) for i in ids]
    assert found["counts"]["tokens"] == len(ids)
    whole = found["prompt"].removeprefix("<bos>")
    assert found["counts"]["characters"] == len(whole)
    assert found["counts"]["bytes"] == len(whole.encode())


def test_the_same_token_has_the_same_colour_and_another_one_the_next() -> None:
    assert colours([5, 9, 5, 7]) == {"5": COLOURS[0], "9": COLOURS[1], "7": COLOURS[2]}
    assert len(set(COLOURS)) == len(COLOURS)


# ---------------------------------------------------------------- questions and settings


@pytest.mark.parametrize("question", [None, 7, [], {}, "", " \n　"])
def test_no_question_gets_a_sentence(question: object) -> None:
    with pytest.raises(PromptError, match=CHINESE["empty_question"]):
        question_ids(TEACHER, CHINESE, question)


def test_a_question_that_is_too_long_gets_a_sentence() -> None:
    sentence = re.escape(CHINESE["too_long"].format(limit=127))
    fits = "1" * 121  # and 6 tokens of frame
    assert len(question_ids(TEACHER, CHINESE, fits)) == 127
    for question in (fits + "1", "什么" * (MAX_CHARACTERS // 2 + 1), "长" * 10**6):
        with pytest.raises(PromptError, match=f"^{sentence}$"):
            question_ids(TEACHER, CHINESE, question)


def test_half_a_character_gets_a_sentence() -> None:
    with pytest.raises(PromptError, match=CHINESE["inside_half_character"]):
        question_ids(TEACHER, CHINESE, "好\ud83d")


@pytest.mark.parametrize(
    "bad",
    [
        (math.nan, 0, 1),
        (-1, 0, 1),
        (101, 0, 1),
        (None, 0, 1),
        ("x", 0, 1),
        (1, -1, 1),
        (1, math.inf, 1),
        (1, 0, 0),
        (1, 0, 1.1),
        (1, 0, math.nan),
        (1, 0, 1, 0),
        (1, 0, 1, 5, -1),
        (1, 0, 1, 5, 2**31),
        (1, 0, 1, 5, None),
    ],
    ids=str,
)
def test_impossible_settings_get_a_sentence(bad: tuple[float, ...]) -> None:
    with pytest.raises(ConfigError) as error:
        chain_settings(CHINESE, *bad)
    assert str(error.value) == CHINESE["chain_bad_settings"]
    chain = Chain(prompt("光"), [53])
    if len(bad) == 3:
        drawn = chain_values(TEACHER, CHINESE, chain, *bad)
        assert (drawn.written, drawn.status) == ("R", CHINESE["chain_bad_settings"])
        assert drawn.bars == {"rows": []}
    game = Game(chain)
    (given,) = automatic(TEACHER, CHINESE, game, *bad[:3], *(*bad[3:], 1, 1)[:2])
    assert given[1] == CHINESE["chain_bad_settings"]
    assert game.chain is chain


def test_ids_from_outside_are_taken_if_they_could_be_chosen() -> None:
    ids = prompt("光")
    assert chosen_tokens(TEACHER, CHINESE, ids, [168, 244, EOS_ID]) == [168, 244, EOS_ID]
    assert chosen_tokens(TEACHER, CHINESE, ids, []) == []
    for bad in ([0], [824], [-1], ["5"], [5.0], [True], [None], {"a": 1}, [EOS_ID, 5], [5] * 128):
        with pytest.raises(PromptError, match=CHINESE["chain_bad_ids"]):
            chosen_tokens(TEACHER, CHINESE, ids, bad)


# ---------------------------------------------------------------- chain


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_the_bars_name_the_end_and_tell_what_is_never_chosen(text: dict[str, str]) -> None:
    found = [Candidate(168, 0.75, 1.0), Candidate(EOS_ID, 0.25, 0.0)]
    first, end = bars_value(TOKENIZER, found, text)["rows"]
    assert (first["label"], first["chance_text"], first["cut"]) == ("⟨E8⟩", "100.0%", False)
    assert (end["label"], end["chance_text"]) == (text["bars_end"], text["bars_never"])
    assert (end["id"], end["cut"], end["probability"]) == (EOS_ID, True, 0.25)
    assert "25.0%" in end["probability_text"]


def test_the_chain_tells_how_long_it_is_and_that_it_has_ended() -> None:
    ids = prompt("光")
    drawn = chain_values(TEACHER, CHINESE, Chain(ids, [168, 244]), 1, 0, 1)
    assert drawn.written == "⟨E8 92⟩"
    assert drawn.status == CHINESE["chain_length"].format(chosen=2, total=len(ids) + 2)
    assert len(drawn.bars["rows"]) == 8
    ended = chain_values(TEACHER, CHINESE, Chain(ids, [53, EOS_ID]), 1, 0, 1)
    assert ended.written == "R" + CHINESE["chain_end"]
    assert ended.status.endswith(CHINESE["chain_ended"])
    full = chain_values(TEACHER, CHINESE, Chain(ids, [53] * (128 - len(ids))), 1, 0, 1)
    assert full.status.endswith(CHINESE["chain_full"])
    assert ended.bars == full.bars == {"rows": []}


def test_automatic_steps_are_shown_one_by_one_and_end_with_bars() -> None:
    game = Game(Chain(prompt(WATER), []))
    shown = list(automatic(TEACHER, CHINESE, game, 0, 0, 1, 6, 42))
    answer = TEACHER.answer(WATER, SamplingConfig()).text
    assert len(shown) == 7
    for n, (written, status, *_) in enumerate(shown[:6], start=1):
        assert written == shown_text(TOKENIZER, game.chain.chosen[:n])
        assert status.startswith(f"接了 {n} 个")
    assert len(shown[-1][2]["rows"]) == 8
    to_the_end = list(automatic(TEACHER, CHINESE, game, 0, 0, 1, 128, 42))[-1]
    assert to_the_end[0] == answer + CHINESE["chain_end"]


@pytest.mark.parametrize("at", [1, 5, 6, 7])
def test_automatic_steps_stop_when_the_chain_is_changed_meanwhile(at: int) -> None:
    """A new question got the old one's answer; and what is shown last is what is true."""
    game, other = Game(Chain(prompt(WATER), [])), Chain(prompt("光"), [53])
    steps = automatic(TEACHER, CHINESE, game, 0, 0, 1, 6, 42)
    for _ in range(at):
        next(steps)
    game.change(other, (2.0, 3, 1.0))
    assert list(steps) == [chain_values(TEACHER, CHINESE, other, 2.0, 3, 1.0)]
    assert game.chain == other


def test_a_slider_heard_after_the_click_that_used_it_stops_nothing() -> None:
    """自动接下去, clicked right after a slider was let go, did nothing."""
    game = Game(Chain(prompt(WATER), []))
    steps = automatic(TEACHER, CHINESE, game, 0, 0, 1, 6, 42)
    next(steps)
    game.reshape((0, 0, 1))
    assert len(list(steps)) == 6
    steps = automatic(TEACHER, CHINESE, game, 0, 0, 1, 6, 42)
    next(steps)
    game.reshape((0.5, 0, 1))
    assert len(list(steps)) == 1
    assert game.filters == (0.5, 0, 1)


# ---------------------------------------------------------------- heat map


def test_the_map_names_what_each_row_looks_at_most() -> None:
    weights = torch.tensor([[1, 0, 0], [0.25, 0.75, 0], [0.1, 0.6, 0.3]])
    drawn = heat_map_value(weights, ["<bos>", "水", "⟨E8⟩"], ENGLISH)
    assert drawn["labels"] == ["<bos>", "水", "⟨E8⟩"]
    assert drawn["weights"] == [[1], [0.25, 0.75], [0.1, 0.6, 0.3]], "the causal half alone"
    assert drawn["details"] == [
        "“<bos>” looks most at: <bos> 100%.",
        "“水” looks most at: 水 75%, <bos> 25%.",
        "“⟨E8⟩” looks most at: 水 60%, ⟨E8⟩ 30%, <bos> 10%.",
    ]
    assert drawn["caption"] == ""


def test_of_a_long_prompt_the_last_32_tokens_are_drawn_and_a_sentence_says_so() -> None:
    weights = torch.rand(40, 40, generator=torch.Generator().manual_seed(1)).tril()
    labels = [str(i) for i in range(40)]
    drawn = heat_map_value(weights, labels, CHINESE)
    assert drawn["labels"] == labels[8:]
    assert [len(row) for row in drawn["weights"]] == [*range(1, 33)]
    assert drawn["weights"][5] == pytest.approx(weights[13, 8:14].tolist(), abs=5e-4)
    assert drawn["caption"] == CHINESE["map_left_out"].format(shown=32, left_out=8)
    assert heat_map_value(weights[8:, 8:], labels[8:], CHINESE)["caption"] == ""


# ---------------------------------------------------------------- sizes


def test_the_table_of_the_default_model_is_as_published() -> None:
    table = size_table(CHINESE, 4, 256, 824, 128, False)
    for number in ("210,944", "6.26%", "3,156,992", "93.73%", "**3,368,192**", "13.5 MB"):
        assert number in table
    assert "4 × (12 × 256² + 11 × 256)" in table
    assert "53.9 MB" in table
    assert "T·d" not in table
    assert "128 × 256" in size_table(CHINESE, 4, 256, 824, 128, True)
    assert size_table(CHINESE, 4.0, 256.0, 824.0, 128.0, False) == table, "the page sends floats"


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_the_formula_of_the_page_names_every_term_of_its_table(text: Text) -> None:
    """Found here: positions that are learned stood in the table alone."""
    table = size_table(text, 4, 256, 824, 128, True)
    terms = [term for term in re.findall(r"\*\*(.+?)\*\*", table) if "d" in term]
    assert terms == ["V·d", "T·d", "L·(12d²+11d)", "d"]
    formula = text["size_intro"].split("4d²")[0]
    assert all(re.search(rf"{re.escape(term)}\b", formula) for term in terms[:2])
    assert terms[2] in formula


def test_the_famous_models_come_out_as_their_papers_say() -> None:
    assert "**124,4" in size_table(CHINESE, *FAMOUS_SIZES["size_gpt2"])
    assert "**174,6" in size_table(CHINESE, *FAMOUS_SIZES["size_gpt3"])


@pytest.mark.parametrize("place", range(4))
@pytest.mark.parametrize("bad", [None, math.nan, math.inf, "x", 0, -4, 5.5, 10**12, [3]], ids=str)
def test_an_impossible_size_gets_a_sentence(place: int, bad: object) -> None:
    sizes: list[object] = [4, 256, 824, 128]
    sizes[place] = bad
    assert size_table(ENGLISH, *sizes, False).startswith("Whole numbers, please:")


def test_the_largest_sizes_have_a_table_and_larger_ones_a_sentence() -> None:
    """Found here: a longest sequence that config.yaml refuses ended in an error of the page."""
    largest = list(LARGEST.values())
    assert "**121,007,653,700,000**" in size_table(ENGLISH, *largest, True)
    for place in range(4):
        larger = [limit + (number == place) for number, limit in enumerate(largest)]
        assert size_table(ENGLISH, *larger, True).startswith("Whole numbers, please:")


@pytest.mark.parametrize("width", [1, 45, 255])
def test_an_odd_width_is_for_learned_positions_only(width: int) -> None:
    """Found here: of a served model with n_embd = 45 the page said that there is none."""
    assert size_table(ENGLISH, 4, width, 824, 128, False).startswith("Whole numbers, please:")
    blocks = 4 * (12 * width**2 + 11 * width)
    total = 824 * width + 128 * width + blocks + width
    assert f"**{total:,}**" in size_table(ENGLISH, 4, width, 824, 128, True)


@pytest.mark.parametrize(
    ("n", "shown"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1_000, "1.0 kB"),
        (999_949, "999.9 kB"),
        (999_951, "1.0 MB"),
        (13_472_768, "13.5 MB"),
        (698_407_550_976, "698.4 GB"),
        (10**17, "100.0 PB"),
    ],
)
def test_bytes_are_written_to_be_read(n: int, shown: str) -> None:
    assert readable_bytes(n) == shown
