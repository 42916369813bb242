"""Runs: following what goes on in AWS for a task, until it ends there or the task does."""

from __future__ import annotations

import logging
import threading
import uuid
from collections.abc import Callable, Iterator
from random import uniform
from typing import TypeVar

from ..errors import AWSError, TaskCancelledError
from ..tasks import current_task, progress
from .refusal import THROTTLED

__all__ = ["Run", "delays"]

_log = logging.getLogger(__name__)

T = TypeVar("T")

FAULTS = 20
"""Looks in a row that may fail for a reason that may pass; each waits longer, up to twelve times as long as usual."""

TRIES = 5
THROTTLED_S = 1.0
"""How long a throttled request waits before it is sent again, seconds; twice as long each time."""


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
    """

    def __init__(self) -> None:
        self._task = current_task()
        unique = uuid.uuid4().hex
        self.id = f"{self._task.id}-{unique}" if self._task is not None else unique
        self._over = threading.Event()
        if self._task is not None:
            self._task.add_done_callback(self._over.set)

    @property
    def over(self) -> bool:
        """Whether the task was cancelled or timed out."""
        return self._over.is_set()

    def check(self) -> None:
        """Go on only if the task does.

        Raises:
            TaskCancelledError: If it was cancelled or timed out.
        """
        if self.over:
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
                return send()
            except AWSError as error:
                if error.code not in THROTTLED or attempt == TRIES - 1:
                    raise
            progress(message="AWS is throttling, will be tried again")
            self._over.wait(THROTTLED_S * 2**attempt * uniform(0.5, 1))  # noqa: S311 - no secret
        raise AssertionError("the last try returns or raises")

    def follow(
        self, look: Callable[[], T | None], what: str, *, longest: float, stop: Callable[[], object] | None = None
    ) -> T:
        """Look again and again until there is something; return it.

        Args:
            look: Returns None as long as there is nothing.
            what: What is followed, for errors, as in ``execution x``.
            longest: Between two looks, seconds.
            stop: Called if the task ends before.

        Raises:
            TaskCancelledError: If the task was cancelled or timed out.
            AWSError: If looking fails for good; what is followed goes on.
        """
        faults = 0
        for delay in delays(longest):
            if self.over:
                if stop is not None:
                    self._stop(stop, what)
                self.check()
            try:
                found = look()
                faults = 0
            except AWSError as error:
                faults += 1
                if not error.may_pass or faults > FAULTS:
                    raise AWSError(f"{error} (The {what} goes on.)", code=error.code) from error
                found = None
            if found is not None:
                return found
            self._over.wait(min(delay * 2**faults, longest * 12))
        raise AssertionError("delays never end")

    def _stop(self, stop: Callable[[], object], what: str) -> None:
        try:
            stop()
        except AWSError as error:
            _log.warning("the %s goes on although its task has ended, as it could not be stopped: %s", what, error)
