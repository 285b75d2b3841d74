"""The commands, each as a process: what they print, where, and with which exit code."""

from __future__ import annotations

import argparse
import errno
import io
import json
import math
import os
import re
import select
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml
from conftest import QUESTIONS, ROOT, VALIDATION, Commands, Finished, TinyRun, sets, write_rows

from gpt_teacher import Pretrained, from_pretrained
from gpt_teacher.checkpoint import load_checkpoint
from gpt_teacher.config import SamplingConfig
from gpt_teacher.corpus import read_corpus
from gpt_teacher.dataset_card import dataset_card
from gpt_teacher.prompt import ASSISTANT, REFUSAL_ANSWER, USER, encode_prompt, normalise
from gpt_teacher.quantize import dequantize
from gpt_teacher.run_log import read_log
from gpt_teacher.sampler import answer
from gpt_teacher.tokenizer import BOS_ID, EOS_ID, PAD_ID, UNK_ID, load_tokenizer
from scripts.ask import answer_one
from scripts.command_line import run
from scripts.explanation import explanation

Project = Callable[..., Path]
QUESTION, ANSWER = "什么是密度?", "密度是质量除以体积。"
SCRIPTS = [
    path.stem
    for path in sorted((ROOT / "scripts").glob("*.py"))
    if '__name__ == "__main__"' in path.read_text(encoding="utf-8")
]
STORY = (
    "从前山脚下住着一位老木匠，他有三个徒弟。大徒弟手快，二徒弟眼尖，小徒弟爱问为什么。\n"
    "\t一天，师傅让他们各做一只小船，说：“谁的船浮得稳，谁就留下。”🙂\n"
    "大徒弟的船又薄又轻，下水就翻；二徒弟的船好看，却漏水。\n"
    "小徒弟先把木头放进桶里，看它怎样沉浮，再动手。他的船ＡＢＣ　，稳稳当当 hello world。\n"
)


def fails(ended: Finished) -> str:
    """Return the one message of a command that the user can mend."""
    assert ended.code == 2, ended
    assert ended.stdout == ""
    assert "Traceback" not in ended.stderr
    assert ended.stderr.count("error:") == 1, ended.stderr
    return ended.stderr[ended.stderr.index("error:") + len("error: ") :]


@pytest.fixture(scope="module")
def teacher(tiny_run: TinyRun) -> Pretrained:
    return from_pretrained(tiny_run.last)


@pytest.fixture
def ask(commands: Commands, tiny_run: TinyRun) -> Callable[..., Finished]:
    """Run scripts.ask where the trained checkpoint is."""

    def run(*arguments: object, stdin: bytes = b"") -> Finished:
        return commands.run("ask", *arguments, folder=tiny_run.project, stdin=stdin)

    return run


# ---------------------------------------------------------------- all commands


@pytest.mark.parametrize("name", SCRIPTS)
def test_help_is_the_docstring(commands: Commands, tmp_path: Path, name: str) -> None:
    ended = commands.run(name, "--help", folder=tmp_path)
    source = (ROOT / "scripts" / f"{name}.py").read_text(encoding="utf-8")
    first_line = source.split('"""')[1].splitlines()[0]
    assert ended.code == 0
    assert first_line in ended.stdout
    assert ended.stderr == ""


def test_help_tells_which_model_is_opened_by_default(commands: Commands, tmp_path: Path) -> None:
    """Found here: that of the page did not know of hub.repo_id, which is looked at first."""
    for name, models in (("app", "MODEL_REPO_ID, else hub.repo_id, else "), ("ask", "")):
        told = " ".join(commands.run(name, "--help", folder=tmp_path).stdout.split())
        assert f"default: {models}checkpoints, else pretrained --revision" in told


def test_the_package_is_light_to_import() -> None:
    heavy = ("torch", "gradio", "huggingface_hub", "transformers", "tokenizers", "numpy", "yaml")
    program = f"import sys, gpt_teacher; print([m for m in {heavy} if m in sys.modules])"
    ended = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert ended.stdout.strip() == "[]"


def test_from_pretrained_answers_greedily_unless_told_otherwise(
    tiny_project: Project, teacher: Pretrained
) -> None:
    last = tiny_project(trained=True) / "checkpoints" / "last"
    text = (last / "config.yaml").read_text(encoding="utf-8")
    hot = text.replace("temperature: 0.0", "temperature: 50.0")
    (last / "config.yaml").write_text(hot, encoding="utf-8")
    warm = from_pretrained(last)
    assert warm.config.sampling.temperature == 50.0
    assert warm.answer(QUESTION) == ANSWER
    assert warm.answer(QUESTION, warm.config.sampling) != ANSWER
    assert warm.metrics == teacher.metrics
    assert warm.metrics["parameters"] == sum(p.numel() for p in warm.model.parameters())


# ---------------------------------------------------------------- build_tokenizer, build_data


