"""Capture: what a body prints and logs goes to its task's log. In force only while bodies run.

Python has one standard output for all threads, so while bodies run a stand-in takes its place that asks, at each write,
whose text it is. Threads that a body starts, and what it gives to a thread pool, belong to its task as well.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import contextvars
import functools
import logging
import re
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from ..tools.forks import watch_forks
from . import tqdm_hook
from .progress import running_task

if TYPE_CHECKING:
    from .task import Task

__all__ = ["inside", "outside"]

T = TypeVar("T")

_UNFINISHED = 10_000
"""Characters of an unfinished line that are kept, the newest."""

_LINES = 100
"""Lines of one write that are kept, the newest."""

_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])")
_OWN_THREADS = ("backchannel.", "concurrent.futures.thread")
_format = logging.Formatter("%(levelname)s %(message)s").format

_output: contextvars.ContextVar[_Output | None] = contextvars.ContextVar("backchannel_output", default=None)


class inside:  # noqa: N801 - reads as a word: with inside(task)
    """``with inside(task):`` the body of this task runs here; what it prints and logs goes to ``task.log``."""

    __slots__ = ("_output", "_tokens")

    def __init__(self, task: Task) -> None:
        self._output = _Output(task)

    def __enter__(self) -> None:
        _hooks.enter()
        self._tokens = running_task.set(self._output.task), _output.set(self._output)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with contextlib.suppress(ValueError):  # a coroutine that is closed elsewhere leaves another context
            running_task.reset(self._tokens[0])
            _output.reset(self._tokens[1])
        self._output.close()
        _hooks.leave()


@contextlib.contextmanager
def outside() -> Iterator[None]:
    """``with outside():`` what runs here belongs to no task, also where one task was started by another's body."""
    tokens = running_task.set(None), _output.set(None)
    try:
        yield
    finally:
        running_task.reset(tokens[0])
        _output.reset(tokens[1])


class _Output:
    """What one body writes, cut into lines."""

    __slots__ = ("_lock", "_unfinished", "closed", "task")

    def __init__(self, task: Task) -> None:
        self.task = task
        self.closed = False
        self._lock = threading.RLock()
        self._unfinished: dict[str, str] = {}

    def write(self, stream: str, text: str) -> None:
        with self._lock:
            *lines, rest = (self._unfinished.pop(stream, "") + text).split("\n")
            if rest:
                visible = rest.rstrip("\r").rpartition("\r")[2][-_UNFINISHED:]
                self._unfinished[stream] = f"{visible}\r" if rest.endswith("\r") else visible
        if lines:
            self.log(lines)

    def record(self, record: logging.LogRecord) -> None:
        try:
            text = _format(record)
        except Exception:  # noqa: BLE001 - arguments that do not fit the message, as logging itself forgives
            text = f"{record.levelname} {record.msg!s:.1000}"
        self.log(text.split("\n"))

    def log(self, lines: list[str]) -> None:
        _delivering.active = True
        try:
            for line in lines[-_LINES:]:
                shown = line.rstrip().rpartition("\r")[2]
                if "\x1b" in shown:
                    shown = _ESCAPES.sub("", shown)
                if shown:
                    self.task.log(shown)
        finally:
            _delivering.active = False

    def call(self, function: Callable[..., T], /, *args: Any, **kwargs: Any) -> T:
        """Call a function that the body handed to another thread."""
        tokens = running_task.set(self.task), _output.set(self)
        try:
            return function(*args, **kwargs)
        finally:
            running_task.reset(tokens[0])
            _output.reset(tokens[1])

    def close(self) -> None:
        with self._lock:
            rests = list(self._unfinished.values())
            self._unfinished.clear()
        if rests:
            self.log(rests)
        self.closed = True


class _Delivering(threading.local):
    """Whether this thread hands lines to a task: what its listeners print then is nobody's log."""

    active = False


_delivering = _Delivering()


def _current() -> _Output | None:
    """Return where text from here belongs, or None where it takes its usual way."""
    output = _output.get()
    return None if output is None or output.closed or _delivering.active else output


