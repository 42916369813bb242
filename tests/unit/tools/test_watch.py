"""Tools that come from the files of a directory, and change with them."""

from __future__ import annotations

import builtins
import logging
import os
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from backchannel import BidiAgent
from backchannel.models.scripted import ScriptedModel
from backchannel.tools import ToolDirectory, ToolRegistry, tool

ONE = "from backchannel.tools import tool\n\n@tool\ndef {name}() -> int:\n    'Do it.'\n    return {value}\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "tools"
    made.mkdir()
    return made


@pytest.fixture
def registry() -> ToolRegistry:
    return ToolRegistry()


@pytest.fixture
def watched(registry: ToolRegistry, folder: Path) -> Iterator[ToolDirectory]:
    pytest.importorskip("watchfiles", reason="reloading needs the extra reload")
    directory = ToolDirectory(registry, folder)
    directory.load()
    directory.watch()
    yield directory
    directory.close()


def write(path: Path, name: str, value: int = 1) -> Path:
    path.write_text(ONE.format(name=name, value=value))
    return path


def value_of(registry: ToolRegistry, name: str) -> Any:
    found = registry.get(name)
    return None if found is None else found()  # type: ignore[operator]


class Changes:
    """Waits for the registry to come to a state; woken by its changes and by nothing else."""

    def __init__(self, registry: ToolRegistry) -> None:
        self._condition = threading.Condition()
        registry.on_change(self._wake)

    def _wake(self) -> None:
        with self._condition:
            self._condition.notify_all()

    def wait_for(self, state: Callable[[], bool]) -> None:
        with self._condition:
            assert self._condition.wait_for(state, 30)


def test_all_files_without_underscore_are_loaded(registry: ToolRegistry, folder: Path) -> None:
    write(folder / "one.py", "one")
    write(folder / "größe_測試.py", "size")
    (folder / "_helper.py").write_text("VALUE = 7")
    (folder / ".hidden.py").write_text("1 / 0")
    (folder / "notes.txt").write_text("no tools")
    (folder / "inner").mkdir()
    write(folder / "inner" / "deep.py", "deep")
    (folder / "directory.py").mkdir()
    (folder / "nowhere.py").symlink_to(folder / "not_there")
    (folder / "linked.py").symlink_to(write(folder.parent / "elsewhere.py", "elsewhere"))
    write(folder / "sibling.py", "sibling", value="__import__('_helper').VALUE")  # type: ignore[arg-type]
    directory = ToolDirectory(registry, folder)
    directory.load()
    assert sorted(registry.names) == ["elsewhere", "one", "sibling", "size"]
    assert directory.faults == {}
    assert str(folder) not in sys.path


def test_a_changed_file_replaces_its_tools_even_within_a_tick_of_the_clock(
    registry: ToolRegistry, folder: Path
) -> None:
    path = write(folder / "one.py", "one", 1)
    directory = ToolDirectory(registry, folder)
    directory.load()
    before = path.stat()
    for value in range(2, 6):
        write(path, "one", value)
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        directory.reload(path)
        assert value_of(registry, "one") == value
    path.unlink()
    directory.load()
    assert registry.names == []


def test_loading_again_runs_only_what_changed(registry: ToolRegistry, folder: Path) -> None:
    path = write(folder / "one.py", "one")
    directory = ToolDirectory(registry, folder)
    directory.load()
    first = registry.get("one")
    os.utime(path)
    directory.load()
    assert registry.get("one") is first
    directory.reload()
    assert registry.get("one") is not first


BROKEN = [
    ("def f(:\n", "line 1"),
    ("\n\n1 / 0\n", "line 3, cannot be loaded: ZeroDivisionError"),
    ("import no_such_module_anywhere\n", "line 1, cannot be loaded: ModuleNotFoundError"),
    ("import sys\nsys.exit(3)\n", "line 2, cannot be loaded: SystemExit"),
    ("value = 1\n", "has no tools"),
    ("", "has no tools"),
    ("TOOL_SPEC = {'name': 'one', 'description': 'd', 'inputSchema': {'json': {}}}\n", "no function 'one'"),
    (
        ONE.format(name="one", value=1) + "two = tool(name='on-e')(one.fn)\nalso = tool(name='on_e')(one.fn)",
        "two of its",
    ),
    (ONE.format(name="one", value=1).replace("@tool", "@tool(name='one two')"), "'one two' cannot be used"),
    ("\0", "cannot be loaded"),
]


@pytest.mark.parametrize(("content", "says"), BROKEN)
def test_a_broken_file_is_reported_and_its_last_tools_stay(
    registry: ToolRegistry, folder: Path, caplog: pytest.LogCaptureFixture, content: str, says: str
) -> None:
    path = write(folder / "one.py", "one", 5)
    write(folder / "two.py", "two")
    directory = ToolDirectory(registry, folder)
    directory.load()
    path.write_text(content)
    directory.load()
    directory.load()
    assert says in directory.faults[path]
    assert value_of(registry, "one") == 5
    assert sorted(registry.names) == ["one", "two"]
    reports = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert len(reports) == 1
    assert str(path) in reports[0].getMessage()
    assert "Correct it and save it; in use of it: one" in reports[0].getMessage()
    write(path, "one", 6)
    directory.load()
    assert directory.faults == {}
    assert value_of(registry, "one") == 6


