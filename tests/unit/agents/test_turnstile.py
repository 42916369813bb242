"""Turnstile: one at a time, in the order of coming, from any thread and event loop."""

from __future__ import annotations

import asyncio
import threading

import pytest

from backchannel.agents.turnstile import Turnstile
from backchannel.errors import AgentStateError


async def test_they_pass_in_the_order_of_coming():
    turnstile, order = Turnstile("it"), []

    async def go(number: int) -> None:
        async with turnstile.passage():
            order.append(number)
            await asyncio.sleep(0)
            order.append(number)

    await asyncio.gather(*map(go, range(5)))
    assert order == [number for number in range(5) for _ in range(2)]
    assert not turnstile.taken


async def test_an_error_inside_lets_the_next_one_through():
    turnstile = Turnstile("it")
    with pytest.raises(ValueError, match="x"):
        async with turnstile.passage():
            raise ValueError("x")
    async with turnstile.passage():
        assert turnstile.taken


async def test_who_is_cancelled_while_waiting_or_just_as_it_is_their_turn_holds_nobody_up():
    turnstile = Turnstile("it")

    async def pass_through() -> str:
        async with turnstile.passage():
            return "through"

    for steps in range(6):
        async with turnstile.passage():
            waiting = asyncio.create_task(pass_through())
            await asyncio.sleep(0)
        for _ in range(steps):
            await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        last = asyncio.create_task(pass_through())
        assert await asyncio.wait_for(last, 30) == "through"
        assert not turnstile.taken


async def test_who_is_inside_cannot_wait_for_themselves():
    turnstile = Turnstile("the agent")
    async with turnstile.passage():
        with pytest.raises(AgentStateError, match="the agent cannot be invoked by its own tool"):
            async with turnstile.passage():
                pass
    async with turnstile.passage():
        pass


def test_many_event_loops_pass_one_at_a_time():
    turnstile, inside, most = Turnstile("it"), [], []

    async def work() -> None:
        for _ in range(20):
            async with turnstile.passage():
                inside.append(1)
                most.append(len(inside))
                await asyncio.sleep(0)
                inside.pop()

    threads = [threading.Thread(target=lambda: asyncio.run(work())) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(most) == 120
    assert max(most) == 1
    assert not turnstile.taken
