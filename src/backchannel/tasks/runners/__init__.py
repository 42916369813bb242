"""Runners: where the bodies of tasks execute. One that is made by hand goes where ``runner=`` is."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from .choose import runner_of
from .runner import Runner

if TYPE_CHECKING:
    from .dask import DaskRunner
    from .executor import ExecutorRunner
    from .processes import ProcessRunner

__all__ = ["DaskRunner", "ExecutorRunner", "ProcessRunner", "Runner", "runner_of"]

_LAZY = {"DaskRunner": ".dask", "ExecutorRunner": ".executor", "ProcessRunner": ".processes"}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name], __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
