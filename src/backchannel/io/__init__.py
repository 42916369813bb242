"""What an agent hears from and speaks to. What needs a device, a terminal or a server is imported when asked for."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from .channels import BidiInput, BidiOutput
from .virtual import VirtualMicrophone, VirtualSpeaker

if TYPE_CHECKING:
    from .asgi import bidi_asgi_app
    from .audio import BidiAudioIO
    from .text import BidiTextIO
    from .wav import WavIO
    from .websocket import WebSocketIO

__all__ = [
    "BidiAudioIO",
    "BidiInput",
    "BidiOutput",
    "BidiTextIO",
    "VirtualMicrophone",
    "VirtualSpeaker",
    "WavIO",
    "WebSocketIO",
    "bidi_asgi_app",
]

_LAZY = {
    "BidiAudioIO": ".audio",
    "BidiTextIO": ".text",
    "WavIO": ".wav",
    "WebSocketIO": ".websocket",
    "bidi_asgi_app": ".asgi",
}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name], __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
