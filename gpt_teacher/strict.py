"""A mapping -> a frozen dataclass, strictly. 严格地把键值变成数据类。

Every unknown key, wrong type and impossible value is found, not only the first.
"""

from __future__ import annotations

import difflib
import types
from dataclasses import fields
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from gpt_teacher.errors import ConfigError

T = TypeVar("T")
Problem = tuple[str, str]  # key, what is wrong with it


def build(cls: type[T], given: dict[str, Any]) -> tuple[T | None, list[Problem]]:
    """Return the dataclass of these values, or None, and every problem. 构造并列出问题。"""
    hints = get_type_hints(cls)
    known = [f.name for f in fields(cls)]  # type: ignore[arg-type]
    problems: list[Problem] = []
    good: dict[str, Any] = {}
    for key, value in given.items():
        if key not in known:
            problems.append((key, f"{key}: unknown key{did_you_mean(str(key), known)}"))
            continue
        try:
            good[key] = convert(value, hints[key])
        except ValueError as error:
            problems.append((key, f"{key}: {value!r} is not allowed; it must be {error}"))
    try:
        return cls(**good), problems
    except ConfigError as error:
        return None, problems + [(text.split(":")[0], text) for text in error.problems]


def did_you_mean(word: str, known: list[str]) -> str:
    """Return the end of a message: the nearest known word, or all of them. 提示相近的名字。"""
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f"; did you mean {near[0]!r}?" if near else f"; known are: {', '.join(known)}"


def convert(value: Any, hint: Any) -> Any:
    """Return value as the type of the hint; ValueError says what is allowed. 转换类型。"""
    if get_origin(hint) is Literal:
        if value not in get_args(hint):
            raise ValueError(f"one of {', '.join(map(str, get_args(hint)))}")
        return value
    if get_origin(hint) in (Union, types.UnionType):  # here always `str | None`
        return None if value is None else convert(value, get_args(hint)[0])
    if get_origin(hint) is tuple:
        items = [value] if isinstance(value, str) else value
        if not isinstance(items, list) or not all(isinstance(item, str) for item in items):
            raise ValueError("a list of texts")
        return tuple(items)
    if hint is bool:
        if not isinstance(value, bool):
            raise ValueError("true or false")
        return value
    if hint is str:
        if not isinstance(value, (str, int, float)) or isinstance(value, bool):
            raise ValueError("text")
        return str(value)
    return convert_number(value, hint)


def convert_number(value: Any, hint: type) -> int | float:
    """Return an int or a finite float. YAML 把 3e-4 读成文字，这里也认。"""
    kind = "a whole number" if hint is int else "a number"
    if isinstance(value, bool):
        raise ValueError(kind)
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise ValueError(kind) from None
    if number != number or abs(number) == float("inf"):
        raise ValueError(f"{kind}, not infinite or NaN")
    if hint is int and number != int(number):
        raise ValueError(kind)
    return int(value) if isinstance(value, int) else hint(number)
