"""The contract between the agent and a realtime model, and the flags that say how models differ."""

from __future__ import annotations

from collections.abc import AsyncIterable
from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable

from ..errors import BidiModelTimeoutError
from ..events import BidiInputEvent, BidiOutputEvent, ToolResultEvent
from ..messages import Messages, ToolSpec

__all__ = [
    "BidiModel",
    "BidiModelTimeoutError",
    "CancelsResponses",
    "ModelProfile",
    "RenewsConnection",
    "TruncatesResponses",
    "UpdatesTools",
    "profile_of",
]


@dataclass(frozen=True, slots=True)
class ModelProfile:
    """How a model differs from the others.

    Attributes:
        name: What to call it in the widget and the log.
        place: Where the user's audio goes, in words: "stays on this computer".
        input_rate: Samples per second that it hears, Hz.
        output_rate: Samples per second that it speaks, Hz.
        interruption: Who decides on a barge-in: the model (it sends `BidiInterruptionEvent`), or the
            agent, from the model's `UserSpeechEvent`.
        tools: New tools during a conversation: ``live`` (`UpdatesTools`) or by a ``restart``.
        reads_text: Whether text may be sent during a conversation.
        silent_text: Whether the agent may give it text that is context only, and wants no answer.
        session_limit_s: How long a connection lives, seconds; None for ever. The agent makes a new one ahead of it.
        open_calls: How a new connection is told of calls that run on: as ``call`` (a call without a result in the
            history; its result is sent later under its id), or as a ``note`` in words (and its result as text).
        overlaps: Whether a new connection can be made before the old one is given up (`RenewsConnection`).
    """

    name: str = "model"
    place: str = "goes where the model's provider sends it"
    input_rate: int = 16000
    output_rate: int = 16000
    interruption: Literal["model", "agent"] = "model"
    tools: Literal["live", "restart"] = "restart"
    reads_text: bool = True
    session_limit_s: float | None = None
    open_calls: Literal["note", "call"] = "note"
    overlaps: bool = False
    silent_text: bool = False


@runtime_checkable
class BidiModel(Protocol):
    """A live link to a model, as Strands defines it.

    ``config["audio"]`` may say ``input_rate``, ``output_rate`` (Hz), ``channels``, ``format`` and ``voice``.
    ``receive`` ends when the connection does, and raises `BidiModelTimeoutError` when it is to be restarted.
    A model of ours also has a ``profile`` (`ModelProfile`), and what the protocols below name.
    """

    config: dict[str, Any]

    async def start(
        self,
        system_prompt: str | None = None,
        tools: list[ToolSpec] | None = None,
        messages: Messages | None = None,
        **kwargs: Any,
    ) -> None: ...

    async def stop(self) -> None: ...

    def receive(self) -> AsyncIterable[BidiOutputEvent]: ...

    async def send(self, content: BidiInputEvent | ToolResultEvent) -> None: ...


@runtime_checkable
class UpdatesTools(Protocol):
    """A model that takes new tools while connected (``profile.tools == "live"``)."""

    async def update_tools(self, tools: list[ToolSpec]) -> None: ...


@runtime_checkable
class CancelsResponses(Protocol):
    """A model that can be told to stop generating a response. Unknown or finished ids are ignored."""

    async def cancel_response(self, response_id: str) -> None: ...


@runtime_checkable
class TruncatesResponses(Protocol):
    """A model that can be told how much of a response was heard, in samples at its output rate."""

    async def truncate_response(self, response_id: str, samples: int) -> None: ...


@runtime_checkable
class RenewsConnection(Protocol):
    """A model that can make its next connection while it has one (``profile.overlaps``).

    ``renew`` takes what ``start`` takes. When it returns, ``send`` and a new ``receive`` are those of the new
    connection and the old one is closed; if it raises, the old one goes on.
    """

    async def renew(
        self,
        system_prompt: str | None = None,
        tools: list[ToolSpec] | None = None,
        messages: Messages | None = None,
        **kwargs: Any,
    ) -> None: ...


def profile_of(model: object) -> ModelProfile:
    """Return the model's profile; for a model without one, what its ``config["audio"]`` says."""
    profile = getattr(model, "profile", None)
    if isinstance(profile, ModelProfile):
        return profile
    config = getattr(model, "config", None)
    audio = config.get("audio", {}) if isinstance(config, dict) else {}
    return ModelProfile(
        name=type(model).__name__,
        input_rate=int(audio.get("input_rate", 16000)),
        output_rate=int(audio.get("output_rate", 16000)),
    )
