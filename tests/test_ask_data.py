"""What the tab 提问 shows: coloured pieces, checked settings, examples, links, memory."""

from __future__ import annotations

import json
import math
import pickle
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import TinyRun

from gpt_teacher import SHIPPED, Origin, Pretrained, from_pretrained
from gpt_teacher.batched_answers import Batcher
from gpt_teacher.config import Config, ModelConfig, SamplingConfig, TokenizerConfig
from gpt_teacher.errors import ConfigError, PromptError
from gpt_teacher.model import GPT
from gpt_teacher.prompt import ASSISTANT, USER
from gpt_teacher.sampler import Answer, Token
from gpt_teacher.text_files import read_rows
from gpt_teacher.tokenizer import EOS_ID, Tokenizer
from gpt_teacher.tokenizer_training import train_tokenizer
from gpt_teacher.views.answering import MAX_REMEMBERED, Answerer, Timed, side_by_side
from gpt_teacher.views.ask import SHOWN_EVERY_SECONDS, pace, shown, stream_answers
from gpt_teacher.views.coloured import Piece, band_names, coloured, pieces
from gpt_teacher.views.examples import MAX_EXAMPLE_CHARACTERS, N_EXAMPLES, example_questions
from gpt_teacher.views.page import build_page
from gpt_teacher.views.quick_gradio import gr
from gpt_teacher.views.report_card import read_report_card
from gpt_teacher.views.settings import LIMITS, sampling_settings
from gpt_teacher.views.share import MAX_CHARACTERS, Shared, make_link_script, read_link
from gpt_teacher.views.text import CHINESE, KNOWN_EXAMPLES, REWORDED_EXAMPLES, UNKNOWN_EXAMPLES
from scripts.page_models import open_twin

ATTENTION = "什么是注意力机制?"
GREEDY = SamplingConfig()


def replies(
    answerer: Answerer, question: str = ATTENTION, settings: SamplingConfig = GREEDY
) -> list[Timed]:
    """All that the page is shown, without a pause."""
    rows = side_by_side([answerer], question, settings, lambda: 0.005)
    return [timed for row in rows for timed in row if timed is not None]


@pytest.fixture(scope="module")
def teacher() -> Pretrained:
    return from_pretrained(SHIPPED / "last")


@pytest.fixture(scope="module")
def tokenizer(teacher: Pretrained) -> Tokenizer:
    return teacher.tokenizer


def tokens(ids: list[int], probabilities: list[float] | None = None) -> list[Token]:
    given = probabilities or [0.9] * len(ids)
    return [Token(0, i, p) for i, p in zip(ids, given, strict=True)]


def byte_tokens(tokenizer: Tokenizer, data: bytes) -> list[int]:
    """One token for each byte: every byte has its own."""
    ids = {tokenizer.token_bytes(i): i for i in range(tokenizer.vocab_size)}
    return [ids[bytes([byte])] for byte in data]


@pytest.mark.parametrize("text", ["", "魑魅，hello world 🙂", "ＡＢＣ　，", "\r\n\t", "密度"])
def test_the_pieces_joined_are_the_text(tokenizer: Tokenizer, text: str) -> None:
    for ids in (tokenizer.encode(text), byte_tokens(tokenizer, text.encode())):
        found = pieces(tokenizer, tokens([*ids, EOS_ID]))
        assert "".join(piece.text for piece in found) == text + "<eos>"


def test_a_character_of_several_tokens_is_one_piece_as_sure_as_its_least_sure_token(
    tokenizer: Tokenizer,
) -> None:
    ids = byte_tokens(tokenizer, "魑a".encode())
    assert pieces(tokenizer, tokens(ids, [0.9, 0.2, 0.8, 0.5])) == [
        Piece("魑", 0.2),
        Piece("a", 0.5),
    ]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"\xe8\x92", ["⟨E8⟩", "⟨92⟩"]),  # cut short
        (b"\xe8\x92a", ["⟨E8⟩", "⟨92⟩", "a"]),
        (b"\x92\xe8\x92\xb8", ["⟨92⟩", "蒸"]),
        (b"\xff\xfe", ["⟨FF⟩", "⟨FE⟩"]),
        (b"\xe8\xe8\x92\xb8", ["⟨E8⟩", "蒸"]),
        (b"\xed\xa0\x80", ["⟨ED⟩", "⟨A0⟩", "⟨80⟩"]),  # half of a surrogate pair
    ],
)
def test_bytes_that_are_no_character_are_shown_as_bytes(
    tokenizer: Tokenizer, data: bytes, expected: list[str]
) -> None:
    found = pieces(tokenizer, tokens(byte_tokens(tokenizer, data)))
    assert [piece.text for piece in found] == expected


