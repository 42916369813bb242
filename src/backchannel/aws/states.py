"""States of a Step Functions execution: how far it is, from its definition and its history. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

__all__ = ["StateProgress", "chain"]


def chain(definition: Mapping[str, Any]) -> list[str] | None:
    """Return the names of all states that an execution goes through; None where that depends on its data."""
    states = definition.get("States")
    name = definition.get("StartAt")
    names: list[str] = []
    while isinstance(states, Mapping) and isinstance(name, str) and name not in names:
        state = states.get(name)
        if not isinstance(state, Mapping) or state.get("Type") == "Choice":
            return None
        names.append(name)
        if "Next" not in state:
            return names
        name = state["Next"]
    return None


class StateProgress:
    """How far an execution is, as its history grows.

    Args:
        names: The states that it goes through, if that is known; others, within them, do not count.

    Attributes:
        seen: Id of the newest event that was taken.
        done: States that were left.
        current: The state that was entered last.
    """

    def __init__(self, names: Iterable[str] | None = None) -> None:
        self._names = None if names is None else frozenset(names)
        self.seen = 0
        self.done = 0
        self.current = ""

    @property
    def total(self) -> int | None:
        """States in all, if that is known."""
        return None if self._names is None else len(self._names)

    def take(self, events: Iterable[Mapping[str, Any]]) -> bool:
        """Take the events that are new; whether there were any."""
        new = {int(event["id"]): event for event in events if event["id"] > self.seen}
        for _, event in sorted(new.items()):
            kind = str(event.get("type", ""))
            if kind.endswith("StateEntered"):
                self.current = str(event.get("stateEnteredEventDetails", {}).get("name", ""))
            elif kind.endswith("StateExited"):
                name = event.get("stateExitedEventDetails", {}).get("name")
                self.done += self._names is None or name in self._names
        if new:
            self.seen = max(new)
        return bool(new)
