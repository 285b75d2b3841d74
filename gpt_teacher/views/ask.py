"""The tab 提问: a question in, streamed answers out, of one model or of two. 提问。"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from gpt_teacher import Nearest, Pretrained
from gpt_teacher.batched_answers import MAX_ROWS
from gpt_teacher.checkpoint import WEIGHTS_FILE
from gpt_teacher.config import SamplingConfig
from gpt_teacher.errors import ConfigError, PromptError, TokenizerError
from gpt_teacher.prompt import normalise
from gpt_teacher.sampler import Answer
from gpt_teacher.tokenizer import Tokenizer
from gpt_teacher.views.answering import Answerer, Timed, side_by_side
from gpt_teacher.views.coloured import COLOURS, band_names, coloured, pieces
from gpt_teacher.views.examples import example_questions
from gpt_teacher.views.quick_gradio import gr
from gpt_teacher.views.settings import Controls, sampling_controls, sampling_settings
from gpt_teacher.views.share import (
    HIDE_LINK,
    MAX_CHARACTERS,
    make_link_script,
    read_link,
    this_space,
)
from gpt_teacher.views.text import Text

SHOWN_EVERY_SECONDS = 0.08  # the eye wants no more; each update costs as much as some tokens
SECONDS_OF_EACH = 0.045  # between two updates, whoever they are for: the rest is for answering


class Shown(NamedTuple):
    """What the page shows of one model's answer. 一栏的内容。"""

    answer: str = ""
    status: str = ""
    tokens: Sequence[tuple[str, str]] = ()  # piece of the answer, name of its colour


def stream_answers(
    answerers: list[Answerer], text: Text, question: str, settings: SamplingConfig
) -> Iterator[list[Shown]]:
    """Yield what each model has said so far. 逐步给出各模型的回答与说明。"""
    note = ""
    if len(question) > MAX_CHARACTERS:
        question, note = question[:MAX_CHARACTERS], text["question_cut"]
    teacher, empty = answerers[0].teacher, [Shown()] * (len(answerers) - 1)
    try:
        notes = [
            note.format(limit=MAX_CHARACTERS),
            unknown_line(teacher.tokenizer, question, text),
            nearest_line(teacher.nearest(question), text),
        ]
        for latest in side_by_side(answerers, question, settings, lambda: pace(answerers)):
            yield [
                shown(answerer.teacher, timed, settings, text, notes if number == 0 else [])
                for number, (answerer, timed) in enumerate(zip(answerers, latest, strict=True))
            ]
    except PromptError:
        limit = teacher.model.config.seq_len - 1
        yield [Shown(status=text["too_long"].format(limit=limit)), *empty]
    except TokenizerError:
        yield [Shown(status=text["half_character"]), *empty]


def shown(
    teacher: Pretrained,
    timed: Timed | None,
    settings: SamplingConfig,
    text: Text,
    notes: list[str],
) -> Shown:
    """Return what one column shows: the answer, how it went, its tokens. 一栏。"""
    if timed is None:
        return Shown()
    answer, threshold = timed.answer, teacher.fitted(settings).refuse_below or 0.0
    sure = text["answered"].format(mean=answer.mean_probability, least=answer.min_probability)
    speed = text["asked_before"] if timed.remembered else text["took"]
    speed = speed.format(
        tokens=answer.n_tokens, milliseconds=1000 * timed.seconds, speed=timed.tokens_per_second
    )
    cut = text["stopped_length"] if answer.finish_reason == "length" else ""
    lines = [f"{sure}{cut}", speed, refusal_reason(answer, threshold, text), *notes]
    names = band_names(text, threshold)
    marked = coloured(pieces(teacher.tokenizer, answer.tokens), names, threshold)
    return Shown(answer.text, "\n".join(filter(None, lines)), marked)


def pace(answerers: list[Answerer]) -> float:
    """Return the seconds between two updates of an answer: more when many wait. 更新间隔。"""
    n_askers = max(answerer.batcher.n_askers for answerer in answerers)
    return max(SHOWN_EVERY_SECONDS, SECONDS_OF_EACH * n_askers)


def refusal_reason(answer: Answer, threshold: float, text: Text) -> str:
    """Return why an answer is a refusal; nothing if it is none. 拒答的原因。"""
    if answer.finish_reason == "unsure":
        return text["refused_unsure"].format(threshold=threshold)
    return text["refused_taught"] if answer.refused and answer.finish_reason else ""


def unknown_line(tokenizer: Tokenizer, question: str, text: Text) -> str:
    """Return a line on the characters that became <unk>, if any. 不认识的字。"""
    unknown = tokenizer.unknown_characters(normalise(question))
    seen = " ".join(c if c.isprintable() and c.strip() else repr(c) for c in unknown)
    return text["unknown_characters"].format(characters=seen) if unknown else ""


def nearest_line(nearest: Nearest | None, text: Text) -> str:
    """Return a line on the taught question that is most like this one. 最像的训练题。"""
    return "" if nearest is None else text["nearest"].format(**nearest._asdict())


