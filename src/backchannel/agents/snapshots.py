"""Snapshots: all that an agent remembers, as one JSON object.

snapshot = take_snapshot(agent)
json.dump(snapshot, file)
load_snapshot(other_agent, json.load(file))
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..errors import AgentStateError, InvalidInputError, SessionVersionError
from ..journal import from_plain, to_plain
from ..messages import validate_messages
from .session_entries import storable
from .state import AgentState

if TYPE_CHECKING:
    from .bidi import BidiAgent

__all__ = ["load_snapshot", "take_snapshot"]

SCHEMA = 1


def take_snapshot(agent: BidiAgent, created_at: datetime.datetime | None = None) -> dict[str, Any]:
    """Return what the agent remembers, as JSON: its messages and its state; for information also who it is.

    Args:
        agent: It may be talking.
        created_at: When, with a time zone; by default now.
    """
    when = created_at or datetime.datetime.now(datetime.UTC)
    if when.tzinfo is None:
        raise InvalidInputError(f"created_at {when.isoformat()} has no time zone; give it one")
    snapshot: dict[str, Any] = {
        "schema": SCHEMA,
        "created_at": when.isoformat(),
        "agent_id": agent.agent_id,
        "tool_names": sorted(agent.tool_names),
        "messages": [to_plain(storable(message)) for message in list(agent.messages)],
        "state": to_plain(agent.state.get()),
    }
    return snapshot


def load_snapshot(agent: BidiAgent, snapshot: Mapping[str, Any]) -> None:
    """Put a snapshot's messages and state in place of the agent's; its id and tools stay its own.

    The agent's list of messages and its state stay the same objects. With an error, nothing changes.

    Raises:
        AgentStateError: If the agent is started.
        InvalidInputError: If it is not a snapshot, or its messages are not a valid history.
        SessionVersionError: If a newer version has made it.
    """
    if agent.started:
        raise AgentStateError("the agent is started; call stop before loading a snapshot")
    schema = snapshot.get("schema") if isinstance(snapshot, Mapping) else None
    if not isinstance(schema, int) or isinstance(schema, bool) or schema < 1:
        raise InvalidInputError("this is not a snapshot: it has no schema; give what take_snapshot has returned")
    if schema > SCHEMA:
        raise SessionVersionError(f"the snapshot has schema {schema}, known is {SCHEMA}; upgrade Backchannel")
    try:
        messages, state = from_plain(snapshot.get("messages")), from_plain(snapshot.get("state"))
    except (TypeError, ValueError, AttributeError) as error:
        raise InvalidInputError(f"the snapshot cannot be read: {error}; take it again") from None
    if not isinstance(messages, list) or not all(isinstance(message, dict) for message in messages):
        raise InvalidInputError("the snapshot's messages are not a list of messages; take it again")
    if not isinstance(state, dict):
        raise InvalidInputError("the snapshot's state is not an object; take it again")
    try:
        faults = validate_messages(messages)
    except (AttributeError, KeyError, TypeError) as error:
        faults = [f"a message has not the form of one: {error!r}"]
    if faults:
        raise InvalidInputError(f"the snapshot's messages are not a valid history: {'; '.join(faults[:5])}")
    AgentState(state)
    agent.state.replace(state)
    agent.messages[:] = messages
