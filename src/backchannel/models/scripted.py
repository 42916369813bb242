"""A model that follows a script: for tests, demonstrations and tutorials. Strict in both directions.

    model = ScriptedModel(
        expect_text("research solar power"),
        call("research", {"topic": "solar power"}),
        expect_result("research"),
        say("Started."),
        expect_announcement("solar power"),
        say("It is done."),
    )
    async with BidiAgent(model, tools=[research]) as agent: ...
    model.check()          # fails if steps are left over

The same script serves an `Agent`, in writing; `ScriptedTextModel` is made for those, and shows what it was given.

A send that the script does not expect raises `ScriptError` to the sender, and names the step it stands at.
Nothing is timed: steps run as soon as what they wait for was sent. Audio is a quiet tone, generated at once.
"""

from __future__ import annotations

import asyncio
import json
import math
import struct
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from ..errors import ScriptError
from ..events import (
    AnnouncementEvent,
    BidiAudioInputEvent,
    BidiAudioStreamEvent,
    BidiConnectionStartEvent,
    BidiInputEvent,
    BidiInterruptionEvent,
    BidiResponseCompleteEvent,
    BidiResponseStartEvent,
    BidiTextInputEvent,
    BidiTranscriptStreamEvent,
    ProgressEvent,
    ToolResultEvent,
    ToolUseStreamEvent,
    TypedEvent,
    UserSpeechEvent,
)
from ..messages import ContentBlock, Messages, ToolSpec
from .realtime import ModelProfile
from .task_notes import told
from .text import StreamEvent, message_events

__all__ = [
    "Expect",
    "ScriptedModel",
    "call",
    "expect",
    "expect_announcement",
    "expect_progress",
    "expect_result",
    "expect_text",
    "fail",
    "hear",
    "interrupt",
    "say",
]

CHUNK_MS = 40


@dataclass(frozen=True, slots=True)
class Expect:
    """Wait for a send that fits; audio input is let through while waiting, unless the step is about audio."""

    what: str
    fits: Callable[[TypedEvent], bool]


@dataclass(frozen=True, slots=True)
class Fail:
    """Raise from ``receive``."""

    error: Exception


@dataclass(frozen=True, slots=True)
class Say:
    """Say a text in one response."""

    text: str
    seconds: float
    complete: bool


Step: TypeAlias = Expect | Fail | Say | TypedEvent


def expect(what: str, fits: Callable[[TypedEvent], bool]) -> Expect:
    """Wait for a send for which ``fits`` is true; ``what`` describes it in errors."""
    return Expect(what, fits)


def expect_text(text: str) -> Expect:
    """Wait for text of the user that contains ``text``."""
    return Expect(
        f"text with {text!r}",
        lambda event: (
            event["type"] == "bidi_text_input"
            and not isinstance(event, (AnnouncementEvent, ProgressEvent))
            and text in event["text"]
        ),
    )


def expect_announcement(text: str) -> Expect:
    """Wait for the result of background tasks, told as text that contains ``text``."""
    return Expect(
        f"an announcement with {text!r}",
        lambda event: isinstance(event, AnnouncementEvent) and text in event["text"],
    )


def expect_progress(text: str = "", *, aloud: bool | None = None) -> Expect:
    """Wait for how far background tasks are, told as text that contains ``text``; ``aloud``: to be said, or not."""
    return Expect(
        f"progress with {text!r}",
        lambda event: isinstance(event, ProgressEvent) and text in event["text"] and aloud in (None, event.aloud),
    )


def expect_result(text: str = "", *, tool_use_id: str | None = None, status: str | None = None) -> Expect:
    """Wait for a tool's result that contains ``text``, for this call, with this status."""
    return Expect(
        f"a tool result with {text!r}",
        lambda event: (
            event["type"] == "tool_result"
            and text in json.dumps(event["tool_result"]["content"], ensure_ascii=False)
            and tool_use_id in (None, event["tool_result"]["toolUseId"])
            and status in (None, event["tool_result"]["status"])
        ),
    )


def say(text: str, seconds: float = 0.4, *, complete: bool = True) -> Say:
    """Say ``text`` in one response with ``seconds`` of audio; without ``complete`` the response stays open."""
    return Say(text, seconds, complete)


