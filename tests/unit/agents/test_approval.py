"""Approvals: the pure ledger, and a whole agent with a scripted model, in virtual time."""

from __future__ import annotations

import asyncio
import json
import math
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backchannel import AsyncAgent, BidiAgent, async_tool, tool
from backchannel.agents.approval import Approval, ApprovalLedger, ApprovalRequest, Approvals
from backchannel.errors import BidiModelTimeoutError, InvalidInputError
from backchannel.events import (
    AnnouncementEvent,
    ApprovalQuestionEvent,
    BidiAudioInputEvent,
    BidiAudioStreamEvent,
    BidiResponseCompleteEvent,
    BidiResponseStartEvent,
    BidiTextInputEvent,
    BidiTranscriptStreamEvent,
    LateResultEvent,
    ProgressEvent,
    ToolUseStreamEvent,
    TypedEvent,
    UserSpeechEvent,
)
from backchannel.hooks import BidiAfterToolCallEvent, BidiBeforeToolCallEvent, HookRegistry
from backchannel.messages import ToolResult
from backchannel.models.realtime import ModelProfile
from backchannel.models.scripted import ScriptedModel, call, expect, expect_result, expect_text, fail, hear, say
from backchannel.tasks import AsyncToolManager
from backchannel.tools import SequentialToolExecutor
from tests.support.fake_model import FakeModel
from tests.support.virtual_time import virtual_time

PATH = {"path": "a.txt"}


def request(approval_id: str = "a1", question: str = "Delete a.txt?") -> ApprovalRequest:
    return ApprovalRequest(approval_id, question, {"toolUseId": "c1", "name": "delete", "input": PATH})


def ledger(*approval_ids: str) -> ApprovalLedger:
    made = ApprovalLedger()
    for approval_id in approval_ids or ("a1",):
        made.ask(request(approval_id), 0.0, 60.0)
    return made


# The ledger


def test_the_first_answer_counts():
    made = ledger()
    assert made.answer("a1", True, "widget", "", 1.0) == Approval(True, "widget")
    assert made.pending == []
    with pytest.raises(InvalidInputError, match="answered already: approved by widget"):
        made.answer("a1", False, "code", "", 1.0)
    assert made.end("a1", Approval(False, "timeout")) == Approval(True, "widget")


def test_an_unknown_id_is_refused_with_those_that_wait():
    with pytest.raises(InvalidInputError, match=r"no approval 'b'. Waiting for an answer: a1, a2"):
        ledger("a1", "a2").answer("b", True, "code", "", 0.0)
    with pytest.raises(InvalidInputError, match="none"):
        ApprovalLedger().answer("b", True, "code", "", 0.0)


def test_an_answer_after_the_time_is_refused():
    made = ledger()
    with pytest.raises(InvalidInputError, match="not answered in time"):
        made.answer("a1", True, "widget", "", 60.0)


def heard_question(made: ApprovalLedger, approval_id: str = "a1") -> None:
    """The model was given the question, asked it in a response, and the user heard all of that."""
    made.question_sent(approval_id, taken=True)
    made.response_began(f"asks-{approval_id}")


def hears(*response_ids: str) -> Callable[[str], bool]:
    return lambda response_id: not response_ids or response_id in response_ids


def speaks(made: ApprovalLedger, words: str, *heard: str) -> None:
    made.user_began(hears(*heard))
    made.user_said(words)


def test_a_voice_needs_words_of_the_user_since_the_question():
    made = ApprovalLedger()
    speaks(made, "yes")
    made.ask(request(), 0.0, 60.0)
    heard_question(made)
    with pytest.raises(InvalidInputError, match=r"they have said nothing since it was asked. Ask them.*Delete a.txt"):
        made.answer("a1", True, "voice", "the user said so", 1.0)
    speaks(made, "  ")
    with pytest.raises(InvalidInputError):
        made.answer("a1", False, "voice", "", 1.0)
    assert [item.id for item in made.pending] == ["a1"]
    made.user_said(" Yes, do it. ")
    assert made.answer("a1", True, "voice", "the user said so", 1.0) == Approval(True, "voice", "Yes, do it.")


def test_speech_that_began_before_the_question_is_no_answer_to_it():
    made = ApprovalLedger()
    made.user_began(hears())
    made.ask(request(), 0.0, 60.0)
    heard_question(made)
    made.user_said("yes")
    with pytest.raises(InvalidInputError, match="before they had heard the question to its end"):
        made.answer("a1", True, "voice", "", 1.0)
    speaks(made, "yes")
    assert made.answer("a1", True, "voice", "", 1.0).reason == "yes"


def test_a_question_that_was_not_heard_to_its_end_is_not_answered_by_speech():
    made = ledger()
    speaks(made, "yes")  # The model was not even given it.
    heard_question(made)
    speaks(made, "yes", "another")
    with pytest.raises(InvalidInputError, match="had heard the question"):
        made.answer("a1", True, "voice", "", 1.0)
    made.response_began("asks again")
    speaks(made, "yes", "asks again")
    assert made.answer("a1", True, "voice", "", 1.0).approved


