"""Endings: work that is to end gets so long to do so; what does not is named in the log, and left behind."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, TypeVar, cast

__all__ = ["CANCEL_S", "begun", "cancelled", "completed", "dropped", "in_time", "leave", "left_behind", "why_dead"]

T = TypeVar("T")
logger = logging.getLogger(__name__)

CANCEL_S = 2.0
"""How long cancelled work may take to end, seconds."""

What = str | Callable[["asyncio.Task[Any]"], str]
"""What a task is, in words, or what says so when it is to be named."""

_left: dict[asyncio.Task[Any], tuple[object, str]] = {}
"""What was left behind, of whom, and its name. An event loop keeps only weak references to its tasks."""


def begun(work: Awaitable[T]) -> asyncio.Task[T]:
    """Return a new task that awaits ``work``."""

    async def step() -> T:
        return await work

    return asyncio.create_task(step(), name="backchannel-step")


async def cancelled(works: Mapping[asyncio.Task[Any], What], within_s: float, owner: object = None) -> None:
    """Cancel tasks, and wait until they have ended, at most ``within_s`` seconds; the others are left behind.

    Args:
        works: The tasks, and what each is.
        within_s: The longest wait, seconds.
        owner: Whom `left_behind` is to be asked about.
    """
    for task in works:
        task.cancel()
    try:
        if works:
            await asyncio.wait(works, timeout=within_s)
    finally:
        for task, what in works.items():
            leave(task, what, owner, f"has not ended {within_s:.2g} s after it was cancelled; it is left behind")


async def completed(work: Awaitable[T], what: What, owner: object = None) -> T:
    """Await ``work``, whose canceller waits at most `CANCEL_S` for it.

    Raises:
        Exception: What it raised.
    """
    task = begun(work)
    try:
        await asyncio.wait({task})
    except asyncio.CancelledError:
        await cancelled({task: what}, CANCEL_S, owner)
        raise
    return task.result()


async def in_time(task: asyncio.Task[Any], what: What, within_s: float, owner: object = None) -> bool:
    """Wait for a task at most ``within_s`` seconds; whether it ended in time. If not, it is left to go on by itself.

    Raises:
        Exception: What it raised.
    """
    loop = asyncio.get_running_loop()
    over: asyncio.Future[None] = loop.create_future()
    # A thread's clock: what works in threads takes its time also where the loop's own clock runs faster.
    timer = threading.Timer(within_s, lambda: _fire(loop, over))
    timer.daemon = True
    try:
        for _ in range(3):
            await asyncio.sleep(0)
        if not task.done():
            timer.start()
            await asyncio.wait({task, over}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        timer.cancel()
        if not task.done():
            leave(task, what, owner, f"has not returned after {within_s:.2g} s; it is left to go on by itself")
    if task.done():
        task.result()
    return task.done()


def why_dead(loop: asyncio.AbstractEventLoop) -> str | None:
    """Return why nothing can happen on this event loop, in words; None if it can."""
    if loop.is_closed():
        return "the event loop that started it is closed"
    return None if loop.is_running() else "the event loop that started it does not run"


def dropped(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Give up tasks of an event loop that does not run any more: nobody can cancel them, or wait for them."""
    for task in tasks:
        with contextlib.suppress(RuntimeError):  # the loop is closed
            task.cancel()
        if task.get_loop().is_closed():
            cast("Any", task)._log_destroy_pending = False  # as asyncio.gather does
            with contextlib.suppress(Exception):
                task.get_coro().close()


def left_behind(owner: object) -> list[str]:
    """Return the names of what was left behind of this owner and has not ended yet."""
    return [
        what
        for task, (of, what) in _left.items()
        if of is owner and not task.done() and not task.get_loop().is_closed()
    ]


def _fire(loop: asyncio.AbstractEventLoop, over: asyncio.Future[None]) -> None:
    with contextlib.suppress(RuntimeError):  # the loop is closed
        loop.call_soon_threadsafe(over.cancel)


def leave(task: asyncio.Task[Any], what: What, owner: object, why: str = "does not end; it is left behind") -> None:
    """Look after a task that nobody waits for: name it in the log, and retrieve its late error."""
    for other in [other for other in _left if other.get_loop().is_closed()]:
        del _left[other]  # It cannot end any more.
    name = what if isinstance(what, str) else what(task)
    _left[task] = owner, name
    if task.done():
        _ended(task)
        return
    logger.warning("%s %s", name, why)
    task.add_done_callback(_ended)


def _ended(task: asyncio.Task[Any]) -> None:
    _, what = _left.pop(task, (None, "a task"))
    if not task.cancelled() and (error := task.exception()) is not None:
        logger.debug("%s raised while it was ended: %s: %s", what, type(error).__name__, error)
