"""async_tool: makes a function a tool whose runs go on in the background."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, TypeVar, get_args, overload

from ..errors import TaskRefusedError, ToolArgumentsError, ToolDefinitionError
from ..events import ToolResultEvent
from ..messages import ToolSpec, ToolUse
from ..tools.confirmation import check_confirm
from ..tools.schema import FunctionSchema
from ..tools.tool import AgentTool, FunctionTool, error_event, injected_names, result_of, surroundings
from .job import is_asynchronous
from .manager import AsyncToolManager, default_manager
from .task import Announce, Task

__all__ = ["AsyncTool", "async_tool"]

F = TypeVar("F", bound=Callable[..., Any])

GRACE_S = 0.1
"""How long a model's call waits for a quick result before it is acknowledged, seconds."""

_NOTICE = (
    "This tool works in the background. A call is answered at once with a task number and without a result; the "
    "result follows later in a message of its own. Until it is there, do not make one up and do not repeat the call."
)


class AsyncTool(AgentTool):
    """A function whose calls are background tasks.

    Called by hand it checks the arguments, starts the task and returns it; ``fn`` is the plain function.

    Args:
        function: Plain function (run in a thread), coroutine function or generator; text that a generator yields
            goes to the task's log, and its last value or what it returns is the result.
        manager: Runs the tasks; None for the default manager at the time of the call.
        name, description, input_schema, context, confirm: As for `backchannel.tools.FunctionTool`. A call by hand
            is not asked about.
        timeout: Longest run, seconds.
        announce: When a conversation tells a result: when nobody speaks, at once, or never.
        grace_s: How long a model's call waits for a quick result, seconds.

    Raises:
        ToolDefinitionError: If the function cannot become a tool, or an option cannot be used; says why.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        manager: AsyncToolManager | None = None,
        *,
        name: str | None = None,
        description: str | None = None,
        input_schema: Mapping[str, Any] | None = None,
        context: bool | str = False,
        confirm: bool | str = False,
        timeout: float | None = None,
        announce: Announce = "when_free",
        grace_s: float = GRACE_S,
    ) -> None:
        super().__init__()
        self.fn: Callable[..., Any]
        if isinstance(function, (AsyncTool, FunctionTool)):
            confirm = function.confirm if confirm is False else confirm
            function = function.fn
        if not callable(function):
            raise ToolDefinitionError(f"{function!r:.100} cannot become a tool: it is not a function")
        self.schema = FunctionSchema(
            function, name=name, description=description, input_schema=input_schema, injected=injected_names(context)
        )
        if announce not in get_args(Announce):
            raise ToolDefinitionError(
                f"tool {self.tool_name!r}: announce={announce!r} is none of {', '.join(get_args(Announce))}"
            )
        if timeout is not None and not timeout > 0:
            raise ToolDefinitionError(f"tool {self.tool_name!r}: timeout={timeout!r} must be more than 0 seconds")
        if not grace_s >= 0:
            raise ToolDefinitionError(f"tool {self.tool_name!r}: grace_s={grace_s!r} must be 0 seconds or more")
        self.fn = function
        self.timeout = timeout
        self.announce: Announce = announce
        self.grace_s = grace_s
        self._manager = manager
        self._context = context
        self._options: dict[str, Any] = {
            "name": name,
            "description": description,
            "input_schema": input_schema,
            "context": context,
            "confirm": confirm,
            "timeout": timeout,
            "announce": announce,
            "grace_s": grace_s,
        }
        self._asynchronous = is_asynchronous(function)
        # Arguments are given by name; only positional-only parameters need a detour.
        self._body = function if self.schema.by_name else functools.partial(_call, self.schema, function)
        functools.update_wrapper(self, function)
        self.confirm = check_confirm(confirm, self.schema)

    @property
    def manager(self) -> AsyncToolManager:
        """What runs the tasks."""
        return self._manager if self._manager is not None else default_manager()

    def __call__(self, *args: Any, **kwargs: Any) -> Task:
        return self._start(self.schema.bind(args, kwargs))

    def __get__(self, instance: object, owner: type | None = None) -> AsyncTool:
        if instance is None:
            return self
        return AsyncTool(self.fn.__get__(instance, owner), self._manager, **self._options)

    def __repr__(self) -> str:
        return f"<async tool {self.tool_name}{self.schema.signature}>"

    @property
    def tool_name(self) -> str:
        return self.schema.name

    @property
    def tool_spec(self) -> ToolSpec:
        spec = self.schema.spec
        return {**spec, "description": f"{spec['description']}\n\n{_NOTICE}"}

    @property
    def tool_type(self) -> str:
        return "async_function"

    async def stream(self, tool_use: ToolUse, invocation_state: dict[str, Any], **kwargs: Any) -> AsyncIterator[Any]:
        call_id = tool_use["toolUseId"]
        try:
            task = self._start(
                self.schema.check(tool_use["input"]),
                injected=self.schema.injections(surroundings(self._context, tool_use, invocation_state)),
                owner=invocation_state.get("agent"),
                call_id=call_id,
                acknowledging=True,
            )
        except (ToolArgumentsError, TaskRefusedError) as error:
            yield error_event(call_id, error)
            return
        try:
            if self.grace_s > 0:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self.grace_s):
                        await task.ended()
        finally:
            owed = task.acknowledge()
        if owed:
            yield ToolResultEvent(result_of(call_id, str(task)), task=task.started_fact())
        elif task.status == "done":
            yield ToolResultEvent(result_of(call_id, task.value))
        else:
            event = error_event(call_id, f"Error: {task.summary()}")
            event.exception = task.error
            yield event

    def _start(self, arguments: dict[str, Any], **options: Any) -> Task:
        return self.manager.start(
            self.schema.name,
            self._body,
            arguments,
            asynchronous=self._asynchronous,
            announce=self.announce,
            timeout=self.timeout,
            **options,
        )


def _call(schema: FunctionSchema, function: Callable[..., Any], /, **arguments: Any) -> Any:
    return schema.call(function, arguments)


@overload
def async_tool(function: Callable[..., Any], /) -> AsyncTool: ...
@overload
def async_tool(
    manager: AsyncToolManager | None = None,
    /,
    *,
    name: str | None = None,
    description: str | None = None,
    input_schema: Mapping[str, Any] | None = None,
    context: bool | str = False,
    confirm: bool | str = False,
    timeout: float | None = None,
    announce: Announce = "when_free",
    grace_s: float = GRACE_S,
) -> Callable[[Callable[..., Any]], AsyncTool]: ...
def async_tool(target: Any = None, /, **options: Any) -> Any:
    """Make a function a background tool.

    ``@async_tool``, ``@async_tool(manager)``, or with the options of `AsyncTool`, such as ``timeout=600``.
    """
    if target is None or isinstance(target, AsyncToolManager):
        if target is not None:
            options["manager"] = target
        return lambda function: AsyncTool(function, **options)
    return AsyncTool(target, **options)
