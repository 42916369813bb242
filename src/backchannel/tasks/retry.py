"""Retry: whether a body that raised is run again, and when. Pure."""

from __future__ import annotations

import builtins
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

__all__ = ["MAX_BACKOFF_S", "Retry", "RetryOn", "retry_fault"]

RetryOn: TypeAlias = type[BaseException] | str | Sequence[type[BaseException] | str]

MAX_BACKOFF_S = 60.0
"""The longest pause between two attempts, seconds."""


@dataclass(frozen=True, slots=True)
class Retry:
    """How often a body is run again, and after which errors.

    Args:
        retries: Further attempts after the first.
        retry_on: Exceptions after which there is one: classes, or names of classes, alone or with their module, those
            of base classes included.
        backoff_s: Longest pause before the first further attempt, seconds; it doubles with each, up to a minute.
    """

    retries: int = 0
    retry_on: tuple[type[BaseException] | str, ...] = (Exception,)
    backoff_s: float = 1.0

    def applies(self, error: BaseException, failures: int) -> bool:
        """Whether there is a further attempt after that many failures, of which ``error`` is the last."""
        if failures > self.retries:
            return False
        return any(
            _is_called(error, kind) if isinstance(kind, str) else isinstance(error, kind) for kind in self.retry_on
        )

    def pause_s(self, failures: int, chance: float) -> float:
        """Return the pause before the next attempt, seconds; ``chance`` is from 0 to 1 ("full jitter")."""
        # Far beyond the cap, powers of two would overflow.
        longest = min(self.backoff_s * 2.0 ** min(failures - 1, 64), MAX_BACKOFF_S)
        return longest * min(max(chance, 0.0), 1.0)


def retry_fault(retries: Any, retry_on: Any, backoff_s: Any) -> str | None:
    """Return what is wrong with the settings of a `Retry`, or None."""
    if isinstance(retries, bool) or not isinstance(retries, int) or retries < 0:
        return f"retries={retries!r} must be a whole number, 0 or more"
    if isinstance(backoff_s, bool) or not isinstance(backoff_s, (int, float)) or not 0 <= backoff_s < math.inf:
        return f"backoff_s={backoff_s!r} must be 0 seconds or more"
    kinds = as_tuple(retry_on)
    if not kinds or not all(isinstance(kind, str) or _is_exception(kind) for kind in kinds):
        return f"retry_on={retry_on!r} must be exception classes or their names, as in (OSError,)"
    return None


def as_tuple(retry_on: Any) -> tuple[Any, ...]:
    """Return one class or name, or several, as a tuple."""
    if isinstance(retry_on, (list, tuple, set, frozenset)):
        return tuple(retry_on)
    return (retry_on,)


def _is_called(error: BaseException, name: str) -> bool:
    kinds = type(error).__mro__
    # Some of Python's own go by several names: IOError is OSError.
    same = getattr(builtins, name.removeprefix("builtins."), None)
    return same in kinds or any(name in (kind.__name__, f"{kind.__module__}.{kind.__qualname__}") for kind in kinds)


def _is_exception(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseException)
