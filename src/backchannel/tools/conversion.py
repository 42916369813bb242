"""Conversions: how one JSON value is checked and turned into the Python value that a parameter wants. Pure.

A conversion takes what fits as it is and what can be converted without loss ("5" for 5): models often send text.
"""

from __future__ import annotations

import json
import math
import numbers
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from .text import cut

__all__ = [
    "UNFIT",
    "Conversion",
    "Read",
    "anything",
    "array",
    "boolean",
    "choice",
    "either",
    "integer",
    "made_by",
    "mapping",
    "null",
    "number",
    "parsed",
    "record",
    "shown",
    "string",
]

UNFIT: Any = object()
"""What a conversion returns for a value that does not fit; the fault is in the list."""

Read: TypeAlias = Callable[[Any, str, list[str], bool], Any]
"""``read(value, where, faults, exact)``: the converted value, or `UNFIT` and a sentence in ``faults``.

``where`` names the value, as in ``points[2].x``. With ``exact`` nothing but what the type says is taken.
"""

_INTEGER = re.compile(r"[+-]?\d+(\.0+)?\Z")
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?\Z")


@dataclass(frozen=True, slots=True)
class Conversion:
    """A JSON schema, and the function that reads values of it."""

    schema: dict[str, Any]
    read: Read


def shown(value: object) -> str:
    """Return a value as it appears in a fault: short, and as JSON where it is JSON."""
    try:
        if isinstance(value, (str, int, float, bool, list, dict)) or value is None:
            text = json.dumps(value[:200] if isinstance(value, (str, list)) else value, ensure_ascii=False)
        else:
            text = f"a {type(value).__name__}"
    except Exception:  # noqa: BLE001 - a container may hold, and a __str__ may raise, anything
        text = f"a {type(value).__name__}"
    return text if len(text) <= 80 else text[:77] + "..."


def _unfit(value: object, where: str, faults: list[str], expected: str) -> Any:
    faults.append(f"{where}: expected {expected}, got {shown(value)}")
    return UNFIT


def _read_anything(value: Any, where: str, faults: list[str], exact: bool) -> Any:  # noqa: ARG001 - a Read
    return value


anything = Conversion({}, _read_anything)


def _read_string(value: Any, where: str, faults: list[str], exact: bool) -> Any:
    if isinstance(value, str):
        return value
    if not exact and isinstance(value, (int, float)) and not isinstance(value, bool):
        return str(value)
    return _unfit(value, where, faults, "a string")


def _read_integer(value: Any, where: str, faults: list[str], exact: bool) -> Any:
    if type(value) is int:
        return value
    if isinstance(value, numbers.Integral) and not isinstance(value, bool):
        return int(value)
    if not exact:
        if isinstance(value, float) and value.is_integer():
            return int(value)
        if isinstance(value, str) and len(value) < 400 and _INTEGER.match(value.strip()):
            return int(value.strip().split(".")[0])
    return _unfit(value, where, faults, "an integer")


def _read_number(value: Any, where: str, faults: list[str], exact: bool) -> Any:
    if isinstance(value, float):
        return value
    if not exact and not isinstance(value, bool):
        try:
            if isinstance(value, numbers.Real):
                return float(value)
            if isinstance(value, str) and _NUMBER.match(value.strip()) and math.isfinite(float(value)):
                return float(value)
        except OverflowError:
            pass
    return _unfit(value, where, faults, "a number")


def _read_boolean(value: Any, where: str, faults: list[str], exact: bool) -> Any:
    if isinstance(value, bool):
        return value
    if not exact and isinstance(value, str) and value.strip().casefold() in ("true", "false"):
        return value.strip().casefold() == "true"
    return _unfit(value, where, faults, "true or false")


def _read_null(value: Any, where: str, faults: list[str], exact: bool) -> Any:
    if value is None or (not exact and isinstance(value, str) and value.strip().casefold() in ("null", "none")):
        return None
    return _unfit(value, where, faults, "null")


string = Conversion({"type": "string"}, _read_string)
integer = Conversion({"type": "integer"}, _read_integer)
number = Conversion({"type": "number"}, _read_number)
boolean = Conversion({"type": "boolean"}, _read_boolean)
null = Conversion({"type": "null"}, _read_null)

_TYPE_NAMES = ((bool, "boolean"), (str, "string"), (int, "integer"), (float, "number"), (type(None), "null"))


