"""The tab 训练回放: the training log as a film, another run's laid over it if wanted. 训练回放。

The log goes to the browser once; play, pause and drag run there, without a request.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import pandas as pd

from gpt_teacher import Pretrained
from gpt_teacher.errors import DataError
from gpt_teacher.run_log import LOG_FILE, TrainingLog, parse_log
from gpt_teacher.views.quick_gradio import gr
from gpt_teacher.views.replay_data import N_TOKENS, Film, replay_data
from gpt_teacher.views.replay_script import ARRANGE, JUMP, PAUSE, PLAY, SHOW, TICK, TICK_SECONDS
from gpt_teacher.views.right_answers import AnswerBook, answer_book
from gpt_teacher.views.text import Text
from gpt_teacher.views.upload import passing_upload

MAX_LOG_BYTES = 1_000_000  # more than a default run writes
SPEEDS = {"0.5×": 0.5, "1×": 1.0, "2×": 2.0, "4×": 4.0}
QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}


def visitor_film(content: bytes | None, text: Text, book: AnswerBook) -> Film:
    """Return the film of a log that a visitor has sent. 访客的日志。Raises DataError."""
    if content is None:
        raise DataError(text["log_gone"])
    if len(content) > MAX_LOG_BYTES:
        raise DataError(text["log_too_big"].format(megabytes=MAX_LOG_BYTES / 1e6))
    try:
        log = parse_log(content, LOG_FILE)
    except DataError as error:
        raise DataError(text["log_unreadable"].format(reason=error)) from None
    return replay_data(log, text, book, is_yours=True)


class Player(NamedTuple):
    """The components that the scripts read. 播放器读取的组件。"""

    step: gr.Slider
    mine: gr.HTML
    yours: gr.HTML
    run: gr.Radio
    overlay: gr.Checkbox
    question: gr.Radio
    speed: gr.Radio


class Screen(NamedTuple):
    """The components that show a moment, in the order of SHOW. 显示某一刻的组件。"""

    plot: gr.LinePlot
    training_loss: gr.Textbox
    validation_loss: gr.Textbox
    learning_rate: gr.Textbox
    tokens_per_second: gr.Textbox
    elapsed: gr.Textbox
    caption: gr.Textbox
    answers: gr.Textbox
    first_tokens: gr.Label
    story: gr.Textbox


def build_replay_tab(
    teacher: Pretrained, log: TrainingLog | None, text: Text, page: gr.Blocks
) -> None:
    """Put the tab's components on the page. 搭建界面。"""
    if log is None:
        gr.Markdown(text["no_log"])
        return
    book = answer_book(teacher)
    film = replay_data(log, text, book)
    gr.Markdown(text["replay_intro"])
    with gr.Row():
        play = gr.Button(text["play"], variant="primary", elem_id="play", min_width=90)
        pause = gr.Button(text["pause"], elem_id="pause", min_width=90)
        jump = gr.Button(text["jump"], elem_id="jump", min_width=160)
        speed = gr.Radio(
            list(SPEEDS.items()), value=1.0, label=text["play_speed"], elem_id="speed", scale=2
        )
    step = gr.Slider(
        0, film["max"], film["max"], step=1, label=text["step"], buttons=[], elem_id="replay-step"
    )
    caption = _line(text, "phase", lines=1)
    with gr.Row():
        with gr.Column(min_width=300):
            plot = _chart(film, text)
            with gr.Row():
                keys = ("train_loss", "val_loss", "learning_rate", "speed", "elapsed")
                figures = [_figure(text, key) for key in keys]
        with gr.Column(min_width=300):
            answers = _line(text, "probe_answers", lines=14)
    with gr.Row():
        question, story, first_tokens = _question(film, text)
    upload, note, run, overlay = _visitor(text)
    mine, yours = _film_box(), _film_box()
    player = Player(step, mine, yours, run, overlay, question, speed)
    screen = Screen(*[plot, *figures, caption, answers, first_tokens, story])
    _connect(player, screen, play, pause, jump)
    loaded = page.load(
        lambda: film, None, mine, api_name="replay_log", queue=False, show_progress="hidden"
    )
    loaded.then(None, [*player], [*screen], js=SHOW, **QUIET)
    _connect_upload(upload, note, player, screen, text, book)


