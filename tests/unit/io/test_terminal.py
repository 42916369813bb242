"""Text on a terminal is shown, not obeyed."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backchannel.io.terminal import TerminalLines, fit, visible


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    "text, shown",
    [
        ("plain text, ä, 漢字, 👩‍💻", "plain text, ä, 漢字, 👩‍💻"),
        ("\x1b[31mred\x1b[0m", "␛[31mred␛[0m"),
        ("bell\a", "bell␇"),
        ("over\rwritten", "over␍written"),
        ("\x7f\x9b31m", "␡\\x9b31m"),
        ("a\tb", "a    b"),
        ("one\ntwo\r\nthree\u2028four", "one\n    two\n    three\n    four"),
        ("\u202eevil", "\\u202eevil"),
        ("\ud800", "\\ud800"),
        ("no\u00a0break", "no break"),
        ("", ""),
    ],
)
def test_control_characters_are_shown(text: str, shown: str):
    assert visible(text) == shown


@given(st.text(st.characters()))
def test_whatever_the_text_nothing_is_left_that_a_terminal_obeys(text: str):
    shown = visible(text)
    assert all(character.isprintable() or character in "\n\u200c\u200d" for character in shown)
    assert all(line.startswith("    ") for line in shown.split("\n")[1:])
    shown.encode()


@given(st.text(), st.integers(1, 60))
def test_a_fitted_line_is_not_wider_than_the_room(text: str, columns: int):
    from prompt_toolkit.utils import get_cwidth

    shown = fit(visible(text), columns)
    assert "\n" not in shown
    if text.isascii():
        assert get_cwidth(shown) <= columns


def test_an_unfinished_line_is_replaced_in_place_on_a_terminal():
    stream = Terminal()
    lines = TerminalLines(stream)
    lines.unfinished("Hel")
    lines.unfinished("Hello")
    lines.line("Hello.")
    assert stream.getvalue() == "Hel\r\x1b[2KHello\r\x1b[2KHello.\n"


def test_elsewhere_every_line_is_printed_once():
    stream = io.StringIO()
    lines = TerminalLines(stream)
    for text in ("Hel", "Hel", "Hello"):
        lines.unfinished(text)
    lines.clear()
    lines.line("Hello.")
    assert stream.getvalue() == "Hel\nHello\nHello.\n"


def test_what_the_streams_encoding_does_not_know_is_escaped():
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii", newline="\n")
    TerminalLines(stream).line("naïve 漢")
    assert raw.getvalue() == b"na\\xefve \\u6f22\n"
