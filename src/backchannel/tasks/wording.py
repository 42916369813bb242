"""Wording: tasks in words that can be spoken. Pure."""

from __future__ import annotations

import enum
import functools
from collections.abc import Mapping
from typing import Any

from ..events.values import encodable
from ..tools.text import number_text, text_of

__all__ = ["duration", "label_of", "percent", "words"]

_LABEL = 80
_VALUE = 40


@functools.lru_cache(maxsize=1000)
def words(name: str) -> str:
    """Return a Python name in words."""
    return name.replace("-", " ").replace("_", " ").strip() or name


def label_of(tool_name: str, arguments: Mapping[str, Any]) -> str:
    """Return what a run is called: the tool's name in words, and the values that it was given."""
    label = words(tool_name)
    for name, value in arguments.items():
        if part := _argument(name, value):
            label = f"{label} {part}"
    if not label.isprintable() or "  " in label:
        label = " ".join(label.split())
    return encodable(label if len(label) <= _LABEL else label[: _LABEL - 3].rstrip() + "...")


def _argument(name: str, value: Any) -> str:
    kind = type(value)
    if kind is str:
        return _item(value)
    if kind is int:
        return f"{words(name)} {number_text(value)}"
    match value:
        case None | False:
            return ""
        case True:
            return words(name)
        case enum.Enum():
            return _argument(name, value.value)
        case int() | float():
            return f"{words(name)} {number_text(value)}"
        case list() | tuple() | set() | frozenset() if len(value) <= 8:
            return ", ".join(filter(None, (_item(item) for item in value)))
        case list() | tuple() | set() | frozenset() | dict():
            return f"{len(value)} {words(name)}"
    return _item(value)


def _item(value: Any) -> str:
    text = value if type(value) is str else text_of(value, 200)
    if len(text) <= _VALUE and "\n" not in text:
        return text
    return text[:_VALUE].partition("\n")[0][: _VALUE - 3].rstrip() + "..."


def duration(seconds: float) -> str:
    """Return a time span as one says it: "12 seconds", "2 minutes", "1 hour 5 minutes"."""
    if seconds < 0.95:
        return "less than a second"
    whole = round(seconds)
    if whole < 100:
        return _count(whole, "second")
    minutes = round(seconds / 60)
    if minutes < 100:
        return _count(minutes, "minute")
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{_count(hours, 'hour')} {_count(minutes, 'minute')}" if minutes else _count(hours, "hour")
    return _count(round(hours / 24), "day")


def percent(fraction: float) -> str:
    """Return a share as one says it; 100 only for all of it."""
    return f"{min(int(fraction * 100 + 1e-9), 100)} percent"


def _count(number: int, unit: str) -> str:
    return f"{number} {unit}" if number == 1 else f"{number} {unit}s"