def test_what_the_model_said_before_it_was_given_the_question_does_not_ask_it():
    made = ledger()
    made.response_began("r1")
    made.question_sent("a1", taken=True)
    speaks(made, "yes", "r1")
    with pytest.raises(InvalidInputError):
        made.answer("a1", True, "voice", "", 1.0)


def test_a_question_that_the_model_did_not_take_is_not_asked_by_it():
    made = ledger()
    made.question_sent("a1", taken=True)
    made.question_sent("a1", taken=False)
    made.response_began("r1")
    speaks(made, "yes")
    with pytest.raises(InvalidInputError):
        made.answer("a1", True, "voice", "", 1.0)


def test_where_no_beginning_of_speech_is_known_the_voice_cannot_allow():
    made = ledger()
    heard_question(made)
    made.user_said("yes")
    with pytest.raises(InvalidInputError, match=r"not known when the user began.*buttons on the page, or to type"):
        made.answer("a1", True, "voice", "", 1.0)
    made.user_said("yes", typed=True)
    assert made.answer("a1", True, "voice", "", 1.0).approved


def test_typed_text_is_an_answer_whoever_speaks():
    made = ApprovalLedger()
    made.user_began(hears())
    made.ask(request(), 0.0, 60.0)
    made.user_said("yes", typed=True)
    assert made.answer("a1", True, "voice", "", 1.0).approved


@pytest.mark.parametrize("words", ["No, do not delete anything!", "stop", "leave it", "don't"])
@pytest.mark.parametrize("typed", [True, False])
def test_a_plain_no_is_final_whatever_the_model_says_of_it(words: str, typed: bool):
    made = ledger()
    heard_question(made)
    if typed:
        made.user_said(words, typed=True)
    else:
        speaks(made, words)
    speaks(made, "yes")
    assert made.answer("a1", True, "voice", "they agreed", 1.0) == Approval(False, "voice", words)
    assert made.pending == []


@pytest.mark.parametrize("words", ["hm", "what would that do?", "yes, but wait", "tidy up my home folder"])
def test_words_that_are_no_clear_yes_are_asked_again(words: str):
    made = ledger()
    heard_question(made)
    speaks(made, words)
    with pytest.raises(InvalidInputError, match=r"no clear yes. Ask the user again.*Delete a.txt"):
        made.answer("a1", True, "voice", "", 1.0)
    with pytest.raises(InvalidInputError, match="have said nothing"):
        made.answer("a1", True, "voice", "", 1.0)
    speaks(made, "yes")
    assert made.answer("a1", True, "voice", "", 1.0).reason == "yes"


def test_the_words_of_one_turn_count_together():
    made = ledger()
    heard_question(made)
    speaks(made, "yes")
    speaks(made, "but not that one")
    with pytest.raises(InvalidInputError, match="'yes but not that one' is no clear yes"):
        made.answer("a1", True, "voice", "", 1.0)
    speaks(made, "what is in it?")
    made.response_began("explains")
    speaks(made, "okay")
    assert made.answer("a1", True, "voice", "", 1.0).reason == "okay"


def test_a_question_that_does_not_show_all_is_not_allowed_by_voice():
    made = ApprovalLedger()
    made.ask(ApprovalRequest("a1", "Delete …?", request().tool_use, whole=False), 0.0, 60.0)
    heard_question(made)
    speaks(made, "yes")
    with pytest.raises(InvalidInputError, match=r"too long to be approved by voice.*look at the page"):
        made.answer("a1", True, "voice", "", 1.0)
    made.user_said("yes", typed=True)
    assert made.answer("a1", True, "voice", "", 1.0).approved


def test_the_same_words_do_not_allow_two_calls():
    made = ledger("a1", "a2")
    heard_question(made, "a1")
    heard_question(made, "a2")
    speaks(made, "yes")
    made.answer("a1", True, "voice", "", 1.0)
    with pytest.raises(InvalidInputError, match="Ask them"):
        made.answer("a2", True, "voice", "", 1.0)


def test_the_same_words_refuse_any_number_of_calls():
    made = ledger("a1", "a2")
    made.user_said("no, nothing of that")
    assert not made.answer("a1", False, "voice", "", 1.0).approved
    assert not made.answer("a2", False, "voice", "", 1.0).approved


def test_long_words_are_bounded():
    made = ledger()
    for _ in range(100):
        speaks(made, "no " * 10_000)
    assert len(made.answer("a1", False, "voice", "", 1.0).reason) <= 500


ids = st.sampled_from(["a1", "a2", "a3"])
steps = st.lists(
    st.one_of(
        st.tuples(st.just("ask"), ids),
        st.tuples(st.just("given"), ids),
        st.tuples(st.just("began"), st.sampled_from([(), ("r1",), ("r1", "r2")])),
        st.tuples(st.just("response"), st.sampled_from(["r1", "r2"])),
        st.tuples(st.just("said"), st.sampled_from(["", "yes", "okay", "no", "hm"])),
        st.tuples(st.just("typed"), st.sampled_from(["yes", "no"])),
        st.tuples(st.just("voice"), ids),
        st.tuples(st.just("widget"), ids),
        st.tuples(st.just("end"), ids),
    ),
    max_size=40,
)


