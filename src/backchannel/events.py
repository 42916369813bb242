"""The one vocabulary between model, agent and outputs.

Public events are dicts with a ``type``: they pass ``json.dumps``, so ``websocket.send_json`` is an output.
What JSON does not need (decoded bytes, the task behind a result) hangs on them as attributes.
Facts that only state machines exchange are frozen dataclasses, named in the past tense.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, get_args

from .errors import InvalidInputError
from .messages import Message, Role, ToolResult, ToolUse

__all__ = [
    "AnnouncementEvent",
    "AnnouncementFailed",
    "ApprovalAnswerEvent",
    "ApprovalRequestEvent",
    "AudioFormat",
    "AudioHandedOut",
    "BidiAudioInputEvent",
    "BidiAudioStreamEvent",
    "BidiConnectionCloseEvent",
    "BidiConnectionRestartEvent",
    "BidiConnectionStartEvent",
    "BidiErrorEvent",
    "BidiImageInputEvent",
    "BidiInputEvent",
    "BidiInterruptionEvent",
    "BidiOutputEvent",
    "BidiResponseCompleteEvent",
    "BidiResponseStartEvent",
    "BidiTextInputEvent",
    "BidiTranscriptStreamEvent",
    "BidiUsageEvent",
    "ConnectionLost",
    "Heard",
    "PlayerReady",
    "TaskFinished",
    "TaskStarted",
    "TaskStatus",
    "TaskUpdateEvent",
    "ToolCancelEvent",
    "ToolFinished",
    "ToolResultEvent",
    "ToolResultMessageEvent",
    "ToolStreamEvent",
    "ToolUseStreamEvent",
    "TypedEvent",
    "UserSpeechEvent",
    "UserTextSent",
    "input_event",
]

AudioFormat = Literal["pcm", "wav", "opus", "mp3"]
SampleRate = int
Channels = Literal[1, 2]
InterruptionReason = Literal["user_speech", "error"]
StopReason = Literal["complete", "error", "interrupted", "tool_use"]
CloseReason = Literal["client_disconnect", "timeout", "error", "complete", "user_request"]
TaskStatus = Literal["queued", "running", "done", "failed", "cancelled", "timed_out"]

_RATES = (8000, 16000, 22050, 24000, 32000, 44100, 48000)


class TypedEvent(dict[str, Any]):
    """A dict whose keys can also be read as attributes."""

    __slots__ = ()

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"{type(self).__name__} has no field {name!r}") from None


def _text(where: str, value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{where} must be a str, not {type(value).__name__}")
    return value


class _AudioEvent(TypedEvent):
    """Audio as base64 under ``audio``, and as bytes in ``data``, decoded at most once."""

    __slots__ = ("_data",)
    _data: bytes | None

    @property
    def data(self) -> bytes:
        """The audio as bytes; for format ``pcm`` signed 16 bit little-endian samples, channels interleaved.

        Raises:
            InvalidInputError: If ``audio`` is not base64, or holds half a sample.
        """
        if self._data is None:
            try:
                self._data = base64.b64decode(self["audio"], validate=True)
            except (binascii.Error, ValueError) as error:
                raise InvalidInputError(f"{self['type']}: audio is not base64 ({error})") from None
        if self["format"] == "pcm" and len(self._data) % (2 * self["channels"]):
            raise InvalidInputError(
                f"{self['type']}: {len(self._data)} bytes are not whole 16 bit samples of {self['channels']} channel(s)"
            )
        return self._data


class BidiTextInputEvent(TypedEvent):
    """Text for the model, as if the user had said it."""

    __slots__ = ()

    def __init__(self, text: str, role: Role = "user") -> None:
        _text("bidi_text_input: text", text)
        if role not in get_args(Role):
            raise InvalidInputError(f"bidi_text_input: role {role!r} is neither 'user' nor 'assistant'")
        super().__init__(type="bidi_text_input", text=text, role=role)


class AnnouncementEvent(BidiTextInputEvent):
    """Results of background tasks, told to the model as text.

    A model that can use more than the text finds the finished tasks in ``tasks``.
    """

    __slots__ = ("tasks",)

    def __init__(self, text: str, tasks: tuple[TaskFinished, ...]) -> None:
        super().__init__(text)
        self.tasks = tasks


class BidiAudioInputEvent(_AudioEvent):
    """A chunk of the user's voice. ``sample_rate`` in Hz; ``audio`` is base64."""

    __slots__ = ()

    def __init__(self, audio: str, format: AudioFormat, sample_rate: SampleRate, channels: Channels) -> None:
        _text("bidi_audio_input: audio", audio)
        _check_audio("bidi_audio_input", format, sample_rate, channels)
        super().__init__(
            type="bidi_audio_input", audio=audio, format=format, sample_rate=sample_rate, channels=channels
        )
        self._data = None

    @classmethod
    def from_data(cls, data: bytes, sample_rate: int, channels: Channels = 1) -> BidiAudioInputEvent:
        """Make the event from signed 16 bit little-endian samples."""
        event = cls(base64.b64encode(data).decode("ascii"), "pcm", sample_rate, channels)
        event._data = bytes(data)
        return event


