"""Events: how many chunks of voice a second reach the one who reads an agent's public stream."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from .figures import Figure, Target
from .rates import rate_figures
from .sides import Side

__all__ = ["Events"]

_CHUNK = base64.b64encode(bytes(1280)).decode()
"""40 ms at 16 kHz."""


@dataclass(frozen=True, slots=True)
class Events:
    """``chunks`` are emitted in one response: all at once, and again with a turn of the event loop before each."""

    chunks: int = 20_000

    def measure(self, runs: int) -> list[Figure]:
        target = Target(1.5, ratio=True, at_least=True)
        return rate_figures(_Voice(), "audio events", "events/s", self.chunks, runs, target)


class _Voice:
    """One long response. See `Talk`."""

    def events(self, side: Side, size: int) -> Iterator[Any]:
        yield from side.opening("r1")
        for _ in range(size):
            yield side.audio(_CHUNK, "r1")

    def counts(self, side: Side, event: Any) -> bool:
        return side.is_audio(event)

    def wanted(self, size: int) -> int:
        return size

    def check(self, side: Side, size: int, messages: Sequence[Any]) -> None:
        pass
