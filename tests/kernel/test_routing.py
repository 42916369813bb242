"""A widget's message must reach us while a cell runs: each cell here ends only when one has."""

from __future__ import annotations

import pytest

from .front_end import Cell, FrontEnd

pytestmark = pytest.mark.kernel

SETUP = """
import contextvars, threading, time, comm
from IPython import get_ipython
from backchannel.notebook.routing import Routing

arrived, LIMIT_S = threading.Event(), 15
line = comm.create_comm(target_name="test", comm_id="line")
routing = Routing(get_ipython().kernel)
context = contextvars.copy_context()
def receive(content, buffers):
    context.copy().run(line.send, {"n": content["n"], "bytes": [bytes(buffer).hex() for buffer in buffers]})
    arrived.set()
"""
WATCH = "routing.install(); routing.watch(line, receive); print(routing.route)"
ONLY_SUBSHELL = """
routing.watch(line, receive)
line.on_msg(lambda message: receive(message["content"]["data"]["content"], message["buffers"]))
"""
SLEEPING = 'print("busy", flush=True); print("heard" if arrived.wait(LIMIT_S) else "deaf")'
COMPUTING = """
print("busy", flush=True)
end = time.monotonic() + LIMIT_S
while not arrived.is_set() and time.monotonic() < end:
    sum(range(1000))
print("heard" if arrived.is_set() else "deaf")
"""
AWAITING = """
import asyncio
print("busy", flush=True)
await asyncio.to_thread(arrived.wait, LIMIT_S)
print("heard" if arrived.is_set() else "deaf")
"""


def begin(front_end: FrontEnd, code: str) -> Cell:
    """Start a cell and return when it is busy."""
    cell = front_end.start(code)
    front_end.until(lambda: "busy" in cell.text, "the cell to be busy")
    return cell


@pytest.mark.parametrize("code", [SLEEPING, COMPUTING, AWAITING], ids=["sleeping", "computing", "awaiting"])
def test_a_message_is_answered_while_a_cell_is_busy_without_any_subshell(front_end: FrontEnd, code: str) -> None:
    assert front_end.run(SETUP + WATCH).text == "shell-channel\n"
    cell = begin(front_end, code)
    sent = front_end.send("line", {"n": 7}, [b"\x01\xff"])
    assert cell.wait().text == "busy\nheard\n"
    kinds = [item["msg_type"] for item in front_end.log]
    answer = next(item for item in front_end.log if item["msg_type"] == "comm_msg")
    assert answer["content"]["data"] == {"n": 7, "bytes": ["01ff"]}
    statuses = [item for item in front_end.log if item["parent_header"].get("msg_id") == sent]
    assert [item["content"]["execution_state"] for item in statuses if item["msg_type"] == "status"] == ["idle"]
    assert kinds.index("comm_msg") < kinds.index("status", kinds.index("comm_msg"))


def test_with_a_subshell_the_message_is_answered_there_even_after_a_cell_used_the_comm(front_end: FrontEnd) -> None:
    front_end.run(SETUP + ONLY_SUBSHELL)
    subshell = front_end.create_subshell()
    cell = begin(front_end, 'line.send({"from": "the cell"}); ' + SLEEPING)
    front_end.send("line", {"n": 7}, subshell=subshell)
    assert cell.wait().text == "busy\nheard\n"


def test_other_messages_take_their_usual_way(front_end: FrontEnd) -> None:
    front_end.run(SETUP + WATCH)
    front_end.run('other = comm.create_comm(target_name="test", comm_id="other"); seen = []; other.on_msg(seen.append)')
    sent = front_end.send("other", {"n": 1})
    front_end.until(
        lambda: [
            item
            for item in front_end.log
            if item["parent_header"].get("msg_id") == sent and item["content"].get("execution_state") == "idle"
        ],
        "the other comm's message to be handled",
    )
    assert front_end.run("print(len(seen), arrived.is_set())").text == "1 False\n"


def test_a_receiver_that_fails_costs_its_message_only(front_end: FrontEnd) -> None:
    front_end.run(SETUP + "def receive(content, buffers): arrived.set(); 1 / 0\n" + WATCH)
    front_end.send("line", {"n": 1})
    assert front_end.run("print(arrived.wait(LIMIT_S))").text == "True\n"


def test_a_kernel_with_everything_installed_shuts_down(front_end: FrontEnd) -> None:
    front_end.run(SETUP + WATCH)
    process = front_end.manager.provisioner.process
    front_end.close()
    assert process.poll() == 0
