"""Journals in S3: outages, lost answers, other writers."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, EndpointConnectionError
from moto import mock_aws

from backchannel.errors import SessionConflictError, SessionDamagedError, SessionStorageError
from backchannel.journal import Journal, JournalFormat, S3Store, s3_client

NOTES = JournalFormat("notes")


class Bucket:
    """A bucket whose requests can be made to fail, by operation."""

    def __init__(self) -> None:
        self.client = s3_client(boto3.Session("id", "secret", region_name="us-east-1"))
        self.client.create_bucket(Bucket="bucket")
        self.failures: dict[str, Callable[[], Exception | None]] = {}
        self.requests: list[str] = []
        self.waits: list[float] = []

    def __getattr__(self, name: str) -> Any:
        operation = getattr(self.client, name)
        if name not in ("put_object", "get_object", "delete_objects", "get_paginator"):
            return operation

        def request(*arguments: Any, **options: Any) -> Any:
            self.requests.append(name)
            error = self.failures.get(name, lambda: None)()
            if error is not None:
                raise error
            return operation(*arguments, **options)

        return request

    def store(self, **options: Any) -> S3Store:
        return S3Store(self, "bucket", "p", wait=self.waits.append, **options)

    def journal(self, **options: Any) -> tuple[Journal, list[Any]]:
        journal = Journal(self.store(**options), NOTES)
        return journal, [entry["text"] for entry in journal.open()]

    def keys(self) -> list[str]:
        return [item["Key"] for item in self.client.list_objects_v2(Bucket="bucket").get("Contents", ())]


@pytest.fixture
def bucket() -> Iterator[Bucket]:
    with mock_aws():
        yield Bucket()


def note(text: Any) -> dict[str, Any]:
    return {"kind": "note", "text": text}


def unreachable() -> Exception:
    return EndpointConnectionError(endpoint_url="https://s3")


def answered(status: int, code: str) -> Exception:
    return ClientError({"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}, "PutObject")  # type: ignore[typeddict-item]


def failing(*errors: Exception) -> Callable[[], Exception | None]:
    rest = list(errors)
    return lambda: rest.pop(0) if rest else None


def texts(bucket: Bucket) -> list[Any]:
    journal, found = bucket.journal()
    journal.close()
    return found


def test_objects_are_numbered_and_hold_what_was_queued_meanwhile(bucket: Bucket) -> None:
    reached, go_on = threading.Event(), threading.Event()

    def hold() -> None:
        reached.set()
        assert go_on.wait(10)

    bucket.failures["put_object"] = hold  # type: ignore[assignment]
    journal, _ = bucket.journal()
    journal.append(note(0))
    assert reached.wait(10)
    for number in range(1, 500):
        journal.append(note(number))  # Not kept waiting by S3.
    go_on.set()
    journal.close()
    assert bucket.keys() in (
        ["p/00000001.jsonl", "p/00000002.jsonl"],
        ["p/00000001.jsonl", "p/00000002.jsonl", "p/00000003.jsonl"],
    )
    assert texts(bucket) == list(range(500))


def test_an_outage_is_waited_for_and_nothing_is_lost(bucket: Bucket, caplog: pytest.LogCaptureFixture) -> None:
    bucket.failures["put_object"] = failing(unreachable(), answered(503, "SlowDown"), answered(409, "Conditional"))
    journal, _ = bucket.journal()
    for number in range(20):
        journal.append(note(number))
    journal.close()
    assert bucket.waits == [0.4, 0.8, 1.6]
    assert caplog.text.count("will be tried again") == 3
    assert texts(bucket) == list(range(20))


def test_a_longer_outage_is_an_error_once_and_what_waits_is_sent_later(
    bucket: Bucket, caplog: pytest.LogCaptureFixture
) -> None:
    journal, _ = bucket.journal(tries=3)
    journal.append(note(1))
    journal.flush()
    bucket.failures["put_object"] = unreachable
    journal.append(note(2))
    with pytest.raises(SessionStorageError, match=r"s3://bucket/p/ could not be written, tried 3 time.*is kept"):
        journal.flush()
    assert "could not be written, tried 3 time" in caplog.text
    with pytest.raises(SessionStorageError):
        journal.flush()
    journal.append(note(3))
    with pytest.raises(SessionStorageError):
        journal.flush()
    bucket.failures.clear()
    journal.append(note(4))
    journal.close()
    assert texts(bucket) == [1, 2, 3, 4]


def test_an_append_after_a_failure_raises_and_takes_nothing(bucket: Bucket) -> None:
    store = bucket.store(tries=1)
    journal = Journal(store, NOTES)
    journal.open()
    journal.append(note(0))
    journal.flush()
    bucket.failures["put_object"] = failing(unreachable())
    journal.append(note(1))
    store.drain()
    with pytest.raises(SessionStorageError):
        journal.append(note("refused"))
    journal.append(note(2))
    journal.close()
    assert texts(bucket) == [0, 1, 2]


def test_what_will_not_pass_is_not_tried_again(bucket: Bucket) -> None:
    journal, _ = bucket.journal()
    bucket.failures["put_object"] = lambda: answered(403, "AccessDenied")
    with pytest.raises(SessionStorageError, match="tried 1 time"):
        journal.claim()
    assert bucket.waits == []
    assert bucket.requests.count("put_object") == 1


def test_an_answer_that_got_lost_is_no_conflict(bucket: Bucket) -> None:
    put = bucket.client.put_object

    class Lossy:
        exceptions = bucket.client.exceptions

        def __getattr__(self, name: str) -> Any:
            return getattr(bucket.client, name)

        def put_object(self, **options: Any) -> Any:
            put(**options)
            if options["Key"].endswith("1.jsonl") and not bucket.requests.count("lost"):
                bucket.requests.append("lost")
                raise unreachable()

    lossy = Journal(S3Store(Lossy(), "bucket", "p", wait=bucket.waits.append), NOTES)
    lossy.open()
    lossy.append(note(1))
    lossy.append(note(2))
    lossy.close()
    assert bucket.requests.count("lost") == 1
    assert texts(bucket) == [1, 2]


def test_of_two_writers_at_the_same_time_one_is_refused_for_good(bucket: Bucket) -> None:
    first, _ = bucket.journal()
    second, _ = bucket.journal()
    first.append(note("first"))
    first.flush()
    second.append(note("second"))
    for _ in range(2):
        with pytest.raises(SessionConflictError, match="written by someone else"):
            second.flush()
        with pytest.raises(SessionConflictError):
            second.append(note("second again"))
    first.append(note("still first"))
    first.close()
    assert texts(bucket) == ["first", "still first"]


def test_a_writer_whose_place_was_freed_by_a_compaction_notices_at_the_flush(bucket: Bucket) -> None:
    first, _ = bucket.journal()
    first.append(note(1))
    first.flush()
    second, _ = bucket.journal()
    second.append(note(2))
    second.flush()
    second.compact([note("all")])
    second.close()
    assert len(bucket.keys()) == 1  # Its number depends on how many entries the thread took at a time.
    first.append(note("into the gap"))
    with pytest.raises(SessionConflictError):
        first.flush()
    assert texts(bucket) == ["all"]


def test_only_what_counts_is_read_and_the_rest_is_deleted_later(
    bucket: Bucket, caplog: pytest.LogCaptureFixture
) -> None:
    journal, _ = bucket.journal()
    for number in range(40):
        journal.append(note(number))
        journal.flush()
    assert journal.parts == 40
    bucket.failures["delete_objects"] = lambda: answered(403, "AccessDenied")
    journal.compact([note("sum")])
    journal.append(note("after"))
    journal.close()
    assert "could not be deleted" in caplog.text
    assert len(bucket.keys()) == 42
    assert journal.parts == 2
    bucket.requests.clear()
    journal, found = bucket.journal()
    assert found == ["sum", "after"]
    assert bucket.requests.count("get_object") <= 16
    bucket.failures.clear()
    journal.compact([note("anew")])
    journal.close()
    assert bucket.keys() == ["p/00000043.jsonl"]


def test_many_objects_are_read_in_order(bucket: Bucket) -> None:
    journal, _ = bucket.journal()
    for number in range(70):
        journal.append(note(number))
        journal.flush()
    journal.close()
    assert texts(bucket) == list(range(70))


def test_a_missing_object_is_noticed(bucket: Bucket) -> None:
    journal, _ = bucket.journal()
    for number in range(5):
        journal.append(note(number))
        journal.flush()
    journal.close()
    bucket.client.delete_object(Bucket="bucket", Key="p/00000003.jsonl")
    with pytest.raises(
        SessionDamagedError, match=r"line 1 of s3://bucket/p/00000004\.jsonl has number \d where \d belongs"
    ):
        bucket.journal()
    bucket.client.delete_object(Bucket="bucket", Key="p/00000001.jsonl")
    with pytest.raises(SessionDamagedError, match="lacks its first objects"):
        bucket.journal()


def test_other_objects_under_the_prefix_are_left_alone(bucket: Bucket) -> None:
    for key in ("p/readme.txt", "p/00000001.jsonl.bak", "p2/00000001.jsonl", "p/x/00000009.jsonl"):
        bucket.client.put_object(Bucket="bucket", Key=key, Body=b"mine")
    journal, found = bucket.journal()
    assert found == []
    journal.append(note(1))
    journal.compact([note(2)])
    journal.close()
    assert texts(bucket) == [2]
    assert len(bucket.keys()) == 5


def test_an_object_that_goes_away_while_reading_is_looked_for_again(bucket: Bucket) -> None:
    journal, _ = bucket.journal()
    journal.append(note(1))
    journal.flush()

    def compact_meanwhile() -> None:
        bucket.failures.clear()
        journal.compact([note("all")])
        journal.flush()

    bucket.failures["get_object"] = compact_meanwhile  # type: ignore[assignment]
    assert texts(bucket) == ["all"]


def test_a_store_that_cannot_be_read_says_so(bucket: Bucket) -> None:
    journal, _ = bucket.journal()
    journal.append(note(1))
    journal.close()
    bucket.failures["get_object"] = unreachable
    with pytest.raises(SessionStorageError, match="could not be read"):
        bucket.journal()
    bucket.failures = {"get_paginator": unreachable}
    with pytest.raises(SessionStorageError, match="could not be listed"):
        bucket.journal()


def test_the_users_settings_win() -> None:
    session = boto3.Session("id", "secret", region_name="us-east-1")
    client = s3_client(session, Config(read_timeout=99), "eu-north-1")
    assert client.meta.region_name == "eu-north-1"
    assert (client.meta.config.connect_timeout, client.meta.config.read_timeout) == (5, 99)


def test_a_process_that_ends_sends_what_is_queued() -> None:
    code = (
        "import threading, boto3\n"
        "from moto import mock_aws\n"
        "from backchannel.journal import Journal, JournalFormat, S3Store, s3_client\n"
        "mock = mock_aws(); mock.start()\n"
        "client = s3_client(boto3.Session('id', 'secret', region_name='us-east-1'))\n"
        "client.create_bucket(Bucket='bucket')\n"
        "put = client.put_object\n"
        "main = threading.main_thread()\n"
        "def late(**options):\n"
        "    main.join(0.2)\n"
        "    put(**options)\n"
        "    print(options['Key'], flush=True)\n"
        "client.put_object = late\n"
        "journal = Journal(S3Store(client, 'bucket', 'p'), JournalFormat('notes'))\n"
        "journal.open()\n"
        "journal.append({'kind': 'note', 'text': 1})\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["p/00000001.jsonl"]


HANGING = """
import sys, threading, time, types
class Client:
    exceptions = types.SimpleNamespace(ClientError=OSError, NoSuchKey=KeyError)
    def __init__(self):
        self.keys = []
    def get_paginator(self, name):
        return types.SimpleNamespace(paginate=lambda **_: [{'Contents': [{'Key': key} for key in self.keys]}])
    def put_object(self, Key, **_):
        if self.keys:
            threading.Event().wait(60)
        self.keys.append(Key)
