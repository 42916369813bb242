"""Calls that ask for the same."""

from __future__ import annotations

import dataclasses
import enum
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backchannel import messages
from backchannel.errors import TaskRefusedError
from backchannel.events import ToolResultEvent
from backchannel.tasks import AsyncTool, AsyncToolManager, async_tool
from backchannel.tasks.duplicates import OnDuplicate, call_key
from tests.support.manual_runner import ManualRunner

WAIT = 10.0


class Scene:
    """A tool whose runs wait for the gate."""

    def __init__(self) -> None:
        self.manager = AsyncToolManager(max_workers=4)
        self.gate = threading.Event()

    def tool(self, rule: OnDuplicate, **options: Any) -> AsyncTool:
        @async_tool(self.manager, on_duplicate=rule, **options)
        def train(dataset: str, epochs: int = 20) -> str:
            self.gate.wait(WAIT)
            return f"{dataset} {epochs}"

        return train


@pytest.fixture
def scene() -> Iterator[Scene]:
    made = Scene()
    yield made
    made.gate.set()
    made.manager.shutdown()


def test_another_is_started_and_the_older_marked(scene: Scene):
    train = scene.tool("start_another").options(on_duplicate="start_another")
    first, second = scene.manager.start("f", scene.gate.wait, {"timeout": 9}), train("a")
    assert first is not second
    assert (first.superseded_by, second.superseded_by) == (None, None)


async def test_calls_of_a_model_mark_the_task_that_they_supersede(scene: Scene):
    train = scene.tool("start_another", grace_s=0)
    for call_id in ("c1", "c2"):
        await answer(train, {"dataset": "sales"}, call_id)
    first, second = scene.manager.tasks
    assert (first.superseded_by, second.superseded_by) == (second.id, None)


async def test_what_has_ended_and_was_not_told_is_superseded_too(scene: Scene):
    train = scene.tool("start_another", grace_s=0)
    scene.gate.set()
    await answer(train, {"dataset": "sales"}, "c1")
    (first,) = scene.manager.tasks
    await first.ended()
    await answer(train, {"dataset": "sales"}, "c2")
    second = scene.manager.tasks[-1]
    assert first.superseded_by == second.id
    assert first.finished_fact().superseded_by == second.id
    await second.ended()
    second.delivered = True
    await answer(train, {"dataset": "sales"}, "c3")
    assert (first.superseded_by, second.superseded_by) == (second.id, None)


async def test_the_tasks_of_another_agent_are_neither_superseded_nor_replaced(scene: Scene):
    mine, other = object(), object()
    for rule in ("start_another", "replace"):
        train = scene.tool(rule, grace_s=0)
        await answer(train, {"dataset": rule}, "c1", mine)
        await answer(train, {"dataset": rule}, "c2", other)
        first, second = scene.manager.tasks[-2:]
        assert (first.superseded_by, second.superseded_by) == (None, None)
        assert not first.done()


def test_the_one_under_way_is_used_again(scene: Scene):
    train = scene.tool("reuse")
    first = train("sales")
    assert train("sales", 20) is first
    assert train(epochs=20, dataset="sales") is first
    assert train("sales", 21) is not first
    scene.gate.set()
    assert first.result(WAIT) == "sales 20"
    assert train("sales") is not first


def test_the_second_is_refused_in_words(scene: Scene):
    train = scene.tool("refuse")
    first = train("sales")
    with pytest.raises(TaskRefusedError, match="train was not started: task 1, train sales, is doing the same"):
        train("sales")
    assert scene.manager.tasks == [first]
    assert train("costs").status in ("queued", "running")


def test_the_first_is_replaced(scene: Scene):
    train = scene.tool("replace")
    first = train("sales")
    second = train("sales")
    assert first.status == "cancelled"
    assert first.superseded_by == second.id
    assert first.summary() == "It was cancelled: a newer call replaced it."
    scene.gate.set()
    assert second.result(WAIT) == "sales 20"


def test_a_call_that_is_refused_replaces_nothing():
    runner = ManualRunner(1)
    manager = AsyncToolManager(max_queued=1, runner=runner)
    first = manager.start("train", lambda_train, {"dataset": "a"}, deferred=True, on_duplicate="replace")
    runner.begin()
    runner.take().returned(None)
    for _ in range(2):
        manager.start("wait", lambda_train, {"dataset": "b"})
    with pytest.raises(TaskRefusedError, match="1 tasks wait already"):
        manager.start("train", lambda_train, {"dataset": "a"}, on_duplicate="replace")
    assert (first.status, first.superseded_by) == ("running", None)
    manager.shutdown(cancel=True)


