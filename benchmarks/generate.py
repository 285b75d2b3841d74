"""How fast an answer comes: this project, transformers, llama.cpp; one question or many. 生成速度。

python -m benchmarks.generate                    one at a time, batches of 8 and of 32
python -m benchmarks.generate --gguf model.gguf  with llama.cpp, where llama-cpp-python is installed
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from pathlib import Path
from statistics import mean
from typing import NamedTuple

from benchmarks.common import (
    Json,
    finish,
    held_out_questions,
    make_parser,
    say,
    show,
    spread,
    summary,
)
from benchmarks.ways import Question, Way, encoded, is_installed, llama_cpp, own, transformers
from gpt_teacher import SHIPPED
from gpt_teacher.machine import set_threads
from gpt_teacher.tokenizer import load_tokenizer

BATCH_SIZES = (1, 8, 32)
N_QUESTIONS = 32
RATIOS = {  # name: (way, batch size), by (way, batch size); tokens a second of the same round
    "fp32_by_transformers": (("fp32", 1), ("transformers", 1)),
    "fp32_by_transformers_of_32": (("fp32", 32), ("transformers", 32)),
    "int8_by_fp32": (("int8", 1), ("fp32", 1)),
    "fp32_of_32_by_single": (("fp32", 32), ("fp32", 1)),
    "int8_of_32_by_single": (("int8", 32), ("int8", 1)),
    "int8_by_llama_cpp": (("int8", 1), ("llama_cpp", 1)),
}
Case = tuple[str, int]  # way, batch size


class Round(NamedTuple):
    """What one way did with all questions in batches of one size. 一轮。"""

    tokens_per_second: float
    milliseconds: list[float]  # of each batch, until all of it is answered
    answers: list[list[int]]


def main() -> None:
    """Let the ways take turns, print what was measured. 主程序。"""
    parser = make_parser(__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="counted ones; one goes before them")
    parser.add_argument("--gguf", type=Path, metavar="FILE", help="the same weights for llama.cpp")
    arguments = parser.parse_args()
    set_threads(0)
    ways, missing = available_ways(arguments)
    tokenizer = load_tokenizer(SHIPPED / "last" / "tokenizer.json")
    questions = encoded(tokenizer, held_out_questions(N_QUESTIONS))
    rounds = measure(ways, questions, arguments.rounds)
    result = {"benchmark": "generate", **describe(rounds), "not_measured": missing}
    tell(result)
    finish(result, arguments.save, ["transformers"] if "transformers" in ways else [])


def available_ways(arguments: argparse.Namespace) -> tuple[dict[str, Way], dict[str, str]]:
    """Return the ways that can run here, and why others cannot. 可用的方式。"""
    ways, missing = {"fp32": own(SHIPPED / "last"), "int8": own(SHIPPED / "quantized")}, {}
    if is_installed("transformers"):
        ways["transformers"] = transformers(SHIPPED / "last")
    else:
        missing["transformers"] = "not installed"
    if not is_installed("llama_cpp"):
        missing["llama_cpp"] = "not installed"
    elif arguments.gguf is None:
        missing["llama_cpp"] = "no --gguf given"
    else:
        ways["llama_cpp"] = llama_cpp(arguments.gguf)
    return ways, missing


def measure(
    ways: dict[str, Way], questions: list[Question], n_rounds: int
) -> dict[Case, list[Round]]:
    """Let each way answer all questions in each batch size, in turns. 轮流测量。"""
    rounds: dict[Case, list[Round]] = defaultdict(list)
    for number in range(n_rounds + 1):
        say(f"round {number} of {n_rounds}" if number else "warming up")
        for batch_size in BATCH_SIZES:
            for name, way in ways.items():
                if name == "llama_cpp" and batch_size > 1:
                    continue
                taken = _round(way, questions, batch_size)
                if number:
                    rounds[name, batch_size].append(taken)
    return rounds


def _round(way: Way, questions: list[Question], batch_size: int) -> Round:
    milliseconds: list[float] = []
    given: list[list[int]] = []
    for start in range(0, len(questions), batch_size):
        started_at = time.perf_counter()
        given += way(questions[start : start + batch_size])
        milliseconds.append(1000 * (time.perf_counter() - started_at))
    n_tokens = sum(map(len, given))
    return Round(n_tokens / (sum(milliseconds) / 1000), milliseconds, given)


def describe(rounds: dict[Case, list[Round]]) -> Json:
    """Return speeds, ratios within a round, and how many answers are the same. 汇总。"""
    speeds: Json = defaultdict(dict)
    for (name, batch_size), taken in rounds.items():
        speeds[name][str(batch_size)] = {
            "tokens_per_second": summary([one.tokens_per_second for one in taken]),
            "milliseconds": summary([ms for one in taken for ms in one.milliseconds]),
        }
    ratios = {
        name: summary(
            [
                one.tokens_per_second / other.tokens_per_second
                for one, other in zip(rounds[case], rounds[by], strict=True)
            ],
            digits=2,
        )
        for name, (case, by) in RATIOS.items()
        if case in rounds and by in rounds
    }
    base = rounds["fp32", 1][0].answers
    equal = {
        f"{name}_{batch_size}": share_equal(taken[0].answers, base)
        for (name, batch_size), taken in rounds.items()
    }
    return {
        "questions": len(base),
        "tokens_of_an_answer": round(mean(map(len, base)), 1),
        "ways": dict(speeds),
        "ratios": ratios,
        "share_equal_to_fp32_single": equal,
    }


def share_equal(answers: list[list[int]], others: list[list[int]]) -> float:
    """Return the share of answers that are the same, token by token. 相同回答的比例。"""
    return round(mean(one == other for one, other in zip(answers, others, strict=True)), 4)


def tell(result: Json) -> None:
    """Show the table. 打印结果。"""
    rows = []
    for name, sizes in result["ways"].items():
        for batch_size, speed in sizes.items():
            rate, milliseconds = speed["tokens_per_second"], speed["milliseconds"]
            equal = result["share_equal_to_fp32_single"][f"{name}_{batch_size}"]
            told = f"{spread(rate)} tokens/s, {spread(milliseconds, ' ms')}, {equal:.0%} the same"
            rows.append((f"{name}, batch of {batch_size}", told))
    rows += [(name, spread(ratio)) for name, ratio in result["ratios"].items()]
    rows += [(name, why) for name, why in result["not_measured"].items()]
    show(f"{result['questions']} questions: median (range)", rows)


if __name__ == "__main__":
    main()
