"""The model card: figures are facts, the Hub reads it, its code runs, strangers' text is text."""

from __future__ import annotations

import contextlib
import copy
import io
import re
import shlex
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import yaml
from conftest import QUESTIONS, VALIDATION, Silent, TinyRun, absolute_config, never
from huggingface_hub import ModelCard

from gpt_teacher import from_pretrained
from gpt_teacher.card.facts import (
    CardFacts,
    SampleAnswer,
    WeightsFile,
    choose_samples,
    log_of,
    read_facts,
    shown_path,
)
from gpt_teacher.card.markdown import code, plain
from gpt_teacher.card.model_card import formula, model_card
from gpt_teacher.checkpoint import load_checkpoint
from gpt_teacher.config import Config, ModelConfig
from gpt_teacher.errors import CheckpointError
from gpt_teacher.exam import FOUR_NUMBERS
from gpt_teacher.prompt import REFUSAL_ANSWER
from gpt_teacher.run_log import Evaluation, Sample, Step, TrainingLog
from gpt_teacher.sampler import Answer, Token
from gpt_teacher.text_files import file_sha256
from gpt_teacher.training_run import run_training

HOSTILE = "a|b`c`<script>alert(7)</script>\n# *x* ![y](https://z.example) [u](v) $e$ @me &amp; \\"


def data_file(name: str, rows: int, answers: int) -> dict[str, Any]:
    path = f"data/{name}.jsonl"
    sha256 = f"{rows:x}".rjust(64, "a")
    return {"path": path, "sha256": sha256, "rows_used": rows, "answers": answers}


METRICS: dict[str, Any] = {
    "parameters": 3_368_192,
    "steps": 1_357,
    "max_steps": 1_357,
    "tokens": 2_324_814,
    "elapsed_seconds": 293.8,
    "fingerprints": {
        "data": {
            "train": data_file("train", 9_385, 417),
            "val": data_file("val", 793, 416),
            "test": data_file("test", 789, 415),
            "unknown": data_file("unknown", 1_253, 1),
            "unknown_test": data_file("unknown_test", 205, 1),
        },
        "tokenizer_sha256": "b" * 64,
    },
    "cpu": "AMD EPYC",
    "device": "cpu",
    "threads": 3,
    "peak_memory_bytes": 899_657_728,
    "versions": {"python": "3.11.7", "torch": "2.13.0+cpu"},
    "code_commit": "c" * 40,
    "seed": 43,
    "is_text": False,
    "exam": {
        "fp32": {
            "memorised": {"hits": 482, "questions": 500},
            "paraphrase": {"hits": 661, "questions": 789},
            "unknown_refused": {"hits": 186, "questions": 204},
            "wrongly_refused": {"hits": 113, "questions": 787},
        },
        "int8": {
            "memorised": {"hits": 480, "questions": 499},
            "paraphrase": {"hits": 659, "questions": 788},
            "unknown_refused": {"hits": 185, "questions": 203},
            "wrongly_refused": {"hits": 111, "questions": 786},
            "same_as_fp32": 0.98765,
        },
    },
    "refuse_below": 0.5577627718448639,
}
LOG = TrainingLog(
    {},
    [Step(1, 6.75034, 1e-4, 1.0, 9_000, 0.2), Step(1_357, 0.00876, 6e-5, 0.2, 9_100, 293.4)],
    [Evaluation(0, 6.71, []), Evaluation(1_350, 0.01548, [])],
    {},
)
DENSITY = "密度是质量除以体积。"
SAMPLES = [
    SampleAnswer("什么是密度?", DENSITY, 0.98721, False, DENSITY, "data/test.jsonl"),
    SampleAnswer("光有多快", "每秒约三十万千米。", 0.91, False, "光很快。", "data/test.jsonl"),
    SampleAnswer("明天下雨吗", REFUSAL_ANSWER, 0.31456, True, None, "train_log.jsonl"),
]  # fmt: skip


