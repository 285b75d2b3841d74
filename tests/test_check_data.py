"""The command check_data: what it prints, writes and advises, and with which exit code."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import QUESTIONS, ROOT, VALIDATION, Commands, write_rows

from gpt_teacher.text_files import read_rows

Project = Callable[..., Path]
CSV = '问题,答案\r\n什么是密度?,密度是质量除以体积。\r\n光有多快?,"每秒约三十万千米。"\r\n'


@pytest.fixture
def project(tiny_project: Project) -> Path:
    return tiny_project()


def test_files_without_problems_can_be_trained_on(commands: Commands, project: Path) -> None:
    ended = commands.run("check_data", "data/train.jsonl", "data/val.jsonl", folder=project)
    assert (ended.code, ended.stderr) == (0, "")
    told = ended.stdout.splitlines()
    n = len(QUESTIONS)
    assert told[0] == f"data/train.jsonl: JSONL in UTF-8; {n} questions, {n} answers, 1 refusals"
    assert "data/val.jsonl: JSONL in UTF-8; 3 questions, 3 answers, 0 refusals" in told
    assert told[-2] == (
        f"data/train.jsonl, data/val.jsonl can be trained on (可以训练): {n + 3} questions"
    )
    assert told[-1] == "  python -m scripts.train"  # these files are those of config.yaml
    assert "problem" not in ended.stdout


def test_the_command_that_is_advised_trains_on_these_files(
    commands: Commands, project: Path
) -> None:
    write_rows(project / "my data.jsonl", QUESTIONS)
    write_rows(project / "my_val.jsonl", VALIDATION)
    ended = commands.run("check_data", "my data.jsonl", folder=project)
    assert ended.code == 0
    assert ended.stdout.splitlines()[-2:] == [
        f"my data.jsonl can be trained on (可以训练): {len(QUESTIONS)} questions",
        '  python -m scripts.train --set "data.train_path=my data.jsonl"',
    ]
    ended = commands.run("check_data", "my_val.jsonl", "my data.jsonl", folder=project)
    assert ended.stdout.splitlines()[-1] == (
        '  python -m scripts.train --set "data.train_path=my data.jsonl" '
        "--set data.val_path=my_val.jsonl"
    )
    options = ["--set", "data.train_path=my data.jsonl", "--set", "data.val_path=my_val.jsonl"]
    ended = commands.run("train", *options, "--set", "training.max_steps=1", folder=project)
    assert (ended.code, ended.stderr.count("error")) == (0, 0)


def test_the_command_that_is_advised_has_the_options_of_the_check(
    commands: Commands, project: Path
) -> None:
    """Found here: rows that fit a longer context were to be trained with the shorter one."""
    (project / "my.yaml").write_bytes((project / "config.yaml").read_bytes())
    given = ["--config", "my.yaml", "--set", "model.seq_len=128"]
    write_rows(project / "long.jsonl", {"甲": "长" * 22})
    ended = commands.run("check_data", "long.jsonl", *given, folder=project)
    (command,) = [line for line in ended.stdout.splitlines() if line.startswith("  python")]
    assert (
        command == f"  python -m scripts.train {' '.join(given)} --set data.train_path=long.jsonl"
    )
    assert commands.run("check_data", "long.jsonl", folder=project).code == 2
    words = [*command.split()[3:], "--set", "training.max_steps=1"]
    assert commands.run("train", *words, folder=project).code == 0


def test_the_tokenizer_that_is_advised_is_made_with_the_options_of_the_check(
    commands: Commands, project: Path
) -> None:
    """Found here: another configuration's kind and size of vocabulary were made."""
    (project / "my.yaml").write_bytes((project / "config.yaml").read_bytes())
    given = ["--config", "my.yaml", "--set", "tokenizer.vocab_size=300"]
    write_rows(project / "rare.jsonl", {"魑魅魍魉": "鼙鼓"})
    ended = commands.run("check_data", "rare.jsonl", *given, folder=project)
    own = "--set data.train_path=rare.jsonl --set tokenizer.path=rare/tokenizer.json and train"
    advised = f"python -m scripts.build_tokenizer {' '.join(given)} {own}"
    assert advised in ended.stdout
    words = advised.removesuffix(" and train").split()[3:]
    assert commands.run("build_tokenizer", *words, folder=project).code == 0


