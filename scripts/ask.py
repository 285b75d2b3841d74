"""Ask a model; the answer alone goes to stdout, streamed when that is a terminal.

向模型提问。
    python -m scripts.ask "什么是注意力机制?"
    python -m scripts.ask --input questions.jsonl --output answers.jsonl
    python -m scripts.ask --raw "话说" --checkpoint checkpoints/last      continue plain text
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path

from gpt_teacher import Pretrained, default_checkpoint, from_pretrained
from gpt_teacher.config import SamplingConfig
from gpt_teacher.sampler import answer, answers, continue_text
from gpt_teacher.text_files import read_prompts
from scripts.command_line import DONE, make_parser, read_config, run

LABEL = "回答:"


def main() -> int:
    """Open the model, answer. 主程序。"""
    arguments = parse()
    settings = sampling(arguments)
    teacher = from_pretrained(arguments.checkpoint or default_checkpoint(read_config(arguments)))
    if arguments.input:
        answer_file(teacher, arguments, settings)
    else:
        answer_one(teacher, arguments, settings)
    return DONE


def parse() -> argparse.Namespace:
    """Return the options. 选项。"""
    parser = make_parser(__doc__)
    parser.add_argument("question", nargs="?", help="the question; - reads it from stdin")
    parser.add_argument("--checkpoint", metavar="FOLDER", help="default: checkpoints, pretrained")
    parser.add_argument("--raw", action="store_true", help="continue the text, do not answer it")
    parser.add_argument("--show-label", action="store_true", help=f"put {LABEL} before the answer")
    parser.add_argument("--input", type=Path, metavar="FILE", help='JSONL of {"prompt": …}')
    parser.add_argument("--output", type=Path, metavar="FILE", help="JSONL; default: stdout")
    parser.add_argument("--temperature", type=float)
    parser.add_argument("--top-k", type=int)
    parser.add_argument("--top-p", type=float)
    parser.add_argument("--repetition-penalty", type=float)
    parser.add_argument("--min-new-tokens", type=int)
    parser.add_argument("--max-new-tokens", type=int)
    parser.add_argument("--stop", action="append", metavar="TEXT", help="may be repeated")
    parser.add_argument("--seed", type=int)
    arguments = parser.parse_args()
    if (arguments.question is None) == (arguments.input is None):
        parser.error("give one question, or --input FILE")
    return arguments


def sampling(arguments: argparse.Namespace) -> SamplingConfig:
    """Return the sampling settings: config.yaml, then the options. 采样设置。"""
    keys = [k for k in vars(SamplingConfig()) if getattr(arguments, k, None) is not None]
    given = {k: getattr(arguments, k) for k in keys}
    if "stop" in given:
        given["stop"] = tuple(given["stop"])
    return replace(read_config(arguments).sampling, **given)


def answer_one(
    teacher: Pretrained, arguments: argparse.Namespace, settings: SamplingConfig
) -> None:
    """Print one answer, as it grows on a terminal. 回答一个问题。"""
    question = sys.stdin.read() if arguments.question == "-" else arguments.question
    unknown = teacher.tokenizer.unknown_characters(question)
    if unknown:
        print(f"unknown to the tokenizer: {''.join(unknown)}", file=sys.stderr)
    print(LABEL if arguments.show_label else "", end="")
    reply = continue_text if arguments.raw else answer
    shown = ""
    for growing in reply(teacher.model, teacher.tokenizer, question, settings):
        if sys.stdout.isatty() or growing.finish_reason:
            print(growing.text[len(shown) :], end="", flush=True)
            shown = growing.text
    print()


def answer_file(
    teacher: Pretrained, arguments: argparse.Namespace, settings: SamplingConfig
) -> None:
    """Answer each row of a file, in order. 批量回答。"""
    rows = read_prompts(arguments.input)
    given = answers(teacher.model, teacher.tokenizer, [row["prompt"] for row in rows], settings)
    lines = [
        json.dumps(
            row
            | {
                "answer": one.text,
                "refused": one.refused,
                "confidence": round(one.mean_probability, 4),
                "min_probability": round(one.min_probability, 4),
            },
            ensure_ascii=False,
        )
        for row, one in zip(rows, given, strict=True)
    ]
    text = "".join(line + "\n" for line in lines)
    if arguments.output:
        arguments.output.write_text(text, encoding="utf-8", newline="\n")
    else:
        print(text, end="")


if __name__ == "__main__":
    run(main)