def test_the_tokenizer_is_built_from_the_training_file_byte_for_byte(
    commands: Commands, tiny_project: Project
) -> None:
    project = tiny_project()
    path = project / "tokenizer" / "tokenizer.json"
    before = path.read_bytes()
    path.unlink()
    ended = commands.run("build_tokenizer", folder=project)
    assert (ended.code, ended.stderr) == (0, "")
    assert path.read_bytes() == before
    tokenizer = load_tokenizer(path)
    texts = [t for q, a in QUESTIONS.items() for t in (USER + normalise(q) + ASSISTANT, a)]
    share = len("".join(texts)) / sum(len(tokenizer.encode(text)) for text in texts)
    assert ended.stdout == (
        f"tokenizer/tokenizer.json: hf_tokenizers, 360 tokens\n"
        f"data/train.jsonl: {share:.2f} characters a token\n"
    )


def test_a_tokenizer_that_cannot_be_written_is_said(
    commands: Commands, tiny_project: Project
) -> None:
    project = tiny_project()
    wanted = sets("tokenizer.path=config.yaml/tokenizer.json")
    text = fails(commands.run("build_tokenizer", *wanted, folder=project))
    assert "config.yaml/tokenizer.json: cannot be written (File exists); set another" in text


SOURCE = {
    "subject": "物理",
    "topics": [
        {
            "id": "t1",
            "kind": "定义",
            "topic": "密度",
            "answer": ANSWER,
            "questions": ["什么是密度?", "密度是什么?"],
            "val": ["密度的定义?"],
            "test": ["说说密度"],
        }
    ],
}


def write_source(folder: Path, **changed: object) -> None:
    folder.mkdir(exist_ok=True)
    topic = SOURCE["topics"][0] | changed  # type: ignore[index]
    document = yaml.safe_dump({"subject": "物理", "topics": [topic]}, allow_unicode=True)
    (folder / "physics.yaml").write_text(document, encoding="utf-8")


def test_the_data_files_hold_the_questions_of_the_source(
    commands: Commands, tmp_path: Path
) -> None:
    write_source(tmp_path / "source")
    arguments = ("--source", "source", "--output", "new/data")
    ended = commands.run("build_data", *arguments, folder=tmp_path)
    assert (ended.code, ended.stderr) == (0, "")
    data = tmp_path / "new" / "data"
    labels = {"id": "t1", "subject": "物理", "kind": "定义", "topic": "密度"}
    for split, prompts in (
        ("train", ["什么是密度?", "密度是什么?"]),
        ("val", ["密度的定义?"]),
        ("test", ["说说密度"]),
    ):
        lines = (data / f"{split}.jsonl").read_text(encoding="utf-8").splitlines()
        assert [json.loads(line) for line in lines] == [
            {**labels, "prompt": question, "completion": ANSWER} for question in prompts
        ]
        n = len(prompts)
        assert f"new/data/{split}.jsonl: {n} questions on 1 topics" in ended.stdout.splitlines()
    assert (data / "README.md").read_text("utf-8") == dataset_card(read_corpus(tmp_path / "source"))
    before = {path.name: path.read_bytes() for path in data.iterdir()}
    commands.run("build_data", *arguments, folder=tmp_path)
    assert {path.name: path.read_bytes() for path in data.iterdir()} == before


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"val": ["什么是密度？"]}, "source: '什么是密度？' stands in topic t1 and in topic t1"),
        ({"answer": " "}, "source/physics.yaml, topic 1: answer is ' '; it must be text"),
        ({"test": "说"}, "source/physics.yaml, t1: test must be a list of texts in quotes"),
    ],
)
def test_what_is_wrong_with_a_source_is_said(
    commands: Commands, tmp_path: Path, changed: dict[str, object], expected: str
) -> None:
    write_source(tmp_path / "source", **changed)
    assert expected in fails(commands.run("build_data", "--source", "source", folder=tmp_path))


def test_data_that_cannot_be_written_is_said(commands: Commands, tmp_path: Path) -> None:
    write_source(tmp_path / "source")
    arguments = ("--source", "source", "--output", "source/physics.yaml/data")
    text = fails(commands.run("build_data", *arguments, folder=tmp_path))
    assert "source/physics.yaml/data" in text
    assert "cannot" in text


def test_a_missing_source_folder_is_said(commands: Commands, tmp_path: Path) -> None:
    expected = "none: no source files (*.yaml) there"
    assert expected in fails(commands.run("build_data", "--source", "none", folder=tmp_path))


# ---------------------------------------------------------------- ask


@pytest.mark.parametrize("question", [QUESTION, "什么是密度？", " 什么是 密度？\n"])
def test_the_answer_alone_goes_to_stdout_and_what_explains_it_to_stderr(
    ask: Callable[..., Finished], teacher: Pretrained, question: str
) -> None:
    given = teacher.answer(question)
    explained = (
        f"sure: {given.mean_probability:.0%} on average, "
        f"{given.min_probability:.0%} at the least sure token\n"
        f"most like it among the taught questions: {QUESTION} (100% alike)\n"
    )
    assert ask(question) == Finished(0, ANSWER + "\n", explained)


