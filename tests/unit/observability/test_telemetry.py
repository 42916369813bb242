"""Telemetry switched on, with the real SDK; and off."""

from __future__ import annotations

import logging
import subprocess
import sys
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from backchannel.errors import MissingExtraError
from backchannel.events import (
    BidiConnectionStartEvent,
    BidiInterruptionEvent,
    BidiResponseCompleteEvent,
    BidiResponseStartEvent,
    BidiUsageEvent,
    Heard,
    UserSpeechEvent,
)
from backchannel.observability import SessionTelemetry, instrument, session_telemetry, telemetry, uninstrument
from backchannel.observability.otel import DISTINCT, Instruments
from backchannel.observability.signals import EndSpan, Record

from .facts import RATE, audio, called, returned, row

AGENT = SimpleNamespace(
    agent_id="default", name="Backchannel", model=object(), profile=SimpleNamespace(name="model", output_rate=RATE)
)


class Exported:
    """Providers that keep what they are given."""

    def __init__(self) -> None:
        self._spans = InMemorySpanExporter()
        self._reader = InMemoryMetricReader()
        self.tracer_provider = TracerProvider(shutdown_on_exit=False)
        self.tracer_provider.add_span_processor(SimpleSpanProcessor(self._spans))
        self.meter_provider = MeterProvider([self._reader], shutdown_on_exit=False)

    def spans(self) -> dict[str, ReadableSpan]:
        return {span.name: span for span in self._spans.get_finished_spans()}

    def points(self, name: str) -> list[Any]:
        data = self._reader.get_metrics_data()
        metrics = [m for r in data.resource_metrics for s in r.scope_metrics for m in s.metrics] if data else []
        return [point for metric in metrics if metric.name == name for point in metric.data.data_points]


@pytest.fixture
def exported(monkeypatch: pytest.MonkeyPatch) -> Iterator[Exported]:
    monkeypatch.setattr(telemetry, "_switch", telemetry._Switch())
    made = Exported()
    yield made
    made.tracer_provider.shutdown()
    made.meter_provider.shutdown()


def begun(exported: Exported, now: float = 100.0, **settings: Any) -> SessionTelemetry:
    instrument(exported.tracer_provider, exported.meter_provider, **settings)
    session = session_telemetry(AGENT, now)
    assert session is not None
    return session


def parents(spans: dict[str, ReadableSpan]) -> dict[str, str | None]:
    names = {span.context.span_id: name for name, span in spans.items() if span.context}
    return {name: names.get(span.parent.span_id) if span.parent else None for name, span in spans.items()}


