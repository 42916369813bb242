"""Tasks: background runs of functions."""

from __future__ import annotations

from .builtin import background_tasks_tool, look_at_result_tool
from .decorator import AsyncTool, async_tool
from .deferred import PENDING, Deferred
from .ledger import Ledger
from .ledger_reader import LedgerReading, read_ledger
from .ledger_state import TaskRecord
from .manager import AsyncTaskResult, AsyncToolManager, default_manager, set_default_manager
from .progress import Progress, cancelled, current_task, progress, track
from .task import Task

__all__ = [
    "PENDING",
    "AsyncTaskResult",
    "AsyncTool",
    "AsyncToolManager",
    "Deferred",
    "Ledger",
    "LedgerReading",
    "Progress",
    "Task",
    "TaskRecord",
    "async_tool",
    "background_tasks_tool",
    "cancelled",
    "current_task",
    "default_manager",
    "look_at_result_tool",
    "progress",
    "read_ledger",
    "set_default_manager",
    "track",
]
