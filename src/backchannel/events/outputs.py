"""Output events: what the model, its tools and the agent report."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

from ..errors import InvalidInputError
from ..messages import Message, Role, ToolResult, ToolUse
from .base import AudioEvent, TypedEvent
from .facts import TaskStarted
from .values import AudioFormat, Channels, SampleRate, as_json, check_text, encodable, shown

__all__ = [
    "ApprovalAnswerEvent",
    "ApprovalRequestEvent",
    "BidiAudioStreamEvent",
    "BidiConnectionCloseEvent",
    "BidiConnectionRestartEvent",
    "BidiConnectionStartEvent",
    "BidiErrorEvent",
    "BidiInterruptionEvent",
    "BidiOutputEvent",
    "BidiResponseCompleteEvent",
    "BidiResponseStartEvent",
    "BidiTranscriptStreamEvent",
    "BidiUsageEvent",
    "CloseReason",
    "InterruptionReason",
    "StopReason",
    "TaskUpdateEvent",
    "ToolCancelEvent",
    "ToolResultEvent",
    "ToolResultMessageEvent",
    "ToolStreamEvent",
    "ToolUseStreamEvent",
    "UserSpeechEvent",
]

InterruptionReason = Literal["user_speech", "error"]
StopReason = Literal["complete", "error", "interrupted", "tool_use"]
CloseReason = Literal["client_disconnect", "timeout", "error", "complete", "user_request"]

_ROLES: dict[str, Role] = {
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "model": "assistant",
    "ai": "assistant",
}


class BidiConnectionStartEvent(TypedEvent):
    """The first event of a connection."""

    __slots__ = ()

    def __init__(self, connection_id: str, model: str) -> None:
        super().__init__(type="bidi_connection_start", connection_id=connection_id, model=model)


class BidiConnectionRestartEvent(TypedEvent):
    """A connection came to its limit and is made anew. ``timeout_error`` (the exception) is an attribute only.

    ``turn_interrupted`` says that a response, or the user's unanswered turn, was cut off by it.
    """

    __slots__ = ("timeout_error",)

    def __init__(self, timeout_error: Exception, turn_interrupted: bool = False) -> None:
        super().__init__(
            type="bidi_connection_restart", message=encodable(str(timeout_error)), turn_interrupted=turn_interrupted
        )
        self.timeout_error = timeout_error


class BidiConnectionCloseEvent(TypedEvent):
    """The last event of a conversation."""

    __slots__ = ()

    def __init__(self, connection_id: str, reason: CloseReason) -> None:
        super().__init__(type="bidi_connection_close", connection_id=connection_id, reason=reason)


class BidiResponseStartEvent(TypedEvent):
    """The model begins a response."""

    __slots__ = ()

    def __init__(self, response_id: str) -> None:
        super().__init__(type="bidi_response_start", response_id=response_id)


class BidiAudioStreamEvent(AudioEvent):
    """A chunk of the model's voice. ``response_id`` is an attribute only, None where the model names none."""

    __slots__ = ("_samples", "response_id")

    def __init__(
        self,
        audio: str,
        format: AudioFormat,
        sample_rate: SampleRate,
        channels: Channels,
    ) -> None:
        super().__init__("bidi_audio_stream", audio, format, sample_rate, channels)
        self._samples: int | None = None
        self.response_id: str | None = None

    @classmethod
    def from_data(
        cls, data: bytes, sample_rate: int, response_id: str | None = None, channels: Channels = 1
    ) -> BidiAudioStreamEvent:
        """Make the event from signed 16 bit little-endian samples."""
        event = cls(base64.b64encode(data).decode("ascii"), "pcm", sample_rate, channels)
        event._keep(bytes(data))
        event.response_id = response_id
        return event

    @property
    def samples(self) -> int:
        """How many samples per channel the chunk holds; told from its length, 0 for other formats than ``pcm``."""
        if self._samples is None:
            audio: str = self["audio"]
            size = len(audio) // 4 * 3 - (2 if audio.endswith("==") else audio.endswith("="))
            self._samples = size // (2 * self["channels"]) if self["format"] == "pcm" else 0
        return self._samples


