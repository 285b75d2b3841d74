"""The components of the tab 动手训练, a function for each part of it. 动手训练页的部件。"""

from __future__ import annotations

from typing import NamedTuple

import pandas as pd

from gpt_teacher.own_questions import MAX_ROWS
from gpt_teacher.training_files import RunState
from gpt_teacher.training_jobs import MINUTES, TrainingJobs
from gpt_teacher.views import train_lines
from gpt_teacher.views.publish import build_publish
from gpt_teacher.views.quick_gradio import gr
from gpt_teacher.views.text import Text

TICK_SECONDS = 1.5  # between two looks at a run that trains
SLOW_TICK_SECONDS = 4.0  # at one that waits
FIRST_LOSS = 7.0  # nats; above ln(vocabulary), where every curve begins


class Questions(NamedTuple):
    """Where questions are written and a training is started. 题目一栏。"""

    box: gr.Textbox
    example: gr.Button
    upload: gr.UploadButton
    check: gr.Button
    verdict: gr.Textbox
    minutes: gr.Slider
    start: gr.Button
    stop: gr.Button


class OwnModel(NamedTuple):
    """Where one's own model is asked. 自己的模型。"""

    column: gr.Column
    result: gr.Textbox
    question: gr.Textbox
    ask: gr.Button
    answer: gr.Textbox
    sure: gr.Textbox
    download: gr.DownloadButton
    published: gr.Textbox


class Progress(NamedTuple):
    """What shows a run. 进度一栏。"""

    status: gr.Textbox
    run_id: gr.Textbox
    panel: gr.Column
    plot: gr.LinePlot
    answers: gr.Textbox


class Live(NamedTuple):
    """The components that change while a run goes on. 随训练变化的部件。"""

    timer: gr.Timer
    status: gr.Textbox
    panel: gr.Column
    plot: gr.LinePlot
    answers: gr.Textbox
    start: gr.Button
    stop: gr.Button
    own: gr.Column
    result: gr.Textbox
    download: gr.DownloadButton


def build_questions(text: Text) -> Questions:
    """Build where questions are written and a training is started. 题目一栏。"""
    box = gr.Textbox(
        label=text["own_questions"],
        info=text["own_questions_info"].format(rows=MAX_ROWS),
        placeholder=text["own_questions_hint"],
        lines=8,
        max_lines=8,
        elem_id="own-questions",
    )
    with gr.Row():
        example = gr.Button(text["own_example"], elem_id="own-example", min_width=90)
        upload = gr.UploadButton(
            text["own_upload"], type="filepath", elem_id="own-upload", min_width=90
        )
        check = gr.Button(text["own_check"], elem_id="own-check", min_width=90)
    verdict = _reading(text["own_verdict"], "own-verdict", lines=2, max_lines=12)
    minutes = gr.Slider(
        *MINUTES,
        MINUTES[0],
        step=1,
        label=text["own_minutes"],
        info=text["own_minutes_info"],
        buttons=[],
        elem_id="own-minutes",
    )
    with gr.Row():
        start = gr.Button(text["own_start"], variant="primary", elem_id="own-start", min_width=140)
        stop = gr.Button(text["own_stop"], interactive=False, elem_id="own-stop", min_width=140)
    return Questions(box, example, upload, check, verdict, minutes, start, stop)


def build_own_model(text: Text, jobs: TrainingJobs, current: gr.Textbox) -> OwnModel:
    """Build where one's own model is asked, handed out and published. 自己的模型。"""
    with gr.Column(visible=False) as column:
        result = _reading(text["own_result"], "own-result", lines=2, max_lines=12)
        gr.Markdown(f"## {text['own_ask_title']}")
        question = gr.Textbox(
            label=text["own_ask_question"],
            placeholder=text["own_ask_hint"],
            lines=1,
            max_lines=4,
            max_length=train_lines.MAX_CHARACTERS,
            elem_id="own-question",
        )
        ask = gr.Button(text["own_ask_button"], variant="primary", elem_id="own-ask")
        answer = _reading(text["own_ask_answer"], "own-answer", lines=2, max_lines=6)
        sure = _reading(text["own_ask_status"], "own-sure", lines=1, max_lines=3)
        download = gr.DownloadButton(text["own_download"], elem_id="own-download")
        gr.Markdown(text["own_unpack"])
        with gr.Accordion(text["own_push"], open=False):
            published = build_publish(current, jobs, text)
    return OwnModel(column, result, question, ask, answer, sure, download, published)


