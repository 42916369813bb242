"""BoardLoad: what it costs a kernel to bring the progress of many tasks to a page."""

from __future__ import annotations

import json
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

from .figures import Figure, Target, UnavailableError

if TYPE_CHECKING:
    from tests.kernel.front_end import Cell, FrontEnd

__all__ = ["BoardLoad"]

THREADS = ("backchannel-loop", "IOPub")
"""The kernel's threads that coalesce and that send."""

_TOOL = """%%async_tool
import asyncio, json, threading, time
gates = []

async def count(number: int) -> int:
    "Wait for the end."
    gate = asyncio.Event()
    gates.append((asyncio.get_running_loop(), gate))
    await gate.wait()
    return number
"""
_QUEUE = """%%async_tool --limit 1
async def take_turns(number: int) -> int:
    "Wait for the end, one at a time."
    return await count.fn(number)
"""
_START = """
runs = [{tool}(number=number) for number in range({tasks})]
while len(gates) < {running}:
    time.sleep(0.01)
"""
_REPORT = """
def cpu_s():
    threads = [thread for thread in threading.enumerate() if thread.name in {threads}]
    assert len(threads) == {count}, threads
    return sum(time.clock_gettime(time.pthread_getcpuclockid(thread.ident)) for thread in threads)

def sweep(runs, steps, rate, found):
    began, used = time.monotonic(), time.thread_time()
    for step in range(steps):
        for run in runs:
            run.report(step, steps, None)
        time.sleep(max(0.0, began + (step + 1) / rate - time.monotonic()))
    found.update(reporting_s=time.thread_time() - used, lasted_s=time.monotonic() - began)

def noting_s(runs, times):
    used = time.thread_time()
    for _ in range(times):
        for run in runs:
            for listener in run.manager.listeners["progressed"]:
                listener(run, "progressed")
    return (time.thread_time() - used) / times

found, before = {{}}, cpu_s()
reporter = threading.Thread(target=sweep, args=(runs[:{running}], {steps}, {rate}, found))
reporter.start()
reporter.join()
used_s = cpu_s() - before
print(json.dumps(found | {{"used_s": used_s, "noting_s": noting_s(runs[:{running}], 20)}}))
"""
_END = """
for run in runs:
    run.cancel()
gates.clear()
"""


@dataclass(frozen=True, slots=True)
class BoardLoad:
    """``tasks`` in a real kernel, each reporting ``rate`` times a second for ``seconds``, and one page that reads.

    One thread makes all reports, on a fixed schedule: a busy machine makes no fewer of them. The same again with a
    few tasks, whose messages are short, and with one that runs while ``queued`` others wait. What coalescing and
    sending take is read off the processor clocks of the two threads that do it; to that comes what each report spends
    in its own thread to note itself there.
    """

    tasks: int = 1000
    few: int = 10
    queued: int = 10_000
    rate: int = 100
    seconds: float = 3.0

    def measure(self, runs: int) -> list[Figure]:
        try:
            from tests.kernel.front_end import FrontEnd
        except ImportError as error:
            raise UnavailableError(f"the board needs a checkout with the group 'test' installed ({error})") from error
        front_end = FrontEnd()
        try:
            page = _Page(front_end)
            page.run("%load_ext backchannel")
            for tool in (_TOOL, _QUEUE):
                page.run(tool)
                page.open(front_end.widget("board"))
            figures = [
                *self._figures(page, "count", self.tasks, self.tasks, runs),
                *self._figures(page, "count", self.few, self.few, runs),
                *self._figures(page, "take_turns", self.queued, 1, runs),
            ]
            # A kernel that is ended in the middle of a large message says so at length.
            page.run(f"time.sleep({0.5 + self.queued / 5000})")
            return figures
        finally:
            front_end.close()

    def _figures(self, page: _Page, tool: str, tasks: int, running: int, runs: int) -> list[Figure]:
        page.run(_START.format(tool=tool, tasks=tasks, running=running))
        steps = int(self.seconds * self.rate)
        code = _REPORT.format(threads=THREADS, count=len(THREADS), steps=steps, rate=self.rate, running=running)
        cores: list[float] = []
        reports: list[float] = []
        messages: list[float] = []
        rates: list[float] = []
        for run in range(runs + 1):
            told = page.messages
            found = json.loads(page.run(code).text)
            if run:  # the first one warms up
                cores.append(found["used_s"] / found["lasted_s"] + found["noting_s"] * self.rate)
                reports.append(found["reporting_s"] / (running * steps) * 1e6)
                messages.append((page.messages - told) / found["lasted_s"])
                rates.append(running * steps / found["lasted_s"])
        page.run(_END)
        made, wanted = median(rates), running * self.rate
        if made < 0.9 * wanted:
            raise UnavailableError(f"this machine is too busy: {made:,.0f} of {wanted:,} updates a second were made")
        load = f"{tasks:,} tasks with {self.rate} updates a second each"
        if running < tasks:
            load = f"{running} task with {self.rate} updates a second, {tasks - running:,} queued"
        figures = [
            Figure(f"{load}: coalescing and sending", "cores", cores, target=Target(0.1)),
            Figure(f"{load}: messages to the page", "messages/s", messages, target=Target(30.5)),
        ]
        if running == self.tasks:
            figures.append(Figure(f"{load}: one report, in the task's thread", "µs", reports))
        return figures


class _Page:
    """Reads the rows of boards and acknowledges them, as JupyterLab's page does.

    Attributes:
        messages: How many messages with rows came, of all boards.
    """

    def __init__(self, front_end: FrontEnd) -> None:
        from backchannel.notebook import wire

        self._front_end = front_end
        self._boards: set[str] = set()
        self._read = 0
        self.messages = 0
        self._wire = wire

    def open(self, board: str) -> None:
        """Show a board."""
        self._boards.add(board)
        self._front_end.send(board, self._wire.pack(self._wire.Hello("page", self._wire.VERSION, lab=True)))

    def run(self, code: str) -> Cell:
        """Run a cell to its end, and read meanwhile.

        Raises:
            RuntimeError: If the cell raised.
        """
        front_end = self._front_end
        cell = front_end.start(code)

        def over() -> bool:
            for message in front_end.log[self._read :]:
                self._take(message)
            self._read = len(front_end.log)
            return cell.over

        front_end.until(over, "a cell of the benchmark")
        # Cell looks at all messages each time; without those that were read it stays quick.
        log = front_end.log
        log[:] = [
            message
            for message in log
            if message["parent_header"].get("msg_id") == cell.msg_id or message["msg_type"] == "comm_open"
        ]
        self._read = len(log)
        if cell.error:
            raise RuntimeError(f"a cell of the benchmark failed: {cell.error}")
        return cell

    def _take(self, message: dict[str, Any]) -> None:
        if message["msg_type"] != "comm_msg" or message["content"]["comm_id"] not in self._boards:
            return
        content = message["content"]["data"].get("content") or {}
        if content.get("k") == "rows":
            self.messages += 1
            ack = self._wire.Ack("page", 0, content["version"])
            self._front_end.send(message["content"]["comm_id"], self._wire.pack(ack))
