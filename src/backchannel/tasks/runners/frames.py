"""Frames: messages over a pipe, each with its length before it."""

from __future__ import annotations

import pickle
import struct
from typing import IO, Any

__all__ = ["read_frame", "write_frame"]

_LENGTH = struct.Struct("!Q")


def write_frame(file: IO[bytes], message: tuple[Any, ...]) -> None:
    """Write one message.

    Raises:
        OSError: If nobody reads any more.
        ValueError: If the pipe is closed.
    """
    data = pickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL)
    file.write(_LENGTH.pack(len(data)))
    file.write(data)
    file.flush()


def read_frame(file: IO[bytes]) -> tuple[Any, ...] | None:
    """Wait for one message and return it; None where the other side has ended, also in the middle of one."""
    try:
        header = file.read(_LENGTH.size)
        if len(header) < _LENGTH.size:
            return None
        (length,) = _LENGTH.unpack(header)
        data = file.read(length)
    except (OSError, ValueError):
        return None
    if len(data) < length:
        return None
    message: tuple[Any, ...] = pickle.loads(data)  # noqa: S301 - from our own worker, or from whom started us
    return message
