"""The append-only record of a session: one JSON line an entry, in a file or in S3.

    journal = Journal(FileStore("notes.jsonl"), JournalFormat("notes"))
    entries = journal.open()                       # what earlier processes have appended
    journal.append({"kind": "note", "text": "..."})
    journal.close()

An entry is a JSON object with a ``kind``. Numbered and checksummed, so that a lost, changed or doubled line is
noticed. One writer at a time; a second one gets a `SessionConflictError`.
"""

from __future__ import annotations

from .file import FileStore
from .journal import Journal, JournalFormat, Store
from .lines import Entry, Line, from_plain, to_plain
from .s3 import S3Store, s3_client

__all__ = [
    "Entry",
    "FileStore",
    "Journal",
    "JournalFormat",
    "Line",
    "S3Store",
    "Store",
    "from_plain",
    "s3_client",
    "to_plain",
]