def test_a_special_token_ends_a_broken_character(tokenizer: Tokenizer) -> None:
    ids = [*byte_tokens(tokenizer, b"\xe8"), EOS_ID]
    assert [piece.text for piece in pieces(tokenizer, tokens(ids))] == ["⟨E8⟩", "<eos>"]


def test_colours_begin_at_their_borders_and_the_threshold_comes_first() -> None:
    names = band_names(CHINESE, 0.42)
    sure = [1.0, 0.95, 0.949, 0.7, 0.699, 0.42, 0.419, 0.0]
    marked = coloured([Piece("a", p) for p in sure], names, 0.42)
    assert [names.index(name) for _, name in marked] == [0, 0, 1, 1, 2, 2, 3, 3]
    assert len(set(names)) == 4
    assert "42%" in names[3]


def test_without_a_threshold_nothing_is_refused() -> None:
    names = band_names(CHINESE, 0.0)
    assert len(names) == 3
    assert coloured([Piece("a", 0.0)], names, 0.0) == [("a", names[2])]


def test_an_answer_knows_its_tokens(teacher: Pretrained) -> None:
    answer = teacher.answer(ATTENTION)
    assert teacher.tokenizer.decode(t.token_id for t in answer.tokens) == answer.text
    assert answer.tokens[-1].token_id == EOS_ID
    assert answer.n_tokens == len(answer.tokens)
    assert answer.min_probability == min(t.probability for t in answer.tokens)
    copied = pickle.loads(pickle.dumps(answer))
    assert (copied, copied.tokens, copied.finish_reason) == (answer, answer.tokens, "eos")


def test_the_tokens_of_an_answer_stay_as_they_were_while_it_grows(teacher: Pretrained) -> None:
    grown = [timed.answer for timed in replies(Answerer(teacher))]
    lengths = [len(answer.tokens) for answer in grown]
    assert lengths == sorted(lengths)
    assert len(set(lengths)) > 5
    assert all(a.tokens == grown[-1].tokens[: len(a.tokens)] for a in grown)


def test_a_withheld_answer_shows_the_token_that_was_too_unsure(teacher: Pretrained) -> None:
    settings = SamplingConfig(refuse_below=0.9999)
    *_, last = stream_answers([Answerer(teacher)], CHINESE, ATTENTION, settings)
    column = last[0]
    assert column.answer.startswith("不知道")
    assert CHINESE["refused_unsure"].format(threshold=0.9999) in column.status
    assert column.tokens[-1][1] == band_names(CHINESE, 0.9999)[3]


def test_the_reason_for_a_taught_refusal_is_given_when_it_is_whole(teacher: Pretrained) -> None:
    settings = SamplingConfig()
    growing = Timed(Answer("不知道", (Token(0, 5, 0.9),), ""), 0.1)
    whole = Timed(Answer("不知道", (Token(0, 5, 0.9),), "eos"), 0.1)
    refused = CHINESE["refused_taught"]
    assert refused not in shown(teacher, growing, settings, CHINESE, []).status
    assert refused in shown(teacher, whole, settings, CHINESE, []).status


def test_characters_that_the_tokenizer_does_not_know_are_named(teacher: Pretrained) -> None:
    """Found here: on the page they became <unk> without a word."""
    known = train_tokenizer([USER + ASSISTANT, "什么是密度"], TokenizerConfig(type="char"))
    model = GPT(ModelConfig(n_layer=1, n_head=1, n_embd=8, seq_len=64), known.vocab_size)
    asker = [Answerer(Pretrained(Origin(Path()), model, known, Config(), {}))]

    def status(answerers: list[Answerer], question: str) -> str:
        *_, last = stream_answers(answerers, CHINESE, question, SamplingConfig(max_new_tokens=1))
        return last[0].status

    named = CHINESE["unknown_characters"].format(characters="魑 🙂 a ' '")
    assert named in status(asker, "什么是魑🙂魑a\u3000a？")
    assert "<unk>" not in status(asker, "什么是密度？"), "a mark at the end is left out"
    assert "<unk>" not in status([Answerer(teacher)], "什么是魑🙂？")
    assert status(asker, "什么\ud83d") == CHINESE["half_character"]


SETTINGS = (0.5, 3, 0.9, 1.2, 40, "。 ，", 7, False)


def test_settings_are_taken_as_they_stand() -> None:
    assert sampling_settings(CHINESE, 128, *SETTINGS) == SamplingConfig(
        temperature=0.5,
        top_k=3,
        top_p=0.9,
        repetition_penalty=1.2,
        max_new_tokens=40,
        stop=("。", "，"),
        seed=7,
        refusal=False,
    )