def _connect(
    player: Player, screen: Screen, play: gr.Button, pause: gr.Button, jump: gr.Button
) -> None:
    """Let the buttons move the slider, and the slider the screen. 接上按钮。"""
    timer = gr.Timer(TICK_SECONDS, active=False)
    inputs, moved = [*player], [player.step, timer]
    timer.tick(None, inputs, moved, js=TICK, **QUIET)
    play.click(None, inputs, moved, js=PLAY, **QUIET)
    jump.click(None, inputs, moved, js=JUMP, **QUIET)
    pause.click(None, None, timer, js=PAUSE, **QUIET)
    for component in (player.step, player.question):
        component.change(None, inputs, [*screen], js=SHOW, **QUIET)
    arranged = [player.step, player.question, screen.plot]
    for component in (player.run, player.overlay):
        component.input(None, inputs, arranged, js=ARRANGE, **QUIET).then(
            None, inputs, [*screen], js=SHOW, **QUIET
        )


def _connect_upload(
    upload: gr.UploadButton,
    note: gr.Textbox,
    player: Player,
    screen: Screen,
    text: Text,
    book: AnswerBook,
) -> None:
    """Read a visitor's log on the server, show it in the browser. 接上上传。"""

    def read(content: bytes | None) -> tuple[object, ...]:
        try:
            film = visitor_film(content, text, book)
        except DataError as error:
            return gr.skip(), str(error), gr.skip(), gr.skip()
        message = text["log_read"].format(steps=film["max"])
        return film, message, gr.Radio(value=1, visible=True), gr.Checkbox(value=True, visible=True)

    inputs = [*player]
    upload.upload(
        read,
        upload,
        [player.yours, note, player.run, player.overlay],
        concurrency_id="cpu",
        concurrency_limit=2,
        **QUIET,
    ).then(None, inputs, [player.step, player.question, screen.plot], js=ARRANGE, **QUIET).then(
        None, inputs, [*screen], js=SHOW, **QUIET
    )


def _film_box() -> gr.HTML:
    """Hold a film for the scripts and draw nothing: gr.JSON draws each number, even hidden."""
    return gr.HTML(html_template="", visible="hidden")


def first_frame(film: Film) -> pd.DataFrame:
    """Return each curve's first point: a series absent at first stays invisible. 首帧。"""
    rows = [
        (*curve[0], name)
        for curve, name in zip((film["train"], film["val"]), film["names"], strict=True)
        if curve
    ]
    return pd.DataFrame(rows, columns=["step", "loss", "series"])


def _chart(film: Film, text: Text) -> gr.LinePlot:
    return gr.LinePlot(
        first_frame(film),
        x="step",
        y="loss",
        color="series",
        title=text["loss_title"],
        x_title=text["step_axis"],
        y_title=text["loss_axis"],
        color_title=" ",
        color_map=dict(zip(film["names"], film["colours"], strict=True)),
        x_lim=[0, film["max"]],
        y_lim=[0, film["top"]],
        height=320,
        tooltip="none",
        elem_id="replay-chart",
    )


def _figure(text: Text, key: str) -> gr.Textbox:
    name = f"replay-{key.replace('_', '-')}"
    return gr.Textbox(label=text[key], interactive=False, min_width=110, elem_id=name)


def _line(text: Text, key: str, lines: int) -> gr.Textbox:
    name = f"replay-{key.removeprefix('probe_').replace('_', '-')}"
    info = text.get(f"{key}_info")
    return gr.Textbox(label=text[key], info=info, lines=lines, interactive=False, elem_id=name)


def _question(film: Film, text: Text) -> tuple[gr.Radio, gr.Textbox, gr.Label]:
    """Build the choice of a probe question and what is shown of it. 抽查题。"""
    with gr.Column(min_width=300):
        question = gr.Radio(
            film["questions"],
            value=next(iter(film["questions"][film["favourite"] :]), None),
            label=text["probe_question"],
            elem_id="replay-question",
        )
        story = _line(text, "story", lines=1)
    with gr.Column(min_width=300):
        first_tokens = gr.Label(
            label=text["first_tokens"],
            num_top_classes=N_TOKENS,
            show_heading=False,
            elem_id="replay-first-tokens",
        )
    return question, story, first_tokens


def _visitor(text: Text) -> tuple[gr.UploadButton, gr.Textbox, gr.Radio, gr.Checkbox]:
    """Build the place for a visitor's own log. 访客自己的日志。"""
    with gr.Accordion(text["own_log"], open=False, elem_id="own-log"):
        gr.Markdown(text["own_log_intro"])
        upload = passing_upload(text["upload_log"], [".jsonl"], elem_id="upload-log")
        note = _line(text, "log_note", lines=1)
        run = gr.Radio(
            [(text["this_run"], 0), (text["your_run"], 1)],
            value=0,
            label=text["whose_run"],
            visible=False,
            elem_id="replay-run",
        )
        overlay = gr.Checkbox(
            False,
            label=text["overlay"],
            visible=False,
            elem_id="replay-overlay",
        )
    return upload, note, run, overlay
