"""One contract for all runners: threads, coroutines, processes, any executor, Dask."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import logging
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import distributed
import pytest
import tqdm

from backchannel.errors import (
    TaskCancelledError,
    TaskFailedError,
    TaskRefusedError,
    TaskTimedOutError,
)
from backchannel.tasks import AsyncToolManager, Task, cancelled, current_task, progress, track
from backchannel.tasks.deferred import Deferred
from backchannel.tasks.manager import AsyncTaskResult
from backchannel.tasks.runners import Runner, coroutines
from backchannel.tasks.runners.dask import DaskRunner
from backchannel.tasks.runners.executor import ExecutorRunner
from backchannel.tasks.runners.processes import ProcessRunner
from tests.support.crossing import Gate, Notes

WAIT = 20.0


class Kind:
    """One runner, and what it can do.

    Attributes:
        is_here: Bodies run in this process, and share its objects and context.
        tells: Progress and log lines come while a body runs.
        frees: A stuck body that was cancelled holds up nothing.
    """

    name = ""
    is_async = False
    is_here = True
    tells = True
    frees = True

    def manager(self, places: int) -> AsyncToolManager:
        return AsyncToolManager(max_workers=places, runner=self.runner(places))

    def runner(self, places: int) -> Runner | str:
        raise NotImplementedError

    def close(self, manager: AsyncToolManager) -> None:
        """A scene with this manager is over."""

    def end(self) -> None:
        """All scenes are over."""

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


class Threads(Kind):
    """Bodies as plain functions."""

    name = "threads"

    def runner(self, places: int) -> Runner | str:
        return "thread"


class Coroutines(Kind):
    """Bodies as coroutine functions."""

    name = "coroutines"
    is_async = True

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


class Processes(Kind):
    """Bodies in worker processes."""

    name = "processes"
    is_here = False

    def runner(self, places: int) -> Runner | str:
        return ProcessRunner(places, grace_s=0.0)

    def close(self, manager: AsyncToolManager) -> None:
        manager.runner.close()


class Executors(Kind):
    """Bodies in an executor of somebody else's."""

    frees = False

    def __init__(self) -> None:
        self._made: list[Executor] = []

    def make(self, places: int) -> Executor:
        raise NotImplementedError

    def runner(self, places: int) -> Runner | str:
        executor = self.make(places)
        self._made.append(executor)
        return ExecutorRunner(executor)

    def close(self, manager: AsyncToolManager) -> None:
        self._made.pop().shutdown()


class ThreadPools(Executors):
    name = "thread pool"

    def make(self, places: int) -> Executor:
        return ThreadPoolExecutor(places)


class ProcessPools(Executors):
    name = "process pool"
    is_here = False
    tells = False

    def make(self, places: int) -> Executor:
        return ProcessPoolExecutor(places, mp_context=get_context("spawn"))

    def runner(self, places: int) -> Runner | str:
        with pytest.warns(UserWarning, match="no progress"):
            return super().runner(places)


class Dask(Kind):
    """Bodies on a Dask cluster, whose workers are threads of this process here."""

    name = "dask"
    is_here = False
    frees = False

    def __init__(self) -> None:
        self._clusters: dict[int, tuple[distributed.LocalCluster, distributed.Client]] = {}

    def runner(self, places: int) -> Runner | str:
        if places not in self._clusters:
            cluster = distributed.LocalCluster(
                processes=False, n_workers=1, threads_per_worker=places, dashboard_address="127.0.0.1:0"
            )
            self._clusters[places] = cluster, distributed.Client(cluster, set_as_default=False)
        return DaskRunner(self._clusters[places][1])

    def end(self) -> None:
        for cluster, client in self._clusters.values():
            client.close()
            cluster.close()
        self._clusters.clear()


KINDS: list[Kind] = [Threads(), Coroutines(), Processes(), ThreadPools(), ProcessPools(), Dask()]


