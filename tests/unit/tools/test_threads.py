"""Worker threads."""

from __future__ import annotations

import asyncio
import contextvars
import threading

import pytest

from backchannel.tools.threads import WorkerThreads, run_in_thread

WAIT = 10


def test_no_more_than_the_limit_run_at_a_time() -> None:
    pool = WorkerThreads(2)
    entered, release, third = threading.Semaphore(0), threading.Event(), threading.Event()

    def work() -> None:
        entered.release()
        release.wait(WAIT)

    pool.submit(work)
    pool.submit(work)
    pool.submit(third.set)
    assert entered.acquire(timeout=WAIT)
    assert entered.acquire(timeout=WAIT)
    assert not third.is_set()
    release.set()
    assert third.wait(WAIT)


def test_the_first_come_is_the_first_served() -> None:
    pool = WorkerThreads(1)
    order: list[int] = []
    done, gate = threading.Event(), threading.Event()
    pool.submit(lambda: gate.wait(WAIT))
    for number in range(20):
        pool.submit(lambda number=number: order.append(number))
    pool.submit(done.set)
    gate.set()
    assert done.wait(WAIT)
    assert order == list(range(20))


def test_a_thread_outlives_what_raises_in_it(caplog: pytest.LogCaptureFixture) -> None:
    pool = WorkerThreads(1)
    done = threading.Event()

    def fail() -> None:
        raise SystemExit("of the thread")

    pool.submit(fail)
    pool.submit(done.set)
    assert done.wait(WAIT)
    assert "raised" in caplog.text


def test_who_is_given_up_leaves_its_place_to_the_next() -> None:
    pool = WorkerThreads(1)
    started, release, second, third = (threading.Event() for _ in range(4))

    def stuck() -> None:
        started.set()
        release.wait(WAIT)
        pool.returned()

    pool.submit(stuck)
    pool.submit(second.set)
    assert started.wait(WAIT)
    assert not second.is_set()
    pool.give_up()
    assert second.wait(WAIT)
    release.set()
    pool.submit(third.set)
    assert third.wait(WAIT)


def test_all_threads_are_daemons_so_that_exit_never_waits() -> None:
    pool = WorkerThreads(1)
    found: list[bool] = []
    done = threading.Event()
    pool.submit(lambda: (found.append(threading.current_thread().daemon), done.set()))
    assert done.wait(WAIT)
    assert found == [True]


def test_a_pool_of_no_threads_is_refused() -> None:
    with pytest.raises(ValueError, match="must be 1 or more"):
        WorkerThreads(0)


async def test_a_function_runs_in_the_callers_context_and_another_thread() -> None:
    variable = contextvars.ContextVar("variable", default=0)
    variable.set(7)
    value, thread = await run_in_thread(lambda: (variable.get(), threading.current_thread()))
    assert value == 7
    assert thread is not threading.current_thread()


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), StopIteration(), GeneratorExit()])
async def test_what_would_end_the_loop_becomes_an_ordinary_error(error: BaseException) -> None:
    def fail() -> None:
        raise error

    with pytest.raises(RuntimeError, match=type(error).__name__) as caught:
        await run_in_thread(fail)
    assert caught.value.__cause__ is error


async def test_the_result_of_a_cancelled_call_is_dropped() -> None:
    started, release, ended = threading.Event(), threading.Event(), threading.Event()

    def work() -> None:
        started.set()
        release.wait(WAIT)
        ended.set()

    call = asyncio.create_task(run_in_thread(work))
    await run_in_thread(lambda: started.wait(WAIT))
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    release.set()
    assert await run_in_thread(lambda: ended.wait(WAIT))


def test_idle_threads_end_when_they_are_not_to_be_kept_and_work_is_still_taken() -> None:
    pool = WorkerThreads(3, "dismissed")

    def threads() -> list[threading.Thread]:
        return [thread for thread in threading.enumerate() if thread.name.startswith("dismissed")]

    gate, both = threading.Event(), threading.Barrier(3)
    for _ in range(2):
        pool.submit(lambda: (both.wait(WAIT), gate.wait(WAIT)))
    both.wait(WAIT)
    busy = threads()
    pool.submit(lambda: None)
    pool.close_idle()
    pool.close_idle()
    gate.set()
    for thread in busy:
        thread.join(WAIT)
    for _ in range(50):
        done = threading.Event()
        pool.submit(done.set)
        assert done.wait(WAIT)
    for thread in threads():
        thread.join(WAIT)
    assert threads() == []
