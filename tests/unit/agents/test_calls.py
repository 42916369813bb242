"""A call between its hooks: another try, and what a tool may not ask for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from backchannel import BidiAgent, async_tool, tool
from backchannel.agents.calls import MOST_RETRIES
from backchannel.events import TypedEvent
from backchannel.hooks import BidiAfterToolCallEvent, BidiBeforeToolCallEvent, HookRegistry
from backchannel.messages import validate_messages
from backchannel.models.scripted import ScriptedModel, call, expect_result, say
from backchannel.tasks import AsyncToolManager
from backchannel.tools import SequentialToolExecutor
from tests.support.virtual_time import virtual_time


class Hooks:
    """Counts the calls of its callbacks, and asks for another try while ``again`` says so."""

    def __init__(self, again: Callable[[BidiAfterToolCallEvent, int], bool], change: Any = None) -> None:
        self.again, self.change = again, change
        self.before: list[BidiBeforeToolCallEvent] = []
        self.after: list[BidiAfterToolCallEvent] = []

    def register_hooks(self, registry: HookRegistry, **kwargs: Any) -> None:
        registry.add_callback(BidiBeforeToolCallEvent, self.on_before)
        registry.add_callback(BidiAfterToolCallEvent, self.on_after)

    def on_before(self, event: BidiBeforeToolCallEvent) -> None:
        self.before.append(event)
        if self.change is not None:
            self.change(event, len(self.before))

    def on_after(self, event: BidiAfterToolCallEvent) -> None:
        self.after.append(event)
        event.retry = self.again(event, len(self.after))


class Flaky:
    """Fails as often as it is told."""

    def __init__(self, failures: int) -> None:
        self.failures, self.runs = failures, 0

    def tool(self) -> Any:
        @tool(name="flaky")
        async def flaky() -> str:
            """Fail at first."""
            self.runs += 1
            if self.runs <= self.failures:
                raise OSError(f"failure {self.runs}")
            return f"worked at try {self.runs}"

        return flaky


def failed(event: BidiAfterToolCallEvent, _: int) -> bool:
    return event.exception is not None


async def conversation(agent: BidiAgent) -> list[TypedEvent]:
    events = []
    async for event in agent.receive():
        events.append(event)
        if event.get("type") == "bidi_response_complete":
            break
    return events


@pytest.mark.parametrize("executor", [None, SequentialToolExecutor()])
@virtual_time
async def test_another_try_discards_the_result_and_calls_all_hooks_again(executor: Any):
    flaky, hooks = Flaky(2), Hooks(failed)
    model = ScriptedModel(call("flaky"), expect_result("worked at try 3", tool_use_id="call-1"), say("Done."))
    async with BidiAgent(model, tools=[flaky.tool()], hooks=[hooks], tool_executor=executor) as agent:
        events = await conversation(agent)
    assert [len(hooks.before), len(hooks.after), flaky.runs] == [3, 3, 3]
    assert [event.get("type") for event in events].count("tool_result") == 1
    assert validate_messages(agent.messages) == []
    model.check()


@virtual_time
async def test_the_number_of_tries_is_bounded_and_the_model_is_told():
    flaky, hooks = Flaky(1000), Hooks(lambda _event, _count: True)
    model = ScriptedModel(call("flaky"), expect_result("10 retries is the limit", status="error"), say("Sorry."))
    async with BidiAgent(model, tools=[flaky.tool()], hooks=[hooks]) as agent:
        await conversation(agent)
    assert flaky.runs == len(hooks.after) == MOST_RETRIES + 1
    model.check()


@virtual_time
async def test_the_last_try_that_is_allowed_counts_if_no_other_is_asked_for():
    flaky, hooks = Flaky(MOST_RETRIES), Hooks(failed)
    model = ScriptedModel(call("flaky"), expect_result(f"worked at try {MOST_RETRIES + 1}"), say("Done."))
    async with BidiAgent(model, tools=[flaky.tool()], hooks=[hooks]) as agent:
        await conversation(agent)
    model.check()


@virtual_time
async def test_a_cancelled_call_is_not_tried_again():
    def cancel(event: BidiBeforeToolCallEvent, _: int) -> None:
        event.cancel_tool = "no"

    flaky, hooks = Flaky(0), Hooks(lambda _event, _count: True, cancel)
    model = ScriptedModel(call("flaky"), expect_result("no", status="error"), say("Fine."))
    async with BidiAgent(model, tools=[flaky.tool()], hooks=[hooks]) as agent:
        await conversation(agent)
    assert (len(hooks.after), hooks.after[0].cancel_message, flaky.runs) == (1, "no", 0)


@virtual_time
async def test_a_try_may_use_other_arguments_and_keeps_the_calls_id():
    seen = []

    @tool
    async def fetch(url: str) -> str:
        """Fetch."""
        seen.append(url)
        return url

    def change(event: BidiBeforeToolCallEvent, count: int) -> None:
        event.tool_use = {"toolUseId": "mine", "name": "fetch", "input": {"url": event.tool_use["input"]["url"] + "!"}}

    hooks = Hooks(lambda _event, count: count < 3, change)
    model = ScriptedModel(call("fetch", {"url": "a"}), expect_result("a!!!", tool_use_id="call-1"), say("Done."))
    async with BidiAgent(model, tools=[fetch], hooks=[hooks]) as agent:
        await conversation(agent)
    assert seen == ["a!", "a!!", "a!!!"]
    model.check()


@pytest.mark.parametrize(("changes", "questions"), [(False, 1), (True, 3)])
@virtual_time
async def test_the_same_call_is_approved_once_and_another_one_again(changes: bool, questions: int):
    asked = []

    async def approve(request: Any) -> bool:
        asked.append(request.question)
        return True

    @tool(confirm="Delete {path}?")
    async def delete(path: str) -> str:
        """Delete."""
        return path

    def change(event: BidiBeforeToolCallEvent, count: int) -> None:
        if changes:
            event.tool_use = {**event.tool_use, "input": {"path": f"{count}.txt"}}

    hooks = Hooks(lambda _event, count: count < 3, change)
    model = ScriptedModel(call("delete", {"path": "a.txt"}), expect_result("txt"), say("Done."))
    async with BidiAgent(model, tools=[delete], hooks=[hooks], approve=approve) as agent:
        await conversation(agent)
    assert len(asked) == questions


@virtual_time
async def test_a_background_task_whose_acknowledgement_is_discarded_is_cancelled():
    manager = AsyncToolManager()

    @async_tool(manager, grace_s=0)
    async def train() -> str:
        """Train."""
        await asyncio.sleep(60)
        return "trained"

    hooks = Hooks(lambda _event, count: count == 1)
    model = ScriptedModel(call("train"), expect_result("train"), say("Started."))
    async with BidiAgent(model, tools=[train], hooks=[hooks]) as agent:
        await conversation(agent)
        assert [task.status for task in manager.tasks] == ["cancelled", "running"]
        manager.tasks[1].cancel()
    manager.shutdown()


class Interrupting:
    """A tool of another library that asks for an interrupt."""

    tool_name = "careful"
    tool_type = "foreign"
    closed = False

    def __init__(self) -> None:
        self.tool_spec = {"name": "careful", "description": "Ask.", "inputSchema": {"json": {"type": "object"}}}

    async def stream(self, tool_use: Any, invocation_state: dict[str, Any], **kwargs: Any) -> AsyncIterator[Any]:
        try:
            yield {"tool_interrupt_event": {"tool_use": tool_use, "interrupts": []}}
        finally:
            self.closed = True


@virtual_time
async def test_an_interrupt_of_a_tool_ends_the_events_with_an_error():
    careful = Interrupting()
    async with BidiAgent(ScriptedModel(call("careful")), tools=[careful]) as agent:
        with pytest.raises(RuntimeError, match="tool interrupts are not supported in bidi"):
            await conversation(agent)
    assert careful.closed
