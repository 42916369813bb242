from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Iterator

import pytest

from backchannel.notebook.loop_thread import LoopThread


@pytest.fixture
def loop() -> Iterator[LoopThread]:
    thread = LoopThread()
    yield thread
    assert thread.stop(5)


async def thread_name() -> str:
    return threading.current_thread().name


def test_a_coroutine_runs_on_the_one_thread_and_its_result_comes_back(loop: LoopThread) -> None:
    assert loop.submit(thread_name()).result(5) == "backchannel-loop"
    loop.start()
    assert loop.submit(thread_name()).result(5) == "backchannel-loop"
    assert loop.running


def test_an_error_in_a_call_is_logged_and_the_loop_goes_on(loop: LoopThread, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        loop.call(lambda: 1 / 0)
        assert loop.submit(thread_name()).result(5)
    assert "ZeroDivisionError" in caplog.text


def test_an_error_in_a_coroutine_is_its_futures(loop: LoopThread) -> None:
    async def fail() -> None:
        raise KeyError("x")

    with pytest.raises(KeyError):
        loop.submit(fail()).result(5)


def test_stopping_cancels_what_runs_and_may_be_done_twice() -> None:
    loop, started, cancelled = LoopThread(), threading.Event(), threading.Event()

    async def forever() -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    future = loop.submit(forever())
    assert started.wait(5)
    assert loop.stop(5)
    assert loop.stop(5)
    assert cancelled.is_set()
    assert future.cancelled()
    assert not loop.running


def test_a_stopped_loop_refuses_work_and_drops_calls() -> None:
    loop = LoopThread()
    loop.start()
    loop.stop(5)
    loop.call(print)
    with pytest.raises(RuntimeError, match="reload_ext"):
        loop.submit(thread_name())
