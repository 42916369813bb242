"""The telemetry of a session as a machine: which spans and measurements follow from which facts."""

from __future__ import annotations

import asyncio
import math
import pickle
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backchannel.errors import BidiModelTimeoutError
from backchannel.events import (
    AudioHandedOut,
    BidiAudioStreamEvent,
    BidiConnectionCloseEvent,
    BidiConnectionRestartEvent,
    BidiConnectionStartEvent,
    BidiErrorEvent,
    BidiInterruptionEvent,
    BidiResponseCompleteEvent,
    BidiResponseStartEvent,
    BidiUsageEvent,
    ConnectionLost,
    Heard,
    PlayerReady,
    TaskUpdateEvent,
    ToolUseStreamEvent,
    UserSpeechEvent,
    UserTextSent,
)
from backchannel.observability.calls import MAX_OPEN
from backchannel.observability.responses import ANSWER_S
from backchannel.observability.session import About, Session
from backchannel.observability.signals import METRICS, AddEvent, EndSpan, Record, Signal, StartSpan

from .facts import RATE, audio, called, returned, row, said

ABOUT = About("default", "Backchannel", "model", RATE)


class Followed:
    """A session and all that it ordered."""

    def __init__(self, *, captures_content: bool = False) -> None:
        self.session = Session(ABOUT, 0.0, captures_content=captures_content)
        self.signals: list[Signal] = self.session.begin()

    def take(self, *facts: object, at: float = 0.0) -> Followed:
        for fact in facts:
            self.signals += self.session.take(fact, at)
        return self

    def end(self, error: BaseException | None = None, at: float = 0.0) -> Followed:
        self.signals += self.session.end(error, at)
        return self

    def starts(self, prefix: str = "") -> list[StartSpan]:
        return [item for item in self.signals if isinstance(item, StartSpan) and item.name.startswith(prefix)]

    def start(self, prefix: str) -> StartSpan:
        [only] = self.starts(prefix)
        return only

    def ended(self, prefix: str) -> EndSpan:
        [only] = [item for item in self.signals if isinstance(item, EndSpan) and item.span == self.start(prefix).span]
        return only

    def measured(self, metric: str) -> list[Record]:
        return [item for item in self.signals if isinstance(item, Record) and item.metric == metric]


