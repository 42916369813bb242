"""Calling an agent's tools by hand: ``agent.tool.name(argument=...)``."""

from __future__ import annotations

import asyncio
import contextvars
import json
import secrets
import threading
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

from ..hooks import BidiMessageAddedEvent
from ..messages import Message, ToolResult, ToolUse, tool_pair
from .calls import run_with_hooks

if TYPE_CHECKING:
    from .bidi import BidiAgent

__all__ = ["ToolCaller"]

T = TypeVar("T")


class ToolCaller:
    """Gives an agent's tools as functions, which take keyword arguments and return a `ToolResult`."""

    def __init__(self, agent: BidiAgent) -> None:
        self._agent = agent

    def __dir__(self) -> list[str]:
        return self._agent.tool_names

    def __getattr__(self, name: str) -> Callable[..., ToolResult]:
        names = self._agent.tool_names
        matches = [known for known in names if name in (known, known.replace("-", "_"))]
        if not matches:
            raise AttributeError(f"the agent has no tool {name!r}; it has: {', '.join(names) or 'none'}")

        def call(*, record_direct_tool_call: bool | None = None, **arguments: Any) -> ToolResult:
            call_id = f"tooluse_{matches[0]}_{secrets.token_hex(4)}"
            use: ToolUse = {"toolUseId": call_id, "name": matches[0], "input": arguments}
            event = _run(lambda: run_with_hooks(self._agent, use, {}, lambda _: None, by_hand=True))
            result: ToolResult = event["tool_result"]
            record = self._agent.record_direct_tool_call if record_direct_tool_call is None else record_direct_tool_call
            if record:
                _record(self._agent, use, result)
            return result

        call.__name__ = name
        return call


def _run(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run a coroutine on a loop of its own in a thread of its own: the caller may itself be on a running loop."""
    outcome: list[T] = []
    failure: list[BaseException] = []

    def body() -> None:
        try:
            outcome.append(asyncio.run(work()))
        except BaseException as error:  # noqa: BLE001 - raised in the caller's thread
            failure.append(error)

    thread = threading.Thread(
        target=contextvars.copy_context().run, args=(body,), name="backchannel-direct-call", daemon=True
    )
    thread.start()
    thread.join()
    if failure:
        raise failure[0]
    return outcome[0]


def _record(agent: BidiAgent, use: ToolUse, result: ToolResult) -> None:
    arguments = json.dumps(use["input"], default=lambda _: "<<non-serializable>>", ensure_ascii=False)
    plain: ToolUse = {**use, "input": json.loads(arguments)}
    request: Message = {
        "role": "user",
        "content": [{"text": f"agent.tool.{use['name']} direct tool call.\nInput parameters: {arguments}\n"}],
    }
    done: Message = {"role": "assistant", "content": [{"text": f"agent.tool.{use['name']} was called."}]}
    for message in (request, *tool_pair(plain, result), done):
        agent.messages.append(message)
        event = BidiMessageAddedEvent(agent, message)
        if agent.hooks.is_plain(event):
            agent.hooks.invoke_callbacks(event)
        else:
            _run(lambda event=event: agent.hooks.invoke_callbacks_async(event))  # type: ignore[misc]
