"""What a row says besides a task's status."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from backchannel.notebook.notes import note_of, waits
from backchannel.tasks import AsyncToolManager, Deferred, Task

PATIENCE_S = 10


@pytest.fixture
def go() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


@pytest.fixture
def manager(go: threading.Event) -> Iterator[AsyncToolManager]:
    with AsyncToolManager(max_workers=4) as workers:
        yield workers
        go.set()


def held(manager: AsyncToolManager, go: threading.Event, n: int = 0, **options: object) -> Task:
    return manager.start("load", lambda n: go.wait(PATIENCE_S), {"n": n}, **options)  # type: ignore[arg-type]


def test_a_plain_task_needs_no_note(manager: AsyncToolManager, go: threading.Event) -> None:
    task = held(manager, go)
    assert (note_of(task), waits(task)) == ("", False)
    go.set()
    assert task.wait(PATIENCE_S)
    assert (note_of(task), waits(task)) == ("", False)


def test_who_waits_for_others_names_them_while_they_go_on(manager: AsyncToolManager, go: threading.Event) -> None:
    first = held(manager, go, 1)
    task = manager.start("train", int, {}, after=first)
    assert note_of(task) == "waits for task 1, load n 1"
    assert not waits(task)
    many = [held(manager, go, n) for n in range(2, 7)]
    other = manager.start("train", int, {}, after=many)
    assert note_of(other) == "waits for task 3, load n 2 and task 4, load n 3 and task 5, load n 4 and 2 more"
    go.set()
    assert task.wait(PATIENCE_S)
    assert note_of(task) == ""


def test_attempts_are_counted(manager: AsyncToolManager, go: threading.Event) -> None:
    runs = threading.Semaphore(0)
    calls: list[int] = []

    def flaky() -> int:
        calls.append(1)
        runs.release()
        if len(calls) == 1:
            raise OSError("no network")
        go.wait(PATIENCE_S)
        return 1

    task = manager.start("flaky", flaky, {}, retries=2, backoff_s=0)
    assert runs.acquire(timeout=PATIENCE_S)
    assert runs.acquire(timeout=PATIENCE_S)
    assert (note_of(task), waits(task)) == ("attempt 2 of 3", False)
    go.set()
    assert task.result(PATIENCE_S) == 1
    assert note_of(task) == "2 attempts"


def test_between_two_attempts_it_waits(manager: AsyncToolManager, monkeypatch: pytest.MonkeyPatch) -> None:
    from backchannel.tasks import engine

    paused = threading.Event()

    class NoTimers:
        def after(self, *_: object) -> None:
            paused.set()

    monkeypatch.setattr(engine, "_timers", NoTimers())
    task = manager.start("flaky", lambda: {}["x"], {}, retries=1, backoff_s=60)
    assert paused.wait(PATIENCE_S)
    assert (note_of(task), waits(task)) == ("attempt 1 of 2 failed, the next one follows", True)
    task.cancel()


def test_a_deferred_task_waits_for_its_result_from_elsewhere(manager: AsyncToolManager) -> None:
    task = manager.defer("book", {})
    assert (note_of(task), waits(task)) == ("waits for its result from elsewhere", True)
    manager.resolve(task, "booked")
    assert (note_of(task), waits(task)) == ("", False)
    polled = manager.start("book", lambda: Deferred(lambda: 1, every_s=3600), {})
    polled.cancel()
    assert not waits(polled)


def test_a_newer_call_of_the_same_is_named(manager: AsyncToolManager, go: threading.Event) -> None:
    old = held(manager, go, on_duplicate="replace")
    new = held(manager, go, on_duplicate="replace")
    assert old.status == "cancelled"
    assert note_of(old) == f"task {new.number} is the same, asked for later"
    assert note_of(new) == ""
