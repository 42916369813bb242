"""Worker threads: a pool of daemon threads for functions that block.

Not `concurrent.futures`: its threads hold up the interpreter's exit until the last function returns, however long
that takes, and a function that never returns keeps its place for ever.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import itertools
import logging
import queue
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from .forks import watch_forks

__all__ = ["WorkerThreads", "run_in_thread"]

_log = logging.getLogger(__name__)
_T = TypeVar("_T")

IDLE_S = 10.0
"""How long a thread without work is kept, seconds."""


class WorkerThreads:
    """At most ``limit`` functions at a time, each in a thread, first come first served.

    Threads are started as they are needed and end when they were idle for a while, so nothing has to be closed.
    """

    def __init__(self, limit: int, name: str = "backchannel-worker") -> None:
        if limit < 1:
            raise ValueError(f"{name}: the number of threads must be 1 or more, not {limit}")
        self._limit = limit
        self._name = name
        self._lingers = True
        self._numbers = itertools.count(1)
        self._begin()
        watch_forks(self)

    def _begin(self) -> None:
        self._lock = threading.RLock()
        # None sends a thread home.
        self._waiting: queue.SimpleQueue[Callable[[], object] | None] = queue.SimpleQueue()
        self._queued = 0
        self._idle = 0
        self._threads = 0
        self._given_up = 0

    def after_fork(self) -> None:
        """This is a forked child: there are no threads, and what waits for one is the parent's."""
        self._begin()

    def submit(self, work: Callable[[], object]) -> None:
        """Run ``work`` as soon as there is a place for it. What it raises is logged.

        Raises:
            RuntimeError: If no thread could be started and there is none.
        """
        with self._lock:
            self._queued += 1
            try:
                self._hire()
            except RuntimeError:
                if not self._threads:
                    self._queued -= 1
                    raise
        self._waiting.put(work)

    def close_idle(self) -> None:
        """From now on threads end as soon as they have nothing to do; work is still taken."""
        with self._lock:
            self._lingers = False
            self._send_home()

    def give_up(self) -> None:
        """One running function is not waited for any more: its place is free although it has not returned.

        It must call `returned` when it does, from its own thread.
        """
        with self._lock:
            self._given_up += 1
            with contextlib.suppress(RuntimeError):
                self._hire()

    def returned(self) -> None:
        """A function that was given up has returned after all."""
        with self._lock:
            self._given_up -= 1

    def _hire(self) -> None:
        """Start a thread if there is work for one more. Called with the lock held."""
        if self._queued > self._idle and self._threads - self._given_up < self._limit:
            self._threads += 1
            try:
                threading.Thread(target=self._work, name=f"{self._name}-{next(self._numbers)}", daemon=True).start()
            except RuntimeError:
                self._threads -= 1
                raise

    def _send_home(self) -> None:
        """Send a thread home if one is idle; it sends the next. Called with the lock held."""
        if self._idle:
            self._waiting.put(None)

    def _work(self) -> None:
        while True:
            with self._lock:
                if self._threads - self._given_up > self._limit:
                    self._threads -= 1
                    return
                self._idle += 1
            try:
                work = self._waiting.get(timeout=IDLE_S if self._lingers else 0.0)
            except queue.Empty:
                with self._lock:
                    self._idle -= 1
                    if self._queued:
                        continue
                    self._threads -= 1
                    return
            with self._lock:
                self._idle -= 1
                if work is None:
                    self._threads -= 1
                    self._send_home()
                    # Work that came meanwhile may have counted on this thread.
                    with contextlib.suppress(RuntimeError):
                        self._hire()
                    return
                self._queued -= 1
            try:
                work()
            except BaseException:  # noqa: BLE001 - a thread of the pool outlives what it runs
                _log.exception("a function on thread %s raised", threading.current_thread().name)
            del work


_tools = WorkerThreads(64, "backchannel-tool")


async def run_in_thread(function: Callable[[], _T], context: contextvars.Context | None = None) -> _T:
    """Run a blocking function in a thread, in a copy of the caller's context, and return what it returns.

    If the caller is cancelled the function goes on, and its result is dropped.

    Raises:
        RuntimeError: If the function raised something that would end the event loop, such as `SystemExit`.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[_T] = loop.create_future()
    context = contextvars.copy_context() if context is None else context

    def settle(value: Any, error: BaseException | None) -> None:
        if done.done():
            return
        if error is None:
            done.set_result(value)
        else:
            done.set_exception(error)

    def work() -> None:
        value: Any = None
        error: BaseException | None = None
        try:
            value = context.run(function)
        except (SystemExit, KeyboardInterrupt, GeneratorExit, StopIteration, StopAsyncIteration) as raised:
            error = RuntimeError(f"{type(raised).__name__}: {raised}" if str(raised) else type(raised).__name__)
            error.__cause__ = raised
        except BaseException as raised:  # noqa: BLE001 - it is raised where it is awaited
            error = raised
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(settle, value, error)

    _tools.submit(work)
    return await done
