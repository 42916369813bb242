"""BidiAgent: a conversation that goes both ways at once."""

from __future__ import annotations

import asyncio
import logging
import warnings
import weakref
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar, cast

from ..errors import AgentStateError
from ..events import BidiInputEvent, BidiOutputEvent, Heard, PlayerReady, input_event
from ..hooks import BidiAgentInitializedEvent, HookProvider
from ..io import BidiInput, BidiOutput
from ..messages import AgentTool, Messages, ToolUse
from ..models import BidiModel, resolve_model
from ..models.realtime import ModelProfile, profile_of
from ..tools import ToolExecutor
from .approval import ApprovalCallback
from .base import AgentBase
from .ending import left_behind, why_dead
from .loop import BidiLoop
from .run import run_conversation
from .snapshots import load_snapshot, take_snapshot
from .state import AgentState
from .window import ConversationManager

__all__ = ["BidiAgent"]

T = TypeVar("T")
logger = logging.getLogger(__name__)

BLOCKED_S = 9.5
"""How long `BidiAgent.stop` waits for the agent's own event loop, seconds."""


class BidiAgent(AgentBase):
    """An agent that hears and speaks at the same time, and calls tools meanwhile.

    It lives on the event loop that starts it; ``send`` and ``stop`` may be awaited on any other loop too.

    Args:
        model: A model, the name of one, or None for the default (see `backchannel.models.resolve_model`).
        tools: Functions, `AgentTool` objects, modules, providers, names or paths of Python files.
        system_prompt: What the model is told of its part.
        messages: The history to go on from. The list is kept and grows.
        record_direct_tool_call: Whether ``agent.tool.name()`` is written into the history.
        load_tools_from_directory: Whether to take the tools in ``./tools``, and while the agent is started also the
            changes to them.
        agent_id: The agent's own id; no path separators. Default "default".
        name: What to call the agent.
        description: What the agent is for.
        hooks: Providers of hooks, see `backchannel.hooks`.
        state: JSON values to keep beside the conversation.
        session_manager: A hook provider that keeps sessions.
        tool_executor: When tools run that are called together; by default at once.
        approve: Answers for the user when a call wants approval, see `backchannel.agents.approval`; by default the
            user is asked.
        conversation_manager: Keeps the history short, see `WindowConversationManager`; None lets it grow.

    Attributes:
        announced: Ids of background tasks whose results a model was given, and is not known to have told.

    Raises:
        ValueError: If the id, the state or the model's name cannot be used.
        TypeError: If the model is not one.
    """

    def __init__(
        self,
        model: BidiModel | str | None = None,
        tools: Sequence[str | AgentTool | Callable[..., Any] | Any] | None = None,
        system_prompt: str | None = None,
        messages: Messages | None = None,
        record_direct_tool_call: bool = True,
        load_tools_from_directory: bool = False,
        agent_id: str | None = None,
        name: str | None = None,
        description: str | None = None,
        hooks: Sequence[HookProvider] | None = None,
        state: AgentState | dict[str, Any] | None = None,
        session_manager: HookProvider | None = None,
        tool_executor: ToolExecutor | None = None,
        *,
        approve: ApprovalCallback | None = None,
        conversation_manager: ConversationManager | None = None,
        **kwargs: Any,
    ) -> None:
        if kwargs:
            warnings.warn(f"BidiAgent does not know {', '.join(sorted(kwargs))}; ignored", UserWarning, stacklevel=2)
        self.model: BidiModel = resolve_model(model)
        self.load_tools_from_directory = load_tools_from_directory
        self._conversation: BidiLoop | None = None
        self._starting: asyncio.Task[None] | None = None
        self._opening: BidiLoop | None = None
        self._opened: asyncio.Future[None] | None = None
        self._reader: weakref.ref[Any] | None = None
        self._tracked = False
        self.announced: set[str] = set()
        super().__init__(
            tools=tools,
            system_prompt=system_prompt,
            messages=messages,
            record_direct_tool_call=record_direct_tool_call,
            agent_id=agent_id,
            name=name,
            description=description,
            hooks=hooks,
            state=state,
            session_manager=session_manager,
            tool_executor=tool_executor,
            approve=approve,
            conversation_manager=conversation_manager,
            load_tools_from_directory=load_tools_from_directory,
        )
        self.hooks.invoke_callbacks(BidiAgentInitializedEvent(self))

    @property
    def profile(self) -> ModelProfile:
        """How the model differs from others: its rates, and where the audio goes."""
        return profile_of(self.model)

    @property
    def started(self) -> bool:
        """Whether the agent is in a conversation, or about to be."""
        return self._starting is not None or self._conversation is not None

    @property
    def open_calls(self) -> Mapping[str, ToolUse]:
        """The calls of the model that have no result yet, by id."""
        return {} if self._conversation is None else self._conversation.conversation.open_calls

    async def start(self, invocation_state: dict[str, Any] | None = None) -> None:
        """Connect to the model and begin to take in its events.

        Args:
            invocation_state: Passed to every tool and hook of this conversation.

        Raises:
            RuntimeError: If the agent is started already, or stopped before it was connected.
        """
        if self._conversation is not None:
            _check_alive(self._conversation)
        if self.started:
            raise AgentStateError("the agent is started already; call stop before starting it again")
        if left := left_behind(self.model):
            raise AgentStateError(
                f"the agent cannot start: {', '.join(left)} of the conversation before has not ended yet. Start again "
                "when it has, or make a new agent with a new model"
            )
        conversation = BidiLoop(self)
        conversation.conversation.playback.tracked = self._tracked
        starting = asyncio.create_task(conversation.start(invocation_state), name="backchannel-start")
        over: asyncio.Future[None] = starting.get_loop().create_future()
        starting.add_done_callback(lambda _: None if over.done() else over.set_result(None))
        self._starting, self._opening, self._opened = starting, conversation, over
        try:
            await over
        except asyncio.CancelledError:
            await conversation.end_start(starting)
            if starting.done() and not starting.cancelled() and starting.exception() is None:
                await conversation.stop()  # It had just connected.
            raise
        finally:
            self._starting = self._opening = self._opened = None
        if not starting.done() or starting.cancelled():
            raise AgentStateError("the agent was stopped before it was connected")
        starting.result()
        self._conversation = conversation
        if self._directory is not None:
            self._directory.watch()

    async def send(self, input_data: BidiInputEvent | str | Mapping[str, Any]) -> None:
        """Send text, audio or an image to the model.

        Args:
            input_data: Text, an input event, or a dict with that event's ``type`` and fields.

        Raises:
            RuntimeError: If the agent is not started.
            ValueError: If it is none of these, or cannot be used; nothing was sent.
            TypeError: If a dict has fields that its type does not know.
        """
        conversation = self._running("sending")
        event = input_event(input_data)
        if asyncio.get_running_loop() is conversation.loop:
            await conversation.send(event)
        else:
            _check_alive(conversation)
            await self._on_its_loop(conversation.loop, lambda: conversation.send(event))

    def receive(self) -> AsyncGenerator[BidiOutputEvent, None]:
        """Yield what happens: the model's voice and words, tool calls and results, background tasks, interruptions.

        One reader at a time. Ends with the conversation.

        Raises:
            RuntimeError: If the agent is not started, has a reader, or is read on another event loop.
        """
        conversation = self._running("receiving")
        _check_alive(conversation)
        if asyncio.get_running_loop() is not conversation.loop:
            raise AgentStateError("receive() must be read on the event loop that started the agent")
        reader = None if self._reader is None else self._reader()
        if reader is not None and reader.ag_frame is not None:
            raise AgentStateError(
                "receive() has a reader already; read the events in one place and share them from there"
            )
        events = conversation.receive()
        self._reader = weakref.ref(events)
        return cast("AsyncGenerator[BidiOutputEvent, None]", events)

    async def stop(self) -> None:
        """End the conversation, wait for what is under way, and close the connection. Safe to call at any time.

        Returns within ten seconds: a model, tool or hook that does not end is left behind, and named in the log.

        Raises:
            RuntimeError: If the agent was started on another event loop, which is blocked.
        """
        starting = self._starting
        if starting is not None and starting is not asyncio.current_task():
            if why_dead(starting.get_loop()) is None:
                await self._on_its_loop(starting.get_loop(), lambda: self._stop_starting(starting))
            else:
                self._starting = None
        conversation = self._conversation
        if conversation is None:
            return
        limit = asyncio.timeout(None if conversation.loop is asyncio.get_running_loop() else BLOCKED_S)
        try:
            if (why := conversation.why_dead()) is None:
                async with limit:
                    await self._on_its_loop(conversation.loop, conversation.stop)
            else:
                logger.warning("the agent is stopped without its event loop: %s", why)
                await conversation.abandon()
        except TimeoutError as error:
            if not limit.expired():
                raise
            raise AgentStateError(
                f"the agent was not stopped: the event loop that started it has not answered for {BLOCKED_S:g} s. Find "
                "what blocks it, and call stop again"
            ) from error
        finally:
            if self._conversation is conversation and conversation.stopped:
                self._conversation = None
                if self._directory is not None:
                    await asyncio.to_thread(self._directory.close)

    @asynccontextmanager
    async def with_state(self, invocation_state: dict[str, Any]) -> AsyncIterator[BidiAgent]:
        """Start the agent, and stop it at the end of the block: ``async with agent.with_state({...}):``.

        Args:
            invocation_state: Passed to every tool and hook of this conversation.
        """
        await self.start(invocation_state)
        try:
            yield self
        finally:
            await self.stop()

    async def __aenter__(self, invocation_state: dict[str, Any] | None = None) -> BidiAgent:
        await self.start(invocation_state)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def run(
        self,
        inputs: Sequence[BidiInput | Callable[[], Awaitable[Any]]],
        outputs: Sequence[BidiOutput | Callable[[Any], Awaitable[Any]]],
        invocation_state: dict[str, Any] | None = None,
    ) -> None:
        """Hold a whole conversation between inputs and outputs, and stop all of them at its end.

        Args:
            inputs: Each is awaited again and again for the next thing to send; StopAsyncIteration ends it.
            outputs: Each is awaited with every event; all at the same time, the next event after that.
            invocation_state: Passed to every tool and hook of this conversation.

        Raises:
            Exception: The first error of an input, an output, a hook or the model, with the others as its notes.
        """
        await run_conversation(self, inputs, outputs, invocation_state, lambda: self._running("running"))

    def take_snapshot(self) -> dict[str, Any]:
        """Return what the agent remembers, its messages and its state, as JSON."""
        return take_snapshot(self)

    def load_snapshot(self, snapshot: Mapping[str, Any]) -> None:
        """Put a snapshot's messages and state in place of the agent's.

        Raises:
            RuntimeError: If the agent is started.
            ValueError: If it is not a snapshot that can be used; nothing has changed.
        """
        load_snapshot(self, snapshot)

    def played(self, response_id: str, samples: int, finished: bool = False) -> None:
        """Report, from any thread, how much of a response the speaker has played.

        Args:
            response_id: The ``response_id`` of the audio events.
            samples: Heard so far of this response in all, at the model's output rate.
            finished: Whether the player has nothing more of it.
        """
        if not self._tracked:
            self.expect_played()
        if self._conversation is not None:
            self._conversation.take(Heard(response_id, samples, finished))

    @property
    def expects_played(self) -> bool:
        """Whether a player reports positions."""
        return self._tracked

    def expect_played(self, expected: bool = True) -> None:
        """Say that a player will report positions; until then audio counts as heard when it is handed out."""
        self._tracked = expected
        if self._conversation is not None:
            self._conversation.conversation.playback.tracked = expected
            self._conversation.take(PlayerReady())

    def is_carried_here(self) -> bool:
        """Whether its event loop runs in this thread, so that a blocking wait here would stop it."""
        return self._conversation is not None and self._conversation.loop is asyncio._get_running_loop()

    def _running(self, doing: str) -> BidiLoop:
        if self._conversation is None:
            raise AgentStateError(f"the agent is not started; call start before {doing}")
        return self._conversation

    async def _on_its_loop(self, loop: asyncio.AbstractEventLoop, work: Callable[[], Any]) -> None:
        if asyncio.get_running_loop() is loop:
            await work()
        else:
            await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work(), loop))

    async def _stop_starting(self, starting: asyncio.Task[None]) -> None:
        opening, over = self._opening, self._opened
        if opening is not None and over is not None:
            await opening.end_start(starting)
            if not over.done():
                over.set_result(None)

    def _offer_task_tool(self) -> None:
        super()._offer_task_tool()
        self.approvals.offer()

    def _tools_changed(self) -> None:
        super()._tools_changed()
        if self._conversation is not None:
            self._conversation.tools_changed()


def _check_alive(conversation: BidiLoop) -> None:
    if (why := conversation.why_dead()) is not None:
        raise AgentStateError(f"the agent cannot be used: {why}. Call stop, then start it where it is to be used")
