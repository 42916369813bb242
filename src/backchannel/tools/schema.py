"""Schemas of functions: from signature, type hints and docstring to JSON schema and checked arguments. Pure."""

from __future__ import annotations

import functools
import inspect
import json
import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

from ..errors import ToolArgumentsError, ToolDefinitionError
from ..messages import ToolSpec
from . import docstring
from .conversion import Conversion, record
from .hints import conversion_of, described, hints_of
from .json_schema import conversion_from

__all__ = ["FunctionSchema", "check", "check_name", "check_schema"]

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}\Z")
_VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def check_name(name: object) -> str:
    """Return a tool's name.

    Raises:
        ToolDefinitionError: If models would refuse it.
    """
    if isinstance(name, str) and _NAME.match(name):
        return name
    raise ToolDefinitionError(
        f"tool name {name!r:.100} cannot be used: write 1 to 64 of the letters a-z and A-Z, digits, _ and -, "
        'for example with name="my_tool"'
    )


def check(schema: Mapping[str, Any], arguments: object, tool_name: str = "tool") -> dict[str, Any]:
    """Return the arguments, converted where they can be without loss, if they fit a JSON schema.

    Raises:
        ToolArgumentsError: If they do not; names every fault.
        ToolDefinitionError: If the schema itself cannot be used.
    """
    return _read(_from_schema(schema, tool_name), arguments, tool_name)


def check_schema(schema: Mapping[str, Any], tool_name: str) -> Callable[[object], dict[str, Any]]:
    """Return the function that checks arguments as `check` does, for a schema that another program wrote.

    Patterns that only other languages can read are left to that program.

    Raises:
        ToolDefinitionError: If the schema cannot be used; names the tool.
    """
    if schema.get("type", "object") != "object":
        raise ToolDefinitionError(
            f'the input schema of tool {tool_name!r} must have "type": "object", not {schema["type"]!r:.100}'
        )
    conversion = _from_schema({"type": "object", **schema}, tool_name, foreign=True)
    return lambda arguments: _read(conversion, arguments, tool_name)


def _from_schema(schema: Mapping[str, Any], tool_name: str, *, foreign: bool = False) -> Conversion:
    try:
        return conversion_from(schema, foreign=foreign)
    except RecursionError:
        raise ToolDefinitionError(f"the input schema of tool {tool_name!r} cannot be used: it is too deep") from None
    except (ValueError, TypeError, AttributeError, re.error) as error:
        raise ToolDefinitionError(f"the input schema of tool {tool_name!r} cannot be used: {error}") from None


def _read(conversion: Conversion, arguments: object, tool_name: str) -> dict[str, Any]:
    faults: list[str] = []
    if arguments is None:
        arguments = {}
    found = conversion.read(arguments, "" if isinstance(arguments, (dict, Mapping)) else "arguments", faults, False)
    if faults:
        raise ToolArgumentsError(f"The arguments do not fit the tool {tool_name!r}. " + "; ".join(faults) + ".")
    if not isinstance(found, dict):
        raise ToolDefinitionError(f'the input schema of tool {tool_name!r} must have "type": "object"')
    return found


