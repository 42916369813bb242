"""A WAV file as the microphone, and what the speaker would have played written to another one."""

from __future__ import annotations

import asyncio
import contextlib
import os
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np

from ..audio.pcm import read_wav, write_wav
from ..errors import AgentStateError, AudioFormatError, InvalidInputError
from ..events import (
    BidiAudioInputEvent,
    BidiAudioStreamEvent,
    BidiInterruptionEvent,
    BidiOutputEvent,
    BidiResponseCompleteEvent,
)
from ..paths import expanded
from .ending import Ending
from .playout import Playout
from .reports import HeardReports
from .settings import AudioSettings, Converter

__all__ = ["WavIO"]

CHUNK_MS = 20
STEP_MS = 40


class WavIO:
    """Holds a conversation with a file: what is in it is said, what is answered is recorded.

    Args:
        path_in: A WAV file: 8, 16, 24 or 32 bit, any rate, mono or more. Needed for `input` only.
        path_out: Where the model's voice is written when the output stops, replacing what is there; 16 bit, the
            model's rate. Without it nothing is kept. Until then it is held in memory, 2.9 MB a minute at 24 kHz.
        realtime: Whether it is said, and heard, at the speed of speech. Else as fast as the agent takes it, and
            what the model says counts as heard as soon as it comes.
        tail_s: Silence after the file, in which a model notices that nobody speaks any more, seconds.
        stop_agent: Whether the agent is stopped after that, as soon as the output has nothing to play and nothing is
            under way, so that ``run`` ends. Without it the input ends and the conversation goes on.

    Raises:
        TypeError: If a path is none.
        ValueError: If ``tail_s`` is negative.
    """

    def __init__(
        self,
        path_in: str | os.PathLike[str] | None,
        path_out: str | os.PathLike[str] | None = None,
        realtime: bool = True,
        *,
        tail_s: float = 2.0,
        stop_agent: bool = False,
    ) -> None:
        for name, path in (("path_in", path_in), ("path_out", path_out)):
            if path is not None and not isinstance(path, str | os.PathLike):
                raise TypeError(f"{name} must be a path, not {type(path).__name__}")
        if not 0 <= tail_s < float("inf"):
            raise InvalidInputError(f"tail_s must be seconds, 0 or more; it is {tail_s!r}")
        self._in = None if path_in is None else expanded(path_in)
        self._out = None if path_out is None else expanded(path_out)
        self._realtime = realtime
        self._tail_s = tail_s
        self._stop_agent = stop_agent
        self._activity = _Activity()

    def input(self) -> WavInput:
        """Return the file as an input of `BidiAgent.run`.

        Raises:
            InvalidInputError: If there is no ``path_in``.
        """
        if self._in is None:
            raise InvalidInputError("WavIO has no path_in to read from; give it one")
        return WavInput(self._in, self._realtime, self._tail_s, Ending(self._stop_agent), self._activity)

    def output(self) -> WavOutput:
        """Return the recorder as an output of `BidiAgent.run`."""
        return WavOutput(self._out, self._realtime, self._activity)


class _Activity:
    """Whether anything is under way, as far as an output sees it."""

    def __init__(self) -> None:
        self._open: set[str] = set()
        self._calm = asyncio.Event()
        self._calm.set()
        self._busy = asyncio.Event()
        self.playing = False

    def clear(self) -> None:
        self._open.clear()
        self.playing = False
        self._changed()

    def note(self, event: BidiOutputEvent) -> None:
        match event.get("type"):
            case "bidi_response_start":
                self._open.add(f"response {event['response_id']}")
            case "bidi_response_complete":
                self._open.discard(f"response {event['response_id']}")
            case "bidi_interruption":
                self._open = {name for name in self._open if not name.startswith("response")}
            case "tool_use_stream":
                self._open.add(f"call {event['current_tool_use'].get('toolUseId')}")
            case "tool_result":
                self._open.discard(f"call {event['tool_result'].get('toolUseId')}")
            case "task_update":
                task = f"task {event['task'].get('id')}"
                under_way = event["task"].get("status") in ("queued", "running")
                (self._open.add if under_way else self._open.discard)(task)
        self._changed()

    def played(self, playing: bool) -> None:
        self.playing = playing
        self._changed()

    async def calm_for(self, seconds: float) -> None:
        """Wait until nothing has been under way for so long."""
        while True:
            await self._calm.wait()
            self._busy.clear()
            try:
                async with asyncio.timeout(seconds):
                    await self._busy.wait()
            except TimeoutError:
                return

    def _changed(self) -> None:
        if self._open or self.playing:
            self._calm.clear()
            self._busy.set()
        else:
            self._calm.set()


