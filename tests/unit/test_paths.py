"""``~`` in paths, wherever they are taken."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from backchannel import AsyncToolManager, BidiAgent, FileSessionManager, ScriptedModel
from backchannel.cli import main
from backchannel.errors import InvalidInputError
from backchannel.io import WavIO
from backchannel.journal import FileStore
from backchannel.models.local.speech import FliteSpeech, flite_path
from backchannel.notebook.ledger_place import ledger_store
from backchannel.paths import expanded
from backchannel.tasks.ledger_reader import read_ledger
from backchannel.tools.mcp import MCPTools
from backchannel.tools.registry import ToolRegistry
from backchannel.tools.watch import ToolDirectory

UNKNOWN = "~no-such-user-here/place"

TAKERS: list[Callable[[str], Any]] = [
    lambda path: AsyncToolManager(ledger=path),
    lambda path: FileSessionManager("sales", path),
    lambda path: WavIO(path),
    lambda path: WavIO(None, path),
    lambda path: MCPTools(command="server", cwd=path),
    lambda path: MCPTools(command=path),
    lambda path: ToolDirectory(ToolRegistry(), path),
    lambda path: BidiAgent(ScriptedModel(), tools=[f"{path}/tools.py"]),
    lambda path: FliteSpeech(path=path),
    FileStore,
    read_ledger,
    ledger_store,
    expanded,
]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    where, elsewhere = tmp_path / "home", tmp_path / "elsewhere"
    where.mkdir()
    elsewhere.mkdir()
    monkeypatch.setenv("HOME", str(where))
    monkeypatch.setenv("USERPROFILE", str(where))
    monkeypatch.chdir(elsewhere)
    return where


def test_a_tilde_at_the_beginning_is_the_home_directory(home: Path):
    assert expanded("~") == expanded("~/") == home
    assert expanded("~/a b/~") == expanded(Path("~", "a b", "~")) == home / "a b" / "~"
    assert [str(expanded(path)) for path in ("a/~/b", "a~", "/~/b")] == ["a/~/b", "a~", "/~/b"]


def test_programs_tools_and_the_voice_are_found_there(home: Path, monkeypatch: pytest.MonkeyPatch):
    (home / "tools.py").write_text(
        "from backchannel import tool\n@tool\ndef add(a: int) -> int:\n    'Adds.'\n    return a\n"
    )
    assert BidiAgent(ScriptedModel(), tools=["~/tools.py"]).tool_names == ["add"]
    assert ToolDirectory(ToolRegistry(), "~/tools").path == home / "tools"
    (home / "flite.wasm").write_bytes(b"")
    monkeypatch.setenv("BACKCHANNEL_FLITE", "~/flite.wasm")
    assert flite_path() == home / "flite.wasm"
    options = MCPTools(command="~/bin/server", args=["~"], cwd="~/work")._link._open._options  # type: ignore[attr-defined]
    assert (options["command"], options["args"], options["cwd"]) == (f"{home}/bin/server", ["~"], home / "work")


@pytest.mark.parametrize("take", TAKERS)
def test_the_home_of_an_unknown_user_is_refused_in_words(home: Path, take: Callable[[str], Any]):
    with pytest.raises(InvalidInputError, match="home directory of this user is not known"):
        take(UNKNOWN)
    assert os.listdir(".") == []


@pytest.mark.parametrize("line", [["tasks", UNKNOWN], ["demo", "--out", UNKNOWN], ["demo", UNKNOWN]])
def test_the_command_line_says_so_in_one_sentence(home: Path, line: list[str], capsys: pytest.CaptureFixture[str]):
    assert main(line) == 1
    error = capsys.readouterr().err
    assert error.startswith("backchannel: '~no-such-user-here/place': the home directory")
    assert error.count("\n") == 1
