"""What the machine is said to have is what it has."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from conftest import ROOT

from gpt_teacher import machine
from gpt_teacher.errors import ConfigError

CORES = 8
MEGABYTE = 1_000_000
BIG, TAKEN = 900 * MEGABYTE, 150 * MEGABYTE
N_THREADS = 12
# A process that has held much memory starts another one, which measures its own.
START = f"""
import subprocess, sys
held = b"x" * {BIG}
print(subprocess.check_output([sys.executable, sys.argv[1]], text=True))
"""
MEASURE = f"""
import ctypes, json, threading
from gpt_teacher import machine

machine.share_memory_pools()
before = machine.peak_memory_bytes()
taken = b"x" * {TAKEN}
del taken
print(json.dumps([before, machine.peak_memory_bytes()]), flush=True)

together = threading.Barrier({N_THREADS})
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p

def take():
    together.wait()
    for _ in range(2000):
        libc.free(ctypes.c_void_p(libc.malloc(5000)))
    together.wait()

threads = [threading.Thread(target=take) for _ in range({N_THREADS})]
for thread in threads: thread.start()
for thread in threads: thread.join()
libc.malloc_info(0, ctypes.c_void_p.in_dll(libc, "stdout"))
libc.fflush(None)
"""


@pytest.fixture
def eight_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(CORES)), raising=False)


@pytest.mark.parametrize(
    ("quota", "cores"),
    [("max 100000", 8), ("200000 100000", 2), ("50000 100000", 1), ("900000 100000", 8), ("", 8)],
)
def test_usable_cores_are_those_of_the_container(
    quota: str,
    cores: int,
    eight_cores: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file = tmp_path / "cpu.max"
    file.write_text(quota)
    monkeypatch.setattr(machine, "CGROUP_QUOTA", file)
    assert machine.usable_cores() == cores


@pytest.mark.parametrize(
    ("asked", "n_processes", "threads"), [(3, 1, 3), (3, 2, 3), (0, 2, 4), (0, 3, 2), (0, 16, 1)]
)
def test_processes_of_one_run_share_the_cores(
    asked: int,
    n_processes: int,
    threads: int,
    eight_cores: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(machine, "CGROUP_QUOTA", tmp_path / "missing")
    monkeypatch.setattr(torch, "set_num_threads", lambda _: None)
    assert machine.set_threads(asked, n_processes) == threads


def test_a_device_that_is_not_there_is_named() -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has CUDA")
    with pytest.raises(ConfigError, match="'cuda' is not there"):
        machine.pick_device("cuda")
    assert machine.pick_device("auto", number=1) == torch.device(
        "mps" if torch.backends.mps.is_available() else "cpu"
    )


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs Linux with glibc")
def test_memory_is_that_of_this_process_and_its_threads_share_two_pools(tmp_path: Path) -> None:
    """Not of the process that started it, and not a pool for each thread."""
    script = tmp_path / "measure.py"
    script.write_text(MEASURE)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", START, script]
    said = subprocess.check_output(command, env=environment, text=True)
    before, after = json.loads(said.splitlines()[0])
    assert before < BIG
    assert before + 0.8 * TAKEN < after < before + 1.5 * TAKEN
    assert said.count("<heap nr=") == machine.N_MEMORY_POOLS


@pytest.mark.skipif(os.name == "nt", reason="needs a shell script named git")
@pytest.mark.parametrize("stream", [1, 2])
def test_what_git_says_in_another_encoding_is_no_traceback(
    stream: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found here: a git that speaks Chinese ended the training where the locale is not its own."""
    git = tmp_path / "git"
    says = "致命错误：不是 git 仓库".encode("gbk")
    git.write_bytes(b"#!/bin/sh\necho '" + says + f"' >&{stream}\nexit 128\n".encode())
    git.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert machine.code_commit.__wrapped__() is None
