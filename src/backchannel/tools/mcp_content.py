"""What an MCP tool returned, as the content of a result. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from ..messages import ToolResultContent
from .text import LIMIT, cut, text_of

__all__ = ["result_content"]

BLOCKS = 32
"""Blocks of one result that a model is given."""

_IMAGES = {"image/png": "png", "image/jpeg": "jpeg", "image/jpg": "jpeg", "image/gif": "gif", "image/webp": "webp"}


def result_content(blocks: Sequence[Any], structured: Any = None) -> list[ToolResultContent]:
    """Return the blocks of a result: text, images, and the structured value where no text says the same.

    Args:
        blocks: Content blocks as the ``mcp`` package has them.
        structured: The structured value, or None.
    """
    content = [_block(block) for block in blocks[:BLOCKS]]
    if len(blocks) > BLOCKS:
        content.append({"text": f"... and {len(blocks) - BLOCKS:,} more"})
    texts = [block.text for block in blocks if getattr(block, "type", None) == "text"]
    if structured is not None and not _says(texts, structured):
        content.append(_value(structured))
    return content or [{"text": text_of(None)}]


def _block(block: Any) -> ToolResultContent:
    match getattr(block, "type", None):
        case "text":
            return {"text": cut(block.text, LIMIT) or '""'}
        case "image":
            kind = _IMAGES.get(str(block.mime_type).casefold())
            if kind is not None:
                return {"image": {"format": kind, "source": {"bytes": block.data}}}
            return {"text": f"an image ({cut(str(block.mime_type), 60)}) that cannot be shown"}
        case "audio":
            return {"text": f"a sound ({cut(str(block.mime_type), 60)}, {len(block.data) * 3 // 4:,} bytes)"}
        case "resource":
            resource = block.resource
            if isinstance(text := getattr(resource, "text", None), str):
                return {"text": cut(text, LIMIT) or '""'}
            size = len(getattr(resource, "blob", "")) * 3 // 4
            return {"text": f"a file: {cut(str(resource.uri), 400)} ({size:,} bytes)"}
        case "resource_link":
            about = f": {block.description}" if block.description else ""
            return {"text": cut(f"{block.name} ({block.uri}){about}", 800)}
    return {"text": f"content of the kind {cut(str(getattr(block, 'type', type(block).__name__)), 60)}"}


def _value(value: Any) -> ToolResultContent:
    try:
        short = len(json.dumps(value, ensure_ascii=False, allow_nan=False)) <= LIMIT
    except (TypeError, ValueError, RecursionError):
        short = False
    return {"json": value} if short else {"text": text_of(value)}


def _says(texts: Sequence[str], value: Any) -> bool:
    """Whether the texts are the value in JSON: servers send both, for clients that know only one of them."""
    wanted = [value]
    if isinstance(value, Mapping) and set(value) == {"result"}:
        wanted.append(value["result"])
    read = [_read(text) for text in texts]
    said: list[Any] = [read] if len(read) != 1 else [read[0], texts[0], read]
    return any(item == want for item in said for want in wanted)


def _read(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
