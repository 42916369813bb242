from __future__ import annotations

import json
import logging
import socket
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("jupyter_server")

from jupyter_server.auth import AllowAllAuthorizer, IdentityProvider
from jupyter_server.services.kernels.websocket import KernelWebsocketHandler
from tornado.httpclient import AsyncHTTPClient, HTTPResponse
from tornado.httpserver import HTTPServer
from tornado.testing import bind_unused_port
from tornado.web import Application
from tornado.websocket import WebSocketHandler, websocket_connect

from backchannel import server_extension

TOKEN = "a token for the test"


class Server:
    """A real tornado application that the extension was loaded into."""

    def __init__(self) -> None:
        log = logging.getLogger("test_server_extension")
        provider = IdentityProvider(token=TOKEN)
        self.app = Application(
            base_url="/base/",
            identity_provider=provider,
            authorizer=AllowAllAuthorizer(identity_provider=provider),
            cookie_secret=b"secret",
            log=log,
            jinja2_env=None,
            login_url="/login",
            headers={},
        )
        server_extension._load_jupyter_server_extension(SimpleNamespace(web_app=self.app, log=log))
        sock, self.port = bind_unused_port()
        self.http = HTTPServer(self.app)
        self.http.add_sockets([sock])

    async def get(self, path: str, **headers: str) -> HTTPResponse:
        url = f"http://127.0.0.1:{self.port}{path}"
        return await AsyncHTTPClient().fetch(url, headers=headers, raise_error=False, follow_redirects=False)


@pytest.fixture
async def server(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Server]:
    monkeypatch.setattr(KernelWebsocketHandler, "open", KernelWebsocketHandler.open)
    server = Server()
    yield server
    server.http.stop()
    await server.http.close_all_connections()


async def test_who_is_logged_in_is_told_that_the_delay_is_off(server: Server) -> None:
    response = await server.get("/base/backchannel/status", Authorization=f"token {TOKEN}")
    assert response.code == 200
    assert json.loads(response.body)["nodelay"] is True


async def test_nobody_else_is_told_anything(server: Server) -> None:
    response = await server.get("/base/backchannel/status")
    assert response.code in (302, 403)
    assert b"nodelay" not in (response.body or b"")


async def test_a_websocket_of_a_tuned_handler_sends_small_messages_at_once() -> None:
    seen: list[int] = []

    class Handler(WebSocketHandler):
        def open(self, *args: str) -> None:
            raw: Any = self.ws_connection
            seen.append(raw.stream.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            self.close()

    assert server_extension.without_delay(Handler)
    sock, port = bind_unused_port()
    http = HTTPServer(Application([("/", Handler)]))
    http.add_sockets([sock])
    connection = await websocket_connect(f"ws://127.0.0.1:{port}/")
    assert await connection.read_message() is None
    connection.close()
    http.stop()
    await http.close_all_connections()
    assert seen
    assert seen[0] != 0


def test_tuning_twice_changes_nothing_more() -> None:
    class Handler(WebSocketHandler):
        pass

    assert server_extension.without_delay(Handler)
    tuned = Handler.open
    assert server_extension.without_delay(Handler)
    assert Handler.open is tuned


def test_a_handler_that_cannot_be_tuned_is_left_as_it_is() -> None:
    class Handler:
        pass

    assert not server_extension.without_delay(Handler)
    assert not hasattr(Handler, "open")


def test_a_connection_that_refuses_the_tuning_is_opened_all_the_same(caplog: pytest.LogCaptureFixture) -> None:
    class Handler:
        log = logging.getLogger("test_server_extension")
        opened = ""

        def set_nodelay(self, value: bool) -> None:
            raise OSError("no such option")

        def open(self, kernel_id: str) -> None:
            self.opened = kernel_id

    assert server_extension.without_delay(Handler)
    handler = Handler()
    handler.open("k1")
    assert handler.opened == "k1"
    assert "keeps its delay: no such option" in caplog.text


def test_jupyter_server_finds_the_extension() -> None:
    (point,) = server_extension._jupyter_server_extension_points()
    assert point == {"module": "backchannel.server_extension"}
