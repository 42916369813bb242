"""How many tools run at a time, and what comes of one call."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from backchannel.events import ToolResultEvent, ToolStreamEvent
from backchannel.messages import ToolUse
from backchannel.tools import ConcurrentToolExecutor, SequentialToolExecutor, ToolExecutor, run_tool, tool

USE: ToolUse = {"toolUseId": "c1", "name": "foreign", "input": {}}


class Foreign:
    """A tool that knows nothing of ours: it yields what it was given, and raises what it was given."""

    tool_name = "foreign"
    tool_spec: Any = {"name": "foreign", "description": "", "inputSchema": {"json": {}}}
    tool_type = "python"

    def __init__(self, *events: Any) -> None:
        self.events = events
        self.closed = False

    async def stream(self, tool_use: Any, invocation_state: dict[str, Any], **kwargs: Any) -> AsyncIterator[Any]:
        try:
            for event in self.events:
                if isinstance(event, BaseException):
                    raise event
                yield event
        finally:
            self.closed = True


RESULT = {"toolUseId": "other", "status": "success", "content": [{"text": "fine"}]}


@pytest.mark.parametrize(
    ("events", "streamed", "text"),
    [
        ([{"type": "tool_result", "tool_result": RESULT}], [], "fine"),
        ([RESULT], [], "fine"),
        ([{"tool_stream_event": {"tool_use": USE, "data": 1}}, RESULT], [1], "fine"),
        (["half", {"type": "tool_result", "tool_result": RESULT}, "too late"], ["half"], "fine"),
        (["half", "whole"], ["half", "whole"], "whole"),
        ([1, ValueError("broke")], [1], "Error: broke"),
        ([SystemExit("out")], [], "Error: out"),
        ([asyncio.CancelledError("inner")], [], "Error: inner"),
        ([], [], "Error: the tool 'foreign' ended without a result"),
    ],
)
async def test_whatever_a_tool_yields_one_result_comes_last(events: list[Any], streamed: list[Any], text: str) -> None:
    made = Foreign(*events)
    found = [event async for event in run_tool(made, USE, {})]
    assert [event["tool_stream_event"]["data"] for event in found[:-1]] == streamed
    assert all(isinstance(event, ToolStreamEvent) for event in found[:-1])
    assert isinstance(found[-1], ToolResultEvent)
    assert found[-1].tool_result["toolUseId"] == "c1"
    assert found[-1].tool_result["content"] == [{"text": text}]
    assert found[-1].tool_result["status"] == ("error" if text.startswith("Error") else "success")
    assert made.closed


async def test_an_unknown_tool_is_an_error_result() -> None:
    (event,) = [event async for event in run_tool(None, {**USE, "name": "fly"}, {})]
    assert event.tool_result == {"toolUseId": "c1", "status": "error", "content": [{"text": "Unknown tool: fly"}]}


async def test_a_result_of_ours_keeps_what_hangs_on_it() -> None:
    given = ToolResultEvent({"toolUseId": "c1", "status": "success", "content": []}, task="fact")  # type: ignore[arg-type]
    (event,) = [event async for event in run_tool(Foreign(given), USE, {})]
    assert event is given


async def test_cancellation_goes_through() -> None:
    started = asyncio.Event()

    @tool
    async def wait() -> None:
        started.set()
        await asyncio.Event().wait()

    async def run() -> list[Any]:
        return [event async for event in run_tool(wait, {**USE, "name": "wait"}, {})]

    call = asyncio.create_task(run())
    await started.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call


async def most_at_a_time(executor: ToolExecutor, calls: int) -> tuple[int, list[int]]:
    running, most, order = 0, 0, []

    async def call(number: int) -> None:
        nonlocal running, most
        async with executor.slot():
            order.append(number)
            running += 1
            most = max(most, running)
            for _ in range(3):
                await asyncio.sleep(0)
            running -= 1

    await asyncio.gather(*(call(number) for number in range(calls)))
    return most, order


async def test_calls_run_at_the_same_time() -> None:
    assert await most_at_a_time(ConcurrentToolExecutor(), 30) == (30, list(range(30)))


async def test_a_limit_is_kept_in_order() -> None:
    assert await most_at_a_time(ConcurrentToolExecutor(4), 30) == (4, list(range(30)))


async def test_a_sequential_executor_runs_one_at_a_time_in_order() -> None:
    assert await most_at_a_time(SequentialToolExecutor(), 30) == (1, list(range(30)))


def test_an_executor_serves_one_loop_after_the_other() -> None:
    executor = SequentialToolExecutor()
    assert asyncio.run(most_at_a_time(executor, 3))[0] == 1
    assert asyncio.run(most_at_a_time(executor, 3))[0] == 1


def test_a_limit_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="limit must be 1 or more"):
        ConcurrentToolExecutor(0)


def test_the_executors_are_executors() -> None:
    assert isinstance(SequentialToolExecutor(), ToolExecutor)
