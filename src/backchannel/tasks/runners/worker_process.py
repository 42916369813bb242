"""A worker process, seen from the process that started it."""

from __future__ import annotations

import contextlib
import json
import multiprocessing.spawn
import os
import signal
import subprocess
import sys
import threading
from collections import deque
from typing import IO, TYPE_CHECKING, Any

from ...tools.text import cut
from .frames import read_frame, write_frame
from .transfer import Parcel

if TYPE_CHECKING:
    from ..task import Task

__all__ = ["WorkerProcess"]

_BOOT = (
    "import json, sys; sys.path[:] = json.loads(sys.argv.pop()); "
    "from backchannel.tasks.runners.worker import main; main()"
)
_LAST_LINES = 20
_LINE = 500
_SAID = 1000


class WorkerProcess:
    """One process and its pipes. One job at a time, from one thread; `end`, `kill` and `is_alive` from any.

    Attributes:
        begun: Whether it took the job that it was given last.
        is_fit: Whether it may be given another job.
    """

    def __init__(self) -> None:
        options: dict[str, Any] = {}
        if os.name == "nt":
            options["creationflags"] = getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)
        else:
            # A group of its own: Ctrl-C is for the program, and what a body starts ends with it.
            options["start_new_session"] = True
        self._process = subprocess.Popen(  # noqa: S603 - this interpreter and our own module
            [_executable(), "-c", _BOOT, json.dumps([path for path in sys.path if isinstance(path, str)])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            **options,
        )
        self._orders: IO[bytes] = self._process.stdin  # type: ignore[assignment]
        self._answers: IO[bytes] = self._process.stdout  # type: ignore[assignment]
        self._printed: IO[bytes] = self._process.stderr  # type: ignore[assignment]
        self._writing = threading.Lock()
        self._owner = os.getpid()
        self._last: deque[str] = deque(maxlen=_LAST_LINES)
        self._task: Task | None = None
        self._is_ready = False
        self._killed = False
        self.begun = False
        self.is_fit = True
        self._listener = threading.Thread(target=self._listen, name="backchannel-process-output", daemon=True)
        self._listener.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def is_alive(self) -> bool:
        return self._process.poll() is None

    def wait_ready(self) -> bool:
        """Wait until it can take a job; false if it has died before."""
        if not self._is_ready:
            self._is_ready = self.is_fit = read_frame(self._answers) is not None
        return self._is_ready

    def carry(self, number: int, parcel: Parcel, task: Task) -> bytes | None:
        """Have it run a body, and pass on what it reports; returns the outcome, or None if the process died."""
        self.begun = False
        self._last.clear()
        self._task = task
        try:
            with self._writing:
                write_frame(self._orders, ("run", number, parcel))
            while (message := read_frame(self._answers)) is not None:
                if message[1] != number:
                    continue
                if message[0] == "begun":
                    self.begun = True
                elif message[0] == "report":
                    _, _, progress, lines = message
                    for line in lines:
                        task.log(line)
                    if progress is not None:
                        task.report(*progress)
                else:
                    outcome: bytes = message[2]
                    self.is_fit = not self._killed
                    return outcome
        except (OSError, ValueError):
            pass
        finally:
            self._task = None
        self.is_fit = False
        return None

    def end(self, number: int, status: str, reason: str) -> bool:
        """Ask the body of that job to end; false if it cannot be asked at once."""
        if not self._writing.acquire(blocking=False):
            return False
        try:
            write_frame(self._orders, ("end", number, status, reason))
        except (OSError, ValueError):
            return False
        finally:
            self._writing.release()
        return True

    def kill(self) -> None:
        """End it now, with all that it started. Safe at any time."""
        if self._owner != os.getpid():
            return  # a fork of the program: the processes are not its own
        self._killed = True
        self.is_fit = False
        if self._process.returncode is None:
            _kill_group(self._process)

    def close(self) -> None:
        """End it and wait until it is gone."""
        self.kill()
        if self._owner == os.getpid():
            self._process.wait()
        for file in (self._orders, self._answers):
            with contextlib.suppress(OSError):
                file.close()

    def how_it_ended(self, tool_name: str) -> str:
        """Say what became of a process that has died."""
        # Before it is waited for: until then its number is nobody else's.
        if self._process.returncode is None:
            _kill_group(self._process)
        code = self._process.wait()
        self._listener.join(1.0)
        said = cut("\n".join(self._last).strip(), _SAID)
        text = f"The process that ran {tool_name} (pid {self.pid}) {_ending(code)}."
        return f"{text} It printed last:\n{said}" if said else text

    def _listen(self) -> None:
        """Take what C code and other programs print."""
        with self._printed as file, contextlib.suppress(OSError, ValueError):
            while raw := file.readline(4 * _LINE):
                line = cut(raw.decode("utf-8", "replace").rstrip(), _LINE)
                self._last.append(line)
                task = self._task
                if task is not None and line:
                    task.log(line)


def _executable() -> str:
    found = multiprocessing.spawn.get_executable() or sys.executable
    return os.fsdecode(found)


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()


def _ending(code: int) -> str:
    if code >= 0:
        return f"ended by itself with exit code {code}; a function must return or raise"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    match name:
        case "SIGKILL":
            return "was killed (SIGKILL); most often the system does so for lack of memory"
        case "SIGSEGV" | "SIGBUS" | "SIGABRT" | "SIGILL" | "SIGFPE":
            return f"crashed ({name}) in native code"
    return f"was ended from outside ({name})"
