"""Repair of histories that come from elsewhere, or from a crash: what comes out is valid for any provider. Pure."""

from __future__ import annotations

import json
import operator
from collections import deque
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, NamedTuple, cast, get_args

from ..messages import (
    ContentBlock,
    Message,
    Messages,
    Origin,
    Role,
    ToolResult,
    ToolResultContent,
    ToolUse,
    is_json,
    is_text,
    message_faults,
    validate_messages,
)
from ..tools.text import cut, text_of

__all__ = ["INTERRUPTED", "repaired", "result_text", "usable_call", "usable_result"]

INTERRUPTED = "was interrupted: no result"
"""The result of a call that never got one."""

_NOTE = 8000
_KINDS = frozenset(
    ("image", "document", "video", "audio", "reasoningContent", "citationsContent", "guardContent", "cachePoint")
)
_ORIGINS = get_args(Origin)
_FAILURES = frozenset(("error", "failed", "failure"))


def repaired(
    messages: Iterable[Message], running: Mapping[str, ToolUse] | None = None, reserved: Collection[str] = ()
) -> Messages:
    """Return the history as a valid one, the messages that need no repair as the same objects.

    Roles become ``user`` and ``assistant``; what is empty is left out; what cannot be read is shown as text. A call
    is followed at once by its result, or by an error result if there is none. A result without its call becomes a
    note. Each call has an id of its own. No text is lost or changes its place. The list given stays as it is.

    Args:
        messages: Any list of message-like dicts.
        running: Calls that are still at work, by id. They are left out: what is said of them is up to the caller.
        reserved: Ids that no call of the history may have.
    """
    parts: Messages = []
    for message in messages:
        parts += [message] if not message_faults(message) else _readable(message)
    if not running and not reserved and not validate_messages(parts):
        return parts
    return _Pairing(parts, running or {}, reserved).paired()


def result_text(content: Iterable[ToolResultContent], limit: int = _NOTE) -> str:
    """Return the content of a result as text of at most ``limit`` characters."""
    pieces = []
    for piece in content:
        for kind, value in piece.items():
            pieces.append(text_of(value, limit) if kind in ("text", "json") else f"({kind}, not shown)")
    return cut("\n".join(pieces), limit)


def usable_call(call: object) -> ToolUse | None:
    """Return a call in the form that providers take, or None if it does not name a tool. Its id may be empty."""
    if not isinstance(call, Mapping):
        return None
    name = _text(call.get("name"))
    if not name:
        return None
    given = call.get("input")
    arguments = given if isinstance(given, Mapping) and is_json(given) else _object(given)
    return {"input": arguments, "name": name, "toolUseId": _id(call)}


def usable_result(result: Mapping[str, Any]) -> ToolResult:
    """Return a result in the form that providers take. Its id may be empty."""
    content = list(_pieces(result.get("content")))
    status = result.get("status")
    failed = isinstance(status, str) and status.lower() in _FAILURES
    return {
        "content": content or [{"text": '""'}],
        "status": "error" if failed else "success",
        "toolUseId": _id(result),
    }


# Reading


def _readable(message: object) -> Messages:
    """Return what can be read of a message that has faults, as messages that have none of their own, except ids."""
    if not isinstance(message, Mapping):
        return []
    role = _role(message.get("role"))
    result: Messages = []
    for block in _blocks(message.get("content")):
        own: Role = "assistant" if "toolUse" in block else "user" if "toolResult" in block else role
        if result and result[-1]["role"] == own:
            result[-1]["content"].append(block)
        else:
            result.append({"role": own, "content": [block]})
    for part in result:
        _results_first(part["content"])
    return result


def _role(role: object) -> Role:
    return "assistant" if isinstance(role, str) and role.strip().lower() in ("assistant", "model", "ai") else "user"


def _results_first(blocks: list[ContentBlock]) -> None:
    blocks.sort(key=lambda block: "toolResult" not in block)


def _blocks(content: object) -> Iterator[ContentBlock]:
    for item in content if isinstance(content, (list, tuple)) else [content]:
        if isinstance(item, str):
            item = {"text": item}
        if not isinstance(item, Mapping):
            continue
        for kind, value in item.items():
            if kind in ("text", "toolUse", "toolResult"):
                if block := _block(kind, value):
                    if kind == "text" and (origin := item.get("origin")) in _ORIGINS:
                        block["origin"] = cast("Origin", origin)
                    yield block
            elif isinstance(kind, str) and isinstance(value, Mapping) and value and (len(item) == 1 or kind in _KINDS):
                yield cast("ContentBlock", {kind: value})


def _block(kind: str, value: Any) -> ContentBlock | None:
    if value is None:
        return None
    if kind == "toolUse" and (call := usable_call(value)) is not None:
        return {"toolUse": call}
    if kind == "toolResult" and isinstance(value, Mapping):
        return {"toolResult": usable_result(value)}
    text = _text(value if isinstance(value, str) else text_of(value))
    if text and kind != "text":
        text = f"[A {'call' if kind == 'toolUse' else 'result'} that cannot be read: {text}]"
    return {"text": text} if text else None


def _pieces(content: object) -> Iterator[ToolResultContent]:
    for item in content if isinstance(content, (list, tuple)) else [content]:
        if item is None:
            continue
        if not isinstance(item, Mapping):
            item = {"text": item if isinstance(item, str) else text_of(item)}
        for kind, value in item.items():
            if kind == "json" and is_json(value):
                yield {"json": value}
            elif kind in ("text", "json"):
                if text := _text(value if isinstance(value, str) else text_of(value)):
                    yield {"text": text}
            elif isinstance(kind, str) and isinstance(value, Mapping) and value and (len(item) == 1 or kind in _KINDS):
                yield cast("ToolResultContent", {kind: value})


