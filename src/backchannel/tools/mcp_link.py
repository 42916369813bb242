"""The link to an MCP server: a connection that a thread of its own holds, made again when it was lost."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import importlib
import logging
import math
import threading
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from concurrent.futures import Future
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, TypeAlias, TypeVar

import anyio
from mcp.shared.exceptions import MCPError
from mcp.types import CONNECTION_CLOSED, PaginatedRequestParams, Tool, ToolListChangedNotification

from ..errors import BackchannelError

__all__ = ["MCPLink", "OnProgress", "ServerLostError", "noticing_the_end"]

_log = logging.getLogger(__name__)
_T = TypeVar("_T")

OnProgress: TypeAlias = Callable[[float, float | None, str | None], Awaitable[None]]
Open: TypeAlias = Callable[[Callable[[], None], Callable[[Any], Awaitable[None]]], AbstractAsyncContextManager[Any]]
"""``open(over, on_message)``: a client; ``over`` is to be called when the server has ended the connection."""

PAGES = 200
"""Pages of a server's list of tools that are read."""

CLOSE_S = 10.0
"""How long closing waits for a server to end, seconds."""

GOODBYE_S = 1.0
"""How long a server on the network may take to be told of the end, seconds."""

RETRY_S = (1.0, 60.0)
"""Shortest and longest pause before a lost stream of news is opened again, seconds."""


class ServerLostError(BackchannelError):
    """The connection to an MCP server ended during a call."""


class _Connection:
    """One connection: it stays until it is over, or until it is stale and has no calls."""

    def __init__(self) -> None:
        self.client: Any = None
        self.tools: list[Tool] = []
        self.over = asyncio.Event()
        self.scope = anyio.CancelScope()
        self.calls = 0
        self.stale = False

    @property
    def usable(self) -> bool:
        return not self.stale and not self.over.is_set()

    def retire(self) -> None:
        """Take no more calls; those under way come to their end."""
        self.stale = True
        if not self.calls:
            self.over.set()


