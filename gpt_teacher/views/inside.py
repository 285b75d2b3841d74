"""The tab 看内部: one question, seen from inside in four views. 看内部。"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gpt_teacher import Pretrained
from gpt_teacher.errors import ConfigError, PromptError, TokenizerError
from gpt_teacher.prompt import encode_prompt
from gpt_teacher.views.attention_view import attention_value, build_attention_view
from gpt_teacher.views.chain_view import (
    CPU,
    QUIET,
    Game,
    build_chain_view,
    chain_settings,
    chain_values,
    chosen_tokens,
    next_tokens,
)
from gpt_teacher.views.quick_gradio import gr
from gpt_teacher.views.size_view import build_size_view
from gpt_teacher.views.text import KNOWN_EXAMPLES, Text
from gpt_teacher.views.tokens_view import build_tokens_view, token_values, tokenized
from gpt_teacher.word_chain import Chain

MAX_CHARACTERS = 400  # of a question; the box's own limit is not enforced by the server


def question_ids(teacher: Pretrained, text: Text, question: Any) -> list[int]:
    """Return the ids of the prompt of a question. 问题的编号。

    Raises PromptError, with a sentence for the reader, if it is empty, too long or no text.
    """
    if not isinstance(question, str) or not question.strip():
        raise PromptError(text["empty_question"])
    limit = teacher.model.config.seq_len - 1  # room for at least one token more
    if len(question) > MAX_CHARACTERS:
        raise PromptError(text["too_long"].format(limit=limit))
    try:
        ids = encode_prompt(teacher.tokenizer, question)
    except TokenizerError:
        raise PromptError(text["inside_half_character"]) from None
    if len(ids) > limit:
        raise PromptError(text["too_long"].format(limit=limit))
    return ids


def build_inside_tab(
    teacher: Pretrained, text: Text, unsure: Callable[[], str | None] | None
) -> None:
    """Put the tab's components on the page, with a first question. 搭建界面。

    unsure: finds another one, when a button is clicked; None = no button.
    """
    gr.Markdown(text["inside_intro"])
    try:
        ids = question_ids(teacher, text, KNOWN_EXAMPLES[0])
    except PromptError as error:  # a model that reads next to nothing
        gr.Markdown(str(error))
        return
    box, look, other, notice = _question_row(text, has_other=unsure is not None)
    with gr.Accordion(text["tokens_title"], open=True):
        tokens = build_tokens_view(teacher.tokenizer, ids, text)
    with gr.Accordion(text["chain_title"], open=False):
        chain = build_chain_view(teacher, text, Chain(ids, []))
    with gr.Accordion(text["attention_title"], open=False):
        attention = build_attention_view(teacher, text, chain.game)
    with gr.Accordion(text["size_title"], open=False):
        build_size_view(teacher, text)

    def look_inside(question: str, game: Game, layer: int, head: int, *filters: float) -> list[Any]:
        try:
            ids = question_ids(teacher, text, question)
        except PromptError as error:
            return [gr.Textbox(str(error), visible=True), *(gr.skip() for _ in shown[1:])]
        game.change(Chain(ids, []), filters)
        return [
            gr.Textbox("", visible=False),
            *token_values(teacher.tokenizer, ids, text),
            *chain_values(teacher, text, game.chain, *filters),
            attention_value(teacher, text, ids, layer, head),
        ]

    shown = [notice, *tokens, *chain.shown, attention.heat_map]
    asked = [box, chain.game, *attention.place, *chain.filters]
    gr.on([look.click, box.submit], look_inside, asked, shown, **QUIET)
    if unsure is not None:
        another = unsure
        find = other.click(lambda: another() or gr.skip(), None, box, **QUIET)
        find.then(look_inside, asked, shown, **QUIET)
    _build_endpoints(teacher, text)


def _question_row(
    text: Text, has_other: bool
) -> tuple[gr.Textbox, gr.Button, gr.Button, gr.Textbox]:
    """Build the question, its buttons, and the place for what is wrong with it. 问题一栏。"""
    with gr.Row():
        box = gr.Textbox(
            KNOWN_EXAMPLES[0],
            label=text["question"],
            lines=1,
            max_lines=4,
            max_length=MAX_CHARACTERS,
            scale=4,
            min_width=240,
            elem_id="inside-question",
        )
        with gr.Column(scale=1, min_width=180):
            look = gr.Button(text["inside_look"], variant="primary")
            other = gr.Button(text["inside_unsure"], size="sm", visible=has_other)
    notice = gr.Textbox(
        label=text["status"], interactive=False, visible=False, elem_id="inside-notice"
    )
    return box, look, other, notice


def _build_endpoints(teacher: Pretrained, text: Text) -> None:
    """Offer /tokenize and /next_token to programs. 供程序调用。"""

    def tokenize(question: str) -> dict[str, Any]:
        """Return the prompt of a question as text, ids and tokens, and its counts."""
        try:
            return tokenized(teacher.tokenizer, question_ids(teacher, text, question))
        except PromptError as error:
            raise gr.Error(str(error), print_exception=False) from None

    def next_token(
        question: str,
        chosen: list[int] | None = None,
        temperature: float = 1.0,
        top_k: int = 0,
        top_p: float = 1.0,
    ) -> list[dict[str, Any]]:
        """Return the likeliest tokens after a question and the ids chosen so far."""
        try:
            settings = chain_settings(text, temperature, top_k, top_p)
            prompt_ids = question_ids(teacher, text, question)
            chain = Chain(prompt_ids, chosen_tokens(teacher, text, prompt_ids, chosen or []))
        except (PromptError, ConfigError) as error:
            raise gr.Error(str(error), print_exception=False) from None
        return next_tokens(teacher, chain, settings)

    gr.api(tokenize, api_name="tokenize", **CPU)
    gr.api(next_token, api_name="next_token", **CPU)
