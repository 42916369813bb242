"""The responses of a session: when they were generated and heard, how long the user waited for them. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from .signals import Attribute, label
from .trace import Trace

__all__ = ["Responses"]

ANSWER_S = 60.0
"""How long after the user's turn something heard still counts as the answer to it, seconds."""

REMEMBERED = 32
"""Ended responses of which a player may still report something."""


@dataclass(slots=True)
class _Response:
    span: int
    id: str | None
    last: float
    generated: int = 0
    heard: int = 0
    reported: int = 0
    tracked: bool = False
    stop_reason: str | None = None
    latency: float | None = None
    open: bool = True


class Responses:
    """At most one response is open: from its start until it was heard, was cut off, or another one began."""

    def __init__(self, trace: Trace, model: str, rate: int) -> None:
        self.count = 0
        self.last_span: int | None = None
        self._trace = trace
        self._model = model
        self._rate = rate
        self._current: _Response | None = None
        self._past: dict[str, _Response] = {}
        self._turn: tuple[float, str] | None = None

    @property
    def open(self) -> bool:
        """Whether a response is generated or played."""
        return self._current is not None

    # The user's turn

    def turn_ended(self, how: str) -> None:
        """The user has said something, by "voice", "text", or a "transcript" alone."""
        self._turn = (self._trace.now, how)

    def turn_began(self) -> None:
        """The user speaks: nothing is waited for."""
        self._turn = None

    # The model's

    def started(self, response_id: str | None, parent: int) -> None:
        """The model begins a response."""
        current = self._current
        if current is not None and response_id is not None and current.id in (response_id, None):
            current.id = response_id
            return
        self.close("superseded")
        attributes: dict[str, Attribute] = {"gen_ai.operation.name": "chat", "gen_ai.request.model": self._model}
        if response_id is not None:
            attributes["gen_ai.response.id"] = label(response_id)
        span = self._trace.start(f"chat {self._model}", parent, attributes, remote=True)
        self._current = _Response(span, response_id, self._trace.now)
        self.last_span = span
        self.count += 1

    def audio(self, response_id: str | None, samples: int, parent: int) -> None:
        """The model sent audio, which may belong to a response that has ended here."""
        past = self._past.get(response_id) if response_id is not None else None
        current = self._current
        if past is not None and (current is None or current.id != response_id):
            past.generated += samples
            return
        if current is None or (None not in (current.id, response_id) and current.id != response_id):
            self.started(response_id, parent)
            current = self._current
        if current is None:
            return
        if current.id is None:
            current.id = response_id
        if current.generated == 0 and samples > 0:
            self._trace.event(current.span, "backchannel.first_audio")
        current.generated += samples
        current.last = self._trace.now

    def completed(self, response_id: str, stop_reason: str) -> None:
        """The model will send no more of a response."""
        response = self._find(response_id)
        if response is None or not response.open:
            return
        response.stop_reason = stop_reason
        response.last = self._trace.now
        if response.generated == 0 and stop_reason == "complete":
            self._turn = None  # answered in text
        if stop_reason == "interrupted":
            self.close("interrupted", at_once=True)
        elif response.heard >= response.generated:
            self.close(stop_reason)

    # The player's

    def heard(self, response_id: str, samples: int, finished: bool) -> None:
        """A player has played ``samples`` of a response in all."""
        response = self._find(response_id)
        if response is not None:
            response.tracked = True
            self._played(response, samples, finished)

    def handed_out(self, response_id: str, samples: int) -> None:
        """A reader took more audio, which counts as heard where no player reports."""
        response = self._find(response_id)
        if response is not None and not response.tracked:
            self._played(response, response.heard + samples, finished=False)

    def _played(self, response: _Response, samples: int, finished: bool) -> None:
        before, response.heard = response.heard, max(response.heard, min(samples, response.generated))
        if response.heard > before:
            response.last = self._trace.now
            if before == 0:
                self._first_heard(response)
        if not response.open:
            self._report(response)
        elif response.stop_reason is not None and (finished or response.heard >= response.generated):
            self.close(response.stop_reason)

    def _first_heard(self, response: _Response) -> None:
        if response.open:
            self._trace.event(response.span, "backchannel.first_heard")
        if self._turn is None:
            return
        (ended, how), self._turn = self._turn, None
        waited = self._trace.now - ended
        if waited <= ANSWER_S:
            response.latency = waited
            self._trace.record("backchannel.response.latency", waited, {"backchannel.input": how})

    def _report(self, response: _Response) -> None:
        samples, response.reported = response.heard - response.reported, response.heard
        if samples > 0:
            self._trace.record("backchannel.audio.heard", samples / self._rate)

    # Ends

    def close(self, outcome: str, *, at_once: bool = False) -> None:
        """End the open response: ``at_once``, or when something of it last happened."""
        response, self._current = self._current, None
        if response is None:
            return
        response.open = False
        self._report(response)
        attributes: dict[str, Attribute] = {
            "backchannel.response.outcome": label(outcome),
            "backchannel.audio.generated_s": response.generated / self._rate,
            "backchannel.audio.heard_s": response.heard / self._rate,
        }
        if response.generated:
            attributes["gen_ai.output.type"] = "speech"
        if response.stop_reason is not None:
            attributes["gen_ai.response.finish_reasons"] = (label(response.stop_reason),)
        if response.latency is not None:
            attributes["backchannel.response.latency_s"] = response.latency
        error = "response_error" if response.stop_reason == "error" else None
        self._trace.end(response.span, attributes, at=None if at_once else response.last, error=error)
        if response.id is not None:
            self._past.pop(response.id, None)
            self._past[response.id] = response
            if len(self._past) > REMEMBERED:
                del self._past[next(iter(self._past))]

    def _find(self, response_id: str) -> _Response | None:
        current = self._current
        if current is not None and current.id == response_id:
            return current
        past = self._past.get(response_id)
        if past is None and current is not None and current.id is None:
            current.id = response_id
            return current
        return past