def test_each_file_to_be_taught_gets_its_own_command(commands: Commands, project: Path) -> None:
    write_rows(project / "a.jsonl", {"甲是谁": "甲。"})
    write_rows(project / "b.jsonl", {"乙是谁": "乙。"})
    ended = commands.run("check_data", "a.jsonl", "b.jsonl", folder=project)
    assert ended.stdout.splitlines()[-2:] == [
        "  python -m scripts.train --set data.train_path=a.jsonl",
        "  python -m scripts.train --set data.train_path=b.jsonl",
    ]


def test_a_file_of_val_and_test_is_advised_as_one_of_them(
    commands: Commands, project: Path
) -> None:
    """There is no data.val_test_path: it was advised, or ended in a traceback."""
    write_rows(project / "val-test.jsonl", VALIDATION)
    ended = commands.run("check_data", "data/train.jsonl", "val-test.jsonl", folder=project)
    assert (ended.code, ended.stderr) == (0, "")
    assert ended.stdout.splitlines()[-1] == (
        "  python -m scripts.train --set data.train_path=data/train.jsonl "
        "--set data.test_path=val-test.jsonl"
    )


def test_problems_are_counted_and_end_with_2(commands: Commands, project: Path) -> None:
    write_rows(
        project / "test.jsonl", {"光有多快": "不快。", "什么是密度？": QUESTIONS["什么是密度?"]}
    )
    ended = commands.run("check_data", "data/train.jsonl", "test.jsonl", folder=project)
    assert (ended.code, ended.stderr) == (2, "")
    told = ended.stdout.splitlines()
    at = told.index(
        "problem: questions with different answers (同题异答): 1; keep one answer for each"
    )
    assert told[at + 1] == (
        "  data/train.jsonl, line 2: '光有多快?' -> '每秒约三十万千米。' | "
        "test.jsonl, line 1: '光有多快' -> '不快。'"
    )
    assert told[at + 2].startswith("problem: questions that stand in two files (泄题): 2; ")
    names = "data/train.jsonl, test.jsonl"
    assert told[-1] == f"{names} cannot be trained on yet (还不能训练): fix the 2 problems above"
    assert "python -m scripts.train" not in ended.stdout


def test_rows_beyond_seq_len_are_found_as_the_configuration_says(
    commands: Commands, project: Path
) -> None:
    arguments = ("check_data", "data/val.jsonl", "--set")
    ended = commands.run(*arguments, "model.seq_len=8", folder=project)
    assert ended.code == 2
    assert "problem: rows of data/val.jsonl longer than model.seq_len = 8 tokens" in ended.stdout
    assert ended.stdout.endswith("(还不能训练): fix the problem above\n")
    assert commands.run(*arguments, "model.seq_len=64", folder=project).code == 0


@pytest.mark.parametrize("codec", ["gbk", "utf-8-sig", "utf-16"])
def test_a_table_from_excel_is_converted_and_can_be_trained_on(
    commands: Commands, project: Path, codec: str
) -> None:
    (project / "mine.csv").write_bytes(CSV.encode(codec))
    ended = commands.run("check_data", "mine.csv", folder=project)
    assert (ended.code, ended.stderr) == (2, "")
    advised = "convert it: python -m scripts.check_data mine.csv --to mine.jsonl\n"
    assert advised in ended.stdout
    assert not (project / "mine.jsonl").exists()

    ended = commands.run("check_data", "mine.csv", "--to", "mine.jsonl", folder=project)
    assert (ended.code, ended.stderr) == (0, "")
    told = ended.stdout.splitlines()
    assert told[0] == "mine.jsonl: 2 rows written"
    assert told[1].startswith("mine.csv: CSV in ")
    assert told[1].endswith(", columns 问题 and 答案; 2 questions, 2 answers, 0 refusals")
    assert told[-2:] == [
        "mine.csv can be trained on (可以训练): 2 questions",
        "  python -m scripts.train --set data.train_path=mine.jsonl",
    ]
    rows = [(row.prompt, row.completion) for row in read_rows(project / "mine.jsonl")]
    assert rows == [*QUESTIONS.items()][:2]

    ended = commands.run("check_data", "mine.csv", "--to", "mine.jsonl", folder=project)
    assert ended.stdout.startswith("mine.jsonl: 2 rows written in place of the file that was the")
    ended = commands.run("check_data", "mine.jsonl", folder=project)
    assert ended.code == 0
    assert ended.stdout.endswith("  python -m scripts.train --set data.train_path=mine.jsonl\n")


