"""The report on a checkpoint against a count by hand, and the command `evaluate`."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import QUESTIONS, Commands, Finished, Silent, write_rows

import gpt_teacher.data
from gpt_teacher import from_pretrained
from gpt_teacher.config import SamplingConfig, TokenizerConfig
from gpt_teacher.exam_report import answer_bits, comparison_lines, report_lines, report_on
from gpt_teacher.loss import token_log_probabilities
from gpt_teacher.prompt import REFUSAL_ANSWER, encode_example
from gpt_teacher.questions import collate
from gpt_teacher.text_files import read_rows
from gpt_teacher.tokenizer_training import train_tokenizer

LAST = Path("checkpoints/last")
ALL = 10**9
DENSITY, DEMON = QUESTIONS["什么是密度?"], QUESTIONS["谁是魑魅?"]
LIGHT, BOILING = QUESTIONS["光有多快?"], QUESTIONS["水的沸点是多少?"]
# question, what the file expects, subject, kind, topic; the model says what it was taught
TEST = [
    ("什么是密度？", DENSITY, "物理", "定义", "密度"),  # right
    ("光有多快？", DENSITY, "物理", "事实", "密度"),  # another topic's answer
    ("水的沸点是多少？", DENSITY, "物理", "事实", "密度"),  # another one's
    ("谁是魑魅？", DEMON, "文化", "事实", "魑魅"),  # right
    ("明天的彩票号码？", DEMON, "文化", "事实", "魑魅"),  # refused, wrongly
]
UNKNOWN = [
    ("明天的彩票号码?", REFUSAL_ANSWER, "未知", "实时", "彩票"),  # refused
    ("写三个全角字母", REFUSAL_ANSWER, "未知", "百科", "字母"),  # answered
    ("为什么会下雨？", REFUSAL_ANSWER, "未知", "百科", "雨"),  # answered
]
TEST_FILE, UNKNOWN_FILE = "data/my_test.jsonl", "data/my_unknown.jsonl"
FILES = [f"data.test_path={TEST_FILE}", f"data.unknown_test_path={UNKNOWN_FILE}"]


def write_labelled(path: Path, rows: list[tuple[str, ...]]) -> None:
    keys = ("prompt", "completion", "subject", "kind", "topic")
    lines = [json.dumps(dict(zip(keys, row, strict=True)), ensure_ascii=False) for row in rows]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


@pytest.fixture
def project(tiny_project: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model that has learnt QUESTIONS by heart, and an exam for it; we are in its folder."""
    project = tiny_project(trained=True)
    monkeypatch.chdir(project)
    write_labelled(project / TEST_FILE, TEST)
    write_labelled(project / UNKNOWN_FILE, UNKNOWN)
    return project


