"""A manager with a ledger: what is written, and what the next manager makes of it."""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from backchannel.errors import (
    InvalidInputError,
    SessionConflictError,
    SessionDamagedError,
    SessionStorageError,
    TaskFailedError,
    TaskLostError,
    TaskRefusedError,
)
from backchannel.tasks import (
    PENDING,
    AsyncToolManager,
    Deferred,
    Ledger,
    Task,
    async_tool,
    current_task,
    progress,
    read_ledger,
)
from backchannel.tasks.ledger_state import TaskRecord
from tests.support.manual_timers import ManualTimers


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tasks.jsonl"


def ended(manager: AsyncToolManager) -> None:
    for task in manager.tasks:
        task.wait(10)


def record_of(path: Path, number: int = 1) -> TaskRecord:
    return next(record for record in read_ledger(path).tasks if record.number == number)


def kinds(path: Path) -> list[str]:
    return [json.loads(line)["entry"]["kind"] for line in path.read_bytes().splitlines()]


def abandon(manager: AsyncToolManager) -> None:
    """Let go of the ledger as a process does that is killed: nothing more is written."""
    assert manager.ledger is not None
    manager.ledger.close()


def test_without_a_ledger_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with AsyncToolManager() as manager:
        manager.start("add", lambda a, b: a + b, {"a": 1, "b": 2}).result(10)
    assert manager.ledger is None
    assert list(tmp_path.iterdir()) == []


def test_a_task_is_in_the_file_when_submit_has_returned(path: Path) -> None:
    go = threading.Event()
    with AsyncToolManager(ledger=path) as manager:
        manager.submit("train", lambda dataset: go.wait(10), dataset="sales")
        assert record_of(path).arguments == {"dataset": "sales"}
        go.set()
    record = record_of(path)
    assert (record.status, record.value, record.where, record.owned) == ("done", True, {"kind": "thread"}, False)


def test_entries_come_in_order(path: Path) -> None:
    with AsyncToolManager(ledger=path) as manager:
        manager.submit("add", lambda: 1)
    assert kinds(path) == ["journal.opened", "task.created", "task.started", "task.ended"]


def test_results_come_back_with_their_value_text_and_times(path: Path) -> None:
    with AsyncToolManager(ledger=path) as first:
        done = first.start("load", lambda name: {"rows": [1, 2]}, {"name": "sales"})
        done.result(10)
        failed = first.start("fail", lambda: 1 / 0, {})
        ended(first)
    second = AsyncToolManager(ledger=path)
    again, wrong = second.tasks
    assert (again.id, again.number, again.label, again.restored) == (done.id, 1, done.label, True)
    assert again.value == {"rows": [1, 2]}
    assert again.result() == {"rows": [1, 2]}
    assert again.summary() == done.summary()
    assert again.elapsed == pytest.approx(done.elapsed, abs=1e-3)
    assert (wrong.status, wrong.summary()) == ("failed", failed.summary())
    with pytest.raises(TaskFailedError, match="ZeroDivisionError: division by zero"):
        wrong.result()
    assert second.pending_count == 0
    abandon(second)


def test_numbers_and_ids_go_on(path: Path) -> None:
    with AsyncToolManager(ledger=path) as first:
        for _ in range(3):
            first.submit("add", lambda: 1)
    with AsyncToolManager(ledger=path) as second:
        task = second.start("add", lambda: 1, {})
        assert task.number == 4
        assert second.task(1) is second.tasks[0]


def test_what_ran_is_lost_and_says_what_to_do(path: Path) -> None:
    go = threading.Event()
    first = AsyncToolManager(max_workers=1, ledger=path)
    first.submit("train", lambda dataset: go.wait(10), dataset="sales")
    first.submit("train", lambda dataset: go.wait(10), dataset="costs")
    abandon(first)
    second = AsyncToolManager(ledger=path)
    for task in second.tasks:
        assert task.status == "lost"
        assert "run again" in task.summary()
        with pytest.raises(TaskLostError, match="run_again"):
            task.result()
    abandon(second)
    assert [record.status for record in read_ledger(path).tasks] == ["lost", "lost"]
    go.set()


