"""The agent loop: the only place that knows models, tools and tasks. It decides nothing; `Conversation` does.

All of it runs on the event loop that called ``start``. What comes from other threads is handed over.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import os
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Any

from ..commands import (
    AmendMessage,
    Announce,
    AppendMessage,
    CancelResponse,
    Command,
    Flush,
    Mention,
    Publish,
    RunTool,
    SendResult,
    Told,
    Truncate,
    WakeAt,
)
from ..errors import AgentStateError, BidiModelTimeoutError
from ..events import (
    ApprovalQuestionEvent,
    AudioDropped,
    AudioHandedOut,
    BidiAudioInputEvent,
    BidiAudioStreamEvent,
    BidiConnectionCloseEvent,
    BidiConnectionRestartEvent,
    BidiConnectionStartEvent,
    BidiErrorEvent,
    BidiInputEvent,
    BidiInterruptionEvent,
    BidiResponseStartEvent,
    BidiTextInputEvent,
    CloseReason,
    ConnectionLost,
    Heard,
    PlayerReady,
    ToolFinished,
    TypedEvent,
    UserSpeechEvent,
    UserTextSent,
)
from ..hooks import (
    BidiAfterConnectionRestartEvent,
    BidiAfterInvocationEvent,
    BidiBeforeConnectionRestartEvent,
    BidiBeforeInvocationEvent,
    BidiHistoryReducedEvent,
    BidiMessageAddedEvent,
    BidiMessageAmendedEvent,
)
from ..hooks import BidiInterruptionEvent as InterruptionHook
from ..messages import Message, Messages, ToolSpec, ToolUse
from ..observability import session_telemetry
from .background import BackgroundTasks
from .calls import failed_call, run_with_hooks
from .conversation import Conversation
from .ending import CANCEL_S, begun, cancelled, dropped, in_time, leave, why_dead
from .gate import HELD_AUDIO_S, AudioDroppedError
from .history import history_for_model
from .link import Link
from .outbox import Outbox
from .outlet import Outlet
from .playback import Playback
from .renewal import Renewal
from .stream import EventStream
from .window import ConversationManager

if TYPE_CHECKING:
    from ..audio.vad import SpeechOnset
    from .bidi import BidiAgent

__all__ = ["BidiLoop"]

logger = logging.getLogger(__name__)

STOP_TOOL = "stop_conversation"
HEARD_LESS_S = 0.3
"""How much of the end of a question the user need not have heard before they begin to answer it, seconds."""
RETRY_S = 5.0
"""How long to wait after a connection could not be made ahead of time, seconds."""
ENDING_S = 8.0
"""How long the end of a conversation may take, whatever hangs, seconds; of that at most:"""
WORK_S = 5.5
"""for tools and hooks that are cancelled,"""
MODEL_S = 4.0
"""for the model to close its connection,"""
HOOKS_S = 5.0
"""for the hooks after the end."""


class BidiLoop:
    """One conversation of one agent, from ``start`` to ``stop``."""

    def __init__(self, agent: BidiAgent) -> None:
        self._agent = agent
        self._loop = asyncio.get_running_loop()
        self.conversation = Conversation(agent.profile, Playback(agent.profile.output_rate))
        self.outlet = Outlet(agent.hooks, EventStream(self._loop.time, self._dropped))
        self._link = Link(agent.model, self, self._deliver, overlaps=agent.profile.overlaps)
        self._outbox = Outbox(agent.model, self._link, self.conversation, self._feed, self.outlet.stream.fail)
        self._renewal = Renewal(agent.profile.session_limit_s)
        self._connection_id = "unknown"
        self._supervisor: asyncio.Task[None] | None = None
        self._work: dict[asyncio.Task[None], str] = {}
        self._steps: set[asyncio.Task[Any]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._renewal_timer: asyncio.TimerHandle | None = None
        self._restarting = False
        self._reduced_at = 0
        self._reducing = False
        self._onset: SpeechOnset | None = None
        self._reports_speech = False
        self._closing = False
        self._abandoned = False
        self._process = os.getpid()
        self._until = math.inf
        self._stopping: asyncio.Task[None] | None = None
        self._state: dict[str, Any] = {}
        self._error: Exception | None = None
        self._telemetry = session_telemetry(agent, self._loop.time())
        self._background = BackgroundTasks(agent, self._loop, self._feed, self._say)

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop that this conversation lives on."""
        return self._loop

    @property
    def ended(self) -> bool:
        """Whether nothing more happens in this conversation."""
        return self._closing or self.outlet.stream.closed

    @property
    def stopped(self) -> bool:
        """Whether `stop` has come to its end."""
        return self._abandoned or (self._stopping is not None and self._stopping.done())

    # Life

    async def start(self, invocation_state: dict[str, Any] | None) -> None:
        agent = self._agent
        self._state = {} if invocation_state is None else invocation_state
        try:
            await agent.hooks.invoke_callbacks_async(BidiBeforeInvocationEvent(agent))
            self._check_wanted()
            await self._link.open()
            self._check_wanted()
        except BaseException as error:
            self._closing = True
            self._until = self._loop.time() + ENDING_S
            self._observe_end(error)
            with contextlib.suppress(Exception):
                await self._close_model()
            await self._after_hooks()
            raise
        agent.approvals.connect(self)
        self._background.watch()
        self._supervisor = asyncio.create_task(self._supervise(), name="backchannel-reader")
        self._spawn(self._outbox.run(), "backchannel-sender", f"{self._link.name}.send")

    async def end_start(self, starting: asyncio.Task[None]) -> None:
        """Cancel the task that runs `start`, and wait for it; one that takes no cancellation is left behind."""
        if not starting.cancelling():
            starting.cancel()
        await asyncio.wait({starting}, timeout=CANCEL_S)
        if not self._closing:
            self._abandoned = not starting.done()
        elif not starting.done():
            await asyncio.wait({starting}, timeout=ENDING_S)
        if not starting.done():
            owner = self._agent.model if self._agent.hooks.awaited(starting) is None else None
            leave(starting, self._doing(starting, f"{self._link.name}.start"), owner)

    def _check_wanted(self) -> None:
        if self._abandoned:
            raise AgentStateError("the agent was stopped before it was connected")

    async def stop(self) -> None:
        """End it, whoever asks and however often; everyone waits until it is done, but for its own tools and hooks."""
        current = asyncio.current_task()
        inside = current in (*self._work, *self._steps, self._supervisor, self._stopping, self.outlet.pump)
        if self._stopping is None:
            self._stopping = asyncio.create_task(self._stop(current), name="backchannel-stop")
        elif inside:
            return
        await asyncio.shield(self._stopping)

    async def _stop(self, caller: asyncio.Task[Any] | None) -> None:
        self._close()
        self._until = self._loop.time() + ENDING_S
        work = {task: self._doing(task, what) for task, what in self._work.items() if task is not caller}
        if self._supervisor is not None and self._supervisor is not caller:
            work[self._supervisor] = self._doing(self._supervisor, f"the connection of {self._link.name}")
        try:
            await cancelled(work, WORK_S)
            pump = self.outlet.pump
            if pump is not None and pump is not caller:
                await cancelled({pump: self._doing(pump)}, self._left_s(WORK_S, MODEL_S))
            if pump is not caller:
                self.outlet.close()
        finally:
            try:
                await self._close_model()
            finally:
                self.outlet.stream.close()
                self._observe_end(self._error)
                await self._after_hooks()

    def why_dead(self) -> str | None:
        """Return why nothing can happen on its event loop, in words; None if it can."""
        return why_dead(self._loop) if self._process == os.getpid() else "it was started before this process was forked"

    async def abandon(self) -> None:
        """End it from another event loop, where nothing can happen on its own: what runs there is dropped."""
        others = (self._supervisor, self._link.reading, self.outlet.pump)
        tasks = [*self._work, *self._steps, *(task for task in others if task is not None)]
        self._abandoned = True
        with contextlib.suppress(RuntimeError):  # who waits on that loop cannot be woken
            self._close()
        dropped(tasks)
        with contextlib.suppress(RuntimeError):
            self.outlet.close()
        self._loop = asyncio.get_running_loop()
        self._until = self._loop.time() + ENDING_S
        if self._process != os.getpid():
            return  # The connection is the parent's, and goes on there.
        try:
            await self._close_model()
        except Exception as error:  # noqa: BLE001 - a connection of another loop can be expected to raise
            logger.warning("%s.stop raised, without the event loop of its start: %s", self._link.name, error)
        self._observe_end(self._error)
        await self._after_hooks()

    def _close(self) -> None:
        self._closing = True
        self.outlet.stream.silence()
        self._background.close()
        for timer in (self._timer, self._renewal_timer):
            if timer is not None:
                timer.cancel()
        self._agent.approvals.disconnect()
        self._link.gate.fail(AgentStateError("the agent was stopped; call start before sending"))

    async def _close_model(self) -> None:
        task = self._step(self._agent.model.stop())
        what = f"{self._link.name}.stop"
        if not await in_time(task, what, self._left_s(MODEL_S, 1.0), self._agent.model):
            task.cancel()

    async def _after_hooks(self) -> None:
        task = self._step(self._agent.hooks.invoke_callbacks_async(BidiAfterInvocationEvent(self._agent)))
        await in_time(task, self._doing, self._left_s(HOOKS_S, 0.0))

    def _left_s(self, most_s: float, keep_s: float) -> float:
        """How long this step of the end may take: at most ``most_s``, with ``keep_s`` left for the steps after it."""
        return min(most_s, max(self._until - self._loop.time() - keep_s, 0.5))

    def _step(self, work: Awaitable[object]) -> asyncio.Task[Any]:
        task = begun(work)
        self._steps.add(task)
        task.add_done_callback(self._steps.discard)
        return task

    def _doing(self, task: asyncio.Task[Any], what: str = "a hook") -> str:
        hook = self._agent.hooks.awaited(task)
        return what if hook is None else f"the hook {hook}"

    async def _supervise(self) -> None:
        try:
            await self._link.run()
        except Exception as error:  # noqa: BLE001 - whatever ends the conversation goes to receive()
            self._error = error
            self.outlet.stream.fail(error)
            self._link.gate.fail(
                AgentStateError(f"the conversation has ended ({type(error).__name__}: {error}); stop the agent first")
            )
        else:
            self._end("complete")
            self._link.gate.fail(AgentStateError("the conversation has ended: the model closed the connection"))

    def _observe_end(self, error: BaseException | None) -> None:
        if self._telemetry is not None:
            self._telemetry.ended(error, self._loop.time())

    def _end(self, reason: CloseReason) -> None:
        self._say(BidiConnectionCloseEvent(self._connection_id, reason))
        self.outlet.end()

    # In and out

    async def send(self, event: BidiInputEvent) -> None:
        await self._link.gate.send(event)

    async def receive(self) -> AsyncGenerator[TypedEvent, None]:
        playback = self.conversation.playback
        while (event := await self.outlet.stream.get()) is not None:
            if (
                isinstance(event, BidiAudioStreamEvent)
                and event.response_id is not None
                and not playback.tracked
                and (self._telemetry is not None or not self.conversation.handed_out(event))
            ):
                self._feed(AudioHandedOut(event.response_id, event.samples))
            yield event

    def take(self, fact: Heard | PlayerReady) -> None:
        """Take in what a player reports; from any thread."""
        self._hand_over(self._feed, fact)

    def emit(self, event: TypedEvent) -> None:
        """Publish an event that is no fact of the conversation; from any thread."""
        self._hand_over(self.outlet.emit, event)

    def fail(self, error: Exception) -> None:
        """Raise an error to the reader of the events; from any thread."""
        self._hand_over(self.outlet.stream.fail, error)

    def ask_model(self, event: ApprovalQuestionEvent) -> None:
        """Give the model a question for the user; from any thread. What cannot be sent is logged."""
        self._hand_over(self._outbox.ask, event)

    def heard(self, response_id: str) -> bool:
        """Whether a response was heard, but for its last moment."""
        return self.conversation.playback.heard_to_end(response_id, HEARD_LESS_S)

    def _hand_over(self, work: Callable[..., object], *arguments: Any) -> None:
        try:
            here = asyncio.get_running_loop() is self._loop
        except RuntimeError:
            here = False
        if here:
            work(*arguments)
        else:
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(work, *arguments)

    def tools_changed(self) -> None:
        """The registry has other tools now; from any thread."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._take_tools)

    def _say(self, event: TypedEvent) -> None:
        """Publish an event that does not come from the model."""
        if self._telemetry is not None:
            self._telemetry.take(event, self._loop.time())
        self.outlet.emit(event)

    # Facts and commands

    def _feed(self, fact: object) -> None:
        if self._closing:
            return
        if self._telemetry is not None:
            self._telemetry.take(fact, self._loop.time())
        elif isinstance(fact, BidiAudioStreamEvent) and self.conversation.goes_on(fact):
            self.outlet.emit(fact)
            return
        if isinstance(fact, BidiConnectionStartEvent):
            self._connection_id = str(fact["connection_id"])
        if isinstance(fact, UserSpeechEvent):
            self._reports_speech = True
        self._agent.approvals.note(fact)
        self._execute(self.conversation.handle(fact, self._loop.time()))
        self._rest()

    def _dropped(self, event: BidiAudioStreamEvent) -> None:
        if event.response_id is not None:
            # Not at once: the stream is in the middle of taking an event.
            self._loop.call_soon(self._feed, AudioDropped(event.response_id, event.samples))

    def _tick(self) -> None:
        self._timer = None
        self._execute(self.conversation.tick(self._loop.time()))
        self._rest()

    def _execute(self, commands: list[Command]) -> None:
        for command in commands:
            match command:
                case Publish(event, overtakes):
                    if isinstance(event, BidiResponseStartEvent):
                        self._agent.approvals.note(event)
                    if overtakes:
                        self.outlet.overtake(event)
                    else:
                        self.outlet.emit(event)
                    if isinstance(event, BidiInterruptionEvent):
                        flushed = [item.response_id for item in commands if isinstance(item, Flush)]
                        self.outlet.hook(
                            InterruptionHook(self._agent, event["reason"], flushed[0] if flushed else None)
                        )
                case AppendMessage(message):
                    self._agent.messages.append(message)
                    self.outlet.hook(BidiMessageAddedEvent(self._agent, message))
                case AmendMessage(message, text):
                    self._amend(message, text)
                case RunTool(tool_use):
                    self._outbox.called(tool_use)
                    name = tool_use["name"]
                    self._spawn(self._run_tool(tool_use), f"backchannel-tool-{name}", f"the tool {name}")
                case SendResult(result, task):
                    self._outbox.result(result, task)
                case Announce(text, tasks):
                    self._background.announced(tasks)
                    self._outbox.announce(text, tasks)
                case Mention(notes, aloud):
                    self._outbox.mention(notes, aloud, self._background.refreshed)
                case CancelResponse(response_id):
                    self._outbox.cancel_response(response_id)
                case Truncate(response_id, samples):
                    self._outbox.truncate_response(response_id, samples)
                case Flush():
                    pass  # Players flush on the interruption event, which overtakes the audio in the stream.
                case Told(tasks):
                    self._background.told(tasks)
                case WakeAt(at):
                    if self._timer is not None:
                        self._timer.cancel()
                    self._timer = self._loop.call_at(at, self._tick)

    def _amend(self, message: Message, text: str) -> None:
        messages = self._agent.messages
        for index in range(len(messages) - 1, -1, -1):
            if messages[index] is message:
                break
        else:
            return
        if text:
            message["content"][0]["text"] = text
        else:
            del messages[index]
        self.outlet.hook(BidiMessageAmendedEvent(self._agent, message, index, removed=not text))

    # The model's connection, as `backchannel.agents.link.LinkOwner`

    def context(self) -> tuple[str | None, list[ToolSpec], Messages]:
        agent, calls = self._agent, self.conversation.open_calls
        form = agent.profile.open_calls
        self._outbox.replayed(calls if form == "call" else ())
        self._renewal.tools_taken()
        messages = history_for_model(agent.messages, calls, form)
        return (
            agent.system_prompt,
            agent.tool_registry.specs(),
            agent.messages if messages == agent.messages else messages,
        )

    def take_event(self, event: TypedEvent) -> None:
        self._feed(event)

    def lost(self) -> None:
        self._feed(ConnectionLost())

    def connected(self) -> None:
        self._restarting = False
        self._renewal.connected(self._loop.time())
        self._watch_limit()

    async def restarting(self, reason: BidiModelTimeoutError) -> None:
        self._restarting = True
        self._say(BidiConnectionRestartEvent(reason, self.conversation.turn_open))
        await self._agent.hooks.invoke_callbacks_async(BidiBeforeConnectionRestartEvent(self._agent, reason))

    async def restarted(self, failure: Exception | None) -> None:
        if failure is not None:
            self._restarting = False
            self._renewal.put_off(self._loop.time(), RETRY_S)
            self._watch_limit()
        await self._agent.hooks.invoke_callbacks_async(BidiAfterConnectionRestartEvent(self._agent, failure))

    def audio_dropped(self, seconds: float) -> None:
        error = AudioDroppedError(
            f"{seconds:.1f} s of the user's voice were dropped: the connection to the model was away for longer than "
            f"the {HELD_AUDIO_S:g} s that are kept"
        )
        self._say(BidiErrorEvent(error, {"dropped_s": seconds}))

    def _watch_limit(self) -> None:
        if self._renewal_timer is not None:
            self._renewal_timer.cancel()
        at = self._renewal.wake_at(self._loop.time())
        self._renewal_timer = None if at is None or self._closing else self._loop.call_at(at, self._limit_near)

    def _limit_near(self) -> None:
        self._rest()
        self._watch_limit()

    def _rest(self) -> None:
        """Do what waits for the end of a turn."""
        free = self.conversation.free and not self.conversation.open_calls
        if not self._restarting:
            reason = self._renewal.due(self._loop.time(), free=free)
            if reason is not None:
                self._link.restart(BidiModelTimeoutError(reason))
        if free and self._agent.conversation_manager is not None and not self._reducing:
            count = len(self._agent.messages)
            if count != self._reduced_at:
                self._reducing = True
                manager = self._agent.conversation_manager
                self._spawn(self._reduce(manager), "backchannel-memory", f"{type(manager).__name__}.reduce")

    async def _reduce(self, manager: ConversationManager) -> None:
        messages = self._agent.messages
        before = list(messages)
        try:
            reduction = await manager.reduce(messages)
            if reduction is None or any(a is not b for a, b in zip(before[: reduction.count], messages, strict=False)):
                return
            messages[: reduction.count] = reduction.messages
            self.outlet.hook(BidiHistoryReducedEvent(self._agent, reduction.count, reduction.messages))
        except Exception:
            logger.exception("the history could not be reduced")
        finally:
            self._reduced_at = len(messages)
            self._reducing = False

    async def _deliver(self, event: BidiInputEvent, again: bool) -> None:
        if not again and isinstance(event, BidiTextInputEvent):
            self._feed(UserTextSent(event["text"], event["role"], event.origin))
        elif not again and isinstance(event, BidiAudioInputEvent):
            self._listen(event)
        await self._agent.model.send(event)

    def _listen(self, event: BidiAudioInputEvent) -> None:
        """Note when the user begins to speak, where an approval may depend on it and the model does not say it."""
        approvals = self._agent.approvals
        if self._reports_speech or event["format"] != "pcm" or not approvals.by_voice:
            return
        if self._onset is None:
            from ..audio.vad import SpeechOnset  # NumPy comes with it.

            self._onset = SpeechOnset()
        if self._onset.feed(event.data, event["sample_rate"], event["channels"]):
            approvals.note(UserSpeechEvent(True))

    def _take_tools(self) -> None:
        if self._closing:
            return
        self._background.watch()
        agent = self._agent
        if agent.profile.tools != "live" or not self._outbox.update_tools(agent.tool_registry.specs):
            self._renewal.tools_changed()
            self._rest()

    # Tools

    async def _run_tool(self, tool_use: ToolUse) -> None:
        agent, call_id = self._agent, tool_use["toolUseId"]
        failure: Exception | None = None
        try:
            event = await run_with_hooks(agent, tool_use, self._state, self.outlet.emit)
        except Exception as error:  # noqa: BLE001 - a raising hook goes to receive(), and answers the call
            failure = error
            event = failed_call(tool_use, error, self._background.running(call_id))
        # The name is enough, also without such a tool; one that failed or was refused ends nothing.
        ends = tool_use["name"] == STOP_TOOL and (
            event.tool_result["status"] == "success" or agent.tool_registry.get(STOP_TOOL) is None
        )
        self._feed(ToolFinished({**tool_use, "toolUseId": call_id}, event, ends))
        self._background.answered(call_id, event.task)
        if failure is not None:
            self.outlet.stream.fail(failure)
        if ends:
            self._end("user_request")

    def _spawn(self, work: Coroutine[Any, Any, None], name: str, what: str) -> None:
        task = asyncio.create_task(work, name=name)
        self._work[task] = what
        task.add_done_callback(self._work.pop)
