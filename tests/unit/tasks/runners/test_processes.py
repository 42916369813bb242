"""Worker processes: how they live, how they die, and that none is left over."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import logging
import os
import select
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from backchannel.errors import TaskCancelledError, TaskTransferError, TaskWorkerError
from backchannel.tasks import AsyncToolManager, Task, cancelled, track
from backchannel.tasks.runners import runner_of
from backchannel.tasks.runners.processes import ProcessRunner
from tests.support.crossing import Gate, Notes

pytestmark = pytest.mark.skipif(os.name != "posix", reason="looks at processes as POSIX has them")
WAIT = 20.0


class Scene:
    def __init__(self, notes: Notes) -> None:
        self.notes = notes
        self.manager = AsyncToolManager()
        self.gates: list[Gate] = []
        self.runner = self.use(2)

    def use(self, limit: int, **options: Any) -> ProcessRunner:
        self.runner = ProcessRunner(limit, **options)
        self.manager.runner = self.runner
        return self.runner

    def start(self, body: Any, /, timeout: float | None = None, **arguments: Any) -> Task:
        return self.manager.start("body", body, arguments, timeout=timeout)

    def gate(self) -> Gate:
        self.gates.append(Gate())
        return self.gates[-1]


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    made = Scene(Notes(tmp_path / "notes"))
    yield made
    for gate in made.gates:
        gate.close()
    made.manager.shutdown(cancel=True)
    pids = made.runner.process_ids
    made.runner.close()
    for pid in pids:
        wait_gone(pid)


def exists(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_gone(pid: int) -> None:
    """Wait for the end of a process that may be nobody's child here."""
    with contextlib.suppress(ProcessLookupError):
        descriptor = os.pidfd_open(pid)
        try:
            assert select.select([descriptor], [], [], WAIT)[0], f"process {pid} is left over"
        finally:
            os.close(descriptor)


def test_a_body_has_a_process_of_its_own_and_the_next_one_uses_it_again(scene: Scene):
    first = scene.start(os.getpid).result(WAIT)
    assert first != os.getpid()
    assert scene.start(os.getpid).result(WAIT) == first
    assert scene.runner.process_ids == [first]


def test_bodies_at_the_same_time_have_different_processes(scene: Scene):
    gates = [scene.gate(), scene.gate()]

    def body(gate: Any) -> int:
        gate.wait()
        return os.getpid()

    tasks = [scene.start(body, gate=gate) for gate in gates]
    for gate in gates:
        assert gate.reached.wait(WAIT)
        gate.open()
    assert len({task.result(WAIT) for task in tasks}) == 2


@pytest.mark.parametrize(
    ("die", "words"),
    [
        (lambda: os._exit(3), "ended by itself with exit code 3"),
        (lambda: os._exit(0), "ended by itself with exit code 0"),
        (lambda: os.kill(os.getpid(), signal.SIGKILL), "was killed .SIGKILL.; most often .* for lack of memory"),
        (lambda: os.kill(os.getpid(), signal.SIGTERM), "was ended from outside .SIGTERM."),
        (lambda: ctypes.string_at(0), "crashed .SIGSEGV. in native code"),
        (os.abort, "crashed .SIGABRT. in native code"),
    ],
)
def test_a_process_that_dies_fails_its_task_only_and_the_error_says_how(scene: Scene, die: Any, words: str):
    gate = scene.gate()

    def wait(gate: Any) -> str:
        gate.wait()
        return "unharmed"

    other = scene.start(wait, gate=gate)
    assert gate.reached.wait(WAIT)
    task = scene.start(die)
    assert task.wait(WAIT)
    assert isinstance(task.error, TaskWorkerError)
    assert str(task.error).startswith("The process that ran body (pid ")
    with pytest.raises(TaskWorkerError, match=words):
        raise task.error
    gate.open()
    assert other.result(WAIT) == "unharmed"
    assert scene.start(lambda: "next").result(WAIT) == "next"


def test_a_worker_that_died_while_it_was_idle_is_replaced_and_nobody_notices(scene: Scene):
    pid = scene.start(os.getpid).result(WAIT)
    os.kill(pid, signal.SIGKILL)
    wait_gone(pid)
    assert scene.start(os.getpid).result(WAIT) != pid


def test_what_a_dying_process_printed_last_is_in_the_error(scene: Scene):
    def body() -> None:
        os.write(2, b"the disk is on fire\n")
        os._exit(1)

    task = scene.start(body)
    assert task.wait(WAIT)
    assert "It printed last:\nthe disk is on fire" in str(task.error)
    assert task.logs == ["the disk is on fire"]


