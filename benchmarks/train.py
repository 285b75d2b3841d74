"""Training: time to quality, and where the time goes. 训练的速度。

python -m benchmarks.train                     all of it, on files of our own
python -m benchmarks.train --data FILE         time to quality on another file or FOLDER
python -m benchmarks.train --full              run the original recipe to its end, too
"""

from __future__ import annotations

from pathlib import Path

from benchmarks.common import Json, finish, make_parser
from benchmarks.quality import time_to_quality
from benchmarks.training_speed import training_speed


def main() -> None:
    """Measure, print. 主程序。"""
    parser = make_parser(__doc__)
    parser.add_argument("--data", type=Path, help="questions and answers to learn to the letter")
    parser.add_argument("--full", action="store_true", help="train the original way to the end")
    parser.add_argument("--only", choices=("quality", "speed"), help="one part of it")
    parser.add_argument("--json", action="store_true", help="stdout is JSON with or without it")
    arguments = parser.parse_args()
    result: Json = {}
    data: Path | None = arguments.data
    if data and data.is_dir():
        data = data / "train.jsonl"
    if arguments.only != "speed":
        result["quality"] = time_to_quality(data, arguments.full)
    if arguments.only != "quality":
        result["speed"] = training_speed()
    finish({"benchmark": "train", **in_short(result), **result}, arguments.save)


def in_short(result: Json) -> Json:
    """Return the figures that others look for, as far as they were measured. 主要数字。"""
    short: Json = {}
    if quality := result.get("quality"):
        short |= {
            "seconds_to_quality": quality["ours"]["seconds"]["median"],
            "exact": min(quality["ours"]["right"]),  # of its runs
            "distinct": quality["questions"],
            "reference_seconds": quality["original"]["seconds"],
            "ratio": quality["ratio"],
        }
    if speed := result.get("speed"):
        best = max(("float32", "bfloat16"), key=lambda p: speed[p]["tokens_per_second"])
        short["tokens_per_second"] = speed[best]["tokens_per_second"]
        short["matmul_peak_share"] = round(speed["float32"]["percent_of_peak"] / 100, 3)
    return short


if __name__ == "__main__":
    main()
