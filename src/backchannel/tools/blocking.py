"""Coroutines that block: a step that keeps its event loop from everything else is named in the log."""

from __future__ import annotations

import logging
import time
import types
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Generator
from typing import Any, TypeVar

__all__ = ["BLOCKED_S", "warn_of", "watched", "watched_values"]

T = TypeVar("T")

_log = logging.getLogger(__name__)

BLOCKED_S = 0.5
"""How long one step of a coroutine may take before it counts as blocking, seconds. A voice falters much earlier."""


def warn_of(name: str, held_s: float) -> str:
    """Write to the log that a tool has blocked its event loop, and return what was written."""
    text = (
        f"the coroutine of the tool {name!r} blocked its event loop for {held_s:.1f} s, in which nothing else ran "
        "there, a conversation included. Make it a plain function (def), which runs in a thread, or await "
        "asyncio.to_thread(...) for the part that blocks"
    )
    _log.warning("%s", text)
    return text


@types.coroutine
def watched(work: Awaitable[T], blocked: Callable[[float], object]) -> Generator[Any, Any, T]:
    """Await something; ``blocked`` is called with the seconds of the first step that has blocked the loop."""
    steps: Any = work.__await__()
    told, step, given = False, steps.send, None
    while True:
        began = time.monotonic()
        try:
            wanted = step(given)
        except StopIteration as end:
            result: T = end.value
            return result
        finally:
            held = time.monotonic() - began
            if held >= BLOCKED_S and not told:
                told = True
                blocked(held)
        try:
            given = yield wanted
            step = steps.send
        except GeneratorExit:
            steps.close()
            raise
        except BaseException as error:  # noqa: BLE001 - a cancellation is the coroutine's
            given, step = error, steps.throw


async def watched_values(values: AsyncGenerator[T, Any], blocked: Callable[[float], object]) -> AsyncIterator[T]:
    """Yield what an asynchronous generator yields, watching each of its steps as `watched` does."""
    try:
        while True:
            try:
                value = await watched(values.__anext__(), blocked)
            except StopAsyncIteration:
                return
            yield value
    finally:
        await values.aclose()
