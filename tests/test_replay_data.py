"""The film of a log: when a question was first answered right, and what each moment shows."""

from __future__ import annotations

import itertools
import json
import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import orjson
import pytest

from gpt_teacher import SHIPPED, Pretrained, from_pretrained
from gpt_teacher.errors import DataError
from gpt_teacher.prompt import is_refusal
from gpt_teacher.run_log import LOG_FILE, Evaluation, Sample, Step, TrainingLog, read_log
from gpt_teacher.text_files import read_rows
from gpt_teacher.views.phases import caption, moment
from gpt_teacher.views.replay import MAX_LOG_BYTES, visitor_film
from gpt_teacher.views.replay_data import MAX_FRAMES, MAX_POINTS, replay_data, thin
from gpt_teacher.views.right_answers import (
    AnswerBook,
    Progress,
    Reference,
    answer_book,
    progress,
    references,
    story,
)
from gpt_teacher.views.text import CHINESE, ENGLISH
from gpt_teacher.views.upload import passing_upload

DENSITY, LIGHT, LOTTERY = "什么是密度?", "光有多快?", "明天的彩票号码?"
RIGHT = {DENSITY: "密度是质量除以体积。", LIGHT: "每秒约三十万千米。", LOTTERY: "不知道，没学过。"}
BOOK: AnswerBook = {"a1": RIGHT}


def a_step(number: int, loss: float = 5.0) -> Step:
    return Step(number, loss, 0.0015, 1.5, 20_000.0, 0.25 * number)


def a_log(
    history: list[dict[str, str]], losses: list[float], sha256: str = "a1", vocabulary: int = 1000
) -> TrainingLog:
    """One evaluation for each row of answers, ten steps apart."""
    evaluations = [
        Evaluation(10 * i, loss, [Sample(q, a, [("密", 0.5)]) for q, a in answers.items()])
        for i, (answers, loss) in enumerate(zip(history, losses, strict=True))
    ]
    start = {"vocab_size": vocabulary, "fingerprints": {"data": {"train": {"sha256": sha256}}}}
    steps = [a_step(i) for i in range(1, 10 * len(history))]
    return TrainingLog(start, steps, evaluations, {})


def answers(*given: str) -> list[dict[str, str]]:
    return [{DENSITY: answer} for answer in given]


@pytest.mark.parametrize(
    ("given", "first", "steady_from", "key"),
    [
        ("xxRR", 20, 20, "story_steady"),
        ("xRxR", 10, 30, "story_wavering"),
        ("xRRx", 10, None, "story_lost"),
        ("xxxx", None, None, "story_never"),
        ("RRRR", 0, 0, "story_steady"),
    ],
)
def test_when_a_question_was_answered_right(
    given: str, first: int | None, steady_from: int | None, key: str
) -> None:
    reference = Reference(RIGHT[DENSITY], "taught")
    history = {10 * i: RIGHT[DENSITY] if c == "R" else "密" for i, c in enumerate(given)}
    when = progress(history, reference)
    assert when == Progress(first, steady_from)
    assert story(reference, when, CHINESE) == CHINESE[key].format(first=first, steady=steady_from)


def test_the_right_answer_comes_from_the_data_of_that_very_run() -> None:
    """The last answer of a run may be wrong: it is not what counts as right."""
    log = a_log(answers("密", "每秒", "每秒"), [6.9, 2.0, 1.0])
    assert references(log, BOOK)[DENSITY] == Reference(RIGHT[DENSITY], "taught")
    film = replay_data(log, CHINESE, BOOK)
    assert film["first_right"] == [None]
    assert film["stories"] == [CHINESE["story_never"]]


def test_without_that_data_a_settled_answer_stands_in_and_the_page_says_so() -> None:
    log = a_log(answers("密", "每秒", "密度", "密度"), [6.9, 3.0, 2.0, 1.0], sha256="another")
    assert references(log, BOOK)[DENSITY] == Reference("密度", "settled")
    film = replay_data(log, CHINESE, BOOK)
    assert film["first_right"] == [20]
    assert film["stories"][0].startswith(CHINESE["story_settled"])
    assert CHINESE["answered_right"] not in film["frames"][-1]["answers"]


