"""A manager in a forked child: it works, and what its parent runs is the parent's."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")

HEAD = """
import os, sys, threading, time, warnings
warnings.simplefilter("ignore", DeprecationWarning)
from backchannel import AsyncToolManager, async_tool
from backchannel.errors import TaskError
manager = AsyncToolManager(max_workers=2, max_coroutines=2, max_running=3)
go = threading.Event()
@async_tool(manager)
def plain(x: int = 1) -> int:
    return x * 2
@async_tool(manager)
async def coroutine(x: int = 1) -> int:
    return x * 2
@async_tool(manager, timeout=0.2)
def slow() -> int:
    go.wait(20)
@async_tool(manager)
def waits() -> int:
    return go.wait(20)
def child(work):
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            work()
            code = 0
        except BaseException:
            import traceback; traceback.print_exc()
        finally:
            sys.stdout.flush(); sys.stderr.flush(); os._exit(code)
    until = time.monotonic() + 15
    while time.monotonic() < until:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            assert os.waitstatus_to_exitcode(status) == 0, status
            return
        time.sleep(0.02)
    os.kill(pid, 9)
    raise AssertionError("the child hangs")
"""


def run(code: str) -> None:
    done = subprocess.run([sys.executable, "-c", HEAD + code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("used", [False, True])
def test_a_child_runs_tasks_of_every_kind(used: bool) -> None:
    run(
        f"""
def use():
    assert plain(2).result(5) == 4
    assert coroutine(3).result(5) == 6
    task = slow(); task.wait(5); assert task.status == "timed_out", task.status
if {used}: use()
child(use)
child(lambda: child(use))
use()
"""
    )


def test_tasks_of_the_parent_are_lost_to_the_child_and_take_none_of_its_places() -> None:
    run(
        """
running = [waits() for _ in range(5)]
deadline = time.monotonic() + 5
while sum(task.status == "running" for task in running) < 2 and time.monotonic() < deadline: time.sleep(0.01)
def work():
    for task in running:
        try: task.result(2)
        except TaskError as error: assert "forked" in str(error), error
        else: raise AssertionError("it has a result")
        assert task.status == "lost"
    assert manager.pending_count == 0
    assert [plain(n).result(5) for n in range(4)] == [0, 2, 4, 6]
    manager.shutdown()
child(work)
assert {task.status for task in running} <= {"running", "queued"}
go.set()
assert [task.result(5) for task in running] == [True] * 5
"""
    )


def test_a_lock_that_another_thread_held_hangs_no_child() -> None:
    run(
        """
held, release = threading.Event(), threading.Event()
def hold():
    with manager.lock:
        held.set(); release.wait(20)
plain().result(5)
threading.Thread(target=hold, daemon=True).start(); held.wait(5)
child(lambda: plain(4).result(5))
release.set()
"""
    )


def test_a_child_made_inside_a_tool_or_a_running_loop_works() -> None:
    run(
        """
@async_tool(manager)
def forks():
    child(lambda: plain(1).result(5))
    return "forked"
assert forks().result(20) == "forked"
import asyncio
async def main():
    child(lambda: coroutine(1).result(5))
asyncio.run(main())
"""
    )


def test_a_child_writes_nothing_to_the_ledger_of_its_parent(tmp_path: Path) -> None:
    path = tmp_path / "tasks.jsonl"
    run(
        f"""
manager.keep({str(path)!r})
plain(1).result(5)
child(lambda: plain(7777777777).result(5))
plain(2).result(5)
manager.shutdown()
text = open({str(path)!r}).read()
assert "7777777777" not in text
"""
    )


def test_agents_work_in_a_child_or_refuse_in_words() -> None:
    run(
        """
import asyncio
from backchannel import AsyncAgent, BidiAgent, ScriptedModel
from backchannel.errors import AgentStateError
from backchannel.notebook.loop_thread import LoopThread
talk = AsyncAgent(lambda prompt: prompt.upper(), manager)
assert talk.send("a").result(5) == "A"
thread = LoopThread()
thread.start()
agent = BidiAgent(ScriptedModel())
asyncio.run_coroutine_threadsafe(agent.start(), thread.loop).result(5)
def work():
    assert talk.send("b").result(5) == "B"
    try: thread.loop
    except RuntimeError as error: assert "forked" in str(error)
    else: raise AssertionError("no refusal")
    async def voice():
        try: await asyncio.wait_for(agent.send("x"), 3)
        except AgentStateError as error: assert "forked" in str(error), error
        else: raise AssertionError("no refusal")
        await asyncio.wait_for(agent.stop(), 3)
        assert not agent.started
    asyncio.run(voice())
child(work)
assert agent.started
asyncio.run_coroutine_threadsafe(agent.stop(), thread.loop).result(10)
thread.stop()
"""
    )
