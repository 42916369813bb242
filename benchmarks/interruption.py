"""Interruption: how long a barge-in takes to a slow reader, behind voice that is not read yet."""

from __future__ import annotations

import asyncio
import base64
import random
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from statistics import median
from typing import Any

from .figures import Figure, Target, percentile
from .sides import Side, alternating, sides

__all__ = ["Interruption"]

_CHUNK = base64.b64encode(bytes(1280)).decode()
READ_S = 0.002
"""What the reader takes for each event, seconds."""


@dataclass(frozen=True, slots=True)
class Interruption:
    """The provider has sent ``chunks``, and sends the barge-in while the reader is busy with the first of them."""

    trials: int = 60
    chunks: int = 50

    def measure(self, runs: int) -> list[Figure]:
        pair = ours, peer = sides()
        tails: dict[str, list[float]] = {side.name: [] for side in pair}
        middles: dict[str, list[float]] = {side.name: [] for side in pair}
        for run in range(runs):
            for side in alternating(run, pair):
                delays = asyncio.run(_delays(side, self.trials, self.chunks, random.Random(run)))
                tails[side.name].append(percentile(delays, 95))
                middles[side.name].append(median(delays))
        what = f"interruption behind {self.chunks} chunks, reader takes {READ_S * 1000:g} ms"
        return [
            Figure(f"{what}, P95", "ms", tails[ours.name], tails[peer.name], peer.name, Target(4.0)),
            Figure(f"{what}, median", "ms", middles[ours.name], middles[peer.name], peer.name),
        ]


async def _delays(side: Side, trials: int, chunks: int, chance: random.Random) -> list[float]:
    """Return for each trial the milliseconds from the barge-in at the provider to the reader."""
    socket: asyncio.Queue[Any] = asyncio.Queue()
    reading = asyncio.Event()
    seen: asyncio.Queue[float] = asyncio.Queue()

    async def feed() -> AsyncIterator[Any]:
        while True:
            yield await socket.get()

    async def read(agent: Any) -> None:
        async for event in agent.receive():
            if side.is_interruption(event):
                seen.put_nowait(time.perf_counter())
                continue
            if side.is_audio(event):
                reading.set()
            await asyncio.sleep(READ_S)

    async def trial(number: int) -> float:
        reading.clear()
        response = f"r{number}"
        for event in side.opening(response):
            socket.put_nowait(event)
        for _ in range(chunks):
            socket.put_nowait(side.audio(_CHUNK, response))
        await reading.wait()
        await asyncio.sleep(chance.uniform(0.0, READ_S))
        sent = time.perf_counter()
        socket.put_nowait(side.interruption())
        return (await seen.get() - sent) * 1000

    agent = side.agent(feed)
    await agent.start()
    reader = asyncio.create_task(read(agent))
    try:
        return [await trial(number) for number in range(trials)]
    finally:
        reader.cancel()
        await asyncio.gather(reader, return_exceptions=True)
        await agent.stop()
