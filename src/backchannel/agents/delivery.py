"""Delivery: when an agent is given prompts and results of tasks, one invocation at a time. Pure; time is an argument.

    idle ──asked──► busy with a prompt ──ended──► busy with results that came meanwhile, in one message ──► idle
      └──arrived──► gathering, until no other result is about to come ──► busy with results ──ended──► ...

What was invoked for and failed is owed still: a prompt's failure goes to its sender, results wait for the next
occasion, which is a new result, a turn that goes well, or `retry`. Where the agent was busy with somebody else, the
turn has not been: it is tried again after a pause.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from ..events.values import encodable
from ..tasks import AsyncTaskResult
from ..tools.text import error_text, text_of
from .announcements import MOST_RESULTS, longest_result
from .history import PassingText, result_line, superseded

__all__ = ["Delivery", "PromptTurn", "ResultsTurn", "results_text"]

P = TypeVar("P")

PAUSES_S = (0.02, 0.5)
"""The first and the longest pause while the agent is busy with somebody else, seconds; each is twice the last."""
REMEMBERED = 10_000
"""Ids of told tasks that are known, so that none is told twice."""


@dataclass(frozen=True, slots=True)
class PromptTurn(Generic[P]):
    """Invoke the agent with what somebody sent."""

    prompt: P


@dataclass(frozen=True, slots=True)
class ResultsTurn:
    """Invoke the agent with results; ``perhaps_told`` where an earlier attempt failed."""

    results: tuple[AsyncTaskResult, ...]
    perhaps_told: frozenset[str] = frozenset()


class Delivery(Generic[P]):
    """What is owed to an agent, and what it is busy with.

    Args:
        gather_s: The longest wait for results that are about to come too, seconds.
    """

    def __init__(self, gather_s: float) -> None:
        self._gather_s = gather_s
        self._prompts: deque[P] = deque()
        self._results: deque[AsyncTaskResult] = deque()
        self._turn: PromptTurn[P] | ResultsTurn | None = None
        self._expected: set[str] = set()
        self._known: dict[str, None] = {}
        self._tried: set[str] = set()
        self._dismissed: set[str] = set()
        self._due: float | None = None
        self._held = False
        self._prompt_first = True
        self._pause_s, self._not_before = PAUSES_S[0], -math.inf

    # Facts

    def asked(self, prompt: P) -> None:
        """Somebody sent a prompt."""
        self._prompts.append(prompt)

    def expect(self, task_id: str) -> None:
        """A task runs whose result will be owed."""
        self._expected.add(task_id)

    def dismiss(self, task_id: str) -> None:
        """A task's result is not owed any more; a turn with it that is under way may still tell it."""
        self._expected.discard(task_id)
        if task_id in self._known:
            if self._turn is not None:
                self._dismissed.add(task_id)
            self._results = deque(result for result in self._results if result.task_id != task_id)
            if not self._results:
                self._due = None

    def arrived(
        self, result: AsyncTaskResult, now: float, *, at_once: bool = False, perhaps_told: bool = False
    ) -> bool:
        """A result came at ``now``, seconds; False if it came before. ``at_once`` waits for no other.

        ``perhaps_told`` says that an agent was given it before, in a process that ended since.
        """
        self._expected.discard(result.task_id)
        if result.task_id in self._known:
            return False
        self._known[result.task_id] = None
        self._results.append(result)
        if perhaps_told:
            self._tried.add(result.task_id)
        self._held = False
        if at_once or self._due is None:
            self._due = now if at_once else now + self._gather_s
        return True

    def ended(self, *, failed: bool = False) -> None:
        """The turn that `next` returned has ended."""
        turn, self._turn = self._turn, None
        if isinstance(turn, PromptTurn):
            self._prompt_first = False
            self._held = self._held and failed
        elif turn is not None:
            self._prompt_first = True
            if failed:
                fresh = len(self._results)
                self._put_back(turn)
                self._tried.update(result.task_id for result in turn.results)
                self._held = not fresh
            else:
                self._tried.difference_update(result.task_id for result in turn.results)
                self._dismissed.clear()
                self._forget()

        self._pause_s, self._not_before = PAUSES_S[0], -math.inf

    def refused(self, now: float) -> None:
        """The turn that `next` returned could not begin: the agent is busy with somebody else."""
        turn, self._turn = self._turn, None
        if isinstance(turn, PromptTurn):
            self._prompts.appendleft(turn.prompt)
        elif turn is not None:
            self._put_back(turn)
        self._not_before = now + self._pause_s
        self._pause_s = min(2 * self._pause_s, PAUSES_S[1])

    def retry(self) -> None:
        """Deliver what is owed now, without waiting for more."""
        self._held, self._due, self._not_before = False, None, -math.inf

    # What to do

    def next(self, now: float) -> PromptTurn[P] | ResultsTurn | None:
        """Begin the next turn and return it; None while one is under way, or nothing is due at ``now``."""
        if self._turn is not None or now < self._not_before:
            return None
        results = self._results and not self._held and self._gathered(now)
        if self._prompts and (self._prompt_first or not results):
            self._turn = PromptTurn(self._prompts.popleft())
        elif results:
            taken = tuple(self._results.popleft() for _ in range(min(len(self._results), MOST_RESULTS)))
            again = frozenset(result.task_id for result in taken if result.task_id in self._tried)
            self._turn = ResultsTurn(taken, again)
            if not self._results:
                self._due = None
        return self._turn

    def wake_at(self) -> float | None:
        """Return when to call `next` again though nothing happens, seconds; None for never."""
        waits = self._results and not self._held
        if self._turn is not None or not (self._prompts or waits):
            return None
        due = None if self._prompts else self._due
        return due if self._not_before == -math.inf else max(self._not_before, -math.inf if due is None else due)

    @property
    def at_work(self) -> bool:
        """Whether a turn is under way, or due now or by itself later."""
        return bool(self._turn or self._prompts or (self._results and not self._held))

    @property
    def busy(self) -> bool:
        """Whether a turn is under way."""
        return self._turn is not None

    @property
    def owed(self) -> tuple[AsyncTaskResult, ...]:
        """The results that the agent has not been told: those of the turn that is under way are among them."""
        telling = self._turn.results if isinstance(self._turn, ResultsTurn) else ()
        return (*telling, *self._results)

    @property
    def quiet(self) -> bool:
        """Whether nothing is under way, and nothing will happen by itself."""
        return not (self.at_work or self._expected)

    def drop_prompts(self) -> list[P]:
        """Give up the prompts that wait, and return them."""
        dropped = list(self._prompts)
        self._prompts.clear()
        return dropped

    def _put_back(self, turn: ResultsTurn) -> None:
        owed = [result for result in turn.results if result.task_id not in self._dismissed]
        self._results.extendleft(reversed(owed))
        self._dismissed.clear()

    def _gathered(self, now: float) -> bool:
        return not self._expected or self._due is None or now >= self._due

    def _forget(self) -> None:
        if len(self._known) <= REMEMBERED + len(self._results):
            return
        owed = {result.task_id for result in self.owed}
        while len(self._known) > REMEMBERED + len(owed):
            oldest = next(iter(self._known))
            del self._known[oldest]
            if oldest in owed:
                self._known[oldest] = None


