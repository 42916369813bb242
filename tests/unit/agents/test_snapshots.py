"""Snapshots: everything an agent remembers, there and back."""

from __future__ import annotations

import copy
import datetime
import json
from pathlib import Path
from typing import Any

import pytest

from backchannel import BidiAgent, tool
from backchannel.agents import AgentState, FileSessionManager, load_snapshot, take_snapshot
from backchannel.errors import AgentStateError, BackchannelError, InvalidInputError, SessionVersionError
from backchannel.models.scripted import ScriptedModel
from tests.support.virtual_time import virtual_time

WHEN = datetime.datetime(2026, 11, 21, 12, 0, tzinfo=datetime.UTC)


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def messages() -> Any:
    return [
        {"role": "user", "content": [{"text": "Grüße \u2028"}, {"image": {"source": {"bytes": b"\x00\xff"}}}]},
        {"role": "assistant", "content": [{"toolUse": {"toolUseId": "1", "name": "add", "input": {"$bytes": "x"}}}]},
        {"role": "user", "content": [{"toolResult": {"toolUseId": "1", "status": "success", "content": []}}]},
    ]


def agent_with(**options: Any) -> BidiAgent:
    return BidiAgent(ScriptedModel(), tools=[add], **options)


def test_a_snapshot_goes_through_a_json_file_into_another_agent(tmp_path: Path) -> None:
    agent = agent_with(messages=messages(), state={"k": [1, float("inf")]}, agent_id="one")
    with (tmp_path / "snapshot.json").open("w") as file:
        json.dump(take_snapshot(agent, WHEN), file, allow_nan=False)
    other = agent_with(state={"gone": True}, agent_id="two")
    kept_messages, kept_state = other.messages, other.state
    load_snapshot(other, json.loads((tmp_path / "snapshot.json").read_text()))
    assert other.messages is kept_messages
    assert other.messages == messages()
    assert other.state is kept_state
    assert other.state.get() == {"k": [1, float("inf")]}
    assert other.agent_id == "two"
    assert take_snapshot(other, WHEN) == {**take_snapshot(agent, WHEN), "agent_id": "two"}


def test_a_snapshot_says_who_and_when() -> None:
    snapshot = take_snapshot(agent_with(), WHEN)
    assert snapshot == {
        "schema": 1,
        "created_at": "2026-11-21T12:00:00+00:00",
        "agent_id": "default",
        "tool_names": ["add"],
        "messages": [],
        "state": {},
    }
    assert datetime.datetime.fromisoformat(take_snapshot(agent_with())["created_at"]).tzinfo is not None
    with pytest.raises(InvalidInputError, match="time zone"):
        take_snapshot(agent_with(), datetime.datetime(2026, 1, 1))


def test_a_snapshot_is_a_copy_in_both_directions() -> None:
    agent = agent_with(messages=messages(), state={"k": [1]})
    snapshot = take_snapshot(agent, WHEN)
    before = copy.deepcopy(snapshot)
    agent.messages[0]["content"][0]["text"] = "changed"
    assert snapshot == before
    load_snapshot(agent, snapshot)
    agent.messages[0]["content"][0]["text"] = "changed again"
    agent.messages.clear()
    assert snapshot == before


@virtual_time
async def test_a_started_agent_gives_a_snapshot_and_takes_none() -> None:
    agent = agent_with(messages=messages())
    async with agent:
        snapshot = take_snapshot(agent)
        with pytest.raises(AgentStateError, match="call stop before loading"):
            load_snapshot(agent, snapshot)
    load_snapshot(agent, snapshot)


WRONG: list[Any] = [
    None,
    [],
    "text",
    {},
    {"schema": "1"},
    {"schema": True},
    {"schema": 0},
    {"messages": 5},
    {"messages": None},
    {"messages": ["text"]},
    {"messages": [{"role": "user"}]},
    {"messages": [{"role": "system", "content": [{"text": "x"}]}]},
    {"messages": [{"role": "user", "content": [{"toolResult": {}}]}]},
    {"messages": [{"role": "user", "content": 7}]},
    {"messages": messages()[1:2]},
    {"messages": [{"role": "user", "content": [{"image": {"$bytes": "not base64!"}}]}]},
    {"messages": [{"role": "user", "content": [{"text": "half \ud800"}]}]},
    {"messages": [{"$bytes": 3}]},
    {"messages": [{"$dict": 3}]},
    {"state": None},
    {"state": []},
    {"state": {"": 1}},
    {"state": {"k": {"$bytes": "AA=="}}},
]


@pytest.mark.parametrize("wrong", WRONG, ids=ascii)
def test_what_is_no_snapshot_is_refused_and_nothing_changes(wrong: Any) -> None:
    agent = agent_with(messages=messages(), state={"k": 1})
    fresh = take_snapshot(agent_with(state={"new": 1}), WHEN)
    complete = {**fresh, **wrong} if isinstance(wrong, dict) and wrong else wrong
    with pytest.raises((InvalidInputError, ValueError)) as caught:
        load_snapshot(agent, complete)
    assert str(caught.value)
    assert agent.messages == messages()
    assert agent.state.get() == {"k": 1}


def test_a_newer_snapshot_is_refused() -> None:
    with pytest.raises(SessionVersionError, match="schema 2, known is 1") as caught:
        load_snapshot(agent_with(), {**take_snapshot(agent_with()), "schema": 2})
    assert isinstance(caught.value, BackchannelError)


@virtual_time
async def test_a_session_follows_a_loaded_snapshot(tmp_path_factory: pytest.TempPathFactory) -> None:
    place = tmp_path_factory.mktemp("s")
    agent = agent_with(session_manager=FileSessionManager("s", place))
    load_snapshot(agent, take_snapshot(agent_with(messages=messages(), state={"k": 1})))
    async with agent:
        pass
    restored = agent_with(session_manager=FileSessionManager("s", place))
    assert restored.messages == messages()
    assert restored.state.get() == {"k": 1}


def test_a_state_counts_its_changes() -> None:
    state = AgentState({"a": 1})
    seen = {state.changes}
    for change in (
        lambda: state.set("a", 1),
        lambda: state.delete("a"),
        lambda: state.delete("a"),
        lambda: state.replace({}),
    ):
        change()
        assert state.changes not in seen
        seen.add(state.changes)
    before = state.changes
    with pytest.raises(ValueError, match="cannot be JSON"):
        state.replace({"good": 1, "bad": object()})
    assert (state.get(), state.changes) == ({}, before)
