"""Reports come when something was heard, in order."""

from __future__ import annotations

import asyncio

from backchannel.io.playout import Mark
from backchannel.io.reports import HeardReports
from tests.support.listening import ListeningAgent
from tests.support.virtual_time import virtual_time


@virtual_time
async def test_a_report_comes_when_it_was_heard_and_never_before_an_earlier_one():
    agent = ListeningAgent()
    reports = HeardReports(agent)
    reports.add([Mark("r", 10)], delay_s=0.5)
    reports.add([Mark("r", 20)], delay_s=0.1)
    await asyncio.sleep(0.4)
    assert agent.reports == []
    await asyncio.sleep(0.2)
    assert agent.reports == [("r", 10, False), ("r", 20, False)]
    reports.add([Mark("r", 30, finished=True)])
    assert agent.reports[-1] == ("r", 30, True)


@virtual_time
async def test_after_it_is_closed_nothing_is_reported():
    agent = ListeningAgent()
    reports = HeardReports(agent)
    reports.add([Mark("r", 10)], delay_s=0.5)
    reports.close()
    await asyncio.sleep(1)
    assert agent.reports == []
