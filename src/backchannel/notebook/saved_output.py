"""SavedOutput: a cell output that shows a live widget, and in the saved file what it last showed."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

from .wire import VIEW_MIMETYPE, Output, ToPage

__all__ = ["SavedOutput"]

_WIDGET_MIMETYPE = "application/vnd.jupyter.widget-view+json"


class SavedOutput:
    """Decides when the output is written again, how, and with what.

    A page that keeps outputs itself is given the HTML by our own message and leaves the widget where it is, also
    after a reload: JupyterLab finds no output for an update of one that it loaded from the file. Every other front
    end is sent an update. With our JupyterLab extension, or with no page at all, that keeps the widget beside the
    HTML; any other page would draw the widget again each time and cannot show it from a file: there the HTML
    replaces the widget once nothing runs, and the widget comes back when something does.

    Args:
        model_id: Of the widget.
        render: Returns HTML and text of the present state.
        publish: Publishes (data, display id, whether it updates an output).
        tell: Sends a message to the pages.
    """

    PERIOD_S = 2.0
    SETTLE_S = 0.2

    def __init__(
        self,
        model_id: str,
        render: Callable[[], tuple[str, str]],
        publish: Callable[[dict[str, Any], str, bool], None],
        tell: Callable[[ToPage], None],
    ) -> None:
        self.display_id = uuid.uuid4().hex
        self._model_id = model_id
        self._render = render
        self._publish = publish
        self._tell = tell
        self._written = 0.0
        self._dirty = False
        self._live = False
        self._kept = False

    @property
    def shown(self) -> bool:
        """Whether `show` was called."""
        return self._written > 0.0

    def show(self, now: float) -> None:
        """Show it in the cell that runs now; earlier outputs of it are no longer renewed."""
        self.display_id = uuid.uuid4().hex
        self._write(now, live=True, update=False)
        self._kept = False

    def changed(self) -> None:
        """Note that what is shown has changed."""
        self._dirty = True

    def page_came(self) -> None:
        """Note that a page shows it that may have an older state."""
        self._kept = False

    def next_due(self, *, settled: bool, pages: bool, lab: bool, keeps: bool) -> float | None:
        """When `write` has something to do; None for not before the next change.

        Args:
            settled: Nothing runs.
            pages: Some page shows the widget.
            lab: One of them runs our JupyterLab extension.
            keeps: One of them keeps outputs itself.
        """
        if not self.shown:
            return None
        if keeps and not self._kept:
            return 0.0
        if pages and not lab and not keeps:
            if settled and (self._dirty or self._live):
                return self._written + self.SETTLE_S
            return 0.0 if not settled and not self._live else None
        if not self._dirty and self._live:
            return None
        return self._written + (self.SETTLE_S if settled else self.PERIOD_S)

    def write(self, now: float, *, settled: bool, pages: bool, lab: bool, keeps: bool) -> None:
        """Renew the output."""
        if keeps:
            self._keep(now, live=True)
        else:
            self._write(now, live=lab or not pages or not settled, update=True)

    def leave(self, now: float) -> None:
        """Leave what was shown last in place of the widget, which goes."""
        self._write(now, live=False, update=True)
        self._keep(now, live=False)

    def _write(self, now: float, *, live: bool, update: bool) -> None:
        data = self._data(now, live=live)
        if live:
            data[_WIDGET_MIMETYPE] = {"version_major": 2, "version_minor": 0, "model_id": self._model_id}
        self._publish(data, self.display_id, update)

    def _keep(self, now: float, *, live: bool) -> None:
        # Without the widget's own form, which any JupyterLab would choose and then not find.
        data = self._data(now, live=live)
        self._kept = True
        self._tell(Output("", self.display_id, data))

    def _data(self, now: float, *, live: bool) -> dict[str, Any]:
        html, text = self._render()
        self._written, self._dirty, self._live = max(now, 1e-9), False, live
        data: dict[str, Any] = {"text/plain": text, "text/html": html}
        if live:
            data[VIEW_MIMETYPE] = {"model_id": self._model_id}
        return data
