"""Sessions: a conversation that goes on after the program has ended.

    agent = BidiAgent(model, session_manager=FileSessionManager("sales"))

What is stored, as it happens: the agent's messages and its state, nothing else. No audio, no system prompt, no tool
definitions, no configuration. What is secret in a message (a tool's arguments and result are part of one) or in the
state is stored as it stands.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import weakref
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InvalidInputError
from ..hooks import (
    BidiAfterInvocationEvent,
    BidiAfterToolCallEvent,
    BidiAgentInitializedEvent,
    BidiBeforeInvocationEvent,
    BidiHistoryReducedEvent,
    BidiMessageAddedEvent,
    BidiMessageAmendedEvent,
    HookRegistry,
)
from ..journal import Entry, FileStore, Journal, S3Store, Store, s3_client
from ..messages import Message, Messages
from ..paths import expanded
from .session_entries import (
    FORMAT,
    digest,
    message_entry,
    repaired,
    replay,
    splice_entry,
    state_entry,
    storable,
    storable_values,
)
from .state import AgentState

if TYPE_CHECKING:
    import boto3
    from botocore.config import Config

    from .bidi import BidiAgent

__all__ = ["FileSessionManager", "S3SessionManager"]

logger = logging.getLogger(__name__)

DEFAULT_DIRECTORY = Path(".backchannel", "sessions")
_SMALL = 64
_MANY_PARTS = 64
_LONGEST_ID_BYTES = 120


class _SessionManager:
    """A hook provider that restores its agents' messages and state, and writes down what becomes of them."""

    def __init__(self, session_id: str) -> None:
        self.session_id = _checked_id("session_id", session_id)
        self._records: weakref.WeakKeyDictionary[BidiAgent, _Record] = weakref.WeakKeyDictionary()

    def register_hooks(self, registry: HookRegistry, **kwargs: Any) -> None:
        """Restore at the agent's construction; then follow its history and state."""
        registry.add_callback(BidiAgentInitializedEvent, self._initialize)
        registry.add_callback(BidiBeforeInvocationEvent, self._begin)
        registry.add_callback(BidiMessageAddedEvent, self._follow)
        registry.add_callback(BidiMessageAmendedEvent, self._follow)
        registry.add_callback(BidiHistoryReducedEvent, self._follow)
        registry.add_callback(BidiAfterToolCallEvent, self._save_state)
        registry.add_callback(BidiAfterInvocationEvent, self._finish)

    def _store(self, agent_id: str) -> Store:
        raise NotImplementedError

    def _initialize(self, event: BidiAgentInitializedEvent) -> None:
        self._restore(event.agent)

    def _restore(self, agent: BidiAgent) -> _Record:
        journal = Journal(self._store(_checked_id("agent_id", agent.agent_id)), FORMAT)
        record = _Record(journal)
        try:
            record.restore(agent, self.session_id)
        finally:
            journal.release()
        self._records[agent] = record
        return record

    def _record(self, agent: BidiAgent) -> _Record:
        record = self._records.get(agent)
        return self._restore(agent) if record is None else record

    def _follow(self, event: BidiMessageAddedEvent | BidiMessageAmendedEvent | BidiHistoryReducedEvent) -> None:
        message = None if isinstance(event, BidiHistoryReducedEvent) else event.message
        self._record(event.agent).follow(event.agent, message)

    def _save_state(self, event: BidiAfterToolCallEvent) -> None:
        self._record(event.agent).save_state(event.agent)

    async def _begin(self, event: BidiBeforeInvocationEvent) -> None:
        await asyncio.to_thread(lambda: self._record(event.agent).begin(event.agent))

    async def _finish(self, event: BidiAfterInvocationEvent) -> None:
        await asyncio.to_thread(lambda: self._record(event.agent).finish(event.agent))