def results_text(results: Sequence[AsyncTaskResult], perhaps_told: frozenset[str] = frozenset()) -> PassingText:
    """Return what tells an agent of tasks that have ended: each by id, tool, arguments, outcome and elapsed time."""
    limit = longest_result(len(results))
    one = len(results) == 1
    head = (
        f"[{'A background task has' if one else f'{len(results)} background tasks have'} ended. This is not from the "
        f"user: {'it is the result' if one else 'these are the results'} of what was started earlier. Tell the user "
        "what matters of it, and do not start it again for that.]"
    )
    text = "\n\n".join([head, *(_told(result, result.task_id in perhaps_told, limit) for result in results)])
    return PassingText(encodable(text), encodable("\n".join(map(result_line, results))))


def _told(result: AsyncTaskResult, perhaps_told: bool, limit: int) -> str:
    arguments: Any = result.arguments
    again = " You may have been told this already; if so, say nothing of it." if perhaps_told else ""
    outcome = (
        f"Result: {result.text(limit)}"
        if result.error is None
        else f"It has no result. {type(result.error).__name__}: {error_text(result.error, limit)}"
    )
    return (
        f"Task {result.task_id}, tool {result.tool_name}, arguments {text_of(arguments, 600)}, "
        f"after {result.elapsed:.1f} s.{superseded(result.superseded_by)}{again}\n"
        f"{outcome}"
    )
