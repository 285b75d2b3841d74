"""The sampling controls, and their values checked again. 采样控件与检查。"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import NamedTuple

from gpt_teacher.config import SamplingConfig
from gpt_teacher.errors import ConfigError
from gpt_teacher.views.quick_gradio import gr
from gpt_teacher.views.text import Text

MAX_STOP_TEXTS, MAX_STOP_CHARACTERS = 8, 32
MAX_SEED = 2**31 - 1


PLAIN = SamplingConfig()


class Limits(NamedTuple):
    """What a setting may be. 取值范围。"""

    low: float
    high: float
    step: float


LIMITS = {
    "temperature": Limits(0, 2, 0.05),
    "top_k": Limits(0, 100, 1),
    "top_p": Limits(0.05, 1, 0.05),
    "repetition_penalty": Limits(1, 2, 0.05),
    "seed": Limits(0, MAX_SEED, 1),
}


def longest_answer(seq_len: int, base: SamplingConfig) -> Limits:
    """Return how long an answer may be: as long as the model reads. 最长回答。"""
    return Limits(max(1, base.min_new_tokens), seq_len, 1)


def unchecked(slider: gr.Slider) -> gr.Slider:
    """Let any value through: half-typed beside the slider, it is for us to refuse. 原样传入。"""
    slider.preprocess = lambda value: value
    return slider


def sampling_settings(
    text: Text,
    seq_len: int,
    temperature: float,
    top_k: float,
    top_p: float,
    repetition_penalty: float,
    max_new_tokens: float,
    stop: str | None,
    seed: float,
    refusal: bool | None = True,
    base: SamplingConfig = PLAIN,
) -> SamplingConfig:
    """Return the settings of the page's controls, the others as in base. 采样设置。

    Raises ConfigError with a sentence.
    """
    return replace(
        base,
        temperature=_checked(text, "temperature", temperature, LIMITS["temperature"]),
        top_k=int(_checked(text, "top_k", top_k, LIMITS["top_k"])),
        top_p=_checked(text, "top_p", top_p, LIMITS["top_p"]),
        repetition_penalty=_checked(
            text, "repetition_penalty", repetition_penalty, LIMITS["repetition_penalty"]
        ),
        max_new_tokens=int(
            _checked(text, "max_new_tokens", max_new_tokens, longest_answer(seq_len, base))
        ),
        stop=_stop_texts(text, stop or ""),
        seed=int(_checked(text, "seed", seed, LIMITS["seed"])),
        refusal=refusal is not False,
    )


def _checked(text: Text, key: str, value: float, limits: Limits) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not limits.low <= number <= limits.high:
        sentence = text["bad_setting"].format(
            name=text[key], low=f"{limits.low:g}", high=f"{limits.high:.10g}"
        )
        raise ConfigError([sentence])
    return number


def _stop_texts(text: Text, written: str) -> tuple[str, ...]:
    stops = tuple(written.split())
    if len(stops) > MAX_STOP_TEXTS or any(len(stop) > MAX_STOP_CHARACTERS for stop in stops):
        sentence = text["bad_stop"].format(count=MAX_STOP_TEXTS, characters=MAX_STOP_CHARACTERS)
        raise ConfigError([sentence])
    return stops


class Controls(NamedTuple):
    """The sampling controls, in the order of sampling_settings. 采样控件。"""

    temperature: gr.Slider
    top_k: gr.Slider
    top_p: gr.Slider
    repetition_penalty: gr.Slider
    max_new_tokens: gr.Slider
    stop: gr.Textbox
    seed: gr.Number


def sampling_controls(text: Text, seq_len: int, defaults: SamplingConfig) -> Controls:
    """Build the controls, each with a line on what it does. 采样控件。

    Raises ConfigError for defaults that the controls cannot show.
    """
    if any(stop.split() != [stop] for stop in defaults.stop):
        raise ConfigError(["sampling.stop: the page's stop texts have no white space in them"])
    _stop_texts(text, " ".join(defaults.stop))
    _checked(text, "seed", defaults.seed, LIMITS["seed"])

    def slider(key: str, value: float, limits: Limits) -> gr.Slider:
        low, high, step = limits
        if not low <= value <= high:
            raise ConfigError([f"sampling.{key}: {value:g}; the page has {low:g} to {high:g}"])
        return unchecked(
            gr.Slider(
                low,
                high,
                value,
                step=step,
                label=text[key],
                info=text[f"{key}_info"],
                buttons=[],
                elem_id=key.replace("_", "-"),
            )
        )

    return Controls(
        temperature=slider("temperature", defaults.temperature, LIMITS["temperature"]),
        top_k=slider("top_k", defaults.top_k, LIMITS["top_k"]),
        top_p=slider("top_p", defaults.top_p, LIMITS["top_p"]),
        repetition_penalty=slider(
            "repetition_penalty", defaults.repetition_penalty, LIMITS["repetition_penalty"]
        ),
        max_new_tokens=slider(
            "max_new_tokens",
            min(defaults.max_new_tokens, seq_len),
            longest_answer(seq_len, defaults),
        ),
        stop=gr.Textbox(
            " ".join(defaults.stop),
            label=text["stop_texts"],
            info=text["stop_texts_info"],
            lines=1,
            max_lines=1,
        ),
        seed=gr.Number(
            defaults.seed, label=text["seed"], info=text["seed_info"], precision=0, elem_id="seed"
        ),
    )
