"""The telemetry of one session: facts in, signals out. Pure.

    session ──► connection ──► response        one open response at most
       ├──────► tool ──► task                  a tool is linked to its response; a task may outlive its tool
       └──────► task                           whose call is not known

A span ends at or after everything in it; only a task outlives the tool that it belongs to. `Session.end` ends all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..events import (
    AudioHandedOut,
    BidiAudioStreamEvent,
    BidiConnectionCloseEvent,
    BidiConnectionRestartEvent,
    BidiConnectionStartEvent,
    BidiErrorEvent,
    BidiInterruptionEvent,
    BidiResponseCompleteEvent,
    BidiResponseStartEvent,
    BidiTranscriptStreamEvent,
    BidiUsageEvent,
    ConnectionLost,
    Heard,
    TaskUpdateEvent,
    ToolFinished,
    ToolUseStreamEvent,
    UserSpeechEvent,
    UserTextSent,
)
from .calls import Calls
from .responses import Responses
from .signals import Attribute, Signal, label
from .trace import Trace

__all__ = ["About", "Session"]

_USAGE = {
    "inputTokens": "gen_ai.usage.input_tokens",
    "outputTokens": "gen_ai.usage.output_tokens",
    "cacheReadInputTokens": "gen_ai.usage.cache_read.input_tokens",
    "cacheWriteInputTokens": "gen_ai.usage.cache_creation.input_tokens",
}
_COUNTED = {"inputTokens": "input", "outputTokens": "output"}


@dataclass(frozen=True, slots=True)
class About:
    """Whose session it is. ``rate`` is the model's output rate, Hz."""

    agent_id: str
    agent_name: str
    model: str
    rate: int = 16000


@dataclass(slots=True)
class _Connection:
    span: int
    id: str
    usage: dict[str, int] = field(default_factory=dict)
    tokens: dict[str, int] = field(default_factory=dict)


