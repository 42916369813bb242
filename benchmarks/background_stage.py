"""Stage: what happens to background tasks in one trial, and when; the tool's body and the model's script write it."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any

from .sides import nothing

__all__ = ["LIMIT_S", "Script", "Stage", "async_body", "plain_body"]

LIMIT_S = 30.0
"""After which a trial that does not go on has failed, seconds."""


class Stage:
    """One trial with ``tasks`` background tasks that begin, wait at a gate, and end when it opens.

    Args:
        on_begun: Called when the last body has begun, in its thread.

    Attributes:
        asked: When the model had asked for all calls, seconds on `time.perf_counter`.
        begun: When each body began.
        ended: When each body was about to return.
        told: When the last of the results had been given to the model.
        deliveries: How many calls of the model gave it results that it did not have.
        read: How many messages of the conversation the model has seen.
    """

    def __init__(self, tasks: int, on_begun: Callable[[], object] = nothing) -> None:
        self.tasks = tasks
        self._on_begun = on_begun
        self.asked = 0.0
        self.begun: list[float] = []
        self.ended: list[float] = []
        self.told = 0.0
        self.deliveries = 0
        self.read = 0
        self.acknowledged = threading.Event()
        self.all_told = threading.Event()
        self._all_begun = threading.Event()
        self._opened = threading.Event()
        self._waiting: list[Callable[[], object]] = []
        self._missing = {self.finding(str(number)) for number in range(tasks)}
        self._lock = threading.Lock()

    @property
    def asked_to_body(self) -> float:
        """From the model's request to the last body's beginning, ms."""
        return (max(self.begun) - self.asked) * 1000

    @property
    def finished_to_told(self) -> float:
        """From the last body's return to the model's having all results, ms."""
        return (self.told - max(self.ended)) * 1000

    def finding(self, topic: str) -> str:
        """Return the result for a topic; found nowhere else."""
        return f"<findings on topic {topic}>"

    def begin(self) -> None:
        """A body begins."""
        with self._lock:
            self.begun.append(time.perf_counter())
            if len(self.begun) == self.tasks:
                self._all_begun.set()
                self._on_begun()

    def end(self, topic: str) -> str:
        """A body ends with what this returns."""
        result = self.finding(topic)
        self.ended.append(time.perf_counter())
        return result

    def wait(self) -> None:
        """Wait at the gate, in a thread."""
        self._opened.wait(LIMIT_S)

    async def wait_async(self) -> None:
        """Wait at the gate, on an event loop."""
        gate, loop = asyncio.Event(), asyncio.get_running_loop()
        with self._lock:
            self._waiting.append(lambda: loop.call_soon_threadsafe(gate.set))
        async with asyncio.timeout(LIMIT_S):
            await gate.wait()

    def ask(self) -> None:
        """The model asks."""
        self.asked = time.perf_counter()

    def open(self, settle_s: float) -> None:
        """Open the gate once all bodies wait there, the tasks were acknowledged and the agent had time to be idle.

        Raises:
            RuntimeError: If it does not come to that.
        """
        for event, what in ((self._all_begun, "begun"), (self.acknowledged, "acknowledged")):
            if not event.wait(LIMIT_S):
                raise RuntimeError(f"{self.tasks} background tasks were not {what} within {LIMIT_S:g} s")
        time.sleep(settle_s)
        self.release()

    def release(self) -> None:
        """Open the gate."""
        self._opened.set()
        for tell in self._waiting:
            tell()

    def wait_told(self) -> None:
        """Wait until the model has all results.

        Raises:
            RuntimeError: If it does not get them.
        """
        if not self.all_told.wait(LIMIT_S):
            raise RuntimeError(f"{len(self._missing)} of {self.tasks} results did not reach the model")

    def hear_all(self) -> bool:
        """The model is given all results now; whether it did not have them."""
        return self.hear("".join(self._missing), time.perf_counter())

    def hear(self, text: str, at: float) -> bool:
        """The model was given a text at that time; whether results were in it that it did not have."""
        heard = {finding for finding in self._missing if finding in text}
        if not heard:
            return False
        self._missing -= heard
        self.deliveries += 1
        if not self._missing:
            self.told = at
            self.all_told.set()
        return True


def plain_body(stage: Callable[[], Stage]) -> Callable[..., Any]:
    """Return a plain function for a background tool."""

    def research(topic: str) -> str:
        """Research a topic.

        Args:
            topic: Its number.
        """
        now = stage()
        now.begin()
        now.wait()
        return now.end(topic)

    return research


def async_body(stage: Callable[[], Stage]) -> Callable[..., Any]:
    """Return the same as a coroutine function."""

    async def research(topic: str) -> str:
        """Research a topic.

        Args:
            topic: Its number.
        """
        now = stage()
        now.begin()
        await now.wait_async()
        return now.end(topic)

    return research


class Script:
    """A text model's behaviour, the same on every side: asks for all calls in one message, says that they have
    started when it gets the acknowledgements, and that they are done when it is given results.

    Events are those of Bedrock's ConverseStream, which the peer speaks too.
    """

    def __init__(self) -> None:
        self.stage = Stage(1)

    async def events(self, messages: Sequence[Mapping[str, Any]]) -> AsyncIterator[Any]:
        """Make the events of the next message."""
        at = time.perf_counter()
        stage = self.stage
        new, stage.read = list(messages[stage.read :]), len(messages)
        yield {"messageStart": {"role": "assistant"}}
        if stage.asked:
            told = stage.hear(json.dumps(new, default=str, ensure_ascii=False), at)
            for event in _text("They are done." if told else "I have started that."):
                yield event
            yield {"messageStop": {"stopReason": "end_turn"}}
            stage.acknowledged.set()
            return
        for number in range(stage.tasks):
            use = {"toolUseId": f"call-{number}", "name": "research"}
            arguments = json.dumps({"topic": str(number)})
            yield {"contentBlockStart": {"contentBlockIndex": number, "start": {"toolUse": use}}}
            yield {"contentBlockDelta": {"contentBlockIndex": number, "delta": {"toolUse": {"input": arguments}}}}
            yield {"contentBlockStop": {"contentBlockIndex": number}}
        stage.ask()
        yield {"messageStop": {"stopReason": "tool_use"}}


def _text(text: str) -> list[Any]:
    return [
        {"contentBlockStart": {"contentBlockIndex": 0, "start": {}}},
        {"contentBlockDelta": {"contentBlockIndex": 0, "delta": {"text": text}}},
        {"contentBlockStop": {"contentBlockIndex": 0}},
    ]
