"""Results: where a function that was called by an event leaves what it made."""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Mapping
from contextlib import closing
from typing import Any, Protocol

from ..errors import AWSError
from ..tasks import progress
from ..tools.text import cut, text_of
from .access import Access, explained
from .attributes import item_of

__all__ = ["DynamoDBResult", "Outcome", "ResultPlace", "S3Result", "SQSResult", "outcome_of", "token_in"]

_LONG_POLL_S = 5
_HIDDEN_S = 10
_KEPT = 1000


class Outcome:
    """What came of a call: a value, or what went wrong, for a place of results of one's own."""

    __slots__ = ("error", "value")

    def __init__(self, value: Any = None, error: str | None = None) -> None:
        self.value = value
        self.error = error


class ResultPlace(Protocol):
    """Where results are left; `DynamoDBResult`, `S3Result` and `SQSResult` are such places."""

    def expect(self, token: str) -> None:
        """A result under this token will come."""

    def forget(self, token: str) -> None:
        """Nobody waits for it any more."""

    def look(self, access: Access, token: str, field: str) -> Outcome | None:
        """Return it if it is there."""


class _Place:
    """A place with a client of its own, or the tool's access.

    Args:
        client: A boto3 client for the place, used as it is.
    """

    service = ""

    def __init__(self, client: Any = None) -> None:
        self._own = Access(self.service, client=client) if client is not None else None

    def expect(self, token: str) -> None:
        pass

    def forget(self, token: str) -> None:
        pass

    def _call(self, access: Access, method: str, about: str, **parameters: Any) -> Any:
        return (self._own or access).call(self.service, method, about, **parameters)


class DynamoDBResult(_Place):
    """Results in a DynamoDB table, one item for each task.

    The function puts an item with the task's id as key and an attribute ``result`` or ``error``; until then it may put
    ``done``, ``total`` and ``message``, which show as progress.

    Args:
        table: Name or ARN.
        key: Name of the key attribute, a string.
        client: A boto3 client for DynamoDB, if not the tool's access.
    """

    service = "dynamodb"

    def __init__(self, table: str, key: str = "id", *, client: Any = None) -> None:
        super().__init__(client)
        self._table = table
        self._key = key

    def look(self, access: Access, token: str, field: str) -> Outcome | None:
        found = self._call(
            access,
            "get_item",
            f"table {self._table}",
            TableName=self._table,
            Key={self._key: {"S": token}},
            ConsistentRead=True,
        )
        return outcome_of(item_of(found.get("Item", {})), field)


class S3Result(_Place):
    """Results in S3, one object ``<prefix><task id>.json`` for each task.

    The object's JSON is the result. An object of nothing but ``error`` says that there is none, one of nothing but
    ``done``, ``total`` and ``message`` is progress.

    Args:
        bucket: Name of the bucket.
        prefix: What the keys begin with.
        max_bytes: Largest object that is read.
        client: A boto3 client for S3, if not the tool's access.
    """

    service = "s3"

    def __init__(
        self, bucket: str, prefix: str = "results/", *, max_bytes: int = 10_000_000, client: Any = None
    ) -> None:
        super().__init__(client)
        self._bucket = bucket
        self._prefix = prefix
        self._max_bytes = max_bytes

    def look(self, access: Access, token: str, field: str) -> Outcome | None:
        key = f"{self._prefix}{token}.json"
        about = f"object s3://{self._bucket}/{key}"
        try:
            found = self._call(access, "get_object", about, Bucket=self._bucket, Key=key)
        except AWSError as error:
            if error.code == "NoSuchKey":
                return None
            raise
        with closing(found["Body"]) as body, explained("s3", "get_object", about):
            data = body.read(self._max_bytes + 1)
        if len(data) > self._max_bytes:
            return Outcome(error=f"the result {about} has more than {self._max_bytes:,} bytes; raise max_bytes=")
        return outcome_of(_json(data), field, whole=True)


