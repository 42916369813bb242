"""LedgerPlace: where a notebook keeps its tasks."""

from __future__ import annotations

import os
from pathlib import Path

from ..errors import InvalidInputError, SessionStorageError
from ..journal import FileStore, S3Store, s3_client
from ..paths import expanded
from ..tasks.ledger_reader import open_file

__all__ = ["LEDGER_VARIABLE", "S3", "check_kind", "ledger_store", "s3_store"]

LEDGER_VARIABLE = "BACKCHANNEL_LEDGER"
"""Names the ledger of every notebook, from its start: a file, a folder with one for each notebook, or S3."""

S3 = "s3://"
_BEGINNING = b'{"sum":"'


def ledger_store(place: str) -> FileStore | S3Store:
    """Return the store that a place stands for.

    Args:
        place: A file; a folder, where each notebook has a file of its own; or ``s3://bucket/key``.

    Raises:
        InvalidInputError: If it names nothing, or a file that is something else.
        SessionStorageError: If AWS is not set up so that S3 could be asked.
    """
    if place.startswith(S3):
        return s3_store(place)
    if not place.strip():
        raise InvalidInputError("the place of the ledger is empty: name a file such as tasks.jsonl")
    path = expanded(place)
    if place.endswith(("/", os.sep)) or path.is_dir():
        path /= _own_name()
    check_kind(path)
    return FileStore(path)


def check_kind(path: Path) -> bool:
    """Return whether there is a file that may be a ledger.

    Raises:
        InvalidInputError: If the file is something else.
        SessionStorageError: If it cannot be read.
    """
    try:
        with open_file(path) as file:
            beginning = file.read(len(_BEGINNING))
    except FileNotFoundError:
        return False
    except OSError as error:
        raise SessionStorageError(f"{path} cannot be read: {error.strerror or error}") from error
    if not _BEGINNING.startswith(beginning):
        raise InvalidInputError(
            f"{path} is no ledger of tasks. Name one that %tasks --ledger or AsyncToolManager(ledger=...) has written, "
            "or a new file"
        )
    return True


def s3_store(place: str) -> S3Store:
    """Return the store of a ledger in S3, ``s3://bucket/key``.

    Raises:
        InvalidInputError: If bucket or key is missing.
        SessionStorageError: If AWS is not set up so that S3 could be asked.
    """
    bucket, _, key = place.removeprefix(S3).partition("/")
    if not bucket or not key.strip("/"):
        raise InvalidInputError(f"{place}: say s3://BUCKET/KEY")
    from botocore.exceptions import BotoCoreError

    try:
        return S3Store(s3_client(), bucket, key.strip("/"))
    except BotoCoreError as error:
        raise SessionStorageError(f"{place} cannot be asked: {error}") from error


def _own_name() -> str:
    # Jupyter's server tells a kernel which notebook it is for.
    session = os.environ.get("JPY_SESSION_NAME", "")
    return f"{Path(session).stem if session.endswith('.ipynb') else 'notebook'}.tasks.jsonl"