def test_what_a_body_prints_goes_to_its_log_only(scene: Scene, capfd: pytest.CaptureFixture[str]):
    def body() -> None:
        print("one\ntwo")
        print("  0%", end="\r")
        print(" 50%", end="\r")
        print("100%")
        print("äöü 語 🎉", file=sys.stderr)
        logging.getLogger("somewhere").warning("careful")
        thread = threading.Thread(target=print, args=("from a thread",))
        thread.start()
        thread.join()
        print("unended", end="")

    task = scene.start(body)
    task.result(WAIT)
    assert sorted(task.logs) == sorted(
        ["one", "two", "100%", "äöü 語 🎉", "WARNING careful", "from a thread", "unended"]
    )
    assert task.logs.index("one") < task.logs.index("two") < task.logs.index("100%")
    assert capfd.readouterr() == ("", "")


def test_a_flood_of_progress_and_lines_ends_in_the_newest(scene: Scene):
    def body() -> None:
        for step in track(range(20_000), "steps"):
            print(step)

    task = scene.start(body)
    task.result(WAIT)
    assert task.progress[:3] == (20_000, 20_000, "steps")
    assert task.logs[-1] == "19999"


def test_a_body_reads_nothing_and_cannot_spoil_the_pipes(scene: Scene):
    def body() -> Any:
        print("print", flush=True)
        sys.stdout.buffer.write(b"bytes\n")
        sys.stdout.flush()
        os.write(1, b"raw\n")
        subprocess.run(["echo", "a program"], check=True)
        return sys.stdin.read()

    assert scene.start(body).result(WAIT) == ""
    assert scene.start(lambda: "fine").result(WAIT) == "fine"


def test_a_body_that_does_not_end_after_its_cancel_is_killed_with_all_it_started(scene: Scene):
    scene.use(1, grace_s=0.0)
    gate, notes = scene.gate(), scene.notes

    def body(gate: Any) -> None:
        child = subprocess.Popen(["sleep", "600"])
        notes.add([os.getpid(), child.pid])
        gate.wait()

    task = scene.start(body, gate=gate)
    assert gate.reached.wait(WAIT)
    task.cancel()
    for pid in notes.all()[0]:
        wait_gone(pid)
    assert scene.start(lambda: "next").result(WAIT) == "next"


def test_a_body_that_ends_by_itself_in_the_grace_is_not_killed(scene: Scene):
    scene.use(1, grace_s=600.0)
    gate, cleaned, notes = scene.gate(), scene.gate(), scene.notes
    cleaned.open()

    def body(gate: Any, cleaned: Any) -> None:
        gate.wait()
        try:
            while True:
                for _ in track(range(1000)):
                    pass
        finally:
            notes.add([os.getpid(), cancelled()])
            cleaned.wait()

    task = scene.start(body, gate=gate, cleaned=cleaned)
    assert gate.reached.wait(WAIT)
    task.cancel("enough")
    gate.open()
    assert cleaned.reached.wait(WAIT)
    ((pid, was_cancelled),) = notes.all()
    assert was_cancelled
    assert exists(pid)


def test_a_coroutine_in_a_process_is_cancelled_where_it_waits(scene: Scene):
    scene.use(1, grace_s=600.0)
    gate, cleaned = scene.gate(), scene.gate()

    async def body(gate: Any, cleaned: Any) -> None:
        try:
            await gate.wait_async()
            await asyncio.Event().wait()
        finally:
            cleaned.wait()

    cleaned.open()
    task = scene.start(body, gate=gate, cleaned=cleaned)
    assert gate.reached.wait(WAIT)
    task.cancel()
    gate.open()
    assert cleaned.reached.wait(WAIT)


def test_coroutines_and_asynchronous_generators_run_in_a_process(scene: Scene):
    async def coroutine() -> int:
        await asyncio.sleep(0)
        return os.getpid()

    async def generator() -> Any:
        yield "line"
        yield 42

    assert scene.start(coroutine).result(WAIT) != os.getpid()
    task = scene.start(generator)
    assert task.result(WAIT) == 42
    assert task.logs == ["line"]


def test_a_time_out_ends_the_process(scene: Scene):
    scene.use(1, grace_s=0.0)
    gate, notes = scene.gate(), scene.notes

    def body(gate: Any) -> None:
        notes.add(os.getpid())
        gate.wait()

    task = scene.start(body, timeout=0.05, gate=gate)
    assert task.wait(WAIT)
    assert task.status == "timed_out"
    for pid in [*notes.all(), *scene.runner.process_ids]:
        wait_gone(pid)


