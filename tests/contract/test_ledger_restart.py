"""What a ledger knows after its process has ended: killed at any moment, or at the interpreter's own end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import distributed
import pytest

from backchannel.errors import SessionConflictError, TaskFailedError
from backchannel.tasks import AsyncToolManager, Deferred, Task, async_tool, read_ledger
from backchannel.tasks.exit import EXIT_GRACE_S
from backchannel.tasks.runners import dask

WAIT = 60.0
HEAD = """
import asyncio, os, sys, threading, time
from backchannel.tasks import *
manager = AsyncToolManager(max_workers=2, ledger=sys.argv[1])
def say(word): os.write(1, (word + chr(10)).encode())
"""


class Program:
    """A Python program with a manager whose ledger is the file; it says words as it comes along."""

    def __init__(self, path: Path, body: str, *more: str, head: str = HEAD) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(head) + textwrap.dedent(body), str(path), *more],
            stdout=subprocess.PIPE,
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        # Whatever it does, no test waits for it for ever.
        self._guard = threading.Timer(WAIT, self.process.kill)
        self._guard.daemon = True
        self._guard.start()

    def hears(self, word: str) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.strip() == word:
                return
        raise AssertionError(f"it ended before it said {word}: {self.errors()}")

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.ended()

    def ended(self) -> tuple[str, str]:
        """Wait for its end; returns what it wrote."""
        try:
            return self.process.communicate("go on\n" if self.process.poll() is None else None, timeout=WAIT)
        finally:
            self._guard.cancel()

    def end(self) -> str:
        """Let it end by itself; returns what it wrote to stderr."""
        _, errors = self.ended()
        assert self.process.returncode == 0, errors
        return errors

    def errors(self) -> str:
        return self.ended()[1]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tasks.jsonl"


def run(path: Path, body: str) -> str:
    """Run a program to its end; returns what it wrote to stderr."""
    return Program(path, body).end()


def statuses(path: Path) -> list[str]:
    manager = AsyncToolManager(ledger=path)
    found: list[str] = [task.status for task in manager.tasks]
    manager.shutdown(wait=False)
    return found


# Killed

MOMENTS = {
    "before the first task": ("say('now')", []),
    "while one runs and one waits": (
        """
        for number in range(3):
            manager.submit("wait", lambda number: time.sleep(600), number=number)
        say("now")
        """,
        ["lost"] * 3,
    ),
    "in a busy loop": (
        """
        def spin():
            say("now")
            while True:
                pass
        manager.submit("spin", spin)
        """,
        ["lost"],
    ),
    "in a coroutine": (
        """
        async def wait():
            say("now")
            await asyncio.sleep(600)
        manager.submit("wait", wait)
        """,
        ["lost"],
    ),
    "in a process": (
        """
        def wait():
            time.sleep(600)
        task = manager.start("wait", wait, {}, runner="process")
        while task.status != "running":
            time.sleep(0.01)
        say("now")
        """,
        ["lost"],
    ),
    "while deferred": ("manager.defer('approve'); say('now')", ["running"]),
    "after an end": ("manager.start('add', lambda: 1, {}).result(); say('now')", ["done"]),
    "after a failure": (
        """
        manager.start("fail", lambda: 1 / 0, {}).wait()
        say("now")
        """,
        ["failed"],
    ),
    "after a cancel": (
        """
        task = manager.start("wait", lambda: time.sleep(600), {})
        task.cancel()
        task.wait()
        say("now")
        """,
        ["cancelled"],
    ),
    "in a pause before another attempt": (
        """
        task = manager.start("fail", lambda: 1 / 0, {}, retries=3, backoff_s=600)
        while task.life.phase != "pause":
            time.sleep(0.01)
        say("now")
        """,
        ["lost"],
    ),
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_at_any_moment_every_task_is_known(path: Path, moment: str) -> None:
    body, expected = MOMENTS[moment]
    program = Program(path, textwrap.dedent(body) + "\nsys.stdin.read()")
    program.hears("now")
    program.kill()
    # A result is announced to who waits for it when it is in the file.
    assert statuses(path) == expected
    assert statuses(path) == expected


def test_killed_in_a_storm_of_submits_nothing_is_lost_that_was_acknowledged(path: Path) -> None:
    program = Program(
        path,
        """
        number = 0
        while True:
            number += 1
            manager.submit("add", lambda number: number, number=number)
            print(number, flush=True)
        """,
    )
    assert program.process.stdout is not None
    for line in program.process.stdout:
        if line.strip() == "400":
            break
    program.process.send_signal(signal.SIGKILL)
    rest, _ = program.ended()
    acknowledged = max([400, *(int(line) for line in rest.splitlines() if line.isdigit())][:-1] or [400])
    manager = AsyncToolManager(ledger=path)
    # The newest thousand that have ended are kept.
    numbers = [task.number for task in manager.tasks]
    assert numbers[-1] >= acknowledged
    assert numbers == sorted(set(numbers))
    assert {task.status for task in manager.tasks} <= {"done", "lost"}
    assert all(task.value == task.number for task in manager.tasks if task.status == "done")
    assert manager.start("add", lambda: 1, {}).number > acknowledged
    manager.shutdown()


def test_two_processes_with_one_ledger(path: Path) -> None:
    program = Program(path, "say('now'); sys.stdin.read()")
    program.hears("now")
    with pytest.raises(SessionConflictError, match=f"in use in process {program.process.pid}"):
        AsyncToolManager(ledger=path)
    assert path.read_bytes() == b""
    program.kill()
    assert statuses(path) == []


def test_results_are_delivered_after_a_kill_once(path: Path) -> None:
    program = Program(
        path,
        """
        owner = object()
        for value in range(3):
            manager.start("add", lambda value: value * 10, {"value": value}, owner=owner).result()
        first, second, third = manager.tasks
        first.delivered = True
        second.announced = True
        manager.start("wait", lambda: time.sleep(600), {}, owner=owner)
        say("now")
        sys.stdin.read()
        """,
    )
    program.hears("now")
    program.kill()
    from backchannel import AsyncAgent

    told: list[str] = []
    manager = AsyncToolManager(ledger=path)
    with AsyncAgent(told.append, manager) as agent:
        agent.join(WAIT)
    (message,) = told
    assert "3 background tasks" in message
    assert message.count("You may have been told this already") == 1
    assert "Result: 10" in message
    assert "Result: 20" in message
    assert "Result: 0" not in message
    assert "was lost" in message
    manager.shutdown()
    again = AsyncToolManager(ledger=path)
    with AsyncAgent(told.append, again) as agent:
        agent.join(WAIT)
    assert len(told) == 1
    again.shutdown()


# The interpreter's end

ENDINGS: dict[str, tuple[str, list[str], bool]] = {
    "a sleeping thread": ("manager.submit('wait', lambda: time.sleep(600))", ["lost"], True),
    "a busy loop": (
        """
        def spin():
            while True:
                pass
        manager.submit("spin", spin)
        """,
        ["lost"],
        True,
    ),
    "a body that looks": (
        """
        def look():
            while not cancelled():
                time.sleep(0.01)
            raise RuntimeError("it was asked to end")
        manager.submit("look", look)
        """,
        ["cancelled"],
        False,
    ),
    "a body in track": (
        """
        def steps():
            for _ in track(range(10**6), "steps"):
                time.sleep(0.01)
        manager.submit("steps", steps)
        """,
        ["cancelled"],
        False,
    ),
    "a body that comes to its end meanwhile": (
        """
        def nearly():
            while not cancelled():
                time.sleep(0.01)
            return "just in time"
        manager.submit("nearly", nearly)
        """,
        ["done"],
        False,
    ),
    "a coroutine": (
        """
        async def wait():
            await asyncio.sleep(600)
        manager.submit("wait", wait)
        """,
        ["cancelled"],
        False,
    ),
    "a coroutine that will not": (
        """
        async def wait():
            while True:
                try:
                    await asyncio.sleep(600)
                except asyncio.CancelledError:
                    pass
        manager.submit("wait", wait)
        """,
        ["lost"],
        True,
    ),
    "a coroutine of a loop that has ended": (
        """
        async def wait():
            await asyncio.sleep(600)
        async def main():
            manager.submit("wait", wait)
        asyncio.run(main())
        """,
        ["cancelled"],
        False,
    ),
    "a process": (
        """
        def steps():
            for _ in track(range(10**6), "steps"):
                time.sleep(0.01)
        task = manager.start("steps", steps, {}, runner="process")
        while task.status != "running" or not task.progress.done:
            time.sleep(0.01)
        """,
        ["cancelled"],
        False,
    ),
    "a process that sleeps": (
        """
        task = manager.start("wait", lambda: time.sleep(600), {}, runner="process")
        while task.status != "running":
            time.sleep(0.01)
        """,
        ["lost"],
        True,
    ),
    "a deferred task": ("manager.defer('approve')", ["running"], False),
    "a poll without a handle": ("manager.defer('job', poll=lambda: PENDING, every_s=600)", ["lost"], False),
    "one that waits": (
        """
        for _ in range(3):
            manager.submit("wait", lambda: time.sleep(600))
        """,
        ["lost"] * 3,
        True,
    ),
}


TIMED = """
import atexit, backchannel.tasks.exit as exit
atexit.unregister(exit._end)
def timed():
    begun = time.monotonic()
    exit._end()
    print("took", time.monotonic() - begun, flush=True)
