"""The protocols of inputs and outputs. A plain async function is one too; it is then not started or stopped."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any, Protocol, runtime_checkable

from ..events import BidiInputEvent, BidiOutputEvent

__all__ = ["BidiInput", "BidiOutput"]


@runtime_checkable
class BidiInput(Protocol):
    """Where input comes from: awaited again and again; raises StopAsyncIteration when there is no more."""

    async def start(self, agent: Any) -> None:
        """Get ready for a conversation of this agent."""
        return

    async def stop(self) -> None:
        """Let go of everything."""
        return

    def __call__(self) -> Awaitable[BidiInputEvent]: ...


@runtime_checkable
class BidiOutput(Protocol):
    """Where events go: awaited with each."""

    async def start(self, agent: Any) -> None:
        """Get ready for a conversation of this agent."""
        return

    async def stop(self) -> None:
        """Let go of everything."""
        return

    def __call__(self, event: BidiOutputEvent) -> Awaitable[None]: ...
