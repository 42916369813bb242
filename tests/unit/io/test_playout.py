"""What is still to be played: order, positions, interruptions and bounds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backchannel.errors import AudioFormatError
from backchannel.events import BidiAudioStreamEvent
from backchannel.io.playout import Mark, Playout


def voice(samples: int, response_id: str | None = "r", rate: int = 16000, value: int = 1) -> BidiAudioStreamEvent:
    data = np.full(samples, value, dtype="<i2").tobytes()
    return BidiAudioStreamEvent.from_data(data, rate, response_id)


def test_what_is_taken_is_marked_and_the_last_of_a_response_is_its_end():
    playout = Playout(16000)
    playout.add(voice(30))
    assert playout.complete("r") is None
    assert playout.take(20) == (np.ones(20, "<i2").tobytes(), [Mark("r", 20)])
    assert playout.take(20) == (np.ones(10, "<i2").tobytes(), [Mark("r", 30, finished=True)])
    assert playout.take(20) == (b"", [])
    assert playout.empty


def test_a_response_that_was_taken_already_is_finished_when_it_is_complete():
    playout = Playout(16000)
    playout.add(voice(30))
    playout.take(50)
    assert playout.complete("r") == Mark("r", 30, finished=True)


def test_a_response_without_audio_is_finished_when_it_is_complete():
    assert Playout(16000).complete("r") == Mark("r", 0, finished=True)


def test_two_responses_are_marked_apart():
    playout = Playout(16000)
    playout.add(voice(10, "a"))
    playout.add(voice(10, "b"))
    playout.complete("a")
    assert playout.take(15)[1] == [Mark("a", 10, finished=True), Mark("b", 5)]


def test_after_an_interruption_nothing_is_left_and_nothing_unheard_is_reported():
    playout = Playout(16000)
    playout.add(voice(100))
    playout.take(40)
    playout.clear()
    assert playout.take(100) == (b"", [])
    assert playout.complete("r") == Mark("r", 40, finished=True)


def test_positions_count_the_models_samples_when_the_player_has_another_rate():
    playout = Playout(48000, channels=2)
    for _ in range(10):
        playout.add(voice(2400, rate=24000))
    playout.complete("r")
    half, marks = playout.take(24000)
    assert len(half) == 4 * 24000
    assert abs(marks[-1].samples - 12000) <= 40
    rest, marks = playout.take(100_000)
    assert len(rest) == 4 * 24000
    assert marks[-1] == Mark("r", 24000, finished=True)


def test_beyond_its_bound_the_oldest_is_dropped_and_its_response_still_finishes():
    playout = Playout(16000, most_s=0.01)
    playout.add(voice(100, "a", value=1))
    playout.complete("a")
    playout.add(voice(160, "b", value=2))
    assert playout.dropped == 100
    data, marks = playout.take(1000)
    assert set(np.frombuffer(data, "<i2").tolist()) == {2}
    assert marks == [Mark("a", 0, finished=True), Mark("b", 160)]


def test_other_formats_are_refused():
    with pytest.raises(AudioFormatError, match="opus"):
        Playout(16000).add(BidiAudioStreamEvent("AAAA", "opus", 16000, 1))


def test_a_thousand_responses_leave_little_behind():
    playout = Playout(16000)
    for number in range(1000):
        playout.add(voice(1, str(number)))
        playout.take(1)
        playout.complete(str(number))
    assert len(playout._progress) <= 64


@given(
    steps=st.lists(
        st.one_of(
            st.tuples(st.sampled_from(["a", "b"]), st.integers(0, 300)),
            st.integers(0, 200),
            st.just("clear"),
        ),
        max_size=30,
    )
)
def test_marks_never_go_back_nor_beyond_what_was_given(steps: list[object]):
    playout, given_, seen, taken = Playout(16000), {"a": 0, "b": 0}, {"a": 0, "b": 0}, 0
    for step in steps:
        match step:
            case (str(name), int(samples)):
                playout.add(voice(samples, name))
                given_[name] += samples
            case int(frames):
                data, marks = playout.take(frames)
                assert len(data) <= 2 * frames
                taken += len(data) // 2
                for mark in marks:
                    assert seen[mark.response_id] <= mark.samples <= given_[mark.response_id]
                    seen[mark.response_id] = mark.samples
            case _:
                playout.clear()
    assert taken <= sum(given_.values())
    if "clear" not in steps:
        taken += len(playout.take(10_000)[0]) // 2
        assert taken == sum(given_.values())
