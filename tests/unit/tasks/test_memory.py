"""What ended tasks hold: bounded in bytes, let go of on request, and never their agents."""

from __future__ import annotations

import asyncio
import gc
import time
import traceback
import weakref
from typing import Any

import pytest

from backchannel import AsyncToolManager, BidiAgent, async_tool
from backchannel.errors import TaskError, TaskFailedError
from backchannel.events import ToolUseStreamEvent
from backchannel.tasks import engine
from backchannel.tasks.task import GoneAgent
from backchannel.tasks.weight import weight_of
from tests.support.fake_model import FakeModel


class Big:
    """A value that says how many bytes it has, as an array does."""

    def __init__(self, nbytes: int) -> None:
        self._nbytes = nbytes

    @property
    def nbytes(self) -> int:
        return self._nbytes

    def __repr__(self) -> str:
        return f"Big({self._nbytes})"


class Owner:
    def __init__(self, agent_id: str) -> None:
        self.agent_id = agent_id


def ran(manager: AsyncToolManager, fn: Any, arguments: dict[str, Any], **options: Any) -> Any:
    task = manager.start("load", fn, arguments, **options)
    assert task.wait(10)
    settle(manager)
    return task


def settle(manager: AsyncToolManager) -> None:
    """Wait until the end of every task was told."""
    deadline = time.monotonic() + 10
    while manager._telling and time.monotonic() < deadline:
        time.sleep(0.001)
    assert not manager._telling


# Bytes


@pytest.mark.parametrize("where", ["value", "argument", "error", "in a list", "in an object"])
def test_ended_tasks_hold_no_more_than_keep_bytes(where: str) -> None:
    manager, seen = AsyncToolManager(keep_bytes=10_000_000), []

    def work(number: int, big: Any = None) -> Any:
        made = Big(3_000_000)
        seen.append(weakref.ref(made if big is None else big))
        if where == "error":
            raise ValueError(made)
        if where == "argument":
            return None
        return {"value": made, "in a list": [[made]], "in an object": Owner(made)}[where]  # type: ignore[arg-type]

    for number in range(20):
        ran(manager, work, {"number": number, **({"big": Big(3_000_000)} if where == "argument" else {})})
    gc.collect()
    assert 1 <= sum(ref() is not None for ref in seen) <= 3
    assert [task.arguments["number"] for task in manager.tasks] == [17, 18, 19]
    assert manager.tasks[-1].status == ("failed" if where == "error" else "done")


def test_a_task_that_somebody_has_keeps_its_value_when_its_manager_forgets_it() -> None:
    manager = AsyncToolManager(keep_bytes=10)
    first = ran(manager, lambda: "x" * 50_000, {})
    ran(manager, lambda: "y" * 50_000, {})
    assert manager.task(first.id) is None
    assert first.result() == first.value == "x" * 50_000


def test_the_newest_is_kept_however_large_and_small_ones_are_counted_only() -> None:
    manager = AsyncToolManager(keep_bytes=1000)
    small = [ran(manager, lambda: 1, {}) for _ in range(5)]
    large = ran(manager, lambda: Big(10**9), {})
    assert manager.tasks == [*small, large]


def test_a_pending_result_keeps_its_text_and_is_told() -> None:
    manager, owner = AsyncToolManager(keep_bytes=1_000_000), Owner("ada")
    first = ran(manager, lambda data: Big(900_000), {"data": Big(100_000)}, owner=owner)
    broken = ran(manager, lambda: [Big(900_000)][1], {}, owner=owner)
    second = ran(manager, lambda: Big(900_000), {}, owner=owner)
    assert manager.tasks == [first, broken, second]
    assert first.owed
    fact = first.finished_fact()
    assert "Big(900000)" in fact.outcome if hasattr(fact, "outcome") else "Big(900000)" in str(fact)
    assert "Big(100000)" in str(first.arguments)
    with pytest.raises(TaskError, match="forgotten"):
        _ = first.value
    assert second.value.nbytes == 900_000
    first.delivered = True


@pytest.mark.parametrize("wrong", [-1, 1.5, "256 MB", None, True])
def test_a_bound_that_is_none_is_refused(wrong: Any) -> None:
    with pytest.raises(ValueError, match="keep_bytes"):
        AsyncToolManager(keep_bytes=wrong)


