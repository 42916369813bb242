"""LedgerPlace: where a notebook keeps its tasks."""

from __future__ import annotations

import os
from pathlib import Path

from ..errors import InvalidInputError
from ..journal import FileStore, S3Store, s3_client

__all__ = ["LEDGER_VARIABLE", "ledger_store"]

LEDGER_VARIABLE = "BACKCHANNEL_LEDGER"
"""Names the ledger of every notebook, from its start: a file, a folder with one for each notebook, or S3."""

_S3 = "s3://"


def ledger_store(place: str) -> FileStore | S3Store:
    """Return the store that a place stands for.

    Args:
        place: A file; a folder, where each notebook has a file of its own; or ``s3://bucket/key``.

    Raises:
        InvalidInputError: If it names nothing.
    """
    if place.startswith(_S3):
        bucket, _, key = place.removeprefix(_S3).partition("/")
        if not bucket or not key.strip("/"):
            raise InvalidInputError(f"{place}: say s3://BUCKET/KEY")
        return S3Store(s3_client(), bucket, key)
    if not place.strip():
        raise InvalidInputError("the place of the ledger is empty: name a file such as tasks.jsonl")
    path = Path(place).expanduser()
    return FileStore(path / _own_name() if place.endswith(("/", os.sep)) or path.is_dir() else path)


def _own_name() -> str:
    # Jupyter's server tells a kernel which notebook it is for.
    session = os.environ.get("JPY_SESSION_NAME", "")
    return f"{Path(session).stem if session.endswith('.ipynb') else 'notebook'}.tasks.jsonl"
