"""The view 分词: a question as the tokens that the model reads. 分词视图。"""

from __future__ import annotations

from typing import Any

from gpt_teacher.tokenizer import Tokenizer
from gpt_teacher.views.quick_gradio import gr
from gpt_teacher.views.text import Text
from gpt_teacher.views.token_labels import count_tokens, shown_text

COLOURS = ("#1d4ed8", "#b45309", "#047857", "#7c3aed", "#be123c", "#0e7490")


def coloured_tokens(tokenizer: Tokenizer, ids: list[int]) -> list[tuple[str, str]]:
    """Return (label, id) of each token. 词元与编号。"""
    return [(tokenizer.label(i), str(i)) for i in ids]


def colours(ids: list[int]) -> dict[str, str]:
    """Return a colour for each id, the next one for the next new id. 每个编号一种颜色。"""
    distinct = dict.fromkeys(ids)
    return {str(i): COLOURS[n % len(COLOURS)] for n, i in enumerate(distinct)}


def tokenized(tokenizer: Tokenizer, ids: list[int]) -> dict[str, Any]:
    """Return a tokenized prompt for programs. 供程序使用的分词结果。"""
    return {
        "prompt": shown_text(tokenizer, ids),
        "ids": ids,
        "tokens": [tokenizer.label(i) for i in ids],
        "counts": count_tokens(tokenizer, ids)._asdict(),
    }


def counted(tokenizer: Tokenizer, ids: list[int], text: Text) -> str:
    """Return one line: characters, bytes, tokens; unknown characters if any. 数一数。"""
    counts = count_tokens(tokenizer, ids)
    keys = ["tokens_counts", "tokens_unknown"] if counts.unknown else ["tokens_counts"]
    return "".join(text[key].format(**counts._asdict()) for key in keys)


def token_values(
    tokenizer: Tokenizer, ids: list[int], text: Text
) -> tuple[gr.HighlightedText, str, str]:
    """Return the new values of the view's components: tokens, counts, prompt. 分词视图的数据。"""
    tokens = gr.HighlightedText(coloured_tokens(tokenizer, ids), color_map=colours(ids))
    return tokens, counted(tokenizer, ids, text), shown_text(tokenizer, ids)


def build_tokens_view(
    tokenizer: Tokenizer, ids: list[int], text: Text
) -> list[gr.components.Component]:
    """Put the view on the page; returns the components of token_values. 搭建界面。"""
    gr.Markdown(text["tokens_intro_char" if tokenizer.type == "char" else "tokens_intro"])
    return [
        gr.HighlightedText(
            coloured_tokens(tokenizer, ids),
            color_map=colours(ids),
            label=text["tokens_label"],
            elem_id="inside-tokens",
        ),
        gr.Textbox(
            counted(tokenizer, ids, text),
            label=text["tokens_counts_label"],
            interactive=False,
            elem_id="inside-counts",
        ),
        gr.Textbox(
            shown_text(tokenizer, ids),
            label=text["tokens_prompt"],
            info=text["tokens_prompt_info"],
            lines=2,
            interactive=False,
            elem_id="inside-prompt",
        ),
    ]