def build_ask_tab(
    teacher: Pretrained, quantized: Pretrained | None, text: Text, sampling: SamplingConfig
) -> None:
    """Put the tab's components on the page; its controls begin with `sampling`. 搭建界面。"""
    models = [teacher] if quantized is None else [teacher, quantized]
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
                ask = gr.Button(text["ask"], variant="primary", elem_id="ask", min_width=120)
                halt = gr.Button(text["stop"], elem_id="stop", min_width=120)
            with gr.Row():
                titles = _titles(models, text)
                columns = [
                    _answer_column(
                        model.fitted(sampling), title, text, "quantized-" if number else ""
                    )
                    for number, (model, title) in enumerate(zip(models, titles, strict=True))
                ]
            _legend(teacher.fitted(sampling), text)
        with gr.Column(scale=2, min_width=300):
            refusal = gr.Checkbox(
                sampling.refusal,
                label=text["refusal"],
                info=text["refusal_info"],
                elem_id="refusal",
            )
            for kind, questions in example_questions(teacher)._asdict().items():
                if questions:
                    gr.Examples([[q] for q in questions], box, label=text[f"examples_{kind}"])
            with gr.Accordion(text["settings"], open=False) as accordion:
                controls = sampling_controls(text, teacher.model.config.seq_len, sampling)
            _share(box, controls, accordion, text)
    outputs = [component for column in columns for component in column]
    running = gr.on(
        [ask.click, box.submit],
        _responder([Answerer(model) for model in models], text, sampling),
        [box, *controls, refusal],
        outputs,
        api_name="ask",
        concurrency_limit=MAX_ROWS,
        trigger_mode="once",
        show_progress="minimal",
    )
    halt.click(None, None, None, cancels=[running], api_visibility="private")


def _responder(answerers: list[Answerer], text: Text, sampling: SamplingConfig) -> Any:
    """Return the function behind the button and the endpoint /ask. 按钮与接口的函数。"""
    seq_len = answerers[0].teacher.model.config.seq_len
    longest = min(sampling.max_new_tokens, seq_len)

    def respond(
        question: str,
        temperature: float = sampling.temperature,
        top_k: float = sampling.top_k,
        top_p: float = sampling.top_p,
        repetition_penalty: float = sampling.repetition_penalty,
        max_new_tokens: float = longest,
        stop: str = " ".join(sampling.stop),
        seed: float = sampling.seed,
        refusal: bool = sampling.refusal,
    ) -> Iterator[tuple[object, ...]]:
        """Answer one question as it grows.

        Returns the answer so far, how it went (confidence, speed, reason of a refusal, nearest
        taught question) and its tokens, each with the band of its probability; then the same three
        of the quantized model, where the page serves one.
        """
        rows: Iterator[list[Shown]]
        try:
            settings = sampling_settings(
                text,
                seq_len,
                temperature,
                top_k,
                top_p,
                repetition_penalty,
                max_new_tokens,
                stop,
                seed,
                refusal,
                sampling,
            )
            if not (question or "").strip():
                raise ConfigError([text["empty_question"]])
            rows = stream_answers(answerers, text, question, settings)
        except ConfigError as error:
            rows = iter([[Shown(status=str(error)), *[Shown()] * (len(answerers) - 1)]])
        for row in rows:
            yield tuple(value for column in row for value in column)

    return respond


def _titles(models: list[Pretrained], text: Text) -> list[str]:
    """Return what stands above each answer: precision and size on disk. 栏目标题。"""
    keys = ["answer_only"] if len(models) == 1 else ["answer_full", "answer_quantized"]
    sizes = [(model.folder / WEIGHTS_FILE).stat().st_size / 1e6 for model in models]
    return [text[key].format(megabytes=size) for key, size in zip(keys, sizes, strict=True)]


def _answer_column(
    sampling: SamplingConfig, title: str, text: Text, prefix: str
) -> tuple[gr.Textbox, gr.Textbox, gr.HighlightedText]:
    """Build one model's answer, status and coloured tokens. 一个模型的栏目。"""
    names = band_names(text, sampling.refuse_below or 0.0)
    with gr.Column(min_width=280):
        return (
            gr.Textbox(label=title, lines=3, interactive=False, elem_id=f"{prefix}answer"),
            gr.Textbox(
                label=text["status"],
                lines=3,
                max_lines=12,
                interactive=False,
                elem_id=f"{prefix}status",
            ),
            gr.HighlightedText(
                [],
                label=text["tokens_chosen"],
                color_map=dict(zip(names, COLOURS, strict=False)),
                show_inline_category=False,
                elem_id=f"{prefix}tokens",
                elem_classes="coloured",
            ),
        )


def _legend(sampling: SamplingConfig, text: Text) -> None:
    """Show what the colours mean, once for both columns. 图例。"""
    names = band_names(text, sampling.refuse_below or 0.0)
    gr.HighlightedText(
        [(name, name) for name in names],
        label=text["token_colours"],
        color_map=dict(zip(names, COLOURS, strict=False)),
        show_inline_category=False,
        elem_id="legend",
        elem_classes="coloured",
    )


def _share(box: gr.Textbox, controls: Controls, accordion: gr.Accordion, text: Text) -> None:
    """Build the button that makes a link, and fill the page from such a link. 分享链接。"""
    share = gr.Button(text["share"], elem_id="share")
    link = gr.Textbox(
        label=text["link"], interactive=False, buttons=["copy"], visible=False, elem_id="link"
    )
    shared = [box, controls.temperature, controls.seed]
    share.click(None, shared, link, js=make_link_script(this_space()), api_visibility="private")
    changed = [component.change for component in shared]  # the link would lead to what was there
    gr.on(changed, None, None, link, js=HIDE_LINK, api_visibility="private", show_progress="hidden")

    def fill(request: gr.Request) -> tuple[object, ...]:
        _, *values = read_link(dict(request.query_params))
        changed = any(value is not None for value in values[1:])
        opened = gr.Accordion(open=True) if changed else gr.skip()
        return opened, *(gr.skip() if value is None else value for value in values)

    filled = [accordion, *shared]
    gr.on(None, fill, None, filled, queue=False, api_visibility="private", show_progress="hidden")
