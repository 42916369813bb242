"""Transcripts: how many pieces of what is said reach the reader a second, while the whole goes into the history."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from .figures import Figure, Target
from .rates import rate_figures
from .sides import Side

__all__ = ["Dialogue", "Transcripts"]

PIECES = ("The ", "demand ", "model ", "is ", "trained.")
"""Of each utterance, recognised one after the other."""


@dataclass(frozen=True, slots=True)
class Transcripts:
    """A user and a model say ``exchanges`` times an utterance each: all at once, and again an event each turn."""

    exchanges: int = 1000

    def measure(self, runs: int) -> list[Figure]:
        return rate_figures(
            Dialogue(),
            "pieces of transcripts",
            "pieces/s",
            self.exchanges,
            runs,
            Target(1.0, ratio=True, at_least=True),
            per_event=len(PIECES),
            note=f"and a message for every {len(PIECES)}",
        )


class Dialogue:
    """A user and a model, by turns; whole transcripts are counted. See `Talk`."""

    def events(self, side: Side, size: int) -> Iterator[Any]:
        for number in range(size):
            response = f"r{number}"
            yield from side.utterance("user", PIECES, f"user-{number}")
            yield from side.opening(response)
            yield from side.utterance("assistant", PIECES, f"assistant-{number}")
            yield from side.closing(response)

    def counts(self, side: Side, event: Any) -> bool:
        return side.is_whole_transcript(event)

    def wanted(self, size: int) -> int:
        return 2 * size

    def check(self, side: Side, size: int, messages: Sequence[Any]) -> None:
        kept = [message["content"][0]["text"] for message in messages]
        if kept != ["".join(PIECES)] * self.wanted(size):
            raise RuntimeError(
                f"{side.name}: {len(kept)} messages of the history are not the {self.wanted(size)} transcripts"
            )
