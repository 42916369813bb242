"""The registry: which tools an agent has now, by name."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import importlib
import importlib.util
import inspect
import logging
import os
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol, runtime_checkable

from ..errors import ToolDefinitionError
from ..messages import AgentTool, ToolSpec
from .schema import check_name
from .tool import FunctionTool

__all__ = ["ToolProvider", "ToolRegistry"]

_log = logging.getLogger(__name__)


@runtime_checkable
class ToolProvider(Protocol):
    """Something that has tools to offer, such as a connection to a server of tools."""

    async def load_tools(self, **kwargs: Any) -> Sequence[AgentTool]: ...


class ToolRegistry:
    """Tools by name, in the order of their coming. Safe to use from any thread."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._tools: dict[str, AgentTool] = {}
        self._listeners: list[Callable[[], object]] = []

    def process_tools(self, tools: Iterable[Any]) -> list[str]:
        """Add tools, all of them or, after an error, none; returns their names.

        Args:
            tools: Tools (ours, or any object with the same members), plain functions, modules with decorated
                functions, paths of Python files, importable names (``package.module`` or
                ``package.module:function``), providers, and lists of all these.

        Raises:
            ToolDefinitionError: If an entry is none of these, or two of them have one name.
        """
        found: dict[str, AgentTool] = {}
        for entry in _tools_in(tools):
            name = check_name(entry.tool_name)
            if name in found and found[name] is not entry:
                raise ToolDefinitionError(f"two tools have the name {name!r}: give one of them another with name=...")
            found[name] = entry
        self._put(found)
        return list(found)

    def register(self, tool: Any, replace: bool = True) -> AgentTool:
        """Add one tool or plain function, in place of the one with its name.

        Raises:
            ToolDefinitionError: If it cannot be a tool, or there is one of its name and ``replace`` is false.
        """
        made = _tool_of(tool)
        name = check_name(made.tool_name)
        with self._lock:
            if not replace and name in self._tools:
                raise ToolDefinitionError(f"there is a tool {name!r} already: unregister it first, or replace it")
            self._put({name: made})
        return made

    def unregister(self, name: str) -> bool:
        """Remove a tool; False if there is none of that name."""
        with self._lock:
            known = self._tools.pop(name, None) is not None
        if known:
            self._changed()
        return known

    def get(self, name: str) -> AgentTool | None:
        """Return the tool of that name, or None."""
        return self._tools.get(name)

    @property
    def names(self) -> list[str]:
        """The tools' names, in the order of their coming."""
        with self._lock:
            return list(self._tools)

    def tools(self) -> list[AgentTool]:
        """Return all tools, in the order of their coming."""
        with self._lock:
            return list(self._tools.values())

    def __contains__(self, name: object) -> bool:
        return name in self._tools

    def __len__(self) -> int:
        return len(self._tools)

    def __iter__(self) -> Iterator[AgentTool]:
        return iter(self.tools())

    def specs(self) -> list[ToolSpec]:
        """Return what models are told of the tools."""
        return list(self.get_all_tools_config().values())

    def get_all_tools_config(self) -> dict[str, ToolSpec]:
        """Return what models are told of the tools, by name."""
        return {entry.tool_name: entry.tool_spec for entry in self.tools()}

    def on_change(self, callback: Callable[[], object]) -> Callable[[], None]:
        """Call ``callback`` after each change, in the thread that made it; returns what removes it again."""
        with self._lock:
            self._listeners.append(callback)

        def remove() -> None:
            with self._lock, contextlib.suppress(ValueError):
                self._listeners.remove(callback)

        return remove

    def _put(self, tools: dict[str, AgentTool]) -> None:
        with self._lock:
            changed = any(self._tools.get(name) is not entry for name, entry in tools.items())
            self._tools.update(tools)
        if changed:
            self._changed()

    def _changed(self) -> None:
        with self._lock:
            listeners = list(self._listeners)
        for listener in listeners:
            try:
                listener()
            except Exception:  # noqa: BLE001 - a listener may raise anything
                _log.exception("a listener for changed tools raised")


def _tool_of(entry: Any) -> AgentTool:
    if isinstance(entry, AgentTool) and not isinstance(entry, type):
        return entry
    if inspect.isroutine(entry):
        return FunctionTool(entry)
    hint = "; call it and give what it returns" if isinstance(entry, type) else ""
    raise ToolDefinitionError(
        f"{entry!r:.100} cannot become a tool: it is a {type(entry).__name__}, not a function and not a tool{hint}"
    )


def _tools_in(entries: Iterable[Any]) -> Iterator[AgentTool]:
    for entry in entries:
        match entry:
            case str() | os.PathLike():
                yield from _named(os.fspath(entry))
            case ModuleType():
                yield from _in_module(entry)
            case list() | tuple() | set():
                yield from _tools_in(entry)
            case ToolProvider() if not isinstance(entry, type):
                yield from _provided(entry)
            case _:
                yield _tool_of(entry)


def _named(name: str) -> Iterator[AgentTool]:
    if name.endswith(".py") or os.sep in name:
        yield from _in_module(_file(Path(name).expanduser()))
        return
    module_name, _, function = name.partition(":")
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise ToolDefinitionError(
            f"tool {name!r}: there is no such file and no such module ({error}); "
            "give a function, a path that ends in .py, or an importable name"
        ) from error
    if not function:
        yield from _in_module(module)
    elif hasattr(module, function):
        yield _tool_of(getattr(module, function))
    else:
        raise ToolDefinitionError(f"tool {name!r}: the module {module_name} has no {function!r}")


def _file(path: Path) -> ModuleType:
    if not path.is_file():
        raise ToolDefinitionError(f"tool file {str(path)!r} does not exist")
    # One name a path, so that two files called the same do not replace each other.
    digest = hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:8]
    module_name = f"backchannel_tool_file_{digest}_{path.stem}"
    spec = importlib.util.spec_from_file_location(module_name, path)
    if spec is None or spec.loader is None:
        raise ToolDefinitionError(f"tool file {str(path)!r} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    before = sys.modules.get(module_name)
    sys.modules[module_name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException as error:
        sys.modules.pop(module_name)
        if before is not None:
            sys.modules[module_name] = before
        if isinstance(error, Exception):
            raise ToolDefinitionError(
                f"tool file {str(path)!r} cannot be loaded: {type(error).__name__}: {error}"
            ) from error
        raise
    return module


def _in_module(module: ModuleType) -> list[AgentTool]:
    found = [entry for entry in vars(module).values() if isinstance(entry, AgentTool) and not isinstance(entry, type)]
    if not found:
        raise ToolDefinitionError(f"the module {module.__name__!r} has no tools: decorate its functions with @tool")
    return list({id(entry): entry for entry in found}.values())


def _provided(provider: ToolProvider) -> list[AgentTool]:
    """Ask a provider for its tools, on a loop of its own: this may be called where another loop is running."""
    outcome: list[Any] = []

    def load() -> None:
        try:
            outcome.append(list(asyncio.run(provider.load_tools())))
        except BaseException as error:  # noqa: BLE001 - raised below, in the thread that asked
            outcome.append(error)

    thread = threading.Thread(target=load, name="backchannel-tool-provider", daemon=True)
    thread.start()
    thread.join()
    if isinstance(outcome[0], BaseException):
        raise ToolDefinitionError(
            f"the tool provider {type(provider).__name__} failed to load: {outcome[0]}"
        ) from outcome[0]
    return [_tool_of(entry) for entry in outcome[0]]
