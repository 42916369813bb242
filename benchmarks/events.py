"""Events: how many chunks of voice a second reach the one who reads an agent's public stream."""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from .figures import Figure, Target
from .sides import Side, alternating, sides

__all__ = ["Events"]

_CHUNK = base64.b64encode(bytes(1280)).decode()
"""40 ms at 16 kHz."""


@dataclass(frozen=True, slots=True)
class Events:
    """``chunks`` are emitted in one response: all at once, and again with a turn of the event loop before each."""

    chunks: int = 20_000

    def measure(self, runs: int) -> list[Figure]:
        pair = sides()
        target = Target(1.5, ratio=True, at_least=True)
        return [
            self._figure("audio events, emitted at once", pair, runs, target, turns=False),
            # Half of this one is the event loop's own turn, the same for both.
            self._figure("audio events, each in a turn of the loop", pair, runs, None, turns=True),
        ]

    def _figure(self, what: str, pair: tuple[Side, Side], runs: int, target: Target | None, *, turns: bool) -> Figure:
        rates: dict[str, list[float]] = {side.name: [] for side in pair}
        for side in pair:
            asyncio.run(_rate(side, max(1, self.chunks // 10), turns=turns))
        for run in range(runs):
            for side in alternating(run, pair):
                rates[side.name].append(asyncio.run(_rate(side, self.chunks, turns=turns)))
        ours, peer = pair
        return Figure(what, "events/s", rates[ours.name], rates[peer.name], peer.name, target)


async def _rate(side: Side, chunks: int, *, turns: bool) -> float:
    """Return chunks a second, from the call of ``receive`` to the last of them."""

    async def feed() -> AsyncIterator[Any]:
        for event in side.opening("r1"):
            yield event
        for _ in range(chunks):
            if turns:
                await asyncio.sleep(0)
            yield side.audio(_CHUNK, "r1")
        await asyncio.Event().wait()

    agent = side.agent(feed)
    await agent.start()
    seen = 0
    began = time.perf_counter()
    async for event in agent.receive():
        if side.is_audio(event):
            seen += 1
            if seen == chunks:
                break
    elapsed = time.perf_counter() - began
    await agent.stop()
    return chunks / elapsed
