"""Approval: a person's yes or no to a call, before it runs.

`ApprovalLedger` is the pure part: who may answer which request, once, and until when. `Approvals` is the shell of one
agent: it asks (a callback, or everybody who sees the agent's events, and the model), waits, and tells the answer.

A model only passes an answer on. A yes counts by voice if the user began to say it after they had heard the question,
and by text if they typed it after the question was asked; and only if it is a plain yes (`consent_of`).
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import inspect
import logging
import math
import secrets
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias, TypeVar, cast

from ..errors import InvalidInputError
from ..events import (
    ApprovalAnswerEvent,
    ApprovalQuestionEvent,
    ApprovalQuestionSent,
    ApprovalRequestEvent,
    BidiConnectionStartEvent,
    BidiResponseStartEvent,
    BidiTranscriptStreamEvent,
    TypedEvent,
    UserSpeechEvent,
    UserTextSent,
)
from ..messages import ToolUse
from ..tools import AgentTool, tool
from ..tools.confirmation import Question
from ..tools.text import cut
from ..tools.threads import run_in_thread
from .consent import consent_of
from .slot import given_up

if TYPE_CHECKING:
    from .bidi import BidiAgent

__all__ = ["ANSWER_TOOL", "Approval", "ApprovalCallback", "ApprovalLedger", "ApprovalRequest", "Approvals"]

T = TypeVar("T")

_log = logging.getLogger(__name__)

ANSWER_TOOL = "answer_approval"
"""The built-in tool through which a model passes on what the user answered."""

AnsweredBy = Literal["callback", "widget", "voice", "code", "timeout", "stopped"]

TRANSCRIPT_WAIT_S = 3.0
"""How long an answer that a model passes on waits for the words that were spoken to be written down, seconds."""

_REMEMBERED = 200
_WORDS_CHARS = 500
_RESPONSES = 8


@dataclass(frozen=True, slots=True)
class ApprovalRequest:
    """What a person is asked, about which call.

    ``whole`` says whether the question shows all of the call's arguments that it names. If not, a spoken yes does not
    count: the widget shows them all.
    """

    id: str
    question: str
    tool_use: ToolUse
    whole: bool = True


@dataclass(frozen=True, slots=True)
class Approval:
    """The answer. ``reason`` says why not, or what the user said; "" where nobody gave one."""

    approved: bool
    by: AnsweredBy = "code"
    reason: str = ""


ApprovalCallback: TypeAlias = Callable[[ApprovalRequest], "bool | str | Approval | Awaitable[bool | str | Approval]"]


@dataclass(slots=True)
class _Open:
    """A request that waits.

    Attributes:
        responses: What the model has begun to say since it was given the question.
        listening: The user has begun to speak after they had heard the question.
        answered: The model has begun a response since they began; what they say next is a new turn.
        words: What they said in their last turn, or typed.
        early: What they said before they had heard the question.
        refusal: The words that were a plain no.
    """

    request: ApprovalRequest
    expires_at: float
    given: bool = False
    responses: list[str] = field(default_factory=list)
    listening: bool = False
    answered: bool = False
    words: str = ""
    typed: bool = False
    early: str = ""
    refusal: str = ""

    def forget_words(self) -> None:
        self.listening = self.typed = False
        self.words = self.early = ""


class ApprovalLedger:
    """The requests that wait for an answer, and the answers that were given. Pure; times in seconds."""

    def __init__(self) -> None:
        self._open: dict[str, _Open] = {}
        self._ended: dict[str, Approval] = {}
        self._knows_beginnings = False

    @property
    def pending(self) -> list[ApprovalRequest]:
        """The requests that wait for an answer, the oldest first."""
        return [entry.request for entry in self._open.values()]

    def ask(self, request: ApprovalRequest, now: float, timeout_s: float) -> None:
        """Take in a request that may be answered for ``timeout_s`` seconds."""
        self._open[request.id] = _Open(request, now + timeout_s)

    def question_sent(self, approval_id: str, taken: bool) -> None:
        """The model is given the question, and asks it in what it says from now on; unless it has not ``taken`` it."""
        if (entry := self._open.get(approval_id)) is not None:
            entry.given = taken

    def response_began(self, response_id: str) -> None:
        """The model begins to say something."""
        for entry in self._open.values():
            entry.answered = True
            if entry.given and response_id not in entry.responses:
                entry.responses = [*entry.responses[1 - _RESPONSES :], response_id]

    def user_began(self, heard: Callable[[str], bool]) -> None:
        """The user began to speak.

        Args:
            heard: Whether a response was heard to its end, by its id.
        """
        self._knows_beginnings = True
        for entry in self._open.values():
            if any(map(heard, entry.responses)):
                if entry.answered or not entry.listening:
                    entry.words, entry.typed = "", False
                entry.listening, entry.answered = True, False

    def user_said(self, words: str, *, typed: bool = False) -> None:
        """The user has said or typed something.

        It may answer what was asked before. Speech that began before the question was heard is no answer, also where
        it is written down later.
        """
        words = cut(words.strip(), _WORDS_CHARS)
        for entry in self._open.values() if words else ():
            if typed:
                entry.words, entry.typed = words, True
            elif entry.listening:
                entry.words = cut(f"{entry.words} {words}".strip(), _WORDS_CHARS)
            else:
                entry.early = words
                continue
            if not entry.refusal and consent_of(entry.words) == "no":
                entry.refusal = entry.words

    def awaits_words(self, approval_id: str) -> bool:
        """Whether the user has begun to answer, and what they say is not written down yet."""
        entry = self._open.get(approval_id)
        return entry is not None and entry.listening and not entry.words

    def answer(self, approval_id: str, approved: bool, by: AnsweredBy, reason: str, now: float) -> Approval:
        """Take in an answer. By voice the user's own words count: none allow two calls, and a no is final.

        Raises:
            InvalidInputError: If there is no such request, it was answered, its time is over, or (by voice) the user
                has said nothing that is an answer to it; then they are to be asked again.
        """
        entry = self._open.get(approval_id)
        if entry is None or now >= entry.expires_at:
            raise InvalidInputError(self._not_open(approval_id))
        if by != "voice":
            return self.end(approval_id, Approval(approved, by, reason))
        if approved and entry.refusal:
            return self.end(approval_id, Approval(False, by, entry.refusal))
        if obstacle := self._obstacle(entry, approved):
            if entry.words:
                entry.forget_words()
            raise InvalidInputError(f"The approval {approval_id} is not answered: {obstacle}")
        words = entry.words or entry.early
        if approved:
            for other in self._open.values():
                other.forget_words()
        return self.end(approval_id, Approval(approved, by, words))

    def _obstacle(self, entry: _Open, approved: bool) -> str:
        """Say why what the user has said is no answer, and what the model is to do; "" if it is one."""
        question = entry.request.question
        if not entry.words and not (entry.early and not approved):
            if not entry.early:
                said = "they have said nothing since it was asked"
            elif self._knows_beginnings:
                said = f"they began to say {entry.early!r} before they had heard the question to its end"
            else:
                return (
                    "it is not known when the user began to speak, so that their voice cannot approve. Tell them to "
                    "answer with the buttons on the page, or to type yes or no."
                )
            return f"{said}. Ask them, wait for their answer, and only then pass it on: {question}"
        if approved and not entry.typed and not entry.request.whole:
            return (
                "it is too long to be approved by voice. Tell the user to look at the page, where all of it is shown, "
                "and to answer there."
            )
        if approved and consent_of(entry.words) != "yes":
            return f"{entry.words!r} is no clear yes. Ask the user again for a plain yes or no: {question}"
        return ""

    def end(self, approval_id: str, approval: Approval) -> Approval:
        """End a request with this answer; returns the one that counts, which is the first."""
        if self._open.pop(approval_id, None) is not None:
            self._ended[approval_id] = approval
            while len(self._ended) > _REMEMBERED:
                del self._ended[next(iter(self._ended))]
        return self._ended.get(approval_id, approval)

    def _not_open(self, approval_id: str) -> str:
        if approval_id in self._open:
            return f"The approval {approval_id} was not answered in time; the call was refused."
        if approval_id in self._ended:
            ended = self._ended[approval_id]
            said = "approved" if ended.approved else "refused"
            return f"The approval {approval_id} was answered already: {said} by {ended.by}. The first answer counts."
        waiting = ", ".join(self._open) or "none"
        return f"There is no approval {approval_id!r:.100}. Waiting for an answer: {waiting}."


class ApprovalChannel(Protocol):
    """What `Approvals` needs of a running conversation; the methods may be called in any thread."""

    def emit(self, event: TypedEvent) -> None: ...
    def ask_model(self, event: ApprovalQuestionEvent) -> None: ...
    def heard(self, response_id: str) -> bool: ...
    def fail(self, error: Exception) -> None: ...


class Approvals:
    """The approvals of one agent. Everything but the constructor may be used from any thread or event loop.

    Args:
        agent: Whose calls are asked about.
        callback: Decides alone, if given: True, or a text that says why not. A plain function runs in a thread.
        timeout_s: How long to wait for an answer, seconds; then it counts as no.

    Raises:
        TypeError: If the callback is not callable.
        ValueError: If the time is not more than 0.
    """

    def __init__(self, agent: BidiAgent, callback: ApprovalCallback | None = None, timeout_s: float = 300) -> None:
        if callback is not None and not callable(callback):
            raise TypeError(f"approve must be a function that takes an ApprovalRequest, not {callback!r:.100}")
        self.timeout_s = timeout_s
        self._agent = agent
        self._callback = callback
        self._lock = threading.RLock()
        self._ledger = ApprovalLedger()
        self._waiters: dict[str, tuple[asyncio.AbstractEventLoop, asyncio.Future[Approval]]] = {}
        self._words: set[asyncio.Future[None]] = set()
        self._channel: ApprovalChannel | None = None
        self._tool = self._answer_tool()

    @property
    def timeout_s(self) -> float:
        """How long a question waits for its answer, seconds; may be set, for the questions that follow."""
        return self._timeout_s

    @timeout_s.setter
    def timeout_s(self, seconds: float) -> None:
        if not isinstance(seconds, int | float) or not 0 < seconds < math.inf:
            raise InvalidInputError(f"timeout_s must be a number of seconds above 0, not {seconds!r}")
        self._timeout_s = seconds

    @property
    def pending(self) -> list[ApprovalRequest]:
        """The requests that wait for an answer, the oldest first."""
        with self._lock:
            return self._ledger.pending

    @property
    def by_voice(self) -> bool:
        """Whether a model may pass on what the user answers, so that it matters when they begin to speak."""
        return self._agent.tool_registry.get(ANSWER_TOOL) is self._tool

    async def ask(self, question: str, tool_use: ToolUse) -> Approval:
        """Ask a person, and wait for the answer; meanwhile other calls run.

        With no callback and no conversation there is nobody to ask, and the answer is no. A hook may ask about every
        call: the one that passes on an answer is allowed at once.

        Args:
            question: What to ask. A `Question` also says whether it shows all that is asked about.
            tool_use: The call.
        """
        if tool_use["name"] == ANSWER_TOOL and self.by_voice:
            return Approval(True)
        whole = not isinstance(question, Question) or question.whole
        request = ApprovalRequest(secrets.token_hex(4), str(question), copy.deepcopy(tool_use), whole)
        async with given_up():
            if self._callback is not None:
                return await self._call_back(self._callback, request)
            return await self._wait(request)

    def answer(
        self, approval_id: str, approved: bool, reason: str = "", by: Literal["widget", "voice", "code"] = "code"
    ) -> Approval:
        """Answer a request, from any thread. The first answer counts.

        Args:
            approval_id: As in `pending`, or in the event ``approval_request``.
            approved: Whether the call may run.
            reason: Why not, for the model; by voice it is what the user said.
            by: Where the answer comes from; by voice a yes counts only if the user has said it, see the module.

        Raises:
            InvalidInputError: If there is no such request, it has an answer, or ``by`` is something else.
            TypeError: If ``approved`` is not a bool.
        """
        if not isinstance(approved, bool):
            raise TypeError(f"approved must be True or False, not {approved!r:.100}")
        if by not in ("widget", "voice", "code"):
            raise InvalidInputError(f"by must be 'widget', 'voice' or 'code', not {by!r:.100}")
        with self._lock:
            waiter = self._waiters.get(approval_id)
            now = waiter[0].time() if waiter is not None else 0.0
            return self._told(approval_id, self._ledger.answer(approval_id, approved, by, reason, now))

    def offer(self) -> None:
        """Let the model pass on what the user answers, if some tool wants to be confirmed. Safe to repeat.

        At the first `ask` it happens by itself; call it before, where a model takes new tools only by reconnecting.
        """
        if self._callback is None and any(getattr(entry, "confirm", False) for entry in self._agent.tool_registry):
            self._offer()

    # The conversation

    def connect(self, channel: ApprovalChannel) -> None:
        """A conversation has begun, and shows what is asked."""
        self._channel = channel

    def disconnect(self) -> None:
        """The conversation ends, and with it every request."""
        with self._lock:
            for request in self._ledger.pending:
                self._end(request.id, Approval(False, "stopped", "the conversation has ended"))
            self._channel = None

    def note(self, fact: object) -> None:
        """Take in what happens in the conversation: what the user says, and a new connection to the model."""
        with self._lock:
            match fact:
                case UserSpeechEvent(speaking=True):
                    self._ledger.user_began(self._channel.heard if self._channel is not None else lambda _: False)
                case BidiResponseStartEvent(response_id=str(response_id)):
                    self._ledger.response_began(response_id)
                case BidiTranscriptStreamEvent(role="user", is_final=True, text=str(text)):
                    self._ledger.user_said(text)
                    self._written_down()
                case UserTextSent(text=text, role="user", origin="user"):
                    self._ledger.user_said(text, typed=True)
                    self._written_down()
                case ApprovalQuestionSent(approval_id, taken):
                    self._ledger.question_sent(approval_id, taken)
                case BidiConnectionStartEvent():
                    for request in self._ledger.pending:
                        self._tell_model(request)

    # Asking

    async def _call_back(self, callback: ApprovalCallback, request: ApprovalRequest) -> Approval:
        limit = asyncio.timeout(self.timeout_s)
        try:
            async with limit:
                if inspect.iscoroutinefunction(callback) or inspect.iscoroutinefunction(type(callback).__call__):
                    outcome: Any = callback(request)
                else:
                    outcome = await run_in_thread(lambda: callback(request))
                return _read(await outcome if inspect.isawaitable(outcome) else outcome)
        except Exception as error:  # noqa: BLE001 - a call is not allowed by an error; receive() raises it
            return self._timed_out() if limit.expired() else self._failed(error)

    def _failed(self, error: Exception) -> Approval:
        error.add_note(f"raised by the callback approve ({getattr(self._callback, '__qualname__', self._callback)})")
        _log.error("the callback approve failed, so the call is refused", exc_info=error)
        if self._channel is not None:
            self._channel.fail(error)
        return Approval(False, "callback", "it could not be asked for, because of an error")

    async def _wait(self, request: ApprovalRequest) -> Approval:
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[Approval] = loop.create_future()
        with self._lock:
            channel = self._channel
            if channel is None:
                return Approval(False, "stopped", "nobody can be asked: the agent is not started and has no approve=")
            self._waiters[request.id] = loop, waiter
            self._ledger.ask(request, loop.time(), self.timeout_s)
            channel.emit(ApprovalRequestEvent(request.id, request.question, request.tool_use, request.whole))
        self._offer()
        self._tell_model(request)
        try:
            async with asyncio.timeout(self.timeout_s):
                return await waiter
        except TimeoutError:
            return self._end(request.id, self._timed_out())
        finally:
            self._end(request.id, Approval(False, "stopped", "the call was cancelled"))

    def _timed_out(self) -> Approval:
        return Approval(False, "timeout", f"nobody answered within {self.timeout_s:g} seconds")

    def _end(self, approval_id: str, approval: Approval) -> Approval:
        with self._lock:
            return self._told(approval_id, self._ledger.end(approval_id, approval))

    def _told(self, approval_id: str, approval: Approval) -> Approval:
        """Wake the one who asked, and tell everybody, once."""
        waiter = self._waiters.pop(approval_id, None)
        if waiter is not None:
            if self._channel is not None:
                self._channel.emit(ApprovalAnswerEvent(approval_id, approval.approved, approval.by, approval.reason))
            with contextlib.suppress(RuntimeError):  # its loop is closed: nobody waits any more
                waiter[0].call_soon_threadsafe(_settle, waiter[1], approval)
        return approval

    # The model

    def _tell_model(self, request: ApprovalRequest) -> None:
        channel = self._channel
        if channel is not None and self._agent.profile.reads_text:
            text = (
                f"The call of {request.tool_use['name']} waits: the user has to approve it first (approval_id "
                f"{request.id}). Ask the user this now, in their language, and leave nothing out: {request.question} "
                f"When they have answered, call {ANSWER_TOOL} with that approval_id and approved true or false. "
                "Never answer for them, and do not repeat the call."
            )
            if not request.whole:
                text += " It is too long to be said: tell them that the page shows all of it, and takes their answer."
            event = ApprovalQuestionEvent(text, request.id, request.question, request.tool_use, request.whole)
            channel.ask_model(event)

    async def _transcript(self, approval_id: str) -> None:
        """Wait a moment for the words of an answer that is being written down."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(TRANSCRIPT_WAIT_S):
                while (words := self._words_of(approval_id)) is not None:
                    await words

    def _words_of(self, approval_id: str) -> asyncio.Future[None] | None:
        """Return what is done when the user's next words are there; None if they are not waited for."""
        with self._lock:
            if not self._ledger.awaits_words(approval_id):
                return None
            words: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._words.add(words)
            return words

    def _written_down(self) -> None:
        """The user's words are there: wake those who wait for them."""
        while self._words:
            words = self._words.pop()
            with contextlib.suppress(RuntimeError):  # its loop is closed: nobody waits any more
                words.get_loop().call_soon_threadsafe(_settle, words, None)

    def _offer(self) -> None:
        if self._agent.tool_registry.get(ANSWER_TOOL) is None:
            self._agent.tool_registry.register(self._tool)

    def _answer_tool(self) -> AgentTool:
        @tool(name=ANSWER_TOOL)
        async def answer_approval(approval_id: str, approved: bool) -> str:
            """Pass on what the user has answered when a call waits for their approval. Only what they said themselves.

            Args:
                approval_id: The id that the question came with.
                approved: True if the user allowed the call, false if not.
            """
            await self._transcript(approval_id)
            approval = self.answer(approval_id, approved, by="voice")
            if approval.approved:
                return "The call runs now; its result follows."
            return "The call will not run." + (f" The user said no: {approval.reason}" if approved else "")

        return cast("AgentTool", answer_approval)


def _settle(waiter: asyncio.Future[T], outcome: T) -> None:
    if not waiter.done():
        waiter.set_result(outcome)


def _read(outcome: object) -> Approval:
    """Return what a callback returned as an answer."""
    if isinstance(outcome, Approval):
        return outcome
    if isinstance(outcome, bool):
        return Approval(outcome, "callback")
    if isinstance(outcome, str):
        return Approval(False, "callback", outcome)
    raise TypeError(f"approve must return True, False, a reason or an Approval, not {outcome!r:.100}")
