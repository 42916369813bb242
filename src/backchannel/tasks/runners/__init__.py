"""Runners: where the bodies of tasks execute. One that is made by hand goes where ``runner=`` is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..._lazy import lazy_names
from .choose import runner_of
from .runner import Runner

if TYPE_CHECKING:
    from .dask import DaskRunner
    from .executor import ExecutorRunner
    from .processes import ProcessRunner

__all__ = ["DaskRunner", "ExecutorRunner", "ProcessRunner", "Runner", "runner_of"]

__getattr__, __dir__ = lazy_names(
    __name__,
    {"DaskRunner": ".dask", "ExecutorRunner": ".executor", "ProcessRunner": ".processes"},
)
