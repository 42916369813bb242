"""Slot: a call's place in the tool executor, given up while the call waits for a person."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from contextvars import ContextVar, Token

from ..tools import ToolExecutor

__all__ = ["Slot", "given_up"]


class Slot:
    """Holds a place while a call runs; what runs in the call can give it up for a while (`given_up`)."""

    def __init__(self, executor: ToolExecutor) -> None:
        self._executor = executor
        self._held: AbstractAsyncContextManager[None] | None = None
        self._token: Token[Slot | None] | None = None

    async def __aenter__(self) -> None:
        await self.take()
        self._token = _current.set(self)

    async def __aexit__(self, *_: object) -> None:
        if self._token is not None:
            _current.reset(self._token)
        await self.leave()

    async def take(self) -> None:
        """Wait for a place, if there is none yet."""
        if self._held is None:
            place = self._executor.slot()
            await place.__aenter__()
            self._held = place

    async def leave(self) -> bool:
        """Give up the place; returns whether there was one."""
        held, self._held = self._held, None
        if held is not None:
            await held.__aexit__(None, None, None)
        return held is not None


_current: ContextVar[Slot | None] = ContextVar("backchannel_slot", default=None)


@asynccontextmanager
async def given_up() -> AsyncIterator[None]:
    """Let other calls run meanwhile; a call that is cancelled meanwhile does not wait for its place again."""
    slot = _current.get()
    held = slot is not None and await slot.leave()
    yield
    if slot is not None and held:
        await slot.take()
