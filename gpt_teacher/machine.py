"""The machine: device, threads, and the facts that a log records. 机器信息。"""

from __future__ import annotations

import ctypes
import functools
import os
import platform
import re
import subprocess
import sys
from pathlib import Path
from typing import Literal

import torch

from gpt_teacher.errors import ConfigError

MALLOC_ARENA_MAX, N_MEMORY_POOLS = -8, 2  # the first as in <malloc.h>
PROCESS_STATUS = Path("/proc/self/status")
CGROUP_QUOTA = Path("/sys/fs/cgroup/cpu.max")


def pick_device(name: str, number: int = 0) -> torch.device:
    """Return the device for training.device; auto = CUDA, then MPS, then CPU. 选择设备。

    `number` chooses among several CUDA devices.
    """
    available = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if name == "auto":
        name = next(device for device, there in available.items() if there)
    if not available[name]:
        raise ConfigError(
            [f"training.device: {name!r} is not there on this machine; use cpu or auto"]
        )
    return torch.device(f"cuda:{number}" if name == "cuda" else name)


def pick_precision(
    name: Literal["auto", "float32", "bfloat16"], device: torch.device
) -> Literal["float32", "bfloat16"]:
    """Return the precision for training.precision; auto = bfloat16 where it is fast. 选择精度。

    Fast means: computed by the processor itself (AVX512-BF16, AMX) or by a CUDA device that has it.
    """
    if name != "auto":
        return name
    if device.type == "cuda":
        fast = torch.cuda.is_bf16_supported(including_emulation=False)
    elif device.type == "cpu":
        checks = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
        fast = any(getattr(torch.cpu, check, bool)() for check in checks)
    else:
        fast = False
    return "bfloat16" if fast else "float32"


def set_threads(n_threads: int, n_processes: int = 1) -> int:
    """Use n_threads CPU threads, 0 = as many as this process may use. 设线程数。

    In a container torch sees all cores of the host; more threads than the quota make everything
    slow. Several processes of one run share the cores.
    """
    if n_threads == 0 and n_processes > 1:  # torchrun has set torch's own number to 1
        n_threads = max(1, usable_cores() // n_processes)
    elif n_threads == 0:
        n_threads = min(torch.get_num_threads(), usable_cores())
    torch.set_num_threads(n_threads)
    return n_threads


def share_memory_pools() -> None:
    """Let all threads take memory from the same two pools, where there is glibc. 共用内存池。

    Else each thread has a pool of its own, with all that it has freed: a page that answers in many
    threads grows for hours.
    """
    if sys.platform == "linux":
        library = ctypes.CDLL(None)
        if hasattr(library, "mallopt"):  # musl has none
            library.mallopt(MALLOC_ARENA_MAX, N_MEMORY_POOLS)


def usable_cores() -> int:
    """Return how many cores this process may use: affinity and container quota. 可用核数。"""
    has_affinity = hasattr(os, "sched_getaffinity")
    cores = len(os.sched_getaffinity(0)) if has_affinity else os.cpu_count() or 1
    try:
        quota, period = CGROUP_QUOTA.read_text(encoding="utf-8").split()
        cores = min(cores, max(1, int(quota) // int(period)))
    except (OSError, ValueError):
        return cores  # no container, or no limit ("max")
    return cores


def cpu_name() -> str:
    """Return the processor's name. 处理器型号。"""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def peak_memory_bytes() -> int | None:
    """Return the largest resident memory so far; None where the system does not say. 峰值内存。

    Not from getrusage on Linux: there a process begins with the peak of the one that started it.
    """
    if PROCESS_STATUS.exists():
        status = PROCESS_STATUS.read_text(encoding="utf-8")
        found = re.search(r"VmHWM:\s+(\d+) kB", status)
        return int(found[1]) * 1024 if found else None
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


@functools.cache
def code_commit() -> str | None:
    """Return the commit of the code as it was loaded, `+` if changed since. 代码版本。

    None outside git.
    """
    here = Path(__file__).parent
    try:
        commit, changes = (
            subprocess.run(
                ["git", *arguments],
                cwd=here,
                stdin=subprocess.DEVNULL,  # else, on Windows, git waits for whoever reads ours
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                encoding="utf-8",  # git's own, whatever the locale
                errors="replace",
                check=True,
                timeout=10,
            ).stdout.strip()
            for arguments in (["rev-parse", "HEAD"], ["status", "--porcelain", "--", "."])
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return commit + ("+" if changes else "")


def versions() -> dict[str, str]:
    """Return the versions that a result depends on. 版本。"""
    return {"python": platform.python_version(), "torch": torch.__version__}
