"""An event loop whose clock jumps to the next timer: waiting costs nothing and takes exactly as long as it says."""

from __future__ import annotations

import asyncio
import functools
import selectors
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any


class _JumpingSelector(selectors.DefaultSelector):
    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> Any:
        ready = super().select(0)
        if ready or timeout is None:
            return ready or super().select(None)
        self.now += max(0.0, timeout)
        return ready


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """With nothing to do it does not wait for the next timer but makes it due."""

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:
        """Wait for real threads as long as they take: a time-out would be over at once."""
        await super().shutdown_default_executor()


def run(work: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine on a loop with virtual time."""
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(work)


def virtual_time(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Make an async test a plain one that runs in virtual time."""

    @functools.wraps(test)
    def plain(*args: Any, **kwargs: Any) -> None:
        run(test(*args, **kwargs))  # type: ignore[arg-type]

    return plain
