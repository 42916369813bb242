"""ToolRoundTrip: from a model's call of a trivial tool to the result's arrival at the model."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from statistics import median
from typing import Any

from .figures import Figure, Target, percentile
from .sides import Side, alternating, sides

__all__ = ["ToolRoundTrip"]


async def add(a: int, b: int) -> str:
    """Add two numbers.

    Args:
        a: The first.
        b: The second.
    """
    return str(a + b)


@dataclass(frozen=True, slots=True)
class ToolRoundTrip:
    """``calls`` one after the other in one conversation, whose history grows meanwhile."""

    calls: int = 300

    def measure(self, runs: int) -> list[Figure]:
        pair = ours, peer = sides()
        medians: dict[str, list[float]] = {side.name: [] for side in pair}
        tails: dict[str, list[float]] = {side.name: [] for side in pair}
        for side in pair:
            asyncio.run(_trips(side, min(self.calls, 20)))
        for run in range(runs):
            for side in alternating(run, pair):
                trips = asyncio.run(_trips(side, self.calls))
                medians[side.name].append(median(trips))
                tails[side.name].append(percentile(trips, 95))
        return [
            Figure(
                "tool call to its result, median",
                "ms",
                medians[ours.name],
                medians[peer.name],
                peer.name,
                Target(0.5, ratio=True),
            ),
            Figure("tool call to its result, P95", "ms", tails[ours.name], tails[peer.name], peer.name),
        ]


async def _trips(side: Side, calls: int) -> list[float]:
    """Return the milliseconds of each call."""
    trips: list[float] = []
    answered = asyncio.Event()
    finished = asyncio.Event()

    async def feed() -> AsyncIterator[Any]:
        for number in range(calls):
            answered.clear()
            event = side.call(f"call-{number}", "add", {"a": number, "b": 1})
            began = time.perf_counter()
            yield event
            await answered.wait()
            trips.append((arrived - began) * 1000)
        finished.set()
        await asyncio.Event().wait()

    arrived = 0.0

    def result() -> None:
        nonlocal arrived
        arrived = time.perf_counter()
        answered.set()

    async def read(agent: Any) -> None:
        async for _ in agent.receive():
            pass

    agent = side.agent(feed, [add], result)
    await agent.start()
    reader = asyncio.create_task(read(agent))
    try:
        done, _ = await asyncio.wait(
            {reader, asyncio.ensure_future(finished.wait())}, return_when=asyncio.FIRST_COMPLETED
        )
        if reader in done:
            await reader
            raise RuntimeError(f"{side.name}: the conversation ended after {len(trips)} of {calls} calls")
    finally:
        reader.cancel()
        await asyncio.gather(reader, return_exceptions=True)
        await agent.stop()
    return trips
