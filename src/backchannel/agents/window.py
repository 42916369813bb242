"""Bounds of a history: what is dropped or shortened when it grows too long. Pure."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from ..errors import InvalidInputError
from ..messages import ContentBlock, Message, Messages, call_ids
from ..tools.text import text_of
from .repair import result_text

__all__ = [
    "ConversationManager",
    "Limits",
    "Reduction",
    "WindowConversationManager",
    "begins_turn",
    "estimated_tokens",
    "kept_tokens",
    "whole_starts",
]

PICTURE_TOKENS = 1600
"""What an image, or any other content that is not text, counts as."""
FULL_TURNS = 3
"""How many turns of the user, counted from the end, keep their results in full for as long as possible."""

_DROPPED = "[Earlier messages of this conversation were left out.]"


@dataclass(frozen=True, slots=True)
class Reduction:
    """The first ``count`` messages of a history are to be replaced by ``messages``."""

    count: int
    messages: Messages = field(default_factory=list)

    def apply(self, messages: Messages) -> None:
        """Do it, in place."""
        messages[: self.count] = self.messages


@runtime_checkable
class ConversationManager(Protocol):
    """Says when and how a history is to be made shorter."""

    async def reduce(self, messages: Messages) -> Reduction | None:
        """Return what is to be replaced, or None if nothing is. The messages given stay as they are."""
        ...


@dataclass(frozen=True, slots=True)
class Limits:
    """How long a history may be.

    Attributes:
        max_messages: Messages.
        max_tokens: Tokens, as `estimated_tokens` counts them; None for any number.
    """

    max_messages: int
    max_tokens: int | None

    def __post_init__(self) -> None:
        for name, value in (("max_messages", self.max_messages), ("max_tokens", self.max_tokens)):
            if value is None and name == "max_tokens":
                continue
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise InvalidInputError(f"{name} must be a whole number, 1 or more, not {value!r}")

    def exceeded(self, messages: Messages) -> bool:
        """Return whether a history is too long."""
        return len(messages) > self.max_messages or (
            self.max_tokens is not None and estimated_tokens(messages) > self.max_tokens
        )

    def targets(self, messages: int, tokens: int) -> Limits:
        """Return the limits to cut to: three quarters of what is exceeded, so that not each message leads to a cut."""
        wanted = self.max_messages
        if messages > wanted:
            wanted = max(1, wanted * 3 // 4)
        if self.max_tokens is None or tokens <= self.max_tokens:
            return Limits(wanted, self.max_tokens)
        return Limits(wanted, max(1, self.max_tokens * 3 // 4))


class WindowConversationManager:
    """Drops the oldest messages.

    A call is never parted from its result. What is kept begins with something that the user said, or with a note
    that earlier messages were left out; the last message, or the last call with its result, always stays. If it is
    tokens that are too many, long results of tools are shortened first, except in the user's last turns.

    Args:
        max_messages: The most messages. Once there are more, three quarters of that are kept.
        max_tokens: The most tokens, as `estimated_tokens` counts them; None for any number.
        result_limit: To how many characters the results of tools are shortened.

    Raises:
        InvalidInputError: A number is not a whole one, or less than 1.
    """

    def __init__(self, max_messages: int = 80, max_tokens: int | None = None, *, result_limit: int = 1000) -> None:
        self._limits = Limits(max_messages, max_tokens)
        if not isinstance(result_limit, int) or isinstance(result_limit, bool) or result_limit < 1:
            raise InvalidInputError(f"result_limit must be a whole number, 1 or more, not {result_limit!r}")
        self._result_limit = result_limit

    async def reduce(self, messages: Messages) -> Reduction | None:
        """Return what is to be dropped and shortened, or None if the history is within its bounds."""
        return self.cut(messages)

    def cut(self, messages: Messages) -> Reduction | None:
        """Do as `reduce` does, at once."""
        limits = self._limits
        if not limits.exceeded(messages):
            return None
        kept = list(messages)
        before = _sizes(kept)
        target = limits.targets(len(kept), sum(before))
        if limits.max_tokens is not None and sum(before) > limits.max_tokens:
            border = _full_from(kept)
            kept[:border] = [self._shortened(message) for message in kept[:border]]
        start, note = _start(kept, target)
        if start is None:
            start, note = _last_start(kept)
            if target.max_tokens is not None and sum(_sizes(kept[start:])) > target.max_tokens:
                kept[start:] = [self._shortened(message) for message in kept[start:]]
        return _reduction(messages, kept, start, note, sum(before))

    def _shortened(self, message: Message) -> Message:
        blocks = [self._shortened_block(block) for block in _blocks(message)]
        if all(short is block for short, block in zip(blocks, _blocks(message), strict=True)):
            return message
        return {**message, "content": blocks}

    def _shortened_block(self, block: ContentBlock) -> ContentBlock:
        result = block.get("toolResult") if isinstance(block, Mapping) else None
        pieces = result.get("content") if isinstance(result, Mapping) else None
        if result is None or not isinstance(pieces, list) or not all(isinstance(piece, dict) for piece in pieces):
            return block
        plain = all(kind in ("text", "json") for piece in pieces for kind in piece)
        if plain and sum(_size(value) for piece in pieces for value in piece.values()) <= self._result_limit:
            return block
        text = result_text(pieces, self._result_limit)
        if pieces == [{"text": text}]:
            return block
        return {"toolResult": {**result, "content": [{"text": text}]}}


def estimated_tokens(messages: Iterable[Message]) -> int:
    """Return about how many tokens a history has: a quarter of its bytes in UTF-8, calls and results as JSON.

    An estimate that needs no tokenizer; for English text it is mostly within a quarter of the truth. An image counts
    as 1,600, as does any other content that is not text.
    """
    return sum(_sizes(messages))


def kept_tokens(messages: Messages) -> list[int]:
    """Return, for each message, about how many tokens it has together with all that follow it."""
    return list(itertools.accumulate(reversed(_sizes(messages))))[::-1]


def begins_turn(message: Message) -> bool:
    """Return whether the user says something with a message, so that a history may begin with it."""
    blocks = _blocks(message)
    results = any(isinstance(block, Mapping) and "toolResult" in block for block in blocks)
    return bool(blocks) and message.get("role") == "user" and not results


def whole_starts(messages: Messages) -> list[int]:
    """Return where a history may be cut, as the numbers of the first messages to keep: no call loses its result."""
    parted = [0] * (len(messages) + 1)
    called: dict[str, int] = {}
    for number, message in enumerate(messages):
        first = min((called[call] for call in call_ids(message, "toolResult") if call in called), default=number)
        if first < number:
            parted[first + 1] += 1
            parted[number + 1] -= 1
        called.update(dict.fromkeys(call_ids(message, "toolUse"), number))
    return [number for number, depth in enumerate(itertools.accumulate(parted[:-1])) if number and not depth]


def _start(messages: Messages, target: Limits) -> tuple[int | None, bool]:
    """Return the first message to keep for the target to be met, and whether a note must stand before it."""
    kept_sizes = kept_tokens(messages) if target.max_tokens is not None else []
    noted = -(-len(_DROPPED) // 4)

    def fits(start: int, note: bool) -> bool:
        fewer = len(messages) - start + note <= target.max_messages
        return fewer and (target.max_tokens is None or kept_sizes[start] + note * noted <= target.max_tokens)

    if messages and fits(0, note=False):
        return 0, False
    starts = whole_starts(messages)
    turn = next((start for start in starts if begins_turn(messages[start]) and fits(start, note=False)), None)
    other = next((start for start in starts if fits(start, note=True)), None)
    if turn is not None and (other is None or (len(messages) - turn) * 2 >= len(messages) - other):
        return turn, False
    return other, other is not None and not begins_turn(messages[other])


def _last_start(messages: Messages) -> tuple[int, bool]:
    starts = whole_starts(messages)
    return (starts[-1], not begins_turn(messages[starts[-1]])) if starts else (0, False)


def _reduction(messages: Messages, kept: Messages, start: int, note: bool, tokens: int) -> Reduction | None:
    """Return what leads from ``messages`` to the end of ``kept``; None if that would win nothing."""
    changed = [number for number in range(start, len(kept)) if kept[number] is not messages[number]]
    count = max(start, changed[-1] + 1 if changed else 0)
    replacement: Messages = [{"role": "user", "content": [{"text": _DROPPED}]}] if note else []
    replacement += kept[start:count]
    fewer = len(replacement) < count
    if not fewer and estimated_tokens(itertools.chain(replacement, kept[count:])) >= tokens:
        return None
    return Reduction(count, replacement)


def _full_from(messages: Messages) -> int:
    """Return where the user's last turns begin."""
    turns = [number for number, message in enumerate(messages) if begins_turn(message)]
    return turns[-FULL_TURNS] if len(turns) >= FULL_TURNS else 0


def _blocks(message: Message) -> list[ContentBlock]:
    content = message.get("content") if isinstance(message, Mapping) else None
    return content if isinstance(content, list) else []


def _sizes(messages: Iterable[Message]) -> list[int]:
    return [-(-sum(_block_size(block) for block in _blocks(message)) // 4) for message in messages]


def _block_size(block: Any) -> int:
    if not isinstance(block, Mapping):
        return _size(block)
    size = 0
    for kind, value in block.items():
        if kind == "origin":
            continue
        if kind == "toolResult" and isinstance(value, Mapping) and isinstance(value.get("content"), list):
            size += sum(map(_block_size, value["content"]))
        else:
            size += _size(value) if kind in ("text", "json", "toolUse") else PICTURE_TOKENS * 4
    return size


def _size(value: object) -> int:
    """Return the bytes of a value as JSON, or as the text that it is."""
    if not isinstance(value, str):
        try:
            value = json.dumps(value, ensure_ascii=False)
        except (TypeError, ValueError, RecursionError):
            value = text_of(value)
    return len(value) if value.isascii() else len(value.encode("utf-8", "replace"))
