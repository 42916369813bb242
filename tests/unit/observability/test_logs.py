"""The logs of Backchannel: what they look like, and what they leave out."""

from __future__ import annotations

import io
import json
import logging
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backchannel.errors import InvalidInputError
from backchannel.observability import JsonFormatter, RedactSecrets, TextFormatter, configure_logging
from backchannel.observability.logs import LOGGER

logger = logging.getLogger("backchannel.tests.logs")


@pytest.fixture(autouse=True)
def _logger_as_it_was() -> Iterator[None]:
    root = logging.getLogger(LOGGER)
    handlers, level, propagate = root.handlers[:], root.level, root.propagate
    yield
    root.propagate = propagate
    root.handlers[:] = handlers
    root.setLevel(level)


class Lines(io.StringIO):
    def last(self) -> dict[str, Any]:
        line: dict[str, Any] = json.loads(self.getvalue().splitlines()[-1])
        return line


def configured(level: int | str = "INFO", *, json: bool = True) -> Lines:
    stream = Lines()
    configure_logging(level, stream, json)
    return stream


def raised(error: Exception) -> Exception:
    """Return the error as it is once it was raised, with its traceback."""
    try:
        raise error
    except type(error) as caught:
        return caught


def record(message: object, *arguments: object, **extra: object) -> logging.LogRecord:
    made = logging.LogRecord("backchannel.x", logging.INFO, "x.py", 1, message, arguments, None)
    made.__dict__.update(extra)
    return made


def test_a_record_is_one_line_of_json():
    stream = configured()
    logger.info("task %d of %s\nstarted", 3, "train", extra={"task_id": "ab12", "fraction": 0.5, "level": "mine"})
    assert stream.getvalue().count("\n") == 1
    line = stream.last()
    moment = line.pop("time")
    assert line == {
        "level": "INFO",
        "logger": "backchannel.tests.logs",
        "message": "task 3 of train\nstarted",
        "task_id": "ab12",
        "fraction": 0.5,
        "level_": "mine",
    }
    assert len(moment) == len("2026-11-21T12:00:00.000Z")
    assert moment.endswith("Z")


def test_an_exception_is_folded_into_the_line():
    stream = configured()
    logger.error("it failed", exc_info=raised(ValueError({"password": "hunter2 and more"})))
    assert stream.getvalue().count("\n") == 1
    folded = stream.last()["exception"]
    assert folded["type"] == "ValueError"
    assert folded["traceback"].startswith("Traceback (most recent call last):\n")
    assert folded["traceback"].endswith("ValueError: {'password': '[redacted]'}")


def test_a_cause_and_a_note_are_searched_too():
    stream = configured()
    error = RuntimeError("outer api_key=abc1")
    error.add_note("token=abc2")
    error.__cause__ = ValueError("Bearer abcdef123")
    logger.error("it failed: %s", error, exc_info=error)
    assert "abc" not in stream.getvalue()


def test_the_level_is_kept_and_only_our_logger_is_touched():
    root_before = logging.getLogger().handlers[:]
    stream = configured("warning")
    logger.info("not this")
    logging.getLogger("elsewhere").error("nor this")
    assert stream.getvalue() == ""
    logger.warning("this")
    assert stream.last()["message"] == "this"
    assert logging.getLogger().handlers == root_before


def test_configuring_again_replaces_what_was_there():
    first, second = configured(), configured()
    logger.info("once")
    assert first.getvalue() == ""
    assert second.getvalue().count("once") == 1


@pytest.mark.parametrize("level", ["LOUD", "", None, True, 1.5])
def test_a_level_that_there_is_not_is_refused(level: Any):
    with pytest.raises(InvalidInputError, match="level"):
        configure_logging(level)


def test_without_a_stream_it_is_standard_error(capsys: pytest.CaptureFixture[str]):
    configure_logging()
    logger.info("hello")
    assert json.loads(capsys.readouterr().err)["message"] == "hello"


def test_text_is_for_people_and_control_characters_are_shown():
    stream = configured(json=False)
    error = raised(ValueError("first\nsecond"))
    logger.error("said \x1b[31mred\nand more token=abc", extra={"task_id": "t"}, exc_info=error)
    first, *rest = stream.getvalue().splitlines()
    assert first.endswith("ERROR backchannel.tests.logs: said \\x1b[31mred\\nand more token=[redacted] task_id='t'")
    assert rest[0] == "  Traceback (most recent call last):"
    assert all(line.startswith("  ") for line in rest)


def test_other_handlers_see_the_record_as_it_was(caplog: pytest.LogCaptureFixture):
    stream = configured()
    arguments = {"password": "hunter2"}
    logger.info("with %s", arguments, extra={"token": "abc"})
    [seen] = caplog.records
    assert seen.args == arguments
    assert seen.getMessage() == "with {'password': 'hunter2'}"
    assert seen.token == "abc"  # type: ignore[attr-defined]
    assert seen.exc_text is None
    assert (stream.last()["message"], stream.last()["token"]) == ("with {'password': '[redacted]'}", "[redacted]")