def test_a_lost_task_is_run_again_once(path: Path) -> None:
    go = threading.Event()
    first = AsyncToolManager(ledger=path)
    wait_for = async_tool(first)(lambda_named("train", go))
    wait_for(dataset="sales", epochs=3)
    abandon(first)
    go.set()

    second = AsyncToolManager(ledger=path)
    lost = second.tasks[0]
    assert not lost.can_run_again
    with pytest.raises(TaskRefusedError, match="Declare the tool 'train' again"):
        lost.run_again()
    async_tool(second)(lambda_named("train", go))
    assert lost.can_run_again
    again = lost.run_again()
    assert again.arguments == {"dataset": "sales", "epochs": 3}
    assert again.result(10) == "sales 3"
    assert lost.delivered
    with pytest.raises(TaskRefusedError, match=f"as task {again.number}"):
        second.run_again(lost)
    third = again.run_again()
    assert third.result(10) == "sales 3"
    second.shutdown()
    record = record_of(path)
    assert (record.again, record.told) == (again.id, True)


def lambda_named(name: str, go: threading.Event) -> Any:
    def train(dataset: str, epochs: int = 1) -> str:
        """Train."""
        go.wait(10)
        return f"{dataset} {epochs}"

    train.__name__ = name
    return train


def test_run_again_checks_the_arguments_against_the_tool_as_it_is_now(path: Path) -> None:
    with AsyncToolManager(ledger=path) as first:
        first.start("train", lambda dataset: dataset, {"dataset": "sales"}).result(10)
    second = AsyncToolManager(ledger=path)

    @async_tool(second)
    def train(table: str) -> str:
        """Train."""
        return table

    with pytest.raises(TaskRefusedError, match="do not fit the tool"):
        second.run_again(1)
    abandon(second)


class Model:
    def __str__(self) -> str:
        return "a model"


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ({"model": Model()}, "'model' was no plain data"),
        ({"api_key": "sk-live-something-long"}, "'api_key' looks like a secret"),
        ({"headers": {"Authorization": "Bearer abcdefghijk"}}, "'headers' looks like a secret"),
        ({"text": "x" * 20_000}, "'text' was too long"),
        ({"numbers": list(range(10_000))}, "'numbers' was too long"),
    ],
)
def test_what_is_not_as_it_was_is_marked_and_not_run_again(path: Path, arguments: dict[str, Any], why: str) -> None:
    with AsyncToolManager(ledger=path) as first:
        first.start("use", lambda **given: None, arguments).wait(10)
    written = path.read_text()
    assert "sk-live-something-long" not in written
    assert "abcdefghijk" not in written
    assert len(written) < 5000
    second = AsyncToolManager(ledger=path)
    async_tool(second)(use)
    with pytest.raises(TaskRefusedError, match=why):
        second.run_again(1)
    abandon(second)


def use(model: Any = None, api_key: str = "", headers: Any = None, text: str = "", numbers: Any = None) -> None:
    """Use something."""


def test_secrets_come_back_neither_in_labels_nor_in_results_nor_in_errors(path: Path) -> None:
    def login(user: str, password: str) -> str:
        """Log in."""
        if user == "bad":
            raise ValueError(f"no {password} for {user}")
        return f"{user}:{password}"

    with AsyncToolManager(ledger=path) as manager:
        tool = async_tool(manager)(login)
        tool("ann", "hunter2hunter2").wait(10)
        tool("bad", "hunter2hunter2").wait(10)
    assert "hunter2" not in path.read_text()
    assert record_of(path).label == "login ann"


def test_injected_arguments_are_not_written(path: Path) -> None:
    with AsyncToolManager(ledger=path) as manager:
        manager.start("use", lambda a, context: a, {"a": 1}, injected={"context": "state of the agent"}).result(10)
    assert "state of the agent" not in path.read_text()


