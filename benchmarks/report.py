"""Report: figures as a table, as Markdown and as JSON."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.table import Table

from .figures import Figure, target_text

__all__ = ["Outcome", "machine", "markdown", "print_table", "to_json"]

COLUMNS = ("subject", "what", "ours", "peer", "ratio", "target", "met", "load")


@dataclass(slots=True)
class Outcome:
    """What came of a subject: figures, or why there are none; and the machine's load before and after it."""

    subject: str
    figures: Sequence[Figure] = ()
    reason: str = ""
    load: tuple[float, float] = field(default=(0.0, 0.0))

    @property
    def met(self) -> bool:
        """Whether it was measured and all targets are met."""
        return not self.reason and all(figure.met is not False for figure in self.figures)


def machine() -> str:
    """Say what it was measured on."""
    return f"Python {platform.python_version()}, {platform.system()} {platform.machine()}, {os.cpu_count()} cores"


def print_table(outcomes: Sequence[Outcome], console: Console) -> None:
    """Print all figures."""
    table = Table(title=machine(), title_justify="left")
    for column in COLUMNS:
        table.add_column(column, justify="right" if column in ("ours", "ratio", "target", "load") else "left")
    for cells in _rows(outcomes):
        style = {"no": "red", "yes": "green", "not run": "yellow"}.get(cells[6])
        table.add_row(*cells[:6], f"[{style}]{cells[6]}[/]" if style else cells[6], cells[7])
    console.print(table)


def markdown(outcomes: Sequence[Outcome], runs: int) -> str:
    """Return all figures as a Markdown table."""
    lines = [
        f"{machine()}. Medians of {runs} runs; ratios are of ours to the peer's within a run.",
        "",
        "| " + " | ".join(COLUMNS) + " |",
        "|" + " --- |" * len(COLUMNS),
    ]
    for cells in _rows(outcomes):
        escaped = [cell.replace("|", "\\|") for cell in cells]
        lines.append("| " + " | ".join(escaped) + " |")
    return "\n".join(lines) + "\n"


def to_json(outcomes: Sequence[Outcome], runs: int) -> dict[str, Any]:
    """Return all figures, with the value of every run, for ``json.dumps``."""
    return {
        "machine": machine(),
        "runs": runs,
        "subjects": {
            outcome.subject: {
                "load": list(outcome.load),
                "not_run": outcome.reason or None,
                "figures": [figure.as_json() for figure in outcome.figures],
            }
            for outcome in outcomes
        },
    }


def _rows(outcomes: Sequence[Outcome]) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for outcome in outcomes:
        load = f"{outcome.load[0]:.1f} to {outcome.load[1]:.1f}"
        if outcome.reason:
            rows.append((outcome.subject, outcome.reason, "", "", "", "", "not run", load))
        rows += [(outcome.subject, *_cells(figure), load) for figure in outcome.figures]
    return rows


def _cells(figure: Figure) -> tuple[str, ...]:
    peer = "" if figure.peer_value is None else f"{_number(figure.peer_value)} {figure.unit} ({figure.peer_name})"
    ratio = "" if figure.ratio is None else f"{figure.ratio:.2f}x"
    met = {None: "", True: "yes", False: "no"}[figure.met]
    what = f"{figure.what} ({figure.note})" if figure.note else figure.what
    return what, f"{_number(figure.value)} {figure.unit}", peer, ratio, target_text(figure), met


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 or value == int(value) else f"{value:.3g}"
