"""The tab 成绩单: how good the served model is, and which one it is. 成绩单。

Nothing is measured here: the whole exam takes minutes. `scripts.evaluate --save` stores it.
"""

from __future__ import annotations

from typing import Any

import pandas as pd

from gpt_teacher.card.markdown import code, plain, table
from gpt_teacher.exam import FOUR_NUMBERS
from gpt_teacher.stored_report import SAVE_COMMAND, StoredReport
from gpt_teacher.views.quick_gradio import gr
from gpt_teacher.views.report_card import (
    ReportCard,
    Rows,
    confusion_rows,
    curve_rows,
    percent,
    subject_rows,
    topic_rows,
)
from gpt_teacher.views.serving import command_folder, shown_folder
from gpt_teacher.views.text import Text

MAX_TABLE_PIXELS = 2000  # no table scrolls within the page
COLOURS = {"fp32": "#3b82f6", "int8": "#ea580c"}  # on white and on black


def build_report_tab(card: ReportCard, text: Text) -> None:
    """Put the tab's components on the page. 搭建界面。"""
    gr.Markdown(text["report_intro"])
    if card.scores:
        _four_numbers(card, text)
    if card.report is not None:
        _whole_exam(card.report, text)
    else:
        gr.Markdown(missing(card, text), elem_id="no-report")
    gr.Markdown(f"### {text['which_weights']}\n\n{weights_table(card, text)}", elem_id="weights")
    with gr.Accordion(text["model_card"], open=False):
        gr.Markdown(card.card, elem_id="model-card")

    def exam() -> dict[str, Any]:
        """Return the report card as JSON: weights, the four numbers, the whole exam if stored."""
        return card.json()

    gr.api(exam, api_name="exam", queue=False)


def _four_numbers(card: ReportCard, text: Text) -> None:
    with gr.Row():
        for number in FOUR_NUMBERS:
            gr.Textbox(
                number_lines(card, number, text),
                label=text[number],
                info=text[f"{number}_info"],
                lines=2,
                max_lines=4,
                interactive=False,
                min_width=260,
                elem_id=f"exam-{number}",
            )


def missing(card: ReportCard, text: Text) -> str:
    """Return why there is no more to see, and what to do, as Markdown. 为什么没有更多。"""
    if not card.scores:
        return text["no_scores"]
    if card.origin.repo_id:
        return text["no_report_hub"]
    folder = command_folder(card.origin.folder, text)
    return text["no_report"].format(command=code(f"{SAVE_COMMAND} --checkpoint {folder}"))


def number_lines(card: ReportCard, number: str, text: Text) -> str:
    """Return one of the four numbers, a line for each precision. 一个数字。"""
    return "\n".join(
        text["score_line"].format(precision=text[name], score=percent(scores.get(number)))
        for name, scores in card.scores.items()
    )


def weights_table(card: ReportCard, text: Text) -> str:
    """Return which weights these are, as Markdown. 哪一份权重。"""
    place = [text["weights_folder"], code(shown_folder(card.origin.folder))]
    if card.origin.repo_id:
        place = [text["weights_hub"], f"{code(card.origin.repo_id)} @ {code(card.origin.commit)}"]
    rows = [place]
    for name, file in card.weights.items():
        figures = text["weights_bytes"].format(n_bytes=file.n_bytes)
        rows.append([text[name], f"{figures} · SHA-256 {code(file.sha256[:16])}…"])
    for key, value in (
        ("code_commit", card.metrics.get("code_commit")),
        ("trained_steps", card.metrics.get("steps")),
        ("trained_on", card.metrics.get("cpu")),
    ):
        if value is not None:
            rows.append([text[key], plain(str(value))])
    return table([text["item"], text["value"]], rows)


def _whole_exam(report: StoredReport, text: Text) -> None:
    names = [text[name] for name in report.models]
    with gr.Row():
        with gr.Column(min_width=300):
            head, widths = [text["subject"], *names], [100 - 36 * len(names), *[36] * len(names)]
            _table(subject_rows(report), head, widths, text["by_subject"], "subjects")
            if any(model.curve for model in report.models.values()):
                _curve(report, text)
        with gr.Column(min_width=300):
            head = [text["topic"], text["right_answers"], text["asked_times"]]
            _table(topic_rows(report), head, [60, 20, 20], text["worst_topics"], "worst-topics")
            head = [text["asked_about"], text["taken_for"], text["times"]]
            _table(confusion_rows(report), head, [41, 41, 18], text["confusions"], "confusions")


def _table(rows: Rows, head: list[str], widths: list[int], label: str, elem_id: str) -> None:
    """Show a table; widths are in percent, or the last column is out of sight on a phone. 表格。"""
    if rows:
        gr.Dataframe(
            rows,
            headers=head,
            label=label,
            interactive=False,
            wrap=True,
            max_height=MAX_TABLE_PIXELS,
            column_widths=[f"{width}%" for width in widths],
            buttons=[],
            elem_id=elem_id,
        )


def _curve(report: StoredReport, text: Text) -> None:
    """Draw risk against coverage, and say where the model's own threshold lies. 风险曲线。"""
    rows = [(x, y, text[name]) for x, y, name in curve_rows(report)]
    gr.LinePlot(
        pd.DataFrame(rows, columns=["answered", "wrong", "precision"]),
        x="answered",
        y="wrong",
        color="precision",
        title=text["curve_title"],
        x_title=text["curve_answered"],
        y_title=text["curve_wrong"],
        color_title=" ",
        color_map={text[name]: COLOURS[name] for name in report.models},
        x_lim=[0, 100],
        y_lim=[0, max(y for _, y, _ in rows) + 1] if rows else None,
        height=320,
        tooltip="none",
    )
    lines = [
        text["curve_here"].format(precision=text[name], **model.served._asdict())
        for name, model in report.models.items()
    ]
    gr.Textbox(
        "\n".join([text["curve_info"], *lines]),
        label=text["curve_label"],
        lines=3,
        max_lines=8,
        interactive=False,
        elem_id="curve",
    )
