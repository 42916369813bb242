"""Rates: how many events of a kind reach the reader of an agent's public stream a second, ours beside the peer's."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from typing import Any, Protocol

from .figures import Figure, Target
from .sides import Side, alternating, sides

__all__ = ["Talk", "events_per_second", "rate_figures"]


class Talk(Protocol):
    """What is said in a conversation, and which of its events are counted."""

    def events(self, side: Side, size: int) -> Iterable[Any]:
        """Make the events that the model emits."""
        ...

    def counts(self, side: Side, event: Any) -> bool:
        """Whether a public event is counted."""
        ...

    def wanted(self, size: int) -> int:
        """Return how many events are counted in all."""
        ...

    def check(self, side: Side, size: int, messages: Sequence[Any]) -> None:
        """Look at the history that was left.

        Raises:
            RuntimeError: If it is not what was said.
        """


def rate_figures(
    talk: Talk, what: str, unit: str, size: int, runs: int, target: Target, *, per_event: int = 1, note: str = ""
) -> list[Figure]:
    """Measure how fast ``talk`` reaches its reader: emitted at once, and again with a turn of the loop before each.

    Args:
        unit: Of what there are ``per_event`` in each counted event, a second.
        target: For the first of both: half of the second is the event loop's own turn, the same for both sides.
    """
    pair = ours, peer = sides()
    figures = []
    for how, turns in (("emitted at once", False), ("each event in a turn of the loop", True)):
        rates: dict[str, list[float]] = {side.name: [] for side in pair}
        for side in pair:
            asyncio.run(events_per_second(side, talk, max(1, size // 10), turns=turns))
        for run in range(runs):
            for side in alternating(run, pair):
                rate = asyncio.run(events_per_second(side, talk, size, turns=turns))
                rates[side.name].append(rate * per_event)
        figures.append(
            Figure(
                f"{what}, {how}",
                unit,
                rates[ours.name],
                rates[peer.name],
                peer.name,
                None if turns else target,
                note,
            )
        )
    return figures


async def events_per_second(side: Side, talk: Talk, size: int, *, turns: bool) -> float:
    """Return counted events a second, from the call of ``receive`` to the last of them.

    Raises:
        RuntimeError: If the history is not what was said, or the conversation ended before the last event.
    """

    async def feed() -> AsyncIterator[Any]:
        for event in talk.events(side, size):
            if turns:
                await asyncio.sleep(0)
            yield event
        await asyncio.Event().wait()

    counts: Callable[[Side, Any], bool] = talk.counts
    wanted = talk.wanted(size)
    agent = side.agent(feed)
    await agent.start()
    seen = 0
    began = time.perf_counter()
    async for event in agent.receive():
        if counts(side, event):
            seen += 1
            if seen == wanted:
                break
    elapsed = time.perf_counter() - began
    messages = list(agent.messages)
    await agent.stop()
    if seen < wanted:
        raise RuntimeError(f"{side.name}: the conversation ended after {seen} of {wanted} events")
    talk.check(side, size, messages)
    return seen / elapsed
