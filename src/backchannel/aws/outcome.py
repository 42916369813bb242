"""Outcomes: what a document says came of a call. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from ..tools.text import cut, text_of

__all__ = ["Outcome", "Step", "failure_in", "json_of", "outcome_of", "token_in", "unwrapped"]

_QUOTED = 2000
_FAR = 1e15


class Outcome:
    """What came of a call: a value, or what went wrong, for a place of results of one's own."""

    __slots__ = ("error", "value")

    def __init__(self, value: Any = None, error: str | None = None) -> None:
        self.value = value
        self.error = error


class Step(NamedTuple):
    """How far the call is."""

    done: float | None = None
    total: float | None = None
    message: str = ""


def json_of(data: bytes | str) -> Any:
    """Return what a JSON text says; the text itself where it is none."""
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return data if isinstance(data, str) else data.decode(errors="replace")


def unwrapped(document: Any) -> Any:
    """Return what was sent: without what SNS or EventBridge put around it on the way to a queue."""
    if not isinstance(document, Mapping):
        return document
    if document.get("Type") == "Notification" and isinstance(document.get("Message"), str):
        return unwrapped(json_of(document["Message"]))
    detail = document.get("detail")
    if "detail-type" in document and isinstance(detail, Mapping) and "requestContext" in detail:
        return detail
    return document


def token_in(document: Any, fields: Iterable[str]) -> str | None:
    """Return the task's id that a document names under one of these names; None where it names none."""
    if not isinstance(document, Mapping):
        return None
    sent = document.get("requestPayload") if _is_record(document) else document
    if isinstance(sent, Mapping):
        for field in fields:
            if isinstance(token := sent.get(field), str):
                return token
    return None


def outcome_of(document: Any, field: str, *, whole: bool = False, failure: str | None = None) -> Outcome | Step | None:
    """Return what a document says came of the call, or how far it is; None where it says neither.

    Args:
        document: The function's own, or that of a Lambda destination.
        field: Name of the task's id in it.
        whole: A document that has anything but ``result``, ``error`` or progress is itself the result.
        failure: What a dead-letter queue says of the event, which is the document then.
    """
    if failure is not None:
        return Outcome(error=cut(failure, _QUOTED))
    if not isinstance(document, Mapping):
        return Outcome(document) if whole else None
    if _is_record(document):
        return _of_destination(document)
    names = set(document) - {field}
    if not whole or (names and names <= {"result", "error"}):
        error = document.get("error")
        if error or (error is not None and "result" not in document):
            return Outcome(error=cut(text_of(error), _QUOTED))
        if "result" in document:
            return Outcome(document["result"])
    step = Step(_number(document.get("done")), _number(document.get("total")), _message(document.get("message")))
    if whole and not (names <= {"done", "total", "message"} and (step.done is not None or step.total is not None)):
        return Outcome(document)
    return step if step != Step() else None


def failure_in(payload: Any) -> str:
    """Return what a failed function said, bounded; "" where it said nothing."""
    if isinstance(payload, Mapping):
        kind, message = payload.get("errorType"), payload.get("errorMessage")
        return ": ".join(cut(text_of(part), _QUOTED) for part in (kind, message) if part)
    return cut(text_of(payload), _QUOTED) if payload else ""


def _is_record(document: Mapping[str, Any]) -> bool:
    """Whether it is what Lambda sends to a destination."""
    return isinstance(document.get("requestContext"), Mapping) and "requestPayload" in document


def _of_destination(document: Mapping[str, Any]) -> Outcome:
    answer = document.get("responsePayload")
    context = document.get("responseContext")
    failed = isinstance(context, Mapping) and context.get("functionError")
    condition = document["requestContext"].get("condition", "Success")
    if failed or condition != "Success":
        said = {"EventAgeExceeded": "Lambda could not run it in time"}.get(
            condition, f"Lambda says {cut(text_of(condition), 200)}"
        )
        return Outcome(error=failure_in(answer) or f"{said}, and the function said nothing")
    return Outcome(answer)


def _number(value: Any) -> float | None:
    usable = isinstance(value, int | float) and not isinstance(value, bool) and -_FAR < value < _FAR
    return value if usable else None


def _message(value: Any) -> str:
    return cut(value, 200) if isinstance(value, str) else ""