@given(steps)
def test_every_request_ends_once_and_a_voice_never_allows_what_the_user_did_not_agree_to(events: list[Any]):
    made = ApprovalLedger()
    asked: set[str] = set()
    given_: set[str] = set()
    begun: dict[str, set[str]] = {}
    listening: set[str] = set()
    agreed: set[str] = set()
    refused: set[str] = set()
    for kind, value in events:
        if kind == "ask" and value not in asked:
            asked.add(value)
            made.ask(request(value), 0.0, 60.0)
        elif kind == "given":
            made.question_sent(value, taken=True)
            given_ |= {value} & asked
        elif kind == "response":
            made.response_began(value)
            for name in given_:
                begun.setdefault(name, set()).add(value)
        elif kind == "began":
            made.user_began(lambda response_id, heard=value: response_id in heard)
            listening |= {name for name in given_ if begun.get(name, set()) & set(value)}
        elif kind in ("said", "typed"):
            made.user_said(value, typed=kind == "typed")
            for name in asked if kind == "typed" else listening & asked:
                agreed |= {name} if value in ("yes", "okay") else set()
                refused |= {name} if value == "no" else set()
        elif kind in ("voice", "widget"):
            waits = value in [item.id for item in made.pending]
            try:
                answer = made.answer(value, True, kind, "", 1.0)
            except InvalidInputError:
                assert not waits or kind == "voice"
            else:
                assert waits
                assert answer.approved or (kind == "voice" and value in refused)
                assert kind == "widget" or not answer.approved or value in agreed
        elif kind == "end" and value in asked:
            made.end(value, Approval(False, "timeout"))
            assert value not in [item.id for item in made.pending]


# The agent

deleted: list[str] = []


@tool(confirm="Delete {path}?")
async def delete(path: str) -> str:
    """Delete a file."""
    deleted.append(path)
    return f"{path} is gone"


@pytest.fixture(autouse=True)
def nothing_deleted() -> None:
    deleted.clear()


class Log:
    """Reads an agent's events and lets a test wait for one."""

    def __init__(self, agent: BidiAgent) -> None:
        self.agent = agent
        self.events: list[TypedEvent] = []
        self.error: BaseException | None = None
        self._more = asyncio.Event()
        self._reader = asyncio.create_task(self._read())

    async def _read(self) -> None:
        try:
            async for event in self.agent.receive():
                json.dumps(event)
                self.events.append(event)
                self._more.set()
        except Exception as error:
            self.error = error
        self._more.set()

    def all(self, kind: str) -> list[TypedEvent]:
        return [event for event in self.events if event.get("type") == kind]

    async def first(self, kind: str, count: int = 1) -> TypedEvent:
        while len(self.all(kind)) < count:
            self._more.clear()
            async with asyncio.timeout(1000):
                await self._more.wait()
            assert self.error is None or len(self.all(kind)) >= count, self.error
        return self.all(kind)[count - 1]

    async def ended(self) -> BaseException | None:
        await self._reader
        return self.error


def expect_question(text: str = "Delete a.txt?") -> Any:
    return expect("the question", lambda event: isinstance(event, ApprovalQuestionEvent) and text in event.text)


class Answers(ScriptedModel):
    """A scripted model that calls answer_approval with the id that it was told last."""

    def __init__(self, *script: Any, profile: ModelProfile | None = None) -> None:
        super().__init__(*script) if profile is None else super().__init__(*script, profile=profile)
        self.asked: list[ApprovalQuestionEvent] = []

    async def send(self, content: Any) -> None:
        if isinstance(content, ApprovalQuestionEvent):
            self.asked.append(content)
        await super().send(content)

    async def receive(self) -> AsyncIterator[Any]:
        async for event in super().receive():
            if event.get("type") == "tool_use_stream":
                use = event["current_tool_use"]
                if use["input"].get("approval_id") == "last":
                    use["input"]["approval_id"] = self.asked[-1].approval_id
            yield event


def answers(approved: Any = True, tool_use_id: str = "answer-1") -> Any:
    return call("answer_approval", {"approval_id": "last", "approved": approved}, tool_use_id)


@virtual_time
async def test_a_call_waits_for_the_yes_that_the_user_speaks():
    model = Answers(
        call("delete", PATH),
        expect_question(),
        say("Shall I delete it?"),
        hear("yes please"),
        answers(),
        expect_result("The call runs now", tool_use_id="answer-1"),
        expect_result("a.txt is gone", tool_use_id="call-1"),
        say("Done."),
    )
    async with BidiAgent(model, tools=[delete]) as agent:
        log = Log(agent)
        await log.first("bidi_response_complete", 2)
    asked = log.all("approval_request")[0]
    assert (asked.question, asked.tool_use["input"]) == ("Delete a.txt?", PATH)
    (told,) = log.all("approval_answer")
    assert (told.approval_id, told.approved, told.by, told.reason) == (asked.approval_id, True, "voice", "yes please")
    assert deleted == ["a.txt"]
    model.check()


