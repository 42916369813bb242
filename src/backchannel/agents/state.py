"""What a program keeps beside a conversation: named JSON values."""

from __future__ import annotations

import copy
import itertools
import json
from collections.abc import Mapping
from typing import Any

__all__ = ["AgentState"]


class AgentState:
    """JSON values by name; what goes in and out is copied.

    Raises:
        ValueError: If a value cannot be JSON.
    """

    def __init__(self, initial_state: dict[str, Any] | None = None) -> None:
        self._values: dict[str, Any] = {}
        self._counter = itertools.count(1)
        self._changes = 0
        for key, value in (initial_state or {}).items():
            self.set(key, value)

    @property
    def changes(self) -> int:
        """A number that is another one after every ``set``, ``delete`` and ``replace``."""
        return self._changes

    def get(self, key: str | None = None) -> Any:
        """Return the value named ``key``, None if there is none; without a key all of them."""
        return copy.deepcopy(self._values if key is None else self._values.get(key))

    def set(self, key: str, value: Any) -> None:
        self._values[key] = _checked(key, value)
        self._changes = next(self._counter)

    def delete(self, key: str) -> None:
        self._values.pop(key, None)
        self._changes = next(self._counter)

    def replace(self, values: Mapping[str, Any]) -> None:
        """Put these values in place of all others; with an error, nothing changes."""
        self._values = {key: _checked(key, value) for key, value in values.items()}
        self._changes = next(self._counter)


def _checked(key: str, value: Any) -> Any:
    if not isinstance(key, str) or not key.strip():
        raise ValueError(f"a state key must be a str that is not empty, not {key!r}")
    try:
        json.dumps(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"the value for state key {key!r} cannot be JSON: {error}") from None
    return copy.deepcopy(value)
