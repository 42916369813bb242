"""The manager."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import threading
import weakref
from collections import Counter
from typing import Any

import pytest

from backchannel.errors import TaskCancelledError, TaskError, TaskRefusedError
from backchannel.tasks import (
    AsyncTaskResult,
    AsyncToolManager,
    Task,
    async_tool,
    default_manager,
    engine,
    progress,
    set_default_manager,
)
from backchannel.tools import tool

WAIT = 10.0


def test_submit_returns_an_id_and_tells_the_result() -> None:
    told: list[AsyncTaskResult] = []
    with AsyncToolManager(max_workers=2) as manager:
        manager.on_complete = told.append
        task_id = manager.submit("add", lambda a, b: a + b, a=1, b=2)
        assert len(task_id) == 8
        assert int(task_id, 16) >= 0
    (result,) = told
    assert (result.task_id, result.tool_name, result.result, result.error) == (task_id, "add", 3, None)
    assert result.arguments == result.kwargs == {"a": 1, "b": 2}
    assert result.value == 3
    assert result.elapsed_ms == result.elapsed * 1000 >= 0
    assert manager.pending_count == 0


def test_arguments_may_be_called_as_those_of_submit() -> None:
    with AsyncToolManager() as manager:
        task_id = manager.submit("f", lambda tool_name, fn: (tool_name, fn), tool_name=1, fn=2)
        task = manager.task(task_id)
        assert task is not None
        assert task.result(WAIT) == (1, 2)


def test_what_is_no_function_is_refused_at_once_and_a_tool_is_run_as_its_function() -> None:
    with AsyncToolManager() as manager:
        with pytest.raises(TypeError, match="add was not started: int is no function"):
            manager.submit("add", 5)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="on_complete must be a function, not 5"):
            AsyncToolManager(on_complete=5)  # type: ignore[arg-type]
        for made in (async_tool(manager), tool):
            task = manager.task(manager.submit("double", made(_double), n=4))
            assert task is not None
            assert task.result(WAIT) == 8


def _double(n: int) -> int:
    return 2 * n


def test_a_failure_is_told_with_its_error() -> None:
    told: list[AsyncTaskResult] = []
    with AsyncToolManager(on_complete=told.append) as manager:
        manager.submit("fail", lambda: 1 / 0)
    assert told[0].result is None
    assert isinstance(told[0].error, ZeroDivisionError)


def test_a_subclass_may_have_the_callback_as_a_method() -> None:
    told: list[Any] = []

    class Manager(AsyncToolManager):
        def on_complete(self, result: AsyncTaskResult) -> None:
            told.append(result.result)

    with Manager(max_workers=1) as manager:
        manager.submit("add", lambda: 4)
    assert told == [4]


def test_a_callback_that_raises_loses_nothing(caplog: pytest.LogCaptureFixture) -> None:
    finished: list[Task] = []

    def fail(*_: Any) -> None:
        raise ValueError("deaf")

    with AsyncToolManager(on_complete=fail) as manager:
        manager.subscribe(fail)
        manager.subscribe(lambda task, kind: finished.append(task), kinds=["finished"])
        tasks = [manager.start("f", lambda: progress(1, 1), {}) for _ in range(3)]
    assert [task.status for task in tasks] == ["done"] * 3
    assert sorted(task.number for task in finished) == [1, 2, 3]
    assert "deaf" in caplog.text


def test_eight_tasks_that_end_together_are_told_eight_times() -> None:
    told: list[str] = []
    together = threading.Barrier(8)
    with AsyncToolManager(max_workers=8, on_complete=lambda result: told.append(result.task_id)) as manager:
        ids = [manager.submit("wait", lambda: together.wait(WAIT)) for _ in range(8)]
    assert sorted(told) == sorted(ids)


def test_tasks_are_found_by_id_and_by_number() -> None:
    with AsyncToolManager() as manager:
        tasks = [manager.start("f", lambda: None, {}) for _ in range(3)]
        assert [task.number for task in tasks] == [1, 2, 3]
        assert manager.tasks == tasks
        assert manager.task(2) is manager.task("2") is manager.task(tasks[1].id) is tasks[1]
        assert manager.task(9) is None
        assert manager.task("nothing") is None
        assert manager.task("9" * 5000) is None


def test_listeners_hear_the_life_of_a_task_until_they_leave() -> None:
    heard: list[tuple[int, str]] = []
    manager = AsyncToolManager(max_workers=1)
    leave = manager.subscribe(lambda task, kind: heard.append((task.number, kind)))
    manager.start("f", lambda: progress(1, 2), {}).wait(WAIT)
    manager.shutdown()
    assert heard == [(1, "queued"), (1, "started"), (1, "progressed"), (1, "finished")]
    leave()
    leave()
    assert not any(manager.listeners.values())


def test_a_kind_that_does_not_exist_is_named() -> None:
    with pytest.raises(ValueError, match="'ended'"):
        AsyncToolManager().subscribe(print, kinds=["ended"])  # type: ignore[list-item]


def test_changes_hold_each_task_once_however_often_it_changed() -> None:
    manager = AsyncToolManager()
    changes = manager.changes()

    def body() -> None:
        for step in range(100):
            progress(step, 100)

    tasks = {manager.start("f", body, {}) for _ in range(5)}
    manager.shutdown()
    assert Counter(changes.take()) == Counter(tasks)
    assert changes.take() == []
    changes.close()
    assert not any(manager.listeners.values())


def test_no_change_is_lost_while_others_report() -> None:
    manager = AsyncToolManager(max_workers=4)
    changes = manager.changes()
    last: dict[Task, float | None] = {}

    def body() -> None:
        for step in range(3000):
            progress(step + 1, 3000)

    tasks = [manager.start("f", body, {}) for _ in range(4)]
    while not all(task.done() for task in tasks):
        for task in changes.take():
            last[task] = task.progress.done
    manager.shutdown()
    for task in changes.take():
        last[task] = task.progress.done
    assert last == dict.fromkeys(tasks, 3000)


def test_cancel_takes_id_or_number() -> None:
    manager = AsyncToolManager(max_workers=1)
    gate = threading.Event()
    first, second = (manager.start("wait", gate.wait, {"timeout": WAIT}) for _ in range(2))
    assert manager.cancel(2)
    assert manager.cancel(first.id, "enough")
    assert not manager.cancel(first.id)
    assert not manager.cancel("none")
    gate.set()
    assert (first.status, second.status) == ("cancelled", "cancelled")


def test_only_the_last_finished_tasks_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "KEPT", 3)
    manager = AsyncToolManager(max_workers=1)
    gate = threading.Event()
    running = manager.start("wait", gate.wait, {"timeout": WAIT})
    queued = [manager.start("f", lambda: None, {}) for _ in range(6)]
    for task in queued[:5]:
        task.cancel()
    assert manager.tasks == [running, *queued[2:]]
    assert manager.task(2) is None
    gate.set()
    manager.shutdown()


def test_a_finished_task_lets_go_of_its_function() -> None:
    class Large:
        def __call__(self) -> None: ...

    manager = AsyncToolManager()
    body = Large()
    gone = weakref.ref(body)
    task = manager.start("f", body, {})
    task.result(WAIT)
    manager.shutdown()
    del body
    gc.collect()
    assert gone() is None


async def test_a_blocking_wait_that_would_never_end_is_refused_in_words() -> None:
    manager = AsyncToolManager()
    gate = asyncio.Event()
    task = manager.start("wait", gate.wait, {})
    with pytest.raises(TaskError, match="write 'await task' instead"):
        task.result()
    with pytest.raises(TaskError, match="write 'await task' instead"):
        manager.shutdown()
    gate.set()
    assert await task is True
    manager.shutdown()


def test_leaving_with_an_error_cancels_what_is_under_way() -> None:
    gate = threading.Event()
    manager = AsyncToolManager(max_workers=1)
    task = manager.start("wait", gate.wait, {"timeout": WAIT})
    with pytest.raises(KeyboardInterrupt), manager:
        raise KeyboardInterrupt
    assert task.status == "cancelled"
    gate.set()


def test_after_the_shutdown_nothing_is_accepted() -> None:
    manager = AsyncToolManager()
    manager.shutdown()
    manager.shutdown()
    with pytest.raises(TaskRefusedError, match="research was not started"):
        manager.submit("research", lambda: None)


@pytest.mark.parametrize("options", [{"max_workers": 0}, {"max_workers": True}, {"max_coroutines": 0}])
def test_bounds_below_one_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(options))} must be 1 or more"):
        AsyncToolManager(**options)


@pytest.mark.parametrize("timeout", [0, -1.0, float("nan")])
def test_a_time_out_of_nothing_is_refused(timeout: float) -> None:
    with pytest.raises(ValueError, match="must be more than 0 seconds"):
        AsyncToolManager().start("f", lambda: None, {}, timeout=timeout)


def test_the_default_manager_is_made_once_and_can_be_replaced() -> None:
    set_default_manager(None)
    first = default_manager()
    assert default_manager() is first
    other = AsyncToolManager()
    set_default_manager(other)
    assert default_manager() is other
    set_default_manager(None)


def test_a_task_that_waits_for_its_result_may_be_cancelled_by_another_thread() -> None:
    manager = AsyncToolManager()
    gate = threading.Event()
    task = manager.start("wait", gate.wait, {"timeout": WAIT})
    threading.Thread(target=task.cancel).start()
    with pytest.raises(TaskCancelledError):
        task.result(WAIT)
    gate.set()


def test_the_interpreter_ends_while_tasks_run() -> None:
    code = (
        "import asyncio, threading\n"
        "from backchannel.tasks import AsyncToolManager\n"
        "manager = AsyncToolManager()\n"
        "async def forever(): await asyncio.Event().wait()\n"
        "started = threading.Event()\n"
        "manager.submit('stuck', lambda: (started.set(), threading.Event().wait()))\n"
        "manager.submit('forever', forever)\n"
        "manager.start('late', threading.Event().wait, {}, timeout=3600)\n"
        "started.wait()\n"
        "print('bye')\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "bye\n", "")


def test_after_the_shutdown_no_worker_thread_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backchannel.tools.threads.IDLE_S", 3600.0)
    before = set(threading.enumerate())
    with AsyncToolManager(max_workers=3) as manager:
        for number in range(9):
            manager.start("square", lambda x: x * x, {"x": number})
    left = [thread for thread in threading.enumerate() if thread not in before and "task" in thread.name]
    for thread in left:
        thread.join(10)
    assert not any(thread.is_alive() for thread in left)


def test_what_an_agent_is_still_to_tell_is_kept_however_much_it_is() -> None:
    agent = object()
    with AsyncToolManager() as manager:
        for number in range(1200):
            manager.start("square", lambda x: x * x, {"x": number}, owner=agent)
            manager.start("cube", lambda x: x**3, {"x": number}, owner=agent, announce="never")
    owed = [task for task in manager.tasks if task.tool_name == "square"]
    assert len(owed) == 1200
    assert len(manager.tasks) < 1200 + 1000
    for task in owed:
        task.delivered = True
    assert len(manager.tasks) == 1000
    assert manager.task(owed[0].id) is None
    assert manager.task(str(owed[-1].number)) is owed[-1]
