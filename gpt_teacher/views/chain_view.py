"""The view 词语接龙: click the next token, or let the model go on. 词语接龙视图。"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from gpt_teacher import Pretrained
from gpt_teacher.config import SamplingConfig
from gpt_teacher.errors import ConfigError, PromptError
from gpt_teacher.tokenizer import EOS_ID
from gpt_teacher.views.bars import bars_value, build_bars
from gpt_teacher.views.quick_gradio import gr
from gpt_teacher.views.settings import unchecked
from gpt_teacher.views.text import Text
from gpt_teacher.views.token_labels import shown_text
from gpt_teacher.word_chain import Chain, candidates, go_on

N_BARS = 8
LARGEST_SEED = 2**31 - 1
CPU: dict[str, Any] = {"concurrency_id": "cpu", "concurrency_limit": 2}
QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private", **CPU}


@dataclass
class Game:
    """The chain of one visitor, in a State that all events share by reference. 一局接龙。

    Automatic steps go on only while the chain is the one that they left: any other choice, a new
    question or new settings put another there.
    """

    chain: Chain
    filters: tuple[float, ...] = (1.0, 0, 1.0)  # temperature, top-k, top-p

    def change(self, chain: Chain, filters: tuple[float, ...]) -> None:
        """Take a chain that some event made; automatic steps stop, if any run. 换一条链。"""
        self.filters, self.chain = filters, chain._replace()  # never the same object

    def reshape(self, filters: tuple[float, ...]) -> None:
        """Take new settings; steps that were started with the very same go on. 换设置。

        A click on 自动接下去 right after a slider was moved may be heard before the slider.
        """
        if filters != self.filters:
            self.change(self.chain, filters)


class ChainView(NamedTuple):
    """What the rest of the tab reads and sets. 供整个标签页使用。"""

    game: gr.State
    filters: list[gr.components.Component]  # temperature, top-k, top-p
    shown: list[gr.components.Component]  # as chain_values returns them


class Drawn(NamedTuple):
    """The values of the view's components. 视图的数据。"""

    written: str
    status: str
    bars: dict[str, Any]


def chain_settings(
    text: Text, temperature: float, top_k: float, top_p: float, steps: float = 1, seed: float = 0
) -> SamplingConfig:
    """Return the settings of the view's controls. 接龙的采样设置。Raises ConfigError."""
    try:
        if not 0 <= int(seed) <= LARGEST_SEED:
            raise ConfigError([text["chain_bad_settings"]])
        return SamplingConfig(
            temperature=float(temperature),
            top_k=int(top_k),
            top_p=float(top_p),
            max_new_tokens=int(steps),
            seed=int(seed),
        )
    except (TypeError, ValueError, OverflowError, ConfigError):
        raise ConfigError([text["chain_bad_settings"]]) from None


def chain_values(
    teacher: Pretrained, text: Text, chain: Chain, temperature: float, top_k: float, top_p: float
) -> Drawn:
    """Return what the view shows of a chain. 接龙视图的数据。"""
    written = chain_written(teacher, text, chain)
    try:
        settings = chain_settings(text, temperature, top_k, top_p)
    except ConfigError as error:
        return Drawn(written, str(error), bars_value(teacher.tokenizer, [], text))
    found = candidates(teacher.model, chain, settings, N_BARS)
    bars = bars_value(teacher.tokenizer, found, text)
    return Drawn(written, chain_status(teacher, text, chain), bars)


def chain_written(teacher: Pretrained, text: Text, chain: Chain) -> str:
    """Return what was chosen so far as text; <eos> reads 结束. 接出来的文字。"""
    said = shown_text(teacher.tokenizer, [i for i in chain.chosen if i != EOS_ID])
    return said + text["chain_end"] if chain.ended else said


def chain_status(teacher: Pretrained, text: Text, chain: Chain) -> str:
    """Return one line: how long the chain is, and whether it is at its end. 接龙的状态。"""
    status = text["chain_length"].format(chosen=len(chain.chosen), total=len(chain.ids))
    if chain.ended:
        return f"{status} {text['chain_ended']}"
    return status if chain.fits(teacher.model) else f"{status} {text['chain_full']}"


def chosen_tokens(teacher: Pretrained, text: Text, prompt_ids: list[int], chosen: Any) -> list[int]:
    """Return ids from outside, if one could choose them one by one. 检查外来的编号。

    Raises PromptError with a sentence for the reader.
    """
    chain = Chain(prompt_ids, [])
    for token_id in chosen if isinstance(chosen, list) else [None]:
        longer = chain.append(teacher.model, token_id) if type(token_id) is int else chain
        if longer is chain:
            raise PromptError(text["chain_bad_ids"])
        chain = longer
    return chain.chosen


def next_tokens(
    teacher: Pretrained, chain: Chain, settings: SamplingConfig
) -> list[dict[str, Any]]:
    """Return the likeliest next tokens for programs. 供程序使用的候选词元。"""
    return [
        {"token": teacher.tokenizer.label(one.token_id), **one._asdict()}
        for one in candidates(teacher.model, chain, settings, N_BARS)
    ]


