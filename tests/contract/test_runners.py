"""What every runner does: the same scenarios for plain functions in threads and for coroutines."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from backchannel.errors import TaskCancelledError, TaskFailedError, TaskRefusedError, TaskTimedOutError
from backchannel.tasks import AsyncToolManager, Task, cancelled, current_task, progress, track
from backchannel.tasks.manager import AsyncTaskResult
from backchannel.tasks.runners import coroutines

WAIT = 10.0


class Gate:
    """A place where a body waits, whatever it is made of, until the test opens it."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self._opened = threading.Event()

    def open(self) -> None:
        self._opened.set()

    def wait(self) -> None:
        self.reached.set()
        assert self._opened.wait(WAIT)

    async def wait_async(self) -> None:
        self.reached.set()
        await asyncio.get_running_loop().run_in_executor(None, self._opened.wait, WAIT)


class Threads:
    """Bodies as plain functions."""

    name = "threads"

    def manager(self, places: int) -> AsyncToolManager:
        return AsyncToolManager(max_workers=places)

    def body(self, before: Callable[[], Any], gate: Gate | None = None, after: Callable[[], Any] = lambda: None) -> Any:
        def run() -> Any:
            value = before()
            if gate is not None:
                gate.wait()
                after()
            return value

        return run

    def generator(self, *values: Any) -> Any:
        def run() -> Iterator[Any]:
            yield from values

        return run


class Coroutines:
    """Bodies as coroutine functions."""

    name = "coroutines"

    def manager(self, places: int) -> AsyncToolManager:
        return AsyncToolManager(max_coroutines=places)

    def body(self, before: Callable[[], Any], gate: Gate | None = None, after: Callable[[], Any] = lambda: None) -> Any:
        async def run() -> Any:
            value = before()
            if gate is not None:
                await gate.wait_async()
                after()
            return value

        return run

    def generator(self, *values: Any) -> Any:
        async def run() -> Any:
            for value in values:
                yield value

        return run


class Scene:
    """A manager with some places, and the results that it told."""

    def __init__(self, kind: Threads | Coroutines, places: int = 2) -> None:
        self.kind = kind
        self.told: list[AsyncTaskResult] = []
        self.manager = kind.manager(places)
        self.manager.on_complete = self.told.append
        self.body = kind.body
        self.gates: list[Gate] = []

    def gate(self) -> Gate:
        gate = Gate()
        self.gates.append(gate)
        return gate

    def start(self, body: Any, **options: Any) -> Task:
        return self.manager.start("body", body, {}, **options)

    def end(self) -> None:
        for gate in self.gates:
            gate.open()
        self.manager.shutdown()
        assert self.manager.pending_count == 0
        assert len(self.told) == len(self.manager.tasks)


@pytest.fixture(params=[Threads(), Coroutines()], ids=lambda kind: kind.name)
def scene(request: pytest.FixtureRequest) -> Iterator[Scene]:
    made = Scene(request.param)
    yield made
    made.end()


@pytest.fixture(params=[Threads(), Coroutines()], ids=lambda kind: kind.name)
def narrow(request: pytest.FixtureRequest) -> Iterator[Scene]:
    """With one place only."""
    made = Scene(request.param, places=1)
    yield made
    made.end()


def raising(error: BaseException) -> Callable[[], Any]:
    def fail() -> Any:
        raise error

    return fail


def test_a_value_comes_back(scene: Scene) -> None:
    task = scene.start(scene.body(lambda: {"a": 1}))
    assert task.result(WAIT) == {"a": 1}
    assert (task.status, task.value, task.error) == ("done", {"a": 1}, None)


def test_arguments_are_given_by_name(scene: Scene) -> None:
    def add(a: int, b: int) -> int:
        return a + b

    async def add_async(a: int, b: int) -> int:
        return a + b

    body = add if isinstance(scene.kind, Threads) else add_async
    assert scene.manager.start("add", body, {"a": 1, "b": 2}).result(WAIT) == 3


@pytest.mark.parametrize(
    "error",
    [ValueError("bad"), SystemExit(3), KeyboardInterrupt(), StopIteration("no"), BaseException("base")],
    ids=lambda error: type(error).__name__,
)
def test_whatever_a_body_raises_fails_its_task_only(scene: Scene, error: BaseException) -> None:
    task = scene.start(scene.body(raising(error)))
    with pytest.raises(TaskFailedError) as caught:
        task.result(WAIT)
    assert task.status == "failed"
    # Python itself makes a RuntimeError of a StopIteration that leaves a coroutine.
    remade = isinstance(error, StopIteration) and isinstance(scene.kind, Coroutines)
    assert type(task.error) is (RuntimeError if remade else type(error))
    assert caught.value.__cause__ is task.error
    assert scene.start(scene.body(lambda: "still there")).result(WAIT) == "still there"


