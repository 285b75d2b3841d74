"""The page under load: a class that asks at once, memory, a training beside it. 网页压力测试。

python -m benchmarks.serve                       30 clients, 10 questions each, then 1,000 more
python -m benchmarks.serve --soak 0 --training   one visitor, without and with a training
"""

from __future__ import annotations

import argparse
import threading
import time
from pathlib import Path

from benchmarks.common import Json, finish, held_out_questions, make_parser, say, show, summary
from benchmarks.served import LONGEST_SECONDS, Served, app
from gpt_teacher.views.text import EXAMPLE_PAIRS

GREEDY = (0, 0, 1, 1, 120, "", 42, True)  # the sampling controls of /ask, as the page has them
SOAK_CLIENTS = 10
N_BESIDE = 30  # questions of the one visitor, without and with a training


def main() -> None:
    """Start the app, put it under load, print what was measured. 主程序。"""
    parser = make_parser(__doc__)
    parser.add_argument("--clients", type=int, default=30)
    parser.add_argument("--questions", type=int, default=10, help="of each client, one by one")
    parser.add_argument("--soak", type=int, default=1000, help="questions for the memory; 0 = none")
    parser.add_argument("--training", action="store_true", help="ask while a training runs, too")
    arguments = parser.parse_args()
    with app() as served:
        result = measure(served, held_out_questions(), arguments)
    finish({"benchmark": "serve", **result}, arguments.save, ["gradio"])


def measure(served: Served, prompts: list[str], arguments: argparse.Namespace) -> Json:
    """Put the app under load. 测量。"""
    first = _timed(served, "first", prompts[0])
    memory: Json = {"idle": served.memory_mb()}
    n_asked = arguments.clients * arguments.questions
    for client in range(arguments.clients):  # the class has opened the page before it asks
        served.call(f"client {client}", "tokenize", prompts[client % len(prompts)])
    say(f"{arguments.clients} clients, {arguments.questions} questions each …")
    before = served.cpu_seconds()
    seconds, errors = _class(served, prompts, arguments.clients, arguments.questions)
    cpu = 1000 * (served.cpu_seconds() - before) / n_asked
    memory["after_class"] = served.memory_mb()
    if arguments.soak:
        memory["soak"] = _soak(served, prompts, arguments.soak)
        memory["after_soak"] = memory["soak"][-1]
    result: Json = {
        "clients": arguments.clients,
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