def choice(values: Sequence[Any], results: Sequence[Any] | None = None, names: Sequence[str] = ()) -> Conversion:
    """One of ``values``; read as the entry of ``results`` at the same place. ``names`` are other words for them.

    Text is compared without regard to case and to space around it, if nothing fits as it is.
    """
    meant = list(values if results is None else results)
    schema: dict[str, Any] = {"enum": list(values)}
    types = {next((name for kind, name in _TYPE_NAMES if isinstance(value, kind)), "") for value in values}
    if len(types) == 1 and "" not in types:
        schema = {"type": types.pop(), **schema}
    words: dict[str, Any] = {}
    for given in (list(values), list(names)):
        for word, result in zip(given, meant, strict=False):
            key = str(word).strip().casefold()
            words[key] = UNFIT if key in words and words[key] is not result else result
    expected = "one of " + cut(", ".join(shown(value) for value in values), 600)

    def read(value: Any, where: str, faults: list[str], exact: bool) -> Any:
        for candidate, result in zip(values, meant, strict=True):
            if type(value) is type(candidate) and value == candidate:
                return result
            if value is result and result is not candidate:
                return result
        if not exact and isinstance(value, (str, int, float)) and not isinstance(value, bool):
            result = words.get(str(value).strip().casefold(), UNFIT)
            if result is not UNFIT:
                return result
        return _unfit(value, where, faults, expected)

    return Conversion(schema, read)


def either(options: Sequence[Conversion]) -> Conversion:
    """The first option that takes a value exactly; else the first that can convert it."""
    if len(options) == 1:
        return options[0]

    def read(value: Any, where: str, faults: list[str], exact: bool) -> Any:
        attempts: list[list[str]] = []
        for only_exact in (True,) if exact else (True, False):
            attempts = []
            for option in options:
                attempt: list[str] = []
                result = option.read(value, where, attempt, only_exact)
                if not attempt:
                    return result
                attempts.append(attempt)
        direct = [attempt[0] for attempt in attempts if attempt[0].startswith(f"{where}: expected ")]
        if len(direct) < len(attempts):
            faults.extend(next(attempt for attempt in attempts if attempt[0] not in direct))
            return UNFIT
        wanted = [text.removeprefix(f"{where}: expected ").removesuffix(f", got {shown(value)}") for text in direct]
        return _unfit(value, where, faults, " or ".join(dict.fromkeys(wanted)))

    return Conversion({"anyOf": [option.schema for option in options]}, read)


def _json_of(value: Any, kind: type[list[Any]] | type[dict[str, Any]], exact: bool) -> Any:
    if exact or not isinstance(value, str) or value.strip()[:1] not in ("[", "{"):
        return value
    try:
        parsed_value = json.loads(value)
    except ValueError:
        return value
    return parsed_value if isinstance(parsed_value, kind) else value


def array(
    item: Conversion | None,
    build: Callable[[list[Any]], Any] = list,
    *,
    kind: type[Any] | tuple[type[Any], ...] = (),
    places: Sequence[Conversion] | None = None,
    unique: bool = False,
    least: int | None = None,
    most: int | None = None,
) -> Conversion:
    """A list of ``item``, or of exactly ``places``; ``kind`` are the other Python types that may stand for it."""
    schema: dict[str, Any] = {"type": "array"}
    if places is not None:
        least = most = len(places)
        schema["prefixItems"] = [place.schema for place in places]
    elif item is not None and item.schema:
        schema["items"] = item.schema
    if least is not None:
        schema["minItems"] = least
    if most is not None:
        schema["maxItems"] = most
    if unique:
        schema["uniqueItems"] = True
    reads = item.read if item is not None else _read_anything

    def read(value: Any, where: str, faults: list[str], exact: bool) -> Any:
        value = _json_of(value, list, exact)
        if not isinstance(value, list) and not (kind and isinstance(value, kind)):
            return _unfit(value, where, faults, "a list")
        if (least is not None and len(value) < least) or (most is not None and len(value) > most):
            size = (
                f"{least}" if least == most else f"{least or 0} or more" if most is None else f"{least or 0} to {most}"
            )
            return _unfit(value, where, faults, f"a list of {size} items")
        before = len(faults)
        each: Iterable[Read] = (place.read for place in places) if places is not None else (reads for _ in value)
        items = [
            of(entry, f"{where}[{index}]", faults, exact)
            for index, (of, entry) in enumerate(zip(each, value, strict=True))
        ]
        return _built(build, items, value, where, faults) if len(faults) == before else UNFIT

    return Conversion(schema, read)


