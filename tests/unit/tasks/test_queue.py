"""The manager's queue: places, priorities, limits and refusals, with real threads."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from backchannel.errors import TaskCancelledError, TaskFailedError, TaskRefusedError, ToolDefinitionError
from backchannel.tasks import AsyncToolManager, Task, async_tool, current_task

WAIT = 10.0


class Busy:
    """A manager with one place, which is taken until the gate opens."""

    def __init__(self, **options: Any) -> None:
        self.gate = threading.Event()
        self.manager = AsyncToolManager(max_workers=1, **options)
        self.first = self.manager.start("wait", self.gate.wait, {"timeout": WAIT})

    def end(self) -> None:
        self.gate.set()
        self.manager.shutdown()


@pytest.fixture
def busy() -> Iterator[Busy]:
    made = Busy()
    yield made
    made.end()


def test_higher_priorities_start_first(busy: Busy):
    order: list[int] = []
    for number, priority in enumerate([0, 5, 0, 5, -1]):
        busy.manager.start("f", lambda number=number: order.append(number), {}, priority=priority)
    busy.end()
    assert order == [1, 3, 0, 2, 4]


def test_nothing_is_told_of_a_task_before_that_it_is_there(busy: Busy):
    heard: list[str] = []

    def listen(task: Task, kind: str) -> None:
        if task is not busy.first:
            if kind == "queued":
                busy.gate.set()
                busy.first.result(WAIT)
            heard.append(f"{task.label} {kind}")

    busy.manager.subscribe(listen, kinds=["queued", "started", "finished"])
    busy.manager.start("mine", lambda: None, {}).result(WAIT)
    busy.end()
    assert [said for said in heard if said.startswith("mine")] == ["mine queued", "mine started", "mine finished"]


def test_a_full_queue_refuses_in_words_and_keeps_nothing():
    busy = Busy(max_queued=2)
    waiting = [busy.manager.start("f", lambda: None, {}) for _ in range(2)]
    with pytest.raises(TaskRefusedError, match=r"report was not started: 2 tasks wait already.*max_queued=2"):
        busy.manager.submit("report", lambda: None)
    assert busy.manager.tasks == [busy.first, *waiting]
    assert busy.manager.pending_count == 3
    waiting[0].cancel()
    assert busy.manager.submit("report", lambda: None)
    busy.end()


def test_nothing_waits_where_the_queue_has_no_place():
    busy = Busy(max_queued=0)
    with pytest.raises(TaskRefusedError):
        busy.manager.submit("f", lambda: None)
    busy.gate.set()
    busy.first.result(WAIT)
    assert busy.manager.start("f", lambda: 1, {}).result(WAIT) == 1
    busy.end()


def test_a_limit_of_one_tool_holds_up_no_other():
    manager = AsyncToolManager(max_workers=8)
    now, most = Counter[str](), Counter[str]()
    lock, gate = threading.Lock(), threading.Event()

    def body(name: str) -> None:
        with lock:
            now[name] += 1
            most[name] = max(most[name], now[name])
        gate.wait(0.002)
        with lock:
            now[name] -= 1

    limited = async_tool(manager, name="limited", limit=2)(body)
    free = async_tool(manager, name="free")(body)
    for _ in range(40):
        limited("limited")
        free("free")
    manager.shutdown()
    assert most["limited"] <= 2
    assert now == {"limited": 0, "free": 0}


async def test_one_bound_holds_for_threads_and_coroutines_together():
    manager = AsyncToolManager(max_workers=4, max_running=3)
    now = most = 0
    lock = threading.Lock()

    def enter() -> None:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)

    def leave() -> None:
        nonlocal now
        with lock:
            now -= 1

    def plain() -> None:
        enter()
        time.monotonic()
        leave()

    async def asynchronous() -> None:
        enter()
        leave()

    tasks = [manager.start("f", body, {}) for _ in range(30) for body in (plain, asynchronous)]
    for task in tasks:
        await task
    assert most <= 3
    assert manager.admission.running == manager.admission.queued == 0
    manager.shutdown()


def test_a_cancelled_task_gives_its_place_to_the_next(busy: Busy):
    following = busy.manager.start("f", lambda: 1, {})
    busy.first.cancel()
    assert following.result(WAIT) == 1


def test_ten_thousand_wait_and_end():
    busy = Busy()
    ran: list[int] = []
    for number in range(10_000):
        busy.manager.start("f", lambda number=number: ran.append(number), {})
    assert busy.manager.admission.queued == 10_000
    busy.end()
    assert ran == list(range(10_000))
    assert len(busy.manager.tasks) == 1000


def test_a_shutdown_that_cancels_starts_none_of_those_that_wait():
    busy = Busy()
    ran: list[int] = []
    tasks = [busy.manager.start("f", lambda: ran.append(1), {}) for _ in range(2000)]
    busy.manager.shutdown(cancel=True)
    assert {task.status for task in tasks} == {"cancelled"}
    assert ran == []
    busy.gate.set()


def test_starts_ends_and_cancels_from_many_threads_leave_nothing_behind():
    told: Counter[str] = Counter()
    refused = Counter[str]()
    manager = AsyncToolManager(
        max_workers=3, max_running=3, max_queued=20, on_complete=lambda result: told.update([result.task_id])
    )
    tasks: list[Task] = []

    def flaky(number: int) -> int:
        if number % 3 == 0:
            raise OSError(number)
        return number

    def work(offset: int) -> None:
        for number in range(offset, offset + 100):
            try:
                task = manager.start(
                    f"t{number % 4}",
                    flaky,
                    {"number": number},
                    retries=number % 2,
                    backoff_s=0,
                    limit=2 if number % 4 == 0 else None,
                    priority=number % 3,
                    after=tasks[-1] if tasks and number % 7 == 0 else None,
                )
            except TaskRefusedError:
                refused["full"] += 1
                continue
            tasks.append(task)
            if number % 5 == 0:
                task.cancel()

    threads = [threading.Thread(target=work, args=(offset,)) for offset in range(0, 600, 100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT)
    manager.shutdown()
    assert all(task.done() for task in tasks)
    assert told == Counter(task.id for task in tasks)
    assert len(tasks) + refused["full"] == 600
    assert (manager.admission.running, manager.admission.queued, manager.pending_count) == (0, 0, 0)
    assert not manager.admission._pools
    assert not manager._dependents
    assert manager.store.is_idle()


# Where it runs


def test_a_tool_says_where():
    names: list[str] = []

    def where() -> None:
        names.append(threading.current_thread().name)

    tool = async_tool(AsyncToolManager(), runner="thread")(where)
    tool().result(WAIT)
    assert names[0].startswith("backchannel-task")


async def test_a_plain_function_is_no_coroutine():
    with pytest.raises(TaskRefusedError, match='runner="coroutine" takes only async functions'):
        AsyncToolManager(runner="coroutine").submit("f", lambda: None)


def test_an_unknown_place_is_named():
    with pytest.raises(ToolDefinitionError, match="runner='moon'"):
        AsyncToolManager().start("f", lambda: None, {}, runner="moon")


class Broken:
    """A runner that is no use."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def start(self, job: Any) -> None:
        del job
        raise self.error

    def stop(self, job: Any) -> None:
        del job

    def is_carried_here(self, job: Any) -> bool:
        del job
        return False


