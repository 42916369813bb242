"""The computer's microphone and speakers, through PortAudio (extra ``audio``).

There is no echo cancellation: with loudspeakers the model hears itself, so use headphones, or the notebook's widget.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Callable
from threading import Lock
from typing import Any

from ..errors import AgentStateError, AudioDeviceError, MissingExtraError
from ..events import (
    BidiAudioInputEvent,
    BidiAudioStreamEvent,
    BidiInterruptionEvent,
    BidiOutputEvent,
    BidiResponseCompleteEvent,
)
from .device import Stream, close_stream, open_stream
from .ending import Ending
from .playout import Mark, Playout
from .reports import HeardReports
from .settings import AudioSettings, Converter

__all__ = ["BidiAudioIO"]

logger = logging.getLogger(__name__)

INPUT_BUFFER_S = 1.0
OUTPUT_BUFFER_S = 300.0
SILENT_S = 5.0
"""After so long without a sign of life, a device is taken to be gone, seconds."""

_DEFAULTS: dict[str, int | None] = {
    "input_buffer_size": None,
    "output_buffer_size": None,
    "input_device_index": None,
    "output_device_index": None,
    "input_frames_per_buffer": 512,
    "output_frames_per_buffer": 512,
}


class BidiAudioIO:
    """The microphone as an input, the speakers as an output. Rates and channels are the model's.

    A device that does not run at the model's rate runs at its own, and is converted.

    Args:
        **config: ``input_buffer_size`` and ``output_buffer_size``: chunks that wait at most, beyond them the oldest
            are dropped; None is 1 second of microphone and 5 minutes of voice. ``input_device_index`` and
            ``output_device_index``: as ``python -m sounddevice`` numbers them; None is the system's default.
            ``input_frames_per_buffer`` and ``output_frames_per_buffer``: samples in a chunk, 512.

    Raises:
        TypeError: If a name is unknown, or a value is not an int (or None where that is allowed).
        ValueError: If a value is out of range.
        MissingExtraError: If the package ``sounddevice`` is not installed.
        AudioDeviceError: If PortAudio is not on this computer.
    """

    def __init__(self, **config: int | None) -> None:
        self._config = _checked(config)
        self._library = _library()

    def input(self) -> AudioInput:
        """Return the microphone as an input of `BidiAgent.run`."""
        return AudioInput(self._library, self._config)

    def output(self) -> AudioOutput:
        """Return the speakers as an output of `BidiAgent.run`."""
        return AudioOutput(self._library, self._config)


class AudioInput:
    """The microphone.

    Attributes:
        dropped: Chunks that were dropped because nobody took them in time.
    """

    def __init__(self, library: Any, config: dict[str, int | None]) -> None:
        self._library = library
        self._device = config["input_device_index"]
        self._frames = config["input_frames_per_buffer"] or 512
        self._limit = config["input_buffer_size"]
        self.dropped = 0
        self._chunks: deque[bytes] = deque()
        self._lock = Lock()
        self._wake: asyncio.Event | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._signalled = False
        self._most = 1
        self._stream: Stream | None = None
        self._running = False
        self._error: AudioDeviceError | None = None
        self._converter: Converter | None = None
        self._settings = AudioSettings()

    async def start(self, agent: Any) -> None:
        """Open the microphone.

        Raises:
            AudioDeviceError: If it cannot be opened; says why, and names the devices there are.
        """
        if self._running:
            return
        self._settings = settings = AudioSettings.of(agent)
        self._loop, self._wake = asyncio.get_running_loop(), asyncio.Event()
        self._chunks.clear()
        self._signalled, self._error, self.dropped = False, None, 0
        limit = self._limit
        if limit is None:
            limit = max(2, round(INPUT_BUFFER_S * settings.input_rate / self._frames))
        self._most = limit
        self._running = True
        try:
            self._stream = await open_stream(
                self._library,
                "input",
                self._device,
                settings.input_rate,
                settings.channels,
                self._frames,
                self._heard,
                self._ended,
            )
        except BaseException:
            self._running = False
            raise
        stream = self._stream
        self._converter = Converter(stream.rate, stream.channels, settings.input_rate, settings.channels)

    async def stop(self) -> None:
        """Close the microphone; whoever waits for it gets StopAsyncIteration."""
        self._running = False
        if self._wake is not None:
            self._wake.set()
        stream, self._stream = self._stream, None
        if stream is not None:
            await close_stream(stream)
        with self._lock:
            self._chunks.clear()

    async def __call__(self) -> BidiAudioInputEvent:
        if self._wake is None:
            raise AgentStateError("the microphone is not started; give it to BidiAgent.run, or await start(agent)")
        while self._running:
            data = self._next()
            if data is not None:
                assert self._converter is not None
                data = self._converter.feed(data)
                if data:
                    return BidiAudioInputEvent.from_data(data, self._settings.input_rate, self._settings.channels)
                continue
            if self._error is not None:
                raise self._error
            try:
                async with asyncio.timeout(SILENT_S):
                    await self._wake.wait()
            except TimeoutError:
                raise AudioDeviceError(
                    f"{self._name()} has delivered nothing for {SILENT_S:.0f} s; "
                    "check that it is connected and not used by another program"
                ) from None
        raise StopAsyncIteration

    def _next(self) -> bytes | None:
        with self._lock:
            if self._chunks:
                return self._chunks.popleft()
            self._signalled = False
            if self._running and self._error is None and self._wake is not None:
                self._wake.clear()
            return None

    def _name(self) -> str:
        return "the microphone" if self._stream is None else f"the microphone {self._stream.name!r}"

    def _heard(self, data: Any, frames: int, when: Any, status: Any) -> None:
        """Keep a chunk; in PortAudio's thread."""
        with self._lock:
            self._chunks.append(bytes(data))
            if len(self._chunks) > self._most:
                self._chunks.popleft()
                self.dropped += 1
            signal, self._signalled = not self._signalled, True
        if signal:
            self._hand_over(self._wake_up)

    def _ended(self) -> None:
        """The stream ended; in PortAudio's thread, or in the one that closes it."""
        if self._running:
            self._hand_over(self._fail)

    def _hand_over(self, work: Callable[[], None]) -> None:
        with contextlib.suppress(RuntimeError):  # The event loop is closed.
            if self._loop is not None:
                self._loop.call_soon_threadsafe(work)

    def _wake_up(self) -> None:
        if self._wake is not None:
            self._wake.set()

    def _fail(self) -> None:
        if self._running and self._stream is not None:  # Without one it is still being opened, in another way.
            self._error = AudioDeviceError(f"{self._name()} went away; connect it again, or choose another one")
            self._wake_up()


