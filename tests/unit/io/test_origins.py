"""Which web pages may open a WebSocket."""

from __future__ import annotations

from typing import Any

import aiohttp.web
import pytest
import websockets
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket
from websockets.asyncio.server import ServerConnection

from backchannel import BidiAgent, ScriptedModel
from backchannel.errors import InvalidInputError
from backchannel.io import WebSocketIO
from backchannel.io.origins import Handshake, check_origins, refusal
from backchannel.io.sockets import socket_of

from .test_websocket import uvicorn_server as serving

LOCAL = "127.0.0.1"


@pytest.mark.parametrize(
    ("origin", "host", "server"),
    [
        ("http://localhost:8000", "localhost:8000", LOCAL),
        ("http://LocalHost:8000", "localhost:8000", LOCAL),
        ("http://127.0.0.1:8000", "127.0.0.1:8000", LOCAL),
        ("http://[::1]:8000", "[::1]:8000", "::1"),
        ("http://app.localhost:8000", "app.localhost:8000", LOCAL),
        ("http://localhost", "localhost:80", LOCAL),
        ("https://localhost:443", "localhost", LOCAL),
        ("https://talk.example.org", "talk.example.org", "192.0.2.7"),
        ("https://talk.example.org", "talk.example.org:443", ""),
    ],
)
def test_a_page_of_the_same_host_is_let_in(origin: str, host: str, server: str):
    assert refusal(Handshake((origin,), host, server), ()) == ""


def test_a_client_that_is_no_page_is_let_in():
    assert refusal(Handshake((), "anything", LOCAL), ()) == ""


@pytest.mark.parametrize(
    ("origin", "host", "server"),
    [
        ("http://evil.example", "localhost:8000", LOCAL),
        ("http://localhost:8001", "localhost:8000", LOCAL),
        ("http://localhost.evil.example:8000", "localhost:8000", LOCAL),
        ("http://localhost:8000.evil.example", "localhost:8000", LOCAL),
        ("https://evil.example", "talk.example.org", "192.0.2.7"),
        ("http://localhost:8000", "", LOCAL),
    ],
)
def test_a_page_of_another_host_is_refused(origin: str, host: str, server: str):
    assert refusal(Handshake((origin,), host, server), ())


@pytest.mark.parametrize("server", [LOCAL, "127.8.8.8", "::1", "localhost", "::ffff:127.0.0.1"])
def test_a_name_that_leads_to_the_loopback_interface_is_no_same_host(server: str):
    asked = Handshake(("http://evil.example:8000",), "evil.example:8000", server)
    assert "on the loopback interface" in refusal(asked, ())
    assert refusal(asked, check_origins(["http://evil.example:8000"])) == ""


@pytest.mark.parametrize(
    "origin",
    [
        "null", "", " ", "localhost:8000", "http://", "http:///", "http://localhost:8000/", "http://localhost:8000/x",
        "http://user@localhost:8000", "http://localhost:8000@evil.example", "http://localhost:99999",
        "http://localhost:x", "http://localhost:", "http://local host:8000", "http://localhost:8000\\@evil",
        "http://localhost:8000#x", "http://localhost:8000?x", "//localhost:8000", "http://löcalhost:8000",
        "http://localhost:8000, http://evil.example", "http://localhost:8000\x00", "http://[::1", "a" * 10_000,
    ],
)  # fmt: skip
def test_a_malformed_origin_is_refused(origin: str):
    assert refusal(Handshake((origin,), "localhost:8000", LOCAL), ())
    if origin != "null":
        assert refusal(Handshake((origin,), "localhost:8000", LOCAL), check_origins(["*"]))


def test_several_origins_are_refused():
    assert refusal(Handshake(("http://localhost", "http://localhost"), "localhost", LOCAL), ())


def test_named_pages_are_let_in_however_their_port_is_written():
    known = check_origins(["https://Example.org"])
    for origin in ("https://example.org", "https://EXAMPLE.org:443"):
        assert refusal(Handshake((origin,), "localhost", LOCAL), known) == ""
    for origin in ("http://example.org", "https://example.org:444", "https://www.example.org"):
        assert "origins=" in refusal(Handshake((origin,), "localhost", LOCAL), known)


def test_a_star_lets_all_pages_in():
    known = check_origins(["*"])
    for origin in ("https://any.example", "null"):
        assert refusal(Handshake((origin,), "localhost", LOCAL), known) == ""


