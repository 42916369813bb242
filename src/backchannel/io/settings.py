"""The audio that an agent's model hears and speaks, and the conversion of other audio to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

import numpy as np

from ..audio.pcm import from_bytes
from ..audio.resample import Resampler
from ..errors import AudioFormatError, InvalidInputError
from ..events import BidiAudioStreamEvent

__all__ = ["AudioSettings", "Converter", "pcm_of"]

DEFAULT_RATE = 16000


@dataclass(frozen=True, slots=True)
class AudioSettings:
    """What the model hears and speaks: rates in Hz, and channels (1 or 2)."""

    input_rate: int = DEFAULT_RATE
    output_rate: int = DEFAULT_RATE
    channels: Literal[1, 2] = 1

    @classmethod
    def of(cls, agent: Any) -> AudioSettings:
        """Read them from the agent's model: its ``config["audio"]``, else its profile.

        Raises:
            InvalidInputError: If a rate or the channels there cannot be used, or the format is not PCM.
        """
        config = getattr(getattr(agent, "model", None), "config", None)
        audio = config.get("audio") if isinstance(config, Mapping) else None
        audio = audio if isinstance(audio, Mapping) else {}
        profile = getattr(agent, "profile", None)
        rates = []
        for name in ("input_rate", "output_rate"):
            rate = audio.get(name, getattr(profile, name, DEFAULT_RATE))
            if isinstance(rate, bool) or not isinstance(rate, int) or rate <= 0:
                raise InvalidInputError(f'the model\'s config["audio"]["{name}"] is {rate!r}; it must be Hz, above 0')
            rates.append(rate)
        channels = audio.get("channels", 1)
        if isinstance(channels, bool) or channels not in (1, 2):
            raise InvalidInputError(f'the model\'s config["audio"]["channels"] is {channels!r}; it must be 1 or 2')
        if audio.get("format", "pcm") != "pcm":
            raise InvalidInputError(
                f'the model\'s config["audio"]["format"] is {audio["format"]!r}; only \'pcm\' can be used here'
            )
        return cls(rates[0], rates[1], cast("Literal[1, 2]", channels))


def pcm_of(event: BidiAudioStreamEvent) -> bytes:
    """Return the samples of a chunk of the model's voice.

    Raises:
        AudioFormatError: If it is not PCM.
    """
    if event["format"] != "pcm":
        raise AudioFormatError(
            f"the model sends its voice as {event['format']}, but only pcm can be played here; "
            'set the model\'s config["audio"]["format"] to "pcm"'
        )
    return event.data


class Converter:
    """Converts a stream of signed 16 bit little-endian samples to another rate and number of channels.

    Args:
        rate, channels: Of the source; Hz.
        to_rate, to_channels: Of the target; Hz. More than two channels carry what they can: all get the same.
    """

    def __init__(self, rate: int, channels: int, to_rate: int, to_channels: int) -> None:
        self.source = (rate, channels)
        self._channels, self._to_channels = channels, to_channels
        self._plain = rate == to_rate and channels == to_channels
        self._resampler = Resampler(rate, to_rate)
        self._step = 2 * channels * rate

    def feed(self, data: bytes) -> bytes:
        """Take whole samples; return what can be made of them so far.

        Raises:
            AudioFormatError: If the data ends within a sample.
        """
        if self._plain and len(data) % (2 * self._channels) == 0:
            return data
        # A second at a time: the resampler needs memory for every sample times the length of its filter.
        pieces = (data[start : start + self._step] for start in range(0, len(data), self._step))
        return b"".join(self._spread(self._resampler.feed(from_bytes(piece, self._channels))) for piece in pieces)

    def finish(self) -> bytes:
        """Return the rest, and start afresh."""
        return b"" if self._plain else self._spread(self._resampler.finish())

    def _spread(self, samples: Any) -> bytes:
        if self._to_channels > 1:
            samples = np.repeat(samples, self._to_channels)
        return bytes(samples.astype("<i2", copy=False).tobytes())