class MCPLink:
    """Calls of one server, from any thread and any event loop.

    Args:
        name: What to call the server in errors.
        open: Makes a connection, see `Open`.
        timeout_s: How long a server may take to answer at the beginning, seconds.
        on_tools: Told when the server has other tools, in the link's thread.
    """

    def __init__(self, name: str, open: Open, timeout_s: float, on_tools: Callable[[Sequence[Tool]], None]) -> None:
        self.name = name
        self._open = open
        self._timeout_s = timeout_s
        self._on_tools = on_tools
        self._lock = threading.Lock()
        self._running: tuple[threading.Thread, asyncio.AbstractEventLoop, asyncio.Event] | None = None
        self._connection: _Connection | None = None
        self._connecting = asyncio.Lock()
        self._holders: dict[asyncio.Task[None], _Connection] = {}
        self._refreshing: set[asyncio.Task[None]] = set()
        _links.add(self)

    def submit(self, work: Callable[[], Coroutine[Any, Any, _T]]) -> Future[_T]:
        """Run a coroutine on the link's loop; the thread is started for it if there is none."""
        with self._lock:
            if self._running is None:
                self._connection, self._connecting, self._holders = None, asyncio.Lock(), {}
                loop, closing = asyncio.new_event_loop(), asyncio.Event()
                thread = threading.Thread(
                    target=self._run, args=(loop, closing), name=f"backchannel-mcp-{self.name}", daemon=True
                )
                self._running = (thread, loop, closing)
                thread.start()
            return asyncio.run_coroutine_threadsafe(work(), self._running[1])

    async def tools(self) -> list[Tool]:
        """Return the server's tools; connects first. On the link's loop."""
        return (await self._connected()).tools

    async def call(self, name: str, arguments: dict[str, Any], on_progress: OnProgress) -> Any:
        """Call a tool. On the link's loop.

        Raises:
            ServerLostError: If the connection ended meanwhile; the next call makes a new one.
        """
        for attempt in (1, 2):
            connection = await self._connected()
            connection.calls += 1
            try:
                return await connection.client.call_tool(name, arguments, progress_callback=on_progress)
            except Exception as error:
                if not connection.over.is_set() and not _is_lost(error):
                    raise
                connection.stale = True
                # A server that does not know the session has not looked at the call.
                if attempt == 1 and isinstance(error, MCPError) and error.message in _NO_SESSION:
                    continue
                raise ServerLostError(
                    f"the MCP server {self.name} ended or lost its connection during the call; "
                    "whether it has done its work is not known. The next call connects again"
                ) from error
            finally:
                connection.calls -= 1
                if connection.stale:
                    connection.retire()
        raise AssertionError("unreachable")

    def close(self) -> None:
        """End the connection, the server if we started it, and the thread. Safe twice, and from any thread."""
        thread = self.let_go()
        if thread is not None and thread is not threading.current_thread():
            thread.join(CLOSE_S)
            if thread.is_alive():
                _log.warning("the MCP server %s does not end; it is left alone", self.name)

    def let_go(self) -> threading.Thread | None:
        """Order the end without waiting for it; returns the thread that comes to its end."""
        with self._lock:
            running, self._running = self._running, None
        if running is None:
            return None
        thread, loop, closing = running
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(closing.set)
        return thread

    def _run(self, loop: asyncio.AbstractEventLoop, closing: asyncio.Event) -> None:
        try:
            with asyncio.Runner(loop_factory=lambda: loop) as runner:
                runner.run(self._main(closing, self._holders))
        except RuntimeError:  # at the interpreter's exit no thread can be started for the clean-up
            _log.debug("the link to the MCP server %s ended early", self.name, exc_info=True)

    async def _main(self, closing: asyncio.Event, holders: dict[asyncio.Task[None], _Connection]) -> None:
        await closing.wait()
        for connection in holders.values():
            connection.over.set()
            # Shutting a server down is shielded from this; saying goodbye over the network is not.
            connection.scope.deadline = anyio.current_time() + (GOODBYE_S if connection.client is not None else 0)
        await asyncio.gather(*holders, return_exceptions=True)

    async def _connected(self) -> _Connection:
        async with self._connecting:
            if self._connection is None or not self._connection.usable:
                if self._connection is not None:
                    self._connection.retire()
                self._connection = None
                self._connection = await self._connect()
            return self._connection

    async def _connect(self) -> _Connection:
        connection = _Connection()
        ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        holder = asyncio.create_task(self._hold(connection, ready), name="backchannel-mcp-connection")
        holders = self._holders
        holders[holder] = connection
        holder.add_done_callback(lambda done: holders.pop(done, None))
        try:
            await ready
        except asyncio.CancelledError:
            connection.scope.cancel()
            raise
        return connection

    async def _hold(self, connection: _Connection, ready: asyncio.Future[None]) -> None:
        """Hold a connection from its beginning to its end, in one task as its scopes want it."""
        failure: BaseException | None = None
        connection.scope.deadline = anyio.current_time() + self._timeout_s
        try:
            with connection.scope:
                async with self._open(connection.over.set, lambda message: self._heard(connection, message)) as client:
                    connection.client = client
                    connection.tools = await _tools_of(client)
                    connection.scope.deadline = math.inf
                    if any(tool.output_schema for tool in connection.tools):
                        # The client needs it at the first result; loading it then would make the voice stutter.
                        importlib.import_module("jsonschema")
                    if not ready.done():
                        ready.set_result(None)
                    async with anyio.create_task_group() as group:
                        group.start_soon(self._listen, connection)
                        await connection.over.wait()
                        group.cancel_scope.cancel()
            if connection.scope.cancelled_caught:
                failure = TimeoutError(f"it did not answer within {self._timeout_s:g} seconds")
        except Exception as error:  # noqa: BLE001 - told to whoever waits for the connection
            failure = _single(error)
        finally:
            connection.over.set()
            if not ready.done():
                ready.set_exception(failure or ConnectionError("it ended before it said what it can do"))
            elif failure is not None:
                _log.debug("the connection to the MCP server %s ended: %s", self.name, failure)

    async def _heard(self, connection: _Connection, message: Any) -> None:
        if isinstance(message, ToolListChangedNotification):
            task = asyncio.create_task(self._refresh(connection))
            self._refreshing.add(task)
            task.add_done_callback(self._refreshing.discard)

    async def _listen(self, connection: _Connection) -> None:
        """Hear of other tools from servers of the newer protocol, which tell it only to those who ask."""
        listen = getattr(connection.client, "listen", None)
        pause, longest = RETRY_S
        while listen is not None:
            try:
                async with listen(tools_list_changed=True) as news:
                    pause = RETRY_S[0]
                    async for _ in news:
                        await self._refresh(connection)
                return
            except Exception as error:  # noqa: BLE001 - whatever it is, there is no news
                if not (_is_lost(error) or type(error).__name__ == "SubscriptionLost"):
                    return
            await anyio.sleep(pause)
            pause = min(pause * 2, longest)

    async def _refresh(self, connection: _Connection) -> None:
        try:
            tools = await _tools_of(connection.client)
        except Exception as error:  # noqa: BLE001 - the tools stay as they are known
            _log.warning("the MCP server %s has other tools, but does not say which: %s", self.name, error)
            return
        if tools != connection.tools:
            connection.tools = tools
            self._on_tools(tools)


@asynccontextmanager
async def noticing_the_end(
    transport: AbstractAsyncContextManager[Any], over: Callable[[], None]
) -> AsyncIterator[tuple[Any, Any]]:
    """Pass a transport's streams on, and call ``over`` when the server has closed its side."""
    async with transport as (read, write):
        send, receive = anyio.create_memory_object_stream[Any](0)

        async def forward() -> None:
            with contextlib.suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
                async with send:
                    async for message in read:
                        await send.send(message)
            over()

        async with receive, anyio.create_task_group() as group:
            group.start_soon(forward)
            yield receive, write
            group.cancel_scope.cancel()


async def _tools_of(client: Any) -> list[Tool]:
    session = getattr(client, "session", client)
    found: list[Tool] = []
    cursor: str | None = None
    for _ in range(PAGES):
        page = await session.list_tools(params=PaginatedRequestParams(cursor=cursor))
        found.extend(page.tools)
        if not page.next_cursor or page.next_cursor == cursor:
            break
        cursor = page.next_cursor
    return found


_NO_SESSION = ("Session terminated", "Session not found")


def _is_lost(error: BaseException) -> bool:
    error = _single(error)
    if isinstance(error, MCPError):
        return error.code == CONNECTION_CLOSED or error.message in _NO_SESSION
    return isinstance(error, (OSError, anyio.ClosedResourceError, anyio.BrokenResourceError, anyio.EndOfStream))


def _single(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


_links: weakref.WeakSet[MCPLink] = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
    """No server that was started here outlives the interpreter."""
    for thread in [link.let_go() for link in list(_links)]:
        if thread is not None:
            thread.join(CLOSE_S)
