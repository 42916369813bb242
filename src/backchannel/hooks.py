"""Hook events and the registry that calls their callbacks.

All events are read-only but for the fields that an event names as writable. Callbacks run in the order in
which they were added; for the After events in which something ends, in the reversed order.
"""

from __future__ import annotations

import asyncio
import inspect
import warnings
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Protocol, TypeVar, cast, runtime_checkable

from .errors import BidiModelTimeoutError
from .messages import AgentTool, Message, ToolResult, ToolUse

__all__ = [
    "AfterModelCallEvent",
    "AfterToolCallEvent",
    "BaseHookEvent",
    "BeforeModelCallEvent",
    "BeforeToolCallEvent",
    "BidiAfterConnectionRestartEvent",
    "BidiAfterInvocationEvent",
    "BidiAfterToolCallEvent",
    "BidiAgentInitializedEvent",
    "BidiBeforeConnectionRestartEvent",
    "BidiBeforeInvocationEvent",
    "BidiBeforeToolCallEvent",
    "BidiHistoryReducedEvent",
    "BidiHookEvent",
    "BidiInterruptionEvent",
    "BidiMessageAddedEvent",
    "BidiMessageAmendedEvent",
    "HookEvent",
    "HookProvider",
    "HookRegistry",
    "ModelStopResponse",
]


class BaseHookEvent:
    """Base of all hook events; guards what may be written."""

    _writable: ClassVar[frozenset[str]] = frozenset()
    _reversed: ClassVar[bool] = False

    @property
    def should_reverse_callbacks(self) -> bool:
        """Whether callbacks that were added last are called first."""
        return self._reversed

    def __post_init__(self) -> None:
        object.__setattr__(self, "_sealed", True)

    def __setattr__(self, name: str, value: Any) -> None:
        if getattr(self, "_sealed", False) and name not in self._writable:
            writable = ", ".join(sorted(self._writable)) or "nothing"
            raise AttributeError(f"{type(self).__name__}.{name} cannot be set; writable: {writable}")
        object.__setattr__(self, name, value)


@dataclass
class HookEvent(BaseHookEvent):
    """Base of the events of a text agent."""

    agent: Any


@dataclass
class BidiHookEvent(BaseHookEvent):
    """Base of the events of a `BidiAgent`."""

    agent: Any


@dataclass
class BidiAgentInitializedEvent(BidiHookEvent):
    """The agent has been constructed. Only plain (not async) callbacks."""


@dataclass
class BidiBeforeInvocationEvent(BidiHookEvent):
    """A conversation is about to start; the model is not connected yet."""


@dataclass
class BidiAfterInvocationEvent(BidiHookEvent):
    """A conversation has ended, however it did."""

    _reversed = True


@dataclass
class BidiMessageAddedEvent(BidiHookEvent):
    """The agent has added a message to its history."""

    message: Message


@dataclass
class BidiBeforeToolCallEvent(BidiHookEvent):
    """A tool is about to run.

    Writable: ``selected_tool``, ``tool_use``, and ``cancel_tool``: True or a text cancels the call; the text goes
    into an error result for the model.
    """

    selected_tool: AgentTool | None
    tool_use: ToolUse
    invocation_state: dict[str, Any]
    cancel_tool: bool | str = False

    _writable = frozenset({"selected_tool", "tool_use", "cancel_tool"})


@dataclass
class BidiAfterToolCallEvent(BidiHookEvent):
    """A tool has run, failed, or been cancelled. Writable: ``result``; ``retry``, True runs the tool once more."""

    selected_tool: AgentTool | None
    tool_use: ToolUse
    invocation_state: dict[str, Any]
    result: ToolResult
    exception: Exception | None = None
    cancel_message: str | None = None
    retry: bool = False

    _writable = frozenset({"result", "retry"})
    _reversed = True


@dataclass
class BidiMessageAmendedEvent(BidiHookEvent):
    """A message of the history was changed to what was heard of it, or shortened (ours, not of Strands).

    ``message`` is the message as it is now; with ``removed`` it has left the history. ``index`` is where it stands,
    or stood.
    """

    message: Message
    index: int
    removed: bool = False


@dataclass
class BidiHistoryReducedEvent(BidiHookEvent):
    """The first ``count`` messages of the history were replaced by ``messages`` (ours, not of Strands)."""

    count: int
    messages: list[Message]


@dataclass
class BidiInterruptionEvent(BidiHookEvent):
    """A response was cut off."""

    reason: Literal["user_speech", "error"]
    interrupted_response_id: str | None = None


@dataclass
class BidiBeforeConnectionRestartEvent(BidiHookEvent):
    """The connection is about to be made anew."""

    timeout_error: BidiModelTimeoutError


@dataclass
class BidiAfterConnectionRestartEvent(BidiHookEvent):
    """The connection was made anew, or could not be (``exception``)."""

    exception: Exception | None = None


@dataclass
class BeforeToolCallEvent(HookEvent):
    """A text agent's tool is about to run. Writable: ``selected_tool``, ``tool_use``, ``cancel_tool``."""

    selected_tool: AgentTool | None
    tool_use: ToolUse
    invocation_state: dict[str, Any]
    cancel_tool: bool | str = False

    _writable = frozenset({"selected_tool", "tool_use", "cancel_tool"})


@dataclass
class AfterToolCallEvent(HookEvent):
    """A text agent's tool has run, failed, or been cancelled. Writable: ``result``, ``retry``."""

    selected_tool: AgentTool | None
    tool_use: ToolUse
    invocation_state: dict[str, Any]
    result: ToolResult
    exception: Exception | None = None
    cancel_message: str | None = None
    retry: bool = False

    _writable = frozenset({"result", "retry"})
    _reversed = True


