"""Which file of a folder gave which tools, and what changes when files do. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from ..messages import AgentTool
from .definition import same_name

__all__ = ["FileBroken", "FileFact", "FileGone", "FileLoaded", "Folder", "Swap"]


@dataclass(frozen=True, slots=True)
class FileLoaded:
    """A file was run and gave these tools, by name."""

    tools: Mapping[str, AgentTool]


@dataclass(frozen=True, slots=True)
class FileBroken:
    """A file could not be run, or what is in it cannot be used."""

    fault: str


@dataclass(frozen=True, slots=True)
class FileGone:
    """A file is not there any more."""


FileFact: TypeAlias = FileLoaded | FileBroken | FileGone


@dataclass(frozen=True, slots=True)
class Swap:
    """Tools to take out and tools to put in, as one change."""

    add: list[AgentTool] = field(default_factory=list)
    remove: list[AgentTool] = field(default_factory=list)


class Folder:
    """The tools in use, by file. A file that cannot be used keeps the last tools that it gave.

    Attributes:
        tools: The tools in use, by file and name.
        faults: What is wrong with a file's present content, by file.
    """

    def __init__(self) -> None:
        self.tools: dict[Path, Mapping[str, AgentTool]] = {}
        self.faults: dict[Path, str] = {}
        self._waiting: dict[Path, Mapping[str, AgentTool]] = {}

    def handle(self, facts: Mapping[Path, FileFact], taken: Collection[str]) -> Swap:
        """Take in what became of some files; ``taken`` are the names of tools that are not of this folder.

        Files that wanted a name of another are tried again each time: the name may be free by now.
        """
        before = self._in_use()
        for path, fact in facts.items():
            self._waiting.pop(path, None)
            match fact:
                case FileGone():
                    self.tools.pop(path, None)
                    self.faults.pop(path, None)
                case FileBroken(fault):
                    self.faults[path] = fault
                case FileLoaded(tools):
                    self._waiting[path] = tools
        self._admit({same_name(name): "a tool that is not of this folder" for name in taken})
        after = self._in_use()
        return Swap(
            add=[tool for name, tool in after.items() if before.get(name) is not tool],
            remove=[tool for name, tool in before.items() if name not in after],
        )

    def _admit(self, taken: Mapping[str, str]) -> None:
        """Let in all waiting files that agree with each other and the rest; the others keep what they had."""
        admitted = dict(sorted(self._waiting.items()))
        faults: dict[Path, str] = {}
        while refused := self._conflict(admitted, taken):
            path, fault = refused
            faults[path] = fault
            del admitted[path]
        for path in self._waiting:
            self.faults.pop(path, None)
        self.faults.update(faults)
        self.tools.update(admitted)
        for path in admitted:
            del self._waiting[path]

    def _conflict(self, admitted: Mapping[Path, Iterable[str]], taken: Mapping[str, str]) -> tuple[Path, str] | None:
        """Return the first of the admitted files that wants a name of another, and what is wrong."""
        owners = dict(taken)
        for path, tools in self.tools.items():
            if path not in admitted:
                owners.update({same_name(name): path.name for name in tools})
        for path, names in admitted.items():
            for name in names:
                owner = owners.get(same_name(name))
                if owner is not None:
                    return path, f"its tool {name!r} has the name of {owner}; give one of them another name"
            owners.update({same_name(name): path.name for name in names})
        return None

    def _in_use(self) -> dict[str, AgentTool]:
        return {name: tool for path in sorted(self.tools) for name, tool in self.tools[path].items()}
