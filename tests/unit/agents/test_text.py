"""Agent: a prompt, the model's calls, the tools' calls, an answer; and a history that stays valid."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from backchannel import AsyncAgent, AsyncToolManager, FileSessionManager, async_tool, tool
from backchannel.agents import Agent, AgentResult, WindowConversationManager, load_snapshot, take_snapshot
from backchannel.errors import AgentStateError, InvalidInputError, ModelError, ScriptError
from backchannel.hooks import AfterModelCallEvent, AfterToolCallEvent, BeforeModelCallEvent, BeforeToolCallEvent
from backchannel.messages import validate_messages
from backchannel.models.scripted_text import Answer, ScriptedTextModel
from backchannel.tasks.runners.coroutines import background_loop
from backchannel.tools import SequentialToolExecutor

WAIT = 30


@tool
def add(one: int, two: int) -> int:
    """Add."""
    return one + two


@tool
def fail() -> None:
    """Fail."""
    raise ValueError("no such thing")


class Hooks:
    def __init__(self, **callbacks: object) -> None:
        self._callbacks = callbacks

    def register_hooks(self, registry, **_):
        events = {"before": BeforeModelCallEvent, "after": AfterModelCallEvent,
                  "before_tool": BeforeToolCallEvent, "after_tool": AfterToolCallEvent}  # fmt: skip
        for name, callback in self._callbacks.items():
            registry.add_callback(events[name], callback)


def roles(agent: Agent) -> str:
    return " ".join(
        f"{message['role'][0]}:{'+'.join(kind for block in message['content'] for kind in block)}"
        for message in agent.messages
    )


def test_a_prompt_is_answered_in_plain_code():
    model = ScriptedTextModel(Answer("Hello to you.", expects="hello"))
    agent = Agent(model, system_prompt="Be kind.")
    result = agent("hello")
    assert str(result) == "Hello to you."
    assert result.stop_reason == "end_turn"
    assert roles(agent) == "u:text a:text"
    assert model.requests[0][2] == "Be kind."
    model.check()


async def test_tools_run_until_there_is_an_answer():
    model = ScriptedTextModel(
        Answer("Let me see.", calls=[("add", {"one": 1, "two": 2}), ("fail", {})]),
        Answer(calls=[("add", {"one": 3, "two": 4})], expects="no such thing"),
        Answer("It is 7.", expects='"7"'),
    )
    agent = Agent(model, tools=[add, fail])
    result = await agent.invoke_async("Add all.")
    assert (result.text, result.model_calls) == ("It is 7.", 3)
    assert roles(agent) == "u:text a:text+toolUse+toolUse u:toolResult+toolResult a:toolUse u:toolResult a:text"
    assert [spec["name"] for spec in model.requests[0][1]] == ["add", "fail"]
    assert validate_messages(agent.messages) == []
    model.check()


async def test_the_stream_has_pieces_calls_results_and_last_the_result():
    model = ScriptedTextModel(Answer("One.\nTwo.", calls=[("add", {"one": 1, "two": 2})]), "Three.")
    agent = Agent(model, tools=[add])
    events = [event async for event in agent.stream_async("go")]
    assert isinstance(events[-1], AgentResult)
    kinds = [event.get("type", "message") for event in events[:-1]]
    assert kinds == [
        "bidi_response_start", "bidi_transcript_stream", "bidi_transcript_stream", "bidi_transcript_stream",
        "tool_use_stream", "bidi_response_complete", "tool_result", "message",
        "bidi_response_start", "bidi_transcript_stream", "bidi_transcript_stream", "bidi_response_complete",
    ]  # fmt: skip
    assert [event["text"] for event in events[1:4]] == ["One.\n", "Two.", "One.\nTwo."]


async def test_a_call_that_cannot_be_run_is_answered_and_not_run():
    ran = []

    @tool
    def note(text: str = "nothing") -> None:
        """Note."""
        ran.append(text)

    model = ScriptedTextModel(
        Answer(calls=[("note", '{"text": '), ("note", "[1]"), ("gone", {})]),
        Answer(calls=[("note", {"text": "whole"}), ("note", {"text": "half"})], stop_reason="max_tokens"),
        Answer("Sorry.", expects="cut off"),
    )
    agent = Agent(model, tools=[note])
    assert (await agent.invoke_async("go")).text == "Sorry."
    texts = [block["toolResult"]["content"][0]["text"] for block in agent.messages[2]["content"]]
    assert "not JSON" in texts[0]
    assert "not a JSON object" in texts[1]
    assert "Unknown tool: gone" in texts[2]
    assert ran == ["whole"]
    assert validate_messages(agent.messages) == []


async def test_a_model_that_fails_leaves_the_history_as_it_was_and_the_prompt_can_be_sent_again():
    model = ScriptedTextModel("Hi.", Answer("I thi", error=ModelError("the line is down")), "Now.")
    agent = Agent(model)
    await agent.invoke_async("hello")
    before = list(agent.messages)
    with pytest.raises(ModelError, match="line is down"):
        await agent.invoke_async("go on")
    assert agent.messages == before
    assert (await agent.invoke_async("go on")).text == "Now."
    assert not agent.started


async def test_a_model_that_fails_after_tools_keeps_their_results():
    model = ScriptedTextModel(
        Answer(calls=[("add", {"one": 1, "two": 2})]), Answer(error=ModelError("down")), Answer("3.", expects="and?")
    )
    agent = Agent(model, tools=[add])
    with pytest.raises(ModelError, match="down"):
        await agent.invoke_async("add")
    assert roles(agent) == "u:text a:toolUse u:toolResult"
    assert (await agent.invoke_async("and?")).text == "3."
    given = model.requests[-1][0]
    assert [message["role"] for message in given] == ["user", "assistant", "user"]


async def test_an_invocation_that_is_cancelled_in_a_tool_leaves_a_valid_history():
    begun = asyncio.Event()

    @tool
    async def wait() -> None:
        """Wait."""
        begun.set()
        await asyncio.Event().wait()

    agent = Agent(ScriptedTextModel(Answer(calls=[("wait", {}), ("add", {"one": 1, "two": 1})]), "Well."), [wait, add])
    work = asyncio.create_task(agent.invoke_async("go"))
    await begun.wait()
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    assert roles(agent) == "u:text a:toolUse+toolUse u:toolResult+toolResult"
    assert validate_messages(agent.messages) == []
    assert (await agent.invoke_async("again")).text == "Well."


async def test_a_reader_who_stops_in_the_middle_leaves_a_valid_history():
    agent = Agent(ScriptedTextModel(Answer("A.\nB."), "C."))
    events = agent.stream_async("go")
    async for event in events:
        if event.get("type") == "bidi_transcript_stream":
            break
    await events.aclose()
    assert agent.messages == []
    assert (await agent.invoke_async("again")).text == "C."


async def test_hooks_have_a_model_called_again_and_see_what_it_said():
    seen = []

    def after(event: AfterModelCallEvent) -> None:
        seen.append((event.exception and str(event.exception), event.stop_response and event.stop_response.stop_reason))
        event.retry = len(seen) < 3

    model = ScriptedTextModel(Answer(error=ModelError("throttled")), "No.", "Yes.")
    agent = Agent(model, hooks=[Hooks(after=after)])
    assert (await agent.invoke_async("well?")).text == "Yes."
    assert seen == [("throttled", None), (None, "end_turn"), (None, "end_turn")]
    assert roles(agent) == "u:text a:text"


async def test_retries_of_a_model_have_an_end():
    def after(event: AfterModelCallEvent) -> None:
        event.retry = True

    model = ScriptedTextModel(*[Answer(error=ModelError("down"))] * 11)
    agent = Agent(model, hooks=[Hooks(after=after)])
    with pytest.raises(ModelError, match="down") as caught:
        await agent.invoke_async("well?")
    assert "limit" in "".join(caught.value.__notes__)


async def test_hooks_of_tools_change_cancel_and_repeat_a_call():
    def before(event: BeforeToolCallEvent) -> None:
        if event.tool_use["name"] == "fail":
            event.cancel_tool = "not today"

    def after(event: AfterToolCallEvent) -> None:
        if event.cancel_message is None:
            event.result = {**event.result, "content": [{"text": "seven"}]}

    model = ScriptedTextModel(Answer(calls=[("add", {"one": 1, "two": 2}), ("fail", {})]), Answer("x", expects="seven"))
    agent = Agent(model, [add, fail], hooks=[Hooks(before_tool=before, after_tool=after)])
    await agent.invoke_async("go")
    assert "not today" in str(agent.messages[2])


async def test_a_hook_that_raises_ends_the_invocation_with_its_error():
    def before(_: BeforeToolCallEvent) -> None:
        raise ZeroDivisionError("a fault")

    agent = Agent(
        ScriptedTextModel(Answer(calls=[("add", {"one": 1, "two": 2})])), [add], hooks=[Hooks(before_tool=before)]
    )
    with pytest.raises(ZeroDivisionError, match="a fault"):
        await agent.invoke_async("go")
    assert validate_messages(agent.messages) == []


async def test_tools_run_together_or_one_by_one_as_the_executor_says():
    at_once, most = 0, []

    @tool
    async def work() -> None:
        """Work."""
        nonlocal at_once
        at_once += 1
        most.append(at_once)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        at_once -= 1

    for executor, expected in ((None, 3), (SequentialToolExecutor(), 1)):
        most.clear()
        agent = Agent(ScriptedTextModel(Answer(calls=[("work", {})] * 3), "Done."), [work], tool_executor=executor)
        await agent.invoke_async("go")
        assert max(most) == expected


async def test_invocations_take_turns_from_wherever_they_come():
    model = ScriptedTextModel(
        *(Answer(calls=[("add", {"one": 1, "two": 2})]) if n % 2 == 0 else "Done." for n in range(20))
    )
    agent = Agent(model, [add])
    here = [agent.invoke_async(f"here {n}") for n in range(5)]
    there = [asyncio.to_thread(agent, f"there {n}") for n in range(5)]
    results = await asyncio.gather(*here, *there)
    assert all(result.text == "Done." for result in results)
    assert roles(agent) == " ".join(["u:text a:toolUse u:toolResult a:text"] * 10)
    assert validate_messages(agent.messages) == []


async def test_who_stops_waiting_for_a_turn_holds_nobody_up():
    release = asyncio.Event()

    @tool
    async def wait() -> None:
        """Wait."""
        await release.wait()

    agent = Agent(ScriptedTextModel(Answer(calls=[("wait", {})]), "One.", "Three."), [wait])
    one = asyncio.create_task(agent.invoke_async("one"))
    two = asyncio.create_task(agent.invoke_async("two"))
    three = asyncio.create_task(agent.invoke_async("three"))
    await asyncio.sleep(0)
    two.cancel()
    release.set()
    assert (await one).text == "One."
    assert (await three).text == "Three."
    assert two.cancelled()


async def test_a_tool_that_waits_for_its_own_agent_is_told_that_this_cannot_be():
    @tool
    async def ask() -> str:
        """Ask."""
        return str(await agent.invoke_async("inner"))

    agent = Agent(ScriptedTextModel(Answer(calls=[("ask", {})]), Answer("Oh.", expects="cannot be invoked")), [ask])
    assert (await agent.invoke_async("outer")).text == "Oh."


async def test_blocking_the_loop_that_the_agent_needs_is_refused():
    async def block() -> None:
        Agent(ScriptedTextModel("Hi."))("hello")

    with pytest.raises(AgentStateError, match="event loop that it runs on"):
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(block(), background_loop()))


async def test_ids_that_a_server_counts_anew_become_unique():
    class Recounting(ScriptedTextModel):
        async def stream(self, *args, **kwargs):
            self._calls = 0
            async for event in super().stream(*args, **kwargs):
                yield event

    calls = Answer(calls=[("add", {"one": 1, "two": 2}), ("add", "{")])
    agent = Agent(Recounting(calls, calls, "Done."), [add])
    await agent.invoke_async("go")
    assert validate_messages(agent.messages) == []
    assert "not JSON" in str(agent.messages[4])


async def test_a_model_that_never_stops_calling_tools_is_stopped():
    model = ScriptedTextModel(*[Answer(calls=[("add", {"one": 1, "two": 2})])] * 5)
    agent = Agent(model, [add], max_model_calls=5)
    with pytest.raises(ModelError, match="5 times"):
        await agent.invoke_async("go")
    assert validate_messages(agent.messages) == []


async def test_a_model_that_says_nothing_leaves_no_empty_message():
    agent = Agent(ScriptedTextModel(Answer("  "), "Yes."))
    assert (await agent.invoke_async("hello")).text == ""
    assert roles(agent) == "u:text"
    assert (await agent.invoke_async("hello?")).text == "Yes."


async def test_sessions_go_on_in_another_agent(tmp_path):
    first = Agent(ScriptedTextModel("Hello, Ada."), session_manager=FileSessionManager("s", tmp_path), state={"n": 1})
    await first.invoke_async("I am Ada.")
    second = Agent(
        ScriptedTextModel(Answer(error=ModelError("x")), "Ada."), session_manager=FileSessionManager("s", tmp_path)
    )
    assert second.messages == first.messages
    assert second.state.get("n") == 1
    with pytest.raises(ModelError):
        await second.invoke_async("Who am I?")
    third = Agent(ScriptedTextModel("Ada."), session_manager=FileSessionManager("s", tmp_path))
    assert third.messages == first.messages


async def test_a_conversation_manager_keeps_the_history_short():
    model = ScriptedTextModel(*["Yes."] * 20)
    agent = Agent(model, conversation_manager=WindowConversationManager(max_messages=6))
    for number in range(20):
        await agent.invoke_async(f"prompt {number}")
    assert len(agent.messages) <= 8
    assert "prompt 19" in str(agent.messages)


async def test_a_call_that_wants_approval_is_asked_about():
    @tool(confirm="Delete {path}?")
    def delete(path: str) -> str:
        """Delete."""
        return f"deleted {path}"

    asked = []
    for approve, expected in ((lambda r: asked.append(r.question) or True, "deleted x"), (None, "nobody can be asked")):
        model = ScriptedTextModel(Answer(calls=[("delete", {"path": "x"})]), Answer("Well.", expects=expected))
        await Agent(model, [delete], approve=approve).invoke_async("go")
    assert asked == ["Delete x?"]


def test_tools_can_be_called_by_hand():
    agent = Agent(ScriptedTextModel(), [add])
    assert agent.tool.add(one=1, two=2)["content"] == [{"text": "3"}]
    assert len(agent.messages) == 4


def test_hooks_see_calls_by_hand_too():
    seen = []
    hooks = Hooks(
        before_tool=lambda event: seen.append(event.tool_use["name"]), after_tool=lambda _: seen.append("after")
    )
    Agent(ScriptedTextModel(), [add], hooks=[hooks]).tool.add(one=1, two=2)
    assert seen == ["add", "after"]


def test_a_snapshot_of_one_agent_can_be_loaded_into_another():
    first = Agent(ScriptedTextModel("Hello, Ada."), state={"n": 1})
    first("I am Ada.")
    second = Agent(ScriptedTextModel("You are Ada."))
    load_snapshot(second, take_snapshot(first))
    assert second.messages == first.messages
    assert second.state.get("n") == 1
    assert str(second("Who am I?")) == "You are Ada."


def test_a_model_written_for_strands_answers():
    models = pytest.importorskip("strands.models")

    class Canned(models.Model):
        def update_config(self, **_):
            """Take nothing."""

        def get_config(self):
            return {}

        async def structured_output(self, *_, **__):
            yield {}

        async def stream(self, messages, tool_specs=None, system_prompt=None, **_):
            yield {"messageStart": {"role": "assistant"}}
            yield {"contentBlockStart": {"start": {}}}
            yield {
                "contentBlockDelta": {"delta": {"text": f"{len(messages)}, {tool_specs[0]['name']}, {system_prompt}"}}
            }
            yield {"contentBlockStop": {}}
            yield {"messageStop": {"stopReason": "end_turn"}}

    assert str(Agent(Canned(), [add], "Be brief.")("hello")) == "1, add, Be brief."


@pytest.mark.parametrize("prompt", ["", " ", 3, [1], [], {"text": "x"}, [{"text": 3}]])
def test_a_prompt_that_cannot_be_used_changes_nothing(prompt):
    agent = Agent(ScriptedTextModel())
    with pytest.raises(InvalidInputError):
        agent(prompt)
    assert agent.messages == []


def test_no_prompt_goes_on_from_the_history():
    with pytest.raises(InvalidInputError, match="nothing to answer"):
        Agent(ScriptedTextModel())()
    agent = Agent(ScriptedTextModel("Yes."), messages=[{"role": "user", "content": [{"text": "Well?"}]}])
    assert str(agent()) == "Yes."


def test_what_is_no_model_is_said_so():
    for model in (3, None, "", ScriptedTextModel, object()):
        with pytest.raises(TypeError, match="is not a text model"):
            Agent(model)  # type: ignore[arg-type]
    with pytest.warns(UserWarning, match="does not know colour"):
        Agent(ScriptedTextModel(), colour="red")
    with pytest.raises(InvalidInputError, match="max_model_calls"):
        Agent(ScriptedTextModel(), max_model_calls=0)


def test_a_script_is_strict_in_both_directions():
    model = ScriptedTextModel(Answer("a", expects="alpha"), "b")
    agent = Agent(model)
    with pytest.raises(ScriptError, match="answer 1 expects 'alpha'"):
        agent("beta")
    agent("alpha")
    with pytest.raises(ScriptError, match="1 of 2 answers"):
        model.check()
    agent("z")
    with pytest.raises(ScriptError, match="call 3"):
        agent("more")


def test_the_result_of_a_background_task_is_told_to_the_agent_that_asked_for_it():
    release = threading.Event()
    with AsyncToolManager() as manager:

        @async_tool(manager, grace_s=0)
        def train(data: str) -> str:
            """Train."""
            assert release.wait(WAIT)
            return f"trained on {data}"

        @async_tool(manager, grace_s=0)
        async def look(data: str) -> str:
            """Look."""
            await asyncio.to_thread(release.wait, WAIT)
            return f"looked at {data}"

        model = ScriptedTextModel(
            Answer(calls=[("train", {"data": "sales"}), ("look", {"data": "größe 測試"})]),
            Answer("Both run.", expects="in the background"),
            Answer("All is done.", expects="trained on sales"),
        )
        agent = Agent(model, [train, look])
        assert "background_tasks" in agent.tool_names
        replies: list[str] = []
        talk = AsyncAgent(agent, manager, on_reply=lambda result: replies.append(result.text), gather_s=WAIT)
        with talk:
            assert talk.send("Train and look.").result(WAIT).text == "Both run."
            release.set()
            assert talk.join(WAIT)
        assert replies == ["All is done."]
        assert str(agent.messages).count("looked at größe 測試") == 1
        assert validate_messages(agent.messages) == []
        model.check()


def gated(manager: AsyncToolManager, **options: Any) -> tuple[Any, threading.Event]:
    release = threading.Event()

    @async_tool(manager, grace_s=0, **options)
    def train(data: str) -> list[int]:
        """Train."""
        assert release.wait(WAIT)
        return list(range(100_000))

    return train, release


def texts(agent: Agent) -> list[str]:
    return [block["text"] for message in agent.messages for block in message["content"] if "text" in block]


def test_a_result_that_nobody_else_tells_goes_with_the_next_prompt_and_shrinks_to_a_line():
    with AsyncToolManager() as manager:
        train, release = gated(manager)
        model = ScriptedTextModel(
            Answer(calls=[("train", {"data": "sales"})]),
            "It runs.",
            Answer("It is done.", expects="This is not from the user: it is the result"),
            "You are welcome.",
        )
        agent = Agent(model, [train])
        assert str(agent("Train on sales.")) == "It runs."
        (task,) = manager.tasks
        release.set()
        assert task.wait(WAIT)
        assert not task.delivered
        assert str(agent("And?")) == "It is done."
        assert task.delivered
        assert str(agent("Thanks.")) == "You are welcome."
        line = next(text for text in texts(agent) if task.id in text and text.startswith("[Background task"))
        assert len(line) < 300
        assert sum("This is not from the user" in text for text in texts(agent)) == 0
        assert validate_messages(agent.messages) == []
        model.check()


def test_a_result_that_comes_while_the_model_works_goes_with_the_results_of_its_calls():
    with AsyncToolManager() as manager:
        train, release = gated(manager)

        @tool
        def wait() -> str:
            """Wait."""
            release.set()
            assert manager.tasks[0].wait(WAIT)
            return "waited"

        model = ScriptedTextModel(
            Answer(calls=[("train", {"data": "sales"})]),
            Answer(calls=[("wait", {})]),
            Answer(calls=[("background_tasks", {})], expects="look_at_result shows more of it"),
            Answer("Done.", expects="Task 1, train sales, is done after"),
        )
        agent = Agent(model, [train, wait])
        assert str(agent("Train and wait.")) == "Done."
        assert manager.tasks[0].delivered
        assert "comes next" not in str(agent.messages)
        assert validate_messages(agent.messages) == []
        model.check()


def test_a_result_stays_owed_when_the_model_fails():
    with AsyncToolManager() as manager:
        train, release = gated(manager)
        model = ScriptedTextModel(
            Answer(calls=[("train", {"data": "sales"})]), "Runs.", Answer(error=ModelError("no")), Answer("Done.")
        )
        agent = Agent(model, [train])
        agent("Train.")
        release.set()
        assert manager.tasks[0].wait(WAIT)
        with pytest.raises(ModelError):
            agent("And?")
        assert not manager.tasks[0].delivered
        assert str(agent("And?")) == "Done."
        assert manager.tasks[0].delivered
        assert sum(text.startswith("[Background task") for text in texts(agent)) == 1


def test_results_of_other_agents_and_of_tools_that_never_announce_are_not_told():
    with AsyncToolManager() as manager:
        train, release = gated(manager)
        release.set()
        model = ScriptedTextModel("Hello.")
        agent = Agent(model, [train])
        for options in ({"owner": object()}, {"owner": None}, {"owner": agent, "announce": "never"}):
            assert manager.start("train", train.fn, {"data": "sales"}, **options).wait(WAIT)
        assert str(agent("Hi.")) == "Hello."
        assert texts(agent) == ["Hi.", "Hello."]


def test_what_an_async_agent_tells_is_not_told_twice_and_shrinks_to_a_line():
    with AsyncToolManager() as manager:
        train, release = gated(manager)
        model = ScriptedTextModel(
            Answer(calls=[("train", {"data": "sales"})]),
            "Runs.",
            Answer("Done.", expects="A background task has ended"),
            "Bye.",
        )
        agent = Agent(model, [train])
        with AsyncAgent(agent, manager) as talk:
            talk.send("Train.").result(WAIT)
            release.set()
            assert talk.join(WAIT)
            assert talk.send("Bye.").result(WAIT).text == "Bye."
        assert sum("This is not from the user" in text for text in texts(agent)) == 0
        assert sum(text.startswith("[Background task") for text in texts(agent)) == 1
        model.check()


def test_a_session_goes_on_with_its_acknowledgements_and_lines_of_results(tmp_path):
    with AsyncToolManager() as manager:
        train, release = gated(manager)
        first = Agent(
            ScriptedTextModel(Answer(calls=[("train", {"data": "sales"})]), "Runs.", "Done."),
            [train],
            session_manager=FileSessionManager("s", tmp_path),
        )
        first("Train.")
        release.set()
        assert manager.tasks[0].wait(WAIT)
        first("And?")
        model = ScriptedTextModel("Hello again.")
        second = Agent(model, [train], session_manager=FileSessionManager("s", tmp_path))
        assert second.messages == first.messages
        assert str(second("Hi.")) == "Hello again."
        assert "It runs in the background as task 1" in str(model.requests[0])
        assert validate_messages(second.messages) == []


def test_after_a_restart_the_next_prompt_brings_what_the_ledger_kept(tmp_path):
    release = threading.Event()

    def work(data: str) -> str:
        """Work."""
        assert release.wait(WAIT)
        return f"trained on {data}"

    def agent(manager: AsyncToolManager, model: ScriptedTextModel) -> Agent:
        train = async_tool(manager, grace_s=0, name="train")(work)
        return Agent(model, [train], session_manager=FileSessionManager("s", tmp_path))

    with AsyncToolManager(ledger=tmp_path / "tasks.jsonl") as manager:
        first = agent(manager, ScriptedTextModel(Answer(calls=[("train", {"data": "sales"})]), "Runs."))
        first("Train.")
        release.set()
        assert manager.tasks[0].wait(WAIT)
    with AsyncToolManager(ledger=tmp_path / "tasks.jsonl") as manager:
        model = ScriptedTextModel(Answer("Done.", expects="trained on sales"), "Bye.")
        second = agent(manager, model)
        assert "It runs in the background as task 1" in str(second.messages)
        assert str(second("And?")) == "Done."
        assert manager.tasks[0].delivered
        assert str(second("Bye.")) == "Bye."
    with AsyncToolManager(ledger=tmp_path / "tasks.jsonl") as manager:
        third = agent(manager, ScriptedTextModel("Hello."))
        assert str(third("Hi.")) == "Hello."
        assert "This is not from the user" not in str(third.messages)


def test_what_the_model_says_of_a_result_before_it_calls_a_tool_is_in_the_answer():
    with AsyncToolManager() as manager:
        train, release = gated(manager)
        model = ScriptedTextModel(
            Answer(calls=[("train", {"data": "sales"})]),
            Answer("Let me see.", calls=[("add", {"one": 1, "two": 2})]),
            "It runs.",
            Answer("Training is done.", calls=[("add", {"one": 1, "two": 2})]),
            Answer("A moment.", calls=[("add", {"one": 3, "two": 4})]),
            "It is seven.",
            "Bye.",
        )
        agent = Agent(model, [train, add])
        assert str(agent("Train.")) == "It runs."
        release.set()
        assert manager.tasks[0].wait(WAIT)
        result = agent("Add.")
        assert str(result) == "Training is done.\nIt is seven."
        assert result.message["content"] == [{"text": "It is seven."}]
        assert str(agent("Bye.")) == "Bye."
