"""Schemas of functions, and the arguments that fit them."""

from __future__ import annotations

import dataclasses
import datetime
import enum
import functools
import operator
from pathlib import Path
from typing import Annotated, Any, Literal, NotRequired, Optional, TypedDict, Union

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backchannel.errors import ToolArgumentsError, ToolDefinitionError
from backchannel.tools.schema import FunctionSchema, check


class Colour(enum.Enum):
    RED = "red"
    GREEN = "green"


class Size(enum.IntEnum):
    SMALL = 1
    LARGE = 2


@dataclasses.dataclass
class Node:
    name: str
    weight: float = 1.0
    children: list[Node] = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class Positive:
    value: int

    def __post_init__(self) -> None:
        if self.value <= 0:
            raise ValueError("must be positive")


class Options(TypedDict):
    depth: int
    note: NotRequired[str]


class Anything:
    """A type that JSON knows nothing of."""


def schema_for(hint: Any) -> tuple[dict[str, Any], FunctionSchema]:
    def function(value):  # type: ignore[no-untyped-def]
        """Take a value."""

    function.__annotations__["value"] = hint
    schema = FunctionSchema(function)
    return schema.input_schema["properties"]["value"], schema


@pytest.mark.parametrize(
    ("hint", "expected"),
    [
        (str, {"type": "string"}),
        (int, {"type": "integer"}),
        (float, {"type": "number"}),
        (bool, {"type": "boolean"}),
        (None, {"type": "null"}),
        (Any, {}),
        (Anything, {}),
        (Literal["a", "b"], {"type": "string", "enum": ["a", "b"]}),
        (Literal[1, "b"], {"enum": [1, "b"]}),
        (Colour, {"type": "string", "enum": ["red", "green"]}),
        (Size, {"type": "integer", "enum": [1, 2]}),
        (int | None, {"anyOf": [{"type": "integer"}, {"type": "null"}]}),
        (Optional[int], {"anyOf": [{"type": "integer"}, {"type": "null"}]}),  # noqa: UP045
        (Union[int, str], {"anyOf": [{"type": "integer"}, {"type": "string"}]}),  # noqa: UP007
        (list, {"type": "array"}),
        (list[int], {"type": "array", "items": {"type": "integer"}}),
        (set[str], {"type": "array", "items": {"type": "string"}, "uniqueItems": True}),
        (dict[str, float], {"type": "object", "additionalProperties": {"type": "number"}}),
        (
            tuple[int, str],
            {"type": "array", "prefixItems": [{"type": "integer"}, {"type": "string"}], "minItems": 2, "maxItems": 2},
        ),
        (tuple[int, ...], {"type": "array", "items": {"type": "integer"}}),
        (datetime.date, {"type": "string", "format": "date"}),
        (Path, {"type": "string", "format": "path"}),
        (Annotated[int, "How many"], {"type": "integer", "description": "How many"}),
    ],
)
def test_a_type_hint_becomes_json_schema(hint: Any, expected: dict[str, Any]) -> None:
    assert schema_for(hint)[0] == expected