def _id(owner: Mapping[str, Any]) -> str:
    given = owner.get("toolUseId")
    return _text(text_of(given, 100) if isinstance(given, int) else given)


def _text(value: object) -> str:
    """Return text that can be sent; empty if there is none, or nothing but space."""
    if not isinstance(value, str):
        return ""
    text = value if is_text(value) else value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return "" if text.isspace() else text


def _object(value: object) -> dict[str, Any]:
    """Return arguments that are no JSON object as one."""
    try:
        loaded = json.loads(value if isinstance(value, str) else json.dumps(value, default=text_of, allow_nan=False))
    except (TypeError, ValueError, RecursionError):
        loaded = None
    if isinstance(loaded, dict) and is_json(loaded):
        return loaded
    text = _text(value if isinstance(value, str) else text_of(value)) if value is not None else ""
    return {"value": text} if text else {}


# Pairing


class _At(NamedTuple):
    """Where a block stands: in which message, at which place."""

    message: int
    place: int


class _Pairing:
    """Brings the calls of a history, each message of which can be read, together with their results."""

    def __init__(self, parts: Messages, running: Mapping[str, ToolUse], reserved: Collection[str]) -> None:
        self._parts = parts
        self._running = running
        self._answers: dict[_At, ToolResult] = {}
        self._calls: dict[_At, _At] = {}
        self._known: set[str] = set()
        self._used = set(reserved)
        self._numbers: dict[str, int] = {}
        self._match()

    def _match(self) -> None:
        """Find the call of each result: of those before it that have none, the latest message's first."""
        waiting: dict[str, list[deque[_At]]] = {}
        for number, part in enumerate(self._parts):
            own: dict[str, deque[_At]] = {}
            for place, block in enumerate(part["content"]):
                at = _At(number, place)
                if "toolResult" in block:
                    if calls := waiting.get(block["toolResult"]["toolUseId"]):
                        call = calls[-1].popleft()
                        self._answers[call], self._calls[at] = block["toolResult"], call
                        if not calls[-1]:
                            calls.pop()
                elif "toolUse" in block and (call_id := block["toolUse"]["toolUseId"]):
                    own.setdefault(call_id, deque()).append(at)
            for call_id, places in own.items():
                waiting.setdefault(call_id, []).append(places)
            self._known.update(own)

    def paired(self) -> Messages:
        """Return the history with each call followed by its result."""
        history: Messages = []
        in_place: dict[_At, ToolResult] = {}
        for number, part in enumerate(self._parts):
            results: list[ContentBlock] = []
            others: list[ContentBlock] = []
            answers: dict[_At, ToolResult] = {}
            for place, block in enumerate(part["content"]):
                at = _At(number, place)
                if "toolResult" in block:
                    if at in in_place:
                        result = in_place[at]
                        results.append(block if result is block["toolResult"] else {"toolResult": result})
                    elif at not in self._calls:
                        others.append({"text": _note(block["toolResult"])})
                elif "toolUse" in block:
                    if not self._is_running(at, block["toolUse"]):
                        use = self._named(block["toolUse"])
                        answers[at] = self._answer(at, use["toolUseId"])
                        others.append(block if use is block["toolUse"] else {"toolUse": use})
                else:
                    others.append(block)
            content = results + others
            if content:
                history.append(part if _same(content, part["content"]) else {"role": part["role"], "content": content})
            if not answers:
                continue
            following = self._answered_next(number)
            if len(following) == len(answers):
                in_place = {at: answers[call] for at, call in following.items()}
            else:
                history.append({"role": "user", "content": [{"toolResult": answer} for answer in answers.values()]})
        return history

    def _is_running(self, at: _At, use: ToolUse) -> bool:
        running = self._running.get(use["toolUseId"])
        return (
            running is not None
            and at not in self._answers
            and (running["name"], running["input"]) == (use["name"], use["input"])
        )

    def _named(self, use: ToolUse) -> ToolUse:
        """Return the call with an id that no other has."""
        given = name = use["toolUseId"]
        while not name or name in self._used or (name != given and name in self._known):
            base = given or "call"
            self._numbers[base] = number = self._numbers.get(base, 1) + 1
            name = f"{base}-{number}"
        self._used.add(name)
        return use if name == given else {**use, "toolUseId": name}

    def _answer(self, at: _At, call_id: str) -> ToolResult:
        result = self._answers.get(at)
        if result is None:
            return {"content": [{"text": INTERRUPTED}], "status": "error", "toolUseId": call_id}
        return result if result["toolUseId"] == call_id else {**result, "toolUseId": call_id}

    def _answered_next(self, number: int) -> dict[_At, _At]:
        """Return the calls of a message that the next one answers, by where the result stands."""
        if number + 1 >= len(self._parts):
            return {}
        places = (_At(number + 1, place) for place in range(len(self._parts[number + 1]["content"])))
        return {at: call for at in places if (call := self._calls.get(at)) is not None and call.message == number}


def _note(result: ToolResult) -> str:
    head = f"[Result of an earlier call, {cut(result['toolUseId'], 100) or 'id unknown'} ({result['status']}): "
    return f"{head}{result_text(result['content'], _NOTE - len(head) - 1)}]"


def _same(content: list[ContentBlock], given: list[ContentBlock]) -> bool:
    return len(content) == len(given) and all(map(operator.is_, content, given))
