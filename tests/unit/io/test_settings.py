"""The model's audio as channels read it, and conversion to it."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from backchannel.errors import AudioFormatError, InvalidInputError
from backchannel.events import BidiAudioStreamEvent
from backchannel.io.settings import AudioSettings, Converter, pcm_of
from backchannel.models.realtime import ModelProfile


def agent(audio: object = None, profile: ModelProfile | None = None) -> SimpleNamespace:
    model = SimpleNamespace() if audio is None else SimpleNamespace(config={"audio": audio})
    return SimpleNamespace(model=model, profile=profile)


def test_the_models_settings_are_read_from_its_config_else_its_profile():
    profile = ModelProfile(input_rate=24000, output_rate=22050)
    assert AudioSettings.of(agent(profile=profile)) == AudioSettings(24000, 22050, 1)
    assert AudioSettings.of(agent({"input_rate": 48000, "channels": 2}, profile)) == AudioSettings(48000, 22050, 2)
    assert AudioSettings.of(agent()) == AudioSettings(16000, 16000, 1)


@pytest.mark.parametrize(
    "audio",
    [{"input_rate": "16000"}, {"output_rate": 0}, {"input_rate": True}, {"channels": 3}, {"channels": True}],
)
def test_settings_that_cannot_be_used_are_named(audio: dict[str, object]):
    with pytest.raises(InvalidInputError, match=next(iter(audio))):
        AudioSettings.of(agent(audio))


def test_only_pcm_can_be_played():
    with pytest.raises(InvalidInputError, match="opus"):
        AudioSettings.of(agent({"format": "opus"}))
    with pytest.raises(AudioFormatError, match="mp3"):
        pcm_of(BidiAudioStreamEvent("AAAA", "mp3", 16000, 1))


def test_nothing_is_changed_where_nothing_is_to_be_converted():
    data = np.arange(100, dtype="<i2").tobytes()
    assert Converter(16000, 2, 16000, 2).feed(data) == data


def test_channels_are_mixed_and_spread():
    stereo = np.array([100, 300, -100, 100], dtype="<i2").tobytes()
    assert np.frombuffer(Converter(16000, 2, 16000, 1).feed(stereo), "<i2").tolist() == [200, 0]
    mono = np.array([5, -7], dtype="<i2").tobytes()
    assert np.frombuffer(Converter(16000, 1, 16000, 2).feed(mono), "<i2").tolist() == [5, 5, -7, -7]


@pytest.mark.parametrize("chunk", [1, 333, 5000])
def test_a_stream_keeps_its_length_whatever_the_chunks(chunk: int):
    converter = Converter(44100, 1, 16000, 2)
    data = bytes(2 * 88200)
    made = b"".join(converter.feed(data[at : at + 2 * chunk]) for at in range(0, len(data), 2 * chunk))
    made += converter.finish()
    assert len(made) == 4 * 32000


def test_half_a_sample_is_refused():
    with pytest.raises(AudioFormatError, match="3 bytes"):
        Converter(16000, 1, 16000, 1).feed(b"\0\0\0")
