"""A call of the model, from the hooks before it to the hooks after it."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import AsyncGenerator, Callable, Mapping
from typing import TYPE_CHECKING, Any, cast

from ..errors import ToolArgumentsError
from ..events import ApprovalQuestionEvent, ToolCancelEvent, ToolResultEvent, ToolStreamEvent, TypedEvent
from ..hooks import BidiAfterToolCallEvent, BidiBeforeToolCallEvent
from ..messages import AgentTool, ToolResult, ToolUse
from ..tasks import Task
from ..tools import run_tool
from ..tools.confirmation import question_for
from ..tools.text import error_text
from .approval import ANSWER_TOOL
from .slot import Slot

if TYPE_CHECKING:
    from .bidi import BidiAgent

__all__ = ["MOST_RETRIES", "failed_call", "run_with_hooks"]

MOST_RETRIES = 10
"""How often hooks may have one call run again."""


async def run_with_hooks(
    agent: BidiAgent,
    tool_use: ToolUse,
    invocation_state: dict[str, Any],
    emit: Callable[[TypedEvent], None],
    *,
    by_hand: bool = False,
) -> ToolResultEvent:
    """Run a tool between its hooks, hand its intermediate events to ``emit``, and return what it produced.

    A call ``by_hand`` waits neither for its turn nor for a person's approval.

    Raises:
        RuntimeError: If the tool asks for an interrupt.
        Exception: What a hook raised.
    """
    slot = contextlib.nullcontext() if by_hand or tool_use["name"] == ANSWER_TOOL else Slot(agent.tool_executor)
    async with slot:
        return await _Call(agent, tool_use, invocation_state, emit, by_hand).run()


def failed_call(tool_use: ToolUse, error: Exception, task: Task | None) -> ToolResultEvent:
    """Return the answer to a call of which `run_with_hooks` raised ``error``, and whose ``task`` may run on."""
    name, said = tool_use["name"], error_text(error, 500)
    text = f"Error: the call of {name} was not completed, for a hook failed: {type(error).__name__}: {said}"
    if task is not None:
        text += f"\nTask {task.number} (id {task.id}) runs in the background all the same; its result comes later."
    result: ToolResult = {"toolUseId": tool_use["toolUseId"], "status": "error", "content": [{"text": text}]}
    return ToolResultEvent(result, error, None if task is None else task.started_fact())


class _Call:
    def __init__(
        self,
        agent: BidiAgent,
        tool_use: ToolUse,
        invocation_state: dict[str, Any],
        emit: Callable[[TypedEvent], None],
        by_hand: bool,
    ) -> None:
        self._agent = agent
        self._tool_use = tool_use
        self._state = {
            **invocation_state,
            "agent": agent,
            "model": agent.model,
            "messages": agent.messages,
            "system_prompt": agent.system_prompt,
            "tool_config": {"tools": [{"toolSpec": spec} for spec in agent.tool_registry.specs()]},
        }
        self._emit = emit
        self._by_hand = by_hand
        self._before: type[Any]
        self._after: type[Any]
        self._before, self._after = getattr(agent, "call_events", (BidiBeforeToolCallEvent, BidiAfterToolCallEvent))
        self._allowed: tuple[AgentTool, ToolUse] | None = None

    async def run(self) -> ToolResultEvent:
        """Run the tool, again as often as a hook wants, and return the result that counts."""
        call_id = self._tool_use["toolUseId"]
        for retries in range(MOST_RETRIES + 1):
            event, after = await self._attempt()
            if not after.retry or after.cancel_message is not None:
                # Providers want something in a result.
                content = after.result["content"] or [{"text": "(no content)"}]
                result: ToolResult = {**after.result, "content": content, "toolUseId": call_id}
                return ToolResultEvent(result, after.exception, event.task)
            _discard(after.selected_tool, event)
            if retries < MOST_RETRIES:
                self._tool_use = {**after.tool_use, "toolUseId": call_id}
        return self._failed(
            f"Error: {self._tool_use['name']} was run {MOST_RETRIES + 1} times, and a hook asked for one more; "
            f"{MOST_RETRIES} retries is the limit."
        )

    async def _attempt(self) -> tuple[ToolResultEvent, BidiAfterToolCallEvent]:
        agent = self._agent
        before: BidiBeforeToolCallEvent = self._before(
            agent, agent.tool_registry.get(self._tool_use["name"]), self._tool_use, self._state
        )
        await agent.hooks.invoke_callbacks_async(before)
        tool, used = before.selected_tool, before.tool_use
        refusal: str | None = None
        if before.cancel_tool:
            refusal = before.cancel_tool if isinstance(before.cancel_tool, str) else "tool cancelled by user"
        elif tool is None:
            known = ", ".join(agent.tool_names) or "none"
            event = self._failed(f"Unknown tool: {used['name']}. Known tools: {known}.")
        else:
            try:
                used, refusal = await self._allow(tool, used)
            except ToolArgumentsError as error:
                event = self._failed(f"Error: {error}", error)
            else:
                if refusal is None:
                    event = await self._run(tool, used)
        if refusal is not None:
            self._emit(ToolCancelEvent(used, refusal))
            event = self._failed(refusal)
        exception = event.exception if isinstance(event.exception, Exception) else None
        after: BidiAfterToolCallEvent = self._after(
            agent, tool, used, self._state, event["tool_result"], exception, refusal
        )
        await agent.hooks.invoke_callbacks_async(after)
        return event, after

    async def _allow(self, tool: AgentTool, used: ToolUse) -> tuple[ToolUse, str | None]:
        """Ask for the approval that the tool wants; return the call that was allowed, or why it was not.

        Raises:
            ToolArgumentsError: If its arguments do not fit; nobody was asked.
        """
        if self._by_hand or (self._allowed is not None and self._allowed[0] is tool and self._allowed[1] == used):
            return used, None
        question = question_for(tool, used)
        if question is None:
            return used, None
        used = copy.deepcopy(used)  # What is asked about is what runs.
        approval = await self._agent.approvals.ask(question, used)
        if approval.approved:
            self._allowed = tool, copy.deepcopy(used)
            return used, None
        why = f": {approval.reason}" if approval.reason else ""
        return used, f"{ApprovalQuestionEvent.REFUSED} of {used['name']}{why}. Do not repeat it unless they ask."

    async def _run(self, tool: AgentTool, used: ToolUse) -> ToolResultEvent:
        event: ToolResultEvent | None = None
        items = cast("AsyncGenerator[ToolStreamEvent | ToolResultEvent]", run_tool(tool, used, self._state))
        async with contextlib.aclosing(items):
            async for item in items:
                if isinstance(item, ToolResultEvent):
                    event = item
                elif _is_interrupt(item):
                    raise RuntimeError(f"tool interrupts are not supported in bidi; {used['name']} asked for one")
                else:
                    self._emit(item)
        return self._failed(f"Error: {used['name']} ended without a result") if event is None else event

    def _failed(self, text: str, error: Exception | None = None) -> ToolResultEvent:
        call_id = self._tool_use["toolUseId"]
        result: ToolResult = {"toolUseId": call_id, "status": "error", "content": [{"text": text}]}
        return ToolResultEvent(result, error)


def _discard(tool: AgentTool | None, event: ToolResultEvent) -> None:
    """Stop the background task whose acknowledgement is not wanted: nobody would be told its result."""
    task = event.task
    manager = getattr(tool, "manager", None)
    if task is None or manager is None:
        return
    for running in manager.tasks:
        if running.id == task.task_id:
            running.delivered = True
            running.cancel("a hook asked for another try")


def _is_interrupt(item: ToolStreamEvent) -> bool:
    data = item["tool_stream_event"].get("data")
    return isinstance(data, Mapping) and "tool_interrupt_event" in data
