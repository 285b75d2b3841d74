"""The page under load: a class that asks at once, and memory over many questions. 网页压力测试。

python -m benchmarks.serve                       30 clients, 10 questions each, then 1,000 more
"""

from __future__ import annotations

import argparse
import threading
import time

from benchmarks.common import Json, finish, held_out_questions, make_parser, say, show, summary
from benchmarks.served import Served, app

GREEDY = (0, 0, 1, 1, 120, "", 42, True)  # the sampling controls of /ask, as the page has them


def main() -> None:
    """Start the app, put it under load, print what was measured. 主程序。"""
    parser = make_parser(__doc__)
    parser.add_argument("--clients", type=int, default=30)
    parser.add_argument("--questions", type=int, default=10, help="of each client, one by one")
    parser.add_argument("--soak", type=int, default=1000, help="questions for the memory; 0 = none")
    arguments = parser.parse_args()
    with app() as served:
        result = measure(served, held_out_questions(), arguments)
    finish({"benchmark": "serve", **result}, arguments.save, ["gradio"])


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
        "clients": arguments.clients,
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
