"""Tools: functions that a model may call."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import inspect
import threading
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Generic, ParamSpec, TypeVar, overload

from ..errors import ToolDefinitionError
from ..events import ToolResultEvent, ToolStreamEvent
from ..messages import ToolResult, ToolSpec, ToolUse
from .blocking import warn_of, watched, watched_values
from .confirmation import check_confirm
from .schema import FunctionSchema
from .text import error_text, text_of
from .threads import run_in_thread

__all__ = ["AgentTool", "FunctionTool", "ToolContext", "error_event", "injected_names", "result_of", "tool"]

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class ToolContext:
    """What surrounds a call, for tools that ask for it.

    Attributes:
        agent: The agent that runs the tool, or None.
        invocation_state: What the user gave to the agent's ``start`` or ``run``, and what the agent added.
    """

    tool_use: ToolUse
    agent: Any
    invocation_state: dict[str, Any]


class AgentTool(ABC):
    """Base of all tools: a name, a specification, and `stream`, which runs it.

    Attributes:
        confirm: Whether a person is asked before a model's call runs, or the question.
    """

    confirm: bool | str = False

    def __init__(self) -> None:
        self._is_dynamic = False

    @property
    @abstractmethod
    def tool_name(self) -> str:
        """Unique name; models call it by that."""

    @property
    @abstractmethod
    def tool_spec(self) -> ToolSpec:
        """What models are told of it."""

    @property
    @abstractmethod
    def tool_type(self) -> str:
        """What it is made of, as in ``function``."""

    @property
    def supports_hot_reload(self) -> bool:
        """Whether it can be loaded again when its file changes."""
        return False

    @property
    def is_dynamic(self) -> bool:
        """Whether it was loaded while the agent was running."""
        return self._is_dynamic

    def mark_dynamic(self) -> None:
        """Say that it was loaded while the agent was running."""
        self._is_dynamic = True

    def get_display_properties(self) -> dict[str, str]:
        """What a user interface shows of it."""
        return {"Name": self.tool_name, "Type": self.tool_type}

    @abstractmethod
    def stream(self, tool_use: ToolUse, invocation_state: dict[str, Any], **kwargs: Any) -> AsyncIterator[Any]:
        """Run it: any number of `ToolStreamEvent`, then one `ToolResultEvent`."""


def result_of(tool_use_id: str, value: object) -> ToolResult:
    """Return what a function returned as a call's result; a dict with ``status`` and ``content`` is one already."""
    if isinstance(value, Mapping) and value.get("status") in ("success", "error"):
        content = value.get("content")
        if isinstance(content, list) and all(isinstance(block, Mapping) for block in content):
            return {"toolUseId": tool_use_id, "status": value["status"], "content": content}
    text = text_of(value)
    return {"toolUseId": tool_use_id, "status": "success", "content": [{"text": text if text.strip() else '""'}]}


def error_event(tool_use_id: str, error: BaseException | str) -> ToolResultEvent:
    """Return the result of a call that failed, for the model to read."""
    text = error if isinstance(error, str) else f"Error: {error_text(error)}"
    result: ToolResult = {"toolUseId": tool_use_id, "status": "error", "content": [{"text": text}]}
    return ToolResultEvent(result, exception=None if isinstance(error, str) else error)


def injected_names(context: bool | str) -> tuple[str, ...]:
    """Return the parameters that a model does not give, for a decorator's ``context``."""
    if context is False:
        return ("invocation_state",)
    return ("invocation_state", "tool_context" if context is True else context)


