"""The embedded model: hears the commands that tools allow, speaks, needs no network; or reads and writes them."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .local import LocalModel
    from .parts import LanguageModel, Recognition, SpeechToText, TextToSpeech, VoiceActivity
    from .written import LocalTextModel

__all__ = [
    "LanguageModel",
    "LocalModel",
    "LocalTextModel",
    "Recognition",
    "SpeechToText",
    "TextToSpeech",
    "VoiceActivity",
]

_HOMES = {"LocalModel": ".local", "LocalTextModel": ".written"}


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(importlib.import_module(_HOMES.get(name, ".parts"), __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
