"""The view 注意力: who looks at whom, in one layer and head. 注意力视图。"""

from __future__ import annotations

from typing import Any, NamedTuple

from gpt_teacher import Pretrained
from gpt_teacher.attention_maps import attention_maps
from gpt_teacher.views.chain_view import QUIET, Game
from gpt_teacher.views.heat_map import build_heat_map, heat_map_value
from gpt_teacher.views.quick_gradio import gr
from gpt_teacher.views.text import Text


class AttentionView(NamedTuple):
    """What the rest of the tab reads and sets. 供整个标签页使用。"""

    place: list[gr.components.Component]  # layer, head
    heat_map: gr.HTML


def attention_value(
    teacher: Pretrained, text: Text, ids: list[int], layer: int, head: int
) -> dict[str, Any]:
    """Return the heat map of a layer and a head, both from 1. 一层一头的热图。"""
    maps = attention_maps(teacher.model, ids)  # (L, H, T, T)
    layer, head = min(max(layer, 1), maps.size(0)), min(max(head, 1), maps.size(1))
    labels = [teacher.tokenizer.label(i) for i in ids]
    return heat_map_value(maps[layer - 1, head - 1], labels, text)


def build_attention_view(teacher: Pretrained, text: Text, game: gr.State) -> AttentionView:
    """Put the view on the page and let it work; it shows the prompt of the game. 搭建界面。"""
    config = teacher.model.config
    gr.Markdown(text["attention_intro"])
    with gr.Row():
        layer = _choice(config.n_layer, text["attention_layer"], "attention-layer")
        head = _choice(config.n_head, text["attention_head"], "attention-head")
    heat_map = build_heat_map(
        attention_value(teacher, text, game.value.chain.prompt_ids, layer.value, head.value)
    )

    def show(game: Game, layer: int, head: int) -> dict[str, Any]:
        return attention_value(teacher, text, game.chain.prompt_ids, layer, head)

    gr.on(
        [layer.input, head.input],
        show,
        [game, layer, head],
        heat_map,
        trigger_mode="always_last",
        **QUIET,
    )
    return AttentionView([layer, head], heat_map)


def _choice(n: int, label: str, elem_id: str) -> gr.Radio:
    return gr.Radio([*range(1, n + 1)], value=1, label=label, min_width=300, elem_id=elem_id)