def test_a_runner_that_raises_fails_its_task_only():
    manager = AsyncToolManager(runner=Broken(OSError("the cluster is gone")))
    task = manager.start("f", lambda: None, {})
    assert (task.status, task.summary()) == ("failed", "OSError: the cluster is gone")
    assert manager.start("f", lambda: 1, {}, runner="thread").result(WAIT) == 1
    manager.shutdown()


def test_a_runner_that_refuses_thousands_is_no_deep_recursion():
    manager = AsyncToolManager()
    runner = Broken(TaskRefusedError("closed"))
    runner.limit = 1  # type: ignore[attr-defined]
    gate = threading.Event()
    first = manager.start("wait", gate.wait, {"timeout": WAIT})
    tasks = [manager.start("f", lambda: None, {}, after=first, runner=runner) for _ in range(3000)]
    gate.set()
    manager.shutdown()
    assert {task.status for task in tasks} == {"cancelled"}


@pytest.mark.parametrize(
    "options",
    [{"max_running": 0}, {"max_queued": -1}, {"max_queued": True}, {"grace_s": -1}, {"grace_s": float("nan")}],
)
def test_bounds_that_cannot_be_are_refused(options: dict[str, Any]):
    with pytest.raises(ValueError, match=f"{next(iter(options))} must be"):
        AsyncToolManager(**options)


async def test_the_grace_of_a_tool_is_the_managers_unless_it_says():
    gate = threading.Event()

    def quick() -> int:
        """Be quick."""
        return 1

    def slow() -> bool:
        """Be slow."""
        return gate.wait(WAIT)

    manager = AsyncToolManager(grace_s=WAIT)
    for tool, acknowledged in [
        (async_tool(manager)(quick), False),
        (async_tool(manager, grace_s=0)(slow), True),
    ]:
        (event,) = [e async for e in tool.stream({"toolUseId": "c", "name": tool.tool_name, "input": {}}, {})]
        assert (event.task is not None) == acknowledged
    gate.set()
    manager.shutdown()