@pytest.mark.parametrize(
    ("given", "losses"),
    [
        (("密", "每秒", "密度"), [6.9, 3.0, 1.0]),  # not settled
        (("密密密", "密密密"), [6.9, 6.8]),  # settled, but nothing learnt: ln 1000 = 6.9
        (("密",), [1.0]),
    ],
)
def test_without_data_and_a_settled_answer_no_step_is_called_right(
    given: tuple[str, ...], losses: list[float]
) -> None:
    log = a_log(answers(*given), losses, sha256="another")
    assert references(log, BOOK) == {}
    film = replay_data(log, CHINESE, BOOK)
    assert film["first_right"] == [None]
    assert film["stories"] == [CHINESE["story_no_reference"]]


def test_the_favourite_question_is_the_known_one_that_was_right_first() -> None:
    """A refusal is soon said, to everything: it is no reason to jump there."""
    wrong = dict.fromkeys(RIGHT, "密")
    rows = [
        wrong | {LOTTERY: RIGHT[LOTTERY]},
        wrong | {LOTTERY: RIGHT[LOTTERY], LIGHT: RIGHT[LIGHT]},
        RIGHT,
    ]
    film = replay_data(a_log(rows, [6.0, 3.0, 0.5]), CHINESE, BOOK)
    assert film["first_right"] == [20, 10, 0]
    assert film["questions"][film["favourite"]] == LIGHT
    assert film["stories"][2].startswith(CHINESE["story_unknown"])


# ln 1000 = 6.91: guessing above 6.2, half of it known below 3.45.
@pytest.mark.parametrize(
    ("loss", "answer", "phase"),
    [
        (6.9, "密", "noise"),
        (6.3, "密", "noise"),
        (6.1, "密", "characters"),
        (3.5, "密", "characters"),
        (3.4, "密", "phrases"),
        (0.1, "密度是质量", "phrases"),
        (0.1, RIGHT[DENSITY], "answers"),
        (3.5, RIGHT[DENSITY], "answers"),
        (None, "密", "noise"),
    ],
)
def test_the_phase_follows_from_loss_and_answers(
    loss: float | None, answer: str, phase: str
) -> None:
    evaluation = Evaluation(70, loss, [Sample(DENSITY, answer, [])])
    right = {DENSITY: Reference(RIGHT[DENSITY], "taught")}
    assert moment(evaluation, loss, 1000, right).phase == phase


def test_a_refusal_is_no_answer_that_was_learnt() -> None:
    evaluation = Evaluation(70, 5.0, [Sample(LOTTERY, RIGHT[LOTTERY], [])])
    now = moment(evaluation, 5.0, 1000, {LOTTERY: Reference(RIGHT[LOTTERY], "taught")})
    assert (now.phase, now.n_right, now.n_known, now.n_refused) == ("characters", 0, 0, 1)


def test_the_caption_gives_the_figures_that_it_rests_on() -> None:
    samples = [Sample(DENSITY, RIGHT[DENSITY], []), Sample(LIGHT, "不知道", [])]
    right = {q: Reference(RIGHT[q], "taught") for q in (DENSITY, LIGHT)}
    now = moment(Evaluation(70, math.log(4), samples), math.log(4), 1000, right)
    assert caption(now, CHINESE) == (
        CHINESE["phase_answers"]
        + CHINESE["choices"].format(n="4.0")
        + CHINESE["n_right"].format(right=1, known=2)
        + CHINESE["n_refused"].format(refused=1, all=2)
    )


def test_a_probe_question_in_other_words_is_not_said_to_have_been_taught() -> None:
    """One of the shipped model's four is: its topic was taught, in other words."""
    model = from_pretrained(SHIPPED / "last")
    train = model.data_file("train")
    assert train is not None
    taught = {row.prompt for row in read_rows(train)}
    right = references(read_log(SHIPPED / "last" / LOG_FILE), answer_book(model))
    known = {q for q, reference in right.items() if not is_refusal(reference.answer)}
    assert 0 < len(known - taught) < len(known)
    assert CHINESE["n_right"].startswith("{known} 道抽查题的知识点教过")
    assert "taught topics" in ENGLISH["n_right"]


