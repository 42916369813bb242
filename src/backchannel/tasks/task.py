"""Task: one background run of a function."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import TaskCancelledError, TaskError, TaskFailedError, TaskLostError, TaskTimedOutError
from ..events import TaskFinished, TaskStarted, TaskStatus
from ..events.values import encodable
from ..tools.text import LIMIT, cut, error_text, text_of
from .lifecycle import Life
from .options import Announce, TaskOptions
from .reporting import Reported
from .results import Reading, told
from .waiting import Awaited
from .wording import label_of

if TYPE_CHECKING:
    from .job import TaskJob
    from .ledger_state import TaskRecord
    from .manager import AsyncToolManager

__all__ = ["NAMELESS", "Announce", "GoneAgent", "Task"]

_ROW_TEXT = 500
_ROW_LOGS = 20

NAMELESS = "default"
"""The ``agent_id`` of agents that were given none: whoever comes with it later need not be the same agent."""


@dataclass(frozen=True, slots=True)
class GoneAgent:
    """Stands for the owner of a task that nobody has any more."""

    agent_id: str | None

    @property
    def may_return(self) -> bool:
        """Whether an agent with its id can be taken for it."""
        return self.agent_id not in (None, NAMELESS)


class Task(Reported, Awaited):
    """One run of a function, started by `AsyncToolManager.start` or by calling an `AsyncTool`.

    ``await task`` and `result` wait for its value; whoever stops waiting does not stop the task, only `cancel` does.
    As text it is the acknowledgement that a model gets for its call.

    Attributes:
        id: Unique, 8 hexadecimal digits.
        number: Small number to say, counted by the manager from 1.
        arguments: By name, checked and converted.
        call_id: Id of the model's call, or None.
        announce: When a conversation tells its result.
        claimed: Whether somebody is to tell its result, though nobody who tells asked for it.
        options: How it is run.
        dependencies: Tasks that it waits for.
        superseded_by: Id of a later task for the same call of the same tool, or None.
        reading: What was found when its value came: see `backchannel.tasks.results`.
        where: Where it runs: ``"thread"``, ``"coroutine"``, ``"process"``, ``"dask"``, ``"executor"`` or ``"outside"``.
        references: Names of arguments that are results of other tasks.
        record: What the ledger has of it, where an earlier process started it; else None.
        awaits_agent: Whether an agent that is not here yet is to tell its result.
        recorded: Whether it is in the ledger.
        labelled: Whether its label was given, and not made of its arguments.
        again: Id of the task that runs it again, or None.
    """

    __slots__ = (
        "__weakref__",
        "_acknowledging",
        "_announced",
        "_callbacks",
        "_delivered",
        "_error",
        "_label",
        "_owner",
        "_text",
        "_value",
        "again",
        "announce",
        "arguments",
        "awaits_agent",
        "call_id",
        "claimed",
        "dependencies",
        "id",
        "job",
        "key",
        "labelled",
        "life",
        "manager",
        "number",
        "options",
        "reading",
        "record",
        "recorded",
        "references",
        "secret",
        "superseded_by",
        "timer",
        "tool_name",
        "where",
    )

    def __init__(
        self,
        manager: AsyncToolManager,
        task_id: str,
        number: int,
        tool_name: str,
        arguments: Mapping[str, Any],
        life: Life,
        *,
        owner: Any = None,
        call_id: str | None = None,
        label: str | None = None,
        options: TaskOptions = TaskOptions(),  # noqa: B008 - frozen
        acknowledging: bool = False,
    ) -> None:
        super().__init__()
        self.manager = manager
        self.id = task_id
        self.number = number
        self.tool_name = tool_name
        self.arguments = arguments
        self._text: str | None = None
        self.owner = owner
        self.call_id = call_id
        self.announce: Announce = options.announce
        self.options = options
        self.dependencies: tuple[Task, ...] = ()
        self.superseded_by: str | None = None
        self.key: Hashable = None
        self.secret: str | None = None
        self.reading: Reading | None = None
        self.where = "outside"
        self.references: tuple[str, ...] = ()
        self.record: TaskRecord | None = None
        self.recorded = self.claimed = self.awaits_agent = self.labelled = False
        self.again: str | None = None
        self.life = life
        self.job: TaskJob | None = None
        self.timer: Any = None
        self._label = None if label is None else encodable(label)
        self._value: Any = None
        self._error: BaseException | None = None
        self._callbacks: list[Callable[[], object]] = []
        self._acknowledging = acknowledging
        self._delivered = self._announced = False

    # Looking

    @property
    def owner(self) -> Any:
        """Who asked for it, or None where somebody did by hand; a `GoneAgent` where nobody has that agent any more.

        A task does not keep its owner in memory.
        """
        reference, agent_id = self._owner
        if not isinstance(reference, weakref.ref):
            return reference
        owner = reference()
        return GoneAgent(agent_id) if owner is None else owner

    @owner.setter
    def owner(self, owner: Any) -> None:
        try:
            reference: Any = owner if owner is None else weakref.ref(owner)
        except TypeError:  # an object that cannot be referred to weakly
            reference = owner
        self._owner: tuple[Any, str | None] = reference, getattr(owner, "agent_id", None)

    @property
    def orphaned(self) -> bool:
        """Whether its owner is gone, and no other agent may be told its result."""
        owner = self.owner
        return isinstance(owner, GoneAgent) and not owner.may_return

    @property
    def status(self) -> TaskStatus:
        """``queued``, ``running``, ``done``, ``failed``, ``cancelled``, ``timed_out`` or ``lost``."""
        return self.life.state

    state = status

    @property
    def delivered(self) -> bool:
        """Whether the result was told."""
        return self._delivered

    @delivered.setter
    def delivered(self, delivered: bool) -> None:
        if delivered is not self._delivered:
            self._delivered = delivered
            self.manager.told(self)

    @property
    def announced(self) -> bool:
        """Whether an agent was given the result; it may have told it, but that is not known."""
        return self._announced

    @announced.setter
    def announced(self, announced: bool) -> None:
        if announced is not self._announced:
            self._announced = announced
            if announced:
                self.manager.tell(self, "announced")

    @property
    def owned(self) -> bool:
        """Whether an agent asked for it, or is to tell its result."""
        return self.owner is not None or self.claimed or self.awaits_agent

    @property
    def owed(self) -> bool:
        """Whether an agent is still to tell its result."""
        return self.owned and not self._delivered and self.announce != "never"

    @property
    def asked_by(self) -> str | None:
        """The ``agent_id`` of the agent that asked for it in an earlier process; None where there is none."""
        return (self.record.agent or None) if self.record is not None else None

    def concerns(self, agent: Any) -> bool:
        """Whether an agent may know of it: its own task, or one that was started by hand, and not another agent's."""
        if self.owner is not None:
            return self.owner is agent
        return self.asked_by in (None, getattr(agent, "agent_id", None))

    @property
    def restored(self) -> bool:
        """Whether it was started before this process, and is known from the manager's ledger."""
        return self.record is not None

    @property
    def can_run_again(self) -> bool:
        """Whether `run_again` would start it, as far as can be told."""
        from .again import hindrance

        return hindrance(self, self.manager.tool(self.tool_name)) is None

    @property
    def timeout(self) -> float | None:
        """Longest run, all attempts and pauses together, seconds; None for no limit."""
        return self.options.timeout

    @property
    def attempts(self) -> int:
        """How often its function was started."""
        return self.life.attempts

    @property
    def token(self) -> str:
        """A secret by which someone outside may resolve it: see `AsyncToolManager.task_by_token`."""
        return self.manager.token_of(self)

    @property
    def label(self) -> str:
        """What the run is called, as one says it: "research solar power"."""
        if self._label is None:
            self._label = label_of(self.tool_name, self.arguments)
        return self._label

    @property
    def created(self) -> float:
        """When it was asked for, seconds on the manager's clock."""
        return self.life.created

    @property
    def started(self) -> float | None:
        """When its function began, seconds on the manager's clock."""
        return self.life.started

    @property
    def finished(self) -> float | None:
        """When it ended, seconds on the manager's clock."""
        return self.life.finished

    @property
    def elapsed(self) -> float:
        """From its start to its end, or until now, seconds."""
        return self.life.elapsed(self.manager.clock())

    @property
    def value(self) -> Any:
        """What the function returned; None before its end and where it has no value.

        Raises:
            TaskError: If it was forgotten.
        """
        if self._text is not None and self.life.state == "done":
            raise self._let_go_error()
        return self._value

    @property
    def forgotten(self) -> bool:
        """Whether its value, arguments and error were let go of."""
        return self._text is not None

    @property
    def error(self) -> BaseException | None:
        """What the function raised, or why the task ended without; None where it is done or under way."""
        if self._error is None and self.life.finished is not None:
            if self._text is not None and self.life.state == "failed":
                return self._let_go_error()
            if self.life.state == "cancelled":
                return TaskCancelledError(self._said(self._ending()))
            if self.life.state == "timed_out":
                return TaskTimedOutError(self._said(self._ending()))
            if self.life.state == "lost":
                return TaskLostError(f"{self._said(self._ending())} Call run_again() to start it once more.")
        return self._error

    def done(self) -> bool:
        """Whether it has ended, in whatever way."""
        return self.life.finished is not None

    def __repr__(self) -> str:
        return f"<Task {self.number} {self.id}: {self.label}, {self.status}>"

    def __str__(self) -> str:
        return (
            f"Started {self.label}. It runs in the background as task {self.number} (id {self.id}, tool "
            f"{self.tool_name}, arguments {text_of(self.arguments, 600)}). There is no result yet: it comes later, in "
            "a message of its own that names this task. Do not make it up, and do not call the tool again for it; "
            "go on with the conversation."
        )

    # Steering

    def cancel(self, reason: str = "") -> bool:
        """End the task; False if it had ended.

        Its state changes at once, and what its function returns is dropped. A coroutine is cancelled where it waits;
        a plain function ends at its next `track` step, where it waits for another task, or where it asks `cancelled`.
        """
        return self.manager.cancel_task(self, reason)

    def forget(self) -> bool:
        """Let go of its value, its arguments and its error, to free memory; False if it has not ended.

        Its manager does not know it any more, and its result is not told. ``value`` and `result` say so.
        """
        return self.manager.forget(self) > 0

    def run_again(self) -> Task:
        """Start its tool once more with its arguments, and return the new task. It must have ended.

        Raises:
            TaskRefusedError: If it has not ended, its tool is not known here, or an argument is not known any more or
                does not fit; says what to do.
        """
        return self.manager.run_again(self)

    def acknowledge(self, *, answers: bool = True) -> bool:
        """Decide how a call is answered: True if the task is under way, and its result is therefore owed later.

        False if it has ended: then the result itself is the answer, and counts as delivered.

        Args:
            answers: Whether there is somebody to be answered still. If not, the result is owed in any case.
        """
        with self.manager.lock:
            was_open, self._acknowledging = self._acknowledging, False
            ended = self.done()
        if was_open and not answers:
            self.delivered = False
        return not ended

    def answer_with_end(self) -> bool:
        """Let the end count as delivered, for the answer to a call tells it; False if the task has ended already."""
        with self.manager.lock:
            if self.done():
                return False
            self._acknowledging = True
            return True

    # Telling

    def summary(self, limit: int = LIMIT) -> str:
        """Return the result or why there is none, for a model or a person, at most ``limit`` characters."""
        if self._text is not None:
            return cut(self._text, limit)
        match self.status:
            case "done":
                if self.reading is not None and self.reading.text is not None:
                    return cut(self.reading.text, limit)
                return text_of(self._value, limit)
            case "failed" if self._error is not None:
                if self.record is not None and self.reading is not None and self.reading.text is not None:
                    return cut(self.reading.text, limit)
                return error_text(self._error, limit)
            case "cancelled" | "timed_out":
                return cut(f"It {self._ending()}.", limit)
            case "lost":
                return cut(f"It {self._ending()}. Nothing came of it; it can be run again.", limit)
        return "no result yet"

    def snapshot(self) -> dict[str, Any]:
        """Return its row on the board: plain JSON."""
        progress = self.progress
        status = self.life.state
        failed = status in ("failed", "timed_out", "lost")
        return {
            "id": self.id,
            "number": self.number,
            "tool": self.tool_name,
            "label": self.label,
            "status": status,
            "fraction": _rounded(progress.fraction, 4),
            "done": progress.done,
            "total": progress.total,
            "message": progress.message,
            "eta_s": _rounded(progress.eta_s, 1),
            "elapsed_s": round(self.elapsed, 1),
            "text": self.summary(_ROW_TEXT) if status in ("done", "cancelled") else "",
            "error": self._row_error() if failed else "",
            "logs": self.logs[-_ROW_LOGS:],
        }

    def started_fact(self) -> TaskStarted:
        """Return what an acknowledgement carries."""
        return TaskStarted(self.id, self.number, self.tool_name, self.arguments)

    def finished_fact(self) -> TaskFinished:
        """Return what a conversation is told at the end."""
        return TaskFinished(
            self.id,
            self.number,
            self.tool_name,
            self.arguments,
            self.status,
            told(self),
            self.elapsed,
            self.announce,
            self._announced,
            superseded_by=self.superseded_by,
        )

    # For the manager, which holds its lock

    def settle(self, value: Any, error: BaseException | None) -> list[Callable[[], object]]:
        """Keep the outcome and let go of the body; returns who waits."""
        self._value = value
        self._error = error
        if self._acknowledging:
            self._delivered = True  # Told with its end, and not by itself.
        self.job = None
        self._bar = None
        callbacks, self._callbacks = self._callbacks, []
        return callbacks

    def let_go(self, text: str, arguments: Mapping[str, Any]) -> None:
        """Keep a text in place of the value and the error, and these arguments in place of its own. It has ended."""
        self._label = self.label
        self._text, self.arguments = text, arguments
        self._value = self._error = None
        self.reading = Reading(text)
        self.dependencies = ()

    def leave_to_parent(self) -> None:
        """This is a forked child: whoever is to be told the result is told by the parent."""
        self._delivered = True

    def restore(
        self, value: Any, error: BaseException | None, reading: Reading | None, *, told: bool, announced: bool
    ) -> None:
        """Take the outcome that the ledger has, or as much of it as there is; nobody is told."""
        self._value, self._error, self.reading = value, error, reading
        self._delivered, self._announced = told, announced

    def _outcome(self) -> Any:
        if self._text is not None:
            raise self._let_go_error()
        if self.life.state == "done":
            return self._value
        if self.life.state == "failed":
            raise TaskFailedError(self._said(f"failed: {self._row_error(1000)}")) from self._error
        raise self.error or TaskError(self._said("has no value"))

    def _row_error(self, limit: int = _ROW_TEXT) -> str:
        if self._error is None:
            return self.summary(limit)
        said, name = error_text(self._error, limit), type(self._error).__name__
        return said if self.restored or said.startswith(name) else cut(f"{name}: {said}", limit)

    def _let_go_error(self) -> TaskError:
        return TaskError(
            self._said("was forgotten, to free memory: its value, arguments and error are gone").removesuffix(".")
            + ". Call its tool again for a new result, or give the manager more keep_bytes."
        )

    def _said(self, what: str) -> str:
        return f"Task {self.number}, {self.label}, {what.removesuffix('.')}."

    def _ending(self) -> str:
        reason = self.life.reason.removesuffix(".")
        if self.life.state == "timed_out":
            return reason
        if self.life.state == "lost":
            return f"was lost: {reason or 'the process that had it ended'}"
        by = reason.removeprefix("cancelled ")
        return "was cancelled" if not reason else f"was cancelled: {reason}" if by == reason else f"was cancelled {by}"


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)
