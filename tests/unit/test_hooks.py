"""Hook events: their fields, what may be written, the order of callbacks, as a table."""

from __future__ import annotations

import dataclasses
import warnings
from typing import Any

import pytest

from backchannel import hooks
from backchannel.errors import BidiModelTimeoutError
from backchannel.hooks import BaseHookEvent, HookRegistry
from tests.support.virtual_time import virtual_time

AGENT = object()
USE = {"toolUseId": "c1", "name": "add", "input": {}}
RESULT = {"toolUseId": "c1", "status": "success", "content": [{"text": "3"}]}
BEFORE: dict[str, Any] = {"selected_tool": None, "tool_use": USE, "invocation_state": {}}
AFTER: dict[str, Any] = {**BEFORE, "result": RESULT}
MESSAGE = {"role": "user", "content": [{"text": "hello"}]}

# name, what it is made of besides the agent, further fields with their defaults, writable, reversed
TABLE: list[tuple[str, dict[str, Any], dict[str, Any], set[str], bool]] = [
    ("BidiAgentInitializedEvent", {}, {}, set(), False),
    ("BidiBeforeInvocationEvent", {}, {}, set(), False),
    ("BidiAfterInvocationEvent", {}, {}, set(), True),
    ("BidiMessageAddedEvent", {"message": MESSAGE}, {}, set(), False),
    ("BidiBeforeToolCallEvent", BEFORE, {"cancel_tool": False}, {"selected_tool", "tool_use", "cancel_tool"}, False),
    (
        "BidiAfterToolCallEvent",
        AFTER,
        {"exception": None, "cancel_message": None, "retry": False},
        {"result", "retry"},
        True,
    ),
    ("BidiInterruptionEvent", {"reason": "user_speech"}, {"interrupted_response_id": None}, set(), False),
    ("BidiBeforeConnectionRestartEvent", {"timeout_error": BidiModelTimeoutError("limit")}, {}, set(), False),
    ("BidiAfterConnectionRestartEvent", {}, {"exception": None}, set(), False),
    ("BeforeModelCallEvent", {}, {}, set(), False),
    ("AfterModelCallEvent", {}, {"stop_response": None, "exception": None, "retry": False}, {"retry"}, True),
    ("BeforeToolCallEvent", BEFORE, {"cancel_tool": False}, {"selected_tool", "tool_use", "cancel_tool"}, False),
    (
        "AfterToolCallEvent",
        AFTER,
        {"exception": None, "cancel_message": None, "retry": False},
        {"result", "retry"},
        True,
    ),
    ("BidiMessageAmendedEvent", {"message": MESSAGE, "index": 0}, {"removed": False}, set(), False),
    ("BidiHistoryReducedEvent", {"count": 1, "messages": []}, {}, set(), False),
]

every = pytest.mark.parametrize(
    ("name", "made_of", "others", "writable", "reverse"), TABLE, ids=lambda row: str(row)[:30]
)


def made(name: str, made_of: dict[str, Any]) -> Any:
    return getattr(hooks, name)(agent=AGENT, **made_of)


@every
def test_an_event_has_the_fields_of_the_table(name, made_of, others, writable, reverse):
    event = made(name, made_of)
    fields = {field.name: getattr(event, field.name) for field in dataclasses.fields(event)}
    assert fields == {"agent": AGENT, **made_of, **others}
    assert event.should_reverse_callbacks is reverse


@every
def test_only_the_writable_fields_can_be_set(name, made_of, others, writable, reverse):
    event = made(name, made_of)
    for field in ("agent", *made_of, *others, "something_else"):
        if field in writable:
            setattr(event, field, "new")
            assert getattr(event, field) == "new"
        else:
            with pytest.raises(AttributeError, match=f"{name}.{field} cannot be set"):
                setattr(event, field, "new")


@every
@virtual_time
async def test_callbacks_are_called_in_order_or_in_reverse(name, made_of, others, writable, reverse):
    called: list[str] = []
    registry = HookRegistry()
    for mark in "abc":

        def plain(event: Any, mark: str = mark) -> None:
            called.append(mark)

        async def asynchronous(event: Any, mark: str = mark) -> None:
            called.append(mark.upper())

        registry.add_callback(getattr(hooks, name), plain)
        registry.add_callback(getattr(hooks, name), asynchronous)
    await registry.invoke_callbacks_async(made(name, made_of))
    assert called == (list("aAbBcC")[::-1] if reverse else list("aAbBcC"))


def test_the_table_has_every_event():
    bases = {"BaseHookEvent", "HookEvent", "BidiHookEvent"}
    known = {
        name for name, value in vars(hooks).items() if isinstance(value, type) and issubclass(value, BaseHookEvent)
    }
    assert known - bases - {"Event"} == {row[0] for row in TABLE}


def test_callbacks_are_for_exactly_one_class():
    called: list[Any] = []
    registry = HookRegistry()
    registry.add_callback(hooks.BidiHookEvent, called.append)
    registry.invoke_callbacks(hooks.BidiBeforeInvocationEvent(AGENT))
    assert called == []
    assert not registry.has_callbacks(hooks.BidiBeforeInvocationEvent)
    assert registry.has_callbacks()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("BeforeToolInvocationEvent", "BeforeToolCallEvent"),
        ("AfterToolInvocationEvent", "AfterToolCallEvent"),
        ("BeforeModelInvocationEvent", "BeforeModelCallEvent"),
        ("AfterModelInvocationEvent", "AfterModelCallEvent"),
    ],
)
def test_deprecated_names_warn_and_work(old, new):
    with pytest.warns(DeprecationWarning, match=f"{old} is now called {new}"):
        assert getattr(hooks, old) is getattr(hooks, new)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert hooks._DEPRECATED_ALIASES[old] is getattr(hooks, new)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'NoSuchEvent'"):
        _ = hooks.NoSuchEvent


@virtual_time
async def test_what_a_callback_raises_comes_out_and_names_it():
    def oops(event: Any) -> None:
        raise KeyError("x")

    async def later(event: Any) -> None:
        raise ValueError("y")

    registry = HookRegistry()
    registry.add_callback(hooks.BidiBeforeInvocationEvent, oops)
    with pytest.raises(KeyError) as caught:
        await registry.invoke_callbacks_async(hooks.BidiBeforeInvocationEvent(AGENT))
    assert "oops" in caught.value.__notes__[0]
    registry = HookRegistry()
    registry.add_callback(hooks.BidiAfterInvocationEvent, later)
    with pytest.raises(ValueError, match="y") as error:
        await registry.invoke_callbacks_async(hooks.BidiAfterInvocationEvent(AGENT))
    assert "later" in error.value.__notes__[0]


@pytest.mark.parametrize("event", [str, "BidiMessageAddedEvent", None, 5])
def test_only_event_classes_have_callbacks(event):
    with pytest.raises(TypeError, match="hook event class"):
        HookRegistry().add_callback(event, print)


def test_a_callback_must_be_callable():
    with pytest.raises(TypeError, match="not callable"):
        HookRegistry().add_callback(hooks.BidiMessageAddedEvent, "print")  # type: ignore[arg-type]


def test_a_callback_that_adds_another_does_not_have_it_called_at_once():
    called: list[str] = []
    registry = HookRegistry()

    def first(event: Any) -> None:
        called.append("first")
        registry.add_callback(hooks.BidiBeforeInvocationEvent, lambda _: called.append("second"))

    registry.add_callback(hooks.BidiBeforeInvocationEvent, first)
    registry.invoke_callbacks(hooks.BidiBeforeInvocationEvent(AGENT))
    assert called == ["first"]
