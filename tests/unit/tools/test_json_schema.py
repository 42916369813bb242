"""JSON schemas that somebody else wrote."""

from __future__ import annotations

from typing import Any

import pytest

from backchannel.errors import ToolArgumentsError, ToolDefinitionError
from backchannel.tools.schema import check


def of(value: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": "object", "properties": {"v": value}, **more}


@pytest.mark.parametrize(
    ("schema", "given", "expected"),
    [
        (of({"type": "integer"}), "3", 3),
        (of({"type": ["integer", "null"]}), None, None),
        (of({"enum": ["a", "b"]}), "A", "a"),
        (of({"const": 4}), 4, 4),
        (of({"type": "array", "items": {"type": "number"}}), ["1.5"], [1.5]),
        (of({"type": "object", "properties": {"x": {"type": "integer"}}}), {"x": "1", "y": []}, {"x": 1, "y": []}),
        (of({"type": "object", "additionalProperties": {"type": "integer"}}), {"x": "1"}, {"x": 1}),
        (of({"anyOf": [{"type": "integer"}, {"type": "string"}]}), "5", "5"),
        (of({"allOf": [{"type": "integer"}, {"minimum": 3}]}), "5", 5),
        (of({"$ref": "#/$defs/n"}, **{"$defs": {"n": {"type": "integer"}}}), "5", 5),
        (of({"type": "string", "pattern": "^a"}), "ab", "ab"),
        (of({}), object, object),
        (of(True), 1, 1),  # type: ignore[arg-type]
    ],
)
def test_what_fits_is_read(schema: dict[str, Any], given: Any, expected: Any) -> None:
    assert check(schema, {"v": given}) == {"v": expected}


@pytest.mark.parametrize(
    ("schema", "given", "fault"),
    [
        (of({"type": "integer", "minimum": 3}), 2, "v: expected at least 3, got 2"),
        (of({"type": "integer", "exclusiveMaximum": 3}), 3, "v: expected less than 3, got 3"),
        (of({"type": "string", "maxLength": 2}), "abc", "v: expected at most 2 characters"),
        (of({"type": "string", "pattern": "^a"}), "b", "v: expected text that matches ^a"),
        (of({"type": "array", "minItems": 2}), [1], "v: expected a list of 2 or more items"),
        (of({"type": "object", "additionalProperties": False}), {"x": 1}, "v.x: unknown"),
        (of({"type": "object", "required": ["x"]}), {}, "v.x: missing"),
        (of({"type": ["integer", "null"]}), "x", "v: expected an integer or null"),
    ],
)
def test_what_does_not_fit_is_said(schema: dict[str, Any], given: Any, fault: str) -> None:
    with pytest.raises(ToolArgumentsError) as caught:
        check(schema, {"v": given}, "count")
    assert fault in str(caught.value)
    assert "'count'" in str(caught.value)


def test_a_schema_may_refer_to_itself() -> None:
    tree = {"type": "object", "properties": {"n": {"type": "integer"}, "next": {"$ref": "#"}}}
    assert check(tree, {"n": "1", "next": {"n": "2"}}) == {"n": 1, "next": {"n": 2}}


@pytest.mark.parametrize(
    "schema",
    [
        of({"$ref": "#/$defs/none"}),
        of({"type": "text"}),
        of({"type": "string", "pattern": "("}),
        of(5),  # type: ignore[arg-type]
        {"type": "string"},
        {"properties": 5},
    ],
)
def test_a_schema_that_cannot_be_used_names_its_tool(schema: dict[str, Any]) -> None:
    with pytest.raises(ToolDefinitionError, match="'count'"):
        check(schema, {"v": 1} if schema.get("type") != "string" else "text", "count")
