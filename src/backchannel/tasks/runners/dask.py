"""Dask: the runner for a cluster.

What a body reports comes back as events of the scheduler; an order to end goes straight to the worker that runs it.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import os
import threading
import time
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from ...errors import MissingExtraError, TaskRefusedError, TaskTransferError, TaskWorkerError
from ...tools.text import error_text
from ...tools.threads import WorkerThreads
from .. import lifecycle
from ..exit import be_first
from .dask_worker import end_body, run_body
from .runner import Job
from .transfer import check_installed, open_outcome, pack

__all__ = ["DaskRunner"]

_LARGE = 1_000_000
"""Bytes of a body from which on it goes to a worker by itself, and not through the scheduler."""

_GONE = ("closing", "closed")

ATTACH_S = 10.0
"""How long a scheduler is tried to be reached that an earlier process used, seconds."""

_FOUND_S = 5.0
"""How long a scheduler is asked for what an earlier process gave it, seconds."""

_MARK = "backchannel-heard"
_ASKED_S = 0.05

_log = logging.getLogger(__name__)
_endings = WorkerThreads(8, "backchannel-dask-end")


class DaskRunner:
    """Runs each body on a worker of a Dask cluster, which decides how many run at a time.

    A body is run once at most: if its worker dies the task fails, and is not tried elsewhere. Backchannel and what the
    function imports must be installed on the workers; workers have to be able to reach the scheduler only.

    Args:
        client: A ``distributed.Client``, the address of a scheduler, or None for the client that there is when a task
            starts.

    Raises:
        MissingExtraError: If distributed is not installed.

    Attributes:
        cannot: What tasks go without here, in words.
        limit: None: the cluster decides.
    """

    cannot = ("a body that was cancelled or timed out is asked to end, and keeps its worker's thread until it does",)
    limit: int | None = None
    kind = "dask"

    def __init__(self, client: Any = None) -> None:
        check_installed()
        self._distributed = _import()
        be_first()  # It closes its clients at the interpreter's exit, when tasks have still their grace.
        self._choice = client
        self._lock = threading.Lock()
        self._link: _Link | None = None
        self._unreachable: tuple[float, str] | None = None
        # Its own: they may wait long for a scheduler that is not there.
        self._threads = WorkerThreads(4, "backchannel-dask-start")

    def start(self, job: Job) -> None:
        if not isinstance(self._choice, str):
            self._usable_client()
        self._threads.submit(functools.partial(self._start, job, time.monotonic()))

    def stop(self, job: Job) -> None:
        place: _Place | None = job.place
        if place is not None:
            place.stop()

    def is_carried_here(self, job: Job) -> bool:
        link = self._link if job.place is None else job.place.link
        return link is not None and link.loop is asyncio._get_running_loop()

    def close(self) -> None:
        """Close the connection if it was made here, from an address; a client that was given is left alone."""
        with self._lock:
            link, self._link = self._link, None
        if link is not None and isinstance(self._choice, str):
            link.client.close()

    def attach(self, job: Job, where: Mapping[str, Any]) -> None:
        """Go on with a body that an earlier process gave to this cluster; blocks while it connects.

        Raises:
            TaskError: If the cluster cannot be reached.
        """
        link = self._connected(time.monotonic(), ATTACH_S)
        place = job.place = _Place(link, job, str(where["key"]))
        job.task.add_done_callback(place.stop)
        link.attach(place, str(where.get("topic", "")))

    def _start(self, job: Job, asked: float) -> None:
        try:
            link = self._connected(asked)
            place = job.place = _Place(link, job)
            body = pack(job.task, job.function, job.arguments)
        except Exception as error:  # noqa: BLE001 - whatever it is, it ends this task only
            if job.begin():
                job.raised(error)
            return
        # A task that is cancelled while it waits in the cluster was never begun, so nobody says stop.
        job.task.add_done_callback(place.stop)
        link.start(place, body)

    def _connected(self, asked: float, timeout_s: float | None = None) -> _Link:
        with self._lock:
            if self._unreachable is not None and self._unreachable[0] > asked:
                # It was asked for before the others failed: one vain attempt is enough for all of them.
                raise TaskWorkerError(self._unreachable[1])
            client = self._link.client if self._link is not None and isinstance(self._choice, str) else None
            if client is None or client.status in _GONE:
                client = self._connect(timeout_s) if isinstance(self._choice, str) else self._usable_client()
            if self._link is None or self._link.client is not client:
                self._link = _Link(client)
            return self._link

    def _connect(self, timeout_s: float | None) -> Any:
        limit = {} if timeout_s is None else {"timeout": timeout_s}
        try:
            return self._distributed.Client(self._choice, set_as_default=False, name="backchannel", **limit)
        except (OSError, ValueError) as error:
            text = (
                f"No Dask scheduler can be reached at {self._choice} ({error_text(error, 300)}). Start one, or correct "
                "the address."
            )
            self._unreachable = time.monotonic(), text
            raise TaskWorkerError(text) from error

    def _usable_client(self) -> Any:
        client = self._choice
        if client is None:
            try:
                client = self._distributed.default_client()
            except ValueError as error:
                raise TaskRefusedError(
                    "There is no Dask client. Make one with distributed.Client(), or give the scheduler's address as "
                    "the runner."
                ) from error
        if client.status in _GONE:
            raise TaskRefusedError("The Dask client is closed. Make a new one, and give it as the runner.")
        return client


class _Place:
    """Where a job is."""

    def __init__(self, link: _Link, job: Job, run_id: str | None = None) -> None:
        self.link = link
        self.job = job
        self.run_id = run_id or f"{job.task.tool_name}-{os.urandom(8).hex()}"
        # Whether the cluster keeps the outcome for another process, should this one end.
        self.kept = run_id is not None
        self.early: list[tuple[float, Any]] | None = None
        self.future: Any = None
        self.worker: str | None = None
        self.stopped = False
        # One object, so that it can be taken back.
        self.stop: Callable[[], object] = functools.partial(link.stop, self)

    def begin(self) -> bool:
        """Whether the body may run; one that an earlier process saw begin does already."""
        task = self.job.task
        return (task.restored and task.life.phase == "body" and not task.done()) or self.job.begin()


class _Link:
    """One client: what runs through it, and what comes back. All but its start is on the client's loop."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self.loop: asyncio.AbstractEventLoop = client.loop.asyncio_loop
        self._places: dict[str, _Place] = {}
        self._topic = f"backchannel-{client.id}"
        client.subscribe_topic(self._topic, self._take)
        self._heard: dict[str, asyncio.Event] = {}

    def start(self, place: _Place, body: Any) -> None:
        self._on_loop(place, self._carry(place, body))

    def attach(self, place: _Place, topic: str) -> None:
        self._on_loop(place, self._find(place, topic))

    def stop(self, place: _Place) -> None:
        if not place.stopped:
            place.stopped = True
            self._on_loop(place, self._stop(place))

    def _on_loop(self, place: _Place, work: Coroutine[Any, Any, None]) -> None:
        try:
            asyncio.run_coroutine_threadsafe(work, self.loop)
        except RuntimeError:  # its loop is closed, and the client with it
            work.close()
            self._end(place, error=_lost("its client was closed"))

    async def _carry(self, place: _Place, body: Any) -> None:
        task = place.job.task
        self._places[place.run_id] = place
        try:
            if place.stopped:
                return
            data = await self.client.scatter(body, hash=False) if len(body.body) > _LARGE else [body]
            if (ledger := task.manager.ledger) is not None:
                place.kept = True
                address = self.client.scheduler.address
                ledger.placed(task, {"kind": "dask", "address": address, "key": place.run_id, "topic": self._topic})
            place.future = self.client.submit(
                run_body, data, place.run_id, self._topic, key=place.run_id, pure=False, priority=task.options.priority
            )
            if place.kept:
                await _variable(place.run_id, self.client).set(place.future)
            outcome = await self.client.gather(place.future)
        except BaseException as error:  # noqa: BLE001 - Dask has many, and some end event loops
            if not (place.stopped or (place.kept and task.manager.is_exiting)):
                self._end(place, error=_in_words(error, task.tool_name))
            if isinstance(error, asyncio.CancelledError) and self.client.status not in _GONE:
                return
        else:
            self._end(place, outcome)
        finally:
            self._places.pop(place.run_id, None)
            task.remove_done_callback(place.stop)
            if place.future is not None:
                place.future.release()
            await self._forget(place)

    async def _find(self, place: _Place, topic: str) -> None:
        """Find what an earlier process has begun, and go on with it."""
        task = place.job.task
        self._places[place.run_id] = place
        place.early = []
        try:
            place.future = await _variable(place.run_id, self.client).get(timeout=_FOUND_S)
            await self._listen(topic)
            seen = 0.0
            for event in await self.client.get_events(topic):
                if isinstance(event[1], dict) and event[1].get("backchannel") == place.run_id:
                    seen = max(seen, event[0])
                    await self._took(event[1])
            early, place.early = place.early, None
            for event in early:
                if event[0] > seen:
                    await self._took(event[1])
            outcome = await self.client.gather(place.future)
        except TimeoutError:
            self._places.pop(place.run_id, None)
            self._lose(place, "the Dask scheduler knows it no more")
            return
        except BaseException as error:  # noqa: BLE001 - as above
            if not (place.stopped or task.manager.is_exiting):
                self._end(place, error=_in_words(error, task.tool_name))
        else:
            self._end(place, outcome)
        self._places.pop(place.run_id, None)
        task.remove_done_callback(place.stop)
        if place.future is not None:
            place.future.release()
        await self._forget(place)

    async def _stop(self, place: _Place) -> None:
        if place.worker is not None:
            await self._order_end(place.run_id, place.worker, place.job)
        self._let_go(place)
        if place.future is not None:
            with contextlib.suppress(Exception):
                await place.future.cancel(force=place.kept)

    async def _forget(self, place: _Place) -> None:
        """Take away the scheduler's mark that the body has run."""
        if self.client.status not in _GONE:
            with contextlib.suppress(Exception):
                await _event(place.run_id, self.client).clear()

    async def _order_end(self, run_id: str, worker: str, job: Job | None) -> None:
        status = "timed_out" if job is not None and job.task.status == "timed_out" else "cancelled"
        reason = "" if job is None else job.task.life.reason
        with contextlib.suppress(Exception):
            await self.client.run(end_body, run_id, status, reason, workers=[worker], on_error="ignore")

    async def _take(self, event: tuple[float, Any]) -> None:
        """An event of the scheduler came; one that cannot be read holds up no other."""
        try:
            await self._took(event[1])
        except Exception:  # noqa: BLE001 - whatever a worker sent
            _log.exception("a report of a Dask worker was not understood and is left out")

    async def _listen(self, topic: str) -> None:
        """Hear what an earlier process would have heard; returns when nothing more is missed."""
        if topic not in self._heard:
            self._heard[topic] = asyncio.Event()
            self.client.subscribe_topic(topic, functools.partial(self._take_earlier, self._heard[topic]))
        # A subscription takes its time and is not confirmed: what is said there meanwhile shows when it holds.
        for _ in range(round(_FOUND_S / _ASKED_S)):
            if self._heard[topic].is_set():
                return
            await self.client.log_event(topic, {_MARK: self.client.id})
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_ASKED_S):
                    await self._heard[topic].wait()

    async def _take_earlier(self, heard: asyncio.Event, event: tuple[float, Any]) -> None:
        """The same for what an earlier process began, of which not everything may have been found yet."""
        message = event[1] if isinstance(event[1], dict) else {}
        if message.get(_MARK) == self.client.id:
            heard.set()
        place = self._places.get(message.get("backchannel", ""))
        if place is not None and place.early is not None:
            place.early.append(event)  # What was before it is being asked for.
        elif place is not None:
            await self._took(message)

    async def _took(self, message: Any) -> None:
        if not isinstance(message, dict) or "backchannel" not in message:
            return
        run_id = message["backchannel"]
        place = self._places.get(run_id)
        if place is None or place.stopped:
            if message["kind"] == "begun":
                # It was given up while it was on its way to the worker.
                await self._order_end(run_id, message["address"], None if place is None else place.job)
            return
        if message["kind"] == "begun":
            place.worker = message["address"]
            if not place.begin():
                await self._order_end(run_id, message["address"], place.job)
            return
        task = place.job.task
        for line in message["lines"]:
            task.log(line)
        if message["progress"] is not None:
            task.report(*message["progress"])

    def _end(self, place: _Place, outcome: bytes | None = None, error: BaseException | None = None) -> None:
        place.job.task.remove_done_callback(place.stop)
        # In a thread: who is told may want something of this client, and would wait for ever on its loop.
        _endings.submit(functools.partial(_settle, place, outcome, error))

    def _lose(self, place: _Place, why: str) -> None:
        task = place.job.task
        task.remove_done_callback(place.stop)
        _endings.submit(lambda: task.manager.feed(task, lifecycle.Vanished(task.manager.clock(), why)))

    def let_go(self, place: _Place) -> None:
        """Its outcome is written down here: the cluster need not keep it."""
        with contextlib.suppress(RuntimeError):
            self.loop.call_soon_threadsafe(self._let_go, place)

    def _let_go(self, place: _Place) -> None:
        if place.kept and self.client.status not in _GONE:
            with contextlib.suppress(Exception):
                _variable(place.run_id, self.client).delete()


