"""Results: values of tasks shown under their board as a cell would show them."""

from __future__ import annotations

import functools
import logging
import uuid
from collections import OrderedDict
from collections.abc import Callable, Mapping
from html import escape
from typing import TYPE_CHECKING, Any, NamedTuple

from ..tools.threads import WorkerThreads
from .wire import output_metadata

if TYPE_CHECKING:
    from ..tasks import Task

__all__ = ["Form", "RichResults", "rich_form"]

_log = logging.getLogger(__name__)
_PLAIN = frozenset({"text/plain"})
_REMEMBERED = 1000
# Not the notebook's loop: a figure takes a while to draw, and somebody may be speaking.
_threads = WorkerThreads(1, "backchannel-results")


class Form(NamedTuple):
    """One output: its display id, and what IPython's formatters made of the value."""

    id: str
    data: dict[str, Any]
    metadata: dict[str, Any]


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
    return (data, metadata) if _size(data) <= limit else None


def _size(data: Mapping[str, Any]) -> int:
    """Return how many characters and bytes the forms of a value have together."""
    return sum(len(form) if isinstance(form, (str, bytes)) else len(str(form)) for form in data.values())


def _heading(name: str) -> dict[str, Any]:
    style = "margin-top:6px;opacity:0.8;overflow-wrap:anywhere"
    return {
        "text/plain": f"{name}:",
        "text/html": f'<div class="tex2jax_ignore mathjax_ignore" style="{style}">{escape(name)}</div>',
    }


class RichResults:
    """The rich results of one board, each an output of its own in the board's cell, below the name of its run.

    Args:
        shell: IPython's shell.
    """

    MOST = 10
    """Outputs in a cell; a further one takes the place of the last."""

    LIMIT = 5_000_000
    """Characters and bytes of one result, and of all that is kept for a page that comes."""

    def __init__(self, shell: Any) -> None:
        self._shell = shell
        self._parent: Any = None
        self._seen: OrderedDict[str, None] = OrderedDict()
        self._displays: list[str] = []
        self._forms: dict[str, Form] = {}

    def show(self) -> None:
        """The board was shown in the cell that runs now: results that come from now on belong there."""
        self._displays = []
        self._forms = {}
        try:
            self._parent = self._shell.get_parent()
        except AttributeError:
            self._parent = None

    @property
    def forms(self) -> list[Form]:
        """What is shown in the board's cell, in its order, for a page that comes. Any thread."""
        return list(self._forms.values())

    def put(self, task: Task, keep: Callable[[Form], None] | None = None) -> None:
        """Show the value of a task that is done, once, soon. Any thread.

        Args:
            keep: Shows it in place of a message to the cell; called on a thread of its own.
        """
        # Of a task of an earlier kernel there is no more than its text.
        if self._parent is None or task.restored or task.status != "done" or task.id in self._seen:
            return
        self._seen[task.id] = None
        if len(self._seen) > _REMEMBERED:
            self._seen.popitem(last=False)
        name = f"Task {task.number}, {task.label}"
        _threads.submit(functools.partial(self._publish, name, task.value, self._parent, self._displays, keep))

    def _publish(
        self,
        name: str,
        value: object,
        parent: Any,
        displays: list[str],
        keep: Callable[[Form], None] | None = None,
    ) -> None:
        try:
            form = rich_form(self._shell, value, self.LIMIT)
            if form is None:
                return
            full = len(displays) >= self.MOST
            if not full:
                displays.append(uuid.uuid4().hex)
            heading = Form(f"{displays[-1]}-name", _heading(name), {})
            self._show([heading, Form(displays[-1], *form)], parent, displays, keep, update=full)
        except Exception:  # noqa: BLE001 - formatters are anybody's code
            _log.exception("a result was not shown")

    def _show(
        self,
        forms: list[Form],
        parent: Any,
        displays: list[str],
        keep: Callable[[Form], None] | None,
        *,
        update: bool,
    ) -> None:
        if displays is self._displays:
            self._remember(forms)
        if keep is not None:
            for form in forms:
                keep(form)
            return
        publisher = self._shell.display_pub
        take, give_back = (getattr(publisher, each, None) for each in ("set_thread_parent", "reset_thread_parent"))
        if take is None or give_back is None:
            return  # an older kernel would show it in another cell
        token = take(parent)
        try:
            for form in forms:
                metadata, display = output_metadata(form.id, form.metadata), {"display_id": form.id}
                publisher.publish(data=form.data, metadata=metadata, transient=display, update=update)
        finally:
            give_back(token)

    def _remember(self, forms: list[Form]) -> None:
        """Keep them for a page that comes; of too much, the newest."""
        known = {**self._forms, **{form.id: form for form in forms}}
        while sum(_size(form.data) for form in known.values()) > self.LIMIT:
            del known[next(iter(known))]
        self._forms = known
