"""Async tools of OpenAI's Responses API: calls stay open while tasks run, and results become their outputs."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from backchannel import AsyncAgent, AsyncTaskResult, AsyncToolManager, FileSessionManager, async_tool, tool
from backchannel.agents import Agent, WindowConversationManager
from backchannel.errors import ModelError
from backchannel.messages import validate_messages
from backchannel.models import OpenAIChatModel, OpenAIResponsesModel
from tests.support.text_servers import ChatServer, Reply, ResponsesServer

pytest.importorskip("openai")

WAIT = 30


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch):
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture
def manager():
    with AsyncToolManager(max_workers=8) as made:
        yield made


@tool
def add(one: int, two: int) -> int:
    """Add two numbers."""
    return one + two


LONG_AGO = [
    {"role": role, "content": [{"text": f"message {number}"}]} for number, role in enumerate(["user", "assistant"] * 4)
]


class Talk:
    """A conversation with a model behind a local server, and a background tool that waits to be let go."""

    def __init__(self, manager: AsyncToolManager, *replies: Reply, async_tools: bool = True, **options: Any) -> None:
        self.server = ResponsesServer(list(replies))
        self.go = threading.Event()
        self.replies: list[str] = []

        @async_tool(manager, grace_s=0)
        def research(topic: str) -> str:
            """Research a topic."""
            assert self.go.wait(WAIT)
            return f"All about {topic}."

        self.tools = [research, add]
        model = OpenAIResponsesModel("m", async_tools=async_tools, base_url=f"{self.server.url}/v1", max_retries=0)
        self.agent = Agent(model, self.tools, **options)
        self.talk = AsyncAgent(self.agent, manager, on_reply=lambda reply: self.replies.append(str(reply)))

    def ask(self, prompt: str) -> str:
        return str(self.talk.send(prompt).result(WAIT))

    def finish(self) -> None:
        """Let the task end, and wait until the model was told."""
        self.go.set()
        assert self.talk.join(WAIT)

    def sent(self, number: int) -> list[dict[str, Any]]:
        return self.server.requests[number]["input"]


@pytest.fixture
def talk(manager):
    made: list[Talk] = []

    def make(*replies: Reply, **options: Any) -> Talk:
        made.append(Talk(manager, *replies, **options))
        return made[-1]

    yield make
    for one in made:
        one.go.set()
        one.talk.close()
        one.server.close()


def call(call_id: str = "call_1", topic: str = "solar power", **more: Any) -> Reply:
    return Reply(calls=((call_id, "research", (f'{{"topic": "{topic}"}}',)),), **more)


def kinds(items: list[dict[str, Any]]) -> list[str]:
    return [item["role"] if item["type"] == "message" else item["type"] for item in items]


def test_only_background_tools_are_declared_as_async(talk):
    one = talk(Reply(text=("Hi.",)))
    one.ask("hello")
    tools = {spec["name"]: spec.get("async", False) for spec in one.server.requests[0]["tools"]}
    assert tools["research"] is True
    assert tools["add"] is False
    assert tools["background_tasks"] is False


def test_by_default_no_tool_is_async_and_calls_are_answered_with_the_acknowledgement(talk):
    one = talk(call(), Reply(text=("Started.",)), Reply(text=("Here it is.",)), async_tools=False)
    assert one.ask("research solar power") == "Started."
    one.finish()
    assert not any("async" in spec for spec in one.server.requests[0]["tools"])
    assert kinds(one.sent(2)) == ["user", "function_call", "function_call_output", "assistant", "user"]
    assert "There is no result yet" in one.sent(1)[-1]["output"]


def test_an_answer_with_a_call_ends_the_turn_and_the_result_is_the_calls_output(talk):
    one = talk(call(text=("Started. ", "Pack water."), calls_first=True), Reply(text=("It shines.",)))
    assert one.ask("research solar power, and what do I pack?") == "Started. Pack water."
    assert len(one.server.requests) == 1
    one.finish()
    assert one.replies == ["It shines."]
    items = one.sent(1)
    assert kinds(items) == ["user", "function_call", "assistant", "function_call_output"]
    assert items[1]["async"] is True
    assert items[3]["call_id"] == "call_1"
    assert "All about solar power." in items[3]["output"]
    assert "There is no result yet" not in str(items)
    assert validate_messages(one.agent.messages) == []


def test_a_call_alone_is_followed_by_an_answer_while_it_is_open(talk):
    one = talk(call(), Reply(text=("Started.",)), Reply(text=("It shines.",)))
    assert one.ask("research solar power") == "Started."
    assert kinds(one.sent(1)) == ["user", "function_call"]
    one.finish()
    assert kinds(one.sent(2)) == ["user", "function_call", "assistant", "function_call_output"]


def test_the_conversation_goes_on_while_a_call_is_open(talk):
    other = Reply(calls=(("call_2", "add", ('{"one": 1, "two": 2}',)),))
    one = talk(call(text=("Started.",)), Reply(text=("Hello.",)), other, Reply(text=("3.",)), Reply(text=("Done.",)))
    assert [one.ask(prompt) for prompt in ("research", "hi", "add")] == ["Started.", "Hello.", "3."]
    one.finish()
    assert kinds(one.sent(4)) == [
        "user", "assistant", "function_call", "user", "assistant", "user", "function_call", "function_call_output",
        "assistant", "function_call_output",
    ]  # fmt: skip
    assert [item.get("async") for item in one.sent(4) if item["type"] == "function_call"] == [True, None]
    assert one.sent(4)[-1]["call_id"] == "call_1"


def test_several_results_at_once_are_the_outputs_of_their_calls(talk):
    calls = tuple((f"call_{number}", "research", (f'{{"topic": "t{number}"}}',)) for number in range(3))
    one = talk(Reply(text=("Started.",), calls=calls), Reply(text=("All there.",)))
    one.ask("research three things")
    one.finish()
    outputs = {item["call_id"]: item["output"] for item in one.sent(1) if item["type"] == "function_call_output"}
    assert sorted(outputs) == ["call_0", "call_1", "call_2"]
    for number in range(3):
        assert f"All about t{number}." in outputs[f"call_{number}"]
        assert outputs[f"call_{number}"].count("All about") == 1
    assert kinds(one.sent(1))[-3:] == ["function_call_output"] * 3


def test_what_is_told_besides_results_of_calls_stays_a_message(talk, manager):
    one = talk(call(text=("Started.",)), Reply(text=("Both there.",)), Reply(text=("The other too.",)))
    one.ask("research")
    together = threading.Barrier(2)
    manager.submit("by_hand", lambda: together.wait() and None)
    one.go.set()
    together.wait()
    assert one.talk.join(WAIT)
    told = [item for number in range(1, len(one.server.requests)) for item in one.sent(number)]
    assert len([item for item in told if item["type"] == "function_call_output"]) >= 1
    messages = [item["content"][0]["text"] for item in told if item.get("role") == "user"]
    assert any("tool by_hand" in text and "tool research" not in text for text in messages)


def test_a_task_that_fails_is_told_as_the_output_too(talk):
    one = talk(call(topic="x", text=("Started.",)), Reply(text=("It failed.",)))

    def fails(topic: str) -> str:
        """Research a topic."""
        raise ValueError("no sources")

    one.agent.tool_registry.unregister("research")
    one.agent.tool_registry.register(async_tool(one.talk.manager, grace_s=0)(fails).options(name="research"))
    one.ask("research")
    one.finish()
    assert "ValueError: no sources" in one.sent(1)[-1]["output"]


def test_a_second_call_that_joins_a_running_task_is_answered_at_once(talk, manager):
    two = tuple((f"call_{number}", "research", ('{"topic": "sun"}',)) for number in range(2))
    one = talk(Reply(text=("Twice.",), calls=two), Reply(text=("Started.",)), Reply(text=("There.",)))
    shared = one.tools[0].options(on_duplicate="reuse")
    one.agent.tool_registry.unregister("research")
    one.agent.tool_registry.register(shared)
    assert one.ask("research twice") == "Started."
    outputs = [item for item in one.sent(1) if item["type"] == "function_call_output"]
    assert len(outputs) == 1
    assert "Nothing new was started" in outputs[0]["output"]
    one.finish()
    assert {item["call_id"] for item in one.sent(2) if item["type"] == "function_call_output"} == {"call_0", "call_1"}


def test_a_tool_that_is_done_within_the_grace_period_is_answered_as_any_other(talk, manager):
    one = talk(call(), Reply(text=("It shines.",)))
    one.go.set()
    quick = one.tools[0].options(grace_s=WAIT)
    one.agent.tool_registry.unregister("research")
    one.agent.tool_registry.register(quick)
    assert one.ask("research") == "It shines."
    assert one.sent(1)[-1] == {"type": "function_call_output", "call_id": "call_1", "output": "All about solar power."}


def test_an_open_call_survives_a_session(talk, manager, tmp_path):
    def session() -> FileSessionManager:
        return FileSessionManager("s", tmp_path)

    one = talk(call(text=("Started.",)), session_manager=session())
    one.ask("research")
    (task,) = manager.tasks
    one.talk.close()
    other = talk(Reply(text=("Hello again.",)), Reply(text=("It shines.",)), session_manager=session())
    assert other.ask("hello") == "Hello again."
    assert kinds(other.sent(0)) == ["user", "assistant", "function_call", "user"]
    one.go.set()
    task.wait(WAIT)
    other.talk.on_result(AsyncTaskResult(task.id, "research", task.arguments, task.value, None, 1.0))
    assert other.talk.join(WAIT)
    assert other.sent(1)[-1]["call_id"] == "call_1"
    assert "All about solar power." in other.sent(1)[-1]["output"]


def test_an_open_call_survives_pruning(talk):
    replies = [call(text=("Started.",)), *(Reply(text=(f"{number}.",)) for number in range(3)), Reply(text=("Done.",))]
    one = talk(*replies, messages=LONG_AGO, conversation_manager=WindowConversationManager(max_messages=14))
    for prompt in ("research", "one", "two", "three"):
        one.ask(prompt)
    one.finish()
    items = one.sent(4)
    assert "message 0" not in str(items)
    assert kinds(items)[-1] == "function_call_output"
    assert items[-1]["call_id"] == "call_1"


def test_the_result_of_a_call_that_was_pruned_is_told_as_a_message(talk):
    replies = [call(text=("Started.",)), *(Reply(text=(f"{number}.",)) for number in range(3)), Reply(text=("Done.",))]
    one = talk(*replies, conversation_manager=WindowConversationManager(max_messages=7))
    for prompt in ("research", "one", "two", "three"):
        one.ask(prompt)
    one.finish()
    items = one.sent(4)
    assert "function_call" not in kinds(items)
    assert kinds(items)[-1] == "user"
    assert "All about solar power." in str(items[-1])


def test_a_history_with_open_calls_suits_another_model(talk):
    one = talk(call(text=("Started.",)), Reply(text=("It shines.",)))
    one.ask("research")
    one.finish()
    server = ChatServer([Reply(text=("Bye.",))])
    model = OpenAIChatModel("m", base_url=f"{server.url}/v1")
    assert str(Agent(model, messages=list(one.agent.messages))("bye")) == "Bye."
    server.close()
    roles = [message["role"] for message in server.requests[0]["messages"]]
    assert roles == ["user", "assistant", "tool", "user", "assistant", "user"]
    assert "All about solar power." in str(server.requests[0]["messages"][3])


def test_without_an_agent_around_it_the_result_of_a_task_is_told_by_nobody_and_the_call_stays_open(talk):
    one = talk(call(text=("Started.",)), Reply(text=("Hello.",)))
    assert str(one.agent("research")) == "Started."
    assert str(one.agent("hi")) == "Hello."
    assert kinds(one.sent(1)) == ["user", "assistant", "function_call", "user"]


def test_a_tool_that_answers_like_an_acknowledgement_leaves_nothing_open(talk):
    @tool(name="add")
    def fetch(one: int, two: int) -> str:
        """Fetch."""
        return "Started x. It runs in the background as task 9 (id 12345678, tool x, arguments {}). There is"

    calls = (("call_1", "add", ('{"one": 1, "two": 2}',)),)
    one = talk(Reply(text=("I fetch.",), calls=calls), Reply(text=("Fetched.",)))
    one.agent.tool_registry.unregister("add")
    one.agent.tool_registry.register(fetch)
    assert one.ask("fetch") == "Fetched."
    assert kinds(one.sent(1))[-1] == "function_call_output"


def test_a_model_that_does_not_know_async_tools_says_so(talk):
    one = talk(Reply(status=400, error="Unknown parameter: 'tools[0].async'."))
    with pytest.raises(ModelError, match=r"tools\[0\].async"):
        one.ask("research")
