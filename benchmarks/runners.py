"""Runners: what a task costs in a process, beside `ProcessPoolExecutor`, and on Dask, beside Dask's own client."""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from statistics import median
from typing import Any, TypeAlias

from backchannel import AsyncToolManager

from .figures import Figure, Target, UnavailableError

__all__ = ["Runners", "echo"]

Start: TypeAlias = Callable[[int], Callable[[], Any]]
"""Starts a call and returns what waits for its result."""


def echo(number: int) -> int:
    """Return a number."""
    return number


@dataclass(frozen=True, slots=True)
class Runners:
    """``calls`` of a function that does nothing, one after the other and all at once, on ``workers``.

    What ours costs more pays for a life of its own for each task: progress, logs, cancel, time-outs, its end in words,
    and on Dask that no body is ever run twice.
    """

    calls: int = 100
    workers: int = 2

    def measure(self, runs: int) -> list[Figure]:
        if find_spec("cloudpickle") is None:
            raise UnavailableError("worker processes need cloudpickle; pip install 'backchannel[processes]'")
        if find_spec("distributed") is None:
            raise UnavailableError("Dask is needed; pip install 'backchannel[dask]'")
        figures: list[Figure] = []
        with self._manager("process") as ours, _process_pool(self.workers) as peer:
            figures += self._figures("process", ours, peer, "ProcessPoolExecutor", Target(4.0, ratio=True), runs)
        name = f"distributed {version('distributed')}, client.submit"
        for processes, what in ((False, "Dask, workers in this process"), (True, "Dask, a worker process")):
            with _client(self.workers, processes=processes) as client, self._manager(client) as ours:

                def peer(number: int, client: Any = client) -> Callable[[], Any]:
                    waits: Callable[[], Any] = client.submit(echo, number=number, pure=False).result
                    return waits

                figures += self._figures(what, ours, peer, name, Target(2.5, ratio=True), runs)
        return figures

    @contextlib.contextmanager
    def _manager(self, runner: Any) -> Iterator[Start]:
        manager = AsyncToolManager(self.workers, runner=runner)
        try:
            yield lambda number: manager.start("echo", echo, {"number": number}).result
        finally:
            manager.shutdown(cancel=True)

    def _figures(self, what: str, ours: Start, peer: Start, peer_name: str, target: Target, runs: int) -> list[Figure]:
        both = (ours, peer)
        one: dict[Start, list[float]] = {start: [] for start in both}
        many: dict[Start, list[float]] = {start: [] for start in both}
        for start in both:
            _at_once(start, max(self.workers, min(self.calls, 20)))
        for run in range(runs):
            for start in both if run % 2 == 0 else both[::-1]:
                one[start].append(_one_by_one(start, self.calls))
                many[start].append(_at_once(start, self.calls))
        return [
            Figure(f"{what}: one call, until its result", "ms", one[ours], one[peer], peer_name, target),
            Figure(f"{what}: each of {self.calls} calls at once", "ms", many[ours], many[peer], peer_name, target),
        ]


def _one_by_one(start: Start, calls: int) -> float:
    """Return the median of the milliseconds of a call."""
    elapsed = []
    for number in range(calls):
        began = time.perf_counter()
        found = start(number)()
        elapsed.append(time.perf_counter() - began)
        _check([found], [number])
    return median(elapsed) * 1000


def _at_once(start: Start, calls: int) -> float:
    """Return the milliseconds for each of the calls."""
    began = time.perf_counter()
    waits = [start(number) for number in range(calls)]
    found = [wait() for wait in waits]
    elapsed = time.perf_counter() - began
    _check(found, range(calls))
    return elapsed / calls * 1000


def _check(found: Sequence[Any], wanted: Sequence[int]) -> None:
    if list(found) != list(wanted):
        raise RuntimeError(f"{found!r:.200} came back instead of {wanted!r:.200}")


@contextlib.contextmanager
def _process_pool(workers: int) -> Iterator[Start]:
    # New interpreters, as our workers are.
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield lambda number: pool.submit(echo, number=number).result


@contextlib.contextmanager
def _client(workers: int, *, processes: bool) -> Iterator[Any]:
    import distributed

    with (
        distributed.LocalCluster(
            n_workers=1,
            threads_per_worker=workers,
            processes=processes,
            dashboard_address=None,
            silence_logs=logging.ERROR,
        ) as cluster,
        distributed.Client(cluster, set_as_default=False) as client,
    ):
        yield client
