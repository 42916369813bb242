"""Looking into a result: parts of a value as bounded text. Pure; runs nothing that the value did not bring along."""

from __future__ import annotations

import collections
import dataclasses
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from typing import Any, Literal, TypeAlias

from ..tools.digest import cells, digest_of, kind_of, table_text
from ..tools.text import cut, error_text, text_of

__all__ = ["LOOK_LIMIT", "Action", "look"]

Action: TypeAlias = Literal["head", "describe", "slice", "keys", "search"]

LOOK_LIMIT = 2000
"""Characters of an answer."""

_MOST = 50
_ITEM = 200
_SEARCHED = 100_000
_KEYS = 100


def look(value: Any, action: Action = "head", *, key: str = "", start: int = 0, count: int = 10, text: str = "") -> str:
    """Return part of a value as text, at most `LOOK_LIMIT` characters. Raises nothing.

    Args:
        action: The first items, a description, the items from ``start``, the names of its parts, or the items that
            contain ``text``.
        key: The part to look at, as in ``rows.0.name``; "" for all of it.
        start: First item, from 0; less than 0 counts from the end.
        count: How many items, at most 50.
        text: What to search for; upper and lower case are the same.
    """
    count = min(max(count, 1), _MOST)
    try:
        part = _part(value, key)
        match action:
            case "head":
                said = _slice(part, 0, count)
            case "slice":
                said = _slice(part, start, count)
            case "describe":
                said = _describe(part)
            case "keys":
                said = _keys(part)
            case _:
                said = _search(part, text, count) if text else "Say in 'text' what to search for."
    except _NoSuchPartError as error:
        said = str(error)
    except Exception as error:  # noqa: BLE001 - a value of any library may raise anything
        said = f"That cannot be looked at ({type(error).__name__}: {error_text(error, 200)})."
    return cut(said or "Nothing is there.", LOOK_LIMIT)


class _NoSuchPartError(Exception):
    """There is no part of that name."""


def _part(value: Any, key: str) -> Any:
    """Follow a path; a name that has dots in it is tried as a whole first."""
    rest = key.strip()
    while rest:
        found, rest = _step(value, rest)
        value = found
    return value


def _step(value: Any, path: str) -> tuple[Any, str]:
    names = _names(value)
    for name in names:
        if str(name) == path:
            return _get(value, name), ""
    first, _, rest = path.partition(".")
    for name in names:
        if str(name) == first:
            return _get(value, name), rest
    if _is_list(value) and first.lstrip("-").isdecimal() and -len(value) <= int(first) < len(value):
        return value[int(first)], rest
    known = ", ".join(text_of(name, 40) for name in itertools.islice(names, 20))
    there = (
        f"There are: {known}." if known else f"It has {len(value)} items." if _is_list(value) else "It has no parts."
    )
    raise _NoSuchPartError(f"There is no {cut(first, 60)!r}. {there}")


def _names(value: Any) -> list[Any]:
    if kind_of(value) == "table":
        return list(value.columns)
    if isinstance(value, Mapping):
        return list(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return [field.name for field in dataclasses.fields(value)]
    return []


def _get(value: Any, name: Any) -> Any:
    if isinstance(value, Mapping) or kind_of(value) == "table":
        return value[name]
    return getattr(value, name)


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, (str, bytes, bytearray, memoryview))


def _slice(value: Any, start: int, count: int) -> str:
    kind = kind_of(value)
    if kind in ("figure", "image"):
        return text_of(value, LOOK_LIMIT)
    size = _size(value)
    if size is None:
        return text_of(value, LOOK_LIMIT)
    first = max(size + start, 0) if start < 0 else min(start, size)
    last = min(first + count, size)
    if isinstance(value, str):
        lines = value.splitlines()
        if len(lines) > 1:
            return _headed("lines", first, last, size, "\n".join(cut(line, _ITEM) for line in lines[first:last]))
        # One long line: by pieces of it.
        first, last = first * _ITEM, (first + count) * _ITEM
        return _headed("characters", first, min(last, len(value)), len(value), value[first:last])
    if isinstance(value, (bytes, bytearray, memoryview)):
        return _headed("bytes", first, last, size, bytes(value[first:last]).hex(" "))
    if kind == "table":
        rows = value.iloc[first:last] if hasattr(value, "iloc") else value[first:last]
        return _headed("rows", first, last, size, table_text(*cells(rows)))
    if kind == "column":
        rows = value.iloc[first:last] if hasattr(value, "iloc") else value[first:last]
        return _headed("values", first, last, size, ", ".join(text_of(item, 60) for item in rows.to_list()))
    if kind == "array":
        return _headed("entries", first, last, size, str(value[first:last].tolist()))
    if isinstance(value, Mapping):
        entries = itertools.islice(value.items(), first, last)
        said = "\n".join(f"{text_of(name, 60)}: {text_of(item, _ITEM)}" for name, item in entries)
        return _headed("entries", first, last, size, said)
    items = itertools.islice(value, first, last)
    return _headed("items", first, last, size, "\n".join(text_of(item, _ITEM) for item in items))


