"""Tasks that wait for others."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from backchannel import messages
from backchannel.errors import TaskError, TaskFailedError, TaskRefusedError, ToolArgumentsError
from backchannel.events import ToolResultEvent
from backchannel.tasks import AsyncTool, AsyncToolManager, Task, async_tool

WAIT = 10.0


@pytest.fixture
def manager() -> Iterator[AsyncToolManager]:
    made = AsyncToolManager(max_workers=2)
    yield made
    made.shutdown(cancel=True)


def open_gate(manager: AsyncToolManager, value: Any = 1) -> tuple[threading.Event, Task]:
    gate = threading.Event()
    return gate, manager.start("first", lambda: (gate.wait(WAIT), value)[1], {})


def test_a_task_starts_after_those_that_it_needs(manager: AsyncToolManager):
    gate, first = open_gate(manager)
    second = manager.start("second", lambda: first.status, {}, after=first)
    third = manager.start("third", lambda: second.status, {}, after=[first.id, second.number])
    assert (second.status, third.status) == ("queued", "queued")
    gate.set()
    assert (second.result(WAIT), third.result(WAIT)) == ("done", "done")


def test_a_task_as_an_argument_is_its_result(manager: AsyncToolManager):
    gate, first = open_gate(manager, 20)
    second = manager.start("add", lambda a, b: a + b, {"a": first, "b": 1})
    assert second.arguments == {"a": {"$task": first.id}, "b": 1}
    assert second.label == "add b 1 task 1"
    gate.set()
    assert second.result(WAIT) == 21


def test_what_is_there_already_is_used_at_once(manager: AsyncToolManager):
    _, first = open_gate(manager)
    first.cancel()
    gate, first = open_gate(manager, [1, 2])
    gate.set()
    first.result(WAIT)
    assert manager.start("length", len, {}, after=first).wait(WAIT)
    assert manager.start("sum", lambda values: sum(values), {"values": first}).result(WAIT) == 3


def test_without_the_result_of_the_first_the_second_fails_in_words(manager: AsyncToolManager):
    def fail() -> None:
        raise ValueError("bad data")

    first = manager.start("load", fail, {})
    ran: list[int] = []
    second = manager.start("report", lambda: ran.append(1), {}, after=first)
    with pytest.raises(
        TaskFailedError,
        match="report, did not run, because it needs task 1, load, and that has no result: failed: bad data",
    ):
        second.result(WAIT)
    assert isinstance(second.error, TaskError)
    assert isinstance(second.error.__cause__, ValueError)
    assert ran == []
    assert second.attempts == 0


def test_a_cancelled_task_fails_those_that_wait_for_it_at_once(manager: AsyncToolManager):
    gate, first = open_gate(manager)
    other_gate, other = open_gate(manager)
    second = manager.start("second", lambda: 1, {}, after=[first, other])
    first.cancel("enough")
    assert second.status == "failed"
    assert "It was cancelled: enough" in second.summary()
    assert other.status == "running" or other.status == "queued"
    gate.set()
    other_gate.set()


def test_one_that_waits_can_be_cancelled(manager: AsyncToolManager):
    gate, first = open_gate(manager)
    second = manager.start("second", lambda: 1, {}, after=first)
    assert second.cancel()
    gate.set()
    first.result(WAIT)
    assert second.status == "cancelled"


def test_a_chain_of_thousands_is_no_deep_recursion():
    manager = AsyncToolManager(max_workers=1)
    gate, first = open_gate(manager)
    last = first
    for _ in range(3000):
        last = manager.start("next", lambda: 1, {}, after=last)
    first.cancel()
    assert last.status == "failed"
    assert manager.pending_count == 0
    gate.set()


def test_thousands_that_wait_for_one_start_when_it_is_done():
    manager = AsyncToolManager(max_workers=2)
    gate, first = open_gate(manager)
    tasks = [manager.start("next", lambda value: value, {"value": first}) for _ in range(2000)]
    gate.set()
    manager.shutdown()
    assert {task.status for task in tasks} == {"done"}


def test_an_unknown_task_is_named(manager: AsyncToolManager):
    with pytest.raises(TaskRefusedError, match="There is no task 'beef'"):
        manager.start("second", lambda: 1, {}, after="beef")
    for wrong in (2.5, [None], b"beef"):
        with pytest.raises(TaskRefusedError, match="There is no task"):
            manager.start("second", lambda: 1, {}, after=wrong)  # type: ignore[arg-type]
    assert manager.tasks == []


def test_tasks_of_two_managers_can_wait_for_each_other(manager: AsyncToolManager):
    with AsyncToolManager() as other:
        gate, first = open_gate(manager, 4)
        second = other.start("double", lambda n: n * 2, {"n": first})
        third = manager.start("double", lambda n: n * 2, {"n": second})
        gate.set()
        assert third.result(WAIT) == 16


async def test_a_wait_that_would_stop_the_loop_of_a_dependency_is_refused(manager: AsyncToolManager):
    gate = asyncio.Event()
    first = manager.start("first", gate.wait, {})
    second = manager.start("second", lambda: 1, {}, after=first)
    with pytest.raises(TaskError, match="write 'await task' instead"):
        second.result()
    gate.set()
    assert await second == 1


# Tools


async def answer(tool: AsyncTool, arguments: Any, agent: object = None) -> ToolResultEvent:
    use: messages.ToolUse = {"toolUseId": "c1", "name": tool.tool_name, "input": arguments}
    (event,) = [event async for event in tool.stream(use, {"agent": agent})]
    assert isinstance(event, ToolResultEvent)
    return event


def add(numbers: list[int], more: int) -> int:
    """Add up."""
    return sum(numbers) + more


def text_in(event: ToolResultEvent) -> str:
    text: str = event.tool_result["content"][0]["text"]
    return text


async def test_a_model_names_a_result_by_its_task(manager: AsyncToolManager):
    gate, first = open_gate(manager, [1, 2])
    tool = async_tool(manager, takes_results=True, grace_s=WAIT)(add)
    assert '{"$task": "<task id>"}' in tool.tool_spec["description"]
    gate.set()
    assert text_in(await answer(tool, {"numbers": {"$task": first.id}, "more": "4"})) == "7"
    assert text_in(await answer(tool, {"numbers": {"$task": 1}, "more": 1})) == "4"


async def test_a_tool_that_takes_no_results_takes_that_form_as_it_is(manager: AsyncToolManager):
    tool = async_tool(manager, grace_s=WAIT)(add)
    assert "$task" not in tool.tool_spec["description"]
    assert (await answer(tool, {"numbers": {"$task": "1"}, "more": 1})).tool_result["status"] == "error"
    assert manager.tasks == []


async def test_the_other_arguments_are_checked_at_once(manager: AsyncToolManager):
    gate, _ = open_gate(manager)
    tool = async_tool(manager, takes_results=True, grace_s=0)(add)
    event = await answer(tool, {"numbers": {"$task": 1}, "more": "many"})
    assert event.tool_result["status"] == "error"
    assert 'more: expected an integer, got "many"' in text_in(event)
    event = await answer(tool, {"numbers": {"$task": 1}})
    assert "more: missing" in text_in(event)
    assert len(manager.tasks) == 1
    gate.set()


def test_a_result_that_does_not_fit_fails_the_task(manager: AsyncToolManager):
    gate, first = open_gate(manager, "text")
    task = async_tool(manager)(add)(first, 1)
    gate.set()
    assert task.wait(WAIT)
    assert isinstance(task.error, ToolArgumentsError)
    assert "numbers: expected a list" in task.summary()


async def test_another_agents_results_cannot_be_had(manager: AsyncToolManager):
    mine, theirs = object(), object()
    task = manager.start("secret", lambda: [1], {}, owner=theirs)
    await task
    tool = async_tool(manager, takes_results=True, grace_s=WAIT)(add)
    event = await answer(tool, {"numbers": {"$task": task.id}, "more": 1}, mine)
    assert event.tool_result["status"] == "error"
    assert f"There is no task '{task.id}'" in text_in(event)


def test_options_of_one_call(manager: AsyncToolManager):
    gate, first = open_gate(manager)
    tool = async_tool(manager, priority=1, name="plus")(add)
    task = tool.options(after=first, priority=7)([1], more=2)
    assert (task.tool_name, task.options.priority, task.status) == ("plus", 7, "queued")
    assert tool.task_options.priority == 1
    gate.set()
    assert task.result(WAIT) == 3
