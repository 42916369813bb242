"""Journals in files: crashes, full disks, other processes."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from backchannel.errors import SessionConflictError, SessionDamagedError, SessionError, SessionStorageError
from backchannel.journal import FileStore, Journal, JournalFormat

NOTES = JournalFormat("notes")
WORDS = ["first", "zweite", "三"]


def opened(path: Path) -> tuple[Journal, list[Any]]:
    journal = Journal(FileStore(path), NOTES)
    return journal, [entry["text"] for entry in journal.open()]


def texts(path: Path) -> list[Any]:
    journal, found = opened(path)
    journal.close()
    return found


def written(path: Path, *values: Any) -> None:
    journal, _ = opened(path)
    with journal:
        for value in values:
            journal.append({"kind": "note", "text": value})


def python(code: str, *arguments: object, **options: Any) -> subprocess.Popen[str]:
    head = (
        "import os, sys\n"
        "from backchannel.journal import FileStore, Journal, JournalFormat\n"
        "journal = Journal(FileStore(sys.argv[1]), JournalFormat('notes'))\n"
    )
    command = [sys.executable, "-c", head + code, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)


def test_after_a_crash_at_any_byte_what_was_whole_is_there_and_it_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "j"
    written(path, *WORDS)
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        lines = whole[:length].count(b"\n") + (whole[length : length + 1] == b"\n")
        caplog.clear()
        journal, found = opened(path)
        assert found == WORDS[: max(0, lines - 1)]
        torn = length > 0 and not whole[:length].endswith(b"\n") and whole[length : length + 1] != b"\n"
        assert ("never finished" in caplog.text) == torn
        journal.append({"kind": "note", "text": "on"})
        journal.close()
        assert texts(path) == [*WORDS[: max(0, lines - 1)], "on"]


def test_a_process_that_is_killed_while_it_writes_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    path = tmp_path / "j"
    expected = 0
    for _ in range(5):
        process = python(
            "number = len(journal.open())\n"
            "while True:\n"
            "    journal.append({'kind': 'note', 'text': [number, 'x' * (number % 7000)]})\n"
            "    number += 1\n"
            "    print(number, flush=True)\n",
            path,
        )
        assert process.stdout is not None
        said = [process.stdout.readline() for _ in range(40)]
        process.send_signal(signal.SIGKILL)
        said += process.communicate()[0].splitlines(keepends=True)
        acknowledged = int([line for line in said if line.endswith("\n")][-1])
        found = texts(path)
        assert [number for number, _ in found] == list(range(len(found)))
        assert len(found) >= acknowledged > expected
        expected = len(found)


def test_a_second_process_is_refused_and_told_who_writes(tmp_path: Path) -> None:
    path = tmp_path / "j"
    process = python("journal.open(); print('open', flush=True); sys.stdin.read()", path, stdin=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == "open\n"
    try:
        with pytest.raises(SessionConflictError, match=rf"{path} is in use in process {process.pid}"):
            opened(path)
    finally:
        process.kill()
        process.communicate()
    assert texts(path) == []  # The lock has ended with its holder, and its file is still there.


def test_a_second_writer_in_this_process_is_refused(tmp_path: Path) -> None:
    journal, _ = opened(tmp_path / "j")
    with pytest.raises(SessionConflictError, match="in this process"):
        opened(tmp_path / "j")
    journal.close()
    assert texts(tmp_path / "j") == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_neither_writes_nor_holds_the_lock(tmp_path: Path) -> None:
    code = (
        "journal.open(); journal.append({'kind': 'note', 'text': 'parent'})\n"
        "if os.fork() == 0:\n"
        "    try:\n"
        "        journal.append({'kind': 'note', 'text': 'child'})\n"
        "    except Exception as error:\n"
        "        print(type(error).__name__, error, flush=True)\n"
        "    sys.stdin.read()\n"
        "    os._exit(0)\n"
        "os._exit(0)\n"
    )
    process = python(code, tmp_path / "j", stdin=subprocess.PIPE)
    assert process.stdout is not None
    assert "SessionError" in process.stdout.readline()
    process.wait()
    assert texts(tmp_path / "j") == ["parent"]
    assert process.communicate("")[0] == ""


def test_a_writer_that_ignored_the_lock_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "j"
    written(path, "first")
    for change in ("append", "truncate", "replace", "remove"):
        journal, _ = opened(path)
        before = path.read_bytes()
        if change == "append":
            path.write_bytes(before + b"x")
        elif change == "truncate":
            path.write_bytes(before[:-1])
        elif change == "replace":
            (tmp_path / "copy").write_bytes(before)
            os.replace(tmp_path / "copy", path)
        else:
            path.unlink()
        with pytest.raises(SessionConflictError):
            journal.append({"kind": "note", "text": 1})
        with pytest.raises(SessionConflictError):
            journal.flush()
        with pytest.raises(SessionConflictError):
            journal.compact([])
        with pytest.raises(SessionConflictError):
            journal.close()
        path.write_bytes(before)
    assert texts(path) == ["first"]


def test_another_file_of_the_same_size_is_noticed(tmp_path: Path) -> None:
    journal, _ = opened(tmp_path / "j")
    journal.append({"kind": "note", "text": "mine"})
    journal.release()
    size = (tmp_path / "j").stat().st_size
    (tmp_path / "j").unlink()
    written(tmp_path / "j", "else")
    assert (tmp_path / "j").stat().st_size == size
    with pytest.raises(SessionConflictError, match="written by someone else"):
        journal.append({"kind": "note", "text": "lost"})
    assert texts(tmp_path / "j") == ["else"]


@pytest.mark.skipif(sys.platform == "win32", reason="needs resource limits")
def test_a_full_disk_is_said_and_leaves_whole_lines(tmp_path: Path) -> None:
    code = (
        "import resource, signal\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "journal.open()\n"
        "journal.append({'kind': 'note', 'text': 'before'})\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 100000))\n"
        "for size in (5000, 5000):\n"
        "    try:\n"
        "        journal.append({'kind': 'note', 'text': 'x' * size})\n"
        "    except Exception as error:\n"
        "        print(type(error).__name__, error, os.path.getsize(sys.argv[1]) < 1000)\n"
        "try:\n"
        "    journal.compact([{'kind': 'note', 'text': 'x' * 5000}])\n"
        "except Exception as error:\n"
        "    print(type(error).__name__, error, os.listdir(os.path.dirname(sys.argv[1])))\n"
        "journal.append({'kind': 'note', 'text': 'small'})\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100000, 100000))\n"
        "journal.append({'kind': 'note', 'text': 'after'})\n"
        "journal.close()\n"
    )
    output, errors = python(code, tmp_path / "j").communicate()
    assert errors == ""
    lines = output.splitlines()
    assert len(lines) == 3
    assert all("SessionStorageError" in line and "File too large" in line for line in lines)
    assert lines[0].endswith("True")
    assert "j.new" not in lines[2]
    assert texts(tmp_path / "j") == ["before", "small", "after"]


def test_an_interrupted_write_is_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal, _ = opened(tmp_path / "j")
    journal.append({"kind": "note", "text": 1})
    write = os.write

    def half(descriptor: int, data: Any) -> int:
        write(descriptor, data[:10])
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", half)
        with pytest.raises(KeyboardInterrupt):
            journal.append({"kind": "note", "text": "lost"})
    journal.append({"kind": "note", "text": 2})
    journal.close()
    assert texts(tmp_path / "j") == [1, 2]


def test_writes_in_small_pieces_are_put_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write, read = os.write, os.read
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, bytes(data[:3])))
    monkeypatch.setattr(os, "read", lambda descriptor, length: read(descriptor, min(length, 5)))
    written(tmp_path / "j", *WORDS)
    assert texts(tmp_path / "j") == WORDS


def test_a_compaction_that_fails_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal, _ = opened(tmp_path / "j")
    journal.append({"kind": "note", "text": 1})

    def refuse(*_: Any) -> None:
        raise PermissionError(13, "Permission denied")

    for name in ("replace", "fsync"):
        with monkeypatch.context() as patch:
            patch.setattr(os, name, refuse)
            with pytest.raises(SessionStorageError, match="could not be rewritten: Permission denied"):
                journal.compact([{"kind": "note", "text": "new"}])
    journal.append({"kind": "note", "text": 2})
    journal.close()
    assert texts(tmp_path / "j") == [1, 2]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["j", "j.lock"]


@pytest.mark.skipif(sys.platform == "win32", reason="directories are not synchronised there")
def test_a_compaction_that_is_not_yet_safe_says_so_and_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal, _ = opened(tmp_path / "j")
    for number in range(10):
        journal.append({"kind": "note", "text": number})
    fsync = os.fsync

    def only_files(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(5, "Input/output error")
        fsync(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", only_files)
        with pytest.raises(SessionStorageError, match="Input/output error"):
            journal.compact([{"kind": "note", "text": "sum"}])
    journal.append({"kind": "note", "text": "after"})
    journal.close()
    assert texts(tmp_path / "j") == ["sum", "after"]


def test_a_crash_before_a_compaction_took_place_leaves_what_was_there(tmp_path: Path) -> None:
    written(tmp_path / "j", 1)
    (tmp_path / "j.new").write_bytes(b'{"sum":"half')
    journal, found = opened(tmp_path / "j")
    journal.compact([{"kind": "note", "text": value} for value in [*found, 2]])
    journal.close()
    assert texts(tmp_path / "j") == [1, 2]


def test_flushing_reaches_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(os.fstat(descriptor).st_ino))
    journal, _ = opened(tmp_path / "j")
    inode = (tmp_path / "j").stat().st_ino
    assert tmp_path.stat().st_ino in synced  # The file's name.
    journal.append({"kind": "note", "text": 1})
    assert inode not in synced
    journal.flush()
    assert inode in synced
    synced.clear()
    journal.close()
    assert inode in synced


@pytest.mark.skipif(sys.platform == "win32", reason="needs symbolic links")
def test_a_link_or_a_directory_in_its_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "target").write_text("precious")
    (tmp_path / "link").symlink_to(tmp_path / "target")
    (tmp_path / "directory").mkdir()
    os.mkfifo(tmp_path / "pipe")
    for name in ("link", "directory", "pipe"):
        with pytest.raises((SessionStorageError, SessionDamagedError), match=name):
            opened(tmp_path / name)
    assert (tmp_path / "target").read_text() == "precious"


def test_a_name_that_is_too_long_is_said(tmp_path: Path) -> None:
    with pytest.raises(SessionStorageError, match="could not be opened"):
        opened(tmp_path / ("x" * 300))


def test_the_working_directory_may_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    store = FileStore("j")
    (tmp_path / "other").mkdir()
    monkeypatch.chdir("other")
    Journal(store, NOTES).open()
    assert (tmp_path / "j").exists()


def test_a_journal_that_is_forgotten_gives_its_lock_back(tmp_path: Path) -> None:
    journal, _ = opened(tmp_path / "j")
    journal.append({"kind": "note", "text": 1})
    del journal
    assert texts(tmp_path / "j") == [1]


def test_two_writers_whose_lines_got_mixed_are_noticed(tmp_path: Path) -> None:
    path = tmp_path / "j"
    written(path, 1)
    both = path.read_bytes()
    path.unlink()
    written(path, 2)
    path.write_bytes(both + path.read_bytes())
    with pytest.raises(SessionError, match="lines are missing, doubled, or from elsewhere"):
        opened(path)
