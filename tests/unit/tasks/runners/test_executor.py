"""Executors of somebody else's: what they can do, and that they say what they cannot."""

from __future__ import annotations

import os
import threading
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from typing import Any

import pytest

from backchannel.errors import TaskCancelledError, TaskRefusedError, TaskTransferError, TaskWorkerError
from backchannel.tasks import AsyncToolManager, Task, progress
from backchannel.tasks.runners.executor import ExecutorRunner

WAIT = 20.0


class OneAtHand(Executor):
    """Takes functions and runs them when it is told to."""

    def __init__(self) -> None:
        self.taken: list[tuple[Future[Any], Any]] = []

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        self.taken.append((future, lambda: fn(*args, **kwargs)))
        return future

    def run(self) -> None:
        for future, work in self.taken:
            if future.set_running_or_notify_cancel():
                future.set_result(work())
        self.taken.clear()


def manager_of(executor: Executor) -> AsyncToolManager:
    return AsyncToolManager(runner=ExecutorRunner(executor))


@pytest.fixture
def executor() -> OneAtHand:
    return OneAtHand()


@pytest.fixture
def manager(executor: OneAtHand) -> AsyncToolManager:
    with pytest.warns(UserWarning, match=r"Tasks in a OneAtHand go without some things: no progress"):
        return manager_of(executor)


def start(manager: AsyncToolManager, body: Any, **arguments: Any) -> Task:
    return manager.start("body", body, arguments)


def test_a_body_that_leaves_the_process_gives_its_value_only(manager: AsyncToolManager, executor: OneAtHand):
    def body(a: int) -> int:
        progress(1, 2, "half")
        return a + 1

    task = start(manager, body, a=1)
    assert task.status == "running"
    executor.run()
    assert task.result(WAIT) == 2
    assert task.progress.message == ""


def test_a_task_that_was_cancelled_before_its_start_never_runs(manager: AsyncToolManager, executor: OneAtHand):
    ran: list[int] = []
    task = start(manager, lambda: ran.append(1))
    task.cancel()
    assert executor.taken[0][0].cancelled()
    executor.run()
    assert task.status == "cancelled"
    assert ran == []


def test_an_executor_that_is_shut_down_cancels_its_tasks_or_refuses_them(
    manager: AsyncToolManager, executor: OneAtHand
):
    task = start(manager, lambda: 1)
    executor.taken[0][0].cancel()
    with pytest.raises(TaskCancelledError, match="its OneAtHand was shut down"):
        task.result(WAIT)
    pool = ThreadPoolExecutor(1)
    pool.shutdown()
    with pytest.raises(TaskRefusedError, match="was not taken by the ThreadPoolExecutor: cannot schedule new"):
        start(manager_of(pool), lambda: 1)


def test_what_cannot_be_sent_fails_its_task(manager: AsyncToolManager, executor: OneAtHand):
    task = start(manager, lambda lock: 1, lock=threading.Lock())
    assert isinstance(task.error, TaskTransferError)
    assert executor.taken == []


def test_an_executor_that_fails_by_itself_fails_the_task(manager: AsyncToolManager, executor: OneAtHand):
    tasks = [start(manager, lambda: 1) for _ in range(2)]
    executor.taken[0][0].set_exception(BrokenExecutor("it fell over"))
    executor.taken[1][0].set_exception(ConnectionError("no engines"))
    assert isinstance(tasks[0].error, TaskWorkerError)
    assert "it fell over" in str(tasks[0].error)
    assert isinstance(tasks[1].error, ConnectionError)


def test_in_threads_everything_but_an_end_from_outside_works():
    with ThreadPoolExecutor(1) as pool:
        manager = manager_of(pool)
        task = start(manager, lambda: progress(1, 2, "half"))
        task.result(WAIT)
        assert task.progress[:3] == (1, 2, "half")
        runner = manager.runner
        assert isinstance(runner, ExecutorRunner)
        assert [text.partition(",")[0] for text in runner.cannot] == [
            "an end from outside",
            "a place for others while a body waits for another task",
        ]


def test_a_process_pool_that_breaks_says_what_to_do_instead():
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        with pytest.warns(UserWarning, match="no progress"):
            manager = manager_of(pool)
        task = start(manager, lambda: os._exit(3))
        assert task.wait(WAIT)
        assert isinstance(task.error, TaskWorkerError)
        assert 'With runner="process" a worker that dies fails its own task only' in str(task.error)
        with pytest.raises(TaskRefusedError, match="was not taken by the ProcessPoolExecutor"):
            start(manager, lambda: 1)
