"""Tools of MCP servers, with the official package's own server: as a program, over the network, in this process."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import socket
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from backchannel import BidiAgent
from backchannel.errors import ToolDefinitionError
from backchannel.models.scripted import ScriptedModel, call, expect_result, say
from backchannel.tools import MCPTools, ToolRegistry, run_tool, tool

pytest.importorskip("mcp", reason="needs the extra mcp")
import uvicorn
from mcp import Client

from tests.support import mcp_server
from tests.support.mcp_server import make_server

NAMES = [
    "add", "files_read_all", "table", "picture", "mixed", "fail",
    "secret", "process", "crash", "count", "wait", "learn",
]  # fmt: skip
ROOT = Path(__file__).parents[2]


def program(marks: Path, **options: Any) -> MCPTools:
    environment = {"MARKS": str(marks), "PYTHONPATH": str(ROOT), **options.pop("env", {})}
    return MCPTools(command=sys.executable, args=[mcp_server.__file__], env=environment, **options)


@contextmanager
def serving(marks: Path, port: int = 0, **options: Any) -> Iterator[str]:
    """Run a server on this machine's own address; gives its URL."""
    with socket.create_server(("127.0.0.1", port)) as listener:
        port = listener.getsockname()[1]
        app = make_server(marks).streamable_http_app(**options)
        server = uvicorn.Server(uvicorn.Config(app, log_level="critical", lifespan="on", timeout_graceful_shutdown=1))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{port}/mcp"
        finally:
            server.should_exit = True
            thread.join(20)
            assert not thread.is_alive()


@contextmanager
def as_program(marks: Path) -> Iterator[MCPTools]:
    with program(marks) as tools:
        yield tools


@contextmanager
def over_the_network(marks: Path) -> Iterator[MCPTools]:
    with serving(marks) as url, MCPTools(url=url) as tools:
        yield tools


@contextmanager
def by_a_factory(marks: Path) -> Iterator[MCPTools]:
    server = make_server(marks)
    with MCPTools(lambda: Client(server)) as tools:
        yield tools


@contextmanager
def by_the_older_protocol(marks: Path) -> Iterator[MCPTools]:
    server = make_server(marks)
    with MCPTools(lambda: Client(server, mode="legacy")) as tools:
        yield tools


KINDS = [as_program, over_the_network, by_a_factory, by_the_older_protocol]


@pytest.fixture(params=KINDS, ids=lambda kind: kind.__name__)
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[MCPTools]:
    with request.param(tmp_path) as tools:
        yield tools


async def results(registry: ToolRegistry, name: str, /, **arguments: Any) -> list[Any]:
    use: Any = {"toolUseId": "c1", "name": name, "input": arguments}
    return [event async for event in run_tool(registry.get(name), use, {})]


async def content(registry: ToolRegistry, name: str, /, **arguments: Any) -> Any:
    event = (await results(registry, name, **arguments))[-1]
    assert event.tool_result["toolUseId"] == "c1"
    json.dumps(event)
    return event.tool_result["status"], event.tool_result["content"]


def registry_of(*tools: Any) -> ToolRegistry:
    registry = ToolRegistry()
    registry.process_tools(tools)
    return registry


async def until(registry: ToolRegistry, state: Callable[[], bool]) -> None:
    changed, loop = asyncio.Event(), asyncio.get_running_loop()
    remove = registry.on_change(lambda: loop.call_soon_threadsafe(changed.set))
    async with asyncio.timeout(30):
        while not state():
            await changed.wait()
            changed.clear()
    remove()


async def test_every_kind_of_server_gives_its_tools_and_their_results(server: MCPTools) -> None:
    registry = registry_of(server)
    assert registry.names == NAMES
    assert registry.get_all_tools_config()["add"]["description"] == "Add two numbers."
    assert await content(registry, "add", a="2", b=3) == ("success", [{"text": "5"}])
    assert await content(registry, "files_read_all", path="p") == (
        "success",
        [{"text": "p"}, {"text": "größe 測試"}],
    )
    status, (table,) = await content(registry, "table")
    assert json.loads(table["text"]) == {"rows": [{"x": 1}, {"x": 2}]}
    status, (picture,) = await content(registry, "picture")
    assert picture["image"]["format"] == "png"
    assert await content(registry, "mixed") == ("success", [{"text": "see the data"}, {"json": {"n": 5}}])
    status, (said,) = await content(registry, "fail")
    assert (status, "no such thing" in said["text"]) == ("error", True)


async def test_arguments_are_checked_before_the_server_is_asked(server: MCPTools) -> None:
    registry = registry_of(server)
    status, (said,) = await content(registry, "add", a="two")
    assert status == "error"
    assert 'a: expected an integer, got "two"' in said["text"]


