"""The tool through which a model looks after tasks."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from backchannel.tasks import AsyncToolManager, Task, background_tasks_tool
from backchannel.tools import run_tool

WAIT = 10.0


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class Scene:
    """Tasks that run until they are let go, on a clock that stands still."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.manager = AsyncToolManager(max_workers=2, clock=self.clock)
        self.tool = background_tasks_tool(lambda: [self.manager])
        self.gates: list[threading.Event] = []

    def start(self, topic: str) -> tuple[Task, threading.Event]:
        gate, started = threading.Event(), threading.Event()
        self.gates.append(gate)

        def body(topic: str) -> str:
            started.set()
            gate.wait(WAIT)
            return f"{topic} is fine"

        task = self.manager.start("research", body, {"topic": topic})
        if task.number <= 2:
            assert started.wait(WAIT)
        return task, gate

    async def ask(self, **arguments: Any) -> str:
        use: Any = {"toolUseId": "c1", "name": "background_tasks", "input": arguments}
        (event,) = [event async for event in run_tool(self.tool, use, {})]
        text: str = event["tool_result"]["content"][0]["text"]
        return text


@pytest.fixture
def scene() -> Iterator[Scene]:
    made = Scene()
    yield made
    for gate in made.gates:
        gate.set()
    made.manager.shutdown()


async def test_nothing_runs(scene: Scene) -> None:
    assert await scene.ask(action="list") == "No tasks are running."
    assert await scene.ask() == "No tasks are running."
    assert await scene.ask(action="look") == "No tasks are running."
    assert await scene.ask(action="cancel") == "No tasks are running, so there is nothing to cancel."


async def test_one_task_is_told_with_share_and_time_left(scene: Scene) -> None:
    task, _ = scene.start("solar power")
    assert await scene.ask(action="look") == "Task 1, research solar power: running for less than a second."
    for step in range(8):
        scene.clock.now = step * 2.0
        task.report(step, 20, None)
    for arguments in ({"action": "look"}, {"action": "list"}, {"action": "look", "task": 1}):
        assert await scene.ask(**arguments) == "Task 1, research solar power: 35 percent, 26 seconds left."


async def test_progress_without_a_total_is_told_as_a_count(scene: Scene) -> None:
    task, _ = scene.start("wind")
    scene.clock.now = 5.0
    task.report(7, None, "pages")
    assert await scene.ask(action="look") == "Task 1, research wind: 7 pages so far, running for 5 seconds."


async def test_several_are_told_one_after_the_other_with_what_has_ended(scene: Scene) -> None:
    _, first = scene.start("wind")
    scene.start("rain")
    scene.clock.now = 3.0
    done = scene.manager.tasks[0]
    first.set()
    assert done.wait(WAIT)
    waiting, _ = scene.start("snow")
    fourth, _ = scene.start("hail")
    assert waiting.number == 3
    assert await scene.ask(action="look", task=fourth.id) == "Task 4, research hail: waiting for its turn."
    said = await scene.ask(action="list")
    assert said.startswith("Task 2, research rain: running for 3 seconds.")
    assert said.endswith("Task 1, research wind, is done after 3 seconds: wind is fine.")


async def test_the_last_result_is_looked_at_when_nothing_runs(scene: Scene) -> None:
    task, gate = scene.start("wind")
    gate.set()
    assert task.wait(WAIT)
    assert await scene.ask(action="look") == "Task 1, research wind, is done after less than a second: wind is fine."


@pytest.mark.parametrize("which", [2, "2", "two", "task two", "number 2", "Task 2", "rain", "Research Rain"])
async def test_a_task_is_meant_by_number_word_or_name(scene: Scene, which: int | str) -> None:
    scene.start("wind")
    task, _ = scene.start("rain")
    assert await scene.ask(action="cancel", task=which) == "Cancelled task 2, research rain."
    assert task.status == "cancelled"
    assert task.summary() == "It was cancelled on request."


async def test_a_task_is_meant_by_its_id(scene: Scene) -> None:
    task, _ = scene.start("wind")
    assert await scene.ask(action="cancel", task=task.id) == "Cancelled task 1, research wind."


async def test_the_only_running_task_need_not_be_named(scene: Scene) -> None:
    scene.start("wind")
    assert await scene.ask(action="cancel") == "Cancelled task 1, research wind."


async def test_it_asks_which_one_where_several_may_be_meant(scene: Scene) -> None:
    scene.start("wind")
    scene.start("rain")
    which = "Which one? task 1, research wind; task 2, research rain."
    assert await scene.ask(action="cancel") == which
    assert await scene.ask(action="cancel", task="research") == which
    assert [task.status for task in scene.manager.tasks] == ["running", "running"]


async def test_all_can_be_cancelled_at_once(scene: Scene) -> None:
    scene.start("wind")
    scene.start("rain")
    said = await scene.ask(action="cancel", task="all")
    assert said == "Cancelled task 1, research wind. Cancelled task 2, research rain."
    assert await scene.ask(action="cancel", task="all") == "No tasks are running, so there is nothing to cancel."


async def test_what_has_ended_cannot_be_cancelled(scene: Scene) -> None:
    task, gate = scene.start("wind")
    gate.set()
    assert task.wait(WAIT)
    said = await scene.ask(action="cancel", task=1)
    assert said == "Nothing to cancel: Task 1, research wind, is done after less than a second."


async def test_an_unknown_task_is_answered_with_those_there_are(scene: Scene) -> None:
    assert await scene.ask(action="look", task=9) == "There is no task 9. No tasks are running."
    scene.start("wind")
    assert await scene.ask(action="cancel", task="nine") == "There is no task nine. Running are: task 1, research wind."


async def test_an_action_that_does_not_exist_is_said_in_the_schemas_words(scene: Scene) -> None:
    assert 'action: expected one of "list", "look", "cancel", got "stop"' in await scene.ask(action="stop")


async def test_tasks_of_two_managers_with_one_number_are_told_apart_by_their_ids(scene: Scene):
    other = Scene()
    tool = background_tasks_tool(lambda: [scene.manager, other.manager])
    scene.tool = tool
    first, gate = scene.start("solar power")
    second, other_gate = other.start("wind energy")
    answer = await scene.ask(action="cancel", task=1)
    assert answer == (
        f"Which one? task 1, research solar power, id {first.id}; task 1, research wind energy, id {second.id}."
    )
    assert await scene.ask(action="cancel", task=second.id) == "Cancelled task 1, research wind energy."
    assert not first.done()
    gate.set()
    other_gate.set()
    other.manager.shutdown()


async def test_whoever_listens_sees_that_a_cancelled_task_was_told(scene: Scene):
    seen: list[bool] = []
    scene.manager.subscribe(lambda task, _: seen.append(task.delivered), ("finished",))
    scene.start("solar power")
    await scene.ask(action="cancel", task=1)
    assert seen == [True]


async def test_a_task_that_ends_as_it_is_to_be_cancelled_is_told_in_the_answer(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
):
    task, gate = scene.start("solar power")
    cancel = Task.cancel

    def late(self: Task, reason: str = "") -> bool:
        gate.set()
        assert self.wait(WAIT)
        return cancel(self, reason)

    monkeypatch.setattr(Task, "cancel", late)
    assert await scene.ask(action="cancel", task=1) == (
        "Nothing to cancel: Task 1, research solar power, is done after less than a second: solar power is fine."
    )
    assert task.delivered
