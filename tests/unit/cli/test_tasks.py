"""backchannel tasks: a ledger is listed and followed, and what is wrong with it is said in words."""

from __future__ import annotations

import argparse
import io
import json
import os
import subprocess
import sys
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given
from rich.console import Console

from backchannel.cli import main, tasks
from backchannel.cli.ledger_source import LedgerSource
from backchannel.cli.task_rows import STATUSES, TaskRow, chosen, counted, row_of, shown
from backchannel.cli.task_table import TaskTable, line_of
from backchannel.errors import SessionDamagedError
from backchannel.journal import FileStore, Journal, JournalFormat
from backchannel.tasks.ledger_state import FORMAT, TaskRecord

NOW = 1_795_000_000.0


class Ledger:
    """Writes a ledger as a manager does."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.journal = Journal(FileStore(path), FORMAT)
        self.journal.open()

    def created(self, number: int, label: str = "train sales", **more: Any) -> str:
        task_id = f"{number:08x}"
        self.journal.append(
            {"kind": "task.created", "id": task_id, "number": number, "tool": "train", "label": label, "at": NOW}
            | {"where": {"kind": "thread"}, "owned": True, "announce": "when_free", **more}
        )
        return task_id

    def running(self, number: int, done: float | None = None, total: float | None = None, **more: Any) -> str:
        task_id = self.created(number, **more)
        self.journal.append({"kind": "task.started", "id": task_id, "at": NOW})
        if done is not None:
            moved = {"done": done, "total": total, "message": "epochs"}
            self.journal.append({"kind": "task.progressed", "id": task_id, **moved})
        return task_id

    def ended(self, number: int, status: str = "done", text: str = "it is 4 %", **more: Any) -> str:
        task_id = self.running(number)
        self.end(task_id, status, text, **more)
        return task_id

    def end(self, task_id: str, status: str = "done", text: str = "it is 4 %", **more: Any) -> None:
        entry = {"kind": "task.ended", "id": task_id, "at": NOW + 20, "status": status, "elapsed": 19.5, "text": text}
        self.journal.append({**entry, "owned": True, "told": False, **more})


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    made = Ledger(tmp_path / "tasks.jsonl")
    yield made
    made.journal.close()


def run(*arguments: object) -> int:
    return main(["tasks", *map(str, arguments)])


def follow(source: Path | str, steps: list[Callable[[], object]], *, as_json: bool = False) -> int:
    """Follow a ledger; between two looks one of the steps happens, and after the last Ctrl-C is pressed."""
    left = iter(steps)

    def wait(seconds: float) -> None:
        assert seconds > 0
        step = next(left, None)
        if step is None:
            raise KeyboardInterrupt
        step()

    options = argparse.Namespace(ledger=str(source), follow=True, json=as_json, status=None)
    return tasks.main(options, wait=wait, now=lambda: NOW + 5)


def drawn(table: TaskTable, width: int, height: int = 25) -> list[str]:
    out = io.StringIO()
    console = Console(file=out, width=width, height=height, force_terminal=True, color_system=None, highlight=False)
    console.print(table)
    return out.getvalue().splitlines()


def test_in_a_pipe_each_task_is_a_line_of_fields(ledger: Ledger, capsys: pytest.CaptureFixture[str]) -> None:
    ledger.ended(1, told=True)
    ledger.ended(2, "failed", error_type="ValueError", error="no such\ndataset")
    ledger.running(3, 7, 20)
    ledger.created(4, announce="never")
    assert run(ledger.path) == 0
    lines = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert lines[0] == ["1", "done", "100%", "19.5", "told", "train sales", "it is 4 %"]
    assert lines[1] == ["2", "failed", "", "19.5", "to be told", "train sales", "ValueError: no such dataset"]
    assert [lines[2][at] for at in (0, 1, 2, 4, 5, 6)] == ["3", "running", "35%", "to be told", "train sales", "epochs"]
    assert lines[3] == ["4", "waiting", "", "", "", "train sales", ""]


def test_json_has_all_of_it_as_it_was_written(ledger: Ledger, capsys: pytest.CaptureFixture[str]) -> None:
    ledger.ended(1, text="one\n\x1b[31mtwo", told=True)
    ledger.running(2, arguments={"rate": float("nan"), "data": b"x"})
    assert run(ledger.path, "--json") == 0
    first, second = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert (first["text"], first["told"], first["owed"], first["elapsed_s"]) == ("one\n\x1b[31mtwo", True, False, 19.5)
    assert second["arguments"] == {"rate": {"$float": "nan"}, "data": {"$bytes": "eA=="}}
    assert (second["status"], second["finished"]) == ("running", None)


def test_only_tasks_of_some_statuses(ledger: Ledger, capsys: pytest.CaptureFixture[str]) -> None:
    for number, status in enumerate(("done", "failed", "timed_out", "done"), 1):
        ledger.ended(number, status)
    assert run(ledger.path, "--status", "failed", "--status", "timed_out") == 0
    assert [line.split("\t")[0] for line in capsys.readouterr().out.splitlines()] == ["2", "3"]
    with pytest.raises(SystemExit) as ended:
        run(ledger.path, "--status", "odd")
    assert ended.value.code == 2


def test_a_ledger_without_tasks_is_no_error(ledger: Ledger, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(ledger.path) == run(ledger.path, "--json") == 0
    assert capsys.readouterr().out == ""
    assert drawn(TaskTable("tasks.jsonl", []), 60) == ["No tasks in tasks.jsonl."]
    ledger.path.with_name("empty").write_bytes(b"")
    assert run(ledger.path.with_name("empty")) == 0


def test_what_cannot_be_listed_is_said_in_words(
    tmp_path: Path, ledger: Ledger, capsys: pytest.CaptureFixture[str]
) -> None:
    notes, session, damaged = tmp_path / "notes.txt", tmp_path / "session.jsonl", tmp_path / "damaged.jsonl"
    notes.write_text("1,2,3\n")
    with Journal(FileStore(session), JournalFormat("session")) as other:
        other.open()
        other.append({"kind": "message"})
    ledger.ended(1)
    ledger.ended(2)
    damaged.write_bytes(ledger.path.read_bytes().replace(b"it is 4 %", b"it is 5 %", 1))
    for place, words in (
        (tmp_path / "nowhere.jsonl", "There is no ledger at"),
        (tmp_path, "cannot be read: Is a directory"),
        (notes, "is no ledger of tasks"),
        (session, "of a session journal"),
        (damaged, "is damaged"),
        ("s3://", "say s3://BUCKET/KEY"),
        ("s3://bucket", "say s3://BUCKET/KEY"),
    ):
        assert run(place) == 1
        said = capsys.readouterr()
        assert said.out == ""
        assert said.err.startswith("backchannel: ")
        assert words in said.err


def test_the_ledger_of_all_notebooks_is_listed_where_none_is_named(
    ledger: Ledger, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger.ended(1)
    monkeypatch.delenv("BACKCHANNEL_LEDGER", raising=False)
    assert run() == 1
    assert "name a ledger" in capsys.readouterr().err
    monkeypatch.setenv("BACKCHANNEL_LEDGER", str(ledger.path))
    assert run() == 0
    assert capsys.readouterr().out.startswith("1\tdone")


def test_a_last_line_that_is_being_written_is_left_for_later(
    ledger: Ledger, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    ledger.ended(1)
    torn = tmp_path / "torn.jsonl"
    torn.write_bytes(ledger.path.read_bytes()[:-15])
    assert run(torn) == 0
    assert capsys.readouterr().out.startswith("1\t")


def test_what_its_process_did_not_live_to_end_is_lost_but_not_what_waits_elsewhere(
    ledger: Ledger, capsys: pytest.CaptureFixture[str]
) -> None:
    ledger.running(1)
    ledger.created(2)
    ledger.journal.append({"kind": "task.deferred", "id": ledger.running(3), "poll": False})
    ledger.running(4, where={"kind": "dask"})
    again = ledger.ended(5, "lost", "", reason="its kernel ended")
    ledger.journal.append({"kind": "task.run_again", "id": again, "by": f"{4:08x}"})
    ledger.journal.close()
    # As a process leaves it that is no more.
    ledger.path.with_name(ledger.path.name + ".lock").write_text(str(2**31 - 1))
    assert run(ledger.path) == 0
    lines = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert [line[1] for line in lines] == ["lost", "lost", "waits outside", "running", "lost"]
    assert lines[4][6] == "run again as task 4; its kernel ended"


def test_following_prints_what_changes_and_ends_quietly(ledger: Ledger, capsys: pytest.CaptureFixture[str]) -> None:
    first = ledger.running(1)
    moved = {"kind": "task.progressed", "id": first, "done": 3, "total": 4, "message": "epochs"}
    steps: list[Callable[[], object]] = [
        lambda: ledger.journal.append(moved),
        lambda: ledger.end(first),
        lambda: None,
        lambda: ledger.journal.append({"kind": "task.told", "id": first}),
        lambda: ledger.created(2),
    ]
    assert follow(ledger.path, steps) == 0
    said = capsys.readouterr()
    assert said.err == ""
    fields = [line.split("\t") for line in said.out.splitlines()]
    assert [(line[0], line[1], line[4]) for line in fields] == [
        ("1", "running", "to be told"),
        ("1", "done", "to be told"),
        ("1", "done", "told"),
        ("2", "waiting", "to be told"),
    ]


def test_following_with_json_prints_progress_too(ledger: Ledger, capsys: pytest.CaptureFixture[str]) -> None:
    first = ledger.running(1)
    moved = {"kind": "task.progressed", "id": first, "done": 3, "total": 4, "message": "epochs"}
    assert follow(ledger.path, [lambda: ledger.journal.append(moved), lambda: None], as_json=True) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["fraction"] for line in lines] == [None, 0.75]


def test_a_ledger_that_is_not_there_yet_is_waited_for_and_may_be_begun_anew(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, made = tmp_path / "later" / "tasks.jsonl", list[Ledger]()

    def begin(number: int) -> None:
        made.append(Ledger(path))
        made[-1].ended(number)
        made[-1].journal.close()

    def compact() -> None:
        with Journal(FileStore(path), FORMAT) as journal:
            entries = journal.open()
            journal.compact([{**entry, "text": "shorter"} for entry in entries])

    assert follow(path, [lambda: None, lambda: begin(1), compact, path.unlink, lambda: begin(2)]) == 0
    said = capsys.readouterr()
    assert [line.split("\t")[0] for line in said.out.splitlines()] == ["1", "2"]
    assert said.err == f"backchannel: waiting for {path}\n"


def test_damage_ends_the_following_with_words(ledger: Ledger) -> None:
    ledger.ended(1)
    ledger.journal.close()

    def damage() -> None:
        with ledger.path.open("ab") as file:
            file.write(b"not a line of a ledger\n")

    with pytest.raises(SessionDamagedError, match="damaged"):
        follow(ledger.path, [damage])


def test_who_stops_to_read_is_no_error(ledger: Ledger) -> None:
    for number in range(1, 2000):
        ledger.created(number)
    command = [sys.executable, "-m", "backchannel.cli", "tasks", str(ledger.path)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, "PYTHONIOENCODING": "ascii"}
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline().startswith(b"1\t")
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0


def row(number: int, status: str = "done", **fields: Any) -> TaskRow:
    record = TaskRecord(f"{number:08x}", number, "train", "train [bold]sales[/bold]", status=status)  # type: ignore[arg-type]
    for name, value in fields.items():
        setattr(record, name, value)
    return row_of(record, NOW, alive=True, numbers={})


@pytest.mark.parametrize("width", [20, 39, 40, 63, 64, 79, 80, 99, 100, 200])
def test_the_table_fits_any_width_and_shows_text_as_text(width: int) -> None:
    rows = [row(1), row(2, "running", started=NOW, progress={"done": 3, "total": None}), row(1000, "timed_out")]
    lines = drawn(TaskTable("tasks.jsonl", rows), width)
    assert max(map(len, lines)) <= width
    assert [line.split()[0] for line in lines[1:4]] == ["1", "2", "1000"]
    if width == 200:
        assert "train [bold]sales[/bold]" in lines[1]
        assert "timed out" in lines[3]


def test_a_thousand_tasks_are_listed_and_on_a_screen_those_under_way_and_the_newest() -> None:
    rows = [row(number, "running" if number in (1, 500) else "done") for number in range(1, 1001)]
    assert len(drawn(TaskTable("t", rows), 100)) == 1002
    screen = drawn(TaskTable("t", rows, fits=True), 100, height=12)
    assert [line.split()[0] for line in screen[1:-1]] == ["1", "500", *map(str, range(996, 1001))]
    assert screen[-1] == "2 running, 998 done; 993 of them are not shown in t"
    assert counted(rows) == "2 running, 998 done"


@given(st.lists(st.sampled_from(STATUSES), max_size=30), st.integers(1, 40))
def test_what_fits_the_screen_is_in_order_and_begins_with_what_goes_on(statuses: list[str], room: int) -> None:
    rows = [row(number, status) for number, status in enumerate(statuses)]
    taken = chosen(rows, room)
    assert len(taken) == min(len(rows), room)
    assert [each.number for each in taken] == sorted(each.number for each in taken)
    under_way = [each for each in rows if each.status in ("running", "queued")]
    assert len([each for each in taken if each in under_way]) == min(len(under_way), room)


@given(st.text())
def test_no_text_commands_the_terminal(text: str) -> None:
    line = line_of(row(1, "done", label=text or "x", text=text, finished=NOW))
    assert "\n" not in line
    assert line.count("\t") == 6
    kinds = {unicodedata.category(character) for character in line.replace("\t", "")}
    assert not kinds & {"Cc", "Cf", "Cs", "Zl", "Zp"}
    assert shown(shown(text)) == shown(text)


def test_a_ledger_in_s3_is_read_now_and_then(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    boto3, moto = pytest.importorskip("boto3"), pytest.importorskip("moto")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION"):
        monkeypatch.setenv(name, "us-east-1")
    with moto.mock_aws():
        client = boto3.client("s3")
        client.create_bucket(Bucket="bucket")
        assert run("s3://bucket/runs/tasks") == 1
        assert "There is no ledger at s3://bucket/runs/tasks" in capsys.readouterr().err
        from backchannel.journal import S3Store

        with Journal(S3Store(client, "bucket", "runs/tasks"), FORMAT) as journal:
            journal.open()
            journal.append({"kind": "task.created", "id": "1", "number": 1, "tool": "train", "at": NOW})
            journal.flush()
            clock = [0.0]
            source = LedgerSource("s3://bucket/runs/tasks", clock=lambda: clock[0])
            assert source.read()
            journal.append({"kind": "task.started", "id": "1", "at": NOW})
            journal.flush()
            assert source.read()
            assert [record.status for record in source.tasks] == ["queued"]
            clock[0] += source.S3_EVERY_S
            assert source.read()
            assert [record.status for record in source.tasks] == ["running"]
        assert run("s3://bucket/runs/tasks/") == 0
        assert capsys.readouterr().out.startswith("1\trunning")
