"""Text on a terminal: what a model or a tool wrote, made safe to print, and a line that is written over."""

from __future__ import annotations

import shutil
import sys
import unicodedata
from typing import TextIO

__all__ = ["TerminalLines", "visible"]

_PICTURES = 0x2400
_LINE_ENDS = "\r\n", "\u2028", "\u2029", "\u0085"


def visible(text: str) -> str:
    """Return text in which nothing is left that a terminal would obey.

    Control characters are shown as their symbols, those that turn the writing direction and other invisible ones as
    their escapes. Lines after the first are indented, so that a text cannot pretend to be another one.
    """
    for end in _LINE_ENDS:
        text = text.replace(end, "\n")
    return "".join(map(_shown, text)).strip("\n").replace("\n", "\n    ")


def _shown(character: str) -> str:
    if character.isprintable() or character == "\n":
        return character
    code = ord(character)
    if character == "\t":
        return "    "
    if code < 0x20:
        return chr(_PICTURES + code)
    if code == 0x7F:
        return "\u2421"
    category = unicodedata.category(character)
    if category == "Zs":
        return " "
    if character in "\u200c\u200d":  # They join letters and emoji, and turn nothing.
        return character
    return character.encode("ascii", "backslashreplace").decode("ascii")


def _width(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def fit(text: str, columns: int) -> str:
    """Return as much of the end of one line of text as fits, with an ellipsis where something is left out."""
    text = " ".join(text.split())
    if sum(map(_width, text)) <= columns:
        return text
    kept: list[str] = []
    room = columns - 1
    for character in reversed(text):
        room -= _width(character)
        if room < 0:
            break
        kept.append(character)
    return "…" + "".join(reversed(kept))


class TerminalLines:
    """Prints lines, and one unfinished line in place where that is possible.

    Args:
        stream: Where to; by default what ``sys.stdout`` is at the time.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream
        self._unfinished = False
        self._last = ""

    @property
    def in_place(self) -> bool:
        """Whether a line can be written over."""
        return self._out().isatty()

    def line(self, text: str) -> None:
        """Print a line, over the unfinished one if there is one. The text is made safe."""
        self._last = ""
        self._write(self._erase() + visible(text) + "\n")

    def unfinished(self, text: str) -> None:
        """Show a line that the next one replaces; not on a terminal, print it, unless it is the same again."""
        if not self.in_place:
            text = visible(text)
            if text != self._last:
                self._last = text
                self._write(text + "\n")
            return
        erase = self._erase()
        self._unfinished = True
        self._write(erase + self.fitting(text))

    def fitting(self, text: str) -> str:
        """Return the end of a text that fits on one line, made safe."""
        return fit(visible(text), max(10, shutil.get_terminal_size().columns - 1))

    def clear(self) -> None:
        """Take the unfinished line away."""
        self._last = ""
        erase = self._erase()
        if erase:
            self._write(erase)

    def _erase(self) -> str:
        unfinished, self._unfinished = self._unfinished, False
        return "\r\x1b[2K" if unfinished else ""

    def _out(self) -> TextIO:
        return sys.stdout if self._stream is None else self._stream

    def _write(self, text: str) -> None:
        out = self._out()
        encoding = getattr(out, "encoding", None) or "utf-8"
        out.write(text.encode(encoding, "backslashreplace").decode(encoding))
        out.flush()
