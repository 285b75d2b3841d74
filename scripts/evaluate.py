"""Examine a trained model: memorised, paraphrase, unknown refused, wrongly refused.

给训练好的模型考试。
    python -m scripts.evaluate                  your own model, else the shipped one
    python -m scripts.evaluate --save           and keep it in the model's folder, for the page
    python -m scripts.evaluate --compare pretrained/last checkpoints/last
    python -m scripts.evaluate --set data.test_path=mine_test.jsonl --json exam.json
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from gpt_teacher import default_checkpoint, locate
from gpt_teacher.checkpoint import load_checkpoint
from gpt_teacher.exam_report import comparison_lines, report_lines, report_on
from gpt_teacher.machine import set_threads
from gpt_teacher.stored_report import check_may_save, save_report
from scripts import model_options
from scripts.command_line import DONE, make_parser, read_config, run, say, write_text

ALL = 10**9


def main() -> int:
    """Ask all questions, print the report. 主程序。"""
    arguments = parse()
    config = read_config(arguments)
    set_threads(config.training.threads)
    names = arguments.compare or [arguments.checkpoint or default_checkpoint(config)]
    model_options.check_revision(arguments, *names)
    offline = arguments.offline or config.hub.offline
    origins = [locate(name, arguments.revision, offline, say=say) for name in names]
    if arguments.save:
        check_may_save(origins[0], arguments.set)
    folders = [origin.folder for origin in origins]
    for folder in folders[1:]:  # what is missing is told before the first one's questions
        load_checkpoint(folder)
    done = [report_on(f, arguments.set, arguments.most_taught or ALL, say) for f in folders]
    reports, replies = [report for report, _ in done], [next(iter(r.values())) for _, r in done]
    in_json = json.dumps(reports if arguments.compare else reports[0], ensure_ascii=False, indent=2)
    json_only = str(arguments.json) == "-"
    try:  # where one of the three cannot be written, there are the others
        if json_only:
            write_text(None, in_json + "\n")
        elif arguments.compare:
            print("\n".join(comparison_lines(reports, replies, [str(name) for name in names])))
        else:
            print("\n".join(report_lines(reports[0])), flush=True)
        if arguments.json is not None and not json_only:
            write_text(arguments.json, in_json + "\n")
    finally:
        if arguments.save:
            say(f"saved: {save_report(folders[0], reports[0])}")
    return DONE


def parse() -> argparse.Namespace:
    """Return the options. 选项。"""
    parser = make_parser(__doc__)
    model_options.add(parser)
    add = parser.add_argument
    add("--compare", nargs=2, metavar=("A", "B"), help="two models side by side")
    add("--json", type=Path, metavar="FILE", help="write all numbers; - is stdout")
    add("--most-taught", type=int, metavar="N", help="ask N of the taught questions")
    add("--save", action="store_true", help="keep the report in the folder, for the page to show")
    arguments = parser.parse_args()
    if arguments.compare and arguments.checkpoint:
        parser.error("give --checkpoint or --compare, not both")
    if arguments.compare and arguments.save:
        parser.error("--save keeps the report on one model: leave out --compare")
    if arguments.compare and arguments.compare[0] == arguments.compare[1]:
        parser.error("--compare takes two different models")
    if arguments.most_taught is not None and arguments.most_taught < 1:
        parser.error(f"--most-taught {arguments.most_taught}: give 1 or more")
    return arguments


if __name__ == "__main__":
    run(main)
