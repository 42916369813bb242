"""ToolStorm: very many calls in one response, from the first of them to the last result's arrival at the model."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

from .figures import Figure, Target
from .sides import Side, alternating, sides

__all__ = ["ToolStorm"]


async def measure(place: int) -> str:
    """Measure the temperature of a place.

    Args:
        place: Its number.
    """
    return str(place)


def look_up(place: int) -> str:
    """Look up the name of a place.

    Args:
        place: Its number.
    """
    return str(place)


@dataclass(frozen=True, slots=True)
class ToolStorm:
    """``calls`` in one response, of an async function and of a plain one, which both do nothing.

    They come one after the other, as from OpenAI and Nova Sonic; and in one message, as from Gemini. Calls of one
    message the peer answers all together, after the last of them, with one message in its history; ours each at once
    with messages of its own. That is more work for an earlier answer: shown, but without a target.
    """

    calls: int = 500

    def measure(self, runs: int) -> list[Figure]:
        pair = sides()
        return [
            self._figure("async tool", measure, pair, runs, together=False),
            self._figure("async tool, one message", measure, pair, runs, together=True),
            self._figure("plain tool", look_up, pair, runs, together=False),
            self._figure("plain tool, one message", look_up, pair, runs, together=True),
        ]

    def _figure(
        self, what: str, tool: Callable[..., Any], pair: tuple[Side, Side], runs: int, *, together: bool
    ) -> Figure:
        times: dict[str, list[float]] = {side.name: [] for side in pair}
        for side in pair:
            asyncio.run(_per_call(side, tool, min(self.calls, 50), together=together))
        for run in range(runs):
            for side in alternating(run, pair):
                times[side.name].append(asyncio.run(_per_call(side, tool, self.calls, together=together)))
        ours, peer = pair
        what = f"{self.calls} calls at once, {what}: one of them"
        target = None if together else Target(0.5, ratio=True)
        return Figure(what, "µs", times[ours.name], times[peer.name], peer.name, target)


async def _per_call(side: Side, tool: Callable[..., Any], calls: int, *, together: bool) -> float:
    """Return the microseconds for each call, from the first call to the last result's arrival at the model.

    Raises:
        RuntimeError: If the conversation ended before that.
    """
    wanted = [(f"call-{number}", tool.__name__, {"place": number}) for number in range(calls)]
    began = ended = 0.0
    answers = 0
    answered = asyncio.Event()

    async def feed() -> AsyncIterator[Any]:
        nonlocal began
        for event in side.opening("r1"):
            yield event
        events = side.calls(wanted) if together else [side.call(*call) for call in wanted]
        began = time.perf_counter()
        for event in events:
            yield event
        await asyncio.Event().wait()

    def result() -> None:
        nonlocal answers, ended
        answers += 1
        if answers == calls:
            ended = time.perf_counter()
            answered.set()

    async def read(agent: Any) -> None:
        async for _ in agent.receive():
            pass

    agent = side.agent(feed, [tool], result)
    await agent.start()
    reader = asyncio.create_task(read(agent))
    finished = asyncio.create_task(answered.wait())
    try:
        await asyncio.wait({reader, finished}, return_when=asyncio.FIRST_COMPLETED)
        if not finished.done():
            await reader
            raise RuntimeError(f"{side.name}: the conversation ended after {answers} of {calls} results")
    finally:
        for task in (reader, finished):
            task.cancel()
        await asyncio.gather(reader, finished, return_exceptions=True)
        await agent.stop()
    return (ended - began) / calls * 1e6