def test_a_refusal_says_whether_it_was_taught_or_too_unsure(ask: Callable[..., Finished]) -> None:
    taught = ask("明天的彩票号码?")
    assert taught.stdout == REFUSAL_ANSWER + "\n"
    assert "refused: it was taught to, for questions like this one\n" in taught.stderr
    unsure = ask(QUESTION, "--refuse-below", "1")
    assert unsure.stdout == REFUSAL_ANSWER + "\n"
    remedy = "see what it would have said: --no-refusal"
    assert f"refused: too unsure, below 100%; {remedy}\n" in unsure.stderr
    said = ask(QUESTION, "--refuse-below", "1", "--no-refusal")
    assert said.stdout == ANSWER + "\n"
    assert "refused" not in said.stderr


def test_an_answer_that_is_cut_short_says_so(ask: Callable[..., Finished]) -> None:
    cut = ask(QUESTION, "--max-new-tokens", "3")
    assert cut.stdout != ANSWER + "\n"
    assert "cut short: it was still going on after 3 tokens; let it go on with --max-new" in (
        cut.stderr
    )


def test_an_answer_that_fills_the_context_is_not_told_to_go_on(tiny_run: TinyRun) -> None:
    """Found here: --max-new-tokens was advised, which changes nothing then."""
    teacher = from_pretrained(tiny_run.last)
    room = teacher.model.config.seq_len - len(encode_prompt(teacher.tokenizer, QUESTION))
    for most, full in ((room, False), (room + 2, True)):
        settings = SamplingConfig(temperature=0, max_new_tokens=most, min_new_tokens=most)
        *_, last = answer(teacher.model, teacher.tokenizer, QUESTION, settings)
        assert last.finish_reason == "length"
        told = explanation(last, settings, None)
        assert ("the context is full (model.seq_len); a shorter question" in told) == full
        assert ("--max-new-tokens" in told) == (not full)


def test_a_question_like_no_other_is_told_no_taught_one(ask: Callable[..., Finished]) -> None:
    ended = ask("zzz")
    assert (ended.code, ended.stderr.count("sure: ")) == (0, 1)
    assert "most like it" not in ended.stderr


def test_a_label_stands_before_the_answer_when_asked_for(ask: Callable[..., Finished]) -> None:
    assert ask("说一个表情", "--show-label").stdout == "回答:hello world 🙂\n"


def test_the_question_may_come_from_stdin(ask: Callable[..., Finished]) -> None:
    for encoding in ("utf-8", "utf-8-sig", "gbk"):  # the last one in cmd.exe of a Chinese Windows
        stdin = "写三个全角字母\r\n".encode(encoding)
        assert ask("-", stdin=stdin).stdout == "ＡＢＣ　，就是这三个。\n"
    assert ask("-", stdin=b"").code == ask("").code


def test_lines_piped_in_as_windows_ends_them_are_continued_as_lines(
    ask: Callable[..., Finished],
) -> None:
    given = [ask("--raw", "-", stdin=f"小徒弟{end}".encode()).stdout for end in ("\n", "\r\n")]
    assert given[0] == given[1]


def test_bytes_on_stdin_that_are_no_text_get_one_sentence(ask: Callable[..., Finished]) -> None:
    expected = "what is piped in is no text in UTF-8 or GBK (编码不对)\n"
    assert fails(ask("-", stdin=b"\xff\xff\xff\x00\x81")) == expected


def test_a_terminal_shows_the_answer_as_it_grows_and_nothing_twice(
    commands: Commands, tiny_run: TinyRun
) -> None:
    main, terminal = os.openpty()
    for question, expected in QUESTIONS.items():
        process = commands.start(
            "ask", question, folder=tiny_run.project, stdout=os.ttyname(terminal)
        )
        ended = commands.wait(process)
        assert (ended.code, ended.stdout) == (0, "")
        shown = b""
        while not shown.endswith(b"\n") and select.select([main], [], [], 10)[0]:
            shown += os.read(main, 10_000)  # the system hands it on piece by piece
        assert shown.decode() == expected + "\r\n"
    os.close(main)
    os.close(terminal)


class Terminal(io.StringIO):
    """A terminal that remembers each piece of text that it was sent."""

    def __init__(self) -> None:
        super().__init__()
        self.pieces: list[str] = []

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        self.pieces += [text] if text.strip() else []
        return super().write(text)


@pytest.mark.parametrize(
    ("options", "streamed", "expected"),
    [
        ({"refuse_below": 0.0}, True, ANSWER),
        ({"refuse_below": 0.001}, False, ANSWER),
        ({"refuse_below": 1.0}, False, REFUSAL_ANSWER),
        ({"refuse_below": None}, True, ANSWER),
    ],
    ids=["none below", "rarely", "always", "not fitted"],
)
def test_an_answer_that_may_still_be_withheld_is_not_shown_while_it_grows(
    teacher: Pretrained,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    options: dict[str, float | None],
    streamed: bool,
    expected: str,
) -> None:
    """Else a class would read half an answer, and then 不知道."""
    terminal = Terminal()
    arguments = argparse.Namespace(question=QUESTION, show_label=False, raw=False)
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", terminal)
        answer_one(teacher, arguments, SamplingConfig(**options))  # type: ignore[arg-type]
    assert terminal.getvalue() == expected + "\n"
    assert (len(terminal.pieces) > 1) == streamed
    assert capsys.readouterr().err.startswith("sure: ")


