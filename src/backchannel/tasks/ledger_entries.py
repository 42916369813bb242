"""Ledger entries: what is written of a task, bounded and without secrets. Pure, but for the values' own text."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from ..errors import InvalidInputError
from ..journal import Entry
from ..observability.redaction import REDACTED, redact, redact_field
from ..observability.secret_text import name_kind, redact_text
from ..tools.text import LIMIT, cut, error_text, shown, text_of
from .progress import plain_number
from .wording import label_of

if TYPE_CHECKING:
    from .task import Task

__all__ = ["created_entry", "ended_entry", "plain", "progress_entry", "written_arguments"]

_ARGUMENT = 10_000
_ARGUMENTS = 100_000
_NAMES = 500
_VALUE = 10_000
_TEXT_ONLY = 300
_NAME = 200
_DEEPEST = 20
_LARGEST_BITS = 4096
_MOST_PARTS = 5000
_PER_PART = 16  # Characters of a string that count like a value.


class _NotPlainError(Exception):
    """A value is not plain data, or too much of it; as text it says which."""


class _Plain:
    """Makes plain JSON of a value, and gives up where it is large."""

    def __init__(self) -> None:
        self._parts = 0

    def of(self, value: Any, depth: int = 0) -> Any:
        """Return the value as JSON knows it."""
        self._parts += 1
        if self._parts > _MOST_PARTS:
            raise _NotPlainError("too long")
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, str):
            self._parts += len(value) // _PER_PART
            if self._parts > _MOST_PARTS:
                raise _NotPlainError("too long")
            return str.__str__(value)
        if isinstance(value, int):
            number = int.__int__(value)
            if number.bit_length() <= _LARGEST_BITS:
                return number
        elif isinstance(value, float):
            return float.__float__(value)
        elif depth < _DEEPEST:
            if type(value) is dict:
                if all(type(key) is str for key in value):
                    return {key: self.of(item, depth + 1) for key, item in value.items()}
            elif type(value) in (list, tuple):
                return [self.of(item, depth + 1) for item in value]
        raise _NotPlainError("no JSON")


def created_entry(task: Task, at: float) -> Entry:
    """Return what is written first of a task."""
    arguments, unwritten = written_arguments(task.arguments)
    label = cut(task.label, _NAME)
    if unwritten and not task.labelled:
        shown_only = {name: value for name, value in arguments.items() if unwritten.get(name) != "secret"}
        label = label_of(task.tool_name, shown_only)
    options = _options(task)
    return {
        "kind": "task.created",
        "id": task.id,
        "number": task.number,
        "tool": cut(task.tool_name, _NAME),
        "label": _clean(label, ()),
        "arguments": arguments,
        **({"unwritten": unwritten} if unwritten else {}),
        **({"references": list(task.references)} if task.references else {}),
        "where": {"kind": task.where},
        **({"options": options} if options else {}),
        "deferred": task.options.deferred,
        "owned": task.owned,
        **_asked_by(task),
        "announce": task.announce,
        "at": at,
    }


def _asked_by(task: Task) -> Entry:
    agent_id = getattr(task.owner, "agent_id", None) or task.asked_by
    return {"agent": cut(agent_id, _NAME)} if isinstance(agent_id, str) else {}


def _options(task: Task) -> dict[str, Any]:
    """Return the options that are not the usual ones."""
    options = task.options
    found: dict[str, Any] = {}
    if options.timeout is not None:
        found["timeout"] = options.timeout
    if options.priority:
        found["priority"] = options.priority
    if options.limit is not None:
        found["limit"] = options.limit
    if options.retry is not None:
        found["retries"] = options.retry.retries
    if options.on_duplicate != "start_another":
        found["on_duplicate"] = options.on_duplicate
    return found


def ended_entry(task: Task, at: float) -> Entry:
    """Return what is written of a task's end."""
    status = task.status
    secrets = _secrets(task.arguments)
    entry: Entry = {
        "kind": "task.ended",
        "id": task.id,
        "at": at,
        "status": status,
        "elapsed": round(task.elapsed, 6),
        "reason": _clean(cut(task.life.reason, LIMIT), secrets),
        "owned": task.owned,
        **_asked_by(task),
    }
    if status == "done":
        text, whole, value = _result(task, secrets)
        entry["text"], entry["whole"] = text, whole
        if value is not None:
            entry["value"] = value[0]
    else:
        entry["text"] = _clean(task.summary(), secrets)
        entry["whole"] = True
        error = task.error
        if status == "failed" and error is not None:
            entry["error_type"] = cut(type(error).__name__, _NAME)
            entry["error"] = _clean(error_text(error, LIMIT), secrets)
    if task.delivered:
        entry["told"] = True
    if task.superseded_by is not None:
        entry["superseded_by"] = task.superseded_by
    return entry


