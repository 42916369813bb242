"""One task: what it shows and what it says."""

from __future__ import annotations

import asyncio
import json
import threading
from pathlib import Path
from typing import Any

import pytest

from backchannel.errors import TaskCancelledError, TaskFailedError
from backchannel.events import TaskFinished, TaskStarted
from backchannel.tasks import AsyncToolManager, Task
from backchannel.tasks.lifecycle import Life
from backchannel.tasks.reporting import LOG_LINES

WAIT = 10.0
GOLDEN = json.loads((Path(__file__).parents[2] / "golden" / "wire.json").read_text())


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def finished(function: Any, **arguments: Any) -> Task:
    with AsyncToolManager() as manager:
        return manager.start("research", function, arguments)


def golden_row() -> dict[str, Any]:
    (rows,) = (message for message in GOLDEN["to_page"] if message["k"] == "rows")
    row: dict[str, Any] = rows["rows"][0]
    return row


def test_its_row_is_the_one_of_the_golden_message() -> None:
    wanted, clock = golden_row(), Clock()
    task = Task(
        AsyncToolManager(clock=clock),
        wanted["id"],
        1,
        "research",
        {"topic": "solar power"},
        Life(100.0, "running", 100.0),
    )
    for step in range(8):
        clock.now = 100 + step * 6.7 / 7
        task.report(step, 20, "epochs")
    row = task.snapshot()
    for added in ("note", "waits", "again"):  # by the notebook, which knows what can be run again
        wanted.pop(added, None)
    assert list(row) == list(wanted)
    assert {**row, "eta_s": None} == {**wanted, "eta_s": None}
    assert row["eta_s"] == pytest.approx(13 * 6.7 / 7, abs=0.1)
    assert json.loads(json.dumps(row)) == row


def test_the_row_of_a_finished_task_has_its_text() -> None:
    row = finished(lambda topic: {"found": topic}, topic="wind").snapshot()
    assert (row["status"], row["text"], row["error"]) == ("done", '{"found": "wind"}', "")
    assert row["fraction"] == 1.0
    assert row["label"] == "research wind"


def test_the_row_of_a_failed_task_has_its_error_and_stays_where_it_died() -> None:
    def body() -> None:
        from backchannel.tasks import progress

        progress(1, 4)
        raise ValueError("bad dataset")

    row = finished(body).snapshot()
    assert (row["status"], row["text"], row["error"]) == ("failed", "", "ValueError: bad dataset")
    assert row["fraction"] == 0.25
    assert row["eta_s"] is None


def test_large_values_are_bounded_everywhere() -> None:
    task = finished(lambda: "x" * 5_000_000)
    assert len(task.snapshot()["text"]) <= 500
    assert len(task.summary()) <= 4000
    assert len(task.finished_fact().text) <= 4000
    assert len(task.value) == 5_000_000


def test_the_acknowledgement_begins_with_a_sentence_and_names_the_task() -> None:
    task = finished(lambda topic: None, topic="solar power")
    said = str(task)
    assert said.startswith("Started research solar power. ")
    for part in (f"task {task.number}", task.id, "tool research", '{"topic": "solar power"}', "Do not make it up"):
        assert part in said
    assert repr(task) == f"<Task 1 {task.id}: research solar power, done>"


def test_its_facts_carry_what_a_conversation_needs() -> None:
    task = finished(lambda topic: "sunny", topic="weather")
    assert task.started_fact() == TaskStarted(task.id, 1, "research", {"topic": "weather"})
    assert task.finished_fact() == TaskFinished(
        task.id, 1, "research", {"topic": "weather"}, "done", "sunny", task.elapsed, "when_free"
    )


def test_a_failure_is_raised_from_what_the_function_raised() -> None:
    task = finished(lambda: {}["key"])  # type: ignore[index]
    for _ in range(2):
        with pytest.raises(TaskFailedError, match=r"Task 1, research, failed: KeyError") as caught:
            task.result()
        assert isinstance(caught.value.__cause__, KeyError)
    assert task.summary() == "KeyError: 'key'"