def test_a_reader_that_leaves_early_is_no_error(
    commands: Commands, tiny_run: TinyRun, tmp_path: Path
) -> None:
    """As in `python -m scripts.ask … | head -0`."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    process = commands.start("ask", QUESTION, folder=tiny_run.project, stdout=str(pipe))
    os.close(os.open(pipe, os.O_RDONLY))  # opened as soon as the command has opened its end
    assert commands.wait(process) == Finished(0, "", "")


@pytest.mark.parametrize("when", ["write", "flush"])
def test_a_reader_that_leaves_early_is_no_error_on_windows(
    when: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There the pipe of `… | more` is an invalid argument; so is a bad file name."""

    def fail(*_: object) -> None:
        raise OSError(errno.EINVAL, "Invalid argument")

    def one_line() -> int:
        return sys.stdout.write("密度\n") and 0

    def bad_name() -> int:
        raise OSError(errno.EINVAL, "Invalid argument", "a?b")

    with (tmp_path / "pipe").open("w", encoding="utf-8") as pipe, monkeypatch.context() as context:
        context.setattr(pipe, "reconfigure", lambda **_: None)
        context.setattr(pipe, when, fail)
        context.setattr("sys.stdout", pipe)
        with pytest.raises(OSError, match="Invalid argument"):
            run(one_line)
        context.setattr("os.name", "nt")
        with pytest.raises(SystemExit) as ended:
            run(one_line)
        with pytest.raises(OSError, match=r"a\?b"):
            run(bad_name)
    assert ended.value.code == 0


@pytest.mark.skipif(os.name == "nt", reason="needs a shell that closes a stream")
@pytest.mark.parametrize(("closed", "stdout"), [(">&-", ""), ("2>&-", f"{ANSWER}\n")])
def test_what_is_said_to_a_closed_stream_is_dropped(
    closed: str, stdout: str, tiny_run: TinyRun
) -> None:
    """Found here: a closed stdout ended in a traceback; a closed stderr was printed on stdout."""
    command = f"{shlex.join([sys.executable, '-m', 'scripts.ask', QUESTION])} {closed}"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    ended = subprocess.run(
        command, shell=True, cwd=tiny_run.project, env=environment, capture_output=True, check=False
    )
    assert b"Traceback" not in ended.stderr
    assert (ended.returncode, ended.stdout.decode()) == (0, stdout)


def test_the_answer_ends_before_a_stop_text(ask: Callable[..., Finished]) -> None:
    assert ask(QUESTION, "--stop", "体积", "--stop", "除以").stdout == "密度是质量\n"


@pytest.mark.parametrize(
    "options",
    [
        {"temperature": 3.0, "seed": 3},
        {"temperature": 3.0, "seed": 4},
        {"temperature": 5.0, "top_k": 3, "min_new_tokens": 12},
        {"temperature": 9.0, "top_p": 0.5, "max_new_tokens": 20},
        {"repetition_penalty": 100.0},
    ],
)
def test_sampling_options_reach_the_sampler(
    ask: Callable[..., Finished], teacher: Pretrained, options: dict[str, float]
) -> None:
    question = "植物怎样吃饭?"  # the answer says 光 three times
    settings = SamplingConfig(**options)  # type: ignore[arg-type]
    expected = list(answer(teacher.model, teacher.tokenizer, question, settings))[-1]
    assert expected != QUESTIONS[question]
    words = [w for k, v in options.items() for w in ("--" + k.replace("_", "-"), v)]
    assert ask(question, *words).stdout == expected.text + "\n"
    configured = sets(*(f"sampling.{key}={value}" for key, value in options.items()))
    assert ask(question, *configured).stdout == expected.text + "\n"


def test_a_file_of_questions_comes_back_in_order_with_answers(
    ask: Callable[..., Finished], teacher: Pretrained, tmp_path: Path
) -> None:
    rows: list[dict[str, object]] = [
        {"id": n, "prompt": prompt, "note": ["魑魅，hello world 🙂", "ＡＢＣ　，", "\r\n\t", ""]}
        for n, prompt in enumerate([*QUESTIONS, *VALIDATION, "没有教过的问题"])
    ]
    rows.reverse()
    lines = [json.dumps(row, ensure_ascii=False) for row in rows]
    (tmp_path / "in.jsonl").write_text("\ufeff" + "\r\n\n".join(lines), encoding="utf-8")
    output = tmp_path / "new" / "out.jsonl"
    ended = ask("--input", tmp_path / "in.jsonl", "--output", output)
    assert ended == Finished(0, "", "")
    text = output.read_bytes().decode()
    given = [json.loads(line) for line in text.split("\n")[:-1]]
    assert [list(row) for row in given] == [
        [
            *("id", "prompt", "note", "answer", "refused", "confidence", "min_probability"),
            "finish_reason",
        ]
    ] * len(rows)
    for row, one in zip(rows, given, strict=True):
        expected = teacher.answer(str(row["prompt"]))
        assert row.items() <= one.items()
        assert one["answer"] == expected.text
        assert one["refused"] == expected.text.startswith("不知道")
        assert one["finish_reason"] == expected.finish_reason
        assert one["confidence"] == pytest.approx(expected.mean_probability, abs=2e-4)
        assert one["min_probability"] == pytest.approx(expected.min_probability, abs=2e-4)
    answered = {one["prompt"]: one["answer"] for one in given}
    assert QUESTIONS.items() <= answered.items()
    assert ask("--input", tmp_path / "in.jsonl").stdout == text


