"""What all events have in common: a dict with attributes, and audio that is decoded once."""

from __future__ import annotations

import base64
import binascii
from typing import Any, Literal

from ..errors import InvalidInputError

__all__ = ["AudioEvent", "AudioFormat", "Channels", "SampleRate", "TypedEvent"]

AudioFormat = Literal["pcm", "wav", "opus", "mp3"]
SampleRate = int
Channels = Literal[1, 2]


class TypedEvent(dict[str, Any]):
    """A dict whose keys can also be read as attributes."""

    __slots__ = ()

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"{type(self).__name__} has no field {name!r}") from None


class AudioEvent(TypedEvent):
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
