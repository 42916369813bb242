"""Links to models: the realtime contract, and the models that ship with Backchannel (imported when asked for)."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from .realtime import BidiModel, BidiModelTimeoutError, ModelProfile
from .resolve import resolve_model

if TYPE_CHECKING:
    from .bedrock_converse import BedrockConverseModel
    from .local import LocalModel, LocalTextModel
    from .openai_chat import OpenAIChatModel
    from .openai_responses import OpenAIResponsesModel
    from .scripted import ScriptedModel
    from .scripted_text import ScriptedTextModel
    from .text import TextModel

__all__ = [
    "BedrockConverseModel",
    "BidiModel",
    "BidiModelTimeoutError",
    "LocalModel",
    "LocalTextModel",
    "ModelProfile",
    "OpenAIChatModel",
    "OpenAIResponsesModel",
    "ScriptedModel",
    "ScriptedTextModel",
    "TextModel",
    "resolve_model",
]

_LAZY = {
    "BedrockConverseModel": ".bedrock_converse",
    "LocalModel": ".local",
    "LocalTextModel": ".local.written",
    "OpenAIChatModel": ".openai_chat",
    "OpenAIResponsesModel": ".openai_responses",
    "ScriptedModel": ".scripted",
    "ScriptedTextModel": ".scripted_text",
    "TextModel": ".text",
}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name], __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
