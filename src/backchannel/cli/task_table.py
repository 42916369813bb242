"""Tasks on a terminal: a table as wide as there is room; elsewhere a line for each."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from .task_rows import TaskRow, chosen, counted, shown

__all__ = ["TaskTable", "line_of"]

_COLOURS = {"running": "cyan", "done": "green", "failed": "red", "timed_out": "red", "lost": "yellow", "queued": "dim"}
_WIDE, _MEDIUM, _SMALL, _NARROW = 100, 80, 64, 40
_AROUND = 5


def line_of(row: TaskRow) -> str:
    """Return a task for a pipe: its fields, with tabs between them."""
    share = row.counts if row.fraction is None else f"{int(100 * row.fraction)}%"
    seconds = "" if row.elapsed is None else f"{row.elapsed:.1f}"
    return "\t".join((str(row.number), row.standing, share, seconds, row.told, row.label, row.outcome))


class TaskTable:
    """The table, drawn for the width that there is.

    Args:
        place: Where the ledger is.
        rows: Oldest first.
        fits: Whether it must fit the terminal's height.
        note: A sentence for where there are no rows.
    """

    def __init__(self, place: str, rows: Sequence[TaskRow], *, fits: bool = False, note: str = "") -> None:
        self._place = place
        self._rows = rows
        self._fits = fits
        self._note = note

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        rows = self._rows
        if not rows:
            yield Text(self._note or f"No tasks in {shown(self._place)}.", "dim")
            return
        if self._fits:
            rows = chosen(rows, max(console.height - _AROUND, 1))
        parts: list[RenderableType] = [_table(rows, options.max_width)]
        said = counted(self._rows)
        if len(rows) < len(self._rows):
            said += f"; {len(self._rows) - len(rows)} of them are not shown"
        yield Group(*parts, Text(f"{said} in {shown(self._place)}", "dim"))


def _table(rows: Sequence[TaskRow], width: int) -> Table:
    table = Table(box=None, padding=(0, 1, 0, 0), expand=True, header_style="dim")
    table.add_column("", justify="right", no_wrap=True)
    table.add_column("Task", ratio=2, no_wrap=True, overflow="ellipsis")
    table.add_column("Status", no_wrap=True, overflow="ellipsis", ratio=None if width >= _NARROW else 1)
    if width >= _SMALL:
        table.add_column("Progress", no_wrap=True, width=20 if width >= _WIDE else 8)
    if width >= _NARROW:
        table.add_column("", justify="right", no_wrap=True, overflow="ellipsis", max_width=12)
    if width >= _SMALL:
        table.add_column("Time", justify="right", no_wrap=True)
    if width >= _MEDIUM:
        table.add_column("Told", no_wrap=True)
    if width >= _NARROW:
        table.add_column("Result", ratio=3, no_wrap=True, overflow="ellipsis")
    for row in rows:
        table.add_row(*_cells(row, width))
    return table


def _cells(row: TaskRow, width: int) -> list[RenderableType]:
    colour = _COLOURS.get(row.status, "")
    cells: list[RenderableType] = [Text(str(row.number)), Text(row.label), Text(row.standing, colour)]
    if width >= _SMALL:
        bar = ProgressBar(total=1.0, completed=row.fraction or 0.0, finished_style="green")
        cells.append(Text("") if row.fraction is None else bar)
    if width >= _NARROW:
        cells.append(Text(row.counts if row.fraction is None else f"{int(100 * row.fraction)} %"))
    if width >= _SMALL:
        cells.append(Text(row.time))
    if width >= _MEDIUM:
        cells.append(Text(row.told))
    if width >= _NARROW:
        cells.append(Text(row.outcome, "red" if row.status in ("failed", "timed_out") else ""))
    return cells
