"""Confirmation: what a person is asked before a tool runs. Pure."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Mapping
from string import Formatter
from typing import Any

from ..errors import ToolDefinitionError
from ..messages import AgentTool, ToolUse
from .schema import FunctionSchema, check
from .text import cut

__all__ = ["check_confirm", "question_for"]

_VALUE_CHARS = 300
_QUESTION_CHARS = 2000


def check_confirm(confirm: object, schema: FunctionSchema) -> bool | str:
    """Return a decorator's ``confirm``: whether to ask, or the question with ``{parameter}`` for arguments.

    Raises:
        ToolDefinitionError: If it is neither, or names something that is not a parameter.
    """
    if isinstance(confirm, bool):
        return confirm
    if not isinstance(confirm, str) or not confirm.strip():
        raise ToolDefinitionError(
            f"tool {schema.name!r}: confirm must be True or a question such as 'Delete {{path}}?', not {confirm!r:.99}"
        )
    try:
        fields = [field for _, field, _, _ in Formatter().parse(confirm) if field is not None]
    except ValueError as error:
        raise ToolDefinitionError(f"tool {schema.name!r}: the question {confirm!r} cannot be read: {error}") from None
    known = schema.input_schema.get("properties", {})
    for field in fields:
        if re.split(r"[.\[]", field, maxsplit=1)[0] not in known:
            raise ToolDefinitionError(
                f"tool {schema.name!r}: confirm={confirm!r} names {{{field}}}, which is none of its parameters: "
                f"{', '.join(known) or 'it has none'}"
            )
    return confirm


def question_for(tool: AgentTool, tool_use: ToolUse) -> str | None:
    """Return what to ask before this call runs; None where the tool does not want it.

    Tools from elsewhere are asked about where they have an attribute ``confirm`` that is true.

    Raises:
        ToolArgumentsError: If the arguments do not fit the tool.
    """
    confirm = getattr(tool, "confirm", False)
    if not confirm:
        return None
    arguments = _checked(tool, tool_use)
    if isinstance(confirm, str):
        try:
            return cut(_Question().vformat(confirm, (), _Arguments(tool, arguments)), _QUESTION_CHARS)
        except (ValueError, TypeError, LookupError, AttributeError):
            pass  # A format that does not suit this value: the plain question says all of it.
    said = ", ".join(f"{name}={_tidy(_json(value))}" for name, value in arguments.items())
    return cut(f"Run {tool.tool_name}({said})?", _QUESTION_CHARS)


def _checked(tool: AgentTool, tool_use: ToolUse) -> dict[str, Any]:
    in_its_own_way = getattr(tool, "arguments_to_confirm", None)
    if callable(in_its_own_way):
        return dict(in_its_own_way(tool_use["input"]))
    schema = getattr(tool, "schema", None)
    if isinstance(schema, FunctionSchema):
        return schema.check(tool_use["input"])
    spec = tool.tool_spec.get("inputSchema") or {}
    try:
        return check(spec.get("json", spec), tool_use["input"], tool.tool_name)
    except ToolDefinitionError:  # The tool's own business: it checks what it takes.
        given = tool_use["input"]
        return dict(given) if isinstance(given, Mapping) else {"input": given}


class _Arguments(dict[str, Any]):
    """The arguments of a call, with the function's defaults for those that were not given."""

    def __init__(self, tool: AgentTool, arguments: Mapping[str, Any]) -> None:
        schema = getattr(tool, "schema", None)
        parameters = schema.signature.parameters if isinstance(schema, FunctionSchema) else {}
        given = {
            name: parameter.default
            for name, parameter in parameters.items()
            if parameter.default is not inspect.Parameter.empty
        }
        super().__init__({**given, **arguments})


class _Question(Formatter):
    """Puts values into a question so that none of them can hide the rest of it."""

    def format_field(self, value: Any, format_spec: str) -> str:
        return _tidy(format(value, format_spec))


def _json(value: object) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, default=str)
    except (ValueError, TypeError):
        return repr(value)


def _tidy(text: str) -> str:
    """Return the text on one line, without characters that change how other ones are shown, and bounded."""
    return cut("".join(char if char.isprintable() else " " for char in text), _VALUE_CHARS)
