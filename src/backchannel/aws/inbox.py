"""Inboxes: the messages of one queue, received by one task for all of this process that wait for one."""

from __future__ import annotations

import logging
import threading
import weakref
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from ..errors import AWSError
from .access import Access
from .outcome import Outcome, Step, json_of, outcome_of, token_in, unwrapped

__all__ = ["Inbox", "inbox_of"]

_log = logging.getLogger(__name__)

_WAIT_S = 1
"""How long an empty queue is waited for; the queue's own answer then comes from all of its servers."""

_HIDDEN_S = 10
"""How long a message that was received is hidden from others, seconds; what stays is there again after that."""

_BATCHES = 20
"""Batches of ten messages that are received in one go."""

_TAKEN = 1000
"""Results that are remembered, so that a second message of the same is deleted."""


class _Expected:
    """What came for one task."""

    def __init__(self, field: str) -> None:
        self.field = field
        self.new: list[tuple[str, Any, str | None]] = []
        # The newest receipts by the message's id: only with these a message can be deleted.
        self.receipts: dict[str, str] = {}


class Inbox:
    """The messages of one queue. From any thread."""

    def __init__(self, queue_url: str) -> None:
        self._queue_url = queue_url
        self._about = f"queue {queue_url}"
        self._receiving = threading.Lock()
        self._lock = threading.Lock()
        self._expected: dict[str, _Expected] = {}
        self._taken: OrderedDict[str, None] = OrderedDict()
        self._fields: set[str] = set()

    def expect(self, token: str, field: str) -> None:
        """A message that names this token will come."""
        with self._lock:
            self._expected.setdefault(token, _Expected(field))
            self._fields.add(field)

    def look(self, access: Access, token: str) -> Outcome | Step | None:
        """Return the outcome, or else the newest step, that has come for this token."""
        with self._lock:
            expected = self._expected.get(token)
            waits = expected is not None and not expected.new
        # Where another task is receiving, what it gets for this one is here at the next look.
        if waits and self._receiving.acquire(blocking=False):
            try:
                self._receive(access)
            finally:
                self._receiving.release()
        if expected is None:
            return None
        with self._lock:
            new, expected.new = expected.new, []
        step: Step | None = None
        used: list[str] = []
        for message_id, document, failure in new:
            found = outcome_of(document, expected.field, failure=failure)
            if isinstance(found, Outcome):
                return found
            if found is None:
                _log.warning("a message for task id %s says neither result nor error; it was left in its queue", token)
            else:
                step = found
                used.append(message_id)
        for message_id in used:
            with self._lock:
                receipt = expected.receipts.pop(message_id, None)
            if receipt is not None:
                self._delete(access, receipt)
        return step

    def forget(self, access: Access, token: str, taken: bool) -> None:
        """Nobody waits any more. If the task has its result, the messages are deleted; otherwise they stay."""
        with self._lock:
            expected = self._expected.pop(token, None)
            if taken:
                self._taken[token] = None
                while len(self._taken) > _TAKEN:
                    self._taken.popitem(last=False)
        if taken and expected is not None:
            for receipt in expected.receipts.values():
                self._delete(access, receipt)

    def _receive(self, access: Access) -> None:
        for batch in range(_BATCHES):
            answer = access.call(
                "sqs",
                "receive_message",
                self._about,
                QueueUrl=self._queue_url,
                MaxNumberOfMessages=10,
                WaitTimeSeconds=0 if batch else _WAIT_S,
                VisibilityTimeout=_HIDDEN_S,
                MessageAttributeNames=["ErrorCode", "ErrorMessage"],
            )
            messages = answer.get("Messages") or ()
            for message in messages:
                self._sort(access, message)
            if not messages:
                return

    def _sort(self, access: Access, message: Mapping[str, Any]) -> None:
        receipt = message["ReceiptHandle"]
        message_id = str(message.get("MessageId") or receipt)
        document = unwrapped(json_of(message.get("Body") or ""))
        with self._lock:
            token = token_in(document, self._fields)
            expected = self._expected.get(token or "")
            if expected is not None:
                if message_id not in expected.receipts:
                    expected.new.append((message_id, document, _failure_of(message)))
                expected.receipts[message_id] = receipt
            again = token in self._taken
        if again:
            self._delete(access, receipt)

    def _delete(self, access: Access, receipt: str) -> None:
        try:
            access.call("sqs", "delete_message", self._about, QueueUrl=self._queue_url, ReceiptHandle=receipt)
        except AWSError as error:
            _log.warning("a message that was taken is still in its queue: %s", error)


def _failure_of(message: Mapping[str, Any]) -> str | None:
    """Return what Lambda adds to an event that it puts into a dead-letter queue; None for any other message."""
    said = message.get("MessageAttributes") or {}
    if not {"ErrorCode", "ErrorMessage"} & set(said):
        return None
    return str(said.get("ErrorMessage", {}).get("StringValue") or "it did not say why")


_inboxes: weakref.WeakValueDictionary[str, Inbox] = weakref.WeakValueDictionary()
_inboxes_lock = threading.Lock()


def inbox_of(queue_url: str) -> Inbox:
    """Return the inbox of this queue: all tools of this process share it."""
    with _inboxes_lock:
        inbox = _inboxes.get(queue_url)
        if inbox is None:
            inbox = _inboxes[queue_url] = Inbox(queue_url)
        return inbox