"""


@pytest.mark.parametrize(
    "use",
    [
        "from backchannel.journal import *\n"
        "j = Journal(S3Store(Client(), 'b', 'p'), JournalFormat('notes')); j.open()\n"
        "j.append({'kind': 'note', 'text': 1}); j.flush(); j.append({'kind': 'note', 'text': 2})",
        "from backchannel import AsyncToolManager; from backchannel.journal import S3Store\n"
        "for name in 'abc':\n"
        "    m = AsyncToolManager(ledger=S3Store(Client(), 'b', name)); m.task(m.submit('f', lambda: 1)).result(5)\n"
        "    globals()[name] = m",
        "from backchannel import AsyncToolManager; from backchannel.journal import S3Store\n"
        "m = AsyncToolManager(ledger=S3Store(Client(), 'b', 'p')); m.submit('f', lambda: threading.Event().wait(60))",
    ],
    ids=["journal", "three managers", "a body that hangs too"],
)
def test_an_s3_that_does_not_answer_holds_up_no_exit(use: str) -> None:
    code = HANGING + use + "\ntime.sleep(0.2); print('end', flush=True)\n"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"end\n"
        began = time.monotonic()
        process.wait(20)
        took = time.monotonic() - began
    assert process.returncode == 0
    assert took < 4.5  # Two seconds, one more for the ledger where a body hangs, and the end of an interpreter.