@dataclass
class BeforeModelCallEvent(HookEvent):
    """A text agent is about to call its model."""


@dataclass
class ModelStopResponse:
    """What a model call returned."""

    message: Message
    stop_reason: str


@dataclass
class AfterModelCallEvent(HookEvent):
    """A text agent's model call has ended. Writable: ``retry``, True discards the answer and calls again."""

    stop_response: ModelStopResponse | None = None
    exception: Exception | None = None
    retry: bool = False

    _writable = frozenset({"retry"})
    _reversed = True


Event = TypeVar("Event", bound=BaseHookEvent)
Callback = Callable[[Any], Any]


@runtime_checkable
class HookProvider(Protocol):
    """An object that adds its callbacks to a registry."""

    def register_hooks(self, registry: HookRegistry, **kwargs: Any) -> None: ...


@dataclass
class HookRegistry:
    """Callbacks by event class; subclasses of an event class are classes of their own."""

    _callbacks: dict[type[BaseHookEvent], list[Callback]] = field(default_factory=dict)
    _awaited: dict[asyncio.Task[Any] | None, str] = field(default_factory=dict, init=False, repr=False, compare=False)

    def add_callback(self, event_type: type[Event], callback: Callable[[Event], Awaitable[None] | None]) -> None:
        """Call ``callback`` (plain or async) with each event of exactly this class."""
        if not (inspect.isclass(event_type) and issubclass(event_type, BaseHookEvent)):
            raise TypeError(f"add_callback needs a hook event class, not {event_type!r}")
        if not callable(callback):
            raise TypeError(f"the callback for {event_type.__name__} is not callable: {callback!r}")
        self._callbacks.setdefault(event_type, []).append(callback)

    def add_hook(self, hook: HookProvider) -> None:
        """Let a provider add its callbacks."""
        if not isinstance(hook, HookProvider):
            raise TypeError(f"a hook needs a method register_hooks(registry); {hook!r} has none")
        hook.register_hooks(self)

    def has_callbacks(self, event_type: type[BaseHookEvent] | None = None) -> bool:
        """Whether anything would be called, for this event class or at all."""
        return bool(self._callbacks if event_type is None else self._callbacks.get(event_type))

    def get_callbacks_for(self, event: BaseHookEvent) -> Iterator[Callback]:
        """Yield the callbacks for an event, in the order in which they are to be called."""
        callbacks = self._callbacks.get(type(event), ())
        yield from tuple(reversed(callbacks)) if event.should_reverse_callbacks else tuple(callbacks)

    def is_plain(self, event: BaseHookEvent) -> bool:
        """Whether all callbacks for the event are plain functions."""
        return not any(map(_is_async, self._callbacks.get(type(event), ())))

    def invoke_callbacks(self, event: Event) -> Event:
        """Call the event's callbacks, which must be plain functions.

        Raises:
            RuntimeError: If one of them is async.
        """
        for callback in self.get_callbacks_for(event):
            if _is_async(callback):
                raise RuntimeError(f"{_name(callback)} is async; {type(event).__name__} takes plain callbacks only")
            outcome = _call(callback, event)
            if inspect.isawaitable(outcome):
                cast("Any", outcome).close()
                raise RuntimeError(f"{_name(callback)} is async; {type(event).__name__} takes plain callbacks only")
        return event

    async def invoke_callbacks_async(self, event: Event) -> Event:
        """Call the event's callbacks one after the other, awaiting those that are async."""
        for callback in self.get_callbacks_for(event):
            outcome = _call(callback, event)
            if inspect.isawaitable(outcome):
                try:
                    await self._finish(outcome, f"{_name(callback)} for {type(event).__name__}")
                except Exception as error:
                    _note(error, callback, event)
                    raise
        return event

    def awaited(self, task: asyncio.Task[Any]) -> str | None:
        """Return the callback that this asyncio task waits for, and its event, in words; None if it waits for none."""
        return self._awaited.get(task)

    async def _finish(self, outcome: Awaitable[object], name: str) -> None:
        task = asyncio.current_task()
        outer = self._awaited.get(task)
        self._awaited[task] = name
        try:
            await outcome
        finally:
            if outer is None:
                del self._awaited[task]
            else:
                self._awaited[task] = outer


def _is_async(callback: Callback) -> bool:
    return inspect.iscoroutinefunction(callback) or inspect.iscoroutinefunction(type(callback).__call__)


def _call(callback: Callback, event: BaseHookEvent) -> Any:
    try:
        return callback(event)
    except Exception as error:
        _note(error, callback, event)
        raise


def _note(error: Exception, callback: Callback, event: BaseHookEvent) -> None:
    error.add_note(f"raised by the hook {_name(callback)} for {type(event).__name__}")


def _name(callback: Callback) -> str:
    return getattr(callback, "__qualname__", None) or repr(callback)


_DEPRECATED_ALIASES: dict[str, type[BaseHookEvent]] = {
    "BeforeToolInvocationEvent": BeforeToolCallEvent,
    "AfterToolInvocationEvent": AfterToolCallEvent,
    "BeforeModelInvocationEvent": BeforeModelCallEvent,
    "AfterModelInvocationEvent": AfterModelCallEvent,
}


def __getattr__(name: str) -> Any:
    if name in _DEPRECATED_ALIASES:
        target = _DEPRECATED_ALIASES[name]
        warnings.warn(f"{name} is now called {target.__name__}", DeprecationWarning, stacklevel=2)
        return target
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
