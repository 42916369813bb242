"""Results: what a model is told of a value, and whether it is what was declared. Pure."""

from __future__ import annotations

import collections.abc
import itertools
import logging
import numbers
import types
import typing
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, Union

from ..events import TaskFinished
from ..tools.digest import digest_of
from ..tools.text import LIMIT, error_text, shown

if TYPE_CHECKING:
    from .task import Task

__all__ = ["RESULT_TOOL", "Reading", "answer_of", "looks_at_results", "misfit", "read", "text_for_model", "told"]

RESULT_TOOL = "look_at_result"
"""The built-in tool through which a model looks into what a task has returned."""

_log = logging.getLogger(__name__)
_CHECKED = 100
_NUMBERS: dict[Any, type[Any]] = {int: numbers.Integral, float: numbers.Real, complex: numbers.Complex}
_STREAMS = frozenset(
    getattr(collections.abc, name)
    for name in ("Iterable", "Iterator", "Generator", "AsyncIterable", "AsyncIterator", "AsyncGenerator")
)


class Reading(NamedTuple):
    """What was found when a value came.

    Attributes:
        text: What is said of it; None for its usual text.
        whole: Whether ``text`` is all of it.
        misfit: How it is not what was declared, or "".
    """

    text: str | None = None
    whole: bool = True
    misfit: str = ""


def read(task: Task, value: Any) -> Reading | None:
    """Look at the value that a task is about to get; None where its usual text is all there is to say."""
    options = task.options
    fault = "" if options.returns is None else misfit(value, options.returns)
    if fault:
        task.log(f"WARNING {task.tool_name} {fault}")
    if options.summarize is not None:
        try:
            return Reading(shown(options.summarize(value))[0], False, fault)
        except Exception as error:  # noqa: BLE001 - a fault in the summary must not lose the result
            task.log(
                f"WARNING the summary of {task.tool_name} failed: {type(error).__name__}: {error_text(error, 300)}"
            )
            _log.warning("summarize of %s raised", task.tool_name, exc_info=error)
    digest = digest_of(value)
    if digest is not None:
        return Reading(digest.text, digest.whole, fault)
    return Reading(misfit=fault) if fault else None


def told(task: Task, limit: int = LIMIT) -> str:
    """Return what a model is told at a task's end, at most ``limit`` characters: also where the rest of it is."""
    if task.status != "done":
        return task.summary(limit)
    if task.forgotten:
        return task.summary(limit)
    looks = looks_at_results(task.owner)
    return text_for_model(task.value, task.reading, f"task {task.number}, id {task.id},", limit, looks=looks)


def looks_at_results(agent: Any) -> bool:
    """Return whether an agent's model has the tool that looks into results."""
    try:
        return RESULT_TOOL in getattr(agent, "tool_names", ())
    except Exception:  # noqa: BLE001 - whatever it is, it has no such tool
        return False


def text_for_model(value: Any, reading: Reading | None, keeper: str, limit: int = LIMIT, *, looks: bool = False) -> str:
    """Return what a model is told of a value that ``keeper`` keeps, at most ``limit`` characters.

    Args:
        looks: Whether the model has a tool for the rest, which is named then.
    """
    note = f" (Beware: the tool {reading.misfit}.)" if reading is not None and reading.misfit else ""
    more = f"; {RESULT_TOOL} shows more of it" if looks else ""
    kept = f"{TaskFinished.NOT_ALL}{keeper} keeps the whole result{more}.)"
    room = max(limit - len(note) - len(kept), 0)
    if reading is not None and reading.text is not None:
        text, whole = shown(reading.text, room)
        whole = whole and reading.whole
    else:
        text, whole = shown(value, limit - len(note))
        if not whole:
            text = shown(value, room)[0]
    return f"{text}{note}" if whole else f"{text}{note}{kept}"


def answer_of(task: Task) -> Any:
    """Return the value of a task for the result of a call, or its text where there is more to say."""
    value = task.value
    if task.reading is None and (isinstance(value, Mapping) or shown(value)[1]):
        return value
    return told(task)


def misfit(value: Any, hint: Any) -> str:
    """Return how a value is not what a return annotation says, or "". What cannot be decided fits."""
    try:
        fits = _fits(value, hint)
    except Exception:  # noqa: BLE001 - annotations and classes may do anything when they are asked
        return ""
    declared = getattr(hint, "__name__", None) if isinstance(hint, type) else None
    return "" if fits else f"returned {type(value).__name__} where {declared or str(hint):.100} is declared"


def _fits(value: Any, hint: Any) -> bool:
    if hint is None or hint is type(None):
        return value is None
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is None:
        return _fits_plain(value, hint)
    if origin is Annotated:
        return _fits(value, arguments[0])
    if origin in (Union, types.UnionType):
        return any(_fits(value, argument) for argument in arguments)
    if origin is Literal:
        return any(type(value) is type(choice) and value == choice for choice in arguments)
    if origin in _STREAMS and any(_fits(value, argument) for argument in arguments):
        return True  # a generator's result is its last value, or what it returns
    if not isinstance(value, origin):
        return False
    return _items_fit(value, arguments)


def _fits_plain(value: Any, hint: Any) -> bool:
    if hint in _NUMBERS:
        return isinstance(value, _NUMBERS[hint])
    if hint is bool:
        return type(value).__name__ in ("bool", "bool_")
    if typing.is_typeddict(hint):
        return isinstance(value, Mapping)
    if (supertype := getattr(hint, "__supertype__", None)) is not None:
        return _fits(value, supertype)
    return isinstance(value, hint) if isinstance(hint, type) else True


def _items_fit(value: Any, arguments: tuple[Any, ...]) -> bool:
    if isinstance(value, Mapping) and len(arguments) == 2:
        pairs = itertools.islice(value.items(), _CHECKED)
        return all(_fits(key, arguments[0]) and _fits(item, arguments[1]) for key, item in pairs)
    if isinstance(value, tuple) and not (len(arguments) == 2 and arguments[1] is Ellipsis):
        return len(value) == len(arguments) and all(map(_fits, value, arguments))
    if isinstance(value, (list, set, frozenset, tuple)) and arguments:
        return all(_fits(item, arguments[0]) for item in itertools.islice(value, _CHECKED))
    return True
