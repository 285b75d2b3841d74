"""Exams counted by hand, losses weighted by targets, probes that tell what the model says."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from conftest import QUESTIONS, VALIDATION, Silent, TinyRun

from gpt_teacher import Pretrained, evaluate, from_pretrained
from gpt_teacher import final_exam as final_exam_module
from gpt_teacher.config import Config, ModelConfig, SamplingConfig, TokenizerConfig
from gpt_teacher.data import SPLITS, TrainingData, load_training_data
from gpt_teacher.errors import PromptError
from gpt_teacher.evaluate import evaluating, first_tokens, probe, take_exam, validation_loss
from gpt_teacher.final_exam import final_exam, set_paper, target_bytes
from gpt_teacher.loss import IGNORE_INDEX, Batch, next_token_loss, token_log_probabilities
from gpt_teacher.model import GPT
from gpt_teacher.plain_text import text_validation
from gpt_teacher.prompt import REFUSAL_ANSWER, encode_prompt
from gpt_teacher.questions import question_validation
from gpt_teacher.sampler import answers, continue_text
from gpt_teacher.text_files import Row
from gpt_teacher.tokenizer import EOS_ID
from gpt_teacher.tokenizer_training import train_tokenizer

ROWS = [Row(prompt, answer, line) for line, (prompt, answer) in enumerate(QUESTIONS.items(), 1)]
NASTY = ["", "魑魅，hello world 🙂", "ＡＢＣ　，", "\r\n\t"]


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


def test_an_exam_holds_every_answer_and_how_sure_it_was(trained: Pretrained) -> None:
    """Of 12 rows that the model knows, 3 expect something else: nearly right is wrong."""
    rows = list(ROWS)
    rows[0] = rows[0]._replace(completion="密度是质量除以体积")  # no full stop
    rows[7] = rows[7]._replace(completion="hello world 🙂 ")
    rows[8] = rows[8]._replace(completion="ABC ,就是这三个。")  # half-width
    replies = take_exam(trained.model, trained.tokenizer, rows)
    assert [one.row for one in replies] == rows
    assert [one.text for one in replies] == list(QUESTIONS.values())
    assert [one.row.line for one in replies if not one.right(0.0)] == [
        rows[number].line for number in (0, 7, 8)
    ]
    single = [trained.answer(row.prompt).min_probability for row in rows]
    assert [one.min_probability for one in replies] == pytest.approx(single, abs=1e-4)


def test_an_exam_ignores_the_threshold_of_the_checkpoint(trained: Pretrained) -> None:
    """What it would say is asked; what is withheld follows from the probabilities."""
    assert trained.config.sampling.refuse_below is not None
    assert take_exam(trained.model, trained.tokenizer, ROWS)[0].text == ROWS[0].completion


def test_an_exam_lets_an_answer_be_as_long_as_what_is_expected(
    trained: Pretrained, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Answers longer than the default of the sampling settings never counted as right."""
    monkeypatch.setattr(evaluate, "GREEDY", SamplingConfig(max_new_tokens=2))
    replies = take_exam(trained.model, trained.tokenizer, ROWS)
    assert all(one.right(0.0) for one in replies)


def test_an_exam_without_questions_has_no_replies(trained: Pretrained) -> None:
    assert take_exam(trained.model, trained.tokenizer, []) == []


def test_an_exam_is_taken_without_dropout_and_gives_the_model_back_as_it_was(
    trained: Pretrained, forgetful: GPT
) -> None:
    replies = take_exam(forgetful, trained.tokenizer, ROWS)
    assert all(one.right(0.0) for one in replies)
    assert forgetful.training
    sober = answers(forgetful, trained.tokenizer, list(QUESTIONS), SamplingConfig())
    assert sober != [one.text for one in replies], (
        "with dropout this model must fail, or the test shows nothing"
    )
    forgetful.eval()
    take_exam(forgetful, trained.tokenizer, ROWS[:1])
    assert not forgetful.training


