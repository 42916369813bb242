"""Invoking: how an agent, of whatever make, is given a prompt and asked for its answer."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import inspect
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from ..errors import AgentStateError, InvalidInputError
from ..events import BidiTextInputEvent
from ..tasks.runners.coroutines import background_loop
from .bidi import BidiAgent
from .history import PassingText

__all__ = ["Invoker", "was_busy"]

_BUSY = ("ConcurrencyException",)
"""What agents raise, here those of Strands, where somebody else's invocation of them is under way."""

_METHODS = ("invoke_async", "ainvoke", "invoke", "__call__", "send")


class Invoker:
    """Invokes an agent and blocks until it has answered; one call at a time.

    Taken is the first that it has of: ``invoke_async`` (as agents of ours and of Strands have it), ``ainvoke`` and
    ``invoke`` (runnables of LangChain and LangGraph), being called, ``send``; of an agent with ``is_idle``, ``send``. A
    runnable whose input has ``messages`` is given a message of the user's. An answer in pieces is put together.

    Args:
        agent: The agent.
        loop: Where what is asynchronous runs; None for the event loop of background coroutines.

    Raises:
        InvalidInputError: If the agent can be asked in no way.
    """

    def __init__(self, agent: Any, loop: asyncio.AbstractEventLoop | None = None) -> None:
        self._agent = agent
        self._loop = loop
        self._ask, self._asynchronous = _method(agent)
        self._as_messages = _wants_messages(agent)

    def __call__(self, prompt: Any) -> Any:
        """Return the agent's answer. Not to be called where its event loop runs."""
        if isinstance(self._agent, BidiAgent) and isinstance(prompt, PassingText):
            prompt = BidiTextInputEvent(str(prompt), origin=prompt.origin)
        given = {"messages": [{"role": "user", "content": prompt}]} if self._as_messages(prompt) else prompt
        if self._asynchronous:
            return self._run(functools.partial(self._ask, given))
        answer = self._ask(given)
        if inspect.isawaitable(answer) or inspect.isasyncgen(answer):
            return self._run(lambda: answer)
        return _joined(list(answer)) if inspect.isgenerator(answer) else answer

    def is_free(self) -> bool:
        """Whether the agent says that it is idle; one that says nothing of it may be asked."""
        idle = getattr(self._agent, "is_idle", None)
        try:
            return bool(idle()) if callable(idle) else True
        except Exception:  # noqa: BLE001 - whatever it is, being asked will show it
            return True

    def is_carried_here(self) -> bool:
        """Whether a blocking wait in this thread would keep the agent from answering."""
        try:
            here = asyncio.get_running_loop()
        except RuntimeError:
            return False
        if isinstance(self._agent, BidiAgent) and self._agent.is_carried_here():
            return True
        return here is (self._loop or (background_loop() if self._asynchronous else None))

    def _run(self, ask: Callable[[], Any]) -> Any:
        if self._loop is not None and not self._loop.is_running():
            raise AgentStateError("the event loop that AsyncAgent was given does not run: the agent cannot answer")
        return asyncio.run_coroutine_threadsafe(_answer(ask), self._loop or background_loop()).result()


def was_busy(error: BaseException) -> bool:
    """Whether an agent raised this only because it is busy with somebody else, and has not been asked."""
    return type(error).__name__ in _BUSY


async def _answer(ask: Callable[[], Any]) -> Any:
    answer = ask()
    while inspect.isawaitable(answer):
        answer = await answer
    if inspect.isasyncgen(answer):
        return _joined([piece async for piece in answer])
    return _joined(list(answer)) if inspect.isgenerator(answer) else answer


def _joined(pieces: list[Any]) -> Any:
    """Return an answer that came in pieces: as one text if all are text."""
    return "".join(pieces) if all(isinstance(piece, str) for piece in pieces) else pieces


def _method(agent: Any) -> tuple[Callable[[Any], Any | Awaitable[Any]], bool]:
    """Return how the agent is asked, and whether that needs an event loop."""
    if isinstance(agent, type):
        raise InvalidInputError(f"the agent is the class {agent.__name__}; give an instance: {agent.__name__}(...)")
    names: tuple[str, ...] = ("send",) if isinstance(agent, BidiAgent) else _METHODS
    if callable(getattr(agent, "is_idle", None)):
        names = ("send", *names)
    for name in names:
        method = agent if name == "__call__" else getattr(agent, name, None)
        if callable(method) and not isinstance(method, type):
            call = type(agent).__call__ if name == "__call__" and not inspect.isroutine(agent) else method
            asynchronous = name in ("invoke_async", "ainvoke") or inspect.iscoroutinefunction(call)
            return method, asynchronous
    raise InvalidInputError(
        f"a {type(agent).__name__} cannot be an agent: it has none of invoke_async, ainvoke, invoke and send, and "
        "cannot be called; give an agent, a runnable or a function from a prompt to an answer"
    )


def _wants_messages(agent: Any) -> Callable[[Any], bool]:
    """Return whether a prompt is to be put into a state with messages, as graphs take it."""
    schema = getattr(agent, "get_input_jsonschema", None)
    if not callable(schema) or not hasattr(agent, "invoke"):
        return lambda _: False

    @functools.cache
    def has_messages() -> bool:
        with contextlib.suppress(Exception):
            found = schema()
            return isinstance(found, Mapping) and "messages" in found.get("properties", ())
        return False

    return lambda prompt: isinstance(prompt, str) and has_messages()
