"""What every task ledger does, wherever it is kept: the same scenarios for a file and for S3."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from moto import mock_aws

from backchannel.errors import SessionConflictError, SessionDamagedError, SessionVersionError
from backchannel.journal import FileStore, S3Store, Store, s3_client
from backchannel.tasks import AsyncToolManager, Ledger, async_tool
from backchannel.tasks import ledger as ledger_module
from backchannel.tasks.ledger_state import LedgerState


class Files:
    name = "file"

    def __init__(self, directory: Path) -> None:
        self.path = directory / "new" / "tasks.jsonl"

    def store(self) -> Store:
        return FileStore(self.path)

    def data(self) -> bytes:
        return self.path.read_bytes() if self.path.exists() else b""

    def damage(self, old: bytes, new: bytes) -> None:
        self.path.write_bytes(self.data().replace(old, new, 1))


class Objects:
    name = "s3"

    def __init__(self, directory: Path) -> None:
        self.client = s3_client(boto3.Session("id", "secret", region_name="eu-central-1"))
        self.client.create_bucket(Bucket="bucket", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})

    def store(self) -> Store:
        return S3Store(self.client, "bucket", "tasks/ü", wait=lambda _: None)

    def _keys(self) -> list[str]:
        return [item["Key"] for item in self.client.list_objects_v2(Bucket="bucket").get("Contents", ())]

    def data(self) -> bytes:
        return b"".join(self.client.get_object(Bucket="bucket", Key=key)["Body"].read() for key in self._keys())

    def damage(self, old: bytes, new: bytes) -> None:
        for key in self._keys():
            body = self.client.get_object(Bucket="bucket", Key=key)["Body"].read()
            self.client.put_object(Bucket="bucket", Key=key, Body=body.replace(old, new, 1))


Place = Files | Objects


@pytest.fixture(params=[Files, Objects], ids=lambda kind: kind.name)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    with mock_aws():
        yield request.param(tmp_path)


def manager_with(place: Place) -> AsyncToolManager:
    return AsyncToolManager(ledger=place.store())


def kill(manager: AsyncToolManager) -> None:
    """As if its process had been killed, when all that was taken is sent."""
    assert manager.ledger is not None
    manager.ledger.close()


def test_a_restart_finds_everything(place: Place) -> None:
    go = threading.Event()
    first = manager_with(place)
    owner = object()
    done = first.start("add", lambda a: {"sum": a}, {"a": 1}, owner=owner)
    done.result(10)
    told = first.start("add", lambda a: a, {"a": 2}, owner=owner)
    told.result(10)
    told.delivered = True
    first.start("fail", lambda: [][1], {}, owner=owner).wait(10)
    first.start("wait", lambda: go.wait(20), {}, owner=owner)
    token = first.defer("approve", {"invoice": "ü"}, owner=owner).token
    kill(first)
    go.set()

    second = manager_with(place)
    assert [task.status for task in second.tasks] == ["done", "done", "failed", "lost", "running"]
    claimed = second.claim_restored(object())
    assert [task.number for task in claimed] == [1, 3, 4, 5]
    assert claimed[0].value == {"sum": 1}
    assert second.resolve(token, "yes")
    assert second.start("add", lambda: 1, {}).number == 6
    second.shutdown()
    third = manager_with(place)
    assert [task.status for task in third.tasks] == ["done", "done", "failed", "lost", "done", "done"]
    assert third.tasks[4].value == "yes"
    kill(third)


def test_nothing_secret_is_in_it(place: Place) -> None:
    with manager_with(place) as manager:

        @async_tool(manager)
        def login(user: str, password: str) -> str:
            """Log in."""
            return f"token=abcdefgh12345678 {password}"

        login("ann", "correct horse").wait(10)
        waiting = manager.defer("approve")
        token = waiting.token
        manager.resolve(token, 1)
    text = place.data().decode()
    assert "login" in text
    for secret in ("correct horse", "abcdefgh12345678", token):
        assert secret not in text


def test_a_second_manager_is_refused_or_noticed(place: Place) -> None:
    first = manager_with(place)
    first.start("add", lambda: 1, {}).result(10)
    assert first.ledger is not None
    first.ledger.flush()
    if isinstance(place, Files):
        with pytest.raises(SessionConflictError, match="in use in this process"):
            manager_with(place)
        first.shutdown()
        return
    second = manager_with(place)
    second.start("add", lambda: 2, {}).result(10)
    kill(second)
    # The first is not the writer any more: its tasks go on, and it says so.
    assert first.start("add", lambda: 3, {}).result(10) == 3
    first.ledger.flush()
    assert isinstance(first.ledger.failure, SessionConflictError)
    kill(first)
    third = manager_with(place)
    assert [task.value for task in third.tasks] == [1, 2]
    kill(third)


def test_a_damaged_ledger_is_refused_and_left_alone(place: Place) -> None:
    with manager_with(place) as first:
        first.start("add", lambda: 1, {}).result(10)
    place.damage(b'"number":1', b'"number":2')
    before = place.data()
    with pytest.raises(SessionDamagedError, match="damaged"):
        manager_with(place)
    assert place.data() == before


def test_one_of_a_newer_version_is_refused(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    from backchannel.journal import JournalFormat

    monkeypatch.setattr(ledger_module, "FORMAT", JournalFormat("tasks", 2))
    with manager_with(place) as first:
        first.start("add", lambda: 1, {}).result(10)
    monkeypatch.undo()
    before = place.data()
    with pytest.raises(SessionVersionError, match="newer version"):
        manager_with(place)
    assert place.data() == before


def test_it_is_compacted_when_most_of_it_is_told(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_module, "_SPARE_LINES", 10)
    prune = LedgerState.prune
    monkeypatch.setattr(LedgerState, "prune", lambda state: prune(state, 5))
    monkeypatch.setattr(ledger_module, "KEPT", 5)
    manager = manager_with(place)
    owner = object()
    owed = manager.start("add", lambda: 1, {}, owner=owner)
    owed.result(10)
    token = manager.defer("approve").token
    for _ in range(30):
        task = manager.start("add", lambda: 1, {}, owner=owner)
        task.result(10)
        task.delivered = True
    assert manager.ledger is not None
    manager.ledger.flush()
    before = len(place.data())
    manager.ledger._tend()
    manager.ledger.flush()
    assert len(place.data()) < before / 2
    assert manager.start("add", lambda: 2, {}).result(10) == 2
    kill(manager)
    second = manager_with(place)
    assert second.task_by_token(token) is not None
    assert [task.number for task in second.tasks] == [1, 2, *range(28, 34)]
    assert [task.number for task in second.claim_restored(owner)] == [1]
    assert second.start("add", lambda: 2, {}).number == 34
    kill(second)


def test_many_threads_write_in_an_order_that_folds(place: Place) -> None:
    manager = AsyncToolManager(8, ledger=place.store())

    def submit() -> None:
        for _ in range(20):
            manager.submit("add", lambda: 1)

    threads = [threading.Thread(target=submit) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    manager.shutdown()
    seen: dict[str, list[str]] = {}
    for line in place.data().splitlines():
        entry = json.loads(line)["entry"]
        if "id" in entry:
            seen.setdefault(entry["id"], []).append(entry["kind"])
    assert len(seen) == 100
    assert all(kinds == ["task.created", "task.started", "task.ended"] for kinds in seen.values())
    second = manager_with(place)
    assert sorted(task.number for task in second.tasks) == list(range(1, 101))
    kill(second)


def test_times_are_those_of_the_wall(place: Place) -> None:
    now = [1_000_000.0]
    with AsyncToolManager(ledger=Ledger(place.store(), now=lambda: now[0])) as first:
        first.start("add", lambda: 1, {}).result(10)
    now[0] += 500
    second = AsyncToolManager(ledger=Ledger(place.store(), now=lambda: now[0]))
    task = second.tasks[0]
    assert 499 < second.clock() - task.created < 510
    assert task.elapsed < 5
    kill(second)


def test_a_time_out_that_came_meanwhile_ends_a_deferred_task(place: Place) -> None:
    now = [1_000_000.0]
    first = AsyncToolManager(ledger=Ledger(place.store(), now=lambda: now[0]))
    first.defer("approve", timeout=60)
    first.defer("approve", timeout=6000)
    kill(first)
    now[0] += 500
    second = AsyncToolManager(ledger=Ledger(place.store(), now=lambda: now[0]))
    over, open_still = second.tasks
    assert over.wait(10)
    assert over.status == "timed_out"
    assert not open_still.done()
    kill(second)


def test_when_no_thread_can_be_had_what_is_left_is_written_at_once(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    manager = manager_with(place)
    task = manager.defer("approve")
    assert manager.ledger is not None
    manager.ledger.flush()

    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't create new thread at interpreter shutdown")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        manager.resolve(task, 5)
        manager.ledger.close()
    assert manager.ledger.failure is None
    second = manager_with(place)
    assert second.tasks[0].value == 5
    kill(second)
