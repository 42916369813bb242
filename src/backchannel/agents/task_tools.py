"""Task tools: the built-in tools that an agent offers its model as soon as one of its tools works in the background."""

from __future__ import annotations

from typing import Any

from ..tasks import AsyncTool, AsyncToolManager, background_tasks_tool, look_at_result_tool
from ..tasks.builtin import RESULT_TOOL, TASK_TOOL
from ..tools import ToolRegistry
from ..tools.definition import same_name

__all__ = ["managers_of", "offer_task_tools"]


def managers_of(registry: ToolRegistry) -> list[AsyncToolManager]:
    """Return the managers of the background tools, each once."""
    return list(dict.fromkeys(tool.manager for tool in registry.tools() if isinstance(tool, AsyncTool)))


def offer_task_tools(registry: ToolRegistry, owner: Any) -> None:
    """Register the tools for an agent's tasks and their results, except where its user has one of that name."""
    if not managers_of(registry):
        return
    taken = {same_name(name) for name in registry.names}
    built_in = {TASK_TOOL: background_tasks_tool, RESULT_TOOL: look_at_result_tool}
    missing = [make for name, make in built_in.items() if same_name(name) not in taken]
    if missing:
        registry.update(make(lambda: managers_of(registry), owner) for make in missing)