class FunctionSchema:
    """What a model is told of a function, and the arguments that the function takes.

    Args:
        function: Any callable with a signature.
        name: Instead of the function's own.
        description: Instead of the docstring's.
        input_schema: JSON schema instead of the one made from the signature; ``{"json": ...}`` is taken, too.
        injected: Parameters that no model gives: they are left out.

    Raises:
        ToolDefinitionError: If the name, a parameter or the schema cannot be used; names it.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        *,
        name: str | None = None,
        description: str | None = None,
        input_schema: Mapping[str, Any] | None = None,
        injected: Collection[str] = (),
    ) -> None:
        self.name = check_name(_name_of(function) if name is None else name)
        try:
            self.signature = inspect.signature(function)
        except (ValueError, TypeError) as error:
            raise ToolDefinitionError(f"tool {self.name!r}: its function has no signature to read ({error})") from None
        written = function.func if isinstance(function, functools.partial) else function
        said = docstring.parse(_doc(written))
        self.description = said.description if description is None else description
        self._injected = frozenset(injected) & frozenset(self.signature.parameters)
        self._parameters = [
            parameter
            for name, parameter in self.signature.parameters.items()
            if name not in self._injected and not (name in ("self", "cls") and parameter.annotation is parameter.empty)
        ]
        first = next(iter(self.signature.parameters.values()), None)
        self.of_class = first is not None and first.name == "cls" and first not in self._parameters
        self._by_place = [
            entry.name for entry in self._parameters if entry.kind not in (*_VARIADIC, entry.KEYWORD_ONLY)
        ]
        self._positional = [entry.name for entry in self._parameters if entry.kind is entry.POSITIONAL_ONLY]
        if input_schema is None:
            self._conversion = self._from_signature(hints_of(function), said.parameters)
        else:
            self._conversion = _from_schema(input_schema.get("json", input_schema), self.name)
        self.input_schema = self._conversion.schema

    def __repr__(self) -> str:
        return f"FunctionSchema({self.name}{self.signature})"

    @property
    def by_name(self) -> bool:
        """Whether all arguments can be given by name."""
        return not self._positional

    @property
    def spec(self) -> ToolSpec:
        """What a model is told; the description falls back on the name in words."""
        description = self.description or self.name.replace("_", " ")
        return {"name": self.name, "description": description, "inputSchema": {"json": self.input_schema}}

    def check(self, arguments: object) -> dict[str, Any]:
        """Return a call's arguments as the Python values that the function's parameters want.

        Raises:
            ToolArgumentsError: If they do not fit; names every fault.
        """
        return _read(self._conversion, arguments, self.name)

    def bind(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Return the checked arguments of a call by hand: positions become names.

        Raises:
            ToolArgumentsError: If there are too many, one is given twice, or they do not fit.
        """
        return self.check(self.named(args, kwargs))

    def named(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Return the arguments of a call by hand by name, not checked yet.

        Raises:
            ToolArgumentsError: If there are too many, or one is given twice.
        """
        if not args:
            return dict(kwargs)
        names = self._by_place
        if len(args) > len(names):
            raise ToolArgumentsError(
                f"The arguments do not fit the tool {self.name!r}. It takes {len(names)} by position, got {len(args)}."
            )
        twice = [name for name in names[: len(args)] if name in kwargs]
        if twice:
            raise ToolArgumentsError(
                f"The arguments do not fit the tool {self.name!r}. Given twice: {', '.join(twice)}."
            )
        return dict(zip(names, args, strict=False)) | dict(kwargs)

    def call(self, function: Callable[..., Any], arguments: Mapping[str, Any], **injected: Any) -> Any:
        """Call the function with checked arguments, and with those of ``injected`` that it asks for."""
        if self._positional:
            arguments = dict(arguments)
            given = [arguments.pop(name) for name in self._positional if name in arguments]
        else:
            given = []
        return function(*given, **arguments, **self.injections(injected))

    def injections(self, offered: Mapping[str, Any]) -> dict[str, Any]:
        """Return those of the offered values that the function has a parameter for which no model gives."""
        return {name: value for name, value in offered.items() if name in self._injected}

    def _from_signature(self, hints: Mapping[str, Any], texts: Mapping[str, str]) -> Conversion:
        fields: dict[str, Conversion] = {}
        required: list[str] = []
        others: Conversion | None = None
        for parameter in self._parameters:
            name = parameter.name
            if parameter.kind is parameter.VAR_POSITIONAL:
                raise ToolDefinitionError(
                    f"tool {self.name!r}: a model calls by name and cannot give *{name}; "
                    f"make it one parameter, for example {name}: list[str]"
                )
            hint = hints.get(name, Any)
            conversion = conversion_of(hint)
            if parameter.kind is parameter.VAR_KEYWORD:
                others = conversion
                continue
            fields[name] = Conversion(
                self._about(parameter, conversion, described(hint) or texts.get(name)), conversion.read
            )
            if parameter.default is parameter.empty:
                required.append(name)
            elif parameter.default is None and conversion.schema:
                fields[name] = Conversion(fields[name].schema, _or_none(fields[name]))
        return record(fields, required, more=others)

    def _about(self, parameter: inspect.Parameter, conversion: Conversion, text: str | None) -> dict[str, Any]:
        schema = dict(conversion.schema)
        if text:
            schema["description"] = text
        if parameter.default is not parameter.empty:
            default = getattr(parameter.default, "value", parameter.default)
            try:
                if json.loads(json.dumps(default, allow_nan=False)) == default:
                    schema["default"] = default
            except (TypeError, ValueError):
                pass  # a default that is not JSON is the function's own business
        return schema


def _name_of(function: Callable[..., Any]) -> Any:
    while isinstance(function, functools.partial):
        function = function.func
    name = getattr(function, "__name__", None)
    if name is None:
        raise ToolDefinitionError(
            f'{function!r:.100} has no name that a model could call it by: give it name="my_tool"'
        )
    return name


def _doc(function: Callable[..., Any]) -> str | None:
    """Return the docstring, for a method without one that of the base class's, as `inspect.getdoc` does.

    That one looks the method up by its name, and with a tool in its place would never come to an end.
    """
    own = getattr(function, "__doc__", None)
    if isinstance(own, str) or not inspect.ismethod(function):
        return inspect.getdoc(function)
    kind = function.__self__ if isinstance(function.__self__, type) else type(function.__self__)
    written = (vars(base).get(function.__name__) for base in kind.__mro__)
    texts = (getattr(getattr(entry, "fn", entry), "__doc__", None) for entry in written)
    return next((inspect.cleandoc(text) for text in texts if isinstance(text, str)), None)


def _or_none(inner: Conversion) -> Callable[..., Any]:
    def read(value: Any, where: str, faults: list[str], exact: bool) -> Any:
        return None if value is None else inner.read(value, where, faults, exact)

    return read
