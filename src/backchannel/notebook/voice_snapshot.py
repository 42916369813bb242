"""VoiceSnapshot: what every page shows of a conversation, and how an operation changes it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import InvalidInputError
from .wire import VERSION

__all__ = ["MAX_CAPTIONS", "apply", "new_snapshot"]

MAX_CAPTIONS = 200


def new_snapshot(info: Mapping[str, Any]) -> dict[str, Any]:
    """Return the snapshot of a conversation that was not begun."""
    return {
        "version": VERSION,
        "state": "off",
        "detail": "",
        "owner": "",
        "gen": 0,
        "captions": [],
        "info": dict(info),
        "notices": [],
        "questions": [],
    }


def apply(snapshot: Mapping[str, Any], op: Mapping[str, Any]) -> dict[str, Any]:
    """Return the snapshot after an operation of `wire.Ops`; the given one stays as it is.

    Raises:
        InvalidInputError: If the operation is unknown.
    """
    after = dict(snapshot)
    match op["op"]:
        case "flush":
            after["gen"] = max(snapshot["gen"], op["gen"])
        case "state":
            after["state"], after["detail"] = op["state"], op["detail"]
        case "caption":
            after["captions"] = _with_caption(snapshot["captions"], op)
        case "owner":
            after["owner"] = op["client"]
        case "info":
            after["info"] = {**snapshot["info"], **{key: value for key, value in op.items() if key != "op"}}
        case "notices":
            after["notices"] = list(op["notices"])
        case "question":
            asked = {key: value for key, value in op.items() if key != "op"}
            after["questions"] = [*_without(snapshot["questions"], op["id"]), asked]
        case "answered":
            after["questions"] = _without(snapshot["questions"], op["id"])
        case unknown:
            raise InvalidInputError(f"unknown operation {unknown!r}")
    return after


def _without(questions: list[dict[str, Any]], name: str) -> list[dict[str, Any]]:
    return [question for question in questions if question["id"] != name]


def _with_caption(captions: list[dict[str, Any]], op: Mapping[str, Any]) -> list[dict[str, Any]]:
    caption = {key: value for key, value in op.items() if key != "op"}
    for index in range(len(captions) - 1, -1, -1):
        if captions[index]["id"] == caption["id"]:
            return [*captions[:index], caption, *captions[index + 1 :]]
    return [*captions, caption][-MAX_CAPTIONS:]
