"""Strict stand-ins for the parts of the embedded model: sound whose level says what it is."""

from __future__ import annotations

import threading

import numpy as np

from backchannel.audio.pcm import Samples
from backchannel.models.local.grammar import Grammar
from backchannel.models.local.parts import Recognition

VOICE = 1000


def silence(seconds: float) -> bytes:
    return bytes(2 * int(16000 * seconds))


def voice(seconds: float) -> bytes:
    return np.full(int(16000 * seconds), VOICE, dtype=np.int16).tobytes()


class LevelActivity:
    """Sound of level `VOICE` is speech."""

    def load(self) -> None:
        pass

    def probability(self, frame: Samples) -> float:
        return float(np.mean(np.abs(frame)) > VOICE / 2)


class ScriptedEars:
    """Recognises the utterances of a script, in order."""

    def __init__(self, *utterances: str | Recognition) -> None:
        self.script = [Recognition(item, 1.0, True) if isinstance(item, str) else item for item in utterances]
        self.grammars: list[Grammar] = []
        self.fed: list[int] = []
        self.peeks = 0
        self.loaded = self.started = False

    def load(self) -> None:
        self.loaded = True

    def prepare(self, grammar: Grammar) -> None:
        assert self.loaded
        self.grammars.append(grammar)

    def start(self) -> None:
        assert self.grammars
        self.started = True
        self.fed.append(0)

    def feed(self, samples: Samples) -> None:
        assert self.started
        self.fed[-1] += len(samples)

    def peek(self) -> Recognition:
        assert self.started
        self.peeks += 1
        return self.script[0]

    def finish(self) -> Recognition:
        assert self.started
        self.started = False
        return self.script.pop(0)


class TextVoice:
    """Says a text as 100 samples a character; waits at a gate where one is set."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.gate: threading.Event | None = None

    def load(self) -> None:
        pass

    def speak(self, text: str) -> bytes:
        self.said.append(text)
        if self.gate is not None:
            assert self.gate.wait(10)
        return b"\x01\x00" * (100 * len(text))
