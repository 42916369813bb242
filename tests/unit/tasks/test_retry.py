"""A body that raised is run again."""

from __future__ import annotations

import asyncio
import random
import threading
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backchannel.errors import TaskFailedError, ToolDefinitionError
from backchannel.tasks import AsyncToolManager, async_tool, current_task, progress
from backchannel.tasks.retry import MAX_BACKOFF_S, Retry, retry_fault
from tests.support.manual_timers import ManualTimers

WAIT = 10.0


class Failing:
    """Raises the errors, and then returns."""

    def __init__(self, *errors: BaseException) -> None:
        self.errors = list(errors)
        self.calls = 0
        self.ran = threading.Semaphore(0)

    def __call__(self) -> str:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return "there"


@pytest.fixture
def timers(monkeypatch: pytest.MonkeyPatch) -> ManualTimers:
    monkeypatch.setattr(random, "random", lambda: 1.0)
    return ManualTimers.installed(monkeypatch)


def test_a_named_error_is_tried_again_after_growing_pauses(timers: ManualTimers):
    manager = AsyncToolManager(clock=timers.clock)
    body = Failing(OSError("no route"), ConnectionError("reset"))
    task = manager.start("fetch", body, {}, retries=2, retry_on=(OSError,), backoff_s=2)
    timers.wait_made(1)
    assert (task.status, task.attempts, timers.pending) == ("running", 1, [2.0])
    timers.advance(2)
    timers.wait_made(2)
    assert timers.pending == [4.0]
    timers.advance(4)
    assert task.result(WAIT) == "there"
    assert task.attempts == body.calls == 3
    assert task.logs == [
        "Attempt 1 of 3 failed: OSError: no route; trying again after 2 seconds.",
        "Attempt 2 of 3 failed: ConnectionError: reset; trying again after 4 seconds.",
    ]


def test_the_last_error_is_told_when_the_attempts_are_used_up():
    with AsyncToolManager() as manager:
        body = Failing(*(OSError(f"no {number}") for number in range(9)))
        task = manager.start("fetch", body, {}, retries=3, backoff_s=0)
        with pytest.raises(TaskFailedError, match="fetch, failed: OSError: no 3"):
            task.result(WAIT)
    assert body.calls == 4


def test_another_error_is_not_tried_again():
    with AsyncToolManager() as manager:
        body = Failing(ValueError("wrong"))
        task = manager.start("fetch", body, {}, retries=3, retry_on=(OSError, "ThrottlingError"), backoff_s=0)
        task.wait(WAIT)
    assert (task.status, body.calls) == ("failed", 1)


async def test_a_coroutine_is_tried_again_on_its_own_loop():
    loops = []

    async def body() -> int:
        loops.append(asyncio.get_running_loop())
        if len(loops) < 3:
            raise OSError
        return len(loops)

    manager = AsyncToolManager()
    assert await manager.start("fetch", body, {}, retries=5, retry_on="OSError", backoff_s=0) == 3
    assert loops == [asyncio.get_running_loop()] * 3


def test_a_cancel_during_the_pause_ends_the_task_and_its_timer(timers: ManualTimers):
    manager = AsyncToolManager(clock=timers.clock)
    body = Failing(OSError("no"))
    task = manager.start("fetch", body, {}, retries=1)
    timers.wait_made(1)
    assert task.cancel("enough")
    assert timers.pending == []
    timers.advance(1000)
    assert (task.status, body.calls) == ("cancelled", 1)
    manager.shutdown()


def test_the_time_out_is_for_all_attempts_together(timers: ManualTimers):
    manager = AsyncToolManager(clock=timers.clock)
    body = Failing(*(OSError(number) for number in range(9)))
    task = manager.start("fetch", body, {}, retries=8, backoff_s=4, timeout=5)
    timers.wait_made(2)
    timers.advance(4)
    timers.wait_made(3)
    timers.advance(1)
    assert (task.status, body.calls, timers.pending) == ("timed_out", 2, [])
    manager.shutdown()


def test_progress_does_not_lengthen_the_time_out(timers: ManualTimers):
    manager = AsyncToolManager(clock=timers.clock)
    step, stepped = threading.Semaphore(0), threading.Semaphore(0)

    def body() -> None:
        for done in range(100):
            assert step.acquire(timeout=WAIT)
            progress(done, 100)
            stepped.release()

    task = manager.start("train", body, {}, timeout=10)
    for _ in range(9):
        step.release()
        assert stepped.acquire(timeout=WAIT)
        timers.advance(1)
    assert task.status == "running"
    timers.advance(1)
    assert task.status == "timed_out"
    step.release(100)
    manager.shutdown()


