"""AsyncAgent: an agent that is told, when it is free, what came of its background tasks.

with AsyncAgent(agent, manager, on_reply=print) as talk:
    print(talk.send("Research quantum computing.").result())     # "I have started that."
                                                                 # later, printed: what came of it
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import contextvars
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any

from ..errors import AgentStateError, InvalidInputError, TaskError
from ..tasks import AsyncTaskResult, AsyncToolManager, Task, current_task
from ..tools.forks import watch_forks
from ..tools.text import error_text
from ..tools.threads import WorkerThreads
from . import claims
from .bidi import BidiAgent
from .claims import Invocation
from .delivery import Delivery, PromptTurn, ResultsTurn, results_text
from .invoking import Invoker, was_busy
from .reply import Reply
from .task_tools import managers_of

__all__ = ["AsyncAgent"]

_log = logging.getLogger(__name__)

GATHER_S = 0.1
"""How long the first of several results waits for the others, seconds."""

# Kept for a while: starting one anew would be a good part of the time from a result to its being told.
_threads = WorkerThreads(1000, "backchannel-agent")


@dataclass(slots=True)
class _Prompt:
    value: Any
    reply: Reply
    context: contextvars.Context


class AsyncAgent:
    """Gives an agent prompts and the results of background tasks, one at a time, whoever sends.

    A prompt goes to the agent as soon as it is free. Results that come while it is busy wait until then and go
    together, in one message. If the agent raises, they are kept, a warning is logged, and they go with the next
    occasion: a new result, a prompt that is answered, or `drain_queue`.

    The agent runs in a thread of its own, so a cell or an event loop goes on meanwhile. All methods may be called from
    any thread. Tasks that the agent started are its own; those that were started by hand go to the newest `AsyncAgent`
    of their manager. A `BidiAgent` tells the results of its tools itself, when nobody speaks.

    Args:
        agent: An `Agent`, a `BidiAgent`, an agent of Strands, a runnable of LangChain or LangGraph, any object with
            ``send``, or a function from a prompt to an answer; plain or async.
        manager: Runs the tasks.
        on_reply: Called with what the agent answers to results, in the agent's thread.
        loop: The event loop for an agent whose code is async; None for the one that background coroutines run on.
        gather_s: How long the first of several results waits for others of tasks that run, seconds.

    Raises:
        TypeError: If the manager is not one.
        InvalidInputError: If the agent can be asked in no way.
    """

    def __init__(
        self,
        agent: Any,
        manager: AsyncToolManager,
        *,
        on_reply: Callable[[Any], object] | None = None,
        loop: asyncio.AbstractEventLoop | None = None,
        gather_s: float = GATHER_S,
    ) -> None:
        if not isinstance(manager, AsyncToolManager):
            raise TypeError(f"AsyncAgent: manager must be an AsyncToolManager, not {type(manager).__name__}")
        if isinstance(agent, AsyncAgent):
            raise InvalidInputError("AsyncAgent: the agent is an AsyncAgent already; use that one")
        if not gather_s >= 0:
            raise InvalidInputError(f"AsyncAgent: gather_s must be 0 seconds or more, not {gather_s!r}")
        self.agent = agent
        self.manager = manager
        self.on_reply = on_reply
        self._invoke = Invoker(agent, loop)
        self._context = contextvars.copy_context()
        self._gather_s = gather_s
        self.after_fork()
        watch_forks(self)
        self._failure: BaseException | None = None
        self._closed = False
        claims.enter(manager, self)
        self._unsubscribe = manager.subscribe(self._listen, ("queued", "finished", "told"))
        manager.claim_restored(agent, by_hand=True)
        for task in manager.tasks:
            if not task.delivered and (not task.done() or task.owner is agent):
                self._listen(task, "queued")

    def after_fork(self) -> None:
        """This is a forked child, or the beginning: nothing is under way, and nothing pending."""
        self._changed = threading.Condition(threading.RLock())
        self._delivery: Delivery[_Prompt] = Delivery(self._gather_s)
        self._mine: dict[str, Task] = {}
        self._at_work = False
        self._worker: threading.Thread | None = None
        self._waiters: list[concurrent.futures.Future[bool]] = []

    @property
    def busy(self) -> bool:
        """Whether the agent is at a turn."""
        return self._delivery.busy

    @property
    def owed(self) -> tuple[AsyncTaskResult, ...]:
        """The results that the agent has not been told yet, the oldest first."""
        with self._changed:
            return self._delivery.owed

    @property
    def queue(self) -> list[AsyncTaskResult]:
        """The same as ``owed``."""
        return list(self.owed)

    @property
    def failure(self) -> BaseException | None:
        """What the agent raised when it was last told results; None if it took them."""
        return self._failure

    def send(self, prompt: Any) -> Reply:
        """Give the agent a prompt as soon as it is free, and return at once.

        Args:
            prompt: Text, or whatever else the agent takes.

        Raises:
            InvalidInputError: If it is None or blank.
            AgentStateError: If this was closed.
        """
        if prompt is None or (isinstance(prompt, str) and not prompt.strip()):
            raise InvalidInputError("the prompt is empty; nothing was sent")
        entry = _Prompt(prompt, Reply(self._check_may_block), contextvars.copy_context())
        with self._changed:
            if self._closed:
                raise AgentStateError("this AsyncAgent was closed; nothing was sent")
            self._delivery.asked(entry)
            self._go()
        return entry.reply

    def on_result(self, result: AsyncTaskResult) -> None:
        """Take in a result: the agent is told when it is free. The manager's results come here by themselves.

        Raises:
            TypeError: If it is none; an `AsyncToolManager` gives them to ``on_complete``.
        """
        if not isinstance(result, AsyncTaskResult):
            raise TypeError(f"on_result takes an AsyncTaskResult, not {type(result).__name__}; nothing was told")
        task = self._mine.get(result.task_id)
        with self._changed:
            at_once = task is not None and task.announce == "at_once"
            perhaps_told = task is not None and task.announced
            self._delivery.arrived(result, time.monotonic(), at_once=at_once, perhaps_told=perhaps_told)
            self._go()

    def drain_queue(self) -> None:
        """Tell the agent what it is owed, as soon as it is free; also what it failed to take."""
        with self._changed:
            self._delivery.retry()
            self._go()

    def join(self, timeout: float | None = None) -> bool:
        """Wait until the agent is idle, with no prompt and no task that it is owed under way; blocks this thread.

        Tasks that were begun with `AsyncToolManager.defer`, without a poll, are not waited for.

        Args:
            timeout: Longest wait, seconds; None for as long as it takes.

        Returns:
            Whether all was told: False after the time-out, and where the agent raised.

        Raises:
            AgentStateError: If the agent needs this very thread to answer.
            TaskError: If a task does.
        """
        self._check_may_block()
        with self._changed:
            for task in self._mine.values():
                self.manager.check_may_block(task)
        waiter = self._when_quiet()
        with contextlib.suppress(TimeoutError, concurrent.futures.CancelledError):
            return waiter.result(timeout)
        waiter.cancel()
        return False

    async def join_async(self) -> bool:
        """Wait as `join` does, without blocking."""
        return await asyncio.wrap_future(self._when_quiet())

    def close(self) -> None:
        """Tell the agent nothing more. A turn that is under way comes to its end; prompts that wait are refused."""
        claims.leave(self.manager, self)
        self._unsubscribe()
        with self._changed:
            self._closed = True
            refused = self._delivery.drop_prompts()
            self._changed.notify_all()
            if not self._at_work:
                self._rest()
        _refuse(refused)

    def __enter__(self) -> AsyncAgent:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self.join()
        finally:
            self.close()

    async def __aenter__(self) -> AsyncAgent:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if error is None:
                await self.join_async()
        finally:
            self.close()

    # Tasks

    def _listen(self, task: Task, kind: str) -> None:
        """Called by the manager, in any thread."""
        # What was to be the answer to a call is owed after all where that was cut off.
        owed = not task.delivered if kind == "told" else kind == "queued"
        if owed and claims.claimant(self.manager, task) is self:
            self._claim(task)
        # Another thread may have run the task, and told its end, before its beginning is told here.
        if task.done() and task.id in self._mine:
            self._take(task)

    def _take(self, task: Task) -> None:
        if task.delivered or task.announce == "never":
            with self._changed:
                self._mine.pop(task.id, None)
                self._delivery.dismiss(task.id)
                self._go()
        else:
            self.on_result(AsyncTaskResult.of(task, self.agent))

    def _claim(self, task: Task) -> None:
        if not claims.claim(task, self):
            return
        agent = self.agent
        if isinstance(agent, BidiAgent) and self.manager in managers_of(agent.tool_registry):
            if task.owner is None:
                task.owner = agent
            return
        with self._changed:
            task.claimed = True
            self._mine[task.id] = task
            # What somebody else is to finish may stay open for days: nobody waits for it here.
            if not self.manager.is_left_open(task):
                self._delivery.expect(task.id)

    # Turns

    def _go(self) -> None:
        """Go on with what is to be done; the lock is held."""
        self._changed.notify_all()
        if not self._at_work:
            if self._delivery.at_work and not self._closed:
                self._at_work = True
                try:
                    _threads.submit(self._work)
                except BaseException:
                    self._at_work = False
                    raise
            else:
                self._rest()

    def _work(self) -> None:
        self._worker = threading.current_thread()
        while self._take_turn():
            pass

    def _take_turn(self) -> bool:
        """Take the next turn; False where there is none."""
        turn = self._next()
        if turn is None:
            return False
        if not self._invoke.is_free():
            self._put_off()
        elif isinstance(turn, PromptTurn):
            self._answer(turn.prompt)
        else:
            self._tell(turn)
        return True

    def _put_off(self) -> None:
        """The agent is busy with somebody else: try again a little later."""
        with self._changed:
            self._delivery.refused(time.monotonic())
            refused = self._delivery.drop_prompts() if self._closed else []
        _refuse(refused)

    def _next(self) -> PromptTurn[_Prompt] | ResultsTurn | None:
        """Wait for the next turn, and begin it; None where there is none, and this thread ends."""
        with self._changed:
            while not self._closed:
                now = time.monotonic()
                turn = self._delivery.next(now)
                if turn is not None:
                    return turn
                at = self._delivery.wake_at()
                if at is None:
                    break
                self._changed.wait(max(at - now, 0))
            self._at_work, self._worker = False, None
            self._rest()
            return None

    def _answer(self, entry: _Prompt) -> None:
        answer, error = None, None
        asked = entry.reply.begin()
        if asked:
            answer, error = self._ask(entry.context, entry.value)
        if error is not None and was_busy(error):
            self._put_off()
            return
        with self._changed:
            self._delivery.ended(failed=error is not None)
        if asked:
            entry.reply.settle(answer, error)

    def _tell(self, turn: ResultsTurn) -> None:
        # What was told in another way meanwhile, as a lost task that was run again, is not told once more.
        tasks = {result.task_id: self._mine.get(result.task_id) for result in turn.results}
        results = [result for result in turn.results if (task := tasks[result.task_id]) is None or not task.delivered]
        for result in results:
            if (task := tasks[result.task_id]) is not None:
                task.announced = True
        answers, error = self._give(results, turn.perhaps_told) if results else ([], None)
        if error is not None and was_busy(error):
            self._put_off()
            return
        if error is not None:
            _log.warning(
                "the agent raised when it was told of the tasks %s; their results are kept (%s: %s)",
                ", ".join(result.task_id for result in turn.results),
                type(error).__name__,
                error_text(error, 500),
            )
        else:
            with self._changed:
                told = [task for result in turn.results if (task := self._mine.pop(result.task_id, None)) is not None]
            # Without the lock: whoever listens may take its time, as a ledger does that writes it down.
            for task in told:
                task.delivered = True
        with self._changed:
            self._failure = error
            self._delivery.ended(failed=error is not None)
        for answer in answers:
            if self.on_reply is None:
                break
            try:
                # In the context of whoever made this: what it prints in a notebook belongs to that cell.
                self._context.copy().run(self.on_reply, answer)
            except Exception:  # noqa: BLE001 - its fault is not the agent's
                _log.exception("on_reply of an AsyncAgent raised")

    def _give(
        self, results: list[AsyncTaskResult], perhaps_told: frozenset[str]
    ) -> tuple[list[Any], BaseException | None]:
        """Give the agent results, and return its answers; one that it refuses goes as a note and stops no other."""
        answer, error = self._ask(self._context, results_text(results, perhaps_told))
        if error is None:
            return [answer], None
        if was_busy(error) or not isinstance(error, (ValueError, TypeError)):
            return [], error
        if len(results) == 1:
            # Where it takes the note, the result was at fault; where it does not, the result is kept.
            note = _refused(results[0], error)
            answer, still = self._ask(self._context, results_text([note], perhaps_told))
            if still is not None:
                return [], error
            _log.warning("the agent was given a note in place of the result of task %s: %s", note.task_id, note.error)
            return [answer], None
        answers: list[Any] = []
        for result in results:
            more, error = self._give([result], perhaps_told)
            if error is not None:
                return answers, error
            answers += more
            with self._changed:
                self._delivery.dismiss(result.task_id)
                task = self._mine.pop(result.task_id, None)
            if task is not None:
                task.delivered = True
        return answers, None

    def _ask(self, context: contextvars.Context, prompt: Any) -> tuple[Any, BaseException | None]:
        invocation = Invocation(self)

        def ask() -> Any:
            invocation.begin()
            return self._invoke(prompt)

        try:
            return context.copy().run(ask), None
        except Exception as error:  # noqa: BLE001 - it goes to whoever asked; this thread has other work
            return None, error
        except BaseException as error:  # noqa: BLE001 - an order to this thread is none to whoever asked
            stopped = RuntimeError(f"the agent ended with {type(error).__name__}: {error_text(error, 500)}")
            stopped.__cause__ = error
            return None, stopped
        finally:
            invocation.end()

    # Waiting

    def _rest(self) -> None:
        """No thread is at work; the lock is held."""
        if self._closed or self._delivery.quiet:
            waiters, self._waiters = self._waiters, []
            for waiter in waiters:
                if waiter.set_running_or_notify_cancel():
                    waiter.set_result(not self._delivery.owed and self._delivery.quiet)

    def _when_quiet(self) -> concurrent.futures.Future[bool]:
        waiter: concurrent.futures.Future[bool] = concurrent.futures.Future()
        with self._changed:
            self._waiters.append(waiter)
            if not self._at_work:
                self._rest()
        return waiter

    def _check_may_block(self) -> None:
        inside = claims.is_inside(self) and current_task() is None
        if inside or threading.current_thread() is self._worker or self._invoke.is_carried_here():
            raise AgentStateError(
                "waiting here would block for ever: the agent needs this very thread to answer. Write 'await' instead, "
                "and do not wait for an agent in its own tools"
            )


def _refused(result: AsyncTaskResult, error: BaseException) -> AsyncTaskResult:
    """Return what stands for a result that the agent does not take."""
    why = TaskError(f"The task has ended, but its result could not be given to you: {error_text(error, 300)}")
    return replace(result, arguments={}, result=None, reading=None, error=why)


def _refuse(prompts: list[_Prompt]) -> None:
    """Tell who sent them that nobody will answer."""
    for entry in prompts:
        if entry.reply.begin():
            entry.reply.settle(None, AgentStateError("the AsyncAgent was closed before the agent was asked"))
