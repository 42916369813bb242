"""The demonstration on a terminal: what is said, and a row with a bar for every task."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from ..events import BidiOutputEvent

__all__ = ["Screen"]

_COLOURS = {"user": "cyan", "assistant": "green", "note": "dim"}
_NAMES = {"user": "you", "assistant": "notebook", "note": ""}


class Screen:
    """Draws in place on a terminal; elsewhere prints a line for everything that is new."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(highlight=False)
        self._rows: dict[str, Mapping[str, Any]] = {}
        self._live: Live | None = None
        if self._console.is_terminal:
            self._live = Live(console=self._console, get_renderable=self._table, refresh_per_second=10)
            self._live.start()

    async def __call__(self, event: BidiOutputEvent) -> None:
        kind = event.get("type")
        if kind == "bidi_transcript_stream" and (event["is_final"] != (event["role"] == "assistant")):
            self._say(event["role"], event["text"])
        elif kind == "bidi_interruption":
            self._say("note", "(interrupted)")
        elif kind == "bidi_error":
            self._say("note", f"({event['message']})")
        elif kind == "task_update":
            self._show(event["task"])

    def note(self, text: str) -> None:
        self._say("note", text)

    def close(self) -> None:
        if self._live is not None:
            self._live.stop()

    def _say(self, who: str, text: str) -> None:
        self._console.print(
            Text(f"{_NAMES[who]:>9}  ", "bold"), Text(text.strip(), _COLOURS[who]), sep="", soft_wrap=True
        )

    def _show(self, row: Mapping[str, Any]) -> None:
        before = self._rows.get(row["id"])
        self._rows[row["id"]] = row
        if self._live is None and (before is None or before["status"] != row["status"]):
            self._console.print(Text(f"{'task ' + str(row['number']):>9}  {row['label']}: {row['status']}"))

    def _table(self) -> RenderableType:
        table = Table.grid(padding=(0, 1))
        for row in self._rows.values():
            fraction = row["fraction"]
            running = row["status"] == "running"
            bar = ProgressBar(total=1.0, completed=fraction or 0.0, width=24, pulse=running and fraction is None)
            left = f"{row['eta_s']:.0f} s left" if running and row["eta_s"] is not None else f"{row['elapsed_s']:.1f} s"
            share = "" if fraction is None else f"{100 * fraction:3.0f} %"
            table.add_row(
                f"{row['number']:>4}", Text(row["label"], overflow="ellipsis"), bar, share, row["status"], left
            )
        return Group(table)
