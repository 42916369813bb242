"""What a text asks for."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backchannel.models.local.grammar import Grammar, Slot
from backchannel.models.local.understand import Intent, fill, understand

from .tools import ALL, TOPICS, spec

GRAMMAR = Grammar(ALL)


@pytest.mark.parametrize(
    ("text", "arguments"),
    [
        ("train model sales", {"dataset": "sales"}),
        ("train the model on weather with twenty epochs", {"dataset": "weather", "epochs": 20}),
        ("train model customers epochs thirty five", {"dataset": "customers", "epochs": 35}),
        ("train the model on sales without fast", {"dataset": "sales", "fast": False}),
        ("train the model on sales with ten epochs and with fast", {"dataset": "sales", "epochs": 10, "fast": True}),
    ],
)
def test_parameters_are_said_in_order_and_optional_ones_left_out(text: str, arguments: dict[str, Any]):
    assert understand(text, GRAMMAR) == Intent("call", "train_model", arguments)


@pytest.mark.parametrize(
    ("text", "tool", "arguments"),
    [
        ("Research GPT-4.", "research", {"topic": "GPT-4"}),
        ("research Solar Power!", "research", {"topic": "solar power"}),
        ("Train model with 20 epochs on sales", "train_model", {"dataset": "sales", "epochs": 20}),
        ("write note Buy milk, eggs and bread.", "write_note", {"text": "Buy milk, eggs and bread"}),
    ],
)
def test_typed_text_takes_digits_any_order_and_free_text(text: str, tool: str, arguments: dict[str, Any]):
    assert understand(text, GRAMMAR, typed=True) == Intent("call", tool, arguments)


@pytest.mark.parametrize(
    ("text", "kind", "task"),
    [
        ("how far is it", "status", None), ("status", "status", None), ("what is running", "status", None),
        ("how is it going", "status", None), ("list tasks", "status", None), ("how long will it take", "status", None),
        ("how is task two doing", "status", "2"), ("how far is the research", "status", "research"),
        ("cancel task one", "cancel", "1"), ("cancel it", "cancel", None), ("stop research", "cancel", "research"),
        ("cancel everything", "cancel", "all"), ("stop the task", "cancel", None),
        ("what can you do", "help", None), ("help", "help", None), ("say that again", "repeat", None),
        ("be quiet", "quiet", None), ("stop", "quiet", None), ("stop it", "quiet", None),
        ("thank you", "thanks", None), ("hello", "greeting", None),
        ("yes", "yes", None), ("no", "no", None), ("i had eggs for breakfast", "unknown", None), ("", "unknown", None),
    ],
)  # fmt: skip
def test_built_in_phrases_are_understood(text: str, kind: str, task: str | None):
    intent = understand(text, GRAMMAR)
    assert (intent.kind, intent.task) == (kind, task)
    typed = understand(text.capitalize() + "?", GRAMMAR, typed=True)
    assert (typed.kind, typed.task) == (kind, task)


def test_a_call_without_its_value_says_what_is_missing():
    assert understand("research", GRAMMAR).missing == ("topic",)
    assert understand("write note", GRAMMAR).missing == ("text",)


def test_a_number_out_of_bounds_is_a_fault():
    assert understand("train model sales with 500 epochs", GRAMMAR, typed=True).faults == (
        "epochs must be at most 100",
    )
    assert understand("train model sales with zero epochs", GRAMMAR).faults == ("epochs must be at least 1",)


def test_half_of_a_whole_number_is_a_fault():
    assert understand("train model sales with 2.5 epochs", GRAMMAR, typed=True).faults == (
        "epochs must be a whole number",
    )


def test_a_value_that_the_tool_does_not_know_is_named():
    intent = understand("Research fusion reactors!", GRAMMAR, typed=True)
    assert (intent.kind, intent.tool, intent.rest) == ("unknown", "research", "fusion reactors")


def test_a_value_alone_is_a_value():
    assert understand("solar power", GRAMMAR) == Intent("value", "research", {"topic": "solar power"})


def test_several_values_of_a_list_are_collected():
    grammar = Grammar([spec("compare", items={"type": "array", "items": {"enum": ["wind", "solar", "coal"]}})])
    assert understand("compare wind and solar", grammar).input == {"items": ["wind", "solar"]}


@given(st.sampled_from(TOPICS), st.sampled_from(["", "please ", "can you ", "start ", "START a "]), st.booleans())
def test_a_value_of_an_enumeration_comes_back_exactly(topic: str, opening: str, shout: bool):
    text = f"{opening}research on {topic.upper() if shout else topic}"
    assert understand(text, GRAMMAR, typed=True).input == {"topic": topic}


@given(st.text(max_size=80), st.booleans())
def test_any_text_is_understood_or_not_and_never_fails(text: str, typed: bool):
    intent = understand(text, GRAMMAR, typed=typed)
    assert intent.kind != "call" or intent.tool in {tool.name for tool in GRAMMAR.tools}


@pytest.mark.parametrize(
    ("slot", "text", "filled"),
    [
        (Slot("text", "free", True), " Buy milk. ", (True, "Buy milk.")),
        (Slot("text", "free", True), "  ", (False, None)),
        (Slot("epochs", "number", True), "20", (True, 20)),
        (Slot("epochs", "number", True), "twenty epochs", (True, 20)),
        (Slot("epochs", "number", True), "twenty apples", (False, None)),
        (Slot("topic", "choice", True, values=(((("gpt", "four"),), "GPT-4"),)), "gpt-4", (True, "GPT-4")),
        (Slot("topic", "choice", True, values=(((("gpt", "four"),), "GPT-4"),), many=True), "GPT 4", (True, ["GPT-4"])),
        (Slot("topic", "choice", True, values=(((("gpt", "four"),), "GPT-4"),)), "llama", (False, None)),
    ],
)
def test_an_answer_fills_a_parameter_if_it_fits(slot: Slot, text: str, filled: tuple[bool, Any]):
    fits, value = fill(slot, text)
    assert fits is filled[0]
    assert not fits or value == filled[1]
