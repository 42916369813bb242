"""What a body prints and logs."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import contextvars
import gc
import io
import logging
import sys
import threading
import warnings
import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from backchannel.tasks import AsyncToolManager, Task, current_task
from backchannel.tasks.capture import inside
from backchannel.tasks.lifecycle import Life


@pytest.fixture
def manager() -> Iterator[AsyncToolManager]:
    with AsyncToolManager() as manager:
        yield manager


def run(manager: AsyncToolManager, body: Callable[[], Any]) -> Task:
    task = manager.start("work", body, {})
    assert task.wait(10)
    return task


def bare_task(number: int = 1) -> Task:
    return Task(AsyncToolManager(), f"{number:08x}", number, "work", {}, Life(0.0, "running", 0.0))


def test_what_a_body_prints_goes_to_its_log(manager: AsyncToolManager, capsys: pytest.CaptureFixture[str]) -> None:
    def body() -> None:
        print("one", 2)
        print("three", file=sys.stderr)
        print("no end", end="")

    assert run(manager, body).logs == ["one 2", "three", "no end"]
    assert capsys.readouterr() == ("", "")


async def test_a_coroutine_and_what_it_starts_prints_to_its_log(capsys: pytest.CaptureFixture[str]) -> None:
    manager = AsyncToolManager()
    met = asyncio.Event()

    async def body(name: str) -> str:
        print(name, "begins")
        if name == "b":
            met.set()
        await met.wait()
        await asyncio.gather(asyncio.to_thread(print, name, "in a thread"))
        print(name, "ends")
        return name

    tasks = [manager.start("work", body, {"name": name}) for name in "ab"]
    print("the caller's")
    assert [await task for task in tasks] == ["a", "b"]
    for name, task in zip("ab", tasks, strict=True):
        assert task.logs == [f"{name} begins", f"{name} in a thread", f"{name} ends"]
    assert capsys.readouterr().out == "the caller's\n"


def test_generators_print_to_their_log(manager: AsyncToolManager) -> None:
    def body() -> Iterator[str]:
        print("printed")
        yield "yielded"

    assert run(manager, body).logs == ["printed", "yielded"]


async def test_asynchronous_generators_print_to_their_log() -> None:
    async def body() -> AsyncIterator[str]:
        print("printed")
        yield "yielded"

    task = AsyncToolManager().start("work", body, {})
    await task
    assert task.logs == ["printed", "yielded"]


def test_what_was_replaced_is_restored(manager: AsyncToolManager) -> None:
    def places() -> list[Any]:
        pool = concurrent.futures.ThreadPoolExecutor
        return [
            sys.stdout,
            sys.stderr,
            threading.Thread.start,
            pool.submit,
            logging.Logger.callHandlers,
            *sys.meta_path,
        ]

    before = places()
    seen: list[list[Any]] = []

    def body() -> None:
        seen.append(places())
        raise LookupError("no")

    assert run(manager, body).status == "failed"
    manager.shutdown()
    assert places() == before
    assert seen[0][:5] != before[:5]


def test_two_bodies_overlapping_restore_it_once() -> None:
    before = sys.stdout
    first, second = inside(bare_task(1)), inside(bare_task(2))
    with contextlib.ExitStack() as stack:
        stack.enter_context(first)
        with second:
            pass
        assert sys.stdout is not before
    assert sys.stdout is before


def test_others_print_where_they_did_while_a_body_runs(capsys: pytest.CaptureFixture[str]) -> None:
    task = bare_task()
    printed = threading.Event()

    def other() -> None:
        printed_by = threading.Thread(target=print, args=("from elsewhere",))
        printed_by.start()
        printed_by.join(10)
        printed.set()

    elsewhere = threading.Thread(target=lambda: (may_print.wait(10), other()))
    may_print = threading.Event()
    elsewhere.start()
    with inside(task):
        may_print.set()
        assert printed.wait(10)
        print("mine")
    elsewhere.join(10)
    assert task.logs == ["mine"]
    assert capsys.readouterr().out == "from elsewhere\n"


def test_redirected_output_of_a_cell_stays_redirected() -> None:
    with contextlib.redirect_stdout(io.StringIO()) as before:
        with inside(task := bare_task()):
            with contextlib.redirect_stdout(io.StringIO()) as within:
                print("redirected by the body")
            print("mine")
        print("the cell's")
    assert (before.getvalue(), within.getvalue(), task.logs) == ("the cell's\n", "redirected by the body\n", ["mine"])


def test_a_stream_that_replaced_ours_is_not_lost() -> None:
    before, theirs = sys.stdout, io.StringIO()
    try:
        with inside(bare_task()):
            sys.stdout = theirs
        assert sys.stdout is theirs
    finally:
        sys.stdout = before


def test_a_print_that_is_under_way_when_the_last_body_ends_comes_through(monkeypatch: pytest.MonkeyPatch) -> None:
    body = inside(bare_task())

    class Slow(io.StringIO):
        def write(self, text: str) -> int:
            if text == "one":
                body.__exit__(None, None, None)
            return super().write(text)

    slow = Slow()
    monkeypatch.setattr(sys, "stdout", slow)
    contextvars.copy_context().run(body.__enter__)
    # Between its words print() holds no reference to the stream: without one elsewhere this ends the interpreter.
    print("one", "two")
    assert slow.getvalue() == "one two\n"
    assert sys.stdout is slow


def test_streams_that_were_replaced_often_are_not_all_kept() -> None:
    streams = []
    for _ in range(50):
        with contextlib.redirect_stdout(io.StringIO()) as stream, inside(bare_task()):
            streams.append(weakref.ref(stream))
        del stream
    gc.collect()
    assert sum(stream() is not None for stream in streams) < 10


def test_threads_that_a_body_starts_print_to_its_log(manager: AsyncToolManager) -> None:
    found: list[Task | None] = []

    def body() -> None:
        thread = threading.Thread(target=lambda: (print("in a thread"), found.append(current_task())))
        thread.start()
        thread.join(10)
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            list(pool.map(print, ["in", "a", "pool"]))

    task = run(manager, body)
    assert task.logs[0] == "in a thread"
    assert sorted(task.logs[1:]) == ["a", "in", "pool"]
    assert found == [task]


def test_a_pool_that_outlives_a_task_belongs_to_nobody(capsys: pytest.CaptureFixture[str]) -> None:
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        first, second = bare_task(1), bare_task(2)
        with inside(first):
            pool.submit(print, "one").result(10)
        with inside(second):
            pool.submit(print, "two").result(10)
        pool.submit(print, "nobody's").result(10)
        assert pool.submit(current_task).result(10) is None
    assert (first.logs, second.logs) == (["one"], ["two"])
    assert capsys.readouterr().out == "nobody's\n"


@pytest.mark.parametrize("asynchronous", [False, True])
def test_the_end_of_a_task_started_within_a_task_is_not_that_tasks(
    capsys: pytest.CaptureFixture[str], asynchronous: bool
) -> None:
    def body() -> int:
        print("inner's")
        return 3

    async def body_later() -> int:
        return body()

    ended = threading.Event()
    other = AsyncToolManager(on_complete=lambda result: (print("completed", result.result), ended.set()))
    with inside(task := bare_task()):
        inner = other.start("inner", body_later if asynchronous else body, {})
        assert inner.wait(10)
        assert ended.wait(10)
    assert (inner.logs, task.logs) == (["inner's"], [])
    assert capsys.readouterr().out == "completed 3\n"


def test_a_worker_thread_started_within_a_task_is_not_that_tasks(capsys: pytest.CaptureFixture[str]) -> None:
    ended = threading.Event()
    other = AsyncToolManager(on_complete=lambda result: (print("completed", result.result), ended.set()))
    with inside(task := bare_task()):
        inner = other.start("inner", lambda: print("inner's") or 3, {})
        assert inner.wait(10)
        assert ended.wait(10)
    assert inner.logs == ["inner's"]
    assert task.logs == []
    assert capsys.readouterr().out == "completed 3\n"


def test_logging_goes_to_the_log_and_not_to_the_console(capsys: pytest.CaptureFixture[str]) -> None:
    logger = logging.getLogger("tests.capture")
    console, elsewhere = logging.StreamHandler(sys.stderr), logging.StreamHandler(io.StringIO())
    logger.addHandler(console)
    logger.addHandler(elsewhere)
    try:
        with inside(task := bare_task()):
            logger.warning("careful: %d", 3)
            logger.debug("not asked for")
            try:
                {}["gone"]
            except LookupError:
                logger.exception("it failed")
        logger.warning("outside")
    finally:
        logger.removeHandler(console)
        logger.removeHandler(elsewhere)
    assert task.logs[:2] == ["WARNING careful: 3", "ERROR it failed"]
    assert task.logs[-1] == "KeyError: 'gone'"
    assert capsys.readouterr().err == "outside\n"
    assert elsewhere.stream.getvalue().startswith("careful: 3\n")


def test_a_log_message_whose_arguments_do_not_fit_ends_nothing() -> None:
    logger = logging.Logger("apart")
    with inside(task := bare_task()):
        logger.warning("%d and %d", "one")
    assert "WARNING %d and %d" in task.logs


def test_warnings_go_to_the_log() -> None:
    with inside(task := bare_task()), warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = warnings.showwarning
        sys.stderr.write("a warning\n")
    assert task.logs == ["a warning"]


def test_a_line_that_is_written_over_is_one_line() -> None:
    with inside(task := bare_task()):
        for percent in range(0, 101, 10):
            print(f"\r{percent} %", end="")
        print()
        for percent in range(3):
            print(f"{percent}", end="\r")
    assert task.logs == ["100 %", "2"]


def test_colours_and_empty_lines_are_left_out() -> None:
    with inside(task := bare_task()):
        print("\x1b[1;31mred\x1b[0m \x1b]0;title\x07text\n\n\r\n")
    assert task.logs == ["red text"]


def test_a_flood_keeps_the_newest() -> None:
    with inside(task := bare_task()):
        sys.stdout.write("\n".join(map(str, range(100_000))) + "\n")
        sys.stdout.write("x" * 1_000_000)
        sys.stdout.write("end")
    assert task.logs[-2] == "99999"
    assert len(task.logs) == 100
    assert len(task.logs[-1]) <= 600


def test_a_listener_that_prints_does_not_listen_to_itself(capsys: pytest.CaptureFixture[str]) -> None:
    task = bare_task()
    task.manager.subscribe(lambda task, kind: print("heard", kind), ["logged"])
    with inside(task):
        print("said")
    assert task.logs == ["said"]
    assert capsys.readouterr().out == "heard logged\n"


def test_a_listener_that_fails_does_not_fill_the_log(caplog: pytest.LogCaptureFixture) -> None:
    task = bare_task()

    def fail(task: Task, kind: str) -> None:
        raise LookupError(kind)

    task.manager.subscribe(fail, ["logged"])
    with inside(task):
        print("said")
    assert task.logs == ["said"]
    assert "a listener" in caplog.text


def test_the_stand_in_is_a_stream_as_the_one_it_replaces(capsys: pytest.CaptureFixture[str]) -> None:
    before = sys.stdout
    with inside(bare_task()):
        assert sys.stdout.encoding == before.encoding
        assert not sys.stdout.isatty()
        assert "stdout" in repr(sys.stdout)
        sys.stdout.writelines(["a\n", "b\n"])
        sys.stdout.flush()
        with pytest.raises(TypeError):
            sys.stdout.write(3)  # type: ignore[arg-type]
        with pytest.raises(AttributeError):
            sys.stdout.no_such_thing  # noqa: B018
    assert capsys.readouterr().out == ""


def test_without_a_standard_output_nothing_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    with inside(task := bare_task()):
        print("kept")
        sys.stdout.flush()
    print("dropped")
    assert sys.stdout is None
    assert task.logs == ["kept"]


def test_a_body_within_a_body_gives_the_log_back() -> None:
    outer, inner = bare_task(1), bare_task(2)
    with inside(outer):
        print("before")
        with inside(inner):
            print("within")
        print("after")
        assert current_task() is outer
    assert (outer.logs, inner.logs) == (["before", "after"], ["within"])
    assert current_task() is None
