"""What a program keeps beside a conversation: named JSON values."""

from __future__ import annotations

import copy
import json
from typing import Any

__all__ = ["AgentState"]


class AgentState:
    """JSON values by name; what goes in and out is copied.

    Raises:
        ValueError: If a value cannot be JSON.
    """

    def __init__(self, initial_state: dict[str, Any] | None = None) -> None:
        self._values: dict[str, Any] = {}
        for key, value in (initial_state or {}).items():
            self.set(key, value)

    def get(self, key: str | None = None) -> Any:
        """Return the value named ``key``, None if there is none; without a key all of them."""
        return copy.deepcopy(self._values if key is None else self._values.get(key))

    def set(self, key: str, value: Any) -> None:
        if not isinstance(key, str) or not key.strip():
            raise ValueError(f"a state key must be a str that is not empty, not {key!r}")
        try:
            json.dumps(value)
        except (TypeError, ValueError, RecursionError) as error:
            raise ValueError(f"the value for state key {key!r} cannot be JSON: {error}") from None
        self._values[key] = copy.deepcopy(value)

    def delete(self, key: str) -> None:
        self._values.pop(key, None)
