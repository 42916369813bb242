"""A kernel that is restarted, or killed: what became of its tasks."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from .front_end import FrontEnd

pytestmark = pytest.mark.kernel

DECLARE = """
import json, time
from backchannel import AsyncAgent, async_tool
from backchannel.tasks import AsyncToolManager, cancelled, set_default_manager
manager = AsyncToolManager(ledger={path!r})
set_default_manager(manager)

@async_tool
def add(a: int, b: int) -> int:
    "Add."
    return a + b

@async_tool
def nap(seconds: float) -> str:
    "Sleep."
    time.sleep(seconds)
    return "awake"

@async_tool
def watch() -> str:
    "Wait for the end."
    while not cancelled():
        time.sleep(0.01)
    raise RuntimeError("it was to end")
"""
BEGIN = """
class Someone:
    def __call__(self, prompt): return "fine"
held = []
agent = AsyncAgent(held.append, manager)
result = add(1, 2).result()
agent.join(20)
late = manager.start("late", lambda: 42, {}, owner=Someone()); late.result()
nap(600); watch(); token = manager.defer("approve", {"invoice": "A-1"}).token
"""
LOOK = """
rows = [(task.number, task.snapshot()["status"], task.snapshot()["error"]) for task in manager.tasks]
print(json.dumps(rows))
"""


def printed(front_end: FrontEnd, code: str) -> Any:
    cell = front_end.run(code)
    assert cell.error == ""
    return json.loads(cell.text)


def restarted(front_end: FrontEnd, *, now: bool) -> float:
    """Restart the kernel as JupyterLab does, or kill it; returns how long that took, seconds."""
    begun = time.monotonic()
    front_end.manager.restart_kernel(now=now)
    took = time.monotonic() - begun
    front_end.client.wait_for_ready(timeout=30)
    return took


@pytest.mark.parametrize("now", [False, True], ids=["restarted", "killed"])
def test_after_a_restart_results_are_delivered_and_the_rest_is_lost_or_open(
    front_end: FrontEnd, tmp_path: Path, now: bool
) -> None:
    declare = DECLARE.format(path=str(tmp_path / "tasks.jsonl"))
    assert front_end.run(declare).error == ""
    assert front_end.run(BEGIN).error == ""
    token = front_end.run("print(token)").text.strip()

    took = restarted(front_end, now=now)
    # JupyterLab's patience is 5 s; after half of it the kernel gets a signal that ends it at once.
    assert took < 10

    assert front_end.run(declare).error == ""
    rows = printed(front_end, LOOK)
    asked = "lost" if now else "cancelled"
    assert [row[:2] for row in rows] == [[1, "done"], [2, "done"], [3, "lost"], [4, asked], [5, "running"]]
    assert "run again" in rows[2][2]
    told = printed(
        front_end,
        """
        heard = []
        with AsyncAgent(heard.append, manager) as agent:
            agent.join(20)
        print(json.dumps(heard))
        """,
    )
    (message,) = told
    assert "3 background tasks" in message
    assert "Result: 42" in message
    assert "was lost" in message
    assert "Result: 3" not in message

    assert printed(front_end, f"manager.resolve({token!r}, 'paid'); print(json.dumps(manager.task(5).value))") == "paid"
    again = "again = manager.task(3).run_again(); print(json.dumps([again.number, again.arguments])); again.cancel()"
    assert printed(front_end, again) == [6, {"seconds": 600}]
