"""What all events have in common: a dict with attributes, and audio that is decoded once."""

from __future__ import annotations

from typing import Any

from .values import check_audio, check_whole_samples, decoded

__all__ = ["AudioEvent", "TypedEvent"]


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

    __slots__ = ("_data", "_decoded")
    _data: bytes | None
    _decoded: str | None

    def __init__(self, type: str, audio: object, format: object, sample_rate: object, channels: object) -> None:
        check_audio(type, audio, format, sample_rate, channels)
        super().__init__(type=type, audio=audio, format=format, sample_rate=sample_rate, channels=channels)
        self._data = self._decoded = None

    @property
    def data(self) -> bytes:
        """The audio as bytes; for format ``pcm`` signed 16 bit little-endian samples, channels interleaved.

        Raises:
            InvalidInputError: If ``audio`` is not base64, or holds half a sample.
        """
        audio = self["audio"]
        if self._data is None or self._decoded is not audio:
            self._data = decoded(self["type"], "audio", audio)
            self._decoded = audio
        if self["format"] == "pcm":
            check_whole_samples(self["type"], len(self._data), self["channels"])
        return self._data

    def _keep(self, data: bytes) -> None:
        self._data, self._decoded = data, self["audio"]
