"""Paths as users write them."""

from __future__ import annotations

import os
from pathlib import Path

from .errors import InvalidInputError

__all__ = ["expanded"]


def expanded(path: str | os.PathLike[str]) -> Path:
    """Return a path with ``~`` or ``~name`` at its beginning as that user's home directory.

    Raises:
        InvalidInputError: If that home directory is not known.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise InvalidInputError(
            f"{os.fspath(path)!r:.200}: the home directory of this user is not known; write the path from / on"
        ) from None
