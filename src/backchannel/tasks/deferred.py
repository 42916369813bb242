"""Deferred: a task whose value comes from elsewhere, later: someone else resolves it, or it is asked for."""

from __future__ import annotations

import enum
import math
from collections.abc import Callable
from typing import Any, Final

__all__ = ["PENDING", "Deferred", "Pending"]

POLL_S = 5.0
"""How often is asked unless said otherwise, seconds."""


class Pending(enum.Enum):
    """What a poll returns as long as there is no value."""

    PENDING = "pending"


PENDING: Final = Pending.PENDING
"""What a poll returns as long as there is no value."""


class Deferred:
    """What a tool's function returns when it has started work elsewhere, which is not done yet.

    The task goes on without its function until `AsyncToolManager.resolve` or ``fail`` is called for it, its poll
    has a value, it is cancelled, or its time-out comes.

    Args:
        poll: Called in a thread every ``every_s`` seconds; returns `PENDING` until it returns the value. It may report
            `progress`. What it raises ends the task, unless the task's retries cover it.
        every_s: Pause between two polls, seconds.
        advice: What to look at if no value comes; the error of a time-out says it.

    Raises:
        ValueError: If the pause is not more than 0 seconds.
        TypeError: If ``poll`` cannot be called.
    """

    __slots__ = ("advice", "every_s", "poll")

    def __init__(self, poll: Callable[[], Any] | None = None, *, every_s: float = POLL_S, advice: str = "") -> None:
        if poll is not None and not callable(poll):
            raise TypeError(f"Deferred: poll must be a function, not {type(poll).__name__}")
        if not 0 < every_s < math.inf:
            raise ValueError(f"Deferred: every_s must be more than 0 seconds, not {every_s!r}")
        self.poll = poll
        self.every_s = float(every_s)
        self.advice = advice
