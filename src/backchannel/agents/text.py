"""Agent: a conversation in writing, with tools; needs no other framework.

agent = Agent("amazon.nova-lite-v1:0", tools=[train])      # a name is a model of Bedrock
print(agent("Train on sales."))                            # in a cell or a script
print(await agent.invoke_async("How far is it?"))          # in async code
"""

from __future__ import annotations

import asyncio
import contextlib
import warnings
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from typing import Any, cast

from ..errors import AgentStateError, InvalidInputError
from ..events import TypedEvent
from ..hooks import (
    AfterToolCallEvent,
    BeforeToolCallEvent,
    BidiAfterInvocationEvent,
    BidiAgentInitializedEvent,
    BidiBeforeInvocationEvent,
    HookProvider,
)
from ..messages import AgentTool, Message, Messages, check_messages, text_block
from ..models.text import TextModel
from ..tasks import Task
from ..tasks.runners.coroutines import background_loop
from ..tools import ToolExecutor
from .approval import ApprovalCallback
from .base import AgentBase
from .history import PassingText
from .state import AgentState
from .text_turn import AgentResult, TextTurn
from .turnstile import Turnstile
from .window import ConversationManager

__all__ = ["Agent"]


class Agent(AgentBase):
    """An agent that reads and writes, and calls tools until it has an answer.

    What comes of background tasks is told to the model with the next prompt, or by an `AsyncAgent` as soon as it is
    there.

    One invocation at a time; others wait, in the order of their coming, from whatever thread or event loop. If an
    invocation fails before the model has answered, its prompt leaves the history again.

    Hooks get `BeforeModelCallEvent`, `AfterModelCallEvent`, `BeforeToolCallEvent` and `AfterToolCallEvent`; for what
    else happens (construction, invocations, messages) the events of a `BidiAgent`, so its session managers fit too.

    Args:
        model: A `TextModel`; "local" for the embedded one, which needs no network; or the id of a model of Bedrock.
        tools: Functions, `AgentTool` objects, modules, providers, names or paths of Python files.
        system_prompt: What the model is told of its part.
        messages: The history to go on from. The list is kept and grows.
        record_direct_tool_call: Whether ``agent.tool.name()`` is written into the history.
        agent_id: The agent's own id; no path separators. Default "default".
        name: What to call the agent.
        description: What the agent is for.
        hooks: Providers of hooks, see `backchannel.hooks`.
        state: JSON values to keep beside the conversation.
        session_manager: Keeps sessions, see `FileSessionManager`.
        tool_executor: When tools run that are called together; by default at once.
        approve: Answers when a call wants approval; without it such a call is refused.
        conversation_manager: Keeps the history short, see `WindowConversationManager`; None lets it grow.
        max_model_calls: The most calls of the model for one prompt.

    Raises:
        ValueError: If the id, the state, or a number cannot be used.
        TypeError: If the model is not one.
    """

    call_events = (BeforeToolCallEvent, AfterToolCallEvent)

    def __init__(
        self,
        model: TextModel | str,
        tools: Sequence[str | AgentTool | Callable[..., Any] | Any] | None = None,
        system_prompt: str | None = None,
        messages: Messages | None = None,
        record_direct_tool_call: bool = True,
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
        max_model_calls: int = 100,
        **kwargs: Any,
    ) -> None:
        if kwargs:
            warnings.warn(f"Agent does not know {', '.join(sorted(kwargs))}; ignored", UserWarning, stacklevel=2)
        if isinstance(max_model_calls, bool) or not isinstance(max_model_calls, int) or max_model_calls < 1:
            raise InvalidInputError(f"max_model_calls must be a whole number, 1 or more, not {max_model_calls!r}")
        self.model = _model(model)
        self.max_model_calls = max_model_calls
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
        )
        self._turnstile = Turnstile(f"the agent {self.name!r}")
        self.hooks.invoke_callbacks(BidiAgentInitializedEvent(self))

    @property
    def started(self) -> bool:
        """Whether an invocation is under way."""
        return self._turnstile.taken

    def __call__(
        self, prompt: str | Sequence[Any] | None = None, *, invocation_state: dict[str, Any] | None = None
    ) -> AgentResult:
        """Invoke the agent and wait for its answer, as `invoke_async` does; blocks this thread.

        Ctrl-C ends the invocation too.

        Raises:
            AgentStateError: If this thread carries the event loop that the agent would run on.
        """
        loop = background_loop()
        if asyncio._get_running_loop() is loop:
            raise AgentStateError(
                f"the agent {self.name!r} cannot be waited for on the event loop that it runs on: write "
                "'await agent.invoke_async(...)'"
            )
        future = asyncio.run_coroutine_threadsafe(self.invoke_async(prompt, invocation_state=invocation_state), loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    async def invoke_async(
        self, prompt: str | Sequence[Any] | None = None, *, invocation_state: dict[str, Any] | None = None
    ) -> AgentResult:
        """Give the agent a prompt and return its answer.

        Args:
            prompt: Text, or a list of content blocks; None goes on from the history as it is.
            invocation_state: Passed to every tool and hook.

        Raises:
            InvalidInputError: If the prompt cannot be used; nothing has changed.
            AgentStateError: If a tool or hook of this agent waits for it.
            ModelError: If the model could not answer.
        """
        result: AgentResult | None = None
        async with contextlib.aclosing(self.stream_async(prompt, invocation_state=invocation_state)) as events:
            async for event in events:
                if isinstance(event, AgentResult):
                    result = event
        assert result is not None
        return result

    async def stream_async(
        self, prompt: str | Sequence[Any] | None = None, *, invocation_state: dict[str, Any] | None = None
    ) -> AsyncGenerator[TypedEvent | AgentResult]:
        """Give the agent a prompt and yield what happens; the last item is the `AgentResult`.

        Text comes as ``bidi_transcript_stream``, in pieces and then whole (``is_final``); calls, results and tokens as
        the events of a `BidiAgent`. Text of a model call that a hook has called again was said in vain.

        Args and errors are those of `invoke_async`.
        """
        message = _message(prompt)
        if message is None and not self.messages:
            raise InvalidInputError("there is nothing to answer: no prompt was given, and the history is empty")
        state = {} if invocation_state is None else invocation_state
        async with self._turnstile.passage():
            await self.hooks.invoke_callbacks_async(BidiBeforeInvocationEvent(self))
            try:
                passing = prompt if isinstance(prompt, PassingText) else None
                turn = cast("AsyncGenerator[TypedEvent | AgentResult]", TextTurn(self, state).run(message, passing))
                async with contextlib.aclosing(turn):
                    async for event in turn:
                        yield event
            finally:
                await self.hooks.invoke_callbacks_async(BidiAfterInvocationEvent(self))

    def untold(self) -> list[Task]:
        """Return the agent's background tasks that have ended and are told by no `AsyncAgent`, oldest first."""
        from .claims import claimant

        for manager in self._managers():
            manager.claim_restored(self)
        return [
            task
            for manager in self._managers()
            for task in manager.tasks
            if task.owner is self and task.done() and task.owed and claimant(manager, task) is None
        ]


def _model(model: object) -> TextModel:
    if model == "local":
        from ..models.local.written import LocalTextModel

        return LocalTextModel()
    if isinstance(model, str) and model.strip():
        from ..models.bedrock_converse import BedrockConverseModel

        return BedrockConverseModel(model)
    if isinstance(model, type) or not callable(getattr(model, "stream", None)):
        name = model.__name__ if isinstance(model, type) else type(model).__name__
        raise TypeError(
            f"{name} is not a text model: it has no stream; give BedrockConverseModel(...), OpenAIChatModel(...) or "
            "another TextModel object, or the id of a model of Bedrock"
        )
    return cast("TextModel", cast("Any", model))


def _message(prompt: object) -> Message | None:
    if prompt is None:
        return None
    if isinstance(prompt, str):
        if not prompt.strip():
            raise InvalidInputError("the prompt is blank; nothing was sent")
        prompt = [text_block(str(prompt), prompt.origin if isinstance(prompt, PassingText) else "user")]
    if not isinstance(prompt, Sequence) or not all(isinstance(block, Mapping) for block in prompt):
        raise InvalidInputError(f"the prompt must be text or a list of content blocks, not {prompt!r:.100}")
    message = cast("Message", {"role": "user", "content": list(prompt)})
    check_messages([message])
    return message