def test_a_pause_gives_its_place_away(timers: ManualTimers):
    manager = AsyncToolManager(max_workers=1, clock=timers.clock)
    task = manager.start("fetch", Failing(OSError()), {}, retries=1)
    assert manager.start("other", lambda: 1, {}).result(WAIT) == 1
    assert task.status == "running"
    timers.wait_made(1)
    timers.advance(1)
    assert task.result(WAIT) == "there"
    manager.shutdown()


def test_a_further_attempt_starts_its_bar_anew_and_says_which_it_is():
    seen: list[Any] = []
    gate = threading.Event()

    def body() -> None:
        task = current_task()
        assert task is not None
        seen.append(task.progress)
        progress(7, 10, "epoch")
        if len(seen) == 1:
            raise OSError
        gate.wait(WAIT)

    with AsyncToolManager() as manager:
        manager.start("train", body, {}, retries=1, backoff_s=0)
        gate.set()
    assert (seen[1].done, seen[1].message) == (None, "attempt 2 of 2")


def test_the_decorator_takes_the_same_options():
    calls = []

    @async_tool(AsyncToolManager(), retries=2, retry_on=OSError, backoff_s=0)
    def fetch(url: str) -> str:
        calls.append(url)
        if len(calls) < 3:
            raise ConnectionError
        return url

    assert fetch("a").result(WAIT) == "a"
    assert calls == ["a"] * 3


@pytest.mark.parametrize(
    "options",
    [
        {"retries": -1},
        {"retries": True},
        {"retries": 1.5},
        {"retry_on": ()},
        {"retry_on": int},
        {"retry_on": [OSError, 3]},
        {"backoff_s": -1},
        {"backoff_s": float("nan")},
        {"backoff_s": float("inf")},
        {"backoff_s": "1"},
        {"priority": 1.5},
        {"priority": True},
        {"limit": 0},
        {"limit": True},
        {"on_duplicate": "ask"},
        {"timeout": "long"},
    ],
)
def test_an_option_that_cannot_be_used_is_named(options: dict[str, Any]):
    (name,) = options
    with pytest.raises(ValueError, match=f"'fetch' was not started: {name}="):
        AsyncToolManager().start("fetch", lambda: None, {}, **options)
    with pytest.raises(ToolDefinitionError, match=f"'fetch': {name}="):
        async_tool(name="fetch", **options)(lambda: None)


@given(st.integers(1, 10_000), st.floats(0, 1), st.floats(0, 1000))
def test_a_pause_is_never_longer_than_its_bound(failures: int, chance: float, backoff_s: float):
    pause = Retry(3, backoff_s=backoff_s).pause_s(failures, chance)
    assert 0 <= pause <= min(backoff_s * 2.0 ** min(failures - 1, 64), MAX_BACKOFF_S)


@given(st.integers(0, 5), st.integers(1, 9))
def test_there_are_as_many_further_attempts_as_asked_for(retries: int, failures: int):
    assert retry_fault(retries, Exception, 1) is None
    assert Retry(retries).applies(OSError(), failures) == (failures <= retries)
    assert not Retry(retries).applies(KeyboardInterrupt(), failures)


@pytest.mark.parametrize(
    ("name", "applies"),
    [
        ("ConnectionResetError", True),
        ("OSError", True),
        ("IOError", True),
        ("builtins.OSError", True),
        ("EnvironmentError", True),
        ("socket.timeout", False),
        ("backchannel.errors.TaskFailedError", False),
        ("Exception", True),
        ("ValueError", False),
        ("print", False),
        ("", False),
    ],
)
def test_an_error_goes_by_all_its_names(name: str, applies: bool):
    assert Retry(1, (name,)).applies(ConnectionResetError("gone"), 1) is applies


def test_an_error_of_a_module_goes_by_its_full_name():
    assert Retry(1, ("backchannel.errors.TaskFailedError",)).applies(TaskFailedError("no"), 1)
    assert not Retry(1, ("errors.TaskFailedError",)).applies(TaskFailedError("no"), 1)
