"""JSON schemas that somebody else wrote: the conversion that one stands for. Pure.

Known are the words of draft 2020-12 that describe a call's arguments; unknown words are passed on to the model only.
"""

from __future__ import annotations

import graphlib
import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from urllib.parse import unquote

from . import conversion
from .conversion import UNFIT, Conversion, Read

__all__ = ["conversion_from"]

_log = logging.getLogger(__name__)

PATTERN_S = 0.05
"""How long a pattern is tried on a value, seconds."""

_SCALARS = {
    "string": conversion.string,
    "integer": conversion.integer,
    "number": conversion.number,
    "boolean": conversion.boolean,
    "null": conversion.null,
}
_LIMITS: tuple[tuple[str, str, Callable[[Any, Any], bool]], ...] = (
    ("minimum", "at least {}", lambda value, limit: bool(value >= limit)),
    ("maximum", "at most {}", lambda value, limit: bool(value <= limit)),
    ("exclusiveMinimum", "more than {}", lambda value, limit: bool(value > limit)),
    ("exclusiveMaximum", "less than {}", lambda value, limit: bool(value < limit)),
    ("minLength", "{} or more characters", lambda value, limit: len(value) >= limit),
    ("maxLength", "at most {} characters", lambda value, limit: len(value) <= limit),
    ("pattern", "text that matches {}", lambda value, limit: bool(limit.fits(value))),
)
_TEXT_LIMITS = frozenset({"minLength", "maxLength", "pattern"})


class _Pattern:
    """A pattern that somebody else wrote: it is tried for a short time only, and left to its tool if that is over.

    Raises:
        ValueError: If it cannot be read.
    """

    def __init__(self, text: str) -> None:
        import regex  # Unlike re it has a time limit.

        self._text = text
        self._costly = False
        try:
            self._compiled = regex.compile(text)
        except (regex.error, RecursionError) as error:
            raise ValueError(f"the pattern {text!r:.100} cannot be read: {error}") from None

    def __str__(self) -> str:
        return self._text

    def fits(self, value: str) -> bool:
        if self._costly:
            return True
        try:
            return self._compiled.search(value, timeout=PATTERN_S) is not None
        except TimeoutError:
            self._costly = True
            _log.warning(
                "the pattern %.100r takes too long to be checked; from now on it is left to its tool", self._text
            )
            return True


def conversion_from(schema: Mapping[str, Any], *, foreign: bool = False) -> Conversion:
    """Return the conversion for a JSON schema. With ``foreign``, patterns that Python cannot read are left out.

    Raises:
        ValueError: If a ``$ref`` leads nowhere or back to itself, a pattern is none, an unknown type.
        TypeError: If a schema is not an object, or a word of it has a value of another kind.
    """
    reader = _Reader(schema, foreign)
    read = reader.of(schema)
    reader.check_references()
    return Conversion(dict(schema), read)


