"""Shows a training run on a terminal, and listens for Ctrl+C. 终端显示。"""

from __future__ import annotations

import signal
import sys

from tqdm import tqdm

from gpt_teacher.run_log import Evaluation, Step


class Terminal:
    """A progress line, sentences above it, all on stderr. 进度条。"""

    def __init__(self, speaks: bool = True) -> None:
        """Start listening for Ctrl+C; of several processes, one speaks. 开始监听。"""
        self.bar = tqdm(unit="step", disable=None if speaks else True, dynamic_ncols=True)
        self._speaks, self._stop, self._in_exam = speaks, False, False
        signal.signal(signal.SIGINT, self._interrupt)

    def _interrupt(self, *_: object) -> None:
        """First Ctrl+C: save after this update. Second: leave at once. 中断。"""
        if self._stop:
            raise KeyboardInterrupt
        self._stop = True
        if self._in_exam:
            self.say("the run is saved; its exam goes on (Ctrl+C again: leave; --resume takes it)")
            return
        self.say("stopping after this update; the run will be saved (Ctrl+C again: leave at once)")

    def should_stop(self) -> bool:
        """Tell whether Ctrl+C was pressed. 是否要停。"""
        return self._stop

    def say(self, text: str) -> None:
        """Show a sentence. 说一句。"""
        self._in_exam = self._in_exam or text.startswith("exam:")
        if self._speaks:
            self.bar.write(text, file=sys.stderr)

    def step(self, step: Step, max_steps: int) -> None:
        """Move the progress line. 一次更新。"""
        self.bar.total = max_steps
        self.bar.set_postfix_str(
            f"loss {step.loss_nats:.3f}, lr {step.learning_rate:.1e}, "
            f"{step.tokens_per_second:,.0f} tokens/s",
            refresh=False,
        )
        self.bar.update(step.step - self.bar.n)

    def evaluation(self, evaluation: Evaluation) -> None:
        """Show the validation loss and how the probe questions are answered now. 一次评估。"""
        loss = evaluation.val_loss_nats
        self.say(f"step {evaluation.step}" + (f": val loss {loss:.3f}" if loss is not None else ""))
        for sample in evaluation.samples:
            self.say(f"    {sample.question!r} -> {sample.answer!r}")
