"""What a state machine orders its shell to do: frozen dataclasses, named in the imperative."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

from .messages import Message, ToolResult, ToolUse

__all__ = [
    "AmendMessage",
    "Announce",
    "AppendMessage",
    "CancelResponse",
    "Command",
    "Flush",
    "Mention",
    "Publish",
    "RunTool",
    "SendResult",
    "Told",
    "Truncate",
    "WakeAt",
]


@dataclass(frozen=True, slots=True)
class Publish:
    """Hand an event to whoever reads the agent's public stream.

    ``overtakes`` puts it before all audio that is still queued, and drops that audio.
    """

    event: Any
    overtakes: bool = False


@dataclass(frozen=True, slots=True)
class Flush:
    """Discard all audio of a response that was handed out but not played."""

    response_id: str


@dataclass(frozen=True, slots=True)
class Truncate:
    """Tell the model how much of a response was heard, in samples at its output rate."""

    response_id: str
    samples: int


@dataclass(frozen=True, slots=True)
class CancelResponse:
    """Tell the model to stop generating a response."""

    response_id: str


@dataclass(frozen=True, slots=True)
class RunTool:
    """Run the tool that the model called."""

    tool_use: ToolUse


@dataclass(frozen=True, slots=True)
class SendResult:
    """Give a call's result to the model. ``task`` is set where it acknowledges a background task."""

    result: ToolResult
    task: Any = None


@dataclass(frozen=True, slots=True)
class Announce:
    """Tell the model the results of finished tasks; ``tasks`` are `backchannel.events.TaskFinished`."""

    text: str
    tasks: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Mention:
    """Tell the model how far tasks are; ``notes`` are `backchannel.events.TaskProgressed`. ``aloud``: to be said."""

    notes: tuple[Any, ...]
    aloud: bool


@dataclass(frozen=True, slots=True)
class AppendMessage:
    """Add a message to the history."""

    message: Message


@dataclass(frozen=True, slots=True)
class AmendMessage:
    """Replace the text of a message in the history, or remove the message where ``text`` is empty."""

    message: Message
    text: str


@dataclass(frozen=True, slots=True)
class Told:
    """Note that these finished tasks have been told; ``tasks`` are `backchannel.events.TaskFinished`."""

    tasks: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class WakeAt:
    """Call the machine again at this time, seconds on the clock that it is given; a later one replaces it."""

    at: float


Command: TypeAlias = (
    Publish
    | Flush
    | Truncate
    | CancelResponse
    | RunTool
    | SendResult
    | Announce
    | Mention
    | AppendMessage
    | AmendMessage
    | Told
    | WakeAt
)