@virtual_time
async def test_a_no_is_told_to_the_model_as_the_calls_result():
    model = Answers(
        call("delete", PATH),
        expect_question(),
        hear("no, keep it"),
        answers(False),
        expect_result("will not run", tool_use_id="answer-1"),
        expect_result("The user did not approve the call of delete: no, keep it", status="error"),
        say("Fine."),
    )
    async with BidiAgent(model, tools=[delete]) as agent:
        log = Log(agent)
        await log.first("bidi_response_complete")
    assert deleted == []
    assert any("tool_cancel_event" in event for event in log.events)
    model.check()


@virtual_time
async def test_a_model_cannot_approve_its_own_call():
    model = Answers(
        hear("clean up"),
        call("delete", PATH),
        expect_question(),
        answers(),
        expect_result("they have said nothing since it was asked", tool_use_id="answer-1", status="error"),
        answers("true", "answer-2"),
        expect_result("Ask them", tool_use_id="answer-2", status="error"),
    )
    async with BidiAgent(model, tools=[delete]) as agent:
        log = Log(agent)
        await log.first("tool_result", 2)
        assert [item.question for item in agent.approvals.pending] == ["Delete a.txt?"]
        assert log.all("approval_answer") == []
    assert deleted == []
    model.check()


@virtual_time
async def test_typed_text_answers_too():
    model = Answers(call("delete", PATH), expect_question(), expect_text("yes"), answers(), expect_result("runs now"))
    async with BidiAgent(model, tools=[delete]) as agent:
        log = Log(agent)
        await log.first("approval_request")
        await agent.send("yes")
        assert (await log.first("approval_answer")).by == "voice"
        await log.first("tool_result", 2)
    assert deleted == ["a.txt"]


@virtual_time
async def test_a_widget_or_code_answers_without_words():
    model = Answers(call("delete", PATH), expect_question(), expect_result("a.txt is gone"), say("Done."))
    async with BidiAgent(model, tools=[delete]) as agent:
        log = Log(agent)
        asked = await log.first("approval_request")
        answer = agent.approvals.answer(asked.approval_id, True, by="widget")
        assert answer == Approval(True, "widget")
        await log.first("bidi_response_complete")
        with pytest.raises(InvalidInputError, match="answered already"):
            agent.approvals.answer(asked.approval_id, False)
    assert deleted == ["a.txt"]


@virtual_time
async def test_an_answer_from_another_thread_counts():
    model = Answers(call("delete", PATH), expect_question(), expect_result("a.txt is gone"), say("Done."))
    async with BidiAgent(model, tools=[delete]) as agent:
        log = Log(agent)
        asked = await log.first("approval_request")
        thread = threading.Thread(target=agent.approvals.answer, args=(asked.approval_id, True))
        thread.start()
        thread.join()
        assert (await log.first("approval_answer")).by == "code"
        await log.first("bidi_response_complete")


@pytest.mark.parametrize("approved", [1, "yes", "false", None])
@virtual_time
async def test_only_a_bool_is_an_answer(approved: Any):
    model = Answers(call("delete", PATH), expect_question())
    async with BidiAgent(model, tools=[delete]) as agent:
        asked = await Log(agent).first("approval_request")
        with pytest.raises(TypeError, match="True or False"):
            agent.approvals.answer(asked.approval_id, approved)
        with pytest.raises(InvalidInputError, match="by must be"):
            agent.approvals.answer(asked.approval_id, True, by="timeout")  # type: ignore[arg-type]
        assert len(agent.approvals.pending) == 1


@virtual_time
async def test_no_answer_in_time_is_a_no():
    model = Answers(call("delete", PATH), expect_question(), expect_result("nobody answered within 300 seconds"))
    async with BidiAgent(model, tools=[delete]) as agent:
        log = Log(agent)
        asked = await log.first("approval_request")
        start = asyncio.get_running_loop().time()
        told = await log.first("approval_answer")
        assert asyncio.get_running_loop().time() - start == pytest.approx(300)
        assert (told.approved, told.by) == (False, "timeout")
        await log.first("tool_result")
        with pytest.raises(InvalidInputError, match="refused by timeout"):
            agent.approvals.answer(asked.approval_id, True)
    assert deleted == []
    model.check()


@virtual_time
async def test_stopping_the_agent_ends_what_waits():
    model = Answers(call("delete", PATH), expect_question())
    agent = BidiAgent(model, tools=[delete])
    await agent.start()
    log = Log(agent)
    asked = await log.first("approval_request")
    beside = asyncio.create_task(agent.approvals.ask("And that?", {"toolUseId": "x", "name": "y", "input": {}}))
    await log.first("approval_request", 2)
    await agent.stop()
    assert (await beside).by == "stopped"
    assert await log.ended() is None
    assert [event.by for event in log.all("approval_answer")] == ["stopped", "stopped"]
    assert agent.approvals.pending == []
    with pytest.raises(InvalidInputError):
        agent.approvals.answer(asked.approval_id, True)
    assert deleted == []