def test_a_file_that_is_not_utf8_or_cannot_be_read_is_reported(registry: ToolRegistry, folder: Path) -> None:
    (folder / "latin.py").write_bytes(b"x = '\xff'\n")
    directory = ToolDirectory(registry, folder)
    directory.load()
    assert "latin.py" in str(directory.faults)


def test_a_broken_file_is_tried_again_when_it_is_saved_unchanged(
    registry: ToolRegistry, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = folder / "one.py"
    path.write_text("import late_for_a_test\n" + ONE.format(name="one", value=1))
    directory = ToolDirectory(registry, folder)
    directory.load()
    assert registry.names == []
    monkeypatch.setitem(sys.modules, "late_for_a_test", sys)
    os.utime(path, ns=(1, 1))
    directory.load()
    assert registry.names == ["one"]


def test_a_name_of_the_agents_own_tool_is_a_fault_and_the_tool_stays(registry: ToolRegistry, folder: Path) -> None:
    @tool
    def one() -> int:
        """Do it."""
        return 100

    registry.register(one)
    path = write(folder / "one.py", "one")
    directory = ToolDirectory(registry, folder)
    directory.load()
    assert registry.get("one") is one
    assert "'one' has the name of a tool that is not of this folder" in directory.faults[path]
    registry.unregister("one")
    directory.load()
    assert value_of(registry, "one") == 1
    registry.register(one)
    path.unlink()
    directory.load()
    assert registry.get("one") is one


def test_without_a_directory_nothing_happens_and_the_log_says_so(
    registry: ToolRegistry, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    directory = ToolDirectory(registry, folder / "none")
    directory.load()
    directory.close()
    assert registry.names == []
    assert "there is no directory" in caplog.text
    assert not directory.watching


def test_without_the_extra_tools_are_loaded_once_and_a_warning_names_it(
    registry: ToolRegistry, folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    real = builtins.__import__

    def refuse(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "watchfiles":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", refuse)
    write(folder / "one.py", "one")
    directory = ToolDirectory(registry, folder)
    directory.load()
    directory.watch()
    assert registry.names == ["one"]
    assert not directory.watching
    assert 'pip install "backchannel[reload]"' in caplog.text


def test_a_relative_path_is_taken_where_the_process_is_now(
    registry: ToolRegistry, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder.parent)
    directory = ToolDirectory(registry)
    monkeypatch.chdir("/")
    assert directory.path == folder


def test_files_that_change_come_and_go_are_noticed(
    registry: ToolRegistry, folder: Path, watched: ToolDirectory
) -> None:
    changes = Changes(registry)
    path = write(folder / "one.py", "one", 1)
    changes.wait_for(lambda: value_of(registry, "one") == 1)
    path.write_text("def half(")
    write(path, "one", 2)
    changes.wait_for(lambda: value_of(registry, "one") == 2)
    fresh = write(folder / "one.py.tmp", "other", 3)
    os.replace(fresh, path)
    changes.wait_for(lambda: registry.names == ["other"])
    path.rename(folder / "renamed.py")
    changes.wait_for(lambda: registry.names == ["other"])
    (folder / "renamed.py").unlink()
    changes.wait_for(lambda: registry.names == [])
    assert watched.faults == {}


def test_a_directory_may_come_later_and_be_replaced(registry: ToolRegistry, tmp_path: Path) -> None:
    pytest.importorskip("watchfiles", reason="reloading needs the extra reload")
    folder = tmp_path / "tools"
    directory = ToolDirectory(registry, folder)
    changes = Changes(registry)
    directory.watch()
    try:
        folder.mkdir()
        write(folder / "one.py", "one")
        changes.wait_for(lambda: registry.names == ["one"])
        (folder / "one.py").unlink()
        folder.rmdir()
        changes.wait_for(lambda: registry.names == [])
        folder.mkdir()
        write(folder / "two.py", "two")
        changes.wait_for(lambda: registry.names == ["two"])
    finally:
        directory.close()


def test_what_changed_between_loading_and_watching_is_not_lost(registry: ToolRegistry, folder: Path) -> None:
    pytest.importorskip("watchfiles", reason="reloading needs the extra reload")
    directory = ToolDirectory(registry, folder)
    directory.load()
    changes = Changes(registry)
    write(folder / "one.py", "one")
    directory.watch()
    try:
        changes.wait_for(lambda: registry.names == ["one"])
    finally:
        directory.close()


def test_watching_and_closing_are_safe_twice_and_leave_no_thread(registry: ToolRegistry, folder: Path) -> None:
    pytest.importorskip("watchfiles", reason="reloading needs the extra reload")
    directory = ToolDirectory(registry, folder)
    for _ in range(2):
        directory.watch()
        directory.watch()
        ours = [thread for thread in threading.enumerate() if thread.name == "backchannel-tool-directory"]
        assert len(ours) == 1
        assert directory.watching
        directory.close()
        directory.close()
        assert not ours[0].is_alive()
        assert not directory.watching


def test_an_agent_has_the_tools_of_a_directory(folder: Path) -> None:
    write(folder / "one.py", "one", 4)
    agent = BidiAgent(ScriptedModel())
    ToolDirectory(agent.tool_registry, folder).load()
    assert agent.tool_names == ["one"]
    assert agent.tool.one()["content"] == [{"text": "4"}]
