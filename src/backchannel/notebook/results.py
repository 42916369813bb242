"""Results: values of tasks shown under their board as a cell would show them."""

from __future__ import annotations

import functools
import logging
import uuid
from collections import OrderedDict
from html import escape
from typing import TYPE_CHECKING, Any

from ..tools.threads import WorkerThreads

if TYPE_CHECKING:
    from ..tasks import Task

__all__ = ["RichResults", "rich_form"]

_log = logging.getLogger(__name__)
_PLAIN = frozenset({"text/plain"})
_REMEMBERED = 1000
# Not the notebook's loop: a figure takes a while to draw, and somebody may be speaking.
_threads = WorkerThreads(1, "backchannel-results")


def rich_form(shell: Any, value: object, limit: int) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """Return what IPython's own formatters make of a value, and its metadata; None where that is only text.

    Args:
        limit: Characters and bytes of all forms together; what is larger is not shown.
    """
    # What displays itself would do so in whatever cell runs now.
    if value is None or isinstance(value, (str, bytes, type)) or hasattr(value, "_ipython_display_"):
        return None
    data, metadata = shell.display_formatter.format(value)
    if not data.keys() - _PLAIN:
        return None
    size = sum(len(form) if isinstance(form, (str, bytes)) else len(str(form)) for form in data.values())
    return (data, metadata) if size <= limit else None


def _heading(name: str) -> dict[str, Any]:
    style = "margin-top:6px;opacity:0.8;overflow-wrap:anywhere"
    return {"text/plain": f"{name}:", "text/html": f'<div style="{style}">{escape(name)}</div>'}


class RichResults:
    """The rich results of one board, each an output of its own in the board's cell, below the name of its run.

    Args:
        shell: IPython's shell.
    """

    MOST = 10
    """Outputs in a cell; a further one takes the place of the last."""

    LIMIT = 5_000_000

    def __init__(self, shell: Any) -> None:
        self._shell = shell
        self._parent: Any = None
        self._seen: OrderedDict[str, None] = OrderedDict()
        self._displays: list[str] = []

    def show(self) -> None:
        """The board was shown in the cell that runs now: results that come from now on belong there."""
        self._displays = []
        try:
            self._parent = self._shell.get_parent()
        except AttributeError:
            self._parent = None

    def put(self, task: Task) -> None:
        """Show the value of a task that is done, once, soon. Any thread."""
        # Of a task of an earlier kernel there is no more than its text.
        if self._parent is None or task.restored or task.status != "done" or task.id in self._seen:
            return
        self._seen[task.id] = None
        if len(self._seen) > _REMEMBERED:
            self._seen.popitem(last=False)
        name = f"Task {task.number}, {task.label}"
        _threads.submit(functools.partial(self._publish, name, task.value, self._parent, self._displays))

    def _publish(self, name: str, value: object, parent: Any, displays: list[str]) -> None:
        publisher = self._shell.display_pub
        take, give_back = (getattr(publisher, each, None) for each in ("set_thread_parent", "reset_thread_parent"))
        if take is None or give_back is None:
            return  # an older kernel would show it in another cell
        try:
            form = rich_form(self._shell, value, self.LIMIT)
            if form is None:
                return
            full = len(displays) >= self.MOST
            if not full:
                displays.append(uuid.uuid4().hex)
            token = take(parent)
            try:
                for part, (data, metadata) in (("-name", (_heading(name), {})), ("", form)):
                    display = {"display_id": displays[-1] + part}
                    publisher.publish(data=data, metadata=metadata, transient=display, update=full)
            finally:
                give_back(token)
        except Exception:  # noqa: BLE001 - formatters are anybody's code
            _log.exception("a result was not shown")