def hand_facts(**changes: Any) -> CardFacts:
    facts = CardFacts(
        repo_id="class7/our-gpt",
        config=Config(),
        vocab_size=824,
        parameters=3_368_192,
        tokenizer_file="tokenizer.json",
        metrics=copy.deepcopy(METRICS),
        log=LOG,
        weights={
            "fp32": WeightsFile("model.safetensors", 13_478_864, "d" * 64),
            "int8": WeightsFile("quantized/model.safetensors", 4_081_032, "e" * 64),
        },
        samples=SAMPLES,
    )
    return replace(facts, **changes)


def front_of(card: str) -> dict[str, Any]:
    _, front, _ = card.split("---\n", 2)
    return dict(yaml.safe_load(front))


def body_of(card: str) -> str:
    return card.split("---\n", 2)[2]


def cells_of(card: str) -> dict[str, list[str]]:
    """The other cells of each table row, under its first cell."""
    rows = [re.split(r"(?<!\\)\|", line)[1:-1] for line in card.splitlines() if line[:1] == "|"]
    return {row[0].strip(): [cell.strip() for cell in row[1:]] for row in rows}


def code_blocks(card: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```$", card, re.MULTILINE | re.DOTALL)


# ---------------------------------------------------------------- figures


def test_the_figures_of_a_card_are_those_worked_out_by_hand() -> None:
    card = model_card(hand_facts())
    cells = cells_of(card)
    assert cells["参数量 · parameters"] == [
        "V·d + L·(12·d² + 11·d) + d = 824·256 + 4·(12·256² + 11·256) + 256 = **3,368,192**"
    ]
    assert cells["memorised"] == ["482/500 96.4%", "480/499 96.2%"]
    assert cells["paraphrase"] == ["661/789 83.8%", "659/788 83.6%"]
    assert cells["unknown refused"] == ["186/204 91.2%", "185/203 91.1%"]
    assert cells["wrongly refused"] == ["113/787 14.4%", "111/786 14.1%"]
    assert cells["train"] == ["`data/train.jsonl`", "9,385", "417", f"`{'24a9'.rjust(64, 'a')}`"]
    assert cells["训练时间 · time"] == ["293.8 s = 4.9 min"]
    assert cells["更新次数 · updates"] == ["1,357"]
    assert cells["读过的词元 · tokens read"] == ["2,324,814"]
    assert cells["内存峰值 · peak memory"] == ["900 MB"]
    assert cells["torch"] == ["2.13.0+cpu"]
    assert cells["代码版本 · commit"] == [f"`{'c' * 40}`"]
    assert cells["原精度 fp32"] == ["`model.safetensors`", "13,478,864", f"`{'d' * 64}`"]
    assert cells["量化 int8"] == ["`quantized/model.safetensors`", "4,081,032", f"`{'e' * 64}`"]
    assert cells["什么是密度?"][1:3] == ["0.987", "是 · yes"]
    assert cells["光有多快"][1:3] == ["0.910", "否 · no"]
    assert cells["明天下雨吗"] == [REFUSAL_ANSWER, "0.315", "–", "`train_log.jsonl`"]
    assert "第 1 次更新 6.7503 → 第 1,357 次 0.0088（" in card
    assert "第 1,350 次更新后 0.0155。" in card
    assert "低于 0.558 就拒答" in card
    assert "回答相同：98.8%。" in card


def leaves(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from leaves(inner, (*path, key))
    else:
        yield path, value


def allowed_numbers(facts: CardFacts) -> list[float]:
    """Every number that a card may show, from the facts alone."""
    found = [float(v) for _, v in leaves(facts.metrics) if isinstance(v, (int, float))]
    found += [file.n_bytes for file in facts.weights.values()]
    found += [sample.confidence for sample in facts.samples]
    assert facts.log is not None
    for step in (facts.log.steps[0], facts.log.steps[-1]):
        found += [step.step, step.loss_nats]
    found += [x for e in facts.log.evaluations for x in (e.step, e.val_loss_nats) if x is not None]
    model, training = facts.config.model, facts.config.training
    found += [model.n_layer, model.n_head, model.n_embd, model.seq_len, facts.vocab_size]
    found += [facts.parameters, training.batch_size, training.question_weight]
    exams = facts.metrics["exam"].values()
    shares = [exam[key]["hits"] / exam[key]["questions"] for exam in exams for key in exam
              if key in FOUR_NUMBERS]  # fmt: skip
    found += [100 * share for share in [*shares, facts.metrics["exam"]["int8"]["same_as_fp32"]]]
    found += [facts.metrics["elapsed_seconds"] / 60, facts.metrics["peak_memory_bytes"] / 1e6]
    return [*found, 12, 11]  # of the formula


def unexplained(facts: CardFacts) -> list[str]:
    """The numbers of a card that are no fact, rounded as they are shown."""
    card = model_card(facts)
    texts = [str(v) for _, v in leaves(facts.metrics) if isinstance(v, str)]
    texts += [file.sha256 for file in facts.weights.values()]
    texts += [
        t for s in facts.samples for t in (s.question, s.answer, plain(s.question), plain(s.answer))
    ]
    texts += ["SHA-256", "fp32", "int8", "float32", facts.repo_id, facts.name]
    for text in sorted(texts, key=len, reverse=True):
        card = card.replace(text, "")
    card = re.sub(r"\[0(?=[\],])|, 1\]?|\[1\]|shape\[1\]", "", card)  # indices of example code
    allowed, wrong = allowed_numbers(facts), []
    for shown in re.findall(r"\d[\d,]*(?:\.\d+)?", card):
        decimals = len(shown.partition(".")[2])
        value = float(shown.replace(",", ""))
        if not any(abs(round(fact, decimals) - value) < 1e-9 for fact in allowed):
            wrong.append(shown)
    return wrong


def test_every_number_of_a_card_is_a_fact(tiny_facts: CardFacts) -> None:
    assert unexplained(hand_facts()) == []
    assert unexplained(tiny_facts) == []


def test_every_fact_that_a_card_shows_changes_the_card() -> None:
    """Nothing is typed by hand: another fact, another card."""
    card = model_card(hand_facts())
    for path, value in leaves(METRICS):
        facts = hand_facts()
        place = facts.metrics
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = f"{value}x" if isinstance(value, str) else value * 0.9
        if path in {("parameters",), ("is_text",)}:  # checked with the weights; no figure
            continue
        if path == ("max_steps",):
            facts.metrics["max_steps"] = 2_000
        assert model_card(facts) != card, path


def test_learned_positions_have_their_term_in_the_formula() -> None:
    config = Config(
        model=ModelConfig(position="learned", seq_len=100, n_embd=64, n_layer=2, n_head=2)
    )
    facts = hand_facts(config=config, vocab_size=300, parameters=125_376)
    assert formula(facts) == (
        "V·d + T·d + L·(12·d² + 11·d) + d = 300·64 + 100·64 + 2·(12·64² + 11·64) + 64 = **125,376**"
    )


# ---------------------------------------------------------------- the Hub


def test_the_front_matter_is_what_the_hub_wants() -> None:
    front = front_of(model_card(hand_facts()))
    (index,) = front.pop("model-index")
    assert front == {
        "license": "mit",
        "language": ["zh"],
        "library_name": "transformers",
        "pipeline_tag": "text-generation",
        "tags": ["chinese", "education", "tiny", "gpt-teacher", "arcee"],
    }
    assert index["name"] == "our-gpt"
    shown = [
        (r["dataset"]["name"], *((metric["type"], metric["value"]) for metric in r["metrics"]))
        for r in index["results"]
    ]
    assert shown == [
        ("data/train.jsonl", ("exact_match", 96.4)),
        ("data/test.jsonl", ("exact_match", 83.8), ("false_refusal_rate", 14.4)),
        ("data/unknown_test.jsonl", ("accuracy", 91.2)),
    ]
    for result in index["results"]:
        assert result["task"]["type"] == "question-answering"
        assert result["dataset"]["type"] == "custom"
        assert all(m["verified"] is False and m["name"] for m in result["metrics"])


def test_huggingface_hub_reads_and_writes_the_same_card() -> None:
    content = model_card(hand_facts())
    card = ModelCard(content, ignore_metadata_errors=False)
    assert card.data.model_name == "our-gpt"
    assert [result.metric_value for result in card.data.eval_results] == [96.4, 83.8, 14.4, 91.2]
    assert card.data.to_dict() == front_of(content)
    assert front_of(str(card)) == front_of(content)
    assert card.text.strip() == body_of(content).strip()


# ---------------------------------------------------------------- a real run


@pytest.fixture(scope="module")
def repo(tiny_run: TinyRun, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder laid out like the repo on the Hub."""
    folder = tmp_path_factory.mktemp("hub") / "repo"
    shutil.copytree(tiny_run.last, folder)
    shutil.copytree(tiny_run.quantized, folder / "quantized")
    return folder


@pytest.fixture(scope="module")
def tiny_facts(tiny_run: TinyRun) -> CardFacts:
    """The facts of the tiny run; its data lie where it was trained."""
    last, quantized = load_checkpoint(tiny_run.last), load_checkpoint(tiny_run.quantized)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tiny_run.project)
        samples = choose_samples(
            last.metrics, log_of(tiny_run.last), from_pretrained(last.folder).answer
        )
    return read_facts("class7/tiny", last, quantized, samples)


def test_a_real_run_has_a_card_of_its_own_facts(tiny_facts: CardFacts, tiny_run: TinyRun) -> None:
    cells = cells_of(model_card(tiny_facts))
    exam = tiny_facts.metrics["exam"]["fp32"]
    assert cells["memorised"][0].startswith(f"{exam['memorised']['hits']}/{len(QUESTIONS)} ")
    assert cells["paraphrase"][0].startswith(f"{exam['paraphrase']['hits']}/{len(VALIDATION)} ")
    for name, folder in (("原精度 fp32", tiny_run.last), ("量化 int8", tiny_run.quantized)):
        file = folder / "model.safetensors"
        assert cells[name][1:] == [f"{file.stat().st_size:,}", f"`{file_sha256(file)}`"]
    train = tiny_run.project / "data" / "train.jsonl"
    assert cells["train"][1:] == [str(len(QUESTIONS)), "12", f"`{file_sha256(train)}`"]


def test_the_samples_of_a_real_run_are_its_own_answers(
    tiny_facts: CardFacts, tiny_run: TinyRun
) -> None:
    teacher = from_pretrained(tiny_run.last)
    assert tiny_facts.samples
    assert {s.source for s in tiny_facts.samples} == {"data/val.jsonl"}
    for sample in tiny_facts.samples:
        answer = teacher.answer(sample.question)
        assert (sample.answer, sample.confidence) == (answer.text, answer.min_probability)
        assert sample.expected == VALIDATION[sample.question]


def test_without_a_test_file_a_card_says_that_scores_are_optimistic(tiny_facts: CardFacts) -> None:
    assert "偏乐观" in model_card(tiny_facts)
    assert "偏乐观" not in model_card(hand_facts())


def test_the_example_code_runs_and_prints_the_stated_answer(
    tiny_facts: CardFacts, tiny_run: TinyRun, repo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    question = "什么是　密度？"  # the code must ask it as our own prompt spells it
    answer = from_pretrained(tiny_run.last).answer(question)
    sample = SampleAnswer(question, answer.text, answer.min_probability, False, None, "x")
    card = model_card(replace(tiny_facts, samples=[sample]))
    blocks = code_blocks(card.replace('"class7/tiny"', repr(str(repo))))
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", lambda folder, name: f"{folder}/{name}")
    printed = []
    for block in blocks:
        with contextlib.redirect_stdout(io.StringIO()) as output:
            exec(compile(block, "card", "exec"), {})
        printed.append(output.getvalue().strip())
    weights, transformers, project, quantized = printed
    assert weights == str(tiny_facts.parameters)
    assert f"# {tiny_facts.parameters:,}" in blocks[0]
    assert transformers == QUESTIONS["什么是密度?"] == answer.text
    assert '"content": "什么是密度"' in blocks[1]
    assert f"# {transformers}" in blocks[1]
    assert project == f"{answer} {answer.min_probability} False"
    assert quantized == ""


# ---------------------------------------------------------------- less than a whole run


def test_what_is_not_known_is_left_out() -> None:
    card = model_card(hand_facts(metrics={}, log=None, samples=[]))
    titles = re.findall(r"^## (\S+)", card, re.MULTILINE)
    assert titles == ["模型", "权重文件", "局限", "怎样使用", "许可证"]
    assert "model-index" not in front_of(card)
    assert not re.search(r"None|\bnan\b|loss_curve", card)
    assert REFUSAL_ANSWER not in card


@pytest.mark.parametrize("key", ["exam", "refuse_below", "cpu", "versions", "elapsed_seconds",
                                 "peak_memory_bytes", "code_commit", "fingerprints"])  # fmt: skip
def test_a_card_does_without_any_one_fact(key: str) -> None:
    facts = hand_facts()
    for missing in (None, "gone"):
        if missing is None and key in ("peak_memory_bytes", "code_commit", "refuse_below"):
            facts.metrics[key] = None
        else:
            facts.metrics.pop(key, None)
        assert "None" not in model_card(facts)
        front_of(model_card(facts))


def test_an_exam_of_an_older_format_is_left_out() -> None:
    metrics = METRICS | {"exam": {"fp32": {"memorised": {"right": 5, "questions": 6}}}}
    card = model_card(hand_facts(metrics=metrics))
    assert "## 成绩" not in card
    assert "model-index" not in front_of(card)


def test_an_unfinished_run_says_so() -> None:
    card = model_card(hand_facts(metrics=METRICS | {"steps": 40}))
    assert "**训练没有完成**：计划 1,357 次更新，只做了 40 次。" in card
    assert "训练没有完成" not in model_card(hand_facts())


def test_a_run_without_validation_has_no_validation_loss() -> None:
    log = replace(LOG, evaluations=[Evaluation(0, None, [])])
    card = model_card(hand_facts(log=log))
    assert "loss_curve.svg" in card
    assert "Validation loss after" not in card


@pytest.mark.parametrize(
    ("changes", "tags"),
    [
        ({"config": Config(model=ModelConfig(position="learned"))}, []),
        ({"tokenizer_file": "tokenizer.model"}, ["arcee"]),
    ],
)
def test_what_transformers_cannot_open_is_not_said_to_open(
    changes: dict[str, Any], tags: list[str]
) -> None:
    card = model_card(hand_facts(**changes))
    assert "AutoModel" not in card
    assert "transformers 打不开" in card
    assert front_of(card)["library_name"] == "gpt-teacher"
    assert front_of(card)["tags"] == ["chinese", "education", "tiny", "gpt-teacher", *tags]


def test_without_a_quantized_twin_nothing_is_said_of_it() -> None:
    facts = hand_facts()
    del facts.metrics["exam"]["int8"], facts.weights["int8"]
    card = model_card(facts)
    assert "int8" not in card
    assert "quantized" not in card


def test_it_is_told_that_questions_were_learnt_beside_the_loss() -> None:
    """Found here: the card said that the training loss counts them; it counts answers."""
    config = Config()
    config = replace(config, training=replace(config.training, question_weight=0.2))
    card = model_card(hand_facts(config=config))
    assert "损失只算回答。前 30% 的更新里，问题自己的词元也学，权重 0.2，" in card
    assert "The loss counts answers only. In the first 30% of the updates" in card
    assert "词元也学" not in model_card(hand_facts())


def test_a_model_of_plain_text_has_a_card_for_continuing(
    untrained_project: Path, tmp_path: Path
) -> None:
    novel = tmp_path / "novel.txt"
    novel.write_text(
        "云里的水滴太重，就落下来。梯度指出损失上升最快的方向。\n" * 60, encoding="utf-8"
    )
    overrides = ["data.format=lm", f"data.train_path={novel}", "data.val_path=null",
                 "training.max_steps=4", "training.eval_interval=2", "model.seq_len=16",
                 f"training.save_dir={tmp_path}", f"data.cache_dir={tmp_path}"]  # fmt: skip
    run_training(absolute_config(untrained_project, *overrides), Silent(), never)
    last = load_checkpoint(tmp_path / "last")
    samples = choose_samples(
        last.metrics,
        log_of(last.folder),
        lambda text: Answer("落下来。", (Token(0, 5, 0.25),), "eos"),
    )
    assert [s.answer for s in samples] == ["落下来。"] * len(samples) != []
    facts = read_facts("class7/novel", last, load_checkpoint(tmp_path / "quantized"), samples)
    card = model_card(facts)
    exam = last.metrics["exam"]
    assert cells_of(card)["每字节比特 · bits per byte"] == [
        str(exam[name]["val_bits_per_byte"]) for name in ("fp32", "int8")
    ]
    assert cells_of(card)["考了的词元 · tokens examined"] == [f"{exam['fp32']['val_tokens']:,}"] * 2
    tokens = last.metrics["fingerprints"]["data"]["train"]["tokens"]
    assert cells_of(card)["train"][:2] == ["`novel.txt`", f"{tokens:,}"]
    (result,) = front_of(card)["model-index"][0]["results"]
    assert result["metrics"][0]["value"] == exam["fp32"]["val_bits_per_byte"]
    assert "apply_chat_template" not in card
    assert "--raw" in card
    assert "memorised" not in card
    assert REFUSAL_ANSWER not in card
    assert str(tmp_path) not in card
    block = next(b for b in code_blocks(card) if "AutoTokenizer" in b)
    with contextlib.redirect_stdout(io.StringIO()) as output:
        exec(compile(block.replace('"class7/novel"', repr(str(last.folder))), "card", "exec"), {})
    assert output.getvalue().strip()


@pytest.mark.parametrize(
    ("opening", "continued", "chinese"),
    [("话说", "1", True), ("1", "山中", True), ("GREMIO:", "continued", False)],
)
def test_a_model_of_plain_text_is_called_chinese_only_if_its_text_is(
    opening: str, continued: str, chinese: bool
) -> None:
    """Found here: one of English characters had `language: zh`."""
    facts = hand_facts(samples=[SampleAnswer(opening, continued, 0.5, False, None, "log")])
    facts.metrics["is_text"] = True
    front = front_of(model_card(facts))
    assert front.get("language") == (["zh"] if chinese else None)
    assert ("chinese" in front["tags"]) == chinese
    ModelCard(model_card(facts), ignore_metadata_errors=False)
    facts.metrics["is_text"] = False
    assert front_of(model_card(facts))["language"] == ["zh"]


# ---------------------------------------------------------------- strangers' text


def test_hostile_text_stays_text() -> None:
    facts = hand_facts(samples=[SampleAnswer(HOSTILE, HOSTILE, 0.5, False, HOSTILE, HOSTILE)])
    facts.metrics["cpu"] = facts.metrics["versions"]["torch"] = HOSTILE
    facts.metrics["fingerprints"]["data"]["test"]["path"] = HOSTILE
    facts.metrics["code_commit"] = facts.metrics["fingerprints"]["tokenizer_sha256"] = HOSTILE
    card = model_card(facts)
    front = front_of(card)
    assert front["model-index"][0]["results"][1]["dataset"]["name"] == HOSTILE
    ModelCard(card, ignore_metadata_errors=False)
    prose = re.sub(r"^```.*?^```$", "", body_of(card), flags=re.MULTILINE | re.DOTALL)
    assert "<script" not in prose
    assert not re.search(r"(?<!\\)\]\(h", prose)
    assert not re.search(r"(?<!\\)\$|(?<!\\)@", prose)
    titles = re.findall(r"^#.*", card, re.MULTILINE)
    assert titles == re.findall(r"^#.*", model_card(hand_facts()), re.MULTILINE)
    for line in prose.splitlines():
        if line.startswith("| ") and "script" in line:
            n_cells = len(re.findall(r"(?<!\\)\|", line)) - 1
            assert n_cells in (2, 5)
    assert card.count("\n```") == model_card(hand_facts()).count("\n```")
    for block in code_blocks(card):
        compile(block, "card", "exec")


@pytest.mark.parametrize(
    ("opening", "shown"),
    [
        ("a cat sat", '"a cat sat"'),  # '…' are no quotes in cmd.exe
        ('说："a $1 `b`"', None),
        ("it's \\frac", None),
    ],
)
def test_the_opening_of_a_command_is_one_word(opening: str, shown: str | None) -> None:
    facts = hand_facts(samples=[SampleAnswer(opening, "on", 0.5, False, None, "train_log.jsonl")])
    card = model_card(replace(facts, metrics={**facts.metrics, "is_text": True}))
    (line,) = re.findall(r"^python -m scripts\.ask --raw .*", card, re.MULTILINE)
    assert shlex.split(line)[4] == opening
    assert shown is None or f" --raw {shown} --checkpoint " in line


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("密度是质量除以体积。", "密度是质量除以体积。"),
        (" a\n\tb  c ", "a b c"),
        ("a|b", r"a\|b"),
        ("`x`*_", r"\`x\`\*\_"),
        ("<b>&", "&lt;b&gt;&amp;"),
        ("https://a.example", r"https\://a.example"),
        ("www.a.example", r"www\.a.example"),
        ("\\|", r"\\\|"),
        ("\u202e\u0000x", "x"),
        ("", ""),
        ("魑魅，hello world 🙂 ＡＢＣ", "魑魅，hello world 🙂 ＡＢＣ"),
    ],
)
def test_plain_text_is_escaped(text: str, shown: str) -> None:
    assert plain(text) == shown


def test_a_code_span_holds_only_what_cannot_break_it() -> None:
    assert code("data/a_b.jsonl") == "`data/a_b.jsonl`"
    assert code("a`b|c") == r"a\`b\|c"
    assert code("") == ""


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("data/train.jsonl", "data/train.jsonl"),
        ("/home/wang/三班.jsonl", "三班.jsonl"),
        ("C:/Users/wang/三班.jsonl", "三班.jsonl"),
        ("C:wang/三班.jsonl", "三班.jsonl"),
        ("../老师 的 U盘/三班.jsonl", "三班.jsonl"),
        ("..\\王老师的桌面\\三班.jsonl", "三班.jsonl"),
        ("~/wang/三班.jsonl", "三班.jsonl"),
        ("data/..三班.jsonl", "data/..三班.jsonl"),
    ],
)
def test_a_path_that_leads_elsewhere_tells_only_the_name_of_the_file(path: str, shown: str) -> None:
    assert shown_path(path) == shown


# ---------------------------------------------------------------- choosing samples, reading facts


@pytest.fixture
def asked_files(tiny_project: Any, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Metrics of a run whose files lie in the working folder."""
    monkeypatch.chdir(tiny_project())
    Path("unknown.jsonl").write_text(
        "".join(f'{{"prompt": "未知{n}", "completion": "{REFUSAL_ANSWER}"}}\n' for n in range(20)),
        encoding="utf-8",
    )
    files = {"train": "data/train.jsonl", "val": "data/val.jsonl", "unknown_val": "unknown.jsonl"}
    described = {
        split: {"path": path, "sha256": file_sha256(Path(path)), "rows_used": 3}
        for split, path in files.items()
    }
    return {"fingerprints": {"data": described}}


def refuse(*questions: str) -> Any:
    def ask(question: str) -> Answer:
        text = REFUSAL_ANSWER if question in questions else f"答：{question}"
        return Answer(text, (Token(0, 5, 0.9), Token(0, 6, 0.4)), "eos")

    return ask


def test_samples_are_of_the_files_three_answered_and_one_refused(
    asked_files: dict[str, Any],
) -> None:
    samples = choose_samples(asked_files, None, refuse("未知3", "未知5"))
    assert [(s.question, s.refused) for s in samples] == [
        *((question, False) for question in VALIDATION),
        ("未知3", True),
    ]
    assert samples[0] == SampleAnswer(
        "密度是什么?", "答：密度是什么?", 0.4, False, VALIDATION["密度是什么?"], "data/val.jsonl"
    )
    assert samples == choose_samples(asked_files, None, refuse("未知3", "未知5"))


def test_a_file_that_has_changed_is_not_asked_from(asked_files: dict[str, Any]) -> None:
    Path("data/val.jsonl").write_text('{"prompt": "a", "completion": "b"}\n', encoding="utf-8")
    samples = choose_samples(asked_files, None, refuse("什么是密度?"))
    assert {s.source for s in samples} == {"data/train.jsonl"}
    assert [s.question for s in samples] == [
        "什么是梯度?",
        "写三个全角字母",
        "光有多快?",
        "什么是密度?",
    ]
    assert samples[-1].refused, "no unknown question was refused, so a known one stands there"


def test_without_files_the_probes_of_the_log_are_asked() -> None:
    probes = [Sample("旧问题", "旧回答", []), Sample("要拒答", "", [])]
    log = replace(LOG, evaluations=[Evaluation(0, 1.0, []), Evaluation(9, 0.1, probes)])
    samples = choose_samples({}, log, refuse("要拒答"))
    assert [(s.question, s.answer, s.expected) for s in samples] == [
        ("旧问题", "答：旧问题", None),
        ("要拒答", REFUSAL_ANSWER, None),
    ]
    assert choose_samples({}, None, refuse()) == []


@pytest.mark.parametrize(
    ("place", "value", "said"),
    [
        ("exam", "x", "exam is 'x'"),
        ("exam.int8", None, "exam.int8 is None"),
        ("exam.fp32.memorised", 12, "exam.fp32.memorised is 12"),
        ("exam.fp32.memorised.hits", "x", "exam.fp32.memorised.hits is 'x'"),
        ("exam.int8.same_as_fp32", "x", "exam.int8.same_as_fp32 is 'x'"),
        ("refuse_below", "x", "refuse_below is 'x'"),
        ("versions", None, "versions is None"),
        ("cpu", ["a"], "cpu is ['a']"),
        ("parameters", "many", "parameters is 'many'"),
        ("elapsed_seconds", "x" * 99, f"elapsed_seconds is '{'x' * 39}"),
        ("fingerprints", [], "fingerprints is []"),
        ("fingerprints.data.train", 5, "fingerprints.data.train is 5"),
        ("fingerprints.data.val.path", None, "fingerprints.data.val.path is None"),
    ],
)
def test_metrics_that_somebody_has_edited_are_one_sentence(
    tiny_run: TinyRun, place: str, value: Any, said: str
) -> None:
    """Found here: each of these was a traceback when a model was published, or shown."""
    last = load_checkpoint(tiny_run.last)
    inside = metrics = copy.deepcopy(last.metrics)
    *parents, key = place.split(".")
    for parent in parents:
        inside = inside[parent]
    inside[key] = value
    with pytest.raises(CheckpointError) as raised:
        read_facts("a/b", replace(last, metrics=metrics), None, [])
    assert str(raised.value) == (
        f"{last.folder / 'metrics.json'} is damaged: {said}; copy the whole checkpoint folder again"
    )


def test_a_data_file_without_its_path_or_sum_is_no_traceback(
    asked_files: dict[str, Any],
) -> None:
    for key in ("path", "sha256"):
        facts = hand_facts()
        for file in facts.data.values():
            del file[key]
        assert "–" in cells_of(model_card(facts))["train"][0 if key == "path" else -1]
        metrics = copy.deepcopy(asked_files)
        for file in metrics["fingerprints"]["data"].values():
            del file[key]
        assert choose_samples(metrics, None, refuse()) == []


def test_weights_of_two_runs_make_no_card(tiny_run: TinyRun) -> None:
    last, quantized = load_checkpoint(tiny_run.last), load_checkpoint(tiny_run.quantized)
    other = replace(quantized, metrics=quantized.metrics | {"seed": 7})
    with pytest.raises(CheckpointError, match=r"are not of one run; .*scripts\.train --resume"):
        read_facts("a/b", last, other, [])
    wrong = replace(last, metrics=last.metrics | {"parameters": 5})
    with pytest.raises(CheckpointError, match=r"parameters, its metrics says 5; copy"):
        read_facts("a/b", wrong, None, [])