def build_progress(text: Text) -> Progress:
    """Build what shows a run; curve and answers are hidden until there is one. 进度一栏。"""
    status = _reading(text["own_status"], "own-status", lines=2, max_lines=4)
    run_id = gr.Textbox(
        label=text["own_id"],
        info=text["own_id_info"],
        lines=1,
        max_lines=1,
        max_length=64,
        buttons=["copy"],
        elem_id="own-id",
    )
    with gr.Column(visible=False) as panel:
        plot = gr.LinePlot(
            _curve([]),
            x="seconds",
            y="loss",
            title=text["own_loss"],
            x_title=text["own_seconds"],
            y_title=text["own_loss_axis"],
            x_lim=[0, 60 * MINUTES[0]],
            y_lim=[0, FIRST_LOSS],
            height=320,
            tooltip="none",
        )
        answers = _reading(text["own_answers"], "own-answers", lines=6, max_lines=20)
    return Progress(status, run_id, panel, plot, answers)


def _reading(label: str, elem_id: str, lines: int, max_lines: int) -> gr.Textbox:
    """Build a box to read from. Text of users and models goes nowhere else."""
    return gr.Textbox(
        label=label, lines=lines, max_lines=max_lines, interactive=False, elem_id=elem_id
    )


def show_run(jobs: TrainingJobs, run_id: str, text: Text) -> Live:
    """Return the new properties of the components, for a run as it stands. 刷新进度。"""
    state = jobs.state(run_id)
    if state is None:
        return _no_run(text["own_unknown_id"] if run_id else "")
    log, waits = jobs.log(run_id), state.phase == "waiting"
    seconds = SLOW_TICK_SECONDS if waits else TICK_SECONDS
    points = train_lines.loss_points(log)
    return Live(
        timer=gr.Timer(seconds, active=not state.has_ended),
        status=train_lines.status(state, log, text),
        panel=gr.Column(visible=log is not None),
        plot=gr.LinePlot(_curve(points), x_lim=[0, 60 * max(state.minutes, MINUTES[0])]),
        answers=train_lines.probe_answers(log, text),
        start=gr.Button(interactive=state.has_ended),
        stop=gr.Button(interactive=not state.has_ended),
        own=gr.Column(visible=state.has_model),
        result=train_lines.result(state, text) if state.has_model else "",
        download=_download(jobs, run_id, state, text),
    )


def _no_run(message: str) -> Live:
    """Return the properties of the components where there is no run to show."""
    return Live(
        timer=gr.Timer(active=False),
        status=message,
        panel=gr.Column(visible=False),
        plot=gr.skip(),
        answers="",
        start=gr.Button(interactive=True),
        stop=gr.Button(interactive=False),
        own=gr.Column(visible=False),
        result="",
        download=gr.skip(),
    )


def _curve(points: list[tuple[float, float]]) -> pd.DataFrame:
    return pd.DataFrame(points, columns=["seconds", "loss"], dtype=float)


def _download(jobs: TrainingJobs, run_id: str, state: RunState, text: Text) -> object:
    """Return the button that hands out the zip, once there is one."""
    files = jobs.files(run_id)
    if files is None or not state.has_model:
        return gr.skip()
    megabytes = files.archive.stat().st_size / 1e6
    label = text["own_download"].format(megabytes=megabytes)
    return gr.DownloadButton(label, value=str(files.archive))
