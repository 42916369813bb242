"""The tools that an agent offers for its tasks and their results."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from backchannel import AsyncToolManager, BidiAgent, async_tool, tool
from backchannel.agents import Agent
from backchannel.events import ToolResultEvent
from backchannel.models.scripted import ScriptedModel
from backchannel.models.scripted_text import ScriptedTextModel
from backchannel.tasks import Task
from backchannel.tools import run_tool

OFFERED = {"background_tasks", "look_at_result"}


@pytest.fixture
def manager() -> Iterator[AsyncToolManager]:
    made = AsyncToolManager()
    yield made
    made.shutdown(cancel=True)


def agents(tools: list[Any]) -> list[Any]:
    return [BidiAgent(ScriptedModel(), tools=tools), Agent(ScriptedTextModel(), tools=tools)]


async def ask(agent: Any, name: str, **arguments: Any) -> str:
    use: Any = {"toolUseId": "c1", "name": name, "input": arguments}
    events = [event async for event in run_tool(agent.tool_registry.get(name), use, {"agent": agent})]
    assert isinstance(events[-1], ToolResultEvent)
    text: str = events[-1].tool_result["content"][0]["text"]
    return text


def owned(manager: AsyncToolManager, agent: Any, value: Any) -> Task:
    task = manager.start("rows", lambda: value, {}, owner=agent)
    assert task.wait(10)
    return task


def test_they_are_offered_where_a_tool_works_in_the_background(manager: AsyncToolManager):
    @async_tool(manager)
    def rows() -> list[int]:
        """Return rows."""
        return []

    @tool
    def clock() -> str:
        """Tell the time."""
        return "noon"

    for agent in agents([rows, clock]):
        assert set(agent.tool_names) == {"rows", "clock", *OFFERED}
    for agent in agents([clock]):
        assert agent.tool_names == ["clock"]


def test_a_tool_of_that_name_is_the_users_own(manager: AsyncToolManager):
    @async_tool(manager)
    def rows() -> list[int]:
        """Return rows."""
        return []

    @tool(name="look-at-result")
    def own(task: str) -> str:
        """Look."""
        return task

    for agent in agents([rows, own]):
        assert set(agent.tool_names) == {"rows", "look-at-result", "background_tasks"}
        assert agent.tool_registry.get("look-at-result") is own


async def test_a_large_result_names_its_handle_and_the_tool_that_looks_into_it(manager: AsyncToolManager):
    @async_tool(manager)
    def rows() -> list[int]:
        """Return rows."""
        return []

    for agent in agents([rows]):
        task = owned(manager, agent, list(range(100_000)))
        text = task.finished_fact().text
        assert f"task {task.number}, id {task.id}, keeps the whole result; look_at_result shows more of it" in text
        assert "100,000 items" in await ask(agent, "look_at_result", task=task.id, action="describe")
        assert await ask(agent, "look_at_result", task=task.number, action="slice", start=-2) == (
            "Items 99,998 to 99,999 of 100,000, counted from 0:\n99998\n99999"
        )


def test_where_no_model_can_look_no_tool_is_named(manager: AsyncToolManager):
    task = owned(manager, object(), list(range(100_000)))
    assert "keeps the whole result.)" in task.finished_fact().text


async def test_an_agent_knows_its_own_tasks_and_those_started_by_hand_but_not_anothers(manager: AsyncToolManager):
    @async_tool(manager)
    def rows() -> list[int]:
        """Return rows."""
        return []

    mine, other = agents([rows])
    gate = threading.Event()
    secret = owned(manager, other, "the secret")
    running = manager.start("long", gate.wait, {"timeout": 10}, owner=other)
    by_hand = owned(manager, None, "by hand")
    own = owned(manager, mine, "my own")
    own.delivered = True
    try:
        listed = await ask(mine, "background_tasks", action="list")
        assert "my own" in listed
        assert "by hand" in listed
        assert "secret" not in listed
        assert "long" not in listed
        assert await ask(mine, "background_tasks", action="cancel", task="all") == (
            "No tasks are running, so there is nothing to cancel."
        )
        assert "There is no task" in await ask(mine, "background_tasks", action="cancel", task=running.id)
        assert "There is no task" in await ask(mine, "look_at_result", task=secret.id)
        assert await ask(mine, "look_at_result", task=by_hand.id) == "by hand"
        assert await ask(other, "look_at_result", task=secret.number) == "the secret"
        assert not running.done()
    finally:
        gate.set()