@pytest.mark.parametrize(
    ("hint", "given", "expected"),
    [
        (int, "5", 5),
        (int, " 5 ", 5),
        (int, 5.0, 5),
        (float, 5, 5.0),
        (float, "2.5", 2.5),
        (bool, "True", True),
        (str, 5, "5"),
        (Literal["solar power", "wind"], " Solar Power ", "solar power"),
        (Literal[1, 2], "2", 2),
        (Colour, "red", Colour.RED),
        (Colour, "GREEN", Colour.GREEN),
        (Colour, Colour.RED, Colour.RED),
        (Size, "2", Size.LARGE),
        (int | str, "5", "5"),
        (int | None, "5", 5),
        (int | None, "null", None),
        (list[int], ["1", 2], [1, 2]),
        (list[int], "[1, 2]", [1, 2]),
        (list[int], (1, 2), [1, 2]),
        (set[int], [1, 1, 2], {1, 2}),
        (frozenset[int], [1], frozenset({1})),
        (tuple[int, str], ["1", 2], (1, "2")),
        (tuple[int, ...], [1, 2, 3], (1, 2, 3)),
        (dict[int, float], {"1": "0.5"}, {1: 0.5}),
        (datetime.date, "2026-01-31", datetime.date(2026, 1, 31)),
        (datetime.datetime, "2026-01-31T12:00:00", datetime.datetime(2026, 1, 31, 12)),
        (Path, "a/b", Path("a/b")),
        (Node, {"name": "a", "children": [{"name": "b"}]}, Node("a", 1.0, [Node("b")])),
        (Node, '{"name": "a"}', Node("a")),
        (Options, {"depth": "2"}, {"depth": 2}),
    ],
)
def test_what_can_be_converted_without_loss_is(hint: Any, given: Any, expected: Any) -> None:
    found = schema_for(hint)[1].check({"value": given})["value"]
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("hint", "given", "fault"),
    [
        (int, "many", 'value: expected an integer, got "many"'),
        (int, 5.5, "value: expected an integer, got 5.5"),
        (int, True, "value: expected an integer, got true"),
        (float, "nan", 'value: expected a number, got "nan"'),
        (bool, 1, "value: expected true or false, got 1"),
        (str, True, "value: expected a string, got true"),
        (str, None, "value: expected a string, got null"),
        (Literal["a", "b"], "c", 'value: expected one of "a", "b", got "c"'),
        (Colour, "blue", 'value: expected one of "red", "green", got "blue"'),
        (int | None, "x", 'value: expected an integer or null, got "x"'),
        (list[int], 5, "value: expected a list, got 5"),
        (list[int], [1, "x"], 'value[1]: expected an integer, got "x"'),
        (list[int] | None, [1, "x"], 'value[1]: expected an integer, got "x"'),
        (tuple[int, str], [1], "value: expected a list of 2 items, got [1]"),
        (dict[int, int], {"a": 1}, 'value["a"]: its name: expected an integer, got "a"'),
        (datetime.date, "soon", 'value: expected a date as in "2026-01-31", got "soon"'),
        (Node, {"weight": "x", "size": 1}, 'value.weight: expected a number, got "x"'),
        (Node, {"weight": 1, "size": 1}, "value.size: unknown, known are name, weight, children"),
        (Node, {"weight": 1}, "value.name: missing"),
        (Node, {"name": "a", "children": [{"name": 1, "weight": []}]}, "value.children[0].weight: expected a number"),
        (Positive, {"value": -1}, "was refused (ValueError: must be positive)"),
        (Options, {}, "value.depth: missing"),
    ],
)
def test_what_does_not_fit_is_said_in_the_schemas_words(hint: Any, given: Any, fault: str) -> None:
    with pytest.raises(ToolArgumentsError) as caught:
        schema_for(hint)[1].check({"value": given})
    assert fault in str(caught.value)
    assert "'function'" in str(caught.value)


def train(dataset: str, epochs: int = 20, *, fast: bool = False) -> None:
    """Train the model.

    Args:
        dataset: Which data.
        epochs: How often.
    """


def test_a_function_is_described_whole() -> None:
    assert FunctionSchema(train).spec == {
        "name": "train",
        "description": "Train the model.",
        "inputSchema": {
            "json": {
                "type": "object",
                "properties": {
                    "dataset": {"type": "string", "description": "Which data."},
                    "epochs": {"type": "integer", "description": "How often.", "default": 20},
                    "fast": {"type": "boolean", "default": False},
                },
                "required": ["dataset"],
                "additionalProperties": False,
            }
        },
    }


def test_all_faults_are_named_at_once() -> None:
    with pytest.raises(ToolArgumentsError) as caught:
        FunctionSchema(train).check({"epochs": "many", "speed": 3})
    for fault in ("epochs: expected", "speed: unknown, known are dataset, epochs, fast", "dataset: missing"):
        assert fault in str(caught.value)


@pytest.mark.parametrize("arguments", ["dataset", ["sales"], 5])
def test_arguments_that_are_no_object_are_refused(arguments: Any) -> None:
    with pytest.raises(ToolArgumentsError, match="expected an object"):
        FunctionSchema(train).check(arguments)


