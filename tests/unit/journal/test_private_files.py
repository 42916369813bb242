"""Journals in files: for their owner only, in the home directory where that is meant, and nothing is thrown away."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

import pytest

from backchannel import AsyncToolManager, FileSessionManager
from backchannel.errors import BackchannelError
from backchannel.io import WavIO
from backchannel.journal import FileStore, Journal, JournalFormat
from backchannel.notebook.ledger_place import check_kind
from backchannel.tasks.ledger_reader import read_ledger

NOTES = JournalFormat("notes")

posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has other permissions, and no named pipes")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    where, elsewhere = tmp_path / "home", tmp_path / "elsewhere"
    where.mkdir()
    elsewhere.mkdir()
    monkeypatch.setenv("HOME", str(where))
    monkeypatch.setenv("USERPROFILE", str(where))
    monkeypatch.chdir(elsewhere)
    return where


def write(path: Path | str) -> None:
    with Journal(FileStore(path), NOTES) as journal:
        journal.open()
        journal.append({"kind": "note"})


def test_a_tilde_is_the_home_directory_everywhere(home: Path):
    write("~/notes.jsonl")
    AsyncToolManager(ledger="~/tasks.jsonl").shutdown()
    sessions = FileSessionManager("sales", "~/sessions")
    assert (home / "notes.jsonl").exists()
    assert read_ledger("~/tasks.jsonl").tasks == []
    assert sessions.storage_dir == home / "sessions"
    assert WavIO("~/in.wav", "~/out.wav")._in == home / "in.wav"
    assert os.listdir(".") == []


@posix
@pytest.mark.parametrize("mode", [0o644, 0o666, 0o640, 0o604])
def test_an_existing_file_is_closed_to_others(tmp_path: Path, mode: int):
    path = tmp_path / "notes.jsonl"
    write(path)
    path.chmod(mode)
    write(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("size", [1, 100, 5000])
def test_a_file_of_zeros_is_kept_aside(tmp_path: Path, size: int, caplog: pytest.LogCaptureFixture):
    path = tmp_path / "notes.jsonl"
    for _ in range(2):
        path.write_bytes(bytes(size))
        write(path)
        assert path.read_bytes().count(b"\n") == 2
    assert (tmp_path / "notes.jsonl.damaged").read_bytes() == bytes(size)
    assert (tmp_path / "notes.jsonl.damaged-2").read_bytes() == bytes(size)
    assert "held nothing but zeros; it is kept as" in caplog.text


@posix
def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    for read in (read_ledger, check_kind):
        with pytest.raises(BackchannelError, match="it is no file"):
            read(path)
