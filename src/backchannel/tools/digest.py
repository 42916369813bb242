"""Digests: what large things of other libraries are, in a few words. Never raises; imports none of them.

A thing is known by the module and name of its class, or of one that it comes from.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any, NamedTuple

__all__ = ["Digest", "cells", "digest_of", "kind_of", "table_text"]

ROWS = 5
_COLUMNS = 30
_SMALL = 20
_CELL = 60


class Digest(NamedTuple):
    """A thing in words.

    Attributes:
        text: What it is, and its first items.
        whole: Whether the text shows all of it.
    """

    text: str
    whole: bool = False


def kind_of(value: object) -> str:
    """Return ``table``, ``column``, ``array``, ``figure``, ``image``, or "" for anything else."""
    for cls in type(value).__mro__:
        root = cls.__module__.partition(".")[0]
        if (kind := _KINDS.get((root, cls.__name__))) is not None:
            return kind
    return ""


def digest_of(value: object) -> Digest | None:
    """Return the digest of a table, column, array, figure or image; None for anything else."""
    describe = _DESCRIBED.get(kind_of(value))
    if describe is None:
        return None
    try:
        return describe(value)
    except Exception as error:  # noqa: BLE001 - a version of the library that works otherwise
        return Digest(f"{_name(value)} ({type(error).__name__} when it was looked at)")


def table_text(columns: Iterable[object], rows: Iterable[Iterable[object]]) -> str:
    """Return rows as lines, cells between bars; long cells are cut."""
    lines = [" | ".join(map(_cell, columns)), *(" | ".join(map(_cell, row)) for row in rows)]
    return "\n".join(lines)


def _table(value: Any) -> Digest:
    rows, width = value.shape
    names = [str(name) for name in islice(value.columns, _COLUMNS)]
    kinds = [str(kind) for kind in islice(_listed(value.dtypes), _COLUMNS)]
    columns = ", ".join(f"{_cell(name)} ({kind})" for name, kind in zip(names, kinds, strict=False))
    more = f", and {width - _COLUMNS:,} more" if width > _COLUMNS else ""
    text = f"{_name(value)}, {_count(rows, 'row')}, {_count(width, 'column')}: {columns}{more}."
    shown = value.head(ROWS)
    if width > _COLUMNS:
        shown = shown.iloc[:, :_COLUMNS] if hasattr(shown, "iloc") else shown[:, :_COLUMNS]
    if rows:
        label = "Rows" if rows <= ROWS else f"First {ROWS} rows"
        text = f"{text}\n{label}:\n{table_text(*cells(shown))}"
    return Digest(text, rows <= ROWS and width <= _COLUMNS)


def _column(value: Any) -> Digest:
    size = len(value)
    shown = _listed(value.head(_SMALL))
    text = f"{_name(value)}{_named(value)}, {_count(size, 'value')} ({value.dtype}): {', '.join(map(_cell, shown))}"
    return Digest(text if size <= _SMALL else f"{text}, ...", size <= _SMALL)


def _array(value: Any) -> Digest:
    shape = tuple(int(size) for size in value.shape)
    size = 1
    for length in shape:
        size *= length
    text = f"{_name(value)} of shape {' x '.join(map(str, shape)) or 'one number'}, {value.dtype}"
    if size <= _SMALL:
        return Digest(f"{text}: {value.tolist()}", True)
    if getattr(value.dtype, "kind", "") in "iufb" or "float" in str(value.dtype) or "int" in str(value.dtype):
        low, high = value.min().item(), value.max().item()
        mean = (value if getattr(value.dtype, "kind", "") else value.double()).mean().item()
        text = f"{text}, from {low:.6g} to {high:.6g}, mean {mean:.6g}"
    return Digest(text)


def _figure(value: Any) -> Digest:
    axes = getattr(value, "axes", None)
    if isinstance(axes, list):
        titles = [title for axis in axes[:_SMALL] if (title := axis.get_title())]
        said = f": {'; '.join(map(_cell, titles))}" if titles else ""
        return Digest(f"a figure with {_count(len(axes), 'plot')}{said}")
    title = getattr(getattr(getattr(value, "layout", None), "title", None), "text", None)
    return Digest(f"a figure: {_cell(title)}" if isinstance(title, str) and title else "a figure")


def _image(value: Any) -> Digest:
    width, height = value.size
    return Digest(f"an image, {width} x {height} pixels")


def cells(frame: Any) -> tuple[list[Any], Iterator[Any]]:
    """Return names and rows of a small table; with its index where that has something to say."""
    if hasattr(frame, "itertuples"):
        plain = type(frame.index).__name__ == "RangeIndex"
        names = list(frame.columns) if plain else ["", *frame.columns]
        return names, frame.itertuples(index=not plain, name=None)
    return list(frame.columns), frame.iter_rows()


def _listed(values: Any) -> list[Any]:
    return values.to_list() if hasattr(values, "to_list") else list(values)


def _cell(value: object) -> str:
    text = " ".join(str(value).split())
    return text if len(text) <= _CELL else f"{text[: _CELL - 3]}..."


def _named(value: Any) -> str:
    name = getattr(value, "name", None)
    return f" {_cell(name)}" if name not in (None, "") else ""


def _name(value: object) -> str:
    name = type(value).__name__
    return {"ndarray": "array"}.get(name, name)


def _count(number: int, unit: str) -> str:
    return f"{number:,} {unit}" if number == 1 else f"{number:,} {unit}s"


_KINDS = {
    ("pandas", "DataFrame"): "table",
    ("polars", "DataFrame"): "table",
    ("pandas", "Series"): "column",
    ("polars", "Series"): "column",
    ("numpy", "ndarray"): "array",
    ("torch", "Tensor"): "array",
    ("matplotlib", "Figure"): "figure",
    ("plotly", "BaseFigure"): "figure",
    ("altair", "TopLevelMixin"): "figure",
    ("bokeh", "Plot"): "figure",
    ("PIL", "Image"): "image",
}
_DESCRIBED: dict[str, Callable[[Any], Digest]] = {
    "table": _table,
    "column": _column,
    "array": _array,
    "figure": _figure,
    "image": _image,
}
