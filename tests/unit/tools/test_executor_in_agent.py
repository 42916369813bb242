"""How many tools run at a time in an agent that many calls come to at once."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from backchannel import BidiAgent, tool
from backchannel.hooks import BidiBeforeToolCallEvent, HookRegistry
from backchannel.models.scripted import ScriptedModel, call, expect, say
from backchannel.tools import ConcurrentToolExecutor, SequentialToolExecutor, executor_of
from tests.support.virtual_time import virtual_time

CALLS = 30


class Work:
    """A tool that takes a while; some of its calls fail, are cancelled by their own doing, or by a hook."""

    def __init__(self) -> None:
        self.running = 0
        self.most = 0
        self.order: list[int] = []

        @tool
        async def work(number: int) -> int:
            """Work."""
            self.order.append(number)
            self.running += 1
            self.most = max(self.most, self.running)
            try:
                await asyncio.sleep(0.5 if number % 2 else 0.1)
                if number % 7 == 3:
                    raise ValueError("it broke")
                if number % 7 == 4:
                    raise asyncio.CancelledError("it gave up")
                return number
            finally:
                self.running -= 1

        @tool
        def blocking(number: int) -> int:
            """Work in a thread."""
            self.order.append(number)
            self.running += 1
            self.most = max(self.most, self.running)
            self.running -= 1
            return number

        self.tool = work
        self.blocking = blocking

    def register_hooks(self, registry: HookRegistry, **kwargs: Any) -> None:
        registry.add_callback(BidiBeforeToolCallEvent, self.before)

    async def before(self, event: Any) -> None:
        await asyncio.sleep(0.01)
        if event.tool_use["input"]["number"] % 7 == 5:
            event.cancel_tool = "not this one"


async def run(work: Work, executor: Any, name: str = "work") -> dict[str, Any]:
    """Have all calls come at once; returns the results by id."""
    calls = [call(name, {"number": number}, f"call-{number}") for number in range(CALLS)]
    answers = [expect("a result", lambda event: event["type"] == "tool_result") for _ in range(CALLS)]
    model = ScriptedModel(*calls, *answers, say("Done."))
    results = {}
    agent = BidiAgent(model, tools=[work.tool, work.blocking], tool_executor=executor, hooks=[work])
    async with agent:
        async for event in agent.receive():
            if event.get("type") == "tool_result":
                results[event["tool_result"]["toolUseId"]] = event["tool_result"]
            elif event.get("type") == "bidi_response_complete":
                break
    model.check()
    return results


RUN = [number for number in range(CALLS) if number % 7 != 5]


@virtual_time
async def test_a_sequential_executor_runs_one_after_the_other_in_the_order_of_the_calls():
    work = Work()
    results = await run(work, SequentialToolExecutor())
    assert work.most == 1
    assert work.order == RUN
    assert list(results) == [f"call-{number}" for number in range(CALLS)]
    for number in range(CALLS):
        status = results[f"call-{number}"]["status"]
        assert status == ("error" if number % 7 in (3, 4, 5) else "success")


@virtual_time
async def test_a_limit_is_never_exceeded_and_is_used():
    work = Work()
    results = await run(work, ConcurrentToolExecutor(limit=3))
    assert work.most == 3
    assert work.order == RUN
    assert len(results) == CALLS


@virtual_time
async def test_without_a_limit_all_run_at_once():
    work = Work()
    await run(work, None)
    assert work.most == len(RUN)


async def test_functions_in_threads_run_one_after_the_other_too():
    work = Work()
    await run(work, SequentialToolExecutor(), "blocking")
    assert work.most == 1
    assert work.order == RUN


@virtual_time
async def test_stopping_the_agent_while_calls_wait_frees_the_executor_for_another():
    work, executor = Work(), SequentialToolExecutor()
    started = asyncio.Event()

    @tool
    async def hang() -> None:
        """Hang."""
        started.set()
        await asyncio.Event().wait()

    model = ScriptedModel(*(call("hang", {}, f"call-{number}") for number in range(3)))
    async with BidiAgent(model, tools=[hang], tool_executor=executor) as agent:
        reader = asyncio.create_task(anext(agent.receive()))
        await started.wait()
        await reader
    assert len(await run(work, executor)) == CALLS


def test_one_executor_keeps_its_limit_on_each_of_two_loops() -> None:
    executor = ConcurrentToolExecutor(2)

    async def most() -> int:
        running = most = 0

        async def one() -> None:
            nonlocal running, most
            async with executor.slot():
                running += 1
                most = max(most, running)
                await asyncio.sleep(0)
                running -= 1

        await asyncio.gather(*(one() for _ in range(6)))
        return most

    with asyncio.Runner() as first, asyncio.Runner() as second:
        assert [first.run(most()), second.run(most()), first.run(most())] == [2, 2, 2]


@pytest.mark.parametrize("limit", [0, -1, 1.5, True, "3"])
def test_a_limit_that_is_no_number_of_calls_is_refused(limit: Any) -> None:
    with pytest.raises(ValueError, match="limit must be 1 or more"):
        ConcurrentToolExecutor(limit)


def test_what_is_no_executor_is_refused_in_words() -> None:
    given = SequentialToolExecutor()
    assert executor_of(given) is given
    assert isinstance(executor_of(None), ConcurrentToolExecutor)
    for other in (5, "sequential", object(), print):
        with pytest.raises(TypeError, match=r"has no slot\(\); give backchannel\.tools\.SequentialToolExecutor"):
            executor_of(other)
    with pytest.raises(TypeError, match=r"give an instance: SequentialToolExecutor\(\)"):
        executor_of(SequentialToolExecutor)
