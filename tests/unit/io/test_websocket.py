"""Conversations over real WebSockets of several libraries."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import pytest
import uvicorn
import websockets
from aiohttp import web
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from websockets.asyncio.client import ClientConnection

from backchannel import BidiAgent, ScriptedModel
from backchannel.errors import InvalidInputError
from backchannel.events import BidiAudioStreamEvent, BidiInterruptionEvent, BidiTextInputEvent
from backchannel.io import WebSocketIO, bidi_asgi_app
from backchannel.io import websocket as module
from backchannel.models.scripted import call, expect, expect_text, say
from tests.support.listening import ListeningAgent

Handler = Callable[[Any], Awaitable[None]]


@asynccontextmanager
async def uvicorn_server(app: Any) -> AsyncIterator[str]:
    config = uvicorn.Config(app, port=0, log_level="error", ws="websockets-sansio", lifespan="off")
    server = uvicorn.Server(config)
    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined, method-assign]
    sockets = [config.bind_socket()]
    serving = asyncio.create_task(server.serve(sockets))
    while not server.started:
        await asyncio.sleep(0.01)
    try:
        yield f"ws://127.0.0.1:{sockets[0].getsockname()[1]}/"
    finally:
        server.should_exit = True
        await serving


@asynccontextmanager
async def starlette_server(handler: Handler) -> AsyncIterator[str]:
    async def endpoint(websocket: Any) -> None:
        await handler(websocket)

    async with uvicorn_server(Starlette(routes=[WebSocketRoute("/", endpoint)])) as url:
        yield url


@asynccontextmanager
async def asgi_server(handler: Handler) -> AsyncIterator[str]:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await handler((receive, send))

    async with uvicorn_server(app) as url:
        yield url


@asynccontextmanager
async def aiohttp_server(handler: Handler) -> AsyncIterator[str]:
    async def endpoint(request: web.Request) -> web.WebSocketResponse:
        websocket = web.WebSocketResponse()
        await websocket.prepare(request)
        await handler(websocket)
        return websocket

    app = web.Application()
    app.router.add_get("/", endpoint)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"ws://127.0.0.1:{runner.addresses[0][1]}/"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def websockets_server(handler: Handler) -> AsyncIterator[str]:
    async with websockets.serve(handler, "127.0.0.1", 0) as server:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/"


SERVERS = [starlette_server, asgi_server, aiohttp_server, websockets_server]
every_server = pytest.mark.parametrize("server", SERVERS, ids=lambda server: server.__name__)


class Host:
    """Holds a conversation with every client and keeps what became of it."""

    def __init__(self, make: Callable[[], BidiAgent], **options: Any) -> None:
        self._make = make
        self._options = options
        self.agents: list[BidiAgent] = []
        self.ended: asyncio.Queue[BaseException | None] = asyncio.Queue()

    async def __call__(self, websocket: Any) -> None:
        agent = self._make()
        self.agents.append(agent)
        channel = WebSocketIO(websocket, **self._options)
        error: BaseException | None = None
        try:
            await agent.run(inputs=[channel.input()], outputs=[channel.output()])
        except BaseException as raised:
            error = raised
        self.ended.put_nowait(error)


async def until(client: ClientConnection, kind: str) -> list[Any]:
    """Return the messages up to one of this type."""
    messages: list[Any] = []
    while True:
        frame = await client.recv()
        messages.append(json.loads(frame) if isinstance(frame, str) else frame)
        if isinstance(messages[-1], dict) and messages[-1].get("type") == kind:
            return messages


async def say_text(client: ClientConnection, text: str) -> None:
    await client.send(json.dumps({"type": "bidi_text_input", "text": text}))


@every_server
async def test_a_whole_conversation_in_json(server: Any):
    model = ScriptedModel(expect_text("Hello"), say("Good day.", 0.2), expect_text("bye"), call("stop_conversation"))
    host = Host(lambda: BidiAgent(model))
    async with asyncio.timeout(30), server(host) as url, websockets.connect(url) as client:
        await say_text(client, "Hello")
        messages = await until(client, "bidi_response_complete")
        kinds = [message["type"] for message in messages]
        assert kinds[:2] == ["bidi_connection_start", "bidi_response_start"]
        voice = [message for message in messages if message["type"] == "bidi_audio_stream"]
        assert {message["response_id"] for message in voice} == {messages[1]["response_id"]}
        assert sum(len(base64.b64decode(message["audio"])) for message in voice) == 2 * 3200
        await say_text(client, "bye")
        await until(client, "bidi_connection_close")
        with pytest.raises(websockets.ConnectionClosedOK):
            await client.recv()
        assert await host.ended.get() is None
    model.check()


@every_server
async def test_a_whole_conversation_with_binary_audio(server: Any):
    data = np.arange(320, dtype="<i2").tobytes()
    model = ScriptedModel(
        expect("binary audio", lambda event: event["type"] == "bidi_audio_input" and event.data == data),
        say("I heard you.", 0.2),
    )
    host = Host(lambda: BidiAgent(model), binary=True)
    async with asyncio.timeout(30), server(host) as url, websockets.connect(url) as client:
        await client.send(data)
        messages = await until(client, "bidi_response_complete")
        heads = [index for index, message in enumerate(messages) if isinstance(message, dict) and "bytes" in message]
        assert heads
        for index in heads:
            assert "audio" not in messages[index]
            assert len(messages[index + 1]) == messages[index]["bytes"]
        assert sum(messages[index]["bytes"] for index in heads) == 2 * 3200
    assert await host.ended.get() is None
    model.check()


@every_server
async def test_a_client_that_goes_away_in_the_middle_ends_the_run_without_an_error(server: Any):
    model = ScriptedModel(expect_text("Hello"), say("A long story.", 30))
    host = Host(lambda: BidiAgent(model))
    async with asyncio.timeout(30), server(host) as url:
        client = await websockets.connect(url)
        await say_text(client, "Hello")
        await until(client, "bidi_audio_stream")
        client.transport.abort()
        assert await host.ended.get() is None


@every_server
async def test_two_clients_talk_to_two_agents(server: Any):
    host = Host(lambda: BidiAgent(ScriptedModel(expect_text("I am"), say("Hello."))))
    async with (
        asyncio.timeout(30),
        server(host) as url,
        websockets.connect(url) as one,
        websockets.connect(url) as two,
    ):
        await say_text(one, "I am one")
        await say_text(two, "I am two")
        await asyncio.gather(until(one, "bidi_response_complete"), until(two, "bidi_response_complete"))
        texts = sorted(agent.messages[0]["content"][0]["text"] for agent in host.agents)
        assert texts == ["I am one", "I am two"]


@every_server
async def test_a_bad_message_is_answered_and_the_conversation_goes_on(server: Any):
    host = Host(lambda: BidiAgent(ScriptedModel(expect_text("still there"), say("Yes."))))
    bad: list[tuple[str | bytes, str]] = [
        ("not json", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[1]", "object"),
        ("{}", "'type'"),
        ('{"type": 3}', "'type'"),
        ('{"type": "nonsense"}', "nonsense"),
        ('{"type": "bidi_text_input"}', "text"),
        ('{"type": "bidi_text_input", "text": 3}', "text"),
        ('{"type": "bidi_text_input", "text": "x", "colour": "red"}', "colour"),
        (
            '{"type": "bidi_audio_input", "audio": "?", "format": "pcm", "sample_rate": 16000, "channels": 1}',
            "base64",
        ),
        (b"\0\0\0", "3 bytes"),
        ('{"type": "played", "response_id": 1, "samples": 1}', "response_id"),
        ('{"type": "played", "response_id": "r", "samples": -1}', "samples"),
        ('{"type": "played", "response_id": "r", "samples": true}', "samples"),
        ('{"type": "played", "response_id": "r", "samples": 1, "finished": 1}', "finished"),
    ]
    async with asyncio.timeout(30), server(host) as url, websockets.connect(url) as client:
        for message, words in bad:
            await client.send(message)
            answer = (await until(client, "bidi_error"))[-1]
            assert words in answer["message"]
            assert len(answer["message"]) <= 500
        await client.send('{"type": "ping", "id": 7}')
        assert (await until(client, "pong"))[-1] == {"type": "pong", "id": 7}
        await client.send(b"")
        await say_text(client, "still there")
        await until(client, "bidi_response_complete")


@every_server
async def test_many_bad_messages_close_the_connection(server: Any):
    host = Host(lambda: BidiAgent(ScriptedModel(expect_text("never"))))
    async with asyncio.timeout(30), server(host) as url, websockets.connect(url) as client:
        for _ in range(module.MOST_BAD):
            await client.send("?")
        for _ in range(module.MOST_BAD):
            await until(client, "bidi_error")
        with pytest.raises(websockets.ConnectionClosed) as closed:
            await client.recv()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1008
        assert await host.ended.get() is None


@every_server
@pytest.mark.parametrize("message", ["é" * 600_000, b"\0" * 1_100_000], ids=["text", "binary"])
async def test_a_message_that_is_too_long_closes_the_connection(server: Any, message: str | bytes):
    host = Host(lambda: BidiAgent(ScriptedModel(expect_text("never"))))
    async with asyncio.timeout(30), server(host) as url, websockets.connect(url) as client:
        await client.send(message)
        with pytest.raises(websockets.ConnectionClosed) as closed:
            await until(client, "never")
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1009
        assert await host.ended.get() is None


async def test_what_the_client_played_is_what_was_heard():
    model = ScriptedModel(expect_text("Hello"), say("One. Two.", 2.0), expect_text("x"))
    host = Host(lambda: BidiAgent(model), reports_played=True)
    async with asyncio.timeout(30), asgi_server(host) as url, websockets.connect(url) as client:
        await say_text(client, "Hello")
        messages = await until(client, "bidi_response_complete")
        response_id = messages[-1]["response_id"]
        played = {"type": "played", "response_id": response_id, "samples": 16000}
        await client.send(json.dumps(played))
        await client.send('{"type": "ping"}')
        await until(client, "pong")
        response = host.agents[0]._conversation.conversation.playback.get(response_id)  # type: ignore[union-attr]
        assert (response.heard, response.finished) == (16000, False)
        await client.send(json.dumps({**played, "samples": 32000, "finished": True}))
        await client.send('{"type": "ping"}')
        await until(client, "pong")
        assert response.finished


async def test_audio_of_another_rate_becomes_the_models():
    got: list[int] = []

    def fits(event: Any) -> bool:
        if event["type"] == "bidi_audio_input":
            assert (event["sample_rate"], event["channels"]) == (16000, 1)
            got.append(len(event.data))
        return sum(got) > 2 * 15000

    host = Host(lambda: BidiAgent(ScriptedModel(expect("a second of audio", fits), say("Yes."))))
    async with asyncio.timeout(30), asgi_server(host) as url, websockets.connect(url) as client:
        audio = base64.b64encode(bytes(4 * 4800)).decode()
        message = {"type": "bidi_audio_input", "audio": audio, "format": "pcm", "sample_rate": 48000, "channels": 2}
        for _ in range(10):
            await client.send(json.dumps(message))
        await until(client, "bidi_response_complete")


class Pipe:
    """An ASGI connection whose client takes what is sent only when it is told to."""

    def __init__(self) -> None:
        self.incoming: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.incoming.put_nowait({"type": "websocket.connect"})
        self.sent: list[dict[str, Any]] = []
        self.open = asyncio.Event()
        self.open.set()

    async def receive(self) -> dict[str, Any]:
        return await self.incoming.get()

    async def send(self, message: dict[str, Any]) -> None:
        await self.open.wait()
        self.sent.append(message)

    def types(self) -> list[str]:
        return [json.loads(message["text"])["type"] for message in self.sent if "text" in message]


async def test_an_interruption_overtakes_the_audio_that_a_slow_client_has_not_taken():
    pipe = Pipe()
    output = WebSocketIO((pipe.receive, pipe.send)).output()
    await output.start(ListeningAgent())
    pipe.open.clear()
    for _ in range(50):
        await output(BidiAudioStreamEvent.from_data(bytes(640), 16000, "r"))
    await asyncio.sleep(0)
    await output(BidiInterruptionEvent("user_speech"))
    pipe.open.set()
    await output.stop()
    assert pipe.types().count("bidi_audio_stream") <= 1
    assert pipe.types()[-1] == "bidi_interruption"
    assert pipe.sent[-1] == {"type": "websocket.close", "code": 1000, "reason": ""}


async def test_a_client_that_takes_nothing_does_not_keep_the_output_from_stopping(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "FLUSH_S", 0.05)
    pipe = Pipe()
    output = WebSocketIO((pipe.receive, pipe.send)).output()
    await output.start(ListeningAgent())
    pipe.open.clear()
    await output(BidiInterruptionEvent("user_speech"))
    async with asyncio.timeout(10):
        await output.stop()


async def test_without_an_input_the_client_is_told_that_none_is_taken():
    pipe = Pipe()
    agent = ListeningAgent()
    output = WebSocketIO((pipe.receive, pipe.send)).output()
    await output.start(agent)
    pipe.incoming.put_nowait({"type": "websocket.receive", "text": '{"type": "bidi_text_input", "text": "x"}'})
    pipe.incoming.put_nowait({"type": "websocket.receive", "text": '{"type":"played","response_id":"r","samples":5}'})
    while not agent.reports:
        await asyncio.sleep(0)
    await output.stop()
    assert agent.reports == [("r", 5, False)]
    assert "takes no input" in pipe.sent[1]["text"]


async def test_a_client_that_is_gone_before_the_conversation_starts_ends_it_without_an_error():
    async def receive() -> dict[str, Any]:
        return {"type": "websocket.disconnect", "code": 1006}

    async def send(message: dict[str, Any]) -> None:
        raise OSError("the client is gone")

    channel = WebSocketIO((receive, send))
    async with asyncio.timeout(10):
        await BidiAgent(ScriptedModel()).run(inputs=[channel.input()], outputs=[channel.output()])


async def test_the_agent_goes_on_without_the_client_where_that_is_wanted():
    pipe, agent = Pipe(), ListeningAgent()
    channel = WebSocketIO((pipe.receive, pipe.send), stop_agent=False)
    source, output = channel.input(), channel.output()
    await source.start(agent)
    await output.start(agent)
    pipe.incoming.put_nowait({"type": "websocket.receive", "text": '{"type": "bidi_text_input", "text": "last"}'})
    pipe.incoming.put_nowait({"type": "websocket.disconnect", "code": 1001})
    assert await source() == BidiTextInputEvent("last")
    with pytest.raises(StopAsyncIteration):
        await source()
    await output(BidiInterruptionEvent("user_speech"))
    await source.stop()
    await output.stop()
    assert agent.stops == 0
    assert pipe.types() == []


def test_what_is_no_websocket_is_refused():
    with pytest.raises(TypeError, match="int is not a WebSocket"):
        WebSocketIO(3)
    with pytest.raises(InvalidInputError, match="max_message_size"):
        WebSocketIO((print, print), max_message_size=0)


async def test_an_asgi_app_makes_an_agent_for_every_connection():
    scopes: list[Any] = []

    async def make(scope: Any) -> BidiAgent | None:
        scopes.append(scope)
        return None if scope["path"] == "/no" else BidiAgent(ScriptedModel(expect_text("Hello"), say("Hi.")))

    async with asyncio.timeout(30), uvicorn_server(bidi_asgi_app(make, binary=True)) as url:
        async with websockets.connect(url) as client:
            await say_text(client, "Hello")
            await until(client, "bidi_response_complete")
        with pytest.raises(websockets.InvalidStatus):
            await websockets.connect(f"{url}no")
        assert len(scopes) == 2
        with pytest.raises(websockets.InvalidStatus):
            await websockets.connect(url, origin="https://evil.example")  # type: ignore[arg-type]
        assert len(scopes) == 2
        same = url.replace("ws:", "http:").rstrip("/")
        async with websockets.connect(url, origin=same) as client:  # type: ignore[arg-type]
            await until(client, "bidi_connection_start")


async def test_an_asgi_app_takes_a_plain_function_and_named_origins():
    app = bidi_asgi_app(lambda: BidiAgent(ScriptedModel()), origins=["https://good.example"])
    async with (
        asyncio.timeout(30),
        uvicorn_server(app) as url,
        websockets.connect(url, origin="https://good.example") as client,  # type: ignore[arg-type]
    ):
        await until(client, "bidi_connection_start")


async def test_an_asgi_app_answers_lifespan_and_http():
    app = bidi_asgi_app(lambda: None)
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {}

    await app({"type": "lifespan"}, receive, send)
    await app({"type": "http"}, receive, send)
    assert [message["type"] for message in sent[:2]] == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    assert sent[2]["status"] == 426
