"""The life of a task: facts in, new state and commands out. Pure.

    queued ──Started──► running ──Returned──► done
      │                   ├──────Raised─────► failed, or cancelled where the body was stopped from outside
      │                   ├──TimeoutReached─► timed_out
      └──CancelRequested──┴─────────────────► cancelled

The first ending wins. A fact that does not fit the state changes nothing and orders nothing: a result after a
cancel is dropped, a time-out before the start is none, and a body whose `Started` orders no `RUN` must not run.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from ..events import TaskStatus

__all__ = ["CancelRequested", "Command", "Fact", "Life", "Raised", "Returned", "Started", "TimeoutReached", "step"]


@dataclass(frozen=True, slots=True)
class Started:
    """A runner has a place for the body, and asks whether it may run."""

    at: float


@dataclass(frozen=True, slots=True)
class Returned:
    """The body returned."""

    at: float


@dataclass(frozen=True, slots=True)
class Raised:
    """The body raised; ``stopped`` where its runner was ended under it."""

    at: float
    reason: str = ""
    stopped: bool = False


@dataclass(frozen=True, slots=True)
class CancelRequested:
    """Somebody wants the task to end."""

    at: float
    reason: str = ""


@dataclass(frozen=True, slots=True)
class TimeoutReached:
    """The body has run as long as it may."""

    at: float
    reason: str = ""


Fact: TypeAlias = Started | Returned | Raised | CancelRequested | TimeoutReached


class Command(enum.Enum):
    """What the manager is to do."""

    RUN = "run the body"
    STOP = "ask the running body to end"
    SETTLE = "keep the outcome and tell it"


class Life(NamedTuple):
    """Where a task is in its life. Times are seconds on the manager's clock."""

    created: float
    state: TaskStatus = "queued"
    started: float | None = None
    finished: float | None = None
    reason: str = ""

    @property
    def ended(self) -> bool:
        """Whether the task has come to its end, so that no fact changes it any more."""
        return self.finished is not None

    def elapsed(self, now: float) -> float:
        """From start to end, or until now; 0 before the start. Seconds."""
        if self.started is None:
            return 0.0
        return max((now if self.finished is None else self.finished) - self.started, 0.0)


_RUN = (Command.RUN,)
_SETTLE = (Command.SETTLE,)
_STOP_AND_SETTLE = (Command.STOP, Command.SETTLE)


def step(life: Life, fact: Fact) -> tuple[Life, tuple[Command, ...]]:
    """Return the life after a fact, and what is to be done, in this order."""
    state = life.state
    if life.finished is not None:
        return life, ()
    if isinstance(fact, Started):
        return (Life(life.created, "running", fact.at), _RUN) if state == "queued" else (life, ())
    if isinstance(fact, CancelRequested):
        return _end(life, "cancelled", fact.at, fact.reason), _STOP_AND_SETTLE if state == "running" else _SETTLE
    if isinstance(fact, Raised) and fact.stopped:
        return _end(life, "cancelled", fact.at, fact.reason), _SETTLE
    if state != "running":
        return life, ()
    if isinstance(fact, Returned):
        return _end(life, "done", fact.at, ""), _SETTLE
    if isinstance(fact, Raised):
        return _end(life, "failed", fact.at, fact.reason), _SETTLE
    return _end(life, "timed_out", fact.at, fact.reason), _STOP_AND_SETTLE


def _end(life: Life, state: TaskStatus, at: float, reason: str) -> Life:
    return Life(life.created, state, life.started, at, reason)