class Scene:
    """A manager with some places, and the results that it told."""

    def __init__(self, kind: Kind, notes: Notes, places: int = 2) -> None:
        self.kind = kind
        self.notes = notes
        self.told: list[AsyncTaskResult] = []
        self.manager = kind.manager(places)
        self.manager.on_complete = self.told.append
        self.body = kind.body
        # What a cluster does is known here a moment later.
        self.started = threading.Semaphore(0)
        self.manager.subscribe(lambda task, kind: self.started.release(), ["started"])
        self.gates: list[Gate] = []

    def gate(self) -> Gate:
        gate = Gate()
        self.gates.append(gate)
        return gate

    def start(self, body: Any, **options: Any) -> Task:
        return self.manager.start("body", body, {}, **options)

    def end(self) -> None:
        for gate in self.gates:
            gate.close()
        self.manager.shutdown()
        self.kind.close(self.manager)
        assert self.manager.pending_count == 0
        assert len(self.told) == len(self.manager.tasks)


@pytest.fixture(scope="module", autouse=True)
def end_of_all() -> Iterator[None]:
    yield
    for kind in KINDS:
        kind.end()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each test over the runners that can do what it needs."""
    marker = metafunc.definition.get_closest_marker("needs")
    needs = marker.kwargs if marker is not None else {}
    kinds = [kind for kind in KINDS if all(getattr(kind, name) is wanted for name, wanted in needs.items())]
    for name in ("scene", "narrow"):
        if name in metafunc.fixturenames:
            metafunc.parametrize(name, kinds, ids=lambda kind: kind.name, indirect=True)


@pytest.fixture
def scene(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Scene]:
    made = Scene(request.param, Notes(tmp_path / "notes"))
    yield made
    made.end()


@pytest.fixture
def narrow(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Scene]:
    """With one place only."""
    made = Scene(request.param, Notes(tmp_path / "notes"), places=1)
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

    body = add_async if scene.kind.is_async else add
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
    remade = isinstance(error, StopIteration) and scene.kind.is_async
    assert type(task.error) is (RuntimeError if remade else type(error))
    assert caught.value.__cause__ is task.error
    assert scene.start(scene.body(lambda: "still there")).result(WAIT) == "still there"


def test_a_value_that_cannot_be_printed_is_still_a_value(scene: Scene) -> None:
    class Unprintable:
        def __repr__(self) -> str:
            raise ValueError("no")

    value = Unprintable()
    task = scene.start(scene.body(lambda: value))
    assert (task.result(WAIT) is value) is scene.kind.is_here
    assert "Unprintable" in task.summary()
    assert "Unprintable" in task.snapshot()["text"]


@pytest.mark.needs(tells=True)
def test_a_body_says_how_far_it_is(scene: Scene) -> None:
    gate, told = scene.gate(), threading.Event()
    scene.manager.subscribe(lambda task, kind: told.set(), ["progressed"])
    task = scene.start(scene.body(lambda: progress(3, 12, "quarters"), gate))
    assert gate.reached.wait(WAIT)
    assert told.wait(WAIT)
    assert task.status == "running"
    assert task.progress[:4] == (3, 12, "quarters", 0.25)


@pytest.mark.needs(is_here=True)
def test_a_body_knows_its_task_and_runs_in_the_context_of_its_caller(scene: Scene) -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable")
    variable.set("of the caller")
    task = scene.start(scene.body(lambda: (current_task(), variable.get())))
    assert task.result(WAIT) == (task, "of the caller")
    assert current_task() is None


def test_a_body_knows_its_task_wherever_it_runs(scene: Scene) -> None:
    def look() -> Any:
        task = current_task()
        assert task is not None
        return task.id, task.number, task.label, task.status, cancelled()

    task = scene.start(scene.body(look), label="the run")
    assert task.result(WAIT) == (task.id, task.number, "the run", "running", False)


@pytest.mark.needs(tells=True)
def test_what_a_body_prints_and_logs_goes_to_its_log(scene: Scene, capfd: pytest.CaptureFixture[str]) -> None:

    def say() -> None:
        print("printed")
        logging.getLogger("somewhere").warning("logged")
        thread = threading.Thread(target=print, args=("in a thread",))
        thread.start()
        thread.join()

    task = scene.start(scene.body(say))
    task.result(WAIT)
    assert task.logs == ["printed", "WARNING logged", "in a thread"]
    assert capfd.readouterr() == ("", "")


@pytest.mark.needs(tells=True)
def test_tqdm_in_a_body_drives_the_bar(scene: Scene) -> None:

    def go_through() -> None:
        for _ in tqdm.tqdm(range(7), desc="epochs"):
            pass

    task = scene.start(scene.body(go_through))
    task.result(WAIT)
    assert task.progress[:3] == (7, 7, "epochs")


def test_a_waiting_task_is_cancelled_without_running(narrow: Scene) -> None:
    gate, notes = narrow.gate(), narrow.notes
    first = narrow.start(narrow.body(lambda: None, gate))
    assert gate.reached.wait(WAIT)
    second = narrow.start(narrow.body(lambda: notes.add(2)))
    third = narrow.start(narrow.body(lambda: notes.add(3)))
    assert second.status == "queued"
    assert second.cancel()
    with pytest.raises(TaskCancelledError):
        second.result(WAIT)
    gate.open()
    first.result(WAIT)
    third.result(WAIT)
    assert notes.all() == [3]
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


@pytest.mark.needs(tells=True)
def test_a_cancelled_body_learns_of_it(scene: Scene) -> None:
    gate, ended, notes = scene.gate(), scene.gate(), scene.notes
    if isinstance(scene.manager.runner, ProcessRunner):
        scene.manager.runner.grace_s = WAIT

    def go_on() -> None:
        while not cancelled():
            pass
        notes.add(cancelled())
        try:
            for step in track(range(5)):
                notes.add(step)
        finally:
            ended.wait()

    async def asynchronous() -> None:
        try:
            await gate.wait_async()
        except asyncio.CancelledError:
            go_on()
            raise

    task = scene.start(asynchronous if scene.kind.is_async else scene.body(lambda: None, gate, go_on))
    assert gate.reached.wait(WAIT)
    ended.open()
    task.cancel()
    gate.open()
    assert ended.reached.wait(WAIT)
    assert notes.all() == [True]


def test_a_task_that_runs_too_long_is_timed_out_and_its_value_is_dropped(scene: Scene) -> None:
    gate = scene.gate()
    task = scene.start(scene.body(lambda: "value", gate), timeout=0.05)
    with pytest.raises(TaskTimedOutError, match="ran longer than its time-out"):
        task.result(WAIT)
    gate.open()
    scene.manager.shutdown()
    assert (task.status, task.value) == ("timed_out", None)


@pytest.mark.needs(frees=True)
def test_the_time_spent_waiting_for_a_place_does_not_count(narrow: Scene) -> None:
    gate = narrow.gate()
    first = narrow.start(narrow.body(lambda: None, gate), timeout=0.05)
    second = narrow.start(narrow.body(lambda: "in time"), timeout=60.0)
    with pytest.raises(TaskTimedOutError):
        first.result(WAIT)
    assert second.result(WAIT) == "in time"


@pytest.mark.needs(frees=True)
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
    gate, notes = narrow.gate(), narrow.notes
    tasks = [narrow.start(narrow.body(lambda: notes.add("in"), gate, lambda: notes.add("out"))) for _ in range(10)]
    assert gate.reached.wait(WAIT)
    assert narrow.started.acquire(timeout=WAIT)
    assert [task.status for task in tasks].count("queued") == 9
    gate.open()
    for task in tasks:
        task.result(WAIT)
    assert notes.all() == ["in", "out"] * 10


def test_text_that_a_generator_yields_goes_to_the_log_and_the_last_value_is_the_result(scene: Scene) -> None:
    task = scene.start(scene.kind.generator("loading", "saving", 42))
    assert task.result(WAIT) == 42
    assert task.logs == (["loading", "saving"] if scene.kind.tells else [])
    assert scene.start(scene.kind.generator()).result(WAIT) is None


@pytest.mark.needs(tells=True)
def test_a_generator_that_was_cancelled_ends_at_its_next_step(scene: Scene) -> None:
    gate, notes = scene.gate(), scene.notes

    def plain() -> Iterator[str]:
        yield "one"
        gate.wait()
        while not cancelled():
            pass
        yield "two"
        notes.add("three")

    async def asynchronous() -> Any:
        yield "one"
        await gate.wait_async()
        yield "two"
        notes.add("three")

    task = scene.start(asynchronous if scene.kind.is_async else plain)
    assert gate.reached.wait(WAIT)
    task.cancel()
    gate.open()
    following = [scene.start(scene.body(lambda: "end")) for _ in range(3)]
    assert [other.result(WAIT) for other in following] == ["end"] * 3
    assert notes.all() == []


def test_a_body_that_fails_is_run_again_where_retries_are_left(scene: Scene) -> None:
    notes = scene.notes

    def fail_once() -> str:
        notes.add("tried")
        if len(notes.all()) == 1:
            raise OSError("not yet")
        return "there"

    task = scene.start(scene.body(fail_once), retries=1, retry_on=(OSError,), backoff_s=0.001)
    assert task.result(WAIT) == "there"
    assert notes.all() == ["tried", "tried"]


def test_a_body_that_hands_its_work_on_is_resolved_later(scene: Scene) -> None:
    task = scene.start(scene.body(Deferred), deferred=True)
    poll = scene.start(scene.body(lambda: Deferred(lambda: "asked", every_s=0.001)), deferred=True)
    assert poll.result(WAIT) == "asked"
    assert scene.started.acquire(timeout=WAIT)
    assert scene.started.acquire(timeout=WAIT)
    assert task.status == "running"
    assert scene.manager.resolve(task.id, "brought")
    assert task.result(WAIT) == "brought"


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
    await asyncio.get_running_loop().run_in_executor(None, lambda: scene.started.acquire(timeout=WAIT))
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
    for task in tasks:
        with pytest.raises(TaskCancelledError, match=r"event loop.* was stopped"):
            task.result(WAIT)
    assert [task.started is None for task in tasks] == [False, True, True]
    assert (manager.pending_count, manager.admission.running, manager.admission.queued) == (0, 0, 0)


@pytest.mark.parametrize("options", [{"max_coroutines": 3}, {"max_running": 3}, {}])
def test_no_coroutine_is_left_behind_by_a_loop_that_ends(options: dict[str, Any]) -> None:
    manager = AsyncToolManager(**options)

    async def forever(swallow: bool) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            if not swallow:
                raise

    async def start() -> list[Task]:
        tasks = [manager.start("forever", forever, {"swallow": number % 2 == 0}) for number in range(20)]
        await asyncio.sleep(0)
        return tasks

    tasks = asyncio.run(start())
    manager.shutdown()
    assert all(task.done() for task in tasks)
    gc.collect()


def test_a_coroutine_that_somebody_cancels_leaves_the_loop_to_the_others() -> None:
    manager = AsyncToolManager(max_coroutines=1)
    carriers: list[Any] = []

    async def body() -> int:
        carriers.append(asyncio.current_task())
        if len(carriers) == 1:
            await asyncio.Event().wait()
        return 4

    async def start() -> None:
        first, second = (manager.start("body", body, {}) for _ in range(2))
        while not carriers:
            await asyncio.sleep(0)
        carriers[0].cancel()
        assert await second == 4
        assert first.status == "cancelled"

    asyncio.run(start())


def test_a_sync_function_that_returns_a_coroutine_is_run_to_its_end() -> None:
    async def inner() -> int:
        return 5

    assert AsyncToolManager().start("outer", lambda: inner(), {}).result(WAIT) == 5


@pytest.mark.parametrize("runner", ["thread", "coroutine"])
def test_asynchronous_functions_and_generators_run_in_threads_too(runner: str) -> None:
    async def coroutine() -> int:
        await asyncio.sleep(0)
        return 5

    async def generator() -> Any:
        yield "a line"
        yield 6

    manager = AsyncToolManager(runner=runner)
    assert manager.start("coroutine", coroutine, {}).result(WAIT) == 5
    task = manager.start("generator", generator, {})
    assert task.result(WAIT) == 6
    assert "a line" in task.logs
