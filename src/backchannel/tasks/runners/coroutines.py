"""Coroutines: the runner for ``async def``.

A body runs on the default loop if one is set, else on the loop that runs where the task is started, else on a loop
in a daemon thread of its own. From a notebook's cell it goes there, too: each busy cell stops the kernel's loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import sys
import threading
import weakref
from collections import deque
from typing import Any

from ...errors import TaskRefusedError
from ...tools.forks import watch_forks
from .runner import Job

__all__ = ["CoroutineRunner", "background_loop", "set_default_loop"]

_lock = threading.RLock()
_default_loop: asyncio.AbstractEventLoop | None = None
_own_loop: asyncio.AbstractEventLoop | None = None
_ending: weakref.WeakSet[asyncio.AbstractEventLoop] = weakref.WeakSet()
"""Loops that cancel all that they carry, as `asyncio.run` does at its end: what begins there now is never finished."""


def set_default_loop(loop: asyncio.AbstractEventLoop | None) -> None:
    """Run the coroutines of all managers on this loop from now on; None for where they are started."""
    global _default_loop
    _default_loop = loop


class _Place:
    """Where a job is: its loop, its asyncio task once there is one, whether it still counts, whether we ended it."""

    __slots__ = ("counts", "loop", "stopped", "task")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.task: asyncio.Task[None] | None = None
        self.counts = False
        self.stopped = False


class CoroutineRunner:
    """Runs each body as an asyncio task, at most ``limit`` at a time; None for any number."""

    kind = "coroutine"

    def __init__(self, limit: int | None = None) -> None:
        self._limit = limit
        self._asyncio_tasks: set[asyncio.Task[None]] = set()
        self.after_fork()
        watch_forks(self)

    def after_fork(self) -> None:
        """This is a forked child, or the beginning: nothing runs and nothing waits."""
        self._lock = threading.RLock()
        self._waiting: deque[Job] = deque()
        self._running = 0

    def here(self) -> asyncio.AbstractEventLoop:
        """Return the loop for what is asked for here, which may be started from elsewhere, later."""
        return _loop_to_use()

    def start(self, job: Job) -> None:
        place = job.place = _Place(getattr(job, "home", None) or _loop_to_use())
        if self._limit is None:
            self._launch(job)
            return
        with self._lock:
            if self._running >= self._limit:
                self._waiting.append(job)
                return
            self._running += 1
            place.counts = True
        self._launch(job)

    def stop(self, job: Job) -> None:
        place: _Place = job.place
        place.stopped = True
        self._release(place)
        if place.task is not None:
            if _is_running_here(place.loop):
                place.task.cancel()
            else:
                with contextlib.suppress(RuntimeError):  # the loop is closed, and the body with it
                    place.loop.call_soon_threadsafe(place.task.cancel)

    def lend(self, job: Job) -> None:
        """The body only waits for others: it does not count any more."""
        with self._lock:
            if job.place.counts:
                job.place.counts = False
                self._running -= 1

    def is_carried_here(self, job: Job) -> bool:
        loop = getattr(job, "home", None) if job.place is None else job.place.loop
        return loop is not None and _is_running_here(loop)

    def _launch(self, job: Job) -> None:
        place: _Place = job.place
        if place.loop in _ending:
            self._release(place)
            raise TaskRefusedError("The event loop for the task was stopped.")
        if _is_running_here(place.loop):
            self._create(job)
            return
        try:
            place.loop.call_soon_threadsafe(functools.partial(self._create, job))
        except RuntimeError as error:
            self._release(place)
            raise TaskRefusedError(f"The event loop for the task is closed ({error}).") from error

    def _create(self, job: Job) -> None:
        loop: asyncio.AbstractEventLoop = job.place.loop
        task = loop.create_task(self._run(job), name="backchannel-task", context=job.context)
        # The loop itself keeps only weak references.
        self._asyncio_tasks.add(task)
        task.add_done_callback(functools.partial(self._forget, job))

    def _forget(self, job: Job, task: asyncio.Task[None]) -> None:
        self._asyncio_tasks.discard(task)
        if task.cancelled():
            # Cancelled before its first step, as a closing loop does: the body has told nothing.
            _note_ending(job.place, task)
            job.raised(asyncio.CancelledError(), stopped=True)
            self._release(job.place)

    async def _run(self, job: Job) -> None:
        place: _Place = job.place
        place.task = task = asyncio.current_task()
        try:
            if not job.begin():
                return
            try:
                value = await job.coroutine()
            except (asyncio.CancelledError, GeneratorExit) as error:
                _note_ending(place, task)
                job.raised(error, stopped=True)
            except BaseException as error:  # noqa: BLE001 - whatever it is, it ends this task and not the loop
                job.raised(error)
            else:
                _note_ending(place, task)
                job.returned(value)
        finally:
            self._release(place)

    def _release(self, place: _Place) -> None:
        """Free the job's place, once, and let the next job have it."""
        following: Job | None = None
        with self._lock:
            if not place.counts:
                return
            place.counts = False
            if self._waiting:
                following = self._waiting.popleft()
                following.place.counts = True
            else:
                self._running -= 1
        if following is not None:
            try:
                self._launch(following)
            except TaskRefusedError as error:
                following.raised(error, stopped=True)


def _note_ending(place: _Place, task: asyncio.Task[None] | None) -> None:
    """Find out whether the job's loop comes to its end. To be asked before another job gets the place."""
    loop = place.loop
    if task is None or place.stopped or not task.cancelling() or loop in (_own_loop, _default_loop):
        return
    if loop not in _ending and all(other.cancelling() for other in asyncio.all_tasks(loop)):
        with contextlib.suppress(TypeError):  # a loop of somebody else's that has no weak references
            _ending.add(loop)


def _is_running_here(loop: asyncio.AbstractEventLoop) -> bool:
    return asyncio._get_running_loop() is loop


def _loop_to_use() -> asyncio.AbstractEventLoop:
    if _default_loop is not None and _default_loop.is_running():
        return _default_loop
    here = asyncio._get_running_loop()
    return _loop_of_its_own() if here is None or _is_in_a_cell() else here


def _is_in_a_cell() -> bool:
    """Whether the loop that runs here is a Jupyter kernel's own, in its main thread."""
    ipython: Any = sys.modules.get("IPython")
    if ipython is None or threading.current_thread() is not threading.main_thread():
        return False
    return getattr(ipython.get_ipython(), "kernel", None) is not None


def _loop_of_its_own() -> asyncio.AbstractEventLoop:
    global _own_loop
    with _lock:
        if _own_loop is None or _own_loop.is_closed():
            _own_loop = asyncio.new_event_loop()
            threading.Thread(target=_own_loop.run_forever, name="backchannel-coroutines", daemon=True).start()
        return _own_loop


class _Loops:
    """The loops of this process, which a forked child does not have: nothing runs them there."""

    def __init__(self) -> None:
        self.parents: list[asyncio.AbstractEventLoop | None] = []

    def after_fork(self) -> None:
        global _lock, _default_loop, _own_loop
        # Kept: what closes a loop in the child takes it from the parent, with which it shares its selector.
        self.parents += [_default_loop, _own_loop]
        _lock, _default_loop, _own_loop = threading.RLock(), None, None


_loops = _Loops()
watch_forks(_loops)


def background_loop() -> asyncio.AbstractEventLoop:
    """Return the event loop for coroutines that are started where none runs: it goes on when they have ended."""
    if _default_loop is not None and _default_loop.is_running():
        return _default_loop
    return _loop_of_its_own()