def test_a_call_by_hand_may_use_positions() -> None:
    schema = FunctionSchema(train)
    assert schema.bind(("sales", "3"), {"fast": True}) == {"dataset": "sales", "epochs": 3, "fast": True}
    with pytest.raises(ToolArgumentsError, match="takes 2 by position, got 3"):
        schema.bind(("sales", 3, True), {})
    with pytest.raises(ToolArgumentsError, match="Given twice: dataset"):
        schema.bind(("sales",), {"dataset": "sales"})


def test_parameters_without_types_take_anything() -> None:
    def function(a, b=None, *, c=3):  # type: ignore[no-untyped-def]
        pass

    thing = object()
    assert FunctionSchema(function).check({"a": thing, "b": [1]}) == {"a": thing, "b": [1]}


def test_a_default_of_none_allows_null_whatever_the_type_says() -> None:
    def function(a: int = None) -> None:  # type: ignore[assignment]  # noqa: RUF013
        pass

    assert FunctionSchema(function).check({"a": None}) == {"a": None}


def test_a_name_that_exists_for_type_checkers_only_takes_anything() -> None:
    def function(frame: DataFrame, count: int) -> Series:  # type: ignore[name-defined]  # noqa: F821
        pass

    assert FunctionSchema(function).check({"frame": [1], "count": "2"}) == {"frame": [1], "count": 2}


def test_a_class_of_the_enclosing_function_is_found() -> None:
    class Mood(enum.Enum):
        GOOD = "good"

    def function(mood: Mood) -> Mood:
        return Mood(mood)

    assert FunctionSchema(function).check({"mood": "good"}) == {"mood": Mood.GOOD}


def test_star_arguments_are_refused_in_words() -> None:
    def function(*paths: str) -> None:
        pass

    with pytest.raises(ToolDefinitionError, match=r"cannot give \*paths; make it one parameter"):
        FunctionSchema(function)


def test_double_star_arguments_take_any_name() -> None:
    def function(a: int, **more: float) -> None:
        pass

    schema = FunctionSchema(function)
    assert schema.check({"a": 1, "b": "2"}) == {"a": 1, "b": 2.0}
    assert schema.input_schema["additionalProperties"] == {"type": "number"}


def test_positional_only_parameters_are_given_by_position() -> None:
    schema = FunctionSchema(operator.truediv, name="divide")
    names = list(schema.input_schema["properties"])
    assert schema.call(operator.truediv, schema.check({names[0]: 6, names[1]: 3})) == 2.0


def test_a_function_without_source_has_a_schema() -> None:
    scope: dict[str, Any] = {}
    exec("def made(n: int) -> int:\n    'Make it.'\n    return n", scope)
    assert FunctionSchema(scope["made"]).spec["description"] == "Make it."


def test_a_wrapped_function_is_described_by_what_it_wraps() -> None:
    @functools.wraps(train)
    def wrapper(*args: Any, **kwargs: Any) -> None:
        train(*args, **kwargs)

    assert FunctionSchema(wrapper).input_schema == FunctionSchema(train).input_schema


def test_a_partial_is_described_by_what_it_calls() -> None:
    schema = FunctionSchema(functools.partial(train, fast=True), name="train_fast")
    assert schema.description == "Train the model."
    assert schema.check({"dataset": "sales", "epochs": "2"}) == {"dataset": "sales", "epochs": 2}


def test_a_callable_object_is_described_by_its_call() -> None:
    class Add:
        """Add two numbers."""

        def __call__(self, a: int, b: int) -> int:
            return a + b

    schema = FunctionSchema(Add(), name="add")
    assert schema.description == "Add two numbers."
    assert schema.check({"a": "1", "b": 2}) == {"a": 1, "b": 2}


@pytest.mark.parametrize("name", ["two words", "", "a" * 65, "naïve", None])
def test_a_name_that_models_refuse_is_refused(name: Any) -> None:
    with pytest.raises(ToolDefinitionError):
        FunctionSchema(lambda: None, name=name)


def test_without_a_docstring_the_name_in_words_describes_a_tool() -> None:
    def research_topic() -> None:
        pass

    assert FunctionSchema(research_topic).spec["description"] == "research topic"


def test_injected_parameters_are_not_shown() -> None:
    def function(a: int, tool_context: Any) -> None:
        pass

    assert list(FunctionSchema(function, injected=("tool_context",)).input_schema["properties"]) == ["a"]


