"""Input events: what goes to the model, and the check of it before anything is sent."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import ClassVar, TypeAlias, get_args

from ..errors import InvalidInputError
from ..messages import Origin, Role, ToolResult, ToolUse
from .base import AudioEvent, TypedEvent
from .facts import TaskFinished, TaskProgressed
from .values import (
    AudioFormat,
    Channels,
    SampleRate,
    check_audio,
    check_text,
    check_whole_samples,
    decoded,
    one_of,
    shown,
    wrong_type,
)

__all__ = [
    "MAX_IMAGE_BYTES",
    "MAX_TEXT_BYTES",
    "AnnouncementEvent",
    "ApprovalQuestionEvent",
    "BidiAudioInputEvent",
    "BidiImageInputEvent",
    "BidiInputEvent",
    "BidiTextInputEvent",
    "LateResultEvent",
    "ProgressEvent",
    "input_event",
]

MAX_TEXT_BYTES = 1024 * 1024
"""The longest text that is sent, bytes of UTF-8."""
MAX_IMAGE_BYTES = 20 * 1024 * 1024
"""The largest image that is sent, bytes before base64."""

_ROLES: tuple[str, ...] = get_args(Role)
_IMAGE_TYPES = ("image/png", "image/jpeg", "image/gif", "image/webp")


class BidiTextInputEvent(TypedEvent):
    """Text for the model, as if the user had said it.

    Attributes:
        origin: Whose words these are: the user's, or the agent's own, which never count as the user's.
    """

    __slots__ = ("origin",)

    _kind: ClassVar[str] = "bidi_text_input"

    def __init__(self, text: str, role: Role = "user", *, origin: Origin = "user") -> None:
        super().__init__(type=self._kind, text=text, role=role)
        self.origin = origin
        self._check_fields()

    def _check_fields(self) -> None:
        check_text(self._kind, "text", self.get("text"))
        one_of(self._kind, "role", self.get("role"), _ROLES)

    def _check_content(self) -> None:
        text: str = self["text"]
        try:
            size = len(text) if len(text) > MAX_TEXT_BYTES else len(text.encode())
        except UnicodeEncodeError as error:
            raise InvalidInputError(
                f"{self._kind}: text has half of a surrogate pair at position {error.start}: "
                f"{shown(text[error.start : error.end])}; UTF-8 and JSON cannot carry it"
            ) from None
        if size > MAX_TEXT_BYTES:
            raise InvalidInputError(
                f"{self._kind}: text {shown(text)} is {size:,} bytes long or more; the limit, MAX_TEXT_BYTES, is "
                f"{MAX_TEXT_BYTES:,}: send it in parts"
            )


class AnnouncementEvent(BidiTextInputEvent):
    """Results of background tasks, told to the model as text.

    A model that can use more than the text finds the finished tasks in ``tasks``.
    """

    __slots__ = ("tasks",)

    def __init__(self, text: str, tasks: tuple[TaskFinished, ...]) -> None:
        super().__init__(text, origin="results")
        self.tasks = tasks


class ApprovalQuestionEvent(BidiTextInputEvent):
    """A call waits for the user's approval, told to the model as text.

    A model that asks by itself finds the id, the question and the call as attributes. The result of a call that was
    not approved begins with ``REFUSED``.

    Attributes:
        whole: Whether the question shows all that is asked about; if not, a spoken yes does not allow the call.
    """

    REFUSED: ClassVar[str] = "The user did not approve the call"
    __slots__ = ("approval_id", "question", "tool_use", "whole")

    def __init__(self, text: str, approval_id: str, question: str, tool_use: ToolUse, whole: bool = True) -> None:
        super().__init__(text, origin="approval")
        self.whole = whole
        self.approval_id = approval_id
        self.question = question
        self.tool_use = tool_use


class LateResultEvent(BidiTextInputEvent):
    """The result of a call that an earlier connection made, told to this one as text.

    A model that can use more than the text finds the call and its result in ``tool_use`` and ``tool_result``.
    """

    __slots__ = ("tool_result", "tool_use")

    def __init__(self, text: str, tool_use: ToolUse, tool_result: ToolResult) -> None:
        super().__init__(text, origin="results")
        self.tool_use = tool_use
        self.tool_result = tool_result


class ProgressEvent(BidiTextInputEvent):
    """How far background tasks are, told to the model as text.

    ``aloud``: the model is to say it. Otherwise it is context, and wants no answer; only models whose profile has
    ``silent_text`` get it. A model that can use more than the text finds the tasks in ``notes``.
    """

    __slots__ = ("aloud", "notes")

    def __init__(self, text: str, notes: tuple[TaskProgressed, ...], aloud: bool) -> None:
        super().__init__(text, origin="progress")
        self.notes = notes
        self.aloud = aloud


class BidiAudioInputEvent(AudioEvent):
    """A chunk of the user's voice. ``sample_rate`` in Hz; ``audio`` is base64, and may be empty."""

    __slots__ = ()

    _kind: ClassVar[str] = "bidi_audio_input"

    def __init__(self, audio: str, format: AudioFormat, sample_rate: SampleRate, channels: Channels) -> None:
        super().__init__(self._kind, audio, format, sample_rate, channels)

    @classmethod
    def from_data(cls, data: bytes, sample_rate: int, channels: Channels = 1) -> BidiAudioInputEvent:
        """Make the event from signed 16 bit little-endian samples.

        Raises:
            TypeError: If ``data`` is not bytes, or another argument has a wrong type.
            InvalidInputError: If ``data`` ends within a sample, or another argument cannot be used.
        """
        if not isinstance(data, bytes | bytearray | memoryview):
            raise wrong_type(cls._kind, "data", "bytes of 16 bit samples (an array has them in tobytes())", data)
        samples = bytes(data)
        event = cls(base64.b64encode(samples).decode("ascii"), "pcm", sample_rate, channels)
        check_whole_samples(cls._kind, len(samples), channels)
        event._keep(samples)
        return event

    def _check_fields(self) -> None:
        check_audio(self._kind, self.get("audio"), self.get("format"), self.get("sample_rate"), self.get("channels"))

    def _check_content(self) -> None:
        _ = self.data