class BidiTranscriptStreamEvent(TypedEvent):
    """What was said, by whom: a piece (``is_final`` False) or the whole of it.

    Roles as other libraries write them ("USER", "model") become ``user`` or ``assistant``.

    Raises:
        InvalidInputError: If the role is none that is known.
    """

    __slots__ = ()

    def __init__(
        self,
        delta: Mapping[str, Any],
        text: str,
        role: Role,
        is_final: bool,
        current_transcript: str | None = None,
    ) -> None:
        super().__init__(
            type="bidi_transcript_stream",
            delta=dict(delta),
            text=encodable(check_text("bidi_transcript_stream", "text", text)),
            role=_role(role),
            is_final=is_final,
            current_transcript=None if current_transcript is None else encodable(current_transcript),
        )


class BidiInterruptionEvent(TypedEvent):
    """The response was cut off; players discard what they have not played."""

    __slots__ = ()

    def __init__(self, reason: InterruptionReason) -> None:
        super().__init__(type="bidi_interruption", reason=reason)


class BidiResponseCompleteEvent(TypedEvent):
    """The model has sent all of a response; it may still be playing."""

    __slots__ = ()

    def __init__(self, response_id: str, stop_reason: StopReason) -> None:
        super().__init__(type="bidi_response_complete", response_id=response_id, stop_reason=stop_reason)


class BidiUsageEvent(TypedEvent):
    """Tokens used so far, with the provider's own split by modality where it gives one."""

    __slots__ = ()

    def __init__(
        self,
        input_tokens: int,
        output_tokens: int,
        total_tokens: int,
        modality_details: list[dict[str, Any]] | None = None,
        cache_read_input_tokens: int | None = None,
        cache_write_input_tokens: int | None = None,
    ) -> None:
        super().__init__(
            type="bidi_usage", inputTokens=input_tokens, outputTokens=output_tokens, totalTokens=total_tokens
        )
        if modality_details is not None:
            self["modality_details"] = modality_details
        if cache_read_input_tokens is not None:
            self["cacheReadInputTokens"] = cache_read_input_tokens
        if cache_write_input_tokens is not None:
            self["cacheWriteInputTokens"] = cache_write_input_tokens

    @property
    def input_tokens(self) -> int:
        return int(self["inputTokens"])

    @property
    def output_tokens(self) -> int:
        return int(self["outputTokens"])

    @property
    def total_tokens(self) -> int:
        return int(self["totalTokens"])

    @property
    def modality_details(self) -> list[dict[str, Any]]:
        return list(self.get("modality_details", []))

    @property
    def cache_read_input_tokens(self) -> int | None:
        return self.get("cacheReadInputTokens")

    @property
    def cache_write_input_tokens(self) -> int | None:
        return self.get("cacheWriteInputTokens")


class BidiErrorEvent(TypedEvent):
    """An error that did not end the conversation; ``error`` (the exception) is an attribute only."""

    __slots__ = ("error",)

    def __init__(self, error: Exception, details: dict[str, Any] | None = None) -> None:
        super().__init__(
            type="bidi_error", message=encodable(str(error)), code=type(error).__name__, details=as_json(details)
        )
        self.error = error


class UserSpeechEvent(TypedEvent):
    """The user began or stopped to speak, as voice activity detection has it (ours, not of Strands)."""

    __slots__ = ()

    def __init__(self, speaking: bool) -> None:
        super().__init__(type="user_speech", speaking=speaking)


class TaskUpdateEvent(TypedEvent):
    """A background task started, moved, or finished (ours, not of Strands); ``task`` is its JSON snapshot."""

    __slots__ = ()

    def __init__(self, task: Mapping[str, Any]) -> None:
        super().__init__(type="task_update", task=as_json(dict(task)))


