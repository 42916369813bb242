"""Duplicates: when two calls ask for the same. Pure, but for the values' own hashes."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Mapping
from typing import Any, Literal, TypeAlias

__all__ = ["OnDuplicate", "call_key"]

OnDuplicate: TypeAlias = Literal["start_another", "reuse", "refuse", "replace"]

_DEEPEST = 50


def call_key(tool_name: str, arguments: Mapping[str, Any]) -> Hashable:
    """Return a key that two calls share if tool and arguments are equal; the order of names does not count.

    Values of different types differ (1 is not True); what cannot be compared by value is the same only if it is the
    same object.
    """
    return (tool_name, _frozen(arguments, 0))


def _frozen(value: Any, depth: int) -> Hashable:
    kind = type(value)
    if kind is str or kind is int or kind is bool or value is None:
        return (kind, value)
    if kind is float:
        return (kind, repr(value))
    if depth > _DEEPEST:
        return (kind, id(value))
    if isinstance(value, Mapping):
        return (
            "mapping",
            frozenset((_frozen(name, depth + 1), _frozen(item, depth + 1)) for name, item in value.items()),
        )
    if isinstance(value, (list, tuple)):
        return (kind, tuple(_frozen(item, depth + 1) for item in value))
    if isinstance(value, (set, frozenset)):
        return ("set", frozenset(_frozen(item, depth + 1) for item in value))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = tuple(_frozen(getattr(value, field.name, None), depth + 1) for field in dataclasses.fields(value))
        return (kind, fields)
    dump = getattr(kind, "model_dump", None)
    try:
        if callable(dump):
            return (kind, _frozen(dump(value), depth + 1))
        hash(value)
    except Exception:  # noqa: BLE001 - a value's own methods may raise anything
        return (kind, id(value))
    return (kind, value)
