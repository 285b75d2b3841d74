"""Make data/*.jsonl (train, val, test, unknown questions) and data/README.md from data/source.

从 data/source 的源文件生成训练、验证、测试集。Same sources, same files, byte for byte.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path

from gpt_teacher.corpus import read_corpus
from gpt_teacher.data_counts import n_topics
from gpt_teacher.dataset_card import dataset_card
from scripts.command_line import DONE, run, write_text


def main() -> int:
    """Read the sources, write the splits, count. 主程序。"""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--source", type=Path, default=Path("data/source"), metavar="FOLDER")
    parser.add_argument("--output", type=Path, default=Path("data"), metavar="FOLDER")
    arguments = parser.parse_args()
    corpus = read_corpus(arguments.source)
    for split, items in corpus.items():
        path = arguments.output / f"{split}.jsonl"
        lines = [json.dumps(asdict(item), ensure_ascii=False) + "\n" for item in items]
        write_text(path, "".join(lines))
        print(f"{path}: {len(items)} questions on {n_topics(items)} topics")
    write_text(arguments.output / "README.md", dataset_card(corpus))
    return DONE


if __name__ == "__main__":
    run(main)
