"""What a recording has in it. Pure."""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

from backchannel.audio.resample import resample
from tests.support.chrome import RATE

__all__ = ["first_heard", "likeness", "sentences"]

Samples = NDArray[np.int16]


def likeness(recording: Samples, rate: int, said: bytes) -> float:
    """How like ``said`` (16 kHz) the most similar stretch of a recording is, from 0 to 1."""
    return _match(recording, rate, said)[0]


def first_heard(recording: Samples, rate: int, said: bytes) -> float:
    """Where in a recording the stretch most like ``said`` begins; seconds."""
    return _match(recording, rate, said)[1] / RATE


def sentences(text: str) -> list[str]:
    """The sentences of a text."""
    return [part for part in re.split(r"(?<=[.!?])\s+", text.strip()) if part]


def _match(recording: Samples, rate: int, said: bytes) -> tuple[float, int]:
    pattern = np.frombuffer(said, dtype="<i2").astype(np.float64)
    heard = resample(recording, rate, RATE).astype(np.float64) if len(recording) else np.zeros(0)
    if len(heard) < len(pattern) or not len(pattern):
        return 0.0, 0
    size = 1 << int(np.ceil(np.log2(len(heard) + len(pattern))))
    products = np.fft.irfft(np.fft.rfft(heard, size) * np.conj(np.fft.rfft(pattern, size)), size)
    products = products[: len(heard) - len(pattern) + 1]
    energy = np.concatenate(([0.0], np.cumsum(heard**2)))
    local = energy[len(pattern) :] - energy[: -len(pattern)]
    # A stretch far quieter than the pattern is silence, whatever its shape.
    floor = 1e-4 * float(np.sum(pattern**2))
    scores = products / np.sqrt(np.maximum(local, floor) * np.sum(pattern**2))
    at = int(np.argmax(scores))
    return float(scores[at]), at
