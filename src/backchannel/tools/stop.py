"""stop_conversation: the tool with which a model ends the conversation. The agent acts on its name."""

from __future__ import annotations

from .tool import tool

__all__ = ["stop_conversation"]


@tool
async def stop_conversation(reason: str = "") -> str:
    """End this conversation. Call it only when the user says goodbye or asks to stop talking.

    Args:
        reason: Why it ends, in a few words.
    """
    return f"The conversation ends: {reason}" if reason else "The conversation ends."
