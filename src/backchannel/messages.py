"""The conversation's history, in the form of Bedrock's Converse API, and the protocols that name higher layers.

Form: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Message.html
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from typing import Any, Literal, NotRequired, Protocol, TypedDict, runtime_checkable

from .errors import InvalidInputError

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
    "check_messages",
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

    Checked: the form of every message, and that every call is followed at once by the message with its result.
    """
    faults: list[str] = []
    open_calls: set[str] = set()
    for index, message in enumerate(messages):
        if wrong := _faults_of(message):
            faults.extend(f"message {index}: {fault}" for fault in wrong)
            continue
        blocks = message["content"]
        results = {block["toolResult"]["toolUseId"] for block in blocks if "toolResult" in block}
        if open_calls - results:
            faults.append(f"message {index}: no result for the calls {sorted(open_calls - results)}")
        if results - open_calls:
            faults.append(f"message {index}: results for unknown calls {sorted(results - open_calls)}")
        open_calls = {block["toolUse"]["toolUseId"] for block in blocks if "toolUse" in block}
    if open_calls:
        faults.append(f"the history ends with the calls {sorted(open_calls)} open")
    return faults


def check_messages(messages: object) -> Messages:
    """Return a history, the list itself, if every message has the right form.

    Whether calls have their results is not looked at: a history may have been cut in between.

    Raises:
        TypeError: If it is not a list.
        InvalidInputError: If a message has not the form that models are given; says which, and why.
    """
    if not isinstance(messages, list):
        raise TypeError(f"messages must be a list of messages, not {type(messages).__name__}")
    for index, message in enumerate(messages):
        if faults := _faults_of(message):
            raise InvalidInputError(f"messages[{index}]: {'; '.join(faults[:3])}")
    return messages


def _faults_of(message: object) -> list[str]:
    if not isinstance(message, Mapping):
        return [f"it is a {type(message).__name__}, not a dict with role and content"]
    faults: list[str] = []
    role, content = message.get("role"), message.get("content")
    if role not in ("user", "assistant"):
        faults.append(f"role {role!r:.60} is neither 'user' nor 'assistant'")
    if not isinstance(content, list):
        hint = "; write [{'text': ...}]" if isinstance(content, str) else ""
        faults.append(f"content is a {type(content).__name__}, not a list of blocks{hint}")
    elif not content:
        faults.append("no content")
    else:
        for index, block in enumerate(content):
            faults.extend(f"content[{index}]: {fault}" for fault in _block_faults(block))
    return faults


def _block_faults(block: object) -> Iterator[str]:
    if not isinstance(block, Mapping):
        yield f"it is a {type(block).__name__}, not a dict"
        return
    if not block:
        yield "it is empty"
    if "text" in block:
        yield from _text_faults(block["text"])
    for kind, needed in (("toolUse", ("toolUseId", "name")), ("toolResult", ("toolUseId",))):
        if kind not in block:
            continue
        part = block[kind]
        if not isinstance(part, Mapping):
            yield f"{kind} is a {type(part).__name__}, not a dict"
            continue
        for name in needed:
            if not isinstance(part.get(name), str) or not part[name]:
                yield f"{kind} has no {name}"
        if kind == "toolUse" and "input" not in part:
            yield "toolUse has no input"
        if kind == "toolResult" and not _is_blocks(part.get("content")):
            yield "toolResult has no list of content blocks"


def _text_faults(text: object) -> Iterator[str]:
    if not isinstance(text, str):
        yield f"text is a {type(text).__name__}, not a str"
        return
    try:
        text.encode()
    except UnicodeEncodeError as error:
        yield f"text has half of a surrogate pair at position {error.start}; UTF-8 and JSON cannot carry it"


def _is_blocks(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, Mapping) for item in value)
