"""The tool that ends a conversation."""

from __future__ import annotations

from backchannel import BidiAgent
from backchannel.models.scripted import ScriptedModel, call
from backchannel.tools import run_tool, stop_conversation
from tests.support.virtual_time import virtual_time


def test_a_model_is_told_when_to_call_it_and_may_give_a_reason() -> None:
    spec = stop_conversation.tool_spec
    assert spec["name"] == "stop_conversation"
    assert "goodbye" in spec["description"]
    assert spec["inputSchema"]["json"]["required"] == []
    assert spec["inputSchema"]["json"]["properties"]["reason"]["type"] == "string"


@virtual_time
async def test_by_itself_it_returns_a_plain_text():
    for given, said in (({}, "The conversation ends."), ({"reason": "goodbye"}, "The conversation ends: goodbye")):
        use = {"toolUseId": "c1", "name": "stop_conversation", "input": given}
        (event,) = [event async for event in run_tool(stop_conversation, use, {})]
        assert event.tool_result == {"toolUseId": "c1", "status": "success", "content": [{"text": said}]}


@virtual_time
async def test_an_agent_ends_when_the_model_calls_it():
    async with BidiAgent(ScriptedModel(call("stop_conversation")), tools=[stop_conversation]) as agent:
        events = [event async for event in agent.receive()]
    assert events[-1]["type"] == "bidi_connection_close"
    assert events[-1]["reason"] == "user_request"
