"""The append-only record of a session: one JSON line an entry, in a file or in S3."""