async def test_progress_is_streamed_and_the_newest_wins(server: MCPTools) -> None:
    *progress, result = await results(registry_of(server), "count", steps=5)
    assert result.tool_result["content"] == [{"text": "counted"}]
    told = [event["tool_stream_event"]["data"] for event in progress]
    assert told[-1] == {"progress": 5, "total": 5, "message": "step 5"}
    assert [entry["progress"] for entry in told] == sorted({entry["progress"] for entry in told})


async def test_a_cancelled_call_is_cancelled_at_the_server(server: MCPTools, tmp_path: Path) -> None:
    registry = registry_of(server)
    waiting = asyncio.Event()

    async def run() -> None:
        use: Any = {"toolUseId": "c1", "name": "wait", "input": {}}
        async for _ in run_tool(registry.get("wait"), use, {}):
            waiting.set()

    running = asyncio.create_task(run())
    async with asyncio.timeout(30):
        await waiting.wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        while not (tmp_path / "cancelled").exists():
            # The server answers in order: its answer to this call comes after it has taken in the other.
            assert (await content(registry, "add", a=1))[0] == "success"


async def test_calls_go_on_at_the_same_time(server: MCPTools) -> None:
    registry = registry_of(server)
    found = await asyncio.gather(*(content(registry, "add", a=number) for number in range(50)))
    assert [entry[1][0]["text"] for entry in found] == [str(number + 1) for number in range(50)]


@pytest.mark.parametrize("kind", KINDS[:3], ids=lambda kind: kind.__name__)
async def test_tools_that_the_server_learns_come_to_the_registry(kind: Any, tmp_path: Path) -> None:
    with kind(tmp_path) as server:
        registry = registry_of(server)
        before = registry.get("add")
        await content(registry, "learn", name="fly")
        await until(registry, lambda: "fly" in registry)
        assert registry.get("add") is before
        assert await content(registry, "fly") == ("success", [{"text": "fly was learned"}])


async def test_a_name_that_is_taken_stays_with_its_tool_when_the_server_learns_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    @tool
    def fly() -> str:
        """Fly."""
        return "ours"

    with program(tmp_path) as server:
        registry = registry_of(server, fly)
        await content(registry, "learn", name="fly")
        await content(registry, "learn", name="swim")
        await until(registry, lambda: "swim" in registry)
        assert registry.get("fly") is fly
    assert "'fly', a name that is taken" in caplog.text


async def test_an_agent_calls_a_server(tmp_path: Path) -> None:
    model = ScriptedModel(
        call("kit_add", {"a": 1, "b": 2}), expect_result("3", status="success"),
        call("kit_picture", {}, "call-2"), expect_result("png", tool_use_id="call-2"), say("Done."),
    )  # fmt: skip
    with program(tmp_path, prefix="kit") as server:
        async with BidiAgent(model, tools=[server]) as agent:
            async for event in agent.receive():
                json.dumps(event)
                if event.get("type") == "bidi_response_complete":
                    break
        assert agent.tool.kit_add(a=5)["content"] == [{"text": "6"}]
    model.check()


async def test_a_server_that_ends_during_a_call_makes_it_an_error_and_is_started_again(tmp_path: Path) -> None:
    with program(tmp_path) as server:
        registry = registry_of(server)
        _, (first,) = await content(registry, "process")
        status, (said,) = await content(registry, "crash")
        assert status == "error"
        assert "ended or lost its connection during the call" in said["text"]
        status, (second,) = await content(registry, "process")
        assert status == "success"
        assert first["text"] != second["text"]


async def test_a_server_that_ended_meanwhile_is_started_again_for_the_call(tmp_path: Path) -> None:
    with program(tmp_path) as server:
        registry = registry_of(server)
        _, (first,) = await content(registry, "process")
        subprocess.run(["kill", "-9", first["text"]], check=True)
        found = [await content(registry, "process") for _ in range(2)]
        assert found[-1][0] == "success"
        assert found[-1][1][0]["text"] != first["text"]


async def test_a_server_on_the_network_may_go_and_come_back(tmp_path: Path) -> None:
    with serving(tmp_path) as url:
        port = int(url.split(":")[2].split("/")[0])
        server = MCPTools(url=url)
        registry = registry_of(server)
        assert (await content(registry, "add", a=1))[0] == "success"
    try:
        status, (said,) = await content(registry, "add", a=1)
        assert status == "error"
        assert "127.0.0.1" in said["text"]
        with serving(tmp_path, port):
            assert await content(registry, "add", a=1) == ("success", [{"text": "2"}])
            await asyncio.to_thread(server.close)
    finally:
        await asyncio.to_thread(server.close)


async def test_a_session_that_the_server_has_forgotten_is_made_anew_without_an_error(tmp_path: Path) -> None:
    from mcp.client.streamable_http import streamable_http_client

    with serving(tmp_path) as url:
        port = int(url.split(":")[2].split("/")[0])
        server = MCPTools(lambda: Client(streamable_http_client(url), mode="legacy"))
        registry = registry_of(server)
        assert (await content(registry, "add", a=1))[0] == "success"
    with serving(tmp_path, port):
        found = await content(registry, "add", a=1)
        await asyncio.to_thread(server.close)
    assert found == ("success", [{"text": "2"}])


