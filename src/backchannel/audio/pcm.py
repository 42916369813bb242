"""PCM: samples as arrays and bytes, their level, and WAV files in memory. Pure.

Samples are numpy int16 arrays; mono arrays have one dimension.
"""

from __future__ import annotations

import struct
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..errors import AudioFormatError

__all__ = [
    "Samples",
    "dither",
    "from_bytes",
    "level_db",
    "mono",
    "read_wav",
    "rms",
    "speech_gain",
    "to_int16",
    "write_wav",
]

Samples: TypeAlias = NDArray[np.int16]

_FULL = 32768.0
_INTEGER, _FLOAT, _EXTENSIBLE = 1, 3, 0xFFFE
_OTHER_FORMATS = {2: "ADPCM", 6: "A-law", 7: "mu-law", 17: "IMA ADPCM", 85: "MP3"}
_MOST_RATE = 384_000


def from_bytes(data: bytes, channels: int = 1) -> Samples:
    """Return little-endian 16 bit samples, mixed to mono.

    Raises:
        AudioFormatError: If ``data`` ends within a sample.
    """
    if len(data) % (2 * channels):
        raise AudioFormatError(f"{len(data)} bytes are not whole 16 bit samples of {channels} channel(s)")
    return mono(np.frombuffer(data, dtype="<i2").astype(np.int16, copy=False), channels)


def mono(samples: Samples, channels: int) -> Samples:
    """Mix interleaved channels to one."""
    if channels == 1:
        return samples
    return to_int16(samples.reshape(-1, channels).mean(axis=1))


def to_int16(values: NDArray[np.floating[Any]]) -> Samples:
    """Round and clip to 16 bit samples."""
    clipped: Samples = np.clip(np.rint(values), -32768, 32767).astype(np.int16)
    return clipped


def rms(samples: Samples) -> float:
    """Return the root mean square, in steps of 16 bit samples; 0 for no samples."""
    return float(np.sqrt(np.mean(np.square(samples, dtype=np.float64)))) if len(samples) else 0.0


def level_db(samples: Samples) -> float:
    """Return the level in dB below full scale; -inf for silence."""
    value = rms(samples)
    return float(20 * np.log10(value / _FULL)) if value else float("-inf")


def dither(samples: Samples, amplitude: float, noise: np.random.Generator) -> Samples:
    """Add white noise of ``amplitude`` (rms, in steps): digital silence ruins recognition."""
    added = samples + noise.normal(0.0, amplitude, len(samples))
    return to_int16(added)


def speech_gain(samples: Samples, target_db: float = -24.0, most_gain_db: float = 40.0) -> float:
    """Return the factor that brings speech to a level in dB below full scale, never clipping it."""
    if not len(samples):
        return 1.0
    step = min(320, len(samples))
    frames = samples[: len(samples) // step * step].astype(np.float64).reshape(-1, step)
    loud = float(np.percentile(np.sqrt(np.mean(frames**2, axis=1)), 85))
    if loud < 1.0:
        return 1.0
    gain = min(10 ** (target_db / 20) * _FULL / loud, 10 ** (most_gain_db / 20))
    peak = float(np.max(np.abs(samples.astype(np.int32))))
    return float(min(gain, max(1.0, 32000.0 / peak)))


def write_wav(samples: Samples, rate: int, channels: int = 1) -> bytes:
    """Return a 16 bit PCM WAV file; ``rate`` in Hz, channels interleaved."""
    data = np.asarray(samples).astype("<i2").tobytes()
    head = struct.pack("<IHHIIHH", 16, _INTEGER, channels, rate, rate * channels * 2, channels * 2, 16)
    return (
        b"RIFF" + struct.pack("<I", 36 + len(data)) + b"WAVEfmt " + head + b"data" + struct.pack("<I", len(data)) + data
    )


def read_wav(data: bytes, name: str = "the WAV file") -> tuple[Samples, int]:
    """Return a WAV file's samples, mixed to mono, and its rate in Hz.

    Integer samples of 8, 16, 24 and 32 bit and floats of 32 and 64 bit are converted. A file cut off within its data
    gives what is there.

    Raises:
        AudioFormatError: If it is not a WAV file, holds no samples, or is compressed; names the file.
    """
    if len(data) < 12 or data[:4] != b"RIFF" or data[8:12] != b"WAVE":
        raise AudioFormatError(f"{name} is not a WAV file" + (" but empty" if not data else ""))
    head: bytes | None = None
    at = 12
    while at + 8 <= len(data):
        kind, size = data[at : at + 4], struct.unpack_from("<I", data, at + 4)[0]
        body = data[at + 8 : at + 8 + size]
        if kind == b"fmt ":
            head = body
        elif kind == b"data":
            if head is None:
                raise AudioFormatError(f"{name} has samples before the chunk that says what they are")
            return _decode(head, body, name)
        at += 8 + size + size % 2
    raise AudioFormatError(f"{name} is cut off: it has no samples")


def _decode(head: bytes, body: bytes, name: str) -> tuple[Samples, int]:
    if len(head) < 16:
        raise AudioFormatError(f"{name} is cut off: its format chunk has {len(head)} of 16 bytes")
    kind, channels, rate, _, _, bits = struct.unpack_from("<HHIIHH", head)
    if kind == _EXTENSIBLE and len(head) >= 26:
        kind = struct.unpack_from("<H", head, 24)[0]
    if not 1 <= channels <= 64 or not 1000 <= rate <= _MOST_RATE:
        raise AudioFormatError(f"{name} says {channels} channels at {rate} Hz, which cannot be played")
    if (kind, bits) not in _READERS:
        what = _OTHER_FORMATS.get(kind, f"format {kind} with {bits} bit samples")
        raise AudioFormatError(f"{name} holds {what}; save it as PCM, for example with 16 bit samples")
    frame = channels * bits // 8
    body = body[: len(body) // frame * frame]
    if not body:
        raise AudioFormatError(f"{name} holds no samples")
    values = _READERS[kind, bits](body).reshape(-1, channels).mean(axis=1)
    return to_int16(np.nan_to_num(values) * _FULL), rate


def _read_24(body: bytes) -> NDArray[np.float64]:
    raw = np.frombuffer(body, dtype=np.uint8).reshape(-1, 3).astype(np.int32)
    return (((raw[:, 0] << 8) | (raw[:, 1] << 16) | (raw[:, 2] << 24)) >> 8) / float(1 << 23)


def _reader(kind: str, scale: float, offset: float = 0.0) -> Any:
    return lambda body: (np.frombuffer(body, dtype=kind).astype(np.float64) - offset) / scale


_READERS: dict[tuple[int, int], Any] = {
    (_INTEGER, 8): _reader("u1", 128.0, 128.0),
    (_INTEGER, 16): _reader("<i2", _FULL),
    (_INTEGER, 24): _read_24,
    (_INTEGER, 32): _reader("<i4", float(1 << 31)),
    (_FLOAT, 32): _reader("<f4", 1.0),
    (_FLOAT, 64): _reader("<f8", 1.0),
}
