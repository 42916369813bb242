"""The events: their table, JSON, attributes, and what becomes of other models' dicts."""

from __future__ import annotations

import base64
import copy
import json
import pickle
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backchannel import events
from backchannel.errors import BidiModelTimeoutError, InvalidInputError, ModelError
from backchannel.events import (
    AnnouncementEvent,
    BidiAudioInputEvent,
    BidiAudioStreamEvent,
    BidiConnectionRestartEvent,
    BidiOutputEvent,
    BidiTextInputEvent,
    BidiTranscriptStreamEvent,
    BidiUsageEvent,
    ToolResultEvent,
    ToolStreamEvent,
    ToolUseStreamEvent,
    TypedEvent,
    input_event,
    output_event,
)
from tests.support.event_table import CALL, DETAILS, INPUTS, OUTPUTS, PCM, PNG, RESULT, WITHOUT_TYPE

every_event = pytest.mark.parametrize(
    ("make", "arguments", "fields"),
    [*INPUTS, *OUTPUTS, *WITHOUT_TYPE],
    ids=lambda value: getattr(value, "__name__", ""),
)
every_output = pytest.mark.parametrize(
    ("make", "arguments", "fields"), OUTPUTS, ids=lambda value: getattr(value, "__name__", "")
)


class Foreign(dict[str, Any]):
    """An event class of another library."""


@every_event
def test_an_event_is_the_dict_of_the_table_by_name_and_by_position(make, arguments, fields):
    assert make(**arguments) == fields
    assert make(*arguments.values()) == fields
    assert list(make(**arguments)) == list(fields)


@every_event
def test_an_event_passes_json_and_its_fields_are_attributes(make, arguments, fields):
    event = make(**arguments)
    assert json.loads(json.dumps(event, allow_nan=False)) == fields
    for name, value in fields.items():
        assert getattr(event, name) == value
    with pytest.raises(AttributeError, match="no field 'nothing'"):
        _ = event.nothing


@every_event
def test_an_event_can_be_copied_and_pickled(make, arguments, fields):
    event = make(**arguments)
    for again in (copy.copy(event), copy.deepcopy(event), pickle.loads(pickle.dumps(event))):
        assert type(again) is type(event)
        assert again == fields


@every_output
def test_an_output_event_comes_back_from_its_json(make, arguments, fields):
    event = make(**arguments)
    for text in (json.dumps(event), json.dumps(event, ensure_ascii=False)):
        again = output_event(json.loads(text))
        assert type(again) is type(event)
        assert again == event


@every_output
def test_a_dict_of_another_library_becomes_ours_with_its_other_keys(make, arguments, fields):
    foreign = Foreign({**fields, "trace_id": "t-9"})
    event = output_event(foreign)
    assert type(event) is type(make(**arguments))
    assert event == {**fields, "trace_id": "t-9"}
    assert event.trace_id == "t-9"
    assert output_event(MappingProxyType(dict(foreign))) == event


@every_output
def test_our_own_event_is_returned_as_it_is(make, arguments, fields):
    event = make(**arguments)
    assert output_event(event) is event

    class Special(type(event)):  # type: ignore[misc]
        pass

    special = Special(**arguments)
    assert output_event(special) is special


def test_the_table_has_every_output_event_and_every_type():
    assert {row[0] for row in [*OUTPUTS, *WITHOUT_TYPE]} == set(get_args(BidiOutputEvent))
    assert {row[0] for row in INPUTS} == set(get_args(events.BidiInputEvent))


@every_output
def test_a_missing_field_is_named_with_its_type(make, arguments, fields):
    optional = {
        "current_transcript",
        "delta",
        "details",
        "modality_details",
        "cacheReadInputTokens",
        "cacheWriteInputTokens",
        "reason" if fields["type"] == "approval_answer" else "",
        *(["message", "turn_interrupted"] if fields["type"] == "bidi_connection_restart" else []),
    }
    for name in fields:
        rest = {key: value for key, value in fields.items() if key != name}
        if name == "type":
            with pytest.raises(InvalidInputError, match="without a type"):
                output_event(rest)
        elif name in optional:
            assert output_event(rest)["type"] == fields["type"]
        else:
            with pytest.raises(InvalidInputError, match=f"{fields['type']}: field {name} is missing"):
                output_event(rest)


