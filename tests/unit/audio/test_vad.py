"""From probabilities to utterances."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backchannel.audio.vad import (
    EnergyActivity,
    SpeechFact,
    SpeechOnset,
    SpeechPaused,
    SpeechStarted,
    SpeechStopped,
    TurnDetector,
)

FRAME_S = 0.032


def run(detector: TurnDetector, *spans: tuple[float, int], hangover_s: float | None = None) -> list[SpeechFact]:
    """Feed spans of (probability, frames); say what the detector found."""
    facts, now = [], 0.0
    for probability, frames in spans:
        for _ in range(frames):
            now += FRAME_S
            facts += detector.feed(probability, now, hangover_s)
    return facts


def test_speech_starts_after_the_least_speech_and_reaches_back_before_it():
    (started,) = run(TurnDetector(), (0.0, 20), (0.9, 10))
    assert started == SpeechStarted(at=pytest.approx(23 * FRAME_S), since=pytest.approx(20 * FRAME_S - 0.32))


def test_speech_at_the_very_beginning_reaches_back_to_the_beginning():
    (started,) = run(TurnDetector(), (0.9, 10))
    assert isinstance(started, SpeechStarted)
    assert started.since == 0


def test_a_short_noise_is_not_speech():
    assert run(TurnDetector(), (0.0, 5), (0.9, 2), (0.0, 30)) == []


def test_silence_pauses_and_then_ends_an_utterance():
    _, paused, stopped = run(TurnDetector(), (0.9, 20), (0.0, 30))
    end = pytest.approx(20 * FRAME_S)
    assert paused == SpeechPaused(at=pytest.approx(24 * FRAME_S), since=end)
    assert stopped == SpeechStopped(at=pytest.approx(33 * FRAME_S), until=end)


def test_a_shorter_hangover_ends_it_sooner():
    facts = run(TurnDetector(), (0.9, 20), (0.0, 30), hangover_s=0.25)
    assert isinstance(facts[-1], SpeechStopped)
    assert facts[-1].at == pytest.approx(28 * FRAME_S)


def test_speech_that_goes_on_after_a_pause_is_one_utterance():
    detector = TurnDetector()
    facts = run(detector, (0.9, 20), (0.0, 6))
    assert detector.paused
    facts += run(detector, (0.9, 1))
    assert not detector.paused
    assert [type(fact) for fact in facts] == [SpeechStarted, SpeechPaused]


def test_a_probability_between_the_thresholds_keeps_speech_but_does_not_start_it():
    assert run(TurnDetector(), (0.4, 50)) == []
    assert len(run(TurnDetector(), (0.9, 5), (0.4, 50))) == 1


def test_endless_talk_is_cut():
    facts = run(TurnDetector(longest_s=15.0), (0.9, 1000))
    assert [fact.reason for fact in facts if isinstance(fact, SpeechStopped)] == ["too_long", "too_long"]


def test_the_end_of_the_audio_ends_the_utterance():
    detector = TurnDetector()
    run(detector, (0.9, 20))
    (stopped,) = detector.finish()
    assert isinstance(stopped, SpeechStopped)
    assert stopped.reason == "finished"
    assert detector.finish() == []


@given(st.lists(st.floats(0, 1), max_size=400))
def test_starts_and_stops_take_turns_and_times_do_not_go_back(probabilities: list[float]):
    detector, now, last, speaking = TurnDetector(longest_s=3.0), 0.0, 0.0, False
    for probability in probabilities:
        now += FRAME_S
        for fact in detector.feed(probability, now):
            assert fact.at == now >= last
            last = fact.at
            assert isinstance(fact, SpeechStarted) is not speaking
            speaking = detector.speaking
            if isinstance(fact, SpeechStopped):
                assert fact.until <= fact.at
    assert detector.speaking is speaking


@given(st.lists(st.floats(0, 0.34), max_size=200))
def test_silence_for_ever_says_nothing(probabilities: list[float]):
    assert run(TurnDetector(), *((probability, 1) for probability in probabilities)) == []


def test_the_level_tells_speech_from_noise_of_any_loudness():
    for floor in (5, 200):
        activity, noise = EnergyActivity(), np.random.default_rng(1)
        activity.load()

        def frame(level: float, noise: np.random.Generator = noise) -> np.ndarray:
            return noise.normal(0, level, 512).astype(np.int16)

        quiet = [activity.probability(frame(floor)) for _ in range(600)]
        loud = [activity.probability(frame(floor * 20)) for _ in range(20)]
        assert max(quiet[-200:]) < 0.2
        assert min(loud) > 0.8
        assert activity.probability(np.zeros(512, dtype=np.int16)) < 0.1


def tone(seconds: float, rate: int, level: float = 8000) -> np.ndarray:
    return np.round(level * np.sin(2 * np.pi * 220 * np.arange(int(seconds * rate)) / rate)).astype("<i2")


def sound(rate: int) -> np.ndarray:
    """Half a second of silence, a second of a tone, a second of silence, and the same once more."""
    once = [np.zeros(rate // 2, "<i2"), tone(1, rate), np.zeros(rate, "<i2")]
    return np.concatenate(once + once)


@pytest.mark.parametrize("rate", [8000, 16000, 24000, 44100, 48000])
@pytest.mark.parametrize("chunk_ms", [10, 20, 33, 100, 5000])
@pytest.mark.parametrize("channels", [1, 2])
def test_each_utterance_has_one_beginning_whatever_the_chunks(rate: int, chunk_ms: int, channels: int):
    onset, samples, size = SpeechOnset(), sound(rate), rate * chunk_ms // 1000
    begun = []
    for start in range(0, len(samples), size):
        data = np.repeat(samples[start : start + size], channels).tobytes()
        if onset.feed(data, rate, channels):
            begun.append(min(start + size, len(samples)) / rate)
    if chunk_ms == 5000:
        assert begun == [5.0]
    else:
        assert begun == [pytest.approx(0.6, abs=0.15), pytest.approx(3.1, abs=0.15)]


def test_silence_and_steady_noise_begin_nothing_for_long():
    onset, rate = SpeechOnset(), 16000
    noise = np.random.default_rng(1).normal(0, 100, rate * 20).astype("<i2")
    begun = [n for n in range(1000) if onset.feed(noise[n * 320 : n * 320 + 320].tobytes(), rate, 1)]
    assert all(n < 150 for n in begun)  # The first three seconds, until the noise is known.
    assert not any(onset.feed(bytes(640), rate, 1) for _ in range(500))
