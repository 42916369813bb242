"""ScriptedModel as a text model: a script for the voice serves an Agent too, strict in both directions."""

from __future__ import annotations

import threading

import pytest

from backchannel import AsyncAgent, AsyncToolManager, BidiAgent, ScriptedModel, async_tool, tool
from backchannel.agents import Agent
from backchannel.errors import ModelError, ScriptError
from backchannel.messages import validate_messages
from backchannel.models import TextModel
from backchannel.models.scripted import call, expect_announcement, expect_result, expect_text, fail, say

WAIT = 30


@tool
def add(one: int, two: int) -> int:
    """Add two numbers."""
    return one + two


SUM = [expect_text("add"), call("add", {"one": 1, "two": 2}), expect_result("3"), say("It is 3.")]


async def test_a_script_for_the_voice_serves_a_text_agent():
    model = ScriptedModel(SUM)
    assert isinstance(model, TextModel)
    agent = Agent(model, [add])
    assert (await agent.invoke_async("please add")).text == "It is 3."
    model.check()
    assert validate_messages(agent.messages) == []


async def test_the_same_script_serves_an_agent_that_speaks():
    model = ScriptedModel(SUM)
    async with BidiAgent(model, [add]) as agent:
        await agent.send("please add")
        async for event in agent.receive():
            if event.get("type") == "bidi_transcript_stream" and event["is_final"]:
                assert event["text"] == "It is 3."
                break
    model.check()


async def test_a_text_is_said_to_whatever_comes_next():
    agent = Agent(ScriptedModel(["Hello.", "Bye."]))
    assert [(await agent.invoke_async(text)).text for text in ("hi", "see you")] == ["Hello.", "Bye."]
    with pytest.raises(ScriptError, match="end of the script"):
        await agent.invoke_async("again")


def test_results_of_background_tasks_are_announcements():
    go = threading.Event()
    with AsyncToolManager() as manager:

        @async_tool(manager, grace_s=0)
        def research(topic: str) -> str:
            """Research."""
            assert go.wait(WAIT)
            return f"all about {topic}"

        model = ScriptedModel(
            expect_text("research"), call("research", {"topic": "sun"}),
            expect_result("no result yet"), say("Started."),
            expect_announcement("all about sun"), say("It shines."),
        )  # fmt: skip
        told: list[str] = []
        with AsyncAgent(Agent(model, [research]), manager, on_reply=lambda reply: told.append(str(reply))) as talk:
            assert str(talk.send("research the sun").result(WAIT)) == "Started."
            go.set()
            assert talk.join(WAIT)
        assert told == ["It shines."]
        model.check()


async def test_what_the_script_does_not_expect_is_refused_and_names_the_step():
    agent = Agent(ScriptedModel(expect_text("hello"), say("Hi.")))
    with pytest.raises(ScriptError, match="step 1: expects text with 'hello'"):
        await agent.invoke_async("bye")
    assert agent.messages == []
    assert (await agent.invoke_async("hello")).text == "Hi."


async def test_a_failure_is_raised_and_what_comes_first_may_be_said_unasked():
    agent = Agent(ScriptedModel(say("Welcome."), expect_text("hi"), fail(ModelError("it broke"))))
    with pytest.raises(ModelError, match="it broke"):
        await agent.invoke_async("hi")
    with pytest.raises(ScriptError, match="end of the script"):
        await agent.invoke_async("hi")


async def test_a_model_that_is_called_for_nothing_new_has_come_to_its_end():
    agent = Agent(ScriptedModel("Hello."))
    await agent.invoke_async("hi")
    with pytest.raises(ScriptError, match="come to its end"):
        await agent.invoke_async(None)
