"""What an operator sees of a conversation: traces, metrics and logs. Off until it is switched on."""

from __future__ import annotations

from .logs import JsonFormatter, RedactSecrets, TextFormatter, configure_logging
from .redaction import redact
from .telemetry import SessionTelemetry, instrument, session_telemetry, uninstrument

__all__ = [
    "JsonFormatter",
    "RedactSecrets",
    "SessionTelemetry",
    "TextFormatter",
    "configure_logging",
    "instrument",
    "redact",
    "session_telemetry",
    "uninstrument",
]
