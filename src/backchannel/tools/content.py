"""Content of results: blocks that pass ``json.dumps``, whatever a tool put into them. Pure."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

from ..events import ToolResultEvent
from ..messages import ToolResult
from .text import text_of

__all__ = ["plain_result"]

_DEPTH = 64


def plain_result(event: ToolResultEvent) -> ToolResultEvent:
    """Return the result with JSON values only: bytes (of images, documents) in base64, what is no JSON as text."""
    result: ToolResult = event["tool_result"]
    try:
        json.dumps(result, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        content: Any = _plain(result["content"], 0)
        plain: ToolResult = {"toolUseId": result["toolUseId"], "status": result["status"], "content": content}
        return ToolResultEvent(plain, event.exception, event.task)
    return event


def _plain(value: Any, depth: int) -> Any:
    match value:
        case bytes() | bytearray() | memoryview():
            return base64.b64encode(value).decode()
        case Mapping() if depth < _DEPTH:
            return {str(name): _plain(item, depth + 1) for name, item in value.items()}
        case list() | tuple() if depth < _DEPTH:
            return [_plain(item, depth + 1) for item in value]
        case str() | bool() | None:
            return value
        case int() | float() if value == value and abs(value) != float("inf"):
            return value
    return text_of(value)
