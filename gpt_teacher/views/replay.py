"""The tab 训练回放: the training log as a film. 训练回放。

The log goes to the browser once; play, pause and drag run there, without a request.
"""

from __future__ import annotations

from typing import Any

import gradio as gr
import pandas as pd

from gpt_teacher.run_log import Evaluation, Step, TrainingLog
from gpt_teacher.views.text import Text

MAX_POINTS = 300  # of the training curve; more cannot be told apart
TICK_SECONDS = 0.2
FILM_SECONDS = 20.0  # from the first step to the last

# The chart is given all points up to the step; the vega-lite table form is what LinePlot reads.
SHOW = """(step, log) => {
    const rows = [];
    for (const [s, loss] of log.train) if (s <= step) rows.push([s, loss, log.names[0]]);
    for (const [s, loss] of log.val) if (s <= step) rows.push([s, loss, log.names[1]]);
    let at = log.frames[0], facts = '';
    for (const frame of log.frames) if (frame[0] <= step) at = frame;
    for (const fact of log.facts) if (fact[0] <= step) facts = fact[1];
    const plot = {columns: ['step', 'loss', 'series'], data: rows, mark: 'line',
        datatypes: {step: 'quantitative', loss: 'quantitative', series: 'nominal'}};
    return [plot, facts, at[1]];
}"""
TICK = """(step, log) => {
    const next = Math.min(log.max, Number(step) + log.tick);
    return [next, next >= log.max ? {__type__: 'update', active: false} : {__type__: 'update'}];
}"""
PLAY = "(step, log) => [step >= log.max ? 0 : step, {__type__: 'update', active: true}]"
PAUSE = "() => ({__type__: 'update', active: false})"


def replay_data(log: TrainingLog, text: Text) -> dict[str, Any]:
    """Return what the browser needs to replay a log. 回放所需的数据。

    train, val: [step, loss]; facts: [step, line of figures]; frames: [step, probe answers].
    """
    every = max(1, len(log.steps) // MAX_POINTS)
    steps = [s for i, s in enumerate(log.steps) if i % every == 0 or i == len(log.steps) - 1]
    val = [(e.step, e.val_loss_nats) for e in log.evaluations if e.val_loss_nats is not None]
    last = log.last_step
    return {
        "names": [text["train_series"], text["val_series"]],
        "train": [[s.step, round(s.loss_nats, 4)] for s in steps],
        "val": [[step, round(loss, 4)] for step, loss in val],
        "facts": [[s.step, _facts(s, text)] for s in steps],
        "frames": [[e.step, _answers(e, text)] for e in log.evaluations] or [[0, ""]],
        "max": last,
        "tick": max(1, round(last * TICK_SECONDS / FILM_SECONDS)),
    }


def _facts(step: Step, text: Text) -> str:
    return " · ".join(
        [
            text["at_step"].format(step=step.step),
            f"{text['train_loss']} {step.loss_nats:.3f}",
            f"{text['learning_rate']} {step.learning_rate:.1e}",
            f"{step.tokens_per_second:,.0f} {text['speed']}",
            text["elapsed"].format(seconds=step.elapsed_seconds),
        ]
    )


def _answers(evaluation: Evaluation, text: Text) -> str:
    blocks = []
    for sample in evaluation.samples:
        tokens = "  ".join(f"{token} {p:.1%}" for token, p in sample.first_tokens)
        blocks.append(
            f"{text['asked']}：{sample.question}\n{text['answered_by']}：{sample.answer}\n"
            f"{text['first_tokens']}：{tokens}"
        )
    return "\n\n".join(blocks)


def first_frame(data: dict[str, Any]) -> pd.DataFrame:
    """Return each curve's first point: a series absent at first stays invisible. 首帧。"""
    rows = [
        (*curve[0], name)
        for curve, name in zip((data["train"], data["val"]), data["names"], strict=True)
        if curve
    ]
    return pd.DataFrame(rows, columns=["step", "loss", "series"])


def build_replay_tab(log: TrainingLog | None, text: Text, page: gr.Blocks) -> None:
    """Put the tab's components on the page. 搭建界面。"""
    if log is None:
        gr.Markdown(text["no_log"])
        return
    data = replay_data(log, text)
    gr.Markdown(text["replay_intro"])
    with gr.Row():
        play = gr.Button(text["play"], variant="primary", elem_id="play")
        pause = gr.Button(text["pause"], elem_id="pause")
    step = gr.Slider(
        0, data["max"], data["max"], step=1, label=text["step"], buttons=[], elem_id="replay-step"
    )
    top = max(loss for _, loss in data["train"] + data["val"])
    with gr.Row():
        with gr.Column(min_width=300):
            plot = gr.LinePlot(
                first_frame(data),
                x="step",
                y="loss",
                color="series",
                title=text["loss_title"],
                x_title=text["step_axis"],
                y_title=text["loss_axis"],
                color_title=" ",
                color_map=dict(zip(data["names"], ("#1d4ed8", "#c2410c"), strict=True)),
                x_lim=[0, data["max"]],
                y_lim=[0, top],
                height=340,
                tooltip="none",
            )
            facts = gr.Textbox(label=text["status"], interactive=False, elem_id="replay-facts")
        with gr.Column(min_width=300):
            answers = gr.Textbox(
                label=text["probe_answers"], lines=16, interactive=False, elem_id="replay-answers"
            )
    film = gr.JSON(visible="hidden")
    timer = gr.Timer(TICK_SECONDS, active=False)
    quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    shown = [plot, facts, answers]
    timer.tick(None, [step, film], [step, timer], js=TICK, **quiet)
    step.change(None, [step, film], shown, js=SHOW, **quiet)
    play.click(None, [step, film], [step, timer], js=PLAY, **quiet)
    pause.click(None, None, timer, js=PAUSE, **quiet)
    loaded = page.load(
        lambda: data, None, film, api_name="replay_log", queue=False, show_progress="hidden"
    )
    loaded.then(None, [step, film], shown, js=SHOW, **quiet)