def test_settings_that_have_no_control_are_those_of_the_configuration() -> None:
    base = SamplingConfig(min_new_tokens=4, refuse_below=0.0, temperature=2.0)
    given = sampling_settings(CHINESE, 128, *SETTINGS, base)
    assert (given.min_new_tokens, given.refuse_below, given.temperature) == (4, 0.0, 0.5)


def test_a_slider_lets_a_half_typed_number_through_to_our_own_check(teacher: Pretrained) -> None:
    page = build_page(teacher, None, "zh")
    sliders = [block for block in page.blocks.values() if isinstance(block, gr.Slider)]
    assert {slider.elem_id for slider in sliders} >= {"temperature", "top-p", "max-new-tokens"}
    for slider in sliders:
        assert [slider.preprocess(value) for value in (None, 5, -1)] == [None, 5, -1]


def test_the_legend_names_the_threshold_of_the_configuration(teacher: Pretrained) -> None:
    page = build_page(teacher, None, "zh", sampling=SamplingConfig(refuse_below=0.999))
    (legend,) = [b for b in page.blocks.values() if b.elem_id == "legend"][:1]
    assert legend.color_map.keys() == set(band_names(CHINESE, 0.999))


def test_an_answer_on_the_page_is_no_shorter_than_the_configuration_asks() -> None:
    base = SamplingConfig(min_new_tokens=50)
    with pytest.raises(ConfigError, match=CHINESE["max_new_tokens"]):
        sampling_settings(CHINESE, 128, *SETTINGS, base)


def test_the_controls_begin_with_the_configuration(teacher: Pretrained) -> None:
    """It was passed over without a word: python app.py --set sampling.temperature=0.8."""
    sampling = SamplingConfig(0.8, 3, 0.9, 1.2, max_new_tokens=40, stop=("。",), refusal=False)
    page = build_page(teacher, None, "zh", sampling=sampling)
    shown = {
        part["props"]["elem_id"]: part["props"].get("value")
        for part in page.config["components"]
        if part["props"].get("elem_id")
    }
    names = ("temperature", "top-k", "top-p", "repetition-penalty", "max-new-tokens", "refusal")
    assert [shown[name] for name in names] == [0.8, 3, 0.9, 1.2, 40, False]
    parameters = page.get_api_info()["named_endpoints"]["/ask"]["parameters"]
    defaults = {one["parameter_name"]: one["parameter_default"] for one in parameters[1:]}
    assert (defaults["temperature"], defaults["stop"]) == (0.8, "。")