@pytest.mark.parametrize(
    ("message", "arguments", "shown"),
    [
        ("%s and %r", ("token=abc", "token=abc"), "token=[redacted] and 'token=[redacted]'"),
        ("%(user)s %(password)s", ({"user": "bob", "password": "abc"},), "bob [redacted]"),
        ("%(n)05d", ({"n": 3},), "00003"),
        ("%.2f %5d %s", (0.5, 3, True), "0.50     3 True"),
        ({"password": "abc", "a": 1}, (), "{'password': '[redacted]', 'a': 1}"),
        (ValueError("token=abc"), (), "ValueError: token=[redacted]"),
        ("%s", (bytes(640),), "[640 bytes]"),
        ("%s %s", ("one",), "%s %s [arguments do not fit]"),
        ("%d", ("x",), "%d [arguments do not fit]"),
        ("100 %", (), "100 %"),
        ("%s", ([("Authorization", "Basic eDp5")],), "[['Authorization', '[redacted]']]"),
    ],
)
def test_messages_are_formatted_without_secrets(message: object, arguments: tuple[object, ...], shown: str):
    made = logging.LogRecord("x", logging.INFO, "x.py", 1, message, arguments, None)
    assert json.loads(JsonFormatter().format(made))["message"] == shown


class Hostile:
    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__


class HostileError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


def test_nothing_that_is_logged_raises(capsys: pytest.CaptureFixture[str]):
    stream = configured()
    logging.getLogger(LOGGER).propagate = False  # the test's own handlers do raise
    loop: dict[str, Any] = {}
    loop["loop"] = loop
    logger.info("%s", Hostile())
    logger.info(Hostile())
    logger.error("x", exc_info=HostileError())
    logger.info("x", extra={"hostile": Hostile(), "loop": loop, "nan": float("nan"), "huge": 10**5000, "set": {1}})
    logger.info("\ud800 %s", "\udfff", extra={"\ud800": "\ud800"})
    logger.info("%d", 10**5000)
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert len(lines) == 6
    assert capsys.readouterr().err == ""
    assert "\\ud800" not in stream.getvalue()


def test_a_stream_that_takes_only_ascii_takes_every_line():
    raw = io.BytesIO()
    configure_logging("INFO", io.TextIOWrapper(raw, "ascii", write_through=True))
    logger.info("größer \u3042 \U0001f600")
    assert json.loads(raw.getvalue())["message"] == "größer \u3042 \U0001f600"


def test_a_stream_that_fails_does_not_show_the_secret(capsys: pytest.CaptureFixture[str]):
    class Broken(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError("disk full")

    configure_logging("INFO", Broken())
    logger.info("with %s", {"password": "hunter2"})
    assert "disk full" in capsys.readouterr().err
    logger.info("password=%s", "hunter2")
    assert "hunter2" not in capsys.readouterr().err.replace('"hunter2"', "")


@pytest.mark.parametrize("formatter", [JsonFormatter(), TextFormatter()])
def test_a_formatter_alone_leaves_secrets_out_too(formatter: logging.Formatter):
    made = record("token=abc %s", {"password": "def"}, api_key="ghi", stack_info="token=jkl")
    shown = formatter.format(made)
    assert not any(secret in shown for secret in ("abc", "def", "ghi", "jkl"))
    assert made.getMessage() == "token=abc {'password': 'def'}"


def test_the_filter_hands_on_a_copy():
    made = record("token=abc")
    copy = RedactSecrets().filter(made)
    assert copy is not made
    assert copy.getMessage() == "token=[redacted]"
    assert RedactSecrets().filter(copy) is copy


@pytest.mark.skipif(sys.version_info < (3, 12), reason="before, handlers ignore the record that a filter returns")
def test_the_filter_works_in_any_handler():
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.addFilter(RedactSecrets())
    handler.handle(record("token=abc"))
    assert stream.getvalue() == "token=[redacted]\n"


texts = st.text(max_size=12)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts | st.binary(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3) | st.tuples(inner),
    max_leaves=6,
)


@settings(deadline=None)
@given(texts, st.lists(values, max_size=3), st.dictionaries(texts.map("x".__add__), values, max_size=3))
def test_every_record_is_one_line_of_strict_json(message: str, arguments: list[Any], extra: dict[str, Any]):
    line = JsonFormatter().format(record(message, *arguments, **extra))
    assert "\n" not in line

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    assert json.loads(line, parse_constant=refuse)["level"] == "INFO"


def test_a_megabyte_is_logged_in_a_moment_and_audio_is_not_logged_at_all():
    stream = configured()
    logger.info("%s", "QUJD" * 250_000)
    assert len(stream.getvalue()) < 300