class BidiImageInputEvent(TypedEvent):
    """An image for the model; ``image`` is base64."""

    __slots__ = ()

    def __init__(self, image: str, mime_type: str) -> None:
        _text("bidi_image_input: image", image)
        _text("bidi_image_input: mime_type", mime_type)
        super().__init__(type="bidi_image_input", image=image, mime_type=mime_type)


BidiInputEvent: TypeAlias = BidiTextInputEvent | BidiAudioInputEvent | BidiImageInputEvent


def _check_audio(where: str, format: object, sample_rate: object, channels: object) -> None:
    if format not in get_args(AudioFormat):
        raise InvalidInputError(f"{where}: format {format!r} is none of {', '.join(get_args(AudioFormat))}")
    if isinstance(sample_rate, bool) or not isinstance(sample_rate, int):
        raise TypeError(f"{where}: sample_rate must be an int (Hz), not {type(sample_rate).__name__}")
    if sample_rate not in _RATES:
        raise InvalidInputError(f"{where}: sample_rate {sample_rate} Hz is none of {', '.join(map(str, _RATES))}")
    if channels not in (1, 2):
        raise InvalidInputError(f"{where}: channels must be 1 or 2, not {channels!r}")


_INPUTS: dict[str, type[BidiTextInputEvent] | type[BidiAudioInputEvent] | type[BidiImageInputEvent]] = {
    "bidi_text_input": BidiTextInputEvent,
    "bidi_audio_input": BidiAudioInputEvent,
    "bidi_image_input": BidiImageInputEvent,
}


def input_event(value: object) -> BidiInputEvent:
    """Return ``value`` as an input event, checked.

    Args:
        value: Text, an input event, or a dict with a ``type`` and that event's fields.

    Raises:
        InvalidInputError: If it is something else, or its audio is not what it says.
        TypeError: If a dict has fields that its type does not know, or fields of wrong types.
    """
    event: BidiInputEvent
    if isinstance(value, str):
        event = BidiTextInputEvent(value)
    elif isinstance(value, BidiTextInputEvent | BidiAudioInputEvent | BidiImageInputEvent):
        event = value
    elif isinstance(value, Mapping) and "type" in value:
        maker = _INPUTS.get(value["type"]) if isinstance(value["type"], str) else None
        if maker is None:
            raise InvalidInputError(f"input type {value['type']!r} is none of {', '.join(_INPUTS)}")
        event = maker(**{key: item for key, item in value.items() if key != "type"})
    else:
        raise InvalidInputError(
            f"input must be a str, an input event, or a dict with a 'type'; got {type(value).__name__}"
        )
    if isinstance(event, BidiAudioInputEvent):
        _ = event.data
    return event


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
        super().__init__(type="bidi_connection_restart", message=str(timeout_error), turn_interrupted=turn_interrupted)
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


class BidiAudioStreamEvent(_AudioEvent):
    """A chunk of the model's voice. ``response_id`` is an attribute only, None where the model names none."""

    __slots__ = ("_samples", "response_id")

    def __init__(
        self,
        audio: str,
        format: AudioFormat,
        sample_rate: SampleRate,
        channels: Channels,
    ) -> None:
        super().__init__(
            type="bidi_audio_stream", audio=audio, format=format, sample_rate=sample_rate, channels=channels
        )
        self._data = None
        self._samples: int | None = None
        self.response_id: str | None = None

    @classmethod
    def from_data(
        cls, data: bytes, sample_rate: int, response_id: str | None = None, channels: Channels = 1
    ) -> BidiAudioStreamEvent:
        """Make the event from signed 16 bit little-endian samples."""
        event = cls(base64.b64encode(data).decode("ascii"), "pcm", sample_rate, channels)
        event._data = bytes(data)
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
    """What was said, by whom: a piece (``is_final`` False) or the whole of it."""

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
            text=text,
            role=role,
            is_final=is_final,
            current_transcript=current_transcript,
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
        super().__init__(type="bidi_error", message=str(error), code=type(error).__name__, details=details)
        self.error = error


