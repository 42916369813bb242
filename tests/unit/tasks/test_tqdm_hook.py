"""Bars of tqdm within tasks."""

from __future__ import annotations

import io
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import tqdm
import tqdm.auto
import tqdm.notebook
import tqdm.std

from backchannel.errors import TaskCancelledError
from backchannel.tasks import AsyncToolManager, Task, track
from backchannel.tasks.capture import inside
from backchannel.tasks.lifecycle import CancelRequested, Life, step

KINDS = [tqdm.tqdm, tqdm.auto.tqdm, tqdm.notebook.tqdm]


@pytest.fixture
def task() -> Task:
    return Task(AsyncToolManager(), "0000abcd", 1, "work", {}, Life(0.0, "running", 0.0))


@pytest.mark.parametrize("kind", KINDS)
def test_a_bar_drives_the_tasks_bar_and_shows_nothing_itself(
    kind: Any, task: Task, capsys: pytest.CaptureFixture[str]
) -> None:
    seen = []
    with inside(task):
        for number in kind(range(4), desc="epochs", mininterval=0):
            seen.append((number, *task.progress[:4]))
    assert seen == [(done, done, 4, "epochs", done / 4) for done in range(4)]
    assert task.progress[:4] == (4, 4, "epochs", 1.0)
    assert task.logs == []
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("kind", KINDS)
def test_a_bar_that_is_moved_by_hand(kind: Any, task: Task) -> None:
    with inside(task):
        with kind(total=100, mininterval=0, unit="B") as bar:
            bar.update(30)
            assert task.progress[:2] == (30, 100)
            bar.set_postfix(loss=0.5)
            bar.set_description("fit")
            assert task.progress.message == "fit, loss=0.5"
            bar.reset(total=10)
            bar.update(5)
            assert task.progress[:2] == (5, 10)
            bar.clear()
            bar.refresh()
        assert kind(total=3, disable=True).update(1) is None
        assert task.progress[:2] == (5, 10)
        bar.close()


def test_a_bar_without_a_total(task: Task) -> None:
    with inside(task):
        for _ in tqdm.tqdm(iter("abc"), mininterval=0):
            pass
    assert task.progress[:4] == (3, None, "", None)


def test_an_inner_bar_is_the_message_and_the_next_bar_is_the_tasks(task: Task) -> None:
    seen = []
    with inside(task):
        for _ in tqdm.trange(2, desc="epochs", mininterval=0):
            for _ in tqdm.tqdm("ab", desc="batches", leave=False, mininterval=0):
                seen.append((task.progress.done, task.progress.message))
        for _ in tqdm.tqdm([1], desc="tests"):
            seen.append((task.progress.done, task.progress.message))
    once = ["epochs, batches 0/2", "epochs, batches 1/2"]
    assert seen == [*((done, message) for done in (0, 1) for message in once), (0, "tests")]


def test_bars_and_tracks_nest(task: Task) -> None:
    seen = []
    with inside(task):
        for _ in track(range(1), "folds"):
            for _ in tqdm.tqdm("ab", desc="rows", mininterval=0):
                seen.append(task.progress.message)
    assert seen == ["folds, rows 0/2", "folds, rows 1/2"]


def test_a_cancelled_task_ends_at_its_bar(task: Task) -> None:
    done = []

    def body() -> None:
        for number in tqdm.tqdm(range(10), mininterval=0):
            done.append(number)
            if number == 2:
                task.life, _ = step(task.life, CancelRequested(1.0))

    with inside(task), pytest.raises(TaskCancelledError):
        body()
    assert done == [0, 1, 2]
    free: list[bool] = []

    def ask() -> None:
        lock = tqdm.std.TqdmDefaultWriteLock.th_lock
        free.append(lock.acquire(blocking=False))
        if free[0]:
            lock.release()

    thread = threading.Thread(target=ask)
    thread.start()
    thread.join(10)
    assert free == [True]