class _Stream:
    """Stands in for ``sys.stdout`` or ``sys.stderr``; for all but bodies of tasks it is the stream that it replaced."""

    def __init__(self, name: str, target: Any) -> None:
        self.which = name
        self.target = target

    def write(self, text: str) -> int:
        output = _current()
        if output is not None and isinstance(text, str):
            output.write(self.which, text)
            return len(text)
        return len(text) if self.target is None else self.target.write(text)

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        if self.target is not None and _current() is None:
            self.target.flush()

    def isatty(self) -> bool:
        return self.target is not None and _current() is None and bool(self.target.isatty())

    def __getattr__(self, name: str) -> Any:
        return getattr(self.target, name)

    def __repr__(self) -> str:
        return f"<{self.which} while tasks run: {self.target!r}>"


class _Hooks:
    """Puts the stand-ins in place with the first body, and takes them away with the last."""

    def __init__(self) -> None:
        self.after_fork()
        watch_forks(self)
        self._bodies = 0
        self._undo: list[tuple[Any, str, Any, Any]] = []
        # print() holds no reference to the stream it writes to: one that is taken away must live on for a while.
        self._streams: deque[_Stream] = deque(maxlen=8)

    def after_fork(self) -> None:
        """This is a forked child, or the beginning."""
        self._lock = threading.RLock()

    def enter(self) -> None:
        with self._lock:
            self._bodies += 1
            # Each time: somebody may have replaced a stream since, as redirect_stdout does.
            for name in ("stdout", "stderr"):
                stream = getattr(sys, name)
                if not isinstance(stream, _Stream):
                    self._put(sys, name, self._stream(name, stream))
            if self._bodies == 1:
                self._put(threading.Thread, "start", _wrap_start(threading.Thread.start))
                pool = concurrent.futures.ThreadPoolExecutor
                self._put(pool, "submit", _wrap_submit(pool.submit))
                self._put(logging.Logger, "callHandlers", _wrap_handlers(logging.Logger.callHandlers))
                tqdm_hook.install()

    def leave(self) -> None:
        with self._lock:
            self._bodies -= 1
            if self._bodies:
                return
            while self._undo:
                owner, name, before, ours = self._undo.pop()
                # What somebody put over ours stays; ours underneath then only passes on.
                if getattr(owner, name) is ours:
                    setattr(owner, name, before)
            tqdm_hook.remove()

    def _stream(self, name: str, target: Any) -> _Stream:
        for stream in self._streams:
            if stream.which == name and stream.target is target:
                return stream
        made = _Stream(name, target)
        self._streams.append(made)
        return made

    def _put(self, owner: Any, name: str, ours: Any) -> None:
        self._undo.append((owner, name, getattr(owner, name), ours))
        setattr(owner, name, ours)


_hooks = _Hooks()


def _wrap_start(start: Callable[[threading.Thread], None]) -> Callable[[threading.Thread], None]:
    @functools.wraps(start)
    def start_in_task(self: threading.Thread) -> None:
        output = _current()
        # A thread of a pool serves whoever comes; ours serve everybody.
        target = getattr(self, "_target", None)
        if output is not None and not str(getattr(target, "__module__", "")).startswith(_OWN_THREADS):
            self.run = functools.partial(output.call, self.run)  # type: ignore[method-assign]
        start(self)

    return start_in_task


def _wrap_submit(submit: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(submit)
    def submit_in_task(self: Any, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        output = _current()
        return submit(self, fn if output is None else functools.partial(output.call, fn), *args, **kwargs)

    return submit_in_task


def _wrap_handlers(call_handlers: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(call_handlers)
    def call_handlers_in_task(self: logging.Logger, record: logging.LogRecord) -> None:
        output = _current()
        if output is None or record.name.partition(".")[0] == "backchannel":
            call_handlers(self, record)
            return
        logger: logging.Logger | None = self
        while logger is not None:
            for handler in logger.handlers:
                if record.levelno >= handler.level and not _is_console(handler):
                    handler.handle(record)
            logger = logger.parent if logger.propagate else None
        output.record(record)

    return call_handlers_in_task


def _is_console(handler: logging.Handler) -> bool:
    """Whether the handler writes where ``print`` does, so that the task's log takes its place."""
    stream = getattr(handler, "stream", None) or getattr(getattr(handler, "console", None), "file", None)
    if isinstance(stream, _Stream):
        return True
    shown = (sys.stdout, sys.stderr)
    usual = [stream.target if isinstance(stream, _Stream) else stream for stream in shown]
    return stream is not None and any(stream is one for one in (*usual, sys.__stdout__, sys.__stderr__))
