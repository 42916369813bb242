"""A language model in place of the built-in commands."""

from __future__ import annotations

from collections.abc import Sequence

from backchannel.events import AnnouncementEvent, ProgressEvent, ToolResultEvent
from backchannel.messages import ContentBlock, Message, Messages, ToolSpec, validate_messages
from backchannel.models.local.dialogue import Call, Say
from backchannel.models.local.mind import Mind
from backchannel.models.local.parts import Recognition

from .tools import RESEARCH


class Script:
    """Answers with these blocks, in this order, and keeps what it was asked."""

    def __init__(self, *answers: list[ContentBlock]) -> None:
        self.answers = list(answers)
        self.asked: list[Messages] = []

    async def respond(self, messages: Messages, tools: Sequence[ToolSpec], system_prompt: str | None) -> Message:
        assert [tool["name"] for tool in tools] == ["research"]
        assert system_prompt == "Be brief."
        assert validate_messages(messages) == []
        self.asked.append(messages)
        return {"role": "assistant", "content": self.answers.pop(0)}


def mind(script: Script) -> Mind:
    made = Mind(script, "Be brief.", [{"role": "user", "content": [{"text": "earlier"}]}])
    made.update([RESEARCH])
    return made


def result(call_id: str) -> ToolResultEvent:
    return ToolResultEvent({"toolUseId": call_id, "status": "success", "content": [{"text": "42"}]})


async def test_what_was_heard_goes_to_the_model_after_the_history_and_its_text_is_said():
    script = Script([{"text": "Hello."}])
    assert await mind(script).hear(Recognition("hi", 1.0, True)) == [Say("Hello.")]
    assert [message["content"][0]["text"] for message in script.asked[0]] == ["earlier", "hi"]


async def test_a_call_enters_the_history_together_with_its_result():
    script = Script(
        [{"toolUse": {"name": "research", "input": {"topic": "x"}, "toolUseId": "t1"}}],
        [{"text": "Wait."}],
        [{"text": "42."}],
    )
    made = mind(script)
    assert await made.read("research x") == [Call("research", {"topic": "x"}, "t1")]
    assert await made.read("still there?") == [Say("Wait.")]
    assert await made.result(result("t1")) == [Say("42.")]
    assert ["toolUse" in message["content"][0] for message in script.asked[2]].count(True) == 1


async def test_a_call_without_an_id_gets_one():
    made = mind(Script([{"toolUse": {"name": "research", "input": {}, "toolUseId": ""}}]))
    (call,) = await made.read("go")
    assert isinstance(call, Call)
    assert call.call_id.startswith("call-")


async def test_the_result_of_an_unknown_call_is_ignored():
    script = Script()
    assert await mind(script).result(result("other")) == []
    assert script.asked == []


async def test_an_announcement_is_told_as_text():
    script = Script([{"text": "It is done."}])
    assert await mind(script).announce(AnnouncementEvent("task 1 is done", ())) == [Say("It is done.")]
    assert script.asked[0][-1]["content"] == [{"text": "task 1 is done"}]


async def test_how_far_a_task_is_enters_the_history_and_is_answered_only_where_it_is_to_be_said():
    script = Script([{"text": "Half of it is done."}])
    made = mind(script)
    assert await made.progress(ProgressEvent("25 percent", (), aloud=False)) == []
    assert script.asked == []
    assert await made.progress(ProgressEvent("50 percent", (), aloud=True)) == [Say("Half of it is done.")]
    assert [message["content"] for message in script.asked[0]][-2:] == [
        [{"text": "25 percent"}],
        [{"text": "50 percent"}],
    ]