class FunctionTool(AgentTool, Generic[P, R]):
    """A function as a tool. Called by hand it is that function, without any check.

    Args:
        function: Plain function (run in a thread), coroutine function or generator (their values are streamed,
            the last one is the result).
        name: Instead of the function's own.
        description: Instead of the docstring's.
        input_schema: JSON schema of the arguments, instead of the one made from the signature.
        context: Name of the parameter that gets the `ToolContext`; True means ``tool_context``. A parameter
            ``invocation_state`` always gets that.
        confirm: True asks a person before a model's call runs; a text is the question, such as "Delete {path}?",
            with the checked arguments filled in.

    Raises:
        ToolDefinitionError: If the function cannot become a tool; says why.
    """

    def __init__(
        self,
        function: Callable[P, R],
        *,
        name: str | None = None,
        description: str | None = None,
        input_schema: Mapping[str, Any] | None = None,
        context: bool | str = False,
        confirm: bool | str = False,
    ) -> None:
        super().__init__()
        if not callable(function):
            raise ToolDefinitionError(f"{function!r:.100} cannot become a tool: it is not a function")
        self._context = context
        self._options: dict[str, Any] = {
            "name": name, "description": description, "input_schema": input_schema, "context": context,
            "confirm": confirm,
        }  # fmt: skip
        self.fn = function
        self.schema = FunctionSchema(
            function, name=name, description=description, input_schema=input_schema, injected=injected_names(context)
        )
        functools.update_wrapper(self, function)
        self.confirm = check_confirm(confirm, self.schema)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        return self.fn(*args, **kwargs)

    def __get__(self, instance: object, owner: type | None = None) -> FunctionTool[..., R]:
        if instance is None:
            return self
        bound: FunctionTool[..., R] = FunctionTool(self.fn.__get__(instance, owner), **self._options)
        return bound

    def __repr__(self) -> str:
        return f"<tool {self.tool_name}{self.schema.signature}>"

    @property
    def tool_name(self) -> str:
        return self.schema.name

    @property
    def tool_spec(self) -> ToolSpec:
        return self.schema.spec

    @property
    def tool_type(self) -> str:
        return "function"

    async def stream(self, tool_use: ToolUse, invocation_state: dict[str, Any], **kwargs: Any) -> AsyncIterator[Any]:
        call_id = tool_use["toolUseId"]
        try:
            arguments = self.schema.check(tool_use["input"])
            run = self._bound(arguments, tool_use, invocation_state)
            if inspect.isasyncgenfunction(self.fn) or inspect.isgeneratorfunction(self.fn):
                value: Any = None
                values = (
                    watched_values(run(), self._blocked) if inspect.isasyncgenfunction(self.fn) else _in_thread(run())
                )
                async for value in values:
                    yield ToolStreamEvent(tool_use, value)
            elif inspect.iscoroutinefunction(self.fn):
                value = await watched(run(), self._blocked)
            else:
                value = await run_in_thread(run)
                if inspect.isawaitable(value):
                    value = await watched(value, self._blocked)
        except asyncio.CancelledError as error:
            if is_being_cancelled():
                raise
            yield error_event(call_id, error)
        except BaseException as error:
            if not is_answerable(error):
                raise
            yield error_event(call_id, error)
        else:
            yield ToolResultEvent(result_of(call_id, value))

    def _blocked(self, held_s: float) -> None:
        warn_of(self.tool_name, held_s)

    def _bound(self, arguments: dict[str, Any], tool_use: ToolUse, state: dict[str, Any]) -> Callable[[], Any]:
        return functools.partial(self.schema.call, self.fn, arguments, **surroundings(self._context, tool_use, state))


def surroundings(context: bool | str, tool_use: ToolUse, state: dict[str, Any]) -> dict[str, Any]:
    """Return the values of the parameters that a model does not give, by name."""
    values: dict[str, Any] = {"invocation_state": state}
    if context is not False:
        name = "tool_context" if context is True else context
        values[name] = ToolContext(tool_use, state.get("agent"), state)
    return values


def is_answerable(error: BaseException) -> bool:
    """Whether the model is told of it; the rest are orders to this thread."""
    if isinstance(error, KeyboardInterrupt):
        return threading.current_thread() is not threading.main_thread()
    return isinstance(error, (Exception, SystemExit))


def is_being_cancelled() -> bool:
    running = asyncio.current_task()
    return running is None or running.cancelling() > 0


async def _in_thread(values: Iterator[Any]) -> AsyncIterator[Any]:
    context = contextvars.copy_context()
    end = object()
    while (value := await run_in_thread(lambda: next(values, end), context)) is not end:
        yield value


@overload
def tool(function: Callable[P, R], /) -> FunctionTool[P, R]: ...
@overload
def tool(
    *,
    name: str | None = None,
    description: str | None = None,
    input_schema: Mapping[str, Any] | None = None,
    inputSchema: Mapping[str, Any] | None = None,  # noqa: N803
    context: bool | str = False,
    confirm: bool | str = False,
) -> Callable[[Callable[P, R]], FunctionTool[P, R]]: ...
def tool(
    function: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    description: str | None = None,
    input_schema: Mapping[str, Any] | None = None,
    inputSchema: Mapping[str, Any] | None = None,  # noqa: N803 - the name that users of Strands know
    context: bool | str = False,
    confirm: bool | str = False,
) -> Any:
    """Make a function a tool: ``@tool``, or ``@tool(name=...)`` with the options of `FunctionTool`."""

    def decorate(function: Callable[..., Any]) -> FunctionTool[..., Any]:
        return FunctionTool(
            function.fn if isinstance(function, FunctionTool) else function,
            name=name,
            description=description,
            input_schema=inputSchema if input_schema is None else input_schema,
            context=context,
            confirm=function.confirm if confirm is False and isinstance(function, FunctionTool) else confirm,
        )

    return decorate if function is None else decorate(function)
