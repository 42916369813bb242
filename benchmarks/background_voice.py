"""BackgroundVoice: from a voice model's request to its background tool's body, and from the end to its being told."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from statistics import median
from typing import Any

from .background_stage import LIMIT_S, Stage, async_body, plain_body
from .figures import Figure, Target
from .sides import Side, alternating, sides

__all__ = ["BackgroundVoice"]

SETTLE_S = 0.01
"""How long the body goes on after the model has said that it began, seconds."""


@dataclass(frozen=True, slots=True)
class BackgroundVoice:
    """``trials`` tasks, one after the other, in one conversation of a `BidiAgent` a run and side.

    The peer has no background tasks here, but its tools do not hold up the conversation: a call stays open until its
    result. Ours is acknowledged, and its result announced when nobody speaks. While the body waits the model says that
    it has begun; told means that the result was sent to the model.
    """

    trials: int = 30

    def measure(self, runs: int) -> list[Figure]:
        return [*self._figures("plain tool", plain_body, runs), *self._figures("async tool", async_body, runs)]

    def _figures(self, what: str, body: Callable[[Callable[[], Stage]], Callable[..., Any]], runs: int) -> list[Figure]:
        pair = sides()
        asked: dict[str, list[float]] = {side.name: [] for side in pair}
        told: dict[str, list[float]] = {side.name: [] for side in pair}
        for side in pair:
            asyncio.run(_trials(side, body, min(3, self.trials)))
        for run in range(runs):
            for side in alternating(run, pair):
                stages = asyncio.run(_trials(side, body, self.trials))
                asked[side.name].append(median(stage.asked_to_body for stage in stages))
                told[side.name].append(median(stage.finished_to_told for stage in stages))
        ours, peer = pair
        return [
            Figure(
                f"voice, {what}: {name}",
                "ms",
                values[ours.name],
                values[peer.name],
                f"{peer.name}, calls that stay open",
                Target(2.0),
            )
            for name, values in (("asked to body", asked), ("finished to told", told))
        ]


async def _trials(side: Side, body: Callable[[Callable[[], Stage]], Callable[..., Any]], trials: int) -> list[Stage]:
    """Hold a conversation with so many tasks, and return what happened to each.

    Raises:
        RuntimeError: If the conversation ended before the last of them was told.
    """
    loop = asyncio.get_running_loop()
    begun, told, finished = asyncio.Event(), asyncio.Event(), asyncio.Event()
    stages = [Stage(1, lambda: loop.call_soon_threadsafe(begun.set)) for _ in range(trials)]
    now = stages[0]

    async def feed() -> AsyncIterator[Any]:
        nonlocal now
        for number, stage in enumerate(stages):
            now = stage
            begun.clear()
            told.clear()
            for event in side.opening(f"call-{number}"):
                yield event
            call = side.call(f"call-{number}", "research", {"topic": "0"})
            stage.ask()
            yield call
            for event in side.closing(f"call-{number}"):
                yield event
            # As a model says that it has begun.
            await begun.wait()
            for event in [*side.opening(f"begun-{number}"), *side.closing(f"begun-{number}")]:
                yield event
            await asyncio.sleep(SETTLE_S)
            stage.release()
            await told.wait()
            for event in [*side.opening(f"told-{number}"), *side.closing(f"told-{number}")]:
                yield event
        await asyncio.Event().wait()

    def result() -> None:
        # Before the body's end it is the acknowledgement.
        if now.ended and now.hear_all():
            told.set()
            if now is stages[-1]:
                finished.set()

    async def read(agent: Any) -> None:
        async for _ in agent.receive():
            pass

    agent = side.agent(feed, [side.background(body(lambda: now))], result)
    await agent.start()
    reader = asyncio.create_task(read(agent))
    waiter = asyncio.create_task(finished.wait())
    try:
        await asyncio.wait({reader, waiter}, timeout=LIMIT_S, return_when=asyncio.FIRST_COMPLETED)
        if reader.done():
            await reader
        if not waiter.done():
            known = sum(stage.told > 0 for stage in stages)
            raise RuntimeError(f"{side.name}: the conversation came to {known} of {trials} results")
    finally:
        for task in (reader, waiter):
            task.cancel()
        await asyncio.gather(reader, waiter, return_exceptions=True)
        with contextlib.suppress(asyncio.CancelledError):
            await agent.stop()
    return stages
