"""Redaction: values and texts without the secrets and the audio in them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Any

from .secret_text import REDACTED, is_count, name_kind, redact_text

__all__ = ["REDACTED", "redact", "redact_field", "redact_text"]

MAX_DEPTH = 24
"""Containers within containers that are looked into."""

MAX_VALUES = 100_000
"""Values of one structure that are looked at."""


def redact(value: object) -> Any:
    """Return a copy of ``value`` without secrets, of plain types that can be shown and written as JSON.

    Mappings and dataclasses become dicts, other containers lists, bytes their length, exceptions and unknown objects
    text; numbers, booleans and None stay. Values under names that look secret are replaced whole. What is nested
    deeper than 24 containers, contains itself, or comes after 100 000 values becomes "...". Never raises.
    """
    return _Redaction().value(value, 0, ())


def redact_field(name: object, value: object) -> Any:
    """Return ``redact(value)`` for a value that goes by ``name``, which may say that it is a secret."""
    return _Redaction().field(name, value, 0, ())


class _Redaction:
    def __init__(self) -> None:
        self._left = MAX_VALUES

    def value(self, value: object, depth: int, within: tuple[int, ...]) -> Any:
        if value is None or isinstance(value, bool | int | float):
            return value
        self._left -= 1
        try:
            if isinstance(value, str):
                return redact_text(str.__str__(value))
            if isinstance(value, bytes | bytearray | memoryview):
                return f"[{memoryview(value).nbytes} bytes]"
            if depth >= MAX_DEPTH or self._left < 0 or id(value) in within:
                return "..."
            if isinstance(value, BaseException):
                return redact_text(f"{type(value).__name__}: {value}")
            return self._container(value, depth, (*within, id(value)))
        except Exception:  # noqa: BLE001 - an object that cannot be looked at must not end what shows it
            return f"[{type(value).__name__}]"

    def field(self, name: object, value: object, depth: int, within: tuple[int, ...]) -> Any:
        try:
            known = _decoded(name)
            kind = name_kind(known)
        except Exception:  # noqa: BLE001 - a name that cannot be looked at
            known, kind = "", "secret"
        shown = value is None or isinstance(value, bool) or (kind == "count" and isinstance(value, int | float))
        if not kind or shown or is_count(known, value) or (isinstance(value, str | bytes) and not value):
            return self.value(value, depth, within)
        return REDACTED

    def _container(self, value: object, depth: int, within: tuple[int, ...]) -> Any:
        fields = _fields(value)
        if fields is not None:
            return {redact_text(_decoded(key)): self.field(key, item, depth + 1, within) for key, item in fields}
        if isinstance(value, list | tuple) and _is_header(value):
            return [redact_text(_decoded(value[0])), self.field(value[0], value[1], depth + 1, within)]
        if isinstance(value, list | tuple | AbstractSet):
            return [self.value(item, depth + 1, within) for item in value]
        return redact_text(str(value))


def _fields(value: object) -> list[tuple[Any, Any]] | None:
    if isinstance(value, Mapping):
        return list(value.items())
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return [(field.name, getattr(value, field.name, None)) for field in dataclasses.fields(value)]
    names = getattr(value, "_fields", None)
    if isinstance(value, tuple) and isinstance(names, tuple) and len(names) == len(value):
        return list(zip(names, value, strict=True))
    return None


def _is_header(value: list[Any] | tuple[Any, ...]) -> bool:
    """Whether it is a pair of a secret name and a value, as headers are given."""
    return (
        len(value) == 2
        and isinstance(value[0], str | bytes)
        and len(value[0]) <= 64
        and name_kind(_decoded(value[0])) != ""
    )


def _decoded(name: object) -> str:
    return name.decode("utf-8", "replace") if isinstance(name, bytes) else str(name)
