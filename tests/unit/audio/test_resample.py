"""Sample rates: tones keep their pitch and level, streams equal wholes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backchannel.audio.pcm import Samples
from backchannel.audio.resample import Resampler, resample
from backchannel.errors import AudioFormatError

RATES = (8000, 16000, 22050, 24000, 44100, 48000)


def tone(rate: int, hertz: float, seconds: float = 0.25) -> Samples:
    return (10000 * np.sin(2 * np.pi * hertz * np.arange(int(rate * seconds)) / rate)).astype(np.int16)


@pytest.mark.parametrize("source", RATES)
@pytest.mark.parametrize("target", RATES)
def test_a_tone_keeps_pitch_level_and_place(source: int, target: int):
    made = resample(tone(source, 440), source, target)
    wanted = tone(target, 440)
    assert abs(len(made) - len(wanted)) <= 1
    middle = slice(target // 50, len(wanted) - target // 50)
    assert np.abs(made[middle].astype(int) - wanted[middle]).max() <= 4


@pytest.mark.parametrize("source", [24000, 44100, 48000])
def test_what_the_lower_rate_cannot_hold_is_removed(source: int):
    made = resample(tone(source, 9500), source, 16000)
    assert np.abs(made[400:-400]).max() <= 5


@settings(deadline=None, max_examples=40)
@given(
    st.sampled_from(RATES), st.sampled_from(RATES), st.lists(st.integers(0, 900), max_size=12), st.integers(0, 2**31)
)
def test_chunks_of_any_size_give_the_same_as_the_whole(source: int, target: int, sizes: list[int], seed: int):
    samples = np.random.default_rng(seed).integers(-20000, 20000, sum(sizes), dtype=np.int16)
    stream = Resampler(source, target)
    parts, at = [], 0
    for size in sizes:
        parts.append(stream.feed(samples[at : at + size]))
        at += size
    parts.append(stream.finish())
    assert np.array_equal(np.concatenate(parts), resample(samples, source, target))


def test_the_same_rate_changes_nothing():
    samples = tone(16000, 300)
    assert np.array_equal(resample(samples, 16000, 16000), samples)


def test_a_finished_stream_starts_afresh():
    stream = Resampler(44100, 16000)
    samples = tone(44100, 500)
    first = np.concatenate((stream.feed(samples), stream.finish()))
    second = np.concatenate((stream.feed(samples), stream.finish()))
    assert np.array_equal(first, second)


def test_a_stream_lags_at_most_three_milliseconds():
    assert 0.25 - len(Resampler(48000, 16000).feed(tone(48000, 440))) / 16000 < 0.003


@pytest.mark.parametrize("rates", [(0, 16000), (16000, -1), (15991, 16000)])
def test_rates_without_use_are_refused(rates: tuple[int, int]):
    with pytest.raises(AudioFormatError, match="cannot convert"):
        Resampler(*rates)


@pytest.mark.parametrize("rates", [(768_001, 16000), (10**9, 16000), (16000, 10**9), (44101, 16000), (7, 16000)])
def test_odd_rates_are_refused_in_words(rates: tuple[int, int]):
    with pytest.raises(AudioFormatError, match="cannot convert"):
        Resampler(*rates)


def test_a_long_recording_is_converted_in_blocks():
    samples = np.arange(200_000, dtype=np.int16)
    converter = Resampler(44100, 16000)
    whole = np.concatenate((converter.feed(samples), converter.finish()))
    assert np.array_equal(resample(samples, 44100, 16000), whole)
