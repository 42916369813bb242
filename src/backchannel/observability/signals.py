"""What the telemetry of a session orders: spans, events and measurements, as values; and the metrics by name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, TypeAlias

__all__ = ["METRICS", "AddEvent", "Attributes", "EndSpan", "Metric", "Record", "Signal", "StartSpan", "label"]

Attribute: TypeAlias = str | bool | int | float | tuple[str, ...]
Attributes: TypeAlias = Mapping[str, Attribute]

_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class StartSpan:
    """Begin a span. Spans are numbered within their session; ``at`` is in seconds on the session's clock."""

    span: int
    name: str
    at: float
    parent: int | None = None
    remote: bool = False
    attributes: Attributes = field(default_factory=dict)
    link: int | None = None


@dataclass(frozen=True, slots=True)
class EndSpan:
    """End a span. ``error`` is what kind of error it ended with, or None."""

    span: int
    at: float
    attributes: Attributes = field(default_factory=dict)
    error: str | None = None


@dataclass(frozen=True, slots=True)
class AddEvent:
    """Note a moment within an open span."""

    span: int
    name: str
    at: float
    attributes: Attributes = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Record:
    """Measure: add to a counter, or put a value into a histogram."""

    metric: str
    value: float
    attributes: Attributes = field(default_factory=dict)


Signal: TypeAlias = StartSpan | EndSpan | AddEvent | Record


class Metric(NamedTuple):
    """An instrument: its kind, its unit (UCUM), what it measures, and where a histogram's buckets end."""

    kind: Literal["counter", "histogram"]
    unit: str
    description: str
    buckets: tuple[float, ...] = ()


METRICS: Mapping[str, Metric] = {
    "backchannel.response.latency": Metric(
        "histogram",
        "s",
        "From the end of the user's turn to the first audio of the answer that was heard",
        (0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0),
    ),
    "backchannel.tool.duration": Metric(
        "histogram",
        "s",
        "From a call of the model to its result or acknowledgement",
        (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0),
    ),
    "backchannel.task.duration": Metric(
        "histogram",
        "s",
        "From the start of a background task to its end",
        (0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0, 600.0, 1800.0, 3600.0, 14400.0),
    ),
    "backchannel.connection.restarts": Metric("counter", "{restart}", "Connections that were made anew"),
    "backchannel.interruptions": Metric("counter", "{interruption}", "Interruptions, of a response or of nothing"),
    "backchannel.tokens": Metric("counter", "{token}", "Tokens that the model reported, by gen_ai.token.type"),
    "backchannel.audio.heard": Metric("counter", "s", "Audio of the model that was played"),
}


def label(value: object, limit: int = 128) -> str:
    """Return ``value`` as a text for an attribute: valid UTF-8, at most ``limit`` characters."""
    text = value if isinstance(value, str) else str(value)
    return _SURROGATE.sub("\ufffd", text if len(text) <= limit else f"{text[: limit - 1]}…")
