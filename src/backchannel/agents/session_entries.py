"""What a session's journal says: messages in order, splices of the list, and the state whenever it changed. Pure.

{"kind": "message", "message": {...}}                               appended
{"kind": "splice", "start": 3, "count": 2, "messages": [...]}       these took the place of ``count`` messages
{"kind": "state", "state": {...}}                                   the whole state
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from typing import Any

from ..errors import InvalidInputError, SessionDamagedError
from ..journal import Entry, JournalFormat, from_plain, to_plain
from ..messages import ContentBlock, Message, Messages, check_messages
from . import repair

__all__ = [
    "FORMAT",
    "digest",
    "message_entry",
    "repaired",
    "replay",
    "splice_entry",
    "state_entry",
    "storable",
    "storable_values",
]

FORMAT = JournalFormat("session")
# How deep in an entry a message may stand, and a part of one: a copy must still fit there.
_AROUND_MESSAGE, _AROUND_PART = 1, 10


def message_entry(message: Message) -> Entry:
    """Return the entry for a message at the end of the history."""
    return {"kind": "message", "message": message}


def splice_entry(start: int, count: int, messages: Messages) -> Entry:
    """Return the entry for ``messages`` in place of ``count`` messages from ``start`` on."""
    return {"kind": "splice", "start": start, "count": count, "messages": messages}


def state_entry(state: dict[str, Any]) -> Entry:
    """Return the entry for the whole state."""
    return {"kind": "state", "state": state}


def storable(
    value: Any, foreign: Callable[[str], object] | None = None, left_out: Callable[[str], object] | None = None
) -> Any:
    """Return a copy that can be stored: objects that JSON lacks become the name of their type.

    What is nested too deep, or a number too long, is replaced by a note; the rest stays.

    Args:
        value: A message, or a part of one; bytes stay bytes.
        foreign: Called with the name of every type that was replaced.
        left_out: Called with what is said of every part that was replaced by a note.
    """
    try:
        return _copied(value, foreign, _AROUND_MESSAGE)
    except InvalidInputError:
        if not isinstance(value, dict):
            return _value_or_note(value, foreign, left_out)
    blocks = value.get("content")
    if not isinstance(blocks, list):
        return storable_values(value, left_out)
    rest = storable_values({name: part for name, part in value.items() if name != "content"}, left_out)
    return {**rest, "content": [_noted(block, foreign, left_out) for block in blocks]}


def storable_values(values: dict[str, Any], left_out: Callable[[str], object] | None = None) -> dict[str, Any]:
    """Return a copy of the values that can be stored, with a note in place of each that cannot."""
    return {name: _value_or_note(value, None, left_out) for name, value in values.items()}


def _noted(
    block: Any, foreign: Callable[[str], object] | None, left_out: Callable[[str], object] | None
) -> dict[str, Any]:
    """Return a block, or a piece of a result, with a note in place of what cannot be stored of it."""
    match block:
        case {"toolUse": {"input": arguments, **call}}:
            copy = _value_or_note(arguments, foreign, left_out)
            return {"toolUse": {**call, "input": copy if isinstance(copy, dict) else {"note": copy}}}
        case {"toolResult": {"content": list(pieces), **result}}:
            return {"toolResult": {**result, "content": [_noted(piece, foreign, left_out) for piece in pieces]}}
    copy = _value_or_note(block, foreign, left_out)
    return copy if isinstance(copy, dict) else {"text": str(copy)}


def _value_or_note(
    value: Any, foreign: Callable[[str], object] | None, left_out: Callable[[str], object] | None
) -> Any:
    try:
        return _copied(value, foreign, _AROUND_PART)
    except InvalidInputError as error:
        if left_out is not None:
            left_out(str(error))
        return f"(not stored: {error})"


def _copied(value: Any, foreign: Callable[[str], object] | None, depth: int) -> Any:

    def name(item: object) -> str:
        if foreign is not None:
            foreign(type(item).__name__)
        return f"<{type(item).__name__}>"

    return from_plain(to_plain(value, name, depth))


def digest(value: Any) -> bytes:
    """Return a short value that changes with the content, as far as it can be stored."""
    try:
        plain = to_plain(value, lambda item: f"<{type(item).__name__}>", _AROUND_MESSAGE)
    except InvalidInputError:
        plain = to_plain(storable(value))
    return hashlib.blake2b(json.dumps(plain, sort_keys=True).encode(), digest_size=8).digest()


def replay(entries: Iterable[Entry], where: str) -> tuple[Messages, dict[str, Any] | None]:
    """Return the history and the state, None if there was none, that the entries lead to.

    Raises:
        SessionDamagedError: If an entry makes no sense.
    """
    messages: Messages = []
    state: dict[str, Any] | None = None
    for number, entry in enumerate(entries):
        match entry:
            case {"kind": "message", "message": dict(message)}:
                messages.append(message)  # type: ignore[arg-type]  # Its form is repaired below.
            case {"kind": "splice", "start": int(start), "count": int(count), "messages": list(others)} if (
                start >= 0 <= count
                and start + count <= len(messages)
                and all(isinstance(other, dict) for other in others)
            ):
                messages[start : start + count] = others
            case {"kind": "state", "state": dict(values)}:
                state = values
            case _:
                raise SessionDamagedError(
                    f"entry {number} of {where} is of kind {entry.get('kind')!r} and does not fit what comes before "
                    "it. Nothing was changed. Restore it from a copy, or move it away to begin anew"
                )
    return messages, state


def repaired(messages: Messages) -> tuple[Messages, list[str]]:
    """Return a history that is valid for a provider, and what was dropped or changed for that.

    A crash may come between a call and its result; older programs may have stored what no provider takes.
    """
    kept: Messages = []
    said: list[str] = []
    for index, message in enumerate(messages):
        blocks = _blocks(message, f"message {index}", said)
        called = _calls(kept[-1]) if kept else set()
        answered: set[str] = set()
        chosen: list[ContentBlock] = []
        for block in blocks:
            call_id = _id(block, "toolResult")
            if call_id is None or call_id in called - answered:
                chosen.append(block)
                answered |= {call_id} if call_id is not None else set()
            else:
                said.append(f"the result of call {call_id} was dropped: message {index} does not follow its call")
        said += _drop_calls(kept, called - answered)
        if chosen:
            same = len(chosen) == len(message["content"]) and all(map(_same, chosen, message["content"]))
            kept.append(message if same else {**message, "content": chosen})
    if kept:
        said += _drop_calls(kept, _calls(kept[-1]))
    valid = repair.repaired(kept)
    if len(valid) != len(kept) or not all(map(_same, valid, kept)):
        said.append("messages were put into the form that providers take: something was blank, misplaced or ambiguous")
    return valid, said


def _blocks(message: Message, name: str, said: list[str]) -> list[ContentBlock]:
    """Return the blocks of a message that a provider can be given; say what is wrong with the others."""
    content = message.get("content")
    if not isinstance(content, list) or not content:
        said.append(f"{name} was dropped: it has no content")
        return []
    blocks: list[ContentBlock] = []
    for block in content:
        whole = block
        if isinstance(block, dict) and isinstance(block.get("text"), str):
            words = block["text"].encode("utf-16", "surrogatepass").decode("utf-16", "replace")
            if words != block["text"]:
                whole = {**block, "text": words}
                said.append(f"{name}: half characters in its text were replaced")
        try:
            check_messages([{**message, "content": [whole]}])
        except InvalidInputError as error:
            said.append(f"a part of {name} was dropped: {error}")
        else:
            blocks.append(whole)
    return blocks


def _same(one: object, other: object) -> bool:
    return one is other


def _drop_calls(kept: Messages, calls: set[str]) -> list[str]:
    """Remove calls from the last message, and the message if nothing else is in it."""
    if not calls:
        return []
    message = kept.pop()
    blocks = [block for block in message["content"] if _id(block, "toolUse") not in calls]
    if blocks:
        kept.append({**message, "content": blocks})
    return [f"call {call_id} was dropped: its result was never stored" for call_id in sorted(calls)]


def _calls(message: Message) -> set[str]:
    return {call_id for block in message["content"] if (call_id := _id(block, "toolUse")) is not None}


def _id(block: Any, name: str) -> str | None:
    """Return the id of a block's call or result; None if it is none."""
    inner = block.get(name) if isinstance(block, dict) else None
    return None if inner is None else str(inner.get("toolUseId") if isinstance(inner, dict) else inner)
