"""WebSockets of several libraries behind one small interface. None of them is imported."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

from .origins import Handshake

__all__ = ["Socket", "handshake_of", "socket_of"]


class Socket(Protocol):
    """One connection. ``receive`` returns None when it is closed; ``send`` raises whatever its library raises then."""

    @property
    def handshake(self) -> Handshake: ...
    async def accept(self) -> None: ...
    async def receive(self) -> str | bytes | None: ...
    async def send(self, data: str | bytes) -> None: ...
    async def close(self, code: int, reason: str) -> None: ...


def socket_of(websocket: Any) -> Socket:
    """Return the interface to a WebSocket.

    Args:
        websocket: Of Starlette or FastAPI, of aiohttp (server or client), of ``websockets`` (asyncio), or
            ``(scope, receive, send)`` of ASGI, of which nothing was received yet. The pair ``(receive, send)`` is
            taken, too, but does not say which page asks.

    Raises:
        TypeError: If it is none of these.
    """
    if isinstance(websocket, tuple) and len(websocket) in (2, 3) and all(map(callable, websocket[-2:])):
        receive, send = websocket[-2:]
        return _Asgi(receive, send, websocket[0] if len(websocket) == 3 else None)
    if _has(websocket, "receive", "send", "accept") and hasattr(websocket, "application_state"):
        return _Starlette(websocket)
    if _has(websocket, "receive", "send_str", "send_bytes", "close"):
        return _Aiohttp(websocket)
    if _has(websocket, "recv", "send", "close") and inspect.iscoroutinefunction(websocket.recv):
        return _Websockets(websocket)
    raise TypeError(
        f"{type(websocket).__name__} is not a WebSocket that WebSocketIO knows; give it one of Starlette, FastAPI, "
        "aiohttp or websockets (asyncio), or (scope, receive, send) of ASGI"
    )


def handshake_of(scope: Mapping[str, Any]) -> Handshake:
    """Return what a client asked with, by the scope of ASGI."""
    headers = [(bytes(name).lower(), bytes(value).decode("latin-1")) for name, value in scope.get("headers") or ()]
    hosts = [value for name, value in headers if name == b"host"]
    return Handshake(
        tuple(value for name, value in headers if name == b"origin"),
        hosts[0] if len(hosts) == 1 else "",
        _address(scope.get("server")),
    )


def _address(server: Any) -> str:
    """Return the host of a socket's address; "" where it has none."""
    return str(server[0]) if isinstance(server, list | tuple) and server else ""


def _has(websocket: Any, *names: str) -> bool:
    return all(callable(getattr(websocket, name, None)) for name in names)


class _Asgi:
    """https://asgi.readthedocs.io/en/latest/specs/www.html#websocket"""

    def __init__(
        self,
        receive: Callable[[], Awaitable[dict[str, Any]]],
        send: Callable[[dict[str, Any]], Awaitable[None]],
        scope: Any = None,
    ) -> None:
        self._receive, self._send = receive, send
        self.handshake = handshake_of(scope) if isinstance(scope, Mapping) else Handshake()

    async def accept(self) -> None:
        message = await self._receive()
        if message["type"] == "websocket.connect":
            await self._send({"type": "websocket.accept"})

    async def receive(self) -> str | bytes | None:
        message = await self._receive()
        if message["type"] != "websocket.receive":
            return None
        text: str | None = message.get("text")
        data: bytes = message.get("bytes") or b""
        return data if text is None else text

    async def send(self, data: str | bytes) -> None:
        await self._send({"type": "websocket.send", "text" if isinstance(data, str) else "bytes": data})

    async def close(self, code: int, reason: str) -> None:
        with contextlib.suppress(Exception):  # Closed already, in the words of whichever server.
            await self._send({"type": "websocket.close", "code": code, "reason": reason})


class _Starlette(_Asgi):
    def __init__(self, websocket: Any) -> None:
        super().__init__(websocket.receive, websocket.send, getattr(websocket, "scope", None))
        self._websocket = websocket

    async def accept(self) -> None:
        if self._websocket.application_state.name == "CONNECTING":
            await self._websocket.accept()


class _Aiohttp:
    def __init__(self, websocket: Any) -> None:
        self._websocket = websocket
        # A server's; aiohttp has no public name for it.
        request = getattr(websocket, "_req", None)
        unknown = hasattr(websocket, "prepare") and not hasattr(websocket, "_req")
        self.handshake = Handshake(("unknown",)) if unknown else Handshake()
        if request is not None:
            transport = getattr(request, "transport", None)
            server = transport.get_extra_info("sockname") if transport is not None else None
            headers = request.headers
            self.handshake = Handshake(tuple(headers.getall("Origin", ())), headers.get("Host", ""), _address(server))

    async def accept(self) -> None:
        pass  # ``prepare(request)`` has done it.

    async def receive(self) -> str | bytes | None:
        message = await self._websocket.receive()
        return message.data if message.type.name in ("TEXT", "BINARY") else None

    async def send(self, data: str | bytes) -> None:
        await (self._websocket.send_str(data) if isinstance(data, str) else self._websocket.send_bytes(data))

    async def close(self, code: int, reason: str) -> None:
        with contextlib.suppress(Exception):
            await self._websocket.close(code=code, message=reason.encode())


def _headers_asked_with(websocket: Any) -> Any:
    """Return the headers of the client's request, of any server's connection of ``websockets``; None at a client."""
    if getattr(websocket, "is_client", False) or "ClientConnection" in {
        kind.__name__ for kind in type(websocket).__mro__
    }:
        return None
    request = getattr(websocket, "request", None)
    # Before version 14 the connection had them itself.
    return getattr(websocket, "request_headers", None) if request is None else request.headers


class _Websockets:
    def __init__(self, websocket: Any) -> None:
        self._websocket = websocket
        self.handshake = Handshake()
        headers = _headers_asked_with(websocket)
        if headers is not None:
            hosts = headers.get_all("Host")
            self.handshake = Handshake(
                tuple(headers.get_all("Origin")),
                hosts[0] if len(hosts) == 1 else "",
                _address(getattr(websocket, "local_address", None)),
            )

    async def accept(self) -> None:
        pass  # The handshake came before the handler.

    async def receive(self) -> str | bytes | None:
        try:
            message: str | bytes = await self._websocket.recv()
        except Exception as error:
            if type(error).__name__.startswith("ConnectionClosed"):
                return None
            raise
        return message

    async def send(self, data: str | bytes) -> None:
        await self._websocket.send(data)

    async def close(self, code: int, reason: str) -> None:
        with contextlib.suppress(Exception):
            await self._websocket.close(code, reason)
