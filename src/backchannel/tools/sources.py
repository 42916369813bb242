"""Sources of tools: functions, modules, files, importable names and providers, and the tools that are in them."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import importlib
import importlib.machinery
import importlib.util
import inspect
import linecache
import os
import sys
import threading
import traceback
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import MethodType, ModuleType
from typing import Any, Protocol, runtime_checkable

from ..errors import ToolDefinitionError
from ..messages import AgentTool
from ..paths import expanded
from .module_tool import tool_of_module
from .text import error_text
from .tool import FunctionTool

__all__ = ["ToolProvider", "tool_of", "tools_in", "tools_in_file"]

_MEMBERS = ("tool_name", "tool_spec", "tool_type", "stream")
_loading = threading.RLock()


@runtime_checkable
class ToolProvider(Protocol):
    """Something that has tools to offer, such as a connection to a server of tools.

    It may also have ``add_consumer(id)`` and ``remove_consumer(id)``, which tell it who uses it, and
    ``subscribe(callback)``: the callback takes the list of its tools, whenever that changes, from any thread.
    """

    async def load_tools(self, **kwargs: Any) -> Sequence[AgentTool]: ...


def tool_of(entry: Any) -> AgentTool:
    """Return a tool as it is; a plain function, and an object with a method ``as_tool``, as a tool.

    Raises:
        ToolDefinitionError: If it is none of these.
    """
    if isinstance(entry, MethodType) and isinstance(entry.__func__, AgentTool) and hasattr(entry.__func__, "__get__"):
        # From Python 3.13 on a classmethod does not ask the tool in it to bind itself.
        return tool_of(entry.__func__.__get__(entry.__self__))
    if isinstance(entry, AgentTool) and not isinstance(entry, type):
        return entry
    if inspect.isroutine(entry):
        return FunctionTool(entry)
    if not isinstance(entry, type) and callable(as_tool := getattr(type(entry), "as_tool", None)):
        return tool_of(as_tool(entry))
    hint = "; call it and give what it returns" if isinstance(entry, type) else ""
    raise ToolDefinitionError(
        f"{entry!r:.100} cannot become a tool: it is a {type(entry).__name__}, not a function and not a tool{hint}"
    )


def tools_in(entries: Iterable[Any], providers: dict[int, tuple[ToolProvider, list[AgentTool]]]) -> Iterator[AgentTool]:
    """Yield the tools in these entries, in order; providers that were asked are put into ``providers``, by id.

    Raises:
        ToolDefinitionError: If an entry is nothing that has tools.
    """
    for entry in entries:
        match entry:
            case str() | os.PathLike():
                yield from _named(os.fspath(entry))
            case ModuleType():
                yield from _in_module(entry, entry.__name__.rpartition(".")[2])
            case list() | tuple() | set():
                yield from tools_in(entry, providers)
            case ToolProvider() if not isinstance(entry, type):
                if id(entry) not in providers:
                    providers[id(entry)] = (entry, _provided(entry))
                yield from providers[id(entry)][1]
            case _:
                yield tool_of(entry)


def tools_in_file(path: Path) -> list[AgentTool]:
    """Run a Python file and return the tools in it. The file is read anew each time.

    Raises:
        ToolDefinitionError: If it does not exist, cannot be run or has no tools; names the file and the line.
    """
    return _in_module(_file(path), path.stem)


def _named(name: str) -> Iterator[AgentTool]:
    if name.endswith(".py") or os.sep in name:
        yield from tools_in_file(expanded(name))
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
        yield from _in_module(module, module_name.rpartition(".")[2])
    elif hasattr(module, function):
        yield tool_of(getattr(module, function))
    else:
        raise ToolDefinitionError(f"tool {name!r}: the module {module_name} has no {function!r}")


class _Fresh(importlib.machinery.SourceFileLoader):
    """Reads the source each time: compiled files know the time of a change by the second only."""

    def get_code(self, fullname: str) -> Any:
        return self.source_to_code(self.get_data(self.path), self.path)


def _file(path: Path) -> ModuleType:
    if not path.is_file():
        raise ToolDefinitionError(f"tool file {str(path)!r} does not exist")
    # One name a path, so that two files called the same do not replace each other.
    digest = hashlib.sha256(str(path.resolve()).encode("utf-8", "surrogateescape")).hexdigest()[:8]
    module_name = f"backchannel_tool_file_{digest}_{path.stem}"
    spec = importlib.util.spec_from_file_location(module_name, path, loader=_Fresh(module_name, str(path)))
    if spec is None or spec.loader is None:
        raise ToolDefinitionError(f"tool file {str(path)!r} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    folder = str(path.resolve().parent)
    with _loading:
        linecache.checkcache(str(path))
        before = sys.modules.get(module_name)
        sys.modules[module_name] = module
        # Last, so that a tool called as a module of the library does not take its place.
        added = folder not in sys.path
        if added:
            sys.path.append(folder)
        try:
            spec.loader.exec_module(module)
        except BaseException as error:
            sys.modules.pop(module_name, None)
            if before is not None:
                sys.modules[module_name] = before
            if isinstance(error, (Exception, SystemExit)):
                raise ToolDefinitionError(
                    f"tool file {str(path)!r}{_line(error, path)} cannot be loaded: "
                    f"{type(error).__name__}: {error_text(error)}"
                ) from error
            raise
        finally:
            if added:
                with contextlib.suppress(ValueError):
                    sys.path.remove(folder)
    return module


def _line(error: BaseException, path: Path) -> str:
    """Say in which line of the file it went wrong, if that is known."""
    if isinstance(error, SyntaxError) and error.filename == str(path):
        return f", line {error.lineno}" if error.lineno else ""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    return f", line {lines[-1]}," if lines else ""


def _in_module(module: ModuleType, name: str) -> list[AgentTool]:
    found = {id(entry): entry for entry in list(vars(module).values()) if _is_tool(entry)}
    if found:
        return list(found.values())
    written = tool_of_module(module, name)
    if written is None:
        raise ToolDefinitionError(
            f"the module {name!r} has no tools: decorate its functions with @tool, or give it a TOOL_SPEC"
        )
    return [written]


def _is_tool(entry: Any) -> bool:
    """Whether an object of a module is a tool; asked without running the object's own ``__getattr__``."""
    if isinstance(entry, (type, ModuleType)):
        return False
    return all(inspect.getattr_static(entry, member, None) is not None for member in _MEMBERS)


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
    return [tool_of(entry) for entry in outcome[0]]