def test_the_weight_of_values() -> None:
    np, pd = pytest.importorskip("numpy"), pytest.importorskip("pandas")
    for value, least, most in (
        (np.ones(1_000_000), 8_000_000, 8_100_000),
        ([np.ones(1000)] * 3 + [np.zeros(125_000)], 1_008_000, 1_100_000),
        (pd.DataFrame({"a": np.arange(100_000)}), 800_000, 1_700_000),
        (pd.DataFrame({"a": ["word" * 10] * 100_000}), 5_000_000, 20_000_000),
        (["x" * 1000] * 2 + [str(n) * 100 for n in range(10_000)], 2_000_000, 8_000_000),
        ({"key": b"x" * 1_000_000}, 1_000_000, 1_010_000),
        (None, 0, 100),
        (int, 0, 100),
    ):
        assert least <= weight_of(value) <= most, (type(value), weight_of(value))


def test_the_weight_of_values_that_are_no_help() -> None:
    class Hostile:
        @property
        def nbytes(self) -> int:
            raise RuntimeError("no")

        def __sizeof__(self) -> int:
            raise RuntimeError("no")

    loop: list[Any] = []
    loop.append(loop)
    assert weight_of(Hostile()) < 10_000
    assert weight_of(loop) < 1000
    deep = [[[[n] for n in range(100)] for _ in range(100)] for _ in range(100)]
    begun = time.perf_counter()
    assert 10_000_000 < weight_of(deep) < 1_000_000_000
    assert time.perf_counter() - begun < 0.5


# Frames


@pytest.mark.parametrize("kind", ["plain", "coroutine", "generator", "chained", "group"])
def test_a_failure_keeps_its_traceback_and_not_what_its_frames_hold(kind: str) -> None:
    manager, seen = AsyncToolManager(), []

    def inner() -> None:
        made = Big(1)
        seen.append(weakref.ref(made))
        raise ValueError("inner broke")

    def plain(data: Any) -> None:
        inner()

    async def coroutine(data: Any) -> None:
        await asyncio.sleep(0)
        inner()

    def generator(data: Any) -> Any:
        yield 1
        inner()

    def chained(data: Any) -> None:
        try:
            inner()
        except ValueError as error:
            raise KeyError("outer") from error

    def group(data: Any) -> None:
        try:
            inner()
        except ValueError as error:
            raise ExceptionGroup("several", [error]) from None

    argument = Big(2)
    seen.append(weakref.ref(argument))
    work = {"plain": plain, "coroutine": coroutine, "generator": generator, "chained": chained, "group": group}[kind]
    task = ran(manager, work, {"data": argument})
    del argument
    task.arguments = {}
    deadline = time.monotonic() + 10  # The thread or loop that ran it comes to its next wait.
    while any(ref() is not None for ref in seen) and time.monotonic() < deadline:
        gc.collect()
        time.sleep(0.001)
    assert [ref() for ref in seen] == [None, None]
    with pytest.raises(TaskFailedError) as caught:
        task.result()
    told = "".join(traceback.format_exception(caught.value))
    assert "in inner" in told
    assert "inner broke" in told
    assert f"in {work.__name__}" in told


# Forgetting


def test_a_forgotten_task_lets_go_of_everything_and_says_so() -> None:
    manager = AsyncToolManager()
    value, argument = Big(1), Big(2)
    refs = [weakref.ref(value), weakref.ref(argument)]
    held = [value]
    task = ran(manager, lambda data: held.pop(), {"data": argument})
    label = task.label
    del value, argument
    assert task.forget() is True
    gc.collect()
    assert [ref() for ref in refs] == [None, None]
    assert manager.tasks == []
    for use in (lambda: task.value, task.result):
        with pytest.raises(TaskError, match=r"forgotten.*Call its tool again"):
            use()
    assert (task.status, task.label, task.forgotten) == ("done", label, True)
    assert "forgotten" in task.summary()
    assert "forgotten" in str(task.snapshot()["text"])
    assert task.forget() is False
    with pytest.raises(TaskError, match="forgotten"):
        task.run_again()