class WavInput:
    """A file that is said. Ends after its last sample and the silence behind it."""

    def __init__(self, path: Path, realtime: bool, tail_s: float, ending: Ending, activity: _Activity) -> None:
        self._path = path
        self._realtime = realtime
        self._tail_s = tail_s
        self._ending = ending
        self._activity = activity
        self._settings = AudioSettings()
        self._samples: Any = None
        self._at = 0
        self._step = 1
        self._converter: Converter | None = None
        self._silence = 0
        self._rest = b""
        self._due: float | None = None
        self._stopped: asyncio.Event | None = None
        self._calming: asyncio.Task[None] | None = None

    async def start(self, agent: Any) -> None:
        """Read the file.

        Raises:
            OSError: If it cannot be read.
            AudioFormatError: If it is not a WAV file, or holds no samples.
        """
        if self._stopped is not None and not self._stopped.is_set():
            return
        self._settings = settings = AudioSettings.of(agent)
        data = await asyncio.to_thread(_read, self._path)
        self._samples, rate = await asyncio.to_thread(read_wav, data, str(self._path))
        self._converter = Converter(rate, 1, settings.input_rate, settings.channels)
        self._step, self._at = max(1, rate * CHUNK_MS // 1000), 0
        self._silence = round(self._tail_s * settings.input_rate)
        self._rest, self._due = b"", None
        self._stopped = asyncio.Event()
        self._ending.start(agent)

    async def stop(self) -> None:
        """Say no more; whoever waits for it gets StopAsyncIteration."""
        if self._stopped is not None:
            self._stopped.set()
        self._samples = None
        calming, self._calming = self._calming, None
        if calming is not None:
            calming.cancel()
            await asyncio.gather(calming, return_exceptions=True)
        await self._ending.wait()

    async def __call__(self) -> BidiAudioInputEvent:
        if self._stopped is None:
            raise AgentStateError("the WAV input is not started; give it to BidiAgent.run, or await start(agent)")
        if not self._stopped.is_set():
            await self._pace(self._stopped)
        data = b"" if self._stopped.is_set() else self._next()
        if not data:
            if not self._stopped.is_set() and self._calming is None:
                self._calming = asyncio.create_task(self._end(), name="backchannel-wav-end")
            raise StopAsyncIteration
        return BidiAudioInputEvent.from_data(data, self._settings.input_rate, self._settings.channels)

    async def _pace(self, stopped: asyncio.Event) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        due = now if self._due is None else self._due
        if self._realtime and due > now:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(due - now):
                    await stopped.wait()
        else:
            await asyncio.sleep(0)
        self._due = due + CHUNK_MS / 1000

    def _next(self) -> bytes:
        """Return the next chunk of the file, then of the silence; nothing at the end."""
        assert self._converter is not None
        chunk = self._settings.input_rate * CHUNK_MS // 1000
        frame = 2 * self._settings.channels
        while self._samples is not None and len(self._rest) < chunk * frame:
            piece = self._samples[self._at : self._at + self._step]
            self._at += len(piece)
            self._rest += self._converter.feed(piece.astype("<i2").tobytes())
            if self._at >= len(self._samples):
                self._rest += self._converter.finish()
                self._samples = None
        missing = chunk - len(self._rest) // frame
        if missing > 0:
            added = min(missing, self._silence)
            self._silence -= added
            self._rest += bytes(added * frame)
        data, self._rest = self._rest[: chunk * frame], self._rest[chunk * frame :]
        return data

    async def _end(self) -> None:
        await self._activity.calm_for(self._tail_s)
        self._ending.begin()


class WavOutput:
    """Records what a listener would have heard; of what was interrupted only the part before."""

    def __init__(self, path: Path | None, realtime: bool, activity: _Activity) -> None:
        self._path = path
        self._realtime = realtime
        self._activity = activity
        self._rate = AudioSettings().output_rate
        self._channels = 1
        self._playout: Playout | None = None
        self._reports: HeardReports | None = None
        self._player: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()
        self._recording: list[bytes] = []

    async def start(self, agent: Any) -> None:
        """Begin to record.

        Raises:
            OSError: If ``path_out`` cannot be written.
        """
        if self._playout is not None:
            return
        if self._path is not None:
            await asyncio.to_thread(_check_writable, self._path)
        settings = AudioSettings.of(agent)
        self._rate, self._channels = settings.output_rate, settings.channels
        self._playout = Playout(self._rate, self._channels, most_s=3600.0)
        self._reports = HeardReports(agent)
        self._recording.clear()
        self._activity.clear()
        agent.expect_played()
        if self._realtime:
            self._player = asyncio.create_task(self._play(self._playout), name="backchannel-wav-player")

    async def stop(self) -> None:
        """Write the recording, if there is a path for it.

        Raises:
            OSError: If it cannot be written.
        """
        if self._playout is None:
            return
        self._playout = None
        player, self._player = self._player, None
        if player is not None:
            player.cancel()
            await asyncio.gather(player, return_exceptions=True)
        if self._reports is not None:
            self._reports.close()
        self._activity.clear()
        recording, self._recording = b"".join(self._recording), []
        if self._path is not None:
            await asyncio.to_thread(_write, self._path, recording, self._rate, self._channels)

    async def __call__(self, event: BidiOutputEvent) -> None:
        if self._playout is None or self._reports is None:
            return
        self._activity.note(event)
        if isinstance(event, BidiAudioStreamEvent):
            self._playout.add(event)
            self._activity.played(True)
            if self._player is None:
                self._take(self._playout, self._rate * 3600)
            else:
                self._wake.set()
        elif isinstance(event, BidiInterruptionEvent):
            self._playout.clear()
        elif isinstance(event, BidiResponseCompleteEvent):
            mark = self._playout.complete(event["response_id"])
            if mark is not None:
                self._reports.add([mark])
            if self._player is None:
                self._take(self._playout, self._rate * 3600)
            else:
                self._wake.set()

    def _take(self, playout: Playout, frames: int) -> None:
        data, marks = playout.take(frames)
        if self._path is not None and data:
            self._recording.append(data)
        if self._reports is not None:
            self._reports.add(marks)
        if playout.empty:
            self._activity.played(False)

    async def _play(self, playout: Playout) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        step = self._rate * STEP_MS // 1000
        while True:
            if playout.empty:
                self._activity.played(False)
                self._wake.clear()
                await self._wake.wait()
                due = loop.time()
            due += step / self._rate
            await asyncio.sleep(max(0.0, due - loop.time()))
            self._take(playout, step)


def _read(path: Path) -> bytes:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise FileNotFoundError(f"there is no WAV file {path}; check the path") from None
    except IsADirectoryError:
        raise IsADirectoryError(f"{path} is a folder, not a WAV file; check the path") from None
    if not data:
        raise AudioFormatError(f"{path} is empty; give a WAV file that holds something")
    return data


def _check_writable(path: Path) -> None:
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{path} cannot be written: there is no folder {path.parent}; make it first")
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder; give the name of a file to record to")
    if not os.access(path.parent, os.W_OK):
        raise PermissionError(f"{path} cannot be written: no permission to write into {path.parent}")


def _write(path: Path, data: bytes, rate: int, channels: int) -> None:
    """Put the whole file in place, or leave what was there."""
    part = path.with_name(f".{path.name[:40]}.{uuid4().hex}.part")
    try:
        with part.open("xb") as file:
            file.write(write_wav(np.frombuffer(data, dtype="<i2"), rate, channels))
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
