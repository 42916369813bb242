r"""The lines of a journal: ``{"sum":"<CRC-32 of the rest>","seq":<number>,"entry":{"kind":...}}\n``. Pure.

What JSON lacks is written as an object with one key: ``{"$bytes": <base64>}``, ``{"$float": "nan"}``, and, for an
object that looks like one of these, ``{"$dict": ...}``.
"""

from __future__ import annotations

import base64
import json
import math
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import InvalidInputError, SessionDamagedError

__all__ = ["Entry", "Line", "Scan", "decode_line", "encode_line", "from_plain", "scan", "to_plain"]

Entry = dict[str, Any]

_START = b'{"sum":"'
_REST = len(_START) + 8 + len(b'",')
_MARKS = ("$bytes", "$float", "$dict")
_DEPTH = 200
_LARGEST_BITS = 8192  # Python reads no longer ones back.


@dataclass(frozen=True, slots=True)
class Line:
    """One line: its number in the journal, its entry, and where it stands, in words."""

    seq: int
    entry: Entry
    place: str


@dataclass(frozen=True, slots=True)
class Scan:
    """What a stretch of bytes holds.

    ``length`` is how many bytes of it are whole lines. ``unended`` says that the last line lacks its line break only.
    """

    lines: list[Line]
    length: int
    unended: bool = False


def to_plain(value: Any, foreign: Callable[[Any], Any] | None = None, depth: int = 0) -> Any:
    """Return a value as JSON knows it, so that `from_plain` gives it back; tuples come back as lists.

    Args:
        value: What to write.
        foreign: Gives something to write in place of an object that JSON cannot hold.
        depth: How deep in the entry the value stands.

    Raises:
        InvalidInputError: If it holds an object that JSON cannot hold, or is nested deeper than 200 levels.
    """
    if value is None or isinstance(value, str | bool):
        return value
    if isinstance(value, int):
        if value.bit_length() > _LARGEST_BITS:
            raise InvalidInputError(f"a number of {value.bit_length()} bits cannot be stored as JSON; store its text")
        return int(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else {"$float": str(float(value))}
    if depth > _DEPTH:
        raise InvalidInputError(f"a value nested deeper than {_DEPTH} levels cannot be stored; store less of it")
    if isinstance(value, bytes | bytearray | memoryview):
        return {"$bytes": base64.b64encode(value).decode()}
    if isinstance(value, Mapping):
        plain = {_key(key): to_plain(item, foreign, depth + 1) for key, item in value.items()}
        return {"$dict": plain} if len(plain) == 1 and next(iter(plain)) in _MARKS else plain
    if isinstance(value, list | tuple):
        return [to_plain(item, foreign, depth + 1) for item in value]
    if foreign is None:
        raise InvalidInputError(f"a {type(value).__name__} cannot be stored as JSON; store its parts or its text")
    return to_plain(foreign(value), None, depth + 1)


def from_plain(value: Any) -> Any:
    """Return what `to_plain` was given.

    Raises:
        ValueError: If it was not made by `to_plain`.
    """
    if isinstance(value, list):
        return [from_plain(item) for item in value]
    if not isinstance(value, dict):
        return value
    if len(value) == 1:
        ((mark, content),) = value.items()
        if mark == "$bytes":
            return base64.b64decode(content, validate=True)
        if mark == "$float":
            return float(content)
        if mark == "$dict":
            return {key: from_plain(item) for key, item in content.items()}
    return {key: from_plain(item) for key, item in value.items()}


def encode_line(seq: int, entry: Mapping[str, Any]) -> bytes:
    """Return an entry as a line.

    Raises:
        InvalidInputError: If the entry has no kind, or cannot be JSON.
    """
    kind = entry.get("kind")
    if not isinstance(kind, str) or not kind:
        raise InvalidInputError(f"an entry needs a kind, a str that is not empty, not {kind!r}")
    plain = {_key(key): to_plain(value) for key, value in entry.items()}
    try:
        rest = json.dumps({"seq": seq, "entry": plain}, separators=(",", ":"), allow_nan=False)[1:].encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidInputError(f"the {kind} entry cannot be JSON: {error}") from None
    return b'%s%08x",%s\n' % (_START, zlib.crc32(rest), rest)


def decode_line(data: bytes, place: str) -> Line | None:
    """Return what a line without its line break says; None if it was not written so."""
    rest = data[_REST:]
    if data[:_REST] != b'%s%08x",' % (_START, zlib.crc32(rest)):
        return None
    try:
        content = json.loads(b"{" + rest)
        seq, entry = content["seq"], content["entry"]
        if isinstance(seq, int) and isinstance(entry, dict) and isinstance(entry.get("kind"), str):
            return Line(seq, {key: from_plain(item) for key, item in entry.items()}, place)
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError):
        pass
    return None


def scan(data: bytes, where: str, *, torn: bool) -> Scan:
    """Read the lines of a journal, or of a part of it.

    Args:
        data: The bytes.
        where: What they are of, for errors.
        torn: Whether the last line may be incomplete, because a process or the power ended while it was written.

    Raises:
        SessionDamagedError: If there is anything but lines, and at most one torn line at the end.
    """
    written = data.rstrip(b"\0") if torn else data  # A file that grew before its bytes arrived ends in zeros.
    lines: list[Line] = []
    position, unended = 0, False
    while position < len(written):
        end = written.find(b"\n", position)
        piece = written[position:] if end < 0 else written[position:end]
        line = decode_line(piece, f"line {len(lines) + 1} of {where}")
        if line is None:
            if end < 0 and torn and _could_be_torn(piece):
                break
            raise _damaged(where, len(lines))
        lines.append(line)
        unended = end < 0
        if unended and not torn:
            raise _damaged(where, len(lines))
        position = len(written) if unended else end + 1
    return Scan(lines, position, unended)


def _could_be_torn(piece: bytes) -> bool:
    """Whether these bytes begin a line: what is whole already is right, so the break at its end was not changed."""
    return piece.startswith(_START[: len(piece)]) and decode_line(piece[:-1], "") is None


def _damaged(where: str, whole: int) -> SessionDamagedError:
    return SessionDamagedError(
        f"line {whole + 1} of {where} is damaged: its checksum does not fit. Nothing was changed. Restore it from a "
        f"copy, or, to go on with what stands before the damage, keep its first {whole} line(s) and move the rest away"
    )


def _key(key: Any) -> str:
    if isinstance(key, str):
        return key
    if key is None or isinstance(key, bool | int | float):
        return json.dumps(key)
    raise InvalidInputError(f"{key!r} cannot be a key of a stored object; use a str")
