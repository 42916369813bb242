"""Claims: which `AsyncAgent` is told what comes of a task."""

from __future__ import annotations

import contextlib
import contextvars
import threading
import weakref
from typing import TYPE_CHECKING

from ..tasks import AsyncToolManager, Task

if TYPE_CHECKING:
    from .async_agent import AsyncAgent

__all__ = ["Invocation", "claim", "claimant", "enter", "is_inside", "leave"]


class Invocation:
    """One invocation of an agent, while it lasts: what is started in it, also in other threads, is its own."""

    def __init__(self, wrapper: AsyncAgent) -> None:
        self.wrapper = wrapper
        self.active = True

    def begin(self) -> None:
        """What runs in this context from now on belongs to it."""
        _invocation.set(self)

    def end(self) -> None:
        """The agent has answered; what it started may go on."""
        self.active = False


_invocation: contextvars.ContextVar[Invocation | None] = contextvars.ContextVar("backchannel_invocation", default=None)
_wrappers: weakref.WeakKeyDictionary[AsyncToolManager, list[weakref.ref[AsyncAgent]]] = weakref.WeakKeyDictionary()
_claimed: weakref.WeakKeyDictionary[Task, weakref.ref[AsyncAgent]] = weakref.WeakKeyDictionary()
# Reentrant: a finalizer that the garbage collector runs here may start a task.
_lock = threading.RLock()


def enter(manager: AsyncToolManager, wrapper: AsyncAgent) -> None:
    """From now on tasks of the manager may be the wrapper's."""
    with _lock:
        _wrappers.setdefault(manager, []).append(weakref.ref(wrapper))


def leave(manager: AsyncToolManager, wrapper: AsyncAgent) -> None:
    """New tasks are not the wrapper's any more. A second time does nothing."""
    with _lock, contextlib.suppress(ValueError):
        _wrappers.get(manager, []).remove(weakref.ref(wrapper))


def is_inside(wrapper: AsyncAgent) -> bool:
    """Whether this code runs in an invocation of the wrapper's agent that is under way."""
    invocation = _invocation.get()
    return invocation is not None and invocation.active and invocation.wrapper is wrapper


def claim(task: Task, wrapper: AsyncAgent) -> bool:
    """Make a task the wrapper's; False if it is already that of another one, which has not left."""
    with _lock:
        held = _claimed.get(task)
        if held is not None and held() is not wrapper and held in _wrappers.get(task.manager, ()):
            return False
        _claimed[task] = weakref.ref(wrapper)
        return True


def claimant(manager: AsyncToolManager, task: Task) -> AsyncAgent | None:
    """Return who is to be told what comes of a task that has just been started, or None."""
    with _lock:
        wrappers = [wrapper for known in _wrappers.get(manager, ()) if (wrapper := known()) is not None]
    if task.owner is not None:
        wrappers = [wrapper for wrapper in wrappers if wrapper.agent is task.owner]
    elif (invocation := _invocation.get()) is not None and invocation.wrapper in wrappers:
        return invocation.wrapper
    return wrappers[-1] if wrappers else None