@pytest.mark.parametrize("origins", ["https://example.org", None, 7, ["example.org"], ["https://example.org/x"], [7]])
def test_what_is_no_list_of_origins_is_refused_at_once(origins: Any):
    with pytest.raises(InvalidInputError, match="origins"):
        check_origins(origins)


@given(st.text(max_size=80), st.text(max_size=40))
def test_no_text_raises_and_only_the_same_host_is_let_in(origin: str, host: str):
    if refusal(Handshake((origin,), host, LOCAL), ()) == "":
        assert host.partition(":")[0].lower() in origin.lower()


async def talk(websocket: WebSocket) -> None:
    channel = WebSocketIO(websocket)
    await BidiAgent(ScriptedModel()).run(inputs=[channel.input()], outputs=[channel.output()])


@pytest.mark.parametrize("origin", ["http://evil.example", "null"])
async def test_the_documented_starlette_route_refuses_other_pages(origin: Any, caplog: pytest.LogCaptureFixture):
    async with serving(Starlette(routes=[WebSocketRoute("/talk", talk)])) as url:
        with pytest.raises(websockets.InvalidStatus):
            await websockets.connect(f"{url}talk", origin=origin)
        same: Any = url.replace("ws://", "http://").rstrip("/")
        async with websockets.connect(f"{url}talk", origin=same) as client:
            assert "bidi_connection_start" in await client.recv()
    assert "a WebSocket was refused" in caplog.text


async def test_an_aiohttp_handler_refuses_other_pages():
    async def handle(request: aiohttp.web.Request) -> aiohttp.web.WebSocketResponse:
        websocket = aiohttp.web.WebSocketResponse()
        await websocket.prepare(request)
        await talk(websocket)  # type: ignore[arg-type]
        return websocket

    app = aiohttp.web.Application()
    app.router.add_get("/talk", handle)
    runner = aiohttp.web.AppRunner(app)
    await runner.setup()
    site = aiohttp.web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    try:
        evil: Any = "http://evil.example"
        async with websockets.connect(f"ws://127.0.0.1:{port}/talk", origin=evil) as client:
            with pytest.raises(websockets.ConnectionClosedError, match="1008"):
                await client.recv()
        same: Any = f"http://127.0.0.1:{port}"
        async with websockets.connect(f"ws://127.0.0.1:{port}/talk", origin=same) as client:
            assert "bidi_connection_start" in await client.recv()
    finally:
        await runner.cleanup()


async def test_a_handler_of_websockets_refuses_other_pages():
    async with websockets.serve(talk, "127.0.0.1", 0) as server:  # type: ignore[arg-type]
        port = next(iter(server.sockets)).getsockname()[1]
        evil: Any = f"http://evil.example:{port}"
        async with websockets.connect(f"ws://127.0.0.1:{port}", origin=evil) as client:
            with pytest.raises(websockets.ConnectionClosedError, match="1008"):
                await client.recv()
        async with websockets.connect(f"ws://127.0.0.1:{port}") as client:
            assert "bidi_connection_start" in await client.recv()


class OwnConnection(ServerConnection):
    """As ``create_connection`` may be given."""


async def test_a_connection_class_of_ones_own_is_checked():
    async with websockets.serve(talk, "127.0.0.1", 0, create_connection=OwnConnection) as server:  # type: ignore[arg-type]
        await refused_and_let_in(next(iter(server.sockets)).getsockname()[1])


@pytest.mark.filterwarnings("ignore:.*deprecated:DeprecationWarning")
async def test_a_handler_of_the_older_websockets_is_checked():
    legacy = pytest.importorskip("websockets.legacy.server")
    async with legacy.serve(talk, "127.0.0.1", 0) as server:
        await refused_and_let_in(server.sockets[0].getsockname()[1])


async def refused_and_let_in(port: int) -> None:
    for page in ("http://evil.example", f"http://evil.example:{port}", "null"):
        origin: Any = page
        async with websockets.connect(f"ws://127.0.0.1:{port}", origin=origin) as client:
            with pytest.raises(websockets.ConnectionClosedError, match="1008"):
                await client.recv()
    same: Any = f"http://127.0.0.1:{port}"
    async with websockets.connect(f"ws://127.0.0.1:{port}", origin=same) as client:
        assert "bidi_connection_start" in await client.recv()


async def test_a_client_of_websockets_is_not_asked_for_its_own_origin():
    async def page(websocket: Any) -> None:
        await websocket.wait_closed()

    async with websockets.serve(page, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        own: Any = "http://own.example"
        async with websockets.connect(f"ws://127.0.0.1:{port}", origin=own) as client:
            assert socket_of(client).handshake == Handshake()
