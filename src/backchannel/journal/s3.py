"""A journal in S3: numbered objects, each put only where there is none yet, so that a second writer is refused.

    <prefix>/00000001.jsonl        the first lines
    <prefix>/00000002.jsonl        what was appended next
    <prefix>/00000003.jsonl        after a compaction: everything that counts; the objects before it are deleted

A journal's lines begin with the newest object whose first line has the number 0.
"""

from __future__ import annotations

import atexit
import logging
import os
import re
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from ..errors import SessionConflictError, SessionDamagedError, SessionError, SessionStorageError
from .lines import Line, scan

if TYPE_CHECKING:
    import boto3
    from botocore.config import Config

__all__ = ["S3Store", "s3_client"]

logger = logging.getLogger(__name__)

_NAME = re.compile(r"\d{8}\.jsonl")
_BATCH_BYTES = 4_000_000
_READERS = 16
_DELETED_AT_ONCE = 1000
_LONGEST_WAIT_S = 8.0

EXIT_S = 2.0
"""How long the end of the interpreter waits for S3, all stores together, seconds."""

_exit_until: float | None = None


def s3_client(
    boto_session: boto3.Session | None = None,
    boto_client_config: Config | None = None,
    region_name: str | None = None,
) -> Any:
    """Return an S3 client whose calls end within seconds when S3 cannot be reached, unless configured otherwise."""
    import boto3
    from botocore.config import Config

    config = Config(connect_timeout=5, read_timeout=20, retries={"total_max_attempts": 2, "mode": "standard"})
    if boto_client_config is not None:
        config = config.merge(boto_client_config)
    session = boto_session or boto3.Session(region_name=region_name)
    return session.client("s3", config=config, region_name=region_name)