def test_a_full_queue_does_not_keep_a_call_from_replacing_its_twin():
    gate = threading.Event()
    manager = AsyncToolManager(max_workers=1, max_queued=1)
    manager.start("wait", gate.wait, {"timeout": WAIT})
    train = async_tool(manager, on_duplicate="replace")(lambda_train)
    first = train("a")
    second = train("a")
    assert (first.status, second.status) == ("cancelled", "queued")
    gate.set()
    manager.shutdown()


def lambda_train(dataset: str) -> str:
    return dataset


async def answer(tool: AsyncTool, arguments: Any, call_id: str, agent: object = None) -> ToolResultEvent:
    use: messages.ToolUse = {"toolUseId": call_id, "name": tool.tool_name, "input": arguments}
    (event,) = [event async for event in tool.stream(use, {"agent": agent})]
    assert isinstance(event, ToolResultEvent)
    return event


async def test_a_models_second_call_is_told_that_the_first_is_under_way(scene: Scene):
    train, agent = scene.tool("reuse", grace_s=0), object()
    await answer(train, {"dataset": "sales"}, "c1", agent)
    event = await answer(train, {"dataset": "sales", "epochs": "20"}, "c2", agent)
    (task,) = scene.manager.tasks
    assert event.tool_result["status"] == "success"
    assert (
        "Nothing new was started: train sales is already under way as task 1" in event.tool_result["content"][0]["text"]
    )
    assert event.task == task.started_fact()
    assert task.call_id == "c1"


async def test_an_agent_takes_over_what_was_started_by_hand_but_not_what_another_asked_for(scene: Scene):
    train, agent, other = scene.tool("reuse", grace_s=0), object(), object()
    task = train("sales")
    await answer(train, {"dataset": "sales"}, "c1", agent)
    assert task.owner is agent
    await answer(train, {"dataset": "sales"}, "c2", other)
    assert [entry.owner for entry in scene.manager.tasks] == [agent, other]
    assert train("sales") is scene.manager.tasks[1]


async def test_a_refused_call_is_an_error_result(scene: Scene):
    train = scene.tool("refuse", grace_s=0)
    await answer(train, {"dataset": "sales"}, "c1")
    event = await answer(train, {"dataset": "sales"}, "c2")
    assert event.tool_result["status"] == "error"


def test_many_threads_that_ask_for_the_same_start_it_once(scene: Scene):
    train, together = scene.tool("reuse"), threading.Barrier(8)
    found: list[Any] = []

    def ask() -> None:
        together.wait(WAIT)
        found.append(train("sales"))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT)
    assert len(found) == 8
    assert len(set(found)) == 1


class Colour(enum.Enum):
    RED = 1


@dataclasses.dataclass
class Point:
    x: int
    parts: list[int]


class Odd:
    def __hash__(self) -> int:
        raise RuntimeError("no")


@pytest.mark.parametrize(
    ("left", "right", "same"),
    [
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, True),
        ({"a": [1, {"x": {2, 3}}]}, {"a": [1, {"x": {3, 2}}]}, True),
        ({"a": 1}, {"a": True}, False),
        ({"a": 1}, {"a": 1.0}, False),
        ({"a": 0.0}, {"a": -0.0}, False),
        ({"a": float("nan")}, {"a": float("nan")}, True),
        ({"a": [1]}, {"a": (1,)}, False),
        ({"a": "1"}, {"a": b"1"}, False),
        ({"a": Colour.RED}, {"a": Colour.RED}, True),
        ({"a": Point(1, [2])}, {"a": Point(1, [2])}, True),
        ({"a": Point(1, [2])}, {"a": Point(1, [3])}, False),
        ({"a": bytearray(b"x")}, {"a": bytearray(b"x")}, False),
        ({}, {"a": None}, False),
    ],
)
def test_arguments_are_the_same_by_value_and_type(left: Any, right: Any, same: bool):
    assert (call_key("f", left) == call_key("f", right)) == same
    assert call_key("f", left) != call_key("g", left)


def test_values_that_cannot_be_compared_are_the_same_only_as_one_object():
    odd = Odd()
    deep: list[Any] = []
    deep.append(deep)
    assert call_key("f", {"a": odd}) == call_key("f", {"a": odd}) != call_key("f", {"a": Odd()})
    assert call_key("f", {"a": deep}) == call_key("f", {"a": deep})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=10,
)


@given(st.dictionaries(st.text(max_size=3), JSON, max_size=4))
def test_any_arguments_have_a_key_that_their_copy_shares(arguments: dict[str, Any]):
    copy = dict(reversed(arguments.items()))
    assert hash(call_key("f", arguments)) == hash(call_key("f", copy))
    assert call_key("f", arguments) == call_key("f", copy)
