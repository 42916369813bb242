"""The end of the interpreter: tasks that run get a grace, and what becomes of them is written down."""

from __future__ import annotations

import atexit
import logging
import os
import threading
import time
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, cast

from ..journal.s3 import begin_exit  # Imported first: what it does at the exit comes after what is done here.
from . import lifecycle

if TYPE_CHECKING:
    from .engine import Engine
    from .ledger import Ledger
    from .manager import AsyncToolManager
    from .task import Task

__all__ = ["EXIT_GRACE_S", "afterwards", "be_first", "shorten_grace", "watch_exit"]

_log = logging.getLogger(__name__)

EXIT_GRACE_S = 2.0
"""How long bodies that run may take to end when the interpreter does, all of them together, seconds."""

CLOSE_S = 1.0
"""How long ledgers may take to write their last entries, if the bodies have used up the grace, seconds."""

REASON = "the interpreter ended"

_managers: weakref.WeakKeyDictionary[Engine, int] = weakref.WeakKeyDictionary()
"""The managers, and the process in which each was made."""

_afterwards: list[Callable[[], object]] = []
_process = os.getpid()


def watch_exit(manager: Engine) -> None:
    """Look after this manager's tasks when the interpreter ends."""
    _managers[manager] = os.getpid()


def afterwards(call: Callable[[], object]) -> None:
    """Call this at the end of the interpreter, once the tasks had their grace."""
    _afterwards.append(call)


def shorten_grace(grace_s: float) -> None:
    """Let the grace be no longer than this, where whoever ends the process does not wait for more."""
    global EXIT_GRACE_S
    EXIT_GRACE_S = min(EXIT_GRACE_S, grace_s)


def be_first() -> None:
    """Come before whatever has been registered with `atexit` so far: it may take away what tasks run on."""
    atexit.unregister(_end)
    atexit.register(_end)


def _end() -> None:
    try:
        # A forked child has none of the threads that its parent's tasks run in, and no right to the ledger.
        here = os.getpid()
        managers = [cast("AsyncToolManager", manager) for manager, made in list(_managers.items()) if made == here]
        until = time.monotonic() + EXIT_GRACE_S
        try:
            asked = [task for manager in managers for task in _ask(manager)]
            _wait(asked, until)
        finally:  # Ctrl-C cuts the grace short, and nothing else.
            left_s = max(until - time.monotonic(), CLOSE_S)
            begin_exit(left_s)
            closing = [thread for manager in managers if (thread := _give_up(manager)) is not None]
            until = time.monotonic() + left_s
            for thread in closing:
                thread.join(max(until - time.monotonic(), 0))
    except Exception:  # noqa: BLE001 - the rest is to end, too
        _log.exception("tasks could not be ended with the interpreter")
    finally:
        for call in _afterwards if os.getpid() == _process else ():
            try:
                call()
            except Exception:  # noqa: BLE001 - as above
                _log.exception("%r failed at the end of the interpreter", call)


def _ask(manager: AsyncToolManager) -> list[Task]:
    """Give up what has not begun, and ask the bodies that run to end; returns their tasks."""
    left = manager.close_for_exit()
    # Those that wait first, so that none of them gets the place of one that ends.
    for task in left:
        if task.life.phase != "body" and not _goes_on_elsewhere(task):
            manager.feed(task, lifecycle.Vanished(manager.clock(), _why(task)))
    asked = []
    for task in left:
        if task.life.phase != "body" or task.done() or task.where == "dask":
            continue
        loop = getattr(getattr(task.job, "place", None), "loop", None)
        manager.feed(task, lifecycle.EndRequested(manager.clock(), REASON))
        if loop is None or loop.is_running():
            asked.append(task)
    return asked


def _wait(asked: list[Task], until: float) -> None:
    for task in asked:
        ended = threading.Event()
        task.add_done_callback(ended.set)
        ended.wait(max(until - time.monotonic(), 0))


def _give_up(manager: AsyncToolManager) -> threading.Thread | None:
    """Write down what has not ended, and let go of the ledger; one that is far away may take its time."""
    if manager.ledger is None:
        return None
    thread = threading.Thread(
        target=_close, args=(manager, manager.ledger), name="backchannel-ledger-close", daemon=True
    )
    try:
        thread.start()
    except RuntimeError:  # From Python 3.12 on there are no new threads now.
        _close(manager, manager.ledger)
        return None
    return thread


def _close(manager: AsyncToolManager, ledger: Ledger) -> None:
    for task in manager.tasks:
        if not task.done() and not _goes_on_elsewhere(task):
            manager.feed(task, lifecycle.Vanished(manager.clock(), REASON))
    ledger.close()


def _goes_on_elsewhere(task: Task) -> bool:
    """Whether another process can bring the task to its end, so that it stays open in the ledger."""
    ledger = task.manager.ledger
    return task.life.phase == "outside" if ledger is None else ledger.goes_on(task)


def _why(task: Task) -> str:
    return f"{REASON} before it began" if task.started is None else REASON


atexit.register(_end)
