"""Tasks of an earlier process, as a voice tells them."""

from __future__ import annotations

import asyncio
import threading
from types import SimpleNamespace
from typing import Any

from backchannel import AsyncToolManager, BidiAgent, async_tool
from backchannel.events import TypedEvent
from backchannel.models.scripted import AnnouncementEvent, Expect, ScriptedModel, expect_announcement, say


async def collect(agent: BidiAgent, events: list[TypedEvent]) -> None:
    async for event in agent.receive():
        events.append(event)


async def until(holds: Any) -> None:
    async with asyncio.timeout(10):
        while not holds():
            await asyncio.sleep(0.005)


async def test_results_of_an_earlier_process_are_told_once_by_the_first_agent(tmp_path):
    """Told before: never again; given to the model before: perhaps told; lost: said so."""
    path = tmp_path / "tasks.jsonl"
    first = AsyncToolManager(ledger=path)
    owner = SimpleNamespace()
    for topic in ("solar power", "wind power", "fusion"):
        first.start("research", lambda topic: f"Findings about {topic}.", {"topic": topic}, owner=owner).result(10)
    first.tasks[0].delivered = True
    first.tasks[1].announced = True
    go = threading.Event()
    first.start("research", lambda topic: go.wait(10), {"topic": "tides"}, owner=owner)
    first.start("research", lambda topic: "by hand", {"topic": "by hand"}).result(10)
    first.ledger.close()
    go.set()

    second = AsyncToolManager(ledger=path)

    @async_tool(second)
    def research(topic: str) -> str:
        """Research a topic."""
        return topic

    given: list[str] = []
    announced = Expect(
        "an announcement", lambda event: isinstance(event, AnnouncementEvent) and not given.append(event["text"])
    )
    model = ScriptedModel(announced, say("Perhaps I have said it."), announced, say("All is told."))
    async with BidiAgent(model, tools=[research]) as agent:
        async for _ in agent.receive():
            if all(task.delivered for task in second.tasks[1:4]):
                break
    model.check()
    text = "\n".join(given)
    assert "solar power" not in text
    assert "by hand" not in text
    assert "Findings about wind power." in text
    assert "Findings about fusion." in text
    assert text.count("You may have said this already") == 1
    assert "was lost" in text
    assert "run again" in text
    second.shutdown()

    third = AsyncToolManager(ledger=path)
    assert third.claim_restored(owner) == []
    third.shutdown()


async def test_a_deferred_task_of_an_earlier_process_is_told_when_it_is_resolved(tmp_path):
    path = tmp_path / "tasks.jsonl"
    first = AsyncToolManager(ledger=path)
    token = first.defer("approve", {"invoice": "A-1"}, owner=SimpleNamespace()).token
    first.ledger.close()
    second = AsyncToolManager(ledger=path)

    @async_tool(second)
    def approve(invoice: str) -> str:
        """Ask for approval."""
        return invoice

    model = ScriptedModel(expect_announcement("It was paid."), say("It was paid."))
    async with BidiAgent(model, tools=[approve]) as agent:
        events: list[TypedEvent] = []
        reading = asyncio.create_task(collect(agent, events))
        second.resolve(token, "It was paid.")
        await until(lambda: second.tasks[0].delivered)
        reading.cancel()
    model.check()
    second.shutdown()
