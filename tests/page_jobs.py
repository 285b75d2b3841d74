"""What the tests of training in the page share: questions, a quick config, a worker that waits."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

from conftest import CONFIG

from gpt_teacher.config import Config, load_config
from gpt_teacher.prompt import ASSISTANT, USER, normalise
from gpt_teacher.tokenizer_training import train_tokenizer
from gpt_teacher.training_files import RunState
from gpt_teacher.training_jobs import Limits, TrainingJobs
from gpt_teacher.views.text import EXAMPLE_PAIRS

HOSTILE = "<img src=x onerror=hacked=1>", "<script>hacked=2</script>${hacked=3}"
PAIRS = [*(line.split(",", 1) for line in EXAMPLE_PAIRS.splitlines()[:19]), [*HOSTILE]]
WRITTEN = "\n".join("\t".join(pair) for pair in PAIRS)
UNTIMED = Limits(are_timed=False)
# Ends when its standard input does, or when it finds a file `go`; writes end.json then.
STUB = """
import json, pathlib, sys, threading, time
folder = pathlib.Path(sys.argv[1])
(folder / 'started').touch()
thread = threading.Thread(target=sys.stdin.buffer.raw.read, daemon=True)
thread.start()
while thread.is_alive() and not (folder / 'go').exists():
    time.sleep(0.01)
phase = 'finished' if thread.is_alive() else 'stopped'
(folder / 'end.json').write_text(json.dumps({'phase': phase, 'reason': '', 'wrong': []}))
"""


def stub(program: str = STUB) -> tuple[str, ...]:
    """A worker that does as the program says, quick to start."""
    return (sys.executable, "-I", "-S", "-c", program)


def quick_config(folder: Path) -> Config:
    """A tiny model, and a tokenizer made of PAIRS: the 20 are learnt in seconds."""
    (folder / "config.yaml").write_text(CONFIG, encoding="utf-8")
    tokenizer = folder / "tokenizer.json"
    settings = (f"tokenizer.path={tokenizer}", "training.max_steps=150")
    config = load_config(folder / "config.yaml", [*settings, "data.val_path=null"])
    texts = [t for q, a in PAIRS for t in (USER + normalise(q) + ASSISTANT, a)]
    train_tokenizer(texts, config.tokenizer).save(tokenizer)
    return config


def wait_for(condition: Callable[[], object], seconds: float = 240) -> None:
    """Wait until it holds."""
    ends_at = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < ends_at, "it did not happen in time"
        time.sleep(0.02)


def end_of(jobs: TrainingJobs, run_id: str) -> RunState:
    """Wait for the end of a run."""
    wait_for(lambda: state_of(jobs, run_id).has_ended)
    return state_of(jobs, run_id)


def state_of(jobs: TrainingJobs, run_id: str) -> RunState:
    state = jobs.state(run_id)
    assert state is not None
    return state
