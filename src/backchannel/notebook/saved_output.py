"""SavedOutput: a cell output that shows a live widget, and in the saved file what it last showed."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

from .wire import VIEW_MIMETYPE

__all__ = ["SavedOutput"]

_WIDGET_MIMETYPE = "application/vnd.jupyter.widget-view+json"


class SavedOutput:
    """Decides when the output is written again, and with what.

    With our JupyterLab extension, or with no page at all, the output keeps its widget and its HTML is renewed. A page
    without the extension would draw the widget anew each time and cannot show it from a file: there the HTML replaces
    the widget once nothing runs, and the widget comes back when something does.

    Args:
        model_id: Of the widget.
        render: Returns HTML and text of the present state.
        publish: Publishes (data, display id, whether it updates an output).
    """

    PERIOD_S = 2.0
    SETTLE_S = 0.2

    def __init__(
        self,
        model_id: str,
        render: Callable[[], tuple[str, str]],
        publish: Callable[[dict[str, Any], str, bool], None],
    ) -> None:
        self.display_id = uuid.uuid4().hex
        self._model_id = model_id
        self._render = render
        self._publish = publish
        self._written = 0.0
        self._dirty = False
        self._live = False

    @property
    def shown(self) -> bool:
        """Whether `show` was called."""
        return self._written > 0.0

    def show(self, now: float) -> None:
        """Show it in the cell that runs now; earlier outputs of it are no longer renewed."""
        self.display_id = uuid.uuid4().hex
        self._write(now, live=True, update=False)

    def changed(self) -> None:
        """Note that what is shown has changed."""
        self._dirty = True

    def next_due(self, *, settled: bool, pages: bool, lab: bool) -> float | None:
        """When `write` has something to do; None for not before the next change.

        Args:
            settled: Nothing runs.
            pages: Some page shows the widget.
            lab: One of them runs our JupyterLab extension.
        """
        if not self.shown:
            return None
        if pages and not lab:
            if settled and (self._dirty or self._live):
                return self._written + self.SETTLE_S
            return 0.0 if not settled and not self._live else None
        if not self._dirty and self._live:
            return None
        return self._written + (self.SETTLE_S if settled else self.PERIOD_S)

    def write(self, now: float, *, settled: bool, pages: bool, lab: bool) -> None:
        """Renew the output."""
        self._write(now, live=lab or not pages or not settled, update=True)

    def _write(self, now: float, *, live: bool, update: bool) -> None:
        html, text = self._render()
        data: dict[str, Any] = {"text/plain": text, "text/html": html}
        if live:
            view = {"model_id": self._model_id}
            data[VIEW_MIMETYPE] = view
            data[_WIDGET_MIMETYPE] = {"version_major": 2, "version_minor": 0, **view}
        self._written, self._dirty, self._live = max(now, 1e-9), False, live
        self._publish(data, self.display_id, update)
