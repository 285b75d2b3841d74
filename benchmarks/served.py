"""A running app for the benchmarks: start it, call it, weigh it, stop it. 运行中的网页。"""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.common import ROOT

UP_SECONDS = 60.0
LONGEST_SECONDS = 120.0  # for one answer


class Served:
    """A running app. 运行中的网页。"""

    def __init__(
        self, process: subprocess.Popen[str], url: str, start_seconds: float, folder: Path
    ) -> None:
        """Keep the process, its address, the time to come up, and its folder. 记录。"""
        self.process, self.url, self.start_seconds = process, url, start_seconds
        self.folder = folder

    def cpu_seconds(self) -> float:
        """Return how long its threads have computed, for all of them; NaN if unknown. 计算时间。"""
        try:
            stat = Path(f"/proc/{self.process.pid}/stat").read_text(encoding="utf-8")
        except OSError:
            return math.nan
        user, system = stat.rsplit(") ", 1)[1].split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")

    def memory_mb(self) -> float | None:
        """Return its resident memory; None where the system does not say. 占用内存。"""
        try:
            status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="utf-8")
        except OSError:
            return None
        found = re.search(r"VmRSS:\s+(\d+) kB", status)
        return round(int(found[1]) / 1024, 1) if found else None

    def call(self, visitor: str, name: str, *data: object) -> list[object]:
        """Call an endpoint as gradio_client does: post, then read the stream to its end. 调用。"""
        body = json.dumps({"data": data, "session_hash": visitor}).encode()
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(f"{self.url}/gradio_api/call/{name}", body, headers)
        with urllib.request.urlopen(request, timeout=LONGEST_SECONDS) as reply:
            event = json.load(reply)["event_id"]
        address = f"{self.url}/gradio_api/call/{name}/{event}"
        with urllib.request.urlopen(address, timeout=LONGEST_SECONDS) as stream:
            lines = [line for line in stream.read().decode().splitlines() if line]
        if lines[-2] != "event: complete":
            raise RuntimeError(lines[-1])
        return list(json.loads(lines[-1].removeprefix("data: ")))


@contextmanager
def app() -> Iterator[Served]:
    """Start `python app.py` in a folder of its own and stop it in the end. 启动网页。"""
    with tempfile.TemporaryDirectory() as folder:
        started_at = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, str(ROOT / "app.py"), "--config", str(ROOT / "config.yaml")],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT), "GRADIO_ANALYTICS_ENABLED": "False"},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            encoding="utf-8",
        )
        try:
            url = _address(process)
            urllib.request.urlopen(url, timeout=UP_SECONDS).read()
            yield Served(process, url, time.perf_counter() - started_at, Path(folder))
        finally:
            process.terminate()
            process.wait()


def _address(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None, "it is a pipe"
    for line in process.stdout:
        found = re.search(r"http://\S+:\d+", line)
        if found:
            return found[0]
    raise RuntimeError("the app has ended before it was up")
