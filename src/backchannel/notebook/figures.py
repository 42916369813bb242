"""Figures: what a task draws with pyplot is no cell's business but its board's.

At the end of each cell Jupyter shows and closes whatever pyplot has open, also what a task is just drawing.
"""

from __future__ import annotations

import contextlib
import sys
import weakref
from typing import Any

from ..tasks.progress import running_task

__all__ = ["drop_figures", "note_figure", "watch_figures", "watch_no_more"]

_HOOK = f"{__name__}:note_figure"
_of_tasks: weakref.WeakSet[Any] = weakref.WeakSet()


def note_figure(figure: Any) -> None:
    """Called by pyplot with each new figure, where it is made."""
    if running_task.get() is not None:
        _of_tasks.add(figure)


def drop_figures() -> None:
    """Take the figures of tasks from pyplot; they live on for whoever has them."""
    pylab = sys.modules.get("matplotlib._pylab_helpers")
    if pylab is not None:
        for number, manager in list(pylab.Gcf.figs.items()):
            if manager.canvas.figure in _of_tasks:
                pylab.Gcf.figs.pop(number, None)
    _hook()


def watch_figures(events: Any) -> None:
    """Keep figures of tasks out of the cells of a shell, whose events these are."""
    events.register("pre_execute", _hook)
    events.register("post_execute", drop_figures)
    # Before Jupyter's own, which may be there already.
    calls = getattr(events, "callbacks", {}).get("post_execute")
    if calls is not None:
        calls.remove(drop_figures)
        calls.insert(0, drop_figures)


def watch_no_more(events: Any) -> None:
    """Undo `watch_figures`."""
    for event, callback in (("pre_execute", _hook), ("post_execute", drop_figures)):
        with contextlib.suppress(ValueError):
            events.unregister(event, callback)


def _hook() -> None:
    """See to it that pyplot tells of its figures, once somebody has imported it."""
    matplotlib = sys.modules.get("matplotlib")
    if matplotlib is not None and "matplotlib.pyplot" in sys.modules:
        hooks = matplotlib.rcParams.get("figure.hooks")
        if hooks is not None and _HOOK not in hooks:
            matplotlib.rcParams["figure.hooks"] = [*hooks, _HOOK]
