"""The arithmetic of the benchmarks and the READMEs' table; what they measure is no test."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import torch

from benchmarks import readme, sizes
from benchmarks.common import ROOT, held_out_questions, summary
from benchmarks.generate import Round, describe
from benchmarks.original_recipe import OriginalRecipe
from benchmarks.quality import like_the_original
from benchmarks.readme import BEGIN, END, number, read_results, table, with_table
from benchmarks.sizes import SIZES, VOCABULARY, figures
from benchmarks.sizes_table import sizes_table
from benchmarks.train import in_short
from benchmarks.training_speed import PARTS, Trained, operations
from benchmarks.ways import Question, llama_cpp, until_end
from gpt_teacher.config import ModelConfig, load_config
from gpt_teacher.model import GPT, n_parameters
from gpt_teacher.prompt import Example
from gpt_teacher.questions import QuestionBatches
from gpt_teacher.text_files import Row, read_rows
from gpt_teacher.tokenizer import EOS_ID, PAD_ID, load_tokenizer

FACTS = {
    "cpu": "CPU",
    "cores": 2,
    "threads": 2,
    "versions": {"python": "3.11.2", "torch": "2.13.0"},
    "commit": "0123456789abcdef+",
}
RESULTS = {
    "generate": {
        "facts": FACTS,
        "ways": {
            "fp32": {"1": {"tokens_per_second": {"median": 1234.5, "min": 987.6, "max": 2000.1}}}
        },
        "ratios": {"int8_by_fp32": {"median": 1.5, "min": 1.25, "max": 10.75}},
    },
    "serve": {"facts": FACTS | {"commit": None}, "memory_mb": {"after_soak": 512.34}},
}


def test_a_summary_is_counted_by_hand() -> None:
    """Of 20 values, 19 are at most the 19th: 95 %. Of 21, 19 are too few, so it is the 20th."""
    assert summary([4.0, 1.0, 2.0, 3.0]) == {
        "median": 2.5,
        "min": 1.0,
        "max": 4.0,
        "p95": 4.0,
        "n": 4,
    }
    assert summary([float(n) for n in range(20, 0, -1)])["p95"] == 19.0
    assert summary([float(n) for n in range(21, 0, -1)])["p95"] == 20.0
    hundred = summary([float(n) for n in range(100, 0, -1)])
    assert (hundred["median"], hundred["p95"]) == (50.5, 95.0)
    assert summary([0.12345], digits=3)["p95"] == 0.123


def test_the_questions_are_spread_evenly_over_the_held_out_ones() -> None:
    prompts = [row.prompt for row in read_rows(ROOT / "data" / "test.jsonl")]
    n = len(prompts)
    assert held_out_questions() == prompts
    assert held_out_questions(2) == [prompts[0], prompts[n // 2]]
    assert len(set(held_out_questions(32))) == 32


def test_an_answer_ends_with_its_first_end() -> None:
    assert until_end([5, 6, EOS_ID, 2, EOS_ID]) == [5, 6, EOS_ID]
    assert until_end([5, 6]) == [5, 6]


def test_ratios_are_taken_within_a_round() -> None:
    """Twice as fast in a slow round and in a fast one: 2, whatever the medians say."""

    def rounds(*speeds: float, answers: list[list[int]]) -> list[Round]:
        return [Round(speed, [1000 / speed], answers) for speed in speeds]

    ours, theirs = [[5, 1], [6, 1], [7, 1], [8, 1]], [[5, 1], [6, 6, 1], [7, 1], [8, 1]]
    told = describe(
        {
            ("fp32", 1): rounds(100, 1000, answers=ours),
            ("int8", 1): rounds(200, 2000, answers=theirs),
        }
    )
    assert told["ratios"]["int8_by_fp32"] == {"median": 2, "min": 2, "max": 2, "p95": 2, "n": 2}
    assert told["ratios"].keys() == {"int8_by_fp32"}
    assert told["share_equal_to_fp32_single"] == {"fp32_1": 1, "int8_1": 0.75}
    assert (told["questions"], told["tokens_of_an_answer"]) == (4, 2)
    assert told["ways"]["fp32"]["1"]["tokens_per_second"]["median"] == 550
    assert told["ways"]["fp32"]["1"]["milliseconds"]["max"] == 10


def test_llama_cpp_is_read_until_its_end_or_a_full_context(monkeypatch: pytest.MonkeyPatch) -> None:
    class Llama:
        def __init__(self, model_path: str, n_ctx: int, n_threads: int, verbose: bool) -> None:
            assert (model_path, n_ctx, verbose) == ("some.gguf", 0, False)

        def n_ctx(self) -> int:
            return 8

        def generate(self, tokens: list[int], temp: float, repeat_penalty: float):  # type: ignore[no-untyped-def]
            assert (temp, repeat_penalty) == (0.0, 1.0)
            yield from [9, 9, EOS_ID] if tokens == [4] else [9] * 99
            raise AssertionError("nobody wants more")

    module = ModuleType("llama_cpp")
    module.Llama = Llama  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "llama_cpp", module)
    way = llama_cpp(Path("some.gguf"))
    assert way([Question("", [4]), Question("", [4] * 5)]) == [[9, 9, EOS_ID], [9, 9, 9]]


# ---------------------------------------------------------------- the READMEs' table


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (1234.5, "1,234"),
        (100, "100"),
        (99.94, "99.9"),
        (9.5, "9.50"),
        (0.0304, "0.030"),
        (0, "0.000"),
    ],
)
def test_a_number_has_three_figures(value: float, shown: str) -> None:
    assert number(value) == shown


def test_the_table_is_written_by_hand_here() -> None:
    assert table(RESULTS, "en") == [
        "| measured | median | smallest to largest |",
        "| --- | --- | --- |",
        "| fp32, one question at a time | 1,234 tokens/s | 988 to 2,000 |",
        "| quantized by fp32, one question at a time | 1.50 × | 1.25 to 10.8 |",
        "| memory after many questions | 512 MB | |",
        "",
        "- generation: CPU, 2 cores, 2 threads, python 3.11.2, torch 2.13.0, code `01234567+`.",
        "- page under load: CPU, 2 cores, 2 threads, python 3.11.2, torch 2.13.0, code `?`.",
    ]
    assert table(RESULTS, "zh")[:3] == [
        "| 测量 | 中位数 | 最小到最大 |",
        "| --- | --- | --- |",
        "| 原精度，一次一题 | 1,234 tokens/s | 988 到 2,000 |",
    ]
    assert table(RESULTS, "zh")[-2] == (
        "- 生成：CPU，2 核，2 线程，python 3.11.2、torch 2.13.0，代码 `01234567+`。"
    )
    assert table({}, "zh") == []


def test_only_what_is_between_the_marks_changes() -> None:
    text = f"before\n{BEGIN}\nold\nold\n{END}\nafter\n"
    new = with_table(text, ["new"])
    assert new == f"before\n{BEGIN}\nnew\n{END}\nafter\n"
    assert with_table(new, []) == f"before\n{BEGIN}\n{END}\nafter\n"


def test_a_readme_that_is_not_current_is_named_and_mended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = tmp_path / "results"
    kept.mkdir()
    (kept / "serve.json").write_text(
        '{"facts": {"cpu": "C", "cores": 1, "threads": 1, "versions": {}, "commit": "abc"},'
        ' "answer_seconds": {"median": 1, "min": 0.5, "max": 2}}',
        encoding="utf-8",
    )
    (tmp_path / "docs").mkdir()
    for name in readme.READMES | readme.GUIDES:
        (tmp_path / name).write_text(f"{BEGIN}\n{END}\n", encoding="utf-8")
    monkeypatch.setattr(readme, "ROOT", tmp_path)
    monkeypatch.setattr(readme, "RESULTS", kept)

    def run(*arguments: str) -> int:
        monkeypatch.setattr(sys, "argv", ["readme", *arguments])
        return readme.main()

    assert run("--check") == 1
    assert "README_EN.md is not what" in capsys.readouterr().err
    assert run() == 0
    assert run("--check") == 0
    written = (tmp_path / "README_EN.md").read_text(encoding="utf-8")
    assert "| the whole class asks, an answer | 1.00 s | 0.500 to 2.00 |" in written


@pytest.mark.parametrize("name", readme.READMES)
def test_the_readmes_show_the_results_that_are_kept(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    assert with_table(text, table(read_results(readme.RESULTS), readme.READMES[name])) == text


# ---------------------------------------------------------------- sizes


@pytest.mark.parametrize("name", readme.GUIDES)
def test_the_guides_show_the_sizes_that_are_kept(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    lines = sizes_table(read_results(readme.RESULTS), readme.GUIDES[name])
    assert with_table(text, lines) == text


@pytest.mark.parametrize("name", SIZES)
def test_a_size_has_about_the_parameters_of_its_name(name: str) -> None:
    config = load_config(ROOT / "config.yaml", list(SIZES[name]))
    n = n_parameters(config.model, VOCABULARY)
    assert n == pytest.approx(1e6 * float(name.removesuffix("M")), rel=0.1)
    assert n == sum(p.numel() for p in GPT(config.model, VOCABULARY).parameters())


def test_the_line_of_a_size_is_computed_by_hand() -> None:
    """1,536 tokens in half a second, 1,400 updates: 11.7 minutes; 6 x 3,368,192 x 1,536 x 1,400
    operations at 124.8 TFLOP/s: 0.35 s."""
    config = load_config(ROOT / "config.yaml", ["training.max_steps=1400"])
    line = figures(config, VOCABULARY, 1536, 0.5, "float32")
    memory = line.pop("memory_mb")
    assert line == {
        "parameters": 3_368_192,
        "precision": "float32",
        "tokens_per_second": 3072,
        "update_ms": 500.0,
        "minutes_computed": 11.7,
        "gpu_seconds_computed": 0.3,
    }
    shown = sizes_table(
        {"sizes": {"facts": FACTS, "sizes": {"3.37M": {**line, "memory_mb": 612}}}}, "en"
    )
    assert memory is not None
    assert shown[2:] == [
        "| 3.37M | (default) | 3,368,192 | 3,072 | 612 MB | 11.7 min | 0.3 s |",
        "",
        "Measured on CPU, 2 cores, float32.",
    ]


@pytest.mark.parametrize("name", readme.GUIDES)
def test_the_guides_tell_how_the_sizes_are_measured(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    steps = load_config(ROOT / "config.yaml").training.max_steps
    assert f"{steps:,}" in text
    assert re.search(rf"(每批 {sizes.ROWS} 行、各 128|{sizes.ROWS} rows of 128)", text)
    assert f"{sizes.GPU_PEAK / 1e12:.0f} TFLOP/s × {100 * sizes.GPU_SHARE:.0f} %" in text


# ---------------------------------------------------------------- the original recipe


def test_the_figures_in_short_are_those_of_the_parts() -> None:
    quality = {
        "questions": 61,
        "ours": {"seconds": {"median": 6.8}, "right": [61, 60, 61]},
        "original": {"seconds": 710.0},
        "ratio": 104.4,
    }
    speed = {
        "float32": {"tokens_per_second": 3800, "percent_of_peak": 47.8},
        "bfloat16": {"tokens_per_second": 6500, "percent_of_peak": 82.2},
    }
    assert in_short({"quality": quality, "speed": speed}) == {
        "seconds_to_quality": 6.8,
        "exact": 60,
        "distinct": 61,
        "reference_seconds": 710.0,
        "ratio": 104.4,
        "tokens_per_second": 6500,
        "matmul_peak_share": 0.478,
    }
    assert in_short({}) == {}


def test_our_file_has_the_shape_of_the_original() -> None:
    rows = like_the_original()
    assert len(rows) == 510
    assert len({row.prompt for row in rows}) == len({row.completion for row in rows}) == 61


def test_the_original_recipe_fills_up_to_128_and_learns_answers_only() -> None:
    torch.manual_seed(0)
    config = ModelConfig(n_layer=1, n_head=2, n_embd=16, seq_len=128)
    example = Example([0, 7, 8, 9, 10, 1], n_prompt=3)
    recipe = OriginalRecipe(GPT(config, 12), [example], seed=1)
    input_ids, targets = recipe._micro_batch()
    assert input_ids.shape == targets.shape == (4, 128)
    assert input_ids[2].tolist() == [0, 7, 8, 9, 10] + [PAD_ID] * 123
    assert targets[2].tolist() == [-100, -100, 9, 10, 1] + [-100] * 123
    first, rates = recipe.update(), [group["lr"] for group in recipe._optimizer.param_groups]
    assert first == pytest.approx(math.log(12), rel=0.05)
    assert rates == [pytest.approx(3e-4 / 5)]
    assert min(recipe.update() for _ in range(30)) < first


# ---------------------------------------------------------------- where the time goes


@pytest.fixture
def make_trained(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Trained]:
    """A narrow model of one layer that learns four questions."""
    monkeypatch.chdir(ROOT)

    def make(*overrides: str) -> Trained:
        small = ["model.n_layer=1", "model.n_embd=32", "training.batch_size=4", *overrides]
        config = load_config(ROOT / "config.yaml", small)
        tokenizer = load_tokenizer(ROOT / config.tokenizer.path, config.tokenizer)
        rows = [Row("什么是密度?", "密度是质量除以体积。", 1)] * 4
        data = SimpleNamespace(batches=QuestionBatches(rows, [], tokenizer, config))
        return Trained("float32", config, tokenizer, data)  # type: ignore[arg-type]

    return make


def test_the_parts_of_an_update_are_timed_and_nothing_stays_changed(
    make_trained: Callable[..., Trained],
) -> None:
    one = make_trained()
    backward, step = torch.Tensor.backward, one.optimizer.step
    seconds, n_tokens = one.update()
    assert set(seconds) == set(PARTS)
    assert min(seconds.values()) > 0
    assert n_tokens == sum(int((b.input_ids != PAD_ID).sum()) for b in one.batches(0))
    assert torch.Tensor.backward is backward
    assert one.optimizer.step == step


def test_the_products_of_both_passes_and_of_the_optimizer_count(
    make_trained: Callable[..., Trained],
) -> None:
    """Orthogonalising takes three times two products with r x r x c, one with r x r x r.

    From the 11th to the 60th update each of six matrices has its turn 12 or 13 times: together 50
    times one of the four of 32 x 32, and 26 times one of the two of 32 x 128.
    """
    plain = ["data.noise=0", "data.short_answers=0"]
    adamw, muon = (
        operations(make_trained(*plain, f"training.optimizer={name}")) for name in ("adamw", "muon")
    )
    square, wide = 3 * 2 * (3 * 32**3), 3 * 2 * (2 * 32 * 32 * 128 + 32**3)
    assert muon - adamw == 50 * square + 26 * wide
    n_read = sum(b.input_ids.numel() for b in make_trained(*plain).batches(0))
    in_the_block = 12 * 32 * 32 * n_read  # attention and the output layer come on top
    assert adamw > 50 * 3 * 2 * in_the_block  # forward, and twice as much backward
