"""What kernel and page say to each other. Pure; mirrored field by field in js/src/wire.ts.

Every message is a JSON object whose ``k`` names its kind; audio is one buffer beside it, signed 16 bit
little-endian mono samples. ``tests/golden/wire.json`` holds one of each, read by pytest and by vitest.

Page to kernel. ``client`` is the page's own id (one per page and widget, kept over a reload of the tab):
    Hello     the page shows the widget; it is answered by Welcome. ``lab``: it runs our JupyterLab extension;
              ``keeps``: it applies Output to the notebook itself
    Claim     the page wants to be the one that hears and speaks; ``force`` takes it from another page
    Release   the page gives that up
    Mic       a chunk of the microphone (buffer); ``n`` counts chunks from 0, ``rate`` in Hz
    Played    how far playback is; answers Audio (credit) and says what was heard
    Say       typed text
    Cancel    cancel the task with this id
    Again     run the task with this id once more, as a new one
    Answer    whether the call that asked the question with this id may run
    Ack       control operations up to ``seq``, and row versions up to ``version``, have arrived
    Ping      are you there; answered by Pong

Kernel to page. ``to`` is one page's id, or "" for every page:
    Welcome   the whole state; later operations count from ``seq`` and row versions from ``version``
    Ops       numbered operations, sent again until acknowledged; the page applies each once, in order
    Audio     a chunk of voice (buffer) for the page that speaks; ``gen`` older than the last flush is dropped,
              ``start`` is the chunk's first sample, counted over the whole generation
    Heard     chunks of microphone up to ``n`` have arrived
    Rows      all rows that changed since the version that was acknowledged last
    Output    what a cell output is to hold in the notebook's file
    Pong      yes
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, TypeAlias

from ..errors import InvalidInputError

__all__ = [
    "STATES",
    "VERSION",
    "VIEW_MIMETYPE",
    "Ack",
    "Again",
    "Answer",
    "Audio",
    "Cancel",
    "Claim",
    "FromPage",
    "Heard",
    "Hello",
    "Mic",
    "Ops",
    "Output",
    "Ping",
    "Played",
    "Pong",
    "Release",
    "Rows",
    "Say",
    "ToPage",
    "VoiceState",
    "Welcome",
    "output_metadata",
    "pack",
    "unpack",
]

VERSION = 1
"""Of this protocol; a page with another one asks for a reload."""

VIEW_MIMETYPE = "application/vnd.backchannel.view+json"
"""What our JupyterLab extension renders: the live widget, or the text/html beside it where there is none."""

VoiceState = Literal["off", "connecting", "listening", "thinking", "speaking", "reconnecting", "paused", "error"]
STATES: tuple[VoiceState, ...] = typing.get_args(VoiceState)


@dataclass(frozen=True, slots=True)
class Hello:
    k: ClassVar[str] = "hello"
    client: str
    version: int
    lab: bool = False
    keeps: bool = False


@dataclass(frozen=True, slots=True)
class Claim:
    k: ClassVar[str] = "claim"
    client: str
    force: bool = False
    microphone: bool = True


@dataclass(frozen=True, slots=True)
class Release:
    k: ClassVar[str] = "release"
    client: str


@dataclass(frozen=True, slots=True)
class Mic:
    k: ClassVar[str] = "mic"
    client: str
    n: int
    rate: int


@dataclass(frozen=True, slots=True)
class Played:
    """``received`` and ``played`` count samples of generation ``gen``, at the rate of its Audio.

    ``played`` has left the speaker (output latency taken off). ``underruns`` counts gaps since the page started.
    """

    k: ClassVar[str] = "played"
    client: str
    gen: int
    received: int
    played: int
    underruns: int = 0


@dataclass(frozen=True, slots=True)
class Say:
    k: ClassVar[str] = "say"
    client: str
    text: str


@dataclass(frozen=True, slots=True)
class Cancel:
    k: ClassVar[str] = "cancel"
    client: str
    task: str


@dataclass(frozen=True, slots=True)
class Again:
    k: ClassVar[str] = "again"
    client: str
    task: str


@dataclass(frozen=True, slots=True)
class Answer:
    k: ClassVar[str] = "answer"
    client: str
    question: str
    approved: bool


@dataclass(frozen=True, slots=True)
class Ack:
    k: ClassVar[str] = "ack"
    client: str
    seq: int
    version: int = 0


@dataclass(frozen=True, slots=True)
class Ping:
    k: ClassVar[str] = "ping"
    client: str
    t: float


@dataclass(frozen=True, slots=True)
class Welcome:
    k: ClassVar[str] = "welcome"
    to: str
    seq: int
    version: int
    snapshot: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Ops:
    """``ops[0]`` has number ``seq``, the next ``seq + 1`` ... Each is an object with ``op``:

    {"op": "flush", "gen": int}                          drop audio of older generations
    {"op": "state", "state": VoiceState, "detail": str}  ``detail`` is a sentence, or ""
    {"op": "caption", "id": str, "role": "user"|"assistant"|"note", "text": str, "final": bool, "heard": bool}
    {"op": "owner", "client": str}                       who hears and speaks; "" for nobody
    {"op": "info", ...}                                  some fields of the snapshot's ``info``
    {"op": "notices", "notices": [str]}                  what is off, in sentences; replaces the list
    {"op": "question", "id": str, "text": str, "tool": str, "arguments": [[str, str]], "whole": bool}
                                                         a call waits for a yes or no; answered by Answer. The arguments
                                                         are names and values; ``whole`` if the text shows all of them
    {"op": "answered", "id": str}                        it waits no longer
    """

    k: ClassVar[str] = "ops"
    to: str
    seq: int
    ops: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Audio:
    k: ClassVar[str] = "audio"
    to: str
    gen: int
    start: int
    rate: int


@dataclass(frozen=True, slots=True)
class Heard:
    k: ClassVar[str] = "heard"
    to: str
    n: int


@dataclass(frozen=True, slots=True)
class Rows:
    """``rows`` are whole rows (see `backchannel.notebook.reruns.Reruns.row`), new ones first seen in this order.

    ``moves`` are rows of which only the progress moved:
    [id, done, total, fraction, eta_s, elapsed_s, message], the numbers None where unknown.
    """

    k: ClassVar[str] = "rows"
    to: str
    version: int
    rows: list[dict[str, Any]]
    moves: list[list[Any]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Output:
    """``id`` is the display id of the output, by which `output_metadata` marks it in the notebook.

    Where no output has that mark, one is added to the cell that holds the output ``beside``; "" adds none.
    """

    k: ClassVar[str] = "output"
    to: str
    id: str
    data: dict[str, Any]
    metadata: dict[str, Any] = field(default_factory=dict)
    beside: str = ""


@dataclass(frozen=True, slots=True)
class Pong:
    k: ClassVar[str] = "pong"
    to: str
    t: float


FromPage: TypeAlias = Hello | Claim | Release | Mic | Played | Say | Cancel | Again | Answer | Ack | Ping
ToPage: TypeAlias = Welcome | Ops | Audio | Heard | Rows | Output | Pong

_FROM_PAGE: dict[str, type[FromPage]] = {kind.k: kind for kind in typing.get_args(FromPage)}
_HINTS = {kind: typing.get_type_hints(kind) for kind in _FROM_PAGE.values()}


def output_metadata(display_id: str, metadata: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return an output's metadata with the mark by which a page finds the output, also after a reload."""
    return {**(metadata or {}), "backchannel": {"output": display_id}}


