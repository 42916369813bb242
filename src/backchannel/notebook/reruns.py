"""Reruns: tasks that ended without a result and are run again, each once."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Any

from ..events.values import encodable
from ..tasks.again import hindrance
from ..tools.text import error_text
from .notes import note_of, waits

if TYPE_CHECKING:
    from ..tasks import Task

__all__ = ["Reruns"]

_FAULTS = 1000
_log = logging.getLogger(__name__)


class Reruns:
    """Says which tasks may be run again, and runs them. From any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: dict[str, tuple[str, int]] = {}

    def row(self, task: Task) -> dict[str, Any]:
        """Return the row of a task: its snapshot, and what the board says besides; never raises."""
        try:
            note, waiting = self.remark(task)
            return {**task.snapshot(), "note": note, "waits": waiting, "again": self.may(task)}
        except Exception as error:  # noqa: BLE001 - one task that cannot be shown holds up no other row
            _log.exception("task %s cannot be shown", task.id)
            return _unshown(task, error)

    def remark(self, task: Task) -> tuple[str, bool]:
        """Return the row's note, and whether nothing of the task runs just now."""
        parts = (self._note(task), note_of(task))
        return ", ".join(part for part in parts if part), waits(task)

    def run(self, task: Task) -> Task:
        """Run a task again; one that was run again before gives that run.

        Raises:
            BackchannelError: If it cannot be run again; says why.
        """
        with self._lock:
            again = self.again(task) or task.run_again()
            self._faults.pop(task.id, None)
            return again

    def press(self, task: Task) -> None:
        """Run a task again whose row has the button; what keeps it from that stands in the row then."""
        if not self.may(task):
            return
        try:
            self.run(task)
        except Exception as error:  # noqa: BLE001 - nobody is there who could catch it
            # The count makes each refusal a change of the row, on which the button comes back.
            tries = self._faults.pop(task.id, ("", 0))[1] + 1
            if len(self._faults) >= _FAULTS:
                self._faults.pop(next(iter(self._faults)))
            self._faults[task.id] = (error_text(error, 300), tries)

    def again(self, task: Task) -> Task | None:
        """Return the run that a task was run again as, if it is still known."""
        again = None if task.again is None else task.manager.task(task.again)
        return None if again is task else again

    def may(self, task: Task) -> bool:
        """Whether a task ended without a result, was not run again, and can be."""
        if not task.done() or task.status == "done" or task.again is not None:
            return False
        return hindrance(task, task.manager.tool(task.tool_name)) is None

    def _note(self, task: Task) -> str:
        if task.again is None and not task.restored and not self._faults:
            return ""
        if task.again is not None:
            again = self.again(task)
            return "run again" if again is None else f"run again as task {again.number}"
        if task.id in self._faults:
            fault, tries = self._faults[task.id]
            return fault if tries == 1 else f"tried {tries} times: {fault}"
        if not task.restored:
            return ""
        if task.status == "lost":
            unknown = task.manager.tool(task.tool_name) is None
            return f"declare {task.tool_name} to run it again" if unknown else ""
        return "" if task.done() else "from an earlier kernel"


def _unshown(task: Task, error: Exception) -> dict[str, Any]:
    """Return the row of a task whose own row cannot be made."""
    return {
        **dict.fromkeys(("fraction", "done", "total", "eta_s")),
        "id": task.id,
        "number": task.number,
        "tool": encodable(task.tool_name),
        "label": encodable(task.tool_name),
        "status": task.life.state,
        "message": "",
        "elapsed_s": 0.0,
        "text": "",
        "error": f"This task cannot be shown ({type(error).__name__}: {error_text(error, 200)}).",
        "logs": [],
        "note": "",
        "waits": False,
        "again": False,
    }
