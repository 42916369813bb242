"""A whole conversation between inputs and outputs: everything is started, carried, and stopped again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any

from ..errors import AgentStateError
from ..io import BidiInput, BidiOutput
from .ending import begun, cancelled, in_time

if TYPE_CHECKING:
    from .bidi import BidiAgent
    from .loop import BidiLoop

__all__ = ["run_conversation"]

OUTPUTS = "backchannel-outputs"
CHANNEL_S = 5.5
"""How long inputs and outputs may take to end when they are cancelled, seconds."""


async def run_conversation(
    agent: BidiAgent,
    inputs: Sequence[BidiInput | Callable[[], Awaitable[Any]]],
    outputs: Sequence[BidiOutput | Callable[[Any], Awaitable[Any]]],
    invocation_state: dict[str, Any] | None,
    running: Callable[[], BidiLoop],
) -> None:
    """See `BidiAgent.run`; ``running`` gives the conversation that was started."""
    channels = [channel for channel in (*inputs, *outputs) if isinstance(channel, BidiInput | BidiOutput)]
    tracked = agent.expects_played
    errors: list[BaseException] = []
    work: list[asyncio.Task[None]] = []
    try:
        await agent.start(invocation_state)
        conversation = running()
        for channel in channels:
            await channel.start(agent)
        writer = asyncio.create_task(_write(agent, outputs), name=OUTPUTS)
        work.append(writer)
        work += [asyncio.create_task(_read(agent, conversation, source), name="backchannel-input") for source in inputs]
        pending = set(work)
        while not writer.done() and not errors:
            done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            errors += [error for task in done if (error := task.exception()) is not None]
    except BaseException as error:  # noqa: BLE001 - raised again below, after everything is stopped
        errors.append(error)
    await cancelled({task: "an output" if task.get_name() == OUTPUTS else "an input" for task in work}, CHANNEL_S)
    ends = [None if not task.done() or task.cancelled() else task.exception() for task in work]
    errors += [end for end in ends if isinstance(end, Exception) and end not in errors]
    for stopping in [*channels, agent]:
        try:
            if isinstance(stopping, BidiInput | BidiOutput):
                await in_time(begun(stopping.stop()), f"{type(stopping).__name__}.stop", CHANNEL_S)
            else:
                await stopping.stop()
        except Exception as error:  # noqa: BLE001 - every stop is called; the first error is raised below
            errors.append(error)
    agent.expect_played(tracked)
    if errors:
        first, *others = errors
        for other in others:
            if other is not first:
                first.add_note(f"also raised: {type(other).__name__}: {other}")
        raise first


async def _read(agent: BidiAgent, conversation: BidiLoop, source: Callable[[], Awaitable[Any]]) -> None:
    while True:
        try:
            item = await source()
        except StopAsyncIteration:
            return
        try:
            await agent.send(item)
        except AgentStateError:
            if conversation.ended:
                return  # The end of the events ends the run.
            raise


async def _write(agent: BidiAgent, outputs: Sequence[Callable[[Any], Awaitable[Any]]]) -> None:
    async for event in agent.receive():
        if len(outputs) == 1:
            await outputs[0](event)
        else:
            await asyncio.gather(*(output(event) for output in outputs))
