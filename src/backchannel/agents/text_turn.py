"""One invocation of a text agent: the model's calls and the tools' calls between a prompt and its answer."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from ..errors import ModelError
from ..events import (
    BidiResponseCompleteEvent,
    BidiResponseStartEvent,
    BidiTranscriptStreamEvent,
    BidiUsageEvent,
    StopReason,
    ToolResultEvent,
    ToolResultMessageEvent,
    ToolUseStreamEvent,
    TypedEvent,
)
from ..hooks import (
    AfterModelCallEvent,
    BeforeModelCallEvent,
    BidiHistoryReducedEvent,
    BidiMessageAddedEvent,
    BidiMessageAmendedEvent,
    ModelStopResponse,
)
from ..messages import ContentBlock, Message, ToolUse, call_ids, merged, text_block
from ..models.text import LeavesCallsOpen, MessageBuilder
from ..tasks import AsyncTaskResult, Task
from .announcements import MOST_RESULTS
from .calls import MOST_RETRIES, run_with_hooks
from .delivery import results_text
from .ending import cancelled
from .history import PassingText, history_for_model
from .repair import INTERRUPTED

if TYPE_CHECKING:
    from .bidi import BidiAgent
    from .text import Agent

__all__ = ["AgentResult", "TextTurn"]

TOOLS_S = 5.5
"""How long tools may take to end when an invocation is cancelled, seconds."""


@dataclass(frozen=True, slots=True)
class AgentResult:
    """What came of an invocation. As text it is what the model said last.

    If it said something of results of background tasks before that, and went on to call tools, this comes first.

    Attributes:
        message: The model's last message; its content is empty if it said nothing.
        stop_reason: Why it stopped, in the provider's words: ``end_turn``, ``max_tokens`` ...
        usage: Tokens of all model calls of this invocation: ``inputTokens``, ``outputTokens``, ``totalTokens`` ...
        model_calls: How often the model was called.
        earlier: What it said of results of background tasks, in messages before the last one.
    """

    message: Message
    stop_reason: str
    usage: dict[str, int] = field(default_factory=dict)
    model_calls: int = 1
    earlier: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """What the model said last, after what it said of results."""
        return "\n".join([*self.earlier, *_texts(self.message)])

    def __str__(self) -> str:
        return self.text


class TextTurn:
    """Works on an agent's history, which stays valid whatever happens: also if it is cancelled in the middle."""

    def __init__(self, agent: Agent, invocation_state: dict[str, Any]) -> None:
        self._agent = agent
        self._state = invocation_state
        self._usage: dict[str, int] = {}
        self._model_calls = 0
        self._response_id = ""
        self._passing: list[tuple[Message, PassingText]] = []
        self._given: list[tuple[Message, Task]] = []
        self._earlier: list[str] = []
        self._answer: tuple[Message, MessageBuilder]

    async def run(
        self, prompt: Message | None, passing: PassingText | None = None
    ) -> AsyncIterator[TypedEvent | AgentResult]:
        """Yield what happens, and last the result.

        Args:
            prompt: What to answer; None for the history as it is.
            passing: The text of the prompt, if less of it is to be kept.

        Raises:
            ModelError: If the model could not answer, or wants more tool calls than it may.
        """
        try:
            if prompt is not None:
                if passing is not None:
                    self._passing.append((prompt, passing))
                self._add_results(prompt)
                await self._append(prompt)
            while True:
                await self._reduce()
                async with contextlib.aclosing(self._call_model()) as events:
                    async for event in events:
                        yield event
                tells = bool(self._given) or (passing is not None and not self._earlier)
                self._were_given()
                message, builder = self._answer
                calls = [block["toolUse"] for block in message["content"] if "toolUse" in block]
                if message["content"]:
                    await self._append(message)
                if not calls:
                    await self._shorten()
                    yield self._result(message, builder)
                    return
                async with contextlib.aclosing(self._run_tools(calls, builder.faults)) as events:
                    async for event in events:
                        yield event
                if self._answered_already(message, calls):
                    await self._shorten()
                    yield self._result(message, builder)
                    return
                self._earlier += _texts(message) if tells else ()
        except BaseException:
            if prompt is not None and self._agent.messages and self._agent.messages[-1] is prompt:
                await self._take_back(prompt)
            self._were_given()
            raise

    def _result(self, message: Message, builder: MessageBuilder) -> AgentResult:
        return AgentResult(message, builder.stop_reason, self._usage, self._model_calls, tuple(self._earlier))

    # The model

    async def _call_model(self) -> AsyncGenerator[TypedEvent]:
        """Call the model, again as often as a hook wants."""
        agent = self._agent
        for retries in range(MOST_RETRIES + 1):
            if self._model_calls >= agent.max_model_calls:
                raise ModelError(
                    f"the model was called {self._model_calls} times for one prompt and there is no answer yet; give "
                    "the agent a higher max_model_calls if that is right"
                )
            await agent.hooks.invoke_callbacks_async(BeforeModelCallEvent(agent))
            builder = MessageBuilder()
            failure: Exception | None = None
            stopped: ModelStopResponse | None = None
            async with contextlib.aclosing(self._stream(builder)) as events:
                try:
                    async for event in events:
                        yield event
                    stopped = ModelStopResponse(self._with_own_ids(builder), builder.stop_reason)
                except Exception as error:  # noqa: BLE001 - hooks are told of it, and it is raised below
                    failure = error
            after = AfterModelCallEvent(agent, stopped, failure)
            await agent.hooks.invoke_callbacks_async(after)
            if after.retry and retries < MOST_RETRIES:
                continue
            if failure is not None:
                if after.retry:
                    failure.add_note(f"the model was called {retries + 1} times; {MOST_RETRIES} retries is the limit")
                raise failure
            if stopped is not None:
                self._answer = stopped.message, builder
                for event in _said(self._response_id, stopped.message, builder.usage):
                    yield event
            return

    async def _stream(self, builder: MessageBuilder) -> AsyncGenerator[TypedEvent]:
        agent = self._agent
        self._model_calls += 1
        self._response_id = f"response_{secrets.token_hex(8)}"
        messages = merged(history_for_model(agent.messages, {}, "note"))
        specs = agent.tool_registry.specs()
        stream = agent.model.stream(messages, specs or None, agent.system_prompt)
        yield BidiResponseStartEvent(self._response_id)
        async with contextlib.aclosing(stream) if isinstance(stream, AsyncGenerator) else contextlib.nullcontext():
            async for event in stream:
                text = builder.take(event)
                if text:
                    yield BidiTranscriptStreamEvent({"text": text}, text, "assistant", is_final=False)
        for name, count in builder.usage.items():
            self._usage[name] = self._usage.get(name, 0) + count

    def _answered_already(self, message: Message, calls: list[ToolUse]) -> bool:
        """Whether the model has said what it has to say, and waits for none of its calls."""
        model = self._agent.model
        if not isinstance(model, LeavesCallsOpen) or not any("text" in block for block in message["content"]):
            return False
        results = [block for block in self._agent.messages[-1]["content"] if "toolResult" in block]
        tools = (self._agent.tool_registry.get(call["name"]) for call in calls)
        return len(results) == len(calls) and all(
            tool is not None and model.leaves_open(tool.tool_spec, block["toolResult"])
            for tool, block in zip(tools, results, strict=True)
        )

    def _with_own_ids(self, builder: MessageBuilder) -> Message:
        """Return the message with ids that no earlier call has: some servers count them anew each time."""
        message = builder.message()
        used = {call_id for earlier in self._agent.messages for call_id in call_ids(earlier, "toolUse")}
        for block in message["content"]:
            if "toolUse" in block:
                call = block["toolUse"]
                if call["toolUseId"] in used:
                    call_id = f"call_{secrets.token_hex(8)}"
                    if call["toolUseId"] in builder.faults:
                        builder.faults[call_id] = builder.faults[call["toolUseId"]]
                    call["toolUseId"] = call_id
                used.add(call["toolUseId"])
        return message

    # Tools

    async def _run_tools(self, calls: list[ToolUse], faults: dict[str, str]) -> AsyncGenerator[TypedEvent]:
        """Run calls at the same time, yield their events, and add their results to the history, in their order."""
        events: asyncio.Queue[TypedEvent | None] = asyncio.Queue()
        results: dict[str, ToolResultEvent] = {}

        async def run(call: ToolUse) -> None:
            fault = faults.get(call["toolUseId"])
            results[call["toolUseId"]] = event = (
                _refused(call, f"Error: {call['name']} was not run: {fault}.")
                if fault is not None
                else await run_with_hooks(cast("BidiAgent", self._agent), call, self._state, events.put_nowait)
            )
            events.put_nowait(event)

        async def run_all() -> None:
            try:
                async with asyncio.TaskGroup() as group:
                    for call in calls:
                        group.create_task(run(call), name=f"backchannel-tool-{call['name']}")
            finally:
                events.put_nowait(None)

        work = asyncio.create_task(run_all(), name="backchannel-tools")
        try:
            while (event := await events.get()) is not None:
                yield event
            await work
        except BaseExceptionGroup as group:
            raise group.exceptions[0] from None
        finally:
            with contextlib.suppress(asyncio.CancelledError):
                await cancelled({work: f"a tool of {', '.join(call['name'] for call in calls)}"}, TOOLS_S)
            answered: list[ContentBlock] = [
                {"toolResult": results.get(call["toolUseId"], _refused(call, INTERRUPTED)).tool_result}
                for call in calls
            ]
            message: Message = {"role": "user", "content": answered}
            self._add_results(message)
            await self._append(message)
        yield ToolResultMessageEvent(message)

    # The history

    async def _append(self, message: Message) -> None:
        self._agent.messages.append(message)
        await self._agent.hooks.invoke_callbacks_async(BidiMessageAddedEvent(self._agent, message))

    async def _take_back(self, message: Message) -> None:
        """Nobody has answered this message: it may be sent again."""
        index = len(self._agent.messages) - 1
        del self._agent.messages[index]
        await self._agent.hooks.invoke_callbacks_async(
            BidiMessageAmendedEvent(self._agent, message, index, removed=True)
        )

    async def _shorten(self) -> None:
        """Keep one line each of the results that were told: the model has said what matters of them."""
        for message, text in self._passing:
            if (index := self._place(message)) is not None:
                message["content"] = [
                    text_block(text.remains, text.origin) if block.get("text") == text else block
                    for block in message["content"]
                ]
                await self._agent.hooks.invoke_callbacks_async(
                    BidiMessageAmendedEvent(self._agent, message, index, removed=False)
                )
        self._passing.clear()

    def _place(self, message: Message) -> int | None:
        messages = self._agent.messages
        return next((at for at in range(len(messages) - 1, -1, -1) if messages[at] is message), None)

    # Results of background tasks

    def _add_results(self, message: Message) -> None:
        """Add to a message what has come of the agent's tasks and is told by nobody else."""
        known = {task for _, task in self._given}
        tasks = [task for task in self._agent.untold() if task not in known]
        for start in range(0, len(tasks), MOST_RESULTS):
            part = tasks[start : start + MOST_RESULTS]
            again = frozenset(task.id for task in part if task.announced)
            text = results_text([AsyncTaskResult.of(task) for task in part], again)
            for task in part:
                task.announced = True
            message["content"].append(text_block(str(text), text.origin))
            self._passing.append((message, text))
            self._given += [(message, task) for task in part]

    def _were_given(self) -> None:
        """The results that are in the history are told."""
        for message, task in self._given:
            if self._place(message) is not None:
                task.delivered = True
        self._given.clear()

    async def _reduce(self) -> None:
        agent = self._agent
        reduction = (
            None if agent.conversation_manager is None else await agent.conversation_manager.reduce(agent.messages)
        )
        if reduction is not None:
            reduction.apply(agent.messages)
            await agent.hooks.invoke_callbacks_async(
                BidiHistoryReducedEvent(agent, reduction.count, reduction.messages)
            )


def _texts(message: Message) -> list[str]:
    return [block["text"] for block in message["content"] if "text" in block]


def _said(response_id: str, message: Message, usage: dict[str, int]) -> list[TypedEvent]:
    """Return the events of a message that is complete."""
    events: list[TypedEvent] = []
    reason: StopReason = "complete"
    for block in message["content"]:
        if "text" in block:
            text = block["text"]
            events.append(BidiTranscriptStreamEvent({"text": text}, text, "assistant", is_final=True))
        elif "toolUse" in block:
            reason = "tool_use"
            events.append(ToolUseStreamEvent({"toolUse": {"input": ""}}, block["toolUse"]))
    if usage:
        read, written = usage.get("inputTokens", 0), usage.get("outputTokens", 0)
        events.append(BidiUsageEvent(read, written, usage.get("totalTokens", read + written)))
    events.append(BidiResponseCompleteEvent(response_id, reason))
    return events


def _refused(call: ToolUse, why: str) -> ToolResultEvent:
    return ToolResultEvent({"toolUseId": call["toolUseId"], "status": "error", "content": [{"text": why}]})
