"""The shipped model, data and tokenizer are what they are said to be."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest
import torch

from gpt_teacher import SHIPPED, Pretrained, from_pretrained
from gpt_teacher.config import load_config
from gpt_teacher.data import spread
from gpt_teacher.evaluate import take_exam
from gpt_teacher.exam import FOUR_NUMBERS, Replies, Score, same_answers
from gpt_teacher.model import n_parameters
from gpt_teacher.prompt import encode_prompt
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
WORTH_SHIPPING = {  # number of the exam -> least and greatest share
    "memorised": (0.94, 1.0),
    "paraphrase": (0.87, 1.0),
    "unknown_refused": (0.87, 1.0),
    "wrongly_refused": (0.0, 0.1),
}


@pytest.fixture(scope="module")
def last() -> Pretrained:
    return from_pretrained(SHIPPED / "last")


@pytest.fixture(scope="module")
def quantized() -> Pretrained:
    return from_pretrained(SHIPPED / "quantized")


def test_the_shipped_model_has_the_parameters_of_the_formula(last: Pretrained) -> None:
    counted = sum(p.numel() for p in last.model.parameters())
    assert counted == n_parameters(last.config.model, last.tokenizer.vocab_size) == 3_368_192


@pytest.mark.parametrize(("question", "word"), CLASSICS.items())
def test_the_classic_questions_are_answered_in_either_width(
    last: Pretrained, quantized: Pretrained, question: str, word: str
) -> None:
    taught = {row.prompt: row.completion for row in rows_of("train")}
    for asked in (question, question.replace("?", "？"), f" {question}\n"):
        assert last.answer(asked) == taught[question]
        assert quantized.answer(asked) == taught[question]
    assert word in taught[question]


@pytest.fixture(scope="module")
def paper() -> tuple[list[Row], ...]:
    """A part of the final exam: taught, reworded and unknown questions."""
    return (
        spread(rows_of("train") + rows_of("unknown"), 100),
        spread(rows_of("test"), 130),
        spread(rows_of("unknown_test"), 40),
    )


def rows_of(name: str) -> list[Row]:
    return read_rows(ROOT / "data" / f"{name}.jsonl")


@pytest.fixture(scope="module")
def given(last: Pretrained, paper: tuple[list[Row], ...]) -> Replies:
    """What the model answers now."""
    return Replies(*(take_exam(last.model, last.tokenizer, rows) for rows in paper))


def test_the_four_numbers_are_those_of_its_metrics(last: Pretrained, given: Replies) -> None:
    """Asked again, on a part of the questions: the shares agree, and are worth shipping."""
    threshold = last.config.sampling.refuse_below
    assert threshold is not None
    measured = last.metrics["exam"]["fp32"]  # type: ignore[index]
    for name, score in given.scores(threshold).items():
        whole = Score(**measured[name])
        spread = math.sqrt(whole.share * (1 - whole.share) / score.questions)  # binomial
        assert abs(score.share - whole.share) <= 3 * spread + 0.01, name
    for name, (least, most) in WORTH_SHIPPING.items():
        assert least <= Score(**measured[name]).share <= most, name


def test_the_quantized_model_is_small_and_as_good(
    last: Pretrained, quantized: Pretrained, paper: tuple[list[Row], ...], given: Replies
) -> None:
    assert (SHIPPED / "quantized" / "model.safetensors").stat().st_size <= 4.3e6
    taught, reworded, _ = paper
    theirs = take_exam(quantized.model, quantized.tokenizer, taught + reworded)
    assert same_answers(given.taught + given.reworded, theirs) >= 0.98
    exams = last.metrics["exam"]
    for name in FOUR_NUMBERS:
        fp32, int8 = (Score(**exams[kind][name]).share for kind in ("fp32", "int8"))  # type: ignore[index]
        assert abs(fp32 - int8) <= 0.01, name


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
        # Attention written out, as here; its fused twin adds up in another order.
        theirs.set_attn_implementation("eager")
        with torch.inference_mode():
            ours = last.model(ids["input_ids"])
            difference = (ours - theirs(**ids).logits).abs().max().item()
        assert difference <= 1e-5
        theirs.set_attn_implementation("sdpa")
        generated = theirs.generate(**ids)[0, ids["input_ids"].shape[1] :]
        text = tokenizer.decode(generated, skip_special_tokens=True)
        assert text == last.answer(question)


def test_the_package_says_which_questions_it_does_not_know(last: Pretrained) -> None:
    rows = rows_of("unknown")[::25]
    answers = [last.answer(row.prompt) for row in rows]
    assert sum(answer.refused for answer in answers) >= 0.95 * len(answers)
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
    others = ("USER/NAME", "gradio_client")  # they need the Hub, or the page
    here = [block for block in blocks if not any(word in block for word in others)]
    assert len(here) == 2
    for block in here:
        exec(block, {})
        assert last.answer("什么是注意力机制?").text in capsys.readouterr().out
