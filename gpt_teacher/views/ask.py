"""The tab 提问: a question in, a streamed answer out. 提问。"""

from __future__ import annotations

import time
from collections.abc import Iterator

import gradio as gr

from gpt_teacher import Pretrained
from gpt_teacher.config import SamplingConfig
from gpt_teacher.errors import ConfigError, PromptError
from gpt_teacher.sampler import Answer, answer
from gpt_teacher.views.text import EXAMPLE_QUESTIONS, Text

MAX_CHARACTERS = 400  # of a question; the box's own limit is not enforced by the server
MAX_NEW_TOKENS = SamplingConfig().max_new_tokens
MAX_STOP_TEXTS, MAX_STOP_CHARACTERS = 8, 32


def sampling_settings(
    temperature: float,
    top_k: float,
    top_p: float,
    repetition_penalty: float,
    max_new_tokens: float,
    stop: str | None,
    seed: float,
    refusal: bool = True,
) -> SamplingConfig:
    """Return the settings of the page's controls. 界面上的采样设置。Raises ConfigError."""
    stops = [text[:MAX_STOP_CHARACTERS] for text in (stop or "").split()][:MAX_STOP_TEXTS]
    try:
        return SamplingConfig(
            temperature=float(temperature),
            top_k=int(top_k),
            top_p=float(top_p),
            repetition_penalty=float(repetition_penalty),
            max_new_tokens=int(max_new_tokens),
            stop=tuple(stops),
            seed=int(seed),
            refusal=bool(refusal),
        )
    except (TypeError, ValueError, OverflowError) as error:
        raise ConfigError([f"a setting is not a number: {error}"]) from None


def stream_answer(
    teacher: Pretrained, text: Text, question: str, settings: SamplingConfig
) -> Iterator[tuple[str, str]]:
    """Yield (answer so far, status line). 逐步给出回答与说明。"""
    note = ""
    if len(question) > MAX_CHARACTERS:
        question, note = (
            question[:MAX_CHARACTERS],
            text["question_cut"].format(limit=MAX_CHARACTERS),
        )
    started_at = time.perf_counter()
    try:
        settings, nearest = teacher.fitted(settings), teacher.nearest(question)
        for growing in answer(teacher.model, teacher.tokenizer, question, settings):
            status = text["answered"].format(
                mean=growing.mean_probability,
                least=growing.min_probability,
                tokens=growing.n_tokens,
                milliseconds=1000 * (time.perf_counter() - started_at),
            )
            status += text["stopped_length"] if growing.finish_reason == "length" else ""
            lines = [f"{status} {note}".strip(), refusal_reason(growing, settings, text)]
            if nearest is not None:
                lines.append(text["nearest"].format(**nearest._asdict()))
            yield growing.text, "\n".join(filter(None, lines))
    except PromptError:
        yield "", text["too_long"].format(limit=teacher.model.config.seq_len - 1)


def refusal_reason(answer: Answer, settings: SamplingConfig, text: Text) -> str:
    """Return why an answer is a refusal; nothing if it is none. 拒答的原因。"""
    if answer.finish_reason == "unsure":
        return text["refused_unsure"].format(threshold=settings.refuse_below)
    return text["refused_taught"] if answer.refused else ""


def build_ask_tab(teacher: Pretrained, text: Text) -> None:
    """Put the tab's components on the page. 搭建界面。"""
    with gr.Row():
        with gr.Column(scale=3, min_width=300):
            box = gr.Textbox(
                label=text["question"],
                placeholder=text["question_hint"],
                lines=1,
                max_lines=4,
                max_length=MAX_CHARACTERS,
                autofocus=True,
                elem_id="question",
            )
            with gr.Row():
                ask = gr.Button(text["ask"], variant="primary", elem_id="ask")
                halt = gr.Button(text["stop"], elem_id="stop")
            reply = gr.Textbox(label=text["answer"], lines=3, interactive=False, elem_id="answer")
            status = gr.Textbox(
                label=text["status"], lines=2, max_lines=6, interactive=False, elem_id="status"
            )
            gr.Examples([[q] for q in EXAMPLE_QUESTIONS], box, label=text["examples"])
        with gr.Column(scale=2, min_width=300), gr.Accordion(text["settings"], open=False):
            controls = _sampling_controls(teacher, text)

    def respond(
        question: str,
        temperature: float = 0,
        top_k: float = 0,
        top_p: float = 1,
        repetition_penalty: float = 1,
        max_new_tokens: float = MAX_NEW_TOKENS,
        stop: str = "",
        seed: float = 42,
        refusal: bool = True,
    ) -> Iterator[tuple[str, str]]:
        """Answer one question as it grows: (answer so far, how it went)."""
        if not question or not question.strip():
            yield "", text["empty_question"]
            return
        try:
            settings = sampling_settings(
                temperature, top_k, top_p, repetition_penalty, max_new_tokens, stop, seed, refusal
            )
        except ConfigError as error:
            yield "", str(error)
            return
        yield from stream_answer(teacher, text, question, settings)

    running = gr.on(
        [ask.click, box.submit],
        respond,
        [box, *controls],
        [reply, status],
        api_name="ask",
        concurrency_limit=2,
        concurrency_id="cpu",
        trigger_mode="once",
        show_progress="minimal",
    )
    halt.click(None, None, None, cancels=[running], api_visibility="private")


def _sampling_controls(teacher: Pretrained, text: Text) -> list[gr.components.Component]:
    """Build the sampling controls, in the order of sampling_settings. 采样控件。"""
    defaults = SamplingConfig()
    longest = teacher.model.config.seq_len

    def slider(key: str, low: float, high: float, value: float, step: float) -> gr.Slider:
        return gr.Slider(
            low, high, value, step=step, label=text[key], info=text[f"{key}_info"], buttons=[]
        )

    return [
        slider("temperature", 0, 2, defaults.temperature, 0.05),
        slider("top_k", 0, 100, defaults.top_k, 1),
        slider("top_p", 0.05, 1, defaults.top_p, 0.05),
        slider("repetition_penalty", 1, 2, defaults.repetition_penalty, 0.05),
        slider("max_new_tokens", 1, longest, min(defaults.max_new_tokens, longest), 1),
        gr.Textbox(
            "", label=text["stop_texts"], info=text["stop_texts_info"], lines=1, max_lines=1
        ),
        gr.Number(
            defaults.seed, label=text["seed"], info=text["seed_info"], precision=0, minimum=0
        ),
        gr.Checkbox(defaults.refusal, label=text["refusal"], info=text["refusal_info"]),
    ]