def test_a_forgotten_failure_lets_go_of_its_error() -> None:
    manager, seen = AsyncToolManager(), []

    class Odd(Exception):
        pass

    def fails() -> None:
        error = Odd()
        seen.append(weakref.ref(error))
        raise error

    task = ran(manager, fails, {})
    manager.forget(task)
    gc.collect()
    assert seen[0]() is None
    assert "forgotten" in str(task.error)
    with pytest.raises(TaskError, match="forgotten"):
        task.result()


def test_forgetting_by_id_number_tool_name_and_all() -> None:
    manager = AsyncToolManager()

    @async_tool(manager)
    def load() -> int:
        return 1

    def made(count: int) -> list[Any]:
        tasks = [load() for _ in range(count)]
        for task in tasks:
            task.wait(10)
        settle(manager)
        return tasks

    one, two, *_ = made(5)
    assert manager.forget(one.id) == 1
    assert manager.forget(two.number) == 1
    assert manager.forget("load") == 3
    made(2)
    assert manager.forget(load) == 2
    made(2)
    assert manager.forget("nothing") == manager.forget(999) == 0
    assert manager.forget() == 2
    assert manager.tasks == []
    assert made(1)[0].result() == 1


def test_what_has_not_ended_is_not_forgotten_and_what_was_pending_is_not_told() -> None:
    manager, owner = AsyncToolManager(), Owner("ada")
    waiting = manager.defer("approve")
    pending = ran(manager, lambda: 1, {}, owner=owner)
    assert pending.owed
    assert manager.forget(waiting) == 0
    assert waiting.forget() is False
    assert manager.forget() == 1
    assert not pending.owed
    manager.resolve(waiting, 5)
    assert waiting.result(5) == 5


def test_a_task_that_needs_a_forgotten_result_fails_in_words() -> None:
    manager = AsyncToolManager()
    first = ran(manager, lambda: 1, {})
    first.forget()
    second = manager.start("uses", lambda value: value, {"value": first})
    with pytest.raises(TaskError, match="forgotten"):
        second.result(5)


# Agents


def call(name: str, call_id: str, **arguments: Any) -> ToolUseStreamEvent:
    return ToolUseStreamEvent({}, {"toolUseId": call_id, "name": name, "input": arguments})


async def leaves_a_result(manager: AsyncToolManager, tool: Any, agent_id: str | None) -> weakref.ref[Any]:
    model = FakeModel()
    agent = BidiAgent(model, tools=[tool], agent_id=agent_id)
    await agent.start()
    model.emit(call("late", "c1"))
    async for event in agent.receive():
        if event["type"] == "tool_result":
            break
    await agent.stop()
    return weakref.ref(agent)


@pytest.mark.parametrize("agent_id", [None, "ada"])
async def test_a_stopped_agent_is_not_kept_by_its_pending_results(agent_id: str | None) -> None:
    manager = AsyncToolManager()

    @async_tool(manager, grace_s=0)
    async def late() -> str:
        """Later."""
        await asyncio.sleep(0.05)
        return "the late result"

    refs = [await leaves_a_result(manager, late, agent_id) for _ in range(3)]
    await asyncio.sleep(0.2)
    gc.collect()
    assert [ref() for ref in refs] == [None] * 3
    assert [task.owed for task in manager.tasks] == [True] * 3
    assert {task.owner for task in manager.tasks} == {GoneAgent(agent_id or "default")}
    # An agent of that id is told them; of those without an id nobody knows whether it is the same.
    for other, told in (("bob", 0), (agent_id, 0 if agent_id is None else 3)):
        model = FakeModel()
        async with BidiAgent(model, tools=[late], agent_id=other):
            await asyncio.sleep(1.5)
        texts = " ".join(str(sent.get("text")) for sent in model.sent)
        assert texts.count("the late result") == told


def test_results_for_agents_that_cannot_come_back_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "KEPT", 5)
    manager = AsyncToolManager()
    manager.store._sweep_at = 10
    alive = []
    for number in range(100):
        owner = Owner("default")
        if number % 10 == 0:
            alive.append(owner)
        ran(manager, lambda: 1, {}, owner=owner)
        del owner
    gc.collect()
    assert len(manager.tasks) < 30
    assert sum(task.owner in alive for task in manager.tasks) == 10
