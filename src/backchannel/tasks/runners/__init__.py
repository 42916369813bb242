"""Runners: where the bodies of tasks execute."""

from __future__ import annotations

from .choose import runner_of
from .runner import Runner

__all__ = ["Runner", "runner_of"]