def test_a_schema_of_somebody_else_is_checked_too() -> None:
    schema = {
        "json": {"type": "object", "properties": {"n": {"type": "integer", "minimum": 1}}, "required": ["n"]},
    }
    made = FunctionSchema(lambda n: n, name="count", input_schema=schema)
    assert made.check({"n": "3"}) == {"n": 3}
    with pytest.raises(ToolArgumentsError, match="n: expected at least 1, got 0"):
        made.check({"n": 0})
    assert made.spec["inputSchema"] == schema


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)
TYPED = st.sampled_from(
    [
        (str, st.text()),
        (int, st.integers()),
        (float, st.floats(allow_nan=False)),
        (bool, st.booleans()),
        (int | str | None, st.none() | st.integers() | st.text()),
        (list[int | str], st.lists(st.integers() | st.text())),
        (dict[str, list[bool]], st.dictionaries(st.text(), st.lists(st.booleans()))),
        (Literal["a", "B", 3], st.sampled_from(["a", "B", 3])),
        (tuple[int, str], st.tuples(st.integers(), st.text())),
        (set[int], st.sets(st.integers())),
        (Colour, st.sampled_from(Colour)),
        (datetime.date, st.dates()),
        (Any, JSON),
    ]
)


@given(TYPED.flatmap(lambda pair: st.tuples(st.just(pair[0]), pair[1])))
def test_a_value_of_the_type_checks_to_itself(pair: tuple[Any, Any]) -> None:
    hint, value = pair
    found = schema_for(hint)[1].check({"value": value})["value"]
    assert found == value
    assert type(found) is type(value)


@given(TYPED, JSON)
def test_any_json_is_either_read_or_refused_in_words(pair: tuple[Any, Any], value: Any) -> None:
    schema = schema_for(pair[0])[1]
    try:
        found = schema.check({"value": value})["value"]
    except ToolArgumentsError as error:
        said = str(error)
    else:
        said = "value"
        assert schema.check({"value": found})["value"] == found
    assert "value" in said


@given(JSON)
def test_a_written_schema_and_the_type_hint_agree(value: Any) -> None:
    written, schema = schema_for(dict[str, list[int] | str] | float | None)
    whole = {"type": "object", "properties": {"value": written}, "required": ["value"]}
    answers = []
    for read in (schema.check, functools.partial(check, whole)):
        try:
            answers.append(read({"value": value}))
        except ToolArgumentsError:
            answers.append("refused")
    assert answers[0] == answers[1]


def test_a_model_of_pydantic_is_checked_and_made_by_itself() -> None:
    pydantic = pytest.importorskip("pydantic")

    part = pydantic.create_model("Part", size=(int, ...))
    order = pydantic.create_model("Order", item=(str, ...), parts=(list[part], []), within=("Order | None", None))
    order.model_rebuild(_types_namespace={"Order": order})

    written, schema = schema_for(order | None)
    assert "$ref" not in str(written)
    assert {"item", "parts", "within"} == set(written["anyOf"][0]["properties"])
    found = schema.check({"value": {"item": "box", "parts": [{"size": "3"}], "within": {"item": "bag"}}})["value"]
    assert found == order(item="box", parts=[part(size=3)], within=order(item="bag"))
    assert schema.check({"value": found})["value"] is found
    assert schema.check({"value": None})["value"] is None
    with pytest.raises(ToolArgumentsError, match=r"value\.parts\.0\.size: Input should be a valid integer"):
        schema_for(order)[1].check({"value": {"item": "box", "parts": [{"size": "much"}]}})
    with pytest.raises(ToolArgumentsError, match="value: expected an object, got 5"):
        schema_for(order)[1].check({"value": 5})


def test_a_partial_is_called_as_its_function_and_an_object_needs_a_name() -> None:
    class Adder:
        def __call__(self, a: int) -> int:
            return a + 1

        def __repr__(self) -> str:
            return "an adder"

    def add(a: int, b: int) -> int:
        return a + b

    assert FunctionSchema(functools.partial(functools.partial(add, 1), b=2)).name == "add"
    assert FunctionSchema(Adder(), name="adder").name == "adder"
    with pytest.raises(ToolDefinitionError, match="an adder has no name that a model could call it by"):
        FunctionSchema(Adder())
