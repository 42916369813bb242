"""ProgressLoad: what the progress of many tasks takes of a conversation, and of a ledger, whose tasks they are."""

from __future__ import annotations

import asyncio
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backchannel import AsyncToolManager, Task, async_tool

from .figures import Figure, Target, UnavailableError
from .ours import OurSide

__all__ = ["ProgressLoad"]


@dataclass(frozen=True, slots=True)
class ProgressLoad:
    """``tasks`` of a `BidiAgent`, each reporting ``rate`` times a second for ``seconds``.

    One thread makes all reports, on a fixed schedule. Counted is the processor time of all other threads, and what each
    report spends in its own thread on whoever listens; the one who reads the conversation's events is among them.
    """

    tasks: int = 1000
    rate: int = 100
    seconds: float = 3.0

    def measure(self, runs: int) -> list[Figure]:
        conversation: list[float] = []
        ledger: list[float] = []
        for run in range(runs + 1):
            alone = asyncio.run(self._cores(None))
            with tempfile.TemporaryDirectory() as folder:
                kept = asyncio.run(self._cores(Path(folder, "tasks.jsonl")))
            if run:  # the first one warms up
                conversation.append(alone)
                ledger.append(kept)
        load = f"{self.tasks:,} tasks with {self.rate} updates a second each"
        return [
            Figure(f"{load}: a conversation that has them", "cores", conversation, target=Target(0.1)),
            Figure(f"{load}: the same, and a ledger", "cores", ledger, conversation, "without", Target(0.2)),
        ]

    async def _cores(self, ledger: Path | None) -> float:
        """Return the cores that are used."""
        manager = AsyncToolManager(grace_s=0, ledger=ledger)

        @async_tool(manager)
        def research(topic: str) -> str:
            """Research a topic."""
            return topic

        side = OurSide()

        async def feed() -> AsyncIterator[Any]:
            for event in [*side.opening("r1"), *side.closing("r1")]:
                yield event
            await asyncio.Event().wait()

        async def read() -> None:
            async for _ in agent.receive():
                pass

        agent = side.agent(feed, [research])
        await agent.start()
        reader = asyncio.create_task(read())
        # No thread and no coroutine for each: somebody else is to bring their values.
        tasks = [manager.defer("research", {"topic": str(number)}, owner=agent) for number in range(self.tasks)]
        await asyncio.sleep(0.2)
        done = asyncio.Event()
        found: dict[str, float] = {}
        loop = asyncio.get_running_loop()
        reporter = threading.Thread(
            target=lambda: (self._report(tasks, found), loop.call_soon_threadsafe(done.set)), daemon=True
        )
        before = time.process_time()
        reporter.start()
        await done.wait()
        used = time.process_time() - before - found["used"]
        reporter.join()
        noting = _noting(manager, tasks, 10)
        reader.cancel()
        await asyncio.gather(reader, return_exceptions=True)
        await agent.stop()
        manager.shutdown(wait=False, cancel=True)
        if found["lasted"] > 1.5 * self.seconds:
            raise UnavailableError(
                f"this machine is too busy: what was to last {self.seconds:g} s lasted {found['lasted']:.1f} s"
            )
        return used / found["lasted"] + noting * self.rate

    def _report(self, tasks: Sequence[Task], found: dict[str, float]) -> None:
        steps = int(self.seconds * self.rate)
        began, used = time.monotonic(), time.thread_time()
        for step in range(steps):
            for task in tasks:
                task.report(step, steps, None)
            time.sleep(max(0.0, began + (step + 1) / self.rate - time.monotonic()))
        found.update(lasted=time.monotonic() - began, used=time.thread_time() - used)


def _noting(manager: AsyncToolManager, tasks: Sequence[Task], times: int) -> float:
    """Return the seconds that the listeners take in the threads of these tasks for one report of each."""
    listeners = manager.listeners["progressed"]
    before = time.thread_time()
    for _ in range(times):
        for task in tasks:
            for listener in listeners:
                listener(task, "progressed")
    return (time.thread_time() - before) / times