def test_a_sure_model_is_not_said_to_hesitate_among_one_token() -> None:
    now = moment(Evaluation(70, 0.01, []), 0.01, 1000, {})
    assert caption(now, CHINESE) == CHINESE["phase_phrases"] + CHINESE["choices_sure"]


def test_nobody_hesitates_among_more_tokens_than_there_are() -> None:
    assert moment(Evaluation(0, 9.0, []), 9.0, 824, {}).n_choices == 824


@pytest.mark.parametrize(("n", "most"), [(0, 3), (1, 3), (3, 3), (4, 3), (999, 300), (2001, 300)])
def test_thinning_keeps_the_ends_and_spreads_the_rest(n: int, most: int) -> None:
    kept = thin(range(n), most)
    assert len(kept) == min(n, most)
    assert kept[:1] == list(range(n))[:1]
    assert kept[-1:] == list(range(n))[-1:]
    gaps = {b - a for a, b in itertools.pairwise(kept)}
    assert max(gaps, default=1) - min(gaps, default=1) <= 1


@pytest.fixture(scope="module")
def teacher() -> Pretrained:
    return from_pretrained(SHIPPED / "last")


@pytest.fixture(scope="module")
def shipped_log() -> TrainingLog:
    return read_log(SHIPPED / "last" / LOG_FILE)


def test_the_shipped_run_goes_from_noise_to_answers(
    teacher: Pretrained, shipped_log: TrainingLog
) -> None:
    book = answer_book(teacher)
    right = references(shipped_log, book)
    taught = {row.prompt: row.completion for row in read_rows(SHIPPED.parent / "data/train.jsonl")}
    assert {q: r.answer for q, r in right.items() if q in taught}.items() <= taught.items()
    assert {r.source for r in right.values()} == {"taught"}
    phases = [
        moment(e, e.val_loss_nats, teacher.tokenizer.vocab_size, right).phase
        for e in shipped_log.evaluations
    ]
    assert (phases[0], phases[-1]) == ("noise", "answers")
    film = replay_data(shipped_log, CHINESE, book)
    for number, first in enumerate(film["first_right"]):
        question = shipped_log.evaluations[0].samples[number].question
        given = {e.step: e.samples[number].answer for e in shipped_log.evaluations}
        is_right = [step for step, answer in given.items() if answer == right[question].answer]
        assert first == (min(is_right) if is_right else None)


def test_the_film_of_the_shipped_run_is_small_and_shows_no_broken_character(
    teacher: Pretrained, shipped_log: TrainingLog
) -> None:
    film = replay_data(shipped_log, CHINESE, answer_book(teacher))
    written = json.dumps(film, ensure_ascii=False, allow_nan=False)
    assert len(written.encode()) < 200_000
    assert any("\ufffd" in s.answer for e in shipped_log.evaluations for s in e.samples)
    assert "\ufffd" not in written
    assert film["steps"][0][:2] == [1, round(shipped_log.steps[0].loss_nats, 4)]


def lines(*events: object) -> bytes:
    return "\n".join(json.dumps(event) for event in events).encode()


A_STEP = {"event": "step"} | a_step(1)._asdict()
AN_EVAL = {"event": "eval", "step": 0, "val_loss_nats": 6.5, "samples": []}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x00\xff\xfe\x89PNG",
        b"[" * 200_000,
        lines({"prompt": "a", "completion": "b"}, A_STEP),
        lines(A_STEP | {"loss_nats": math.nan}),
        lines(A_STEP | {"loss_nats": "5"}),
        lines(A_STEP | {"loss_nats": [5]}),
        lines(A_STEP | {"learning_rate": None}),
        lines(A_STEP | {"step": -1}),
        lines(A_STEP | {"step": 1.5}),
        lines(A_STEP | {"step": 10**300}),
        lines(A_STEP | {"elapsed_seconds": 10**400}),
        lines(AN_EVAL | {"samples": 7}),
        lines(AN_EVAL | {"samples": [{"question": 1, "answer": "", "first_tokens": []}]}),
        lines(AN_EVAL | {"samples": [{"question": "", "answer": "", "first_tokens": [1]}]}),
        lines(AN_EVAL | {"samples": [{"question": "", "answer": "", "first_tokens": [["a", {}]]}]}),
        lines(AN_EVAL | {"val_loss_nats": True}),
    ],
)
def test_what_is_no_training_log_gets_one_sentence(content: bytes) -> None:
    with pytest.raises(DataError) as raised:
        visitor_film(content, CHINESE, {})
    sentence = str(raised.value)
    assert sentence.startswith(CHINESE["log_unreadable"].split("（")[0])
    assert "\n" not in sentence
    assert len(sentence) < 200


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, CHINESE["log_gone"]),
        (b"x" * (MAX_LOG_BYTES + 1), CHINESE["log_too_big"].format(megabytes=1)),
    ],
)
def test_a_file_that_is_too_big_or_gone_is_not_read(content: bytes | None, sentence: str) -> None:
    with pytest.raises(DataError) as raised:
        visitor_film(content, CHINESE, {})
    assert str(raised.value) == sentence


