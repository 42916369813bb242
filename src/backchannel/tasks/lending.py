"""Lending: a body that waits for another task gives its place to others meanwhile, so that tools may call tools."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from .progress import running_task

__all__ = ["lending"]


@contextlib.contextmanager
def lending() -> Iterator[None]:
    """While this lasts, the task whose body runs here only waits: its place is others'. Elsewhere it does nothing."""
    task = running_task.get()
    job = None if task is None else task.job
    if task is None or job is None:
        yield
        return
    task.manager.lend_place(job)
    try:
        yield
    finally:
        task.manager.take_place_back(job)
