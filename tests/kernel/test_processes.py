"""Functions typed in a notebook, in processes of their own."""

from __future__ import annotations

import os
import select

import pytest

from .front_end import FrontEnd

pytestmark = pytest.mark.kernel
WAIT = 20.0

DECLARE = '''
import os
from backchannel import async_tool, track
base = 40

class Answer:
    def __init__(self, value):
        self.value = value

@async_tool(runner="process")
def add(more: int) -> Answer:
    """Add to the base."""
    for _ in track(range(3), "steps"):
        print("one step")
    return Answer((base + more, os.getpid()))
'''


def test_a_function_of_a_cell_runs_in_a_process_that_ends_with_the_kernel(front_end: FrontEnd) -> None:
    assert front_end.run(DECLARE).error == ""
    cell = front_end.run(
        "task = add(2); answer = task.result(20)\n"
        "print(type(answer) is Answer, answer.value[0], task.logs, task.progress.done, answer.value[1] != os.getpid())"
    )
    assert cell.error == ""
    assert cell.text == "True 42 ['one step', 'one step', 'one step'] 3 True\n"
    pid = int(front_end.run("print(answer.value[1])").text)
    descriptor = os.pidfd_open(pid)
    try:
        front_end.close()
        assert select.select([descriptor], [], [], WAIT)[0], "the process outlives the kernel"
    finally:
        os.close(descriptor)
