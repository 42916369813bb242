"""What every journal does, wherever it is kept: the same scenarios for a file and for S3."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws

from backchannel.errors import (
    InvalidInputError,
    SessionConflictError,
    SessionDamagedError,
    SessionError,
    SessionVersionError,
)
from backchannel.journal import Entry, FileStore, Journal, JournalFormat, S3Store, Store, s3_client

NOTES = JournalFormat("notes")


class Files:
    """Journals in one file."""

    name = "file"

    def __init__(self, directory: Path) -> None:
        self.path = directory / "new" / "notes.jsonl"

    def store(self) -> Store:
        return FileStore(self.path)

    def data(self) -> bytes:
        return self.path.read_bytes()

    def damage(self, old: bytes, new: bytes) -> None:
        assert old in self.data()
        self.path.write_bytes(self.data().replace(old, new, 1))

    def remove(self) -> None:
        self.path.unlink()


class Objects:
    """Journals in objects under one prefix."""

    name = "s3"

    def __init__(self, directory: Path) -> None:
        self.session = boto3.Session("id", "secret", region_name="eu-central-1")
        self.client = s3_client(self.session)
        self.client.create_bucket(Bucket="bucket", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})

    def store(self) -> Store:
        return S3Store(self.client, "bucket", "notes/ü", wait=lambda _: None)

    def keys(self) -> list[str]:
        return [item["Key"] for item in self.client.list_objects_v2(Bucket="bucket").get("Contents", ())]

    def data(self) -> bytes:
        return b"".join(self.client.get_object(Bucket="bucket", Key=key)["Body"].read() for key in self.keys())

    def damage(self, old: bytes, new: bytes) -> None:
        for key in self.keys():
            body = self.client.get_object(Bucket="bucket", Key=key)["Body"].read()
            if old in body:
                self.client.put_object(Bucket="bucket", Key=key, Body=body.replace(old, new, 1))
                return
        raise AssertionError(f"{old!r} is nowhere")

    def remove(self) -> None:
        for key in self.keys():
            self.client.delete_object(Bucket="bucket", Key=key)


@pytest.fixture(params=[Files, Objects], ids=lambda kind: kind.name)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    with mock_aws():
        yield request.param(tmp_path)


def note(text: Any) -> Entry:
    return {"kind": "note", "text": text}


def opened(place: Any, format: JournalFormat = NOTES) -> tuple[Journal, list[Entry]]:
    journal = Journal(place.store(), format)
    return journal, journal.open()


def written(place: Any, *texts: Any) -> None:
    journal, _ = opened(place)
    with journal:
        for text in texts:
            journal.append(note(text))


def texts(place: Any) -> list[Any]:
    journal, entries = opened(place)
    journal.close()
    return [entry["text"] for entry in entries]


def test_a_new_journal_has_no_entries(place: Any) -> None:
    assert texts(place) == []
    assert texts(place) == []


def test_what_was_appended_is_there_in_order(place: Any) -> None:
    written(place, *range(300))
    written(place, "one more")
    written(place)
    assert texts(place) == [*range(300), "one more"]


def test_any_json_and_bytes_come_back(place: Any) -> None:
    values = [
        "line\nbreak \u2028 \x00 \ud800 日本語 \U0001f600",
        b"\x00\xff",
        {"$bytes": "not bytes"},
        {"$dict": {"$float": "x"}},
        [None, True, 1.5, 10**1000, -0.0],
        {"": {"a": []}},
        "x" * 200_000,
        float("inf"),
    ]
    written(place, *values)
    assert texts(place) == values


def test_not_a_number_comes_back(place: Any) -> None:
    written(place, float("nan"))
    assert [str(value) for value in texts(place)] == ["nan"]


def deep(levels: int) -> Any:
    value: Any = 0
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    "entry",
    [
        {},
        {"kind": ""},
        {"kind": 3},
        {"kind": "journal.opened"},
        note(object()),
        note({1, 2}),
        note({("a", "b"): 1}),
        note(deep(500)),
        note(10**5000),
    ],
)
def test_what_cannot_be_an_entry_is_refused_and_nothing_is_written(place: Any, entry: Entry) -> None:
    journal, _ = opened(place)
    with pytest.raises(InvalidInputError):
        journal.append(entry)
    journal.close()
    assert place.data() == b"" if place.name == "file" else place.keys() == []
    written(place, 1)
    assert texts(place) == [1]


def test_a_change_is_noticed_wherever_it_is(place: Any) -> None:
    written(place, "first", "second", "third")
    whole = place.data()
    for old, new in [(b"first", b"fi.st"), (b"third", b"thi\nd"), (b'"seq":2', b'"seq":3'), (b'"sum"', b'"sun"')]:
        place.damage(old, new)
        with pytest.raises(SessionDamagedError, match=r"line \d of .*(jsonl|/) is damaged.*keep its first \d line"):
            opened(place)
        place.damage(new, old)
    assert place.data() == whole
    assert texts(place) == ["first", "second", "third"]


def test_a_missing_line_is_noticed(place: Any) -> None:
    written(place, "first", "second", "third")
    line = next(line for line in place.data().splitlines(keepends=True) if b"second" in line)
    place.damage(line, b"")
    with pytest.raises(SessionDamagedError, match="has number 3 where 2 belongs"):
        opened(place)
    place.damage(place.data().splitlines(keepends=True)[0], b"")
    with pytest.raises(SessionDamagedError):
        opened(place)


def test_a_doubled_line_is_noticed(place: Any) -> None:
    written(place, "first", "second")
    line = next(line for line in place.data().splitlines(keepends=True) if b"first" in line)
    place.damage(line, line + line)
    with pytest.raises(SessionDamagedError, match="has number 1 where 2 belongs"):
        opened(place)


def test_two_journals_one_after_the_other_are_no_conflict(place: Any) -> None:
    first, _ = opened(place)
    first.append(note(1))
    first.release()
    first.append(note(2))
    first.close()
    assert texts(place) == [1, 2]


def test_who_has_an_old_view_cannot_write(place: Any) -> None:
    first, _ = opened(place)
    first.append(note("first"))
    first.release()
    written(place, "second")
    with pytest.raises(SessionConflictError, match="since it was read here"):
        first.append(note("lost"))
    with pytest.raises(SessionConflictError):
        first.claim()
    first.close()
    assert texts(place) == ["first", "second"]


def test_who_claims_a_journal_is_seen_by_others_at_once(place: Any) -> None:
    written(place, 1)
    first, _ = opened(place)
    first.release()
    second, _ = opened(place)
    second.release()
    first.claim()
    with pytest.raises(SessionConflictError):
        second.claim()
    first.append(note(2))
    first.close()
    second.close()
    assert texts(place) == [1, 2]


def test_who_has_an_old_view_cannot_write_after_a_compaction_either(place: Any) -> None:
    written(place, *range(5))
    first, _ = opened(place)
    first.release()
    second, _ = opened(place)
    second.append(note("x"))
    second.compact([note("all")])
    second.close()
    with pytest.raises(SessionConflictError):
        first.append(note("lost"))
    first.close()
    assert texts(place) == ["all"]


def test_a_journal_that_was_removed_is_not_begun_anew_by_who_had_read_it(place: Any) -> None:
    journal, _ = opened(place)
    journal.append(note(1))
    journal.release()
    place.remove()
    with pytest.raises(SessionConflictError):
        journal.append(note(2))
    journal.close()
    assert texts(place) == []


def test_a_compaction_keeps_what_it_was_given_and_goes_on(place: Any) -> None:
    journal, _ = opened(place)
    for number in range(100):
        journal.append(note(number))
    journal.compact([note("sum")])
    assert journal.count == 2
    journal.append(note("after"))
    journal.flush()
    assert journal.parts <= 2
    assert b'"text":50}' not in place.data()
    journal.close()
    assert texts(place) == ["sum", "after"]
    journal, entries = opened(place)
    journal.compact([])
    journal.close()
    assert len(entries) == 2
    assert texts(place) == []


def test_a_compaction_that_cannot_be_written_changes_nothing(place: Any) -> None:
    journal, _ = opened(place)
    journal.append(note(1))
    with pytest.raises(InvalidInputError):
        journal.compact([note("new"), note(object())])
    journal.append(note(2))
    journal.close()
    assert texts(place) == [1, 2]


def test_another_format_is_refused(place: Any) -> None:
    written(place, 1)
    with pytest.raises(SessionDamagedError, match="is of a notes journal, not of a ledger journal"):
        opened(place, JournalFormat("ledger"))
    assert texts(place) == [1]


def test_a_newer_version_is_refused_and_left_alone(place: Any) -> None:
    journal, _ = opened(place, JournalFormat("notes", 3))
    journal.append(note(1))
    journal.close()
    before = place.data()
    with pytest.raises(SessionVersionError, match=r"newer version of Backchannel \(notes 3.*Upgrade"):
        opened(place)
    assert place.data() == before


def test_older_versions_are_migrated_and_rewritten_before_anything_is_appended(place: Any) -> None:
    written(place, "a", "b")

    def twice(entries: list[Entry]) -> list[Entry]:
        return [{**entry, "text": entry["text"] * 2} for entry in entries]

    third = JournalFormat("notes", 3, {1: twice, 2: twice})
    journal, entries = opened(place, third)
    assert [entry["text"] for entry in entries] == ["aaaa", "bbbb"]
    with pytest.raises(SessionError, match="compact it before appending"):
        journal.append(note("c"))
    journal.compact(entries)
    journal.append(note("c"))
    journal.close()
    journal, entries = opened(place, third)
    journal.close()
    assert [entry["text"] for entry in entries] == ["aaaa", "bbbb", "c"]
    assert not journal.outdated
    with pytest.raises(SessionVersionError):
        opened(place)


def test_a_version_without_a_way_to_this_one_is_refused(place: Any) -> None:
    written(place, 1)
    with pytest.raises(SessionVersionError, match="version in between"):
        opened(place, JournalFormat("notes", 2))
    assert texts(place) == [1]


def test_a_journal_that_is_closed_or_not_open_says_so(place: Any) -> None:
    journal = Journal(place.store(), NOTES)
    with pytest.raises(SessionError, match="not open"):
        journal.append(note(1))
    journal.open()
    with pytest.raises(SessionError, match="open already"):
        journal.open()
    journal.close()
    journal.close()
    journal.flush()
    with pytest.raises(SessionError, match="closed"):
        journal.append(note(1))


def test_threads_may_append_and_flush_at_the_same_time(place: Any) -> None:
    journal, _ = opened(place)
    failures: list[BaseException] = []

    def work(name: int) -> None:
        try:
            for number in range(25):
                journal.append(note([name, number]))
                if number % 10 == 0:
                    journal.flush()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(name,)) for name in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    journal.close()
    assert failures == []
    found = texts(place)
    assert len(found) == 200
    assert all([number for name, number in found if name == thread] == list(range(25)) for thread in range(8))
