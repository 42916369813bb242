"""Transcripts: how many pieces of what is said reach the reader a second, while the whole goes into the history."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from .figures import Figure, Target
from .sides import Side, alternating, sides

__all__ = ["Transcripts"]

PIECES = ("The ", "demand ", "model ", "is ", "trained.")
"""Of each utterance, recognised one after the other."""


@dataclass(frozen=True, slots=True)
class Transcripts:
    """A user and a model say ``exchanges`` times an utterance each: all at once, and again an event each turn."""

    exchanges: int = 1000

    def measure(self, runs: int) -> list[Figure]:
        pair = sides()
        target = Target(1.0, ratio=True, at_least=True)
        return [
            self._figure("pieces of transcripts, emitted at once", pair, runs, target, turns=False),
            # Half of this one is the event loop's own turn, the same for both.
            self._figure("pieces of transcripts, each event in a turn of the loop", pair, runs, None, turns=True),
        ]

    def _figure(self, what: str, pair: tuple[Side, Side], runs: int, target: Target | None, *, turns: bool) -> Figure:
        rates: dict[str, list[float]] = {side.name: [] for side in pair}
        for side in pair:
            asyncio.run(_rate(side, max(1, self.exchanges // 10), turns=turns))
        for run in range(runs):
            for side in alternating(run, pair):
                rates[side.name].append(asyncio.run(_rate(side, self.exchanges, turns=turns)))
        ours, peer = pair
        note = f"and a message for every {len(PIECES)}"
        return Figure(what, "pieces/s", rates[ours.name], rates[peer.name], peer.name, target, note)


async def _rate(side: Side, exchanges: int, *, turns: bool) -> float:
    """Return pieces a second, from the call of ``receive`` to the last whole transcript.

    Raises:
        RuntimeError: If the history lacks something that was said.
    """

    def conversation(number: int) -> list[Any]:
        response = f"r{number}"
        return [
            *side.utterance("user", PIECES, f"user-{number}"),
            *side.opening(response),
            *side.utterance("assistant", PIECES, f"assistant-{number}"),
            *side.closing(response),
        ]

    async def feed() -> AsyncIterator[Any]:
        for number in range(exchanges):
            for event in conversation(number):
                if turns:
                    await asyncio.sleep(0)
                yield event
        await asyncio.Event().wait()

    agent = side.agent(feed)
    await agent.start()
    seen = 0
    began = time.perf_counter()
    async for event in agent.receive():
        if side.is_whole_transcript(event):
            seen += 1
            if seen == 2 * exchanges:
                break
    elapsed = time.perf_counter() - began
    kept = [message["content"][0]["text"] for message in agent.messages]
    await agent.stop()
    if kept != ["".join(PIECES)] * seen:
        raise RuntimeError(f"{side.name}: {len(kept)} messages of the history are not the {seen} transcripts")
    return seen * len(PIECES) / elapsed
