"""LoopThread: the notebook's own event loop, which no cell can block."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
import logging
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from ..tools.forks import watch_forks

__all__ = ["LoopThread"]

T = TypeVar("T")
_log = logging.getLogger(__name__)
_STOP_S = 2.0


class LoopThread:
    """One daemon thread with an event loop. ``start`` and ``stop`` may be called again; a stopped one stays stopped."""

    def __init__(self, name: str = "backchannel-loop") -> None:
        self._name = name
        self._forked = False
        self._lock = threading.Lock()
        watch_forks(self)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        # Of whoever starts it, also for calls from the kernel's own threads: in those, ipykernel 7.0 cannot send.
        self._context = contextvars.Context()

    def after_fork(self) -> None:
        """This is a forked child, where no thread runs the loop."""
        self._forked = self._thread is not None
        self._lock = threading.Lock()

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop; started if it was not.

        Raises:
            RuntimeError: If the thread was stopped.
        """
        self.start()
        assert self._loop is not None
        return self._loop

    @property
    def running(self) -> bool:
        """Whether the thread takes work."""
        return self._thread is not None and self._thread.is_alive()

    def start(self) -> None:
        """Start the thread, once.

        Raises:
            RuntimeError: If it was stopped.
        """
        with self._lock:
            if self._thread is not None:
                if self._forked:
                    raise RuntimeError(
                        "the notebook's loop runs in the process that this one was forked from; start what needs it "
                        "there, or start a new process instead of forking"
                    )
                if not self._thread.is_alive():
                    raise RuntimeError("the notebook's loop was stopped; %reload_ext backchannel starts a new one")
                return
            ready = threading.Event()
            loop = asyncio.new_event_loop()
            loop.set_exception_handler(_report)
            self._loop = loop
            self._context = contextvars.copy_context()
            run = self._context.copy().run
            self._thread = threading.Thread(target=run, args=(_serve, loop, ready), name=self._name, daemon=True)
            self._thread.start()
            ready.wait()

    def submit(self, work: Coroutine[Any, Any, T]) -> concurrent.futures.Future[T]:
        """Run a coroutine on the loop; its result is in the future. Waits for nothing."""
        try:
            loop = self.loop
        except RuntimeError:
            work.close()
            raise
        return asyncio.run_coroutine_threadsafe(work, loop)

    def call(self, function: Callable[..., object], *args: object) -> None:
        """Call a function on the loop, soon; what it raises is logged. Calls after the stop are dropped."""
        try:
            self.loop.call_soon_threadsafe(function, *args, context=self._context)
        except RuntimeError:
            _log.debug("%s: dropped a call after the stop", self._name)

    def stop(self, timeout: float = _STOP_S) -> bool:
        """Cancel what runs on the loop and end the thread; True if it ended within ``timeout`` seconds."""
        with self._lock:
            thread, loop = self._thread, self._loop
        if thread is None or loop is None:
            return True
        if thread.is_alive() and not loop.is_closed():
            loop.call_soon_threadsafe(loop.stop)
        if thread is not threading.current_thread():
            thread.join(timeout)
        return not thread.is_alive()


def _serve(loop: asyncio.AbstractEventLoop, ready: threading.Event) -> None:
    asyncio.set_event_loop(loop)
    loop.call_soon(ready.set)
    try:
        loop.run_forever()
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        if left:
            loop.run_until_complete(asyncio.wait(left, timeout=_STOP_S / 2))
        loop.run_until_complete(loop.shutdown_asyncgens())
    finally:
        asyncio.set_event_loop(None)
        loop.close()


def _report(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    error = context.get("exception")
    _log.error("notebook loop: %s", context.get("message", "error"), exc_info=error)
