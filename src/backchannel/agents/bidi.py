"""BidiAgent: a conversation that goes both ways at once (seed 001)."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar, cast

from ..errors import AgentStateError
from ..events import BidiInputEvent, BidiOutputEvent, Heard, PlayerReady, input_event
from ..hooks import BidiAgentInitializedEvent, HookProvider, HookRegistry
from ..io import BidiInput, BidiOutput
from ..messages import AgentTool, Messages, ToolUse
from ..models import BidiModel, resolve_model
from ..models.realtime import ModelProfile, profile_of
from ..tasks import AsyncTool, AsyncToolManager, background_tasks_tool
from ..tools import ConcurrentToolExecutor, ToolExecutor, ToolRegistry
from .approval import ApprovalCallback, Approvals
from .direct import ToolCaller
from .loop import BidiLoop
from .state import AgentState

__all__ = ["BidiAgent"]

T = TypeVar("T")


class BidiAgent:
    """An agent that hears and speaks at the same time, and calls tools meanwhile.

    It lives on the event loop that starts it; ``send`` and ``stop`` may be awaited on any other loop too.

    Args:
        model: A model, the name of one, or None for the default (see `backchannel.models.resolve_model`).
        tools: Functions, `AgentTool` objects, modules, providers, names or paths of Python files.
        system_prompt: What the model is told of its part.
        messages: The history to go on from. The list is kept and grows.
        record_direct_tool_call: Whether ``agent.tool.name()`` is written into the history.
        load_tools_from_directory: Whether to take the tools in ``./tools``.
        agent_id: The agent's own id; no path separators. Default "default".
        name: What to call the agent.
        description: What the agent is for.
        hooks: Providers of hooks, see `backchannel.hooks`.
        state: JSON values to keep beside the conversation.
        session_manager: A hook provider that keeps sessions.
        tool_executor: When tools run that are called together; by default at once.
        approve: Answers for the user when a call wants approval, see `backchannel.agents.approval`; by default the
            user is asked.

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
        approve: ApprovalCallback | None = None,
        **kwargs: Any,
    ) -> None:
        if kwargs:
            warnings.warn(f"BidiAgent does not know {', '.join(sorted(kwargs))}; ignored", UserWarning, stacklevel=2)
        self.agent_id = _identifier(agent_id or "default")
        self.state = _state(state)
        self.model: BidiModel = resolve_model(model)
        self.system_prompt = system_prompt
        self.messages: Messages = [] if messages is None else messages
        self.name = name or "Backchannel"
        self.description = description
        self.record_direct_tool_call = record_direct_tool_call
        self.load_tools_from_directory = load_tools_from_directory
        self.tool_executor: ToolExecutor = tool_executor or ConcurrentToolExecutor()
        self.tool_registry = ToolRegistry()
        if tools is not None:
            self.tool_registry.process_tools(list(tools))
        if load_tools_from_directory:
            self.tool_registry.process_tools([str(path) for path in sorted(Path("tools").glob("[!_]*.py"))])
        self.approvals = Approvals(self, approve)
        self._offer_task_tool()
        self.tool_registry.on_change(self._tools_changed)
        self._tool_caller = ToolCaller(self)
        self.hooks = HookRegistry()
        for hook in [*(hooks or []), *([session_manager] if session_manager is not None else [])]:
            self.hooks.add_hook(hook)
        self._conversation: BidiLoop | None = None
        self._starting = False
        self._tracked = False
        # Tools written for Strands look here for answers to their questions; there are none.
        self._interrupt_state = SimpleNamespace(interrupts={}, context={}, activated=False)
        self.hooks.invoke_callbacks(BidiAgentInitializedEvent(self))

    @property
    def tool(self) -> ToolCaller:
        """The tools as functions: ``agent.tool.calculator(expression="2+2")`` returns a `ToolResult`."""
        return self._tool_caller

    @property
    def tool_names(self) -> list[str]:
        """The names of all tools that the model may call."""
        return list(self.tool_registry.get_all_tools_config())

    @property
    def profile(self) -> ModelProfile:
        """How the model differs from others: its rates, and where the audio goes."""
        return profile_of(self.model)

    @property
    def started(self) -> bool:
        """Whether the agent is in a conversation, or about to be."""
        return self._starting or self._conversation is not None

    @property
    def open_calls(self) -> Mapping[str, ToolUse]:
        """The calls of the model that have no result yet, by id."""
        return {} if self._conversation is None else self._conversation.conversation.open_calls

    async def start(self, invocation_state: dict[str, Any] | None = None) -> None:
        """Connect to the model and begin to take in its events.

        Args:
            invocation_state: Passed to every tool and hook of this conversation.

        Raises:
            RuntimeError: If the agent is started already.
        """
        if self.started:
            raise AgentStateError("the agent is started already; call stop before starting it again")
        self._starting = True
        try:
            conversation = BidiLoop(self)
            conversation.conversation.playback.tracked = self._tracked
            await conversation.start(invocation_state)
            self._conversation = conversation
        finally:
            self._starting = False

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
        await self._on_its_loop(conversation, lambda: conversation.send(event))

    def receive(self) -> AsyncGenerator[BidiOutputEvent, None]:
        """Yield what happens: the model's voice and words, tool calls and results, background tasks, interruptions.

        One reader at a time. Ends with the conversation.

        Raises:
            RuntimeError: If the agent is not started, has a reader, or is read on another event loop.
        """
        conversation = self._running("receiving")
        if asyncio.get_running_loop() is not conversation.loop:
            raise AgentStateError("receive() must be read on the event loop that started the agent")
        return cast("AsyncGenerator[BidiOutputEvent, None]", conversation.receive())

    async def stop(self) -> None:
        """End the conversation, wait for what is under way, and close the connection. Safe to call at any time."""
        conversation = self._conversation
        if conversation is None:
            return
        self._conversation = None
        await self._on_its_loop(conversation, conversation.stop)

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
        """

        async def read(source: Callable[[], Awaitable[Any]]) -> None:
            while True:
                try:
                    item = await source()
                except StopAsyncIteration:
                    return
                try:
                    await self.send(item)
                except Exception:
                    if self._conversation is not conversation:
                        return  # Stopped meanwhile; the end of the events ends the run.
                    raise

        async def write() -> None:
            async for event in self.receive():
                if len(outputs) == 1:
                    await outputs[0](event)
                else:
                    await asyncio.gather(*(output(event) for output in outputs))

        errors: list[BaseException] = []
        tasks: list[asyncio.Task[None]] = []
        conversation: BidiLoop | None = None
        try:
            await self.start(invocation_state)
            conversation = self._conversation
            for channel in [*inputs, *outputs]:
                if isinstance(channel, BidiInput | BidiOutput):
                    await channel.start(self)
            writer = asyncio.create_task(write(), name="backchannel-outputs")
            readers = {asyncio.create_task(read(source), name="backchannel-input") for source in inputs}
            tasks = [writer, *readers]
            pending: set[asyncio.Task[None]] = {writer, *readers}
            while not writer.done():
                done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
            writer.result()
        except BaseException as error:  # noqa: BLE001 - raised again below, after everything is stopped
            errors.append(error)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        stops = [channel.stop for channel in [*inputs, *outputs] if isinstance(channel, BidiInput | BidiOutput)]
        for stop in [*stops, self.stop]:
            try:
                await stop()
            except Exception as error:  # noqa: BLE001 - every stop is called; the first error is raised below
                errors.append(error)
        if errors:
            first, *others = errors
            for other in others:
                if other is not first:
                    first.add_note(f"also raised while stopping: {type(other).__name__}: {other}")
            raise first

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

    def expect_played(self, expected: bool = True) -> None:
        """Say that a player will report positions; until then audio counts as heard when it is handed out."""
        self._tracked = expected
        if self._conversation is not None:
            self._conversation.conversation.playback.tracked = expected
            self._conversation.take(PlayerReady())

    def _running(self, doing: str) -> BidiLoop:
        if self._conversation is None:
            raise AgentStateError(f"the agent is not started; call start before {doing}")
        return self._conversation

    async def _on_its_loop(self, conversation: BidiLoop, work: Callable[[], Any]) -> None:
        if asyncio.get_running_loop() is conversation.loop:
            await work()
        else:
            await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work(), conversation.loop))

    def _managers(self) -> list[AsyncToolManager]:
        managers = [tool.manager for tool in self.tool_registry.tools() if isinstance(tool, AsyncTool)]
        return list(dict.fromkeys(managers))

    def _offer_task_tool(self) -> None:
        if self._managers() and self.tool_registry.get("background_tasks") is None:
            self.tool_registry.register(background_tasks_tool(self._managers))
        self.approvals.offer()

    def _tools_changed(self) -> None:
        self._offer_task_tool()
        if self._conversation is not None:
            self._conversation.tools_changed()


def _identifier(agent_id: str) -> str:
    if "/" in agent_id or "\\" in agent_id:
        raise ValueError(f"agent_id {agent_id!r} has a path separator; use another name")
    return agent_id


def _state(state: object) -> AgentState:
    if state is None:
        return AgentState()
    if isinstance(state, AgentState):
        return state
    if isinstance(state, dict):
        return AgentState(state)
    raise ValueError(f"state must be an AgentState or a dict, not {type(state).__name__}")
