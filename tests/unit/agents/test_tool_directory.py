"""Tools of a directory, loaded again while people talk."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import pytest

from backchannel import BidiAgent
from backchannel.models.scripted import ScriptedModel

pytest.importorskip("watchfiles", reason="the extra reload is not installed")

ONE = '''
from backchannel import tool

@tool
def {name}() -> str:
    """A tool from a file."""
    return "{name}"
'''


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not holds():
            await asyncio.sleep(0.05)


async def test_a_changed_file_is_loaded_again_a_broken_one_keeps_the_last_good_version(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "tools" / "mine.py"
    file.parent.mkdir()
    file.write_text(ONE.format(name="first"))
    model = ScriptedModel()
    agent = BidiAgent(model, load_tools_from_directory=True)
    assert agent.tool_names == ["first"]
    async with agent:
        file.write_text(ONE.format(name="second"))
        await until(lambda: agent.tool_names == ["second"])
        await until(lambda: [spec["name"] for spec in (model.tool_updates or [[]])[-1]] == ["second"])
        file.write_text("def broken(:")
        (tmp_path / "tools" / "other.py").write_text(ONE.format(name="other"))
        await until(lambda: set(agent.tool_names) == {"second", "other"})
    assert not [thread for thread in threading.enumerate() if "tool-directory" in thread.name]


def test_without_a_directory_there_are_no_tools(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert BidiAgent(ScriptedModel(), load_tools_from_directory=True).tool_names == []
