"""The whole page: which model is served, and the tabs, in two languages. 整个页面。

The root speaks the configured language; the other one is a second route of the same app, with the
same model. Named endpoints belong to the root's page alone.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import NamedTuple

from gpt_teacher import Pretrained
from gpt_teacher.config import SamplingConfig
from gpt_teacher.model import n_parameters
from gpt_teacher.run_log import TrainingLog
from gpt_teacher.training_jobs import Limits, TrainingJobs
from gpt_teacher.views.ask import build_ask_tab
from gpt_teacher.views.examples import held_out_questions, hesitating_question
from gpt_teacher.views.inside import build_inside_tab
from gpt_teacher.views.quick_gradio import gr
from gpt_teacher.views.replay import build_replay_tab
from gpt_teacher.views.report import build_report_tab
from gpt_teacher.views.report_card import ReportCard, read_report_card
from gpt_teacher.views.serving import served
from gpt_teacher.views.settings import PLAIN
from gpt_teacher.views.share import read_link
from gpt_teacher.views.text import TEXTS, Language, Text
from gpt_teacher.views.train import build_train_tab, remembered_run

# Seconds: how often files for downloads are cleared away, and how old then. The button for a run's
# zip leads to such a copy: it stays as long as the run.
CACHE = (3600, int(3600 * Limits.kept_hours))

FIRST_TAB = "ask"  # who comes without ?tab= can ask at once
OTHER: dict[Language, Language] = {"zh": "en", "en": "zh"}
HTML_LANG: dict[Language, str] = {"zh": "zh-CN", "en": "en"}
# Gradio writes lang="en" and one title for all routes; screen readers and fonts go by them.
SAY_LANGUAGE = "() => {{ document.documentElement.lang = '{lang}'; document.title = '{title}' }}"
# The other route, with the query: a link could not keep it. The root is one folder up, or here.
SWITCH = """() => {{
    const root = location.pathname.replace(/\\/?({route})?\\/?$/, '');
    location.href = root + '/{target}' + location.search;
}}"""


class Shown(NamedTuple):
    """What the page is about. 页面展示的内容。"""

    teacher: Pretrained
    quantized: Pretrained | None  # the int8 model of the same run
    log: TrainingLog | None
    card: ReportCard
    jobs: TrainingJobs | None  # None = visitors may not train
    unsure: Callable[[], str | None] | None  # finds a question that the model is unsure of
    sampling: SamplingConfig  # what the sampling controls begin with


def build_page(
    teacher: Pretrained,
    log: TrainingLog | None,
    language: Language,
    quantized: Pretrained | None = None,
    jobs: TrainingJobs | None = None,
    sampling: SamplingConfig = PLAIN,
) -> gr.Blocks:
    """Return the page for a model, its training log and its quantized twin. 搭建页面。"""
    held_out = held_out_questions(teacher)
    unsure = functools.cache(lambda: hesitating_question(teacher, held_out))
    card = read_report_card(teacher)
    shown = Shown(teacher, quantized, log, card, jobs, unsure if held_out else None, sampling)
    other = OTHER[language]
    page = gr.Blocks(title=TEXTS[language]["title"], analytics_enabled=False, delete_cache=CACHE)
    with page:
        _build_route(page, shown, language, target=other, route=other)
    with page.route(TEXTS[other]["title"], f"/{other}", show_in_navbar=False):
        _build_route(page, shown, other, target="", route=other)
    for event in page.fns.values():
        if event.page == other:
            event.api_visibility = "private"
    page.queue(max_size=64, default_concurrency_limit=8)
    return page


def _build_route(
    page: gr.Blocks, shown: Shown, language: Language, target: str, route: str
) -> None:
    """Build the page in one language. 一种语言的页面。"""
    text, teacher = TEXTS[language], shown.teacher
    _build_frame(page, teacher, text, target, route)
    say = SAY_LANGUAGE.format(lang=HTML_LANG[language], title=text["title"])
    page.load(None, None, None, js=say, api_visibility="private")
    remembered = remembered_run()  # what lies in a closed tab is read too late for the load events
    # In the order of a lesson. A tab `x` has its name in text["x_tab"], its address is ?tab=x.
    tabs: dict[str, Callable[[], None]] = {
        "replay": lambda: build_replay_tab(teacher, shown.log, text, page),
        "ask": lambda: build_ask_tab(teacher, shown.quantized, text, shown.sampling),
        "inside": lambda: build_inside_tab(teacher, text, shown.unsure),
        "train": lambda: build_train_tab(text, shown.jobs, page, remembered),
        "report": lambda: build_report_tab(shown.card, text),
    }
    with gr.Tabs(selected=FIRST_TAB) as opened:
        for name, build in tabs.items():
            with gr.Tab(text[f"{name}_tab"], id=name):
                build()

    def open_tab(request: gr.Request) -> object:
        """Open the tab that the address names. 按网址打开标签页。"""
        wanted = read_link(dict(request.query_params)).tab
        return gr.Tabs(selected=wanted) if wanted in tabs else gr.skip()  # not against a click

    page.load(open_tab, None, opened, queue=False, show_progress="hidden", api_visibility="private")


def _build_frame(page: gr.Blocks, teacher: Pretrained, text: Text, target: str, route: str) -> None:
    """Build what stands above the tabs. 页眉。"""
    model = teacher.model
    parameters = f"{n_parameters(model.config, model.vocab_size):,}"
    with gr.Row():
        gr.Markdown(f"# {text['title']}")
        switch = gr.Button(
            text["switch_language"], size="md", scale=0, min_width=110, elem_id="language"
        )
    gr.Markdown(text["subtitle"].format(parameters=parameters))
    gr.Markdown(served(teacher, text), elem_id="served")
    to_other = SWITCH.format(route=route, target=target)
    switch.click(None, None, None, js=to_other, api_visibility="private")
