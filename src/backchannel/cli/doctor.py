"""Say what is installed and active, and what to do about the rest."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import subprocess
from typing import Any

from rich.console import Console
from rich.text import Text

from ..notebook.doctor import Check, checks
from ..notebook.ledger_place import LEDGER_VARIABLE

__all__ = ["main"]

START_S = 30

# What a notebook would find: our fixes for busy cells are in the kernel.
_IN_KERNEL = """
import dataclasses, json
from backchannel.notebook import doctor, magics
print(json.dumps([dataclasses.asdict(check) for check in doctor.checks(magics.load(get_ipython()))]))
"""


def main(options: argparse.Namespace) -> int:
    found = _found()
    if options.json:
        print(json.dumps([dataclasses.asdict(check) for check in found], indent=1))
    else:
        console = Console(highlight=False)
        for check in found:
            mark = Text("ok  ", "green") if check.ok else Text("off ", "yellow")
            console.print(mark, Text(f"{check.name}: {check.sentence}"), sep="", soft_wrap=True)
    return 0 if all(check.ok for check in found) else 1


def _found() -> list[Check]:
    """Look from inside a kernel, started for this; where none starts, from here."""
    try:
        said = _ask_kernel()
        return [Check(**check) for check in json.loads(said.strip().splitlines()[-1])]
    except Exception as error:  # noqa: BLE001 - whatever keeps a kernel from answering is the finding
        reason = f"No kernel could be asked what is active in a notebook: {type(error).__name__}: {error}"
        return [*checks(), Check("kernel", False, reason)]


def _ask_kernel() -> str:
    from jupyter_client.manager import KernelManager

    manager = KernelManager()
    # It only looks: the notebooks' ledger is not its business.
    environment = {name: value for name, value in os.environ.items() if name != LEDGER_VARIABLE}
    manager.start_kernel(stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
    client = manager.client()
    printed: list[str] = []
    try:
        client.start_channels()
        client.wait_for_ready(timeout=START_S)

        def keep(message: dict[str, Any]) -> None:
            if message["msg_type"] == "stream" and message["content"]["name"] == "stdout":
                printed.append(message["content"]["text"])

        client.execute_interactive(_IN_KERNEL, timeout=START_S, output_hook=keep)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    return "".join(printed)
