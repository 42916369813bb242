"""The parts of the embedded model that can be replaced: what each must do.

All of them are called on worker threads, one call at a time for each part; only `LanguageModel` is asynchronous.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from ...audio.pcm import Samples
from ...messages import Message, Messages, ToolSpec
from .grammar import Grammar

__all__ = ["LanguageModel", "Recognition", "SpeechToText", "TextToSpeech", "VoiceActivity"]


@dataclass(frozen=True, slots=True)
class Recognition:
    """What was understood of an utterance.

    Attributes:
        text: The likeliest words, lower-case; "" for nothing.
        confidence: From 0 to 1.
        accepted: Sure enough to act on it.
        alternatives: Other readings, the likeliest first.
    """

    text: str
    confidence: float
    accepted: bool
    alternatives: tuple[str, ...] = ()


class SpeechToText(Protocol):
    """Voice to words. Samples are 16 kHz mono int16."""

    def load(self) -> None:
        """Get ready; may block for seconds."""

    def prepare(self, grammar: Grammar) -> None:
        """Expect what this grammar says from the next utterance on."""

    def start(self) -> None:
        """Begin an utterance, forgetting an unfinished one."""

    def feed(self, samples: Samples) -> None:
        """Take more of the utterance."""

    def peek(self) -> Recognition:
        """Say what the utterance is if it ends here."""
        ...

    def finish(self) -> Recognition:
        """End the utterance."""
        ...


class TextToSpeech(Protocol):
    """Words to voice."""

    def load(self) -> None:
        """Get ready; may block for seconds."""

    def speak(self, text: str) -> bytes:
        """Return one sentence as 16 kHz mono, signed 16 bit."""
        ...


class VoiceActivity(Protocol):
    """Whether somebody speaks. A frame is 512 samples, 32 ms."""

    def load(self) -> None:
        """Get ready; may block."""

    def probability(self, frame: Samples) -> float:
        """Return how likely it is that the frame holds speech, from 0 to 1."""
        ...


@runtime_checkable
class LanguageModel(Protocol):
    """Understands what was said or typed in place of the built-in commands.

    It gets the whole conversation, tool results included, and answers with an assistant message: text blocks
    are spoken, ``toolUse`` blocks are called.
    """

    async def respond(self, messages: Messages, tools: Sequence[ToolSpec], system_prompt: str | None) -> Message: ...
