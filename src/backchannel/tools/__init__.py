"""Tools: functions that a model may call."""

from __future__ import annotations

from .executor import ConcurrentToolExecutor, SequentialToolExecutor, ToolExecutor, run_tool
from .registry import ToolProvider, ToolRegistry
from .schema import FunctionSchema, check
from .text import text_of
from .tool import AgentTool, FunctionTool, ToolContext, tool

__all__ = [
    "AgentTool",
    "ConcurrentToolExecutor",
    "FunctionSchema",
    "FunctionTool",
    "SequentialToolExecutor",
    "ToolContext",
    "ToolExecutor",
    "ToolProvider",
    "ToolRegistry",
    "check",
    "run_tool",
    "text_of",
    "tool",
]
