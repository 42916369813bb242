"""Tools written as modules: a ``TOOL_SPEC``, and a function that takes the call and returns its result."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable, Mapping
from types import ModuleType
from typing import Any

from ..errors import ToolDefinitionError
from ..events import ToolResultEvent
from ..messages import ToolSpec, ToolUse
from .schema import check_name, check_schema
from .threads import run_in_thread
from .tool import AgentTool, error_event, is_answerable, is_being_cancelled, result_of

__all__ = ["ModuleTool", "tool_of_module"]


class ModuleTool(AgentTool):
    """A function ``name(tool_use, **invocation_state)`` with the specification that was written for it.

    Args:
        spec: Name, description and input schema.
        function: Plain function (run in a thread) or coroutine function. It gets the call, with checked arguments,
            and of the invocation state what it has parameters for. It returns a result or any value.

    Raises:
        ToolDefinitionError: If the specification cannot be used.
    """

    def __init__(self, spec: Mapping[str, Any], function: Callable[..., Any]) -> None:
        super().__init__()
        self._name = check_name(spec.get("name"))
        schema = spec.get("inputSchema")
        inner = schema.get("json", schema) if isinstance(schema, Mapping) else None
        if not isinstance(inner, Mapping):
            raise ToolDefinitionError(f'tool {self._name!r}: its inputSchema must be {{"json": <JSON schema>}}')
        self._spec: Any = dict(spec)
        self._check = check_schema(inner, self._name)
        self._function = function
        parameters = inspect.signature(function).parameters
        self._first = next(iter(parameters), None)
        self._takes = None if any(p.kind is p.VAR_KEYWORD for p in parameters.values()) else frozenset(parameters)

    @property
    def tool_name(self) -> str:
        return self._name

    @property
    def tool_spec(self) -> ToolSpec:
        spec: ToolSpec = self._spec
        return spec

    @property
    def tool_type(self) -> str:
        return "python"

    @property
    def supports_hot_reload(self) -> bool:
        return True

    async def stream(self, tool_use: ToolUse, invocation_state: dict[str, Any], **kwargs: Any) -> AsyncIterator[Any]:
        call_id = tool_use["toolUseId"]
        try:
            use: ToolUse = {**tool_use, "input": self._check(tool_use["input"])}
            state = {
                name: value
                for name, value in invocation_state.items()
                if name != self._first and (self._takes is None or name in self._takes)
            }
            if inspect.iscoroutinefunction(self._function):
                value = await self._function(use, **state)
            else:
                value = await run_in_thread(lambda: self._function(use, **state))
                if inspect.isawaitable(value):
                    value = await value
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


def tool_of_module(module: ModuleType, name: str) -> ModuleTool | None:
    """Return the module's ``TOOL_SPEC`` and the function called as the tool or as the module; None without one.

    Raises:
        ToolDefinitionError: If there is a ``TOOL_SPEC`` that cannot be used, or no function for it.
    """
    spec = getattr(module, "TOOL_SPEC", None)
    if spec is None:
        return None
    if not isinstance(spec, Mapping):
        raise ToolDefinitionError(f"the module {name!r}: TOOL_SPEC is a dict, not {type(spec).__name__}")
    for candidate in (spec.get("name"), name):
        function = getattr(module, candidate, None) if isinstance(candidate, str) else None
        if callable(function):
            return ModuleTool(spec, function)
    raise ToolDefinitionError(
        f"the module {name!r} has a TOOL_SPEC, but no function {spec.get('name', name)!r} to run for it"
    )
