"""What an agent hears from and speaks to. What needs a device, a terminal or a server is imported when asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._lazy import lazy_names
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

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "BidiAudioIO": ".audio",
        "BidiTextIO": ".text",
        "WavIO": ".wav",
        "WebSocketIO": ".websocket",
        "bidi_asgi_app": ".asgi",
    },
)