class _Reader:
    def __init__(self, root: Mapping[str, Any], foreign: bool) -> None:
        self._root = root
        self._foreign = foreign
        self._by_reference: dict[str, Read] = {}
        self._same_value: dict[str, set[str]] = {}

    def check_references(self) -> None:
        """Raise ValueError if references lead to each other without coming to a smaller value."""
        try:
            graphlib.TopologicalSorter(self._same_value).prepare()
        except graphlib.CycleError as error:
            raise ValueError(f"the schema's reference {error.args[1][0]!r} leads back to itself") from None

    def of(self, schema: Any) -> Read:
        if schema is True:
            return conversion.anything.read
        if schema is False:
            return _nothing
        if not isinstance(schema, Mapping):
            raise TypeError(f"a JSON schema is an object, not {schema!r:.80}")
        if "$ref" in schema:
            return self._reference(str(schema["$ref"]))
        parts = [self._kind(schema)] if _says_kind(schema) else []
        choices = [_listed(schema, word) for word in ("anyOf", "oneOf") if word in schema]
        parts.extend(self._either(options) for options in choices)
        parts.extend(self.of(option) for option in _listed(schema, "allOf"))
        limits = [(text, fits, word, self._limit(schema, word)) for word, text, fits in _LIMITS if word in schema]
        limits = [limit for limit in limits if limit[-1] is not None]
        if not limits and len(parts) == 1:
            return parts[0]

        def read(value: Any, where: str, faults: list[str], exact: bool) -> Any:
            for part in parts:
                value = part(value, where, faults, exact)
                if value is UNFIT:
                    return UNFIT
            for text, fits, word, limit in limits:
                applies = isinstance(value, str) if word in _TEXT_LIMITS else isinstance(value, (int, float))
                if applies and not isinstance(value, bool) and not fits(value, limit):
                    faults.append(f"{where}: expected {text.format(limit)}, got {conversion.shown(value)}")
                    return UNFIT
            return value

        return read

    def _limit(self, schema: Mapping[str, Any], word: str) -> Any:
        try:
            if word != "pattern":
                return _number(schema, word)
            return _Pattern(schema[word])
        except (ValueError, TypeError):
            if self._foreign:
                return None
            raise

    def _either(self, options: Iterable[Any]) -> Read:
        return conversion.either([Conversion({}, self.of(option)) for option in options]).read

    def _reference(self, name: str) -> Read:
        if name not in self._by_reference:
            found: Any = self._root
            for step in name.removeprefix("#").strip("/").split("/") if name != "#" else ():
                step = unquote(step).replace("~1", "/").replace("~0", "~")
                place: Any = int(step) if isinstance(found, list) and step.isdecimal() else step
                try:
                    found = found[place]
                except (LookupError, TypeError):
                    raise ValueError(f"the schema's reference {name!r} leads nowhere") from None
            # Registered before it is read: a schema may refer to itself.
            self._by_reference[name] = lambda *given: self._by_reference[name](*given)
            self._same_value[name] = _references(found)
            self._by_reference[name] = self.of(found)
        return lambda *given: self._by_reference[name](*given)

    def _kind(self, schema: Mapping[str, Any]) -> Read:
        if "const" in schema:
            return conversion.choice([schema["const"]]).read
        if "enum" in schema:
            return conversion.choice(list(schema["enum"])).read
        names = schema.get("type", "object" if "properties" in schema else "array")
        if not names or not isinstance(names, (str, list, tuple)):
            raise TypeError(f"type is a name or a list of names, not {conversion.shown(names)}")
        options = [self._named(name, schema) for name in ([names] if isinstance(names, str) else names)]
        return conversion.either(options).read

    def _named(self, name: Any, schema: Mapping[str, Any]) -> Conversion:
        if name in _SCALARS:
            return _SCALARS[name]
        if name == "array":
            items = Conversion({}, self.of(schema.get("items", True)))
            places = [Conversion({}, self.of(place)) for place in _listed(schema, "prefixItems")]
            least, most = _number(schema, "minItems"), _number(schema, "maxItems")
            exact = bool(places) and least == len(places) == schema.get("maxItems", len(places))
            return conversion.array(
                items,
                kind=tuple,
                places=places if exact else None,
                least=least,
                most=most,
            )
        if name == "object":
            properties = schema.get("properties", {})
            if not isinstance(properties, Mapping):
                raise TypeError(f"properties is an object of schemas, not {conversion.shown(properties)}")
            required = _listed(schema, "required")
            if not all(isinstance(key, str) for key in required):
                raise TypeError(f"required is a list of names, not {conversion.shown(required)}")
            fields = {key: Conversion({}, self.of(part)) for key, part in properties.items()}
            more = schema.get("additionalProperties", True)
            others = None if more is False else Conversion({}, self.of(more))
            needed = [key for key in required if key not in fields]
            fields.update(dict.fromkeys(needed, conversion.anything))
            return conversion.record(fields, required, more=others)
        raise ValueError(f"the schema's type {name!r} is none of array, object, {', '.join(_SCALARS)}")


def _says_kind(schema: Mapping[str, Any]) -> bool:
    return any(word in schema for word in ("type", "enum", "const", "properties", "items", "prefixItems"))


def _nothing(value: Any, where: str, faults: list[str], exact: bool) -> Any:  # noqa: ARG001 - a Read
    faults.append(f"{where}: expected nothing here, got {conversion.shown(value)}")
    return UNFIT


def _number(schema: Mapping[str, Any], word: str) -> Any:
    value = schema.get(word)
    if value is None or (isinstance(value, (int, float)) and not isinstance(value, bool)):
        return value
    raise TypeError(f"{word} is a number, not {conversion.shown(value)}")


def _listed(schema: Mapping[str, Any], word: str) -> list[Any]:
    value = schema.get(word, [])
    if isinstance(value, (list, tuple)):
        return list(value)
    raise TypeError(f"{word} is a list, not {conversion.shown(value)}")


def _references(schema: Any) -> set[str]:
    """The references that are about the same value as the schema itself, not about a part of it."""
    if not isinstance(schema, Mapping):
        return set()
    if "$ref" in schema:
        return {str(schema["$ref"])}
    parts = [part for word in ("anyOf", "oneOf", "allOf") for part in _listed(schema, word)]
    return set().union(*map(_references, parts))
