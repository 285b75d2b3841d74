"""The likeliest next tokens as bars to click on. 可点的概率条。

Labels are put on the page as text nodes, never as markup: the template names no value.
"""

from __future__ import annotations

from typing import Any

from gpt_teacher.tokenizer import EOS_ID, Tokenizer
from gpt_teacher.views.quick_gradio import gr
from gpt_teacher.views.text import Text
from gpt_teacher.word_chain import Candidate

DRAW = """
const list = element.querySelector('.bars');
const make = (name, text) => {
    const part = document.createElement('span');
    part.className = name;
    part.textContent = text;
    return part;
};
const draw = () => {
    const focused = [...list.children].indexOf(document.activeElement);
    list.replaceChildren();
    for (const row of props.value?.rows ?? []) {
        const button = document.createElement('button'), track = make('track', '');
        button.type = 'button';
        button.className = row.cut ? 'bar cut' : 'bar';
        button.dataset.id = row.id;
        for (const [name, share] of [['model', row.probability], ['chance', row.chance]]) {
            const part = make(name, '');
            part.style.width = `${100 * share}%`;
            track.append(part);
        }
        const numbers = make('numbers', row.chance_text);
        numbers.append(make('given', row.probability_text));
        button.append(make('label', row.label), track, numbers);
        button.addEventListener('click', () => trigger('pick', {id: row.id}));
        list.append(button);
    }
    list.children[focused]?.focus();
};
watch('value', draw);
draw();
"""
LOOK = """
.bars { display: grid; gap: 4px }
.bar { display: grid; grid-template-columns: minmax(3.5em, max-content) 1fr 7em; gap: 10px;
    align-items: center; min-height: 42px; width: 100%; padding: 2px 10px; cursor: pointer;
    color: var(--body-text-color); background: var(--background-fill-primary);
    border: 1px solid var(--border-color-primary); border-radius: 8px; text-align: left }
.bar:hover { border-color: var(--color-accent) }
.bar:focus-visible { outline: 2px solid var(--color-accent); outline-offset: 1px }
.label { font-weight: 600; white-space: pre; overflow: hidden; text-overflow: ellipsis;
    max-width: 9em }
.track { position: relative; height: 20px; border-radius: 4px; overflow: hidden;
    background: var(--background-fill-secondary) }
.model, .chance { position: absolute; left: 0; border-radius: 4px }
.model { top: 0; height: 100%;
    background: color-mix(in srgb, var(--color-accent) 35%, transparent) }
.chance { top: 5px; height: 10px; background: var(--color-accent); transition: width 0.2s }
.numbers { text-align: right; font-variant-numeric: tabular-nums; line-height: 1.2 }
.given { display: block; font-size: 0.8em; color: var(--block-info-text-color) }
.cut .label, .cut .numbers { color: var(--block-info-text-color); font-weight: 400 }
@media (max-width: 600px) {
    .bar { grid-template-columns: 1fr auto; gap: 2px 10px }
    .track { grid-row: 2; grid-column: 1 / 3; height: 14px; margin-bottom: 4px }
    .chance { top: 4px; height: 6px }
    .given { display: inline; margin-left: 8px }
}
"""


def bars_value(tokenizer: Tokenizer, found: list[Candidate], text: Text) -> dict[str, Any]:
    """Return what the browser draws: a row for each candidate. 概率条的数据。"""
    return {
        "rows": [
            {
                "id": one.token_id,
                "label": candidate_label(tokenizer, one.token_id, text),
                "probability": round(one.probability, 5),
                "chance": round(one.chance, 5),
                "cut": one.chance == 0,
                "probability_text": text["bars_model_gives"].format(share=f"{one.probability:.1%}"),
                "chance_text": f"{one.chance:.1%}" if one.chance > 0 else text["bars_never"],
            }
            for one in found
        ]
    }


def candidate_label(tokenizer: Tokenizer, token_id: int, text: Text) -> str:
    """Return a token's label; <eos> means that the answer ends. 候选词元的样子。"""
    return text["bars_end"] if token_id == EOS_ID else tokenizer.label(token_id)


def build_bars(value: dict[str, Any]) -> gr.HTML:
    """Put the bars on the page; a click triggers `pick` with the token's id. 搭建概率条。"""
    return gr.HTML(
        value,
        html_template="<div class='bars'></div>",
        css_template=LOOK,
        js_on_load=DRAW,
        apply_default_css=False,
        elem_id="next-token-bars",
    )
