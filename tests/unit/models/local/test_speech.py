"""flite under wasmtime: the voice that ships."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from backchannel.audio.pcm import from_bytes, level_db
from backchannel.errors import InvalidInputError, ModelError
from backchannel.models.local.speech import VOICES, FliteSpeech, flite_path
from tests.support.speech import needs_speech


@pytest.fixture(scope="module")
def slt() -> FliteSpeech:
    return FliteSpeech("slt")


@needs_speech
@pytest.mark.parametrize("voice", VOICES)
def test_every_voice_says_a_sentence_in_about_its_time(voice: str):
    samples = from_bytes(FliteSpeech(voice).speak("Started research solar power, task one."))
    assert 2.0 < len(samples) / 16000 < 4.0
    assert level_db(samples) > -40


@needs_speech
def test_the_voice_starts_at_once(slt: FliteSpeech):
    samples = from_bytes(slt.speak("Hello."))
    assert np.nonzero(np.abs(samples.astype(int)) > 200)[0][0] <= 320


@needs_speech
@pytest.mark.parametrize(
    "text",
    [
        "-t",
        "$5.00 & 20% <b>x</b>",
        "e.g. U.S.A. 10:30pm 3/4/2024 1e-9",
        "%s%n%d",
        "a" * 300,
        "\x00abc",
        "naïve café",
        "'" * 9 + "a",
    ],
)
def test_odd_text_is_said_all_the_same(slt: FliteSpeech, text: str):
    assert len(slt.speak(text)) > 1000


@needs_speech
@pytest.mark.parametrize("text", ["", "...", "?!", "日本", " \n"])
def test_text_without_words_is_silence(slt: FliteSpeech, text: str):
    assert slt.speak(text) == b""


@needs_speech
def test_a_long_text_is_bounded(slt: FliteSpeech):
    assert len(slt.speak("word " * 5000)) < 60 * 32000


@needs_speech
def test_threads_do_not_disturb_each_other(slt: FliteSpeech):
    texts = [f"This is sentence number {number}." for number in range(6)]
    alone = [slt.speak(text) for text in texts]
    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(slt.speak, texts)) == alone


@needs_speech
def test_words_are_spelled_in_phones(slt: FliteSpeech):
    assert slt.phones("kubernetes") == ["K", "AH", "B", "ER", "N", "IY", "T", "S"]
    assert slt.phones("日本") == []


def test_an_unknown_voice_is_refused():
    with pytest.raises(InvalidInputError, match="voice 'hal' is none of slt, rms, awb, kal16"):
        FliteSpeech("hal")


def test_a_missing_module_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("BACKCHANNEL_FLITE", str(tmp_path / "none.wasm"))
    with pytest.raises(ModelError, match=r"BACKCHANNEL_FLITE names .*none\.wasm, which is not a file"):
        flite_path()


@needs_speech
def test_a_file_that_is_no_module_is_refused(tmp_path: Path):
    broken = tmp_path / "flite.wasm"
    broken.write_bytes(b"not a module")
    with pytest.raises(ModelError, match="is not a usable WebAssembly module"):
        FliteSpeech("slt", broken).load()
