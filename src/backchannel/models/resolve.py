"""Which model a name, or no name, means."""

from __future__ import annotations

import os
from typing import Any, cast

from ..errors import InvalidInputError
from .realtime import BidiModel

__all__ = ["MODEL_VARIABLE", "model_names", "resolve_model"]

MODEL_VARIABLE = "BACKCHANNEL_MODEL"
"""The environment variable that names the default model."""

_NEEDED = ("start", "stop", "receive", "send")


def model_names() -> list[str]:
    """Return the names that `resolve_model` knows."""
    return ["local"]


def resolve_model(model: object = None) -> BidiModel:
    """Return the model that is meant.

    Args:
        model: A model, used as it is; a name; or None: what BACKCHANNEL_MODEL names, else the embedded model.

    Raises:
        ValueError: If the name is not known.
        TypeError: If the object lacks what a model needs.
        ImportError: If the model's extra is not installed.
    """
    if model is None or model == "":
        model = os.environ.get(MODEL_VARIABLE) or "local"
    if isinstance(model, str):
        if model != "local":
            known = ", ".join(map(repr, model_names()))
            raise InvalidInputError(f"model {model!r} is not known; known names: {known}. A model object works too")
        from .local import LocalModel

        local = LocalModel()
        local.check_installed()
        return local
    missing = [name for name in _NEEDED if not callable(getattr(model, name, None))]
    if missing:
        raise TypeError(f"{type(model).__name__} is not a model: it has no {', '.join(missing)}; see BidiModel")
    return cast("BidiModel", cast("Any", model))
