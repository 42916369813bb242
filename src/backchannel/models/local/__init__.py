"""The embedded model: hears the commands that tools allow, speaks, needs no network."""

from __future__ import annotations

from .local import LocalModel
from .parts import LanguageModel, Recognition, SpeechToText, TextToSpeech, VoiceActivity

__all__ = ["LanguageModel", "LocalModel", "Recognition", "SpeechToText", "TextToSpeech", "VoiceActivity"]
