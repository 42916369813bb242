"""The choice of a runner: what ``runner=`` may be."""

from __future__ import annotations

import sys
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any, Protocol

from ...errors import ToolDefinitionError
from .runner import Runner

__all__ = ["runner_of", "runners_of"]

_CHOICES = (
    '"thread", "coroutine", "process", "dask" or the address of a Dask scheduler such as "tcp://host:8786", a '
    "distributed.Client, or a concurrent.futures.Executor"
)


class Places(Protocol):
    """What is asked of a manager here."""

    max_workers: int
    threads: Runner
    coroutines: Runner


_lock = threading.Lock()
_made: weakref.WeakKeyDictionary[Any, dict[Any, Runner]] = weakref.WeakKeyDictionary()
"""The runners of each manager, by what they were made from: the same choice means the same places."""


def runner_of(choice: object, manager: Places) -> Runner:
    """Return the runner that ``runner=choice`` stands for; the same one each time for the same manager.

    Args:
        choice: ``"thread"``, ``"coroutine"``, ``"process"``, ``"dask"`` (the client that is there), the address of
            a Dask scheduler, a ``distributed.Client``, a ``concurrent.futures.Executor``, or a `Runner`.
        manager: Whose tasks will run there; its ``max_workers`` bounds the processes.

    Raises:
        ToolDefinitionError: If it is none of them.
        MissingExtraError: If it needs a package that is not installed.
    """
    if isinstance(choice, str):
        return _by_name(choice, manager)
    if _is_dask_client(choice):
        return _kept(manager, id(choice), lambda: _dask(choice))
    if isinstance(choice, Executor):
        return _kept(manager, id(choice), lambda: _executor(choice))
    if isinstance(choice, Runner) and not isinstance(choice, type):
        return choice
    raise ToolDefinitionError(f"runner={choice!r:.100} is no place to run: it may be {_CHOICES}")


def runners_of(manager: Places) -> list[Runner]:
    """Return the runners that were made for a manager."""
    with _lock:
        return list(_made.get(manager, {}).values())


def _by_name(name: str, manager: Places) -> Runner:
    match name:
        case "thread" | "threads":
            return manager.threads
        case "coroutine" | "coroutines":
            return manager.coroutines
        case "process" | "processes":
            return _kept(manager, "process", lambda: _processes(manager.max_workers))
        case "dask":
            return _kept(manager, name, lambda: _dask(None))
    if ":" in name.strip(":"):
        return _kept(manager, name, lambda: _dask(name))
    raise ToolDefinitionError(f"runner={name!r:.100} is no place to run: it may be {_CHOICES}")


def _kept(manager: Places, key: Any, make: Callable[[], Runner]) -> Runner:
    with _lock:
        runners = _made.setdefault(manager, {})
        if key not in runners:
            runners[key] = make()
        return runners[key]


def _is_dask_client(choice: object) -> bool:
    # Nobody has a client who has not imported it.
    distributed = sys.modules.get("distributed")
    return distributed is not None and isinstance(choice, distributed.Client)


def _executor(executor: Executor) -> Runner:
    from .executor import ExecutorRunner

    return ExecutorRunner(executor)


def _processes(limit: int) -> Runner:
    from .processes import ProcessRunner

    return ProcessRunner(limit)


def _dask(client: Any) -> Runner:
    from .dask import DaskRunner

    return DaskRunner(client)
