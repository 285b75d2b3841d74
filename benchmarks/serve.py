"""The page under load: a class that asks at once, memory, a training beside it. 网页压力测试。

python -m benchmarks.serve                       30 clients, 10 questions each, then 1,000 more
python -m benchmarks.serve --soak 0 --training   one visitor, without and with a training
"""

from __future__ import annotations

import argparse
import json
import math
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
from gpt_teacher.views.text import EXAMPLE_PAIRS

ROOT = Path(__file__).parent.parent
QUESTIONS = ROOT / "data" / "test.jsonl"
UP_SECONDS = 60.0
LONGEST_SECONDS = 120.0  # for one answer
GREEDY = (0, 0, 1, 1, 120, "", 42, True)  # the sampling controls of /ask, as the page has them
SOAK_CLIENTS = 10
N_BESIDE = 30  # questions of the one visitor, without and with a training


def main() -> None:
    """Start the app, put it under load, print what was measured. 主程序。"""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clients", type=int, default=30)
    parser.add_argument("--questions", type=int, default=10, help="of each client, one by one")
    parser.add_argument("--soak", type=int, default=1000, help="questions for the memory; 0 = none")
    parser.add_argument("--training", action="store_true", help="ask while a training runs, too")
    arguments = parser.parse_args()
    prompts = [row.prompt for row in read_rows(QUESTIONS)]
    with app() as served:
        result = measure(served, prompts, arguments)
    finish({"benchmark": "serve", **result})


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


def measure(served: Served, prompts: list[str], arguments: argparse.Namespace) -> Json:
    """Put the app under load. 测量。"""
    first = _timed(served, "first", prompts[0])
    memory: Json = {"idle": served.memory_mb()}
    n_asked = arguments.clients * arguments.questions
    say(f"{arguments.clients} clients, {arguments.questions} questions each …")
    before = served.cpu_seconds()
    seconds, errors = _class(served, prompts, arguments.clients, arguments.questions)
    cpu = 1000 * (served.cpu_seconds() - before) / n_asked
    memory["after_class"] = served.memory_mb()
    if arguments.soak:
        memory["soak"] = _soak(served, prompts, arguments.soak)
    result: Json = {
        "start_seconds": round(served.start_seconds, 2),
        "first_answer_seconds": round(first, 3),
        "answer_seconds": summary(seconds, 3),
        "cpu_milliseconds_an_answer": round(cpu, 1),
        "errors": errors,
        "memory_mb": memory,
    }
    if arguments.training:
        result |= _beside_a_training(served, prompts)
    show(
        "the page under load",
        [
            ("up after", f"{result['start_seconds']} s"),
            ("first answer", f"{1000 * first:.0f} ms"),
            ("answer, median", f"{result['answer_seconds']['median']} s"),
            ("answer, p95", f"{result['answer_seconds']['p95']} s"),
            ("processor time of an answer", f"{cpu:.0f} ms"),
            ("errors", str(len(errors))),
            ("memory", f"{memory} MB"),
            *[(name, str(result[name])) for name in ("alone", "training") if name in result],
        ],
    )
    return result


def _soak(served: Served, prompts: list[str], n_questions: int) -> list[float | None]:
    """Ask many more, and return the memory after each quarter. 长时间提问。"""
    memory = []
    for quarter in range(4):
        say(f"quarter {quarter + 1} of {n_questions} more questions …")
        each = n_questions // (4 * SOAK_CLIENTS)
        # Other seeds than before: an answer that is remembered would show nothing.
        _class(served, prompts, SOAK_CLIENTS, each, seed=1000 * (quarter + 1))
        memory.append(served.memory_mb())
    return memory


def _beside_a_training(served: Served, prompts: list[str]) -> Json:
    """Return how long one visitor waits without a training, and while one runs. 训练时提问。"""
    say("one visitor alone, then beside a training …")
    found: Json = {"alone": _one_by_one(served, prompts, seed=11)}
    run_id = str(served.call("trainer", "train", EXAMPLE_PAIRS, 5, "")[0])
    run = served.folder / "runs" / "page" / run_id
    _wait_for(run / "stage")  # its first update is done
    found["training"] = _one_by_one(served, prompts, seed=12)
    if (run / "end.json").exists():
        raise RuntimeError("the training ended before the questions")
    served.call("trainer", "stop_training", run_id)
    _wait_for(run / "end.json")
    return found


def _one_by_one(served: Served, prompts: list[str], seed: int) -> Json:
    return summary(_class(served, prompts, 1, N_BESIDE, seed)[0], 3)


def _wait_for(path: Path) -> None:
    until = time.monotonic() + LONGEST_SECONDS
    while not path.exists():
        if time.monotonic() > until:
            raise RuntimeError(f"there is no {path.name} after {LONGEST_SECONDS} s")
        time.sleep(0.1)


def _timed(served: Served, visitor: str, prompt: str, seed: int = 42) -> float:
    started_at = time.perf_counter()
    served.call(visitor, "ask", prompt, *GREEDY[:6], seed, *GREEDY[7:])
    return time.perf_counter() - started_at


def _class(
    served: Served, prompts: list[str], n_clients: int, n_questions: int, seed: int = 42
) -> tuple[list[float], list[str]]:
    """Let all clients ask at once, each one question after the other. 全班一起问。"""
    seconds: list[float] = []
    errors: list[str] = []

    def ask(client: int) -> None:
        for number in range(n_questions):
            prompt = prompts[(client * n_questions + number) % len(prompts)]
            try:
                seconds.append(_timed(served, f"client {client}", prompt, seed))
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
