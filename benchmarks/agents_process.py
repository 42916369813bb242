"""A process that holds many spoken conversations at once in real time, and prints what it measured.

Started by `hundred_agents`. The models are fakes that cost next to nothing; ``bare`` has no agents at all, only the
microphones, models and readers that the others have too.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import gc
import json
import time
from array import array
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

from .figures import percentile
from .process import resident_mb
from .sides import Feed, Side, nothing, our_side, peer_side

RATE = 16000
IN_S, OUT_S = 0.02, 0.04
RESPONSE_CHUNKS = 100
"""Of voice in one response; then comes the next."""
GRACE_S = 10.0
"""How long after the end chunks may still come, seconds."""

_IN = bytes(2 * int(RATE * IN_S))
_OUT = base64.b64encode(bytes(2 * int(RATE * OUT_S))).decode()


class BareAgent:
    """No agent: what the model emits is read, and what is sent is heard."""

    def __init__(self, feed: Feed, heard: Callable[[], object]) -> None:
        self._feed = feed
        self._heard = heard

    async def start(self) -> None:
        pass

    async def stop(self) -> None:
        pass

    def receive(self) -> AsyncIterator[Any]:
        return self._feed()

    async def send(self, chunk: Any) -> None:
        self._heard()


class BareSide:
    """Beside the agents: chunks that are nothing but their samples."""

    name = "bare"

    def agent(
        self, feed: Feed, tools: Sequence[object], result: Callable[[], object], heard: Callable[[], object]
    ) -> BareAgent:
        return BareAgent(feed, heard)

    def opening(self, response: str) -> list[Any]:
        return []

    closing = opening

    def audio(self, base64: str, response: str) -> str:
        return base64

    def microphone(self, samples: bytes) -> bytes:
        return samples

    def is_audio(self, event: Any) -> bool:
        return True


class Lateness:
    """How late each chunk came, in room that is there from the beginning: what grows is the agents' own."""

    def __init__(self, chunks: int, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._values = array("d", bytes(8 * chunks))
        self._count = 0

    def note(self, due: float) -> None:
        """A chunk that was due at this time came now."""
        self._values[self._count] = self._clock() - due
        self._count += 1

    def milliseconds(self) -> list[float]:
        return [1000 * value for value in self._values[: self._count]]


class Talk:
    """One agent, its microphone, its fake model and its reader. Times are seconds of the event loop's clock.

    Args:
        side: Whose agent; all else is the same for all.
        lateness: Where to note how late chunks come.
        number: Of the agent.
        begins: When the first chunks are due.
        chunks_in: How many the microphone has.
        chunks_out: How many the model has.
    """

    def __init__(
        self, side: Side | BareSide, lateness: Lateness, number: int, begins: float, chunks_in: int, chunks_out: int
    ) -> None:
        self._side = side
        self._lateness = lateness
        self._clock = asyncio.get_running_loop().time
        self._number = number
        self._begins = begins
        self._chunks_in = self._unheard = chunks_in
        self._chunks_out = self._unread = chunks_out
        self._sent: deque[float] = deque()
        self._emitted: deque[float] = deque()
        self.agent = side.agent(self._feed, (), nothing, self._hear)
        self.over = asyncio.Event()

    async def _feed(self) -> AsyncIterator[Any]:
        for chunk in range(self._chunks_out):
            response = f"agent-{self._number}-{chunk // RESPONSE_CHUNKS}"
            await self._until(self._begins + (chunk + 1) * OUT_S)
            if chunk % RESPONSE_CHUNKS == 0:
                for event in self._side.opening(response):
                    yield event
            self._emitted.append(self._begins + (chunk + 1) * OUT_S)
            yield self._side.audio(_OUT, response)
            if (chunk + 1) % RESPONSE_CHUNKS == 0:
                for event in self._side.closing(response):
                    yield event
        await asyncio.Event().wait()

    def _hear(self) -> None:
        self._lateness.note(self._sent.popleft())
        self._unheard -= 1
        self._look()

    async def speak(self) -> None:
        """Be the microphone."""
        for chunk in range(self._chunks_in):
            due = self._begins + (chunk + 1) * IN_S
            await self._until(due)
            self._sent.append(due)
            await self.agent.send(self._side.microphone(_IN))

    async def listen(self) -> None:
        """Be the speaker."""
        async for event in self.agent.receive():
            if self._side.is_audio(event):
                self._lateness.note(self._emitted.popleft())
                self._unread -= 1
                self._look()

    def _look(self) -> None:
        if not self._unheard and not self._unread:
            self.over.set()

    async def _until(self, due: float) -> None:
        await asyncio.sleep(max(0.0, due - self._clock()))


async def converse(side: Side | BareSide, agents: int, seconds: float) -> dict[str, Any]:
    """Hold all conversations, and return what they cost.

    Raises:
        RuntimeError: If chunks did not arrive.
    """
    clock = asyncio.get_running_loop().time
    chunks_in, chunks_out = max(1, round(seconds / IN_S)), max(1, round(seconds / OUT_S))
    # The first agent of a process brings things along that all others share.
    await _hold([Talk(side, Lateness(4, clock), 0, clock(), 2, 2)])
    lateness = Lateness(agents * (chunks_in + chunks_out), clock)
    gc.collect()
    empty_mb = resident_mb()
    began = clock() + 0.2 + agents * 0.002
    # Spread out, as people are: no two are heard in the same instant.
    talks = [
        Talk(side, lateness, number, began + number * OUT_S / agents, chunks_in, chunks_out) for number in range(agents)
    ]
    used = cpu = elapsed = 0.0

    async def measure() -> None:
        nonlocal used, cpu, elapsed
        await asyncio.sleep(max(0.0, began - clock()))
        cpu, start = time.process_time(), clock()
        await asyncio.sleep(seconds)
        cpu, elapsed = time.process_time() - cpu, clock() - start
        used = resident_mb() - empty_mb

    await _hold(talks, measure)
    late = lateness.milliseconds()
    return {
        "cores": cpu / elapsed,
        # Not even a page may have come, where there are only a few.
        "kb_per_agent": max(used * 1024, 4.0) / agents,
        "late_p95_ms": percentile(late, 95),
        "late_most_ms": max(late),
    }


async def _hold(talks: Sequence[Talk], meanwhile: Callable[[], Awaitable[None]] | None = None) -> None:
    for talk in talks:
        await talk.agent.start()
    tasks = [asyncio.create_task(work()) for talk in talks for work in (talk.speak, talk.listen)]
    try:
        if meanwhile is not None:
            await meanwhile()
        async with asyncio.timeout(GRACE_S):
            for talk in talks:
                await talk.over.wait()
    except TimeoutError:
        for task in tasks:
            if task.done():
                task.result()
        raise RuntimeError(f"{sum(not talk.over.is_set() for talk in talks)} conversations lack chunks") from None
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for talk in talks:
            await talk.agent.stop()


KINDS: dict[str, Callable[[], Side | BareSide]] = {"ours": our_side, "peer": peer_side, "bare": BareSide}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("kind", choices=tuple(KINDS))
    parser.add_argument("--agents", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=30.0)
    options = parser.parse_args(arguments)
    print(json.dumps(asyncio.run(converse(KINDS[options.kind](), options.agents, options.seconds))))


if __name__ == "__main__":
    main()
