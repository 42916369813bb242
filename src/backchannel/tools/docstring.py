"""Docstrings: what a function does and what its parameters mean, in Google, NumPy, Sphinx or plain style. Pure."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

__all__ = ["Docstring", "parse", "with_notice"]

_PARAMETERS = frozenset({"args", "arguments", "parameters", "params", "other", "keyword", "keywords"})
_RESULTS = frozenset({"returns", "return", "yields", "yield", "receives", "raises", "raise", "warns", "warnings"})
_REMARKS = frozenset({"warning", "note", "notes", "example", "examples", "attributes", "methods", "see", "references"})
_SECTIONS = _PARAMETERS | _RESULTS | _REMARKS
_GOOGLE_HEADER = re.compile(r"^(?P<name>[A-Z][A-Za-z]*(?: [A-Z][a-z]+)?):\s*$")
_GOOGLE_PARAMETER = re.compile(
    r"^(?P<names>\*{0,2}\w+(?:\s*,\s*\*{0,2}\w+)*)\s*(?:\((?P<type>[^)]*)\))?\s*:\s*(?P<text>.*)$"
)
_NUMPY_PARAMETER = re.compile(r"^(?P<names>\*{0,2}\w+(?:\s*,\s*\*{0,2}\w+)*)\s*(?::.*)?$")
_SPHINX_PARAMETER = re.compile(r"^:(?:param|parameter|arg|argument)\s(?:[^:]*\s)?(?P<name>\w+)\s*:\s*(?P<text>.*)$")
_SPHINX_OTHER = re.compile(r"^:(?:type|rtype|returns?|raises?|yields?|var|ivar)\b")

_Reader: TypeAlias = Callable[[list[str]], dict[str, str]]


@dataclass(frozen=True, slots=True)
class Docstring:
    """What a docstring says: the text before its sections, and the parameters by name."""

    description: str = ""
    parameters: dict[str, str] = field(default_factory=dict)


def parse(text: str | None) -> Docstring:
    """Take a docstring apart; sections that are not about parameters are left out."""
    lines = inspect.cleandoc(text or "").splitlines()
    description: list[str] = []
    section: list[str] = []
    parameters: dict[str, str] = {}
    read: _Reader | None = None
    current = description
    index = 0
    while index < len(lines):
        line = lines[index]
        name, underlined = _header(lines, index)
        if name in _SECTIONS:
            _finish(read, section, parameters)
            section, read = [], (_read_numpy if underlined else _read_google) if name in _PARAMETERS else None
            current = section
            index += 2 if underlined else 1
            continue
        if _is_field(line):
            _finish(read, section, parameters)
            section, read = [line], _read_sphinx
            current = section
        else:
            current.append(line)
        index += 1
    _finish(read, section, parameters)
    return Docstring(_paragraphs(description), parameters)


def with_notice(text: str | None, notice: str) -> str:
    """Return a docstring with a further paragraph after its description, before its sections."""
    lines = inspect.cleandoc(text or "").splitlines()
    found = (at for at, line in enumerate(lines) if _header(lines, at)[0] in _SECTIONS or _is_field(line))
    at = next(found, len(lines))
    return "\n\n".join(part for part in (_paragraphs(lines[:at]), notice, _paragraphs(lines[at:])) if part)


def _header(lines: list[str], index: int) -> tuple[str, bool]:
    """Return the name of the section that a line may begin, or "", and whether it is underlined."""
    line = lines[index]
    underlined = index + 1 < len(lines) and re.fullmatch(r"\s*-{3,}\s*", lines[index + 1]) is not None
    google = _GOOGLE_HEADER.match(line)
    return (google["name"] if google else line.strip() if underlined else "").split(" ")[0].casefold(), underlined


def _is_field(line: str) -> bool:
    return bool(_SPHINX_PARAMETER.match(line) or _SPHINX_OTHER.match(line))


def _finish(read: _Reader | None, section: list[str], parameters: dict[str, str]) -> None:
    if read is not None:
        parameters.update({name: text for name, text in read(section).items() if text})


def _read_google(lines: list[str]) -> dict[str, str]:
    filled = [line for line in lines if line.strip()]
    if not filled:
        return {}
    margin = min(len(line) - len(line.lstrip()) for line in filled)
    found: dict[str, list[str]] = {}
    current: list[str] = []
    for line in filled:
        indented = len(line) - len(line.lstrip()) > margin
        match = None if indented else _GOOGLE_PARAMETER.match(line.strip())
        if match:
            current = [match["text"]]
            found.update(dict.fromkeys(_names(match["names"]), current))
        else:
            current.append(line.strip())
    return _joined(found)


def _read_numpy(lines: list[str]) -> dict[str, str]:
    found: dict[str, list[str]] = {}
    current: list[str] = []
    for line in lines:
        match = _NUMPY_PARAMETER.match(line) if line[:1].strip() else None
        if match:
            current = []
            found.update(dict.fromkeys(_names(match["names"]), current))
        elif line.strip():
            current.append(line.strip())
    return _joined(found)


def _read_sphinx(lines: list[str]) -> dict[str, str]:
    match = _SPHINX_PARAMETER.match(lines[0])
    return {match["name"]: " ".join([match["text"], *(line.strip() for line in lines[1:])]).strip()} if match else {}


def _names(text: str) -> list[str]:
    return [name.strip().lstrip("*") for name in text.split(",")]


def _joined(found: dict[str, list[str]]) -> dict[str, str]:
    return {name: " ".join(part for part in parts if part) for name, parts in found.items()}


def _paragraphs(lines: list[str]) -> str:
    return "\n".join(line.rstrip() for line in lines).strip()
