"""Chat messages: a history in the form that OpenAI's chat completions take it. Pure."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from typing import Any

from ..messages import ContentBlock, Message, Messages, ToolResult
from .text import FOREIGN, plain_id, plain_name

__all__ = ["chat_messages", "reasoning_seal"]

_MOST_ID = 40
"""Characters of an id that OpenAI takes here."""


def chat_messages(messages: Messages, system_prompt: str | None, model_id: str) -> list[dict[str, Any]]:
    """Return a history and the system prompt as chat messages.

    What the model itself thought goes back to it, as ``reasoning_content``; what others thought does not.
    """
    own = reasoning_seal(model_id)
    thinks = any(_thoughts(message, own) for message in messages)
    chat: list[dict[str, Any]] = []
    if system_prompt and system_prompt.strip():
        chat.append({"role": "system", "content": system_prompt})
    for message in messages:
        if message["role"] == "assistant":
            for said in _assistant(message):
                # Servers that think aloud want all of it back, also that there was nothing before a call.
                thoughts = _thoughts(message, own)
                chat.append({**said, "reasoning_content": thoughts} if thinks else said)
        else:
            chat.extend(_user(message))
    return chat


def reasoning_seal(model_id: str) -> str:
    """Return what marks reasoning as this model's own, as the signature of a reasoning block."""
    return f"{FOREIGN}chat-completions {model_id}"


def _thoughts(message: Message, own: str) -> str:
    blocks: list[Any] = [block.get("reasoningContent") for block in message["content"]]
    texts = [block.get("reasoningText") for block in blocks if isinstance(block, Mapping)]
    return "".join(
        str(text.get("text")) for text in texts if isinstance(text, Mapping) and text.get("signature") == own
    )


def _assistant(message: Message) -> Iterator[dict[str, Any]]:
    text = "\n".join(block["text"] for block in message["content"] if "text" in block)
    calls = [
        {
            "id": plain_id(call["toolUseId"], _MOST_ID),
            "type": "function",
            "function": {"name": plain_name(call["name"]), "arguments": json.dumps(call["input"], ensure_ascii=False)},
        }
        for block in message["content"]
        if "toolUse" in block and (call := block["toolUse"])
    ]
    if text or calls:
        yield {"role": "assistant", "content": text or None, **({"tool_calls": calls} if calls else {})}


def _user(message: Message) -> Iterator[dict[str, Any]]:
    parts: list[dict[str, Any]] = []
    for block in message["content"]:
        if "toolResult" in block:
            result = block["toolResult"]
            yield {
                "role": "tool",
                "tool_call_id": plain_id(result["toolUseId"], _MOST_ID),
                "content": _result_text(result),
            }
            parts += [_part(piece) for piece in result["content"] if "image" in piece]  # type: ignore[arg-type]
        else:
            parts.append(_part(block))
    if parts:
        only_text = all(part["type"] == "text" for part in parts)
        yield {"role": "user", "content": "\n".join(part["text"] for part in parts) if only_text else parts}


def _result_text(result: ToolResult) -> str:
    pieces = []
    for piece in result["content"]:
        if "text" in piece:
            pieces.append(piece["text"])
        elif "json" in piece:
            pieces.append(json.dumps(piece["json"], ensure_ascii=False))
        else:
            pieces.append(f"({next(iter(piece), 'nothing')} follows)" if "image" in piece else "(not shown)")
    return "\n".join(pieces) or '""'


def _part(block: ContentBlock) -> dict[str, Any]:
    if "text" in block:
        return {"type": "text", "text": block["text"]}
    image = block.get("image")
    data = image.get("source", {}).get("bytes") if isinstance(image, Mapping) else None
    if image is not None and isinstance(data, bytes):
        url = f"data:image/{image.get('format', 'png')};base64,{base64.b64encode(data).decode()}"
        return {"type": "image_url", "image_url": {"url": url}}
    return {"type": "text", "text": f"({next(iter(block), 'nothing')}, not shown)"}