class AudioOutput:
    """The speakers. Plays the model's voice in order and tells the agent what was heard."""

    def __init__(self, library: Any, config: dict[str, int | None]) -> None:
        self._library = library
        self._device = config["output_device_index"]
        self._frames = config["output_frames_per_buffer"] or 512
        self._limit = config["output_buffer_size"]
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stream: Stream | None = None
        self._playout: Playout | None = None
        self._reports: HeardReports | None = None
        self._running = False
        self._alive = 0.0
        self._warned = False
        self._error: AudioDeviceError | None = None
        self._ending = Ending(wanted=True)

    @property
    def dropped(self) -> int:
        """Samples of the voice that were dropped because too many waited."""
        return 0 if self._playout is None else self._playout.dropped

    async def start(self, agent: Any) -> None:
        """Open the speakers.

        Raises:
            AudioDeviceError: If they cannot be opened; says why, and names the devices there are.
        """
        if self._running:
            return
        settings = AudioSettings.of(agent)
        self._loop = asyncio.get_running_loop()
        self._playout, self._error, self._warned = None, None, False
        self._reports = HeardReports(agent)
        self._ending.start(agent)
        self._running = True
        try:
            stream = self._stream = await open_stream(
                self._library,
                "output",
                self._device,
                settings.output_rate,
                settings.channels,
                self._frames,
                self._fill,
                self._ended,
            )
        except BaseException:
            self._running = False
            raise
        most_s = OUTPUT_BUFFER_S if self._limit is None else self._limit * self._frames / settings.output_rate
        self._alive = time.monotonic()
        self._playout = Playout(stream.rate, stream.channels, most_s)
        agent.expect_played()

    async def stop(self) -> None:
        """Fall silent and close the speakers.

        Raises:
            AudioDeviceError: If they went away, which has ended the conversation, and no event has said so yet.
        """
        self._running = False
        if self._reports is not None:
            self._reports.close()
        if self._playout is not None:
            self._playout.clear()
        stream, self._stream = self._stream, None
        if stream is not None:
            await close_stream(stream)
        await self._ending.wait()
        error, self._error = self._error, None
        if error is not None:
            raise error

    async def __call__(self, event: BidiOutputEvent) -> None:
        if self._error is not None:
            error, self._error = self._error, None
            raise error
        if not self._running or self._playout is None or self._reports is None:
            return
        if isinstance(event, BidiInterruptionEvent):
            self._playout.clear()
        elif isinstance(event, BidiAudioStreamEvent):
            self._check()
            self._playout.add(event)
            if self._playout.dropped and not self._warned:
                self._warned = True
                logger.warning("the voice waits faster than it is played; the oldest of it is dropped")
        elif isinstance(event, BidiResponseCompleteEvent):
            mark = self._playout.complete(event["response_id"])
            if mark is not None:
                self._reports.add([mark])

    def _check(self) -> None:
        if self._playout is not None and self._playout.empty:
            return
        if time.monotonic() - self._alive > SILENT_S:
            raise AudioDeviceError(
                f"{self._name()} has played nothing for {SILENT_S:.0f} s; "
                "check that it is connected and not used by another program"
            )

    def _name(self) -> str:
        return "the speaker" if self._stream is None else f"the speaker {self._stream.name!r}"

    def _fill(self, out: Any, frames: int, when: Any, status: Any) -> None:
        """Give the device its next samples; in PortAudio's thread."""
        self._alive = time.monotonic()
        data, marks = (b"", []) if self._playout is None else self._playout.take(frames)
        out[:] = data.ljust(len(out), b"\0")
        if not marks or self._stream is None:
            return
        # Of two ways to tell when this is heard take the stream's own, if it is one.
        ahead = when.outputBufferDacTime - when.currentTime
        delay = ahead if 0.0 < ahead < 2.0 else self._stream.latency_s
        self._hand_over(lambda: self._played(marks, delay + frames / self._rate()))

    def _rate(self) -> int:
        return self._stream.rate if self._stream is not None else 1

    def _played(self, marks: list[Mark], delay_s: float) -> None:
        if self._running and self._reports is not None:
            self._reports.add(marks, delay_s)

    def _ended(self) -> None:
        """The stream ended; in PortAudio's thread, or in the one that closes it."""
        if self._running:
            self._hand_over(self._fail)

    def _fail(self) -> None:
        if self._running and self._stream is not None:  # Without one it is still being opened, in another way.
            self._error = AudioDeviceError(f"{self._name()} went away; connect it again, or choose another one")
            self._ending.begin()

    def _hand_over(self, work: Callable[[], None]) -> None:
        with contextlib.suppress(RuntimeError):  # The event loop is closed.
            if self._loop is not None:
                self._loop.call_soon_threadsafe(work)


def _checked(config: dict[str, int | None]) -> dict[str, int | None]:
    unknown = sorted(set(config) - set(_DEFAULTS))
    if unknown:
        raise TypeError(f"BidiAudioIO does not know {', '.join(unknown)}; it knows {', '.join(_DEFAULTS)}")
    for name, value in config.items():
        optional = _DEFAULTS[name] is None
        if value is None and optional:
            continue
        if isinstance(value, bool) or not isinstance(value, int):
            raise TypeError(f"{name} must be an int{' or None' if optional else ''}, not {value!r}")
        least = 0 if name.endswith("_index") else 1
        if not least <= value <= 1_000_000:
            raise ValueError(f"{name} must be {least} or more, and at most 1000000; it is {value}")
    return {**_DEFAULTS, **config}


def _library() -> Any:
    try:
        import sounddevice
    except ImportError as error:
        raise MissingExtraError("BidiAudioIO", "audio") from error
    except OSError as error:
        raise AudioDeviceError(
            f"BidiAudioIO needs PortAudio, which is not on this computer ({error}); install it: "
            "apt install libportaudio2 (Debian, Ubuntu), dnf install portaudio (Fedora), brew install portaudio (macOS)"
        ) from error
    return sounddevice