def test_a_deferred_task_stays_open_and_is_resolved_by_its_old_token(path: Path) -> None:
    first = AsyncToolManager(ledger=path)
    task = first.defer("approve", {"invoice": "A-1"})
    other = first.defer("approve", {"invoice": "A-2"})
    token = task.token
    assert token not in path.read_text()
    abandon(first)
    second = AsyncToolManager(ledger=path)
    opened = second.task_by_token(token)
    assert opened is not None
    assert (opened.id, opened.status, second.pending_count) == (task.id, "running", 2)
    assert second.resolve(token, "yes")
    assert opened.result() == "yes"
    assert second.fail(other.id, "no")
    second.shutdown()
    third = AsyncToolManager(ledger=path)
    assert [task.status for task in third.tasks] == ["done", "failed"]
    abandon(third)


def test_a_tool_that_defers_stays_open_too_and_one_that_polls_is_taken_up_by_its_handle(path: Path) -> None:
    first = AsyncToolManager(ledger=path)
    asked = threading.Event()

    @async_tool(first, deferred=True)
    def job(name: str) -> Deferred:
        """Start a job."""
        asked.set()
        return Deferred(lambda: "never asked", every_s=3600, handle={"job": name})

    task = job("j-7")
    assert asked.wait(10)
    while first.ledger is not None and not first.ledger.goes_on(task):
        pass
    abandon(first)

    second = AsyncToolManager(ledger=path)
    again = second.tasks[0]
    assert again.status == "running"
    handles: list[Any] = []

    def resume(handle: Any) -> Deferred:
        handles.append(handle)
        return Deferred(lambda: f"{handle['job']} is done", every_s=3600, handle=handle)

    async_tool(second, name="job", deferred=True, resume=resume)(job.fn)
    assert again.result(10) == "j-7 is done"
    assert handles == [{"job": "j-7"}]
    second.shutdown()


@pytest.mark.parametrize("came", [True, False])
def test_a_value_that_came_in_time_is_found_although_nobody_asked_until_later(
    path: Path, monkeypatch: pytest.MonkeyPatch, came: bool
) -> None:
    first = AsyncToolManager(ledger=path)
    task = first.defer("job", {}, poll=lambda: 1, every_s=3600, timeout=60)
    assert first.ledger is not None
    first.ledger.deferred(task, Deferred(lambda: 1, handle={"job": "j"}))
    abandon(first)

    timers = ManualTimers.installed(monkeypatch)
    second = AsyncToolManager(ledger=Ledger(path, now=lambda: time.time() + 3600), clock=timers.clock)
    (again,) = second.tasks
    timers.advance(3600)
    assert again.status == "running"

    def resume(handle: Any) -> Deferred:
        return Deferred(lambda: "here" if came else PENDING, every_s=1, advice="Look at the job", handle=handle)

    async_tool(second, name="job", resume=resume)(lambda: None)
    if not came:
        timers.advance(31)
    assert again.wait(10)
    assert again.summary() == ("here" if came else "It ran longer than its time-out of 60 seconds. Look at the job.")
    abandon(second)


@pytest.mark.parametrize("fault", ["no resume", "raises", "wrong"])
def test_a_tool_that_cannot_take_it_up_loses_it(path: Path, fault: str) -> None:
    first = AsyncToolManager(ledger=path)
    task = first.defer("job", {}, poll=lambda: 1, every_s=3600)
    assert first.ledger is not None
    first.ledger.deferred(task, Deferred(lambda: 1, handle={"job": "j"}))
    abandon(first)

    def raises(handle: Any) -> Deferred:
        raise KeyError(handle["job"])

    second = AsyncToolManager(ledger=path)
    again = second.tasks[0]
    assert again.status == "running"
    resume: Any = {"no resume": None, "raises": raises, "wrong": lambda handle: 7}[fault]
    async_tool(second, name="job", deferred=True, resume=resume)(use)
    assert again.wait(10)
    assert again.status == "lost"
    abandon(second)


