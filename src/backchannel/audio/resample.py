"""A resampler: from one sample rate to another by windowed-sinc interpolation, whole or in a stream. Pure."""

from __future__ import annotations

from functools import lru_cache
from math import gcd

import numpy as np
from numpy.typing import NDArray

from ..errors import AudioFormatError
from .pcm import Samples, to_int16

__all__ = ["Resampler", "resample"]

_HALF_WIDTH = 16
_MOST_PHASES = 4096
_MOST_RATE = 768_000
_BLOCK = 1 << 16


@lru_cache(maxsize=16)
def _filters(up: int, down: int) -> NDArray[np.float64]:
    """Return one filter a phase (phases, taps): sinc under a Kaiser window, cut off below the lower Nyquist rate."""
    cutoff = min(1.0, up / down) * 0.94
    half = int(np.ceil(_HALF_WIDTH / min(1.0, up / down)))
    offsets = np.arange(-half + 1, half + 1)[None, :] - np.arange(up)[:, None] / up
    window = np.i0(8.0 * np.sqrt(np.clip(1 - (offsets / half) ** 2, 0, None))) / np.i0(8.0)
    taps = cutoff * np.sinc(cutoff * offsets) * window
    return np.asarray(taps / taps.sum(axis=1, keepdims=True))


class Resampler:
    """Converts a stream; chunks of any size give the same samples as the whole at once.

    Args:
        source, target: Rates in Hz.
    """

    def __init__(self, source: int, target: int) -> None:
        if source <= 0 or target <= 0:
            raise AudioFormatError(f"cannot convert {source} Hz to {target} Hz: rates are positive")
        if max(source, target) > _MOST_RATE:
            raise AudioFormatError(f"cannot convert {source} Hz to {target} Hz: {_MOST_RATE} Hz is the most")
        common = gcd(source, target)
        self._up, self._down = target // common, source // common
        if self._up > _MOST_PHASES:
            raise AudioFormatError(f"cannot convert {source} Hz to {target} Hz: the rates have no useful ratio")
        self._filters = _filters(self._up, self._down) if source != target else None
        self._half = self._filters.shape[1] // 2 if self._filters is not None else 0
        self._kept: NDArray[np.float64] = np.zeros(max(self._half - 1, 0))
        self._first = -len(self._kept)  # the input index of the oldest sample that is kept
        self._taken = 0  # input samples seen
        self._made = 0  # output samples made

    def feed(self, samples: Samples) -> Samples:
        """Take a chunk; return what can be made of it so far."""
        if self._filters is None:
            return samples
        self._kept = np.concatenate((self._kept, samples.astype(np.float64)))
        self._taken += len(samples)
        return self._make((self._taken - self._half) * self._up // self._down)

    def finish(self) -> Samples:
        """Return the rest, as if silence followed; start afresh after it."""
        if self._filters is None:
            return np.zeros(0, dtype=np.int16)
        wanted = -(-self._taken * self._up // self._down)
        self._kept = np.concatenate((self._kept, np.zeros(2 * self._half)))
        rest = self._make(wanted)
        self._kept = np.zeros(self._half - 1)
        self._first, self._taken, self._made = 1 - self._half, 0, 0
        return rest

    def _make(self, until: int) -> Samples:
        """Make the output samples up to the index ``until`` (exclusive)."""
        assert self._filters is not None
        count = until - self._made
        if count <= 0:
            return np.zeros(0, dtype=np.int16)
        positions = (np.arange(self._made, until, dtype=np.int64)) * self._down
        centres, phases = positions // self._up, positions % self._up
        windows = np.lib.stride_tricks.sliding_window_view(self._kept, 2 * self._half)
        starts = centres - self._half + 1 - self._first
        made = np.einsum("ij,ij->i", windows[starts], self._filters[phases])
        self._made = until
        oldest = until * self._down // self._up - self._half + 1
        drop = min(max(0, oldest - self._first), len(self._kept))
        self._kept, self._first = self._kept[drop:], self._first + drop
        return to_int16(made)


def resample(samples: Samples, source: int, target: int) -> Samples:
    """Convert a whole recording; rates in Hz."""
    converter = Resampler(source, target)
    parts = [converter.feed(samples[start : start + _BLOCK]) for start in range(0, len(samples), _BLOCK)]
    return np.concatenate((*parts, converter.finish()))