atexit.register(timed)
time.sleep(0.2)
"""


@pytest.mark.parametrize("what", ENDINGS)
def test_the_end_of_the_interpreter_is_not_held_up_and_every_task_is_recorded(path: Path, what: str) -> None:
    body, expected, waits = ENDINGS[what]
    program = Program(
        path,
        textwrap.dedent(body) + TIMED,
    )
    out, errors = program.ended()
    assert program.process.returncode == 0, errors
    assert errors == ""
    took = float(out.split()[-1])
    # Its own clock, so that a slow start of the process does not count; what waits is what does not end by itself.
    assert took < EXIT_GRACE_S + 5
    assert (took >= EXIT_GRACE_S) == waits
    found = [record.status for record in read_ledger(path).tasks]
    assert found == expected
    assert statuses(path) == expected


def test_without_a_ledger_bodies_are_asked_to_end_too(tmp_path: Path) -> None:
    marker = tmp_path / "ended"
    program = Program(
        marker,
        """
        def look():
            while not cancelled():
                time.sleep(0.01)
            open(sys.argv[1], "w").close()
        manager.submit("look", look)
        time.sleep(0.2)
        """,
        head=HEAD.replace(", ledger=sys.argv[1]", ""),
    )
    program.end()
    assert marker.exists()


def test_what_was_cancelled_by_the_end_is_told_and_says_why(path: Path) -> None:
    run(
        path,
        """
        def steps():
            for _ in track(range(10**6), "steps"):
                time.sleep(0.01)
        task = manager.start("steps", steps, {}, owner=object())
        while not task.progress.done:
            time.sleep(0.01)
        """,
    )
    manager = AsyncToolManager(ledger=path)
    (task,) = manager.claim_restored(object())
    assert task.summary() == "It was cancelled: the interpreter ended."
    manager.shutdown()


def test_a_forked_child_writes_nothing_and_ends_at_once(path: Path) -> None:
    errors = run(
        path,
        """
        import warnings

        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 on says that threads and forks are risky.
        begun = threading.Event()
        manager.submit("wait", lambda: begun.set() or time.sleep(600))
        begun.wait(10)
        child = os.fork()
        if child == 0:
            sys.exit(0)
        asked = time.monotonic()
        os.waitpid(child, 0)
        assert time.monotonic() - asked < 1.5
        """,
    )
    assert errors == ""
    assert [record.status for record in read_ledger(path).tasks] == ["lost"]


def test_a_manager_that_a_forked_child_made_is_ended_with_the_child(path: Path) -> None:
    other = path.with_name("child.jsonl")
    run(
        path,
        f"""
        child = os.fork()
        if child == 0:
            mine = AsyncToolManager(ledger={str(other)!r})
            begun = threading.Event()
            def look():
                begun.set()
                while not cancelled():
                    time.sleep(0.01)
                raise RuntimeError("it was to end")
            mine.submit("look", look)
            begun.wait(10)
            sys.exit(0)
        os.waitpid(child, 0)
        """,
    )
    assert [record.status for record in read_ledger(other).tasks] == ["cancelled"]


# A cluster


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=2, processes=True, dashboard_address="127.0.0.1:0"
    ) as cluster:
        yield cluster


DASK_HEAD = """
import asyncio, os, sys, threading, time
from backchannel.tasks import *
manager = AsyncToolManager(max_workers=2, ledger=sys.argv[1], runner=sys.argv[2])
def say(word): os.write(1, (word + chr(10)).encode())
"""


def on_the_cluster(path: Path, cluster: Any, body: str) -> None:
    """Start tasks in a program of their own, which is killed when it has said that it may be."""
    program = Program(path, textwrap.dedent(body) + "\nsys.stdin.read()", cluster.scheduler_address, head=DASK_HEAD)
    program.hears("now")
    program.kill()


def test_tasks_on_a_cluster_are_found_again(path: Path, cluster: Any, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    on_the_cluster(
        path,
        cluster,
        f"""
        def work(gate, fails=False):
            for step in track(range(10), "steps"):
                print("step", step)
                if step == 3:
                    while not os.path.exists(gate):
                        time.sleep(0.01)
            if fails:
                raise ValueError("no such column")
            return {{"rows": 3}}
        gate = {str(gate)!r}
        good = manager.start("work", work, {{"gate": gate}})
        bad = manager.start("work", work, {{"gate": gate, "fails": True}})
        while not (good.progress.done == 3 and bad.progress.done == 3):
            time.sleep(0.01)
        say("now")
        """,
    )
    manager = AsyncToolManager(ledger=path)
    good, bad = manager.tasks
    assert (good.status, good.restored, good.where) == ("running", True, "dask")
    while good.progress.done != 3 or len(good.logs) < 4:
        assert not good.done(), good.summary()
        time.sleep(0.01)
    gate.touch()
    assert good.result(WAIT) == {"rows": 3}
    assert good.logs == [f"step {step}" for step in range(10)]
    assert good.progress.done == 10
    with pytest.raises(TaskFailedError, match="no such column"):
        bad.result(WAIT)
    assert isinstance(bad.error, ValueError)
    manager.shutdown()
    assert statuses(path) == ["done", "failed"]


def test_what_ended_on_the_cluster_meanwhile_is_there(path: Path, cluster: Any, tmp_path: Path) -> None:
    done = tmp_path / "done"
    on_the_cluster(
        path,
        cluster,
        f"""
        def work(done):
            time.sleep(1)
            open(done, "w").close()
            return 42
        task = manager.start("work", work, {{"done": {str(done)!r}}})
        while task.status != "running":
            time.sleep(0.01)
        time.sleep(0.3)
        say("now")
        """,
    )
    while not done.exists():
        time.sleep(0.01)
    time.sleep(0.5)
    manager = AsyncToolManager(ledger=path)
    assert manager.tasks[0].result(WAIT) == 42
    manager.shutdown()


def test_a_task_on_the_cluster_is_cancelled_after_a_restart(path: Path, cluster: Any, tmp_path: Path) -> None:
    ended = tmp_path / "ended"
    on_the_cluster(
        path,
        cluster,
        f"""
        def work(ended):
            try:
                for step in track(range(10**6), "steps"):
                    time.sleep(0.01)
            finally:
                open(ended, "w").close()
        task = manager.start("work", work, {{"ended": {str(ended)!r}}})
        while not task.progress.done:
            time.sleep(0.01)
        say("now")
        """,
    )
    manager = AsyncToolManager(ledger=path)
    task = manager.tasks[0]
    while not task.logs and not task.progress.done:
        assert not task.done(), task.summary()
        time.sleep(0.01)
    assert task.cancel()
    while not ended.exists():
        time.sleep(0.01)
    manager.shutdown()
    assert statuses(path) == ["cancelled"]


def test_at_the_interpreters_end_tasks_on_the_cluster_go_on(path: Path, cluster: Any, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    program = Program(
        path,
        f"""
        def work(gate):
            while not os.path.exists(gate):
                time.sleep(0.01)
            return "it went on"
        task = manager.start("work", work, {{"gate": {str(gate)!r}}})
        while task.status != "running":
            time.sleep(0.01)
        time.sleep(0.3)
        """,
        cluster.scheduler_address,
        head=DASK_HEAD,
    )
    program.end()
    assert [record.status for record in read_ledger(path).tasks] == ["running"]
    manager = AsyncToolManager(ledger=path)
    gate.touch()
    assert manager.tasks[0].result(WAIT) == "it went on"
    manager.shutdown()


def test_a_cluster_that_is_gone_loses_the_task(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dask, "ATTACH_S", 2.0)
    with distributed.LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address="127.0.0.1:0") as cluster:
        on_the_cluster(
            path,
            cluster,
            """
            task = manager.start("work", lambda: time.sleep(600), {})
            while task.status != "running":
                time.sleep(0.01)
            time.sleep(0.3)
            say("now")
            """,
        )
    manager = AsyncToolManager(ledger=path)
    task: Task = manager.tasks[0]
    assert task.wait(WAIT)
    assert task.status == "lost"
    assert "cluster" in task.summary()
    manager.shutdown()


# What polls


def test_a_job_elsewhere_is_asked_for_again_by_its_handle(path: Path, tmp_path: Path) -> None:
    result = tmp_path / "result"
    program = Program(
        path,
        f"""
        @async_tool(manager, deferred=True)
        def job(name: str):
            "Start a job."
            return Deferred(lambda: PENDING, every_s=600, handle={{"path": {str(result)!r}, "name": name}})
        task = job("j-1")
        while not manager.ledger.goes_on(task):
            time.sleep(0.01)
        say("now")
        sys.stdin.read()
        """,
    )
    program.hears("now")
    program.kill()
    result.write_text("42")
    manager = AsyncToolManager(ledger=path)
    assert manager.tasks[0].status == "running"

    def resume(handle: dict[str, str]) -> Deferred:
        return Deferred(lambda: Path(handle["path"]).read_text(), every_s=600, handle=handle)

    @async_tool(manager, deferred=True, resume=resume)
    def job(name: str) -> Any:
        """Start a job."""

    assert manager.tasks[0].result(WAIT) == "42"
    manager.shutdown()
    assert os.path.exists(path)