class UserSpeechEvent(TypedEvent):
    """The user began or stopped to speak, as voice activity detection has it (ours, not the seeds')."""

    __slots__ = ()

    def __init__(self, speaking: bool) -> None:
        super().__init__(type="user_speech", speaking=speaking)


class TaskUpdateEvent(TypedEvent):
    """A background task started, moved, or finished (ours, not the seeds'); ``task`` is its JSON snapshot."""

    __slots__ = ()

    def __init__(self, task: Mapping[str, Any]) -> None:
        super().__init__(type="task_update", task=dict(task))


class ApprovalRequestEvent(TypedEvent):
    """A call waits for a person's yes or no (ours, not the seeds'); ``question`` is what to ask."""

    __slots__ = ()

    def __init__(self, approval_id: str, question: str, tool_use: ToolUse) -> None:
        super().__init__(type="approval_request", approval_id=approval_id, question=question, tool_use=tool_use)


class ApprovalAnswerEvent(TypedEvent):
    """The call was approved or not (ours, not the seeds'); ``by`` says where the answer came from."""

    __slots__ = ()

    def __init__(self, approval_id: str, approved: bool, by: str, reason: str = "") -> None:
        super().__init__(type="approval_answer", approval_id=approval_id, approved=approved, by=by, reason=reason)


class ToolUseStreamEvent(TypedEvent):
    """The model calls a tool; ``current_tool_use`` is the whole call."""

    __slots__ = ()

    def __init__(self, delta: Mapping[str, Any], current_tool_use: ToolUse | dict[str, Any]) -> None:
        super().__init__(type="tool_use_stream", delta=dict(delta), current_tool_use=current_tool_use)


class ToolStreamEvent(TypedEvent):
    """Something that a running tool yielded before its result."""

    __slots__ = ()

    def __init__(self, tool_use: ToolUse, tool_stream_data: Any) -> None:
        super().__init__(type="tool_stream", tool_stream_event={"tool_use": tool_use, "data": tool_stream_data})


class ToolResultEvent(TypedEvent):
    """What a call produced.

    Attributes:
        exception: What the tool raised, if it did.
        task: For the acknowledgement of a background task, the facts of that task.
    """

    __slots__ = ("exception", "task")

    def __init__(
        self, tool_result: ToolResult, exception: BaseException | None = None, task: TaskStarted | None = None
    ) -> None:
        super().__init__(type="tool_result", tool_result=tool_result)
        self.exception = exception
        self.task = task


class ToolResultMessageEvent(TypedEvent):
    """The message with a call's result was added to the history (the seeds give it no ``type``)."""

    __slots__ = ()

    def __init__(self, message: Message) -> None:
        super().__init__(message=message)


class ToolCancelEvent(TypedEvent):
    """A hook cancelled a call (the seeds give it no ``type``)."""

    __slots__ = ()

    def __init__(self, tool_use: ToolUse, message: str) -> None:
        super().__init__(tool_cancel_event={"tool_use": tool_use, "message": message})


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
class AnnouncementFailed:
    """The model did not take an announcement; its tasks are owed again."""

    tasks: tuple[TaskFinished, ...]


@dataclass(frozen=True, slots=True)
class ConnectionLost:
    """The connection to the model ended; what was under way on it will not be finished there."""


@dataclass(frozen=True, slots=True)
class PlayerReady:
    """Somebody is there again who plays what is said."""


@dataclass(frozen=True, slots=True)
class UserTextSent:
    """The user sent text instead of speaking."""

    text: str
    role: Role = "user"


@dataclass(frozen=True, slots=True)
class ToolFinished:
    """A call that the model made has its result."""

    tool_use: ToolUse
    event: ToolResultEvent


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

    Attributes:
        text: Its result or error, bounded, as a model or a person may read it.
        elapsed_s: From its start to its end, seconds.
        announce: When to tell: when nobody speaks, at once, or never.
        perhaps_told: It may have been told already, before a crash.
    """

    task_id: str
    number: int
    tool_name: str
    arguments: Mapping[str, Any] = field(hash=False)
    status: TaskStatus
    text: str
    elapsed_s: float
    announce: Literal["when_free", "at_once", "never"] = "when_free"
    perhaps_told: bool = False
