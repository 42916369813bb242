"""A made-up ``sounddevice``: its devices do what a test says, and its callbacks are called by the test."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any


class PortAudioError(Exception):
    """As sounddevice raises it: a text and PortAudio's code."""


class FakeStream:
    """A stream whose device is the test."""

    def __init__(self, library: SoundLibrary, kind: str, **options: Any) -> None:
        error = library.refuse(kind, options)
        if error is not None:
            raise error
        self.kind, self.options = kind, options
        self.latency = 0.1
        self.running = False
        self.closed = False
        library.streams.append(self)

    def start(self) -> None:
        self.running = True

    def abort(self) -> None:
        if self.running:
            self.running = False
            self.options["finished_callback"]()

    def close(self) -> None:
        self.closed = True

    def deliver(self, data: bytes) -> None:
        """Be the microphone: deliver these samples."""
        self.options["callback"](data, len(data) // (2 * self.options["channels"]), self._time(0.0), None)

    def play(self, frames: int, ahead: float = 0.0) -> bytes:
        """Be the speaker: take samples that are heard ``ahead`` seconds later, 0 for unknown."""
        out = bytearray(b"x" * (2 * frames * self.options["channels"]))
        self.options["callback"](memoryview(out), frames, self._time(ahead), None)
        return bytes(out)

    def vanish(self) -> None:
        """Be unplugged."""
        self.abort()

    @staticmethod
    def _time(ahead: float) -> SimpleNamespace:
        return SimpleNamespace(currentTime=10.0, outputBufferDacTime=10.0 + ahead, inputBufferAdcTime=10.0)


class SoundLibrary:
    """Stands in for the module.

    Args:
        devices: Their names, with inputs and outputs both; none means that the computer has none.
    """

    PortAudioError = PortAudioError

    def __init__(self, devices: list[str] | None = None, rate: float = 48000.0, most_channels: int = 2) -> None:
        self.devices = ["builtin"] if devices is None else devices
        self.rate = rate
        self.most_channels = most_channels
        self.streams: list[FakeStream] = []
        self.refuse: Callable[[str, dict[str, Any]], Exception | None] = lambda kind, options: None

    def query_devices(self, index: int | None = None, kind: str | None = None) -> Any:
        if index is None and kind is None:
            return [self._info(number) for number in range(len(self.devices))]
        number = 0 if index is None else index
        if number >= len(self.devices):
            raise PortAudioError(f"Error querying device {-1 if index is None else index}")
        return self._info(number)

    def RawInputStream(self, **options: Any) -> FakeStream:
        return FakeStream(self, "input", **options)

    def RawOutputStream(self, **options: Any) -> FakeStream:
        return FakeStream(self, "output", **options)

    def _info(self, number: int) -> dict[str, Any]:
        return {
            "index": number,
            "name": self.devices[number],
            "max_input_channels": self.most_channels,
            "max_output_channels": self.most_channels,
            "default_samplerate": self.rate,
        }
