"""Which model answers: the lines above the tabs. 用的是哪个模型。"""

from __future__ import annotations

from pathlib import Path

from gpt_teacher import Pretrained
from gpt_teacher.card.markdown import code, plain
from gpt_teacher.commands import quoted
from gpt_teacher.views.text import Text


def served(teacher: Pretrained, text: Text) -> str:
    """Return the lines that say which model answers, as Markdown. 说明用的是哪个模型。"""
    origin, metrics = teacher.origin, teacher.metrics
    facts = {
        "folder": shown_folder(origin.folder),
        "repo_id": origin.repo_id,
        "commit": origin.commit[:7],
        "steps": plain(str(metrics.get("steps", "?"))),
        "seconds": plain(str(metrics.get("elapsed_seconds", "?"))),
    }
    lines = [text["serving_hub" if origin.repo_id else "serving"].format(**facts)]
    if origin.note:
        lines.append(text["note"].format(reason=plain(origin.note)))
    if metrics.get("is_text"):
        model = origin.repo_id or command_folder(origin.folder, text)
        model += f" --revision {origin.commit}" if origin.commit else ""
        command = code(text["continue_command"].format(model=model))
        return "  \n".join([*lines, text["continues_text"].format(command=command)])
    return "  \n".join([*lines, text["may_be_wrong"]])


def shown_folder(folder: Path) -> str:
    """Return a folder as seen from here; one elsewhere by its name alone. 显示的文件夹。

    The page is for the whole class: it need not know the teacher's folders.
    """
    whole, here = folder.resolve(), Path.cwd()
    return (whole.relative_to(here) if whole.is_relative_to(here) else Path(folder.name)).as_posix()


def command_folder(folder: Path, text: Text) -> str:
    """Return a folder for a command; one elsewhere is the reader's to name. 命令里的文件夹。

    The name alone, which shown_folder() gives, would be looked for here.
    """
    shown = shown_folder(folder)
    is_here = Path(shown).resolve() == folder.resolve()
    return quoted(shown) if is_here else text["folder_elsewhere"]
