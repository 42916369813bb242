"""Attachment to a Dask cluster: a task that an earlier process gave to it is found there again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .. import lifecycle

if TYPE_CHECKING:
    from ..manager import AsyncToolManager
    from ..task import Task

__all__ = ["attach"]


def attach(task: Task, where: Mapping[str, Any], manager: AsyncToolManager) -> None:
    """Go on with a task that runs on a cluster."""
    del where
    manager.feed(task, lifecycle.Vanished(manager.clock(), "its cluster is not asked"))
