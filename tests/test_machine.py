"""What the machine is said to have is what it has."""

from __future__ import annotations

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
MEASURE = f"""
import subprocess, sys
if sys.argv[1:]:
    held = b"x" * {BIG}
    print(subprocess.check_output([sys.executable, "-c", open(sys.argv[1]).read()], text=True))
else:
    from gpt_teacher.machine import peak_memory_bytes
    before = peak_memory_bytes()
    taken = b"x" * {TAKEN}
    del taken
    print(before, peak_memory_bytes())
"""

N_THREADS = 12
COUNT_POOLS = f"""
import ctypes, sys, threading
from gpt_teacher.machine import share_memory_pools
if sys.argv[1] == "shared":
    share_memory_pools()
libc = ctypes.CDLL(None)
libc.malloc.restype = libc.fopen.restype = ctypes.c_void_p
together = threading.Barrier({N_THREADS})
def take():
    together.wait()
    for _ in range(2000):
        libc.free(ctypes.c_void_p(libc.malloc(5000)))
    together.wait()
threads = [threading.Thread(target=take) for _ in range({N_THREADS})]
for thread in threads: thread.start()
for thread in threads: thread.join()
libc.malloc_info(0, ctypes.c_void_p(libc.fopen(b"/dev/stdout", b"w")))
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


@pytest.mark.skipif(not machine.PROCESS_STATUS.exists(), reason="needs /proc")
def test_peak_memory_is_that_of_this_process_not_of_the_one_that_started_it(tmp_path: Path) -> None:
    script = tmp_path / "measure.py"
    script.write_text(MEASURE)
    said = subprocess.check_output([sys.executable, script, script], cwd=ROOT, text=True)
    before, after = map(int, said.split())
    assert before < BIG
    assert before + 0.8 * TAKEN < after < before + 1.5 * TAKEN


def test_threads_share_memory_pools() -> None:
    if platform.libc_ver()[0] != "glibc":
        pytest.skip("needs glibc")

    def n_pools(how: str) -> int:
        command = [sys.executable, "-c", COUNT_POOLS, how]
        said = subprocess.check_output(command, cwd=ROOT, text=True)
        return said.count("<heap nr=")

    assert n_pools("shared") <= machine.N_MEMORY_POOLS < n_pools("as it was")
