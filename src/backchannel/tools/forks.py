"""Forks: what a forked child has to make new, for it has none of its parent's threads, and perhaps its held locks."""

from __future__ import annotations

import logging
import os
import weakref
from typing import Protocol

__all__ = ["Forked", "watch_forks"]

_log = logging.getLogger(__name__)


class Forked(Protocol):
    """Something with threads, locks or an event loop."""

    def after_fork(self) -> None:
        """This is the child: make new what only the parent has. No lock may be taken, and nobody be told."""


_watched: weakref.WeakSet[Forked] = weakref.WeakSet()


def watch_forks(thing: Forked) -> None:
    """Call its ``after_fork`` in every child that this process forks, as long as it lives."""
    _watched.add(thing)


def _in_child() -> None:
    for thing in list(_watched):
        try:
            thing.after_fork()
        except Exception:  # noqa: BLE001 - the others are to be usable, too
            _log.exception("%s cannot be used in this forked process", type(thing).__name__)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
