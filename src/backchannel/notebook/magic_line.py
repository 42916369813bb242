"""MagicLine: reads the line of a magic; what is wrong with it is said in words."""

from __future__ import annotations

import argparse
import difflib
import math
import shlex
from collections.abc import Callable
from typing import NoReturn, TypeVar

from IPython.core.error import UsageError

__all__ = ["MagicLine", "one_of", "seconds", "whole"]

Number = TypeVar("Number", int, float)


class MagicLine(argparse.ArgumentParser):
    """An argument parser whose errors are UsageErrors that name the magic and the option."""

    def __init__(self, magic: str) -> None:
        super().__init__(prog=magic, add_help=False, allow_abbrev=False)

    def read(self, line: str) -> argparse.Namespace:
        """Return what the line says.

        Raises:
            UsageError: If it cannot be read.
        """
        try:
            options, unknown = self.parse_known_args(shlex.split(line))
        except ValueError as error:
            self.error(str(error))
        if unknown:
            self.error(self._unknown(unknown[0]))
        return options

    def error(self, message: str) -> NoReturn:
        said = message.removeprefix("argument ")
        if ": must be " in said:
            said = said.replace(": must be ", " must be ", 1)
        raise UsageError(f"{self.prog}: {said.rstrip('.')}. {self.prog}? lists what it takes.")

    def _unknown(self, word: str) -> str:
        name = word.partition("=")[0]
        close = difflib.get_close_matches(name, list(self._option_string_actions), 1)
        meant = f"; did you mean {close[0]}" if close and name.startswith("-") else ""
        return f"{name:.60} is not known here{meant}"


def seconds(*, least: float | None = None) -> Callable[[str], float]:
    """Return what reads a number of seconds, ``least`` or more, or else more than 0."""

    def read(text: str) -> float:
        number = _number(float, text)
        if number is None or not (number > 0 if least is None else least <= number) or math.isinf(number):
            bound = "more than 0 seconds" if least is None else f"{least:g} seconds or more"
            raise argparse.ArgumentTypeError(f"must be {bound}, not {text!r:.60}")
        return number

    return read


def whole(least: int | None = None) -> Callable[[str], int]:
    """Return what reads a whole number, ``least`` or more."""

    def read(text: str) -> int:
        number = _number(int, text)
        if number is None or (least is not None and number < least):
            bound = "" if least is None else f", {least} or more"
            raise argparse.ArgumentTypeError(f"must be a whole number{bound}, not {text!r:.60}")
        return number

    return read


def one_of(*choices: str) -> Callable[[str], str]:
    """Return what takes one of some words."""

    def read(text: str) -> str:
        if text not in choices:
            raise argparse.ArgumentTypeError(f"must be {', '.join(choices[:-1])} or {choices[-1]}, not {text!r:.60}")
        return text

    return read


def _number(kind: Callable[[str], Number], text: str) -> Number | None:
    try:
        return kind(text)
    except ValueError:
        return None
