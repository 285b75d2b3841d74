"""One fresh process up to its first answers, for benchmarks.start: JSON on stdout. 一次冷启动。

Questions come on stdin, one a line. Imports nothing before its clock runs.
"""

import importlib
import json
import sys
import time

HEAVY = ("torch", "gradio", "huggingface_hub", "transformers")


def main() -> None:
    """Import, open the model, answer; say how long each took. 主程序。"""
    questions = sys.stdin.buffer.read().decode().splitlines()
    started_at = time.perf_counter()
    from gpt_teacher import SHIPPED, from_pretrained

    package_at = time.perf_counter()
    after_package = [name for name in HEAVY if name in sys.modules]
    for module in ("checkpoint", "sampler", "similar"):  # what an answer needs
        importlib.import_module(f"gpt_teacher.{module}")
    imported_at = time.perf_counter()
    teacher = from_pretrained(SHIPPED / "last")
    loaded_at = time.perf_counter()
    answers = []
    for question in questions:  # as the commands and the page answer: threshold, nearest question
        asked_at = time.perf_counter()
        teacher.answer(question)
        teacher.nearest(question)
        answers.append(time.perf_counter() - asked_at)
    result = {
        "package_seconds": package_at - started_at,
        "import_seconds": imported_at - started_at,
        "load_seconds": loaded_at - imported_at,
        "answer_seconds": answers,
        "heavy_after_package": after_package,
        "heavy_in_the_end": [name for name in HEAVY if name in sys.modules],
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
