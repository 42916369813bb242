"""Type hints: the conversion that a Python annotation stands for. Pure."""

from __future__ import annotations

import collections.abc
import contextlib
import dataclasses
import datetime
import enum
import functools
import inspect
import pathlib
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any, Literal, Union

from . import conversion
from .conversion import Conversion

__all__ = ["conversion_of", "described", "hints_of", "plain_function"]

_SCALARS: dict[Any, Conversion] = {
    str: conversion.string,
    int: conversion.integer,
    float: conversion.number,
    bool: conversion.boolean,
    None: conversion.null,
    type(None): conversion.null,
    datetime.datetime: conversion.parsed(
        {"type": "string", "format": "date-time"},
        'a date and time as in "2026-01-31T12:00:00"',
        datetime.datetime.fromisoformat,
        datetime.datetime,
    ),
    datetime.date: conversion.parsed(
        {"type": "string", "format": "date"}, 'a date as in "2026-01-31"', datetime.date.fromisoformat, datetime.date
    ),
    datetime.time: conversion.parsed(
        {"type": "string", "format": "time"}, 'a time as in "12:30:00"', datetime.time.fromisoformat, datetime.time
    ),
}
_ARRAYS: dict[Any, Callable[[list[Any]], Any]] = {
    list: list,
    set: set,
    frozenset: frozenset,
    collections.abc.Sequence: list,
    collections.abc.MutableSequence: list,
    collections.abc.Iterable: list,
    collections.abc.Collection: list,
    collections.abc.Set: set,
    collections.abc.MutableSet: set,
}
_MAPPINGS = frozenset({dict, collections.abc.Mapping, collections.abc.MutableMapping})
_SETS = (set, frozenset)
_WRAPPERS = frozenset(
    wrapper
    for name in ("Required", "NotRequired", "ReadOnly", "Final", "ClassVar")
    if (wrapper := getattr(typing, name, None)) is not None
)


def conversion_of(hint: Any) -> Conversion:
    """Return the conversion for an annotation; one that says nothing about JSON takes any value as it is."""
    return _of(hint, {})


def described(hint: Any) -> str:
    """Return the description in ``Annotated[..., "description"]``, or an empty text."""
    for entry in getattr(hint, "__metadata__", ()):
        text = entry if isinstance(entry, str) else getattr(entry, "description", None)
        text = text if text is not None else getattr(entry, "documentation", None)
        if isinstance(text, str) and text:
            return text
    return ""


def hints_of(function: Callable[..., Any]) -> dict[str, Any]:
    """Return a callable's annotations, evaluated one by one; those that cannot be are `typing.Any`.

    An annotation may be a text that names something which exists for type checkers only.
    """
    plain = plain_function(function)
    scope = dict(getattr(plain, "__globals__", {}))
    if isinstance(plain, types.FunctionType):
        for name, cell in zip(plain.__code__.co_freevars, plain.__closure__ or (), strict=False):
            with contextlib.suppress(ValueError):  # the enclosing function may not have bound it yet
                scope.setdefault(name, cell.cell_contents)
    found: dict[str, Any] = {}
    for name, annotation in inspect.get_annotations(plain).items():
        try:
            found[name] = _evaluated(annotation, scope)
        except Exception:  # noqa: BLE001 - evaluating an annotation runs code that may raise anything
            found[name] = Any
    return found


