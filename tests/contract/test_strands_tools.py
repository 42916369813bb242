"""Tools written for Strands run unchanged: whole calls through an agent with a scripted model."""

from __future__ import annotations

import asyncio
import base64
import json
import sys
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from backchannel import BidiAgent
from backchannel.models.scripted import ScriptedModel, call, expect_result, say
from backchannel.tools import ToolRegistry, executor_of

strands = pytest.importorskip("strands", reason="needs strands-agents")
from strands import ToolContext  # noqa: E402
from strands.tools import PythonAgentTool, ToolProvider  # noqa: E402
from strands.tools.executors import SequentialToolExecutor as StrandsSequential  # noqa: E402

PIXEL = b"\x89PNG\r\n\x1a\n"
SPEC: Any = {
    "name": "shout",
    "description": "Say it loud.",
    "inputSchema": {
        "json": {
            "type": "object",
            "properties": {"text": {"type": "string"}, "times": {"type": "integer"}},
            "required": ["text"],
        }
    },
}


async def run(tools: Any, name: str, arguments: dict[str, Any], *, state: dict[str, Any] | None = None) -> Any:
    """Have a scripted model call a tool once; returns what the tool streamed, its result, and the agent."""
    model = ScriptedModel(call(name, arguments), expect_result(), say("Done."))
    agent = BidiAgent(model, tools=tools)
    await agent.start(state)
    streamed, result = [], None
    async for event in agent.receive():
        json.dumps(event)
        if event.get("type") == "tool_stream":
            streamed.append(event["tool_stream_event"]["data"])
        elif event.get("type") == "tool_result":
            result = event["tool_result"]
        elif event.get("type") == "bidi_response_complete":
            break
    await agent.stop()
    model.check()
    assert result is not None
    assert result["toolUseId"] == "call-1"
    return streamed, result, agent


def text_of(result: Any) -> tuple[str, str]:
    return result["status"], result["content"][0]["text"]


@strands.tool
def weigh(things: list[str], unit: str = "kg", limit: int | None = None) -> str:
    """Weigh things.

    Args:
        things: What to weigh.
        unit: In what.
        limit: At most this many.
    """
    return f"{len(things[:limit])} {unit} on {threading.current_thread() is not threading.main_thread()}"


@strands.tool(name="later", description="Do it later.")
async def postponed(seconds: float) -> dict[str, Any]:
    await asyncio.sleep(0)
    return {"status": "success", "content": [{"json": {"seconds": seconds}}, {"text": "later"}]}


@strands.tool
async def countdown(start: int) -> AsyncIterator[Any]:
    """Count down."""
    for number in range(start, 0, -1):
        yield {"at": number}
    yield "lift-off"


@strands.tool(context=True)
def inspect_context(question: str, tool_context: ToolContext) -> dict[str, Any]:
    """Look at what surrounds the call."""
    state = tool_context.invocation_state
    state["basket"].append(question)
    return {
        "name": tool_context.agent.name,
        "use": dict(tool_context.tool_use),
        "user": state["user"],
        "cancelled": tool_context.cancel_signal.is_set(),
        "messages": state["messages"] is tool_context.agent.messages,
        "known": [entry["toolSpec"]["name"] for entry in state["tool_config"]["tools"]],
    }


@strands.tool
def who(agent: Any) -> str:
    """Say who asks."""
    return str(agent.agent_id)


@strands.tool
def fail(kind: str) -> str:
    """Fail."""
    raise {"value": ValueError, "key": KeyError, "os": OSError}[kind]("no such thing")


@strands.tool
def draw() -> dict[str, Any]:
    """Draw."""
    return {"status": "success", "content": [{"image": {"format": "png", "source": {"bytes": PIXEL}}}]}


@strands.tool
def refuse() -> dict[str, Any]:
    """Refuse."""
    return {"status": "error", "content": [{"text": "not today"}, {"json": {"when": object()}}]}


@strands.tool(context=True)
def ask(tool_context: ToolContext) -> str:
    """Ask the user."""
    return str(tool_context.interrupt("approval", reason="dangerous"))


class Box:
    def __init__(self, content: str) -> None:
        self.content = content

    @strands.tool
    def open_box(self, times: int = 1) -> str:
        """Open the box."""
        return self.content * times


async def test_a_plain_function_runs_in_a_thread_with_converted_arguments():
    _, result, agent = await run([weigh], "weigh", {"things": ["a", "b"], "limit": "1"})
    assert text_of(result) == ("success", "1 kg on True")
    (spec,) = agent.model.starts[0]["tools"]
    assert spec["name"] == "weigh"
    assert spec["inputSchema"]["json"]["properties"]["unit"]["description"] == "In what."


async def test_arguments_that_do_not_fit_are_an_error_result():
    _, result, _ = await run([weigh], "weigh", {"unit": "g"})
    status, text = text_of(result)
    assert (status, "things" in text) == ("error", True)