def test_evaluating_gives_the_model_back_as_it_was_after_an_error(forgetful: GPT) -> None:
    with pytest.raises(PromptError, match="65 tokens do not fit"), evaluating(forgetful):
        forgetful(torch.zeros(1, 65, dtype=torch.long))
    assert forgetful.training
    assert forgetful.layers[0].dropout.training


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
    results, table, threshold = final_exam(models, trained.tokenizer, questions, 1.0, said.say, 0.0)
    assert threshold == 0.0, "given, so not fitted"
    assert results["fp32"]["memorised"] == {"hits": 12, "questions": 12}
    assert results["int8"]["memorised"] == {"hits": 0, "questions": 12}
    assert results["int8"]["same_as_fp32"] == 0.0
    by_hand = sum(
        given == expected
        for given, expected in zip(
            answers(trained.model, trained.tokenizer, [*VALIDATION], SamplingConfig()),
            VALIDATION.values(),
            strict=True,
        )
    )
    assert results["fp32"]["paraphrase"] == {"hits": by_hand, "questions": 3}
    assert "unknown_refused" not in results["fp32"], "this run knows no unknown questions"
    assert table[0].split() == ["fp32", "int8"]
    assert table[1].split() == ["memorised", "12/12", "100.0%", "0/12", "0.0%"]
    assert table[2].split()[:2] == ["paraphrase", f"{by_hand}/3"]
    assert said.said == [f"exam: {2 * 15 + 3} questions …"]