@virtual_time
async def test_without_a_conversation_there_is_nobody_to_ask():
    agent = BidiAgent(ScriptedModel(), tools=[delete])
    answer = await agent.approvals.ask("Really?", {"toolUseId": "x", "name": "y", "input": {}})
    assert (answer.approved, answer.by) == (False, "stopped")


@virtual_time
async def test_cancelling_the_one_who_asks_withdraws_the_question():
    model = Answers(expect_question("Really?"))
    async with BidiAgent(model, tools=[]) as agent:
        log = Log(agent)
        asking = asyncio.create_task(agent.approvals.ask("Really?", {"toolUseId": "x", "name": "y", "input": {}}))
        await log.first("approval_request")
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert (await log.first("approval_answer")).by == "stopped"
        assert agent.approvals.pending == []


@virtual_time
async def test_wrong_arguments_are_never_asked_about():
    model = ScriptedModel(call("delete", {"file": 1}), expect_result("path: missing", status="error"), say("Sorry."))
    async with BidiAgent(model, tools=[delete]) as agent:
        log = Log(agent)
        await log.first("bidi_response_complete")
    assert log.all("approval_request") == []
    model.check()


class Hooks:
    """A provider of two callbacks."""

    def __init__(self, before: Callable[..., Any] | None = None, after: Callable[..., Any] | None = None) -> None:
        self.before, self.after = before, after

    def register_hooks(self, registry: HookRegistry, **kwargs: Any) -> None:
        if self.before is not None:
            registry.add_callback(BidiBeforeToolCallEvent, self.before)
        if self.after is not None:
            registry.add_callback(BidiAfterToolCallEvent, self.after)


@virtual_time
async def test_what_a_hook_has_cancelled_is_not_asked_about():
    def cancel(event: BidiBeforeToolCallEvent) -> None:
        event.cancel_tool = "not today"

    model = ScriptedModel(call("delete", PATH), expect_result("not today", status="error"))
    async with BidiAgent(model, tools=[delete], hooks=[Hooks(cancel)]) as agent:
        log = Log(agent)
        await log.first("tool_result")
    assert log.all("approval_request") == []


@virtual_time
async def test_the_question_is_about_what_the_hooks_have_made_of_the_call():
    def change(event: BidiBeforeToolCallEvent) -> None:
        event.tool_use = {**event.tool_use, "input": {"path": "b.txt"}}

    model = Answers(call("delete", PATH), expect_question("Delete b.txt?"), expect_result("b.txt is gone"))
    async with BidiAgent(model, tools=[delete], hooks=[Hooks(change)]) as agent:
        log = Log(agent)
        agent.approvals.answer((await log.first("approval_request")).approval_id, True)
        await log.first("tool_result")
    assert deleted == ["b.txt"]


@virtual_time
async def test_what_runs_is_what_was_asked_about():
    model = Answers(call("delete", dict(PATH)), expect_question(), expect_result("a.txt is gone"))
    async with BidiAgent(model, tools=[delete]) as agent:
        log = Log(agent)
        asked = await log.first("approval_request")
        log.all("tool_use_stream")[0].current_tool_use["input"]["path"] = "everything"
        asked.tool_use["input"]["path"] = "everything"
        agent.approvals.answer(asked.approval_id, True)
        await log.first("tool_result")
    assert deleted == ["a.txt"]


@pytest.mark.parametrize("approved", [True, False])
@virtual_time
async def test_a_hook_can_ask(approved: bool):
    ran = []

    @tool
    async def plain() -> str:
        """Do something."""
        ran.append(1)
        return "done"

    async def ask(event: BidiBeforeToolCallEvent) -> None:
        answer = await event.agent.approvals.ask("Really?", event.tool_use)
        if not answer.approved:
            event.cancel_tool = answer.reason or "the user said no"

    model = Answers(
        call("plain"),
        expect_question("Really?"),
        say("Really?"),
        hear("yes" if approved else "rather not"),
        answers(approved),
        expect_result("call", tool_use_id="answer-1"),
        expect_result("done" if approved else "rather not", tool_use_id="call-1"),
    )
    async with BidiAgent(model, tools=[plain], hooks=[Hooks(ask)]) as agent:
        assert "answer_approval" not in agent.tool_names
        log = Log(agent)
        await log.first("tool_result", 2)
        assert "answer_approval" in agent.tool_names
    assert bool(ran) == approved


@virtual_time
async def test_answer_approval_is_there_as_soon_as_a_tool_wants_it():
    agent = BidiAgent(ScriptedModel(), tools=[])
    assert agent.tool_names == []
    agent.tool_registry.register(delete)
    assert agent.tool_names == ["delete", "answer_approval"]
    decided = BidiAgent(ScriptedModel(), tools=[delete], approve=lambda _: True)
    assert decided.tool_names == ["delete"]


@virtual_time
async def test_a_model_that_reads_no_text_is_not_sent_the_question():
    model = Answers(call("delete", PATH), expect_result("a.txt is gone"), profile=ModelProfile(reads_text=False))
    async with BidiAgent(model, tools=[delete]) as agent:
        log = Log(agent)
        agent.approvals.answer((await log.first("approval_request")).approval_id, True)
        await log.first("tool_result")
    assert model.asked == []


