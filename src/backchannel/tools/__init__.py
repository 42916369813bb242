"""Tools: functions that a model may call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..messages import ToolResult, ToolSpec, ToolUse
from .executor import ConcurrentToolExecutor, SequentialToolExecutor, ToolExecutor, executor_of, run_tool
from .registry import ToolRegistry
from .schema import FunctionSchema, check
from .sources import ToolProvider
from .stop import stop_conversation
from .text import text_of
from .tool import AgentTool, FunctionTool, ToolContext, tool

if TYPE_CHECKING:
    from .mcp import MCPTools
    from .watch import ToolDirectory

__all__ = [
    "AgentTool",
    "ConcurrentToolExecutor",
    "FunctionSchema",
    "FunctionTool",
    "MCPTools",
    "SequentialToolExecutor",
    "ToolContext",
    "ToolDirectory",
    "ToolExecutor",
    "ToolProvider",
    "ToolRegistry",
    "ToolResult",
    "ToolSpec",
    "ToolUse",
    "check",
    "executor_of",
    "run_tool",
    "stop_conversation",
    "text_of",
    "tool",
]


def __getattr__(name: str) -> Any:
    if name == "MCPTools":
        from .mcp import MCPTools

        return MCPTools
    if name == "ToolDirectory":
        from .watch import ToolDirectory

        return ToolDirectory
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
