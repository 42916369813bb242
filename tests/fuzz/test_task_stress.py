"""Many threads at a manager at once: whatever meets whatever, every task ends and is told once."""

from __future__ import annotations

import asyncio
import random
import threading
from collections import Counter
from typing import Any

import pytest

from backchannel.agents import AsyncAgent
from backchannel.errors import TaskError, TaskRefusedError
from backchannel.tasks import AsyncTaskResult, AsyncToolManager, Task
from tests.support.soak import amount

THREADS, EACH = 8, 25
WAIT = 60.0


class Crowd:
    """Eight threads that start, cancel, resolve and wait for 200 tasks, plain and async, in an order drawn by lot."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.told: Counter[str] = Counter()
        self.completed: Counter[str] = Counter()
        self.errors: list[BaseException] = []
        self.lock = threading.Lock()
        self.gate = threading.Event()
        self.started = threading.Barrier(THREADS)
        self.tasks: list[Task] = []
        self.manager = AsyncToolManager(max_workers=4, max_coroutines=6, max_running=8, on_complete=self.complete)
        self.talk = AsyncAgent(self.agent, self.manager, gather_s=0)

    def complete(self, result: AsyncTaskResult) -> None:
        with self.lock:
            self.completed[result.task_id] += 1

    def agent(self, prompt: str) -> None:
        with self.lock:
            self.told.update(line.split()[1].rstrip(",") for line in prompt.splitlines() if line.startswith("Task "))

    def thread(self, number: int) -> None:
        lot = random.Random(self.seed * 1000 + number)
        try:
            self.started.wait(WAIT)
            for _ in range(EACH):
                self.act(lot)
        except BaseException as error:
            self.errors.append(error)

    def act(self, lot: random.Random) -> None:
        def plain(fails: bool, more: Any = None) -> str:
            if lot.random() < 0.2:
                self.gate.wait(WAIT)
            if fails:
                raise OSError("as drawn")
            return "value"

        async def waits(fails: bool, more: Any = None) -> str:
            for _ in range(lot.randrange(5)):
                await asyncio.sleep(0)
            if fails:
                raise OSError("as drawn")
            return "value"

        arguments: dict[str, Any] = {"fails": lot.random() < 0.3}
        with self.lock:
            known = lot.choice(self.tasks) if self.tasks else None
        if known is not None and lot.random() < 0.2:
            arguments["more"] = known
        kind = lot.randrange(4)
        try:
            if kind == 0:
                task = self.manager.defer("outside")
            else:
                task = self.manager.start(
                    "waits" if kind == 1 else "plain",
                    waits if kind == 1 else plain,
                    arguments,
                    retries=lot.randrange(3),
                    backoff_s=0,
                    priority=lot.randrange(3),
                    limit=None if kind == 1 else 3,
                    timeout=lot.choice([None, None, 0.0001]),
                    on_duplicate=lot.choice(["start_another", "start_another", "replace", "reuse"]),
                )
        except TaskRefusedError:
            return
        with self.lock:
            self.tasks.append(task)
            other = lot.choice(self.tasks)
        match lot.randrange(5):
            case 0:
                other.cancel("drawn")
            case 1:
                try:
                    self.manager.resolve(other, 7)
                except TaskError:
                    assert not other.options.deferred
            case 2:
                self.talk.drain_queue()

    def run(self) -> None:
        threads = [threading.Thread(target=self.thread, args=(number,), daemon=True) for number in range(THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(WAIT)
            assert not thread.is_alive(), "a caller is stuck"
        self.gate.set()
        for task in list(self.manager.tasks):
            if task.options.deferred:
                self.manager.resolve(task, 7)
        for task in self.manager.tasks:
            assert task.wait(WAIT), f"{task!r} is stuck"
        assert self.talk.join(WAIT), "the agent is stuck"
        self.talk.close()
        self.manager.shutdown()


@pytest.mark.parametrize("seed", range(amount(3, 200)))
def test_whatever_many_threads_do_at_once_every_task_ends_and_is_told_once(seed: int) -> None:
    crowd = Crowd(seed)
    crowd.run()
    assert crowd.errors == []
    manager, ids = crowd.manager, [task.id for task in crowd.manager.tasks]
    assert len(set(ids)) == len(ids) == len({task.number for task in manager.tasks})
    assert crowd.completed == Counter(ids)
    assert crowd.told == Counter(ids)
    assert all(task.delivered for task in manager.tasks)
    assert manager.pending_count == manager.admission.queued == manager.admission.running == 0
    assert not manager.admission._pools
    assert not manager._dependents
    assert not manager._pauses
    assert manager.store.is_idle()