def mapping(key: Conversion, value: Conversion) -> Conversion:
    """An object with any names; the names are converted, too."""
    schema: dict[str, Any] = {"type": "object"}
    if value.schema:
        schema["additionalProperties"] = value.schema

    def read(given: Any, where: str, faults: list[str], exact: bool) -> Any:
        given = _json_of(given, dict, exact)
        if not isinstance(given, Mapping):
            return _unfit(given, where, faults, "an object")
        before = len(faults)
        found = {}
        for name, entry in given.items():
            place = f"{where}[{shown(name)}]"
            # JSON knows only text as a name, so a name is converted also where a value would not be.
            read_name = key.read(name, f"{place}: its name", faults, False)
            read_value = value.read(entry, place, faults, exact)
            if len(faults) == before:
                found[read_name] = read_value
        return found if len(faults) == before else UNFIT

    return Conversion(schema, read)


def record(
    fields: Mapping[str, Conversion],
    required: Iterable[str],
    build: Callable[[dict[str, Any]], Any] = dict,
    *,
    kind: type[Any] | None = None,
    more: Conversion | None = None,
) -> Conversion:
    """An object with these fields; others are refused, or read with ``more``. A ``kind`` stays as it is."""
    needed = [name for name in fields if name in set(required)]
    schema: dict[str, Any] = {
        "type": "object",
        "properties": {name: conversion.schema for name, conversion in fields.items()},
        "required": needed,
        "additionalProperties": False if more is None else more.schema or True,
    }

    def read(value: Any, where: str, faults: list[str], exact: bool) -> Any:
        if kind is not None and isinstance(value, kind):
            return value
        value = _json_of(value, dict, exact)
        if not isinstance(value, (dict, Mapping)):
            return _unfit(value, where, faults, "an object")
        before = len(faults)
        prefix = f"{where}." if where else ""
        found: dict[str, Any] = {}
        for name, entry in value.items():
            conversion = fields.get(name, more) if isinstance(name, str) else None
            if conversion is None:
                known = f"known are {', '.join(fields)}" if fields else "there are none to give"
                faults.append(f"{prefix}{name}: unknown, {known}")
            else:
                found[name] = conversion.read(entry, prefix + name, faults, exact)
        faults.extend(f"{prefix}{name}: missing" for name in needed if name not in value)
        return _built(build, found, value, where, faults) if len(faults) == before else UNFIT

    return Conversion(schema, read)


def parsed(schema: dict[str, Any], expected: str, parse: Callable[[str], Any], kind: type[Any]) -> Conversion:
    """Text that ``parse`` turns into a ``kind``; an instance of ``kind`` stays as it is."""

    def read(value: Any, where: str, faults: list[str], exact: bool) -> Any:  # noqa: ARG001 - a Read
        if isinstance(value, kind):
            return value
        if isinstance(value, str):
            try:
                return parse(value.strip())
            except ValueError:
                pass
        return _unfit(value, where, faults, expected)

    return Conversion(schema, read)


def made_by(schema: dict[str, Any], make: Callable[[Any], Any], kind: type[Any]) -> Conversion:
    """An object that ``make`` checks and turns into a ``kind``; an instance of ``kind`` stays as it is."""

    def read(value: Any, where: str, faults: list[str], exact: bool) -> Any:
        if isinstance(value, kind):
            return value
        value = _json_of(value, dict, exact)
        if not isinstance(value, Mapping):
            return _unfit(value, where, faults, "an object")
        try:
            return make(value)
        except Exception as error:  # noqa: BLE001 - its own checks may raise anything
            faults.extend(_what_is_wrong(error, where) or [f"{where}: {shown(value)} was refused ({error})"])
            return UNFIT

    return Conversion(schema, read)


def _what_is_wrong(error: Exception, where: str) -> list[str]:
    """Return what an error of pydantic says of each value; nothing for other errors."""
    errors = getattr(error, "errors", None)
    found = errors() if callable(errors) else []
    return [f"{'.'.join([where, *map(str, entry['loc'])])}: {entry['msg']}" for entry in found]


def _built(build: Callable[[Any], Any], parts: Any, value: Any, where: str, faults: list[str]) -> Any:
    try:
        return build(parts)
    except Exception as error:  # noqa: BLE001 - a dataclass's own checks may raise anything
        faults.append(f"{where or 'arguments'}: {shown(value)} was refused ({type(error).__name__}: {error})")
        return UNFIT
