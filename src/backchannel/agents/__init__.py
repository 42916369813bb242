"""Agents: conversations between people, models, tools and background tasks."""

from __future__ import annotations

from .bidi import BidiAgent
from .state import AgentState

__all__ = ["AgentState", "BidiAgent"]
