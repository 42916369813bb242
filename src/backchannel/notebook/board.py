"""Board: the rows of some tools' tasks under one cell."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from .board_state import BoardRows
from .saved_output import SavedOutput
from .static_html import board_html, board_text
from .widget import LiveWidget
from .wire import VERSION, Ack, Again, Cancel, FromPage, Hello, Output, Ping, Pong, Rows, ToPage, Welcome

if TYPE_CHECKING:
    from ..tasks import Task
    from .reruns import Reruns
    from .results import Form, RichResults
    from .routing import Routing

__all__ = ["Board", "BoardWidget"]


class BoardWidget(LiveWidget):
    """What shows a board in a page."""


class Board:
    """Rows, the widget that shows them, and the output that saves them. Lives on the notebook's loop.

    Only the constructor and `show` are for the thread of the cell.

    Args:
        hint: How to start a run, in a sentence.
        submit: Calls a function on the loop, soon.
        routing: Brings the widget's messages.
        publish: See `SavedOutput`.
        cancel: Cancels the task with this id.
        again: Runs the task with this id once more.
        reruns: Knows what the rows say, and which task may be run again.
        kept: Whether the tasks are in a ledger.
        changed: Called on the loop when a page needs something.
        clock: Seconds.
        results: Shows the values of tasks that are done; None for not at all.
    """

    def __init__(
        self,
        *,
        hint: str,
        submit: Callable[..., None],
        routing: Routing,
        publish: Callable[[dict[str, Any], str, bool], None],
        cancel: Callable[[str], object],
        again: Callable[[str], object],
        reruns: Reruns,
        kept: Callable[[], bool],
        changed: Callable[[], None],
        clock: Callable[[], float],
        results: RichResults | None = None,
    ) -> None:
        self.hint = hint
        self.rows = BoardRows()
        self._submit = submit
        self._cancel = cancel
        self._again = again
        self._reruns = reruns
        self._kept = kept
        self._changed = changed
        self._clock = clock
        self._results = results
        self.widget = BoardWidget(
            "board", self.snapshot, lambda message, _buffers: submit(self.receive, message), routing
        )
        self.output = SavedOutput(self.widget.model_id, self._render, publish, self._tell)

    def snapshot(self) -> dict[str, Any]:
        """Return all rows, for a page that comes. Any thread."""
        state = {"version": self.rows.version, "protocol": VERSION, "rows": self.rows.rows, "hint": self.hint}
        return {**state, "kept": self._kept()}

    def show(self) -> None:
        """Show the board in the cell that runs now."""
        self.output.show(self._clock())
        if self._results is not None:
            self._results.show()
        self._submit(self._changed)

    def put(self, task: Task) -> None:
        """Show a task, or all of it anew."""
        self.rows.put(self._reruns.row(task))
        self.output.changed()
        if self._results is not None and task.done():
            self._results.put(task, self._keep if self.rows.keeps else None)

    def move(self, tasks: Iterable[Task]) -> None:
        """Show how far these tasks are."""
        for task in tasks:
            try:
                self._move(task)
            except Exception:  # noqa: BLE001 - its whole row says what is wrong; the others move on
                self.rows.put(self._reruns.row(task))
        self.output.changed()

    def _move(self, task: Task) -> None:
        if self.rows.remark(task.id) != self._reruns.remark(task):
            self.rows.put(self._reruns.row(task))
        progress = task.progress
        known = self.rows.move(
            task.id,
            progress.done,
            progress.total,
            _rounded(progress.fraction, 4),
            _rounded(progress.eta_s, 1),
            round(task.elapsed, 1),
            progress.message,
        )
        if not known:
            self.rows.put(self._reruns.row(task))

    def receive(self, message: FromPage) -> None:
        """Handle what a page sent."""
        now = self._clock()
        match message:
            case Hello(client=client, lab=lab, keeps=keeps):
                self.rows.hello(client, now, lab=lab, keeps=keeps)
                self._tell(Welcome(client, 0, self.rows.version, self.snapshot()))
                self.output.page_came()
                if keeps and self._results is not None:
                    for form in self._results.forms:
                        self._keep_in(client, form)
            case Ack(client=client, version=version):
                self.rows.ack(client, version, now)
            case Cancel(task=task):
                self._cancel(task)
            case Again(task=task):
                self._again(task)
            case Ping(client=client, t=t):
                self._tell(Pong(client, t))
            case _:
                self.widget.gate.refuse(ValueError(f"a board does not take {message.k!r}"))
        self._changed()

    def send(self, now: float) -> int:
        """Send what the pages lack; returns how many rows that were."""
        message: Rows = self.rows.message(now)
        self._tell(message)
        return len(message.rows) + len(message.moves)

    def next_save(self) -> float | None:
        """When the saved output is to be renewed."""
        rows = self.rows
        return self.output.next_due(settled=not rows.active, pages=bool(rows.pages), lab=rows.lab, keeps=rows.keeps)

    def save(self, now: float) -> None:
        """Renew the saved output."""
        rows = self.rows
        self.output.write(now, settled=not rows.active, pages=bool(rows.pages), lab=rows.lab, keeps=rows.keeps)

    def close(self) -> None:
        """Close all views; the saved output keeps the rows."""
        if self.output.shown:
            self.output.leave(self._clock())
        self.widget.close()

    def _keep(self, form: Form) -> None:
        """Show a result in every page. Any thread."""
        self._submit(self._keep_in, "", form)

    def _keep_in(self, client: str, form: Form) -> None:
        self._tell(Output(client, form.id, form.data, form.metadata, self.output.display_id))

    def _tell(self, message: ToPage) -> None:
        self.widget.tell(message)

    def _render(self) -> tuple[str, str]:
        rows = self.rows.rows
        return board_html(rows, self.hint), board_text(rows, self.hint)


def _rounded(number: float | None, digits: int) -> float | None:
    return None if number is None else round(number, digits)
