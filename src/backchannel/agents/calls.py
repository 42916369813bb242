"""A call of the model, from the hooks before it to the hooks after it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..events import ToolCancelEvent, ToolResultEvent, TypedEvent
from ..hooks import BidiAfterToolCallEvent, BidiBeforeToolCallEvent
from ..messages import ToolResult, ToolUse
from ..tools import run_tool

if TYPE_CHECKING:
    from .bidi import BidiAgent

__all__ = ["run_with_hooks"]


async def run_with_hooks(
    agent: BidiAgent, tool_use: ToolUse, invocation_state: dict[str, Any], emit: Callable[[TypedEvent], None]
) -> ToolResultEvent:
    """Run a tool between its hooks, hand its intermediate events to ``emit``, and return what it produced."""
    state = {
        **invocation_state,
        "agent": agent,
        "model": agent.model,
        "messages": agent.messages,
        "system_prompt": agent.system_prompt,
        "tool_config": {"tools": [{"toolSpec": spec} for spec in agent.tool_registry.specs()]},
    }
    call_id = tool_use["toolUseId"]
    before = BidiBeforeToolCallEvent(agent, agent.tool_registry.get(tool_use["name"]), tool_use, state)
    await agent.hooks.invoke_callbacks_async(before)
    tool, used = before.selected_tool, before.tool_use
    cancelled: str | None = None
    if before.cancel_tool:
        cancelled = before.cancel_tool if isinstance(before.cancel_tool, str) else "tool cancelled by user"
        emit(ToolCancelEvent(used, cancelled))
        event = ToolResultEvent(_failed(call_id, cancelled))
    elif tool is None:
        known = ", ".join(agent.tool_names) or "none"
        event = ToolResultEvent(_failed(call_id, f"Unknown tool: {used['name']}. Known tools: {known}."))
    else:
        event = ToolResultEvent(_failed(call_id, f"Error: {used['name']} ended without a result"))
        async for item in run_tool(tool, used, state):
            if isinstance(item, ToolResultEvent):
                event = item
            else:
                emit(item)
    exception = event.exception if isinstance(event.exception, Exception) else None
    after = BidiAfterToolCallEvent(agent, tool, used, state, event["tool_result"], exception, cancelled)
    await agent.hooks.invoke_callbacks_async(after)
    result: ToolResult = {**after.result, "toolUseId": call_id}
    return ToolResultEvent(result, exception, event.task)


def _failed(call_id: str, text: str) -> ToolResult:
    return {"toolUseId": call_id, "status": "error", "content": [{"text": text}]}
