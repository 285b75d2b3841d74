"""The whole page: which model is served, and the tabs. 整个页面。"""

from __future__ import annotations

import gradio as gr

from gpt_teacher import Pretrained
from gpt_teacher.run_log import TrainingLog
from gpt_teacher.views.ask import build_ask_tab
from gpt_teacher.views.replay import build_replay_tab
from gpt_teacher.views.text import TEXTS, Language


def build_page(teacher: Pretrained, log: TrainingLog | None, language: Language) -> gr.Blocks:
    """Return the page for a model and its training log. 搭建页面。"""
    text = TEXTS[language]
    n_parameters = sum(p.numel() for p in teacher.model.parameters())
    with gr.Blocks(title=text["title"], analytics_enabled=False) as page:
        gr.Markdown(f"# {text['title']}\n{text['subtitle'].format(parameters=f'{n_parameters:,}')}")
        served = text["serving"].format(
            folder=teacher.folder.as_posix(),
            steps=teacher.metrics.get("steps", "?"),
            seconds=teacher.metrics.get("elapsed_seconds", "?"),
        )
        gr.Markdown(f"{served}  \n{text['may_be_wrong']}")
        with gr.Tab(text["ask_tab"]):
            build_ask_tab(teacher, text)
        with gr.Tab(text["replay_tab"]):
            build_replay_tab(log, text, page)
    page.queue(max_size=64, default_concurrency_limit=8)
    return page
