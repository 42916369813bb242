"""The agent loop: the only place that knows models, tools and tasks. It decides nothing; `Conversation` does.

All of it runs on the event loop that called ``start``. What comes from other threads is handed over.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from ..commands import (
    AmendMessage,
    Announce,
    AppendMessage,
    CancelResponse,
    Command,
    Flush,
    Publish,
    RunTool,
    SendResult,
    Told,
    Truncate,
    WakeAt,
)
from ..errors import AgentStateError, BidiModelTimeoutError
from ..events import (
    AnnouncementEvent,
    AnnouncementFailed,
    AudioHandedOut,
    BidiAudioStreamEvent,
    BidiConnectionCloseEvent,
    BidiConnectionRestartEvent,
    BidiConnectionStartEvent,
    BidiInputEvent,
    BidiInterruptionEvent,
    BidiTextInputEvent,
    CloseReason,
    ConnectionLost,
    Heard,
    PlayerReady,
    ToolFinished,
    ToolResultEvent,
    TypedEvent,
    UserTextSent,
)
from ..hooks import (
    BidiAfterConnectionRestartEvent,
    BidiAfterInvocationEvent,
    BidiBeforeConnectionRestartEvent,
    BidiBeforeInvocationEvent,
    BidiHookEvent,
    BidiMessageAddedEvent,
)
from ..hooks import BidiInterruptionEvent as InterruptionHook
from ..messages import ToolResult, ToolUse
from ..models.realtime import CancelsResponses, TruncatesResponses, UpdatesTools
from .background import BackgroundTasks
from .calls import run_with_hooks
from .conversation import Conversation
from .playback import Playback
from .stream import EventStream

if TYPE_CHECKING:
    from .bidi import BidiAgent

__all__ = ["BidiLoop"]

logger = logging.getLogger(__name__)

STOP_TOOL = "stop_conversation"


class BidiLoop:
    """One conversation of one agent, from ``start`` to ``stop``."""

    def __init__(self, agent: BidiAgent) -> None:
        self._agent = agent
        self._loop = asyncio.get_running_loop()
        self.stream = EventStream(self._loop.time)
        self.conversation = Conversation(agent.profile, Playback(agent.profile.output_rate))
        self._gate = asyncio.Event()
        self._closing = False
        self._connection = 0
        self._connection_id = "unknown"
        self._calls: dict[str, int] = {}
        self._supervisor: asyncio.Task[None] | None = None
        self._work: set[asyncio.Task[None]] = set()
        self._outbox: asyncio.Queue[Callable[[], Awaitable[None]]] = asyncio.Queue()
        self._aftermath: deque[BidiHookEvent | TypedEvent] = deque()
        self._pumping = False
        self._timer: asyncio.TimerHandle | None = None
        self._wanted_restart = asyncio.Event()
        self._tools_changed = False
        self._state: dict[str, Any] = {}
        self._background = BackgroundTasks(agent, self._loop, self._feed, self._emit)

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop that this conversation lives on."""
        return self._loop

    # Life

    async def start(self, invocation_state: dict[str, Any] | None) -> None:
        agent = self._agent
        self._state = {} if invocation_state is None else invocation_state
        try:
            await agent.hooks.invoke_callbacks_async(BidiBeforeInvocationEvent(agent))
            await agent.model.start(
                system_prompt=agent.system_prompt, tools=agent.tool_registry.specs(), messages=agent.messages
            )
        except BaseException:
            self._closing = True
            with contextlib.suppress(Exception):
                await agent.model.stop()
            await agent.hooks.invoke_callbacks_async(BidiAfterInvocationEvent(agent))
            raise
        self._connection = 1
        agent.approvals.connect(self)
        self._gate.set()
        self._background.watch()
        self._supervisor = asyncio.create_task(self._supervise(), name="backchannel-reader")
        self._spawn(self._send_out(), "backchannel-sender")

    async def stop(self) -> None:
        if self._closing:
            return
        self._closing = True
        self._agent.approvals.disconnect()
        self._background.close()
        if self._timer is not None:
            self._timer.cancel()
        self._gate.set()
        current = asyncio.current_task()
        tasks = [task for task in (self._supervisor, *self._work) if task is not None and task is not current]
        for task in tasks:
            task.cancel()
        try:
            await asyncio.gather(*tasks, return_exceptions=True)
        finally:
            try:
                await self._agent.model.stop()
            finally:
                self.stream.close()
                await self._agent.hooks.invoke_callbacks_async(BidiAfterInvocationEvent(self._agent))

    # In and out

    async def send(self, event: BidiInputEvent) -> None:
        await self._open()
        if isinstance(event, BidiTextInputEvent):
            self._feed(UserTextSent(event["text"], event["role"]))
        await self._agent.model.send(event)

    async def receive(self) -> AsyncGenerator[TypedEvent, None]:
        playback = self.conversation.playback
        while (event := await self.stream.get()) is not None:
            if (
                isinstance(event, BidiAudioStreamEvent)
                and event.response_id is not None
                and not playback.tracked
                and not self.conversation.handed_out(event)
            ):
                self._feed(AudioHandedOut(event.response_id, event.samples))
            yield event

    def take(self, fact: Heard | PlayerReady) -> None:
        """Take in what a player reports; from any thread."""
        self._hand_over(self._feed, fact)

    def emit(self, event: TypedEvent) -> None:
        """Publish an event that is no fact of the conversation; from any thread."""
        self._hand_over(self._emit, event)

    def fail(self, error: Exception) -> None:
        """Raise an error to the reader of the events; from any thread."""
        self._hand_over(self.stream.fail, error)

    def ask_model(self, event: BidiTextInputEvent) -> None:
        """Send the model a text that is not the user's; from any thread. What cannot be sent is logged."""
        self._hand_over(self._outbox.put_nowait, partial(self._ask_model, event))

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

    # Facts and commands

    def _feed(self, fact: object) -> None:
        if self._closing:
            return
        if isinstance(fact, BidiAudioStreamEvent) and self.conversation.goes_on(fact):
            self._emit(fact)
            return
        if isinstance(fact, BidiConnectionStartEvent):
            self._connection_id = str(fact["connection_id"])
        self._agent.approvals.note(fact)
        self._execute(self.conversation.handle(fact, self._loop.time()))
        self._restart_when_free()

    def _tick(self) -> None:
        self._timer = None
        self._execute(self.conversation.tick(self._loop.time()))
        self._restart_when_free()

    def _execute(self, commands: list[Command]) -> None:
        for command in commands:
            match command:
                case Publish(event, overtakes):
                    self._publish(event, overtakes)
                    if isinstance(event, BidiInterruptionEvent):
                        flushed = [item.response_id for item in commands if isinstance(item, Flush)]
                        self._hook(InterruptionHook(self._agent, event["reason"], flushed[0] if flushed else None))
                case AppendMessage(message):
                    self._agent.messages.append(message)
                    self._hook(BidiMessageAddedEvent(self._agent, message))
                case AmendMessage(message, text):
                    self._amend(message, text)
                case RunTool(tool_use):
                    self._calls[tool_use["toolUseId"]] = self._connection
                    self._spawn(self._run_tool(tool_use), f"backchannel-tool-{tool_use['name']}")
                case SendResult(result, task):
                    self._outbox.put_nowait(partial(self._send_result, result, task))
                case Announce(text, tasks):
                    self._outbox.put_nowait(partial(self._announce, text, tasks))
                case CancelResponse(response_id):
                    if isinstance(self._agent.model, CancelsResponses):
                        self._outbox.put_nowait(partial(self._agent.model.cancel_response, response_id))
                case Truncate(response_id, samples):
                    if isinstance(self._agent.model, TruncatesResponses):
                        self._outbox.put_nowait(partial(self._agent.model.truncate_response, response_id, samples))
                case Flush():
                    pass  # Players flush on the interruption event, which overtakes the audio in the stream.
                case Told(tasks):
                    self._background.told(tasks)
                case WakeAt(at):
                    if self._timer is not None:
                        self._timer.cancel()
                    self._timer = self._loop.call_at(at, self._tick)

    def _publish(self, event: TypedEvent, overtakes: bool) -> None:
        if overtakes:
            kept = (item for item in self._aftermath if not isinstance(item, BidiAudioStreamEvent))
            self._aftermath = deque(kept)
            self.stream.overtake(event)
        else:
            self._emit(event)

    def _emit(self, event: TypedEvent) -> None:
        if self._pumping:
            self._aftermath.append(event)
        else:
            self.stream.put(event)

    def _hook(self, event: BidiHookEvent) -> None:
        """Call plain callbacks at once; async ones in order, and before the events that come after them."""
        hooks = self._agent.hooks
        if not hooks.has_callbacks(type(event)):
            return
        if self._pumping or not hooks.is_plain(event):
            self._aftermath.append(event)
            if not self._pumping:
                self._pumping = True
                self._spawn(self._pump(), "backchannel-hooks")
            return
        try:
            hooks.invoke_callbacks(event)
        except Exception as error:  # noqa: BLE001 - whatever a user's hook raises goes to receive()
            self.stream.fail(error)

    async def _pump(self) -> None:
        try:
            while self._aftermath:
                item = self._aftermath.popleft()
                if isinstance(item, TypedEvent):
                    self.stream.put(item)
                else:
                    await self._agent.hooks.invoke_callbacks_async(item)
        except Exception as error:  # noqa: BLE001 - whatever a user's hook raises goes to receive()
            self.stream.fail(error)
        finally:
            self._pumping = False
            for item in self._aftermath:
                if isinstance(item, TypedEvent):
                    self.stream.put(item)
            self._aftermath.clear()

    def _amend(self, message: Any, text: str) -> None:
        if text:
            message["content"][0]["text"] = text
            return
        messages = self._agent.messages
        for index in range(len(messages) - 1, -1, -1):
            if messages[index] is message:
                del messages[index]
                return

    # The model

    async def _supervise(self) -> None:
        """Read from the model; restart the connection when it asks for that, or tools have changed."""
        while not self._closing:
            reading = asyncio.create_task(self._read(), name="backchannel-model")
            restart = asyncio.create_task(self._wanted_restart.wait())
            try:
                await asyncio.wait({reading, restart}, return_when=asyncio.FIRST_COMPLETED)
                error: BaseException | None = None
                if reading.done():
                    error = reading.exception()
            finally:
                for task in (reading, restart):
                    task.cancel()
                await asyncio.gather(reading, restart, return_exceptions=True)
            if isinstance(error, BidiModelTimeoutError):
                if not await self._restart(error):
                    return
            elif error is not None:
                self.stream.fail(error)
                return
            elif self._wanted_restart.is_set():
                if not await self._restart(BidiModelTimeoutError("the tools have changed")):
                    return
            else:
                self._end("complete")
                return

    async def _read(self) -> None:
        busy = 0
        async for event in self._agent.model.receive():
            self._feed(event)
            # A model that never waits must not keep the reader of the stream from its turn.
            busy = busy + 1 if len(self.stream) > 32 else 0
            if busy and busy % 32 == 0:
                await asyncio.sleep(0)

    async def _restart(self, reason: BidiModelTimeoutError) -> bool:
        agent = self._agent
        self._gate.clear()
        self._wanted_restart.clear()
        self._tools_changed = False
        self._feed(ConnectionLost())
        self._emit(BidiConnectionRestartEvent(reason))
        failure: Exception | None = None
        try:
            await agent.hooks.invoke_callbacks_async(BidiBeforeConnectionRestartEvent(agent, reason))
            await agent.model.stop()
            await agent.model.start(
                agent.system_prompt, agent.tool_registry.specs(), agent.messages, **reason.restart_config
            )
            self._connection += 1
        except Exception as error:  # noqa: BLE001 - told to the hooks and to receive()
            failure = error
        try:
            await agent.hooks.invoke_callbacks_async(BidiAfterConnectionRestartEvent(agent, failure))
        except Exception as error:  # noqa: BLE001 - whatever a user's hook raises goes to receive()
            failure = failure or error
        if failure is not None:
            self.stream.fail(failure)
            return False
        self._gate.set()
        return True

    def _end(self, reason: CloseReason) -> None:
        self._emit(BidiConnectionCloseEvent(self._connection_id, reason))
        self.stream.close()

    async def _open(self) -> None:
        await self._gate.wait()
        if self._closing:
            raise AgentStateError("the agent was stopped; call start before sending")

    async def _send_out(self) -> None:
        while True:
            item = await self._outbox.get()
            await self._open()
            try:
                await item()
            except Exception as error:  # noqa: BLE001 - the model's own error goes to receive()
                self.stream.fail(error)

    async def _send_result(self, result: ToolResult, task: Any) -> None:
        connection = self._calls.pop(result["toolUseId"], self._connection)
        if connection == self._connection:
            await self._agent.model.send(ToolResultEvent(result, task=task))
        else:
            text = "\n".join(block.get("text", str(block)) for block in result["content"])
            await self._agent.model.send(
                BidiTextInputEvent(f"The result of the earlier call {result['toolUseId']} ({result['status']}): {text}")
            )

    async def _announce(self, text: str, tasks: tuple[Any, ...]) -> None:
        try:
            await self._agent.model.send(AnnouncementEvent(text, tasks))
        except Exception as error:  # noqa: BLE001 - owed again, and tried again
            logger.warning("the result of %d task(s) could not be sent to the model: %s", len(tasks), error)
            self._feed(AnnouncementFailed(tasks))

    async def _ask_model(self, event: BidiTextInputEvent) -> None:
        try:
            await self._agent.model.send(event)
        except Exception as error:  # noqa: BLE001 - the user can be asked without the model
            logger.warning("the model could not be told: %s: %s", error, event["text"])

    def _take_tools(self) -> None:
        self._background.watch()
        model = self._agent.model
        if self._agent.profile.tools == "live" and isinstance(model, UpdatesTools):
            self._outbox.put_nowait(lambda: cast("UpdatesTools", model).update_tools(self._agent.tool_registry.specs()))
        else:
            self._tools_changed = True
            self._restart_when_free()

    def _restart_when_free(self) -> None:
        if self._tools_changed and self.conversation.free and not self.conversation.open_calls:
            self._wanted_restart.set()

    # Tools

    async def _run_tool(self, tool_use: ToolUse) -> None:
        agent, call_id = self._agent, tool_use["toolUseId"]
        if tool_use["name"] == STOP_TOOL:
            self._emit(BidiConnectionCloseEvent(self._connection_id, "user_request"))
            self.stream.close()
            return
        try:
            event = await run_with_hooks(agent, tool_use, self._state, self._emit)
        except Exception as error:  # noqa: BLE001 - a raising hook goes to receive()
            self.stream.fail(error)
            return
        self._feed(ToolFinished({**tool_use, "toolUseId": call_id}, event))
        self._background.answered(call_id, acknowledged=event.task is not None)

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.create_task(work, name=name)
        self._work.add(task)
        task.add_done_callback(self._work.discard)
