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