@pytest.mark.parametrize(
    ("reason", "says"),
    [
        ("", "It was cancelled."),
        ("cancelled by the user", "It was cancelled by the user."),
        ("too slow", "It was cancelled: too slow."),
    ],
)
def test_a_cancelled_task_says_why(reason: str, says: str) -> None:
    manager, gate = AsyncToolManager(), threading.Event()
    task = manager.start("wait", gate.wait, {"timeout": WAIT})
    task.cancel(reason)
    gate.set()
    assert task.summary() == says
    assert task.snapshot()["text"] == says
    assert isinstance(task.error, TaskCancelledError)
    assert task.finished_fact().status == "cancelled"


def test_a_result_that_is_waited_for_too_briefly_is_no_failure() -> None:
    manager, gate = AsyncToolManager(), threading.Event()
    task = manager.start("wait", gate.wait, {"timeout": WAIT})
    with pytest.raises(TimeoutError, match="it goes on"):
        task.result(timeout=0.01)
    assert not task.wait(0.01)
    gate.set()
    assert task.result(WAIT) is True
    assert task.wait(0)


def test_the_log_keeps_its_newest_lines_and_bounds_each() -> None:
    task = Task(AsyncToolManager(), "0000abcd", 1, "f", {}, Life(0.0, "running", 0.0))
    for line in range(LOG_LINES + 5):
        task.log(str(line))
    task.log("x" * 10_000)
    assert len(task.logs) == LOG_LINES
    assert task.logs[0] == "6"
    assert len(task.logs[-1]) <= 500
    assert task.snapshot()["logs"] == task.logs[-20:]


def test_callbacks_are_called_once_at_the_end_or_at_once_after_it() -> None:
    manager, gate, called = AsyncToolManager(), threading.Event(), []
    task = manager.start("wait", gate.wait, {"timeout": WAIT})
    removed = lambda: called.append("removed")  # noqa: E731
    task.add_done_callback(lambda: called.append("first"))
    task.add_done_callback(removed)
    task.remove_done_callback(removed)
    gate.set()
    manager.shutdown()
    task.add_done_callback(lambda: called.append("second"))
    assert called == ["first", "second"]


def test_what_ends_before_it_is_acknowledged_counts_as_delivered() -> None:
    manager = AsyncToolManager()
    seen: list[bool] = []
    manager.subscribe(lambda task, kind: seen.append(task.delivered), kinds=["finished"])
    quick = manager.start("quick", lambda: 1, {}, acknowledging=True)
    quick.result(WAIT)
    assert not quick.acknowledge()
    gate = threading.Event()
    slow = manager.start("slow", gate.wait, {"timeout": WAIT}, acknowledging=True)
    assert slow.acknowledge()
    gate.set()
    manager.shutdown()
    assert (quick.delivered, slow.delivered) == (True, False)
    assert seen == [True, False]


async def test_tasks_can_be_awaited_together() -> None:
    manager = AsyncToolManager()

    async def double(n: int) -> int:
        await asyncio.sleep(0)
        return 2 * n

    async def value(task: Task) -> Any:
        return await task

    tasks = [manager.start("double", double, {"n": n}) for n in range(5)]
    assert await asyncio.gather(*(value(task) for task in tasks)) == [0, 2, 4, 6, 8]


async def test_many_waiters_all_get_the_error() -> None:
    manager, gate = AsyncToolManager(), threading.Event()

    def fail() -> None:
        gate.wait(WAIT)
        raise ValueError("bad")

    task = manager.start("fail", fail, {})

    async def wait() -> str:
        try:
            await task
        except TaskFailedError as error:
            return str(error)
        return ""

    waiters = [asyncio.create_task(wait()) for _ in range(3)]
    await asyncio.sleep(0)
    gate.set()
    assert await asyncio.gather(*waiters) == ["Task 1, fail, failed: ValueError: bad."] * 3