class SQSResult(_Place):
    """Results as messages of a queue: the function's own, or those of its destinations on success and on failure.

    A message of the function's is JSON with the task's id and ``result`` or ``error``, or progress as in
    `DynamoDBResult`. The queue is for one process: messages for others are left in it.

    Args:
        queue_url: The queue.
        client: A boto3 client for SQS, if not the tool's access.
    """

    service = "sqs"

    def __init__(self, queue_url: str, *, client: Any = None) -> None:
        super().__init__(client)
        self._queue_url = queue_url
        self._receiving = threading.Lock()
        self._lock = threading.Lock()
        self._messages: dict[str, list[Any]] = {}
        self._past: OrderedDict[str, None] = OrderedDict()

    def expect(self, token: str) -> None:
        with self._lock:
            self._messages[token] = []

    def forget(self, token: str) -> None:
        with self._lock:
            self._messages.pop(token, None)
            self._past[token] = None
            while len(self._past) > _KEPT:
                self._past.popitem(last=False)

    def look(self, access: Access, token: str, field: str) -> Outcome | None:
        # One task receives for all: what is for another is kept for it.
        if self._receiving.acquire(timeout=0.1):
            try:
                if not self._messages.get(token):
                    self._receive(access, field)
            finally:
                self._receiving.release()
        with self._lock:
            waiting = self._messages.get(token, [])
            messages = waiting[:]
            waiting.clear()
        outcome = None
        for message in messages:
            outcome = outcome_of(message, field) or outcome
        return outcome

    def _receive(self, access: Access, field: str) -> None:
        about = f"queue {self._queue_url}"
        answer = self._call(
            access,
            "receive_message",
            about,
            QueueUrl=self._queue_url,
            MaxNumberOfMessages=10,
            WaitTimeSeconds=_LONG_POLL_S,
            VisibilityTimeout=_HIDDEN_S,
        )
        for message in answer.get("Messages", ()):
            document = _json(message["Body"].encode())
            token = token_in(document, field)
            with self._lock:
                if token is not None and token in self._messages:
                    self._messages[token].append(document)
                elif token not in self._past:
                    continue
            self._call(
                access, "delete_message", about, QueueUrl=self._queue_url, ReceiptHandle=message["ReceiptHandle"]
            )


def token_in(document: Any, field: str) -> str | None:
    """Return the task's id that a message names; None where it names none."""
    if not isinstance(document, Mapping):
        return None
    sent = document.get("requestPayload")
    token = (sent if isinstance(sent, Mapping) else document).get(field)
    return token if isinstance(token, str) else None


def outcome_of(document: Any, field: str, *, whole: bool = False) -> Outcome | None:
    """Return what a document says came of the call; None where it is not over. Progress that it has is reported.

    Args:
        document: The function's own, or that of a Lambda destination.
        field: Name of the task's id in it.
        whole: A document that has anything but ``result``, ``error`` or progress is itself the result.
    """
    if not isinstance(document, Mapping):
        return Outcome(document) if whole else None
    if isinstance(document.get("requestContext"), Mapping) and "requestPayload" in document:
        return _of_destination(document)
    names = set(document) - {field}
    if not whole or (names and names <= {"result", "error"}):
        if document.get("error") not in (None, ""):
            return Outcome(error=cut(text_of(document["error"]), 2000))
        if "result" in document:
            return Outcome(document["result"])
    done, total = _number(document.get("done")), _number(document.get("total"))
    if whole and not (names <= {"done", "total", "message"} and (done is not None or total is not None)):
        return Outcome(document)
    progress(done, total, str(document.get("message") or ""))
    return None


def _of_destination(document: Mapping[str, Any]) -> Outcome:
    answer = document.get("responsePayload")
    context = document.get("responseContext")
    failed = isinstance(context, Mapping) and context.get("functionError")
    condition = document["requestContext"].get("condition", "Success")
    if failed or condition != "Success":
        return Outcome(error=failure_in(answer) or f"The function did not succeed ({cut(text_of(condition), 200)}).")
    return Outcome(answer)


def failure_in(payload: Any) -> str:
    """Return what a failed function said, bounded; "" where it said nothing."""
    if isinstance(payload, Mapping):
        kind, message = payload.get("errorType"), payload.get("errorMessage")
        return ": ".join(cut(text_of(part), 2000) for part in (kind, message) if part)
    return cut(text_of(payload), 2000) if payload else ""


def _number(value: Any) -> float | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _json(data: bytes) -> Any:
    try:
        return json.loads(data)
    except ValueError:
        return data.decode(errors="replace")