def test_a_poll_without_a_handle_is_lost(path: Path) -> None:
    first = AsyncToolManager(ledger=path)
    first.defer("job", {}, poll=lambda: 1, every_s=3600)
    abandon(first)
    second = AsyncToolManager(ledger=path)
    assert second.tasks[0].status == "lost"
    abandon(second)


def test_who_is_told_is_told_once_and_perhaps_told_after_a_crash(path: Path) -> None:
    first = AsyncToolManager(ledger=path)
    owner = object()
    tasks = [first.start("add", lambda: 1, {}, owner=owner) for _ in range(3)]
    ended(first)
    tasks[0].delivered = True
    tasks[1].announced = True
    abandon(first)
    second = AsyncToolManager(ledger=path)
    agent, late = object(), object()
    claimed = second.claim_restored(agent)
    assert [task.number for task in claimed] == [2, 3]
    assert [task.finished_fact().perhaps_told for task in claimed] == [True, False]
    assert second.claim_restored(late, by_hand=True) == []
    abandon(second)


def test_only_the_first_result_of_a_restart_is_owed_that_nobody_asked_for(path: Path) -> None:
    with AsyncToolManager(ledger=path) as first:
        first.start("add", lambda: 1, {}).result(10)
    second = AsyncToolManager(ledger=path)
    assert second.claim_restored(object()) == []
    assert len(second.claim_restored(object(), by_hand=True)) == 1
    abandon(second)


def test_a_second_manager_is_refused_and_the_first_goes_on(path: Path) -> None:
    with AsyncToolManager(ledger=path) as first:
        with pytest.raises(SessionConflictError, match=r"tasks\.jsonl is in use in this process"):
            AsyncToolManager(ledger=path)
        first.start("add", lambda: 1, {}).result(10)
    assert record_of(path).status == "done"


def test_a_manager_that_was_shut_down_leaves_the_ledger_to_the_next(path: Path) -> None:
    first = AsyncToolManager(ledger=path)
    task = first.defer("approve")
    first.shutdown()
    assert first.resolve(task, 1)
    second = AsyncToolManager(ledger=path)
    assert second.tasks[0].value == 1
    abandon(second)


def test_what_is_no_ledger_is_left_alone(path: Path) -> None:
    path.write_text("my diary\n")
    with pytest.raises(SessionDamagedError):
        AsyncToolManager(ledger=path)
    assert path.read_text() == "my diary\n"
    with pytest.raises(SessionDamagedError):
        read_ledger(path)
    with pytest.raises(SessionStorageError, match="cannot be read"):
        read_ledger(path.with_name("none"))


@pytest.mark.parametrize("where", ["", 7, "s3://bucket/prefix"])
def test_what_is_no_place_is_refused(where: Any) -> None:
    with pytest.raises(InvalidInputError, match="ledger="):
        AsyncToolManager(ledger=where)


def test_one_ledger_is_for_one_manager(path: Path) -> None:
    ledger = Ledger(path)
    with AsyncToolManager(ledger=ledger) as manager:
        assert manager.ledger is ledger
        with pytest.raises(InvalidInputError, match="has a manager already"):
            AsyncToolManager(ledger=ledger)


