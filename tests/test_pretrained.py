"""The shipped model, data and tokenizer are what they are said to be."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch

from gpt_teacher import SHIPPED, Pretrained, from_pretrained
from gpt_teacher.config import load_config
from gpt_teacher.corpus import read_corpus
from gpt_teacher.evaluate import same_answers, take_exam
from gpt_teacher.model import n_parameters
from gpt_teacher.prompt import encode_prompt, normalise
from gpt_teacher.run_log import LOG_FILE, read_log
from gpt_teacher.text_files import Row, file_sha256, read_rows
from gpt_teacher.tokenizer import load_tokenizer
from gpt_teacher.tokenizer_training import train_tokenizer
from scripts.build_tokenizer import training_texts
from scripts.ship import README, facts

ROOT = Path(__file__).parent.parent
CLASSICS = {
    "什么是注意力机制?": "注意力",
    "解释RoPE的作用": "RoPE",
    "解释蒸馏水与纯水区别?": "蒸馏",
    "什么是RMSNorm?": "RMSNorm",
}


@pytest.fixture(scope="module")
def last() -> Pretrained:
    return from_pretrained(SHIPPED / "last")


@pytest.fixture(scope="module")
def quantized() -> Pretrained:
    return from_pretrained(SHIPPED / "quantized")


@pytest.fixture(scope="module")
def val_rows() -> list[Row]:
    return read_rows(ROOT / "data" / "val.jsonl")


@pytest.fixture(scope="module")
def some_train_rows() -> list[Row]:
    return read_rows(ROOT / "data" / "train.jsonl")[::8]


def test_the_shipped_model_has_the_parameters_of_the_formula(last: Pretrained) -> None:
    counted = sum(p.numel() for p in last.model.parameters())
    assert counted == n_parameters(last.config.model, last.tokenizer.vocab_size) == 3_368_192


@pytest.mark.parametrize(("question", "word"), CLASSICS.items())
def test_the_classic_questions_are_answered_in_either_width(
    last: Pretrained, quantized: Pretrained, question: str, word: str
) -> None:
    taught = {row.prompt: row.completion for row in read_rows(ROOT / "data" / "train.jsonl")}
    for asked in (question, question.replace("?", "？"), f" {question}\n"):
        assert last.answer(asked) == taught[question]
        assert quantized.answer(asked) == taught[question]
    assert word in taught[question]


def test_it_remembers_all_that_it_was_taught(last: Pretrained) -> None:
    taught = [row for n in ("train", "unknown") for row in read_rows(ROOT / "data" / f"{n}.jsonl")]
    assert take_exam(last.model, last.tokenizer, taught).mistakes == []


def test_it_answers_nine_of_ten_held_out_wordings(last: Pretrained, val_rows: list[Row]) -> None:
    exam = take_exam(last.model, last.tokenizer, val_rows)
    assert exam.share >= 0.9
    measured = last.metrics["exam"]["fp32"]["validation"]  # type: ignore[index]
    assert exam.n_questions == measured["questions"]
    assert abs(exam.n_right - measured["right"]) <= 2, "machines round differently, a little"


def test_the_quantized_model_is_small_and_answers_alike(
    last: Pretrained, quantized: Pretrained, val_rows: list[Row], some_train_rows: list[Row]
) -> None:
    assert (SHIPPED / "quantized" / "model.safetensors").stat().st_size <= 4.3e6
    rows = val_rows + some_train_rows
    ours, theirs = (take_exam(c.model, c.tokenizer, rows).answers for c in (last, quantized))
    assert same_answers(ours, theirs) >= 0.98


def test_held_out_wordings_are_not_taught() -> None:
    taught = {normalise(row.prompt) for row in read_rows(ROOT / "data" / "train.jsonl")}
    for name in ("val", "test"):
        for row in read_rows(ROOT / "data" / f"{name}.jsonl"):
            assert normalise(row.prompt) not in taught


def test_the_data_files_are_what_the_sources_make() -> None:
    for name, items in read_corpus(ROOT / "data" / "source").items():
        written = (ROOT / "data" / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
        assert [json.loads(line)["prompt"] for line in written] == [i.prompt for i in items]
        assert [json.loads(line)["completion"] for line in written] == [i.completion for i in items]


def test_the_corpus_is_as_large_as_promised() -> None:
    corpus = read_corpus(ROOT / "data" / "source")
    topics = {item.id for item in corpus["train"]}
    assert len(topics) >= 80
    for id in topics:
        assert sum(item.id == id for item in corpus["train"]) >= 6
        assert sum(item.id == id for item in corpus["val"]) >= 1


def test_the_shipped_tokenizer_is_what_the_data_make() -> None:
    config = load_config(ROOT / "config.yaml")
    rebuilt = train_tokenizer(training_texts(config), config.tokenizer)
    shipped = load_tokenizer(ROOT / "tokenizer" / "tokenizer.json")
    assert rebuilt.vocab_size == 824
    assert rebuilt.fingerprint == shipped.fingerprint
    assert from_pretrained(SHIPPED / "last").tokenizer.fingerprint == shipped.fingerprint


def test_the_shipped_model_was_trained_on_the_shipped_data(last: Pretrained) -> None:
    for split in last.metrics["fingerprints"]["data"].values():  # type: ignore[index]
        assert file_sha256(ROOT / split["path"]) == split["sha256"]
    assert last.config.data == load_config(ROOT / "config.yaml").data


def test_the_readme_of_the_shipped_model_is_made_of_its_metrics(last: Pretrained) -> None:
    rows = [f"| {title} | {value} |" for title, value in facts(last.metrics, SHIPPED).items()]
    written = (SHIPPED / "README.md").read_text(encoding="utf-8")
    assert written == README.format(table="\n".join(rows))


def test_the_shipped_log_tells_the_whole_run(last: Pretrained) -> None:
    path = SHIPPED / "last" / LOG_FILE
    log = read_log(path)
    assert path.stat().st_size < 1_000_000
    assert log.last_step == last.metrics["steps"] == log.end["steps"]
    assert log.steps[0].loss_nats == pytest.approx(6.714, rel=0.05)  # ln 824
    assert log.evaluations[0].step == 0
    assert log.evaluations[-1].step == log.last_step
    assert log.end["exam"] == last.metrics["exam"]


def test_transformers_gives_the_same_logits_and_answers(last: Pretrained) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    theirs = AutoModelForCausalLM.from_pretrained(SHIPPED / "last")
    tokenizer = AutoTokenizer.from_pretrained(SHIPPED / "last")
    for question in CLASSICS:
        chat = [{"role": "user", "content": question}]
        ids = tokenizer.apply_chat_template(
            chat, add_generation_prompt=True, return_tensors="pt", return_dict=True
        )
        assert ids["input_ids"][0].tolist() == encode_prompt(last.tokenizer, question)
        with torch.inference_mode():
            ours = last.model(ids["input_ids"])
            difference = (ours - theirs(**ids).logits).abs().max().item()
        assert difference <= 1e-5
        generated = theirs.generate(**ids)[0, ids["input_ids"].shape[1] :]
        text = tokenizer.decode(generated, skip_special_tokens=True)
        assert text == last.answer(question)


def test_the_package_says_which_questions_it_does_not_know(last: Pretrained) -> None:
    rows = read_rows(ROOT / "data" / "unknown.jsonl")[::25]
    answers = [last.answer(row.prompt) for row in rows]
    assert all(answer.refused for answer in answers)
    assert not last.answer("什么是注意力机制?").refused


@pytest.mark.parametrize("name", ["README.md", "README_EN.md"])
def test_the_code_of_the_readme_prints_the_answer(
    name: str,
    last: Pretrained,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(ROOT)
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / name).read_text(encoding="utf-8"), re.S)
    assert len(blocks) == 2
    for block in blocks:
        exec(block, {})
        assert last.answer("什么是注意力机制?").text in capsys.readouterr().out