def test_answers_never_take_the_place_of_what_a_row_has(
    ask: Callable[..., Finished], tmp_path: Path
) -> None:
    rows = [{"prompt": QUESTION}, {"prompt": QUESTION, "answer": "老师写的答案", "refused": 1}]
    file = tmp_path / "in.jsonl"
    file.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    said = fails(ask("--input", file))
    assert "the answers would take the place of answer, refused; give these keys another" in said


def test_half_a_character_under_another_key_is_written_as_its_escape(
    ask: Callable[..., Finished], tmp_path: Path
) -> None:
    file, output = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    file.write_text(f'{{"prompt": "{QUESTION}", "note": "\\ud83d"}}', encoding="utf-8")
    assert ask("--input", file, "--output", output) == Finished(0, "", "")
    (row,) = map(json.loads, output.read_text(encoding="utf-8").splitlines())
    assert (row["note"], row["answer"]) == ("\ud83d", ANSWER)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["问题", "--output", "a.jsonl"], "--output takes the answers to --input"),
        (["--input", "a.jsonl", "--raw"], "--raw and --show-label are for one question"),
        (["问题", "--revision", "v1"], "--revision v1 names a version of a model of the Hub, not"),
        (
            ["问题", "--revision", "v9", "--checkpoint", "checkpoints/last"],
            "not of the folder checkpoints/last: give --checkpoint USER/NAME, or leave out",
        ),
    ],
)
def test_options_that_would_change_nothing_are_told(
    ask: Callable[..., Finished], options: list[str], message: str
) -> None:
    ended = ask(*options)
    assert ended.code == 2
    assert message in ended.stderr


def test_a_very_long_answer_takes_no_more_memory_than_the_context(
    ask: Callable[..., Finished],
) -> None:
    assert ask(QUESTION, "--max-new-tokens", "1000000000").stdout == ANSWER + "\n"


def test_the_quantized_model_answers_when_named(ask: Callable[..., Finished]) -> None:
    ended = ask("what is RoPE?", "--checkpoint", "checkpoints/quantized")
    assert ended.stdout == "RoPE turns q and k by an angle.\n"


def greedy(teacher: Pretrained, ids: list[int], n_tokens: int) -> str:
    """Continue ids without a cache, one whole forward pass a token."""
    new: list[int] = []
    for _ in range(n_tokens):
        logits = teacher.model(torch.tensor([ids + new]))[0, -1]
        logits[[BOS_ID, PAD_ID, UNK_ID]] = -torch.inf
        new.append(int(logits.argmax()))
    return teacher.tokenizer.decode(new)


@pytest.mark.parametrize("options", [[], ["--max-new-tokens", "9"]])
def test_raw_text_that_fits_the_context_is_continued_from_all_of_it(
    ask: Callable[..., Finished], teacher: Pretrained, options: list[str]
) -> None:
    """Found here: only its last tokens were read, to leave room for the longest answer."""
    text = USER + "什么是词元?" + ASSISTANT + "词元是"
    shown = ask("--raw", text, *options).stdout.removesuffix("\n")
    expected = greedy(teacher, teacher.tokenizer.encode(text), 9).rstrip("\ufffd")
    assert shown.startswith(expected)
    assert expected.startswith("模型")


# what to ask, and what is said
BAD_QUESTIONS = {
    "none": ([], "give one question, or --input FILE"),
    "two": ([QUESTION, "--input", "x"], "give one question, or --input FILE"),
    "too long": (
        ["密" * 100],
        r"the question is too long: it takes \d+ tokens .* reads 63 at most",
    ),
    "no checkpoint": ([QUESTION, "--checkpoint", "no"], "no checkpoint at no; train one with:"),
    "cold": ([QUESTION, "--temperature", "-1"], r"temperature: -1\.0 is not allowed; it must be"),
    "short": ([QUESTION, "--max-new-tokens", "0"], "max_new_tokens: 0 is not allowed"),
    "empty stop": ([QUESTION, "--stop", ""], "stop: .* texts that are not empty"),
    "no file": (["--input", "no.jsonl"], r"no\.jsonl: no such file"),
    "a folder": (["--input", "data"], "data: cannot be read: Is a directory"),
    "output": (
        ["--input", "data/val.jsonl", "--output", "config.yaml/x"],
        "cannot write config.yaml/x: .*; choose another file",
    ),
}


