"""The sampling settings as options of a command. 采样选项。"""

from __future__ import annotations

import argparse
from dataclasses import fields, replace

from gpt_teacher.config import SamplingConfig


def add(parser: argparse.ArgumentParser) -> None:
    """Add an option for each setting; what is not given comes from config.yaml. 添加选项。"""
    group = parser.add_argument_group("sampling (see config.yaml)")
    group.add_argument("--temperature", type=float, help="0 = always the likeliest token")
    group.add_argument("--top-k", type=int, help="choose among the k likeliest tokens; 0 = all")
    group.add_argument("--top-p", type=float, help="choose among the likeliest up to p; 1 = all")
    group.add_argument("--repetition-penalty", type=float, help="above 1: repeats are less likely")
    group.add_argument("--min-new-tokens", type=int, help="the answer does not end before")
    group.add_argument("--max-new-tokens", type=int, help="the answer ends here at the latest")
    group.add_argument("--stop", action="append", metavar="TEXT", help="end before it; repeatable")
    group.add_argument(
        "--no-refusal",
        dest="refusal",
        action="store_false",
        default=None,
        help="say something, sure or not",
    )
    group.add_argument(
        "--refuse-below", type=float, help="不知道 below this probability; 0 = never"
    )
    group.add_argument("--seed", type=int, help="same seed, same answer")


def settings(arguments: argparse.Namespace, defaults: SamplingConfig) -> SamplingConfig:
    """Return the defaults, changed by the options given. Raises ConfigError. 采样设置。"""
    given = {field.name: getattr(arguments, field.name) for field in fields(SamplingConfig)}
    if given["stop"] is not None:
        given["stop"] = tuple(given["stop"])
    return replace(defaults, **{key: value for key, value in given.items() if value is not None})
