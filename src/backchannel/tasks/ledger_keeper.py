"""The keeper of a manager: its ledger, the tools that it knows by name, and tasks of an earlier process."""

from __future__ import annotations

import contextvars
import dataclasses
import functools
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..errors import TaskRefusedError
from ..journal import Store
from .again import UNBOUND, run_again
from .deferred import Deferred
from .engine import KEPT
from .exit import watch_exit
from .launcher import Launcher
from .ledger import Ledger
from .ledger_resume import resume, take_up
from .task import GoneAgent, Task

if TYPE_CHECKING:
    from .decorator import AsyncTool

__all__ = ["Keeper"]


class Keeper(Launcher):
    """Starts tasks whose results outlive their process, where there is a ledger."""

    def __init__(
        self,
        max_workers: int,
        max_coroutines: int | None,
        max_running: int | None,
        max_queued: int | None,
        runner: Any,
        clock: Callable[[], float],
    ) -> None:
        super().__init__(max_workers, max_coroutines, max_running, max_queued, runner, clock)
        self._tools: dict[str, AsyncTool] = {}
        self._awaiting: dict[str, list[Task]] = {}
        watch_exit(self)

    def keep(self, ledger: str | os.PathLike[str] | Store | Ledger) -> None:
        """Write down what becomes of the tasks from now on, and go on with those that are there."""
        keeper = ledger if isinstance(ledger, Ledger) else Ledger(ledger)
        self.ledger = keeper
        try:
            resume(self.manager, keeper, KEPT)
        except BaseException:
            self.ledger = None
            keeper.close()
            raise
        with self.lock:
            for kind in ("started", "progressed", "announced", "told"):
                self.listeners[kind] = (keeper.noted, *self.listeners[kind])

    # Tools

    def tool(self, name: str) -> AsyncTool | None:
        """Return the newest tool of this name whose tasks run here, or None."""
        from .manager import is_default

        found = self._tools.get(name)
        return UNBOUND.get(name) if found is None and is_default(self) else found

    def declare(self, tool: AsyncTool, *, replace: bool = True) -> None:
        """Know a tool by its name; an older one of that name is forgotten, unless ``replace`` is false."""
        with self.lock:
            if not replace and tool.tool_name in self._tools:
                return
            self._tools[tool.tool_name] = tool
        self.tool_came(tool)

    def tool_came(self, tool: AsyncTool) -> None:
        """A tool is there: tasks of an earlier process that waited for it go on, as its ``resume`` says."""
        with self.lock:
            waiting = self._awaiting.pop(tool.tool_name, ())
            for task in self.store.tasks:
                if task.restored and not task.done() and task.tool_name == tool.tool_name and task not in waiting:
                    task.options = dataclasses.replace(
                        tool.task_options,
                        announce=task.announce,
                        timeout=task.timeout,
                        deferred=task.options.deferred,
                        retry=None,
                    )
        for task in waiting:
            # In a thread: it is the user's code, and may ask a service.
            self.ask_elsewhere(functools.partial(take_up, task, tool, functools.partial(self._ask_again, task)))

    def run_again(self, which: Task | str | int) -> Task:
        """Start a task that has ended once more: its tool, as it is declared now, with the arguments it had.

        Args:
            which: The task, its id or its number.

        Raises:
            TaskRefusedError: If there is no such task, it has not ended, its tool is not known here, or an argument is
                not known any more or does not fit; says what to do.
        """
        task = which if isinstance(which, Task) else self.manager.task(which)
        if task is None or task.manager is not self:
            raise TaskRefusedError(f"There is no task {which!r:.60} here, so it was not run again.")
        return run_again(self.manager, task)

    # Tasks of an earlier process

    def claim_restored(self, agent: Any, *, by_hand: bool = False) -> list[Task]:
        """Make an agent the one who tells what became of tasks of an earlier process; returns those it got.

        What an agent with another ``agent_id`` asked for is not its business.

        Args:
            agent: Who is to tell.
            by_hand: Whether also tasks that no agent was to tell.
        """
        with self.lock:
            claimed = [
                task
                for task in self.store.tasks
                if _may_claim(task, agent, by_hand) and task.announce != "never" and not task.delivered
            ]
            for task in claimed:
                task.owner, task.awaits_agent = agent, False
        return claimed

    def let_go(self, agent: Any) -> None:
        """An agent is gone for good: its tasks are the next one's that comes, and what it has not told is told then."""
        with self.lock:
            for task in self.store.tasks:
                if task.owner is agent:
                    task.owner, task.awaits_agent = None, task.owed

    def add_open(self, task: Task) -> None:
        """A task is under way of which nothing runs here. With the lock held."""
        self._pending += 1
        self._open.add(task)

    def wait_for(self, task: Task) -> None:
        """Something brings the task to its end by itself, so that `shutdown` waits for it."""
        with self.lock:
            self._open.discard(task)

    def await_tool(self, task: Task) -> None:
        """The task goes on when its tool is declared again."""
        with self.lock:
            self._awaiting.setdefault(task.tool_name, []).append(task)

    def _ask_again(self, task: Task, deferred: Deferred, context: contextvars.Context) -> None:
        with self.lock:
            if task.done():
                return
            self.advise(task, deferred)
            if deferred.poll is not None:
                self._open.discard(task)
        if self.ledger is not None:
            self.ledger.deferred(task, deferred)
        self._poll(task, deferred, context, 0)


def _may_claim(task: Task, agent: Any, by_hand: bool) -> bool:
    owner, agent_id = task.owner, getattr(agent, "agent_id", None)
    if isinstance(owner, GoneAgent):
        return owner.may_return and owner.agent_id == agent_id
    return (
        owner is None
        and task.asked_by in (None, agent_id)
        and (task.awaits_agent or (by_hand and task.restored and not task.claimed))
    )
