"""The life of a task: facts in, new state and commands out. Pure.

    queued ──Started──► running ──Returned──► done, or on without its body where the value comes from elsewhere
      │                   ├──────Raised─────► failed; cancelled where the body was stopped from outside
      │                   ├──TimeoutReached─► timed_out
      │                   └──Resolved───────► done, ──Rejected──► failed
      ├──Rejected─────────────────────────────► failed
      ├──CancelRequested──────────────────────► cancelled
      └──Vanished─────────────────────────────► lost

Within ``running`` the phase says where the task is:

    waiting ──Started──► body ──Raised, to be run again──► pause ──RetryDue──► waiting
                           └───Returned, deferred──► outside

The first ending wins. A fact that does not fit the state changes nothing and orders nothing: a result after a
cancel is dropped, a time-out before the start is none, and a body whose `Started` orders no `RUN` must not run.
`EndRequested` asks a body that runs to end soon: what it then returns still counts, what it raises means cancelled.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

from ..events import TaskStatus

__all__ = [
    "CancelRequested",
    "Command",
    "EndRequested",
    "Fact",
    "Life",
    "Phase",
    "Raised",
    "Rejected",
    "Resolved",
    "RetryDue",
    "Returned",
    "Started",
    "TimeoutReached",
    "Vanished",
    "step",
]

Phase: TypeAlias = Literal["waiting", "body", "pause", "outside"]


@dataclass(frozen=True, slots=True)
class Started:
    """A runner has a place for the body, and asks whether it may run."""

    at: float


@dataclass(frozen=True, slots=True)
class Returned:
    """The body returned; ``deferred`` where the value comes from elsewhere."""

    at: float
    deferred: bool = False


@dataclass(frozen=True, slots=True)
class Raised:
    """The body raised; ``stopped`` where its runner was ended under it, ``retry`` where it is to be run again."""

    at: float
    reason: str = ""
    stopped: bool = False
    retry: bool = False


@dataclass(frozen=True, slots=True)
class RetryDue:
    """The pause before a further attempt is over."""

    at: float


@dataclass(frozen=True, slots=True)
class Resolved:
    """The value came from elsewhere."""

    at: float


@dataclass(frozen=True, slots=True)
class Rejected:
    """There will be no value: whoever was to bring it says so, or the body cannot run."""

    at: float
    reason: str = ""


@dataclass(frozen=True, slots=True)
class CancelRequested:
    """Somebody wants the task to end."""

    at: float
    reason: str = ""


@dataclass(frozen=True, slots=True)
class TimeoutReached:
    """The task has run as long as it may."""

    at: float
    reason: str = ""


@dataclass(frozen=True, slots=True)
class EndRequested:
    """What carries the body is about to end."""

    at: float
    reason: str


@dataclass(frozen=True, slots=True)
class Vanished:
    """What carried the task is gone, and with it whatever would have come of the task."""

    at: float
    reason: str = ""


Fact: TypeAlias = (
    Started
    | Returned
    | Raised
    | RetryDue
    | Resolved
    | Rejected
    | CancelRequested
    | TimeoutReached
    | EndRequested
    | Vanished
)


class Command(enum.Enum):
    """What the manager is to do."""

    RUN = "run the body"
    STOP = "ask the running body to end"
    PAUSE = "wait, and then say that the next attempt is due"
    QUEUE = "let the body wait for a place once more"
    AWAIT = "let go of the body; the value comes from elsewhere"
    SETTLE = "keep the outcome and tell it"


class Life(NamedTuple):
    """Where a task is in its life. Times are seconds on the manager's clock.

    Attributes:
        attempts: How often the body was started.
        ending: Why the body was asked to end soon, or "".
    """

    created: float
    state: TaskStatus = "queued"
    started: float | None = None
    finished: float | None = None
    reason: str = ""
    attempts: int = 0
    phase: Phase = "waiting"
    ending: str = ""

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
_PAUSE = (Command.PAUSE,)
_QUEUE = (Command.QUEUE,)
_AWAIT = (Command.AWAIT,)
_SETTLE = (Command.SETTLE,)
_STOP = (Command.STOP,)
_STOP_AND_SETTLE = (Command.STOP, Command.SETTLE)


def step(life: Life, fact: Fact) -> tuple[Life, tuple[Command, ...]]:
    """Return the life after a fact, and what is to be done, in this order."""
    if life.finished is not None:
        return life, ()
    phase = life.phase
    if isinstance(fact, Started):
        if phase != "waiting":
            return life, ()
        first = fact.at if life.started is None else life.started
        return Life(life.created, "running", first, attempts=life.attempts + 1, phase="body"), _RUN
    if isinstance(fact, CancelRequested):
        return _end(life, "cancelled", fact.at, fact.reason), _STOP_AND_SETTLE if phase == "body" else _SETTLE
    if isinstance(fact, Raised) and fact.stopped:
        return _end(life, "cancelled", fact.at, life.ending or fact.reason), _SETTLE
    if isinstance(fact, Resolved):
        return _end(life, "done", fact.at, ""), _SETTLE
    if isinstance(fact, Rejected):
        return _end(life, "failed", fact.at, fact.reason), _SETTLE
    if isinstance(fact, Vanished):
        return _end(life, "lost", fact.at, fact.reason), _SETTLE
    if isinstance(fact, EndRequested):
        return (life._replace(ending=fact.reason), _STOP) if phase == "body" and not life.ending else (life, ())
    if isinstance(fact, TimeoutReached):
        if life.state != "running":
            return life, ()
        return _end(life, "timed_out", fact.at, fact.reason), _STOP_AND_SETTLE if phase == "body" else _SETTLE
    if isinstance(fact, RetryDue):
        return (life._replace(phase="waiting"), _QUEUE) if phase == "pause" else (life, ())
    if phase != "body":
        return life, ()
    if isinstance(fact, Returned):
        if fact.deferred:
            return life._replace(phase="outside"), _AWAIT
        return _end(life, "done", fact.at, ""), _SETTLE
    if life.ending:
        return _end(life, "cancelled", fact.at, life.ending), _SETTLE
    if fact.retry:
        return life._replace(phase="pause"), _PAUSE
    return _end(life, "failed", fact.at, fact.reason), _SETTLE


def _end(life: Life, state: TaskStatus, at: float, reason: str) -> Life:
    return life._replace(state=state, finished=at, reason=reason)
