"""Values of fields: checked, shown in errors, and made fit for JSON. Pure.

Every error names the event, the field, and the value, cut to a readable length.
"""

from __future__ import annotations

import base64
import binascii
import json
import reprlib
from collections.abc import Mapping
from typing import Any, Literal, get_args

from ..errors import InvalidInputError

__all__ = [
    "RATES",
    "AudioFormat",
    "Channels",
    "SampleRate",
    "as_json",
    "check_audio",
    "check_json",
    "check_text",
    "check_whole_samples",
    "decoded",
    "encodable",
    "one_of",
    "shown",
    "wrong_type",
]

AudioFormat = Literal["pcm", "wav", "opus", "mp3"]
SampleRate = int
Channels = Literal[1, 2]

RATES = (8000, 16000, 22050, 24000, 32000, 44100, 48000)
"""Sample rates of audio events, Hz."""

_FORMATS: tuple[str, ...] = get_args(AudioFormat)
_SHOWN = 100
_DEPTH = 40
_AT_SIGHT = 32
"""Small values, as most are, are seen to be JSON faster than they are encoded."""
_EXACT = 2**63
_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False)

_repr = reprlib.Repr()
_repr.maxstring = _repr.maxother = 60
_repr.maxlevel = 2


def shown(value: object) -> str:
    """Return a value as an error may show it: at most 100 characters; never raises."""
    try:
        text = _repr.repr(value)
    except Exception:  # noqa: BLE001 - a value's own __repr__ may raise anything
        text = f"<{type(value).__name__}>"
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def wrong_type(event: str, field: str, wanted: str, value: object) -> TypeError:
    """Return the error that says that a field has another type than it should have."""
    return TypeError(f"{event}: {field} must be {wanted}, not {type(value).__name__}: {shown(value)}")


def check_text(event: str, field: str, value: object) -> str:
    """Return a str.

    Raises:
        TypeError: If it is none.
    """
    if not isinstance(value, str):
        raise wrong_type(event, field, "a str", value)
    return value


def one_of(event: str, field: str, value: object, known: tuple[str, ...]) -> str:
    """Return a str that is one of those known.

    Raises:
        TypeError: If it is not a str.
        InvalidInputError: If it is another one.
    """
    if check_text(event, field, value) not in known:
        raise InvalidInputError(f"{event}: {field} {shown(value)} is none of {', '.join(known)}")
    return str(value)


def check_audio(event: str, audio: object, format: object, sample_rate: object, channels: object) -> None:
    """Check the fields of an audio event, not the audio itself.

    Raises:
        TypeError: If one has a wrong type.
        InvalidInputError: If one has a value that is not known.
    """
    if not isinstance(audio, str):
        hint = " (from_data makes the event from bytes)" if isinstance(audio, bytes | bytearray | memoryview) else ""
        raise wrong_type(event, "audio", f"a base64 str{hint}", audio)
    one_of(event, "format", format, _FORMATS)
    if isinstance(sample_rate, bool) or not isinstance(sample_rate, int):
        raise wrong_type(event, "sample_rate", "an int (Hz)", sample_rate)
    if sample_rate not in RATES:
        raise InvalidInputError(
            f"{event}: sample_rate {shown(sample_rate)} Hz is none of {', '.join(map(str, RATES))}; resample the audio"
        )
    if isinstance(channels, bool) or not isinstance(channels, int):
        raise wrong_type(event, "channels", "an int", channels)
    if channels not in (1, 2):
        raise InvalidInputError(f"{event}: channels must be 1 or 2, not {shown(channels)}")


def check_whole_samples(event: str, size: int, channels: int) -> None:
    """Check that bytes of format ``pcm`` end with a whole sample of every channel.

    Raises:
        InvalidInputError: If they do not.
    """
    if size % (2 * channels):
        raise InvalidInputError(f"{event}: audio of {size} bytes is not whole 16 bit samples of {channels} channel(s)")


def decoded(event: str, field: str, value: str) -> bytes:
    """Return what base64 text stands for; only the standard alphabet, padded, without line breaks.

    Raises:
        InvalidInputError: If it is not that.
    """
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError) as error:
        hint = ""
        if "-" in value or "_" in value:
            hint = "; it looks URL-safe: encode it with base64.b64encode"
        elif any(map(str.isspace, value)):
            hint = "; it has line breaks or spaces: encode it with base64.b64encode"
        raise InvalidInputError(f"{event}: {field} {shown(value)} is not base64 ({error}){hint}") from None


def encodable(text: str) -> str:
    """Return text that UTF-8 can encode: pairs of surrogates joined, single ones replaced by U+FFFD."""
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def check_json(event: str, field: str, value: object) -> None:
    """Check that a value is JSON as every reader of it understands: finite numbers, text that UTF-8 can encode.

    Raises:
        InvalidInputError: If it is not.
    """
    if (reason := _not_json(value)) is not None:
        raise InvalidInputError(f"{event}: {field} {shown(value)} cannot be JSON ({reason})")


def as_json(value: Any) -> Any:
    """Return the value itself where it is JSON, else the nearest to it that is; never raises.

    Bytes become base64 text, sets and tuples lists, numbers that are not finite null, anything else its text.
    """
    return value if _not_json(value) is None else _plain(value, 0)


def _not_json(value: object) -> str | None:
    if _surely_json(value, _AT_SIGHT) >= 0:
        return None
    try:
        _ENCODER.encode(value).encode()
    except Exception as error:  # noqa: BLE001 - also from the value's own iteration
        return f"{type(error).__name__}: {error}"[:_SHOWN]
    return None


def _surely_json(value: Any, left: int) -> int:
    """Return how many more values may be looked at; negative if the encoder must say whether it is JSON."""
    kind, left = type(value), left - 1
    if left < 0 or value is None or kind is bool:
        return left
    if kind is str:
        return left if value.isascii() else -1
    if kind is int:
        return left if -_EXACT < value < _EXACT else -1
    if kind is dict:
        for key, item in value.items():
            if type(key) is not str or not key.isascii() or (left := _surely_json(item, left)) < 0:
                return -1
        return left
    if kind is list:
        for item in value:
            if (left := _surely_json(item, left)) < 0:
                return -1
        return left
    return -1


def _plain(value: object, depth: int) -> Any:
    if _not_json(value) is None:
        return value
    try:
        if isinstance(value, str):
            return encodable(value)
        if isinstance(value, bytes | bytearray | memoryview):
            return base64.b64encode(value).decode("ascii")
        if isinstance(value, float):
            return None
        if depth < _DEPTH and isinstance(value, Mapping):
            return {encodable(str(key)): _plain(item, depth + 1) for key, item in value.items()}
        if depth < _DEPTH and isinstance(value, list | tuple | set | frozenset):
            return [_plain(item, depth + 1) for item in value]
    except Exception:  # noqa: BLE001 - also from the value's own iteration
        return shown(value)
    return encodable(shown(value))