def test_a_full_disk_stops_no_task_is_said_once_and_made_up_for(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    full = True
    write = os.write

    def refuse(descriptor: int, data: Any) -> int:
        if full:
            raise OSError(28, "No space left on device")
        return write(descriptor, data)

    manager = AsyncToolManager(ledger=path)
    monkeypatch.setattr(os, "write", refuse)
    with caplog.at_level(logging.WARNING):
        assert manager.start("add", lambda: 1, {}).result(10) == 1
        assert manager.start("add", lambda: 2, {}).result(10) == 2
        ended(manager)
    assert manager.ledger is not None
    assert isinstance(manager.ledger.failure, SessionStorageError)
    assert [str(path) in record.getMessage() for record in caplog.records if record.name.endswith("ledger")] == [True]
    full = False
    assert manager.start("add", lambda: 3, {}).result(10) == 3
    manager.shutdown()
    assert manager.ledger.failure is None
    assert [record.value for record in read_ledger(path).tasks] == [1, 2, 3]


def test_progress_is_written_now_and_then_and_at_the_end(path: Path) -> None:
    def body() -> str:
        for step in range(1000):
            progress(step + 1, 1000, "steps")
        return "done"

    with AsyncToolManager(ledger=path) as manager:
        manager.start("work", body, {}).result(10)
    assert kinds(path).count("task.progressed") == 1
    assert record_of(path).progress == {"done": 1000, "total": 1000, "message": "steps"}


def test_a_reader_goes_on_where_it_was_and_leaves_an_incomplete_line_for_later(path: Path) -> None:
    with AsyncToolManager(ledger=path) as manager:
        manager.start("add", lambda: 1, {}).result(10)
        first = read_ledger(path)
        assert first.writer == os.getpid()
        assert [record.number for record in first.changed] == [1]
        manager.start("add", lambda: 2, {}).result(10)
    whole = path.read_bytes()
    path.write_bytes(whole[:-7])
    second = read_ledger(path, first)
    assert [record.status for record in second.tasks] == ["done", "running"]
    path.write_bytes(whole)
    third = read_ledger(path, second)
    assert not third.anew
    assert [record.value for record in third.changed] == [2]
    with AsyncToolManager(ledger=path) as manager:
        manager.start("add", lambda: 3, {}).result(10)
    fourth = read_ledger(path, third)
    assert not fourth.anew
    assert [record.value for record in fourth.changed] == [3]


def test_cut_at_any_byte_it_opens_and_says_a_beginning(path: Path) -> None:
    with AsyncToolManager(ledger=path) as manager:
        owner = object()
        manager.start("add", lambda a: a, {"a": "ü" * 10}, owner=owner).result(10)
        manager.defer("approve")
        ended_or_open = [task for task in manager.tasks if task.done()]
        ended_or_open[0].delivered = True
    whole = path.read_bytes()
    for end in range(len(whole)):
        path.write_bytes(whole[:end])
        reading = read_ledger(path)
        lines = whole[:end].count(b"\n")
        assert len(reading.tasks) <= max(lines - 1, 0)
        if end % 16 and b"\n" not in whole[max(end - 2, 0) : end + 2]:
            continue  # In the middle of a line one place is as another.
        second = AsyncToolManager(ledger=path)
        assert [task.number for task in second.tasks] == list(range(1, len(second.tasks) + 1))
        assert all(task.status in ("done", "lost", "running") for task in second.tasks)
        abandon(second)


def test_a_ledger_of_mostly_told_tasks_is_compacted_and_says_the_same(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from backchannel.tasks import ledger as ledger_module

    monkeypatch.setattr(ledger_module, "_SPARE_LINES", 20)
    monkeypatch.setattr(ledger_module, "KEPT", 10)
    manager = AsyncToolManager(ledger=path)
    ledger = manager.ledger
    assert ledger is not None
    assert ledger.state is not None
    open_task = manager.defer("approve", {"invoice": "A"})
    token = open_task.token
    for _ in range(60):
        manager.start("add", lambda: 1, {}, owner=ledger).result(10)
    for task in manager.tasks:
        if task.done():
            task.delivered = True
    lines = path.read_bytes().count(b"\n")
    ledger.state.prune = lambda kept=10: type(ledger.state).prune(ledger.state, 10)  # type: ignore
    ledger._tend()
    assert path.read_bytes().count(b"\n") < lines / 3
    manager.start("add", lambda: 2, {}).result(10)
    abandon(manager)
    second = AsyncToolManager(ledger=path)
    assert second.task_by_token(token) is not None
    assert len(second.tasks) == 12
    assert second.start("add", lambda: 2, {}).number == 63
    abandon(second)


def test_the_value_is_kept_only_where_it_is_small_plain_json(path: Path) -> None:
    values: list[Any] = [{"a": (1, 2)}, "x" * 50_000, Model(), {1: 2}, float("nan"), b"bytes", None]
    with AsyncToolManager(ledger=path) as first:
        for value in values:
            first.start("give", lambda value=value: value, {}).wait(10)
    assert path.stat().st_size < 20_000
    second = AsyncToolManager(ledger=path)
    small, long, model, keys, number, data, nothing = second.tasks
    assert small.value == {"a": [1, 2]}
    assert long.value is None
    assert "went with the process" in long.summary()
    assert (model.value, model.summary()) == (None, "a model")
    assert (keys.value, data.value, nothing.value) == (None, None, None)
    assert nothing.summary() == "no result"
    assert number.value != number.value
    abandon(second)


def test_shut_down_closes_idle_worker_processes() -> None:
    manager = AsyncToolManager(1, runner="process")
    manager.start("pid", os.getpid, {}).result(60)
    from backchannel.tasks.runners import runner_of

    runner: Any = runner_of("process", manager)
    assert runner.process_ids
    manager.shutdown()
    assert runner.process_ids == []


def test_a_body_learns_its_token_and_the_ledger_its_hash(path: Path) -> None:
    seen: list[str] = []

    def body() -> Deferred:
        task = current_task()
        assert isinstance(task, Task)
        seen.append(task.token)
        return Deferred()

    first = AsyncToolManager(ledger=path)
    task = first.start("ask", body, {}, deferred=True)
    first.shutdown()
    assert seen
    assert seen[0] not in path.read_text()
    assert not task.done()
    second = AsyncToolManager(ledger=path)
    assert second.resolve(seen[0], 5)
    abandon(second)


class Someone:
    """An agent, as far as a ledger knows one."""

    def __init__(self, agent_id: str) -> None:
        self.agent_id = agent_id


def test_what_one_agent_asked_for_is_not_told_by_another_after_a_restart(path: Path) -> None:
    with AsyncToolManager(ledger=path) as first:
        for agent_id in ("anna", "bert"):
            first.start("search", lambda text: text, {"text": agent_id}, owner=Someone(agent_id))
        first.start("search", lambda text: text, {"text": "by hand"})
        ended(first)
    for _ in range(2):  # The second time what was written anew is read.
        second = AsyncToolManager(ledger=path)
        of_anna, of_bert, by_hand = second.tasks
        assert (of_anna.asked_by, of_bert.asked_by, by_hand.asked_by) == ("anna", "bert", None)
        anna, carl = Someone("anna"), Someone("carl")
        assert second.claim_restored(carl) == []
        assert [task for task in second.tasks if task.concerns(carl)] == [by_hand]
        assert second.claim_restored(anna) == [of_anna]
        assert [task for task in second.tasks if task.concerns(anna)] == [of_anna, by_hand]
        second.shutdown()


def test_the_tasks_of_an_agent_that_is_gone_are_the_next_ones() -> None:
    gone, other, following = Someone("default"), Someone("default"), Someone("default")
    with AsyncToolManager() as manager:
        told = manager.start("told", lambda: 1, {}, owner=gone)
        owed = manager.start("owed", lambda: 2, {}, owner=gone)
        never = manager.start("never", lambda: 3, {}, owner=gone, announce="never")
        others = manager.start("others", lambda: 4, {}, owner=other)
        ended(manager)
        told.delivered = True
        manager.let_go(gone)
        assert manager.claim_restored(following) == [owed]
        assert [task.owner for task in (told, owed, never, others)] == [None, following, None, other]
        assert manager.claim_restored(Someone("default")) == []


def test_a_handle_is_plain_small_and_no_secret() -> None:
    assert Deferred(handle={"job": ("a", 1)}).handle == {"job": ["a", 1]}
    for handle in (
        {"job": object()},
        {1: 2},
        {"job": float("nan")},
        {"text": "x" * 20_000},
        "job",
        {"a": {"token": "t"}},
    ):
        with pytest.raises(ValueError, match="handle"):
            Deferred(handle=handle)  # type: ignore[arg-type]


def test_that_a_later_call_superseded_it_is_still_known(path: Path) -> None:
    go = threading.Event()
    first = AsyncToolManager(ledger=path)
    owner = object()
    old = first.start("add", lambda: go.wait(10), {}, owner=owner, on_duplicate="replace")
    new = first.start("add", lambda: go.wait(10), {}, owner=owner, on_duplicate="replace")
    go.set()
    ended(first)
    assert old.superseded_by == new.id
    abandon(first)
    second = AsyncToolManager(ledger=path)
    assert second.tasks[0].superseded_by == new.id
    assert second.tasks[0].finished_fact().superseded_by == new.id
    abandon(second)


def test_a_dependency_is_run_again_with_the_value_that_is_there(path: Path) -> None:
    go = threading.Event()
    first = AsyncToolManager(ledger=path)
    tool = async_tool(first)(double)
    wait = async_tool(first)(lambda_named("train", go))
    loaded = tool(4)
    loaded.result(10)
    again_and_again = tool(loaded)
    assert again_and_again.result(10) == 16
    wait("sales")
    abandon(first)
    go.set()
    second = AsyncToolManager(ledger=path)
    async_tool(second)(double)
    assert second.run_again(2).result(10) == 16
    abandon(second)


def double(number: int) -> int:
    """Double it."""
    return 2 * number


def test_a_refused_run_again_may_be_tried_once_more(path: Path) -> None:
    first = AsyncToolManager(ledger=path)
    go = threading.Event()
    async_tool(first)(lambda_named("train", go))("sales")
    abandon(first)
    go.set()
    second = AsyncToolManager(1, max_queued=0, ledger=path)
    async_tool(second)(lambda_named("train", go))
    blocker = threading.Event()
    blocking = second.start("block", lambda: blocker.wait(10), {})
    with pytest.raises(TaskRefusedError, match="max_queued"):
        second.run_again(1)
    blocker.set()
    blocking.wait(10)
    assert second.run_again(1).result(10) == "sales 1"
    abandon(second)


def test_tools_of_the_default_manager_are_known_to_it(path: Path) -> None:
    from backchannel.tasks import set_default_manager

    go = threading.Event()
    go.set()
    first = AsyncToolManager(ledger=path)
    try:
        set_default_manager(first)
        tool = async_tool(lambda_named("train", go))
        tool("sales").result(10)
        abandon(first)
        second = AsyncToolManager(ledger=path)
        assert second.tool("train") is None
        set_default_manager(second)
        assert second.tool("train") is tool
        assert second.run_again(1).result(10) == "sales 1"
        abandon(second)
    finally:
        set_default_manager(None)


def test_a_variant_of_a_tool_does_not_take_its_place() -> None:
    manager = AsyncToolManager()
    tool = async_tool(manager)(double)
    tool.options(priority=5)(2).result(10)
    assert manager.tool("double") is tool
    newer = async_tool(manager)(double)
    assert manager.tool("double") is newer


def test_looking_into_a_result_whose_value_is_gone_says_what_is_left(path: Path) -> None:
    import asyncio

    from backchannel.events import ToolResultEvent
    from backchannel.tasks import look_at_result_tool
    from backchannel.tools import run_tool

    with AsyncToolManager(ledger=path) as first:
        first.start("give", lambda: Model(), {}).result(10)
    second = AsyncToolManager(ledger=path)
    looking = look_at_result_tool(lambda: [second])

    async def look() -> str:
        use: Any = {"toolUseId": "1", "name": looking.tool_name, "input": {"task": 1}}
        events = [event async for event in run_tool(looking, use, {})]
        assert isinstance(events[-1], ToolResultEvent)
        return str(events[-1]["tool_result"]["content"])

    assert "Only this is left of it" in asyncio.run(look())
    abandon(second)


@pytest.mark.skipif(sys.platform == "win32", reason="who writes is not asked there")
def test_a_writer_that_belongs_to_somebody_else_lives_and_one_that_is_gone_does_not(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(error: type[OSError]) -> Callable[[int, int], None]:
        def kill(process: int, signal: int) -> None:
            assert signal == 0
            raise error

        return kill

    with AsyncToolManager(ledger=path):
        monkeypatch.setattr(os, "kill", refused(PermissionError))
        assert read_ledger(path).writer == os.getpid()
        monkeypatch.setattr(os, "kill", refused(ProcessLookupError))
        assert read_ledger(path).writer is None


def test_a_ledger_of_tasks_that_all_count_is_not_written_anew(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from backchannel.tasks import ledger as ledger_module

    monkeypatch.setattr(ledger_module, "_SPARE_LINES", 20)
    manager = AsyncToolManager(ledger=path)
    assert manager.ledger is not None
    for _ in range(100):
        manager.defer("approve")
    found = path.stat().st_ino
    manager.ledger._tend()
    assert path.stat().st_ino == found
    abandon(manager)


def test_what_was_cancelled_before_its_tool_came_is_not_taken_up(path: Path) -> None:
    first = AsyncToolManager(ledger=path)
    for _ in range(2):
        first.defer("job", {}, poll=lambda: 1, every_s=3600, handle={"job": "j"})
    abandon(first)
    second = AsyncToolManager(ledger=path)
    cancelled_one, other = second.tasks
    assert cancelled_one.cancel()
    asked: list[Task | None] = []

    def resume(handle: Any) -> Deferred:
        asked.append(current_task())
        return Deferred(lambda: handle["job"], every_s=3600)

    async_tool(second, name="job", deferred=True, resume=resume)(use)
    assert other.result(10) == "j"
    assert asked == [other]
    assert cancelled_one.status == "cancelled"
    abandon(second)


def test_values_of_any_kind_are_written_without_ado(path: Path) -> None:
    import numpy as np
    import pandas as pd

    class Rude:
        def __str__(self) -> str:
            raise RuntimeError("no text")

        def __eq__(self, other: object) -> bool:
            raise RuntimeError("no comparison")

        __hash__ = None  # type: ignore[assignment]

    arguments: dict[str, Any] = {
        "password": np.arange(3),
        "frame": pd.DataFrame({"a": range(100_000)}),
        "rude": Rude(),
        "text": "\ud800 ü \x00",
        "long": "x" * 5_000_000,
        "number": 10**3000,
        "deep": [[[[[[]]]]]],
        "float32": np.float32(1.5),
        "float64": np.float64(1.5),
    }
    with AsyncToolManager(ledger=path) as first:
        for value in arguments.values():
            first.start("use", lambda **given: given["value"], {"value": value, **arguments}).wait(10)
    assert path.stat().st_size < 100_000
    second = AsyncToolManager(ledger=path)
    record = second.tasks[0].record
    assert record is not None
    assert record.arguments["password"] == "[redacted]"
    assert record.arguments["float64"] == 1.5
    assert record.arguments["text"] == "\ud800 ü \x00"
    assert record.unwritten == {
        "value": "no JSON",
        "password": "secret",
        "frame": "no JSON",
        "rude": "no JSON",
        "long": "too long",
        "number": "no JSON",
        "float32": "no JSON",
    }
    assert all(task.status == "done" for task in second.tasks)
    abandon(second)


def test_a_thousand_arguments_are_bounded(path: Path) -> None:
    with AsyncToolManager(ledger=path) as first:
        first.start("use", lambda **given: len(given), {f"a{number}": "word " * 200 for number in range(1000)}).wait(10)
    assert path.stat().st_size < 200_000
    second = AsyncToolManager(ledger=path)
    async_tool(second)(use)
    with pytest.raises(TaskRefusedError, match="too long"):
        second.run_again(1)
    abandon(second)