def hear(text: str) -> list[TypedEvent]:
    """Have heard the user say ``text``; what a `say` before it said was heard, where no player reports otherwise."""
    return [
        UserSpeechEvent(True),
        UserSpeechEvent(False),
        BidiTranscriptStreamEvent({"text": text}, text, "user", is_final=True),
    ]


def call(name: str, input: dict[str, Any] | None = None, tool_use_id: str = "call-1") -> ToolUseStreamEvent:
    """Call a tool."""
    arguments = input or {}
    return ToolUseStreamEvent(
        {"toolUse": {"input": json.dumps(arguments)}}, {"toolUseId": tool_use_id, "name": name, "input": arguments}
    )


def interrupt() -> BidiInterruptionEvent:
    """Report that the user interrupted the response, as a model with its own turn detection does."""
    return BidiInterruptionEvent("user_speech")


def fail(error: Exception) -> Fail:
    """Raise ``error`` from the connection."""
    return Fail(error)


class ScriptedModel:
    """Follows a script; see the module's example.

    Args:
        *steps: What to expect and what to do, in order; lists are taken apart; plain events are emitted; a str is said
            to whatever comes next.
        profile: How the model behaves; by default interruptions are the script's.

    Attributes:
        sent: Everything that was sent, in order.
        starts: The arguments of every ``start``.
        cancelled: The ids of responses that were cancelled.
        truncated: (response id, samples) of responses that were truncated.
    """

    def __init__(self, *steps: Step | str | Sequence[Step | str], profile: ModelProfile | None = None) -> None:
        self.profile = profile or ModelProfile(name="script", place="stays in this process", tools="live")
        self.config: dict[str, Any] = {
            "audio": {
                "input_rate": self.profile.input_rate,
                "output_rate": self.profile.output_rate,
                "channels": 1,
                "format": "pcm",
                "voice": "tone",
            }
        }
        self._steps = list(_flat(steps))
        self._at = 0
        self._wake = asyncio.Event()
        self._connected = False
        self._responses = 0
        self.sent: list[TypedEvent] = []
        self.starts: list[dict[str, Any]] = []
        self.tool_updates: list[list[ToolSpec]] = []
        self.cancelled: list[str] = []
        self.truncated: list[tuple[str, int]] = []

    async def start(
        self,
        system_prompt: str | None = None,
        tools: list[ToolSpec] | None = None,
        messages: Messages | None = None,
        **kwargs: Any,
    ) -> None:
        if self._connected:
            raise ScriptError("start: the scripted model is connected already")
        self._connected = True
        self._wake = asyncio.Event()
        self.starts.append({"system_prompt": system_prompt, "tools": tools, "messages": list(messages or []), **kwargs})

    async def stop(self) -> None:
        self._connected = False
        self._wake.set()

    async def send(self, content: BidiInputEvent | ToolResultEvent) -> None:
        if not self._connected:
            raise ScriptError(f"send: {_describe(content)} was sent, but the scripted model is not connected")
        self._take(content)

    async def stream(
        self,
        messages: Messages,
        tool_specs: list[ToolSpec] | None = None,
        system_prompt: str | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[StreamEvent]:
        """Follow the script in writing, as a `TextModel`: what is new in the history is sent, what is said is written.

        Raises:
            ScriptError: If the script does not expect what is new, or has come to its end.
        """
        self.starts.append({"system_prompt": system_prompt, "tools": tool_specs, "messages": list(messages)})
        content = self._written()
        for event in _sends(messages):
            self._take(event)
            content += self._written()
        if not content and self._at >= len(self._steps):
            raise ScriptError("the model was called, but its script has come to its end")
        for written in message_events({"role": "assistant", "content": content}):
            yield written

    def _written(self) -> list[ContentBlock]:
        """Take the steps up to the next thing to wait for, and return what they say and call."""
        content: list[ContentBlock] = []
        while self._at < len(self._steps) and not isinstance(step := self._steps[self._at], Expect):
            self._at += 1
            if isinstance(step, Fail):
                raise step.error
            if isinstance(step, Say):
                content.append({"text": step.text})
            elif isinstance(step, ToolUseStreamEvent):
                content.append({"toolUse": step["current_tool_use"]})
        return [block for block in content if "text" not in block or block["text"].strip()]

    def _take(self, content: TypedEvent) -> None:
        step = self._steps[self._at] if self._at < len(self._steps) else None
        if isinstance(step, Expect) and step.fits(content):
            self.sent.append(content)
            self._at += 1
            self._wake.set()
        elif isinstance(content, BidiAudioInputEvent):
            self.sent.append(content)
        else:
            wanted = f"step {self._at + 1}: {_describe(step)}" if step is not None else "the end of the script"
            raise ScriptError(f"unexpected send: {_describe(content)}; the script stands at {wanted}")

    async def receive(self) -> AsyncIterator[TypedEvent]:
        yield BidiConnectionStartEvent(f"script-{len(self.starts)}", self.profile.name)
        while self._connected:
            step = self._steps[self._at] if self._at < len(self._steps) else None
            if step is None or isinstance(step, Expect):
                self._wake.clear()
                await self._wake.wait()
                continue
            self._at += 1
            if isinstance(step, Fail):
                self._connected = False
                raise step.error
            if isinstance(step, Say):
                for event in self._speech(step):
                    yield event
            else:
                if isinstance(step, UserSpeechEvent) and step.speaking:
                    await _handed_out()
                yield step

    async def update_tools(self, tools: list[ToolSpec]) -> None:
        self.tool_updates.append(tools)

    async def cancel_response(self, response_id: str) -> None:
        self.cancelled.append(response_id)

    async def truncate_response(self, response_id: str, samples: int) -> None:
        self.truncated.append((response_id, samples))

    def check(self) -> None:
        """Raise `ScriptError` if steps of the script are left over."""
        if self._at < len(self._steps):
            left = ", ".join(_describe(step) for step in self._steps[self._at : self._at + 5])
            raise ScriptError(f"{len(self._steps) - self._at} step(s) left over, from step {self._at + 1}: {left}")

    def _speech(self, step: Say) -> list[TypedEvent]:
        self._responses += 1
        response_id, rate = f"response-{self._responses}", self.profile.output_rate
        events: list[TypedEvent] = [BidiResponseStartEvent(response_id)]
        if step.text:
            events.append(BidiTranscriptStreamEvent({"text": step.text}, step.text, "assistant", is_final=False))
        chunk, total = rate * CHUNK_MS // 1000, int(step.seconds * rate)
        for start in range(0, total, chunk):
            count = min(chunk, total - start)
            samples = (round(2000 * math.sin(2 * math.pi * 220 * (start + n) / rate)) for n in range(count))
            data = struct.pack(f"<{count}h", *samples)
            events.append(BidiAudioStreamEvent.from_data(data, rate, response_id))
        if step.complete:
            if step.text:
                events.append(BidiTranscriptStreamEvent({"text": step.text}, step.text, "assistant", is_final=True))
            events.append(BidiResponseCompleteEvent(response_id, "complete"))
        return events


async def _handed_out() -> None:
    """Give whoever reads the agent's events a turn: a user answers what they have heard."""
    for _ in range(3):
        await asyncio.sleep(0)


def _flat(steps: Sequence[Step | str | Sequence[Step | str]]) -> Iterator[Step]:
    for step in steps:
        if isinstance(step, str):
            yield Expect("anything", lambda event: event["type"] != "bidi_audio_input")
            yield say(step)
        elif isinstance(step, Sequence):
            yield from _flat(step)
        else:
            yield step


def _sends(messages: Messages) -> Iterator[TypedEvent]:
    """Return what has come since the model wrote last, as it would be sent in a conversation by voice."""
    for message in _newest(messages):
        for block in message["content"]:
            if "toolResult" in block:
                yield ToolResultEvent(block["toolResult"])
            elif "text" in block:
                text = block["text"]
                yield AnnouncementEvent(text, ()) if told(text) else BidiTextInputEvent(text)


def _newest(messages: Messages) -> Messages:
    last = max((at for at, message in enumerate(messages) if message["role"] == "assistant"), default=-1)
    return messages[last + 1 :]


def _describe(item: object) -> str:
    if isinstance(item, Expect):
        return f"expects {item.what}"
    if isinstance(item, Say):
        return f"says {item.text!r}"
    if isinstance(item, Fail):
        return f"fails with {item.error!r}"
    if isinstance(item, dict):
        text = json.dumps(item, default=str, ensure_ascii=False)
        return text if len(text) <= 200 else f"{text[:200]}…"
    return repr(item)
