"""AgentLink: one agent, started, fed from queues and read until its end."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Any, Protocol

from ..models.realtime import ModelProfile
from .mic_queue import MicQueue

__all__ = ["AgentLink", "TalkAgent"]


class TalkAgent(Protocol):
    """What a notebook needs of an agent: see `backchannel.BidiAgent`."""

    model: Any
    tool_registry: Any
    approvals: Any

    @property
    def profile(self) -> ModelProfile: ...
    async def start(self) -> None: ...
    async def send(self, input_data: Any) -> None: ...
    def receive(self) -> AsyncIterator[Any]: ...
    async def stop(self) -> None: ...
    def played(self, response_id: str, samples: int, finished: bool = False) -> None: ...
    def expect_played(self, expected: bool = True) -> None: ...


class AgentLink:
    """What is said waits in queues and outlives a conversation that ends.

    Attributes:
        microphone: What the user speaks.
        typed: What the user types.

    Args:
        refused: Called with a typed text that the agent does not take, and why; the next text follows.
    """

    def __init__(self, agent: TalkAgent, refused: Callable[[str, Exception], None]) -> None:
        self.microphone = MicQueue()
        self.typed: deque[str] = deque()
        self._agent = agent
        self._refused = refused
        self._input = asyncio.Event()

    def said(self) -> None:
        """Something was put into a queue."""
        self._input.set()

    async def run(self, connected: Callable[[], None], on_event: Callable[[Any], None]) -> None:
        """Hold one conversation; ends with it, and raises what ended it."""
        agent = self._agent
        agent.expect_played()
        await agent.start()
        try:
            connected()
            self._input.set()
            reader = asyncio.create_task(self._read(on_event), name="backchannel-talk-read")
            writer = asyncio.create_task(self._write(), name="backchannel-talk-write")
            try:
                done, _ = await asyncio.wait([reader, writer], return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
            finally:
                reader.cancel()
                writer.cancel()
                await asyncio.gather(reader, writer, return_exceptions=True)
        finally:
            await agent.stop()

    async def _read(self, on_event: Callable[[Any], None]) -> None:
        async for event in self._agent.receive():
            on_event(event)

    async def _write(self) -> None:
        while True:
            await self._input.wait()
            self._input.clear()
            while self.typed or self.microphone:
                if self.typed:
                    # Removed only when it was taken: after an error it is sent to the next connection.
                    try:
                        await self._agent.send(self.typed[0])
                    except (ValueError, TypeError) as error:  # the text's fault: no connection would take it
                        self._refused(self.typed[0], error)
                    self.typed.popleft()
                else:
                    await self._agent.send(self.microphone.take())
