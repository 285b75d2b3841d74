"""The view 参数量: how many parameters a model of any size has. 参数量视图。"""

from __future__ import annotations

from typing import Any

from gpt_teacher import Pretrained
from gpt_teacher.config import ModelConfig
from gpt_teacher.parameter_count import count_parameters, memory_bytes
from gpt_teacher.views.quick_gradio import gr
from gpt_teacher.views.text import Text

SMALLEST = {"n_layer": 1, "n_embd": 1, "vocab_size": 1, "seq_len": 8}
LARGEST = {"n_layer": 1_000, "n_embd": 100_000, "vocab_size": 10_000_000, "seq_len": 65_536}
# n_layer, n_embd, vocabulary, seq_len, learned positions. Sources: Radford et al. 2019 (GPT-2),
# table 2; Brown et al. 2020, arXiv:2005.14165, table 2.1. Their norms have biases, ours none.
FAMOUS_SIZES = {
    "size_gpt2": (12, 768, 50_257, 1_024, True),
    "size_gpt3": (96, 12_288, 50_257, 2_048, True),
}


def size_table(text: Text, *sizes: Any) -> str:
    """Return the terms and the memory as Markdown: our own words and numbers only. 参数量表。

    sizes are n_layer, n_embd, vocabulary, seq_len and whether the positions are learned.
    """
    *numbers, learned = sizes
    named = dict(zip(SMALLEST, numbers, strict=True))
    whole = all(_is_whole(named[key], SMALLEST[key], LARGEST[key]) for key in named)
    if not whole or (named["n_embd"] % 2 and not learned):  # RoPE turns pairs
        return text["size_bad"].format(**{key: f"{limit:,}" for key, limit in LARGEST.items()})
    n_layer, n_embd, vocab_size, seq_len = (int(number) for number in numbers)
    config = ModelConfig(
        n_layer=n_layer,
        n_head=1,  # any number of heads has the same parameters
        n_embd=n_embd,
        seq_len=seq_len,
        position="learned" if learned else "rope",
    )
    return f"{_terms(text, config, vocab_size)}\n\n{_memory(text, config, vocab_size)}"


def _is_whole(number: Any, smallest: int, largest: int) -> bool:
    return (
        isinstance(number, int | float)
        and smallest <= number <= largest  # False for NaN
        and number == int(number)
    )


def _terms(text: Text, config: ModelConfig, vocab_size: int) -> str:
    count = count_parameters(config, vocab_size)
    letters = {"V": vocab_size, "d": config.n_embd, "L": config.n_layer, "T": config.seq_len}
    written = {letter: f"{number:,}" for letter, number in letters.items()}
    lines = [text["size_head"], "|:--|--:|--:|"]
    for term, n in count._asdict().items():
        if n:
            part = text[f"size_{term}"].format(**written)
            lines.append(f"| {part} | {n:,} | {n / count.total:.2%} |")
    lines.append(f"| **{text['size_total']}** | **{count.total:,}** | 100% |")
    return "\n".join(lines)


def _memory(text: Text, config: ModelConfig, vocab_size: int) -> str:
    memory = memory_bytes(config, vocab_size)
    lines = [text["memory_head"], "|:--|--:|"]
    lines += [
        f"| {text[f'memory_{key}']} | {readable_bytes(n)} |" for key, n in memory._asdict().items()
    ]
    return "\n".join(lines)


def readable_bytes(n: int) -> str:
    """Return bytes as 13.5 MB, in steps of 1,000. 可读的字节数。"""
    size, unit = float(n), "B"
    for larger in ("kB", "MB", "GB", "TB", "PB"):
        if size < 999.95:
            break
        size, unit = size / 1000, larger
    return f"{size:.1f} {unit}" if unit != "B" else f"{n} B"


def build_size_view(teacher: Pretrained, text: Text) -> None:
    """Put the view on the page and let it work. 搭建界面。"""
    config, vocab_size = teacher.model.config, teacher.model.vocab_size
    served = (
        config.n_layer,
        config.n_embd,
        vocab_size,
        config.seq_len,
        config.position == "learned",
    )
    gr.Markdown(text["size_intro"])
    with gr.Row():
        known = {
            "size_served": gr.Button(text["size_served"], min_width=120),
            **{key: gr.Button(text[key], min_width=120) for key in FAMOUS_SIZES},
        }
    with gr.Row():
        keys = ("size_n_layer", "size_n_embd", "size_vocabulary", "size_seq_len")
        sizes: list[gr.components.Component] = [
            gr.Number(value, label=text[key], min_width=150, elem_id=key.replace("_", "-"))
            for key, value in zip(keys, served[:4], strict=True)
        ]
    sizes.append(gr.Checkbox(served[4], label=text["size_learned"], info=text["size_learned_info"]))
    table = gr.Markdown(size_table(text, *served), elem_id="size-table")
    quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}

    def show(*sizes: Any) -> str:
        return size_table(text, *sizes)

    for size in sizes:
        size.change(show, sizes, table, trigger_mode="always_last", **quiet)
    for key, values in {"size_served": served, **FAMOUS_SIZES}.items():
        known[key].click(lambda values=values: [*values], None, sizes, **quiet)