@pytest.mark.parametrize("case", BAD_QUESTIONS)
def test_what_is_wrong_with_a_question_is_said(ask: Callable[..., Finished], case: str) -> None:
    arguments, expected = BAD_QUESTIONS[case]
    assert re.search(expected, fails(ask(*arguments)))


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", r"in\.jsonl: the file is empty; it needs a line for each question: \{"),
        (b'{"prompt": "a"}\n{"prompt" "b"}\n', r"in\.jsonl, line 2, column 11: this is not JSON"),
        (b'{"question": "a"}', r"in\.jsonl, line 1: no 'prompt' in this row; it has 'question'"),
        ('{"prompt": "什么是密度"}'.encode("gbk"), r"in\.jsonl: this file is GBK, not UTF-8; .*ic"),
        ('{"prompt": "什么"}'.encode("utf-16"), r"in\.jsonl: this file is UTF-16, not UTF-8; .*"),
    ],
    ids=["empty", "no JSON", "no prompt", "GBK", "UTF-16"],
)
def test_what_is_wrong_with_a_file_of_questions_is_said(
    ask: Callable[..., Finished], tmp_path: Path, content: bytes, expected: str
) -> None:
    (tmp_path / "in.jsonl").write_bytes(content)
    assert re.search(expected, fails(ask("--input", tmp_path / "in.jsonl")))


def test_the_answers_do_not_take_the_place_of_the_questions(
    ask: Callable[..., Finished], tmp_path: Path
) -> None:
    file = write_rows(tmp_path / "in.jsonl", QUESTIONS)
    before = file.read_bytes()
    (tmp_path / "link.jsonl").symlink_to(file)
    for output in (file, tmp_path / "link.jsonl"):
        told = fails(ask("--input", file, "--output", output))
        assert f"{output}: this is the file of the questions; give --output another one" in told
    assert file.read_bytes() == before


def test_a_question_of_a_file_that_is_too_long_is_named(
    ask: Callable[..., Finished], tmp_path: Path
) -> None:
    file = write_rows(tmp_path / "in.jsonl", {QUESTION: "a", "光有多快" * 30: "b"})
    text = fails(ask("--input", file))
    assert "the model reads 63 at most" in text
    assert str(file) in text
    assert "line 2" in text or "光有多快光有多快" in text


def test_a_checkpoint_with_a_tokenizer_of_another_size_is_refused(
    commands: Commands, tiny_project: Project
) -> None:
    project = tiny_project(trained=True)
    smaller = sets("tokenizer.vocab_size=300", "tokenizer.path=checkpoints/last/tokenizer.json")
    assert commands.run("build_tokenizer", *smaller, folder=project).code == 0
    text = fails(commands.run("ask", QUESTION, folder=project))
    assert "checkpoints/last/tokenizer.json is not the tokenizer of this model" in text


# ---------------------------------------------------------------- train


def test_training_reports_its_results_on_stdout_and_the_rest_on_stderr(
    commands: Commands, tiny_project: Project
) -> None:
    """And its schedule fills the time that --minutes gives."""
    project = tiny_project()
    rows = [json.dumps({"prompt": q, "completion": a}) for q, a in QUESTIONS.items()]
    rows.insert(2, json.dumps({"prompt": "长", "completion": "长" * 50}))
    rows.append(rows[0])
    (project / "data" / "train.jsonl").write_text("\n".join(rows), encoding="utf-8")
    ended = commands.run("train", "--minutes", "0.01", folder=project)
    assert ended.code == 0
    for number in ("memorised", "paraphrase", "wrongly refused"):
        assert re.search(rf"(?m)^{number}( +\d+/\d+ +\S+%){{2}}$", ended.stdout), number
    assert re.search(r"(?m)^unknown refused +- +-$", ended.stdout), "no such questions here"
    assert re.search(r"(?m)^refused below +[01]\.\d\d ", ended.stdout)
    assert 'python -m scripts.ask "…" --checkpoint checkpoints/last' in ended.stdout
    assert "data/train.jsonl: 14 rows, 12 used\n1 duplicate rows count once" in ended.stderr
    assert "data/train.jsonl: 1 rows are longer than model.seq_len: line 3 (" in ended.stderr
    assert "these were left out" in ended.stderr
    log = read_log(project / "checkpoints" / "last" / "train_log.jsonl")
    assert log.steps[-1].step == log.end["steps"]
    assert log.steps[-1].learning_rate < 4e-3 / 2
    strict = commands.run("train", "--strict", folder=project)
    text = fails(strict)
    assert re.search(r"1 rows are longer than model\.seq_len: line 3 \(\d+ tokens\)", text)


def gbk(project: Path) -> None:
    file = project / "data" / "train.jsonl"
    file.write_bytes(file.read_text(encoding="utf-8").replace("🙂", "").encode("gbk"))


def write(name: str, content: str) -> Callable[[Path], object]:
    return lambda project: (project / name).write_text(content, encoding="utf-8")


def nothing(project: Path) -> None:
    """The options alone are wrong."""


