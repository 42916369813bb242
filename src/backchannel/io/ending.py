"""The end of an input, as the end of the conversation where that is wanted."""

from __future__ import annotations

import asyncio
from typing import Any

__all__ = ["Ending"]


class Ending:
    """Stops an agent, once, when its input has ended.

    Args:
        wanted: Without it nothing is stopped.
    """

    def __init__(self, wanted: bool) -> None:
        self._wanted = wanted
        self._agent: Any = None
        self._stopping: asyncio.Task[None] | None = None

    def start(self, agent: Any) -> None:
        """A conversation of this agent begins."""
        self._agent, self._stopping = agent, None

    def begin(self) -> None:
        """The input has ended."""
        if self._wanted and self._stopping is None and self._agent is not None:
            self._stopping = asyncio.create_task(self._agent.stop(), name="backchannel-ending")

    async def wait(self) -> None:
        """Wait until the agent has stopped, if it was to; raises what its stop raised."""
        if self._stopping is not None and self._stopping is not asyncio.current_task():
            stopping, self._stopping = self._stopping, None
            await asyncio.shield(stopping)
