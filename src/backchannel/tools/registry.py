"""The registry: which tools an agent has now, by name."""

from __future__ import annotations

import contextlib
import logging
import threading
import uuid
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any

from ..errors import ToolDefinitionError
from ..messages import AgentTool, ToolSpec
from .definition import check_definition, same_name, spec_of
from .sources import ToolProvider, tool_of, tools_in

__all__ = ["ToolRegistry"]

_log = logging.getLogger(__name__)


class ToolRegistry:
    """Tools by name, in the order of their coming. Safe to use from any thread."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._tools: dict[str, AgentTool] = {}
        self._listeners: list[Callable[[], object]] = []
        self._providers: dict[int, tuple[ToolProvider, list[AgentTool]]] = {}
        self._consumer = uuid.uuid4().hex

    def process_tools(self, tools: Iterable[Any]) -> list[str]:
        """Add tools, all of them or, after an error, none; returns their names.

        Args:
            tools: Tools (ours, or any object with the same members), plain functions, modules with decorated
                functions or a ``TOOL_SPEC``, paths of Python files, importable names (``package.module`` or
                ``package.module:function``), providers, and lists of all these.

        Raises:
            ToolDefinitionError: If an entry is none of these, its definition cannot be sent to a model, or two of
                them have one name (or names that differ only in ``-`` and ``_``).
        """
        providers: dict[int, tuple[ToolProvider, list[AgentTool]]] = {}
        found: dict[str, AgentTool] = {}
        try:
            for entry in tools_in(tools, providers):
                _collect(found, entry)
            self.update(add=found.values())
        except BaseException:
            for key, (provider, _) in providers.items():
                if key not in self._providers:
                    self._release(provider)
            raise
        for provider, loaded in providers.values():
            self._use(provider, loaded)
        return list(found)

    def register(self, tool: Any, replace: bool = True) -> AgentTool:
        """Add one tool or plain function, in place of the one with its name.

        Raises:
            ToolDefinitionError: If it cannot be a tool, or there is one of its name and ``replace`` is false, or one
                whose name differs only in ``-`` and ``_``.
        """
        made = tool_of(tool)
        name = check_definition(made)
        with self._lock:
            if not replace and name in self._tools:
                raise ToolDefinitionError(f"there is a tool {name!r} already: unregister it first, or replace it")
            changed = self._swap([made], ())
        if changed:
            self._changed()
        return made

    def update(self, add: Iterable[AgentTool] = (), remove: Iterable[AgentTool] = ()) -> None:
        """Remove these tools, where they are still in place, and add those, as one change.

        Raises:
            ToolDefinitionError: If two names differ only in ``-`` and ``_``; nothing is changed then.
        """
        if self._swap(add, remove):
            self._changed()

    def close(self) -> None:
        """Tell the providers of tools that they are not needed here any more. Safe twice."""
        with self._lock:
            providers = [provider for provider, _ in self._providers.values()]
            self._providers.clear()
        for provider in providers:
            self._release(provider)

    def unregister(self, name: str) -> bool:
        """Remove a tool; False if there is none of that name."""
        with self._lock:
            known = [tool for key, tool in self._tools.items() if key == name]
            changed = self._swap((), known)
        if changed:
            self._changed()
        return changed

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
        return {entry.tool_name: spec_of(entry) for entry in self.tools()}

    def on_change(self, callback: Callable[[], object]) -> Callable[[], None]:
        """Call ``callback`` after each change, in the thread that made it; returns what removes it again."""
        with self._lock:
            self._listeners.append(callback)

        def remove() -> None:
            with self._lock, contextlib.suppress(ValueError):
                self._listeners.remove(callback)

        return remove

    def _swap(self, add: Iterable[AgentTool], remove: Iterable[AgentTool]) -> bool:
        """Do what `update` says, without telling the listeners: they are called when the lock is free again."""
        with self._lock:
            after = dict(self._tools)
            adding = {tool.tool_name: tool for tool in add}
            for tool in remove:
                if after.get(tool.tool_name) is tool and tool.tool_name not in adding:
                    del after[tool.tool_name]
            after.update(adding)
            alike: dict[str, str] = {}
            for name in after:
                other = alike.setdefault(same_name(name), name)
                if other != name:
                    raise ToolDefinitionError(
                        f"the tools {other!r} and {name!r} differ only in - and _, which models and callers mix up: "
                        "give one of them another name"
                    )
            before, self._tools = self._tools, after
            return before.keys() != after.keys() or any(before[name] is not tool for name, tool in after.items())

    def _use(self, provider: ToolProvider, loaded: list[AgentTool]) -> None:
        with self._lock:
            known = id(provider) in self._providers
            self._providers[id(provider)] = (provider, loaded)
        if known:
            return
        if callable(add_consumer := getattr(provider, "add_consumer", None)):
            add_consumer(self._consumer)
        if callable(subscribe := getattr(provider, "subscribe", None)):
            registry, key = weakref.ref(self), id(provider)

            def provided(tools: Sequence[AgentTool]) -> None:
                if (alive := registry()) is not None:
                    alive._provided(key, tools)

            subscribe(provided)

    def _provided(self, key: int, tools: Sequence[AgentTool]) -> None:
        """A provider has other tools now. What cannot be used of them is logged: nobody waits for an error."""
        with self._lock:
            if key not in self._providers:
                return
            provider, before = self._providers[key]
            mine = {id(tool) for tool in before}
            taken = {same_name(name) for name, tool in self._tools.items() if id(tool) not in mine}
            usable = []
            for tool in tools:
                try:
                    name = check_definition(tool)
                except ToolDefinitionError as error:
                    _log.warning("%s offers a tool that is left out: %s", type(provider).__name__, error)
                    continue
                if same_name(name) in taken:
                    _log.warning("%s offers a tool %r, a name that is taken", type(provider).__name__, name)
                else:
                    usable.append(tool)
            self._providers[key] = (provider, usable)
        self.update(add=usable, remove=before)

    def _release(self, provider: ToolProvider) -> None:
        release: Callable[[], object] | None = getattr(provider, "close", None)
        if callable(getattr(provider, "remove_consumer", None)):
            release = partial(provider.remove_consumer, self._consumer)  # type: ignore[attr-defined]
        try:
            if release is not None:
                release()
        except Exception:  # noqa: BLE001 - a provider may raise anything
            _log.exception("%s could not be closed", type(provider).__name__)

    def _changed(self) -> None:
        with self._lock:
            listeners = list(self._listeners)
        for listener in listeners:
            try:
                listener()
            except Exception:  # noqa: BLE001 - a listener may raise anything
                _log.exception("a listener for changed tools raised")


def _collect(found: dict[str, AgentTool], tool: AgentTool) -> None:
    name = check_definition(tool)
    if found.setdefault(name, tool) is not tool:
        raise ToolDefinitionError(
            f"two tools have the name {name!r}: give one of them another with name=..., or its provider a prefix"
        )
