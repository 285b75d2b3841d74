"""The whole page: which model is served, and the tabs. 整个页面。"""

from __future__ import annotations

from pathlib import Path

import gradio as gr

from gpt_teacher import Pretrained
from gpt_teacher.card.markdown import plain
from gpt_teacher.run_log import TrainingLog
from gpt_teacher.views.ask import build_ask_tab
from gpt_teacher.views.inside import build_inside_tab
from gpt_teacher.views.replay import build_replay_tab
from gpt_teacher.views.share import ASK_TAB, INSIDE_TAB, REPLAY_TAB, read_link
from gpt_teacher.views.text import TEXTS, Language, Text


def build_page(
    teacher: Pretrained,
    log: TrainingLog | None,
    language: Language,
    quantized: Pretrained | None = None,
) -> gr.Blocks:
    """Return the page for a model, its training log and its quantized twin. 搭建页面。"""
    text = TEXTS[language]
    n_parameters = sum(p.numel() for p in teacher.model.parameters())
    with gr.Blocks(title=text["title"], analytics_enabled=False) as page:
        gr.Markdown(f"# {text['title']}\n{text['subtitle'].format(parameters=f'{n_parameters:,}')}")
        gr.Markdown(served(teacher, text), elem_id="served")
        with gr.Tabs(selected=ASK_TAB) as tabs:
            with gr.Tab(text["replay_tab"], id=REPLAY_TAB):
                build_replay_tab(teacher, log, text, page)
            with gr.Tab(text["ask_tab"], id=ASK_TAB):
                build_ask_tab(teacher, quantized, text)
            with gr.Tab(text["inside_tab"], id=INSIDE_TAB):
                build_inside_tab(teacher, text)
        _open_linked_tab(page, tabs)
    page.queue(max_size=64, default_concurrency_limit=8)
    return page


def _open_linked_tab(page: gr.Blocks, tabs: gr.Tabs) -> None:
    """Open the tab that the page's address asks for: ?tab=replay. 按链接打开标签页。"""
    names = {tab.id for tab in tabs.children}

    def choose(request: gr.Request) -> object:
        tab = read_link(dict(request.query_params)).tab
        return gr.Tabs(selected=tab) if tab in names else gr.skip()

    page.load(choose, None, tabs, queue=False, api_visibility="private", show_progress="hidden")


def served(teacher: Pretrained, text: Text) -> str:
    """Return the lines that say which model answers, as Markdown. 说明用的是哪个模型。"""
    origin, metrics = teacher.origin, teacher.metrics
    facts = {
        "folder": shown_folder(origin.folder),
        "repo_id": origin.repo_id,
        "commit": origin.commit[:7],
        "steps": metrics.get("steps", "?"),
        "seconds": metrics.get("elapsed_seconds", "?"),
    }
    lines = [text["serving_hub" if origin.repo_id else "serving"].format(**facts)]
    if origin.note:
        lines.append(text["note"].format(reason=plain(origin.note)))
    return "  \n".join([*lines, text["may_be_wrong"]])


def shown_folder(folder: Path) -> str:
    """Return a folder as seen from here; one elsewhere by its name alone. 显示的文件夹。

    The page is for the whole class: it need not know the teacher's folders.
    """
    whole, here = folder.resolve(), Path.cwd()
    return (whole.relative_to(here) if whole.is_relative_to(here) else Path(folder.name)).as_posix()
