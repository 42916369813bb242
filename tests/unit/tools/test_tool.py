"""Tools made of functions."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from backchannel import messages
from backchannel.errors import ToolDefinitionError
from backchannel.events import ToolResultEvent, ToolStreamEvent
from backchannel.tools import AgentTool, FunctionTool, ToolContext, tool
from backchannel.tools.tool import result_of


async def events_of(made: AgentTool, arguments: Any, state: dict[str, Any] | None = None) -> list[Any]:
    use: messages.ToolUse = {"toolUseId": "c1", "name": made.tool_name, "input": arguments}
    return [event async for event in made.stream(use, {} if state is None else state)]


async def result_text(made: AgentTool, arguments: Any, state: dict[str, Any] | None = None) -> tuple[str, str]:
    (event,) = await events_of(made, arguments, state)
    assert isinstance(event, ToolResultEvent)
    assert event.tool_result["toolUseId"] == "c1"
    return event.tool_result["status"], event.tool_result["content"][0]["text"]


@tool
def add(a: int, b: int = 1) -> int:
    """Add two numbers."""
    return a + b


def test_a_decorated_function_stays_that_function() -> None:
    assert add(2, b=3) == 5
    assert add.__name__ == "add"
    assert add.__doc__ == "Add two numbers."
    assert list(inspect.signature(add).parameters) == ["a", "b"]
    assert add.fn(1) == 2


def test_a_tool_is_what_the_agent_asks_for() -> None:
    assert isinstance(add, messages.AgentTool)
    assert isinstance(add, AgentTool)
    assert add.tool_type == "function"
    assert not add.supports_hot_reload
    assert add.get_display_properties() == {"Name": "add", "Type": "function"}
    made = tool(add.fn)
    assert not made.is_dynamic
    made.mark_dynamic()
    assert made.is_dynamic


def test_the_decorator_takes_options() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
    made = tool(name="plus", description="Plus.", inputSchema=schema)(add.fn)
    assert made.tool_spec == {"name": "plus", "description": "Plus.", "inputSchema": {"json": schema}}


def test_what_is_no_function_is_refused() -> None:
    with pytest.raises(ToolDefinitionError, match="not a function"):
        FunctionTool(5)  # type: ignore[arg-type]


async def test_a_plain_function_runs_in_a_thread_with_the_callers_context() -> None:
    variable: contextvars.ContextVar[int] = contextvars.ContextVar("variable")
    variable.set(4)

    @tool
    def where() -> str:
        return f"{variable.get()} {threading.current_thread() is threading.main_thread()}"

    assert await result_text(where, {}) == ("success", "4 False")


async def test_a_coroutine_function_runs_on_the_loop() -> None:
    loop = asyncio.get_running_loop()

    @tool
    async def where() -> bool:
        return asyncio.get_running_loop() is loop

    assert await result_text(where, {}) == ("success", "True")


async def test_arguments_are_checked_and_the_fault_goes_to_the_model() -> None:
    assert await result_text(add, {"a": "2"}) == ("success", "3")
    status, text = await result_text(add, {"a": "two"})
    assert status == "error"
    assert 'a: expected an integer, got "two"' in text


async def test_an_async_generator_streams_and_its_last_value_is_the_result() -> None:
    @tool
    async def count() -> AsyncIterator[int]:
        yield 1
        yield 2

    events = await events_of(count, {})
    assert [type(event) for event in events] == [ToolStreamEvent, ToolStreamEvent, ToolResultEvent]
    assert events[0]["tool_stream_event"]["data"] == 1
    assert events[2].tool_result["content"] == [{"text": "2"}]


async def test_a_generator_streams_too() -> None:
    @tool
    def count() -> Iterator[int]:
        yield 1
        yield 2

    events = await events_of(count, {})
    assert [type(event) for event in events] == [ToolStreamEvent, ToolStreamEvent, ToolResultEvent]
    assert events[2].tool_result["content"] == [{"text": "2"}]


@pytest.mark.parametrize("error", [ValueError("bad dataset"), SystemExit("bye"), asyncio.CancelledError("inner")])
@pytest.mark.parametrize("asynchronous", [False, True], ids=["thread", "loop"])
async def test_what_a_tool_raises_goes_to_the_model_as_data(error: BaseException, asynchronous: bool) -> None:
    def fail() -> None:
        raise error

    async def fail_async() -> None:
        raise error

    (event,) = await events_of(tool(fail_async if asynchronous else fail), {})
    assert event.tool_result["status"] == "error"
    assert event.tool_result["content"][0]["text"].startswith("Error: ")
    assert str(error) in event.tool_result["content"][0]["text"]
    assert event.exception is error or event.exception.__cause__ is error


async def test_cancelling_the_call_cancels_the_tool() -> None:
    started, cancelled = asyncio.Event(), asyncio.Event()

    @tool
    async def wait() -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    call = asyncio.create_task(events_of(wait, {}))
    await started.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert cancelled.is_set()


async def test_the_surroundings_of_a_call_are_given_by_name() -> None:
    @tool(context=True)
    def look(a: int, tool_context: ToolContext, invocation_state: dict[str, Any]) -> str:
        return f"{a} {tool_context.tool_use['toolUseId']} {tool_context.agent} {invocation_state['user']}"

    assert list(look.tool_spec["inputSchema"]["json"]["properties"]) == ["a"]
    assert await result_text(look, {"a": 1}, {"agent": "me", "user": "you"}) == ("success", "1 c1 me you")


async def test_the_context_parameter_may_have_any_name() -> None:
    @tool(context="here")
    async def look(here: ToolContext) -> str:
        return str(here.agent)

    assert await result_text(look, {}, {"agent": "me"}) == ("success", "me")


async def test_a_method_is_a_tool_of_its_object() -> None:
    class Counter:
        def __init__(self) -> None:
            self.count = 0

        @tool
        def step(self, by: int) -> int:
            """Count."""
            self.count += by
            return self.count

    counter = Counter()
    assert await result_text(counter.step, {"by": "2"}) == ("success", "2")
    assert counter.step(3) == 5
    assert list(counter.step.tool_spec["inputSchema"]["json"]["properties"]) == ["by"]


@pytest.mark.parametrize(
    ("value", "status", "content"),
    [
        ("text", "success", [{"text": "text"}]),
        ("", "success", [{"text": '""'}]),
        (None, "success", [{"text": "no result"}]),
        ({"a": 1}, "success", [{"text": '{"a": 1}'}]),
        ({"status": "error", "content": [{"text": "no"}]}, "error", [{"text": "no"}]),
        ({"status": "error", "content": "no"}, "success", [{"text": '{"status": "error", "content": "no"}'}]),
    ],
)
def test_a_value_becomes_a_result(value: Any, status: str, content: list[Any]) -> None:
    assert result_of("c1", value) == {"toolUseId": "c1", "status": status, "content": content}
