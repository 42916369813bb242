"""The ear: from the microphone's chunks to utterances and what they say. Runs on one worker thread."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from ...audio.pcm import Samples, from_bytes
from ...audio.resample import Resampler
from ...audio.vad import SpeechFact, SpeechPaused, SpeechStarted, SpeechStopped, TurnDetector
from .activity import FRAME
from .grammar import Grammar
from .parts import Recognition, SpeechToText, VoiceActivity

__all__ = ["Ear", "SpeechBegan", "SpeechEnded", "Utterance"]

_RATE = 16000
_SETTLED_S = 0.25


@dataclass(frozen=True, slots=True)
class SpeechBegan:
    """The user began to speak."""


@dataclass(frozen=True, slots=True)
class SpeechEnded:
    """The user stopped speaking, ``late_s`` seconds of audio ago."""

    late_s: float


@dataclass(frozen=True, slots=True)
class Utterance:
    """What the user said, and for how long, seconds."""

    recognition: Recognition
    length_s: float


HearingFact: TypeAlias = SpeechBegan | SpeechEnded | Utterance


class Ear:
    """Cuts sound into utterances and has them recognised; time is the samples received.

    Args:
        complete: Whether a recognised text is a whole command, after which a shorter silence ends the turn.
    """

    def __init__(self, stt: SpeechToText, vad: VoiceActivity, complete: Callable[[Recognition], bool]) -> None:
        self._stt, self._vad, self._complete = stt, vad, complete
        self._turns = TurnDetector()
        self._resampler: tuple[int, Resampler] | None = None
        self._rest: Samples = np.zeros(0, dtype=np.int16)
        self._frames = 0
        self._recent: deque[Samples] = deque(maxlen=1 + math.ceil(0.6 * _RATE / FRAME))
        self._held: list[Samples] = []
        self._began = 0.0
        self._settled = False

    def load(self) -> None:
        self._vad.load()
        self._stt.load()

    def prepare(self, grammar: Grammar) -> None:
        self._stt.prepare(grammar)

    def hear(self, data: bytes, rate: int, channels: int) -> list[HearingFact]:
        """Take a chunk of signed 16 bit samples."""
        samples = from_bytes(data, channels)
        if self._resampler is None or self._resampler[0] != rate:
            self._resampler = rate, Resampler(rate, _RATE)
        sound = np.concatenate((self._rest, self._resampler[1].feed(samples)))
        whole = len(sound) // FRAME * FRAME
        self._rest = sound[whole:]
        facts: list[HearingFact] = []
        for start in range(0, whole, FRAME):
            facts += self._frame(sound[start : start + FRAME])
        return facts

    @property
    def hearing(self) -> bool:
        """Whether somebody is speaking."""
        return self._turns.speaking

    def finish(self) -> list[HearingFact]:
        """End the utterance that is under way: no more sound comes."""
        return [fact for event in self._turns.finish() for fact in self._on(event)]

    def _frame(self, frame: Samples) -> list[HearingFact]:
        self._frames += 1
        self._recent.append(frame)
        now = self._frames * FRAME / _RATE
        spoke = self._turns.speaking
        events = self._turns.feed(self._vad.probability(frame), now, _SETTLED_S if self._settled else None)
        if spoke and self._turns.speaking:
            self._held.append(frame)
            if not self._turns.paused:  # the silence after an end is of no use to the recogniser
                self._feed(self._held)
                self._held = []
        return [fact for event in events for fact in self._on(event)]

    def _feed(self, frames: Iterable[Samples]) -> None:
        for frame in frames:
            self._stt.feed(frame)

    def _on(self, event: SpeechFact) -> list[HearingFact]:
        match event:
            case SpeechStarted(at, since):
                self._began, self._settled = since, False
                self._stt.start()
                wanted = math.ceil((at - since) * _RATE / FRAME)
                self._held = []
                self._feed(list(self._recent)[-wanted:])
                return [SpeechBegan()]
            case SpeechPaused():
                self._settled = self._complete(self._stt.peek())
                return []
            case SpeechStopped(at, until, _):
                self._settled = False
                return [SpeechEnded(at - until), Utterance(self._stt.finish(), until - self._began)]