async def test_a_coroutine_function_keeps_its_name_and_the_blocks_that_it_returns():
    _, result, _ = await run([postponed], "later", {"seconds": 1.5})
    assert result["content"] == [{"json": {"seconds": 1.5}}, {"text": "later"}]


async def test_a_generator_streams_and_its_last_value_is_the_result():
    streamed, result, _ = await run([countdown], "countdown", {"start": 3})
    assert streamed == [{"at": 3}, {"at": 2}, {"at": 1}, "lift-off"]
    assert text_of(result) == ("success", "lift-off")


async def test_a_tool_context_has_the_agent_the_call_and_the_state_of_the_user():
    state: dict[str, Any] = {"user": "Ada", "basket": []}
    _, result, agent = await run([inspect_context, who], "inspect_context", {"question": "why"}, state=state)
    found = json.loads(text_of(result)[1])
    assert found == {
        "name": agent.name,
        "use": {"toolUseId": "call-1", "name": "inspect_context", "input": {"question": "why"}},
        "user": "Ada",
        "cancelled": False,
        "messages": True,
        "known": ["inspect_context", "who"],
    }
    assert state["basket"] == ["why"]


async def test_a_parameter_agent_gets_the_agent():
    _, result, _ = await run([who], "who", {})
    assert text_of(result) == ("success", "default")


@pytest.mark.parametrize("kind", ["value", "key", "os"])
async def test_what_a_tool_raises_is_an_error_result(kind: str):
    _, result, _ = await run([fail], "fail", {"kind": kind})
    status, text = text_of(result)
    assert (status, "no such thing" in text) == ("error", True)


async def test_the_bytes_of_an_image_are_base64_so_that_the_result_is_json():
    _, result, _ = await run([draw], "draw", {})
    source = result["content"][0]["image"]["source"]
    assert base64.b64decode(source["bytes"]) == PIXEL


async def test_an_error_that_a_tool_returns_stays_one_and_what_is_no_json_becomes_text():
    _, result, _ = await run([refuse], "refuse", {})
    assert text_of(result) == ("error", "not today")
    assert "object" in result["content"][1]["json"]["when"]


async def test_a_method_of_an_object_is_a_tool():
    _, result, _ = await run([Box("hi").open_box], "open_box", {"times": 2})
    assert text_of(result) == ("success", "hihi")


def shout(tool: Any, **kwargs: Any) -> dict[str, Any]:
    text = tool["input"]["text"].upper() * tool["input"].get("times", 1)
    return {
        "toolUseId": tool["toolUseId"],
        "status": "success",
        "content": [{"text": f"{text} {kwargs['agent'].name}"}],
    }


async def shout_later(tool: Any, **kwargs: Any) -> Any:
    return shout(tool, **kwargs)


@pytest.mark.parametrize("function", [shout, shout_later])
async def test_a_tool_of_a_function_that_takes_the_call_runs(function: Any):
    _, result, agent = await run([PythonAgentTool("shout", SPEC, function)], "shout", {"text": "hey"})
    assert text_of(result) == ("success", f"HEY {agent.name}")


@pytest.mark.parametrize("function", [shout, shout_later, lambda tool, agent: shout(tool, agent=agent)])
async def test_a_module_with_a_specification_runs_and_its_arguments_are_checked(function: Any):
    module = ModuleType("somewhere.shout")
    module.__dict__.update(TOOL_SPEC=SPEC, shout=function)
    _, result, agent = await run([module], "shout", {"text": "hey", "times": "2"})
    assert text_of(result) == ("success", f"HEYHEY {agent.name}")
    _, result, _ = await run([module], "shout", {"times": 2})
    assert text_of(result)[0] == "error"


FILE = f"""
TOOL_SPEC = {SPEC!r}

def shout(tool, **kwargs):
    if tool["input"]["text"] == "boom":
        raise RuntimeError("too loud")
    return {{"toolUseId": "mine", "status": "success", "content": [{{"text": tool["input"]["text"].upper()}}]}}
"""


async def test_a_file_with_a_specification_is_a_tool_and_its_errors_are_results(tmp_path: Path):
    path = tmp_path / "shout.py"
    path.write_text(FILE)
    _, result, _ = await run([str(path)], "shout", {"text": "hey"})
    assert text_of(result) == ("success", "HEY")
    _, result, _ = await run([str(path)], "shout", {"text": "boom"})
    assert text_of(result) == ("error", "Error: too loud")


async def test_a_file_with_decorated_functions_is_all_of_them(tmp_path: Path):
    path = tmp_path / "kit.py"
    path.write_text("from strands import tool\n@tool\ndef one() -> str:\n    'One.'\n    return '1'\n"
                    "@tool\ndef two() -> str:\n    'Two.'\n    return '2'\n")  # fmt: skip
    _, result, agent = await run([str(path)], "two", {})
    assert text_of(result) == ("success", "2")
    assert agent.tool_names == ["one", "two"]


