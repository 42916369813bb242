"""After a conversation, however it ended: no task, no thread, no socket of it is left."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pytest

from backchannel import BidiAgent, LocalModel, ScriptedModel, tool
from backchannel.io import VirtualMicrophone, VirtualSpeaker
from backchannel.models.scripted import call, expect_text
from tests.support.speech import needs_speech

DESCRIPTORS = Path("/proc/self/fd")


def sockets() -> set[str]:
    found: set[str] = set()
    for entry in DESCRIPTORS.iterdir() if DESCRIPTORS.exists() else ():
        try:
            target = os.readlink(entry)
        except OSError:
            continue  # The directory's own descriptor.
        if target.startswith("socket:"):
            found.add(target)
    return found


@pytest.fixture
def nothing_left(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Compare what there is before and after; threads of the pool end when they were idle for a while."""
    monkeypatch.setattr("backchannel.tools.threads.IDLE_S", 0.2)
    threads, before = set(threading.enumerate()), sockets()
    yield
    deadline = time.monotonic() + 30
    while (left := set(threading.enumerate()) - threads) and time.monotonic() < deadline:
        for thread in left:
            thread.join(0.1)
    assert not left, left
    assert not sockets() - before


def scripted() -> Any:
    return ScriptedModel(expect_text("look up"), call("look_up", {"topic": "solar power"}))


models = pytest.mark.parametrize(
    "make", [pytest.param(scripted, id="scripted"), pytest.param(lambda: LocalModel(), id="local", marks=needs_speech)]
)


@models
@pytest.mark.parametrize("end", ["stop", "cancel", "error"])
@pytest.mark.usefixtures("nothing_left")
def test_a_conversation_leaves_nothing(make: Callable[[], Any], end: str) -> None:
    release = threading.Event()

    @tool
    def look_up(topic: Literal["solar power", "wind energy"]) -> str:
        """Look a topic up, slowly."""
        release.wait(30)
        return topic

    async def converse() -> None:
        agent = BidiAgent(make(), tools=[look_up])
        called = asyncio.Event()
        lines = iter(["look up solar power"])

        async def keyboard() -> str:
            for line in lines:
                return line
            raise StopAsyncIteration

        async def screen(event: Any) -> None:
            if event.get("type") == "tool_use_stream":
                called.set()
                if end == "error":
                    raise KeyError("the screen broke")

        running = asyncio.create_task(
            agent.run(inputs=[VirtualMicrophone(), keyboard], outputs=[VirtualSpeaker(), screen])
        )
        async with asyncio.timeout(60):
            await called.wait()
        if end == "stop":
            await agent.stop()
            await running
        else:
            if end == "cancel":
                running.cancel()
            with pytest.raises(asyncio.CancelledError if end == "cancel" else KeyError):
                await running
        assert asyncio.all_tasks() == {asyncio.current_task()}

    try:
        asyncio.run(converse())
    finally:
        release.set()