@pytest.fixture
def unfiltered(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """As above, and unknown questions that the model answers stay, though they were taught."""
    monkeypatch.setattr(gpt_teacher.data, "TAUGHT_SIMILARITY", 2.0)
    return project


def report(*overrides: str, most_taught: int = ALL) -> tuple[dict[str, Any], list[str]]:
    """Return the report on checkpoints/last, and what was said meanwhile."""
    said = Silent()
    return report_on(LAST, [*FILES, *overrides], most_taught, said.say)[0], said.said


# ---------------------------------------------------------------- numbers


@pytest.mark.usefixtures("unfiltered")
def test_every_number_of_a_report_is_counted_by_hand() -> None:
    given, said = report("sampling.refuse_below=0.5")
    assert said == [f"checkpoints/last, {name}: 20 questions …" for name in ("fp32", "int8")]
    assert given["checkpoint"] == "checkpoints/last"
    assert given["refuse_below"] == 0.5
    assert given["same_answers"] == 1.0
    assert list(given["models"]) == ["fp32", "int8"]
    for model in given["models"].values():
        counted = {name: value for name, value in model.items() if name != "bits_per_byte"}
        curve, served = counted.pop("risk_coverage"), counted.pop("at_threshold")
        assert counted == {
            "memorised": {"hits": 12, "questions": 12},
            "paraphrase": {"hits": 2, "questions": 5},
            "unknown_refused": {"hits": 1, "questions": 3},
            "wrongly_refused": {"hits": 1, "questions": 5},
            "paraphrase_by_subject": {
                "物理": {"hits": 1, "questions": 3},
                "文化": {"hits": 1, "questions": 2},
            },
            "paraphrase_by_kind": {
                "定义": {"hits": 1, "questions": 1},
                "事实": {"hits": 1, "questions": 4},
            },
            "unknown_refused_by_kind": {
                "实时": {"hits": 1, "questions": 1},
                "百科": {"hits": 0, "questions": 2},
            },
            "worst_topics": [
                {"topic": "密度", "hits": 1, "questions": 3},
                {"topic": "魑魅", "hits": 1, "questions": 2},
            ],
            "confusions": [
                {"asked": "密度", "answered": LIGHT, "times": 1},
                {"asked": "密度", "answered": BOILING, "times": 1},
            ],
        }
        # Of 5 + 3 questions the model answers 6 of its own accord, surely; 2 of these are right.
        assert [point["threshold"] for point in curve] == pytest.approx([n / 20 for n in range(20)])
        for point in curve[:11]:
            assert point["coverage"] == 0.75
            assert point["risk"] == pytest.approx(4 / 6)
        assert served == {"threshold": 0.5, "coverage": 0.75, "risk": pytest.approx(4 / 6)}


@pytest.mark.usefixtures("unfiltered")
def test_a_report_holds_a_threshold_that_refuses_everything() -> None:
    model = report("sampling.refuse_below=1.0")[0]["models"]["fp32"]
    assert model["memorised"] == {"hits": 1, "questions": 12}, "the taught refusal"
    assert model["paraphrase"] == {"hits": 0, "questions": 5}
    assert model["unknown_refused"] == {"hits": 3, "questions": 3}
    assert model["wrongly_refused"] == {"hits": 5, "questions": 5}
    assert model["confusions"] == []
    for part in ("paraphrase_by_subject", "paraphrase_by_kind"):
        assert {score["hits"] for score in model[part].values()} == {0}, part
    assert [topic["hits"] for topic in model["worst_topics"]] == [0, 0]
    assert model["unknown_refused_by_kind"] == {
        "实时": {"hits": 1, "questions": 1},
        "百科": {"hits": 2, "questions": 2},
    }
    assert model["at_threshold"]["coverage"] == 0.0


@pytest.mark.usefixtures("unfiltered")
def test_every_printed_number_is_one_of_the_count_by_hand() -> None:
    given, _ = report("sampling.refuse_below=0.5")
    bits = [f"{model['bits_per_byte']:.4f}" for model in given["models"].values()]
    words = [line.split() for line in report_lines(given)]
    assert words == [
        ["checkpoints/last:", "refused", "below", "0.50"],
        ["fp32", "int8"],
        ["memorised", "12/12", "100.0%", "12/12", "100.0%"],
        ["paraphrase", "2/5", "40.0%", "2/5", "40.0%"],
        ["unknown", "refused", "1/3", "33.3%", "1/3", "33.3%"],
        ["wrongly", "refused", "1/5", "20.0%", "1/5", "20.0%"],
        ["bits", "per", "byte", *bits, "of", "the", "expected", "answers"],
        ["same", "answer", "100.0%"],
        [],
        ["paraphrase", "by", "subject,", "fp32:"],
        ["1/3", "33.3%", "物理"],
        ["1/2", "50.0%", "文化"],
        [],
        ["paraphrase", "by", "kind,", "fp32:"],
        ["1/1", "100.0%", "定义"],
        ["1/4", "25.0%", "事实"],
        [],
        ["unknown", "refused", "by", "kind,", "fp32:"],
        ["1/1", "100.0%", "实时"],
        ["0/2", "0.0%", "百科"],
        [],
        ["worst", "topics,", "fp32:"],
        ["1/3", "33.3%", "密度"],
        ["1/2", "50.0%", "魑魅"],
        [],
        ["taken", "for", "another", "topic,", "fp32:"],
        ["1", "times", "密度", "->", LIGHT],
        ["1", "times", "密度", "->", BOILING],
        [],
        ["risk", "and", "coverage", "of", "the", "refusal", "threshold,", "fp32:"],
        ["threshold", "answered", "wrong", "among", "the", "answers"],
        *[[f"0.{n}0", "75.0%", "66.7%"] for n in range(6)],
        *words[37:41],  # how sure the model is beyond 0.5, no hand knows
        [],
        [f"{given['seconds']}", "seconds"],
    ]


@pytest.mark.usefixtures("project")
def test_bits_per_byte_are_those_of_the_expected_answers_alone() -> None:
    """Recomputed from the log-probabilities of whole rows, one by one, in float64."""
    teacher = from_pretrained(LAST)
    nats, n_bytes = 0.0, 0
    rows = read_rows(Path(TEST_FILE))
    for row in rows:
        batch = collate([encode_example(teacher.tokenizer, row.prompt, row.completion)])
        with torch.no_grad():
            nats -= token_log_probabilities(teacher.model, batch).double().sum().item()
        n_bytes += len(row.completion.encode())
    expected = nats / math.log(2) / n_bytes
    assert expected > 0.3, "three answers are not the taught ones"
    assert answer_bits(teacher.model, teacher.tokenizer, rows) == pytest.approx(expected, rel=1e-4)
    model = report()[0]["models"]["fp32"]
    assert model["bits_per_byte"] == pytest.approx(expected, rel=1e-4)
    known = answer_bits(teacher.model, teacher.tokenizer, read_rows(Path("data/train.jsonl")))
    assert known < 0.05


@pytest.mark.usefixtures("project")
def test_answers_with_unknown_characters_have_no_figure_in_bits_per_byte() -> None:
    teacher, rows = from_pretrained(LAST), read_rows(Path(TEST_FILE))
    known = {character for row in rows[1:] for character in row.prompt + row.completion}
    tokenizer = train_tokenizer(["".join(sorted(known))], TokenizerConfig(type="char"))
    strange = [rows[0]._replace(completion="密度是𠮷。")]
    assert answer_bits(teacher.model, tokenizer, rows[1:]) is not None
    assert answer_bits(teacher.model, tokenizer, strange) is None
    given = report()[0]
    for model in given["models"].values():
        model["bits_per_byte"] = None
    why = "unknown characters in the expected answers"
    assert ["bits", "per", "byte", "-", *why.split()] in [s.split() for s in report_lines(given)]


@pytest.mark.usefixtures("project")
def test_without_test_wordings_the_validation_file_is_asked_and_without_it_the_taught() -> None:
    nothing = ["data.test_path=null", "data.unknown_test_path=null"]
    model = report(*nothing)[0]["models"]["fp32"]
    assert model["paraphrase"]["questions"] == 3
    assert "unknown_refused" not in model
    given = report(*nothing, "data.val_path=null")[0]
    model = given["models"]["fp32"]
    assert "paraphrase" not in model
    assert model["memorised"] == {"hits": 12, "questions": 12}
    words = [line.split() for line in report_lines(given)]
    assert ["paraphrase", "-", "-"] in words
    assert not any("by" in line or "worst" in line for line in words)
    assert model["bits_per_byte"] < 0.05


@pytest.mark.usefixtures("project")
def test_without_reworded_questions_there_is_no_risk_curve() -> None:
    """Found here: unknown questions alone were asked, and each answer counted as a wrong one."""
    nothing = ["data.test_path=null", "data.val_path=null"]
    given = report(*nothing)[0]
    model = given["models"]["fp32"]
    assert "unknown_refused" in model
    assert model["risk_coverage"] == []
    assert not any("risk" in line or "threshold " in line for line in report_lines(given))


@pytest.mark.usefixtures("project")
def test_a_checkpoint_without_a_threshold_gets_one_fitted() -> None:
    """One saved on the way: nobody fitted a threshold yet."""
    text = (LAST / "config.yaml").read_text(encoding="utf-8")
    (LAST / "config.yaml").write_text(text.replace("refuse_below: 0.0", "refuse_below: null"))
    unknown = f"data.unknown_val_path={UNKNOWN_FILE}"
    given, said = report(unknown)
    assert said[0] == "checkpoints/last: no refusal threshold in it; fitting one …"
    assert 0 <= given["refuse_below"] <= 1
    given, said = report(unknown, "sampling.refuse_below=0.5")
    assert given["refuse_below"] == 0.5
    assert len(said) == 2


# ---------------------------------------------------------------- side by side


@pytest.mark.usefixtures("unfiltered")
def test_two_checkpoints_stand_side_by_side_with_what_only_one_knows() -> None:
    """The same model twice, the second of which refuses everything. By hand:

    only the first   11 taught answers, and 2 of TEST
    only the second  the 2 unknown questions that the first answers
    """
    thresholds = ("sampling.refuse_below=0.5", "sampling.refuse_below=1.0")
    done = [report_on(LAST, [*FILES, t], ALL, Silent().say) for t in thresholds]
    reports, replies = [r for r, _ in done], [given["fp32"] for _, given in done]
    lines = comparison_lines(reports, replies, ["bold", "shy"])
    assert [line.split() for line in lines[:5]] == [
        ["bold", "shy"],
        ["memorised", "12/12", "100.0%", "1/12", "8.3%"],
        ["paraphrase", "2/5", "40.0%", "0/5", "0.0%"],
        ["unknown", "refused", "1/3", "33.3%", "3/3", "100.0%"],
        ["wrongly", "refused", "1/5", "20.0%", "5/5", "100.0%"],
    ]
    at = lines.index("only bold is right: 13 questions")
    assert lines[at + 1 : at + 11] == [f"  {q}" for q in [*QUESTIONS][:10]]
    assert lines[at + 12 :] == [
        "only shy is right: 2 questions",
        "  写三个全角字母",
        "  为什么会下雨？",
    ]


# ---------------------------------------------------------------- the command


@pytest.fixture
def evaluate(commands: Commands, project: Path) -> Callable[..., Finished]:
    """Run scripts.evaluate on the exam of the project."""

    def run(*arguments: object) -> Finished:
        options = [word for text in FILES for word in ("--set", text)]
        return commands.run("evaluate", *options, *arguments, folder=project)

    return run


def without_seconds(value: dict[str, Any]) -> dict[str, Any]:
    return {key: part for key, part in value.items() if key != "seconds"}


def test_evaluate_examines_the_users_own_model_and_prints_the_report(
    evaluate: Callable[..., Finished], tmp_path: Path
) -> None:
    """Of the unknown questions, two look like taught ones and are left out."""
    ended = evaluate("--json", tmp_path / "new" / "exam.json")
    assert ended.code == 0
    assert ended.stderr == "".join(
        f"checkpoints/last, {name}: 18 questions …\n" for name in ("fp32", "int8")
    )
    written = json.loads((tmp_path / "new" / "exam.json").read_text(encoding="utf-8"))
    assert ended.stdout.splitlines() == report_lines(written)
    assert without_seconds(written) == without_seconds(report()[0])
    assert written["models"]["fp32"]["unknown_refused"] == {"hits": 1, "questions": 1}
    assert "密度" in (tmp_path / "new" / "exam.json").read_text(encoding="utf-8"), "not escaped"


def test_json_on_stdout_is_all_that_is_there(
    evaluate: Callable[..., Finished], project: Path
) -> None:
    ended = evaluate("--json", "-", "--checkpoint", "checkpoints/quantized")
    assert ended.code == 0
    given = json.loads(ended.stdout)
    assert given["checkpoint"] == "checkpoints/quantized"
    assert list(given["models"]) == ["int8"], "no float32 model to compare with"
    assert "same_answers" not in given
    int8 = report()[0]["models"]["int8"]
    assert given["models"]["int8"] == int8
    assert [p.name for p in project.iterdir() if p.name == "-"] == []


@pytest.mark.parametrize("options", [[], ["--checkpoint", "checkpoints/last"]])
def test_a_folder_has_no_revision(evaluate: Callable[..., Finished], options: list[str]) -> None:
    ended = evaluate("--revision", "v9", *options)
    assert ended.code == 2
    assert "--revision v9 names a version of a model of the Hub, not of the folder" in ended.stderr


def test_a_quantized_checkpoint_gives_one_column(evaluate: Callable[..., Finished]) -> None:
    ended = evaluate("--checkpoint", "checkpoints/quantized")
    assert (ended.code, ended.stderr) == (0, "checkpoints/quantized, int8: 18 questions …\n")
    words = [line.split() for line in ended.stdout.splitlines()]
    assert words[1:4] == [
        ["int8"],
        ["memorised", "12/12", "100.0%"],
        ["paraphrase", "2/5", "40.0%"],
    ]
    assert "same answer" not in ended.stdout


def test_the_counts_are_those_of_asking_one_by_one(
    evaluate: Callable[..., Finished], project: Path
) -> None:
    """With validation wordings, which the model may or may not know, and a real threshold."""
    unknown = ["明天的彩票号码?", "wxyz 123", "魑魅和魍魉谁的船快", "ＡＢＣ　，"]
    write_rows(project / "data" / "strange.jsonl", dict.fromkeys(unknown, REFUSAL_ANSWER))
    teacher = from_pretrained(LAST)
    settings = SamplingConfig(refuse_below=0.9)
    arguments = ["data.test_path=data/val.jsonl", "data.unknown_test_path=data/strange.jsonl"]
    arguments.append("sampling.refuse_below=0.9")
    words = [word for text in arguments for word in ("--set", text)]
    ended = evaluate(*words, "--json", "-")
    model = json.loads(ended.stdout)["models"]["fp32"]
    answers = {row.prompt: row.completion for row in read_rows(Path("data/val.jsonl"))}
    given = {q: teacher.answer(q, settings) for q in [*answers, *unknown]}
    right = sum(given[q].text == expected for q, expected in answers.items())
    shy = sum(given[q].refused for q in answers)
    refused = sum(given[q].refused for q in unknown)
    assert model["paraphrase"] == {"hits": right, "questions": 3}
    assert model["wrongly_refused"] == {"hits": shy, "questions": 3}
    assert model["unknown_refused"] == {"hits": refused, "questions": 4}


def test_most_taught_asks_so_many_of_the_taught_questions(
    evaluate: Callable[..., Finished],
) -> None:
    given = json.loads(evaluate("--most-taught", "4", "--json", "-").stdout)
    model = given["models"]["fp32"]
    assert model["memorised"] == {"hits": 4, "questions": 4}
    assert model["paraphrase"]["questions"] == 5, "the other parts are asked in full"


def test_compare_shows_two_checkpoints(evaluate: Callable[..., Finished], tmp_path: Path) -> None:
    ended = evaluate(
        *("--compare", "checkpoints/last", "checkpoints/quantized"),
        *("--json", tmp_path / "both.json"),
    )
    assert ended.code == 0
    lines = ended.stdout.splitlines()
    assert lines[0].split() == ["checkpoints/last", "checkpoints/quantized"]
    assert lines[1].split() == ["memorised", "12/12", "100.0%", "12/12", "100.0%"]
    assert lines[5:] == [
        "",
        "only checkpoints/last is right: 0 questions",
        "",
        "only checkpoints/quantized is right: 0 questions",
    ]
    written = json.loads((tmp_path / "both.json").read_text(encoding="utf-8"))
    names = ["checkpoints/last", "checkpoints/quantized"]
    assert [one["checkpoint"] for one in written] == names


BAD_EXAMS = {
    "nothing there": (["--checkpoint", "no"], "no checkpoint at no; train one with:"),
    "both": (
        ["--checkpoint", "a", "--compare", "a", "b"],
        "give --checkpoint or --compare, not both",
    ),
    "no taught": (["--most-taught", "0"], "--most-taught 0: give 1 or more"),
    "no test": (["--set", "data.test_path=no.jsonl"], "no.jsonl: no such file"),
}


@pytest.mark.parametrize("case", BAD_EXAMS)
def test_what_is_wrong_with_an_exam_is_said(evaluate: Callable[..., Finished], case: str) -> None:
    arguments, expected = BAD_EXAMS[case]
    ended = evaluate(*arguments)
    assert (ended.code, ended.stdout) == (2, "")
    assert "Traceback" not in ended.stderr
    assert expected in ended.stderr


def test_a_second_model_that_is_not_there_is_told_before_the_first_is_examined(
    evaluate: Callable[..., Finished],
) -> None:
    """Found here: the shipped model was asked 43,000 questions first."""
    ended = evaluate("--compare", "checkpoints/last", "no")
    assert (ended.code, ended.stdout) == (2, "")
    assert "no checkpoint at no; train one with:" in ended.stderr
    assert "questions" not in ended.stderr


@pytest.mark.parametrize("words", [(), ("--compare", "checkpoints/last", "checkpoints/quantized")])
def test_a_report_that_cannot_be_written_is_printed_first(
    evaluate: Callable[..., Finished], words: tuple[str, ...]
) -> None:
    """Found here: the error came after the whole exam, and nothing of it was shown."""
    ended = evaluate(*words, "--json", "config.yaml/x")
    assert ended.code == 2
    assert "memorised" in ended.stdout
    assert "Traceback" not in ended.stderr
    assert "cannot write config.yaml/x: " in ended.stderr


def test_a_model_of_plain_text_has_no_questions_to_be_asked(
    commands: Commands, tiny_project: Callable[..., Path]
) -> None:
    project = tiny_project()
    (project / "story.txt").write_text("从前有座山，山里有座庙。\n" * 60, encoding="utf-8")
    words = ("data.format=lm", "data.train_path=story.txt", "training.max_steps=1")
    options = [word for text in words for word in ("--set", text)]
    assert commands.run("train", *options, folder=project).code == 0
    (project / "story.txt").unlink()  # nobody shall look for it
    ended = commands.run("evaluate", folder=project)
    assert (ended.code, ended.stdout) == (2, "")
    assert ended.stderr == (
        "error: checkpoints/last: it was trained on plain text; there are no questions to ask\n"
    )


@pytest.mark.usefixtures("project")
def test_what_only_one_exam_asked_is_no_difference_of_the_models() -> None:
    """The second was examined on another test file: it neither knew nor missed the first's."""
    one, replies = report_on(LAST, [*FILES, "sampling.refuse_below=0.5"], ALL, Silent().say)
    bold = replies["fp32"]
    shorter = replace(bold, reworded=[])
    lines = comparison_lines([one, one], [bold, shorter], ["bold", "shorter"])
    assert "only bold is right: 0 questions" in lines