class BidiImageInputEvent(TypedEvent):
    """An image for the model: PNG, JPEG, GIF or WebP; ``image`` is base64."""

    __slots__ = ()

    _kind: ClassVar[str] = "bidi_image_input"

    def __init__(self, image: str, mime_type: str) -> None:
        super().__init__(type=self._kind, image=image, mime_type=mime_type)
        self._check_fields()

    def _check_fields(self) -> None:
        image = self.get("image")
        if not isinstance(image, str):
            raise wrong_type(self._kind, "image", "a base64 str", image)
        one_of(self._kind, "mime_type", self.get("mime_type"), _IMAGE_TYPES)

    def _check_content(self) -> None:
        image, mime_type = self["image"], self["mime_type"]
        size = len(image) // 4 * 3 - (2 if image.endswith("==") else image.endswith("="))
        if size > MAX_IMAGE_BYTES:
            raise InvalidInputError(
                f"{self._kind}: image {shown(image)} is {size:,} bytes; the limit, MAX_IMAGE_BYTES, is "
                f"{MAX_IMAGE_BYTES:,}: make it smaller"
            )
        data = decoded(self._kind, "image", image)
        if (found := _image_type(data)) != mime_type:
            raise InvalidInputError(
                f"{self._kind}: mime_type is {mime_type!r}, but image begins with {shown(data[:12])}: "
                + (f"it is {found}" if found else f"it is none of {', '.join(_IMAGE_TYPES)}")
            )


BidiInputEvent: TypeAlias = BidiTextInputEvent | BidiAudioInputEvent | BidiImageInputEvent

_INPUTS: dict[str, tuple[type[BidiInputEvent], tuple[str, ...], tuple[str, ...]]] = {
    "bidi_text_input": (BidiTextInputEvent, ("text",), ("role",)),
    "bidi_audio_input": (BidiAudioInputEvent, ("audio", "format", "sample_rate", "channels"), ()),
    "bidi_image_input": (BidiImageInputEvent, ("image", "mime_type"), ()),
}
"""Class, needed fields and other fields of each type."""


def input_event(value: object) -> BidiInputEvent:
    """Return ``value`` as an input event, checked, with all that it carries.

    Audio may be empty: a microphone that has nothing yet hands that out, and it does no harm.

    Args:
        value: Text, an input event, or a dict with a ``type`` and that event's fields.

    Raises:
        InvalidInputError: If it is something else, or a field has a value that cannot be used: audio or images that
            are not what they say, text or an image that is too large.
        TypeError: If a dict lacks fields or has fields that its type does not know, or a field has a wrong type.
    """
    if isinstance(value, str):
        event: BidiInputEvent = BidiTextInputEvent(value)
    elif isinstance(value, BidiTextInputEvent | BidiAudioInputEvent | BidiImageInputEvent):
        event = value
        if event.get("type") != event._kind:
            raise InvalidInputError(f"{event._kind}: type was changed to {shown(event.get('type'))}")
        event._check_fields()
    elif isinstance(value, Mapping) and "type" in value:
        event = _from_fields(value["type"], {key: item for key, item in value.items() if key != "type"})
    else:
        hint = ""
        if isinstance(value, bytes | bytearray | memoryview):
            hint = "; BidiAudioInputEvent.from_data(data, sample_rate) makes an event of samples"
        raise InvalidInputError(
            "input must be a str, an input event, or a dict with a 'type'; "
            f"got {type(value).__name__}: {shown(value)}{hint}"
        )
    event._check_content()
    return event


def _from_fields(kind: object, fields: dict[str, object]) -> BidiInputEvent:
    if not isinstance(kind, str) or kind not in _INPUTS:
        raise InvalidInputError(f"input type {shown(kind)} is none of {', '.join(_INPUTS)}")
    maker, needed, others = _INPUTS[kind]
    known = f"its fields are {', '.join([*needed, *others])}"
    if missing := [name for name in needed if name not in fields]:
        raise TypeError(f"{kind}: {', '.join(missing)} missing; {known}")
    if unknown := [name for name in fields if name not in needed and name not in others]:
        raise TypeError(f"{kind}: {', '.join(map(shown, unknown[:5]))} not known; {known}")
    return maker(**fields)  # type: ignore[arg-type]


def _image_type(data: bytes) -> str | None:
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if data.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if data.startswith((b"GIF87a", b"GIF89a")):
        return "image/gif"
    return "image/webp" if data.startswith(b"RIFF") and data[8:12] == b"WEBP" else None
