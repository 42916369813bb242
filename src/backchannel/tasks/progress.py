"""Progress: how a body says how far it is, and learns that it is to end. Outside of a task all of it is harmless."""

from __future__ import annotations

import contextvars
import math
import numbers
import sys
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, overload

from ..errors import TaskCancelledError

if TYPE_CHECKING:
    from .task import Task

__all__ = [
    "Bar",
    "Progress",
    "Track",
    "cancelled",
    "current_task",
    "plain_number",
    "progress",
    "running_task",
    "track",
    "yielded",
]

T = TypeVar("T")

_EXACT = 2**63

running_task: contextvars.ContextVar[Task | None] = contextvars.ContextVar("backchannel_task", default=None)
"""The task whose body runs here; set by whatever runs it."""


class Progress(NamedTuple):
    """How far a task is.

    Attributes:
        done: Units done, or None where nothing was said.
        total: Units in all, or None where unknown.
        message: What it is doing.
        fraction: From 0 to 1, or None where the total is unknown.
        eta_s: Time left, seconds, or None where unknown.
    """

    done: float | None = None
    total: float | None = None
    message: str = ""
    fraction: float | None = None
    eta_s: float | None = None


def current_task() -> Task | None:
    """Return the task whose body runs here, or None."""
    return running_task.get()


def cancelled() -> bool:
    """Whether the body that runs here should end: its task was cancelled or timed out, or its process is to end."""
    task = running_task.get()
    return task is not None and (task.status in ("cancelled", "timed_out") or task.life.ending != "")


def progress(done: float | None = None, total: float | None = None, message: str = "") -> None:
    """Say how far the task is; what is left out stays as it was. The newest report wins.

    Args:
        done: Units done.
        total: Units in all.
        message: What it is doing, in a few words.
    """
    task = running_task.get()
    if task is not None:
        task.report(plain_number(done), plain_number(total), str(message) if message else None)


def plain_number(value: Any) -> float | None:
    """Return a number that JSON, msgpack and a bar can hold: an int of 64 bits, or a finite float; None for no number.

    Raises:
        TypeError: If it is not a number.
        ValueError: If it is text that says none.
    """
    if value is None or (type(value) is int and -_EXACT < value < _EXACT):
        return value
    try:
        number = float(value)
    except OverflowError:
        return -sys.float_info.max if value < 0 else sys.float_info.max
    if not math.isfinite(number):
        return None
    return int(number) if number.is_integer() and -_EXACT < number < _EXACT else number


_REPORT = frozenset({"done", "total", "message", "fraction"})


def yielded(item: Any) -> Progress | None:
    """Return the report that a generator's value is, or None.

    It is one if it is a `Progress`, or a mapping of what that has: ``done`` with ``total``, ``fraction``, ``message``.
    """
    if isinstance(item, Progress):
        said: Mapping[str, Any] = item._asdict()
    elif isinstance(item, Mapping) and item and _REPORT.issuperset(item):
        said = item
    else:
        return None
    done, total, message, fraction = (said.get(name) for name in ("done", "total", "message", "fraction"))
    if not all(value is None or _is_real(value) for value in (done, total, fraction)):
        return None
    if not isinstance(message, str | None):
        return None
    if done is None and fraction is not None:
        done, total = fraction, 1
    return Progress(plain_number(done), plain_number(total), message or "")


def _is_real(value: Any) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


@overload
def track(iterable: Iterable[T], label: str = "", total: float | None = None) -> Track[T]: ...
@overload
def track(iterable: AsyncIterable[T], label: str = "", total: float | None = None) -> AsyncIterator[T]: ...
def track(iterable: Any, label: str = "", total: float | None = None) -> Any:
    """Go through an iterable (also an asynchronous one), and report each step.

    Within another `track` of the same task it shows as that one's message, and the outer one drives the bar.

    Args:
        iterable: What to go through; its length is the total if it has one.
        label: What the steps are, as in ``epochs``.
        total: Number of steps, where the iterable has no length.

    Raises:
        TaskCancelledError: At the next step once the task was cancelled or timed out.
    """
    if total is None and hasattr(iterable, "__len__"):
        total = len(iterable)
    if isinstance(iterable, AsyncIterable):
        return _track_async(iterable, label, plain_number(total))
    return Track(iterable, label, plain_number(total))


class Track(Iterable[T]):
    """An iterable that reports each step; what `track` returns."""

    __slots__ = ("_iterable", "_label", "_total")

    def __init__(self, iterable: Iterable[T], label: str, total: float | None) -> None:
        self._iterable = iterable
        self._label = label
        self._total = total

    def __len__(self) -> int:
        return len(self._iterable)  # type: ignore[arg-type]

    def __iter__(self) -> Iterator[T]:
        task = running_task.get()
        return iter(self._iterable) if task is None else self._steps(task)

    def _steps(self, task: Task) -> Iterator[T]:
        bar = Bar(task, self._label, self._total)
        try:
            for item in self._iterable:
                bar.step()
                yield item
            bar.step()
        finally:
            bar.close()


async def _track_async(iterable: AsyncIterable[T], label: str, total: float | None) -> AsyncIterator[T]:
    task = running_task.get()
    if task is None:
        async for item in iterable:
            yield item
        return
    bar = Bar(task, label, total)
    try:
        async for item in iterable:
            bar.step()
            yield item
        bar.step()
    finally:
        bar.close()


class Bar:
    """One `track` or bar under way: the task's outermost drives its bar, others only its message."""

    __slots__ = ("_closed", "_done", "_label", "_outer", "_total", "task")

    def __init__(self, task: Task, label: str, total: float | None) -> None:
        self.task = task
        self._label = label
        self._total = total
        self._done: float = -1
        self._closed = False
        self._outer = task.claim_bar(self, label)

    def step(self) -> None:
        """One unit more; raises `TaskCancelledError` where the task is to end."""
        task = self.task
        if task.done() or task.life.ending:
            raise TaskCancelledError(
                f"Task {task.number}, {task.label}, was to end: {task.life.ending or task.status}."
            )
        self._done += 1
        self._tell(None)

    def show(self, done: float, total: float | None, label: str) -> None:
        """Say how far it is, for bars that count themselves. The total may change, and so may what they are called."""
        if self._closed:
            return
        changed = label != self._label
        self._done, self._total, self._label = plain_number(done) or 0, plain_number(total), label
        self._tell(label if changed else None)

    def close(self) -> None:
        """It is over; a second time does nothing."""
        if self._closed:
            return
        self._closed = True
        if self._outer:
            self.task.release_bar(self)
        elif not self.task.done():
            self.task.report(None, None, self.task.bar_label(""))

    def _tell(self, label: str | None) -> None:
        task = self.task
        if self._outer:
            task.report(self._done, self._total, label)
        else:
            of = "" if self._total is None else f"/{self._total:g}"
            task.report(None, None, task.bar_label(f"{self._label} {self._done:g}{of}".strip()))