@every_output
def test_a_field_of_another_type_is_named_with_its_value(make, arguments, fields):
    for name in fields:
        if name == "type" or (fields["type"] == "bidi_connection_restart" and name == "timeout_error"):
            continue
        with pytest.raises((TypeError, InvalidInputError), match=f"{fields['type']}: {name}"):
            output_event({**fields, name: 1.5})
        with pytest.raises((TypeError, InvalidInputError), match=fields["type"]):
            output_event({**fields, name: object()})


@pytest.mark.parametrize(
    ("value", "match"),
    [
        ({"type": "bidi_telepathy"}, "output type 'bidi_telepathy' is none of bidi_audio_stream"),
        ({"type": ["bidi_usage"]}, "output type"),
        ({"type": None}, "output type None"),
        ({"type": "bidi_text_input", "text": "x"}, "output type 'bidi_text_input'"),
        (BidiTextInputEvent("x"), "output type 'bidi_text_input'"),
        ({}, "without a type"),
        ({"message": {}}, "without a type"),
        ({"type": "bidi_interruption", "reason": "boredom"}, "reason 'boredom' is none of user_speech, error"),
        ({"type": "bidi_response_complete", "response_id": "r", "stop_reason": "x"}, "stop_reason 'x'"),
        ({"type": "bidi_usage", "inputTokens": -1, "outputTokens": 0, "totalTokens": 0}, "inputTokens -1"),
        ({"type": "tool_use_stream", "current_tool_use": {"name": "x", "input": {}}}, "current_tool_use.toolUseId"),
        ({"type": "tool_use_stream", "current_tool_use": {**CALL, "name": " "}}, "current_tool_use.name is empty"),
        (
            {"type": "tool_use_stream", "current_tool_use": {**CALL, "input": {"x": float("nan")}}},
            "current_tool_use .* cannot be JSON",
        ),
        ({"type": "tool_result", "tool_result": {**RESULT, "status": "fine"}}, "tool_result.status 'fine'"),
        ({"type": "user_speech", "speaking": True, "extra": object()}, "extra .* cannot be JSON"),
        (
            {"type": "bidi_audio_stream", "audio": "AA==", "format": "pcm", "sample_rate": 16000, "channels": 1},
            "not whole 16 bit samples",
        ),
        (
            {"type": "bidi_audio_stream", "audio": PCM, "format": "pcm", "sample_rate": 12345, "channels": 1},
            "sample_rate 12345 Hz",
        ),
    ],
)
def test_what_is_no_output_event_is_refused_in_words(value, match):
    with pytest.raises(InvalidInputError, match=match):
        output_event(value)


@pytest.mark.parametrize("value", [None, "bidi_usage", 5, b"x", [("type", "bidi_usage")], object()])
def test_what_is_no_mapping_is_a_type_error(value):
    with pytest.raises(TypeError, match=f"not {type(value).__name__}"):
        output_event(value)


def test_flags_and_counts_are_not_confused():
    usage = {"type": "bidi_usage", "inputTokens": True, "outputTokens": 0, "totalTokens": 0}
    with pytest.raises(TypeError, match="inputTokens must be an int, not bool"):
        output_event(usage)
    with pytest.raises(TypeError, match="speaking must be a bool, not int"):
        output_event({"type": "user_speech", "speaking": 1})


@pytest.mark.parametrize(
    ("role", "ours"),
    [
        ("user", "user"),
        ("USER", "user"),
        (" User ", "user"),
        ("human", "user"),
        ("assistant", "assistant"),
        ("Assistant", "assistant"),
        ("ASSISTANT", "assistant"),
        ("model", "assistant"),
        ("MODEL", "assistant"),
        ("ai", "assistant"),
    ],
)
def test_roles_of_transcripts_are_normalised(role, ours):
    fields = {"type": "bidi_transcript_stream", "text": "Hi", "role": role, "is_final": True}
    assert output_event(fields).role == ours
    assert output_event(fields).delta == {"text": "Hi"}
    assert BidiTranscriptStreamEvent({"text": "Hi"}, "Hi", role, True).role == ours


@pytest.mark.parametrize(("role", "error"), [("narrator", InvalidInputError), ("", InvalidInputError), (5, TypeError)])
def test_a_role_that_nobody_has_is_refused(role, error):
    with pytest.raises(error, match="bidi_transcript_stream: role"):
        output_event({"type": "bidi_transcript_stream", "text": "Hi", "role": role, "is_final": True})


