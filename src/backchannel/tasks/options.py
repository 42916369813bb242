"""Options: how the runs of one tool are started, checked in one place."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

from .duplicates import OnDuplicate
from .milestones import MilestoneRule, rule_fault
from .retry import Retry, RetryOn, as_tuple, retry_fault

__all__ = ["GRACE_S", "Announce", "TaskOptions"]

Announce: TypeAlias = Literal["when_free", "at_once", "never"]

GRACE_S = 0.25
"""How long a model's call waits for a quick result before it is acknowledged, seconds."""


@dataclass(frozen=True, slots=True)
class TaskOptions:
    """How a task is run; made and checked by `of`."""

    announce: Announce = "when_free"
    timeout: float | None = None
    retry: Retry | None = None
    priority: int = 0
    limit: int | None = None
    on_duplicate: OnDuplicate = "start_another"
    deferred: bool = False
    runner: Any = None
    summarize: Callable[[Any], Any] | None = None
    returns: Any = None
    milestones: MilestoneRule = None

    @classmethod
    def of(
        cls,
        *,
        announce: Announce = "when_free",
        timeout: float | None = None,
        retries: int = 0,
        retry_on: RetryOn = (Exception,),
        backoff_s: float = 1.0,
        priority: int = 0,
        limit: int | None = None,
        on_duplicate: OnDuplicate = "start_another",
        deferred: bool = False,
        runner: Any = None,
        summarize: Callable[[Any], Any] | None = None,
        returns: Any = None,
        milestones: MilestoneRule = None,
    ) -> TaskOptions:
        """Make the options.

        Args:
            returns: The type that results are declared to have; None for any.

        Raises:
            ValueError: If one of them cannot be used; names it.
        """
        if announce not in get_args(Announce):
            raise ValueError(f"announce={announce!r} is none of {', '.join(get_args(Announce))}")
        if timeout is not None and not (_is_number(timeout) and timeout > 0):
            raise ValueError(f"timeout={timeout!r} must be more than 0 seconds")
        if fault := retry_fault(retries, retry_on, backoff_s):
            raise ValueError(fault)
        if isinstance(priority, bool) or not isinstance(priority, int):
            raise ValueError(f"priority={priority!r} must be a whole number; higher ones start first")  # noqa: TRY004
        if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or limit < 1):
            raise ValueError(f"limit={limit!r} must be 1 or more, or None for no limit")
        if on_duplicate not in get_args(OnDuplicate):
            raise ValueError(f"on_duplicate={on_duplicate!r} is none of {', '.join(get_args(OnDuplicate))}")
        if fault := rule_fault(milestones):
            raise ValueError(fault)
        if summarize is not None and not callable(summarize):
            raise ValueError(f"summarize={summarize!r:.100} must be a function that takes the result")
        retry = Retry(retries, as_tuple(retry_on), float(backoff_s)) if retries else None
        return cls(
            announce,
            timeout,
            retry,
            priority,
            limit,
            on_duplicate,
            bool(deferred),
            runner,
            summarize,
            returns,
            milestones,
        )


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and not math.isnan(value)
