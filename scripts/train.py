"""Train a model and write checkpoints/last and checkpoints/quantized.

训练模型。按 Ctrl+C 会先保存再退出（退出码 130），之后用 --resume 接着训练。

Several processes, on one machine or more: torchrun --nproc_per_node=2 -m scripts.train
"""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path

from gpt_teacher.commands import quoted, resume_command
from gpt_teacher.distributed import team
from gpt_teacher.run_state import resumed
from gpt_teacher.training_run import Result, initial_weights, run_training
from scripts.command_line import DONE, INTERRUPTED, make_parser, read_config, run
from scripts.terminal import Terminal


def main() -> int:
    """Parse, train, report. 主程序。"""
    arguments = parse()
    config, max_steps = read_config(arguments), None
    if arguments.resume:
        config, max_steps = resumed(Path(config.training.save_dir), arguments.set)
    weights = initial_weights(arguments.init_from, config) if arguments.init_from else None
    with team() as processes:
        terminal = Terminal(speaks=processes.leads)
        result = run_training(
            config,
            terminal,
            terminal.should_stop,
            minutes=arguments.minutes,
            resume=arguments.resume,
            max_steps=max_steps,
            init_weights=weights,
            strict=arguments.strict,
            team=processes,
        )
        terminal.bar.close()
        return report(result) if processes.leads else DONE


def report(result: Result) -> int:
    """Tell how the run has ended; return the exit code. 报告结果。"""
    if not result.finished:
        print(f"stopped and saved at step {result.progress.step}; go on with:", file=sys.stderr)
        print(f"  {resume_command(result.folder.parent)}", file=sys.stderr)
        return INTERRUPTED
    print("\n".join(result.exam_table))
    how, raw = ("let it go on", "--raw ") if result.is_text else ("ask it", "")
    folder = quoted(str(result.folder))
    print(f'{how}: python -m scripts.ask "…" {raw}--checkpoint {folder}')
    return DONE


def parse() -> argparse.Namespace:
    """Return the options. 选项。"""
    parser = make_parser(__doc__)
    parser.add_argument("--minutes", type=float, help="train for so long: plans the updates")
    parser.add_argument("--resume", action="store_true", help="go on with the run in save_dir")
    parser.add_argument("--init-from", type=Path, metavar="FOLDER", help="start from its weights")
    parser.add_argument("--strict", action="store_true", help="rows that are too long are an error")
    arguments = parser.parse_args()
    if arguments.minutes is not None and not 0 < arguments.minutes < math.inf:
        parser.error(f"--minutes {arguments.minutes}: give a number above 0")
    if arguments.resume and arguments.init_from:
        parser.error("--resume goes on with its own weights; leave out --init-from")
    return arguments


if __name__ == "__main__":
    run(main)
