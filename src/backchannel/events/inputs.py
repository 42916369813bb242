"""Input events: what goes to the model, and the check of it before anything is sent."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import TypeAlias, get_args

from ..errors import InvalidInputError
from ..messages import Role, ToolUse
from .base import AudioEvent, AudioFormat, Channels, SampleRate, TypedEvent
from .facts import TaskFinished

__all__ = [
    "AnnouncementEvent",
    "ApprovalQuestionEvent",
    "BidiAudioInputEvent",
    "BidiImageInputEvent",
    "BidiInputEvent",
    "BidiTextInputEvent",
    "input_event",
]

_RATES = (8000, 16000, 22050, 24000, 32000, 44100, 48000)


def _text(where: str, value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{where} must be a str, not {type(value).__name__}")
    return value


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


class ApprovalQuestionEvent(BidiTextInputEvent):
    """A call waits for the user's approval, told to the model as text.

    A model that asks by itself finds the id, the question and the call as attributes.
    """

    __slots__ = ("approval_id", "question", "tool_use")

    def __init__(self, text: str, approval_id: str, question: str, tool_use: ToolUse) -> None:
        super().__init__(text)
        self.approval_id = approval_id
        self.question = question
        self.tool_use = tool_use


class BidiAudioInputEvent(AudioEvent):
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
