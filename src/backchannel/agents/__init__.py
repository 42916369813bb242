"""Agents: conversations between people, models, tools and background tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._lazy import lazy_names
from .approval import Approval, ApprovalRequest
from .bidi import BidiAgent
from .state import AgentState

if TYPE_CHECKING:
    from .async_agent import AsyncAgent
    from .reply import Reply
    from .sessions import FileSessionManager, S3SessionManager
    from .snapshots import load_snapshot, take_snapshot
    from .summary import SummarizingConversationManager
    from .text import Agent
    from .text_turn import AgentResult
    from .window import WindowConversationManager

__all__ = [
    "Agent",
    "AgentResult",
    "AgentState",
    "Approval",
    "ApprovalRequest",
    "AsyncAgent",
    "BidiAgent",
    "FileSessionManager",
    "Reply",
    "S3SessionManager",
    "SummarizingConversationManager",
    "WindowConversationManager",
    "load_snapshot",
    "take_snapshot",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "Agent": ".text",
        "AgentResult": ".text_turn",
        "AsyncAgent": ".async_agent",
        "FileSessionManager": ".sessions",
        "Reply": ".reply",
        "S3SessionManager": ".sessions",
        "SummarizingConversationManager": ".summary",
        "WindowConversationManager": ".window",
        "load_snapshot": ".snapshots",
        "take_snapshot": ".snapshots",
    },
)
