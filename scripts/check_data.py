"""Check files of questions and answers before they are trained on.

训练前检查题目：重复、泄题、同题异答、太长、乱码。Reads JSONL, CSV as Excel saves it and .txt
(question TAB answer), in UTF-8, UTF-16 or GBK. Training reads JSONL in UTF-8: --to makes it.
Exit code 2: there is a problem; warnings are for you to judge.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from gpt_teacher.commands import quoted
from gpt_teacher.config import DataConfig
from gpt_teacher.data_check import check
from gpt_teacher.data_counts import describe
from gpt_teacher.errors import DataError
from gpt_teacher.tables import Table, read_table, role, write_jsonl
from gpt_teacher.tokenizer import load_tokenizer
from scripts.command_line import DONE, USER_CAN_MEND, given_options, make_parser, read_config, run


def main() -> int:
    """Read, convert, check, report. 主程序。"""
    arguments = parse()
    config = read_config(arguments)
    tokenizer = load_tokenizer(Path(config.tokenizer.path), config.tokenizer)
    tables = read_tables(arguments.files)
    if arguments.to:
        replaced = " in place of the file that was there" if arguments.to.exists() else ""
        write_jsonl(tables[0], arguments.to)
        print(f"{arguments.to}: {len(tables[0].rows)} rows written{replaced}")
    given = given_options(arguments)
    report = check(tables, tokenizer, config.model.seq_len, arguments.to, given)
    for table, counts in zip(tables, report.counts, strict=True):
        print("\n".join(describe(table, counts)))
    for finding in report.findings:
        print("\n  ".join([f"{finding.severity}: {finding.sentence}", *finding.examples]))
    names = ", ".join(str(table.path) for table in tables)
    if report.n_problems:
        many = f"{report.n_problems} problems" if report.n_problems > 1 else "problem"
        print(f"{names} cannot be trained on yet (还不能训练): fix the {many} above")
        return USER_CAN_MEND
    print(f"{names} can be trained on (可以训练): {sum(len(t.rows) for t in tables)} questions")
    for words in training_options([arguments.to or table.path for table in tables], config.data):
        print("  " + " ".join(["python -m scripts.train", *given, *words]))
    return DONE


def read_tables(paths: list[Path]) -> list[Table]:
    """Read all files, or say what is wrong with each. 读取所有文件。"""
    tables, errors = [], []
    for path in paths:
        try:
            tables.append(read_table(path))
        except DataError as error:
            errors.append(str(error))
    if errors:
        raise DataError("\n".join(errors))
    return tables


def training_options(paths: list[Path], config: DataConfig) -> list[list[str]]:
    """Return the options that train on these files, for each to be taught. 训练选项。"""
    taught = [path for path in paths if role(path) == "train"] or paths[:1]
    others = {f"{role(path)}_path": path for path in paths if path not in taught}
    options = []
    for path in taught:
        files = {"train_path": path, **others}
        as_set = all(Path(getattr(config, key) or "") == file for key, file in files.items())
        words = [f"--set {quoted(f'data.{key}={file}')}" for key, file in files.items()]
        options.append([] if as_set else words)
    return options


def parse() -> argparse.Namespace:
    """Return the options. 选项。"""
    parser = make_parser(__doc__)
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE")
    parser.add_argument("--to", type=Path, metavar="OUT.jsonl", help="convert the one FILE to it")
    arguments = parser.parse_args()
    expanded = [  # which the Windows shells leave to the command
        file
        for path in arguments.files
        for file in ("*" in path.name and sorted(path.parent.glob(path.name))) or [path]
    ]
    arguments.files = [*{file.resolve(): file for file in expanded[::-1]}.values()][::-1]
    if arguments.to and len(arguments.files) > 1:
        parser.error(f"--to converts one FILE, got {len(arguments.files)}")
    return arguments


if __name__ == "__main__":
    run(main)