def progress_entry(task: Task, at: float) -> Entry:
    """Return how far a task is."""
    progress = task.progress
    return {
        "kind": "task.progressed",
        "id": task.id,
        "at": at,
        "done": plain_number(progress.done),
        "total": plain_number(progress.total),
        "message": _clean(cut(progress.message, _TEXT_ONLY), _secrets(task.arguments)),
    }


def written_arguments(arguments: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """Return arguments as they are written, and those that are not as they were: why, by name."""
    written: dict[str, Any] = {}
    unwritten: dict[str, str] = {}
    left = _ARGUMENTS
    for given, value in arguments.items():
        name = str(given)
        if len(written) >= _NAMES or left <= 0 or len(name) > _NAME:
            unwritten[cut(name, _NAME)] = "too long"
            break
        written[name], size, why = _argument(name, value, min(_ARGUMENT, left))
        left -= size + len(name)
        if why:
            unwritten[name] = why
    return written, unwritten


def plain(value: Any) -> Any:
    """Return a value as plain JSON that means the same, tuples as lists.

    Raises:
        InvalidInputError: If it is not plain data, or too much of it.
    """
    try:
        return _Plain().of(value)
    except _NotPlainError as error:
        raise InvalidInputError(f"a {type(value).__name__} is not small plain JSON ({error})") from None


def _argument(name: str, value: Any, most: int) -> tuple[Any, int, str]:
    """Return what is written of an argument, its length in characters, and why it is not all of it."""
    kind = type(value)
    if not name_kind(name):
        if kind is str and len(value) <= _TEXT_ONLY:
            return (value, len(value), "") if (clean := redact_text(value)) == value else (clean, len(clean), "secret")
        if kind is bool or value is None or (kind is int and -(2**63) < value < 2**63):
            return value, 20, ""
    elif type(hidden := redact_field(name, value)) is str and hidden == REDACTED:
        return REDACTED, len(REDACTED), "secret"
    try:
        data = _Plain().of(value)
    except _NotPlainError as reason:
        text = _clean(text_of(value, _TEXT_ONLY), ())
        return text, len(text), str(reason)
    encoded = json.dumps(data)
    if len(encoded) > most:
        text = _clean(cut(encoded, _TEXT_ONLY), ())
        return text, len(text), "too long"
    redacted = redact_field(name, data)
    if json.dumps(redacted) != encoded:
        return redacted, len(encoded), "secret"
    return data, len(encoded), ""


def _result(task: Task, secrets: Iterable[str]) -> tuple[str, bool, tuple[Any] | None]:
    """Return the text of a value, whether that is all of it, and the value itself where it can be written."""
    reading = task.reading
    if reading is not None and reading.text is not None:
        text, whole = shown(reading.text)
        whole = whole and reading.whole
    else:
        text, whole = shown(task.value)
    if reading is not None and reading.misfit:
        text = f"{text} (Beware: the tool {reading.misfit}.)"
    kept: tuple[Any] | None = None
    try:
        data = _Plain().of(task.value)
        encoded = json.dumps(data)
        if len(encoded) <= _VALUE and json.dumps(redact(data)) == encoded and not any(s in encoded for s in secrets):
            kept = (data,)
    except _NotPlainError:
        pass
    return _clean(text, secrets), whole, kept


def _secrets(arguments: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the texts that were given as secrets, which must not come back in a result or an error."""
    return tuple(
        value
        for name, value in arguments.items()
        if isinstance(value, str) and len(value) >= 4 and name_kind(name) == "secret"
    )


def _clean(text: str, secrets: Iterable[str]) -> str:
    for secret in secrets:
        text = text.replace(secret, REDACTED)
    return redact_text(text)
