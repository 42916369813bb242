"""Submit: from the call of a background tool to its acknowledgement, also where a ledger is kept."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Literal

from backchannel import AsyncToolManager, Task, async_tool
from backchannel.tasks import AsyncTool

from .figures import Figure, Target

__all__ = ["Submit"]

Topic = Literal["solar power", "wind power", "fusion", "batteries", "hydrogen", "tidal power", "geothermal", "biomass"]
PEER = "ThreadPoolExecutor + check"
WORKERS = 4


@dataclass(frozen=True, slots=True)
class Submit:
    """The same function and arguments, ``calls`` times: while workers are idle, and while all of them are busy.

    The pool only queues the call. Ours also makes a task of it, which has a number, a place among the others by
    priority and limits, progress, a log, an end that is told, and an acknowledgement in words.
    """

    calls: int = 1000

    def measure(self, runs: int) -> list[Figure]:
        return [
            self._figure("submit to acknowledgement, workers idle", runs, busy=False),
            self._figure("submit to acknowledgement, workers busy", runs, busy=True),
            self._ledger(runs),
        ]

    def _figure(self, what: str, runs: int, *, busy: bool) -> Figure:
        ours, peer = self._alternate(runs, lambda: _ours(self.calls, busy), lambda: _peer(self.calls, busy))
        return Figure(what, "µs", ours, peer, PEER, Target(100.0))

    def _ledger(self, runs: int) -> Figure:
        """With a file in which each task is written down before it is acknowledged, beside the same without."""

        def kept() -> float:
            with tempfile.TemporaryDirectory() as folder:
                return _ours(self.calls, True, Path(folder, "tasks.jsonl"))

        ours, peer = self._alternate(runs, kept, lambda: _ours(self.calls, True))
        what = "submit to acknowledgement with a ledger, workers busy"
        return Figure(what, "µs", ours, peer, "without a ledger", Target(500.0))

    def _alternate(
        self, runs: int, ours: Callable[[], float], peer: Callable[[], float]
    ) -> tuple[list[float], list[float]]:
        """Measure both by turns; return what was found for each."""
        found: dict[Callable[[], float], list[float]] = {ours: [], peer: []}
        for run in range(runs + 1):
            for measure in (ours, peer) if run % 2 else (peer, ours):
                value = measure()
                if run:  # the first one warms up
                    found[measure].append(value)
        return found[ours], found[peer]


def _function(gate: threading.Event) -> Callable[..., str]:
    def research(topic: Topic, depth: int = 3) -> str:
        """Research a topic."""
        gate.wait()
        return f"{topic}: {depth}"

    return research


def _ours(calls: int, busy: bool, ledger: Path | None = None) -> float:
    """Return the median of microseconds of a call and its acknowledgement."""
    gate = threading.Event()
    manager = AsyncToolManager(max_workers=WORKERS, ledger=ledger)
    research = async_tool(manager)(_function(gate))
    told: list[tuple[Task, str]] = []

    def call() -> Task:
        task = research(topic="solar power", depth=5)
        told.append((task, str(task)))
        return task

    elapsed = _calls(call, lambda task: task.result(), calls, gate, busy)
    manager.shutdown(wait=True)
    silent = sum(task.id not in text for task, text in told)
    if silent:
        raise RuntimeError(f"{silent} of {len(told)} acknowledgements do not name their task")
    return elapsed


def _peer(calls: int, busy: bool) -> float:
    gate = threading.Event()
    function = _function(gate)
    schema = AsyncTool(function).schema
    with ThreadPoolExecutor(WORKERS) as pool:

        def call() -> Future[str]:
            return pool.submit(function, **schema.check({"topic": "solar power", "depth": 5}))

        return _calls(call, lambda future: future.result(), calls, gate, busy)


def _calls(
    call: Callable[[], Any], wait: Callable[[Any], object], calls: int, gate: threading.Event, busy: bool
) -> float:
    clock = time.perf_counter
    if busy:
        # The workers hold at the gate; what follows is queued.
        handles = [call() for _ in range(WORKERS)]
    else:
        handles = []
        gate.set()
    elapsed: list[float] = []
    for _ in range(calls):
        began = clock()
        handle = call()
        elapsed.append(clock() - began)
        if busy:
            handles.append(handle)
        else:
            wait(handle)
    gate.set()
    for handle in handles:
        wait(handle)
    return median(elapsed) * 1e6
