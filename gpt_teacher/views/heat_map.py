"""The attention weights of one head as a map, a row for each token. 注意力热图。

Token labels are put on the page as text nodes, never as markup: the template names no value.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from gpt_teacher.views.quick_gradio import gr
from gpt_teacher.views.text import Text

MAX_TOKENS = 32  # rows and columns; more could not be read on a phone
N_DETAILS = 5  # tokens named below the map for the chosen row

DRAW = """
const map = element.querySelector('.map');
const detail = element.querySelector('.detail'), caption = element.querySelector('.caption');
let chosen = 0;
const add = (name, row, text) => {
    const part = document.createElement('span');
    part.className = name;
    part.textContent = text;
    part.dataset.row = row;
    map.append(part);
    return part;
};
const choose = (row) => {
    const value = props.value;
    if (!value || !(row >= 0 && row < value.labels.length)) return;
    chosen = row;
    for (const part of map.children) part.classList.toggle('chosen', part.dataset.row == row);
    detail.textContent = value.details[row];
};
const draw = () => {
    const value = props.value;
    map.replaceChildren();
    if (!value) return;
    map.style.setProperty('--n', value.labels.length);
    map.classList.toggle('many', value.labels.length > 20);
    map.setAttribute('aria-label', value.name);
    caption.textContent = value.caption;
    add('corner', '', '');
    for (const label of value.labels) add('column', '', label);
    value.labels.forEach((label, row) => {
        add('row', row, label);
        value.labels.forEach((_, column) => {
            const cell = add(column > row ? 'cell later' : 'cell', row, '');
            if (column > row) return;
            // the root, because the eye would not tell 1 % from 5 % in a straight scale
            cell.style.setProperty('--shade', `${100 * Math.sqrt(value.weights[row][column])}%`);
        });
    });
    choose(value.labels.length - 1);
};
const pointed = (event) => {
    if (event.target.dataset.row) choose(Number(event.target.dataset.row));
};
map.addEventListener('pointerover', pointed);
map.addEventListener('click', pointed);
map.addEventListener('keydown', (event) => {
    const by = {ArrowUp: -1, ArrowDown: 1}[event.key];
    if (!by) return;
    event.preventDefault();
    choose(chosen + by);
});
watch('value', draw);
draw();
"""
LOOK = """
.map { display: grid; grid-template-columns: max-content repeat(var(--n), minmax(0, 26px));
    gap: 1px; font-size: 13px; line-height: 1 }
.map:focus-visible { outline: 2px solid var(--color-accent); outline-offset: 2px }
.row { padding: 0 6px; text-align: right; white-space: pre; align-self: stretch;
    display: flex; align-items: center; justify-content: flex-end; min-height: 18px;
    border-radius: 4px; cursor: default }
.row.chosen { background: var(--button-primary-background-fill);
    color: var(--button-primary-text-color) }
.column { writing-mode: vertical-rl; text-align: end; white-space: pre; justify-self: center;
    align-self: end; padding-bottom: 4px; font-size: min(13px, calc(230px / var(--n) + 2px)) }
.cell { border-radius: 2px; min-height: 18px;
    background: color-mix(in srgb, var(--color-accent) var(--shade),
        var(--background-fill-secondary)) }
.cell.later { background: none }
@media (max-width: 600px) { .many .column, .many .corner { display: none } }
.cell.chosen:not(.later) { box-shadow: 0 0 0 1px var(--color-accent) }
.detail { margin: 10px 0 0; min-height: 3em; color: var(--body-text-color) }
.caption { margin: 0; color: var(--block-info-text-color) }
"""


def heat_map_value(weights: Tensor, labels: list[str], text: Text) -> dict[str, Any]:
    """Return what the browser draws of the weights (T, T) of one head. 热图的数据。

    Of more than MAX_TOKENS tokens, the last ones.
    """
    n_left_out = max(0, len(labels) - MAX_TOKENS)
    shown = weights[n_left_out:, n_left_out:]
    rows = shown.tolist()
    names = labels[n_left_out:]
    left_out = text["map_left_out"].format(shown=MAX_TOKENS, left_out=n_left_out)
    return {
        "name": text["map_name"],
        "labels": names,
        "weights": [[round(w, 3) for w in row[: t + 1]] for t, row in enumerate(rows)],
        "details": [_detail(t, row[: t + 1], names, text) for t, row in enumerate(rows)],
        "caption": left_out if n_left_out else "",
    }


def _detail(t: int, row: list[float], names: list[str], text: Text) -> str:
    """Return which tokens the token t looks at most. 这个词元最看哪些词元。"""
    most = sorted(range(len(row)), key=lambda s: -row[s])[:N_DETAILS]
    looked_at = text["map_separator"].join(f"{names[s]} {row[s]:.0%}" for s in most)
    return text["map_looks_at"].format(token=names[t], tokens=looked_at)


def build_heat_map(value: dict[str, Any]) -> gr.HTML:
    """Put the map on the page; pointing at a row, or the arrow keys, tells its weights. 热图。"""
    return gr.HTML(
        value,
        html_template="<div class='map' role='group' tabindex='0'></div>"
        "<p class='detail' aria-live='polite'></p><p class='caption'></p>",
        css_template=LOOK,
        js_on_load=DRAW,
        apply_default_css=False,
        elem_id="attention-map",
    )