def test_a_subclass_keeps_what_it_adds(task: Task) -> None:
    class UpTo(tqdm.tqdm):  # type: ignore[type-arg]
        def __init__(self, total: int) -> None:
            super().__init__(total=total, mininterval=0)

        def up_to(self, block: int, size: int) -> Any:
            return self.update(block * size - self.n)

    with inside(task):
        bar = UpTo(100)
        bar.up_to(3, 10)
        assert isinstance(bar, UpTo)
        assert type(bar).__name__ == "UpTo"
        assert task.progress[:2] == (30, 100)
        bar.close()


def test_bars_elsewhere_stay_as_they_are(task: Task) -> None:
    before = tqdm.std.tqdm.__new__
    file = io.StringIO()
    made: list[Any] = []
    may, did = threading.Event(), threading.Event()

    def elsewhere() -> None:
        may.wait(10)
        made.append(tqdm.tqdm(range(2), file=file, desc="theirs"))
        list(made[0])
        did.set()

    thread = threading.Thread(target=elsewhere)
    thread.start()
    with inside(task):
        mine = tqdm.tqdm(total=5)
        may.set()
        assert did.wait(10)
        mine.close()
    thread.join(10)
    assert type(made[0]) is tqdm.tqdm
    assert "theirs: 100%" in file.getvalue()
    assert made[0].pos == 0
    assert tqdm.std.tqdm.__new__ is before
    assert type(tqdm.tqdm(total=1, file=file)) is tqdm.tqdm


def test_a_bar_made_before_the_task_is_left_alone(task: Task) -> None:
    file = io.StringIO()
    bar = tqdm.tqdm(range(2), file=file)
    with inside(task):
        list(bar)
    assert task.progress.done is None
    assert "2/2" in file.getvalue()


def test_a_disabled_bar_leaves_the_tasks_bar_free(task: Task) -> None:
    with inside(task):
        quiet = tqdm.tqdm(range(2), disable=True)
        assert list(quiet) == [0, 1]
        list(track("abc", "letters"))
    assert task.progress[:3] == (3, 3, "letters")


def test_disable_none_means_shown_in_a_task(task: Task) -> None:
    with inside(task):
        list(tqdm.tqdm(range(3), disable=None))
    assert task.progress[:2] == (3, 3)


def test_messages_that_tqdm_writes_go_to_the_log(task: Task) -> None:
    with inside(task):
        for number in tqdm.tqdm(range(2)):
            tqdm.tqdm.write(f"number {number}")
    assert task.logs == ["number 0", "number 1"]


def test_bars_in_threads_of_the_body_count(task: Task) -> None:
    with inside(task):
        thread = threading.Thread(target=lambda: list(tqdm.tqdm(range(3))))
        thread.start()
        thread.join(10)
    assert task.progress[:2] == (3, 3)


@pytest.fixture
def fresh() -> Iterator[Any]:
    def run(code: str) -> str:
        return subprocess.run(
            [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True, timeout=60
        ).stdout

    return run


def test_a_body_that_is_the_first_to_import_tqdm(fresh: Any) -> None:
    assert (
        fresh("""
        import sys
        from backchannel.tasks import AsyncToolManager

        def body():
            from tqdm.auto import tqdm
            list(tqdm(range(7), desc="rows"))

        assert "tqdm" not in sys.modules
        with AsyncToolManager() as manager:
            task = manager.start("work", body, {})
        print(task.status, task.progress[:3], task.logs)
        from tqdm import tqdm
        print(type(tqdm(total=1, disable=True)) is tqdm)
    """)
        == "done (7, 7, 'rows') []\nTrue\n"
    )


def test_without_tqdm_nothing_is_imported(fresh: Any) -> None:
    assert (
        fresh("""
        import sys
        from backchannel.tasks import AsyncToolManager
        with AsyncToolManager() as manager:
            manager.start("work", print, {})
        print("tqdm" in sys.modules)
    """)
        == "False\n"
    )
