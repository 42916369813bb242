"""Tasks whose value comes from elsewhere."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from backchannel import messages
from backchannel.errors import TaskError, TaskFailedError, TaskRefusedError, TaskTimedOutError
from backchannel.events import ToolResultEvent
from backchannel.tasks import (
    PENDING,
    AsyncTaskResult,
    AsyncTool,
    AsyncToolManager,
    Deferred,
    async_tool,
    current_task,
    progress,
)
from tests.support.manual_timers import ManualTimers

WAIT = 10.0


@pytest.fixture
def manager() -> Iterator[AsyncToolManager]:
    made = AsyncToolManager(max_workers=2)
    yield made
    made.shutdown(cancel=True)


@pytest.fixture
def timers(monkeypatch: pytest.MonkeyPatch) -> ManualTimers:
    return ManualTimers.installed(monkeypatch)


def until_outside(manager: AsyncToolManager, tool: AsyncTool, *arguments: Any) -> Any:
    """Start the tool and wait until its function has returned."""
    task = tool(*arguments)
    manager.start("after it", lambda: None, {}).result(WAIT)
    return task


def test_someone_else_brings_the_value(manager: AsyncToolManager):
    told: list[AsyncTaskResult] = []
    manager.on_complete = told.append
    task = manager.defer("review", {"page": 3}, label="review of page three")
    assert (task.status, task.label, task.started is not None) == ("running", "review of page three", True)
    assert manager.resolve(task.id, {"ok": True})
    assert task.result(WAIT) == {"ok": True}
    assert [(entry.task_id, entry.arguments, entry.result) for entry in told] == [(task.id, {"page": 3}, {"ok": True})]


def test_the_first_to_bring_it_wins(manager: AsyncToolManager):
    task = manager.defer("review")
    assert manager.resolve(task, 1)
    assert not manager.resolve(task, 2)
    assert not manager.fail(task, "late")
    assert task.value == 1


def test_someone_else_says_that_there_is_none(manager: AsyncToolManager):
    said, raised = manager.defer("review"), manager.defer("review")
    assert manager.fail(said.id, "the reviewer is away")
    assert manager.fail(raised.token, LookupError("gone"))
    with pytest.raises(TaskFailedError, match="the reviewer is away"):
        said.result(WAIT)
    assert isinstance(raised.error, LookupError)


def test_the_function_starts_the_work_and_hands_out_its_token(manager: AsyncToolManager):
    sent: list[str] = []

    @async_tool(manager, deferred=True)
    def order(item: str) -> None:
        """Order."""
        task = current_task()
        assert task is not None
        sent.append(task.token)

    task = until_outside(manager, order, "tea")
    assert (task.status, task.life.phase) == ("running", "outside")
    assert len(sent[0]) >= 40
    assert manager.task_by_token(sent[0]) is task
    assert manager.resolve(sent[0], "arrived")
    assert task.result(WAIT) == "arrived"


def test_the_value_may_come_before_the_function_has_returned(manager: AsyncToolManager):
    gate, started = threading.Event(), threading.Event()

    @async_tool(manager, deferred=True)
    def ask() -> Deferred:
        started.set()
        gate.wait(WAIT)
        return Deferred()

    task = ask()
    assert started.wait(WAIT)
    manager.resolve(task, 5)
    assert task.result(WAIT) == 5
    assert manager.admission.running == 1
    assert manager.start("other", lambda: 1, {}).result(WAIT) == 1
    gate.set()


def test_a_token_is_no_id_and_nowhere_to_be_seen(manager: AsyncToolManager):
    task = manager.defer("review")
    token = task.token
    assert manager.task_by_token(task.id) is None
    assert manager.task_by_token(str(task.number)) is None
    assert task.token == token != manager.defer("review").token
    task.log("line")
    seen = f"{task!r} {task} {task.snapshot()} {task.started_fact()} {task.finished_fact()} {task.summary()}"
    assert token not in seen
    json.dumps(task.snapshot())


def test_what_is_not_deferred_cannot_be_resolved(manager: AsyncToolManager):
    gate = threading.Event()
    task = manager.start("wait", lambda: gate.wait(WAIT), {})
    with pytest.raises(TaskError, match="Task 1, wait, is not deferred"):
        manager.resolve(task.id, 1)
    with pytest.raises(TaskError, match="no task with such an id or token"):
        manager.resolve("nothing", 1)
    with pytest.raises(TaskError, match="no task with such an id or token"):
        AsyncToolManager().fail(task, "no")
    gate.set()


def test_a_deferred_function_that_returns_a_value_says_what_is_wrong(manager: AsyncToolManager):
    task = async_tool(manager, deferred=True)(lambda_named())()
    task.wait(WAIT)
    assert "is deferred, but its function returned int instead of Deferred or None" in task.summary()


def lambda_named() -> Any:
    def give() -> int:
        return 3

    return give


def test_it_takes_no_place_while_it_waits():
    manager = AsyncToolManager(max_workers=1, max_running=1, max_queued=0)
    tasks = [manager.defer("review") for _ in range(1000)]
    assert manager.start("f", lambda: 1, {}).result(WAIT) == 1
    for task in tasks:
        manager.resolve(task, task.number)
    manager.shutdown()


def test_the_time_out_and_a_cancel_end_it(timers: ManualTimers):
    manager = AsyncToolManager(clock=timers.clock)
    late, cancelled = manager.defer("review", timeout=60), manager.defer("review", timeout=60)
    cancelled.cancel("enough")
    timers.advance(60)
    with pytest.raises(TaskTimedOutError, match="ran longer than its time-out of 60 seconds"):
        late.result(WAIT)
    assert cancelled.status == "cancelled"
    assert timers.pending == []
    assert not manager.resolve(late, 1)


def test_a_poll_asks_until_there_is_a_value(timers: ManualTimers):
    manager = AsyncToolManager(clock=timers.clock)
    answers: list[Any] = [PENDING, PENDING, None]

    def poll() -> Any:
        progress(3 - len(answers), 3)
        return answers.pop(0)

    task = manager.defer("job", poll=poll, every_s=30)
    timers.advance(30)
    assert (task.status, task.progress.done, timers.pending) == ("running", 0, [30.0])
    timers.advance(30)
    assert task.status == "running"
    timers.advance(30)
    assert (task.status, task.value, timers.pending) == ("done", None, [])


def test_a_poll_may_be_asynchronous(timers: ManualTimers):
    manager = AsyncToolManager(clock=timers.clock)

    async def poll() -> int:
        return 4

    task = manager.defer("job", poll=poll, every_s=1)
    timers.advance(1)
    assert task.value == 4


def test_errors_of_a_poll_in_a_row_are_counted(timers: ManualTimers):
    manager = AsyncToolManager(clock=timers.clock)
    answers: list[Any] = [OSError("1"), OSError("2"), PENDING, OSError("3"), OSError("4"), OSError("no route")]

    def poll() -> Any:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    task = manager.defer("job", poll=poll, every_s=1, retries=2, retry_on=OSError)
    timers.advance(5)
    assert task.status == "running"
    timers.advance(1)
    assert (task.status, task.summary(), answers) == ("failed", "OSError: no route", [])


def test_nobody_is_asked_after_the_end(timers: ManualTimers):
    manager = AsyncToolManager(clock=timers.clock)
    asked: list[int] = []
    task = manager.defer("job", poll=lambda: asked.append(1), every_s=1)
    task.cancel()
    timers.advance(10)
    assert asked == []
    assert timers.pending == []


def test_a_function_may_return_how_to_ask(timers: ManualTimers):
    manager = AsyncToolManager(clock=timers.clock)
    tool = async_tool(manager)(lambda_deferred)
    task = tool()
    timers.wait_made(1)
    timers.advance(2)
    assert task.result(WAIT) == "asked"
    manager.shutdown()


def lambda_deferred() -> Deferred:
    return Deferred(lambda: "asked", every_s=2)


async def test_a_models_call_is_acknowledged_and_its_value_owed(manager: AsyncToolManager):
    tool = async_tool(manager, deferred=True, grace_s=0)(lambda_none)
    use: messages.ToolUse = {"toolUseId": "c1", "name": tool.tool_name, "input": {}}
    (event,) = [event async for event in tool.stream(use, {"agent": None})]
    assert isinstance(event, ToolResultEvent)
    (task,) = manager.tasks
    assert event.task == task.started_fact()
    manager.resolve(task, "there")
    assert await task == "there"
    assert not task.delivered


def lambda_none() -> None:
    """Start something."""


def test_leaving_does_not_wait_for_what_only_others_can_end():
    with AsyncToolManager() as manager:
        task = manager.defer("review")
        done = manager.start("f", lambda: 1, {})
    assert (done.status, task.status) == ("done", "running")
    assert manager.resolve(task, 1)
    with pytest.raises(TaskRefusedError, match="review was not started: its AsyncToolManager is shut down"):
        manager.defer("review")


@pytest.mark.parametrize("every_s", [0, -1, float("nan"), float("inf")])
def test_a_pause_between_polls_must_be_one(every_s: float):
    with pytest.raises(ValueError, match="every_s must be more than 0 seconds"):
        Deferred(lambda: 1, every_s=every_s)


def test_a_poll_must_be_callable():
    with pytest.raises(TypeError, match="poll must be a function, not int"):
        Deferred(3)  # type: ignore[arg-type]


def test_the_interpreter_ends_while_values_are_awaited_and_attempts_paused():
    code = (
        "import threading\n"
        "from backchannel.tasks import AsyncToolManager, PENDING\n"
        "manager = AsyncToolManager(max_workers=1)\n"
        "paused = threading.Event()\n"
        "manager.subscribe(lambda task, kind: paused.set(), kinds=['logged'])\n"
        "manager.defer('review', poll=lambda: PENDING, every_s=0.001)\n"
        "manager.defer('review')\n"
        "manager.start('fail', lambda: 1 / 0, {}, retries=9, backoff_s=60)\n"
        "manager.start('next', print, {}, after=1)\n"
        "paused.wait()\n"
        "print('bye')\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "bye\n", "")
