"""Attachment to a Dask cluster: a task that an earlier process gave to it is found there again."""

from __future__ import annotations

import contextlib
import functools
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ...errors import BackchannelError
from ...tools.text import error_text
from ...tools.threads import WorkerThreads
from .. import lifecycle
from ..job import TaskJob
from .choose import runner_of

if TYPE_CHECKING:
    from ..manager import AsyncToolManager
    from ..task import Task

__all__ = ["attach"]

_threads = WorkerThreads(4, "backchannel-dask-attach")


def attach(task: Task, where: Mapping[str, Any], manager: AsyncToolManager) -> None:
    """Go on with a task that runs on a cluster, once it is found there; else it is lost. Returns at once."""
    _threads.submit(functools.partial(_attach, task, where, manager))


def _attach(task: Task, where: Mapping[str, Any], manager: AsyncToolManager) -> None:
    address = str(where.get("address", ""))
    try:
        runner: Any = runner_of(_client_at(address, manager.runner) or address, manager)
        job = TaskJob(task, runner, _nothing, {})
        with manager.lock:
            if not task.done():
                task.job = job
        runner.attach(job, where)
    except Exception as error:  # noqa: BLE001 - whatever it is, the task cannot be found
        said = error_text(error, 300) if isinstance(error, BackchannelError) else f"{type(error).__name__}: {error}"
        manager.feed(task, lifecycle.Vanished(manager.clock(), f"the cluster that ran it was not found: {said}"))


def _client_at(address: str, choice: Any) -> Any:
    """Return a client for that scheduler that the program has already, or None."""
    distributed = sys.modules.get("distributed")
    if distributed is None:
        return None
    found = [choice] if isinstance(choice, distributed.Client) else []
    with contextlib.suppress(ValueError):
        found.append(distributed.default_client())
    for client in found:
        if client.status == "running" and client.scheduler.address == address:
            return client
    return None


def _nothing() -> None:
    """Stands for a function that only the process had which started the task."""
