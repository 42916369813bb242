"""What a recording has in it. Pure."""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

from backchannel.audio.resample import resample
from tests.support.chrome import RATE

__all__ = ["NOT_THERE", "THERE", "first_heard", "likeness", "sentences"]

Samples = NDArray[np.int16]
Floats = NDArray[np.float64]
WINDOW = RATE // 2
# Likeness of what was said and heard is near 1; of other words in the same voice, near 0.55.
THERE, NOT_THERE = 0.85, 0.7


def likeness(recording: Samples, rate: int, said: bytes) -> float:
    """How much of ``said`` (16 kHz) is in a recording: the median over its windows of how like each is, 0 to 1.

    A gap that a busy machine makes in the playback spoils one window and not all.
    """
    heard = _at_rate(recording, rate)
    return float(np.median([_match(heard, window)[0] for window in _windows(said)]))


def first_heard(recording: Samples, rate: int, said: bytes) -> float:
    """Where in a recording the beginning of ``said`` is; seconds."""
    return _match(_at_rate(recording, rate), _windows(said)[0])[1] / RATE


def sentences(text: str) -> list[str]:
    """The sentences of a text."""
    return [part for part in re.split(r"(?<=[.!?])\s+", text.strip()) if part]


def _at_rate(recording: Samples, rate: int) -> Floats:
    return resample(recording, rate, RATE).astype(np.float64) if len(recording) else np.zeros(0)


def _windows(said: bytes) -> list[Floats]:
    """Pieces of ``said`` that are not silent."""
    samples = np.frombuffer(said, dtype="<i2").astype(np.float64)
    pieces = [samples[at : at + WINDOW] for at in range(0, max(1, len(samples) - WINDOW + 1), WINDOW)]
    loudest = max(float(np.mean(piece**2)) for piece in pieces)
    return [piece for piece in pieces if np.mean(piece**2) > 0.05 * loudest]


def _match(heard: Floats, pattern: Floats) -> tuple[float, int]:
    """The greatest normalised cross-correlation, and where it is."""
    if len(heard) < len(pattern):
        return 0.0, 0
    size = 1 << int(np.ceil(np.log2(len(heard) + len(pattern))))
    products = np.fft.irfft(np.fft.rfft(heard, size) * np.conj(np.fft.rfft(pattern, size)), size)
    products = products[: len(heard) - len(pattern) + 1]
    energy = np.concatenate(([0.0], np.cumsum(heard**2)))
    local = energy[len(pattern) :] - energy[: -len(pattern)]
    # A stretch far quieter than the pattern is silence, whatever its shape.
    floor = 1e-3 * float(np.sum(pattern**2))
    scores = products / np.sqrt(np.maximum(local, floor) * np.sum(pattern**2))
    at = int(np.argmax(scores))
    return float(scores[at]), at
