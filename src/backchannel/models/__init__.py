"""Links to models: the realtime contract, and the models that ship with Backchannel (imported when asked for)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._lazy import lazy_names
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

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "BedrockConverseModel": ".bedrock_converse",
        "LocalModel": ".local",
        "LocalTextModel": ".local.written",
        "OpenAIChatModel": ".openai_chat",
        "OpenAIResponsesModel": ".openai_responses",
        "ScriptedModel": ".scripted",
        "ScriptedTextModel": ".scripted_text",
        "TextModel": ".text",
    },
)
