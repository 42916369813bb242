"""Confirmation: what a person is asked before a tool runs. Pure."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Mapping
from string import Formatter
from typing import Any, Self

from ..errors import ToolDefinitionError
from ..messages import AgentTool, ToolUse
from .schema import FunctionSchema, check
from .text import text_of

__all__ = ["Question", "check_confirm", "question_for"]

_VALUE_CHARS = 300
_QUESTION_CHARS = 2000
_LOOKED_AT = 20_000
"""Characters of a value that are looked at from either end; of the rest only the number is said."""
_WIDEST = 100
"""The largest width or precision that a question's format may have, or take from an argument."""


class Question(str):
    """What a person is asked, on one line.

    Attributes:
        whole: Whether it shows all of the arguments that it names; False where one was too long for that.
    """

    whole: bool

    def __new__(cls, text: str, whole: bool = True) -> Self:
        made = super().__new__(cls, text)
        made.whole = whole
        return made


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


def question_for(tool: AgentTool, tool_use: ToolUse) -> Question | None:
    """Return what to ask before this call runs; None where the tool does not want it.

    Runs of blanks, and characters that nobody sees, become one blank. Of a long value its head and its tail are shown.
    Tools from elsewhere are asked about where they have an attribute ``confirm`` that is true.

    Raises:
        ToolArgumentsError: If the arguments do not fit the tool.
    """
    confirm = getattr(tool, "confirm", False)
    if not confirm:
        return None
    arguments = _checked(tool, tool_use)
    values = _Values()
    if isinstance(confirm, str):
        try:
            return values.question(values.vformat(confirm, (), _Arguments(tool, arguments)))
        except Exception:  # noqa: BLE001 - a value's own __format__ may raise anything; the plain question says all
            values = _Values()
    said = ", ".join(f"{values.shown(name)}={values.shown(_json(value))}" for name, value in arguments.items())
    return values.question(f"Run {tool.tool_name}({said})?")


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


class _Values(Formatter):
    """Puts values into a question so that none of them can hide the rest of it."""

    def __init__(self) -> None:
        self.whole = True

    def question(self, text: str) -> Question:
        said = self.shown(text, _QUESTION_CHARS)
        return Question(said, self.whole)

    def shown(self, text: str, limit: int = _VALUE_CHARS) -> str:
        """Return the text on one line, or its head and tail where it is longer than ``limit`` characters."""
        tidied = _tidy(text) if len(text) <= 2 * _LOOKED_AT else ""
        if len(text) <= 2 * _LOOKED_AT and len(tidied) <= limit:
            return tidied
        self.whole = False
        note = f" … ({len(text):,} characters in all) … "
        head, tail = (tidied, tidied) if tidied else (_tidy(text[:_LOOKED_AT]), _tidy(text[-_LOOKED_AT:]))
        room = limit - len(note)
        return head[: room - room // 3] + note + tail[-(room // 3) :]

    def format_field(self, value: Any, format_spec: str) -> str:
        if any(int(width) > _WIDEST for width in re.findall(r"\d{1,9}", format_spec)):
            raise ValueError(f"the format {format_spec!r:.100} makes the value too wide")
        said = self.shown(format(value, format_spec))
        # A value that has a sentence of its own must not be read as the question's.
        return f"“{said.translate(_NO_QUOTES)}”" if _SENTENCE.search(said) else said


def _json(value: object) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, default=str)
    except Exception:  # noqa: BLE001 - a value's own __str__ may raise anything
        return text_of(value, 2 * _LOOKED_AT)


class _Seen(dict[int, str]):
    """For ``str.translate``: what is not seen, or changes how its neighbours are shown, becomes a blank."""

    def __missing__(self, code: int) -> str:
        self[code] = seen = chr(code) if chr(code).isprintable() else " "
        return seen


# These are letters, marks or signs to Unicode, and nothing is shown for them.
_seen = _Seen(dict.fromkeys((0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x2800, 0x3164, 0xFFA0), " "))
_seen.update(dict.fromkeys((*range(0x180B, 0x1810), *range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0)), ""))
_NO_QUOTES = str.maketrans("“”", "''")
_SENTENCE = re.compile(r"""[?!"“”]|\. """)


def _tidy(text: str) -> str:
    return " ".join(text.translate(_seen).split())