class S3Store:
    """Keeps a journal in the objects under one prefix.

    ``append`` only queues: a thread puts what is queued, in order, and tries again when S3 does not answer. What it
    could not put stays queued; the error is raised by the next ``append``, which takes nothing, or ``flush``. The end
    of the interpreter waits two seconds for what is queued; what S3 has not taken by then is lost, and logged.

    Args:
        client: A boto3 client for S3.
        bucket: The bucket's name.
        prefix: What the objects' keys begin with, without the "/" at its end.
        tries: How often one object is tried before that is an error.
        wait: Waits so many seconds between two tries.
    """

    def __init__(
        self,
        client: Any,
        bucket: str,
        prefix: str,
        *,
        tries: int = 6,
        wait: Callable[[float], object] | None = None,
    ) -> None:
        self._client = client
        self._bucket = bucket
        self._prefix = prefix.strip("/") + "/" if prefix.strip("/") else ""
        self._tries = tries
        self._wait = wait or threading.Event().wait
        self._changed = threading.Condition()
        self._queue: deque[tuple[bool, bytes]] = deque()
        self._failure: SessionError | None = None
        self._conflict = False
        self._working = False
        self._lines = 0
        self._first = 1
        self._last = 0
        self._process = os.getpid()
        _stores.add(self)

    @property
    def location(self) -> str:
        return f"s3://{self._bucket}/{self._prefix}"

    @property
    def lines(self) -> int:
        return self._lines

    @property
    def exclusive(self) -> bool:
        return False

    @property
    def parts(self) -> int:
        return self._last - self._first + 1

    def open(self) -> Sequence[Line]:
        for _ in range(3):
            numbers = self._numbers()
            found = self._read(numbers)
            if found is not None:
                self._last = numbers[-1] if numbers else 0
                self._lines = len(found)
                return found
        raise SessionConflictError(f"{self.location} is being rewritten by someone else; try again later")

    def acquire(self) -> None:
        self._alone()

    def append(self, line: bytes) -> None:
        self._take(False, line)
        self._lines += 1

    def replace(self, lines: bytes) -> None:
        self._take(True, lines)
        self._lines = lines.count(b"\n")

    def drain(self) -> None:
        with self._changed:
            self._start()
            self._changed.wait_for(lambda: not self._working, exit_left_s())

    def flush(self) -> None:
        self.drain()
        with self._changed:
            self._raise()
        self._alone()

    def release(self) -> None:
        pass

    def finish(self) -> bool:
        """The interpreter ends: put what is queued, if S3 answers in time. Whether something is left."""
        if self._process != os.getpid():
            return False  # A forked child: it is the parent's to put.
        self.drain()
        with self._changed:
            return bool(self._queue)

    def _take(self, replaces: bool, data: bytes) -> None:
        with self._changed:
            self._raise()
            self._queue.append((replaces, data))
            self._start()

    def _raise(self) -> None:
        if self._failure is not None:
            failure = self._failure
            if not self._conflict:
                self._failure = None
            raise failure

    def _start(self) -> None:
        if self._queue and not self._working and self._failure is None:
            # A daemon: the end of the interpreter waits for it, but no longer than `EXIT_S`.
            thread = threading.Thread(target=self._work, name="backchannel-s3-journal", daemon=True)
            self._working = True
            try:
                thread.start()
            except RuntimeError:  # The interpreter ends: what is left is put here, and tried once.
                self._tries = 1
                self._work()

    def _work(self) -> None:
        """Put what is queued, until nothing is or it cannot be put."""
        while True:
            with self._changed:
                if not self._queue or self._failure is not None:
                    self._working = False
                    self._changed.notify_all()
                    return
                replaces, count, data = self._batch()
            failure = self._put_patiently(data)
            with self._changed:
                if failure is None:
                    for _ in range(count):
                        self._queue.popleft()
                    self._last += 1
                    self._first = self._last if replaces else self._first
                else:
                    self._failure = failure
                    self._conflict = isinstance(failure, SessionConflictError)
                    logger.error("%s", failure)
            if replaces and failure is None:
                self._delete_before(self._last)

    def _batch(self) -> tuple[bool, int, bytes]:
        replaces, data = self._queue[0]
        if replaces:
            return True, 1, data
        batch, length = [], 0
        for later, line in self._queue:
            if later or length > _BATCH_BYTES:
                break
            batch.append(line)
            length += len(line)
        return False, len(batch), b"".join(batch)

    def _put_patiently(self, data: bytes) -> SessionError | None:
        """Put the next object; return why it could not be."""
        for attempt in range(1, self._tries + 1):
            try:
                return self._put(self._last + 1, data)
            except Exception as error:  # noqa: BLE001 - boto3's errors have no common base
                if attempt == self._tries or not _may_pass(error):
                    failure = SessionStorageError(
                        f"{self.location} could not be written, tried {attempt} time(s): {error}. What was not written "
                        "is kept and tried again at the next change"
                    )
                    failure.__cause__ = error
                    return failure
                logger.warning("%s could not be written, will be tried again: %s", self.location, error)
            self._wait(min(0.2 * 2**attempt, _LONGEST_WAIT_S))
        return None

    def _put(self, number: int, data: bytes) -> SessionConflictError | None:
        key = self._key(number)
        try:
            self._client.put_object(
                Bucket=self._bucket, Key=key, Body=data, IfNoneMatch="*", ContentType="application/x-ndjson"
            )
        except self._client.exceptions.ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] != 412:
                raise
            # It may be our own: put before, with an answer that got lost.
            if self._get(number) == data:
                return None
            return self._written_by_someone_else()
        return None

    def _numbers(self, after: str = "") -> list[int]:
        """List the numbers of the objects whose names come after this one."""
        numbers: list[int] = []
        try:
            pages = self._client.get_paginator("list_objects_v2")
            for page in pages.paginate(Bucket=self._bucket, Prefix=self._prefix, StartAfter=self._prefix + after):
                names = (item["Key"].removeprefix(self._prefix) for item in page.get("Contents", ()))
                numbers += [int(name[:8]) for name in names if _NAME.fullmatch(name)]
        except Exception as error:
            raise SessionStorageError(f"{self.location} could not be listed: {error}. Allow it, then go on") from error
        return numbers

    def _alone(self) -> None:
        """Refuse to go on if there is anything but what this writer has read or put."""
        with self._changed:
            last, idle = self._last, not self._queue
        if idle and self._numbers(f"{last - 1:08}.jsonl" if last else "") != ([last] if last else []):
            raise self._written_by_someone_else()

    def _read(self, numbers: list[int]) -> list[Line] | None:
        """Read back to where the lines begin; None if objects went away meanwhile."""
        lines: list[Line] = []
        with ThreadPoolExecutor(_READERS, thread_name_prefix="backchannel-s3-reader") as readers:
            for end in range(len(numbers), 0, -_READERS):
                part = numbers[max(0, end - _READERS) : end]
                for number, data in reversed(list(zip(part, readers.map(self._get, part), strict=True))):
                    if data is None:
                        return None
                    found = scan(data, f"s3://{self._bucket}/{self._key(number)}", torn=False).lines
                    lines[:0] = found
                    if found and found[0].seq == 0:
                        self._first = number
                        return lines
        if lines:
            raise SessionDamagedError(
                f"{self.location} lacks its first objects: {self._key(numbers[0])} does not begin a journal. Nothing "
                "was changed. Restore them, or use another place"
            )
        self._first = 1
        return []

    def _get(self, number: int) -> bytes | None:
        try:
            data: bytes = self._client.get_object(Bucket=self._bucket, Key=self._key(number))["Body"].read()
        except self._client.exceptions.NoSuchKey:
            return None
        except Exception as error:
            raise SessionStorageError(f"{self.location} could not be read: {error}. Allow it, then go on") from error
        return data

    def _delete_before(self, number: int) -> None:
        try:
            keys = [self._key(older) for older in self._numbers() if older < number]
            for start in range(0, len(keys), _DELETED_AT_ONCE):
                objects = [{"Key": key} for key in keys[start : start + _DELETED_AT_ONCE]]
                self._client.delete_objects(Bucket=self._bucket, Delete={"Objects": objects, "Quiet": True})
        except Exception as error:  # noqa: BLE001 - what is left does no harm, and goes with the next compaction
            logger.warning("objects that are no longer needed could not be deleted: %s", error)

    def _key(self, number: int) -> str:
        return f"{self._prefix}{number:08}.jsonl"

    def _written_by_someone_else(self) -> SessionConflictError:
        return SessionConflictError(
            f"{self.location} was written by someone else since it was read here. Nothing of theirs was changed; make "
            "a new agent or manager, which reads it again"
        )


_stores: weakref.WeakSet[S3Store] = weakref.WeakSet()


def exit_left_s() -> float | None:
    """Return how long the end of the interpreter may still wait for S3, seconds; None before it."""
    return None if _exit_until is None else max(_exit_until - time.monotonic(), 0.0)


def begin_exit(wait_s: float = EXIT_S) -> None:
    """The interpreter ends: nothing here waits longer than this from now on."""
    global _exit_until
    _exit_until = time.monotonic() + wait_s if _exit_until is None else _exit_until


def _finish() -> None:
    begin_exit()
    for store in list(_stores):
        if store.finish():
            logger.error("%s did not take the last entries before the interpreter ended; they are lost", store.location)


def _may_pass(error: Exception) -> bool:
    """Whether trying again may help: S3 said nothing, was busy, or failed itself."""
    response = getattr(error, "response", None) or {}
    status = response.get("ResponseMetadata", {}).get("HTTPStatusCode", 500)
    return status in (408, 409, 429) or status >= 500


atexit.register(_finish)
