"""Train a model and write checkpoints/last and checkpoints/quantized.

训练模型。Ctrl+C 会先保存再退出（退出码 130），之后用 --resume 接着训练。
"""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path

from tqdm import tqdm

from gpt_teacher.run_log import Evaluation, Step
from gpt_teacher.run_state import resumed_config
from gpt_teacher.training_run import initial_weights, run_training
from scripts.command_line import DONE, INTERRUPTED, make_parser, read_config, run


def main() -> int:
    """Parse, train, report. 主程序。"""
    arguments = parse()
    config = read_config(arguments)
    if arguments.resume:
        config = resumed_config(Path(config.training.save_dir), arguments.set)
    weights = None
    if arguments.init_from:
        weights = initial_weights(arguments.init_from, config)
    terminal = Terminal()
    result = run_training(
        config,
        terminal,
        terminal.should_stop,
        minutes=arguments.minutes,
        resume=arguments.resume,
        init_weights=weights,
        strict=arguments.strict,
    )
    terminal.bar.close()
    if not result.finished:
        print(f"stopped and saved at step {result.progress.step}; go on with:", file=sys.stderr)
        print("  python -m scripts.train --resume", file=sys.stderr)
        return INTERRUPTED
    print("\n".join(result.exam_table))
    print(f'ask it: python -m scripts.ask "…" --checkpoint {result.folder}')
    return DONE


def parse() -> argparse.Namespace:
    """Return the options. 选项。"""
    parser = make_parser(__doc__)
    parser.add_argument("--minutes", type=float, help="train for so long: plans the updates")
    parser.add_argument("--resume", action="store_true", help="go on with the run in save_dir")
    parser.add_argument("--init-from", type=Path, metavar="FOLDER", help="start from its weights")
    parser.add_argument("--strict", action="store_true", help="rows that are too long are an error")
    arguments = parser.parse_args()
    if arguments.minutes is not None and arguments.minutes <= 0:
        parser.error(f"--minutes {arguments.minutes}: give a number above 0")
    if arguments.resume and arguments.init_from:
        parser.error("--resume goes on with its own weights; leave out --init-from")
    return arguments


class Terminal:
    """Shows a run on stderr, and listens for Ctrl+C. 终端显示。"""

    def __init__(self) -> None:
        """Open the progress line. 进度条。"""
        self.bar = tqdm(unit="step", disable=None, dynamic_ncols=True)
        self._stop = False
        signal.signal(signal.SIGINT, self._interrupt)

    def _interrupt(self, *_: object) -> None:
        """First Ctrl+C: save after this update. Second: leave at once. 中断。"""
        if self._stop:
            raise KeyboardInterrupt
        self._stop = True
        self.say("stopping after this update; the run will be saved (Ctrl+C again: leave at once)")

    def should_stop(self) -> bool:
        """Tell whether Ctrl+C was pressed. 是否要停。"""
        return self._stop

    def say(self, text: str) -> None:
        """See Listener. 说一句。"""
        self.bar.write(text, file=sys.stderr)

    def step(self, step: Step, max_steps: int) -> None:
        """See Listener. 一次更新。"""
        self.bar.total = max_steps
        self.bar.update(step.step - self.bar.n)
        self.bar.set_postfix_str(
            f"loss {step.loss_nats:.3f}, lr {step.learning_rate:.1e}, "
            f"{step.tokens_per_second:,.0f} tokens/s"
        )

    def evaluation(self, evaluation: Evaluation) -> None:
        """See Listener. 一次评估。"""
        loss = evaluation.val_loss_nats
        self.say(f"step {evaluation.step}" + (f": val loss {loss:.3f}" if loss is not None else ""))
        for sample in evaluation.samples:
            self.say(f"    {sample.question!r} -> {sample.answer!r}")


if __name__ == "__main__":
    run(main)
