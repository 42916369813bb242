"""The worker process: runs one body after the other for a `ProcessRunner`, and ends with whoever started it."""

from __future__ import annotations

import faulthandler
import functools
import os
import queue
import signal
import sys
import threading
from typing import IO, Any

from .frames import read_frame, write_frame
from .mirror import BodyRun
from .reporter import Report, Reporter
from .transfer import Parcel

__all__ = ["main"]


class _Channel:
    """The pipes to the parent, out of the reach of the bodies' own input and output."""

    def __init__(self) -> None:
        incoming, outgoing = os.dup(0), os.dup(1)
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.close(nothing)
        # What C code and other programs print goes to the parent as it comes.
        os.dup2(2, 1)
        self._incoming: IO[bytes] = os.fdopen(incoming, "rb")
        self._outgoing: IO[bytes] = os.fdopen(outgoing, "wb")
        self._lock = threading.Lock()
        if hasattr(os, "register_at_fork"):
            # A child of a body must not keep the pipes open: their end says that this process has ended.
            for pipe in (incoming, outgoing):
                os.register_at_fork(after_in_child=functools.partial(os.close, pipe))

    def send(self, *message: Any) -> None:
        with self._lock:
            write_frame(self._outgoing, message)

    def receive(self) -> tuple[Any, ...] | None:
        return read_frame(self._incoming)


class _Worker:
    def __init__(self) -> None:
        self._channel = _Channel()
        self._work: queue.SimpleQueue[tuple[int, Parcel]] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._number = 0
        self._run: BodyRun | None = None
        self._ending: tuple[int, str, str] | None = None

    def main(self) -> None:
        threading.Thread(target=self._listen, name="backchannel-orders", daemon=True).start()
        self._channel.send("ready")
        while True:
            self._carry(*self._work.get())

    def _listen(self) -> None:
        while (message := self._channel.receive()) is not None:
            if message[0] == "run":
                self._work.put((message[1], message[2]))
            else:
                self._end(*message[1:])
        _end_all()

    def _end(self, number: int, status: Any, reason: str) -> None:
        with self._lock:
            self._ending = (number, status, reason)
            run = self._run if self._number == number else None
        if run is not None:
            run.end(status, reason)

    def _carry(self, number: int, parcel: Parcel) -> None:
        send = self._channel.send
        send("begun", number)

        def tell(report: Report) -> None:
            send("report", number, report.progress, report.lines)

        reporter = Reporter(tell)
        run = BodyRun(parcel, reporter)
        with self._lock:
            self._number, self._run = number, run
            ending = self._ending
        if ending is not None and ending[0] == number:
            self._end(*ending)
        outcome = run.run()
        with self._lock:
            self._run = None
        reporter.close()
        for file in (sys.stdout, sys.stderr):
            if file is not None:
                file.flush()
        send("end", number, outcome)


def _end_all() -> None:
    """Whoever started this process is gone: end it and all that bodies started in it."""
    if hasattr(os, "killpg"):
        os.killpg(0, signal.SIGKILL)
    os._exit(0)


def main() -> None:
    """Serve until the other side of standard input ends."""
    faulthandler.enable(all_threads=False)
    _Worker().main()
