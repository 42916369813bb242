"""Runs: starting something in AWS for a task, and following it until it ends there or the task does."""

from __future__ import annotations

import functools
import logging
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from random import uniform
from typing import Any, TypeVar

from ..errors import AWSError, TaskCancelledError
from ..tasks import PENDING, Deferred, Task, current_task, progress
from ..tools.text import cut
from ..tools.threads import WorkerThreads
from .refusal import CREDENTIALS, THROTTLED

__all__ = ["FAULTS", "Following", "Remote", "Run", "delays"]

_log = logging.getLogger(__name__)

T = TypeVar("T")

FAULTS = 20
"""Looks in a row that may fail for a reason that may pass; each waits longer, up to twelve times as long as usual."""

SIGN_IN_S = 3600.0
"""How long a missing sign-in is borne, seconds: what was started goes on meanwhile."""

_MESSAGE = 200

TRIES = 5
THROTTLED_S = 1.0
"""How long a throttled request waits before it is sent again, seconds; twice as long each time."""

# What is left to do at a task's end asks AWS, and whoever ended it must not wait for that.
_ends = WorkerThreads(8, "backchannel-aws")


def delays(longest: float) -> Iterator[float]:
    """Seconds between looks: short ones first, so that what is quick is told soon."""
    delay = longest / 8
    while True:
        yield min(delay, longest)
        delay = min(delay * 1.5, longest)


class Run:
    """One run of a tool's body.

    Attributes:
        id: Unique among all runs anywhere; begins with the task's id.
        task: The task, or None where the function was called by hand.
    """

    def __init__(self) -> None:
        self.task = current_task()
        unique = uuid.uuid4().hex
        self.id = f"{self.task.id}-{unique}" if self.task is not None else unique
        self._over = threading.Event()
        if self.task is not None:
            self.task.add_done_callback(self._over.set)
        self._sending = False

    def at_early_end(self, said: str) -> None:
        """Write this into the task's log if it ends while a request of `begin` is under way."""
        task = self.task
        if task is not None:
            task.add_done_callback(lambda: task.log(said) if self._sending and task.status != "done" else None)

    def check(self) -> None:
        """Go on only if the task does.

        Raises:
            TaskCancelledError: If it was cancelled or timed out.
        """
        if self._over.is_set():
            raise TaskCancelledError("The task was to end.")

    def begin(self, send: Callable[[], T]) -> T:
        """Send a request that must not be sent twice; again only where AWS throttled it, and so did nothing.

        Raises:
            TaskCancelledError: If the task was cancelled or timed out.
            AWSError: If AWS refused.
        """
        for attempt in range(TRIES):
            self.check()
            try:
                self._sending = True
                return send()
            except AWSError as error:
                if error.code not in THROTTLED or attempt == TRIES - 1:
                    raise
            finally:
                self._sending = False
            progress(message="AWS is throttling, will be tried again")
            self._over.wait(THROTTLED_S * 2**attempt * uniform(0.5, 1))  # noqa: S311 - no secret
        raise AssertionError("the last try returns or raises")


@dataclass(frozen=True, slots=True)
class Remote:
    """What runs in AWS while nothing runs here.

    Attributes:
        start: Starts it with a call's arguments; returns how to find it again, as plain JSON.
        follow: Follows what was found again.
    """

    start: Callable[[dict[str, Any]], dict[str, Any]]
    follow: Callable[[Mapping[str, Any]], Following]


class Following:
    """Looks at what goes on in AWS, again and again, for one task.

    Args:
        what: What is followed, for errors, as in ``execution x``.
        look: Returns None as long as it goes on, then what came of it.
        read: Makes the value of that, or raises what went wrong there.
        longest: Between two looks, seconds.
        stop: Called if the task is cancelled or times out before; what it returns goes to the task's log.
        forget: Called at the task's end with whether it has the value.
        advice: What to look at if nothing comes.
    """

    def __init__(
        self,
        what: str,
        look: Callable[[], T | None],
        read: Callable[[T], Any],
        *,
        longest: float,
        stop: Callable[[], str] | None = None,
        forget: Callable[[bool], object] | None = None,
        advice: str = "",
    ) -> None:
        self._what = what
        self._look: Callable[[], Any] = look
        self._read: Callable[[Any], Any] = read
        self._longest = longest
        self._stop = stop
        self._forget = forget
        self._advice = advice
        self._delays = delays(longest)
        self._faults = 0
        self._signed_out_s = 0.0
        self._task: Task | None = None
        self._deferred: Deferred | None = None

    def begin(self, handle: Mapping[str, Any]) -> Any:
        """Return what a tool's function returns: the value to come in a task, the value itself where there is none."""
        if current_task() is not None:
            return self.deferred(handle)
        pause, found = threading.Event(), False
        try:
            while (value := self._ask()) is PENDING:
                pause.wait(self._pause())
            found = True
        finally:
            if self._forget is not None:
                self._forget(found)
        return value

    def deferred(self, handle: Mapping[str, Any]) -> Deferred:
        """Return the value to come; ``handle`` is by what another process finds it."""
        self._deferred = Deferred(self._poll, every_s=self._pause(), handle=handle, advice=self._advice)
        self._attach()
        return self._deferred

    def _poll(self) -> Any:
        self._attach()
        value = self._ask()
        if value is PENDING and self._deferred is not None:
            self._deferred.every_s = self._pause()
        return value

    def _attach(self) -> None:
        task = current_task()
        if task is not None and self._task is None:
            self._task = task
            task.add_done_callback(self._ended)

    def _pause(self) -> float:
        return min(next(self._delays) * 2.0**self._faults, self._longest * 12)

    def _ask(self) -> Any:
        try:
            found = self._look()
        except AWSError as error:
            if self._bears(error):
                return PENDING
            raise AWSError(f"{error} (The {self._what} goes on.)", code=error.code) from error
        if found is not None:
            try:
                return self._read(found)
            except AWSError as error:
                if self._bears(error):
                    return PENDING
                raise
        self._faults = 0
        self._signed_out_s = 0.0
        return PENDING

    def _bears(self, error: AWSError) -> bool:
        """Whether to look again after an error."""
        if error.code in CREDENTIALS:
            progress(message=cut(str(error), _MESSAGE))
            self._faults = min(self._faults + 1, FAULTS)
            self._signed_out_s += self._pause()
            return self._signed_out_s < SIGN_IN_S
        if error.may_pass:
            self._faults += 1
            return self._faults <= FAULTS
        return False

    def _ended(self) -> None:
        task = self._task
        if task is None:
            return
        if self._stop is not None and task.status in ("cancelled", "timed_out"):
            _ends.submit(functools.partial(self._end, task, self._stop))
        if self._forget is not None:
            _ends.submit(functools.partial(self._forget, task.status == "done"))

    def _end(self, task: Task, stop: Callable[[], str]) -> None:
        try:
            said = stop()
        except AWSError as error:
            said = f"The {self._what} goes on, as it could not be stopped: {error}"
            _log.warning("%s", said)
        task.log(said)