def plain_function(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return what is behind partials, wrappers, methods and callable objects: the function that was written."""
    while True:
        if isinstance(function, functools.partial):
            function = function.func
        elif hasattr(function, "__wrapped__"):
            function = function.__wrapped__
        elif inspect.ismethod(function):
            function = function.__func__
        elif inspect.isroutine(function) or isinstance(function, type):
            return function
        else:
            function = type(function).__call__


def _evaluated(annotation: Any, scope: dict[str, Any]) -> Any:
    holder = types.SimpleNamespace(__annotations__={"it": annotation})
    return typing.get_type_hints(holder, globalns=scope, include_extras=True)["it"]


def _of(hint: Any, building: dict[type[Any], list[Conversion]]) -> Conversion:
    while True:
        if isinstance(hint, typing.NewType):
            hint = hint.__supertype__
        elif isinstance(hint, typing.TypeVar):
            hint = hint.__bound__ or Any
        elif typing.get_origin(hint) is typing.Annotated:
            text, inner = described(hint), _of(typing.get_args(hint)[0], building)
            return Conversion({**inner.schema, "description": text}, inner.read) if text else inner
        elif typing.get_origin(hint) in _WRAPPERS:
            hint = typing.get_args(hint)[0]
        elif type(hint).__name__ == "TypeAliasType":
            hint = hint.__value__
        else:
            break
    if isinstance(hint, collections.abc.Hashable) and hint in _SCALARS:
        return _SCALARS[hint]
    origin = typing.get_origin(hint) or hint
    arguments = typing.get_args(hint)
    if origin in (Union, types.UnionType):
        return _union(arguments, building)
    if origin is Literal:
        return conversion.choice(
            [value.value if isinstance(value, enum.Enum) else value for value in arguments], arguments
        )
    if origin is tuple:
        return _tuple(arguments, building)
    if origin in _ARRAYS:
        build = _ARRAYS[origin]
        item = _of(arguments[0], building) if arguments else None
        return conversion.array(item, build, kind=(tuple, *_SETS), unique=build in _SETS)
    if origin in _MAPPINGS:
        key, value = (_of(argument, building) for argument in arguments or (Any, Any))
        return conversion.mapping(key, value)
    return _class(origin, building) if isinstance(origin, type) else conversion.anything


def _union(arguments: tuple[Any, ...], building: dict[type[Any], list[Conversion]]) -> Conversion:
    options = [_of(argument, building) for argument in arguments]
    if any(not option.schema for option in options):
        return conversion.anything
    return conversion.either(options)


def _tuple(arguments: tuple[Any, ...], building: dict[type[Any], list[Conversion]]) -> Conversion:
    if not arguments:
        return conversion.array(None, tuple, kind=tuple)
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        return conversion.array(_of(arguments[0], building), tuple, kind=tuple)
    places = [_of(argument, building) for argument in arguments if argument != ()]
    return conversion.array(None, tuple, kind=tuple, places=places)


def _class(kind: type[Any], building: dict[type[Any], list[Conversion]]) -> Conversion:
    if issubclass(kind, enum.Enum):
        members = list(kind)
        plain = all(isinstance(member.value, (str, int, float)) for member in members)
        values = [member.value if plain else member.name for member in members]
        return conversion.choice(values, members, [member.name for member in members])
    if issubclass(kind, pathlib.PurePath):
        build = pathlib.Path if kind is pathlib.PurePath else kind
        return conversion.parsed({"type": "string", "format": "path"}, "a path", build, pathlib.PurePath)
    if dataclasses.is_dataclass(kind) or typing.is_typeddict(kind):
        return _recursive(kind, building)
    if callable(getattr(kind, "model_validate", None)) and callable(getattr(kind, "model_json_schema", None)):
        return _model(kind)
    return conversion.anything


def _model(kind: Any) -> Conversion:
    """A model of pydantic, known by what it can do: it checks its values itself."""
    whole = kind.model_json_schema()
    schema = _without_references({name: part for name, part in whole.items() if name != "$defs"}, whole, ())
    return conversion.made_by(schema, kind.model_validate, kind)


def _without_references(part: Any, whole: Mapping[str, Any], inside: tuple[str, ...]) -> Any:
    """Return a part of a schema with what it refers to in place; what holds itself is any object there."""
    if isinstance(part, list):
        return [_without_references(item, whole, inside) for item in part]
    if not isinstance(part, dict):
        return part
    name = str(part.get("$ref", "")).removeprefix("#/$defs/")
    if not name:
        return {key: _without_references(item, whole, inside) for key, item in part.items()}
    if name in inside:
        return {"type": "object"}
    return _without_references(whole.get("$defs", {}).get(name, {}), whole, (*inside, name))


def _recursive(kind: type[Any], building: dict[type[Any], list[Conversion]]) -> Conversion:
    if kind in building:
        later = building[kind]
        return Conversion({"type": "object"}, lambda *given: later[0].read(*given))
    building[kind] = []
    try:
        hints = typing.get_type_hints(kind, include_extras=True)
    except Exception:  # noqa: BLE001 - as in hints_of
        hints = {}
    if dataclasses.is_dataclass(kind):
        fields = {field.name: hints.get(field.name, Any) for field in dataclasses.fields(kind) if field.init}
        needed = [field.name for field in dataclasses.fields(kind) if _is_required(field)]
        build: Callable[[Mapping[str, Any]], Any] = lambda values: kind(**values)  # noqa: E731 - a name for one use
    else:
        fields, build = hints, dict
        needed = [name for name, hint in hints.items() if _is_required_key(kind, name, hint)]
    parts = {name: _of(hint, building) for name, hint in fields.items()}
    made = conversion.record(parts, needed, build, kind=kind if dataclasses.is_dataclass(kind) else None)
    building[kind].append(made)
    return made


def _is_required_key(kind: Any, name: str, hint: Any) -> bool:
    # With annotations as text, __required_keys__ knows nothing of Required and NotRequired.
    wrapper = typing.get_origin(hint)
    return wrapper is typing.Required or (wrapper is not typing.NotRequired and name in kind.__required_keys__)


def _is_required(field: dataclasses.Field[Any]) -> bool:
    missing = dataclasses.MISSING
    return field.init and field.default is missing and field.default_factory is missing