def test_a_shorter_exam_asks_questions_spread_over_the_file(
    trained: Pretrained, questions: TrainingData, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half of 12 rows, of which every other one is made wrong: asked are rows 0 2 4 …"""
    monkeypatch.setattr(final_exam_module, "LEAST_ASKED", 1)
    rows = [
        row._replace(completion="错") if line % 2 else row
        for line, row in enumerate(questions.rows["train"])
    ]
    models = {"fp32": trained.model, "int8": trained.model}
    halved = replace(questions, rows=questions.rows | {"train": rows})
    results = final_exam(models, trained.tokenizer, halved, 0.5, Silent().say).results
    assert results["int8"]["memorised"] == {"hits": 6, "questions": 6}
    assert results["int8"]["same_as_fp32"] == 1.0
    assert results["fp32"]["paraphrase"]["questions"] == 2


def test_the_paper_scores_the_test_files_and_fits_on_the_validation_files(
    trained: Pretrained,
) -> None:
    """The threshold is never fitted on questions that it is then scored on."""
    rows = {split: [Row(f"{split} {n}", "答", n) for n in range(40)] for split in SPLITS}
    data = TrainingData(lambda *_: [], [], rows, [], [], False, {}, [])
    paper = set_paper(data, trained.tokenizer, 128)
    assert paper.taught == rows["train"]
    assert (paper.reworded, paper.unknown) == (rows["test"], rows["unknown_test"])
    assert (paper.fit_known, paper.fit_unknown) == (rows["val"], rows["unknown_val"])
    assert (paper.n_scored, paper.n_questions) == (120, 320)
    short = set_paper(data, trained.tokenizer, 128, most_taught=4, most_unknown=2)
    assert [row.line for row in short.taught] == [0, 10, 20, 30]
    assert [row.line for row in short.unknown] == [0, 20]
    assert short.reworded == rows["test"]


def test_ones_own_few_questions_are_all_asked_among_thousands_to_be_refused(
    trained: Pretrained,
) -> None:
    """Of 20 one was asked, and 499 that were to be refused: nothing learnt was 99.8 % memorised."""
    rows = {split: list[Row]() for split in SPLITS}
    rows["train"] = [Row(f"第{n}个问题是什么意思", f"答{n}", n) for n in range(20)]
    rows["unknown"] = [Row(f"没教过{n}", REFUSAL_ANSWER, n) for n in range(12_000)]
    rows["unknown_test"] = rows["unknown"]
    data = TrainingData(lambda *_: [], [], rows, [], [], False, {}, [])
    assert set_paper(data, trained.tokenizer, 128).taught == rows["train"]
    short = set_paper(data, trained.tokenizer, 128, share=0.25)
    assert (short.taught, len(short.unknown)) == (rows["train"], 500)


def test_without_held_out_wordings_the_threshold_is_fitted_on_garbled_taught_ones(
    trained: Pretrained,
) -> None:
    rows = {split: list[Row]() for split in SPLITS}
    rows["train"] = [Row(f"第{n}个问题是什么意思", f"答{n}", n) for n in range(30)]
    rows["unknown"] = [Row("今天天气怎么样", REFUSAL_ANSWER, 1)]
    data = TrainingData(lambda *_: [], [], rows, [], [], False, {}, [])
    paper = set_paper(data, trained.tokenizer, 128)
    assert (paper.reworded, paper.unknown) == ([], [])
    assert [row.completion for row in paper.fit_known] == [f"答{n}" for n in range(30)]
    assert paper.fit_known != rows["train"]
    assert paper.fit_unknown == rows["unknown"]
    longest = max(len(encode_prompt(trained.tokenizer, row.prompt)) for row in rows["train"])
    tight = set_paper(data, trained.tokenizer, longest + 1).fit_known
    assert max(len(encode_prompt(trained.tokenizer, row.prompt)) for row in tight) <= longest
    assert any(row in rows["train"] for row in tight)


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
    listener = Silent()
    results, table, threshold = final_exam(models, trained.tokenizer, text, 1.0, listener.say)
    assert threshold is None
    assert listener.said[0].startswith("exam:"), "by which Ctrl+C knows what goes on"
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


def test_a_shorter_exam_of_plain_text_tells_how_much_was_examined(
    trained: Pretrained, text: TrainingData
) -> None:
    models = {"fp32": trained.model, "int8": trained.model}
    sizes = [batch.targets.numel() for batch in text.val_text]
    for share, examined in ((1.0, sizes), (1e-9, sizes[:1])):
        results, table, _ = final_exam(models, trained.tokenizer, text, share, Silent().say)
        assert [results[name]["val_tokens"] for name in models] == [sum(examined)] * 2
        told = f"examined: {sum(examined):,} of {sum(sizes):,} validation tokens, spread evenly"
        assert (told in table) == (share < 1)
        assert len(table) == 2 + (share < 1)


def test_targets_stand_for_the_bytes_of_their_text(trained: Pretrained) -> None:
    tokenizer = trained.tokenizer
    for sample in [*NASTY, "密度是质量除以体积。"]:
        ids = [*tokenizer.encode(sample), EOS_ID]
        targets = torch.tensor([[IGNORE_INDEX, *ids, IGNORE_INDEX]])
        batch = Batch(torch.zeros_like(targets), targets)
        assert target_bytes([batch, batch], tokenizer) == 2 * len(sample.encode())


def test_the_numbers_of_an_exam_are_those_with_its_threshold(
    trained: Pretrained, questions: TrainingData
) -> None:
    """Below 1.0 all is refused: of 12 taught answers the refusal alone is right."""
    models = {"fp32": trained.model, "int8": trained.model}
    results, table, _ = final_exam(models, trained.tokenizer, questions, 1.0, Silent().say, 1.0)
    for scores in results.values():
        assert scores["memorised"] == {"hits": 1, "questions": 12}
        assert scores["wrongly_refused"] == {"hits": 3, "questions": 3}
    assert table[1].split() == ["memorised", "1/12", "8.3%", "1/12", "8.3%"]


def test_a_shorter_exam_of_plain_text_counts_its_own_tokens_and_bytes(
    trained: Pretrained, text: TrainingData
) -> None:
    models = {"fp32": trained.model, "int8": trained.model}
    part = replace(text, val_text=text.val_text[:1])
    share = 1 / len(text.val_text)
    given, expected = (
        final_exam(models, trained.tokenizer, data, s, Silent().say).results
        for data, s in ((text, share), (part, 1.0))
    )
    assert len(text.val_text) > 1
    assert given == expected


def test_the_threshold_is_fitted_with_the_float32_model(
    trained: Pretrained, fresh: GPT, questions: TrainingData, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[GPT] = []
    monkeypatch.setattr(final_exam_module, "fit_refusal", lambda m, *_: asked.append(m) or 0.25)
    models = {"fp32": trained.model, "int8": fresh}
    assert final_exam(models, trained.tokenizer, questions, 1.0, Silent().say).threshold == 0.25
    assert asked == [trained.model]


def test_a_text_with_unknown_characters_has_no_figure_in_bits_a_byte() -> None:
    """Found here: `<unk>` counted as three bytes foretold, which made 3.08 out of 4.31."""
    tokenizer = train_tokenizer(["话说山中有一猴，"], TokenizerConfig(type="char"))
    model = GPT(ModelConfig(n_layer=1, n_head=1, n_embd=16, seq_len=8), tokenizer.vocab_size)
    for text, known in (("话说山中有一猴，" * 4, True), ("话说山中有魑魅，" * 4, False)):
        ids = torch.tensor([*tokenizer.encode(text), EOS_ID], dtype=torch.int32)
        windows = text_validation(ids, 8, 2)
        assert (target_bytes(windows, tokenizer) is not None) == known
        data = TrainingData(
            lambda *_: [], [], {split: [] for split in SPLITS}, windows, [], True, {}, []
        )
        models = {"fp32": model, "int8": model}
        results, table, _ = final_exam(models, tokenizer, data, 1.0, Silent().say)
        assert ("val_bits_per_byte" in results["fp32"]) == known
        assert ("bits a byte" in table[0]) == known
        assert results["fp32"]["val_loss_nats"] > 0
        why = "no bits a byte: the text has characters that the tokenizer does not know"
        assert (table[-1] == why) == (not known)
