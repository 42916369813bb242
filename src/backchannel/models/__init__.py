"""Links to models: the realtime contract, and the models that ship with Backchannel (imported when asked for)."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from .realtime import BidiModel, BidiModelTimeoutError, ModelProfile
from .resolve import resolve_model

if TYPE_CHECKING:
    from .local import LocalModel
    from .scripted import ScriptedModel

__all__ = ["BidiModel", "BidiModelTimeoutError", "LocalModel", "ModelProfile", "ScriptedModel", "resolve_model"]

_LAZY = {"LocalModel": ".local", "ScriptedModel": ".scripted"}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name], __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
