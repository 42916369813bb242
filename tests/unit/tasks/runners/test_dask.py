"""Dask: what a cluster does otherwise than threads, on a real one."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import distributed
import pytest

from backchannel.errors import MissingExtraError, TaskRefusedError, TaskTransferError, TaskWorkerError
from backchannel.tasks import AsyncToolManager, Task, progress
from backchannel.tasks.runners import runner_of
from backchannel.tasks.runners.dask import DaskRunner
from tests.support.crossing import Gate, Notes

WAIT = 30.0
NOWHERE = "tcp://127.0.0.1:1"


def cluster_of(processes: bool) -> distributed.LocalCluster:
    return distributed.LocalCluster(
        processes=processes, n_workers=1, threads_per_worker=2, dashboard_address="127.0.0.1:0"
    )


@pytest.fixture(scope="module")
def cluster() -> Iterator[distributed.LocalCluster]:
    with cluster_of(processes=False) as made:
        yield made


@pytest.fixture
def client(cluster: distributed.LocalCluster) -> Iterator[distributed.Client]:
    with distributed.Client(cluster, set_as_default=False) as made:
        yield made


@pytest.fixture
def gate() -> Iterator[Gate]:
    made = Gate()
    yield made
    made.close()


def start(manager: AsyncToolManager, body: Any, **arguments: Any) -> Task:
    return manager.start("body", body, arguments)


def ended_with(task: Task) -> BaseException | None:
    assert task.wait(WAIT)
    return task.error


def left(cluster: distributed.LocalCluster) -> list[str]:
    """What the scheduler still knows of bodies of the tool ``small``."""
    known = [*list(cluster.scheduler.extensions["events"]._events), *list(cluster.scheduler.tasks)]
    return [name for name in known if name.startswith("small")]


def test_the_address_of_a_scheduler_is_enough(cluster: distributed.LocalCluster):
    manager = AsyncToolManager(runner=cluster.scheduler_address)
    assert start(manager, lambda a: a + 1, a=41).result(WAIT) == 42
    runner = runner_of(cluster.scheduler_address, manager)
    assert isinstance(runner, DaskRunner)
    runner.close()
    runner.close()
    assert start(manager, lambda: "connected again").result(WAIT) == "connected again"
    runner.close()


def test_without_an_address_it_is_the_client_that_there_is(cluster: distributed.LocalCluster):
    manager = AsyncToolManager(runner="dask")
    with pytest.raises(TaskRefusedError, match=r"There is no Dask client\. Make one with distributed\.Client\(\)"):
        start(manager, lambda: 1)
    with distributed.Client(cluster):
        assert start(manager, lambda: 1).result(WAIT) == 1
    with distributed.Client(cluster):
        assert start(manager, lambda: 2).result(WAIT) == 2


def test_a_closed_client_is_refused(cluster: distributed.LocalCluster):
    client = distributed.Client(cluster, set_as_default=False)
    client.close()
    with pytest.raises(TaskRefusedError, match="The Dask client is closed"):
        start(AsyncToolManager(runner=client), lambda: 1)


def test_an_address_where_nobody_is_fails_the_tasks_in_words_and_is_tried_once(monkeypatch: pytest.MonkeyPatch):
    reached, refusing, attempts = threading.Event(), threading.Event(), []

    def refuse(*args: Any, **options: Any) -> Any:
        attempts.append(1)
        reached.set()
        assert refusing.wait(WAIT)
        raise OSError("Timed out trying to connect")

    runner = DaskRunner(NOWHERE)
    monkeypatch.setattr(runner, "_distributed", SimpleNamespace(Client=refuse))
    manager = AsyncToolManager(runner=runner)
    tasks = [start(manager, lambda: 1) for _ in range(20)]
    assert reached.wait(WAIT)
    refusing.set()
    errors = [ended_with(task) for task in tasks]
    assert attempts == [1]
    assert {type(error) for error in errors} == {TaskWorkerError}
    assert len({str(error) for error in errors}) == 1
    assert str(errors[0]).startswith(f"No Dask scheduler can be reached at {NOWHERE} (OSError: Timed out")


def test_an_address_is_not_connected_to_before_it_is_needed():
    assert isinstance(runner_of(NOWHERE, AsyncToolManager()), DaskRunner)


def test_the_client_stays_usable_for_others_and_for_whoever_is_told(client: distributed.Client):
    told: list[int] = []

    def on_complete(result: Any) -> None:
        told.append(client.submit(lambda: 5).result())

    manager = AsyncToolManager(runner=client, on_complete=on_complete)
    task = start(manager, lambda: 1)
    assert task.result(WAIT) == 1
    manager.shutdown()
    assert told == [5]


def test_large_bodies_and_values_go_both_ways(client: distributed.Client):
    data = os.urandom(5_000_000)
    assert start(AsyncToolManager(runner=client), lambda data: data, data=data).result(WAIT) == data


def test_what_cannot_be_sent_fails_its_task(client: distributed.Client):
    error = ended_with(start(AsyncToolManager(runner=client), lambda lock: 1, lock=threading.Lock()))
    assert isinstance(error, TaskTransferError)
    assert "its argument 'lock'" in str(error)


def test_equal_calls_run_each_for_itself(client: distributed.Client, tmp_path: Path):
    notes = Notes(tmp_path / "notes")
    manager = AsyncToolManager(runner=client)
    for task in [start(manager, lambda: notes.add("ran")) for _ in range(5)]:
        task.result(WAIT)
    assert notes.all() == ["ran"] * 5


async def test_a_client_of_this_very_loop_works_and_a_blocking_wait_is_refused(cluster: distributed.LocalCluster):
    async with distributed.Client(cluster.scheduler_address, asynchronous=True, set_as_default=False) as client:
        manager = AsyncToolManager(runner=client)
        task = start(manager, lambda: progress(1, 2, "half") or "value")
        assert await task == "value"
        assert task.progress[:3] == (1, 2, "half")


def test_nothing_stays_at_the_scheduler(cluster: distributed.LocalCluster, client: distributed.Client):
    manager = AsyncToolManager(runner=client)
    tasks = [manager.start("small", lambda: 1, {}) for _ in range(20)]
    for task in tasks:
        task.result(WAIT)
    # What is asked after them is answered after them.
    while left(cluster):
        client.sync(client.scheduler.identity)


def test_closing_the_client_ends_its_tasks_in_words(cluster: distributed.LocalCluster, gate: Gate):
    client = distributed.Client(cluster, set_as_default=False)
    task = start(AsyncToolManager(runner=client), lambda gate: gate.wait(), gate=gate)
    assert gate.reached.wait(WAIT)
    client.close()
    error = ended_with(task)
    assert isinstance(error, TaskWorkerError)
    assert "The Dask cluster gave the task up" in str(error)


def test_a_worker_that_dies_fails_its_task_and_the_body_is_not_run_again(tmp_path: Path):
    notes = Notes(tmp_path / "notes")

    def die() -> None:
        notes.add("ran")
        os._exit(3)

    with cluster_of(processes=True) as cluster, distributed.Client(cluster, set_as_default=False) as client:
        manager = AsyncToolManager(runner=client)
        error = ended_with(start(manager, die))
        assert isinstance(error, TaskWorkerError)
        assert "The Dask worker that ran body died" in str(error)
        assert notes.all() == ["ran"]
        assert start(manager, os.getpid).result(WAIT) != os.getpid()


def test_a_scheduler_that_goes_fails_its_tasks_in_words(gate: Gate):
    with cluster_of(processes=True) as cluster:
        client = distributed.Client(cluster, set_as_default=False, timeout=1)
        task = start(AsyncToolManager(runner=client), lambda gate: gate.wait(), gate=gate)
        assert gate.reached.wait(WAIT)
        cluster.close()
        error = ended_with(task)
        client.close()
    assert isinstance(error, TaskWorkerError)
    assert "The Dask cluster gave the task up" in str(error)


def test_without_distributed_the_extra_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(MissingExtraError, match=r"backchannel\[dask\]"):
        DaskRunner()


def test_it_says_what_it_cannot_do():
    assert len(DaskRunner.cannot) == 1
