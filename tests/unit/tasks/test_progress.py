"""How a body says how far it is."""

from __future__ import annotations

import contextvars
import json
import math
import threading
from collections.abc import AsyncIterator, Callable
from fractions import Fraction
from typing import Any

import pytest

from backchannel.errors import TaskCancelledError
from backchannel.tasks import AsyncToolManager, Task, cancelled, current_task, progress, track
from backchannel.tasks.lifecycle import Life
from backchannel.tasks.progress import Progress, running_task


class Clock:
    """Seconds that pass when they are told to."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def task(clock: Clock) -> Task:
    """A running task, without a body: the test is the body."""
    manager = AsyncToolManager(clock=clock)
    return Task(manager, "0000abcd", 1, "research", {"topic": "wind"}, Life(0.0, "running", 0.0))


@pytest.fixture
def inside(task: Task) -> Callable[[Callable[[], Any]], Any]:
    """Runs a function as the task's body."""

    def run(body: Callable[[], Any]) -> Any:
        def set_and_run() -> Any:
            running_task.set(task)
            return body()

        return contextvars.copy_context().run(set_and_run)

    return run


def test_outside_of_a_task_all_of_it_is_harmless() -> None:
    assert current_task() is None
    assert not cancelled()
    progress(1, 2, "three")
    assert list(track([1, 2], "numbers")) == [1, 2]
    assert len(track([1, 2])) == 2


async def test_outside_of_a_task_an_asynchronous_track_is_harmless() -> None:
    async def numbers() -> AsyncIterator[int]:
        yield 1
        yield 2

    assert [number async for number in track(numbers())] == [1, 2]


def test_track_reports_each_step(task: Task, inside: Any) -> None:
    seen = []

    def body() -> None:
        for epoch in track(range(4), "epochs"):
            seen.append((epoch, *task.progress[:4]))

    inside(body)
    assert seen == [(done, done, 4, "epochs", done / 4) for done in range(4)]
    assert task.progress[:4] == (4, 4, "epochs", 1.0)


def test_track_without_a_length_reports_no_total(task: Task, inside: Any) -> None:
    inside(lambda: list(track(iter("abc"), "letters")))
    assert task.progress == (3, None, "letters", None, None)


def test_track_takes_a_total_for_what_has_no_length(task: Task, inside: Any) -> None:
    inside(lambda: list(track(iter("abc"), total=6)))
    assert task.progress.fraction == 0.5


def test_an_asynchronous_iterable_is_tracked_too(task: Task, inside: Any) -> None:
    async def letters() -> AsyncIterator[str]:
        for letter in "abc":
            yield letter

    async def body() -> list[str]:
        return [letter async for letter in track(letters(), "letters", total=3)]

    coroutine = inside(lambda: contextvars.copy_context().run(body))
    with pytest.raises(StopIteration) as ended:
        inside(lambda: coroutine.send(None))
    assert ended.value.value == ["a", "b", "c"]
    assert task.progress.fraction == 1.0


def test_an_inner_track_shows_as_a_message_and_the_outer_drives_the_bar(task: Task, inside: Any) -> None:
    seen = []

    def body() -> None:
        for _ in track(range(2), "epochs"):
            for _ in track("ab", "batches"):
                seen.append((task.progress.done, task.progress.message))
            seen.append((task.progress.done, task.progress.message))

    inside(body)
    once = ["epochs, batches 0/2", "epochs, batches 1/2", "epochs"]
    assert seen == [(done, message) for done in (0, 1) for message in once]


def test_the_next_track_starts_a_new_bar(task: Task, inside: Any) -> None:
    inside(lambda: (list(track(range(5), "first")), list(track(range(2), "second"))))
    assert task.progress[:3] == (2, 2, "second")


def test_a_track_that_is_left_early_makes_way_for_the_next(task: Task, inside: Any) -> None:
    def body() -> None:
        for _ in track(range(5), "first"):
            break
        list(track(range(2), "second"))

    inside(body)
    assert task.progress[:3] == (2, 2, "second")


def test_the_newest_report_wins_and_what_is_left_out_stays(task: Task, inside: Any) -> None:
    inside(lambda: progress(1, 10, "loading"))
    assert task.progress[:4] == (1, 10, "loading", 0.1)
    inside(lambda: progress(2))
    assert task.progress[:4] == (2, 10, "loading", 0.2)
    inside(lambda: progress(message="saving"))
    assert task.progress[:4] == (2, 10, "saving", 0.2)


def test_numbers_that_are_none_are_no_progress(task: Task, inside: Any) -> None:
    inside(lambda: progress(float("nan"), float("inf")))
    assert task.progress == (None, None, "", None, None)


def test_progress_beyond_the_total_is_all_of_it(task: Task, inside: Any) -> None:
    inside(lambda: progress(12, 10))
    assert task.progress.fraction == 1.0


def test_time_left_comes_from_the_pace(task: Task, inside: Any, clock: Clock) -> None:
    for step in range(5):
        clock.now = step * 2.0
        inside(lambda step=step: progress(step, 20))
    assert task.progress.eta_s == pytest.approx(32)
    clock.now += 1
    assert task.progress.eta_s == pytest.approx(31)


def test_track_ends_the_body_at_the_next_step_after_a_cancel(task: Task, inside: Any) -> None:
    steps = []

    def body() -> None:
        for step in track(range(10)):
            steps.append(step)
            assert not cancelled()
            task.cancel()
            assert cancelled()

    with pytest.raises(TaskCancelledError, match="research wind"):
        inside(body)
    assert steps == [0]


def test_reports_after_the_end_change_nothing(task: Task, inside: Any) -> None:
    inside(lambda: progress(1, 2))
    task.cancel()
    inside(lambda: progress(2, 2, "late"))
    assert task.progress[:3] == (1, 2, "")


def test_a_thread_without_the_tasks_context_knows_no_task(task: Task, inside: Any) -> None:
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(current_task()))
    inside(thread.start)
    thread.join(10)
    assert found == [None]
    assert inside(current_task) is task


HUGE = 10**5000


@pytest.mark.parametrize("total", [2**64, 2**70, HUGE, Fraction(HUGE, 3), -HUGE], ids=type)
def test_a_number_that_a_bar_cannot_hold_is_bounded(task: Task, clock: Clock, inside: Any, total: Any) -> None:
    def body() -> None:
        for _ in track(range(3), total=total):
            clock.now += 1
            json.dumps(task.snapshot(), allow_nan=False)
            msgpack_fits(task.progress)

    inside(body)
    task.report(HUGE, total, None)
    msgpack_fits(task.progress)
    assert json.dumps(task.snapshot(), allow_nan=False)


def msgpack_fits(progress: Progress) -> None:
    for number in progress[:2]:
        assert isinstance(number, float) or number is None or -(2**63) < number < 2**63
        assert number is None or math.isfinite(number)


@pytest.mark.parametrize("told", [lambda: progress(1, HUGE, "x"), lambda: progress(float("inf"), float("nan"), "x")])
def test_a_number_that_is_none_is_left_out(task: Task, inside: Any, told: Any) -> None:
    inside(told)
    assert task.progress.message == "x"
    assert json.dumps(task.snapshot(), allow_nan=False)


def test_text_of_a_body_can_always_be_encoded(task: Task, inside: Any) -> None:
    inside(lambda: progress(1, 2, "half \ud83d"))
    task.log("caf\udce9.csv")
    assert task.progress.message == "half �"
    assert task.logs == ["caf�.csv"]
    inside(lambda: list(track([1], "caf\udce9")))
    json.dumps(task.snapshot(), ensure_ascii=False).encode()