@pytest.mark.parametrize(
    ("sampling", "message"),
    [
        (SamplingConfig(temperature=3.0), "sampling.temperature: 3; the page has 0 to 2"),
        (SamplingConfig(stop=("a b",)), "sampling.stop: the page's stop texts have no white space"),
        (SamplingConfig(stop=tuple("abcdefghij")), "停止词"),
        (SamplingConfig(seed=2**40), "种子"),
    ],
)
def test_a_configuration_that_the_controls_cannot_show_is_told(
    teacher: Pretrained, sampling: SamplingConfig, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        build_page(teacher, None, "zh", sampling=sampling)


@pytest.mark.parametrize("place", [0, 1, 2, 3, 4, 6])
@pytest.mark.parametrize("value", [math.nan, math.inf, -1, 2**70, None, "many", [1]])
def test_a_setting_out_of_range_gets_a_sentence_with_its_name(place: int, value: object) -> None:
    names = ["temperature", "top_k", "top_p", "repetition_penalty", "max_new_tokens", "", "seed"]
    given = [*SETTINGS[:place], value, *SETTINGS[place + 1 :]]
    with pytest.raises(ConfigError) as raised:
        sampling_settings(CHINESE, 128, *given)  # type: ignore[arg-type]
    assert str(raised.value).startswith(f"“{CHINESE[names[place]]}”")


@pytest.mark.parametrize("stop", ["长" * 10_000, " ".join("abcdefghi")])
def test_too_many_or_too_long_stop_texts_get_a_sentence(stop: str) -> None:
    with pytest.raises(ConfigError) as raised:
        sampling_settings(CHINESE, 128, *SETTINGS[:5], stop, 7)
    assert str(raised.value) == CHINESE["bad_stop"].format(count=8, characters=32)


def test_a_missing_switch_does_not_let_the_model_hallucinate() -> None:
    assert sampling_settings(CHINESE, 128, *SETTINGS[:5], None, 7, None).refusal is True


def test_the_examples_are_facts_of_the_files(teacher: Pretrained) -> None:
    found = example_questions(teacher)
    data = SHIPPED.parent / "data"
    files = zip(found, ("train", "test", "unknown_test"), strict=True)
    topics = []
    for questions, name in files:
        topic_of = {row.prompt: row.id for row in read_rows(data / f"{name}.jsonl")}
        assert len(questions) == N_EXAMPLES
        assert max(map(len, questions)) <= MAX_EXAMPLE_CHARACTERS
        topics.append([topic_of[question] for question in questions])
    assert len(set(topics[0])) == len(set(topics[2])) == N_EXAMPLES
    assert topics[1] == topics[0]


def test_without_the_files_of_the_run_the_examples_are_those_of_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file of that name with other questions is not the file that was taught."""
    (tmp_path / "data").mkdir()
    row = {"prompt": "什么是密度?", "completion": "密度是质量除以体积。"}
    (tmp_path / "data" / "train.jsonl").write_text(json.dumps(row), encoding="utf-8")
    monkeypatch.setattr("gpt_teacher.SHIPPED", tmp_path / "pretrained")
    monkeypatch.chdir(tmp_path)
    teacher = from_pretrained(SHIPPED / "last")
    kinds = (KNOWN_EXAMPLES, REWORDED_EXAMPLES, UNKNOWN_EXAMPLES)
    assert example_questions(teacher) == tuple(map(list, kinds))


def test_a_model_of_plain_text_is_shown_no_questions_to_try(teacher: Pretrained) -> None:
    """Found here: the page said that it answers none, and showed twelve beside it."""

    def kinds_shown(shown: Pretrained) -> list[str]:
        labels = [text for key, text in CHINESE.items() if key.startswith("examples_")]
        blocks = build_page(shown, None, "zh").blocks.values()
        return [label for label in labels if label in [getattr(b, "label", "") for b in blocks]]

    continues = replace(teacher, metrics=teacher.metrics | {"is_text": True})
    assert (len(kinds_shown(teacher)), kinds_shown(continues)) == (3, [])


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({}, Shared(None, None, None, None)),
        (
            {"tab": "ask", "q": "什么是密度?", "t": "0.8", "seed": "7"},
            Shared("ask", "什么是密度?", 0.8, 7),
        ),
        ({"q": "  "}, Shared(None, None, None, None)),
        ({"q": "长" * 5000}, Shared(None, "长" * MAX_CHARACTERS, None, None)),
        ({"t": "nan", "seed": "-1"}, Shared(None, None, None, None)),
        ({"t": "2.01", "seed": "2147483648"}, Shared(None, None, None, None)),
        ({"t": "2", "seed": "2147483647"}, Shared(None, None, 2.0, 2147483647)),
        ({"t": "1e0", "seed": "９"}, Shared(None, None, None, 9)),
        ({"t": "9" * 5000, "seed": "9" * 5000}, Shared(None, None, None, None)),
        ({"tab": "<script>"}, Shared(None, None, None, None)),
        ({"tab": "../x", "other": "1"}, Shared(None, None, None, None)),
    ],
)
def test_a_link_is_read_as_far_as_it_makes_sense(params: dict[str, str], expected: Shared) -> None:
    assert read_link(params) == expected


def test_on_a_space_a_link_leads_to_the_space() -> None:
    assert '"https://huggingface.co/spaces/a-b/c.d"' in make_link_script("a-b/c.d")
    for space in (None, "", "a/b/c", "a/b'};alert(1)", "a b/c"):
        assert 'const page = "" ||' in make_link_script(space)


def test_a_question_asked_again_is_remembered_with_the_time_it_took(teacher: Pretrained) -> None:
    answerer = Answerer(teacher)
    first = replies(answerer)  # how many there are depends on the machine's other work
    assert first[-1].answer.finish_reason == "eos"
    assert all(first[-1].answer.startswith(timed.answer) for timed in first)
    assert not any(timed.remembered for timed in first)
    again = replies(answerer, "什么是 注意力机制？")  # reads the same
    assert again == [first[-1]._replace(remembered=True)]
    other = replies(answerer, settings=SamplingConfig(temperature=0.5))
    assert not other[-1].remembered


def test_an_answer_that_was_stopped_is_given_up_and_not_remembered(teacher: Pretrained) -> None:
    answerer = Answerer(teacher)
    stream = side_by_side([answerer], ATTENTION, GREEDY, lambda: 0.005)
    next(stream)
    stream.close()
    again = replies(answerer)
    assert not again[-1].remembered
    assert answerer.batcher.n_askers <= 1  # the last row is about to be freed


def test_only_so_many_answers_are_remembered(teacher: Pretrained) -> None:
    answerer = Answerer(teacher)
    timed = Timed(Answer("好", (Token(0, 5, 0.9),), "eos"), 0.1)
    for number in range(MAX_REMEMBERED + 1):
        answerer.remember(str(number), GREEDY, timed)
    assert replies(answerer, str(MAX_REMEMBERED)) == [timed._replace(remembered=True)]
    assert not replies(answerer, "0")[-1].remembered


def test_side_by_side_the_answer_that_is_known_waits_for_the_other(teacher: Pretrained) -> None:
    knows, learns = Answerer(teacher), Answerer(teacher)
    replies(knows)
    rows = list(side_by_side([knows, learns], ATTENTION, GREEDY, lambda: 0.005))
    assert len(rows) > 5
    assert all(left is not None and left.remembered for left, _ in rows)
    grown = [right for _, right in rows if right is not None]
    assert [timed.seconds for timed in grown] == sorted(timed.seconds for timed in grown)
    assert grown[-1].answer == teacher.answer(ATTENTION)
    assert not any(timed.remembered for timed in grown)


def test_a_question_that_is_too_long_raises_at_once(teacher: Pretrained) -> None:
    with pytest.raises(PromptError):
        replies(Answerer(teacher), "长" * 400)


@pytest.fixture
def shipped_copy(tmp_path: Path) -> Path:
    shutil.copytree(SHIPPED, tmp_path / "pretrained")
    return tmp_path / "pretrained"


def test_the_quantized_twin_lies_beside_a_checkpoint_or_within_a_repository(
    shipped_copy: Path, tmp_path: Path
) -> None:
    twin = open_twin(from_pretrained(shipped_copy / "last"))
    assert twin is not None
    assert twin.folder == shipped_copy / "quantized"
    repository = tmp_path / "repository"
    shutil.copytree(shipped_copy / "last", repository)
    assert open_twin(from_pretrained(repository)) is None
    shutil.move(shipped_copy / "quantized", repository / "quantized")
    twin = open_twin(from_pretrained(repository))
    assert twin is not None
    assert twin.folder == repository / "quantized"
    assert open_twin(twin) is None


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("model.safetensors", b"broken"),
        ("config.yaml", b"model: {layers: 4}"),
        ("config.json", b""),
    ],
)
def test_a_damaged_twin_is_a_warning(
    shipped_copy: Path, capsys: pytest.CaptureFixture[str], file: str, content: bytes
) -> None:
    (shipped_copy / "quantized" / file).write_bytes(content)
    assert open_twin(from_pretrained(shipped_copy / "last")) is None
    warning = capsys.readouterr().err
    assert warning.startswith("warning: ")
    assert str(shipped_copy / "quantized") in warning


def test_a_twin_that_a_power_cut_left_on_a_read_only_stick_is_a_warning(
    shipped_copy: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def read_only(*_: Path) -> None:
        raise OSError(30, "Read-only file system")

    (shipped_copy / "quantized").rename(shipped_copy / ".quantized.old")
    monkeypatch.setattr(Path, "rename", read_only)
    teacher = from_pretrained(shipped_copy / "last")
    assert open_twin(teacher) is None
    assert "Read-only file system; copy the folder" in capsys.readouterr().err
    assert list(read_report_card(teacher).weights) == ["fp32"]


def test_a_quantized_folder_of_another_run_is_no_twin(
    tiny_run: TinyRun, shipped_copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """While a new run is on, `last` is already its own and `quantized` still the old one's."""
    assert open_twin(from_pretrained(tiny_run.last)) is not None
    shutil.rmtree(shipped_copy / "quantized")
    shutil.copytree(tiny_run.quantized, shipped_copy / "quantized")
    assert open_twin(from_pretrained(shipped_copy / "last")) is None
    assert "of another run" in capsys.readouterr().err


def test_every_limit_holds_its_default() -> None:
    defaults = SamplingConfig()
    for key, limits in LIMITS.items():
        assert limits.low <= getattr(defaults, key) <= limits.high, key


def test_the_more_are_waiting_the_rarer_the_updates(
    teacher: Pretrained, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting = {}
    for n_askers in (0, 1, 30):
        monkeypatch.setattr(Batcher, "n_askers", n_askers)
        waiting[n_askers] = pace([Answerer(teacher)])
    assert waiting[0] == waiting[1] == SHOWN_EVERY_SECONDS
    assert 0.5 < waiting[30] < 1.5
