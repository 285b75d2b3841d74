"""Examine a trained model: memorised, paraphrase, unknown refused, wrongly refused.

给训练好的模型考试。
    python -m scripts.evaluate                  your own model, else the shipped one
    python -m scripts.evaluate --compare pretrained/last checkpoints/last
    python -m scripts.evaluate --set data.test_path=mine_test.jsonl --json exam.json
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from gpt_teacher import default_checkpoint, locate
from gpt_teacher.exam_report import comparison_lines, report_lines, report_on
from gpt_teacher.machine import set_threads
from scripts import model_options
from scripts.command_line import DONE, make_parser, read_config, run, say, write_text

ALL = 10**9


def main() -> int:
    """Ask all questions, print the report. 主程序。"""
    arguments = parse()
    config = read_config(arguments)
    set_threads(config.training.threads)
    names = arguments.compare or [arguments.checkpoint or default_checkpoint(config)]
    folders = [
        locate(name, arguments.revision, arguments.offline, say=say).folder for name in names
    ]
    done = [report_on(f, arguments.set, arguments.most_taught or ALL, say) for f in folders]
    reports, replies = [report for report, _ in done], [next(iter(r.values())) for _, r in done]
    if arguments.json is not None:
        text = json.dumps(
            reports if arguments.compare else reports[0], ensure_ascii=False, indent=2
        )
        write_text(None if str(arguments.json) == "-" else arguments.json, text + "\n")
    if str(arguments.json) == "-":
        return DONE
    if arguments.compare:
        print("\n".join(comparison_lines(reports, replies, [str(name) for name in names])))
    else:
        print("\n".join(report_lines(reports[0])))
    return DONE


def parse() -> argparse.Namespace:
    """Return the options. 选项。"""
    parser = make_parser(__doc__)
    model_options.add(parser)
    parser.add_argument("--compare", nargs=2, metavar=("A", "B"), help="two models side by side")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all numbers; - is stdout")
    parser.add_argument(
        "--most-taught", type=int, metavar="N", help="ask N of the taught questions"
    )
    arguments = parser.parse_args()
    if arguments.compare and arguments.checkpoint:
        parser.error("give --checkpoint or --compare, not both")
    if arguments.most_taught is not None and arguments.most_taught < 1:
        parser.error(f"--most-taught {arguments.most_taught}: give 1 or more")
    return arguments


if __name__ == "__main__":
    run(main)
