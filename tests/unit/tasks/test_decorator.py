"""Functions as background tools."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Iterator
from typing import Any, Literal

import pytest

from backchannel import messages
from backchannel.errors import ToolArgumentsError, ToolDefinitionError
from backchannel.events import ToolResultEvent
from backchannel.tasks import AsyncTool, AsyncToolManager, Task, async_tool, default_manager, set_default_manager
from backchannel.tools import AgentTool, ToolContext, ToolRegistry, tool

WAIT = 10.0


@pytest.fixture
def manager() -> Iterator[AsyncToolManager]:
    made = AsyncToolManager(max_workers=2)
    yield made
    made.shutdown(cancel=True)


def train(dataset: str, epochs: int = 20) -> str:
    """Train the model.

    Args:
        dataset: Which data.
    """
    return f"{dataset} {epochs}"


async def answer(made: AgentTool, arguments: Any, state: dict[str, Any] | None = None) -> ToolResultEvent:
    use: messages.ToolUse = {"toolUseId": "c1", "name": made.tool_name, "input": arguments}
    (event,) = [event async for event in made.stream(use, {} if state is None else state)]
    assert isinstance(event, ToolResultEvent)
    return event


def text_in(event: ToolResultEvent) -> str:
    text: str = event.tool_result["content"][0]["text"]
    return text


def test_the_decorator_is_used_bare_with_a_manager_or_with_options(manager: AsyncToolManager) -> None:
    set_default_manager(manager)
    bare, given, named = async_tool(train), async_tool(manager)(train), async_tool(name="learn", timeout=5)(train)
    keyword = async_tool(manager=manager)(train)
    assert all(made.manager is manager for made in (bare, given, named, keyword))
    assert (bare.tool_name, named.tool_name, named.timeout) == ("train", "learn", 5)
    set_default_manager(None)
    assert bare.manager is default_manager() is not manager
    assert given.manager is manager


def test_calling_it_starts_a_task_with_checked_arguments(manager: AsyncToolManager) -> None:
    made = async_tool(manager)(train)
    task = made("sales", epochs="3")
    assert isinstance(task, Task)
    assert task.arguments == {"dataset": "sales", "epochs": 3}
    assert task.result(WAIT) == "sales 3"
    assert (task.owner, task.call_id, task.label) == (None, None, "train sales epochs 3")


def test_wrong_arguments_start_nothing(manager: AsyncToolManager) -> None:
    made = async_tool(manager)(train)
    with pytest.raises(ToolArgumentsError, match="epochs: expected an integer"):
        made("sales", epochs="many")
    with pytest.raises(ToolArgumentsError, match="dataset: missing"):
        made()
    assert manager.tasks == []


def test_the_plain_function_stays_within_reach(manager: AsyncToolManager) -> None:
    made = async_tool(manager)(train)
    assert made.fn("sales", epochs=1) == "sales 1"
    assert made.__name__ == "train"
    assert made.fn.__doc__ == train.__doc__
    assert inspect.signature(made) == inspect.signature(train)
    assert async_tool(made).fn is train
    assert async_tool(tool(train)).fn is train


def test_the_specification_says_that_the_result_comes_later() -> None:
    spec = async_tool(train).tool_spec
    assert spec["description"].startswith("Train the model.\n\n")
    assert "in the background" in spec["description"]
    assert spec["inputSchema"]["json"]["required"] == ["dataset"]
    assert spec["inputSchema"]["json"]["properties"]["dataset"]["description"] == "Which data."


def test_it_is_a_tool_for_a_registry() -> None:
    registry = ToolRegistry()
    registry.process_tools([async_tool(train)])
    assert isinstance(registry.get("train"), AsyncTool)
    assert async_tool(train).tool_type == "async_function"


@pytest.mark.parametrize("options", [{"announce": "sometimes"}, {"timeout": 0}, {"grace_s": -1}, {"name": "two words"}])
def test_an_option_that_cannot_be_used_is_named(options: dict[str, Any]) -> None:
    with pytest.raises(ToolDefinitionError, match=str(next(iter(options.values())))):
        async_tool(**options)(train)


async def test_what_is_ready_within_the_grace_is_an_ordinary_result(manager: AsyncToolManager) -> None:
    event = await answer(async_tool(manager, grace_s=WAIT)(train), {"dataset": "sales"})
    assert event.tool_result == {"toolUseId": "c1", "status": "success", "content": [{"text": "sales 20"}]}
    assert event.task is None
    assert manager.tasks[0].delivered


async def test_what_is_not_is_acknowledged_and_owed(manager: AsyncToolManager) -> None:
    gate = threading.Event()

    @async_tool(manager, grace_s=0.01)
    def wait(topic: Literal["wind"]) -> bool:
        return gate.wait(WAIT)

    agent = object()
    event = await answer(wait, {"topic": "wind"}, {"agent": agent})
    (task,) = manager.tasks
    assert text_in(event) == str(task)
    assert event.tool_result["status"] == "success"
    assert event.task == task.started_fact()
    assert (task.owner, task.call_id, task.delivered) == (agent, "c1", False)
    gate.set()
    assert await task is True
    assert not task.delivered


async def test_without_grace_every_call_is_acknowledged(manager: AsyncToolManager) -> None:
    gate = threading.Event()
    event = await answer(async_tool(manager, grace_s=0)(lambda_named(gate)), {})
    assert event.task is not None
    gate.set()


def lambda_named(gate: threading.Event) -> Any:
    def wait() -> bool:
        return gate.wait(WAIT)

    return wait


async def test_what_fails_within_the_grace_is_an_error_result(manager: AsyncToolManager) -> None:
    @async_tool(manager, grace_s=WAIT)
    async def fail() -> None:
        raise ValueError("bad dataset")

    event = await answer(fail, {})
    assert event.tool_result["status"] == "error"
    assert text_in(event) == "Error: bad dataset"
    assert isinstance(event.exception, ValueError)
    assert manager.tasks[0].delivered


async def test_wrong_arguments_go_back_to_the_model(manager: AsyncToolManager) -> None:
    event = await answer(async_tool(manager)(train), {"epochs": "many"})
    assert event.tool_result["status"] == "error"
    assert 'epochs: expected an integer, got "many"; dataset: missing' in text_in(event)
    assert manager.tasks == []


async def test_a_manager_that_was_shut_down_is_an_error_result(manager: AsyncToolManager) -> None:
    manager.shutdown()
    event = await answer(async_tool(manager)(train), {"dataset": "sales"})
    assert event.tool_result["status"] == "error"
    assert "shut down" in text_in(event)


async def test_an_answer_that_is_cancelled_leaves_the_task_running_and_owed(manager: AsyncToolManager) -> None:
    gate, started = threading.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    @async_tool(manager, grace_s=WAIT)
    def wait() -> bool:
        loop.call_soon_threadsafe(started.set)
        return gate.wait(WAIT)

    call = asyncio.create_task(answer(wait, {}))
    await started.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    (task,) = manager.tasks
    assert task.status == "running"
    gate.set()
    assert await task is True
    assert not task.delivered


async def test_a_result_that_came_as_its_answer_was_cancelled_is_owed(manager: AsyncToolManager) -> None:
    future = asyncio.get_running_loop().create_future()
    calls: list[asyncio.Task[ToolResultEvent]] = []

    @async_tool(manager, grace_s=WAIT)
    async def wait() -> str:
        return await future

    calls.append(asyncio.create_task(answer(wait, {})))
    while not manager.tasks:
        await asyncio.sleep(0)
    (task,) = manager.tasks
    task.add_done_callback(calls[0].cancel)
    future.set_result("fine")
    with pytest.raises(asyncio.CancelledError):
        await calls[0]
    assert task.value == "fine"
    assert not task.delivered


async def test_the_surroundings_of_a_call_are_given_but_not_shown(manager: AsyncToolManager) -> None:
    @async_tool(manager, context=True, grace_s=WAIT)
    def look(a: int, tool_context: ToolContext, invocation_state: dict[str, Any]) -> str:
        return f"{a} {tool_context.tool_use['toolUseId']} {invocation_state['user']}"

    assert text_in(await answer(look, {"a": 1}, {"user": "you"})) == "1 c1 you"
    assert manager.tasks[0].arguments == {"a": 1}


def test_positional_only_parameters_and_methods_work(manager: AsyncToolManager) -> None:
    class Lab:
        factor = 3

        @async_tool(manager)
        def times(self, a: int, /, b: int = 1) -> int:
            return self.factor * a * b

    assert Lab().times(2, b="5").result(WAIT) == 30


def test_a_class_has_tools_of_its_own(manager: AsyncToolManager) -> None:
    class Lab:
        @classmethod
        @async_tool(manager)
        def which(cls, a: int) -> str:
            return f"{cls.__name__} {a}"

    class Cellar(Lab):
        @async_tool(manager)
        def rows(self) -> int:
            return 3

    assert Lab.which(1).result(WAIT) == "Lab 1"
    assert Cellar.which(2).result(WAIT) == "Cellar 2"
    assert Cellar().rows().result(WAIT) == 3
    registry = ToolRegistry()
    registry.process_tools([Lab.which])
    (given,) = registry.tools()
    assert isinstance(given, AsyncTool)
    assert given(3).result(WAIT) == "Lab 3"
    assert list(given.tool_spec["inputSchema"]["json"]["properties"]) == ["a"]
    with pytest.raises(ToolDefinitionError, match="@classmethod must stand above @async_tool"):
        async_tool(manager)(classmethod(lambda cls: cls))  # type: ignore[arg-type]


def test_the_docstring_says_that_the_result_comes_later() -> None:
    made = async_tool(train)
    assert str(made.__doc__).startswith("Train the model.\n\nThis tool works in the background.")
    assert str(made.__doc__).endswith("Args:\n    dataset: Which data.")
    assert "background" not in str(made.fn.__doc__)
    assert async_tool(made).tool_spec == made.tool_spec


def test_a_method_without_a_docstring_has_that_of_the_base_class() -> None:
    class Lab:
        @async_tool
        def rows(self) -> int:
            """Count the rows."""
            return 1

    class Cellar(Lab):
        @async_tool
        def rows(self) -> int:
            return 3

    assert Cellar().rows.tool_spec["description"].startswith("Count the rows.\n\nThis tool works")
    assert Cellar().rows.tool_spec["description"].count("This tool works") == 1


def test_options_reach_the_task(manager: AsyncToolManager) -> None:
    task = async_tool(manager, timeout=30, announce="never")(train)("sales")
    assert (task.timeout, task.announce) == (30, "never")
    assert task.finished_fact().announce == "never"