def test_closing_ends_the_program_and_the_thread(tmp_path: Path) -> None:
    server = program(tmp_path)
    registry = registry_of(server)
    pid = int(asyncio.run(content(registry, "process"))[1][0]["text"])
    threads = [thread for thread in threading.enumerate() if thread.name.startswith("backchannel-mcp")]
    assert len(threads) == 1
    server.close()
    server.close()
    assert not threads[0].is_alive()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    status, (said,) = asyncio.run(content(registry, "add", a=1))
    assert (status, "was closed" in said["text"]) == ("error", True)
    with server:
        assert asyncio.run(content(registry, "add", a=1))[0] == "success"


async def test_it_is_an_async_context_manager_too(tmp_path: Path) -> None:
    async with program(tmp_path) as server:
        assert (await content(registry_of(server), "add", a=1))[0] == "success"


def test_the_last_registry_that_closes_closes_the_server(tmp_path: Path) -> None:
    server = program(tmp_path)
    one, two = registry_of(server), registry_of(server)
    one.close()
    assert asyncio.run(content(two, "add", a=1))[0] == "success"
    two.close()
    two.close()
    assert asyncio.run(content(two, "add", a=1))[0] == "error"


def test_what_nobody_has_any_more_is_closed(tmp_path: Path) -> None:
    server = program(tmp_path)
    registry = registry_of(server)
    (thread,) = [thread for thread in threading.enumerate() if thread.name.startswith("backchannel-mcp")]
    gone = weakref.ref(server)
    del server, registry
    gc.collect()
    assert gone() is None
    thread.join(20)
    assert not thread.is_alive()


def test_the_program_ends_with_the_interpreter(tmp_path: Path) -> None:
    code = (
        "import asyncio, sys\n"
        "from backchannel.tools import MCPTools, ToolRegistry\n"
        f"server = MCPTools(command=sys.executable, args=[{mcp_server.__file__!r}])\n"
        "registry = ToolRegistry()\n"
        "registry.process_tools([server])\n"
        "print(asyncio.run(server.call('process', {}, print))['content'][0]['text'])\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)])}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=60, env=environment
    )
    assert (done.returncode, done.stderr) == (0, "")
    with pytest.raises(ProcessLookupError):
        os.kill(int(done.stdout), 0)


async def test_secrets_of_the_environment_are_not_passed_on_unless_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_API_KEY", "s3cret")
    with program(tmp_path, env={"OTHER_KEY": "0pen"}) as server:
        registry = registry_of(server)
        assert await content(registry, "secret", name="MY_API_KEY") == ("success", [{"text": "nothing"}])
        assert await content(registry, "secret", name="OTHER_KEY") == ("success", [{"text": "0pen"}])
        assert "0pen" not in repr(server)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"command": "no-such-program-anywhere"}, "no-such-program-anywhere"),
        ({"command": sys.executable, "args": ["-c", "import sys; sys.exit(3)"]}, "cannot be used"),
        ({"command": "cat", "args": ["/dev/zero"], "timeout": 0.5}, "did not answer within 0.5 seconds"),
        ({"command": "sleep", "args": ["60"], "timeout": 0.2}, "did not answer within 0.2 seconds"),
        ({"url": "http://127.0.0.1:9/mcp"}, "127.0.0.1:9/mcp cannot be used"),
        ({"url": "http://user:s3cret@127.0.0.1:9/mcp?key=s3cret"}, "127.0.0.1:9/mcp cannot be used"),
    ],
)
def test_a_server_that_is_not_there_is_named_when_the_agent_is_made(options: dict[str, Any], says: str) -> None:
    server = MCPTools(**options)
    try:
        with pytest.raises(ToolDefinitionError) as caught:
            BidiAgent(ScriptedModel(), tools=[server])
        assert says in str(caught.value)
        assert "s3cret" not in str(caught.value)
        with pytest.raises(ToolDefinitionError), server:
            pass
    finally:
        server.close()


@pytest.mark.parametrize("options", [{}, {"command": "x", "url": "http://x"}, {"command": "x", "args": "-a -b"}])
def test_one_way_to_the_server_must_be_given(options: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match="MCPTools"):
        MCPTools(**options)


async def test_two_servers_with_the_same_tools_need_a_prefix(tmp_path: Path) -> None:
    server = make_server(tmp_path)
    one, two = MCPTools(lambda: Client(server)), MCPTools(lambda: Client(server), prefix="two")
    with one, two:
        with pytest.raises(ToolDefinitionError, match=r"'add'.*prefix"):
            ToolRegistry().process_tools([one, MCPTools(lambda: Client(server))])
        assert len(registry_of(one, two)) == 2 * len(NAMES)
