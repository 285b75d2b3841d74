"""Copy the trained model of checkpoints/ to pretrained/ and write its README from the facts.

把训练好的模型放进 pretrained/，说明由测得的事实生成。
"""

from __future__ import annotations

from pathlib import Path

from gpt_teacher import SHIPPED
from gpt_teacher.atomic import replace_folder
from gpt_teacher.checkpoint import load_checkpoint
from gpt_teacher.commands import quoted
from gpt_teacher.errors import CheckpointError
from gpt_teacher.exam import FOUR_NUMBERS, Score
from gpt_teacher.stored_report import SAVE_COMMAND, read_report
from scripts.command_line import DONE, make_parser, read_config, run, write_text

README = """# The shipped model

Made by the repository's own commands from its own data:

    python -m scripts.build_data
    python -m scripts.build_tokenizer
    python -m scripts.train
    python -m scripts.evaluate --save
    python -m scripts.ship

| | |
| --- | --- |
{table}

Every figure is read from `last/metrics.json`, which the training run wrote. What the four numbers
mean is in the project's README; `memorised` asks 500 questions at most, spread evenly.
Unknown questions that are like a taught one are left out, in training and in the exam.
`last/exam_report.json` is the whole exam, which asks them all; the page shows it.
"""


def main() -> int:
    """Check both folders, copy them, write the README. 主程序。"""
    source = Path(read_config(make_parser(__doc__).parse_args()).training.save_dir)
    if source.resolve() == SHIPPED.resolve():
        raise CheckpointError(f"{source} is shipped already; name a run: training.save_dir=FOLDER")
    metrics = [load_checkpoint(source / name).metrics for name in ("last", "quantized")]
    if metrics[0].get("is_text"):
        raise CheckpointError(f"{source}: it learnt plain text; ship a run on questions (instruct)")
    if metrics[0] != metrics[1] or "exam" not in metrics[0]:
        raise CheckpointError(f"{source}: last and quantized are not of one finished run")
    if read_report(source / "last") is None:
        save = f"{SAVE_COMMAND} --checkpoint {quoted(str(source / 'last'))}"
        raise CheckpointError(f"{source / 'last'} has no exam report; make it with: {save}")
    rows = [f"| {title} | {value} |" for title, value in facts(metrics[0], source).items()]
    for name in ("last", "quantized"):
        copy(source / name, SHIPPED / name)
    write_text(SHIPPED / "README.md", README.format(table="\n".join(rows)))
    print(f"{SHIPPED}: shipped step {metrics[0]['steps']} of commit {metrics[0]['code_commit']}")
    return DONE


def copy(source: Path, target: Path) -> None:
    """Put a copy of a folder in the place of another, whole or not at all. 整体复制。"""
    try:
        replace_folder(target, {p.name: p.read_bytes() for p in source.iterdir() if p.is_file()})
    except OSError as error:
        raise CheckpointError(f"cannot write {target}: {error}; free some space") from None


def facts(metrics: dict, source: Path) -> dict[str, object]:
    """Return the lines of the README's table. 表格内容。"""
    sizes = {n: (source / n / "model.safetensors").stat().st_size for n in ("last", "quantized")}
    lines: dict[str, object] = {
        "commit of the code": f"`{metrics['code_commit']}`",
        "parameters": f"{metrics['parameters']:,}",
        "updates": metrics["steps"],
        "tokens read": f"{metrics['tokens']:,}",
        "training time": f"{metrics['elapsed_seconds']} s",
        "machine": f"{metrics['cpu']}, {metrics['threads']} threads, {metrics['device']}",
        "torch": metrics["versions"]["torch"],
        "peak memory": (peak := metrics["peak_memory_bytes"]) and f"{peak / 1e6:.0f} MB",
        "seed": metrics["seed"],
        "first loss": f"{metrics['first_loss_nats']:.3f} nats",
        "tokenizer SHA-256": f"`{metrics['fingerprints']['tokenizer_sha256']}`",
    }
    for split in metrics["fingerprints"]["data"].values():
        lines[f"`{split['path']}`"] = f"{split['rows_used']} rows, SHA-256 `{split['sha256']}`"
    for precision, exam in metrics["exam"].items():
        for key in [key for key in FOUR_NUMBERS if key in exam]:
            lines[f"{key.replace('_', ' ')}, {precision}"] = str(Score(**exam[key]))
    lines["refused below"] = f"{metrics['refuse_below']:.3f}"
    lines["same answer, int8"] = f"{metrics['exam']['int8']['same_as_fp32']:.1%}"
    lines |= {f"weights of `{name}/`": f"{size:,} bytes" for name, size in sizes.items()}
    return {title: value for title, value in lines.items() if value is not None}


if __name__ == "__main__":
    run(main)
