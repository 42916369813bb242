"""What was heard: responses, the samples that were played of them, and the text that belongs to those. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

__all__ = ["Playback", "Response", "sentences"]

_WORD = re.compile(r"\S+")
_ENDS = frozenset(".!?…。！？")
_SECONDS_PER_CHARACTER = 1 / 15
"""Of spoken English, to guess the length of audio that is still to come."""


def sentences(text: str) -> list[str]:
    """Return the sentences of a text, without the white space between them."""
    found: list[str] = []
    start: int | None = None
    for word in _WORD.finditer(text):
        said = word.group().rstrip("\"')]")
        alone = start is None and len(said) == 1
        start = word.start() if start is None else start
        if said[-1:] in _ENDS and not alone:
            found.append(text[start : word.end()])
            start = None
    return found if start is None else [*found, text[start:].rstrip()]


@dataclass(slots=True)
class Response:
    """One response of the model, as it is generated and played. Counts are samples at the output rate."""

    id: str
    marks: list[tuple[int, str]] = field(default_factory=list)
    generated: int = 0
    heard: int = 0
    complete: bool = False
    finished: bool = False
    cut: bool = False
    stalled: bool = False
    dropped: bool = False

    @property
    def playing(self) -> bool:
        return not (self.finished or self.cut)


class Playback:
    """Tracks every response from its first sample to the last one that was heard.

    Args:
        rate: Samples per second of the model's voice, Hz.
        tracked: Whether a player reports positions. If not, what is handed out counts as heard.
    """

    def __init__(self, rate: int, *, tracked: bool = False) -> None:
        self.rate = rate
        self.tracked = tracked
        self._responses: dict[str, Response] = {}
        self._playing: list[Response] = []

    def get(self, response_id: str) -> Response:
        """Return the response, known from now on."""
        response = self._responses.get(response_id)
        if response is None:
            response = self._responses[response_id] = Response(response_id)
            while len(self._responses) > 32:
                del self._responses[next(iter(self._responses))]
            self._sort_out()
        return response

    def known(self, response_id: str) -> bool:
        return response_id in self._responses

    @property
    def playing(self) -> list[Response]:
        """The responses that are still generated or played, oldest first."""
        return self._playing

    @property
    def active(self) -> list[Response]:
        """Those of them that somebody really generates or plays; the others wait for a player to come back."""
        return [response for response in self._playing if not response.stalled]

    @property
    def remaining_s(self) -> float:
        """How long what is generated but not yet heard takes to play, seconds."""
        return sum(response.generated - response.heard for response in self.active) / self.rate

    def said(self, response_id: str, text: str) -> None:
        """The model wrote ``text``, which belongs to the audio that it sends from here on."""
        response = self.get(response_id)
        response.marks.append((response.generated, text))

    def sent(self, response_id: str, samples: int) -> None:
        """The model sent audio; also after the response was taken for finished."""
        response = self.get(response_id)
        response.generated += samples
        response.stalled = False
        if response.finished:
            response.complete = response.finished = False
            self._sort_out()

    def goes_on(self, response_id: str, samples: int) -> bool:
        """The model sent more of a response that is being spoken; False if it is not, and nothing was counted."""
        response = self._responses.get(response_id)
        if response is None or response.cut or response.finished or response.stalled:
            return False
        response.generated += samples
        return True

    def heard_on(self, response_id: str, samples: int) -> bool:
        """A reader took more of a response that is being spoken; False as `goes_on`."""
        response = self._responses.get(response_id)
        if response is None or response.cut or response.finished or response.stalled or response.complete:
            return False
        if not self.tracked:
            response.heard = min(response.heard + samples, response.generated)
        return True

    def dropped(self, response_id: str, samples: int) -> Response:
        """Audio was given up on its way to the player; what is left of the response may still be heard."""
        response = self.get(response_id)
        response.dropped = True
        response.generated = max(response.heard, response.generated - samples)
        self._settle(response)
        return response

    def completed(self, response_id: str) -> None:
        """The model will send no more of a response."""
        response = self.get(response_id)
        response.complete = True
        self._settle(response)

    def handed_out(self, response_id: str, samples: int) -> bool:
        """A reader took audio; without a player this means heard. Return whether it moved what was heard."""
        if self.tracked:
            return False
        return self.played(response_id, self.get(response_id).heard + samples)

    def played(self, response_id: str, samples: int, finished: bool = False) -> bool:
        """The player reports ``samples`` heard of a response in all. Return whether that moved anything."""
        if response_id not in self._responses:
            return False
        response = self._responses[response_id]
        response.stalled = False
        before = (response.heard, response.finished)
        response.heard = max(response.heard, min(samples, response.generated))
        if finished and response.complete:
            response.finished = True
            self._sort_out()
        self._settle(response)
        return (response.heard, response.finished) != before

    def abandon(self) -> None:
        """Nobody generates or plays any more; what was not heard waits for a player to come back."""
        for response in self.active:
            response.complete = True
            response.stalled = response.heard < response.generated
            response.finished = not response.stalled
        self._sort_out()

    def cut(self, response_id: str) -> Response:
        """The response was interrupted; nothing more of it is heard."""
        response = self.get(response_id)
        response.cut = True
        self._sort_out()
        return response

    def heard_to_end(self, response_id: str, less_s: float) -> bool:
        """Whether all of a response was heard but for its last ``less_s`` seconds, or all that was written of it."""
        response = self._responses.get(response_id)
        if response is None or not response.complete or response.dropped:
            return False
        said = response.generated > 0 or bool(response.marks)
        return said and response.heard + less_s * self.rate >= response.generated

    def heard_sentences(self, response_id: str) -> list[str]:
        """Return the sentences of a response up to the boundary nearest to what was heard."""
        response = self.get(response_id)
        if response.heard <= 0:
            return []
        spoken: list[str] = []
        ends: list[float] = []
        for start, end, text in self._spans(response):
            parts = sentences(text)
            total = sum(map(len, parts)) or 1
            position = float(start)
            for part in parts:
                position += (end - start) * len(part) / total
                spoken.append(part)
                ends.append(position)
        boundaries = [0.0, *ends]
        nearest = min(range(len(boundaries)), key=lambda index: (abs(boundaries[index] - response.heard), -index))
        return spoken[:nearest]

    def _spans(self, response: Response) -> list[tuple[int, int, str]]:
        """Return (first sample, end, text) for the pieces of text; those of one position make one piece."""
        joined: list[tuple[int, str]] = []
        for start, text in response.marks:
            if joined and joined[-1][0] == start:
                joined[-1] = (start, f"{joined[-1][1]}{text}")
            else:
                joined.append((start, text))
        spans: list[tuple[int, int, str]] = []
        for index, (start, text) in enumerate(joined):
            if index + 1 < len(joined):
                end = joined[index + 1][0]
            elif response.complete:
                end = response.generated
            else:
                end = max(response.generated, start + int(len(text) * _SECONDS_PER_CHARACTER * self.rate))
            spans.append((start, end, text))
        return spans

    def _settle(self, response: Response) -> None:
        if response.complete and response.heard >= response.generated:
            response.finished = True
            self._sort_out()

    def _sort_out(self) -> None:
        # A new list each time: callers change responses while they go through the old one.
        self._playing = [response for response in self._responses.values() if response.playing]