def test_a_value_that_cannot_be_printed_is_still_a_value(scene: Scene) -> None:
    class Unprintable:
        def __repr__(self) -> str:
            raise ValueError("no")

    value = Unprintable()
    task = scene.start(scene.body(lambda: value))
    assert task.result(WAIT) is value
    assert "Unprintable" in task.summary()
    assert "Unprintable" in task.snapshot()["text"]


def test_a_body_says_how_far_it_is(scene: Scene) -> None:
    gate = scene.gate()
    task = scene.start(scene.body(lambda: progress(3, 12, "quarters"), gate))
    assert gate.reached.wait(WAIT)
    assert task.status == "running"
    assert task.progress[:4] == (3, 12, "quarters", 0.25)


def test_a_body_knows_its_task_and_runs_in_the_context_of_its_caller(scene: Scene) -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable")
    variable.set("of the caller")
    task = scene.start(scene.body(lambda: (current_task(), variable.get())))
    assert task.result(WAIT) == (task, "of the caller")
    assert current_task() is None


def test_print_in_a_body_works(scene: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    assert scene.start(scene.body(lambda: print("from the task"))).result(WAIT) is None
    assert capsys.readouterr().out == "from the task\n"


def test_a_waiting_task_is_cancelled_without_running(narrow: Scene) -> None:
    gate, ran = narrow.gate(), []
    first = narrow.start(narrow.body(lambda: None, gate))
    assert gate.reached.wait(WAIT)
    second = narrow.start(narrow.body(lambda: ran.append(2)))
    third = narrow.start(narrow.body(lambda: ran.append(3)))
    assert second.status == "queued"
    assert second.cancel()
    with pytest.raises(TaskCancelledError):
        second.result(WAIT)
    gate.open()
    first.result(WAIT)
    third.result(WAIT)
    assert ran == [3]
    assert second.elapsed == 0


def test_a_running_task_is_cancelled_at_once_and_its_value_is_dropped(scene: Scene) -> None:
    gate = scene.gate()
    task = scene.start(scene.body(lambda: "value", gate))
    assert gate.reached.wait(WAIT)
    assert task.cancel("enough")
    assert task.status == "cancelled"
    assert not task.cancel()
    gate.open()
    with pytest.raises(TaskCancelledError, match="enough"):
        task.result(WAIT)
    scene.manager.shutdown()
    assert task.value is None
    assert [result.task_id for result in scene.told] == [task.id]


def test_a_cancelled_body_learns_of_it(scene: Scene) -> None:
    gate, ended, seen = scene.gate(), threading.Event(), []

    def go_on() -> None:
        seen.append(cancelled())
        try:
            for step in track(range(5)):
                seen.append(step)
        finally:
            ended.set()

    if isinstance(scene.kind, Threads):
        task = scene.start(scene.body(lambda: None, gate, go_on))
    else:

        async def body() -> None:
            try:
                await gate.wait_async()
            except asyncio.CancelledError:
                go_on()
                raise

        task = scene.start(body)
    assert gate.reached.wait(WAIT)
    task.cancel()
    gate.open()
    assert ended.wait(WAIT)
    assert seen == [True]


def test_a_task_that_runs_too_long_is_timed_out_and_its_value_is_dropped(scene: Scene) -> None:
    gate = scene.gate()
    task = scene.start(scene.body(lambda: "value", gate), timeout=0.02)
    with pytest.raises(TaskTimedOutError, match="ran longer than its time-out"):
        task.result(WAIT)
    gate.open()
    scene.manager.shutdown()
    assert (task.status, task.value) == ("timed_out", None)


def test_the_time_spent_waiting_for_a_place_does_not_count(narrow: Scene) -> None:
    gate = narrow.gate()
    first = narrow.start(narrow.body(lambda: None, gate), timeout=0.05)
    second = narrow.start(narrow.body(lambda: "in time"), timeout=60.0)
    with pytest.raises(TaskTimedOutError):
        first.result(WAIT)
    assert second.result(WAIT) == "in time"


def test_a_stuck_body_gives_its_place_away_when_it_is_cancelled(narrow: Scene) -> None:
    gate = narrow.gate()
    stuck = narrow.start(narrow.body(lambda: None, gate))
    assert gate.reached.wait(WAIT)
    following = narrow.start(narrow.body(lambda: "my turn"))
    stuck.cancel()
    assert following.result(WAIT) == "my turn"
    gate.open()
    assert [narrow.start(narrow.body(lambda n=n: n)).result(WAIT) for n in range(3)] == [0, 1, 2]


def test_no_more_run_at_a_time_than_there_are_places(narrow: Scene) -> None:
    running, most = [0], [0]
    lock = threading.Lock()

    def enter() -> None:
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])

    def leave() -> None:
        with lock:
            running[0] -= 1

    gate = narrow.gate()
    tasks = [narrow.start(narrow.body(enter, gate, leave)) for _ in range(10)]
    assert gate.reached.wait(WAIT)
    assert [task.status for task in tasks].count("queued") == 9
    gate.open()
    for task in tasks:
        task.result(WAIT)
    assert most == [1]


