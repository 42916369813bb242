"""Tools of MCP servers: local programs and servers on the network, by the official ``mcp`` package.

    agent = BidiAgent(tools=[MCPTools(command="uvx", args=["some-server"], prefix="some")])
    agent = BidiAgent(tools=[MCPTools(url="https://example.org/mcp", headers={"Authorization": "..."})])

The server is connected to when the agent is made, and left at ``close``, at the end of a ``with``, or at the
interpreter's exit. A server that ends during a call makes that call an error; the next call connects again.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import os
import re
import sys
import threading
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from .._version import __version__
from ..errors import MissingExtraError, ToolArgumentsError, ToolDefinitionError
from ..events import ToolResultEvent, ToolStreamEvent
from ..messages import ToolResult, ToolSpec, ToolUse
from ..paths import expanded
from .definition import check_definition, same_name
from .mcp_content import result_content
from .schema import check_schema
from .text import error_text
from .tool import AgentTool, error_event, is_being_cancelled

if TYPE_CHECKING:
    from mcp.types import Tool

    from .mcp_link import MCPLink

__all__ = ["MCPTool", "MCPTools"]

_log = logging.getLogger(__name__)
ANSWER_S = 30.0
"""How long a server on the network may take to accept a request, seconds."""

SILENCE_S = 3600.0
"""How long a call over the network may be without a word, seconds."""

_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_-]")


class MCPTools:
    """A provider of the tools that an MCP server has. Give one of the first three.

    Args:
        session_factory: Returns an async context manager that gives a connected ``mcp.Client`` or
            ``mcp.ClientSession``; asked again for each connection.
        command: Program to start; it speaks MCP on its standard input and output.
        url: Address of a server that speaks streamable HTTP.
        args: The program's arguments.
        env: Environment variables of the program, besides the few that are passed on (such as ``PATH``, ``HOME``).
        cwd: The program's working directory.
        headers: Headers of each request to ``url``, such as ``Authorization``.
        prefix: Put before the tools' names, with ``_`` between.
        timeout: How long the server may take to answer at the beginning, seconds.

    Raises:
        MissingExtraError: Without the extra ``mcp``.
        TypeError: If not exactly one of the first three is given.
    """

    def __init__(
        self,
        session_factory: Callable[[], AbstractAsyncContextManager[Any]] | None = None,
        *,
        command: str | None = None,
        url: str | None = None,
        args: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
        cwd: str | Path | None = None,
        headers: Mapping[str, str] | None = None,
        prefix: str = "",
        timeout: float = 30.0,
    ) -> None:
        try:
            from .mcp_link import MCPLink
        except ImportError as error:
            raise MissingExtraError("MCPTools", "mcp") from error
        if sum(given is not None for given in (session_factory, command, url)) != 1:
            raise TypeError("MCPTools takes one of command=..., url=..., or a function that returns a session")
        if isinstance(args, str):
            raise TypeError(f"MCPTools: args is a list of the program's arguments, not the text {args!r:.60}")
        self.prefix = prefix if not prefix or prefix.endswith(("_", "-")) else f"{prefix}_"
        opening: _Opening
        if command is not None:
            name = Path(command).name
            opening = _Program(command, list(args), dict(env or {}), cwd)
        elif url is not None:
            address = urlsplit(url)
            name = f"{address.hostname or url}{f':{address.port}' if address.port else ''}{address.path}"
            opening = _Address(url, dict(headers or {}))
        else:
            assert session_factory is not None
            name = getattr(session_factory, "__name__", type(session_factory).__name__)
            opening = _Given(session_factory)
        itself = weakref.ref(self)

        def changed(tools: Sequence[Tool]) -> None:
            if (alive := itself()) is not None:
                alive._changed(tools)

        self._link: MCPLink = MCPLink(name, opening, timeout, changed)
        self._lock = threading.Lock()
        self._closed = False
        self._known: dict[str, MCPTool] = {}
        self._subscribers: list[Callable[[Sequence[AgentTool]], object]] = []
        self._consumers: set[object] = set()
        weakref.finalize(self, self._link.let_go).atexit = False  # the link itself sees to that, and waits

    def __repr__(self) -> str:
        return f"<MCPTools {self._link.name}>"

    async def load_tools(self, **kwargs: Any) -> list[AgentTool]:
        """Return the server's tools; connects first where that is needed. Those that no model can use are left out.

        Raises:
            ToolDefinitionError: If there is no connection to be had; says why.
        """
        self._closed = False
        try:
            found = await asyncio.wrap_future(self._link.submit(self._link.tools))
        except Exception as error:
            raise ToolDefinitionError(self._unreachable(error)) from error
        return list(self._tools_from(found))

    def subscribe(self, callback: Callable[[Sequence[AgentTool]], object]) -> None:
        """Have ``callback`` called with all tools when the server says that they have changed, from any thread."""
        self._subscribers.append(callback)

    def add_consumer(self, consumer_id: object, **kwargs: Any) -> None:
        """Note who uses these tools."""
        self._consumers.add(consumer_id)

    def remove_consumer(self, consumer_id: object, **kwargs: Any) -> None:
        """Note who does not use these tools any more; closes when nobody does."""
        self._consumers.discard(consumer_id)
        if not self._consumers:
            self.close()

    def close(self) -> None:
        """End the connection, and the server if it was started here; waits for that. Safe twice."""
        self._closed = True
        self._link.close()

    def __enter__(self) -> MCPTools:
        self._closed = False
        try:
            self._link.submit(self._link.tools).result()
        except Exception as error:
            self.close()
            raise ToolDefinitionError(self._unreachable(error)) from error
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> MCPTools:
        try:
            await self.load_tools()
        except BaseException:
            await asyncio.to_thread(self.close)
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.to_thread(self.close)

    async def call(
        self, name: str, arguments: dict[str, Any], on_progress: Callable[[dict[str, Any]], None]
    ) -> ToolResult:
        """Call a tool by the server's own name for it; the result has no id of a call.

        Raises:
            ConnectionError: If the server is not there, or the connection ended during the call.
        """
        if self._closed:
            raise ConnectionError(f"the connection to the MCP server {self._link.name} was closed")

        async def progress(done: float, total: float | None, message: str | None) -> None:
            on_progress({"progress": done, "total": total, "message": message})

        link = self._link
        result = await asyncio.wrap_future(link.submit(lambda: link.call(name, arguments, progress)))
        return {
            "toolUseId": "",
            "status": "error" if result.is_error else "success",
            "content": result_content(result.content, result.structured_content),
        }

    def _unreachable(self, error: BaseException) -> str:
        said = f"{type(error).__name__}: {error_text(error, 400)}" if str(error) else type(error).__name__
        return f"the MCP server {self._link.name} cannot be used: {said}"

    def _tools_from(self, found: Sequence[Tool]) -> Sequence[MCPTool]:
        """Return the tools, the same objects for those that have not changed."""
        with self._lock:
            made: dict[str, MCPTool] = {}
            names: set[str] = set()
            for entry in found:
                try:
                    tool = MCPTool(self, entry, _free_name(self.prefix, entry.name, names))
                    check_definition(tool)
                except ToolDefinitionError as error:
                    _log.warning("a tool of the MCP server %s is left out: %s", self._link.name, error)
                    continue
                names.add(same_name(tool.tool_name))
                known = self._known.get(tool.tool_name)
                made[tool.tool_name] = known if known is not None and known.same_as(tool) else tool
            self._known = made
            return list(made.values())

    def _changed(self, found: Sequence[Tool]) -> None:
        tools = self._tools_from(found)
        for callback in list(self._subscribers):
            try:
                callback(tools)
            except Exception:  # noqa: BLE001 - whoever listens may raise anything
                _log.exception("the tools of the MCP server %s have changed, and could not be taken", self._link.name)


class MCPTool(AgentTool):
    """A tool of an MCP server."""

    def __init__(self, server: MCPTools, tool: Tool, name: str) -> None:
        super().__init__()
        self._server = server
        self._remote = tool.name
        description = tool.description or tool.title or tool.name.replace("_", " ")
        self._spec: ToolSpec = {"name": name, "description": description, "inputSchema": {"json": tool.input_schema}}
        self._check = check_schema(tool.input_schema, name)

    @property
    def tool_name(self) -> str:
        return self._spec["name"]

    @property
    def tool_spec(self) -> ToolSpec:
        return self._spec

    @property
    def tool_type(self) -> str:
        return "mcp"

    def same_as(self, other: MCPTool) -> bool:
        """Whether a model would see no difference."""
        return self._remote == other._remote and self._spec == other._spec

    async def stream(self, tool_use: ToolUse, invocation_state: dict[str, Any], **kwargs: Any) -> AsyncIterator[Any]:
        call_id = tool_use["toolUseId"]
        try:
            arguments = self._check(tool_use["input"])
        except ToolArgumentsError as error:
            yield error_event(call_id, error)
            return
        loop, news = asyncio.get_running_loop(), asyncio.Event()
        latest: list[dict[str, Any]] = []

        def take(progress: dict[str, Any]) -> None:
            latest[:] = [progress]
            news.set()

        def on_progress(progress: dict[str, Any]) -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody listens any more
                loop.call_soon_threadsafe(take, progress)

        running = asyncio.ensure_future(self._server.call(self._remote, arguments, on_progress))
        running.add_done_callback(lambda _: news.set())
        try:
            while not running.done() or latest:
                if latest:
                    yield ToolStreamEvent(tool_use, latest.pop())
                    continue
                news.clear()
                await news.wait()
            yield ToolResultEvent({**running.result(), "toolUseId": call_id})
        except asyncio.CancelledError as error:
            if is_being_cancelled():
                raise
            yield error_event(call_id, f"Error: the MCP tool was cancelled ({error_text(error)})")
        except Exception as error:  # noqa: BLE001 - a server may fail in any way
            yield error_event(call_id, error)
        finally:
            running.cancel()


def _free_name(prefix: str, name: str, taken: set[str]) -> str:
    """Return a name that models take: theirs may have dots, slashes, and twice as many letters."""
    plain = _NOT_IN_NAMES.sub("_", f"{prefix}{name}")
    if len(plain) > 64 or same_name(plain) in taken:
        plain = f"{plain[:55]}_{hashlib.sha256(name.encode('utf-8', 'replace')).hexdigest()[:8]}"
    return plain


_Opening = Callable[[Callable[[], None], Callable[[Any], Awaitable[None]]], AbstractAsyncContextManager[Any]]


class _Given:
    """Sessions that the user's function makes."""

    def __init__(self, factory: Callable[[], AbstractAsyncContextManager[Any]]) -> None:
        self._factory = factory

    def __call__(self, over: Callable[[], None], on_message: Any) -> AbstractAsyncContextManager[Any]:
        return self._factory()


