"""Speech detection: from the probability that a frame holds speech to who speaks from when to when. Pure.

Times are seconds of audio received; nothing here knows a clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from .pcm import Samples

__all__ = [
    "EnergyActivity",
    "SpeechFact",
    "SpeechOnset",
    "SpeechPaused",
    "SpeechStarted",
    "SpeechStopped",
    "TurnDetector",
]


@dataclass(frozen=True, slots=True)
class SpeechStarted:
    """Somebody speaks, known ``at``; take the sound from ``since`` on, so that no beginning is lost."""

    at: float
    since: float


@dataclass(frozen=True, slots=True)
class SpeechPaused:
    """Nobody has spoken since ``since``; the end, if no more comes."""

    at: float
    since: float


@dataclass(frozen=True, slots=True)
class SpeechStopped:
    """The speech ended ``until``, known ``at``."""

    at: float
    until: float
    reason: Literal["silence", "too_long", "finished"] = "silence"


SpeechFact: TypeAlias = SpeechStarted | SpeechPaused | SpeechStopped


class TurnDetector:
    """Decides where an utterance begins and ends.

    Args:
        start, stop: Probability from which on a frame is speech, and below which it no longer is.
        minimum_s: Speech shorter than this is a noise.
        pause_s: Silence after which `SpeechPaused` says so.
        hangover_s: Silence that ends an utterance.
        pre_roll_s: How much sound before the first frame of speech belongs to it.
        longest_s: Where an utterance is cut.
    """

    def __init__(
        self,
        *,
        start: float = 0.5,
        stop: float = 0.35,
        minimum_s: float = 0.09,
        pause_s: float = 0.12,
        hangover_s: float = 0.4,
        pre_roll_s: float = 0.32,
        longest_s: float = 15.0,
    ) -> None:
        self._start, self._stop = start, stop
        self._minimum_s, self._pause_s, self.hangover_s = minimum_s, pause_s, hangover_s
        self._pre_roll_s, self._longest_s = pre_roll_s, longest_s
        self._now = 0.0
        self._onset: float | None = None
        self._since: float | None = None
        self._voiced_until = 0.0
        self._paused = False

    @property
    def speaking(self) -> bool:
        return self._since is not None

    @property
    def paused(self) -> bool:
        """Whether an utterance is under way and nobody speaks: it may be its end."""
        return self._since is not None and self._paused

    def feed(self, probability: float, now: float, hangover_s: float | None = None) -> list[SpeechFact]:
        """Take one frame that ended ``now``.

        Args:
            hangover_s: How much silence ends the utterance from here on, if other than usual.
        """
        began, self._now = self._now, now
        voiced = probability >= (self._stop if self.speaking or self._onset is not None else self._start)
        if self._since is None:
            return self._waiting(voiced, began)
        if voiced:
            self._voiced_until, self._paused = now, False
            if now - self._since >= self._longest_s:
                return [self._end("too_long")]
            return []
        silence = now - self._voiced_until
        if silence + 1e-9 >= (self.hangover_s if hangover_s is None else hangover_s):
            return [self._end("silence")]
        if not self._paused and silence + 1e-9 >= self._pause_s:
            self._paused = True
            return [SpeechPaused(now, self._voiced_until)]
        return []

    def finish(self) -> list[SpeechFact]:
        """Take the end of the audio: what is spoken ends here."""
        self._onset = None
        return [self._end("finished")] if self.speaking else []

    def _waiting(self, voiced: bool, began: float) -> list[SpeechFact]:
        if not voiced:
            self._onset = None
            return []
        if self._onset is None:
            self._onset = began
        if self._now - self._onset + 1e-9 < self._minimum_s:
            return []
        self._since, self._voiced_until, self._paused = self._onset, self._now, False
        self._onset = None
        return [SpeechStarted(self._now, max(0.0, self._since - self._pre_roll_s))]

    def _end(self, reason: Literal["silence", "too_long", "finished"]) -> SpeechFact:
        self._since = self._onset = None
        return SpeechStopped(self._now, self._voiced_until, reason)


class EnergyActivity:
    """Tells speech by its level above an adaptive noise floor: for where no trained detector is installed.

    Args:
        margin_db: How far above the floor speech is as likely as not, dB.
    """

    def __init__(self, margin_db: float = 12.0) -> None:
        self._margin_db = margin_db
        self._floor_db = -60.0

    def load(self) -> None:
        """Nothing is to be loaded."""

    def probability(self, frame: Samples) -> float:
        level = float(10 * np.log10(np.mean(np.square(frame, dtype=np.float64)) / 32768.0**2 + 1e-10))
        rising = level > self._floor_db
        self._floor_db += (level - self._floor_db) * (0.005 if rising else 0.2)
        self._floor_db = max(self._floor_db, -75.0)
        above = level - self._floor_db - self._margin_db
        return float(1.0 / (1.0 + np.exp(-np.clip(above / 2.0, -30, 30))))


class SpeechOnset:
    """Tells when somebody begins to speak, by the level of the sound, as it comes."""

    FRAME_S = 0.032

    def __init__(self) -> None:
        self._activity = EnergyActivity()
        self._turns = TurnDetector()
        self._rest: Samples = np.empty(0, np.int16)
        self._format = (0, 0)
        self._now = 0.0

    def feed(self, data: bytes, rate: int, channels: int) -> bool:
        """Return whether somebody has begun to speak by the end of this sound.

        Args:
            data: Signed 16 bit little-endian samples, channels interleaved.
            rate: Samples per second and channel, Hz.
            channels: How many; the first one is listened to.
        """
        samples = np.frombuffer(data, "<i2")[::channels]
        if self._format == (rate, channels):
            samples = np.concatenate((self._rest, samples))
        self._format = (rate, channels)
        size = max(1, round(rate * self.FRAME_S))
        whole = len(samples) // size * size
        began = False
        for start in range(0, whole, size):
            self._now += size / rate
            facts = self._turns.feed(self._activity.probability(samples[start : start + size]), self._now)
            began = began or any(isinstance(fact, SpeechStarted) for fact in facts)
        self._rest = samples[whole:]
        return began
