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
_START = """
runs = [count(number=number) for number in range({tasks})]
while len(gates) < {tasks}:
    time.sleep(0.01)
"""
_REPORT = """
def cpu_s():
    threads = [thread for thread in threading.enumerate() if thread.name in {threads}]
    assert len(threads) == {count}, threads
    return sum(time.clock_gettime(time.pthread_getcpuclockid(thread.ident)) for thread in threads)

def sweep(steps, rate, found):
    began, used = time.monotonic(), time.thread_time()
    for step in range(steps):
        for run in runs:
            run.report(step, steps, None)
        time.sleep(max(0.0, began + (step + 1) / rate - time.monotonic()))
    found.update(reporting_s=time.thread_time() - used, lasted_s=time.monotonic() - began)

found, before = {{}}, cpu_s()
reporter = threading.Thread(target=sweep, args=({steps}, {rate}, found))
reporter.start()
reporter.join()
print(json.dumps(found | {{"used_s": cpu_s() - before}}))
"""
_END = """
for loop, gate in gates:
    loop.call_soon_threadsafe(gate.set)
for run in runs:
    run.wait()
"""


@dataclass(frozen=True, slots=True)
class BoardLoad:
    """``tasks`` in a real kernel, each reporting ``rate`` times a second for ``seconds``, and one page that reads.

    One thread makes all reports, on a fixed schedule: a busy machine makes no fewer of them.
    """

    tasks: int = 1000
    rate: int = 20
    seconds: float = 5.0

    def measure(self, runs: int) -> list[Figure]:
        try:
            from tests.kernel.front_end import FrontEnd
        except ImportError as error:
            raise UnavailableError(f"the board needs a checkout with the group 'test' installed ({error})") from error
        front_end = FrontEnd()
        try:
            return self._figures(front_end, runs)
        finally:
            front_end.close()

    def _figures(self, front_end: FrontEnd, runs: int) -> list[Figure]:
        _good(front_end.run("%load_ext backchannel"))
        _good(front_end.run(_TOOL))
        page = _Page(front_end, front_end.widget("board"))
        _good(page.read_until_over(front_end.start(_START.format(tasks=self.tasks))))
        steps = int(self.seconds * self.rate)
        code = _REPORT.format(threads=THREADS, count=len(THREADS), steps=steps, rate=self.rate)
        cores: list[float] = []
        reports: list[float] = []
        messages: list[float] = []
        rates: list[float] = []
        for run in range(runs + 1):
            told = page.messages
            found = json.loads(_good(page.read_until_over(front_end.start(code))).text)
            if run:  # the first one warms up
                cores.append(found["used_s"] / found["lasted_s"])
                reports.append(found["reporting_s"] / (self.tasks * steps) * 1e6)
                messages.append((page.messages - told) / found["lasted_s"])
                rates.append(self.tasks * steps / found["lasted_s"])
        _good(page.read_until_over(front_end.start(_END)))
        made, wanted = median(rates), self.tasks * self.rate
        if made < 0.9 * wanted:
            raise UnavailableError(f"this machine is too busy: {made:,.0f} of {wanted:,} updates a second were made")
        load = f"{self.tasks} tasks with {self.rate} updates a second"
        return [
            Figure(f"{load}: coalescing and sending", "cores", cores, target=Target(0.1)),
            Figure(f"{load}: messages to the page", "messages/s", messages, target=Target(30.5)),
            Figure(f"{load}: one report, in the task's thread", "µs", reports),
        ]


class _Page:
    """Reads rows and acknowledges them, as JupyterLab's page does."""

    def __init__(self, front_end: FrontEnd, board: str) -> None:
        from backchannel.notebook import wire

        self._front_end = front_end
        self._board = board
        self._read = 0
        self.messages = 0
        self._ack = wire.Ack
        self._pack = wire.pack
        front_end.send(board, wire.pack(wire.Hello("page", wire.VERSION, lab=True)))

    def read_until_over(self, cell: Cell) -> Cell:
        """Read all messages until a cell is over."""

        def over() -> bool:
            log = self._front_end.log
            for message in log[self._read :]:
                self._take(message)
            self._read = len(log)
            return cell.over

        self._front_end.until(over, "a cell of the benchmark")
        # Cell looks at all messages each time; without those that were read it stays quick.
        log = self._front_end.log
        log[:] = [message for message in log if message["parent_header"].get("msg_id") == cell.msg_id]
        self._read = len(log)
        return cell

    def _take(self, message: dict[str, Any]) -> None:
        if message["msg_type"] != "comm_msg" or message["content"]["comm_id"] != self._board:
            return
        content = message["content"]["data"].get("content") or {}
        if content.get("k") == "rows":
            self.messages += 1
            self._front_end.send(self._board, self._pack(self._ack("page", 0, content["version"])))


def _good(cell: Cell) -> Cell:
    if cell.error:
        raise RuntimeError(f"a cell of the benchmark failed: {cell.error}")
    return cell
