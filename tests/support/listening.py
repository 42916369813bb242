"""An agent as a channel sees it: its model's audio, and a record of what was reported to it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from backchannel.models.realtime import ModelProfile


class ListeningAgent:
    """Takes reports and does nothing."""

    def __init__(self, rate: int = 16000, channels: int = 1, output_rate: int | None = None) -> None:
        output_rate = rate if output_rate is None else output_rate
        self.profile = ModelProfile(input_rate=rate, output_rate=output_rate)
        audio = {"input_rate": rate, "output_rate": output_rate, "channels": channels, "format": "pcm"}
        self.model: Any = SimpleNamespace(config={"audio": audio})
        self.reports: list[tuple[str, int, bool]] = []
        self.expected = False
        self.stops = 0

    def played(self, response_id: str, samples: int, finished: bool = False) -> None:
        self.reports.append((response_id, samples, finished))

    def expect_played(self, expected: bool = True) -> None:
        self.expected = expected

    async def stop(self) -> None:
        self.stops += 1