def _size(value: Any) -> int | None:
    if isinstance(value, str):
        return max(len(value.splitlines()), 1)
    if isinstance(value, memoryview):
        return value.nbytes
    if kind_of(value) == "array" and not value.shape:
        return None
    if kind_of(value) or isinstance(value, (Mapping, Sequence, Set, bytes, bytearray)):
        return len(value)
    return None


def _headed(unit: str, first: int, last: int, size: int, said: str) -> str:
    if first >= last:
        return f"There are {size:,} {unit}; none from {first:,} on."
    if last - first == size:
        return said
    return f"{unit.capitalize()} {first:,} to {last - 1:,} of {size:,}, counted from 0:\n{said}"


def _describe(value: Any) -> str:
    if (digest := digest_of(value)) is not None:
        if kind_of(value) in ("table", "column") and len(value):
            numbers = value.describe()
            frame = numbers.to_frame() if hasattr(numbers, "to_frame") else numbers
            return f"{digest.text.partition(chr(10))[0]}\n{table_text(*cells(frame))}"
        return digest.text
    if isinstance(value, str):
        return f"Text, {len(value):,} characters, {_size(value):,} lines."
    if isinstance(value, Mapping):
        kinds = (f"{text_of(name, 40)} ({_kind(item)})" for name, item in itertools.islice(value.items(), 40))
        return f"{type(value).__name__}, {len(value):,} entries: {', '.join(kinds)}"
    if _is_list(value) or isinstance(value, Set):
        found = collections.Counter(type(item).__name__ for item in itertools.islice(value, _SEARCHED))
        kinds = (f"{number:,} {name}" for name, number in found.most_common(10))
        said = f"{type(value).__name__}, {len(value):,} items: {', '.join(kinds)}."
        numbers = [item for item in itertools.islice(value, _SEARCHED) if type(item) in (int, float)]
        if numbers:
            said += f" From {min(numbers):.6g} to {max(numbers):.6g}, mean {sum(numbers) / len(numbers):.6g}."
        return said
    return f"{_kind(value)}: {text_of(value, 500)}"


def _kind(value: Any) -> str:
    size = _size(value)
    return type(value).__name__ if size is None else f"{type(value).__name__} of {size:,}"


def _keys(value: Any) -> str:
    names = _names(value)
    if not names:
        return f"It has {len(value):,} items, by number." if _is_list(value) else "It has no named parts."
    more = f", and {len(names) - _KEYS:,} more" if len(names) > _KEYS else ""
    return ", ".join(text_of(name, 60) for name in names[:_KEYS]) + more


def _search(value: Any, text: str, count: int) -> str:
    wanted, found, searched = text.casefold(), [], 0
    for where, said in itertools.islice(_searchable(value), _SEARCHED):
        searched += 1
        if wanted in said.casefold():
            found.append(f"{where}: {_around(said, wanted)}")
            if len(found) > count:
                break
    if not found:
        among = f" among the first {searched:,}" if searched >= _SEARCHED else ""
        return f"{cut(text, 60)!r} was not found{among}."
    more = "\nThere is more." if len(found) > count else ""
    return "\n".join(found[:count]) + more


def _searchable(value: Any) -> Iterator[tuple[str, str]]:
    """Return where each item is, and its text."""
    kind = kind_of(value)
    if isinstance(value, str):
        lines: Iterable[str] = value.splitlines()
        return ((f"line {number}", line) for number, line in enumerate(lines))
    if kind == "table":
        _, rows = cells(value)
        return ((f"row {number}", " | ".join(map(str, row))) for number, row in enumerate(rows))
    if kind == "column":
        return ((f"value {number}", str(item)) for number, item in enumerate(value))
    if kind == "array":
        return ((f"entry {number}", str(item)) for number, item in enumerate(value.tolist()))
    if isinstance(value, Mapping):
        return ((text_of(name, 60), f"{text_of(name, _ITEM)} {text_of(item, 10_000)}") for name, item in value.items())
    if _is_list(value) or isinstance(value, Set):
        return ((f"item {number}", text_of(item, 10_000)) for number, item in enumerate(value))
    return iter([("it", text_of(value, 10_000))])


def _around(said: str, wanted: str) -> str:
    at = max(said.casefold().find(wanted) - _ITEM // 2, 0)
    piece = said[at : at + _ITEM]
    return f"{'...' if at else ''}{piece}{'...' if at + _ITEM < len(said) else ''}"
