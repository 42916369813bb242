"""What `BidiAgent` is constructed with, checked: each function returns its argument, or says what is wrong with it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from ..errors import InvalidInputError
from .state import AgentState

__all__ = ["hooks", "identifier", "state", "system_prompt", "tools"]

LONGEST_ID = 200
"""Characters of an agent's id: it becomes part of file names."""


def identifier(agent_id: object) -> str:
    """An id without path separators."""
    if not isinstance(agent_id, str):
        raise TypeError(f"agent_id must be a str, not {type(agent_id).__name__}")
    if not agent_id.strip() or agent_id in (".", "..") or len(agent_id) > LONGEST_ID:
        raise InvalidInputError(f"agent_id {agent_id[:50]!r} is empty, a path, or longer than {LONGEST_ID} characters")
    if "/" in agent_id or "\\" in agent_id:
        raise InvalidInputError(f"agent_id {agent_id!r} has a path separator; use another name")
    return agent_id


def system_prompt(prompt: object) -> str | None:
    """Text, or None."""
    if prompt is not None and not isinstance(prompt, str):
        raise TypeError(f"system_prompt must be a str or None, not {type(prompt).__name__}")
    return prompt


def hooks(providers: object) -> Sequence[Any]:
    """A list of hook providers; each of them is checked when it is added."""
    if providers is None:
        return []
    if not isinstance(providers, Iterable) or isinstance(providers, str | bytes | dict):
        raise TypeError(f"hooks must be a list of hook providers, not {type(providers).__name__}")
    return list(providers)


def tools(entries: object) -> list[Any]:
    """A list of tools; each of them is checked when it is registered."""
    if not isinstance(entries, Iterable) or isinstance(entries, str | bytes | dict):
        raise TypeError(f"tools must be a list of tools, not {type(entries).__name__}")
    return list(entries)


def state(value: object) -> AgentState:
    """An agent's state, made from a dict if it is one."""
    if value is None:
        return AgentState()
    if isinstance(value, AgentState):
        return value
    if isinstance(value, dict):
        return AgentState(value)
    raise InvalidInputError(f"state must be an AgentState or a dict, not {type(value).__name__}")
