"""What can be said to a set of tools."""

from __future__ import annotations

import re
from typing import Any

import pytest

from backchannel.models.local.grammar import Grammar, read_slot
from backchannel.models.local.understand import understand

from .tools import ALL, RESEARCH, TOPICS, spec


@pytest.mark.parametrize(
    "said",
    [
        "research solar power", "research topic solar power", "please research solar power",
        "start research on solar power", "start a research on solar power", "can you research solar power",
        "i want you to research the topic solar power please", "run research about solar power",
    ],
)  # fmt: skip
def test_a_call_can_be_said_in_many_ways(said: str):
    intent = understand(said, Grammar(ALL))
    assert (intent.kind, intent.tool, intent.input) == ("call", "research", {"topic": "solar power"})


def test_every_value_can_be_said_and_means_exactly_itself():
    grammar = Grammar(ALL)
    for topic in TOPICS:
        said = topic.lower().replace("gpt-4", "gpt four")
        assert understand(f"research {said}", grammar).input == {"topic": topic}


def test_a_tool_whose_name_ends_with_its_parameter_has_a_short_name():
    grammar = Grammar([spec("research_topic", topic={"enum": ["solar power"]})])
    for said in ("research solar power", "research topic solar power"):
        assert understand(said, grammar).input == {"topic": "solar power"}


@pytest.mark.parametrize(
    ("schema", "kind", "values"),
    [
        ({"enum": ["a b", None]}, "choice", ["a b"]),
        ({"const": 3}, "choice", [3]),
        ({"anyOf": [{"type": "null"}, {"enum": ["x"]}]}, "choice", ["x"]),
        ({"$ref": "#/$defs/Colour"}, "choice", ["red", "blue"]),
        ({"type": "array", "items": {"enum": ["x", "y"]}}, "choice", ["x", "y"]),
        ({"type": ["integer", "null"]}, "number", []),
        ({"type": "boolean"}, "flag", []),
        ({"type": "string"}, "free", []),
        ({"type": "object"}, "free", []),
        ({}, "free", []),
    ],
)
def test_a_schema_says_how_a_parameter_is_spoken(schema: dict[str, Any], kind: str, values: list[Any]):
    slot = read_slot("colour", schema, True, {"Colour": {"enum": ["red", "blue"]}})
    assert slot.kind == kind
    assert [value for _, value in slot.values] == values


def test_a_schema_that_refers_to_itself_ends():
    assert read_slot("x", {"$ref": "#/$defs/X"}, True, {"X": {"$ref": "#/$defs/X"}}).kind == "free"


def test_the_samples_hold_every_value_and_words_of_the_vocabulary_only():
    grammar = Grammar(ALL)
    samples = grammar.samples()
    assert len(samples) >= 4000
    text = "\n".join(samples)
    for said in ("solar power", "nuclear fusion", "gpt four", "customers", "cancel task one", "how far is it"):
        assert said in text
    assert set(text.split()) <= grammar.vocabulary


def test_the_samples_are_the_same_every_time():
    assert Grammar(ALL).samples(500) == Grammar(ALL).samples(500)


def test_most_samples_mean_something():
    grammar = Grammar(ALL)
    lines = grammar.samples(1000)
    understood = [line for line in lines if understand(line, grammar).kind != "unknown"]
    assert len(understood) > 0.75 * len(lines)


def test_the_rules_use_words_of_the_vocabulary_only():
    grammar = Grammar(ALL)
    rules = grammar.jsgf.partition("public")[2]
    assert set(re.findall(r"[a-z']+", re.sub(r"<\w+>", "", rules))) <= grammar.vocabulary


def test_without_tools_the_built_in_phrases_remain():
    grammar = Grammar()
    assert understand("what can you do", grammar).kind == "help"
    assert len(grammar.samples(500)) >= 500


def test_a_thousand_values_are_all_spoken():
    grammar = Grammar([spec("pick", item={"enum": [f"item {number}" for number in range(1000)]})])
    assert understand("pick item nine hundred ninety nine", grammar).input == {"item": "item 999"}
    assert grammar.notes == []


def test_beyond_a_bound_values_are_only_typed_and_it_says_so():
    tools = [spec(f"pick_{name}", item={"enum": [f"item {n}" for n in range(1500)]}) for name in ("one", "two")]
    grammar = Grammar(tools)
    assert grammar.notes[0].startswith("Tool 'pick_one': only the first 1000 of 1500 values of 'item' can be spoken")
    assert understand("pick one item fourteen ninety nine", grammar).kind == "unknown"
    assert understand("pick one item 1499", grammar, typed=True).input == {"item": "item 1499"}


def test_a_hundred_tools_are_all_spoken():
    grammar = Grammar([spec(f"tool_{number}", value={"enum": ["low", "high"]}) for number in range(100)])
    intent = understand("run tool ninety nine high", grammar)
    assert (intent.tool, intent.input) == ("tool_99", {"value": "high"})


def test_a_tool_whose_name_cannot_be_said_is_left_out():
    assert Grammar([spec("日本"), RESEARCH]).tools[0].name == "research"


def test_the_tool_that_a_text_begins_with_is_found():
    assert Grammar(ALL).named(["please", "research", "fusion", "reactors"]) == ("research", 2)
    assert Grammar(ALL).named(["research"]) is None


def test_tools_for_language_models_are_no_commands():
    grammar = Grammar([RESEARCH, spec("look_at_result", task={"type": "string"}), spec("answer_approval")])
    assert [tool.name for tool in grammar.tools] == ["research"]
