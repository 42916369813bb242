"""The part of `scale` that runs in a process of its own: so many tasks, queued, and what each of them takes."""

from __future__ import annotations

import argparse
import gc
import json
import shutil
import tempfile
import threading
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

from backchannel import AsyncToolManager
from backchannel.agents import AsyncAgent

__all__ = ["measure"]

WORKERS = 4


class _Queue:
    """A manager whose workers are held at a gate, so that all further tasks wait."""

    def __init__(self, ledger: Path | None = None) -> None:
        self.manager = AsyncToolManager(max_workers=WORKERS, ledger=ledger)
        self._gate = threading.Event()
        for number in range(WORKERS):
            self.manager.submit("research", self._research, topic=number)

    def _research(self, topic: int) -> int:
        self._gate.wait()
        return topic

    def fill(self, tasks: int) -> None:
        """Queue so many tasks."""
        submit, research = self.manager.submit, self._research
        for number in range(tasks):
            submit("research", research, topic=number)

    def open(self) -> None:
        """Let all of them run."""
        self._gate.set()

    def drain(self) -> None:
        """Let all of them run, and wait for the last one's end."""
        self.open()
        self.manager.shutdown(wait=True)

    def cancel(self) -> None:
        """Cancel all of them."""
        self.manager.shutdown(wait=False, cancel=True)
        self.open()


def measure(tasks: int) -> dict[str, float]:
    """Return what each of so many tasks takes: microseconds, and bytes while it is queued.

    Microseconds of the processor, in all threads: those of the clock grow with whatever else the machine does, and the
    longer something lasts the more of that comes in between.
    """
    return {
        "queue_us": _times(tasks, lambda queue: queue.fill(tasks), lambda queue: queue.cancel(), first=True),
        "run_us": _times(tasks, lambda queue: queue.fill(tasks), lambda queue: queue.drain()),
        "cancel_us": _times(tasks, lambda queue: queue.fill(tasks), lambda queue: queue.cancel()),
        "tell_us": _telling(tasks),
        "bytes": _bytes(tasks),
        **_with_ledger(tasks),
    }


def _times(
    tasks: int, one: Callable[[_Queue], object], other: Callable[[_Queue], object], *, first: bool = False
) -> float:
    """Do one thing and then the other; return the microseconds for each task of the second, or of the first."""
    queue = _Queue()
    gc.collect()
    began = time.process_time()
    one(queue)
    between = time.process_time()
    other(queue)
    ended = time.process_time()
    return ((between - began) if first else (ended - between)) / tasks * 1e6


def _telling(tasks: int) -> float:
    """Return the microseconds a task until an `AsyncAgent` has told all results to a model that says little."""
    queue = _Queue()
    told = 0

    def agent(prompt: str) -> str:
        nonlocal told
        told += prompt.count("\nResult: ")
        return "Thank you."

    with AsyncAgent(agent, queue.manager) as talk:
        queue.fill(tasks)
        gc.collect()
        began = time.process_time()
        queue.open()
        complete = talk.join()
        elapsed = time.process_time() - began
    queue.drain()
    if not complete or told != tasks + WORKERS:
        raise RuntimeError(f"{told} of {tasks + WORKERS} results were told")
    return elapsed / tasks * 1e6


def _with_ledger(tasks: int) -> dict[str, float]:
    """Return the microseconds a task to queue it with a ledger, and to take it up again after a crash."""
    with tempfile.TemporaryDirectory() as folder:
        written, found = Path(folder, "tasks.jsonl"), Path(folder, "found.jsonl")
        queue = _Queue(written)
        gc.collect()
        began = time.process_time()
        queue.fill(tasks)
        queued = time.process_time() - began
        # What a crash at this moment would leave.
        shutil.copyfile(written, found)
        gc.collect()
        began = time.process_time()
        again = AsyncToolManager(ledger=found)
        taken_up = time.process_time() - began
        known = {task.status for task in again.tasks}
        again.shutdown()
        queue.cancel()
        queue.manager.shutdown()
    if known != {"lost"}:
        raise RuntimeError(f"after a crash the tasks are {known}")
    return {"ledger_us": queued / tasks * 1e6, "restart_us": taken_up / tasks * 1e6}


def _bytes(tasks: int) -> float:
    queue = _Queue()
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    queue.fill(tasks)
    gc.collect()
    after = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    queue.cancel()
    return (after - before) / tasks


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("tasks", type=int)
    options = parser.parse_args()
    measure(min(options.tasks, 200))  # warms up
    found: dict[str, Any] = measure(options.tasks)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
