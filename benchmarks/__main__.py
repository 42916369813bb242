"""Run the benchmarks: ``python -m benchmarks [name ...]``. Ends with 1 if a target is missed or was not measured."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from datetime import date
from pathlib import Path

from rich.console import Console

from .figures import UnavailableError
from .registry import SUBJECTS
from .report import Outcome, machine, markdown, print_table, to_json

RESULTS = Path(__file__).parent / "results"


def run(name: str, runs: int) -> Outcome:
    """Measure one subject; what this machine cannot measure is said in the outcome."""
    before = os.getloadavg()[0]
    try:
        figures = SUBJECTS[name]().measure(runs)
    except UnavailableError as reason:
        return Outcome(name, reason=str(reason), load=(before, os.getloadavg()[0]))
    return Outcome(name, figures, load=(before, os.getloadavg()[0]))


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and write what was asked for."""
    parser = argparse.ArgumentParser("python -m benchmarks", description="Speeds, ours beside the peer's.")
    parser.add_argument("names", nargs="*", metavar="name", help=f"of {', '.join(SUBJECTS)}; all if none is given")
    parser.add_argument("--runs", type=int, default=5, help="how often each is measured (default 5)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all values there")
    parser.add_argument("--write", action="store_true", help="write the table to benchmarks/results/<date>.md")
    options = parser.parse_args(arguments)
    unknown = [name for name in options.names if name not in SUBJECTS]
    if unknown:
        parser.error(f"no such benchmark: {', '.join(unknown)}; known are {', '.join(SUBJECTS)}")
    if options.runs < 1:
        parser.error(f"--runs must be 1 or more, not {options.runs}")
    console = Console(width=None if sys.stdout.isatty() else 140)
    console.print(machine())
    outcomes: list[Outcome] = []
    for name in options.names or SUBJECTS:
        with console.status(f"measuring {name}"):
            outcomes.append(run(name, options.runs))
    print_table(outcomes, console)
    if options.json:
        options.json.write_text(json.dumps(to_json(outcomes, options.runs), indent=1) + "\n")
    if options.write:
        RESULTS.mkdir(exist_ok=True)
        file = RESULTS / f"{date.today().isoformat()}.md"
        file.write_text(markdown(outcomes, options.runs))
        console.print(f"written: {file.relative_to(RESULTS.parents[1])}")
    return 0 if all(outcome.met for outcome in outcomes) else 1


if __name__ == "__main__":
    raise SystemExit(main())
