"""Hub: the one owner of everything that belongs to a notebook as a whole."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import heapq
import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from ..errors import InvalidInputError, TaskRefusedError
from ..tasks import AsyncTool, AsyncToolManager, Task, default_manager, set_default_manager
from ..tasks.exit import shorten_grace
from ..tasks.manager import Kind
from ..tasks.runners import coroutines
from ..tools.threads import WorkerThreads
from .board import Board
from .board_pump import BoardPump
from .ledger_place import ledger_store
from .loop_thread import LoopThread
from .reruns import Reruns
from .results import RichResults
from .routing import Routing
from .wire import output_metadata

if TYPE_CHECKING:
    from .voice import Voice

__all__ = ["Hub", "SwitchInterval"]

_log = logging.getLogger(__name__)
_CLOSE_S = 3.0
# Jupyter gives a kernel that is to end 2.5 seconds in all before it ends it by a signal.
_EXIT_GRACE_S = 1.0
# Not the voice's loop: an async tool that blocks must not silence it. One for all hubs: tasks outlive them.
_task_loop = LoopThread("backchannel-tasks")
# Not the loop: whoever starts a task decides where a coroutine runs, and starting may take a moment.
_again_threads = WorkerThreads(2, "backchannel-again")
_KINDS: tuple[Kind, ...] = ("queued", "started", "progressed", "finished", "logged")


class SwitchInterval:
    """Makes threads take turns faster while somebody speaks: a pure-Python loop else delays each message by 30 ms."""

    FAST_S = 0.0005

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._holders = 0
        self._before = 0.0

    @property
    def fast(self) -> bool:
        """Whether it is shortened now."""
        return self._holders > 0

    @contextlib.contextmanager
    def shortened(self) -> Iterator[None]:
        """Keep it short; the last one to leave restores what was set before."""
        with self._lock:
            if self._holders == 0:
                self._before = sys.getswitchinterval()
                sys.setswitchinterval(min(self.FAST_S, self._before))
            self._holders += 1
        try:
            yield
        finally:
            with self._lock:
                self._holders -= 1
                if self._holders == 0:
                    sys.setswitchinterval(self._before)


class Hub:
    """Loop, tools, boards and conversations of one notebook.

    Methods are for the thread of the cell unless they say otherwise; none of them waits for the loop.

    Args:
        shell: IPython's shell.
        clock: Seconds.
    """

    def __init__(self, shell: Any, clock: Callable[[], float] = time.monotonic) -> None:
        self.shell = shell
        self.clock = clock
        self.loop = LoopThread()
        self.interval = SwitchInterval()
        self.routing = Routing(getattr(shell, "kernel", None))
        self.tools: dict[str, AsyncTool] = {}
        self.voices: list[Voice] = []
        self._boards: dict[str, Board] = {}
        self._board_of_tool: dict[str, Board] = {}
        self._board_of_task: dict[str, Board] = {}
        self._home: dict[str, Board] = {}
        self.reruns = Reruns()
        self._everything: Board | None = None
        self._variable_of_tool: dict[str, str] = {}
        self._unsubscribe: dict[AsyncToolManager, Callable[[], None]] = {}
        self.pump = BoardPump(lambda: self.boards, self._place, self.loop.call, clock)

    @property
    def boards(self) -> list[Board]:
        """All boards. Any thread."""
        shown = [*self._boards.values(), *self._board_of_task.values()]
        return [*shown, self._everything] if self._everything is not None else shown

    @property
    def tasks(self) -> list[Task]:
        """The tasks of all managers that are followed, oldest first. Any thread."""
        # Each manager's own order stays: of tasks of an earlier kernel the times are known to a few milliseconds.
        return list(heapq.merge(*(manager.tasks for manager in list(self._unsubscribe)), key=lambda task: task.created))

    def open(self) -> None:
        """Start the loop and the routing."""
        self.loop.start()
        coroutines.set_default_loop(_task_loop.loop)
        if getattr(self.shell, "kernel", None) is not None:
            shorten_grace(_EXIT_GRACE_S)
        self.routing.install()
        self.follow(default_manager())

    def close(self) -> None:
        """End all conversations and close all boards; tasks go on."""
        for unsubscribe in self._unsubscribe.values():
            unsubscribe()
        self._unsubscribe.clear()
        self.routing.uninstall()
        if self.loop.running:
            ended = self.loop.submit(self._end())
            with contextlib.suppress(TimeoutError):
                ended.result(_CLOSE_S)
        coroutines.set_default_loop(None)
        self.loop.stop()
        for board in self.boards:
            board.close()

    async def _end(self) -> None:
        self.pump.stop()
        await asyncio.gather(*(voice.stop() for voice in self.voices), return_exceptions=True)

    def follow(self, manager: AsyncToolManager) -> None:
        """Show the tasks of a manager."""
        if manager not in self._unsubscribe:
            self._unsubscribe[manager] = manager.subscribe(self._note, _KINDS)
            for task in manager.tasks:
                self.pump.note(task, "queued")

    def declare(self, tool: AsyncTool, cell: str) -> Board:
        """Take a tool that a cell declares, in place of an older one of its name, and return the board of the cell."""
        self.tools[tool.tool_name] = tool
        board = self._boards.get(cell)
        if board is None:
            board = self._new_board(f"Start one with {tool.tool_name}(...), or say it to %talk.")
            # In their order, before the loop may see the board.
            for task in tool.manager.tasks:
                if task.restored and task.tool_name == tool.tool_name:
                    board.rows.put(self.reruns.row(task))
            self._boards[cell] = board
        self._board_of_tool[tool.tool_name] = board
        self.know(tool)
        for voice in self.voices:
            voice.offer(tool)
        return board

    def know(self, tool: AsyncTool) -> None:
        """A tool is there, for the first time or anew: show its runs of earlier kernels, which it may run again."""
        self.follow(tool.manager)
        for task in tool.manager.tasks:
            if task.tool_name == tool.tool_name and task.restored:
                self.pump.note(task, "queued")

    def name_results(self, tool_name: str, variable: str | None) -> None:
        """Put the results of a tool, of runs that start from now on, into a variable of the notebook; None for none."""
        if variable is None:
            self._variable_of_tool.pop(tool_name, None)
        else:
            self._variable_of_tool[tool_name] = variable

    def board_of(self, tool_name: str) -> Board | None:
        """The board of the cell that declared a tool."""
        return self._board_of_tool.get(tool_name)

    def board_in(self, cell: str) -> Board | None:
        """The board of a cell, if it declared a tool before."""
        return self._boards.get(cell)

    def adopt(self, tools: list[AsyncTool], cell: str) -> Board | None:
        """Give tools that no cell declared a board in this one; None if there are none."""
        homeless = [tool for tool in tools if tool.tool_name not in self._board_of_tool]
        for tool in tools:
            self.follow(tool.manager)
        if not homeless:
            return None
        board = self._boards.get(cell)
        if board is None:
            board = self._boards[cell] = self._new_board("Say what you want, or call a tool.")
        for tool in homeless:
            self._board_of_tool[tool.tool_name] = board
        return board

    def board_of_everything(self) -> Board:
        """One board with all tasks."""
        if self._everything is None:
            board = self._new_board("Declare a tool with %%async_tool and call it.", results=False)
            for task in self.tasks:
                board.rows.put(self.reruns.row(task))
            self._everything = board
            for task in self.tasks:
                self.pump.note(task, "queued")
        return self._everything

    def board_for_task(self, task: Task) -> Board | None:
        """A board for one task alone; None if the board of a declaring cell shows it already."""
        manager = getattr(task, "manager", None)
        if isinstance(manager, AsyncToolManager):
            self.follow(manager)
        if task.tool_name in self._board_of_tool:
            return None
        board = self._board_of_task.get(task.id)
        if board is None:
            while len(self._board_of_task) >= 100:
                self._board_of_task.pop(next(iter(self._board_of_task))).close()
            board = self._new_board("")
            board.rows.put(self.reruns.row(task))
            self._board_of_task[task.id] = board
            self.pump.note(task, "queued")
        return board

    def task(self, name: str) -> Task | None:
        """A task by id or number, the newest first. Any thread."""
        for task in reversed(self.tasks):
            if name in (task.id, str(task.number)):
                return task
        return None

    def cancel(self, name: str) -> bool:
        """Ask a task to stop, by id or number; False if there is none that runs. Any thread."""
        task = self.task(name)
        return task is not None and not task.done() and task.cancel("cancelled by the user")

    def run_again(self, name: str) -> Task:
        """Run a task again that ended without a result, by id or number; one that was run again gives that run.

        Raises:
            BackchannelError: If there is no such task, or it cannot be run again; says why.
        """
        task = self.task(name)
        if task is None:
            raise TaskRefusedError(f"There is no task {name:.60}. %tasks shows all.")
        try:
            return self.reruns.run(task)
        finally:
            self.pump.note(task, "queued")

    def ask_again(self, name: str) -> None:
        """The same for a row's button: returns at once, and the row says what came of it. Any thread."""
        _again_threads.submit(functools.partial(self._press, name))

    def _press(self, name: str) -> None:
        task = self.task(name)
        if task is not None:
            self.reruns.press(task)
            self.pump.note(task, "queued")

    @property
    def ledger(self) -> str:
        """Where the tasks of tools without a manager of their own are kept; "" for nowhere. Any thread."""
        ledger = default_manager().ledger
        return "" if ledger is None else ledger.location

    def keep(self, place: str) -> bool:
        """Keep the tasks of tools without a manager of their own in a ledger, and show those that it has.

        Args:
            place: A file, a folder, or ``s3://bucket/key``.

        Returns:
            Whether other tasks are there already, which the ledger does not have.

        Raises:
            BackchannelError: If it cannot be, or is kept elsewhere already.
        """
        store = ledger_store(place)
        before = default_manager()
        if before.ledger is not None:
            if before.ledger.location == store.location:
                return False
            raise InvalidInputError(
                f"this notebook keeps its tasks in {before.ledger.location} already. Restart the kernel to use another "
                "place"
            )
        manager = AsyncToolManager(ledger=store)
        set_default_manager(manager)
        self.follow(manager)
        for voice in self.voices:
            voice.watch_anew()
        return bool(before.tasks)

    def publish(self, data: dict[str, Any], display_id: str, update: bool) -> None:
        """Show data in the cell that runs now, or renew the output with this id wherever it is. Any thread."""
        try:
            self.shell.display_pub.publish(
                data=data,
                metadata=output_metadata(display_id),
                transient={"display_id": display_id},
                update=update,
            )
        except Exception:
            if not update:
                raise
            _log.exception("an output was not renewed")

    def cell(self) -> str:
        """The id of the cell that runs now; where the front end gives none, of this one run."""
        try:
            parent = self.shell.get_parent()
        except AttributeError:
            return ""
        metadata = parent.get("metadata") or {}
        header = parent.get("header") or {}
        return str(metadata.get("cellId") or header.get("msg_id") or "")

    def _note(self, task: Task, kind: str) -> None:
        variable = self._variable_of_tool.get(task.tool_name) if kind == "queued" else None
        if variable is not None:
            # The first to be called at its end: who waits for the task finds the variable set.
            task.add_done_callback(functools.partial(self._name_result, task, variable))
        self.pump.note(task, kind)

    def _name_result(self, task: Task, variable: str) -> None:
        if task.status == "done":
            self.shell.user_ns[variable] = task.value

    def _place(self, task: Task) -> list[Board]:
        # A run stays where it began, also when its tool moves to another cell meanwhile.
        # A copy: a cell may add a board meanwhile.
        shown = (board for board in list(self._boards.values()) if task.id in board.rows)
        home = self._home.get(task.id) or next(shown, None) or self._board_of_tool.get(task.tool_name)
        if home is not None and not task.done():
            self._home[task.id] = home
        else:
            self._home.pop(task.id, None)
        places = (home, self._board_of_task.get(task.id), self._everything)
        return [board for board in places if board is not None]

    def _new_board(self, hint: str, *, results: bool = True) -> Board:
        return Board(
            hint=hint,
            submit=self.loop.call,
            routing=self.routing,
            publish=self.publish,
            cancel=self.cancel,
            again=self.ask_again,
            reruns=self.reruns,
            kept=lambda: bool(self.ledger),
            changed=self.pump.wake,
            clock=self.clock,
            results=RichResults(self.shell) if results else None,
        )