class Session:
    """Follows one conversation.

    Args:
        about: Whose it is.
        now: When it begins, seconds on any clock.
        captures_content: Whether what was said, arguments and results are kept, without secrets.
    """

    def __init__(self, about: About, now: float, *, captures_content: bool = False) -> None:
        self._about = about
        self._trace = Trace(now, {"gen_ai.request.model": about.model}, captures_content)
        attributes: dict[str, Attribute] = {
            "gen_ai.operation.name": "invoke_agent",
            "gen_ai.agent.id": about.agent_id,
            "gen_ai.agent.name": about.agent_name,
            "gen_ai.request.model": about.model,
        }
        self._span = self._trace.start(f"invoke_agent {about.agent_name}", None, attributes)
        self._connection: _Connection | None = None
        self._responses = Responses(self._trace, about.model, about.rate)
        self._calls = Calls(self._trace, self._span)
        self._speaking = False
        self._hears_speech = False
        self._interruptions = 0
        self._restarts = 0
        self._tokens: dict[str, int] = {}
        self._ended = False

    def begin(self) -> list[Signal]:
        """Return what the beginning orders."""
        return self._trace.take()

    def take(self, fact: object, now: float) -> list[Signal]:
        """Take in one fact of `backchannel.events`; others order nothing.

        Args:
            fact: What happened.
            now: When, seconds on the same clock. A time before the last one counts as the last one.
        """
        if not self._ended:
            self._trace.tick(now)
            self._take(fact)
        return self._trace.take()

    def end(self, error: BaseException | None, now: float) -> list[Signal]:
        """End the session and every span in it; a second time orders nothing.

        Args:
            error: What ended it, or None.
            now: When, seconds on the same clock.
        """
        if self._ended:
            return []
        self._trace.tick(now)
        self._ended = True
        cancelled = isinstance(error, asyncio.CancelledError)
        failure = None if error is None or cancelled else label(type(error).__name__)
        self._disconnect("session_end", "open at session end")
        self._calls.close()
        attributes: dict[str, Attribute] = {
            "backchannel.session.outcome": "error" if failure else "cancelled" if cancelled else "ended",
            "backchannel.session.responses": self._responses.count,
            "backchannel.session.tools": self._calls.tools,
            "backchannel.session.tasks": self._calls.tasks,
            "backchannel.session.interruptions": self._interruptions,
            "backchannel.session.restarts": self._restarts,
            **self._tokens,
        }
        if self._calls.dropped:
            attributes["backchannel.session.dropped_spans"] = self._calls.dropped
        if failure:
            attributes.update(self._trace.content("exception.message", str(error)))
        self._trace.end(self._span, attributes, error=failure)
        return self._trace.take()

    def _take(self, fact: object) -> None:
        match fact:
            case BidiAudioStreamEvent():
                self._responses.audio(_text_or_none(fact.response_id), _count(fact.samples), self._parent)
            case AudioHandedOut():
                self._responses.handed_out(str(fact.response_id), _count(fact.samples))
            case Heard():
                self._responses.heard(str(fact.response_id), _count(fact.samples), bool(fact.finished))
            case BidiTranscriptStreamEvent():
                self._transcript(fact)
            case UserSpeechEvent():
                self._speech(bool(fact.get("speaking")))
            case UserTextSent():
                if fact.role == "user":
                    self._responses.turn_ended("text")
            case BidiResponseStartEvent():
                self._responses.started(_text_or_none(fact.get("response_id")), self._parent)
            case BidiResponseCompleteEvent():
                self._responses.completed(str(fact.get("response_id")), label(fact.get("stop_reason")))
            case BidiInterruptionEvent():
                self._interrupted(fact.get("reason"))
            case ToolUseStreamEvent():
                use = _mapping(fact.get("current_tool_use"))
                name, link = label(use.get("name", "unknown"), 100), self._responses.last_span
                self._calls.called(str(use.get("toolUseId")), name, use.get("input"), link)
            case ToolFinished():
                self._returned(fact)
            case TaskUpdateEvent():
                self._calls.task(_mapping(fact.get("task")))
            case BidiUsageEvent():
                self._used(fact)
            case BidiConnectionStartEvent():
                self._connected(label(fact.get("connection_id")), label(fact.get("model")))
            case ConnectionLost():
                self._disconnect("lost", "lost")
            case BidiConnectionRestartEvent():
                self._restarted(fact.timeout_error)
            case BidiConnectionCloseEvent():
                self._disconnect(label(fact.get("reason")), "closed")
            case BidiErrorEvent():
                said = self._trace.content("exception.message", fact.get("message"))
                self._trace.event(self._span, "backchannel.error", {"error.type": label(fact.get("code")), **said})
            case _:
                pass

    @property
    def _parent(self) -> int:
        return self._span if self._connection is None else self._connection.span

    # Connections

    def _connected(self, connection_id: str, model: str) -> None:
        if self._connection is not None and self._connection.id == connection_id:
            return
        self._disconnect("replaced", "lost")
        attributes: dict[str, Attribute] = {
            "backchannel.connection.id": connection_id,
            "gen_ai.request.model": self._about.model,
            "gen_ai.response.model": model,
        }
        span = self._trace.start(f"connection {self._about.model}", self._span, attributes, remote=True)
        self._connection = _Connection(span, connection_id)

    def _disconnect(self, reason: str, outcome: str) -> None:
        self._responses.close(outcome)
        connection, self._connection = self._connection, None
        if connection is not None:
            attributes: dict[str, Attribute] = {"backchannel.connection.close_reason": reason, **connection.tokens}
            self._trace.end(connection.span, attributes)

    def _restarted(self, error: object) -> None:
        self._disconnect("restart", "lost")
        self._restarts += 1
        said = self._trace.content("exception.message", str(error))
        attributes: dict[str, Attribute] = {"error.type": label(type(error).__name__), **said}
        self._trace.event(self._span, "backchannel.connection_restart", attributes)
        self._trace.record("backchannel.connection.restarts", 1)

    def _used(self, event: BidiUsageEvent) -> None:
        """Add what was used since the last report; a count that went down began anew."""
        connection = self._connection
        last = {} if connection is None else connection.usage
        for key, name in _USAGE.items():
            count = _count(event.get(key))
            before = last.get(key, 0)
            added = count - before if count >= before else count
            last[key] = count
            if added <= 0:
                continue
            self._tokens[name] = self._tokens.get(name, 0) + added
            if connection is not None:
                connection.tokens[name] = connection.tokens.get(name, 0) + added
            if key in _COUNTED:
                self._trace.record("backchannel.tokens", added, {"gen_ai.token.type": _COUNTED[key]})

    # Turns

    def _speech(self, speaking: bool) -> None:
        self._hears_speech = True
        if self._speaking and not speaking:
            self._responses.turn_ended("voice")
        elif speaking:
            self._responses.turn_began()
        self._speaking = speaking

    def _transcript(self, event: BidiTranscriptStreamEvent) -> None:
        if not event.get("is_final"):
            return
        role = "user" if event.get("role") == "user" else "assistant"
        if role == "user" and not self._hears_speech and not self._responses.open:
            self._responses.turn_ended("transcript")
        said = self._trace.content("backchannel.transcript.text", event.get("text"))
        if said:
            self._trace.event(self._parent, "backchannel.transcript", {"backchannel.transcript.role": role, **said})

    def _interrupted(self, reason: object) -> None:
        why = reason if reason in ("user_speech", "error") else "other"
        self._interruptions += 1
        attributes: dict[str, Attribute] = {
            "backchannel.interruption.reason": str(why),
            "backchannel.interruption.of_response": self._responses.open,
        }
        self._trace.record("backchannel.interruptions", 1, attributes)
        self._responses.close("interrupted", at_once=True)

    # Calls

    def _returned(self, fact: ToolFinished) -> None:
        result = _mapping(fact.event.get("tool_result"))
        task = fact.event.task
        self._calls.returned(
            str(_mapping(fact.tool_use).get("toolUseId")),
            "error" if result.get("status") == "error" else "success",
            result.get("content"),
            task_id=None if task is None else str(task.task_id),
            exception=fact.event.exception,
        )


def _text_or_none(value: object) -> str | None:
    return None if value is None else str(value)


def _count(value: object) -> int:
    """Return a count that can be trusted: a whole number that is not negative and not absurd, else 0."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53 else 0


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
