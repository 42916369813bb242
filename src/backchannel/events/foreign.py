"""Output events of models that are not ours: dicts with the same ``type`` and fields become our classes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast, get_args

from ..errors import BidiModelTimeoutError, InvalidInputError, ModelError
from ..messages import ToolUse
from .base import TypedEvent
from .outputs import (
    ApprovalAnswerEvent,
    ApprovalRequestEvent,
    BidiAudioStreamEvent,
    BidiConnectionCloseEvent,
    BidiConnectionRestartEvent,
    BidiConnectionStartEvent,
    BidiErrorEvent,
    BidiInterruptionEvent,
    BidiOutputEvent,
    BidiResponseCompleteEvent,
    BidiResponseStartEvent,
    BidiTranscriptStreamEvent,
    BidiUsageEvent,
    CloseReason,
    InterruptionReason,
    StopReason,
    TaskUpdateEvent,
    ToolResultEvent,
    ToolStreamEvent,
    ToolUseStreamEvent,
    UserSpeechEvent,
)
from .values import check_json, check_text, encodable, one_of, shown, wrong_type

__all__ = ["output_event"]

_CLASSES: tuple[type[TypedEvent], ...] = get_args(BidiOutputEvent)
_OURS = frozenset(_CLASSES)


def output_event(value: object) -> BidiOutputEvent:
    """Return ``value`` as an output event; an event of ours is checked, and returned as it is.

    Args:
        value: An output event, or any mapping with the ``type`` and the fields of one. Further keys are kept.

    Raises:
        InvalidInputError: If the type is not known, or a field is missing or has a value that cannot be used.
        TypeError: If it is not a mapping, or a field has a wrong type.
    """
    if isinstance(value, BidiAudioStreamEvent):
        return value  # Checked when it was made; checking each chunk again would cost time.
    if type(value) in _OURS or isinstance(value, _CLASSES):
        ours = cast("BidiOutputEvent", value)
        if (make := _MAKERS.get(ours.get("type", ""))) is None:
            raise InvalidInputError(f"an output event of class {type(ours).__name__} is without a known type")
        make(_Fields(ours["type"], ours))
        return ours
    if not isinstance(value, Mapping):
        raise TypeError(f"an output event must be a dict with a 'type', not {type(value).__name__}: {shown(value)}")
    kind = value.get("type")
    if not isinstance(kind, str) or kind not in _MAKERS:
        said = f"output type {shown(kind)}" if "type" in value else f"an output event without a type: {shown(value)};"
        raise InvalidInputError(f"{said} is none of {', '.join(_MAKERS)}")
    fields = _Fields(kind, value)
    event = _MAKERS[kind](fields)
    fields.keep_others(event)
    return cast("BidiOutputEvent", event)


class _Fields:
    """The fields of one event, read one by one; what was not read is kept at the end."""

    def __init__(self, kind: str, value: Mapping[Any, Any], within: str = "") -> None:
        self.value = value
        self._kind = kind
        self._within = within
        self._read = {"type"}

    def get(self, name: str) -> Any:
        self._read.add(name)
        return self.value.get(name)

    def needed(self, name: str) -> Any:
        if (found := self.get(name)) is None and name not in self.value:
            raise InvalidInputError(f"{self._kind}: field {self._within}{name} is missing")
        return found

    def text(self, name: str) -> str:
        return encodable(check_text(self._kind, self._within + name, self.needed(name)))

    def name(self, name: str) -> str:
        if not (found := self.text(name)).strip():
            raise InvalidInputError(f"{self._kind}: field {self._within}{name} is empty")
        return found

    def optional_text(self, name: str) -> str | None:
        return None if self.get(name) is None else self.text(name)

    def one_of(self, name: str, known: tuple[str, ...]) -> Any:
        return one_of(self._kind, self._within + name, self.needed(name), known)

    def flag(self, name: str) -> bool:
        """A bool; None, which some providers send for "not yet", is False."""
        if not isinstance(found := self.needed(name), bool | None):
            raise wrong_type(self._kind, self._within + name, "a bool", found)
        return bool(found)

    def count(self, name: str) -> int:
        if isinstance(found := self.needed(name), bool) or not isinstance(found, int):
            raise wrong_type(self._kind, self._within + name, "an int", found)
        if found < 0:
            raise InvalidInputError(f"{self._kind}: {self._within}{name} {shown(found)} is less than 0")
        return found

    def optional_count(self, name: str) -> int | None:
        return None if self.get(name) is None else self.count(name)

    def json(self, name: str) -> Any:
        check_json(self._kind, self._within + name, found := self.needed(name))
        return found

    def mapping(self, name: str) -> dict[str, Any]:
        if not isinstance(found := self.needed(name), Mapping):
            raise wrong_type(self._kind, self._within + name, "a dict", found)
        check_json(self._kind, self._within + name, plain := dict(found))
        return plain

    def optional_mapping(self, name: str) -> dict[str, Any] | None:
        return None if self.get(name) is None else self.mapping(name)

    def mappings(self, name: str) -> list[dict[str, Any]]:
        found = self.needed(name)
        if not isinstance(found, list | tuple) or not all(isinstance(item, Mapping) for item in found):
            raise wrong_type(self._kind, self._within + name, "a list of dicts", found)
        check_json(self._kind, self._within + name, plain := [dict(item) for item in found])
        return plain

    def within(self, name: str) -> _Fields:
        """The fields of a dict that is a field."""
        return _Fields(self._kind, self.mapping(name), f"{self._within}{name}.")

    def keep_others(self, event: TypedEvent) -> None:
        for key, item in self.value.items():
            if key in self._read or key in event:
                continue
            if not isinstance(key, str):
                raise wrong_type(self._kind, f"key {shown(key)}", "a str", key)
            check_json(self._kind, encodable(key)[:60], item)
            event[encodable(key)] = item


def _audio(fields: _Fields) -> BidiAudioStreamEvent:
    event = BidiAudioStreamEvent(
        fields.needed("audio"), fields.needed("format"), fields.needed("sample_rate"), fields.needed("channels")
    )
    _ = event.data
    if "response_id" in fields.value and (response_id := fields.optional_text("response_id")) is not None:
        event["response_id"] = event.response_id = response_id
    return event


def _transcript(fields: _Fields) -> BidiTranscriptStreamEvent:
    text = fields.text("text")
    delta = {"text": text} if fields.get("delta") is None else fields.mapping("delta")
    return BidiTranscriptStreamEvent(
        delta, text, fields.needed("role"), fields.flag("is_final"), fields.optional_text("current_transcript")
    )


def _restart(fields: _Fields) -> BidiConnectionRestartEvent:
    error = fields.get("timeout_error")
    message = fields.optional_text("message")
    if not isinstance(error, Exception):
        error = BidiModelTimeoutError(message or "the connection is made anew")
    interrupted = fields.flag("turn_interrupted") if "turn_interrupted" in fields.value else False
    return BidiConnectionRestartEvent(error, interrupted)


def _error(fields: _Fields) -> BidiErrorEvent:
    message, code = fields.text("message"), fields.text("code")
    raised = getattr(fields.value, "error", None)
    event = BidiErrorEvent(
        raised if isinstance(raised, Exception) else ModelError(message), fields.optional_mapping("details")
    )
    event["message"], event["code"] = message, code
    return event


def _usage(fields: _Fields) -> BidiUsageEvent:
    return BidiUsageEvent(
        fields.count("inputTokens"),
        fields.count("outputTokens"),
        fields.count("totalTokens"),
        None if fields.get("modality_details") is None else fields.mappings("modality_details"),
        fields.optional_count("cacheReadInputTokens"),
        fields.optional_count("cacheWriteInputTokens"),
    )


def _tool_use(fields: _Fields, name: str) -> ToolUse:
    call = fields.within(name)
    call.name("toolUseId"), call.name("name"), call.json("input")
    return cast("ToolUse", call.value)


def _tool_result(fields: _Fields) -> ToolResultEvent:
    result = fields.within("tool_result")
    result.name("toolUseId"), result.one_of("status", ("success", "error")), result.mappings("content")
    return ToolResultEvent(cast("Any", result.value))


def _tool_stream(fields: _Fields) -> ToolStreamEvent:
    stream = fields.within("tool_stream_event")
    return ToolStreamEvent(_tool_use(stream, "tool_use"), stream.json("data"))


_MAKERS: dict[str, Callable[[_Fields], TypedEvent]] = {
    "bidi_audio_stream": _audio,
    "bidi_connection_close": lambda fields: BidiConnectionCloseEvent(
        fields.text("connection_id"), fields.one_of("reason", get_args(CloseReason))
    ),
    "bidi_connection_restart": _restart,
    "bidi_connection_start": lambda fields: BidiConnectionStartEvent(
        fields.text("connection_id"), fields.text("model")
    ),
    "bidi_error": _error,
    "bidi_interruption": lambda fields: BidiInterruptionEvent(fields.one_of("reason", get_args(InterruptionReason))),
    "bidi_response_complete": lambda fields: BidiResponseCompleteEvent(
        fields.text("response_id"), fields.one_of("stop_reason", get_args(StopReason))
    ),
    "bidi_response_start": lambda fields: BidiResponseStartEvent(fields.text("response_id")),
    "bidi_transcript_stream": _transcript,
    "bidi_usage": _usage,
    "approval_answer": lambda fields: ApprovalAnswerEvent(
        fields.text("approval_id"), fields.flag("approved"), fields.text("by"), fields.optional_text("reason") or ""
    ),
    "approval_request": lambda fields: ApprovalRequestEvent(
        fields.text("approval_id"), fields.text("question"), _tool_use(fields, "tool_use")
    ),
    "task_update": lambda fields: TaskUpdateEvent(fields.mapping("task")),
    "tool_result": _tool_result,
    "tool_stream": _tool_stream,
    "tool_use_stream": lambda fields: ToolUseStreamEvent(
        {} if fields.get("delta") is None else fields.mapping("delta"), _tool_use(fields, "current_tool_use")
    ),
    "user_speech": lambda fields: UserSpeechEvent(fields.flag("speaking")),
}
"""What makes an event of each type; the provider's own first, then those of the agent and its tools."""
