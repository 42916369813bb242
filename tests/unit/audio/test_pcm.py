"""Samples, levels and WAV files."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backchannel.audio.pcm import dither, from_bytes, level_db, mono, read_wav, rms, speech_gain, to_int16, write_wav
from backchannel.errors import AudioFormatError

TONE = (8000 * np.sin(np.arange(1600) / 8)).astype(np.int16)


def wav(kind: int, bits: int, body: bytes, rate: int = 16000, channels: int = 1) -> bytes:
    frame = channels * bits // 8
    head = struct.pack("<HHIIHH", kind, channels, rate, rate * frame, frame, bits)
    data = b"fmt " + struct.pack("<I", 16) + head + b"data" + struct.pack("<I", len(body)) + body
    return b"RIFF" + struct.pack("<I", 4 + len(data)) + b"WAVE" + data


@given(st.lists(st.integers(-32768, 32767), min_size=1, max_size=50), st.sampled_from([8000, 16000, 44100]))
def test_a_wav_file_gives_back_the_samples_that_it_was_made_of(values: list[int], rate: int):
    samples = np.array(values, dtype=np.int16)
    read, read_rate = read_wav(write_wav(samples, rate))
    assert read.tolist() == values
    assert read_rate == rate


@pytest.mark.parametrize(
    ("kind", "bits", "body"),
    [
        (1, 8, bytes([128, 192, 64])),
        (1, 16, struct.pack("<3h", 0, 16384, -16384)),
        (1, 24, b"\x00\x00\x00" + b"\x00\x00\x40" + b"\x00\x00\xc0"),
        (1, 32, struct.pack("<3i", 0, 1 << 30, -(1 << 30))),
        (3, 32, struct.pack("<3f", 0, 0.5, -0.5)),
        (3, 64, struct.pack("<3d", 0, 0.5, -0.5)),
    ],
)
def test_every_depth_is_converted_to_sixteen_bit(kind: int, bits: int, body: bytes):
    assert read_wav(wav(kind, bits, body))[0].tolist() == [0, 16384, -16384]


def test_stereo_is_mixed_to_mono():
    body = struct.pack("<4h", 100, 300, -200, 0)
    assert read_wav(wav(1, 16, body, channels=2))[0].tolist() == [200, -100]


def test_an_extensible_header_says_what_the_samples_are():
    head = struct.pack("<HHIIHHHHIH", 0xFFFE, 1, 16000, 32000, 2, 16, 22, 16, 4, 1) + bytes(14)
    data = b"fmt " + struct.pack("<I", len(head)) + head + b"data" + struct.pack("<Ih", 2, 77)
    assert read_wav(b"RIFF" + struct.pack("<I", 4 + len(data)) + b"WAVE" + data)[0].tolist() == [77]


def test_chunks_that_are_not_known_are_skipped():
    plain = write_wav(TONE, 16000)
    marked = plain[:12] + b"LIST" + struct.pack("<I", 3) + b"abc\x00" + plain[12:]
    assert np.array_equal(read_wav(marked)[0], TONE)


def test_a_file_cut_off_within_its_samples_gives_what_is_there():
    assert np.array_equal(read_wav(write_wav(TONE, 16000)[:-101])[0], TONE[:-51])


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "question.wav is not a WAV file but empty"),
        (b"ID3\x03 this is not one", "question.wav is not a WAV file"),
        (write_wav(TONE[:0], 16000), "question.wav holds no samples"),
        (write_wav(TONE, 16000)[:30], "question.wav is cut off: it has no samples"),
        (write_wav(TONE, 16000)[:36], "question.wav is cut off: it has no samples"),
        (b"RIFF\0\0\0\0WAVEfmt \x02\0\0\0\x01\0data\0\0\0\0", "question.wav is cut off: its format chunk has 2"),
        (wav(85, 16, b"\0\0"), "question.wav holds MP3"),
        (wav(1, 12, b"\0\0\0"), "question.wav holds format 1 with 12 bit samples"),
        (wav(1, 16, b"\0\0", rate=0), "question.wav says 1 channels at 0 Hz"),
        (wav(1, 16, b"\0\0", channels=0), "question.wav says 0 channels"),
    ],
)
def test_what_cannot_be_read_is_refused_in_words(data: bytes, words: str):
    with pytest.raises(AudioFormatError) as caught:
        read_wav(data, "question.wav")
    assert words in str(caught.value)


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data: bytes):
    for body in (data, b"RIFF\0\0\0\0WAVEfmt " + data):
        try:
            samples, rate = read_wav(body)
        except AudioFormatError:
            continue
        assert len(samples) > 0
        assert rate > 0


def test_half_a_sample_is_refused():
    with pytest.raises(AudioFormatError, match="3 bytes are not whole"):
        from_bytes(b"abc")


def test_two_channels_become_one():
    assert from_bytes(struct.pack("<4h", 1, 3, 5, 7), channels=2).tolist() == [2, 6]
    assert mono(np.array([1, 3], dtype=np.int16), 1).tolist() == [1, 3]


def test_levels_are_measured_against_full_scale():
    assert rms(np.full(10, 100, dtype=np.int16)) == 100
    assert rms(TONE[:0]) == 0
    assert level_db(np.full(10, 16384, dtype=np.int16)) == pytest.approx(-6.02, abs=0.01)
    assert level_db(np.zeros(10, dtype=np.int16)) == float("-inf")


def test_silence_is_dithered_to_the_level_that_is_asked_for():
    noise = dither(np.zeros(16000, dtype=np.int16), 16.0, np.random.default_rng(1))
    assert rms(noise) == pytest.approx(16, rel=0.03)


def test_dither_does_not_wrap_around_at_full_scale():
    loud = np.full(1000, 32767, dtype=np.int16)
    assert dither(loud, 16.0, np.random.default_rng(1)).min() > 32000


@given(st.floats(0.001, 1.0))
def test_speech_is_brought_to_one_level_whatever_it_had(factor: float):
    samples = to_int16(TONE * 4.0 * factor)
    gained = samples * speech_gain(samples)
    assert np.abs(gained).max() <= 32768
    assert level_db(to_int16(gained)) == pytest.approx(-24, abs=1.5)


def test_silence_is_not_amplified():
    assert speech_gain(np.zeros(1000, dtype=np.int16)) == 1
    assert speech_gain(TONE[:0]) == 1
