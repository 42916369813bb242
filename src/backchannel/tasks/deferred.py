"""Deferred: a task whose value comes from elsewhere, later: someone else resolves it, or it is asked for."""

from __future__ import annotations

import enum
import json
import math
from collections.abc import Callable, Mapping
from typing import Any, Final, cast

from ..observability.secret_text import name_kind
from .ledger_entries import plain

__all__ = ["PENDING", "Deferred", "Pending"]

POLL_S = 5.0
"""How often is asked unless said otherwise, seconds."""


_HANDLE = 10_000


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
        handle: By what the work can be found from another process: a small dict of plain JSON without secrets, such as
            a job's id. It is written to the manager's ledger, and given to the tool's ``resume`` after a restart.

    Raises:
        ValueError: If the pause is not more than 0 seconds, or the handle is not small plain JSON.
        TypeError: If ``poll`` cannot be called.
    """

    __slots__ = ("advice", "every_s", "handle", "poll")

    def __init__(
        self,
        poll: Callable[[], Any] | None = None,
        *,
        every_s: float = POLL_S,
        advice: str = "",
        handle: Mapping[str, Any] | None = None,
    ) -> None:
        if poll is not None and not callable(poll):
            raise TypeError(f"Deferred: poll must be a function, not {type(poll).__name__}")
        if not 0 < every_s < math.inf:
            raise ValueError(f"Deferred: every_s must be more than 0 seconds, not {every_s!r}")
        self.poll = poll
        self.every_s = float(every_s)
        self.advice = advice
        self.handle = None if handle is None else _checked(handle)


def _checked(handle: Mapping[str, Any]) -> dict[str, Any]:
    if not isinstance(handle, Mapping):
        raise ValueError(f"Deferred: handle must be a dict of plain JSON, not {type(handle).__name__}")  # noqa: TRY004
    try:
        data = plain(dict(handle))
        length = len(json.dumps(data, allow_nan=False))
    except ValueError as error:
        raise ValueError(f"Deferred: handle must be a dict of plain JSON: {error}") from None
    if (secret := _secret_name(data)) is not None:
        raise ValueError(f"Deferred: handle has {secret!r}, which looks like a secret; a ledger must not have it")
    if length > _HANDLE:
        raise ValueError(f"Deferred: handle has {length} characters as JSON; give at most {_HANDLE}, such as an id")
    return cast("dict[str, Any]", data)


def _secret_name(data: Any) -> str | None:
    """Return a name in the data whose value would be a secret, or None."""
    if isinstance(data, dict):
        named = [name if name_kind(name) == "secret" else _secret_name(item) for name, item in data.items()]
    else:
        named = [_secret_name(item) for item in data] if isinstance(data, list) else []
    return next((name for name in named if name is not None), None)
