"""A conversation as a trace: what the agent loop tells the telemetry."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from backchannel import BidiAgent, tool
from backchannel.errors import BidiModelTimeoutError
from backchannel.models.scripted import ScriptedModel, call, expect_result, fail, hear, say
from backchannel.observability import instrument, uninstrument
from tests.support.virtual_time import virtual_time

pytest.importorskip("opentelemetry.sdk", reason="the otel extra is not installed")
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter


@tool
async def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@pytest.fixture
def telemetry() -> Iterator[tuple[InMemorySpanExporter, InMemoryMetricReader]]:
    spans, metrics = InMemorySpanExporter(), InMemoryMetricReader()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    meters = MeterProvider([metrics])
    instrument(provider, meters)
    yield spans, metrics
    uninstrument()
    meters.shutdown()


def test_a_conversation_is_a_tree_of_spans_and_its_answer_is_timed(telemetry: Any) -> None:
    spans, metrics = telemetry

    @virtual_time
    async def talk() -> None:
        model = ScriptedModel(
            hear("add"),
            call("add", {"a": 1, "b": 2}),
            expect_result("3"),
            say("Three."),
            fail(BidiModelTimeoutError("limit")),
            say("Here again."),
        )
        async with BidiAgent(model, tools=[add]) as agent:
            ends = 0
            async for event in agent.receive():
                ends += event.get("type") == "bidi_response_complete"
                if ends == 2:
                    break
            await asyncio.sleep(0.1)

    talk()
    finished = spans.get_finished_spans()
    names = [span.name.split()[0] for span in finished]
    kinds = {span.context.span_id: span for span in finished}
    roots = [span for span in finished if span.parent is None]
    assert len(roots) == 1
    assert all(span.parent.span_id in kinds for span in finished if span.parent is not None)
    assert sorted(names) == ["chat", "chat", "connection", "connection", "execute_tool", "invoke_agent"]
    text = str(metrics.get_metrics_data())
    for name in ("backchannel.response.latency", "backchannel.tool.duration", "backchannel.connection.restarts"):
        assert name in text


def test_a_failed_start_ends_its_trace(telemetry: Any) -> None:
    spans, _ = telemetry

    class Down(ScriptedModel):
        async def start(self, *args: Any, **kwargs: Any) -> None:
            raise OSError("no route")

    @virtual_time
    async def talk() -> None:
        with pytest.raises(OSError, match="no route"):
            await BidiAgent(Down()).start()

    talk()
    assert [span.status.is_ok for span in spans.get_finished_spans() if span.parent is None] == [False]