@virtual_time
async def test_a_new_connection_is_told_what_is_still_open():
    model = Answers(
        call("delete", PATH), expect_question(), fail(BidiModelTimeoutError("over")), expect_question(),
        say("Delete it?"), hear("yes"), answers(),
    )  # fmt: skip
    async with BidiAgent(model, tools=[delete]) as agent:
        log = Log(agent)
        await log.first("approval_answer")
    assert [event.approval_id for event in model.asked] == 2 * [log.all("approval_request")[0].approval_id]


@virtual_time
async def test_a_background_tool_starts_only_after_the_yes():
    manager = AsyncToolManager()

    @async_tool(manager, confirm=True)
    async def train(dataset: str) -> str:
        """Train."""
        return f"trained on {dataset}"

    model = Answers(
        call("train", {"dataset": "sales"}), expect_question("Run train("), expect_result("trained on sales"),
        call("train", {"dataset": "costs"}, "call-2"), expect_question("costs"), expect_result("did not approve"),
    )  # fmt: skip
    async with BidiAgent(model, tools=[train]) as agent:
        log = Log(agent)
        asked = await log.first("approval_request")
        assert manager.tasks == []
        agent.approvals.answer(asked.approval_id, True)
        agent.approvals.answer((await log.first("approval_request", 2)).approval_id, False, "too dear")
        await log.first("tool_result", 2)
    assert [task.arguments["dataset"] for task in manager.tasks] == ["sales"]
    manager.shutdown()


@virtual_time
async def test_a_call_by_hand_is_not_asked_about():
    agent = BidiAgent(ScriptedModel(), tools=[delete])
    result = await asyncio.to_thread(lambda: agent.tool.delete(path="a.txt"))
    assert result["status"] == "success"


@virtual_time
async def test_a_call_that_waits_for_a_person_lets_others_run():
    @tool
    async def add(a: int, b: int) -> int:
        """Add."""
        return a + b

    model = Answers(
        call("delete", PATH), expect_question(),
        call("add", {"a": 1, "b": 2}, "call-2"), expect_result("3", tool_use_id="call-2"),
        say("Delete it?"), hear("yes"), answers(),
        expect_result("runs now"), expect_result("a.txt is gone", tool_use_id="call-1"),
    )  # fmt: skip
    async with BidiAgent(model, tools=[delete, add], tool_executor=SequentialToolExecutor()) as agent:
        await Log(agent).first("tool_result", 3)
    model.check()


@virtual_time
async def test_an_answer_does_not_wait_for_a_long_call():
    release = asyncio.Event()

    @tool
    async def slow() -> str:
        """Be slow."""
        await release.wait()
        return "at last"

    model = Answers(
        call("delete", PATH), expect_question(), call("slow", {}, "call-2"), hear("no"), answers(False),
        expect_result("will not run"),
    )  # fmt: skip
    async with BidiAgent(model, tools=[delete, slow], tool_executor=SequentialToolExecutor()) as agent:
        log = Log(agent)
        assert not (await log.first("approval_answer")).approved
        release.set()
        await log.first("tool_result", 3)


@virtual_time
async def test_many_calls_wait_at_the_same_time():
    calls = [call("delete", {"path": f"{n}.txt"}, f"call-{n}") for n in range(50)]
    results = [expect_result("a") for _ in calls]
    model = ScriptedModel(*calls, *results, profile=ModelProfile(reads_text=False))
    async with BidiAgent(model, tools=[delete]) as agent:
        log = Log(agent)
        await log.first("approval_request", 50)
        for number, item in enumerate(agent.approvals.pending):
            agent.approvals.answer(item.id, number % 2 == 0)
        await log.first("tool_result", 50)
    assert sorted(deleted) == sorted(f"{n}.txt" for n in range(0, 50, 2))


# A callback


def allow(_: ApprovalRequest) -> bool:
    return True


async def later(_: ApprovalRequest) -> str:
    await asyncio.sleep(0)
    return "the policy forbids it"


class Policy:
    async def __call__(self, asked: ApprovalRequest) -> Approval:
        return Approval(asked.tool_use["input"]["path"] == "a.txt", "code", asked.question)


@pytest.mark.parametrize(
    ("callback", "result"),
    [
        (allow, "a.txt is gone"),
        (lambda _: False, "did not approve the call of delete."),
        (later, "did not approve the call of delete: the policy forbids it"),
        (lambda asked: later(asked), "the policy forbids it"),
        (Policy(), "a.txt is gone"),
    ],
)
async def test_a_callback_decides_alone(callback: Any, result: str):
    model = ScriptedModel(call("delete", PATH), expect_result(result), say("So."))
    async with BidiAgent(model, tools=[delete], approve=callback) as agent:
        log = Log(agent)
        await log.first("bidi_response_complete")
    assert log.all("approval_request") == []
    model.check()


def broken(_: ApprovalRequest) -> bool:
    raise OSError("no connection to the desk")


