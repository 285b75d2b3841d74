"""Training: time to quality, and where the time goes. 训练的速度。

python -m benchmarks.train                     all of it, on files of our own
python -m benchmarks.train --data FILE         time to quality on another file
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
    arguments = parser.parse_args()
    result: Json = {}
    if arguments.only != "speed":
        result["quality"] = time_to_quality(arguments.data, arguments.full)
    if arguments.only != "quality":
        result["speed"] = training_speed()
    finish({"benchmark": "train", **result}, arguments.save)


if __name__ == "__main__":
    main()
