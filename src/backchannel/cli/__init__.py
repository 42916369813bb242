"""The console command: ``backchannel demo | doctor | models``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from .._version import __version__
from ..errors import BackchannelError

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
        from . import models

        return models.main()
    except (BackchannelError, OSError) as error:
        print(f"backchannel: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("backchannel: stopped", file=sys.stderr)
        return 130