@pytest.mark.parametrize("options", [{}, {"max_running": 1}])
def test_tools_that_wait_for_tools_find_a_place_however_few_there_are(options: dict[str, Any]):
    with AsyncToolManager(max_workers=1, **options) as manager:

        @async_tool(manager, limit=1)
        def count(down: int) -> int:
            return 1 + (count(down - 1).result(WAIT) if down else 0)

        assert count(20).result(WAIT) == 21
        assert manager.admission.running == 0


def test_coroutines_that_wait_for_coroutines_find_a_place():
    with AsyncToolManager(max_coroutines=1) as manager:

        @async_tool(manager, limit=1)
        async def count(down: int) -> int:
            return 1 + (await count(down - 1) if down else 0)

        assert count(20).result(WAIT) == 21


def test_threads_of_a_body_that_wait_lend_its_place_once():
    with AsyncToolManager(max_workers=1) as manager:
        ran: list[int] = []
        double = async_tool(manager, name="double")(lambda n: ran.append(n) or 2 * n)

        def body() -> list[int]:
            with ThreadPoolExecutor(4) as pool:
                return list(pool.map(lambda n: double(n).result(WAIT), range(8)))

        assert manager.start("body", body, {}).result(WAIT) == [0, 2, 4, 6, 8, 10, 12, 14]
        gate, started = threading.Event(), threading.Event()
        first = manager.start("first", lambda: started.set() or gate.wait(WAIT), {})
        second = manager.start("second", lambda: None, {})
        assert started.wait(WAIT)
        assert (first.status, second.status) == ("running", "queued")
        gate.set()


def test_who_is_cancelled_while_his_place_is_lent_gets_none_back(busy: Busy):
    waits = threading.Event()

    def body() -> None:
        waits.set()
        busy.first.wait(WAIT)

    manager = AsyncToolManager(max_workers=1)
    waiting = manager.start("wait", body, {})
    assert waits.wait(WAIT)
    assert waiting.cancel()
    assert manager.start("next", lambda: 1, {}).result(WAIT) == 1
    busy.gate.set()
    manager.shutdown()
    assert manager.admission.running == 0


def test_a_task_cannot_wait_for_itself_nor_for_what_starts_after_it():
    with AsyncToolManager() as manager:
        never = async_tool(manager, name="never")(lambda: None)

        def itself() -> None:
            current_task().result()

        def follower() -> None:
            never.options(after=current_task())().result()

        async def itself_later() -> None:
            await current_task()

        for body in (itself, follower, itself_later):
            with pytest.raises(TaskFailedError, match="cannot wait for itself, nor for one that starts after it"):
                manager.start("body", body, {}).result(WAIT)


def test_a_thread_of_the_body_may_wait_for_the_bodys_end():
    with AsyncToolManager() as manager:
        ended = threading.Event()

        def body() -> int:
            task = current_task()
            threading.Thread(target=lambda: task.wait(WAIT) and ended.set()).start()
            return 3

        assert manager.start("body", body, {}).result(WAIT) == 3
        assert ended.wait(WAIT)


@pytest.mark.parametrize("options", [{}, {"timeout": 0.05}])
def test_a_body_that_waits_for_another_task_ends_when_its_own_is_to_end(busy: Busy, options: dict[str, Any]):
    waits, raised = threading.Event(), threading.Event()

    def body() -> None:
        waits.set()
        try:
            busy.first.result(WAIT)
        except TaskCancelledError:
            # Tidying up may wait as it likes.
            assert not busy.first.wait(0.001)
            raised.set()

    with AsyncToolManager() as manager:
        task = manager.start("wait", body, {}, **options)
        assert waits.wait(WAIT)
        if not options:
            task.cancel()
        assert raised.wait(WAIT)
        assert task.status == ("timed_out" if options else "cancelled")
        assert busy.first.status == "running"


def test_what_a_thread_of_the_body_waits_for_is_its_own_business(busy: Busy):
    seen: list[bool] = []
    threads: list[threading.Thread] = []

    def body() -> None:
        threads.append(threading.Thread(target=lambda: seen.append(busy.first.wait(WAIT))))
        threads[0].start()

    with AsyncToolManager() as manager:
        manager.start("start", body, {}).result(WAIT)
        busy.gate.set()
        threads[0].join(WAIT)
        assert seen == [True]