def test_a_file_that_cannot_be_read_is_told_with_all_its_places(
    commands: Commands, project: Path
) -> None:
    (project / "a.csv").write_text("问题,答案\n光速,\n密度\n", encoding="utf-8")
    ended = commands.run("check_data", "a.csv", "data/val.jsonl", "none.txt", folder=project)
    assert (ended.code, ended.stdout) == (2, "")
    assert ended.stderr.splitlines() == [
        "error: a.csv, line 2: no answer to '光速'; write it or delete the row (缺答案)",
        "a.csv, line 3: only one column, '密度'; put a comma between question and answer "
        "(英文逗号)",
        "none.txt: no such file",
    ]


def test_a_file_that_is_not_there_is_no_unknown_kind_of_file(
    commands: Commands, project: Path
) -> None:
    ended = commands.run("check_data", "nofile", folder=project)
    assert (ended.code, ended.stderr) == (2, "error: nofile: no such file\n")


def test_the_file_that_is_read_is_not_overwritten(commands: Commands, project: Path) -> None:
    path = project / "data" / "train.jsonl"
    before = path.read_bytes()
    ended = commands.run("check_data", "data/train.jsonl", "--to", path, folder=project)
    assert (ended.code, ended.stdout) == (2, "")
    assert ended.stderr == f"error: {path}: this is the file that was read; write to another one\n"
    assert path.read_bytes() == before


def test_one_file_is_converted_at_a_time(commands: Commands, project: Path) -> None:
    files = ("data/train.jsonl", "data/val.jsonl")
    ended = commands.run("check_data", *files, "--to", "a.jsonl", folder=project)
    assert (ended.code, ended.stdout) == (2, "")
    assert "error: --to converts one FILE, got 2" in ended.stderr
    assert not (project / "a.jsonl").exists()


def test_a_star_that_the_shell_leaves_is_expanded_and_no_file_counts_twice(
    commands: Commands, project: Path
) -> None:
    """The shells of Windows leave it; a file given twice would leak into itself."""
    files = ("data/*.jsonl", "data/val.jsonl", project / "data" / "val.jsonl")
    ended = commands.run("check_data", *files, folder=project)
    assert ended.code == 0
    assert "\ndata/train.jsonl, data/val.jsonl can be trained on" in ended.stdout
    ended = commands.run("check_data", "data/*.csv", folder=project)
    assert (ended.code, ended.stderr) == (2, "error: data/*.csv: no such file\n")


def test_a_missing_tokenizer_is_told_with_its_remedy(commands: Commands, project: Path) -> None:
    wanted = "tokenizer.path=none.json"
    ended = commands.run("check_data", "data/val.jsonl", "--set", wanted, folder=project)
    assert ended.code == 2
    assert "error: no tokenizer at none.json" in ended.stderr


def test_the_splits_of_this_project_have_no_problem(commands: Commands) -> None:
    files = sorted((ROOT / "data").glob("*.jsonl"))
    assert len(files) == 6
    ended = commands.run("check_data", *(f"data/{path.name}" for path in files), folder=ROOT)
    assert (ended.code, ended.stderr) == (0, ""), ended.stdout
    n_rows = sum(len(path.read_text(encoding="utf-8").splitlines()) for path in files)
    assert f"can be trained on (可以训练): {n_rows} questions\n" in ended.stdout
    for path in files:
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        label = "topic" if path.name.startswith("unknown") else "id"
        topics = len({row[label] for row in rows})
        assert f"data/{path.name}: JSONL in UTF-8; {len(rows)} questions on {topics} topics" in (
            ended.stdout
        )
