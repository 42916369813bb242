"""JSON schemas that somebody else wrote: the conversion that one stands for. Pure.

Known are the words of draft 2020-12 that describe a call's arguments; unknown words are passed on to the model only.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from . import conversion
from .conversion import UNFIT, Conversion, Read

__all__ = ["conversion_from"]

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
    ("pattern", "text that matches {}", lambda value, limit: re.search(limit, value) is not None),
)
_TEXT_LIMITS = frozenset({"minLength", "maxLength", "pattern"})


def conversion_from(schema: Mapping[str, Any]) -> Conversion:
    """Return the conversion for a JSON schema.

    Raises:
        ValueError: If a ``$ref`` leads nowhere, a pattern is none, an unknown type.
        TypeError: If a schema is not an object.
    """
    read = _Reader(schema).of(schema)
    return Conversion(dict(schema), read)


class _Reader:
    def __init__(self, root: Mapping[str, Any]) -> None:
        self._root = root
        self._by_reference: dict[str, Read] = {}

    def of(self, schema: Any) -> Read:
        if schema is True:
            return conversion.anything.read
        if not isinstance(schema, Mapping):
            raise TypeError(f"a JSON schema is an object, not {schema!r:.80}")
        if "$ref" in schema:
            return self._reference(str(schema["$ref"]))
        parts = [self._kind(schema)] if _says_kind(schema) else []
        choices = [schema[word] for word in ("anyOf", "oneOf") if word in schema]
        parts.extend(self._either(options) for options in choices)
        parts.extend(self.of(option) for option in schema.get("allOf", ()))
        limits = [(text, fits, word, schema[word]) for word, text, fits in _LIMITS if word in schema]
        if "pattern" in schema:
            re.compile(schema["pattern"])
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

    def _either(self, options: Iterable[Any]) -> Read:
        return conversion.either([Conversion({}, self.of(option)) for option in options]).read

    def _reference(self, name: str) -> Read:
        if name not in self._by_reference:
            found: Any = self._root
            for step in name.removeprefix("#").strip("/").split("/") if name != "#" else ():
                step = step.replace("~1", "/").replace("~0", "~")
                if not isinstance(found, Mapping) or step not in found:
                    raise ValueError(f"the schema's reference {name!r} leads nowhere")
                found = found[step]
            # Registered before it is read: a schema may refer to itself.
            self._by_reference[name] = lambda *given: self._by_reference[name](*given)
            self._by_reference[name] = self.of(found)
        return lambda *given: self._by_reference[name](*given)

    def _kind(self, schema: Mapping[str, Any]) -> Read:
        if "const" in schema:
            return conversion.choice([schema["const"]]).read
        if "enum" in schema:
            return conversion.choice(list(schema["enum"])).read
        names = schema.get("type", "object" if "properties" in schema else "array")
        options = [self._named(name, schema) for name in ([names] if isinstance(names, str) else names)]
        return conversion.either(options).read

    def _named(self, name: Any, schema: Mapping[str, Any]) -> Conversion:
        if name in _SCALARS:
            return _SCALARS[name]
        if name == "array":
            items = Conversion({}, self.of(schema.get("items", True)))
            places = [Conversion({}, self.of(place)) for place in schema.get("prefixItems", ())]
            exact = bool(places) and schema.get("minItems") == len(places) == schema.get("maxItems", len(places))
            return conversion.array(
                items,
                kind=tuple,
                places=places if exact else None,
                least=schema.get("minItems"),
                most=schema.get("maxItems"),
            )
        if name == "object":
            fields = {key: Conversion({}, self.of(part)) for key, part in schema.get("properties", {}).items()}
            more = schema.get("additionalProperties", True)
            others = None if more is False else Conversion({}, self.of(more))
            needed = [key for key in schema.get("required", ()) if key not in fields]
            fields.update(dict.fromkeys(needed, conversion.anything))
            return conversion.record(fields, schema.get("required", ()), more=others)
        raise ValueError(f"the schema's type {name!r} is none of array, object, {', '.join(_SCALARS)}")


def _says_kind(schema: Mapping[str, Any]) -> bool:
    return any(word in schema for word in ("type", "enum", "const", "properties", "items", "prefixItems"))