def answered(followed: Followed) -> Followed:
    followed.take(BidiConnectionStartEvent("k", "model-1"), at=1.0)
    followed.take(UserSpeechEvent(True), at=2.0).take(UserSpeechEvent(False), at=3.0)
    followed.take(BidiResponseStartEvent("r"), at=3.2).take(audio(), at=3.5)
    return followed.take(Heard("r", RATE // 2), at=3.75)


def test_the_latency_is_from_the_end_of_speech_to_the_first_audio_heard():
    followed = answered(Followed())
    [latency] = followed.measured("backchannel.response.latency")
    assert latency.value == pytest.approx(0.75)
    assert latency.attributes == {"gen_ai.request.model": "model", "backchannel.input": "voice"}
    followed.take(Heard("r", RATE), at=4.5)
    assert len(followed.measured("backchannel.response.latency")) == 1


def test_generated_audio_that_nobody_hears_is_no_latency():
    followed = Followed().take(UserSpeechEvent(True), UserSpeechEvent(False), audio(), Heard("r", 0), at=1.0)
    assert followed.measured("backchannel.response.latency") == []


def test_a_response_that_was_playing_while_the_user_spoke_is_not_the_answer():
    followed = answered(Followed())
    followed.take(UserSpeechEvent(True), UserSpeechEvent(False), at=4.0).take(Heard("r", RATE), at=4.5)
    assert len(followed.measured("backchannel.response.latency")) == 1


def test_what_is_heard_long_after_the_turn_is_not_the_answer():
    followed = Followed().take(UserTextSent("hello"), at=1.0)
    followed.take(audio(), Heard("r", RATE), at=1.0 + ANSWER_S + 1)
    assert followed.measured("backchannel.response.latency") == []


@pytest.mark.parametrize(
    ("fact", "how"), [(UserTextSent("hello"), "text"), (said("hello"), "transcript")], ids=["text", "transcript"]
)
def test_the_latency_says_how_the_turn_ended(fact: object, how: str):
    followed = Followed().take(fact, at=1.0).take(audio(), Heard("r", RATE), at=1.5)
    [latency] = followed.measured("backchannel.response.latency")
    assert (latency.value, latency.attributes["backchannel.input"]) == (0.5, how)


def test_an_answer_in_text_leaves_no_latency_for_what_is_said_later():
    followed = Followed().take(UserTextSent("hello"), BidiResponseStartEvent("r"), at=1.0)
    followed.take(BidiResponseCompleteEvent("r", "complete"), audio("s"), Heard("s", RATE), at=2.0)
    assert followed.measured("backchannel.response.latency") == []


def test_a_response_ends_when_it_was_heard_and_not_when_it_was_generated():
    followed = answered(Followed()).take(BidiResponseCompleteEvent("r", "complete"), at=3.9)
    assert not [item for item in followed.signals if isinstance(item, EndSpan)]
    followed.take(Heard("r", RATE), at=4.5)
    end = followed.ended("chat")
    assert end.at == 4.5
    assert end.attributes["backchannel.response.outcome"] == "complete"
    assert end.attributes["gen_ai.response.finish_reasons"] == ("complete",)
    assert end.attributes["backchannel.audio.heard_s"] == 1.0
    assert [item.value for item in followed.measured("backchannel.audio.heard")] == [1.0]


def test_more_is_never_heard_than_was_generated():
    followed = answered(Followed()).take(Heard("r", 10 * RATE), at=9.0).end(at=9.0)
    assert [item.value for item in followed.measured("backchannel.audio.heard")] == [1.0]


def test_an_interruption_ends_the_response_with_what_was_heard_and_later_reports_still_count():
    followed = answered(Followed()).take(BidiInterruptionEvent("user_speech"), at=4.0)
    end = followed.ended("chat")
    assert (end.at, end.attributes["backchannel.response.outcome"]) == (4.0, "interrupted")
    assert end.attributes["backchannel.audio.heard_s"] == 0.5
    followed.take(Heard("r", 3 * RATE // 4), at=4.1).take(BidiResponseCompleteEvent("r", "interrupted"), at=4.2)
    assert sum(item.value for item in followed.measured("backchannel.audio.heard")) == 0.75
    assert len(followed.starts("chat")) == 1
    [interruption] = followed.measured("backchannel.interruptions")
    assert interruption.attributes["backchannel.interruption.reason"] == "user_speech"
    assert interruption.attributes["backchannel.interruption.of_response"] is True
    followed.take(BidiInterruptionEvent("error"), at=4.3)
    assert followed.measured("backchannel.interruptions")[1].attributes["backchannel.interruption.of_response"] is False


def test_without_a_player_what_is_handed_out_is_heard():
    followed = Followed().take(audio(), AudioHandedOut("r", RATE // 4), AudioHandedOut("r", RATE // 4), at=1.0).end()
    assert sum(item.value for item in followed.measured("backchannel.audio.heard")) == 0.5


def test_with_a_player_what_is_handed_out_is_not_counted_twice():
    followed = Followed().take(audio(), Heard("r", RATE // 4), AudioHandedOut("r", RATE // 4), at=1.0).end()
    assert sum(item.value for item in followed.measured("backchannel.audio.heard")) == 0.25


def test_a_model_that_names_no_responses_has_one_all_the_same():
    followed = Followed().take(audio(None), Heard("response-1", RATE), at=1.0)
    followed.take(BidiResponseCompleteEvent("response-1", "complete"), at=2.0)
    assert followed.ended("chat").attributes["backchannel.audio.heard_s"] == 1.0


def test_the_next_response_ends_the_one_before_when_something_of_it_last_happened():
    followed = answered(Followed()).take(BidiResponseStartEvent("s"), at=9.0)
    [first, _] = followed.starts("chat")
    [end] = [item for item in followed.signals if isinstance(item, EndSpan)]
    assert (end.span, end.at) == (first.span, 3.75)


def test_a_call_is_measured_and_linked_to_its_response():
    followed = answered(Followed()).take(called(name="weather"), at=5.0)
    followed.take(returned(name="weather", status="error", exception=KeyError("x")), at=5.5)
    start, end = followed.start("execute_tool"), followed.ended("execute_tool")
    assert (start.parent, start.link) == (followed.start("invoke_agent").span, followed.start("chat").span)
    assert start.attributes["gen_ai.tool.name"] == "weather"
    assert start.attributes["gen_ai.tool.call.id"] == "c"
    assert (end.error, end.attributes["backchannel.tool.status"]) == ("KeyError", "error")
    [duration] = followed.measured("backchannel.tool.duration")
    assert duration.value == 0.5
    assert duration.attributes["error.type"] == "KeyError"


def test_a_call_that_comes_twice_is_one_span_and_an_unknown_result_is_none():
    followed = Followed().take(called(), called(), returned("other"), returned(), returned()).end()
    assert len(followed.starts("execute_tool")) == 1
    assert len(followed.measured("backchannel.tool.duration")) == 1


def test_a_task_belongs_to_the_call_that_acknowledged_it():
    followed = Followed().take(called(), at=1.0).take(row(status="queued"), at=1.1).take(row(), at=1.2)
    assert followed.starts("task") == []
    followed.take(returned(task="t"), at=1.5)
    start = followed.start("task")
    assert (start.parent, start.at) == (followed.start("execute_tool").span, 1.1)
    followed.take(row(status="done"), at=4.2)
    assert followed.ended("task").attributes["backchannel.task.status"] == "done"
    [duration] = followed.measured("backchannel.task.duration")
    assert duration.value == pytest.approx(3.0)
    assert followed.ended("execute_tool").attributes["backchannel.task.id"] == "t"


def test_a_task_that_is_heard_of_after_its_acknowledgement_belongs_to_the_call_too():
    followed = Followed().take(called(), returned(task="t"), row(), at=1.0)
    assert followed.start("task").parent == followed.start("execute_tool").span


def test_two_calls_of_one_tool_have_each_their_own_task():
    followed = Followed().take(called("a"), called("b"), row("one"), row("two"), at=1.0)
    followed.take(returned("b", task="one"), returned("a", task="two"), at=2.0)
    calls = {start.attributes["gen_ai.tool.call.id"]: start.span for start in followed.starts("execute_tool")}
    parents = {start.attributes["backchannel.task.id"]: start.parent for start in followed.starts("task")}
    assert parents == {"one": calls["b"], "two": calls["a"]}


def test_a_task_that_ends_within_its_call_belongs_to_it():
    followed = Followed().take(called(), row(), row(status="failed"), returned(), at=1.0)
    assert followed.start("task").parent == followed.start("execute_tool").span
    assert followed.ended("task").error == "failed"


def test_a_task_without_a_call_belongs_to_the_session():
    followed = Followed().take(called(name="other"), row(), at=1.0)
    assert followed.start("task").parent == followed.start("invoke_agent").span


def test_what_is_told_of_a_task_after_its_end_changes_nothing():
    followed = Followed().take(row(status="done"), row(), row(status="done"), at=1.0).end(at=2.0)
    assert len(followed.starts("task")) == 1
    assert len(followed.measured("backchannel.task.duration")) == 1


def test_a_task_that_outlives_the_session_is_ended_with_words_that_say_so():
    followed = Followed().take(called(), row(), returned(task="t"), at=1.0).end(at=5.0)
    end = followed.ended("task")
    assert (end.at, end.attributes["backchannel.task.status"]) == (5.0, "open at session end")
    assert followed.measured("backchannel.task.duration") == []


def test_a_restart_ends_the_connection_and_its_response():
    followed = answered(Followed()).take(ConnectionLost(), at=5.0)
    followed.take(BidiConnectionRestartEvent(BidiModelTimeoutError("eight minutes")), at=5.0)
    followed.take(BidiConnectionStartEvent("l", "model-1"), at=6.0)
    assert followed.starts("connection")[0].parent == followed.start("invoke_agent").span
    assert followed.start("chat").parent == followed.starts("connection")[0].span
    assert followed.ended("chat").attributes["backchannel.response.outcome"] == "lost"
    assert [item.value for item in followed.measured("backchannel.connection.restarts")] == [1]
    [event] = [item for item in followed.signals if isinstance(item, AddEvent) and "restart" in item.name]
    assert event.attributes == {"error.type": "BidiModelTimeoutError"}


def test_tokens_are_counted_once_though_reports_are_totals():
    followed = Followed().take(BidiConnectionStartEvent("k", "m"), BidiUsageEvent(10, 5, 15), BidiUsageEvent(30, 6, 36))
    followed.take(BidiConnectionStartEvent("l", "m"), BidiUsageEvent(7, 1, 8), BidiUsageEvent(3, 1, 4))
    followed.end()
    total: Counter[Any] = Counter()
    for item in followed.measured("backchannel.tokens"):
        total[item.attributes["gen_ai.token.type"]] += int(item.value)
    assert total == {"input": 40, "output": 7}
    assert followed.ended("invoke_agent").attributes["gen_ai.usage.input_tokens"] == 40


@pytest.mark.parametrize(
    ("error", "outcome", "kind"),
    [(None, "ended", None), (asyncio.CancelledError(), "cancelled", None), (ValueError("x"), "error", "ValueError")],
)
def test_the_session_says_how_it_ended(error: BaseException | None, outcome: str, kind: str | None):
    end = Followed().end(error, 1.0).ended("invoke_agent")
    assert (end.attributes["backchannel.session.outcome"], end.error) == (outcome, kind)


def test_after_the_end_nothing_is_ordered():
    followed = Followed().end(at=1.0)
    before = len(followed.signals)
    followed.take(called(), audio(), row(), at=2.0).end(at=3.0)
    assert len(followed.signals) == before


def test_a_thousand_calls_at_once_are_a_thousand_spans_and_far_more_are_only_counted():
    followed = Followed().take(*(called(f"c{number}") for number in range(MAX_OPEN + 5))).end()
    assert len(followed.starts("execute_tool")) == MAX_OPEN
    end = followed.ended("invoke_agent").attributes
    assert end["backchannel.session.tools"] == MAX_OPEN + 5
    assert end["backchannel.session.dropped_spans"] == 5


MARK = "the user's words"


def with_content() -> list[object]:
    return [
        BidiConnectionStartEvent("k", "m"),
        UserTextSent(MARK),
        said(MARK),
        said(MARK, "assistant"),
        said(MARK, final=False),
        called(question=MARK, password="hunter2"),
        row(message=MARK, label=MARK, logs=[MARK]),
        returned(text=MARK, task="t"),
        row(status="failed", error=MARK, text=MARK),
        BidiErrorEvent(ValueError(MARK), {"text": MARK}),
        BidiConnectionRestartEvent(BidiModelTimeoutError(MARK)),
    ]


def test_content_is_kept_only_when_asked_for_and_then_without_secrets():
    silent = Followed().take(*with_content()).end(RuntimeError(MARK))
    assert MARK not in repr(silent.signals)
    full = Followed(captures_content=True).take(*with_content()).end(RuntimeError(MARK))
    names = {
        name for item in full.signals for name, value in getattr(item, "attributes", {}).items() if MARK in str(value)
    }
    assert names == {
        "backchannel.transcript.text",
        "gen_ai.tool.call.arguments",
        "gen_ai.tool.call.result",
        "exception.message",
    }
    assert "hunter2" not in repr(full.signals)


# Any sequence of facts

ids = st.sampled_from(["a", "b", "c"])
samples = st.integers(0, 3 * RATE)
tools = st.sampled_from(["train", "search"])
facts = st.one_of(
    st.builds(BidiConnectionStartEvent, ids, st.just("m")),
    st.just(ConnectionLost()),
    st.builds(BidiConnectionRestartEvent, st.just(BidiModelTimeoutError("limit"))),
    st.builds(BidiConnectionCloseEvent, ids, st.just("complete")),
    st.builds(BidiResponseStartEvent, ids),
    st.builds(audio, st.none() | ids, st.integers(0, 50)),
    st.builds(BidiResponseCompleteEvent, ids, st.sampled_from(["complete", "error", "interrupted", "tool_use"])),
    st.builds(BidiInterruptionEvent, st.sampled_from(["user_speech", "error"])),
    st.builds(BidiUsageEvent, st.integers(0, 99), st.integers(0, 99), st.integers(0, 99)),
    st.builds(Heard, ids, samples, st.booleans()),
    st.builds(AudioHandedOut, ids, samples),
    st.builds(UserSpeechEvent, st.booleans()),
    st.builds(UserTextSent, st.text(max_size=3)),
    st.builds(said, st.text(max_size=3), st.sampled_from(["user", "assistant"]), final=st.booleans()),
    st.builds(called, ids, tools),
    st.builds(returned, ids, tools, status=st.sampled_from(["success", "error"]), task=st.none() | ids),
    st.builds(row, ids, st.sampled_from(["queued", "running", "done", "failed", "cancelled", "timed_out", "?"]), tools),
    st.builds(
        TaskUpdateEvent, st.dictionaries(st.sampled_from(["id", "status", "tool"]), st.none() | ids | st.integers())
    ),
    st.builds(
        ToolUseStreamEvent, st.just({}), st.dictionaries(st.sampled_from(["name", "toolUseId"]), st.none() | ids)
    ),
    st.sampled_from([PlayerReady(), None, "text", 3]),
)
times = st.floats(-5.0, 200.0) | st.sampled_from([math.nan, math.inf, -math.inf])


def check(signals: list[Signal]) -> None:
    """What holds for whatever happened."""
    starts: dict[int, StartSpan] = {}
    ends: dict[int, EndSpan] = {}
    for signal in signals:
        match signal:
            case StartSpan():
                assert signal.span not in starts
                if signal.parent is None:
                    assert not starts
                else:
                    parent = starts[signal.parent]
                    assert signal.at >= parent.at
                    assert signal.parent not in ends or signal.name.startswith("task")
                assert signal.link is None or starts[signal.link].name.startswith("chat")
                starts[signal.span] = signal
                responses = [n for n, start in starts.items() if start.name.startswith("chat") and n not in ends]
                assert len(responses) <= 1
                connections = [
                    n for n, start in starts.items() if start.name.startswith("connection") and n not in ends
                ]
                assert len(connections) <= 1
            case EndSpan():
                start = starts[signal.span]
                assert signal.span not in ends
                assert signal.at >= start.at
                ends[signal.span] = signal
                for number, child in starts.items():
                    if child.parent != signal.span or child.name.startswith("task"):
                        continue
                    assert ends[number].at <= signal.at
            case AddEvent():
                assert signal.span not in ends
                assert signal.at >= starts[signal.span].at
            case Record():
                assert signal.metric in METRICS
                assert signal.value >= 0
                assert math.isfinite(signal.value)
        for value in getattr(signal, "attributes", {}).values():
            assert isinstance(value, str | int | float | tuple)
    assert set(starts) == set(ends)
    [session] = [number for number, start in starts.items() if start.parent is None]
    assert all(end.at <= ends[session].at for end in ends.values())
    for signal in signals:
        if isinstance(signal, AddEvent):
            assert signal.at <= ends[signal.span].at


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(facts, times), max_size=40), times, st.booleans())
def test_whatever_happens_every_span_is_ended_in_order(happened: list[Any], at: float, content: bool):
    followed = Followed(captures_content=content)
    for fact, now in happened:
        followed.take(fact, at=now)
    followed.end(at=at)
    check(followed.signals)
    heard = sum(item.value for item in followed.measured("backchannel.audio.heard"))
    generated = sum(fact.samples for fact, _ in happened if isinstance(fact, BidiAudioStreamEvent))
    assert heard <= generated / RATE + 1e-9


def rounds(count: int) -> int:
    """Return the size of a session's state after so many rounds of a conversation."""
    session = Session(ABOUT, 0.0)
    session.begin()
    for number in range(count):
        name = f"{number:08}"
        for fact in (
            BidiConnectionStartEvent(name, "m"),
            UserSpeechEvent(True),
            UserSpeechEvent(False),
            BidiResponseStartEvent(name),
            audio(name, 10),
            called(name),
            row(name),
            returned(name, task=name),
            Heard(name, 10),
            BidiResponseCompleteEvent(name, "complete"),
            row(name, "done"),
            returned(f"x{name}", task=f"x{name}"),
            BidiUsageEvent(number, number, number),
        ):
            session.take(fact, float(number))
    return len(pickle.dumps(session))


def test_a_long_session_needs_no_more_memory_than_a_short_one():
    assert rounds(4000) <= rounds(1500) + 200
