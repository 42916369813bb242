"""The conversation's history, in the form of Bedrock's Converse API, and the protocols that name higher layers.

Form: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Message.html
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from typing import Any, Literal, NotRequired, Protocol, TypedDict, runtime_checkable

__all__ = [
    "AgentTool",
    "ContentBlock",
    "Message",
    "Messages",
    "Role",
    "ToolResult",
    "ToolResultContent",
    "ToolResultStatus",
    "ToolSpec",
    "ToolUse",
    "tool_pair",
    "validate_messages",
]

Role = Literal["user", "assistant"]
ToolResultStatus = Literal["success", "error"]


class ToolUse(TypedDict):
    """A model's call: run the tool ``name`` with ``input``."""

    input: Any
    name: str
    toolUseId: str


class ToolResultContent(TypedDict, total=False):
    """One piece of a tool's result."""

    text: str
    json: Any
    image: dict[str, Any]
    document: dict[str, Any]


class ToolResult(TypedDict):
    """What a call produced."""

    content: list[ToolResultContent]
    status: ToolResultStatus
    toolUseId: str


class ContentBlock(TypedDict, total=False):
    """One piece of a message."""

    text: str
    toolUse: ToolUse
    toolResult: ToolResult
    image: dict[str, Any]
    document: dict[str, Any]


class Message(TypedDict):
    """One message of the history."""

    content: list[ContentBlock]
    role: Role


Messages = list[Message]


class ToolSpec(TypedDict):
    """What a model is told of a tool; ``inputSchema`` is ``{"json": <JSON schema>}``."""

    name: str
    description: str
    inputSchema: dict[str, Any]
    outputSchema: NotRequired[dict[str, Any]]


@runtime_checkable
class AgentTool(Protocol):
    """What the agent needs of a tool, whoever made it.

    ``stream`` yields any number of intermediate values and last the result: a ``ToolResultEvent``,
    or a plain `ToolResult`.
    """

    @property
    def tool_name(self) -> str: ...
    @property
    def tool_spec(self) -> Any: ...
    @property
    def tool_type(self) -> str: ...
    def stream(self, tool_use: Any, invocation_state: dict[str, Any], **kwargs: Any) -> AsyncIterator[Any]: ...


def tool_pair(tool_use: ToolUse, result: ToolResult) -> tuple[Message, Message]:
    """Return a call and its result as the two messages that stand next to each other in a history."""
    return (
        {"role": "assistant", "content": [{"toolUse": tool_use}]},
        {"role": "user", "content": [{"toolResult": result}]},
    )


def validate_messages(messages: Iterable[Message]) -> list[str]:
    """Say what makes a history invalid for a provider; an empty list means that it is valid.

    Checked: roles, non-empty content, and that every call is followed at once by the message with its result.
    """
    faults: list[str] = []
    open_calls: set[str] = set()
    for index, message in enumerate(messages):
        if message.get("role") not in ("user", "assistant"):
            faults.append(f"message {index}: role {message.get('role')!r} is neither 'user' nor 'assistant'")
        blocks = message.get("content") or []
        if not blocks:
            faults.append(f"message {index}: no content")
        results = {block["toolResult"]["toolUseId"] for block in blocks if "toolResult" in block}
        if open_calls - results:
            faults.append(f"message {index}: no result for the calls {sorted(open_calls - results)}")
        if results - open_calls:
            faults.append(f"message {index}: results for unknown calls {sorted(results - open_calls)}")
        open_calls = {block["toolUse"]["toolUseId"] for block in blocks if "toolUse" in block}
    if open_calls:
        faults.append(f"the history ends with the calls {sorted(open_calls)} open")
    return faults