def test_text_that_a_generator_yields_goes_to_the_log_and_the_last_value_is_the_result(scene: Scene) -> None:
    task = scene.start(scene.kind.generator("loading", "saving", 42))
    assert task.result(WAIT) == 42
    assert task.logs == ["loading", "saving"]
    assert scene.start(scene.kind.generator()).result(WAIT) is None


def test_a_generator_that_was_cancelled_ends_at_its_next_step(scene: Scene) -> None:
    gate, reached = scene.gate(), []

    def plain() -> Iterator[str]:
        yield "one"
        gate.wait()
        yield "two"
        reached.append("three")

    async def asynchronous() -> Any:
        yield "one"
        await gate.wait_async()
        yield "two"
        reached.append("three")

    task = scene.start(plain if isinstance(scene.kind, Threads) else asynchronous)
    assert gate.reached.wait(WAIT)
    task.cancel()
    gate.open()
    following = [scene.start(scene.body(lambda: "end")) for _ in range(3)]
    assert [other.result(WAIT) for other in following] == ["end"] * 3
    assert reached == []


def test_many_tasks_all_end_and_are_told_once(scene: Scene) -> None:
    tasks = [scene.start(scene.body(lambda n=n: n)) for n in range(300)]
    assert [task.result(WAIT) for task in tasks] == list(range(300))
    scene.manager.shutdown()
    assert sorted(result.value for result in scene.told) == list(range(300))


def test_nothing_is_accepted_after_the_shutdown(scene: Scene) -> None:
    scene.manager.shutdown()
    with pytest.raises(TaskRefusedError, match="shut down"):
        scene.start(scene.body(lambda: None))


def test_a_shutdown_may_cancel_what_is_under_way(narrow: Scene) -> None:
    gate = narrow.gate()
    tasks = [narrow.start(narrow.body(lambda: None, gate)) for _ in range(3)]
    assert gate.reached.wait(WAIT)
    narrow.manager.shutdown(cancel=True)
    assert [task.status for task in tasks] == ["cancelled"] * 3


async def test_a_task_can_be_awaited_and_who_stops_waiting_does_not_stop_it(scene: Scene) -> None:
    gate = scene.gate()
    task = scene.start(scene.body(lambda: "value", gate))

    async def wait() -> Any:
        return await task

    waiter = asyncio.create_task(wait())
    await asyncio.get_running_loop().run_in_executor(None, gate.reached.wait, WAIT)
    waiter.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiter
    assert task.status == "running"
    gate.open()
    assert await task == "value"
    assert await task == "value"


async def test_coroutines_run_on_the_loop_where_they_are_started() -> None:
    manager = AsyncToolManager()

    async def body() -> Any:
        return asyncio.get_running_loop()

    assert await manager.start("body", body, {}) is asyncio.get_running_loop()


def test_coroutines_run_on_the_default_loop_if_there_is_one() -> None:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    async def body() -> Any:
        return asyncio.get_running_loop()

    running = threading.Event()
    loop.call_soon_threadsafe(running.set)
    assert running.wait(WAIT)
    coroutines.set_default_loop(loop)
    try:
        assert AsyncToolManager().start("body", body, {}).result(WAIT) is loop
    finally:
        coroutines.set_default_loop(None)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(WAIT)
        loop.close()
    assert AsyncToolManager().start("body", body, {}).result(WAIT) is not loop


def test_a_coroutine_whose_loop_ends_is_cancelled() -> None:
    manager = AsyncToolManager(max_coroutines=1)

    async def forever() -> None:
        await asyncio.Event().wait()

    async def start() -> list[Task]:
        return [manager.start("forever", forever, {}) for _ in range(3)]

    tasks = asyncio.run(start())
    for task in tasks[:1]:
        with pytest.raises(TaskCancelledError, match="its event loop was stopped"):
            task.result(WAIT)
    manager.shutdown(cancel=True)
    assert [task.status for task in tasks] == ["cancelled"] * 3


def test_a_sync_function_that_returns_a_coroutine_is_run_to_its_end() -> None:
    async def inner() -> int:
        return 5

    assert AsyncToolManager().start("outer", lambda: inner(), {}).result(WAIT) == 5