class Provider(ToolProvider):
    def __init__(self) -> None:
        self.consumers: set[Any] = set()

    async def load_tools(self, **kwargs: Any) -> Any:
        return [weigh, who]

    def add_consumer(self, consumer_id: Any, **kwargs: Any) -> None:
        self.consumers.add(consumer_id)

    def remove_consumer(self, consumer_id: Any, **kwargs: Any) -> None:
        self.consumers.discard(consumer_id)


async def test_a_provider_gives_its_tools_and_learns_who_uses_them():
    provider = Provider()
    _, result, agent = await run([provider], "weigh", {"things": []})
    assert text_of(result)[0] == "success"
    assert len(provider.consumers) == 1
    agent.tool_registry.close()
    assert provider.consumers == set()


async def test_the_mcp_client_of_strands_is_a_provider(tmp_path: Path):
    pytest.importorskip("mcp", reason="needs the extra mcp")
    from mcp import StdioServerParameters, stdio_client
    from strands.tools.mcp import MCPClient

    from tests.support import mcp_server

    root = str(Path(__file__).parents[2])
    parameters = StdioServerParameters(
        command=sys.executable, args=[mcp_server.__file__], env={"PYTHONPATH": root, "MARKS": str(tmp_path)}
    )
    client = MCPClient(
        lambda: stdio_client(parameters, errlog=sys.__stderr__), tool_filters={"allowed": ["add", "fail"]}
    )
    _, result, agent = await run([client], "add", {"a": 1, "b": 2})
    try:
        assert text_of(result) == ("success", "3")
        assert agent.tool_names == ["add", "fail"]
    finally:
        await asyncio.to_thread(agent.tool_registry.close)


async def test_an_agent_of_strands_is_a_tool():
    from strands.models import Model

    class Canned(Model):
        def update_config(self, **config: Any) -> None: ...
        def get_config(self) -> Any:
            return {}

        async def structured_output(self, *args: Any, **kwargs: Any) -> Any:
            yield {}

        async def stream(self, *args: Any, **kwargs: Any) -> Any:
            yield {"messageStart": {"role": "assistant"}}
            yield {"contentBlockDelta": {"delta": {"text": "I looked it up."}}}
            yield {"contentBlockStop": {}}
            yield {"messageStop": {"stopReason": "end_turn"}}

    helper = strands.Agent(Canned(), name="librarian", description="Looks things up.", callback_handler=None)
    _, result, agent = await run([helper], "librarian", {"input": "bees"})
    assert agent.tool_names == ["librarian"]
    assert text_of(result) == ("success", "I looked it up.\n")


async def test_a_tool_that_interrupts_ends_the_events_with_an_error():
    async with BidiAgent(ScriptedModel(call("ask")), tools=[ask]) as agent:
        with pytest.raises(RuntimeError, match="tool interrupts are not supported"):
            _ = [event async for event in agent.receive()]


def test_executors_of_strands_are_refused_in_words():
    with pytest.raises(TypeError, match=r"strands.*SequentialToolExecutor has no slot.*ConcurrentToolExecutor"):
        executor_of(StrandsSequential())


@pytest.mark.filterwarnings("ignore:.*deprecated:DeprecationWarning")
@pytest.mark.parametrize("form", ["module", "name", "function"])
async def test_the_collection_of_strands_tools_runs(form: str):
    pytest.importorskip("strands_tools", reason="needs strands-agents-tools")
    from strands_tools import calculator, current_time

    given: list[Any] = {
        "module": [calculator, current_time],
        "name": ["strands_tools.calculator", "strands_tools.current_time"],
        "function": [calculator.calculator, current_time.current_time],
    }[form]
    _, result, agent = await run(given, "calculator", {"expression": "6*7"})
    assert text_of(result) == ("success", "Result: 42")
    assert agent.tool_names == ["calculator", "current_time"]
    _, result, _ = await run(given, "current_time", {"timezone": "UTC"})
    assert text_of(result)[0] == "success"


async def test_a_module_tool_of_the_collection_runs(tmp_path: Path):
    pytest.importorskip("strands_tools", reason="needs strands-agents-tools")
    (tmp_path / "note.txt").write_text("größe 測試")
    _, result, _ = await run(
        ["strands_tools.file_read"], "file_read", {"path": str(tmp_path / "note.txt"), "mode": "view"}
    )
    assert result["status"] == "success"
    assert "größe 測試" in result["content"][0]["text"]


def test_every_module_of_the_collection_that_can_be_imported_is_taken():
    pytest.importorskip("strands_tools", reason="needs strands-agents-tools")
    names = [
        "calculator", "current_time", "editor", "environment", "file_read", "file_write", "http_request", "journal",
        "image_reader", "python_repl", "shell", "sleep", "stop", "think", "use_aws",
    ]  # fmt: skip
    registry = ToolRegistry()
    assert registry.process_tools([f"strands_tools.{name}" for name in names]) == names
    for spec in registry.specs():
        assert spec["inputSchema"]["json"]["type"] == "object"
