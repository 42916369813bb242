"""Pacing: how much voice may be ahead of what is heard, and which response the heard samples belong to. Pure."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from ..errors import AudioFormatError
from ..events import Heard

__all__ = ["KEEP_S", "Chunk", "Pacer", "Unheard"]

KEEP_S = 300.0
"""How much voice is kept that was not heard yet, seconds; of more the oldest responses are dropped."""
_MOST_RESPONSES = 1000
_BYTES = 2


@dataclass(frozen=True, slots=True)
class Chunk:
    """Voice to send now: signed 16 bit mono; ``start`` counts samples over the whole generation."""

    generation: int
    start: int
    response_id: str
    data: bytes

    @property
    def samples(self) -> int:
        return len(self.data) // _BYTES


@dataclass(frozen=True, slots=True)
class Unheard:
    """What was discarded of a response, in samples; 0 where all of it was heard."""

    response_id: str
    samples: int


@dataclass(slots=True)
class _Response:
    """A response that is not played to its end. Positions count samples of the response."""

    id: str
    data: bytearray = field(default_factory=bytearray)
    first: int = 0  # position of data[0]
    begins: int = 0  # generation position at which sample `base` stands
    base: int = 0  # position with which this generation began it
    sent: int = 0
    heard: int = 0
    told: int = -1
    complete: bool = False

    @property
    def pushed(self) -> int:
        return self.first + len(self.data) // _BYTES

    @property
    def finished(self) -> bool:
        return self.complete and self.heard == self.pushed


class Pacer:
    """Gives voice away by credit: at most ``lead_ms`` beyond what the player says it has played.

    Args:
        rate: Samples per second, Hz.
        lead_ms: How far what is sent may be ahead, milliseconds.
        chunk_ms: The longest chunk, milliseconds.
        keep_s: How much unheard voice is kept, seconds.
    """

    def __init__(self, rate: int, lead_ms: int = 350, chunk_ms: int = 40, keep_s: float = KEEP_S) -> None:
        self.generation = 0
        self._lead = max(1, rate * lead_ms // 1000)
        self._chunk = max(1, rate * chunk_ms // 1000)
        self._responses: deque[_Response] = deque()
        self._sent = 0
        self._played = 0
        self._keep = max(1, int(rate * keep_s)) * _BYTES
        self._ended: list[Heard] = []
        self._dropped: list[Unheard] = []

    @property
    def playing(self) -> bool:
        """Whether there is voice that was not heard yet."""
        return any(response.heard < response.pushed for response in self._responses)

    @property
    def ahead(self) -> int:
        """How many samples were sent and not heard."""
        return self._sent - self._played

    def push(self, response_id: str, data: bytes) -> list[Chunk]:
        """Take voice of a response; return what may be sent.

        Raises:
            AudioFormatError: If ``data`` ends within a sample.
        """
        if len(data) % _BYTES:
            raise AudioFormatError(f"response {response_id}: {len(data)} bytes are not whole 16 bit samples")
        if data:
            self._response(response_id).data += data
            self._shed()
        return self.take()

    def complete(self, response_id: str) -> None:
        """Say that the model has sent all of a response."""
        self._response(response_id).complete = True
        self._retire()

    def on_played(self, generation: int, received: int, played: int) -> list[Chunk]:
        """Take a player's report, in samples of a generation; return what may be sent. Older generations are ignored.

        A player that claims more than it was sent is believed up to that.
        """
        if generation == self.generation:
            self._played = max(self._played, min(played, received, self._sent))
            for response in self._responses:
                if response.sent > response.base:
                    heard = response.base + self._played - response.begins
                    response.heard = max(response.heard, min(response.sent, heard))
            self._retire()
        return self.take()

    def take(self) -> list[Chunk]:
        """Return what may be sent, and count it as sent."""
        chunks = []
        for response in self._responses:
            while response.sent < response.pushed and self.ahead < self._lead:
                if response.sent == response.base:
                    response.begins = self._sent
                size = min(self._chunk, self._lead - self.ahead, response.pushed - response.sent)
                at = (response.sent - response.first) * _BYTES
                data = bytes(response.data[at : at + size * _BYTES])
                chunks.append(Chunk(self.generation, self._sent, response.id, data))
                response.sent += size
                self._sent += size
            if response.sent < response.pushed:
                break
        return chunks

    def heard(self) -> list[Heard]:
        """Return what is newly heard since the last call, one fact a response."""
        news, self._ended = self._ended, []
        for response in self._responses:
            if response.heard > max(response.told, 0):
                response.told = response.heard
                news.append(Heard(response.id, response.heard, False))
        return news

    def dropped(self) -> list[Unheard]:
        """Return what was dropped since the last call, because more voice came than is kept."""
        dropped, self._dropped = self._dropped, []
        return dropped

    def flush(self) -> list[Unheard]:
        """Drop everything that was not heard and begin a new generation; say exactly what was dropped."""
        dropped = [Unheard(response.id, response.pushed - response.heard) for response in self._responses]
        self._ended += [Heard(response.id, response.heard, True) for response in self._responses]
        self._responses.clear()
        self._begin()
        return dropped

    def rewind(self) -> list[Chunk]:
        """Begin a new generation with what was not heard: for a player that takes over."""
        for response in self._responses:
            response.sent = response.base = response.heard
            response.begins = 0
        self._begin()
        return self.take()

    def _begin(self) -> None:
        self.generation += 1
        self._sent = self._played = 0

    def _response(self, response_id: str) -> _Response:
        for response in self._responses:
            if response.id == response_id:
                return response
        self._responses.append(_Response(response_id))
        return self._responses[-1]

    def _shed(self) -> None:
        """Keep no more than may be: whole responses go, the oldest first, and of the last one what is too much."""
        held = sum(len(response.data) for response in self._responses)
        while len(self._responses) > 1 and (held > self._keep or len(self._responses) > _MOST_RESPONSES):
            response = self._responses.popleft()
            held -= len(response.data)
            self._dropped.append(Unheard(response.id, response.pushed - response.heard))
            self._ended.append(Heard(response.id, response.heard, True))
        if held > self._keep:
            last = self._responses[-1]
            del last.data[self._keep - held :]
            self._dropped.append(Unheard(last.id, (held - self._keep) // _BYTES))

    def _retire(self) -> None:
        """Forget what was heard."""
        for response in self._responses:
            gone = response.heard - response.first
            if gone > 0:
                del response.data[: gone * _BYTES]
                response.first = response.heard
        while self._responses and self._responses[0].finished:
            response = self._responses.popleft()
            self._ended.append(Heard(response.id, response.heard, True))
