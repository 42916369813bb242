"""MicQueue: microphone on its way to the model, at most a second of it. Pure."""

from __future__ import annotations

from collections import deque

from ..errors import InvalidInputError
from ..events import BidiAudioInputEvent

__all__ = ["MicQueue"]


class MicQueue:
    """The oldest chunk goes when a new one finds no place.

    Attributes:
        arrived: Number of the newest chunk; -1 for none.
        dropped: How many chunks were dropped.
    """

    MAX_S = 1.0

    def __init__(self) -> None:
        self.arrived = -1
        self.dropped = 0
        self._chunks: deque[BidiAudioInputEvent] = deque()
        self._seconds = 0.0

    def __len__(self) -> int:
        return len(self._chunks)

    def put(self, n: int, rate: int, buffers: list[bytes]) -> None:
        """Add chunk ``n``: one buffer of signed 16 bit mono samples at ``rate`` Hz.

        Raises:
            InvalidInputError: If it is something else; then it is not added.
        """
        if len(buffers) != 1:
            raise InvalidInputError(f"microphone: {len(buffers)} buffers instead of one")
        chunk = BidiAudioInputEvent.from_data(buffers[0], rate)
        length = _seconds(chunk)
        if length > self.MAX_S:
            raise InvalidInputError(f"microphone: {length:.1f} s in one chunk")
        self.arrived = max(self.arrived, n)
        self._chunks.append(chunk)
        self._seconds += length
        while self._seconds > self.MAX_S + 1e-6:
            self._seconds -= _seconds(self._chunks.popleft())
            self.dropped += 1

    def take(self) -> BidiAudioInputEvent:
        """Remove and return the oldest chunk."""
        chunk = self._chunks.popleft()
        self._seconds = self._seconds - _seconds(chunk) if self._chunks else 0.0
        return chunk

    def restart(self) -> None:
        """Another page speaks from now on, and counts from 0."""
        self._chunks.clear()
        self._seconds = 0.0
        self.arrived = -1


def _seconds(chunk: BidiAudioInputEvent) -> float:
    return len(chunk.data) / (2 * int(chunk["sample_rate"]))
