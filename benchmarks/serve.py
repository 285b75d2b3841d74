"""The page under load: a class that asks at once, and memory over many questions. 网页压力测试。

python -m benchmarks.serve                       30 clients, 10 questions each, then 1,000 more
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.common import Json, finish, say, show, summary
from gpt_teacher.text_files import read_rows

ROOT = Path(__file__).parent.parent
QUESTIONS = ROOT / "data" / "test.jsonl"
UP_SECONDS = 60.0
LONGEST_SECONDS = 120.0  # for one answer
GREEDY = (0, 0, 1, 1, 120, "", 42, True)  # the sampling controls of /ask, as the page has them


def main() -> None:
    """Start the app, put it under load, print what was measured. 主程序。"""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clients", type=int, default=30)
    parser.add_argument("--questions", type=int, default=10, help="of each client, one by one")
    parser.add_argument("--soak", type=int, default=1000, help="questions for the memory; 0 = none")
    arguments = parser.parse_args()
    prompts = [row.prompt for row in read_rows(QUESTIONS)]
    with app() as served:
        result = measure(served, prompts, arguments)
    finish({"benchmark": "serve", **result})


class Served:
    """A running app. 运行中的网页。"""

    def __init__(self, process: subprocess.Popen[str], url: str, start_seconds: float) -> None:
        """Keep the process, its address, and how long it took to come up. 记录。"""
        self.process, self.url, self.start_seconds = process, url, start_seconds

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
            yield Served(process, url, time.perf_counter() - started_at)
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


def measure(served: Served, prompts: list[str], arguments: argparse.Namespace) -> Json:
    """Put the app under load. 测量。"""
    first = _timed(served, "first", prompts[0])
    idle = served.memory_mb()
    say(f"{arguments.clients} clients, {arguments.questions} questions each …")
    seconds, errors = _class(served, prompts, arguments.clients, arguments.questions)
    after_class = served.memory_mb()
    if arguments.soak:
        say(f"{arguments.soak} more questions …")
        for number in range(arguments.soak):
            settings = (*GREEDY[:6], number, True)  # another seed: not an answer that is remembered
            served.call("soak", "ask", prompts[number % len(prompts)], *settings)
    result: Json = {
        "start_seconds": round(served.start_seconds, 2),
        "first_answer_seconds": round(first, 3),
        "answer_seconds": summary(seconds, 3),
        "errors": errors,
        "memory_mb": {"idle": idle, "after_class": after_class, "after_soak": served.memory_mb()},
    }
    show(
        "the page under load",
        [
            ("up after", f"{result['start_seconds']} s"),
            ("first answer", f"{1000 * first:.0f} ms"),
            ("answer, median", f"{result['answer_seconds']['median']} s"),
            ("answer, p95", f"{result['answer_seconds']['p95']} s"),
            ("errors", str(len(errors))),
            ("memory", f"{result['memory_mb']} MB"),
        ],
    )
    return result


def _timed(served: Served, visitor: str, prompt: str) -> float:
    started_at = time.perf_counter()
    served.call(visitor, "ask", prompt, *GREEDY)
    return time.perf_counter() - started_at


def _class(
    served: Served, prompts: list[str], n_clients: int, n_questions: int
) -> tuple[list[float], list[str]]:
    """Let all clients ask at once, each one question after the other. 全班一起问。"""
    seconds: list[float] = []
    errors: list[str] = []

    def ask(client: int) -> None:
        for number in range(n_questions):
            prompt = prompts[(client * n_questions + number) % len(prompts)]
            try:
                seconds.append(_timed(served, f"client {client}", prompt))
            except (OSError, RuntimeError) as error:
                errors.append(str(error))

    threads = [threading.Thread(target=ask, args=(client,)) for client in range(n_clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return seconds, errors


if __name__ == "__main__":
    main()
