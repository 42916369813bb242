"""The tools of a directory: loaded from its Python files, and loaded again when these change."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeAlias

from ..errors import MissingExtraError, ToolDefinitionError
from ..paths import expanded
from .definition import check_definition, same_name
from .folder import FileBroken, FileFact, FileGone, FileLoaded, Folder
from .registry import ToolRegistry
from .sources import tools_in_file

__all__ = ["ToolDirectory"]

_log = logging.getLogger(__name__)

Look: TypeAlias = tuple[int, int, int]
"""Time of change in nanoseconds, size in bytes, inode."""

LOOK_MS = 1000
"""How often a directory is looked at without being told of a change, milliseconds."""


class ToolDirectory:
    """Keeps a registry's tools as the Python files of a directory have them.

    Taken are the files directly in it whose names do not begin with ``_`` or a dot. A file that cannot be used is
    reported in the log and in `faults`, and what it last gave stays in use. What a file imports is not watched.

    Args:
        registry: Where the tools go.
        path: The directory; it may come later.
    """

    def __init__(self, registry: ToolRegistry, path: str | Path = "tools") -> None:
        self.path = expanded(path).absolute()
        self._registry = registry
        self._folder = Folder()
        self._seen: dict[Path, tuple[Look, bytes]] = {}
        self._lock = threading.RLock()
        self._stop = threading.Event()
        self._complained = False
        self._thread: threading.Thread | None = None

    @property
    def faults(self) -> dict[Path, str]:
        """What is wrong with a file as it is now, by file."""
        return dict(self._folder.faults)

    @property
    def watching(self) -> bool:
        """Whether files are loaded again when they change."""
        return self._thread is not None and self._thread.is_alive() and not self._stop.is_set()

    def load(self) -> None:
        """Load the files that are new or changed, and drop the tools of those that are gone."""
        if not self.path.is_dir():
            _log.info("there is no directory %s, so no tools are loaded from it", self.path)
        self._look()

    def reload(self, *paths: str | Path) -> None:
        """Load these files again, changed or not; without any, all of them."""
        with self._lock:
            self._look({self.path / Path(path).name for path in paths} or set(self._files()), always=True)

    def watch(self) -> None:
        """Load files again when they change, from a thread of its own, until `close`. Safe twice.

        Without the extra ``reload`` it says so in a warning in the log, and changes nothing.
        """
        with self._lock:
            if self.watching:
                return
            try:
                import watchfiles
            except ImportError:
                _log.warning(
                    "%s", MissingExtraError(f"Loading the tools in {self.path} again when they change", "reload")
                )
                return
            self._stop = threading.Event()
            self._thread = threading.Thread(
                target=self._watch, args=(watchfiles, self._stop), name="backchannel-tool-directory", daemon=True
            )
            self._thread.start()

    def close(self) -> None:
        """Stop watching; what was loaded stays. Waits for the thread, at most a second. Safe twice."""
        self._stop.set()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(1)
            if thread.is_alive():
                _log.warning("a tool file in %s is still being loaded; its thread ends after that", self.path)

    def _watch(self, watchfiles: Any, stop: threading.Event) -> None:
        while not stop.is_set():
            self._look(stop=stop)
            try:
                before = self.path.stat().st_ino
                changes = watchfiles.watch(
                    self.path, watch_filter=None, stop_event=stop, rust_timeout=LOOK_MS, yield_on_timeout=True,
                    raise_interrupt=False, recursive=False,
                )  # fmt: skip
                with contextlib.closing(changes):
                    for change in changes:
                        self._look({self.path / Path(path).name for _, path in change}, stop=stop)
                        if self.path.stat().st_ino != before:
                            break  # Another directory has taken its place; that one is to be watched.
            except OSError:
                stop.wait(LOOK_MS / 1000)
            except Exception:  # noqa: BLE001 - no thread may end before its time
                if not self._complained:
                    self._complained = True
                    _log.exception("changes in %s are not reported; it is looked at every second", self.path)
                stop.wait(LOOK_MS / 1000)

    def _files(self) -> list[Path]:
        try:
            return sorted(path for path in self.path.glob("[!_.]*.py") if path.is_file())
        except OSError:
            return []

    def _look(self, told: Iterable[Path] = (), *, always: bool = False, stop: threading.Event | None = None) -> None:
        """Compare the files with what was loaded; of those ``told``, the content also where nothing else changed."""
        with self._lock:
            present = self._files()
            known = {*self._seen, *self._folder.tools, *self._folder.faults}
            facts: dict[Path, FileFact] = {path: FileGone() for path in known.difference(present)}
            told = set(told)
            for path in present:
                fact = self._read(path, path in told, always and path in told)
                if fact is not None:
                    facts[path] = fact
                if stop is not None and stop.is_set():
                    break
            stopped = stop is not None and stop.is_set()
            for path, fact in facts.items():
                if stopped or isinstance(fact, FileGone):
                    self._seen.pop(path, None)
            if not stopped and (facts or self._folder.faults):
                self._take(facts)

    def _read(self, path: Path, told: bool, always: bool) -> FileFact | None:
        try:
            status = path.stat()
            look = (status.st_mtime_ns, status.st_size, status.st_ino)
            seen = self._seen.get(path)
            same = seen is not None and seen[0] == look
            if same and not told:
                return None
            self._seen[path] = (look, b"")
            content = hashlib.sha256(path.read_bytes()).digest()
        except FileNotFoundError:
            return FileGone()
        except OSError as error:
            return FileBroken(f"it cannot be read: {error}")
        self._seen[path] = (look, content)
        if seen is not None and seen[1] == content and not always and (same or path not in self._folder.faults):
            return None
        try:
            return FileLoaded({check_definition(tool): tool for tool in self._tools_in(path)})
        except ToolDefinitionError as error:
            return FileBroken(str(error))

    def _tools_in(self, path: Path) -> list[Any]:
        found: dict[str, Any] = {}
        for tool in tools_in_file(path):
            key = same_name(check_definition(tool))
            if key in found:
                raise ToolDefinitionError(f"two of its tools have the name {tool.tool_name!r}; give one another")
            found[key] = tool
        return list(found.values())

    def _take(self, facts: dict[Path, FileFact]) -> None:
        ours = {id(tool) for tools in self._folder.tools.values() for tool in tools.values()}
        taken = [tool.tool_name for tool in self._registry.tools() if id(tool) not in ours]
        before = dict(self._folder.faults)
        swap = self._folder.handle(facts, taken)
        for path, fault in self._folder.faults.items():
            if before.get(path) != fault or path in facts:
                kept = ", ".join(self._folder.tools.get(path, ())) or "nothing"
                _log.warning("%s cannot be used: %s. Correct it and save it; in use of it: %s", path, fault, kept)
        if swap.add or swap.remove:
            for tool in swap.add:
                if callable(mark := getattr(tool, "mark_dynamic", None)):
                    mark()
            self._registry.update(swap.add, swap.remove)
            _log.info("tools of %s: %s", self.path, ", ".join(tool.tool_name for tool in swap.add) or "some removed")