class ApprovalRequestEvent(TypedEvent):
    """A call waits for a person's yes or no (ours, not of Strands); ``question`` is what to ask.

    Attributes:
        whole: Whether the question shows all that is asked about; the rest is in ``tool_use``.
    """

    __slots__ = ("whole",)

    def __init__(self, approval_id: str, question: str, tool_use: ToolUse, whole: bool = True) -> None:
        super().__init__(
            type="approval_request", approval_id=approval_id, question=encodable(question), tool_use=as_json(tool_use)
        )
        self.whole = whole


class ApprovalAnswerEvent(TypedEvent):
    """The call was approved or not (ours, not of Strands); ``by`` says where the answer came from."""

    __slots__ = ()

    def __init__(self, approval_id: str, approved: bool, by: str, reason: str = "") -> None:
        super().__init__(type="approval_answer", approval_id=approval_id, approved=approved, by=by, reason=reason)


class ToolUseStreamEvent(TypedEvent):
    """The model calls a tool; ``current_tool_use`` is the whole call."""

    __slots__ = ()

    def __init__(self, delta: Mapping[str, Any], current_tool_use: ToolUse | dict[str, Any]) -> None:
        super().__init__(type="tool_use_stream", delta=as_json(dict(delta)), current_tool_use=as_json(current_tool_use))


class ToolStreamEvent(TypedEvent):
    """Something that a running tool yielded before its result.

    Attributes:
        data: The value itself. The dict has it as JSON, or what comes nearest to it.
    """

    __slots__ = ("data",)

    def __init__(self, tool_use: ToolUse, tool_stream_data: Any) -> None:
        event = {"tool_use": as_json(tool_use), "data": as_json(tool_stream_data)}
        super().__init__(type="tool_stream", tool_stream_event=event)
        self.data = tool_stream_data


class ToolResultEvent(TypedEvent):
    """What a call produced; content that is not JSON becomes what comes nearest to it (bytes become base64).

    Attributes:
        exception: What the tool raised, if it did.
        task: For the acknowledgement of a background task, the facts of that task.
    """

    __slots__ = ("exception", "task")

    def __init__(
        self, tool_result: ToolResult, exception: BaseException | None = None, task: TaskStarted | None = None
    ) -> None:
        super().__init__(type="tool_result", tool_result=as_json(tool_result))
        self.exception = exception
        self.task = task


class ToolResultMessageEvent(TypedEvent):
    """The message with a call's result was added to the history (Strands gives it no ``type``)."""

    __slots__ = ()

    def __init__(self, message: Message) -> None:
        super().__init__(message=as_json(message))


class ToolCancelEvent(TypedEvent):
    """A hook cancelled a call (Strands gives it no ``type``)."""

    __slots__ = ()

    def __init__(self, tool_use: ToolUse, message: str) -> None:
        super().__init__(tool_cancel_event={"tool_use": as_json(tool_use), "message": encodable(message)})


BidiOutputEvent: TypeAlias = (
    BidiConnectionStartEvent
    | BidiConnectionRestartEvent
    | BidiConnectionCloseEvent
    | BidiResponseStartEvent
    | BidiAudioStreamEvent
    | BidiTranscriptStreamEvent
    | BidiInterruptionEvent
    | BidiResponseCompleteEvent
    | BidiUsageEvent
    | BidiErrorEvent
    | UserSpeechEvent
    | TaskUpdateEvent
    | ApprovalRequestEvent
    | ApprovalAnswerEvent
    | ToolUseStreamEvent
    | ToolStreamEvent
    | ToolResultEvent
    | ToolResultMessageEvent
    | ToolCancelEvent
)


def _role(role: str) -> Role:
    known = _ROLES.get(check_text("bidi_transcript_stream", "role", role).strip().lower())
    if known is None:
        raise InvalidInputError(f"bidi_transcript_stream: role {shown(role)} is none of {', '.join(_ROLES)}")
    return known