def build_chain_view(teacher: Pretrained, text: Text, chain: Chain) -> ChainView:
    """Put the view on the page and let it work. 搭建界面。"""
    drawn = chain_values(teacher, text, chain, 1, 0, 1)
    gr.Markdown(text["chain_intro"])
    game = gr.State(Game(chain))
    with gr.Row():
        with gr.Column(scale=3, min_width=300):
            written = gr.Textbox(
                drawn.written,
                label=text["chain_written"],
                lines=2,
                interactive=False,
                elem_id="inside-chain",
            )
            status = gr.Textbox(
                drawn.status, label=text["status"], interactive=False, elem_id="inside-chain-status"
            )
            with gr.Row():
                go = gr.Button(text["chain_auto"], variant="primary", min_width=120)
                undo = gr.Button(text["chain_undo"], min_width=100)
                restart = gr.Button(text["chain_restart"], min_width=100)
            bars = build_bars(drawn.bars)
        with gr.Column(scale=2, min_width=300):
            filters, steps, seed = _controls(teacher, text)

    def run(game: Game, *settings: float) -> Iterator[tuple[Any, ...]]:
        yield from automatic(teacher, text, game, *settings)

    view = ChainView(game, filters, [written, status, bars])
    go.click(run, [game, *filters, steps, seed], view.shown, **QUIET)
    _let_choose(teacher, text, view, bars, undo, restart)
    return view


def _let_choose(
    teacher: Pretrained,
    text: Text,
    view: ChainView,
    bars: gr.HTML,
    undo: gr.Button,
    restart: gr.Button,
) -> None:
    """Let clicks and sliders change the chain and its bars. 点选与调整。"""

    def show(game: Game, chain: Chain, filters: tuple[float, ...]) -> Drawn:
        game.change(chain, filters)
        return chain_values(teacher, text, chain, *filters)

    def pick(event: gr.EventData, game: Game, *filters: float) -> Drawn:
        token_id = event._data.get("id") if isinstance(event._data, dict) else None
        if type(token_id) is not int:
            return show(game, game.chain, filters)
        return show(game, game.chain.append(teacher.model, token_id), filters)

    def take_back(game: Game, *filters: float) -> Drawn:
        return show(game, game.chain.undo(), filters)

    def begin_again(game: Game, *filters: float) -> Drawn:
        return show(game, game.chain.restart(), filters)

    def reshape(game: Game, *filters: float) -> Drawn:
        game.reshape(filters)
        return chain_values(teacher, text, game.chain, *filters)

    inputs = [view.game, *view.filters]
    bars.pick(pick, inputs, view.shown, **QUIET)
    undo.click(take_back, inputs, view.shown, **QUIET)
    restart.click(begin_again, inputs, view.shown, **QUIET)
    for control in view.filters:
        control.change(reshape, inputs, view.shown, trigger_mode="always_last", **QUIET)


def automatic(
    teacher: Pretrained,
    text: Text,
    game: Game,
    temperature: float,
    top_k: float,
    top_p: float,
    steps: float,
    seed: float,
) -> Iterator[tuple[Any, ...]]:
    """Yield the view after each token; the bars at the end. 自动接龙。"""
    try:
        settings = chain_settings(text, temperature, top_k, top_p, steps, seed)
    except ConfigError as error:
        yield gr.skip(), str(error), gr.skip()
        return
    game.change(game.chain, (temperature, top_k, top_p))
    chain = game.chain
    for longer in go_on(teacher.model, chain, settings):
        if game.chain is not chain:
            break
        game.chain = chain = longer
        yield chain_written(teacher, text, chain), chain_status(teacher, text, chain), gr.skip()
    drawn = None
    while drawn is not game.chain:  # what changed it may have been shown before our last step was
        drawn = game.chain
        yield chain_values(teacher, text, drawn, *game.filters)


def _controls(
    teacher: Pretrained, text: Text
) -> tuple[list[gr.components.Component], gr.Slider, gr.Number]:
    """Build temperature, top-k and top-p; the number of steps; the seed. 控件。"""
    longest = teacher.model.config.seq_len

    def slider(key: str, info: str, low: float, high: float, at: float, step: float) -> gr.Slider:
        return unchecked(
            gr.Slider(
                low,
                high,
                at,
                step=step,
                label=text[key],
                info=text[info],
                buttons=[],
                elem_id=f"inside-{key.replace('_', '-')}",
            )
        )

    filters = [
        slider("temperature", "chain_temperature_info", 0, 2, 1, 0.05),
        slider("top_k", "top_k_info", 0, 100, 0, 1),
        slider("top_p", "top_p_info", 0.05, 1, 1, 0.05),
    ]
    steps = slider("chain_steps", "chain_steps_info", 1, longest, longest, 1)
    seed = gr.Number(42, label=text["seed"], info=text["seed_info"], precision=0)
    return filters, steps, seed
