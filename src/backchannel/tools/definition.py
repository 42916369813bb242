"""Definitions of tools: what must be right about one before a model is told of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ..errors import ToolDefinitionError
from ..messages import AgentTool, ToolSpec
from .schema import FunctionSchema, check_name, check_schema
from .text import cut

__all__ = ["check_definition", "same_name", "spec_of"]


def check_definition(tool: AgentTool) -> str:
    """Return a tool's name if its definition can be sent to a model.

    Raises:
        ToolDefinitionError: If its name, its description or its input schema cannot; names the tool and the fault.
    """
    name = check_name(tool.tool_name)
    spec = tool.tool_spec
    if not isinstance(spec, Mapping):
        raise ToolDefinitionError(
            f"tool {name!r}: its specification must be a dict with name, description and inputSchema, "
            f"not {type(spec).__name__}"
        )
    if spec.get("name", name) != name:
        raise ToolDefinitionError(f"tool {name!r}: its specification calls it {cut(repr(spec['name']), 100)}")
    description = spec.get("description")
    if not isinstance(description, str):
        raise ToolDefinitionError(f"tool {name!r}: its description must be text, not {cut(repr(description), 100)}")
    if not description.strip():
        raise ToolDefinitionError(f"tool {name!r}: its description is empty; say when a model is to call it")
    _check_text(name, description)
    schema = _schema_in(spec)
    if not isinstance(schema, Mapping):
        raise ToolDefinitionError(
            f'tool {name!r}: its inputSchema must be {{"json": <JSON schema>}}, not {cut(repr(schema), 100)}'
        )
    _check_json(name, schema)
    if not isinstance(getattr(tool, "schema", None), FunctionSchema):  # ours was checked when it was made
        check_schema(schema, name)
    return name


def spec_of(tool: AgentTool) -> ToolSpec:
    """Return what a model is told of a tool: the schema under ``json``, with ``type`` and ``properties``."""
    spec: ToolSpec = tool.tool_spec
    schema: Mapping[str, Any] = _schema_in(spec)
    if schema is spec["inputSchema"].get("json") and "type" in schema and "properties" in schema:
        return spec
    return {**spec, "inputSchema": {"json": {"type": "object", "properties": {}, **schema}}}


def same_name(name: str) -> str:
    """Return what is equal for names that differ only in ``-`` and ``_``: providers and callers mix them up."""
    return name.replace("-", "_")


def _schema_in(spec: Mapping[str, Any]) -> Any:
    given = spec.get("inputSchema")
    return given["json"] if isinstance(given, Mapping) and "json" in given else given


def _check_text(name: str, text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ToolDefinitionError(f"tool {name!r}: its description cannot be sent as UTF-8 ({error})") from None


def _check_json(name: str, schema: Mapping[str, Any]) -> None:
    try:
        json.dumps(schema, allow_nan=False, ensure_ascii=False).encode()
    except RecursionError:
        raise ToolDefinitionError(f"the input schema of tool {name!r} cannot be used: it is too deep") from None
    except (TypeError, ValueError) as error:
        raise ToolDefinitionError(
            f"the input schema of tool {name!r} cannot be used: it is not JSON ({error})"
        ) from None
