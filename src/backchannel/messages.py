"""The conversation's history, in the form of Bedrock's Converse API, and the protocols that name higher layers.

Form: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Message.html
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Collection, Iterable, Iterator, Mapping
from typing import Any, Literal, NotRequired, Protocol, TypedDict, cast, runtime_checkable

from .errors import InvalidInputError

__all__ = [
    "BACKGROUND_NOTICE",
    "AgentTool",
    "ContentBlock",
    "Message",
    "Messages",
    "Origin",
    "Role",
    "ToolResult",
    "ToolResultContent",
    "ToolResultStatus",
    "ToolSpec",
    "ToolUse",
    "call_ids",
    "check_messages",
    "is_json",
    "is_text",
    "merged",
    "message_faults",
    "text_block",
    "tool_pair",
    "validate_messages",
    "without_origins",
]

BACKGROUND_NOTICE = "This tool works in the background."
"""In the description of each tool whose calls are answered with an acknowledgement, and with the result later."""

Role = Literal["user", "assistant"]
Origin = Literal["user", "results", "progress", "approval"]
"""Where a text with the role ``user`` comes from: the user, or the agent itself, which tells the model of something."""
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
    """One piece of a message.

    ``origin`` stands beside a text that the agent has put there itself; without it the words are those of the role.
    No model is given it.
    """

    text: str
    origin: Origin
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


def text_block(text: str, origin: Origin = "user") -> ContentBlock:
    """Return a text as content, with where it comes from unless that is the user."""
    return {"text": text} if origin == "user" else {"text": text, "origin": origin}


def without_origins(messages: Messages) -> Messages:
    """Return the history as models are given it: without the origins of texts. Other messages are the same objects."""
    return [
        {**message, "content": [_without_origin(block) for block in message["content"]]}
        if any("origin" in block for block in message["content"])
        else message
        for message in messages
    ]


def _without_origin(block: ContentBlock) -> ContentBlock:
    return cast("ContentBlock", {kind: value for kind, value in block.items() if kind != "origin"})


def merged(messages: Iterable[Message]) -> Messages:
    """Return the history with neighbours of one role made into one message, as some providers demand.

    What is valid stays valid, except that a message with an open call may grow. The messages given stay as they are.
    """
    result: Messages = []
    for message in messages:
        if result and result[-1]["role"] == message["role"]:
            result[-1] = {"role": message["role"], "content": [*result[-1]["content"], *message["content"]]}
        else:
            result.append(message)
    return result


def validate_messages(messages: Iterable[Message], open_ok: Collection[str] = ()) -> list[str]:
    """Say what makes a history invalid for a provider; an empty list means that it is valid. Never raises.

    Checked: roles; content that is there and of the form's kinds; text that is not blank; that calls are the
    assistant's, with ids of their own, and each is followed at once by the message that begins with its result.

    Args:
        messages: The history. Whatever it holds, it is only looked at.
        open_ok: Ids of calls that may be without a result, for providers that take a call whose result comes later.
    """
    faults: list[str] = []
    used: set[str] = set()
    asked: set[str] = set()
    for index, message in enumerate(messages):
        own = message_faults(message)
        calls, results = call_ids(message, "toolUse"), call_ids(message, "toolResult")
        if missing := asked.difference(results, open_ok):
            own.append(f"no result for the calls {_listed(missing)}")
        if unknown := set(results) - asked:
            own.append(f"results for unknown calls {_listed(unknown)}")
        if len(results) > len(set(results)):
            own.append("several results for one call")
        asked = set(calls)
        if again := used & asked | {call for call in asked if calls.count(call) > 1}:
            own.append(f"the ids {_listed(again)} were given to earlier calls")
        used |= asked
        faults += [f"message {index}: {fault}" for fault in own]
    if missing := asked.difference(open_ok):
        faults.append(f"the history ends with the calls {_listed(missing)} open")
    return faults


def check_messages(messages: object) -> Messages:
    """Return a history, the list itself, if every message has the right form.

    Whether calls have their results, and whether a provider takes all of it, is not looked at: that can be repaired.

    Raises:
        TypeError: If it is not a list.
        InvalidInputError: If a message has not the form that models are given; says which, and why.
    """
    if not isinstance(messages, list):
        raise TypeError(f"messages must be a list of messages, not {type(messages).__name__}")
    for index, message in enumerate(messages):
        if faults := _form_faults(message):
            raise InvalidInputError(f"messages[{index}]: {'; '.join(faults[:3])}")
    return messages


def message_faults(message: object) -> list[str]:
    """Say what makes one message invalid for a provider, whatever its neighbours are; empty if nothing does."""
    return _form_faults(message) or _needs_faults(cast("Message", message))


def call_ids(message: object, kind: Literal["toolUse", "toolResult"]) -> list[str]:
    """Return the ids of the calls that a message makes, or has results of, as far as they can be made out."""
    content = message.get("content") if isinstance(message, Mapping) else None
    blocks = content if isinstance(content, list) else []
    values = [block[kind] for block in blocks if isinstance(block, Mapping) and kind in block]
    ids = [value.get("toolUseId") for value in values if isinstance(value, Mapping)]
    return [call_id for call_id in ids if isinstance(call_id, str)]


def is_json(value: object) -> bool:
    """Return whether a value can be sent as JSON as it is."""
    try:
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError):
        return False
    return True


def is_text(value: object) -> bool:
    """Return whether a value is text that a provider takes: not blank, and without halves of surrogate pairs."""
    if not isinstance(value, str) or not value or value.isspace():
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _form_faults(message: object) -> list[str]:
    if not isinstance(message, Mapping):
        return [f"it is a {type(message).__name__}, not a dict with role and content"]
    faults: list[str] = []
    role, content = message.get("role"), message.get("content")
    if not isinstance(role, str) or role not in ("user", "assistant"):
        faults.append(f"role {_shown(role)} is neither 'user' nor 'assistant'")
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


def _needs_faults(message: Message) -> list[str]:
    """Say what a provider refuses in a message that has the right form."""
    faults: list[str] = []
    for index, block in enumerate(message["content"]):
        if fault := _block_fault(block, message["role"]):
            faults.append(f"content[{index}]: {fault}")
    first = ["toolResult" in block for block in message["content"]]
    if first != sorted(first, reverse=True):
        faults.append("the results do not come first")
    return faults


def _block_fault(block: ContentBlock, role: Role) -> str:
    kinds = {kind: value for kind, value in block.items() if kind != "origin"}
    if len(kinds) != 1:
        return f"it is of several kinds, {_listed(map(str, kinds))}" if kinds else "it says nothing"
    ((kind, value),) = kinds.items()
    match kind:
        case "text":
            return "" if is_text(value) else "its text is blank"
        case "toolUse":
            if role != "assistant":
                return "a call in a message that is not the assistant's"
            return _call_fault(block["toolUse"])
        case "toolResult":
            if role != "user":
                return "a result in a message that is not the user's"
            return _result_fault(block["toolResult"])
    return "" if isinstance(value, Mapping) else f"{_shown(kind)} is a {type(value).__name__}, not a dict"


def _call_fault(call: ToolUse) -> str:
    if not is_text(call["toolUseId"]) or not is_text(call["name"]):
        return "the name or the id of the call is blank"
    if not isinstance(call["input"], Mapping) or not is_json(call["input"]):
        return f"the input of the call {_shown(call['toolUseId'])} is not a JSON object"
    return ""


def _result_fault(result: ToolResult) -> str:
    of = f"the result of the call {_shown(result['toolUseId'])}"
    if not is_text(result["toolUseId"]):
        return "the id of the result is blank"
    if result.get("status") not in ("success", "error"):
        return f"{of} has the status {_shown(result.get('status'))}, neither 'success' nor 'error'"
    return next((f"{of}: {fault}" for piece in result["content"] if (fault := _piece_fault(piece))), "")


def _piece_fault(piece: ToolResultContent) -> str:
    if len(piece) != 1:
        return f"a block of it is of {'several kinds' if piece else 'no kind'}"
    ((kind, value),) = piece.items()
    match kind:
        case "text":
            return "" if is_text(value) else "its text is blank, or none"
        case "json":
            return "" if is_json(value) else "its json is not JSON"
    return "" if isinstance(value, Mapping) else f"{_shown(kind)} is a {type(value).__name__}, not a dict"


def _shown(value: object) -> str:
    if isinstance(value, str):
        return repr(value) if len(value) <= 80 else f"{value[:77]!r}..."
    return str(value) if value is None else f"of type {type(value).__name__}"


def _listed(ids: Iterable[str]) -> str:
    listed = sorted(ids)
    more = f" and {len(listed) - 5:,} more" if len(listed) > 5 else ""
    return f"[{', '.join(map(_shown, listed[:5]))}]{more}"