TRAIN = "data/train.jsonl"
# how the project is broken, the options, and what is said
BAD_RUNS: dict[str, tuple[Callable[[Path], object], list[object], str]] = {
    "no data": (
        lambda project: (project / TRAIN).unlink(),
        [],
        r"data/train\.jsonl: no such file; check its name, or data\.train_path",
    ),
    "empty data": (write(TRAIN, "\n \n"), [], r"data/train\.jsonl: the file is empty; it needs"),
    "no JSON": (
        write(TRAIN, '{"prompt": "a", "completion": "b"}\n{"prompt": "a",, "completion": "b"}\n'),
        [],
        r"data/train\.jsonl, line 2, column 16: this is not JSON: ",
    ),
    "no end": (nothing, ["--minutes", "inf"], r"--minutes inf: give a number above 0"),
    "a table": (
        lambda project: (project / "mine.csv").write_text("问题,答案\n密度?,质量除以体积\n"),
        sets("data.train_path=mine.csv"),
        r"mine\.csv: questions are read from JSONL; .*check_data mine\.csv --to mine\.jsonl",
    ),
    "too large": (nothing, sets("model.n_embd=100000", "model.n_layer=1000"), r"do not fit into"),
    "no completion": (
        write(TRAIN, '{"prompt": "a", "answer": "b"}\n{"prompt": "a", "completion": 5}'),
        [],
        r"line 1: no 'completion' in this row; it has 'prompt', 'answer'\n.*line 2: 'completion' "
        r"is 5; it must be text",
    ),
    "GBK": (gbk, [], r"train\.jsonl: this file is GBK, not UTF-8; save it as UTF-8 .*iconv -f GB1"),
    "all too long": (
        write(TRAIN, json.dumps({"prompt": "长" * 99, "completion": "长"})),
        [],
        r"data/train\.jsonl: no row fits model\.seq_len = 64 tokens; shorten the rows or set",
    ),
    "no config": (nothing, ["--config", "no.yaml"], r"no\.yaml: no such file; give one with"),
    "no YAML": (write("config.yaml", "model: [1"), [], r"config\.yaml, line 1.*: this is not YAML"),
    "unknown key": (
        nothing,
        sets("training.learnig_rate=1", "model.n_layers=2"),
        r"--set model\.n_layers=2: model\.n_layers: unknown key; did you mean 'n_layer'\?\n"
        r"--set training\.learnig_rate=1: training\.learnig_rate: unknown key; known are: batch_s",
    ),
    "nonsense": (nothing, sets("nonsense"), r"--set nonsense: expected section\.key=value, as in"),
    "n_embd": (
        nothing,
        sets("model.n_head=3"),
        r"model\.n_embd: 64 is not allowed; it must be divisible by n_head = 3",
    ),
    "no tokenizer": (
        lambda project: (project / "tokenizer" / "tokenizer.json").unlink(),
        [],
        r"no tokenizer at tokenizer/tokenizer\.json .*; make one with: python -m scripts\.build_to",
    ),
    "broken tokenizer": (
        write("tokenizer/tokenizer.json", '{"version": "1.0"'),
        [],
        r"tokenizer/tokenizer\.json: this is not a tokenizer\.json",
    ),
    "other tokenizer": (
        nothing,
        sets("tokenizer.type=char"),
        r"holds a tokenizer of type hf_tokenizers, but tokenizer\.type is char; make one with",
    ),
    "minutes": (nothing, ["--minutes", "0"], r"--minutes 0\.0: give a number above 0"),
    "two beginnings": (nothing, ["--resume", "--init-from", "x"], "leave out --init-from"),
    "nothing to resume": (nothing, ["--resume"], r"nothing to resume: .* start with: python -m "),
    "no weights": (nothing, ["--init-from", "no"], "no checkpoint at no; train one with"),
    "questions as text": (
        nothing,
        sets("data.format=lm", f"data.train_path={TRAIN}"),
        r"data/train\.jsonl, line 1: no 'text' in this row; .*data\.format=instruct",
    ),
    "short text": (
        write("short.txt", "从前有座山。"),
        sets("data.format=lm", "data.train_path=short.txt"),
        r"short\.txt: .* too (few|short)",
    ),
    "no place": (
        nothing,
        sets("training.save_dir=config.yaml/x", "training.max_steps=1"),
        r"cannot write .*config\.yaml/x.* --set training\.save_dir=FOLDER",
    ),
    "no number": (
        nothing,
        sets("training.lr=1e30", "training.max_steps=20", "training.warmup_steps=0"),
        r"step \d+: the loss is .* and the gradient norm .*The weights saved before are good; try",
    ),
}


@pytest.mark.parametrize("case", BAD_RUNS)
def test_what_is_wrong_with_a_run_is_said(
    commands: Commands, tiny_project: Project, case: str
) -> None:
    project = tiny_project()
    break_it, arguments, expected = BAD_RUNS[case]
    break_it(project)
    text = fails(commands.run("train", *arguments, folder=project))
    assert re.search(expected, text), text
    assert not (project / "checkpoints" / "last").exists()


# ---------------------------------------------------------------- plain text, then questions


def write_story(project: Path) -> list[str]:
    """Write a text as Windows does, the same six times; return the options to train on it."""
    (project / "story.txt").write_bytes((STORY * 6).replace("\n", "\r\n").encode())
    return sets(
        *("data.format=lm", "data.train_path=story.txt", "training.save_dir=story"),
        *("training.max_steps=130", "training.eval_interval=130", "training.lr=6e-3"),
    )


