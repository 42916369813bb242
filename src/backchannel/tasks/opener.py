"""The opener of a manager: tasks whose value comes from elsewhere, and who may bring it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..errors import TaskError, TaskRefusedError
from . import lifecycle
from .deferred import Deferred
from .engine import Effects
from .ledger_keeper import Keeper
from .lifecycle import Life
from .options import Announce, TaskOptions
from .retry import RetryOn
from .task import Task

__all__ = ["Opener"]


class Opener(Keeper):
    """Opens tasks that somebody else brings to their end."""

    def defer(
        self,
        tool_name: str,
        arguments: Mapping[str, Any] | None = None,
        *,
        poll: Callable[[], Any] | None = None,
        every_s: float = 5.0,
        handle: Mapping[str, Any] | None = None,
        owner: Any = None,
        call_id: str | None = None,
        label: str | None = None,
        announce: Announce = "when_free",
        timeout: float | None = None,
        retries: int = 0,
        retry_on: RetryOn = (Exception,),
    ) -> Task:
        """Return a task for work that goes on elsewhere; `resolve` or `fail` ends it, or ``poll`` (see `Deferred`).

        Args:
            poll: Asked every ``every_s`` seconds for the value; `PENDING` while there is none.
            handle: By what the tool's ``resume`` finds the work again after a restart: see `Deferred`.
            timeout: How long to wait for the value, seconds.
            retries: How many errors of ``poll`` in a row are taken for passing.

        Raises:
            TaskRefusedError: If the manager was shut down.
            ValueError: If an option cannot be used; names it.
        """
        options = TaskOptions.of(announce=announce, timeout=timeout, retries=retries, retry_on=retry_on, deferred=True)
        deferred, effects = Deferred(poll, every_s=every_s, handle=handle), Effects()
        with self.lock:
            if self._closed:
                raise TaskRefusedError(f"{tool_name} was not started: its AsyncToolManager is shut down.")
            task = Task(
                self.manager,
                next(self.store.ids),
                self.store.next_number(),
                tool_name,
                dict(arguments or {}),
                Life(self.clock()),
                owner=owner,
                call_id=call_id,
                label=label,
                options=options,
            )
            self.store.add(task)
            self._pending += 1
            task.life, _ = lifecycle.step(task.life, lifecycle.Started(self.clock()))
            self.limit(task)
            self.apply(effects, task, lifecycle.Returned(self.clock(), deferred=True), deferred)
        self.tell(task, "queued")
        if self.ledger is not None:
            self.ledger.created(task)
        self.tell(task, "started")
        self.carry_out(effects)
        return task

    # Deferred tasks

    def resolve(self, which: Task | str, value: Any = None) -> bool:
        """Give a deferred task its value; False if it has ended already.

        Args:
            which: The task, its id or its token. For what comes from outside ask `task_by_token`, which takes no ids.

        Raises:
            TaskError: If there is no such task, or it is not deferred.
        """
        return self.feed(self._deferred(which), lifecycle.Resolved(self.clock()), value)

    def fail(self, which: Task | str, error: BaseException | str) -> bool:
        """End a deferred task without a value; False if it has ended already.

        Raises:
            TaskError: If there is no such task, or it is not deferred.
        """
        raised = error if isinstance(error, BaseException) else TaskError(error)
        return self.feed(self._deferred(which), lifecycle.Rejected(self.clock()), error=raised)

    def task_by_token(self, token: str) -> Task | None:
        """Return the deferred task with this token, or None."""
        with self.lock:
            return self.store.by_token(token)

    def token_of(self, task: Task) -> str:
        """Return the task's token, made when it is first asked for.

        A task of an earlier process has that one's token, which nobody knows here, and this one besides.
        """
        with self.lock:
            new = task.secret is None
            token = self.store.token_of(task)
            if new and self.ledger is not None:
                self.ledger.token(task, token)
            return token

    def _deferred(self, which: Task | str) -> Task:
        with self.lock:
            task = which if isinstance(which, Task) else self.store.by_id_or_token(which)
        if task is None or task.manager is not self.manager:
            raise TaskError("This manager has no task with such an id or token; nothing was resolved.")
        if not (task.options.deferred or task.life.phase == "outside" or task.done()):
            raise TaskError(
                f"Task {task.number}, {task.label}, is not deferred: its value is what its function returns."
            )
        return task