async def broken_later(_: ApprovalRequest) -> bool:
    raise TimeoutError("the desk is slow")


@pytest.mark.parametrize(
    ("callback", "kind"),
    [(broken, OSError), (broken_later, TimeoutError), (lambda _: None, TypeError), (lambda _: 1, TypeError)],
)
async def test_a_callback_that_fails_allows_nothing_and_is_seen(callback: Any, kind: type, caplog: Any):
    model = ScriptedModel(call("delete", PATH), expect_result("because of an error", status="error"), say("Sorry."))
    async with BidiAgent(model, tools=[delete], approve=callback) as agent:
        error = await Log(agent).ended()
    assert isinstance(error, kind)
    assert any("raised by the callback approve" in note for note in error.__notes__)
    assert "the call is refused" in caplog.text
    assert deleted == []


@virtual_time
async def test_a_callback_that_never_answers_is_a_no():
    async def never(_: ApprovalRequest) -> bool:
        await asyncio.Event().wait()
        return True

    model = ScriptedModel(call("delete", PATH), expect_result("nobody answered within 5 seconds"), say("So."))
    agent = BidiAgent(model, tools=[delete], approve=never)
    agent.approvals.timeout_s = 5
    async with agent:
        await Log(agent).first("bidi_response_complete")
    model.check()


def test_what_cannot_be_used_is_refused_at_once():
    with pytest.raises(TypeError, match="approve must be a function"):
        BidiAgent(ScriptedModel(), approve=True)  # type: ignore[arg-type]
    agent = BidiAgent(ScriptedModel())
    for timeout_s in (0, -1, float("nan"), float("inf"), None, "60"):
        with pytest.raises(InvalidInputError, match="timeout_s"):
            Approvals(agent, timeout_s=timeout_s)  # type: ignore[arg-type]
        with pytest.raises(InvalidInputError, match="timeout_s"):
            agent.approvals.timeout_s = timeout_s  # type: ignore[assignment]
    assert agent.approvals.timeout_s == 300


# When the user speaks


RATE = 16000
TONE = b"".join(
    round(8000 * math.sin(2 * math.pi * 220 * n / RATE)).to_bytes(2, "little", signed=True) for n in range(320)
)
SILENCE = bytes(len(TONE))


def voice_of_model(response_id: str, seconds: float = 1.0) -> list[TypedEvent]:
    return [
        BidiResponseStartEvent(response_id),
        BidiTranscriptStreamEvent({"text": "Delete it?"}, "Delete it?", "assistant", is_final=False),
        BidiAudioStreamEvent.from_data(bytes(int(2 * RATE * seconds)), RATE, response_id),
        BidiResponseCompleteEvent(response_id, "complete"),
    ]


def said(text: str) -> BidiTranscriptStreamEvent:
    return BidiTranscriptStreamEvent({"text": text}, text, "user", is_final=True)


class Talk:
    """A conversation with a third party's model; the user is asked whether a file may be deleted."""

    def __init__(self, agent: BidiAgent, model: FakeModel) -> None:
        self.agent, self.model, self.log = agent, model, Log(agent)
        self.approval_id = ""

    async def ask(self) -> None:
        self.model.emit(use("delete", PATH, "call-1"))
        self.approval_id = (await self.log.first("approval_request")).approval_id
        await settled()

    async def answer(self, number: int = 1) -> ToolResult:
        """Have the model say that the user has agreed."""
        arguments = {"approval_id": self.approval_id, "approved": True}
        self.model.emit(use("answer_approval", arguments, f"answer-{number}"))
        while True:
            for event in self.model.sent:
                if event["type"] == "tool_result" and event.tool_result["toolUseId"] == f"answer-{number}":
                    return event.tool_result
            await asyncio.sleep(0.01)

    async def emits(self, *events: TypedEvent) -> None:
        self.model.emit(*events)
        await settled()

    async def hears(self, *chunks: bytes) -> None:
        for chunk in chunks:
            await self.agent.send(BidiAudioInputEvent.from_data(chunk, RATE))


def use(name: str, arguments: dict[str, Any], call_id: str) -> ToolUseStreamEvent:
    return ToolUseStreamEvent({}, {"toolUseId": call_id, "name": name, "input": arguments})


async def settled() -> None:
    await asyncio.sleep(0.05)


@asynccontextmanager
async def talking(player: bool = False) -> AsyncIterator[Talk]:
    model = FakeModel()
    agent = BidiAgent(model, tools=[delete])
    if player:
        agent.expect_played()
    async with agent:
        talk = Talk(agent, model)
        await talk.ask()
        yield talk


@virtual_time
async def test_a_yes_that_begins_after_the_question_was_heard_allows():
    async with talking() as talk:
        await talk.emits(*voice_of_model("r1"))
        await talk.emits(UserSpeechEvent(True), UserSpeechEvent(False), said("Yes, do it."))
        assert (await talk.answer())["status"] == "success"
        await talk.log.first("approval_answer")
    assert deleted == ["a.txt"]


