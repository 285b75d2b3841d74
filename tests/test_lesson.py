"""The lesson plan and the hand-out are true: names, answers, minutes and sums."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from gpt_teacher import SHIPPED, Pretrained, from_pretrained
from gpt_teacher.config import ModelConfig, SamplingConfig
from gpt_teacher.parameter_count import count_parameters
from gpt_teacher.prompt import encode_prompt
from gpt_teacher.run_log import LOG_FILE, read_log
from gpt_teacher.sampler import next_token_probabilities
from gpt_teacher.text_files import read_rows
from gpt_teacher.training_jobs import Limits
from gpt_teacher.views.replay_data import Film, replay_data
from gpt_teacher.views.right_answers import answer_book
from gpt_teacher.views.size_view import FAMOUS_SIZES
from gpt_teacher.views.text import EXAMPLE_PAIRS, TEXTS, Language

ROOT = Path(__file__).parent.parent
LANGUAGES: tuple[Language, ...] = ("zh", "en")
LESSONS = {"zh": "docs/LESSON.md", "en": "docs/LESSON_EN.md"}
HANDOUTS = {"zh": "docs/HANDOUT.md", "en": "docs/HANDOUT_EN.md"}
QUOTED = {"zh": r"「([^」]+)」", "en": r"\*\*([^*]+)\*\*"}  # how a lesson marks what the page says
ASKED = {"zh": ("问题", "它的回答"), "en": ("question", "its answer")}  # heads such a table
UNREFUSED = {"zh": "关掉开关后", "en": "switched off"}  # its answer if nothing is refused
KINDS = {
    "教过": "taught",
    "换说法": "reworded",
    "没教过": "unknown",
    "taught": "taught",
    "reworded": "reworded",
    "never taught": "unknown",
}
RESULTS = {
    "对": "right",
    "错": "wrong",
    "拒答": "refused",
    "right": "right",
    "wrong": "wrong",
    "refused": "refused",
}
UNSURE = "人口密度"
COMPOSER = "莫扎特几岁开始写曲子?"
TABS = ("replay", "ask", "inside", "train", "report")
A4_WIDTH, A4_HEIGHT, LINE_HEIGHT = 718, 1046, 24  # pixels


def _read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def sections(name: str) -> dict[str, str]:
    """The parts of a page below its headings."""
    parts = re.split(r"^## (.+)$", _read(name), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def tables(text: str) -> Iterator[list[list[str]]]:
    """The tables of a text: rows of cells, the head first."""
    for block in re.findall(r"(?:^ *\|.*\|\n)+", text, flags=re.MULTILINE):
        rows = [re.split(r"(?<!\\)\|", line.strip())[1:-1] for line in block.splitlines()]
        head, _, *body = [[cell.strip() for cell in row] for row in rows]
        yield [head, *body]


def names_of_the_page(language: Language) -> set[str]:
    """What the page says, and its beginnings: a label without what is in brackets."""
    said = {value.strip() for value in TEXTS[language].values()}
    return said | {re.split(r"[：（:(]", value)[0].strip() for value in said}


# ---------------------------------------------------------------- both languages


@pytest.mark.parametrize("names", [LESSONS, HANDOUTS])
def test_both_languages_have_the_same_sections_tables_and_commands(names: dict[str, str]) -> None:
    texts = [_read(names[language]) for language in LANGUAGES]
    shapes = [
        [[(len(t), len(t[0])) for t in tables(part)] for part in sections(names[language]).values()]
        for language in LANGUAGES
    ]
    assert shapes[0] == shapes[1]
    steps = [len(re.findall(r"^ *(?:\d+\.|-|\([abc]\)) ", text, flags=re.M)) for text in texts]
    assert steps[0] == steps[1]
    typed = [set(re.findall(r"`([^`]+)`", text)) for text in texts]
    assert {x for x in typed[0] if "python" in x or "?" in x} == {
        x for x in typed[1] if "python" in x or "?" in x
    }


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_the_lesson_quotes_stands_on_the_page(language: Language) -> None:
    quoted = set(re.findall(QUOTED[language], _read(LESSONS[language])))
    assert quoted - names_of_the_page(language) == set()
    assert len(quoted) > 40
    assert {TEXTS[language][f"{tab}_tab"] for tab in TABS} <= quoted


def test_both_lessons_quote_the_same_parts_of_the_page() -> None:
    keys = []
    for language in LANGUAGES:
        quoted = set(re.findall(QUOTED[language], _read(LESSONS[language])))
        keys.append({frozenset(keys_of(name, language)) for name in quoted})
    for here, there in (keys, keys[::-1]):
        for one in here:
            assert any(one & other for other in there), set(one)


def keys_of(name: str, language: Language) -> set[str]:
    """The keys of text.py that say so."""
    return {
        key
        for key, value in TEXTS[language].items()
        if name in (value.strip(), re.split(r"[：（:(]", value)[0].strip())
    }


# ---------------------------------------------------------------- the 45 minutes


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_minutes_are_45_without_a_gap(language: Language) -> None:
    parts = sections(LESSONS[language])
    overview = next(text for title, text in parts.items() if "45" in title)
    (_, *rows), *_ = tables(overview)
    times = [[int(t) for t in row[0].split("–")] for row in rows]
    assert times[0][0] == 0
    assert times[-1][1] == 45
    assert [end for _, end in times[:-1]] == [begin for begin, _ in times[1:]]
    assert [t for t in parts if re.match(r"\d+–\d+ ", t)] == [
        next(title for title in parts if title.startswith(row[0] + " ")) for row in rows
    ]
    tabs = {TEXTS[language][f"{tab}_tab"] for tab in TABS}
    assert set(re.findall(QUOTED[language], overview.split("\n\n")[1])) == tabs


# ---------------------------------------------------------------- what the model answers


class Expected(NamedTuple):
    """A row of a table of questions."""

    question: str
    answer: str
    kind: str
    result: str
    refusal: bool


def expected(language: Language) -> list[Expected]:
    """What the lesson says that the shipped model answers."""
    found = []
    for head, *rows in tables(_read(LESSONS[language])):
        if tuple(head[:1]) != ASKED[language][:1]:
            continue
        refusal = head[1] == ASKED[language][1]
        assert refusal or head[1] == UNREFUSED[language]
        found += [
            Expected(
                re.sub("`", "", row[0]),
                row[1],
                KINDS[row[head.index("这是" if language == "zh" else "this is")]],
                RESULTS[row[head.index("结果" if language == "zh" else "result")]],
                refusal,
            )
            for row in rows
        ]
    return found


@pytest.fixture(scope="module")
def teacher() -> Pretrained:
    return from_pretrained(SHIPPED / "last")


@pytest.fixture(scope="module")
def film(teacher: Pretrained) -> dict[Language, Film]:
    log, book = read_log(SHIPPED / "last" / LOG_FILE), answer_book(teacher)
    return {language: replay_data(log, TEXTS[language], book) for language in LANGUAGES}


def test_both_lessons_expect_the_same_answers_of_every_kind() -> None:
    assert expected("zh") == expected("en")
    seen = {(one.kind, one.result, one.refusal) for one in expected("zh")}
    assert {(kind, "right", True) for kind in ("taught", "reworded")} <= seen
    assert {("unknown", "refused", True), ("unknown", "wrong", False)} <= seen
    assert {("unknown", "wrong", True), ("reworded", "wrong", True)} <= seen, "its mistakes, too"


def test_the_shipped_model_answers_as_the_lesson_says(teacher: Pretrained) -> None:
    for one in expected("zh"):
        answer = teacher.answer(one.question, SamplingConfig(refusal=one.refusal))
        assert answer.text == one.answer, one.question


def test_the_model_is_as_sure_as_the_lesson_says(teacher: Pretrained) -> None:
    """Both reasons of a refusal, a wrong answer that is sure, an unsure first token."""
    on, off = SamplingConfig(), SamplingConfig(refusal=False)
    assert teacher.answer("贝加尔湖最深处多少米？", on).finish_reason == "eos"
    assert teacher.answer(UNSURE, on).finish_reason == "unsure"
    known = "电源短路是指电流怎么走?"
    assert teacher.answer(known, on).finish_reason == "unsure"
    assert teacher.answer("郑和的宝船有多长", on).min_probability > 0.8
    for question in (COMPOSER, "贝加尔湖最深处多少米？", UNSURE):
        first, *others = teacher.answer(question, off).tokens
        assert first.probability < min(token.probability for token in others), question
    ids = encode_prompt(teacher.tokenizer, UNSURE)
    likeliest = next_token_probabilities(teacher.model, ids).topk(3).values.tolist()
    assert likeliest[0] < 0.5 < 10 * likeliest[2], "several tokens compete to be first"


def test_the_lesson_judges_the_answers_as_the_data_does() -> None:
    rows = {
        name: {row.prompt: row.completion for row in read_rows(ROOT / "data" / f"{name}.jsonl")}
        for name in ("train", "val", "test", "unknown", "unknown_val", "unknown_test")
    }
    taught, reworded = rows["train"], rows["val"] | rows["test"]
    unknown = rows["unknown_val"] | rows["unknown_test"]
    refusal = next(iter(unknown.values()))
    for one in expected("zh"):
        right = {"taught": taught, "reworded": reworded, "unknown": unknown}[one.kind][one.question]
        assert one.kind == "taught" or one.question not in rows["train"] | rows["unknown"]
        result = "refused" if one.answer == refusal else "right" if one.answer == right else "wrong"
        assert one.result == result, one.question


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_replay_shows_what_the_lesson_says(language: Language, film: dict[str, Film]) -> None:
    head = TEXTS[language]["step"]
    ((_, *rows),) = (t for t in tables(_read(LESSONS[language])) if t[0][0].lower() == head.lower())
    assert len(rows) > 4
    for step, phase, answer in rows:
        frame = [f for f in film[language]["frames"] if f["step"] <= int(step)][-1]
        assert frame["step"] == int(step)
        assert frame["caption"].lower().startswith(phase.lower())
        asked, given = frame["answers"].splitlines()[:2]
        assert asked.endswith(film["zh"]["questions"][0])
        said = re.split("[：:]", given, maxsplit=1)[1].strip()
        assert said.startswith(answer.rstrip("…"))
        assert said == answer or answer.endswith("……")
    assert film[language]["first_right"][0] == 800
    assert None not in film[language]["first_right"], "all are right in the end"


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_questions_for_the_own_model_belong_to_the_example(language: Language) -> None:
    lesson, pairs = _read(LESSONS[language]), EXAMPLE_PAIRS.splitlines()
    assert len(pairs) == 20
    (line,) = re.findall(r"`([^`]+?\?,[^`]+)`", lesson)
    assert line in pairs
    taught = {pair.split(",")[0] for pair in pairs}
    assert "食堂几点开饭?" in taught
    assert not {"几点吃午饭", "我们学校有多少人"} & taught
    for question in ("食堂几点开饭?", "几点吃午饭", "我们学校有多少人"):
        assert f"`{question}`" in lesson


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_training_before_the_lesson_is_kept_as_long_as_it_says(language: Language) -> None:
    (hours,) = re.findall(r"(\d+) (?:小时|hours)", _read(LESSONS[language]))
    assert int(hours) == Limits().kept_hours


# ---------------------------------------------------------------- the homework


def solution(language: Language, number: int) -> str:
    """The solution of one piece of homework."""
    parts = sections(LESSONS[language])
    title = {"zh": "作业答案", "en": "Solutions"}[language]
    return re.split(rf"^{number}\. ", parts[title], flags=re.M)[1].split(f"\n{number + 1}. ")[0]


def n_parameters(n_layer: int, n_embd: int, vocab_size: int) -> int:
    config = ModelConfig(n_layer=n_layer, n_head=1, n_embd=n_embd)
    return count_parameters(config, vocab_size).total


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_solution_on_parameters(language: Language) -> None:
    text = solution(language, 1)
    small, served = n_parameters(1, 2, 10), n_parameters(4, 256, 824)
    deeper, wider = n_parameters(8, 256, 824), n_parameters(4, 512, 824)
    layer = (deeper - served) // 4
    for number in (small, served, 824 * 256, layer, 4 * layer, deeper, wider):
        assert f"{number:,}" in text
    for larger in (deeper, wider):
        assert f"{larger / served:.2f}" in text


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_solution_on_temperature(language: Language) -> None:
    ((_, *rows),) = tables(solution(language, 2))
    assert [float(row[0]) for row in rows] == [0.5, 1, 2]
    for temperature, *shares in rows:
        powers = [math.exp(score / float(temperature)) for score in (2, 1, 0)]
        assert shares == [f"{power / sum(powers):.1%}" for power in powers]


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_solution_on_refusal(language: Language, teacher: Pretrained) -> None:
    probabilities = [0.99, 0.95, 0.40, 0.98]
    text = solution(language, 3)
    assert f"{sum(probabilities) / 4:.2f}" in text
    threshold = teacher.fitted(SamplingConfig()).refuse_below
    assert threshold is not None
    assert f"{min(probabilities):.2f}" in text
    assert min(probabilities) < round(threshold, 2)
    assert f"{threshold:.2f}" in text, "the homework takes the served model's own threshold"


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_solution_on_guessing(language: Language, film: dict[str, Film]) -> None:
    text = solution(language, 4)
    assert f"{math.log(824):.2f}" in text
    assert f"{math.exp(1.47):.2f}" in text
    assert 1.47 in [round(loss, 2) for _, loss in film["zh"]["val"]], "a loss of the replay"


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_solution_on_bits_per_byte(language: Language) -> None:
    for loss, n_tokens in ((1.386, 12), (0.970, 18)):
        bits = f"{loss * n_tokens / math.log(2) / 36:.2f}"
        assert re.search(rf"{loss:.3f} × {n_tokens} ÷ 0\.693 ÷ 36 = {bits}", solution(language, 5))


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_homework_on_the_report_card_takes_its_numbers(language: Language) -> None:
    path = SHIPPED / "last" / "exam_report.json"
    scores = json.loads(path.read_text(encoding="utf-8"))["models"]["fp32"]
    unknown, new, wrongly = (
        scores[key] for key in ("unknown_refused", "paraphrase", "wrongly_refused")
    )
    text = solution(language, 6)
    answered = unknown["questions"] - unknown["hits"]
    assert f"{unknown['questions']} − {unknown['hits']} = {answered}" in text
    wrong = new["questions"] - new["hits"] - wrongly["hits"]
    assert f"{new['questions']} − {new['hits']} − {wrongly['hits']} = {wrong}" in text


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_sizes_of_famous_models(language: Language) -> None:
    """GPT-2 and GPT-3 as the calculator counts them."""
    totals = []
    for n_layer, n_embd, vocab_size, seq_len, _ in FAMOUS_SIZES.values():
        config = ModelConfig(
            n_layer=n_layer, n_head=1, n_embd=n_embd, seq_len=seq_len, position="learned"
        )
        totals.append(count_parameters(config, vocab_size).total)
    text = _read(LESSONS[language])
    if language == "zh":
        assert f"约 {totals[0] / 1e8:.2f} 亿" in text
        assert f"约 {totals[1] / 1e8:.0f} 亿" in text
    else:
        assert f"{totals[0] / 1e6:.0f} million" in text
        assert f"{totals[1] / 1e9:.0f} billion" in text


# ---------------------------------------------------------------- the hand-out


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_hand_out_fits_one_page(language: Language) -> None:
    """In pixels, in the type that code hosts show a page in, margins of a centimetre."""
    heights = {"# ": 98, "## ": 70, "- ": 4, "| ": 13, "": 16}  # besides the lines of text
    height, tables_shown = 0, 0
    for line in _read(HANDOUTS[language]).splitlines():
        if not line or line.startswith("| --- "):
            tables_shown += bool(line)
            continue
        kind = next(mark for mark in heights if line.startswith(mark))
        width = sum(16 if ord(c) > 0x2E7F else 7 for c in line)
        n_lines = 1 if kind == "| " else math.ceil(width / A4_WIDTH)
        height += heights[kind] + (0 if "#" in kind else LINE_HEIGHT * n_lines)
    assert height + 16 * tables_shown <= A4_HEIGHT


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_hand_out_asks_for_steps_that_the_replay_has(
    language: Language, film: dict[str, Film]
) -> None:
    evaluated = {frame["step"] for frame in film["zh"]["frames"]}
    steps = next(t[0][1:] for t in tables(_read(HANDOUTS[language])) if "800" in t[0])
    assert {int(step) for step in steps} <= evaluated
    for phase in ("noise", "characters", "phrases", "answers"):
        said = re.split("[：:]", TEXTS[language][f"phase_{phase}"])[0].lower()
        assert said in _read(HANDOUTS[language])
