"""Converse messages: a history as Bedrock takes it, which refuses what other providers let pass. Pure.

What is refused, by all models or some: a ``json`` result that is no object, a result's status, results together with
text, names and ids with other characters than letters, digits, "_" and "-", documents without a text beside them, with
the same name or with other characters in it, reasoning without a signature or with another provider's, a message of
reasoning alone, and a conversation that does not begin with the user.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, cast

from ..messages import ContentBlock, Message, Messages, ToolResult, ToolUse, is_text, merged
from .text import FOREIGN, plain_id, plain_name

__all__ = ["converse_messages"]

_DOCUMENT_NAME = re.compile(r"[^a-zA-Z0-9\s\-()\[\]]+")
_BEGIN: Message = {"role": "user", "content": [{"text": "(The beginning of the conversation is not shown.)"}]}
_BETWEEN: Message = {"role": "assistant", "content": [{"text": "(I have these results.)"}]}
_SEE: ContentBlock = {"text": "(See the document.)"}


def converse_messages(messages: Messages, model_id: str) -> Messages:
    """Return a history as this model takes it; the messages given stay as they are."""
    return _Form(model_id).messages(messages)


class _Form:
    def __init__(self, model_id: str) -> None:
        named = model_id.lower()
        unknown = "arn:" in named
        self._is_claude = "anthropic" in named
        self._takes_reasoning = self._is_claude or unknown
        self._takes_all_together = self._is_claude or unknown or "amazon." in named
        self._document_names: set[str] = set()

    def messages(self, messages: Messages) -> Messages:
        taken = merged(message for given in messages if (message := self._message(given))["content"])
        if taken and taken[0]["role"] == "assistant":
            taken.insert(0, _BEGIN)
        return taken if self._takes_all_together else [part for message in taken for part in _parts(message)]

    def _message(self, message: Message) -> Message:
        content = [block for given in message["content"] if (block := self._block(given))]
        if all("reasoningContent" in block for block in content):
            content = []
        if any("document" in block for block in content) and not any("text" in block for block in content):
            content.append(_SEE)
        return {"role": message["role"], "content": content}

    def _block(self, block: ContentBlock) -> ContentBlock | None:
        if "text" in block:
            return {"text": block["text"]} if is_text(block["text"]) else None
        if "toolUse" in block:
            use = block["toolUse"]
            named: ToolUse = {
                "toolUseId": plain_id(use["toolUseId"]), "name": plain_name(use["name"]), "input": use["input"]
            }  # fmt: skip
            return {"toolUse": named}
        if "toolResult" in block:
            return {"toolResult": self._result(block["toolResult"])}
        if "document" in block:
            return {"document": self._document(block["document"])}
        reasoning: Any = block.get("reasoningContent")
        if reasoning is not None and not (self._takes_reasoning and _is_own_reasoning(reasoning)):
            return None
        return block

    def _result(self, result: ToolResult) -> ToolResult:
        content: list[Any] = []
        for piece in result["content"]:
            if "json" in piece:
                piece = {"text": json.dumps(piece["json"], ensure_ascii=False)}
            elif "document" in piece:
                piece = {"document": self._document(piece["document"])}
            if "text" not in piece or is_text(piece["text"]):
                content.append(piece)
        taken = {"toolUseId": plain_id(result["toolUseId"]), "content": content or [{"text": '""'}]}
        return cast("ToolResult", {**taken, "status": result["status"]} if self._is_claude else taken)

    def _document(self, document: Mapping[str, Any]) -> dict[str, Any]:
        name = " ".join(_DOCUMENT_NAME.sub("-", str(document.get("name") or "")).split())[:150].strip() or "document"
        unique, number = name, 2
        while unique in self._document_names:
            unique, number = f"{name} ({number})", number + 1
        self._document_names.add(unique)
        return {**document, "name": unique}


def _parts(message: Message) -> Messages:
    """Return results and what is said with them as two messages, with one of the other side between them."""
    results = [block for block in message["content"] if "toolResult" in block]
    others = [block for block in message["content"] if "toolResult" not in block]
    if not results or not others:
        return [message]
    return [{"role": "user", "content": results}, _BETWEEN, {"role": "user", "content": others}]


def _is_own_reasoning(reasoning: Any) -> bool:
    """Whether reasoning can be given back: it is signed, and by a model of Bedrock's."""
    if not isinstance(reasoning, Mapping) or "redactedContent" in reasoning:
        return isinstance(reasoning, Mapping)
    text = reasoning.get("reasoningText")
    signature = text.get("signature") if isinstance(text, Mapping) else None
    return isinstance(signature, str) and bool(signature) and not signature.startswith(FOREIGN)
