"""Definitions that cannot be sent to a model are refused, by name, before anything is sent."""

from __future__ import annotations

from typing import Any

import pytest

from backchannel import BidiAgent
from backchannel.errors import ToolDefinitionError
from backchannel.models.scripted import ScriptedModel
from backchannel.tools import ToolRegistry, stop_conversation, tool


class Foreign:
    """A tool of somebody else."""

    tool_type = "python"

    def __init__(self, schema: Any = None, *, name: Any = "lookup", description: Any = "Look it up.") -> None:
        self.tool_name = name
        self.tool_spec: Any = {"name": name, "description": description, "inputSchema": schema or {"json": {}}}

    async def stream(self, tool_use: Any, invocation_state: Any, **kwargs: Any) -> Any:
        yield {}


def schema(**words: Any) -> dict[str, Any]:
    return {"json": {"type": "object", **words}}


def endless() -> dict[str, Any]:
    made: dict[str, Any] = {"type": "object"}
    made["properties"] = {"again": made}
    return {"json": made}


def deep(levels: int) -> dict[str, Any]:
    made: dict[str, Any] = {"type": "string"}
    for _ in range(levels):
        made = {"type": "array", "items": made}
    return schema(properties={"v": made})


LOOP = {"a": {"$ref": "#/$defs/b"}, "b": {"anyOf": [{"type": "string"}, {"$ref": "#/$defs/a"}]}}


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        (Foreign(name="look up"), "'look up'"),
        (Foreign(name="x" * 65), "1 to 64"),
        (Foreign(name=""), "tool name ''"),
        (Foreign(name="größe"), "größe"),
        (Foreign(name=None), "tool name None"),
        (Foreign(description=5), "'lookup': its description must be text, not 5"),
        (Foreign(description=None), "'lookup': its description must be text, not None"),
        (Foreign(description="  "), "'lookup': its description is empty"),
        (Foreign(description="\ud800"), "'lookup': its description cannot be sent"),
        (Foreign({"json": "text"}), "'lookup': its inputSchema must be"),
        (Foreign({"json": {"type": "string"}}), '\'lookup\' must have "type": "object"'),
        (Foreign(schema(properties=[1])), "'lookup' cannot be used: properties is an object"),
        (Foreign(schema(required="name")), "'lookup' cannot be used: required is a list"),
        (Foreign(schema(required=[5])), "'lookup' cannot be used: required is a list of names"),
        (Foreign(schema(properties={"v": 5})), "'lookup' cannot be used: a JSON schema is an object"),
        (Foreign(schema(properties={"v": {"type": "text"}})), "'lookup' cannot be used: the schema's type 'text'"),
        (Foreign(schema(properties={"v": {"type": {}}})), "'lookup' cannot be used"),
        (Foreign(schema(properties={"v": {"anyOf": {}}})), "'lookup' cannot be used: anyOf is a list"),
        (Foreign(schema(properties={"v": {"type": "array", "minItems": "1"}})), "minItems is a number"),
        (Foreign(schema(properties={"v": {"$ref": "#/$defs/none"}})), "leads nowhere"),
        (Foreign(schema(properties={"v": {"$ref": "#/$defs/a"}}, **{"$defs": LOOP})), "leads back to itself"),
        (Foreign(schema(allOf=[{"$ref": "#"}])), "'#' leads back to itself"),
        (Foreign(schema(properties={"v": {"default": object()}})), "'lookup' cannot be used: it is not JSON"),
        (Foreign(schema(properties={"v": {"default": float("nan")}})), "'lookup' cannot be used: it is not JSON"),
        (Foreign(schema(properties={"v": {"default": "\ud800"}})), "'lookup' cannot be used: it is not JSON"),
        (Foreign(endless()), "'lookup' cannot be used: it is not JSON"),
        (Foreign(deep(20_000)), "'lookup' cannot be used: it is too deep"),
        (42, "it is a int, not a function and not a tool"),
        (None, "it is a NoneType"),
        (stop_conversation.__class__, "call it and give what it returns"),
    ],
)
def test_a_bad_definition_is_refused_by_name_before_anything_is_sent(entry: Any, says: str) -> None:
    model = ScriptedModel()
    with pytest.raises(ToolDefinitionError) as caught:
        BidiAgent(model, tools=[stop_conversation, entry])
    assert says in str(caught.value)
    assert model.starts == []
    registry = ToolRegistry()
    with pytest.raises(ToolDefinitionError):
        registry.register(entry)
    assert registry.names == []


def test_a_specification_that_is_none_or_has_another_name_is_refused() -> None:
    bare, other = Foreign(), Foreign()
    bare.tool_spec = ["lookup"]
    other.tool_spec["name"] = "find"
    for entry, says in ((bare, "must be a dict"), (other, "calls it 'find'")):
        with pytest.raises(ToolDefinitionError, match=says):
            ToolRegistry().process_tools([entry])


@pytest.mark.parametrize(
    "given",
    [
        {"json": {}},
        {"type": "object", "properties": {"x": {"type": "integer"}}},
        schema(properties={"next": {"$ref": "#"}}),
        schema(properties={"v": {"$ref": "#/$defs/a%20b"}}, **{"$defs": {"a b": {"type": "string"}}}),
        schema(properties={"v": {"anyOf": [{"type": "string"}]}, "w": {"$ref": "#/properties/v/anyOf/0"}}),
        schema(properties={"v": {"type": "string", "pattern": r"^\p{L}+$"}}),
        schema(properties={"v": {"type": "number", "minimum": 0, "exclusiveMinimum": True}}),
        schema(properties={"v": {"type": "array", "prefixItems": [{"type": "string"}], "items": False}}),
        schema(properties={"v": {"type": "string", "format": "uri", "examples": [1]}}, unheard=True),
        deep(50),
    ],
)
def test_what_other_programs_write_is_taken_and_models_see_an_object(given: dict[str, Any]) -> None:
    registry = ToolRegistry()
    registry.process_tools([Foreign(given)])
    (spec,) = registry.specs()
    sent = spec["inputSchema"]["json"]
    assert sent["type"] == "object"
    assert sent.get("properties") == given.get("json", given).get("properties", {})


def test_names_that_differ_only_in_dash_and_underscore_are_refused() -> None:
    with pytest.raises(ToolDefinitionError, match="'look-up' and 'look_up' differ only"):
        ToolRegistry().process_tools([Foreign(name="look-up"), Foreign(name="look_up")])
    registry = ToolRegistry()
    registry.register(Foreign(name="look-up"))
    with pytest.raises(ToolDefinitionError, match="differ only"):
        registry.register(Foreign(name="look_up"))
    assert registry.names == ["look-up"]


def test_the_same_tool_given_twice_is_one() -> None:
    entry = Foreign()
    assert ToolRegistry().process_tools([entry, [entry], entry]) == ["lookup"]


def test_a_function_without_docstring_gets_its_name_in_words() -> None:
    @tool
    def look_it_up(): ...

    registry = ToolRegistry()
    registry.register(look_it_up)
    assert registry.specs()[0]["description"] == "look it up"


def test_a_thousand_tools_are_taken() -> None:
    entries = [Foreign(name=f"tool_{number}") for number in range(1000)]
    assert len(ToolRegistry().process_tools(entries)) == 1000