def pack(message: ToPage | FromPage) -> dict[str, Any]:
    """Return the JSON object of a message."""
    fields = {item.name: getattr(message, item.name) for item in dataclasses.fields(message)}
    return {"k": message.k, **fields}


def unpack(content: object) -> FromPage:
    """Return the message that a page sent.

    Raises:
        InvalidInputError: If it is not a message of this protocol; says which field is wrong.
    """
    if not isinstance(content, Mapping):
        raise InvalidInputError(f"widget message: not an object but {type(content).__name__}")
    kind = _FROM_PAGE.get(content["k"]) if isinstance(content.get("k"), str) else None
    if kind is None:
        raise InvalidInputError(f"widget message: unknown kind {content.get('k')!r}")
    values: dict[str, Any] = {}
    for item in dataclasses.fields(kind):
        if item.name not in content:
            if item.default is dataclasses.MISSING:
                raise InvalidInputError(f"widget message {kind.k!r}: {item.name!r} is missing")
            continue
        value, wanted = content[item.name], _HINTS[kind][item.name]
        if wanted is float and isinstance(value, int) and not isinstance(value, bool):
            value = float(value)
        if not _fits(value, wanted):
            raise InvalidInputError(
                f"widget message {kind.k!r}: {item.name!r} must be {wanted.__name__}, not {value!r:.80}"
            )
        values[item.name] = value
    return kind(**values)


def _fits(value: object, wanted: type | types.GenericAlias) -> bool:
    if wanted is int:
        return isinstance(value, int) and not isinstance(value, bool) and value >= 0
    return isinstance(value, typing.cast(type, wanted))
