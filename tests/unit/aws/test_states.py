"""How far a Step Functions execution is."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backchannel.aws.states import StateProgress, chain


def machine(start: str, **states: dict[str, Any]) -> dict[str, Any]:
    return {"StartAt": start, "States": states}


def entered(number: int, name: str, kind: str = "Task") -> dict[str, Any]:
    return {"id": number, "type": f"{kind}StateEntered", "stateEnteredEventDetails": {"name": name}}


def left(number: int, name: str, kind: str = "Task") -> dict[str, Any]:
    return {"id": number, "type": f"{kind}StateExited", "stateExitedEventDetails": {"name": name}}


def test_the_states_of_a_chain_are_known():
    definition = machine("A", A={"Type": "Pass", "Next": "B"}, B={"Type": "Task", "End": True}, C={"Type": "Fail"})
    assert chain(definition) == ["A", "B"]


@pytest.mark.parametrize(
    "definition",
    [
        {},
        {"StartAt": "A"},
        machine("A"),
        machine("A", A={"Type": "Choice", "Default": "A"}),
        machine("A", A={"Type": "Pass", "Next": "A"}),
        machine("A", A={"Type": "Pass", "Next": "gone"}),
        {"StartAt": 1, "States": []},
    ],
)
def test_what_depends_on_data_or_cannot_be_read_is_not_known(definition: dict[str, Any]):
    assert chain(definition) is None


def test_states_within_others_do_not_count():
    states = StateProgress(["Outer", "Last"])
    assert states.take([entered(1, "Outer", "Map"), entered(2, "inner"), left(3, "inner"), left(4, "Outer", "Map")])
    assert (states.done, states.total, states.current) == (1, 2, "inner")


EVENTS = [event for n in range(20) for event in (entered(2 * n + 1, f"S{n}"), left(2 * n + 2, f"S{n}"))]


@given(st.lists(st.lists(st.sampled_from(EVENTS))), st.booleans())
def test_pages_that_overlap_and_come_in_any_order_count_once(pages: list[Any], known: bool):
    states = StateProgress([f"S{n}" for n in range(20)] if known else None)
    for page in pages:
        states.take(page)
    states.take(EVENTS[states.seen :])
    assert states.done <= 20
    assert states.seen == 40
    assert not states.take(EVENTS)


def test_a_whole_history_counts_every_state():
    states = StateProgress([f"S{n}" for n in range(20)])
    for start in range(0, 40, 7):
        states.take(reversed(EVENTS[: start + 7]))
    assert (states.done, states.total, states.current) == (20, 20, "S19")