def test_a_class_may_send_the_same_log(tmp_path: Path) -> None:
    """One path for all: the first event deleted the file, the next visitor's was "too big"."""
    path = tmp_path / "hash of the content" / LOG_FILE
    button = passing_upload("", [".jsonl"], elem_id="")
    for _ in range(2):
        path.parent.mkdir()
        path.write_bytes(b"a log")
        assert [button.preprocess(SimpleNamespace(path=path)) for _ in range(3)] == [b"a log"] * 3
        assert list(tmp_path.iterdir()) == []
    assert button.preprocess(SimpleNamespace(path=tmp_path / "never sent")) is None


def test_a_strange_but_whole_log_gives_a_film_of_bounded_size() -> None:
    """Thousands of steps and evaluations, long texts, probabilities that are none."""
    sample = {"question": "问" * 900, "answer": "<b>${1}</b>\ufffd" * 90, "first_tokens": []}
    many = [
        {
            **AN_EVAL,
            "step": i,
            "samples": [{**sample, "first_tokens": [["长" * 99, 7.5], ["a", -3]]}],
        }
        for i in range(1200)
    ]
    film = visitor_film(
        lines({"event": "start", "vocab_size": "x", "fingerprints": [1]}, *many[:100]),
        CHINESE,
        BOOK,
    )
    assert film["frames"][0]["tokens"] == [[("长" * 24, 1.0), ("a", 0.0)]]
    assert len(film["questions"][0]) <= 301
    short = [{**event, "samples": []} for event in many]
    steps = [A_STEP | {"step": i} for i in range(1, 3000)]
    film = visitor_film(lines(*short, *steps), CHINESE, BOOK)
    assert len(film["frames"]) == MAX_FRAMES
    assert len(film["train"]) == len(film["val"]) == MAX_POINTS
    assert len(json.dumps(film)) < 400_000


@pytest.mark.parametrize("absurd", [1e30, 10**30, -(10**30), 1e300])
def test_absurd_figures_give_a_film_that_gradio_can_send(absurd: float) -> None:
    """An integer beyond 64 bits ended the visitor's stream: no later upload did anything."""
    step = {**A_STEP, **dict.fromkeys(Step._fields[1:], absurd)}
    film = visitor_film(lines(AN_EVAL | {"val_loss_nats": absurd}, step), CHINESE, BOOK)
    sent = orjson.loads(orjson.dumps(film))
    assert sent["steps"] == [[1, *[float(absurd)] * 4]]
    assert sent["train"] == [[1, float(absurd)]]


@pytest.mark.parametrize("kept", ["steps", "evaluations"])
def test_a_log_of_steps_alone_or_evaluations_alone_has_a_film(kept: str) -> None:
    log = a_log(answers("密", "密"), [6.0, 5.0])
    log = replace(log, **{"evaluations" if kept == "steps" else "steps": []})
    film = replay_data(log, CHINESE, BOOK)
    assert bool(film["train"]) == (kept == "steps")
    assert bool(film["frames"]) == (kept == "evaluations")
    assert film["max"] == log.last_step


def test_a_log_of_plain_text_has_no_right_answers() -> None:
    log = a_log(answers("密度", "密度"), [3.0, 1.0], sha256="another")
    assert references(log, {}) != {}
    assert references(replace(log, start={**log.start, "is_text": True}), {}) == {}
