"""A model as a third party would write it against the protocol alone: no profile, strict about what it is sent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from backchannel.events import BidiConnectionStartEvent, ToolUseStreamEvent


class FakeModel:
    """Emits what the test feeds it, and keeps what every connection was given.

    It refuses what a provider refuses: a send without a connection, and a result for a call that this connection
    neither made nor was started with.

    Attributes:
        connections: For every start, its arguments; ``sent`` holds what that connection was sent.
        failures: Errors that the next starts raise, in order.
        gate: When set to an unset event, ``start`` waits for it.
    """

    def __init__(self, rate: int = 16000, **profile: Any) -> None:
        self.config: dict[str, Any] = {"audio": {"input_rate": rate, "output_rate": rate, "channels": 1}}
        self.connections: list[dict[str, Any]] = []
        self.failures: list[Exception] = []
        self.gate: asyncio.Event | None = None
        self.stops = 0
        self.connected = False
        self.log: list[str] = []
        self._calls: set[str] = set()
        self._events: asyncio.Queue[Any] = asyncio.Queue()

    @property
    def sent(self) -> list[Any]:
        """What the present connection was sent."""
        return list(self.connections[-1]["sent"])

    def emit(self, *events: Any) -> None:
        """Have the connection send these; an exception is raised from it, None ends it."""
        for event in events:
            if isinstance(event, ToolUseStreamEvent):
                self._calls.add(event["current_tool_use"]["toolUseId"])
            self._events.put_nowait(event)

    async def start(self, system_prompt: Any = None, tools: Any = None, messages: Any = None, **kwargs: Any) -> None:
        if self.gate is not None:
            await self.gate.wait()
        if self.connected:
            raise AssertionError("start: connected already")
        if self.failures:
            self.log.append("start failed")
            raise self.failures.pop(0)
        self.log.append("start")
        self.connected = True
        self._events = asyncio.Queue()
        self._calls = {
            block["toolUse"]["toolUseId"]
            for message in messages or []
            for block in message["content"]
            if "toolUse" in block
        } - {
            block["toolResult"]["toolUseId"]
            for message in messages or []
            for block in message["content"]
            if "toolResult" in block
        }
        self.connections.append(
            {"prompt": system_prompt, "tools": tools, "messages": list(messages or []), "sent": [], **kwargs}
        )

    async def stop(self) -> None:
        self.log.append("stop")
        self.stops += 1
        self.connected = False

    async def send(self, content: Any) -> None:
        if not self.connected:
            raise AssertionError(f"sent to a dead connection: {content}")
        if content["type"] == "tool_result":
            call_id = content["tool_result"]["toolUseId"]
            if call_id not in self._calls:
                raise AssertionError(f"a result for the call {call_id}, which this connection does not know")
            self._calls.discard(call_id)
        self.connections[-1]["sent"].append(content)
        await asyncio.sleep(0)

    async def receive(self) -> AsyncIterator[Any]:
        events = self._events
        yield BidiConnectionStartEvent(f"fake-{len(self.connections)}", "fake")
        while (event := await events.get()) is not None:
            if isinstance(event, Exception):
                self.connected = False
                raise event
            yield event
