"""Execution of tools: how many run at a time, and one call from its arguments to its single result."""

from __future__ import annotations

import asyncio
import contextlib
import weakref
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol, runtime_checkable

from ..events import ToolResultEvent, ToolStreamEvent
from ..messages import AgentTool, ToolUse
from .tool import error_event, is_answerable, is_being_cancelled, result_of

__all__ = ["ConcurrentToolExecutor", "SequentialToolExecutor", "ToolExecutor", "executor_of", "run_tool"]


@runtime_checkable
class ToolExecutor(Protocol):
    """Says when a call may run: it runs while it holds a slot."""

    def slot(self) -> AbstractAsyncContextManager[None]: ...


class ConcurrentToolExecutor:
    """Calls run at the same time, at most ``limit`` of them; None for any number."""

    def __init__(self, limit: int | None = None) -> None:
        if limit is not None and (type(limit) is not int or limit < 1):
            raise ValueError(f"ConcurrentToolExecutor: limit must be 1 or more, or None, not {limit!r}")
        self.limit = limit
        self._slots: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = (
            weakref.WeakKeyDictionary()
        )

    def slot(self) -> AbstractAsyncContextManager[None]:
        """Wait for a free slot, in the order of asking, and hold it."""
        if self.limit is None:
            return contextlib.nullcontext()
        return self._slots.setdefault(asyncio.get_running_loop(), asyncio.Semaphore(self.limit))


class SequentialToolExecutor(ConcurrentToolExecutor):
    """Calls run one at a time, in order."""

    def __init__(self) -> None:
        super().__init__(limit=1)


def executor_of(executor: object) -> ToolExecutor:
    """Return ``executor``, or one without a limit for None.

    Raises:
        TypeError: If it cannot say when a call may run, as the executors of Strands cannot.
    """
    if executor is None:
        return ConcurrentToolExecutor()
    if isinstance(executor, type):
        raise TypeError(f"tool_executor is the class {executor.__name__}; give an instance: {executor.__name__}()")
    if isinstance(executor, ToolExecutor):
        return executor
    kind = type(executor)
    raise TypeError(
        f"tool_executor: {kind.__module__}.{kind.__qualname__} has no slot(); give "
        "backchannel.tools.SequentialToolExecutor(), or ConcurrentToolExecutor(limit=...)"
    )


async def run_tool(
    tool: AgentTool | None, tool_use: ToolUse, invocation_state: dict[str, Any]
) -> AsyncIterator[ToolStreamEvent | ToolResultEvent]:
    """Run a call: any number of `ToolStreamEvent`, then exactly one `ToolResultEvent`, whatever the tool does.

    What the tool raises becomes a result with status ``error``; cancellation goes through. Tools written for
    Strands yield events of their own, which are translated. None as a tool means that there is none of that name.
    """
    call_id = tool_use["toolUseId"]
    if tool is None:
        yield error_event(call_id, f"Unknown tool: {tool_use['name']}")
        return
    value: Any = None
    result: ToolResultEvent | None = None
    try:
        events = tool.stream(tool_use, invocation_state)
        async with contextlib.aclosing(events) if isinstance(events, AsyncGenerator) else contextlib.nullcontext():
            async for event in events:
                result = _result_in(event, call_id)
                if result is not None:
                    break
                value = event
                if not _looks_like_result(event):
                    yield _stream_event(event, tool_use)
    except asyncio.CancelledError as error:
        if is_being_cancelled():
            raise
        result = error_event(call_id, error)
    except BaseException as error:
        if not is_answerable(error):
            raise
        result = error_event(call_id, error)
    if result is None and value is None:
        result = error_event(call_id, f"Error: the tool {tool_use['name']!r} ended without a result")
    yield result if result is not None else ToolResultEvent(result_of(call_id, _data_of(value)))


def _result_in(event: Any, call_id: str) -> ToolResultEvent | None:
    if isinstance(event, ToolResultEvent):
        return event
    if isinstance(event, Mapping) and isinstance(event.get("tool_result"), Mapping):
        result = result_of(call_id, event["tool_result"])
        return ToolResultEvent(result, getattr(event, "exception", None))
    return None


def _looks_like_result(event: Any) -> bool:
    return isinstance(event, Mapping) and "status" in event and "content" in event


def _stream_event(event: Any, tool_use: ToolUse) -> ToolStreamEvent:
    return event if isinstance(event, ToolStreamEvent) else ToolStreamEvent(tool_use, _data_of(event))


def _data_of(event: Any) -> Any:
    if isinstance(event, Mapping) and isinstance(event.get("tool_stream_event"), Mapping):
        return event["tool_stream_event"].get("data")
    return event
