"""An ASGI app that serves an agent of its own to every WebSocket, so that a web page or a phone can talk to it."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Awaitable, Callable, Collection
from typing import Any

from .origins import check_origins, refusal
from .sockets import handshake_of
from .websocket import WebSocketIO

__all__ = ["bidi_asgi_app"]

_log = logging.getLogger(__name__)


def bidi_asgi_app(
    make_agent: Callable[..., Any], *, origins: Collection[str] = (), **options: Any
) -> Callable[[Any, Any, Any], Awaitable[None]]:
    """Return the app; serve it with uvicorn, or mount it in FastAPI or Starlette.

    Args:
        make_agent: Called for every connection, with ASGI's ``scope`` if a parameter has that name. Returns the
            agent, or None to refuse; may be async.
        origins: Web pages that may connect, as in ``"https://example.org"``, besides those of the same host; ``"*"``
            for all. Clients that are no web page say no origin and are let in.
        **options: Of `WebSocketIO`.

    Raises:
        InvalidInputError: If ``origins`` holds something else.
    """
    known = check_origins(origins)
    with_scope = "scope" in inspect.signature(make_agent).parameters

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            for stage in ("startup", "shutdown"):
                await receive()
                await send({"type": f"lifespan.{stage}.complete"})
        elif scope["type"] == "http":
            headers = [(b"content-type", b"text/plain"), (b"upgrade", b"websocket")]
            await send({"type": "http.response.start", "status": 426, "headers": headers})
            await send({"type": "http.response.body", "body": b"Connect by WebSocket."})
        else:
            agent = None
            if why := refusal(handshake_of(scope), known):
                _log.warning("a WebSocket was refused: %s", why)
            else:
                agent = make_agent(scope) if with_scope else make_agent()
                agent = await agent if inspect.isawaitable(agent) else agent
            if agent is None:
                await receive()
                await send({"type": "websocket.close", "code": 1008, "reason": "not allowed"})
                return
            channel = WebSocketIO((scope, receive, send), origins=origins, **options)
            await agent.run(inputs=[channel.input()], outputs=[channel.output()])

    return app
