"""PortAudio streams: opened at the wanted rate or at the device's own, with clear words when neither works."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from ..errors import AudioDeviceError

__all__ = ["Stream", "close_stream", "open_stream"]

Kind = Literal["input", "output"]

# PaErrorCode, https://files.portaudio.com/docs/v19-doxydocs/portaudio_8h.html
_RATE, _CHANNELS, _BUSY = -9997, -9998, -9985
_WORDS = {"input": ("microphone", "input_device_index"), "output": ("speaker", "output_device_index")}


@dataclass(frozen=True, slots=True)
class Stream:
    """A stream that runs.

    Attributes:
        name: The device's.
        rate: Hz.
        latency_s: From the callback to the air, or back, seconds.
    """

    handle: Any
    name: str
    rate: int
    channels: int
    latency_s: float


async def open_stream(
    library: Any,
    kind: Kind,
    index: int | None,
    rate: int,
    channels: int,
    frames: int,
    callback: Callable[..., None],
    ended: Callable[[], None],
) -> Stream:
    """Open and start a stream of 16 bit samples; ``frames`` are counted at ``rate`` (Hz) whatever the device's is.

    Raises:
        AudioDeviceError: If there is no such device, or it cannot be opened.
    """
    opening = asyncio.ensure_future(
        asyncio.to_thread(_open, library, kind, index, rate, channels, frames, callback, ended)
    )
    try:
        return await asyncio.shield(opening)
    except asyncio.CancelledError:
        opening.add_done_callback(_close_late)
        raise


async def close_stream(stream: Stream) -> None:
    """Stop at once, and close."""
    await asyncio.shield(asyncio.ensure_future(asyncio.to_thread(_close, stream)))


def _close_late(opening: asyncio.Future[Stream]) -> None:
    if not opening.cancelled() and opening.exception() is None:
        _close(opening.result())


def _close(stream: Stream) -> None:
    with contextlib.suppress(Exception):
        stream.handle.abort()
    with contextlib.suppress(Exception):
        stream.handle.close()


def _open(
    library: Any,
    kind: Kind,
    index: int | None,
    rate: int,
    channels: int,
    frames: int,
    callback: Callable[..., None],
    ended: Callable[[], None],
) -> Stream:
    info = _device(library, kind, index)
    own_rate = round(info["default_samplerate"]) or rate
    own_channels = max(1, min(2, int(info[f"max_{kind}_channels"])))
    maker = library.RawInputStream if kind == "input" else library.RawOutputStream
    tries = dict.fromkeys([(rate, channels), (own_rate, channels), (rate, own_channels), (own_rate, own_channels)])
    failure: Exception | None = None
    for at, count in tries:
        handle = None
        try:
            handle = maker(
                samplerate=at,
                blocksize=max(1, frames * at // rate),
                device=index,
                channels=count,
                dtype="int16",
                callback=callback,
                finished_callback=ended,
            )
            latency = float(handle.latency)
            handle.start()
        except library.PortAudioError as error:
            failure = error
            if handle is not None:
                with contextlib.suppress(Exception):
                    handle.close()
            if _code(error) not in (_RATE, _CHANNELS):
                break
        else:
            return Stream(handle, str(info["name"]), at, count, latency)
    raise AudioDeviceError(_refusal(library, kind, info, rate, failure)) from failure


def _device(library: Any, kind: Kind, index: int | None) -> dict[str, Any]:
    word, option = _WORDS[kind]
    try:
        info: dict[str, Any] = library.query_devices(index, kind)
    except (library.PortAudioError, ValueError) as error:
        there = _list(library, kind)
        if not there:
            raise AudioDeviceError(
                f"there is no {word} on this computer; connect one, or use another {kind}: WavIO, WebSocketIO, "
                "BidiTextIO, or the notebook's widget"
            ) from error
        what = (
            f"no {word} is the system's default" if index is None else f"device {index} is not a {word} that is there"
        )
        raise AudioDeviceError(f"{what}; choose one by {option}: {there}") from error
    return info


def _list(library: Any, kind: Kind) -> str:
    try:
        devices = [dict(device) for device in library.query_devices()]
    except library.PortAudioError:
        return ""
    return ", ".join(f"{item['index']} {item['name']!r}" for item in devices if item[f"max_{kind}_channels"] > 0)


def _code(error: Exception) -> int | None:
    code = error.args[1] if len(error.args) > 1 else None
    return code if isinstance(code, int) else None


def _refusal(library: Any, kind: Kind, info: dict[str, Any], rate: int, error: Exception | None) -> str:
    word, option = _WORDS[kind]
    name, code = f"the {word} {info['name']!r}", _code(error) if error is not None else None
    if code == _BUSY:
        what = f"{name} is not available; another program may be using it: close that"
    elif code in (_RATE, _CHANNELS):
        what = f"{name} plays neither at {rate} Hz nor at its own {round(info['default_samplerate'])} Hz"
        what = what.replace(" plays ", " records ") if kind == "input" else what
    else:
        what = f"{name} cannot be opened ({' '.join(str(error).split())})"
    return f"{what}, or choose another one by {option}: {_list(library, kind)}"
