"""The console command: ``backchannel demo | doctor | models | tasks``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from .._version import __version__
from ..errors import BackchannelError
from ..notebook.ledger_place import LEDGER_VARIABLE

__all__ = ["main"]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="backchannel", description="Talk to your notebook. The tools keep working in the background."
    )
    parser.add_argument("--version", action="version", version=f"backchannel {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    demo = commands.add_parser("demo", help="hold a whole conversation here, without browser, account or network")
    demo.add_argument("question", nargs="?", type=Path, help="a WAV file to say instead of the built-in conversation")
    demo.add_argument("--out", type=Path, metavar="WAV", help="write the spoken answers to this file")
    demo.add_argument("--json", action="store_true", help="print every event as a line of JSON instead of the screen")
    demo.add_argument("--voice", default="slt", help="the voice that answers: slt, rms, awb or kal16 (default slt)")
    demo.add_argument("--timeout", type=float, default=120.0, metavar="S", help="give up after this long, seconds")

    doctor = commands.add_parser("doctor", help="say what is installed and active, and what to do about the rest")
    doctor.add_argument("--json", action="store_true", help="print the checks as JSON")

    tasks = commands.add_parser(
        "tasks",
        help="list the background tasks of a ledger",
        description="List the tasks of a ledger. In a pipe: a line for each, its fields separated by tabs (number, "
        "status, progress, seconds, told, task, result).",
    )
    tasks.add_argument(
        "ledger",
        nargs="?",
        help=f"the file that the tasks are written to, or s3://BUCKET/KEY; by default what {LEDGER_VARIABLE} names",
    )
    tasks.add_argument("-f", "--follow", action="store_true", help="go on showing what changes, until Ctrl-C")
    tasks.add_argument(
        "--json", action="store_true", help="print each task as a line of JSON; with --follow each change"
    )
    tasks.add_argument(
        "--status",
        action="append",
        metavar="STATUS",
        choices=("queued", "running", "done", "failed", "timed_out", "cancelled", "lost"),
        help="only tasks of this status; may be given several times: queued, running, done, failed, timed_out, "
        "cancelled, lost",
    )

    commands.add_parser("models", help="list the models, and whether each can be used here")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    options = _parser().parse_args(argv)
    try:
        if options.command == "demo":
            from . import demo

            return demo.main(options)
        if options.command == "doctor":
            from . import doctor

            return doctor.main(options)
        if options.command == "tasks":
            from . import tasks

            return tasks.main(options)
        from . import models

        return models.main()
    except (BackchannelError, OSError) as error:
        print(f"backchannel: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("backchannel: stopped", file=sys.stderr)
        return 130
