"""A coroutine that blocks its event loop is named, and only such a one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from backchannel.messages import ToolUse
from backchannel.tasks import AsyncToolManager, async_tool
from backchannel.tools import run_tool, tool
from backchannel.tools.blocking import watched, watched_values

USE: ToolUse = {"toolUseId": "c1", "name": "fetch", "input": {}}


class Clock:
    """A clock that only what is called moves."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr("backchannel.tools.blocking.time", type("time", (), {"monotonic": made}))
    return made


async def test_a_step_that_blocks_is_told_with_its_length_and_waiting_is_not_blocking(clock: Clock):
    async def work() -> str:
        clock.now += 0.4
        await asyncio.sleep(0)
        clock.now += 2.0
        await asyncio.sleep(0)
        clock.now += 1.0
        return "done"

    held: list[float] = []
    assert await watched(work(), held.append) == "done"
    assert held == [pytest.approx(2.0)]


async def test_many_short_steps_are_no_block(clock: Clock):
    async def work() -> None:
        for _ in range(100):
            clock.now += 0.3
            await asyncio.sleep(0)

    held: list[float] = []
    await watched(work(), held.append)
    assert held == []


async def test_errors_and_cancellation_go_through(clock: Clock):
    held: list[float] = []
    seen: list[str] = []

    async def fails() -> None:
        await asyncio.sleep(0)
        clock.now += 1
        raise KeyError("x")

    with pytest.raises(KeyError):
        await watched(fails(), held.append)
    assert held == [pytest.approx(1.0)]

    async def waits() -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            seen.append("cancelled")
            await asyncio.sleep(0)
            return "saved"
        return ""

    task = asyncio.create_task(watched_task(waits()))
    await asyncio.sleep(0)
    task.cancel()
    assert await task == "saved"
    assert seen == ["cancelled"]


async def watched_task(work: Any) -> Any:
    return await watched(work, lambda _: None)


async def test_a_generator_is_watched_and_closed(clock: Clock):
    closed: list[bool] = []
    held: list[float] = []

    async def values() -> AsyncIterator[int]:
        try:
            for number in range(5):
                clock.now += number
                yield number
        finally:
            closed.append(True)

    got = []
    async for value in watched_values(values(), held.append):  # type: ignore[arg-type]
        got.append(value)
    assert got == [0, 1, 2, 3, 4]
    assert held == [1.0, 2.0, 3.0, 4.0]
    rest = watched_values(values(), held.append)  # type: ignore[arg-type]
    assert await anext(rest) == 0
    await rest.aclose()  # type: ignore[attr-defined]
    assert closed == [True, True]


async def test_a_tool_that_blocks_is_named_in_a_warning(clock: Clock, caplog: pytest.LogCaptureFixture):
    @tool(name="fetch")
    async def fetch() -> str:
        """Fetch."""
        clock.now += 2
        return "r"

    assert [event async for event in run_tool(fetch, USE, {})][-1]["tool_result"]["status"] == "success"
    assert "the coroutine of the tool 'fetch' blocked its event loop for 2.0 s" in caplog.text
    assert "plain function (def)" in caplog.text


def test_a_background_tool_that_blocks_is_named_in_its_log_too(caplog: pytest.LogCaptureFixture):
    manager = AsyncToolManager()

    @async_tool(manager)
    async def fetch() -> str:
        """Fetch."""
        time.sleep(0.6)
        return "r"

    task = fetch()
    assert task.result(10) == "r"
    assert "'fetch' blocked its event loop" in task.logs[-1]
    assert "'fetch' blocked its event loop" in caplog.text
    manager.shutdown()