class FileSessionManager(_SessionManager):
    """Keeps a session in files: ``<storage_dir>/session_<session_id>/agent_<agent_id>.jsonl``, for their owner only.

    One conversation at a time writes; another one with the same ids is refused with a `SessionConflictError`.

    Args:
        session_id: Names the session.
        storage_dir: Where sessions are kept; by default ``.backchannel/sessions`` in the working directory, with a
            ``.gitignore`` that keeps it out of Git.

    Raises:
        InvalidInputError: If the id cannot be the name of a directory.
    """

    def __init__(self, session_id: str, storage_dir: str | os.PathLike[str] | None = None) -> None:
        super().__init__(session_id)
        self.storage_dir = Path(os.path.abspath(DEFAULT_DIRECTORY if storage_dir is None else expanded(storage_dir)))
        self._default = storage_dir is None

    def _store(self, agent_id: str) -> Store:
        if self._default:
            _keep_out_of_git(self.storage_dir.parent)
        return FileStore(self.storage_dir / f"session_{self.session_id}" / f"agent_{agent_id}.jsonl")


class S3SessionManager(_SessionManager):
    """Keeps a session in S3, in objects under ``<prefix>/session_<session_id>/agent_<agent_id>/``.

    Messages are sent in the background, in order, and are all in S3 when the conversation has been stopped. While S3
    cannot be reached they wait and are tried again; if that takes too long, the conversation is told so by a
    `SessionStorageError`. Needs the permissions to list the prefix, and to get, put and delete its objects.

    Args:
        session_id: Names the session.
        bucket: The bucket's name.
        prefix: What all keys begin with.
        boto_session: The boto3 session to use, else one with the default credentials.
        boto_client_config: Settings of the client, over ours.
        region_name: The bucket's region, else the session's.

    Raises:
        InvalidInputError: If the id cannot be part of a key.
    """

    def __init__(
        self,
        session_id: str,
        bucket: str,
        prefix: str = "",
        boto_session: boto3.Session | None = None,
        boto_client_config: Config | None = None,
        region_name: str | None = None,
    ) -> None:
        super().__init__(session_id)
        self.bucket = bucket
        self.prefix = prefix.strip("/")
        self._client = s3_client(boto_session, boto_client_config, region_name)

    def _store(self, agent_id: str) -> Store:
        path = f"{self.prefix}/session_{self.session_id}/agent_{agent_id}"
        return S3Store(self._client, self.bucket, path.lstrip("/"))