def test_a_transcript_that_is_not_finished_yet_may_say_none():
    fields = {"type": "bidi_transcript_stream", "text": "Hi", "role": "user", "is_final": None}
    assert output_event(fields).is_final is False


def test_split_surrogates_of_a_transcript_are_mended():
    pair = {"type": "bidi_transcript_stream", "text": "\ud83d\ude00", "role": "user", "is_final": True}
    assert output_event(pair).text == "\U0001f600"
    half = BidiTranscriptStreamEvent({}, "a\ud83d", "user", True, current_transcript="\ude00")
    assert (half.text, half.current_transcript) == ("a\ufffd", "\ufffd")


def test_a_restart_keeps_its_exception_out_of_the_json():
    error = BidiModelTimeoutError("eight minutes", session="s1")
    assert BidiConnectionRestartEvent(error).timeout_error is error
    foreign = {"type": "bidi_connection_restart", "reason": "timeout", "timeout_error": error}
    event = output_event(foreign)
    assert event.timeout_error is error
    assert json.loads(json.dumps(event)) == {
        "type": "bidi_connection_restart",
        "message": "eight minutes",
        "turn_interrupted": False,
        "reason": "timeout",
    }
    scheduled = output_event({**foreign, "timeout_error": None, "turn_interrupted": True})
    assert isinstance(scheduled.timeout_error, BidiModelTimeoutError)
    assert scheduled.turn_interrupted is True


def test_an_error_has_the_exception_that_a_foreign_event_has():
    class ForeignError(Foreign):
        @property
        def error(self) -> Exception:
            return original

    original = OSError("no route")
    fields = {"type": "bidi_error", "message": "no route", "code": "Unreachable", "details": {"n": 1}}
    event = output_event(ForeignError(fields))
    assert event == fields
    assert event.error is original
    assert isinstance(output_event(fields).error, ModelError)


def test_the_response_that_audio_belongs_to_is_taken_from_a_foreign_event():
    fields = {"type": "bidi_audio_stream", "audio": PCM, "format": "pcm", "sample_rate": 16000, "channels": 1}
    assert output_event(fields).response_id is None
    event = output_event({**fields, "response_id": "r1"})
    assert event.response_id == event["response_id"] == "r1"
    assert (event.data, event.samples) == (b"\x01\x00\x02\x00", 2)


def test_usage_has_the_properties_in_snake_case():
    event = BidiUsageEvent(1, 2, 3, DETAILS, 4, 5)
    assert (event.input_tokens, event.output_tokens, event.total_tokens) == (1, 2, 3)
    assert (event.cache_read_input_tokens, event.cache_write_input_tokens) == (4, 5)
    assert event.modality_details == DETAILS
    bare = BidiUsageEvent(1, 2, 3)
    assert (bare.cache_read_input_tokens, bare.cache_write_input_tokens, bare.modality_details) == (None, None, [])


def test_what_a_tool_streams_is_kept_and_shown_as_json():
    class Frame:
        def __repr__(self) -> str:
            return "<Frame 3x4>"

    frame = Frame()
    event = ToolStreamEvent(CALL, {"frame": frame, "raw": b"\x00\x01", "rates": {1.5}, "nan": float("nan"), 3: "x"})
    assert event.data["frame"] is frame
    assert json.loads(json.dumps(event, allow_nan=False))["tool_stream_event"]["data"] == {
        "frame": "<Frame 3x4>",
        "raw": "AAE=",
        "rates": [1.5],
        "nan": None,
        "3": "x",
    }


def test_what_refers_to_itself_or_cannot_be_shown_is_still_an_event():
    class Mute:
        def __repr__(self) -> str:
            raise RuntimeError("no")

    loop: list[Any] = []
    loop.append(loop)
    for value in (loop, Mute(), {Mute(): Mute()}, "\ud800", [["\udfff"]], 10**5000):
        event = ToolStreamEvent(CALL, value)
        json.dumps(event, ensure_ascii=False, allow_nan=False).encode()
        assert event.data is value


def test_bytes_in_a_result_are_base64_in_the_event():
    image = {"format": "png", "source": {"bytes": b"\x89PNG"}}
    event = ToolResultEvent({"toolUseId": "call-1", "status": "success", "content": [{"image": image}]})
    assert event.tool_result["content"][0]["image"]["source"]["bytes"] == "iVBORw=="
    assert image["source"] == {"bytes": b"\x89PNG"}
    assert json.loads(json.dumps(event)) == event


