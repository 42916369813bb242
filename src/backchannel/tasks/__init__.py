"""Tasks: background runs of functions."""

from __future__ import annotations

from .builtin import background_tasks_tool, look_at_result_tool
from .decorator import AsyncTool, async_tool
from .deferred import PENDING, Deferred
from .manager import AsyncTaskResult, AsyncToolManager, default_manager, set_default_manager
from .progress import Progress, cancelled, current_task, progress, track
from .task import Task

__all__ = [
    "PENDING",
    "AsyncTaskResult",
    "AsyncTool",
    "AsyncToolManager",
    "Deferred",
    "Progress",
    "Task",
    "async_tool",
    "background_tasks_tool",
    "cancelled",
    "current_task",
    "default_manager",
    "look_at_result_tool",
    "progress",
    "set_default_manager",
    "track",
]