def test_what_cannot_be_sent_fails_its_task_and_the_worker_stays(scene: Scene):
    pid = scene.start(os.getpid).result(WAIT)
    lock = threading.Lock()
    for body, arguments in ((lambda: lock, {}), (lambda lock: 1, {"lock": lock}), (threading.Lock, {})):
        task = scene.start(body, **arguments)
        assert task.wait(WAIT)
        assert isinstance(task.error, TaskTransferError)
    assert scene.start(os.getpid).result(WAIT) == pid


def test_large_arguments_and_values_go_both_ways(scene: Scene):
    data = os.urandom(20_000_000)
    assert scene.start(lambda data: data, data=data).result(WAIT) == data


def test_a_cancel_while_the_arguments_are_on_their_way_ends_the_task(scene: Scene):
    scene.use(1)
    begun = threading.Event()
    scene.manager.subscribe(lambda task, kind: begun.set(), ["started"])
    task = scene.start(lambda data: None, data=os.urandom(50_000_000))
    assert begun.wait(WAIT)
    task.cancel()
    assert isinstance(task.error, TaskCancelledError)
    assert scene.start(lambda: "next").result(WAIT) == "next"


def test_an_idle_worker_ends(scene: Scene):
    scene.use(1, idle_s=0.0)
    wait_gone(scene.start(os.getpid).result(WAIT))
    assert scene.start(lambda: "next").result(WAIT) == "next"


def test_closing_ends_all_workers_and_fails_what_runs_and_more_may_be_started(scene: Scene):
    gate = scene.gate()
    task = scene.start(lambda gate: gate.wait(), gate=gate)
    assert gate.reached.wait(WAIT)
    pids = scene.runner.process_ids
    scene.runner.close()
    scene.runner.close()
    assert task.wait(WAIT)
    assert isinstance(task.error, TaskWorkerError)
    for pid in pids:
        wait_gone(pid)
    assert scene.start(lambda: "next").result(WAIT) == "next"


def test_a_thousand_tasks_that_are_cancelled_before_their_start_start_no_process(scene: Scene):
    scene.use(1)
    gate = scene.gate()
    first = scene.start(lambda gate: gate.wait(), gate=gate)
    assert gate.reached.wait(WAIT)
    for task in [scene.start(os.getpid) for _ in range(1000)]:
        task.cancel()
    gate.open()
    first.result(WAIT)
    scene.manager.shutdown()
    assert len(scene.runner.process_ids) == 1


@pytest.mark.parametrize("options", [{"grace_s": -1.0}, {"idle_s": -1.0}, {"grace_s": float("nan")}])
def test_impossible_options_are_refused(options: dict[str, float]):
    with pytest.raises(ValueError, match="must be 0 seconds or more"):
        ProcessRunner(1, **options)


def test_a_manager_bounds_its_processes_by_its_workers():
    manager = AsyncToolManager(max_workers=1, runner="process")
    runner = runner_of("process", manager)
    assert isinstance(runner, ProcessRunner)
    assert len({manager.start("pid", os.getpid, {}).result(WAIT) for _ in range(3)}) == 1
    runner.close()


def program(text: str, tmp_path: Path) -> subprocess.Popen[str]:
    """Start a program that uses processes and that has no guard for its main module."""
    path = tmp_path / "program.py"
    head = """
        import os, sys, threading
        from backchannel.tasks import AsyncToolManager
        manager = AsyncToolManager()
        manager.runner = "process"
        def body():
            os.write(2, f"{os.getpid()}\\n".encode())
            threading.Event().wait()
        started = threading.Event()
        manager.subscribe(lambda task, kind: started.set(), ["logged"])
    """
    path.write_text(textwrap.dedent(head) + textwrap.dedent(text))
    return subprocess.Popen([sys.executable, str(path)], stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True)


def test_functions_of_a_main_module_without_a_guard_run(tmp_path: Path):
    with program("""print(manager.start("add", lambda a: a + 1, {"a": 41}).result(20))""", tmp_path) as process:
        assert process.communicate(timeout=WAIT)[0] == "42\n"
        assert process.returncode == 0


def test_the_exit_of_the_program_waits_for_no_task_and_leaves_no_process(tmp_path: Path):
    text = """
        task = manager.start("body", body, {})
        started.wait(20)
        print(task.logs[0])
    """
    with program(text, tmp_path) as process:
        said = process.communicate(timeout=WAIT)[0]
        assert process.returncode == 0
    wait_gone(int(said))


def test_a_program_that_is_killed_leaves_no_process(tmp_path: Path):
    text = """
        task = manager.start("body", body, {})
        started.wait(20)
        print(task.logs[0], flush=True)
        sys.stdin.read()
    """
    with program(text, tmp_path) as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        process.kill()
        process.wait(WAIT)
        wait_gone(pid)
