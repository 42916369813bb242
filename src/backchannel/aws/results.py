"""Results: where a function that was called by an event leaves what it made."""

from __future__ import annotations

from abc import abstractmethod
from contextlib import closing
from typing import Any, Protocol

from ..errors import AWSError, ToolDefinitionError
from ..tasks import progress
from .access import Access, explained
from .attributes import item_of
from .inbox import Inbox, inbox_of
from .outcome import Outcome, Step, json_of, outcome_of

__all__ = ["DynamoDBResult", "Outcome", "ResultPlace", "S3Result", "SQSResult"]


class ResultPlace(Protocol):
    """Where results are left. A place of one's own is a class that inherits from this one and has ``look``.

    The ``token`` is what the event has as its task id; it is unique, and nobody can guess it.
    """

    def expect(self, token: str, field: str) -> None:
        """A result under this token will come; in a document of the function's it is called ``field``."""

    @abstractmethod
    def look(self, access: Access, token: str, field: str) -> Outcome | None:
        """Return what came of the call, or None. Called in a thread, now and then; may report `progress`."""

    def forget(self, access: Access, token: str, taken: bool) -> None:
        """The task has ended; ``taken`` where it has the result."""

    def where(self, token: str, field: str) -> str:
        """Say where the result should be, for someone who waited in vain."""
        return ""


class _Place(ResultPlace):
    """A place with a client of its own, or the tool's access."""

    service = ""

    def __init__(self, what: str, name: Any, client: Any) -> None:
        if not isinstance(name, str) or not name.strip():
            raise ToolDefinitionError(f"{type(self).__name__}: {what} must be given as text, not {name!r:.100}")
        self._own = Access(self.service, client=client) if client is not None else None

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
        super().__init__("table", table, client)
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
        return _told(outcome_of(item_of(found.get("Item", {})), field))

    def where(self, token: str, field: str) -> str:
        return f"the item of the table {self._table} whose {self._key} is {token!r}, with result or error"


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
        super().__init__("bucket", bucket, client)
        self._bucket = bucket
        self._prefix = prefix
        self._max_bytes = max_bytes

    def look(self, access: Access, token: str, field: str) -> Outcome | None:
        key = self._key(token)
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
        return _told(outcome_of(json_of(data), field, whole=True))

    def where(self, token: str, field: str) -> str:
        return f"the object s3://{self._bucket}/{self._key(token)}"

    def _key(self, token: str) -> str:
        return f"{self._prefix}{token}.json"


class SQSResult(_Place):
    """Results as messages: the function's own, or those of its destinations on success and on failure.

    A message of the function's is JSON with the task's id and ``result`` or ``error``, or progress as in
    `DynamoDBResult`. What comes by way of SNS or EventBridge is understood, and what a dead-letter queue gets.

    One task receives for all of this process. A message is deleted when its task has ended with the result, or with
    progress that was taken. Others stay: what is for someone else, what cannot be read, and what came too late.

    Args:
        queue_url: The queue.
        failure_queue_url: The queue of failures, if they go elsewhere.
        client: A boto3 client for SQS, if not the tool's access.
    """

    service = "sqs"

    def __init__(self, queue_url: str, failure_queue_url: str | None = None, *, client: Any = None) -> None:
        super().__init__("queue_url", queue_url, client)
        urls = [queue_url, failure_queue_url or queue_url]
        self._urls = list(dict.fromkeys(urls))
        self._inboxes: list[Inbox] = [inbox_of(url) for url in self._urls]

    def expect(self, token: str, field: str) -> None:
        for inbox in self._inboxes:
            inbox.expect(token, field)

    def look(self, access: Access, token: str, field: str) -> Outcome | None:
        for inbox in self._inboxes:
            outcome = _told(inbox.look(self._own or access, token))
            if outcome is not None:
                return outcome
        return None

    def forget(self, access: Access, token: str, taken: bool) -> None:
        for inbox in self._inboxes:
            inbox.forget(self._own or access, token, taken)

    def where(self, token: str, field: str) -> str:
        return f'the messages of {" and ".join(self._urls)}, for one with "{field}": "{token}"'


def _told(found: Outcome | Step | None) -> Outcome | None:
    if isinstance(found, Step):
        progress(found.done, found.total, found.message)
        return None
    return found
