"""Bounded text of any value. Pure; never raises, whatever the value does."""

from __future__ import annotations

import dataclasses
import enum
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Set
from typing import Any

from ..events.values import encodable
from .digest import digest_of

__all__ = ["LIMIT", "cut", "error_text", "number_text", "shown", "text_of"]

LIMIT = 4000
"""Characters of a result that a model is given."""

_DEPTH = 12
_LARGEST_BITS = 14_000  # About 4,200 digits: Python refuses to write 4,300.
_EXACT = 2**63
_WORDS = {True: "true", False: "false", None: "null"}
_quoted = json.encoder.encode_basestring
_encode = json.JSONEncoder(ensure_ascii=False).encode


def text_of(value: object, limit: int = LIMIT) -> str:
    """Return a value as text for a model or a person, at most ``limit`` characters.

    Text stays as it is, plain data becomes JSON, anything else says what ``str`` makes of it. Large values are
    cut and say how large they were; only what is shown of a container is looked at.
    """
    return shown(value, limit)[0]


def shown(value: object, limit: int = LIMIT) -> tuple[str, bool]:
    """Return a value as `text_of` does, and whether that is all of it."""
    budget = _Budget(limit)
    try:
        text = _text_of(value, limit, budget)
    except Exception as error:  # noqa: BLE001 - a value's own __str__ and __iter__ may raise anything
        return cut(f"a {type(value).__name__} that cannot be shown ({_name_of(error)})", limit), True
    return cut(text, limit), not budget.short and len(text) <= limit


def error_text(error: BaseException, limit: int = LIMIT) -> str:
    """Return what an exception says, with its type where its text alone means little."""
    try:
        said = str(error).strip()
    except Exception:  # noqa: BLE001 - as above
        said = ""
    if not said:
        return _name_of(error)
    return cut(f"{_name_of(error)}: {said}" if isinstance(error, (LookupError, OSError)) else said, limit)


def cut(text: str, limit: int) -> str:
    """Return the text, or its beginning and its whole length where it is longer than ``limit`` characters.

    What UTF-8 cannot encode is replaced.
    """
    if len(text) > limit:
        note = f" ... (cut, {len(text):,} characters in all)"
        text = text[: max(limit - len(note), 0)] + note if limit > len(note) else text[:limit]
    return encodable(text)


def number_text(value: float) -> str:
    """Return a number as ``str`` does, or how long it is where Python refuses to write it; never raises."""
    try:
        if isinstance(value, int) and int.bit_length(value) > _LARGEST_BITS:
            return _digits(value)
        return str(value)
    except Exception:  # noqa: BLE001 - a subclass's own __str__, or a lower limit of digits
        return float.__repr__(value) if isinstance(value, float) else _digits(value)


def _digits(value: int) -> str:
    bits = int.bit_length(value)
    if bits < 2000:
        return int.__repr__(value)
    sign = "negative " if int.__lt__(value, 0) else ""
    return f"a {sign}whole number of about {round(bits * math.log10(2)):,} digits"


def _name_of(error: BaseException) -> str:
    return type(error).__name__


def _text_of(value: object, limit: int, budget: _Budget) -> str:
    if type(value) is dict and (flat := _flat(value)) is not None:
        return flat
    match value:
        case None:
            return "no result"
        case enum.Enum():
            return _text_of(value.value, limit, budget)
        case str():
            return str(value)
        case int() if not isinstance(value, bool):
            return number_text(value)
        case bytes() | bytearray() | memoryview():
            size = memoryview(value).nbytes
            budget.short = size > 0
            return f"{size:,} bytes"
        case Mapping() | list() | tuple() | Set():
            return _encode(_plain(value, budget, 0))
        case _ if dataclasses.is_dataclass(value) and not isinstance(value, type):
            if type(value).__str__ is object.__str__:
                return _encode(_plain(value, budget, 0))
    if (digest := digest_of(value)) is not None:
        budget.short = not digest.whole
        return digest.text
    return str(value)


def _flat(value: dict[Any, Any]) -> str | None:
    """Return the JSON of a small flat dict, as arguments mostly are; None for any other."""
    if len(value) > 20:
        return None
    parts = []
    for name, item in value.items():
        kind = type(item)
        if kind is str and len(item) <= 200:
            text = _quoted(item)
        elif kind is int and -_EXACT < item < _EXACT:
            text = str(item)
        elif kind is bool or item is None:
            text = _WORDS[item]
        else:
            return None
        if type(name) is not str:
            return None
        parts.append(f"{_quoted(name)}: {text}")
    return "{" + ", ".join(parts) + "}"


class _Budget:
    """Characters that may still be written, and whether something was left out."""

    def __init__(self, limit: int) -> None:
        self.left = limit
        self.short = False

    def spend(self, characters: int) -> None:
        self.left -= characters


def _plain(value: Any, budget: _Budget, depth: int) -> Any:
    if type(value) is str and len(value) <= budget.left:
        budget.left -= len(value)
        return value
    if value is None or isinstance(value, bool):
        budget.spend(4)
        return value
    if isinstance(value, enum.Enum):
        return _plain(value.value, budget, depth)
    if isinstance(value, str):
        text = cut(value, max(budget.left, 60))
        budget.short = budget.short or len(text) < len(value)
        budget.spend(len(text))
        return text
    if type(value) in (int, float):
        if type(value) is int and not -_EXACT < value < _EXACT:
            text = number_text(value)
            budget.spend(len(text))
            return value if text[-1].isdigit() else text
        budget.spend(8)
        return value
    if depth < _DEPTH:
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            value = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        if isinstance(value, Mapping):
            return dict(_pairs(value, budget, depth))
        if isinstance(value, (list, tuple, Set)):
            return list(_items(value, len(value), budget, depth))
    text, whole = shown(value, max(budget.left, 60)) if depth < _DEPTH else ("...", False)
    budget.short = budget.short or not whole
    budget.spend(len(text))
    return text


def _pairs(value: Mapping[Any, Any], budget: _Budget, depth: int) -> Iterator[tuple[str, Any]]:
    for index, (key, item) in enumerate(value.items()):
        if budget.left <= 0:
            budget.short = True
            yield "...", f"{len(value) - index:,} more"
            return
        budget.spend(4)
        name = key if type(key) is str and len(key) <= 200 else text_of(key, 200)
        budget.spend(len(name))
        yield name, _plain(item, budget, depth + 1)


def _items(value: Iterable[Any], size: int, budget: _Budget, depth: int) -> Iterator[Any]:
    for index, item in enumerate(value):
        if budget.left <= 0:
            budget.short = True
            yield f"... {size - index:,} more"
            return
        budget.spend(2)
        yield _plain(item, budget, depth + 1)
