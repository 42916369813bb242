"""The part of the Dask runner that runs on the workers."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Coroutine
from typing import Any

from ...errors import TaskWorkerError
from .mirror import BodyRun
from .reporter import Report, Reporter
from .transfer import Parcel

__all__ = ["end_body", "run_body"]

_runs: dict[str, BodyRun] = {}


def run_body(wrapped: list[Parcel] | Parcel, run_id: str, topic: str) -> bytes:
    """Run a body in this thread of a worker, once only; returns its outcome.

    Raises:
        TaskWorkerError: If it has been begun before, by a worker that died.
    """
    # By name: its types are only partly there.
    distributed: Any = importlib.import_module("distributed")
    worker = distributed.get_worker()
    parcel = wrapped[0] if isinstance(wrapped, list) else wrapped
    # The mark is a `distributed.Event`, asked for without the client that this class would make in each worker.
    if _ask(worker, worker.scheduler.event_is_set(name=run_id)):
        raise TaskWorkerError(
            f"The Dask worker that ran {parcel.tool_name} died, for example for lack of memory. It was not tried again "
            "on another one: nobody knows how far it had come."
        )
    _ask(worker, worker.scheduler.event_set(name=run_id))

    def tell(report: Report) -> None:
        message = {"backchannel": run_id, "kind": "report", "progress": report.progress, "lines": list(report.lines)}
        worker.log_event(topic, message)

    reporter = Reporter(tell)
    run = _runs[run_id] = BodyRun(parcel, reporter)
    worker.log_event(topic, {"backchannel": run_id, "kind": "begun", "address": worker.address})
    try:
        return run.run()
    finally:
        del _runs[run_id]
        reporter.close()


def _ask(worker: Any, question: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run_coroutine_threadsafe(question, worker.loop.asyncio_loop).result()


def end_body(run_id: str, status: Any, reason: str) -> None:
    """Ask a body that runs in this process to end."""
    run = _runs.get(run_id)
    if run is not None:
        run.end(status, reason)
