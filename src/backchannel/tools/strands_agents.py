"""Strands: a tool of ours among the tools of an agent of Strands. Nothing of Strands is imported."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

__all__ = ["is_called_by_strands", "make_known_to_strands"]


def make_known_to_strands(kind: type[Any]) -> None:
    """Let agents of Strands take instances of this class as tools, if Strands was imported."""
    tools = sys.modules.get("strands.types.tools")
    base = getattr(tools, "AgentTool", None)
    if isinstance(base, type) and not issubclass(kind, base):
        base.register(kind)  # type: ignore[attr-defined]


def is_called_by_strands(invocation_state: Mapping[str, Any]) -> bool:
    """Whether an agent of Strands makes the call. It takes the last thing that a tool yields as its result."""
    agent = invocation_state.get("agent")
    return any(kind.__module__.partition(".")[0] == "strands" for kind in type(agent).__mro__)
