"""Facts that only state machines exchange: frozen dataclasses, named in the past tense."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from ..messages import Origin, Role, ToolUse

if TYPE_CHECKING:
    from .outputs import ToolResultEvent

__all__ = [
    "AnnouncementFailed",
    "ApprovalQuestionSent",
    "AudioDropped",
    "AudioHandedOut",
    "ConnectionLost",
    "Heard",
    "PlayerReady",
    "TaskEnded",
    "TaskFinished",
    "TaskProgressed",
    "TaskStarted",
    "TaskStatus",
    "TaskSuperseded",
    "ToolFinished",
    "UserTextSent",
]

TaskStatus = Literal["queued", "running", "done", "failed", "cancelled", "timed_out", "lost"]


@dataclass(frozen=True, slots=True)
class Heard:
    """The player has played ``samples`` of a response in all; ``finished`` when it has nothing more of it."""

    response_id: str
    samples: int
    finished: bool = False


@dataclass(frozen=True, slots=True)
class AudioHandedOut:
    """A reader of the public stream took a chunk of a response; without a player this counts as heard."""

    response_id: str
    samples: int


@dataclass(frozen=True, slots=True)
class AudioDropped:
    """Audio of a response was given up before a reader took it; nobody will hear it."""

    response_id: str
    samples: int


@dataclass(frozen=True, slots=True)
class AnnouncementFailed:
    """The model did not take an announcement; its tasks are owed again."""

    tasks: tuple[TaskFinished, ...]


@dataclass(frozen=True, slots=True)
class ApprovalQuestionSent:
    """The model is given the question for an approval, and asks the user in what it says from now on.

    Without ``taken`` it refused the question.
    """

    approval_id: str
    taken: bool = True


@dataclass(frozen=True, slots=True)
class ConnectionLost:
    """The connection to the model ended; what was under way on it will not be finished there."""


@dataclass(frozen=True, slots=True)
class PlayerReady:
    """Somebody is there again who plays what is said."""


@dataclass(frozen=True, slots=True)
class UserTextSent:
    """The user sent text instead of speaking; with another ``origin`` it was sent for the agent itself."""

    text: str
    role: Role = "user"
    origin: Origin = "user"


@dataclass(frozen=True, slots=True)
class ToolFinished:
    """A call that the model made has its result; with ``ends`` it ends the conversation and is not sent."""

    tool_use: ToolUse
    event: ToolResultEvent
    ends: bool = False


@dataclass(frozen=True, slots=True)
class TaskStarted:
    """A background task was accepted for a call.

    Attributes:
        task_id: Unique id, 8 hexadecimal digits.
        number: Small number to say ("task three").
        estimate_s: How long it will take, seconds, where known.
    """

    task_id: str
    number: int
    tool_name: str
    arguments: Mapping[str, Any] = field(hash=False)
    estimate_s: float | None = None


@dataclass(frozen=True, slots=True)
class TaskFinished:
    """A background task came to its end and is to be told, or not.

    Where ``text`` is not the whole result, a note at its end says so, and begins with ``NOT_ALL``.

    Attributes:
        text: Its result or error, bounded, as a model or a person may read it.
        elapsed_s: From its start to its end, seconds.
        announce: When to tell: when nobody speaks, at once, or never.
        perhaps_told: It may have been told already, before a crash.
        superseded_by: Id of a later task for the same call of the same tool, or None.
        interrupted: The model was about to tell it, and was interrupted before any of that was heard.
    """

    NOT_ALL: ClassVar[str] = " (This is not all of it: "

    task_id: str
    number: int
    tool_name: str
    arguments: Mapping[str, Any] = field(hash=False)
    status: TaskStatus
    text: str
    elapsed_s: float
    announce: Literal["when_free", "at_once", "never"] = "when_free"
    perhaps_told: bool = False
    interrupted: bool = False
    superseded_by: str | None = None


@dataclass(frozen=True, slots=True)
class TaskProgressed:
    """A background task has come to a milestone.

    Attributes:
        text: How far it is, in a sentence.
        aloud: Whether the user is to be told; otherwise only the model gets to know it.
    """

    task_id: str
    text: str
    aloud: bool = False


@dataclass(frozen=True, slots=True)
class TaskEnded:
    """A background task came to its end, in whatever way: of its progress nothing more is to be said."""

    task_id: str


@dataclass(frozen=True, slots=True)
class TaskSuperseded:
    """A task was started for the same call as an earlier one, whose result was not told yet."""

    task_id: str
    superseded_by: str
