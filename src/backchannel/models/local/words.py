"""Words: how names, values and numbers are said, and numbers understood from words. Pure."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

__all__ = ["join", "number_words", "plain", "read_number", "readings", "tokens"]

# fmt: off
_ONES = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
)
# fmt: on
_TENS = ("", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_SCALES = ((1_000_000_000, "billion"), (1_000_000, "million"), (1000, "thousand"))
_VALUES = {word: value for value, word in enumerate(_ONES)} | {
    word: 10 * value for value, word in enumerate(_TENS) if word
}
_SYMBOLS = {"%": "percent", "&": "and", "+": "plus", "@": "at", "#": "number", "=": "equals", "°": "degrees"}
_PIECE = re.compile(r"\d+(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?|[A-Z]+(?![a-z])|[A-Z]?[a-z]+(?:'[a-z]+)?|[%&+@#=°]")
_TOKEN = re.compile(r"[A-Za-z0-9][\w'’.,-]*|[%&+]")
_LARGEST = 10**12
_LONGEST_NAME = 500
_LONGEST_NUMBER = 300  # characters; longer ones are no float
_DECIMALS = 30


def number_words(value: float) -> str:
    """Say a number: 35 -> "thirty five", -2 -> "minus two", 0.25 -> "zero point two five".

    Whole numbers from 10**12 on are said digit by digit; fractions are rounded to three places.
    """
    if value < 0:
        return "minus " + number_words(-value)
    whole = int(value)
    fraction = f"{value - whole:.3f}"[2:].rstrip("0") if value != whole else ""
    if fraction == "" and value != whole:
        whole = round(value)
    said = " ".join(_ONES[int(digit)] for digit in str(whole)) if whole >= _LARGEST else _whole_words(whole)
    return said + (" point " + " ".join(_ONES[int(digit)] for digit in fraction) if fraction else "")


def _whole_words(value: int) -> str:
    if value < 20:
        return _ONES[value]
    if value < 100:
        rest = value % 10
        return _TENS[value // 10] + (" " + _ONES[rest] if rest else "")
    if value < 1000:
        rest = value % 100
        return f"{_ONES[value // 100]} hundred" + (" " + _whole_words(rest) if rest else "")
    for size, name in _SCALES:
        if value >= size:
            rest = value % size
            return f"{_whole_words(value // size)} {name}" + (" " + _whole_words(rest) if rest else "")
    raise AssertionError(value)


def _number_readings(text: str) -> list[str]:
    text = text.replace(",", "")
    if "." in text:
        whole, fraction = text.split(".", 1)
        digits = " ".join(_ONES[int(digit)] for digit in fraction)
        return [f"{_number_readings(whole)[-1] if len(whole) > 12 else number_words(int(whole))} point {digits}"]
    digits = " ".join(_ONES[int(digit)] for digit in text)
    if len(text) > 12:
        return [digits]
    value = int(text)
    if text.startswith("0") and len(text) > 1:
        return [digits]
    if 1100 <= value <= 2099 and value % 1000 >= 10:
        century, rest = divmod(value, 100)
        tail = "hundred" if rest == 0 else f"oh {_ONES[rest]}" if rest < 10 else _whole_words(rest)
        return [f"{_whole_words(century)} {tail}", number_words(value)]
    if 100 <= value <= 9999:
        return [number_words(value), digits]
    return [number_words(value) if value < 10**6 else digits]


def plain(text: str) -> str:
    """Return text in ASCII: accents dropped, other scripts removed."""
    return unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode("ascii")


def readings(text: str, limit: int = 4) -> tuple[tuple[str, ...], ...]:
    """Say a name or value: the ways to read it, the usual one first, each a tuple of lower-case words.

    "train_model" -> train model; "GPT-4" -> gpt four, g p t four; "2024" -> twenty twenty four,
    two thousand twenty four. Empty where nothing can be said; of a very long text the beginning is read.
    """
    ways: list[tuple[str, ...]] = [()]
    for piece in _PIECE.findall(plain(text[:_LONGEST_NAME].replace("°", " degrees ")).replace("’", "'")):
        if piece[0].isdigit():
            options = [tuple(way.split()) for way in _number_readings(piece)]
        elif piece in _SYMBOLS:
            options = [(_SYMBOLS[piece],)]
        elif piece.isupper() and 2 <= len(piece) <= 5:
            options = [(piece.lower(),), tuple(piece.lower())]
        else:
            options = [(piece.lower(),)]
        ways = [way + option for option in options for way in ways][:limit]
    return tuple(way for way in ways if way)


def tokens(text: str) -> list[tuple[str, int, int]]:
    """Split typed text into (word to compare, where it begins, where it ends)."""
    found: list[tuple[str, int, int]] = []
    for piece in _TOKEN.finditer(text):
        written = piece.group().rstrip(".,'’-")
        parts = list(re.finditer(r"[^_-]+", written))
        if written[0].isdigit() or not parts:
            found.append((plain(written).lower(), piece.start(), piece.start() + len(written)))
            continue
        for part in parts:
            word = plain(part.group().replace("’", "'")).lower()
            if word:
                found.append((word, piece.start() + part.start(), piece.start() + part.end()))
    return found


def read_number(words: Sequence[str]) -> tuple[float, int] | None:
    """Read the number at the start of ``words``; return it and how many words it took.

    Both words ("thirty five", "two point five") and digits ("35", "1,000") are understood.
    """
    if not words:
        return None
    if len(words[0]) <= _LONGEST_NUMBER and re.fullmatch(r"\d+(?:,\d{3})*(?:\.\d+)?%?", words[0]):
        value = float(words[0].replace(",", "").rstrip("%"))
        return (int(value) if value.is_integer() and "." not in words[0] else value), 1
    total, group, taken, scale_left = 0, 0, 0, 10**12
    last = ""
    for word in words:
        if word in _VALUES:
            value = _VALUES[word]
            fits = last in ("", "hundred", "scale", "and") or (last == "tens" and 0 < value < 10)
            if not fits or (last == "and" and not group and not total):
                break
            group += value
            last = "tens" if value >= 20 else "ones"
        elif word == "hundred" and last == "ones" and 0 < group < 10:
            group *= 100
            last = "hundred"
        elif (
            word == "and"
            and last in ("hundred", "scale")
            and words[taken + 1 : taken + 2]
            and (words[taken + 1] in _VALUES)
        ):
            last = "and"
        else:
            size = next((size for size, name in _SCALES if name == word), 0)
            if not size or not group or size >= scale_left:
                break
            total, group, scale_left, last = total + group * size, 0, size, "scale"
        taken += 1
    if not taken:
        return None
    number: float = total + group
    if words[taken : taken + 1] == ["point"]:
        digits = []
        for word in words[taken + 1 : taken + 1 + _DECIMALS]:
            if _VALUES.get(word, 10) > 9:
                break
            digits.append(str(_VALUES[word]))
        if digits:
            return float(f"{number}.{''.join(digits)}"), taken + 1 + len(digits)
    return number, taken


def join(items: Sequence[str], conjunction: str = "and") -> str:
    """Join for saying: "a, b and c"."""
    if len(items) < 2:
        return "".join(items)
    return f"{', '.join(items[:-1])} {conjunction} {items[-1]}"
