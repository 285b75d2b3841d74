"""Ask a model; the answer alone goes to stdout, streamed when that is a terminal.

向模型提问。
    python -m scripts.ask "什么是注意力机制?"
    python -m scripts.ask --input questions.jsonl --output answers.jsonl
    python -m scripts.ask --raw "话说" --checkpoint checkpoints/last      continue plain text
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from gpt_teacher import Pretrained, open_origin
from gpt_teacher.config import SamplingConfig
from gpt_teacher.prompt import normalise
from gpt_teacher.sampler import answer, continue_text
from gpt_teacher.text_encoding import piped_text
from scripts import model_options, sampling_options
from scripts.answer_file import answer_file
from scripts.command_line import DONE, make_parser, read_config, run
from scripts.explanation import explanation

LABEL = "回答:"


def main() -> int:
    """Open the model, answer. 主程序。"""
    parser = make_parser(__doc__)
    parser.add_argument("question", nargs="?", help="the question; - reads it from stdin")
    model_options.add(parser)
    parser.add_argument("--raw", action="store_true", help="continue the text, do not answer it")
    parser.add_argument("--show-label", action="store_true", help=f"put {LABEL} before the answer")
    parser.add_argument("--input", type=Path, metavar="FILE", help='JSONL of {"prompt": …}')
    parser.add_argument("--output", type=Path, metavar="FILE", help="JSONL; default: stdout")
    sampling_options.add(parser)
    arguments = parser.parse_args()
    if (arguments.question is None) == (arguments.input is None):
        parser.error("give one question, or --input FILE")
    if arguments.output and not arguments.input:
        parser.error("--output takes the answers to --input; for one question: > FILE")
    if arguments.input and (arguments.raw or arguments.show_label):
        parser.error("--raw and --show-label are for one question, not for --input")
    config = read_config(arguments)
    settings = sampling_options.settings(arguments, config.sampling)
    teacher = open_origin(model_options.origin(arguments, config))
    settings = teacher.fitted(settings)
    if teacher.metrics.get("is_text") and not arguments.raw:
        print(
            "this model learnt plain text (续写模型) and answers no questions: give it the "
            'beginning of a text with --raw "…"',
            file=sys.stderr,
        )
    if arguments.input:
        answer_file(teacher, arguments.input, arguments.output, settings)
    else:
        answer_one(teacher, arguments, settings)
    return DONE


def answer_one(
    teacher: Pretrained, arguments: argparse.Namespace, settings: SamplingConfig
) -> None:
    """Print one answer, as it grows on a terminal. 回答一个问题。"""
    question = arguments.question
    if question == "-":
        question = piped_text(sys.stdin.buffer.read() if sys.stdin else b"")
    asked = question if arguments.raw else normalise(question)
    unknown = teacher.tokenizer.unknown_characters(asked)
    if unknown:
        print(f"unknown to the tokenizer: {''.join(unknown)}", file=sys.stderr)
    print(LABEL if arguments.show_label else "", end="")
    reply = continue_text if arguments.raw else answer
    shown = ""
    # An answer that may still be withheld is shown when it is whole.
    streamed = sys.stdout.isatty() and (arguments.raw or not settings.refuse_below)
    for growing in reply(teacher.model, teacher.tokenizer, question, settings):
        if streamed or growing.finish_reason:
            print(growing.text[len(shown) :], end="", flush=True)
            shown = growing.text
    print()
    if not arguments.raw:
        print(explanation(growing, settings, teacher.nearest(question)), file=sys.stderr)


if __name__ == "__main__":
    run(main)