def converse(session: SessionTelemetry) -> None:
    session.take(BidiConnectionStartEvent("k", "model-1"), 100.5)
    session.take(UserSpeechEvent(True), 101.0)
    session.take(UserSpeechEvent(False), 102.0)
    session.take(BidiResponseStartEvent("r"), 102.1)
    session.take(called(epochs=3), 102.2)
    session.take(row(), 102.3)
    session.take(returned(task="t"), 102.4)
    session.take(audio(), 102.5)
    session.take(Heard("r", RATE // 2), 102.75)
    session.take(BidiUsageEvent(100, 20, 120), 102.8)
    session.take(BidiInterruptionEvent("user_speech"), 103.0)
    session.take(BidiResponseCompleteEvent("r", "interrupted"), 103.1)
    session.take(row(status="failed", error="ValueError: no such file"), 110.0)
    session.ended(None, 120.0)


def test_a_conversation_is_the_expected_tree(exported: Exported):
    before = time.time_ns()
    converse(begun(exported))
    spans = exported.spans()
    assert parents(spans) == {
        "invoke_agent Backchannel": None,
        "connection model": "invoke_agent Backchannel",
        "chat model": "connection model",
        "execute_tool train": "invoke_agent Backchannel",
        "task train": "execute_tool train",
    }
    response, call = spans["chat model"], spans["execute_tool train"]
    assert response.context is not None
    assert [link.context.span_id for link in call.links] == [response.context.span_id]
    assert {name: span.kind for name, span in spans.items() if span.kind is SpanKind.CLIENT}.keys() == {
        "connection model",
        "chat model",
    }
    assert response.start_time is not None
    assert response.end_time is not None
    assert response.end_time - response.start_time == pytest.approx(0.9e9, abs=1e3)
    assert 2.1e9 - 1e3 <= response.start_time - before <= 2.1e9 + 60e9
    assert spans["task train"].status.status_code is StatusCode.ERROR
    assert spans["invoke_agent Backchannel"].status.status_code is StatusCode.UNSET
    attributes = spans["connection model"].attributes
    assert attributes is not None
    assert attributes["gen_ai.usage.input_tokens"] == 100


def test_a_conversation_is_measured(exported: Exported):
    converse(begun(exported))
    [latency] = exported.points("backchannel.response.latency")
    assert (latency.count, latency.sum) == (1, pytest.approx(0.75))
    assert latency.explicit_bounds[0] == 0.1
    [tool] = exported.points("backchannel.tool.duration")
    assert tool.sum == pytest.approx(0.2)
    assert tool.attributes["backchannel.tool.background"] is True
    [task] = exported.points("backchannel.task.duration")
    assert task.sum == pytest.approx(7.7)
    [heard] = exported.points("backchannel.audio.heard")
    assert heard.value == pytest.approx(0.5)
    assert {p.attributes["gen_ai.token.type"]: p.value for p in exported.points("backchannel.tokens")} == {
        "input": 100,
        "output": 20,
    }
    [interruption] = exported.points("backchannel.interruptions")
    assert interruption.value == 1


def test_a_session_belongs_to_the_span_that_it_was_started_in(exported: Exported):
    instrument(exported.tracer_provider, exported.meter_provider)
    with trace.get_tracer("test", tracer_provider=exported.tracer_provider).start_as_current_span("request"):
        session = session_telemetry(AGENT, 0.0)
    assert session is not None
    session.ended(None, 1.0)
    assert parents(exported.spans())["invoke_agent Backchannel"] == "request"


def test_a_task_whose_call_ended_long_ago_belongs_to_it_still(exported: Exported):
    session = begun(exported)
    session.take(called(), 101.0)
    session.take(returned(task="t"), 101.0)
    session.take(row(), 101.0)
    session.ended(None, 102.0)
    assert parents(exported.spans())["task train"] == "execute_tool train"


def test_the_values_of_an_attribute_are_bounded(exported: Exported):
    session = begun(exported)
    for number in range(DISTINCT + 50):
        session.take(called("c", f"invented_{number}"), 101.0)
        session.take(returned("c", f"invented_{number}"), 101.0)
    session.ended(None, 102.0)
    names = [point.attributes["gen_ai.tool.name"] for point in exported.points("backchannel.tool.duration")]
    assert len(names) == DISTINCT + 1
    assert "other" in names


def test_strange_names_can_be_exported(exported: Exported):
    session = begun(exported)
    session.take(called("c" * 1000, "\ud800" + "n" * 1000), 101.0)
    session.ended(None, 102.0)
    [name] = [name for name in exported.spans() if name.startswith("execute_tool")]
    assert len(name.encode("utf-8")) < 200


def test_no_time_that_is_none_keeps_a_span_open(exported: Exported):
    session = begun(exported)
    session.take(called(), float("nan"))
    session.ended(None, float("inf"))
    assert len(exported.spans()) == 2


class Broken(Exception):
    """Raised by what stands for an exporter or a machine that fails."""


def test_a_fault_is_logged_once_and_every_span_is_ended(
    exported: Exported, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    session = begun(exported)

    def fail(self: Instruments, record: Record) -> None:
        raise Broken("the exporter is gone")

    monkeypatch.setattr(Instruments, "measure", fail)
    with caplog.at_level(logging.WARNING, "backchannel"):
        converse(session)
    assert [record.name for record in caplog.records] == ["backchannel.observability.telemetry"]
    assert len(exported.spans()) == 5


def test_a_machine_that_fails_at_the_end_leaves_no_span_open(
    exported: Exported, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    session = begun(exported)
    session.take(called(), 101.0)

    def fail(*arguments: object) -> list[EndSpan]:
        raise Broken("no end")

    monkeypatch.setattr(type(session._session), "end", fail)
    session.ended(None, 102.0)
    assert len(exported.spans()) == 2
    assert len(caplog.records) == 1


def test_a_fact_that_cannot_be_read_does_not_disturb(exported: Exported, caplog: pytest.LogCaptureFixture):
    class Unreadable:
        def __str__(self) -> str:
            raise Broken("no text")

    session = begun(exported)
    for _ in range(3):
        event = called()
        event["current_tool_use"]["toolUseId"] = Unreadable()
        session.take(event, 101.0)
    session.ended(None, 102.0)
    assert len(caplog.records) == 1
    assert "invoke_agent Backchannel" in exported.spans()


def test_an_agent_that_cannot_be_read_has_no_telemetry(exported: Exported, caplog: pytest.LogCaptureFixture):
    class Unreadable:
        @property
        def profile(self) -> object:
            raise Broken("no profile")

    instrument(exported.tracer_provider, exported.meter_provider)
    assert session_telemetry(Unreadable()) is None
    assert "Broken" in caplog.text


async def test_the_time_is_the_running_loops(exported: Exported):
    instrument(exported.tracer_provider, exported.meter_provider)
    session = session_telemetry(AGENT)
    assert session is not None
    session.ended(None, 0.0)
    assert "invoke_agent Backchannel" in exported.spans()


def test_switched_off_there_is_no_telemetry(exported: Exported, monkeypatch: pytest.MonkeyPatch):
    assert session_telemetry(AGENT) is None
    instrument(exported.tracer_provider, exported.meter_provider)
    monkeypatch.setenv("BACKCHANNEL_TELEMETRY", "1")
    uninstrument()
    assert session_telemetry(AGENT) is None


def test_a_session_goes_on_being_traced_when_it_is_switched_off_meanwhile(exported: Exported):
    session = begun(exported)
    uninstrument()
    converse(session)
    assert len(exported.spans()) == 5


@pytest.mark.parametrize(("value", "on"), [("1", True), ("TRUE", True), ("on", True), ("0", False), ("", False)])
def test_the_environment_switches_it_on(exported: Exported, monkeypatch: pytest.MonkeyPatch, value: str, on: bool):
    monkeypatch.setenv("BACKCHANNEL_TELEMETRY", value)
    session = session_telemetry(AGENT)
    assert (session is not None) is on
    if session is not None:
        session.ended(None, 0.0)


def test_without_the_extra_code_is_told_and_the_environment_only_warned(
    exported: Exported, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setitem(sys.modules, "backchannel.observability.otel", None)
    with pytest.raises(MissingExtraError, match="otel"):
        instrument()
    monkeypatch.setenv("BACKCHANNEL_TELEMETRY", "1")
    assert session_telemetry(AGENT) is None
    assert session_telemetry(AGENT) is None
    assert len(caplog.records) == 1


def test_off_does_not_import_opentelemetry():
    code = (
        "import sys, types, backchannel.observability as o\n"
        "agent = types.SimpleNamespace(agent_id='a', name='n', model=None, profile=None)\n"
        "assert o.session_telemetry(agent) is None\n"
        "print(*{name.partition('.')[0] for name in sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "opentelemetry" not in done.stdout.split()
