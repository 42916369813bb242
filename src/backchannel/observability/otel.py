"""OpenTelemetry: signals become its spans and measurements. The only module that imports it."""

from __future__ import annotations

import time
from collections import OrderedDict
from typing import Any

from opentelemetry import context as otel_context
from opentelemetry import metrics, trace
from opentelemetry.trace import Link, Span, SpanContext, SpanKind, Status, StatusCode

from .._version import __version__
from .signals import METRICS, AddEvent, Attribute, Attributes, EndSpan, Record, Signal, StartSpan

__all__ = ["Instruments", "Recorder"]

SCOPE = "backchannel"

DISTINCT = 100
"""Values that one attribute of measurements may take in this process; further ones are called "other"."""

REMEMBERED = 256
"""Ended spans of a session that others may still belong to or be linked with."""


class Instruments:
    """A tracer and one instrument per metric, for all sessions."""

    def __init__(
        self, tracer_provider: trace.TracerProvider | None, meter_provider: metrics.MeterProvider | None
    ) -> None:
        self.tracer = trace.get_tracer(SCOPE, __version__, tracer_provider)
        meter = metrics.get_meter(SCOPE, __version__, meter_provider)
        self._counters: dict[str, metrics.Counter] = {}
        self._histograms: dict[str, metrics.Histogram] = {}
        self._values: dict[str, set[str]] = {}
        for name, metric in METRICS.items():
            if metric.kind == "counter":
                self._counters[name] = meter.create_counter(name, metric.unit, metric.description)
            else:
                self._histograms[name] = meter.create_histogram(
                    name, metric.unit, metric.description, explicit_bucket_boundaries_advisory=metric.buckets
                )

    def recorder(self, now: float) -> Recorder:
        """Return what writes the signals of a session whose clock says ``now``, seconds."""
        return Recorder(self, now)

    def measure(self, record: Record) -> None:
        """Write one measurement."""
        attributes = {name: self._bounded(name, value) for name, value in record.attributes.items()}
        counter = self._counters.get(record.metric)
        if counter is not None:
            counter.add(record.value, attributes)
        else:
            self._histograms[record.metric].record(record.value, attributes)

    def _bounded(self, name: str, value: Attribute) -> Attribute:
        if not isinstance(value, str):
            return value
        values = self._values.setdefault(name, set())
        if value not in values:
            if len(values) >= DISTINCT:
                return "other"
            values.add(value)
        return value


class Recorder:
    """Writes the signals of one session. Its clock is set to the wall clock once, at the start."""

    def __init__(self, instruments: Instruments, now: float) -> None:
        self._instruments = instruments
        self._epoch_ns = time.time_ns() - int(now * 1e9)
        self._latest = now
        self._context = otel_context.get_current()
        self._open: dict[int, Span] = {}
        self._ended: OrderedDict[int, SpanContext] = OrderedDict()

    def apply(self, signal: Signal) -> None:
        """Write one signal."""
        match signal:
            case StartSpan():
                self._start(signal)
            case EndSpan(span, at, attributes, error):
                self._end(span, at, attributes, error)
            case AddEvent(span, name, at, attributes):
                if span in self._open:
                    self._open[span].add_event(name, dict(attributes), self._ns(at))
            case Record():
                self._instruments.measure(signal)

    def close(self) -> None:
        """End what is open still, the newest first, at the last time that was heard of."""
        for span in reversed(list(self._open)):
            self._end(span, self._latest, {}, None)

    def _start(self, signal: StartSpan) -> None:
        parent = self._span_context(signal.parent)
        context = (
            self._context
            if parent is None
            else trace.set_span_in_context(trace.NonRecordingSpan(parent), self._context)
        )
        linked = self._span_context(signal.link)
        self._open[signal.span] = self._instruments.tracer.start_span(
            signal.name,
            context=context,
            kind=SpanKind.CLIENT if signal.remote else SpanKind.INTERNAL,
            attributes=_plain(signal.attributes),
            links=[] if linked is None else [Link(linked)],
            start_time=self._ns(signal.at),
        )

    def _end(self, number: int, at: float, attributes: Attributes, error: str | None) -> None:
        span = self._open.pop(number, None)
        if span is None:
            return
        self._ended[number] = span.get_span_context()
        if len(self._ended) > REMEMBERED:
            self._ended.popitem(last=False)
        try:
            span.set_attributes(_plain(attributes))
            if error is not None:
                span.set_attribute("error.type", error)
                span.set_status(Status(StatusCode.ERROR))
        finally:
            span.end(self._ns(at))

    def _span_context(self, number: int | None) -> SpanContext | None:
        if number is None:
            return None
        span = self._open.get(number)
        return self._ended.get(number) if span is None else span.get_span_context()

    def _ns(self, at: float) -> int:
        self._latest = max(self._latest, at)
        return self._epoch_ns + int(at * 1e9)


def _plain(attributes: Attributes) -> dict[str, Any]:
    return dict(attributes)
