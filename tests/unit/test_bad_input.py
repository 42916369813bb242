"""Bad input: refused in words that name the event, the field and the value, before anything is sent or written down."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from types import MappingProxyType
from typing import Any

import pytest

from backchannel import BidiAgent, tool
from backchannel.errors import InvalidInputError, ToolDefinitionError
from backchannel.events import (
    MAX_IMAGE_BYTES,
    MAX_TEXT_BYTES,
    RATES,
    BidiAudioInputEvent,
    BidiConnectionStartEvent,
    BidiImageInputEvent,
    BidiTextInputEvent,
    TypedEvent,
    input_event,
)
from tests.support.virtual_time import virtual_time


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


PNG, JPEG = b"\x89PNG\r\n\x1a\n" + bytes(8), b"\xff\xd8\xff\xe0" + bytes(8)
GIF87, GIF89, WEBP = b"GIF87a" + bytes(8), b"GIF89a" + bytes(8), b"RIFF\x10\0\0\0WEBPVP8 "
TOO_LARGE = "A" * (MAX_IMAGE_BYTES // 3 * 4 + 8)


def text(**fields: Any) -> dict[str, Any]:
    return {"type": "bidi_text_input", "text": "hello", **fields}


def audio(**fields: Any) -> dict[str, Any]:
    return {
        "type": "bidi_audio_input",
        "audio": b64(bytes(4)),
        "format": "pcm",
        "sample_rate": 16000,
        "channels": 1,
        **fields,
    }


def image(data: bytes | None = None, **fields: Any) -> dict[str, Any]:
    return {"type": "bidi_image_input", "image": b64(PNG if data is None else data), "mime_type": "image/png", **fields}


def without(event: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: item for key, item in event.items() if key != name}


def changed(event: TypedEvent, **fields: Any) -> TypedEvent:
    event.update(fields)
    return event


class Unshowable:
    def __repr__(self) -> str:
        raise RuntimeError("no")


BAD: list[tuple[str, Any, type[Exception], str]] = [
    # What is no event
    ("none", None, InvalidInputError, "got NoneType: None"),
    ("int", 5, InvalidInputError, "input must be a str, an input event, or a dict with a 'type'; got int: 5"),
    ("bytes", b"\0\0", InvalidInputError, r"got bytes.*BidiAudioInputEvent.from_data"),
    ("list", [text()], InvalidInputError, "got list"),
    ("empty dict", {}, InvalidInputError, "got dict: {}"),
    ("no type", {"text": "x"}, InvalidInputError, "got dict: {'text': 'x'}"),
    ("unshowable", Unshowable(), InvalidInputError, "got Unshowable: <Unshowable"),
    # Types
    ("unknown type", {"type": "bidi_smell_input"}, InvalidInputError, "input type 'bidi_smell_input' is none of"),
    ("old type", {"type": "bidirectional_text_input", "text": "x"}, InvalidInputError, "is none of bidi_text_input"),
    ("output type", {"type": "bidi_interruption", "reason": "error"}, InvalidInputError, "bidi_interruption"),
    ("type a list", {"type": ["bidi_text_input"]}, InvalidInputError, r"input type \['bidi_text_input'\]"),
    ("type none", {"type": None, "text": "x"}, InvalidInputError, "input type None"),
    ("type bytes", {"type": b"bidi_text_input", "text": "x"}, InvalidInputError, "input type b'bidi_text_input'"),
    ("long type", {"type": "x" * 10_000}, InvalidInputError, r"input type 'x+\.\.\.x+' is none of"),
    # Text
    ("text missing", without(text(), "text"), TypeError, "bidi_text_input: text missing; its fields are text, role"),
    ("text extra", text(more=1), TypeError, "bidi_text_input: 'more' not known"),
    ("text key", {**text(), 3: 1}, TypeError, "bidi_text_input: 3 not known"),
    ("text int", text(text=5), TypeError, "bidi_text_input: text must be a str, not int: 5"),
    ("text none", text(text=None), TypeError, "text must be a str, not NoneType"),
    ("text bytes", text(text=b"x"), TypeError, "text must be a str, not bytes: b'x'"),
    ("text list", text(text=["x"]), TypeError, r"text must be a str, not list: \['x'\]"),
    ("role unknown", text(role="system"), InvalidInputError, "role 'system' is none of user, assistant"),
    ("role case", text(role="USER"), InvalidInputError, "role 'USER'"),
    ("role none", text(role=None), TypeError, "role must be a str, not NoneType"),
    ("role list", text(role=["user"]), TypeError, "role must be a str, not list"),
    ("surrogate", text(text="a\ud800b"), InvalidInputError, r"text .*position 1: '\\ud800'"),
    ("surrogate str", "a\udfff", InvalidInputError, "bidi_text_input: text .*position 1"),
    ("long text", "x" * (MAX_TEXT_BYTES + 1), InvalidInputError, "bidi_text_input: text 'x+.*MAX_TEXT_BYTES"),
    ("long umlauts", "ä" * (MAX_TEXT_BYTES // 2 + 1), InvalidInputError, "1,048,578 bytes"),
    # Audio
    *(
        (f"audio without {name}", without(audio(), name), TypeError, f"bidi_audio_input: {name} missing")
        for name in ("audio", "format", "sample_rate", "channels")
    ),
    ("audio extra", audio(gain=1), TypeError, "bidi_audio_input: 'gain' not known"),
    ("audio bytes", audio(audio=bytes(4)), TypeError, r"audio must be a base64 str \(from_data .*not bytes"),
    ("audio none", audio(audio=None), TypeError, "bidi_audio_input: audio must be a base64 str, not NoneType"),
    ("audio percent", audio(audio="%%%%"), InvalidInputError, "bidi_audio_input: audio '%%%%' is not base64"),
    ("audio newline", audio(audio="AAAA\nAAAA"), InvalidInputError, "is not base64 .*line breaks"),
    ("audio last newline", audio(audio="AAAAAAA=\n"), InvalidInputError, "is not base64 .*line breaks"),
    ("audio url-safe", audio(audio="-_-_AAA="), InvalidInputError, "is not base64 .*URL-safe"),
    ("audio unpadded", audio(audio="AAA"), InvalidInputError, "is not base64"),
    ("audio padded twice", audio(audio="AAA=AAA="), InvalidInputError, "is not base64"),
    ("audio only padding", audio(audio="===="), InvalidInputError, "is not base64"),
    ("audio unicode", audio(audio="ÄÖÜ="), InvalidInputError, "is not base64"),
    ("audio surrogate", audio(audio="\ud800AA="), InvalidInputError, "is not base64"),
    ("audio data url", audio(audio="data:audio/pcm;base64,AAAA"), InvalidInputError, "is not base64"),
    ("one byte", audio(audio=b64(b"\0")), InvalidInputError, "bidi_audio_input: audio of 1 bytes is not whole"),
    ("three bytes", audio(audio=b64(bytes(3))), InvalidInputError, "audio of 3 bytes"),
    ("stereo half", audio(audio=b64(bytes(6)), channels=2), InvalidInputError, r"6 bytes .* 2 channel\(s\)"),
    ("format unknown", audio(format="flac"), InvalidInputError, "format 'flac' is none of pcm, wav, opus, mp3"),
    ("format case", audio(format="PCM"), InvalidInputError, "format 'PCM'"),
    ("format none", audio(format=None), TypeError, "bidi_audio_input: format must be a str"),
    ("format list", audio(format=["pcm"]), TypeError, "format must be a str, not list"),
    ("rate 0", audio(sample_rate=0), InvalidInputError, "bidi_audio_input: sample_rate 0 Hz is none of 8000"),
    ("rate negative", audio(sample_rate=-16000), InvalidInputError, "sample_rate -16000 Hz"),
    ("rate odd", audio(sample_rate=16001), InvalidInputError, "sample_rate 16001 Hz"),
    ("rate in kHz", audio(sample_rate=16), InvalidInputError, "sample_rate 16 Hz"),
    ("rate float", audio(sample_rate=16000.0), TypeError, r"sample_rate must be an int \(Hz\), not float: 16000.0"),
    ("rate nan", audio(sample_rate=float("nan")), TypeError, "sample_rate must be an int"),
    ("rate str", audio(sample_rate="16000"), TypeError, "not str: '16000'"),
    ("rate bool", audio(sample_rate=True), TypeError, "not bool: True"),
    ("rate none", audio(sample_rate=None), TypeError, "not NoneType"),
    ("rate huge", audio(sample_rate=10**5000), InvalidInputError, "sample_rate .* Hz is none of"),
    ("channels 0", audio(channels=0), InvalidInputError, "bidi_audio_input: channels must be 1 or 2, not 0"),
    ("channels 3", audio(channels=3), InvalidInputError, "not 3"),
    ("channels bool", audio(channels=True), TypeError, "channels must be an int, not bool: True"),
    ("channels float", audio(channels=1.0), TypeError, "channels must be an int, not float"),
    ("channels str", audio(channels="1"), TypeError, "channels must be an int, not str"),
    # Images
    ("image missing", without(image(), "image"), TypeError, "bidi_image_input: image missing"),
    ("mime missing", without(image(), "mime_type"), TypeError, "bidi_image_input: mime_type missing"),
    ("image extra", image(alt="x"), TypeError, "bidi_image_input: 'alt' not known"),
    ("image bytes", image(image=PNG), TypeError, "bidi_image_input: image must be a base64 str, not bytes"),
    ("image none", image(image=None), TypeError, "image must be a base64 str, not NoneType"),
    ("image base64", image(image="%PNG"), InvalidInputError, "bidi_image_input: image '%PNG' is not base64"),
    ("image newline", image(image=b64(PNG) + "\n"), InvalidInputError, "line breaks"),
    ("image url-safe", image(JPEG, image=base64.urlsafe_b64encode(b"\xff\xef\xfe").decode()), InvalidInputError, "URL"),
    ("image empty", image(b""), InvalidInputError, "mime_type is 'image/png', but image begins with b''"),
    ("image cut", image(PNG[:4]), InvalidInputError, "it is none of image/png"),
    ("image other", image(JPEG), InvalidInputError, "mime_type is 'image/png'.* it is image/jpeg"),
    ("image wave", image(b"RIFF\x10\0\0\0WAVEfmt ", mime_type="image/webp"), InvalidInputError, "it is none of"),
    ("mime svg", image(mime_type="image/svg+xml"), InvalidInputError, "mime_type 'image/svg.xml' is none of image/png"),
    ("mime jpg", image(JPEG, mime_type="image/jpg"), InvalidInputError, "mime_type 'image/jpg'"),
    ("mime int", image(mime_type=5), TypeError, "mime_type must be a str, not int"),
    ("image large", image(image=TOO_LARGE), InvalidInputError, "bidi_image_input: image 'AAA.*MAX_IMAGE_BYTES"),
    # Events of ours that were changed afterwards
    ("event text", changed(BidiTextInputEvent("x"), text=5), TypeError, "bidi_text_input: text"),
    ("event role", changed(BidiTextInputEvent("x"), role="x"), InvalidInputError, "bidi_text_input: role"),
    ("event type", changed(BidiTextInputEvent("x"), type="y"), InvalidInputError, "type was changed to 'y'"),
    ("event surrogate", BidiTextInputEvent("\ud800"), InvalidInputError, "position 0"),
    ("event audio", BidiAudioInputEvent("AA==", "pcm", 16000, 1), InvalidInputError, "1 bytes"),
    (
        "event audio again",
        changed(BidiAudioInputEvent.from_data(bytes(2), 16000), audio="AA=="),
        InvalidInputError,
        "1 bytes",
    ),
    ("event rate", changed(BidiAudioInputEvent.from_data(bytes(2), 16000), sample_rate=1), InvalidInputError, "1 Hz"),
    ("event image", BidiImageInputEvent(b64(JPEG), "image/png"), InvalidInputError, "it is image/jpeg"),
    ("event mime", changed(BidiImageInputEvent(b64(PNG), "image/png"), mime_type=None), TypeError, "mime_type"),
]

GOOD: list[Any] = [
    "",
    "hello",
    "Grüße \U0001f600",
    "x" * MAX_TEXT_BYTES,
    text(),
    text(role="assistant"),
    MappingProxyType(text()),
    audio(),
    audio(audio=""),
    audio(audio=b64(bytes(8)), channels=2),
    audio(audio=b64(b"\0"), format="opus"),
    *(audio(sample_rate=rate) for rate in RATES),
    image(),
    image(JPEG, mime_type="image/jpeg"),
    image(GIF87, mime_type="image/gif"),
    image(GIF89, mime_type="image/gif"),
    image(WEBP, mime_type="image/webp"),
    image(PNG + bytes(MAX_IMAGE_BYTES - len(PNG))),
    BidiAudioInputEvent.from_data(b"", 48000),
]


class RecordingModel:
    """Takes anything, and keeps it."""

    def __init__(self) -> None:
        self.config: dict[str, Any] = {}
        self.sent: list[Any] = []

    async def start(self, *arguments: Any, **keywords: Any) -> None:
        self.closed = asyncio.Event()

    async def stop(self) -> None:
        self.closed.set()

    async def receive(self) -> AsyncIterator[TypedEvent]:
        yield BidiConnectionStartEvent("c1", "recording")
        await self.closed.wait()

    async def send(self, content: Any) -> None:
        self.sent.append(content)


bad = pytest.mark.parametrize(("value", "error", "match"), [row[1:] for row in BAD], ids=[row[0] for row in BAD])


@bad
def test_bad_input_is_refused_in_words_of_readable_length(value, error, match):
    with pytest.raises(error, match=match) as caught:
        input_event(value)
    assert type(caught.value) is error
    assert len(str(caught.value)) < 500
    str(caught.value).encode()


@virtual_time
async def test_nothing_of_bad_input_is_sent_or_written_down():
    model = RecordingModel()
    async with BidiAgent(model) as agent:
        for _, value, error, match in BAD:
            with pytest.raises(error, match=match):
                await agent.send(value)
        assert model.sent == []
        assert agent.messages == []
        await agent.send("hello")
        assert [event["text"] for event in model.sent] == ["hello"]
        assert agent.messages == [{"role": "user", "content": [{"text": "hello"}]}]


@virtual_time
async def test_bad_input_of_an_input_ends_the_run_with_its_error():
    model = RecordingModel()
    values = iter(["hello", audio(audio="AA==")])

    async def source() -> Any:
        return next(values)

    async def nowhere(event: Any) -> None: ...

    agent = BidiAgent(model)
    with pytest.raises(InvalidInputError, match="1 bytes"):
        await agent.run([source], [nowhere])
    assert [event["type"] for event in model.sent] == ["bidi_text_input"]
    assert model.closed.is_set()


@pytest.mark.parametrize("value", GOOD, ids=lambda value: str(getattr(value, "get", {}.get)("type", "str")))
def test_good_input_at_the_edges_is_taken(value):
    event = input_event(value)
    if isinstance(value, str):
        assert event == BidiTextInputEvent(value)
    else:
        assert {**event, **value} == event


def test_one_byte_more_than_the_limit_is_too_much():
    with pytest.raises(InvalidInputError, match="20,971,521 bytes; the limit, MAX_IMAGE_BYTES, is 20,971,520"):
        input_event(image(PNG + bytes(MAX_IMAGE_BYTES - len(PNG) + 1)))


def test_a_large_image_is_refused_without_being_decoded(monkeypatch):
    monkeypatch.setattr(base64, "b64decode", lambda *_, **__: pytest.fail("it was decoded"))
    with pytest.raises(InvalidInputError, match="MAX_IMAGE_BYTES"):
        input_event(image(image=TOO_LARGE))


@pytest.mark.parametrize(
    ("data", "rate", "channels", "error", "match"),
    [
        ("AAAA", 16000, 1, TypeError, "data must be bytes of 16 bit samples .* not str"),
        ([0, 0], 16000, 1, TypeError, "tobytes.* not list"),
        (b"\0", 16000, 1, InvalidInputError, "1 bytes"),
        (bytes(6), 16000, 2, InvalidInputError, "6 bytes"),
        (bytes(2), 16000, 3, InvalidInputError, "channels must be 1 or 2"),
        (bytes(2), 16000, True, TypeError, "channels must be an int"),
        (bytes(2), 1, 1, InvalidInputError, "sample_rate 1 Hz"),
    ],
)
def test_samples_that_cannot_be_sent_are_refused_when_the_event_is_made(data, rate, channels, error, match):
    with pytest.raises(error, match=match):
        BidiAudioInputEvent.from_data(data, rate, channels)


# Construction


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def named(name: str, spec: object = None) -> Any:
    """A tool of another library."""

    class Named:
        tool_name = name
        tool_type = "python"
        tool_spec = {"name": name, "description": "Do.", "inputSchema": {"json": {}}} if spec is None else spec

        async def stream(self, tool_use: Any, invocation_state: Any, **kwargs: Any) -> AsyncIterator[Any]:
            yield {"toolUseId": tool_use["toolUseId"], "status": "success", "content": []}

    return Named()


def spaced(a: int) -> int:
    """Has a name that is set below."""
    return a


spaced.__name__ = "add two"

not_yet = pytest.mark.xfail(strict=True, reason="BidiAgent does not check this yet: delete this mark when it does")

REFUSED: list[Any] = [
    pytest.param({"tools": [42]}, ToolDefinitionError, "42 cannot become a tool: it is a int", id="tool 42"),
    pytest.param({"tools": [None]}, ToolDefinitionError, "None cannot become a tool", id="tool none"),
    pytest.param({"tools": [{}]}, ToolDefinitionError, "{} cannot become a tool", id="tool dict"),
    pytest.param({"tools": [dict]}, ToolDefinitionError, "not a function and not a tool", id="tool class"),
    pytest.param({"tools": ["no_such_module_at_all"]}, ToolDefinitionError, "'no_such_module_at_all'", id="tool name"),
    pytest.param({"tools": [spaced]}, ToolDefinitionError, "'add two' cannot be used", id="spaces"),
    pytest.param({"tools": [named("add two")]}, ToolDefinitionError, "'add two' cannot be used", id="foreign spaces"),
    pytest.param({"tools": [named("")]}, ToolDefinitionError, "tool name '' cannot be used", id="empty name"),
    pytest.param({"tools": [named("x" * 65)]}, ToolDefinitionError, "1 to 64", id="long name"),
    pytest.param({"tools": [named("grüße")]}, ToolDefinitionError, "'grüße' cannot be used", id="unicode name"),
    pytest.param({"tools": [add, named("add")]}, ToolDefinitionError, "two tools have the name 'add'", id="duplicate"),
    pytest.param({"tools": [named("x", 5)]}, (ToolDefinitionError, TypeError), "'x'", id="spec int"),
    pytest.param({"tools": [named("x", {"name": "x"})]}, (ToolDefinitionError, TypeError), "'x'", id="bare spec"),
    pytest.param(
        {"tools": [named("x", {"name": "x", "description": "Do.", "inputSchema": {"json": "object"}})]},
        (ToolDefinitionError, TypeError),
        "'x'",
        id="schema str",
    ),
    pytest.param(
        {"tools": [named("x", {"name": "y", "description": "Do.", "inputSchema": {"json": {}}})]},
        (ToolDefinitionError, TypeError),
        "'x'",
        id="spec of another name",
    ),
    pytest.param({"tools": 42}, (ToolDefinitionError, TypeError), "tools", id="tools int"),
    pytest.param({"messages": "hello"}, TypeError, "messages must be a list", id="messages str"),
    pytest.param({"messages": ({},)}, TypeError, "messages must be a list", id="messages tuple"),
    pytest.param({"messages": ["hello"]}, InvalidInputError, r"messages\[0\]", id="message str"),
    pytest.param(
        {"messages": [{"role": "user", "content": "hello"}]},
        InvalidInputError,
        r"messages\[0\]: content is a str",
        id="message content",
    ),
    pytest.param({"hooks": [object()]}, TypeError, "a hook needs a method register_hooks", id="hook object"),
    pytest.param({"hooks": [print]}, TypeError, "register_hooks", id="hook function"),
    pytest.param({"hooks": 5}, TypeError, "hooks", id="hooks int"),
    pytest.param({"session_manager": object()}, TypeError, "register_hooks", id="session manager"),
    pytest.param({"state": 5}, ValueError, "state must be an AgentState or a dict, not int", id="state int"),
    pytest.param({"state": [("a", 1)]}, ValueError, "state must be", id="state list"),
    pytest.param({"state": {"a": object()}}, ValueError, "state key 'a' cannot be JSON", id="state value"),
    pytest.param({"state": {5: 1}}, ValueError, "a state key must be a str", id="state key"),
    pytest.param({"state": {" ": 1}}, ValueError, "a state key must be a str that is not empty", id="state blank key"),
    pytest.param({"model": 5}, TypeError, "int is not a model", id="model int"),
    pytest.param({"model": "no such"}, ValueError, "'no such' is not known", id="model name"),
    pytest.param({"agent_id": "a/b"}, ValueError, "agent_id 'a/b' has a path separator", id="agent id"),
    pytest.param({"agent_id": 5}, TypeError, "agent_id", id="agent id int"),
    pytest.param({"system_prompt": 5}, TypeError, "system_prompt", id="system prompt int"),
    pytest.param({"tool_executor": 5}, TypeError, "tool_executor", id="executor int"),
]


@pytest.mark.parametrize(("arguments", "error", "match"), REFUSED)
def test_what_an_agent_cannot_be_made_of_is_named(arguments, error, match):
    with pytest.raises(error, match=match):
        BidiAgent(**{"model": RecordingModel(), **arguments})


def test_the_same_tool_twice_is_one_tool():
    assert BidiAgent(RecordingModel(), tools=[add, add]).tool_names == ["add"]


def test_no_tools_hooks_and_messages_are_fine():
    messages: list[Any] = []
    agent = BidiAgent(RecordingModel(), tools=[], hooks=[], messages=messages, state={})
    assert agent.messages is messages
    assert agent.tool_names == []