class _Program:
    """A program that is started for the connection."""

    def __init__(self, command: str, args: list[str], env: dict[str, str], cwd: str | Path | None) -> None:
        self._options: dict[str, Any] = {
            "command": str(expanded(command)) if command.startswith("~") else command,
            "args": args,
            "env": env,
            "cwd": None if cwd is None else expanded(cwd),
        }

    @asynccontextmanager
    async def __call__(self, over: Callable[[], None], on_message: Any) -> AsyncIterator[Any]:
        from mcp.client.stdio import StdioServerParameters, stdio_client

        from .mcp_link import noticing_the_end

        with _error_output() as errors:
            transport = stdio_client(StdioServerParameters(**self._options), errlog=errors)
            async with _client(noticing_the_end(transport, over), on_message) as client:
                yield client


class _Address:
    """A server on the network."""

    def __init__(self, url: str, headers: dict[str, str]) -> None:
        self._url = url
        self._headers = headers

    @asynccontextmanager
    async def __call__(self, over: Callable[[], None], on_message: Any) -> AsyncIterator[Any]:
        import httpx2
        from mcp.client.streamable_http import streamable_http_client

        http = httpx2.AsyncClient(
            headers=self._headers, follow_redirects=True, timeout=httpx2.Timeout(ANSWER_S, read=SILENCE_S)
        )
        transport = streamable_http_client(self._url, http_client=http)
        async with http, _client(transport, on_message) as client:
            yield client


def _client(transport: Any, on_message: Any) -> Any:
    from mcp import Client
    from mcp.types import Implementation

    ourselves = Implementation(name="backchannel", version=__version__)
    return Client(transport, message_handler=on_message, client_info=ourselves, cache=None)


@contextlib.contextmanager
def _error_output() -> Any:
    """What a program writes to its error output goes to ours, where that is a file; in a notebook it is not."""
    for stream in (sys.stderr, sys.__stderr__):
        try:
            if stream is not None and stream.fileno() >= 0:
                yield stream
                return
        except (OSError, ValueError, AttributeError):
            continue
    with open(os.devnull, "w", encoding="utf-8") as nowhere:
        yield nowhere