class _Record:
    """What is known to be written of one agent.

    Events say when to look; what is written is the difference between the list and what was written before. So
    nothing is missed that was changed without an event.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._lock = threading.RLock()
        self._active = False
        self._messages: Messages = []
        self._digests: list[bytes] = []
        self._state: dict[str, Any] = {}
        self._state_seen: tuple[AgentState, int] | None = None

    def restore(self, agent: BidiAgent, session_id: str) -> None:
        """Read the session and give the agent what is in it."""
        history, state = replay(self._journal.open(), self._journal.location)
        if history and agent.messages:
            raise InvalidInputError(
                f"session {session_id!r} has {len(history)} messages already, and the agent was given "
                f"{len(agent.messages)}. Give it none, to go on with the session, or use another session_id"
            )
        messages, repairs = repaired(history)
        for repair in repairs:
            logger.warning("%s: %s", self._journal.location, repair)
        self._messages, self._digests = list(history), list(map(digest, history))
        if state is not None:
            self._state = state
            agent.state.replace({**agent.state.get(), **state})
        if history:
            agent.messages[:] = messages

    def begin(self, agent: BidiAgent) -> None:
        """Become the writer for a whole conversation."""
        with self._lock:
            self._journal.claim()
            self._active = True
            self._write_all(agent)

    def follow(self, agent: BidiAgent, message: Message | None = None) -> None:
        """Write down what has become of the history; ``message`` is new or has other content."""
        with self._lock:
            try:
                self._write_list(agent.messages, message)
                if message is not None:
                    self._write_content(message)
            finally:
                self._pause()

    def save_state(self, agent: BidiAgent) -> None:
        """Write the state down if it has changed."""
        with self._lock:
            try:
                self._write_state(agent.state)
            finally:
                self._pause()

    def finish(self, agent: BidiAgent) -> None:
        """Write down all that is left, and let others write."""
        with self._lock:
            if not self._active:
                return  # It did not begin: someone else is the writer.
            self._active = False
            try:
                self._write_all(agent)
                live = len(self._messages) + 2
                dead = self._journal.count - live
                if dead > max(live, _SMALL) or self._journal.parts > _MANY_PARTS:
                    self._compact()
            finally:
                self._journal.release()

    def _pause(self) -> None:
        if not self._active:
            self._journal.release()

    def _write_all(self, agent: BidiAgent) -> None:
        self._write_list(agent.messages)
        for index, message in enumerate(self._messages):
            if digest(message) != self._digests[index]:
                self._splice(index, 1, [message])
        self._write_state(agent.state)

    def _write_list(self, messages: Messages, last: Message | None = None) -> None:
        """Write down which messages there are now; ``last`` is likely to be the only new one."""
        now, known = list(messages), self._messages
        start = end = 0
        if len(now) == len(known) + 1 and now[-1] is last and (not known or now[-2] is known[-1]):
            start = len(known)
        least = min(len(now), len(known))
        while start < least and now[start] is known[start]:
            start += 1
        while end < least - start and now[-1 - end] is known[-1 - end]:
            end += 1
        self._splice(start, len(known) - end - start, now[start : len(now) - end])

    def _write_content(self, message: Message) -> None:
        for index in range(len(self._messages) - 1, -1, -1):
            if self._messages[index] is message:
                if digest(message) != self._digests[index]:
                    self._splice(index, 1, [message])
                return

    def _splice(self, start: int, count: int, messages: Messages) -> None:
        """Put these messages in place of others in the journal, and in what is known to be in it."""
        if not count and not messages:
            return
        copies = [storable(message, self._warn, self._left_out) for message in messages]
        if count == 0 and start == len(self._messages):
            for message, copy in zip(messages, copies, strict=True):
                self._append(message_entry(copy))
                self._messages.append(message)
                self._digests.append(digest(copy))
        else:
            self._append(splice_entry(start, count, copies))
            self._messages[start : start + count] = messages
            self._digests[start : start + count] = map(digest, copies)

    def _write_state(self, state: AgentState) -> None:
        seen = (state, state.changes)
        if seen == self._state_seen:
            return
        values = state.get()
        if digest(values) != digest(self._state):
            self._append(state_entry(storable_values(values, self._left_out)))
        self._state, self._state_seen = values, seen

    def _append(self, entry: Entry) -> None:
        if self._journal.outdated:
            self._compact()
        self._journal.append(entry)

    def _compact(self) -> None:
        """Write anew what counts, so that what was removed is gone from the disk too."""
        state = storable_values(self._state, self._left_out)
        self._journal.compact([*(message_entry(storable(message)) for message in self._messages), state_entry(state)])

    def _left_out(self, why: str) -> None:
        logger.warning("%s: a part was replaced by a note: %s", self._journal.location, why)

    def _warn(self, name: str) -> None:
        logger.warning("%s: a %s in a message cannot be stored; its type's name is", self._journal.location, name)


def _checked_id(name: str, value: object) -> str:
    """Return an id that is safe as a part of a path and of a key, everywhere.

    Raises:
        InvalidInputError: If it is not.
    """
    if not isinstance(value, str):
        raise InvalidInputError(f"{name} must be a str, not {type(value).__name__}")
    if not value.strip() or value != value.strip() or value.endswith("."):
        raise InvalidInputError(f"{name} {value!r} is empty, ends with a dot, or has spaces around it; use another")
    wrong = sorted({character for character in value if character in '/\\<>:"|?*' or not character.isprintable()})
    if wrong:
        raise InvalidInputError(f"{name} {value!r} has characters that cannot be in a file's name: {_shown(wrong)}")
    if len(value.encode()) > _LONGEST_ID_BYTES:
        raise InvalidInputError(f"{name} {value[:20]!r}... is longer than {_LONGEST_ID_BYTES} bytes; use a shorter one")
    return value


def _shown(characters: Iterable[str]) -> str:
    return " ".join(ascii(character)[1:-1] for character in characters)


def _keep_out_of_git(directory: Path) -> None:
    ignored = directory / ".gitignore"
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not ignored.exists():
            ignored.write_text("*\n")
    except OSError as error:
        logger.debug("%s could not be written: %s", ignored, error)