def test_a_plain_result_is_not_copied():
    assert ToolResultEvent(RESULT)["tool_result"] is RESULT


def test_audio_is_decoded_once_and_again_when_it_was_changed():
    event = BidiAudioStreamEvent(PCM, "pcm", 16000, 1)
    assert event.data is event.data
    event["audio"] = base64.b64encode(b"\x07\x00").decode()
    assert event.data == b"\x07\x00"
    made = BidiAudioInputEvent.from_data(bytearray(b"\x01\x00"), 16000)
    assert made.data == b"\x01\x00"
    assert made == BidiAudioInputEvent(base64.b64encode(b"\x01\x00").decode(), "pcm", 16000, 1)


def test_an_announcement_is_text_that_knows_its_tasks():
    event = AnnouncementEvent("done", ())
    assert event == BidiTextInputEvent("done")
    assert event.tasks == ()
    assert input_event(event) is event


def test_events_of_the_strands_library_are_taken():
    theirs = pytest.importorskip("strands.types._events")
    event = output_event(theirs.ToolUseStreamEvent({"toolUse": {"input": "{}"}}, dict(CALL)))
    assert type(event) is ToolUseStreamEvent
    assert event.current_tool_use == CALL
    result = output_event(theirs.ToolResultEvent(dict(RESULT)))
    assert type(result) is ToolResultEvent
    assert result.tool_result == RESULT


keys = st.sampled_from(
    sorted({key for row in [*INPUTS, *OUTPUTS] for key in row[2]} | {"error", "timeout_error", "response_id"})
)
types = st.sampled_from(sorted({row[2]["type"] for row in [*INPUTS, *OUTPUTS]}))
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(exclude_categories=[]), max_size=8)
    | st.binary(max_size=8)
    | st.sampled_from([PCM, PNG, "pcm", 16000, "image/png", "user", "error", "complete", "USER", "success"])
    | st.builds(object)
    | st.builds(OSError),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3) | st.integers(), inner, max_size=3),
    max_leaves=6,
)
anything = st.dictionaries(st.text(max_size=4) | st.integers() | st.none() | st.tuples(), values, max_size=3)


@st.composite
def nearly_events(draw: st.DrawFn) -> dict[Any, Any]:
    """A right event with some of it replaced, left out, or added."""
    _, _, fields = draw(st.sampled_from([*INPUTS, *OUTPUTS]))
    event: dict[Any, Any] = copy.deepcopy(fields)
    event.update(draw(st.dictionaries(keys | st.sampled_from(list(fields)), values, max_size=2)))
    event.update(draw(anything))
    for key in draw(st.lists(st.sampled_from(list(fields)), max_size=1)):
        del event[key]
    if draw(st.booleans()):
        event["type"] = fields["type"]
    return event


def outcome(take: Callable[[object], TypedEvent], value: object) -> TypedEvent | ValueError | TypeError:
    try:
        return take(value)
    except (ValueError, TypeError) as error:
        return error


@given(values | st.lists(values, min_size=20, max_size=60))
def test_what_a_tool_streams_is_shown_itself_exactly_if_it_is_json(value):
    try:
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError):
        is_json = False
    else:
        is_json = True
    shown = ToolStreamEvent(CALL, value)["tool_stream_event"]["data"]
    assert (shown is value) is is_json


@given(nearly_events() | anything | values)
def test_whatever_comes_is_an_event_that_is_json_or_a_value_error_or_a_type_error(value):
    for take in (input_event, output_event):
        found = outcome(take, value)
        if isinstance(found, TypedEvent):
            json.dumps(found, ensure_ascii=False, allow_nan=False).encode()
        else:
            assert not isinstance(found, UnicodeError | json.JSONDecodeError)
            assert len(str(found)) < 1200
            str(found).encode()


@given(types, st.dictionaries(keys, values, max_size=8))
def test_whatever_the_fields_are_the_error_names_the_type(kind, fields):
    value: Mapping[str, Any] = {**fields, "type": kind}
    found = outcome(input_event if kind.endswith("_input") else output_event, value)
    if isinstance(found, TypedEvent):
        assert found["type"] == kind
    else:
        assert str(found).startswith(f"{kind}: ")
