"""YAML -> a mapping -> a frozen dataclass, strictly. 严格地把 YAML 变成数据类。

Every unknown key, wrong type and impossible value is found, not only the first.
"""

from __future__ import annotations

import difflib
import os
import types
from contextlib import suppress
from dataclasses import fields
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import yaml

from gpt_teacher.errors import ConfigError, shown

T = TypeVar("T")
Problem = tuple[str, str]  # key, what is wrong with it


class _Loader(yaml.SafeLoader):
    """Knows no merge key `<<`, by which a few lines become millions of keys. 不认合并键。"""

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Leave a mapping as it is written. 不展开。"""


def load_yaml(text: str) -> Any:
    """Return what a YAML text says. 读 YAML。Raises YAMLError, ValueError, RecursionError."""
    loader = _Loader(text)  # a SafeLoader: it makes plain values, no objects
    try:
        return loader.get_single_data()
    except (LookupError, AttributeError):  # how the library fails at `!!bool maybe`
        raise ValueError("a tag does not fit its value") from None
    finally:
        loader.dispose()


def parse_sections(text: str, source: str) -> dict[str, dict[str, Any]]:
    """Return {section: {key: value}} of a YAML text. 解析 YAML。Raises ConfigError."""
    try:
        document = load_yaml(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        what = getattr(error, "problem", None) or "broken"
        raise ConfigError([f"{source}{where}: this is not YAML: {what}"]) from None
    except RecursionError:
        raise ConfigError([f"{source}: this is not YAML: too many brackets"]) from None
    except ValueError as error:  # a date that does not exist
        raise ConfigError([f"{source}: this is not YAML: {error}"]) from None
    document = {} if document is None else document
    if not isinstance(document, dict):
        raise ConfigError([f"{source}: expected sections like `model:`, got {shown(document)}"])
    document = {name: {} if keys is None else keys for name, keys in document.items()}
    not_sections = [name for name, keys in document.items() if not isinstance(keys, dict)]
    if not_sections:
        raise ConfigError(
            [f"{source}: {name}: {shown(document[name])} is not a section" for name in not_sections]
        )
    return document


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
            problems.append((key, f"{key}: {shown(value)} is not allowed; it must be {error}"))
    try:
        return cls(**good), problems
    except ConfigError as error:
        # A default that stands in for a value of the wrong type is nothing the user wrote.
        found = [(text.split(":")[0], text) for text in error.problems]
        return None, problems + [(k, text) for k, text in found if k in good or k not in given]


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
        if not isinstance(items, (list, tuple)) or not all(isinstance(item, str) for item in items):
            raise ValueError("a list of texts")
        return tuple(map(_sound, items))
    if hint is bool:
        if not isinstance(value, bool):
            raise ValueError("true or false")
        return value
    if hint is str:
        value = os.fspath(value) if isinstance(value, os.PathLike) else value
        if not isinstance(value, (str, int, float)) or isinstance(value, bool):
            raise ValueError("text")
        return _sound(str(value))
    return convert_number(value, hint)


def _sound(text: str) -> str:
    """Return a text if it has a UTF-8: it will be logged. 能写成 UTF-8 的文字。"""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError(
            "valid Unicode; if it is the name of a file, rename it (请改文件名)"
        ) from None
    return text


def convert_number(value: Any, hint: type) -> int | float:
    """Return an int or a finite float. YAML 把 3e-4 读成文字，这里也认。"""
    kind = "a whole number" if hint is int else "a number"
    if isinstance(value, bool):
        raise ValueError(kind)
    if hint is int and isinstance(value, str):
        with suppress(ValueError):  # 1e3 is a whole number, too
            value = int(value)
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(kind) from None
    if number != number or abs(number) == float("inf"):
        raise ValueError(f"{kind}, not infinite or NaN")
    if hint is int and number != int(number):
        raise ValueError(kind)
    # An int goes round float, which would round a large one.
    return int(value) if hint is int and isinstance(value, int) else hint(number)
