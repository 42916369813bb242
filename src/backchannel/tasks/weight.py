"""Weight: about how many bytes a value keeps in memory. Looks at a bounded part of it, and calls no code of its own."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterable
from typing import Any

__all__ = ["weight_of"]

_SAMPLE = 64
_DEPTH = 4
_MOST = 1000


def weight_of(value: Any) -> int:
    """Return about how many bytes a value holds; arrays and tables say so themselves, collections are sampled."""
    return _weight(value, _DEPTH, set())


def _weight(value: Any, depth: int, seen: set[int]) -> int:
    if id(value) in seen or isinstance(value, type):
        return 0
    seen.add(id(value))
    own = _own(value)
    if depth == 0 or isinstance(value, (str, bytes, bytearray, int, float, complex)):
        return own
    if isinstance(value, dict):
        return own + _sampled(itertools.chain.from_iterable(value.items()), 2 * len(value), depth, seen)
    if isinstance(value, (list, tuple, set, frozenset)):
        return own + _sampled(value, len(value), depth, seen)
    held = getattr(value, "__dict__", None) if own < 4096 else None
    return own + _sampled(held.values(), len(held), depth, seen) if isinstance(held, dict) else own


def _own(value: Any) -> int:
    """What it says of itself: arrays their bytes, tables those of their columns."""
    try:
        size = getattr(type(value), "nbytes", None)
        if size is not None and isinstance(found := value.nbytes, int):
            return found + 100
        if callable(getattr(type(value), "memory_usage", None)) and hasattr(type(value), "iloc"):
            used = value.iloc[:_SAMPLE].memory_usage(index=True, deep=True)
            return (
                int(used.sum() if hasattr(used, "sum") else used)
                * max(len(value), 1)
                // max(min(len(value), _SAMPLE), 1)
            )
        if callable(getattr(type(value), "estimated_size", None)):
            return int(value.estimated_size())
        return sys.getsizeof(value)
    except Exception:  # noqa: BLE001 - a value of any kind; nothing depends on the exact number
        return 0


def _sampled(items: Iterable[Any], count: int, depth: int, seen: set[int]) -> int:
    """The weight of all items, told from the first ones."""
    known = looked = 0
    for item in itertools.islice(items, _SAMPLE):
        if looked and len(seen) > _MOST:
            break
        known += _weight(item, depth - 1, seen)
        looked += 1
    return known if count <= looked else known * count // looked
