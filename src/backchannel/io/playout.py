"""What is still to be played, and how far each response has come. Pure, and safe to use from two threads."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from threading import Lock

from ..events import BidiAudioStreamEvent
from .settings import Converter, pcm_of

__all__ = ["Mark", "Playout"]

_REMEMBERED = 64
"""How many responses' positions are kept."""


@dataclass(frozen=True, slots=True)
class Mark:
    """So much of a response was taken: ``samples`` in all, as its events count them; ``finished`` if that is all."""

    response_id: str
    samples: int
    finished: bool = False


@dataclass(slots=True)
class _Piece:
    response_id: str
    data: bytes
    first: int
    last: int
    final: bool = False
    taken: int = 0


@dataclass(slots=True)
class _Progress:
    """Of one response, in samples as its events count them: what came, what was put in line, what was taken."""

    given: int = 0
    placed: int = 0
    taken: int = 0


class Playout:
    """The model's voice in a player's own format, in order. The event loop adds, the player's thread takes.

    Args:
        rate: Of the player, Hz.
        channels: Of the player.
        most_s: How much it holds, seconds; beyond that the oldest is dropped.

    Attributes:
        dropped: Samples (per channel, at the player's rate) that were dropped because it was full.
    """

    def __init__(self, rate: int, channels: int = 1, most_s: float = 300.0) -> None:
        self.rate, self.channels = rate, channels
        self.dropped = 0
        self._frame = 2 * channels
        self._most = max(1, int(most_s * rate)) * self._frame
        self._lock = Lock()
        self._pieces: deque[_Piece] = deque()
        self._size = 0
        self._lost: list[Mark] = []
        self._progress: dict[str, _Progress] = {}
        self._converter: Converter | None = None
        self._current = ""

    @property
    def empty(self) -> bool:
        """Whether nothing is left to play."""
        return not self._pieces

    def add(self, event: BidiAudioStreamEvent) -> None:
        """Put a chunk behind what is there.

        Raises:
            AudioFormatError: If it is not PCM.
            InvalidInputError: If it is not what it says.
        """
        data, response_id = pcm_of(event), event.response_id or ""
        if self._converter is None or response_id != self._current or self._converter.source != _source(event):
            self._flush()
            self._converter = Converter(*_source(event), self.rate, self.channels)
            self._current = response_id
        self._of(response_id).given += len(data) // (2 * event["channels"])
        self._place(response_id, self._converter.feed(data))

    def complete(self, response_id: str) -> Mark | None:
        """Nothing more comes of a response. Return its last mark if all of it was taken already."""
        if response_id == self._current:
            self._flush()
        with self._lock:
            for piece in reversed(self._pieces):
                if piece.response_id == response_id:
                    piece.final = True
                    return None
        return Mark(response_id, self._of(response_id).taken, finished=True)

    def clear(self) -> None:
        """Drop all that is left."""
        self._converter, self._current = None, ""
        with self._lock:
            self._pieces.clear()
            self._size = 0
            self._lost.clear()

    def take(self, frames: int) -> tuple[bytes, list[Mark]]:
        """Return up to ``frames`` samples per channel, and what that means for each response."""
        wanted = frames * self._frame
        parts: list[bytes] = []
        with self._lock:
            marks, self._lost = self._lost, []
            while wanted and self._pieces:
                piece = self._pieces[0]
                part = piece.data[piece.taken : piece.taken + wanted]
                parts.append(part)
                piece.taken += len(part)
                wanted -= len(part)
                self._size -= len(part)
                done = piece.taken == len(piece.data)
                if done:
                    self._pieces.popleft()
                at = piece.first + (piece.last - piece.first) * piece.taken // len(piece.data)
                self._of(piece.response_id).taken = at
                if marks and marks[-1].response_id == piece.response_id:
                    marks.pop()
                marks.append(Mark(piece.response_id, at, finished=done and piece.final))
        return b"".join(parts), marks

    def _flush(self) -> None:
        """Place what the converter still holds of the response before."""
        if self._converter is not None:
            self._place(self._current, self._converter.finish())
            self._converter, self._current = None, ""

    def _place(self, response_id: str, data: bytes) -> None:
        if not data:
            return
        with self._lock:
            progress = self._of(response_id)
            first, last = progress.placed, progress.given
            progress.placed = last
            self._pieces.append(_Piece(response_id, data, first, last))
            self._size += len(data)
            while self._size > self._most:
                self._drop_oldest()

    def _drop_oldest(self) -> None:
        piece = self._pieces[0]
        left = len(piece.data) - piece.taken
        over = min(left, -(-(self._size - self._most) // self._frame) * self._frame)
        piece.taken += over
        self._size -= over
        self.dropped += over // self._frame
        if over == left:
            self._pieces.popleft()
            if piece.final:
                self._lost.append(Mark(piece.response_id, self._of(piece.response_id).taken, finished=True))

    def _of(self, response_id: str) -> _Progress:
        progress = self._progress.get(response_id)
        if progress is None:
            progress = self._progress[response_id] = _Progress()
            while len(self._progress) > _REMEMBERED:
                del self._progress[next(iter(self._progress))]
        return progress


def _source(event: BidiAudioStreamEvent) -> tuple[int, int]:
    return event["sample_rate"], event["channels"]