def _settle(place: _Place, outcome: bytes | None, error: BaseException | None) -> None:
    job, value = place.job, None
    if place.worker is None:
        place.worker = "a Dask worker"
        if not place.begin():
            return
    if outcome is not None:
        value, error = open_outcome(outcome, job.task.tool_name, f"Dask worker {place.worker}")
    if error is not None:
        job.raised(error)
    else:
        job.returned(value)
    if place.kept:
        place.link.let_go(place)


def _lost(why: str) -> TaskWorkerError:
    return TaskWorkerError(f"The Dask cluster gave the task up: {why}. Whether its body ran to its end is not known.")


def _in_words(error: BaseException, tool_name: str) -> BaseException:
    name, said = type(error).__name__, error_text(error, 500)
    if isinstance(error, TaskWorkerError):
        return error
    words: BaseException
    if name == "KilledWorker":
        words = TaskWorkerError(f"The Dask worker that ran {tool_name} died: {said}")
    elif "Cancelled" in name:
        words = _lost(f"the connection to the scheduler was lost, or somebody cancelled it there ({said})")
    elif isinstance(error, (ImportError, AttributeError)):
        words = TaskTransferError(
            f"{tool_name} could not be loaded on a Dask worker: {name}: {said}. Backchannel must be installed there."
        )
    else:
        words = TaskWorkerError(f"The Dask cluster could not run {tool_name}: {name}: {said}")
    words.__cause__ = error
    return words


def _variable(name: str, client: Any) -> Any:
    return _import().Variable(name, client=client)


def _event(name: str, client: Any) -> Any:
    return _import().Event(name, client=client)


def _import() -> Any:
    try:
        import distributed
    except ImportError:
        raise MissingExtraError("Running tools on a Dask cluster", "dask") from None
    return distributed