@pytest.mark.parametrize(
    ("kind", "path", "position"),
    [
        ("char", "tokenizer/char.json", "rope"),
        ("sentencepiece", "tokenizer/story.model", "learned"),
    ],
)
def test_plain_text_is_learnt_and_continued(
    commands: Commands, tiny_project: Project, kind: str, path: str, position: str
) -> None:
    project = tiny_project()
    options = write_story(project)
    options += sets(f"tokenizer.type={kind}", f"tokenizer.path={path}", "tokenizer.vocab_size=420")
    built = commands.run("build_tokenizer", *options, folder=project)
    assert built.stdout.startswith(f"{path}: {kind}, ")
    trained = commands.run("train", *options, *sets(f"model.position={position}"), folder=project)
    assert trained.code == 0, trained
    found = re.search(r"fp32: (\S+) nats a token, (\S+) bits a byte", trained.stdout)
    assert found
    nats, bits = float(found[1]), float(found[2])
    tokenizer = load_tokenizer(project / path)
    ids = [*tokenizer.encode(STORY * 6), EOS_ID]
    kept = ids[int(0.9 * len(ids)) :]  # for validation
    window = min(64, len(kept) - 1)
    targets = kept[1 : 1 + (len(kept) - 1) // window * window]  # of whole windows
    n_bytes = sum(len(tokenizer.token_bytes(token_id)) for token_id in targets)
    assert bits == pytest.approx(nats * len(targets) / n_bytes / math.log(2), abs=2e-4)
    assert bits < 0.5
    third, fourth = STORY.splitlines(keepends=True)[2:]
    options = ["--checkpoint", "story/last", "--max-new-tokens", "12"]
    asked = commands.run("ask", "--raw", third, *options, folder=project)
    assert (asked.code, asked.stderr) == (0, "")
    assert len(asked.stdout) > 10
    assert fourth.startswith(asked.stdout.rstrip("\n\ufffd"))  # it may end inside a character


def test_a_model_of_plain_text_is_said_to_answer_no_questions(
    commands: Commands, tiny_project: Project
) -> None:
    """Found here: a file of questions was answered without a word."""
    project = tiny_project(trained=True)
    metrics = project / "checkpoints" / "last" / "metrics.json"
    facts = json.loads(metrics.read_text(encoding="utf-8"))
    metrics.write_text(json.dumps(facts | {"is_text": True}), encoding="utf-8")
    (project / "questions.jsonl").write_bytes(b'{"prompt": "a"}\n')
    warning = "this model learnt plain text (续写模型) and answers no questions: "
    for arguments in (["a"], ["--input", "questions.jsonl"]):
        ended = commands.run("ask", *arguments, folder=project)
        assert ended.code == 0
        assert ended.stderr.startswith(warning)
        assert ended.stderr.count(warning) == 1
        assert ended.stdout
    assert commands.run("ask", "--raw", "a", folder=project).stderr == ""


def test_characters_that_a_tokenizer_does_not_know_are_listed(
    commands: Commands, tiny_project: Project
) -> None:
    project = tiny_project()
    char = sets("tokenizer.type=char", "tokenizer.path=tokenizer/char.json")
    assert commands.run("build_tokenizer", *char, folder=project).code == 0
    write_rows(project / "data" / "val.jsonl", {"谁是魍魉?": ANSWER})
    short = sets("training.max_steps=1", "model.n_embd=8")
    trained = commands.run("train", *char, *short, folder=project)
    assert trained.code == 0
    assert "2 characters are unknown to the tokenizer and become <unk>: 魍魉" in trained.stderr
    asked = commands.run("ask", "魍魉?", folder=project)
    assert asked.code == 0
    assert asked.stderr.startswith("unknown to the tokenizer: 魍魉\nsure: ")


def test_a_model_of_plain_text_goes_on_with_questions(
    commands: Commands, tiny_project: Project
) -> None:
    """A learning rate of almost nothing shows which weights it began with."""
    project = tiny_project()
    short = sets("training.max_steps=5", "training.warmup_steps=0")
    first = commands.run("train", *write_story(project), *short, folder=project)
    assert first.code == 0, first
    story = dequantize(load_checkpoint(project / "story" / "last").tensors)
    still = sets("training.lr=1e-12", "training.muon_lr=1e-12", "training.max_steps=1")
    for folder in ("story/last", "story/quantized"):
        ended = commands.run("train", "--init-from", folder, *still, folder=project)
        assert ended.code == 0, ended
        source = dequantize(load_checkpoint(project / folder).tensors)
        weights = load_checkpoint(project / "checkpoints" / "last").tensors
        for name, tensor in source.items():
            torch.testing.assert_close(weights[name], tensor, rtol=0, atol=1e-9)
    assert not torch.equal(
        story["layers.0.mlp.up_proj.weight"], source["layers.0.mlp.up_proj.weight"]
    )
    other = sets("tokenizer.path=tokenizer/other.json", "tokenizer.vocab_size=300")
    assert commands.run("build_tokenizer", *other, folder=project).code == 0
    text = fails(commands.run("train", "--init-from", "story/last", *other, folder=project))
    assert "--init-from story/last: its tokenizer is not tokenizer/other.json; use its own" in text
    assert "--set tokenizer.path=story/last/tokenizer.json" in text
    arguments = ("--init-from", "story/last", *sets("model.n_layer=3"))
    text = fails(commands.run("train", *arguments, folder=project))
    assert "--init-from does not fit the configuration and tokenizer: layers.2." in text
