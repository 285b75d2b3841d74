"""Exams counted by hand, losses weighted by targets, probes that tell what the model says."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from conftest import QUESTIONS, VALIDATION, Silent, TinyRun

from gpt_teacher import Pretrained, from_pretrained
from gpt_teacher.config import Config, SamplingConfig
from gpt_teacher.data import TrainingData, load_training_data
from gpt_teacher.errors import PromptError
from gpt_teacher.evaluate import (
    Mistake,
    evaluating,
    first_tokens,
    probe,
    same_answers,
    take_exam,
    validation_loss,
)
from gpt_teacher.final_exam import final_exam, target_bytes
from gpt_teacher.loss import IGNORE_INDEX, Batch, next_token_loss, token_log_probabilities
from gpt_teacher.model import GPT
from gpt_teacher.prompt import encode_prompt
from gpt_teacher.questions import question_validation
from gpt_teacher.sampler import Answer, answers, continue_text
from gpt_teacher.text_files import Row
from gpt_teacher.tokenizer import EOS_ID

ROWS = [Row(prompt, answer, line) for line, (prompt, answer) in enumerate(QUESTIONS.items(), 1)]
NASTY = ["", "魑魅，hello world 🙂", "ＡＢＣ　，", "\r\n\t"]


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Tiny matrices gain nothing from threads, and lose much on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def trained(tiny_run: TinyRun) -> Pretrained:
    return from_pretrained(tiny_run.last)


@pytest.fixture
def forgetful(trained: Pretrained) -> GPT:
    """The trained model in training mode, with dropout: it answers well in eval mode only."""
    model = GPT(replace(trained.config.model, dropout=0.5), trained.tokenizer.vocab_size)
    model.load_state_dict(trained.model.state_dict())
    return model.train()


@pytest.fixture
def fresh(trained: Pretrained) -> GPT:
    torch.manual_seed(5)
    return GPT(trained.config.model, trained.tokenizer.vocab_size).eval()


# ---------------------------------------------------------------- exams


def test_an_exam_is_counted_by_hand(trained: Pretrained) -> None:
    """Of 12 rows that the model knows, 3 expect something else: nearly right is wrong."""
    rows = list(ROWS)
    rows[0] = rows[0]._replace(completion="密度是质量除以体积")  # no full stop
    rows[7] = rows[7]._replace(completion="hello world 🙂 ")
    rows[8] = rows[8]._replace(completion="ABC ,就是这三个。")  # half-width
    exam = take_exam(trained.model, trained.tokenizer, rows)
    assert (exam.n_right, exam.n_questions, exam.share) == (9, 12, 0.75)
    assert exam.mistakes == [
        Mistake("什么是密度?", "密度是质量除以体积", "密度是质量除以体积。"),
        Mistake("说一个表情", "hello world 🙂 ", "hello world 🙂"),
        Mistake("写三个全角字母", "ABC ,就是这三个。", "ＡＢＣ　，就是这三个。"),
    ]
    assert exam.answers == list(QUESTIONS.values())


def test_an_exam_without_questions_has_no_right_answers(trained: Pretrained) -> None:
    exam = take_exam(trained.model, trained.tokenizer, [])
    assert (exam.n_right, exam.n_questions, exam.share, exam.mistakes) == (0, 0, 0.0, [])


def test_an_exam_is_taken_without_dropout_and_gives_the_model_back_as_it_was(
    trained: Pretrained, forgetful: GPT
) -> None:
    exam = take_exam(forgetful, trained.tokenizer, ROWS)
    assert exam.n_right == 12
    assert forgetful.training
    sober = answers(forgetful, trained.tokenizer, list(QUESTIONS), SamplingConfig())
    assert sober != exam.answers, "with dropout this model must fail, or the test shows nothing"
    forgetful.eval()
    take_exam(forgetful, trained.tokenizer, ROWS[:1])
    assert not forgetful.training


def test_evaluating_gives_the_model_back_as_it_was_after_an_error(forgetful: GPT) -> None:
    with pytest.raises(PromptError, match="65 tokens do not fit"), evaluating(forgetful):
        forgetful(torch.zeros(1, 65, dtype=torch.long))
    assert forgetful.training
    assert forgetful.layers[0].dropout.training


def test_same_answers_is_the_share_of_equal_texts() -> None:
    def make(*texts: str) -> list[Answer]:
        return [Answer(text, [0.5], "eos") for text in texts]

    assert same_answers(make("a", "b", "c", "d"), make("a", "B", "c", "")) == 0.5
    assert same_answers(make(*NASTY), make(*NASTY)) == 1.0
    assert same_answers([], []) == 0.0


# ---------------------------------------------------------------- validation loss


def test_validation_loss_weighs_batches_by_their_targets(trained: Pretrained) -> None:
    """A long answer that the model knows and a short one that it does not: no mean of means."""
    tokenizer, model = trained.tokenizer, trained.model
    known = question_validation([ROWS[6]], tokenizer, 1)
    wrong = question_validation([Row("什么是密度?", "糖", 1)], tokenizer, 1)
    batches = [*known, *wrong]
    with torch.no_grad():
        logs = [token_log_probabilities(model, batch) for batch in batches]
    counts = [int((batch.targets != IGNORE_INDEX).sum()) for batch in batches]
    sums = [-log.double().sum().item() for log in logs]
    loss = validation_loss(model, batches, next_token_loss)
    assert loss == pytest.approx(sum(sums) / sum(counts), rel=1e-4)
    mean_of_means = sum(s / n for s, n in zip(sums, counts, strict=True)) / 2
    assert counts[0] > 3 * counts[1]
    assert loss < 0.7 * mean_of_means


@pytest.mark.parametrize("micro_batch", [1, 5, 12])
def test_validation_loss_does_not_depend_on_how_rows_are_batched(
    trained: Pretrained, micro_batch: int
) -> None:
    rows = [*ROWS[:5], *(Row(text or "空", "魑魅，hello world 🙂", 1) for text in NASTY)]
    split = question_validation(rows, trained.tokenizer, micro_batch)
    whole = question_validation(rows, trained.tokenizer, len(rows))
    expected = validation_loss(trained.model, whole, next_token_loss)
    assert expected > 0.1
    assert validation_loss(trained.model, split, next_token_loss) == pytest.approx(
        expected, rel=1e-4
    )


def test_validation_loss_is_taken_without_dropout(trained: Pretrained, forgetful: GPT) -> None:
    batches = question_validation(ROWS, trained.tokenizer, 6)
    expected = validation_loss(trained.model, batches, next_token_loss)
    assert validation_loss(forgetful, batches, next_token_loss) == pytest.approx(expected)
    assert forgetful.training
    assert all(parameter.grad is None for parameter in forgetful.parameters())


# ---------------------------------------------------------------- probes


def test_a_probe_tells_the_answer_and_the_likeliest_first_tokens(trained: Pretrained) -> None:
    tokenizer = trained.tokenizer
    questions = ["什么是密度?", "what is RoPE?", *NASTY]
    samples = probe(trained.model, tokenizer, questions)
    assert [sample.question for sample in samples] == questions
    assert [sample.answer for sample in samples[:2]] == [
        QUESTIONS["什么是密度?"],
        QUESTIONS["what is RoPE?"],
    ]
    for sample, completion in zip(samples, ["密度是质量", "RoPE turns"], strict=False):
        label, probability = sample.first_tokens[0]
        assert label == tokenizer.label(tokenizer.encode(completion)[0])
        assert probability > 0.9
    for sample in samples:
        ids = encode_prompt(tokenizer, sample.question)
        with torch.no_grad():
            expected = trained.model(torch.tensor([ids]))[0, -1].softmax(dim=-1).tolist()
        best = sorted(range(len(expected)), key=expected.__getitem__, reverse=True)[:5]
        assert [label for label, _ in sample.first_tokens] == [tokenizer.label(i) for i in best]
        found = [probability for _, probability in sample.first_tokens]
        assert found == pytest.approx([expected[i] for i in best], abs=1e-5)


def test_a_raw_probe_continues_a_text(trained: Pretrained) -> None:
    tokenizer, text = trained.tokenizer, "用户:光有多快?\n助手:"
    settings = SamplingConfig(max_new_tokens=32)  # half of the context
    (sample,) = probe(trained.model, tokenizer, [text], raw=True)
    expected = list(continue_text(trained.model, tokenizer, text, settings))[-1]
    assert sample.answer == expected.text
    assert sample.first_tokens == first_tokens(trained.model, tokenizer, tokenizer.encode(text))


def test_an_untrained_model_does_not_babble_on_in_a_probe(trained: Pretrained, fresh: GPT) -> None:
    fresh.train()
    (sample,) = probe(fresh, trained.tokenizer, ["什么是密度?"])
    short = SamplingConfig(max_new_tokens=32)
    fresh.eval()
    (expected,) = answers(fresh, trained.tokenizer, ["什么是密度?"], short, clean=False)
    assert sample.answer == expected.text
    assert expected.finish_reason == "length"


# ---------------------------------------------------------------- the final exam


@pytest.fixture(scope="module")
def questions(tiny_run: TinyRun, trained: Pretrained) -> TrainingData:
    return load_training_data(tiny_run.config, trained.tokenizer)


def test_the_final_exam_compares_both_models_question_by_question(
    trained: Pretrained, fresh: GPT, questions: TrainingData
) -> None:
    said = Silent()
    models = {"fp32": trained.model, "int8": fresh}
    results, table = final_exam(models, trained.tokenizer, questions, 1.0, said.say)
    right = {"right": 12, "questions": 12}
    wrong = {"right": 0, "questions": 12, "same_as_fp32": 0.0}
    assert (results["fp32"]["memorised"], results["int8"]["memorised"]) == (right, wrong)
    by_hand = sum(
        given == expected
        for given, expected in zip(
            answers(trained.model, trained.tokenizer, [*VALIDATION], SamplingConfig()),
            VALIDATION.values(),
            strict=True,
        )
    )
    assert results["fp32"]["validation"]["right"] == by_hand
    assert results["fp32"]["validation"]["questions"] == 3
    assert table[0].split() == ["fp32", "int8", "same", "answer"]
    scores = ["12/12", "100.0%", "0/12", "0.0%", "0.0%"]
    assert table[1].split() == ["training", "questions", *scores]
    assert table[2].split()[:3] == ["validation", "questions", f"{by_hand}/3"]
    assert [line.split()[1] for line in said.said] == ["12", "3"]


def test_a_shorter_exam_asks_questions_spread_over_the_file(
    trained: Pretrained, questions: TrainingData
) -> None:
    """Half of 12 rows, of which every other one is made wrong: asked are rows 0 2 4 …"""
    rows = [
        row._replace(completion="错") if line % 2 else row
        for line, row in enumerate(questions.train_rows)
    ]
    models = {"fp32": trained.model, "int8": trained.model}
    results, _ = final_exam(
        models, trained.tokenizer, replace(questions, train_rows=rows), 0.5, Silent().say
    )
    assert results["int8"]["memorised"] == {"right": 6, "questions": 6, "same_as_fp32": 1.0}
    assert results["fp32"]["validation"]["questions"] == 2


@pytest.fixture
def text(tiny_run: TinyRun, trained: Pretrained, tmp_path: Path) -> TrainingData:
    """Plain text, its last third for validation."""
    path = tmp_path / "text.txt"
    path.write_text("密度是质量除以体积。\n魑魅，hello world 🙂\nＡＢＣ　，\r\n\t" * 30, "utf-8")
    config: Config = replace(
        tiny_run.config,
        data=replace(
            tiny_run.config.data,
            train_path=str(path),
            val_path=None,
            val_fraction=0.34,
            format="lm",
            cache_dir=str(tmp_path / "cache"),
        ),
    )
    return load_training_data(config, trained.tokenizer)


def test_the_final_exam_of_plain_text_is_in_nats_a_token_and_bits_a_byte(
    trained: Pretrained, fresh: GPT, text: TrainingData
) -> None:
    """Recomputed from the targets' own bytes, window by window."""
    models = {"fp32": trained.model, "int8": fresh}
    results, table = final_exam(models, trained.tokenizer, text, 1.0, Silent().say)
    assert len(text.val_text) > 1
    for name, model in models.items():
        nats, n_tokens, n_bytes = 0.0, 0, 0
        for batch in text.val_text:
            with torch.no_grad():
                nats -= token_log_probabilities(model, batch).double().sum().item()
            n_tokens += batch.targets.numel()
            ids = [i for row in batch.targets.tolist() for i in row if i != EOS_ID]
            n_bytes += sum(len(trained.tokenizer.token_bytes(i)) for i in ids)
        assert results[name]["val_loss_nats"] == pytest.approx(nats / n_tokens, abs=2e-5)
        bits = nats / math.log(2) / n_bytes
        assert results[name]["val_bits_per_byte"] == pytest.approx(bits, abs=2e-5)
        assert f"{name}: {nats / n_tokens:.4f} nats a token, {bits:.4f} bits a byte" in table
    assert results["fp32"] != results["int8"]


def test_targets_stand_for_the_bytes_of_their_text(trained: Pretrained) -> None:
    tokenizer = trained.tokenizer
    for sample in [*NASTY, "密度是质量除以体积。"]:
        ids = [*tokenizer.encode(sample), EOS_ID]
        targets = torch.tensor([[IGNORE_INDEX, *ids, IGNORE_INDEX]])
        batch = Batch(torch.zeros_like(targets), targets)
        assert target_bytes([batch, batch], tokenizer) == 2 * len(sample.encode())