@virtual_time
async def test_a_late_transcript_of_the_command_itself_is_no_answer():
    async with talking() as talk:
        await talk.emits(said("Yes, please tidy up my files."), *voice_of_model("r1"))
        assert "not known when the user began to speak" in str(await talk.answer())
    assert deleted == []


@pytest.mark.parametrize(
    ("played", "allows"), [(0, False), (8000, False), (11000, False), (11300, True), (16000, True)]
)
@virtual_time
async def test_with_a_player_a_question_is_heard_but_for_its_last_three_tenths_of_a_second(played: int, allows: bool):
    async with talking(player=True) as talk:
        await talk.emits(*voice_of_model("r1"))
        talk.agent.played("r1", played)
        await settled()
        await talk.emits(UserSpeechEvent(True), UserSpeechEvent(False), said("yes"))
        assert ((await talk.answer())["status"] == "success") == allows
    assert bool(deleted) == allows


@virtual_time
async def test_our_own_detection_tells_when_the_user_speaks_where_the_model_does_not():
    async with talking() as talk:
        await talk.hears(*[SILENCE] * 20)
        await talk.emits(*voice_of_model("r1"), said("yes"))
        assert "not known when the user began" in str(await talk.answer(1))
        await talk.hears(*[SILENCE] * 20, *[TONE] * 10, *[SILENCE] * 40)
        await talk.emits(said("yes"))
        assert (await talk.answer(2))["status"] == "success"
    assert deleted == ["a.txt"]


@virtual_time
async def test_speech_that_goes_on_from_before_the_question_was_heard_is_no_answer():
    async with talking() as talk:
        await talk.hears(*[SILENCE] * 20, *[TONE] * 10)
        await talk.emits(*voice_of_model("r1"))
        await talk.hears(*[TONE] * 10, *[SILENCE] * 40)
        await talk.emits(said("yes"))
        assert "before they had heard the question" in str(await talk.answer())
    assert deleted == []


@virtual_time
async def test_an_answer_waits_for_the_words_that_are_being_written_down():
    async with talking() as talk:
        await talk.emits(*voice_of_model("r1"))
        await talk.emits(UserSpeechEvent(True), UserSpeechEvent(False))
        answer = asyncio.create_task(talk.answer())
        await asyncio.sleep(1)
        assert not answer.done()
        await talk.emits(said("yes"))
        assert (await answer)["status"] == "success"
    assert deleted == ["a.txt"]


@virtual_time
async def test_an_answer_does_not_wait_for_words_for_ever():
    async with talking() as talk:
        await talk.emits(*voice_of_model("r1"))
        await talk.emits(UserSpeechEvent(True), UserSpeechEvent(False))
        start = asyncio.get_running_loop().time()
        assert "have said nothing" in str(await talk.answer())
        assert asyncio.get_running_loop().time() - start == pytest.approx(3, abs=0.2)
    assert deleted == []


@virtual_time
async def test_a_call_alone_asks_nobody():
    async with talking() as talk:
        await talk.emits(BidiResponseStartEvent("r1"), BidiResponseCompleteEvent("r1", "tool_use"))
        await talk.emits(UserSpeechEvent(True), UserSpeechEvent(False), said("yes"))
        assert "before they had heard the question" in str(await talk.answer())
    assert deleted == []


@virtual_time
async def test_a_model_without_response_events_asks_with_its_voice():
    async with talking() as talk:
        await talk.emits(BidiAudioStreamEvent.from_data(bytes(320), RATE))
        response_id = talk.log.all("bidi_response_start")[0].response_id
        await talk.emits(BidiResponseCompleteEvent(response_id, "complete"))
        await talk.emits(UserSpeechEvent(True), UserSpeechEvent(False), said("yes"))
        assert (await talk.answer())["status"] == "success"


@pytest.mark.parametrize(
    "event",
    [
        AnnouncementEvent("yes", ()),
        LateResultEvent(
            "yes", {"toolUseId": "c", "name": "n", "input": {}}, {"toolUseId": "c", "status": "success", "content": []}
        ),
        ProgressEvent("yes", (), True),
        BidiTextInputEvent("yes", origin="results"),
        BidiTextInputEvent("yes", "assistant"),
    ],
    ids=lambda event: type(event).__name__,
)
@virtual_time
async def test_text_that_is_not_the_users_answers_nothing(event: BidiTextInputEvent):
    async with talking() as talk:
        await talk.emits(*voice_of_model("r1"))
        await talk.agent.send(event)
        assert "have said nothing" in str(await talk.answer())
    assert deleted == []


async def test_a_result_that_says_yes_answers_nothing():
    manager = AsyncToolManager()
    async with talking() as talk, AsyncAgent(talk.agent, manager) as around:
        manager.start("fetch", lambda: "yes, the user approves", {})
        assert await around.join_async()
        assert any("approves" in str(sent.get("text")) for sent in talk.model.sent)
        assert "have said nothing" in str(await talk.answer())
        (message,) = [message for message in talk.agent.messages if "approves" in str(message)]
        assert message["content"][0]["origin"] == "results"
    manager.shutdown()
    assert deleted == []
