"""How long until the first answer: import, load, first and warm answers, command, page. 启动速度。

python -m benchmarks.start                       fresh processes, in turns
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from statistics import median

from benchmarks.common import (
    ROOT,
    Json,
    finish,
    held_out_questions,
    make_parser,
    say,
    show,
    spread,
    summary,
)
from benchmarks.served import app

N_QUESTIONS = 21  # the first is the cold one


def main() -> None:
    """Start everything several times, print what was measured. 主程序。"""
    parser = make_parser(__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="counted ones; one goes before them")
    arguments = parser.parse_args()
    result = {"benchmark": "start", **measure(held_out_questions(N_QUESTIONS), arguments.rounds)}
    tell(result)
    finish(result, arguments.save, ["gradio"])


def measure(questions: list[str], n_rounds: int) -> Json:
    """Start process, command and page in turns. 轮流测量。"""
    processes, commands, pages, memory = [], [], [], []
    for number in range(n_rounds + 1):
        say(f"round {number} of {n_rounds}" if number else "warming up")
        process = json.loads(_run("benchmarks.one_start", given="\n".join(questions)))
        started_at = time.perf_counter()
        _run("scripts.ask", questions[0])
        command = time.perf_counter() - started_at
        with app() as served:
            page, resident = served.start_seconds, served.memory_mb()
        if number:
            processes.append(process)
            commands.append(command)
            pages.append(page)
            memory += [resident] if resident is not None else []
    answers = [process["answer_seconds"] for process in processes]
    result: Json = {
        name: summary([process[name] for process in processes], 3)
        for name in ("package_seconds", "import_seconds", "load_seconds")
    }
    return result | {
        "first_answer_milliseconds": summary([1000 * cold for cold, *_ in answers]),
        "warm_answer_milliseconds": summary([1000 * median(warm) for _, *warm in answers]),
        "command_seconds": summary(commands, 2),
        "page_seconds": summary(pages, 2),
        **({"page_memory_mb": summary(memory)} if memory else {}),
        "heavy_after_package": processes[0]["heavy_after_package"],
        "heavy_in_the_end": processes[0]["heavy_in_the_end"],
    }


def _run(module: str, *arguments: str, given: str = "") -> str:
    """Return what a module prints, run in a process of its own. 在新进程中运行。"""
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONUTF8": "1"},
        input=given,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        encoding="utf-8",
        check=True,
    )
    return done.stdout


def tell(result: Json) -> None:
    """Show the table. 打印结果。"""
    units = {"seconds": " s", "milliseconds": " ms", "mb": " MB"}
    rows = [
        (name, spread(value, units[name.rsplit("_", 1)[1]]))
        for name, value in result.items()
        if isinstance(value, dict)
    ]
    rows += [(name, ", ".join(result[name]) or "none") for name in result if "heavy" in name]
    show("from nothing: median (range)", rows)


if __name__ == "__main__":
    main()
