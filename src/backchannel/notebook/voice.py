"""Voice: one agent's conversation, joined to the pages that show it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..audio.pacing import Chunk, Pacer
from ..errors import BackchannelError, InvalidInputError
from ..events import (
    ApprovalAnswerEvent,
    ApprovalRequestEvent,
    BidiAudioStreamEvent,
    BidiConnectionRestartEvent,
    BidiConnectionStartEvent,
    BidiErrorEvent,
    BidiInterruptionEvent,
    BidiResponseCompleteEvent,
    BidiResponseStartEvent,
    BidiTranscriptStreamEvent,
    TaskUpdateEvent,
    ToolUseStreamEvent,
    UserSpeechEvent,
)
from ..events.values import encodable
from ..tasks import AsyncTool
from ..tools.text import cut, error_text
from .agent_link import AgentLink, TalkAgent
from .captions import Captions
from .channel import Channel
from .owner import Ownership
from .questions import Questions
from .saved_output import SavedOutput
from .static_html import transcript_html, transcript_text
from .voice_snapshot import apply, new_snapshot
from .voice_state import VoiceMachine
from .widget import LiveWidget
from .wire import (
    Ack,
    Answer,
    Audio,
    Cancel,
    Claim,
    FromPage,
    Heard,
    Hello,
    Mic,
    Ping,
    Played,
    Pong,
    Release,
    Say,
    ToPage,
)

if TYPE_CHECKING:
    from ..models.realtime import ModelProfile
    from .routing import Routing

__all__ = ["Voice", "VoiceWidget"]

_log = logging.getLogger(__name__)
_PAGE_INFO = "BACKCHANNEL_PAGE_INFO"


class VoiceWidget(LiveWidget):
    """What shows a conversation in a page."""


class Voice:
    """Everything lives on the notebook's loop, except the constructor, `show`, `offer`, `mute_after` and `begin`.

    Args:
        agent: Not started; it is started and stopped here.
        all_tools: Whether the agent takes every tool that the notebook declares, or only newer ones of its own.
        submit: Calls a function on the loop, soon.
        routing: Brings the widget's messages.
        publish: See `SavedOutput`.
        cancel: Cancels the task with this id.
        hold: Entered for as long as the conversation runs.
        notices: Says what is off, given whether the page runs our JupyterLab extension.
        clock: Seconds.
    """

    CAPTION_S = 0.05
    HEARD_S = 0.1

    def __init__(
        self,
        agent: TalkAgent,
        *,
        all_tools: bool,
        submit: Callable[..., None],
        routing: Routing,
        publish: Callable[[dict[str, Any], str, bool], None],
        cancel: Callable[[str], object],
        hold: Callable[[], contextlib.AbstractContextManager[None]],
        notices: Callable[[bool], list[str]],
        clock: Callable[[], float],
    ) -> None:
        self.agent = agent
        self.all_tools = all_tools
        self._submit = submit
        self._cancel = cancel
        self._hold = hold
        self._standing_notices = notices
        self._clock = clock
        profile = agent.profile
        self._channel = Channel(new_snapshot(_info(profile)), apply)
        self._machine = VoiceMachine()
        self._captions = Captions()
        self._questions = Questions(self._captions)
        self._owner = Ownership()
        self._pacer = Pacer(profile.output_rate)
        self._rate = profile.output_rate
        self._link = AgentLink(agent, self._set_aside)
        self._dropped = self._unplayed = False
        self._confirmed = -1
        self._next_heard = 0.0
        self._running: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self.widget = VoiceWidget(
            "voice", self.snapshot, lambda message, buffers: submit(self.receive, message, buffers), routing
        )
        self.output = SavedOutput(self.widget.model_id, self._render, publish, self._tell)

    def snapshot(self) -> dict[str, Any]:
        """Return what the pages show. Any thread."""
        return self._channel.snapshot

    @property
    def running(self) -> bool:
        """Whether the conversation has begun and not ended."""
        return self._running is not None

    def show(self) -> None:
        """Show the widget in the cell that runs now."""
        self.output.show(self._clock())
        self._submit(self._pump)

    def offer(self, tool: AsyncTool) -> None:
        """Let the agent use a tool from its next turn on, if it is one of its own or it takes all. Any thread."""
        registry = self.agent.tool_registry
        if self.all_tools or registry.get(tool.tool_name) is not None:
            registry.register(tool)

    def watch_anew(self) -> None:
        """Tools without a manager of their own have another one now: let the agent listen to that. Any thread."""
        registry = self.agent.tool_registry
        for tool in registry.tools():
            if isinstance(tool, AsyncTool):
                # One that is new makes the agent look at all of them.
                registry.register(tool.options())
                return

    def mute_after(self, seconds: float) -> None:
        """Mute the microphone when nobody has spoken for so long; 0 never does. Any thread."""
        self._submit(self._post, {"op": "info", "mute_after_s": seconds})

    def begin(self) -> None:
        """Connect to the model, if it is not. Any thread."""
        self._submit(self._begin)

    async def stop(self) -> None:
        """End the conversation; the widget stays and may begin another."""
        if self._running is not None:
            self._running.cancel()
            await asyncio.wait([self._running])
        self._pump()

    def close(self) -> None:
        """Close all views; the saved output keeps the transcript."""
        if self.output.shown:
            self.output.leave(self._clock())
        self.widget.close()

    # What pages say

    def receive(self, message: FromPage, buffers: list[bytes]) -> None:
        """Handle what a page sent."""
        now = self._clock()
        if self._owner.seen(message.client, now):
            self._owner_changed()
        if not isinstance(message, Hello | Ack):
            self._channel.seen(message.client, now)
        match message:
            case Hello(client=client, lab=lab, keeps=keeps):
                self._channel.hello(client, now, lab=lab, keeps=keeps)
                self.output.page_came()
                self._notify()
                self._soon(0.0)
            case Ack(client=client, seq=seq):
                self._channel.ack(client, seq, now)
            case Claim():
                self._claim(message, now)
            case Release(client=client):
                if self._owner.release(client):
                    self._flush()
                    self._owner_changed()
            case Mic():
                self._hear(message, buffers)
            case Played(client=client) if client == self._owner.client:
                self._speak(self._pacer.on_played(message.gen, message.received, message.played))
            case Say(text=text) if text.strip():
                self._post(self._captions.typed(text))
                self._machine.user_said()
                self._link.typed.append(encodable(text))
                self._link.said()
                self._begin()
            case Cancel(task=task):
                self._cancel(task)
            case Answer(question=question, approved=approved):
                with contextlib.suppress(InvalidInputError):  # somebody else was first
                    self.agent.approvals.answer(question, approved, by="widget")
            case Ping(client=client, t=t):
                self._tell(Pong(client, t))
            case _:
                pass
        self._sync()

    def _claim(self, message: Claim, now: float) -> None:
        if self._owner.claim(message.client, now, force=message.force, microphone=message.microphone):
            self._confirmed = -1
            self._link.microphone.restart()
            self._owner_changed()
            self._begin()
        else:
            self._post({"op": "owner", "client": self._owner.client})

    def _hear(self, message: Mic, buffers: list[bytes]) -> None:
        if message.client != self._owner.client or not self._owner.microphone:
            return
        before = self._link.microphone.dropped
        try:
            self._link.microphone.put(message.n, message.rate, buffers)
        except InvalidInputError as error:
            self.widget.gate.refuse(error)
            return
        if self._link.microphone.dropped > before and self._machine.live and not self._dropped:
            self._dropped = True
            self._notify()
        self._link.said()
        self._soon(max(0.0, self._next_heard - self._clock()))

    def _owner_changed(self) -> None:
        owner = self._owner
        self._machine.owned(bool(owner.client), vanished=bool(owner.vanished))
        self._post({"op": "owner", "client": owner.client})
        if owner.client:
            # What the page before did not play is played here.
            chunks = self._pacer.rewind()
            self._post({"op": "flush", "gen": self._pacer.generation})
            self._speak(chunks)

    # What the agent says

    def _on_event(self, event: Any) -> None:
        match event:
            case BidiAudioStreamEvent():
                chunks = self._pacer.push(event.response_id or "", self._mono(event))
                if dropped := self._pacer.dropped():
                    self._post(*self._captions.dropped({item.response_id for item in dropped}))
                    if not self._unplayed:
                        self._unplayed = True
                        self._notify()
                self._speak(chunks)
            case BidiInterruptionEvent():
                self._flush()
                self._machine.interrupted()
            case BidiTranscriptStreamEvent(text=text, role=role, is_final=final):
                self._post(self._captions.said(role, text, final=final, whole=event.current_transcript))
                if role == "user" and final:
                    self._machine.user_said()
            case UserSpeechEvent():
                self._machine.user_speaking(event.speaking)
            case BidiResponseStartEvent():
                self._captions.response_started(event.response_id)
                self._machine.response_started(event.response_id)
            case BidiResponseCompleteEvent():
                self._machine.response_completed(event.response_id, tool_use=event.stop_reason == "tool_use")
                self._pacer.complete(event.response_id)
                self._speak([])
            case ToolUseStreamEvent():
                self._machine.tool_called()
            case TaskUpdateEvent():
                self._post(*self._captions.task(event.task))
            case ApprovalRequestEvent():
                self._post(*self._questions.asked(event))
            case ApprovalAnswerEvent():
                self._post(*self._questions.answered(event))
            case BidiErrorEvent():
                self._post(self._captions.note(f"Error: {event.message}"))
            case BidiConnectionRestartEvent():
                self._machine.reconnecting(event.message)
                if event.turn_interrupted:
                    self._post(self._captions.note("The connection was made anew. Without an answer, say it again."))
            case BidiConnectionStartEvent():
                self._machine.connected()
            case _:
                pass
        self._sync()

    def _speak(self, chunks: list[Chunk]) -> None:
        """Send voice to the page that speaks, if there is one, and report what was heard."""
        if self._owner.client:
            for chunk in chunks:
                audio = Audio(self._owner.client, chunk.generation, chunk.start, self._rate)
                self._tell(audio, chunk.data)
        for heard in self._pacer.heard():
            self.agent.played(heard.response_id, heard.samples, heard.finished)
            if heard.finished:
                self._post(*self._captions.heard(heard.response_id))
        self._machine.playing(self._pacer.playing)

    def _flush(self) -> None:
        """Drop what was not played, here and in the page; what was cut off stays marked as not heard."""
        cut = {item.response_id for item in self._pacer.flush() if item.samples}
        self._post({"op": "flush", "gen": self._pacer.generation})
        self._post(*self._captions.interrupted(cut))
        self._speak([])

    # The conversation's life

    def _begin(self) -> None:
        if self._running is None:
            self._running = asyncio.get_running_loop().create_task(self._converse(), name="backchannel-talk")
            self._running.add_done_callback(self._ended)

    def _ended(self, _task: asyncio.Task[None]) -> None:
        self._running = None
        self._post(*self._questions.ended())
        self._sync()
        if self._owner.release(self._owner.client):
            # Nobody listens any more: no page's microphone is to stay open.
            self._owner_changed()
            self._sync()

    async def _converse(self) -> None:
        model, machine = self.agent.model, self._machine
        if hasattr(model, "on_loading"):
            model.on_loading = lambda fraction, what: self._submit(self._loading, fraction, what)
        machine.connecting(f"Connecting to {self.agent.profile.name}.")
        self._sync()
        try:
            with self._hold():
                await self._link.run(self._connected, self._on_event)
            machine.stopped()
        except asyncio.CancelledError:
            self._flush()
            machine.stopped()
            raise
        except Exception as error:  # noqa: BLE001 (whatever ends a conversation is shown, not lost)
            self._flush()
            self._fail(error)

    def _connected(self) -> None:
        self._machine.connected()
        self._sync()

    def _loading(self, fraction: float, what: str) -> None:
        if self._machine.state == "connecting":
            self._machine.connecting(f"{what[:1].upper()}{what[1:]}, {int(100 * fraction)} percent.")
            self._sync()

    def _fail(self, error: Exception) -> None:
        sentence = str(error) if isinstance(error, BackchannelError) else f"{type(error).__name__}: {error}"
        _log.error("the conversation ended: %s", sentence, exc_info=error)
        self._machine.failed(sentence or type(error).__name__)
        self._post(self._captions.note(f"The conversation ended. {sentence}"))

    def _set_aside(self, text: str, error: Exception) -> None:
        why = error_text(error, 300)
        _log.warning("a typed text was not sent: %s", why)
        self._machine.not_sent()
        self._post(self._captions.note(f'Not sent: "{cut(text, 200)}". {why}'))
        self._sync()

    def _mono(self, event: BidiAudioStreamEvent) -> bytes:
        if event.format != "pcm" or event.sample_rate != self._rate:
            raise InvalidInputError(
                f"{self.agent.profile.name} speaks {event.format} at {event.sample_rate} Hz; its profile says pcm at "
                f"{self._rate} Hz"
            )
        if event.channels == 1:
            return event.data
        from ..audio import pcm

        return pcm.from_bytes(event.data, event.channels).tobytes()

    # To the pages

    def _post(self, *ops: dict[str, Any]) -> None:
        for op in ops:
            self._channel.post(op)
        if ops:
            self.output.changed()
            self._soon(0.0 if any(op["op"] != "caption" for op in ops) else self.CAPTION_S)

    def _sync(self) -> None:
        shown, machine = self._channel.snapshot, self._machine
        if (shown["state"], shown["detail"]) != (machine.state, machine.detail):
            self._post({"op": "state", "state": machine.state, "detail": machine.detail})
        at = self._channel.next_due()
        if at is not None:
            self._soon(max(0.0, at - self._clock()) if at > 0.0 else self.CAPTION_S)

    def _notify(self) -> None:
        notices = self._standing_notices(self._channel.lab)
        if self._dropped:
            notices = [*notices, "Some of the microphone was dropped: the model did not take it in time."]
        if self._unplayed:
            notices = [*notices, "Some of the voice was dropped: no page has played it in time."]
        if notices != self._channel.snapshot["notices"]:
            self._post({"op": "notices", "notices": notices})

    def _pump(self) -> None:
        """Send everything that is due, and come back when more is."""
        now = self._clock()
        self._timer = None
        if self._owner.expire(now):
            self._owner_changed()
            self._sync()
        elif self._owner.probe(now):
            self._post({"op": "owner", "client": self._owner.client})
        for message in self._channel.due(now):
            self._tell(message)
        arrived = self._link.microphone.arrived
        if arrived > self._confirmed and now >= self._next_heard:
            self._confirmed, self._next_heard = arrived, now + self.HEARD_S
            self._tell(Heard(self._owner.client, arrived))
        # Never settled: without its widget a page could not begin to talk again.
        pages, lab, keeps = bool(self._channel.pages), self._channel.lab, self._channel.keeps
        save = self.output.next_due(settled=False, pages=pages, lab=lab, keeps=keeps)
        if save is not None and save <= now:
            self.output.write(now, settled=False, pages=pages, lab=lab, keeps=keeps)
            save = self.output.next_due(settled=False, pages=pages, lab=lab, keeps=keeps)
        heard = self._next_heard if arrived > self._confirmed else None
        times = [self._channel.next_due(), self._owner.next_check(), save, heard]
        self._soon(min((max(0.0, at - now) for at in times if at is not None), default=None))

    def _soon(self, delay: float | None) -> None:
        if delay is None:
            return
        at = self._clock() + delay
        if self._timer is not None:
            if self._timer_at <= at:
                return
            self._timer.cancel()
        self._timer_at = at
        self._timer = asyncio.get_running_loop().call_later(delay, self._pump)

    def _tell(self, message: ToPage, audio: bytes | None = None) -> None:
        self.widget.tell(message, audio)

    def _render(self) -> tuple[str, str]:
        shown = self._channel.snapshot
        parts = shown["captions"], shown["detail"], shown["questions"]
        return transcript_html(*parts), transcript_text(*parts)


def _info(profile: ModelProfile) -> dict[str, Any]:
    info: dict[str, Any] = {
        "model": profile.name,
        "place": profile.place,
        "input_rate": profile.input_rate,
        "output_rate": profile.output_rate,
    }
    try:
        extra = json.loads(os.environ.get(_PAGE_INFO) or "{}")
    except ValueError as error:
        raise InvalidInputError(f"{_PAGE_INFO} is not JSON: {error}") from None
    return {**info, **extra} if isinstance(extra, dict) else info
