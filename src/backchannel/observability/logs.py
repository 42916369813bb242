"""Logs of Backchannel: one JSON object or one line of text per record, without secrets."""

from __future__ import annotations

import copy
import json as json_module
import logging
import re
import traceback
from datetime import UTC, datetime
from typing import Any, TextIO

from ..errors import InvalidInputError
from .redaction import REDACTED, redact, redact_field, redact_text

__all__ = ["JsonFormatter", "RedactSecrets", "TextFormatter", "configure_logging"]

LOGGER = "backchannel"

_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"asctime", "message", "taskName"}
_MARK = "_backchannel_redacted"
_OURS = ("time", "level", "logger", "message", "exception", "stack")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_SURROGATE = re.compile("[\ud800-\udfff]")


class _Shown(str):
    """A text that stands for an object: ``%s`` and ``%r`` show the same."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


class RedactSecrets(logging.Filter):
    """Replaces a record by a copy without secrets; the record itself, which other handlers see, stays as it is.

    The standard library takes what a filter returns from Python 3.12 on; before, only the handler of
    `configure_logging` does.
    """

    def filter(self, record: logging.LogRecord) -> Any:
        """Return the copy."""
        return redacted_record(record)


def redacted_record(record: logging.LogRecord) -> logging.LogRecord:
    """Return a copy of ``record`` whose message, extra fields, exception and stack hold no secrets. Never raises."""
    if getattr(record, _MARK, False):
        return record
    result = copy.copy(record)
    result.msg, result.args = _message(record), None
    result.exc_text, result.exc_info = _exception(record), None
    result.stack_info = redact_text(record.stack_info) if isinstance(record.stack_info, str) else None
    for name, value in record.__dict__.items():
        if name not in _STANDARD:
            result.__dict__[name] = redact_field(name, value)
    kind = record.exc_info[0] if isinstance(record.exc_info, tuple) else None
    result.__dict__["exc_kind"] = kind.__name__ if kind is not None else None
    result.__dict__[_MARK] = True
    return result


def _message(record: logging.LogRecord) -> str:
    try:
        message = record.msg if isinstance(record.msg, str) else str(_shown(record.msg))
        if isinstance(record.args, dict):
            message %= {key: _named(key, value) for key, value in record.args.items()}
        elif record.args:
            message %= tuple(_shown(value) for value in record.args)
    except Exception:  # noqa: BLE001 - arguments that do not fit the text, or an object that cannot be shown
        message = f"{record.msg if isinstance(record.msg, str) else type(record.msg).__name__} [arguments do not fit]"
    return redact_text(message)


def _shown(value: object) -> object:
    """Return ``value``, without secrets where they hide from the formatted text: in containers and exceptions."""
    if value is None or isinstance(value, bool | int | float):
        return value
    plain = redact(value)
    if isinstance(value, str):
        return plain
    if isinstance(plain, dict | list):
        return plain
    if isinstance(value, BaseException | bytes | bytearray | memoryview):
        return _Shown(plain)
    return value


def _named(name: object, value: object) -> object:
    return REDACTED if redact_field(name, value) == REDACTED else _shown(value)


def _exception(record: logging.LogRecord) -> str | None:
    try:
        if isinstance(record.exc_info, tuple) and record.exc_info[0] is not None:
            return redact_text("".join(traceback.format_exception(*record.exc_info)).rstrip("\n"))
        if record.exc_text:
            return redact_text(record.exc_text)
    except Exception:  # noqa: BLE001 - an exception that cannot be shown
        return "[traceback cannot be shown]"
    return None


def _time(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class JsonFormatter(logging.Formatter):
    """Formats a record as one line of JSON: time (RFC 3339, UTC), level, logger, message, extra fields, exception.

    Secrets are left out, also without `RedactSecrets`.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, ASCII only."""
        safe = redacted_record(record)
        line: dict[str, Any] = {
            "time": _time(safe),
            "level": safe.levelname,
            "logger": safe.name,
            "message": str(safe.msg),
        }
        if safe.exc_text:
            kind = safe.__dict__.get("exc_kind")
            line["exception"] = {**({"type": kind} if kind else {}), "traceback": safe.exc_text}
        if safe.stack_info:
            line["stack"] = safe.stack_info
        for name, value in _extra(safe).items():
            line[f"{name}_" if name in _OURS else name] = value
        return json_module.dumps(_encodable(line), separators=(",", ":"))


class TextFormatter(logging.Formatter):
    """Formats a record as text for people: one line, and the traceback under it. Secrets are left out."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the text; control characters in it are shown as escapes."""
        safe = redacted_record(record)
        extra = "".join(f" {name}={value!r}" for name, value in _extra(safe).items())
        lines = [f"{_time(safe)} {safe.levelname} {safe.name}: {safe.msg}{extra}"]
        for block in (safe.exc_text, safe.stack_info):
            lines += [f"  {line}" for line in (block or "").splitlines()]
        return "\n".join(_CONTROL.sub(_escape, _SURROGATE.sub("\ufffd", line)) for line in lines)


def _escape(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode("ascii")


def _extra(record: logging.LogRecord) -> dict[str, Any]:
    hidden = {_MARK, "exc_kind"}
    return {name: value for name, value in record.__dict__.items() if name not in _STANDARD and name not in hidden}


def _encodable(value: Any) -> Any:
    """Return ``value`` so that it is valid JSON and UTF-8: no lone surrogates, no NaN, no infinity."""
    if isinstance(value, str):
        return _SURROGATE.sub("\ufffd", value)
    if isinstance(value, dict):
        return {_encodable(str(key)): _encodable(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_encodable(item) for item in value]
    if isinstance(value, float):
        return float(value) if value - value == 0 else str(value)
    if isinstance(value, bool) or value is None:
        return value
    return _number(value)


def _number(value: int) -> int | str:
    return int(value) if -(2**63) <= value < 2**64 else hex(value)


class _Handler(logging.StreamHandler[TextIO]):
    """Writes to a stream; takes the record that a filter returns on every version of Python."""

    def handle(self, record: logging.LogRecord) -> bool:
        return super().handle(redacted_record(record))


def configure_logging(level: int | str = "INFO", stream: TextIO | None = None, json: bool = True) -> logging.Handler:
    """Write the logs of Backchannel, and of nothing else, to a stream, without secrets.

    Called again it replaces what it set up before. Records also go on to the root logger, as for any library; its
    handlers are not changed.

    Args:
        level: The least level that is written.
        stream: Where to; by default standard error.
        json: One JSON object per line; False for text.

    Returns:
        The handler; ``logging.getLogger("backchannel").removeHandler`` takes it off again.

    Raises:
        InvalidInputError: If there is no such level.
    """
    number = logging.getLevelNamesMapping().get(level.upper()) if isinstance(level, str) else level
    if isinstance(number, bool) or not isinstance(number, int):
        names = ", ".join(logging.getLevelNamesMapping())
        raise InvalidInputError(f"configure_logging: level {level!r} is none of {names}, and no number")
    handler = _Handler(stream)
    handler.setFormatter(JsonFormatter() if json else TextFormatter())
    handler.addFilter(RedactSecrets())
    logger = logging.getLogger(LOGGER)
    for old in [item for item in logger.handlers if isinstance(item, _Handler)]:
        logger.removeHandler(old)
        old.close()
    logger.addHandler(handler)
    logger.setLevel(number)
    return handler
