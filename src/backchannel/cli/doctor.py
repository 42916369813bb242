"""Say what is installed and active, and what to do about the rest."""

from __future__ import annotations

import argparse
import dataclasses
import json

from rich.console import Console
from rich.text import Text

from ..notebook.doctor import checks

__all__ = ["main"]


def main(options: argparse.Namespace) -> int:
    found = checks()
    if options.json:
        print(json.dumps([dataclasses.asdict(check) for check in found], indent=1))
    else:
        console = Console(highlight=False)
        for check in found:
            mark = Text("ok  ", "green") if check.ok else Text("off ", "yellow")
            console.print(mark, Text(f"{check.name}: {check.sentence}"), sep="", soft_wrap=True)
    return 0 if all(check.ok for check in found) else 1
