"""Histories for property tests: valid ones, and message-like ones of any kind."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from backchannel.messages import Messages

texts = st.text(min_size=1, max_size=20).filter(lambda text: not text.isspace())
ids = st.sampled_from(["a", "b", "c", "a-2", "call-2", ""])
names = st.sampled_from(["train", "search", ""])
leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just("\ud800") | st.binary()
values = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
)


@st.composite
def valid_histories(draw: st.DrawFn, longest: int = 20, size: int = 20) -> Messages:
    """Return a history with some of everything, each call with its result."""
    messages: Any = []
    for number in range(draw(st.integers(0, longest))):
        match draw(st.sampled_from(["user", "assistant", "call"])):
            case "call":
                calls = [f"id-{number}-{place}" for place in range(draw(st.integers(1, 3)))]
                said = [{"text": draw(texts)}] if draw(st.booleans()) else []
                uses = [{"toolUse": {"toolUseId": call, "name": "train", "input": {"x": 1}}} for call in calls]
                content = [{"text": draw(texts) * draw(st.integers(1, size))}]
                results = [
                    {"toolResult": {"toolUseId": call, "status": "success", "content": content}}
                    for call in draw(st.permutations(calls))
                ]
                messages.append({"role": "assistant", "content": [*said, *uses]})
                messages.append({"role": "user", "content": [*results, *said]})
            case role:
                messages.append({"role": role, "content": [{"text": draw(texts) * draw(st.integers(1, size))}]})
    return messages


def _calls() -> st.SearchStrategy[Any]:
    plain = st.fixed_dictionaries({"toolUseId": ids, "name": names, "input": st.just({"x": 1})})
    odd = st.dictionaries(st.sampled_from(["toolUseId", "name", "input"]), values)
    return plain | plain | odd | values


def _results() -> st.SearchStrategy[Any]:
    content = st.lists(
        st.fixed_dictionaries({"text": texts}) | st.dictionaries(st.sampled_from(["text", "json"]), values)
    )
    plain = st.fixed_dictionaries({"toolUseId": ids, "status": st.just("success"), "content": content})
    odd = st.dictionaries(st.sampled_from(["toolUseId", "status", "content"]), values)
    return plain | plain | odd | values


def any_blocks() -> st.SearchStrategy[Any]:
    """Return blocks of a message, most of them of the form."""
    known = st.fixed_dictionaries({"text": texts})
    calls = st.fixed_dictionaries({"toolUse": _calls()})
    results = st.fixed_dictionaries({"toolResult": _results()})
    several = st.fixed_dictionaries({}, optional={"text": texts, "toolUse": _calls(), "toolResult": _results()})
    return known | calls | results | calls | results | several | values


def any_histories() -> st.SearchStrategy[Any]:
    """Return lists of message-like things."""
    roles = st.sampled_from(["user", "assistant", "assistant", "user", "USER", "model", "tool", "system", ""]) | values
    contents = st.lists(any_blocks(), max_size=4)
    message = st.fixed_dictionaries({"role": roles, "content": contents})
    odd = st.dictionaries(st.sampled_from(["role", "content"]), values)
    return st.lists(message | message | message | odd | values, max_size=8)
