"""Background tasks in a notebook that has not loaded the extension."""

from __future__ import annotations

import pytest

from .front_end import FrontEnd

pytestmark = pytest.mark.kernel

DECLARE = """
import asyncio, threading, time
from backchannel import AsyncAgent, AsyncToolManager, async_tool
manager = AsyncToolManager()
gate = threading.Event()

@async_tool(manager)
async def look(name: str) -> str:
    print("looking")
    await asyncio.to_thread(gate.wait)
    return f"found {name}"
"""


def test_a_cell_waits_for_a_coroutine_and_an_interrupt_ends_the_wait_only(front_end: FrontEnd) -> None:
    assert front_end.run(DECLARE).error == ""
    cell = front_end.start("task = look('sales'); print('waiting', flush=True); task.result()")
    front_end.until(lambda: "waiting" in cell.text, "the cell to wait")
    front_end.interrupt()
    assert "KeyboardInterrupt" in cell.wait().error
    cell = front_end.run("print(task.status); gate.set(); print(task.result(20), await task, task.logs)")
    assert (cell.error, cell.text) == ("", "running\nfound sales found sales ['looking']\n")


def test_an_agent_is_told_while_a_cell_blocks(front_end: FrontEnd) -> None:
    assert front_end.run(DECLARE).error == ""
    cell = front_end.run(
        "told = threading.Event()\n"
        "async def agent(prompt):\n"
        "    await asyncio.sleep(0)\n"
        "    return prompt\n"
        "talk = AsyncAgent(agent, manager, on_reply=lambda answer: print('found sales' in answer) or told.set())\n"
        "print(talk.send('hello').result(20)); gate.set(); task = look('sales'); print(told.wait(20), talk.join(20))"
    )
    assert cell.error == ""
    assert sorted(cell.text.split()) == ["True", "True", "True", "hello"]


def test_what_an_agent_says_of_results_belongs_to_the_cell_that_made_it(front_end: FrontEnd) -> None:
    assert front_end.run(DECLARE).error == ""
    made = front_end.run(
        "talk = AsyncAgent(lambda prompt: print('asked') or 'told', manager, on_reply=print); print('made')"
    )
    cell = front_end.run("gate.set(); task = look('sales'); print(talk.join(20))")
    assert (cell.error, cell.text) == ("", "True\n")
    front_end.until(lambda: made.text == "made\nasked\ntold\n", "the answer to appear")


def test_what_is_printed_at_the_end_of_a_task_belongs_to_the_cell_that_started_it(front_end: FrontEnd) -> None:
    assert front_end.run(DECLARE).error == ""
    front_end.run("import sys; manager.on_complete = lambda result: sys.stdout.write(f'complete {result.result}\\n')")
    started = front_end.run("task = manager.start('wait', gate.wait, {}); other = look('sales'); print('started')")
    cell = front_end.run("gate.set(); task.result(20), other.result(20); print('over')")
    assert (cell.error, cell.text) == ("", "over\n")
    front_end.until(lambda: len(started.text.splitlines()) == 3, "both ends to be printed")
    assert sorted(started.text.splitlines()) == ["complete True", "complete found sales", "started"]
