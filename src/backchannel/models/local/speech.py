"""Speech: text to voice, and words to phones, by flite compiled to WebAssembly."""

from __future__ import annotations

import os
import re
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...audio.pcm import Samples, read_wav
from ...audio.resample import resample
from ...errors import InvalidInputError, MissingExtraError, ModelError
from ...paths import expanded
from .words import plain

if TYPE_CHECKING:
    import wasmtime

__all__ = ["VOICES", "FliteSpeech", "flite_path"]

VOICES = ("slt", "rms", "awb", "kal16")
_RATE = 16000
_MOST_CHARACTERS = 500
_LEAD, _TRAIL = _RATE // 50, _RATE // 8
_SAYABLE = re.compile(r"[^A-Za-z0-9 .,;:?!'-]+")
_LONG_WORD = re.compile(r"\S{40,}")


def flite_path() -> Path:
    """Return where flite.wasm is: ``BACKCHANNEL_FLITE``, else beside the package.

    Raises:
        ModelError: If it is not there; says how to get it.
    """
    named = os.environ.get("BACKCHANNEL_FLITE")
    path = expanded(named) if named else Path(__file__).resolve().parents[2] / "_built" / "flite.wasm"
    if path.is_file():
        return path
    if named:
        raise ModelError(f"The voice of the embedded model: BACKCHANNEL_FLITE names {named}, which is not a file.")
    raise ModelError(
        f"The voice of the embedded model is missing: no {path.name} in {path.parent}. In a checkout, build it with"
        " 'npm ci && npm run build' in js/; an installed wheel has it; or name another with BACKCHANNEL_FLITE."
    )


class FliteSpeech:
    """A flite voice; every utterance runs in an instance of its own, so threads do not meet.

    Args:
        voice: One of `VOICES`.
        path: The flite module; by default `flite_path`.
    """

    def __init__(self, voice: str = "slt", path: str | os.PathLike[str] | None = None) -> None:
        if voice not in VOICES:
            raise InvalidInputError(f"voice {voice!r} is none of {', '.join(VOICES)}")
        self.voice = voice
        self._path = None if path is None else expanded(path)
        self._lock = threading.Lock()
        self._compiled: tuple[Any, Any] | None = None

    def load(self) -> None:
        """Compile the module, or take it from the compiler's cache. Blocks for up to a few seconds once."""
        with self._lock:
            if self._compiled is None:
                self._compiled = _compile(self._path or flite_path())

    def speak(self, text: str) -> bytes:
        """Return the voice saying ``text``: 16 kHz mono, signed 16 bit; nothing for text without words.

        Raises:
            ModelError: If flite fails on it.
        """
        text = _LONG_WORD.sub(lambda word: word.group()[:40], _SAYABLE.sub(" ", plain(text.replace("’", "'"))))
        text = " ".join(text.split())[:_MOST_CHARACTERS]
        if not re.search(r"[A-Za-z0-9]", text):
            return b""
        with tempfile.TemporaryDirectory(prefix="backchannel-") as folder:
            self._run(["-voice", self.voice, "-t", text, "-o", "/out/voice.wav"], folder)
            samples, rate = read_wav(Path(folder, "voice.wav").read_bytes())
        return bytes(_trim(resample(samples, rate, _RATE)))

    def phones(self, word: str) -> list[str]:
        """Return how flite says a word, in ARPAbet without stress: ["K", "UW", "B", ...]."""
        said = " ".join(re.findall(r"[a-z']+", plain(word).lower()))
        if not said:
            return []
        with tempfile.TemporaryDirectory(prefix="backchannel-") as folder:
            printed = self._run(["-voice", self.voice, "-ps", "-t", said, "-o", "none"], folder)
        return [{"ax": "ah"}.get(phone, phone).upper() for phone in printed.split() if phone != "pau"]

    def _run(self, arguments: list[str], folder: str) -> str:
        import wasmtime

        self.load()
        assert self._compiled is not None
        linker, module = self._compiled
        printed = Path(folder, "printed.txt")
        store = wasmtime.Store(linker.engine)
        wasi = wasmtime.WasiConfig()
        wasi.argv = ["flite", *arguments]
        wasi.preopen_dir(folder, "/out")
        wasi.stdout_file = str(printed)
        wasi.stderr_file = str(Path(folder, "errors.txt"))
        store.set_wasi(wasi)
        try:
            start: Any = linker.instantiate(store, module).exports(store)["_start"]
            start(store)
        except wasmtime.ExitTrap as trap:
            if trap.code:
                raise ModelError(
                    f"The voice {self.voice!r} could not say {arguments[3]!r}: exit code {trap.code}"
                ) from trap
        except (wasmtime.Trap, wasmtime.WasmtimeError) as error:
            raise ModelError(f"The voice {self.voice!r} could not say {arguments[3]!r}: {error}") from error
        finally:
            store.close()
            wasi.close()
        return printed.read_text() if printed.exists() else ""


def _compile(path: Path) -> tuple[wasmtime.Linker, wasmtime.Module]:
    try:
        import wasmtime
    except ImportError:
        raise MissingExtraError("The embedded model", "local") from None
    config = wasmtime.Config()
    try:
        config.cache = True
    except wasmtime.WasmtimeError:  # no writable cache folder: compile every time
        config = wasmtime.Config()
    engine = wasmtime.Engine(config)
    try:
        module = wasmtime.Module.from_file(engine, str(path))
    except wasmtime.WasmtimeError as error:
        raise ModelError(
            f"The voice of the embedded model: {path} is not a usable WebAssembly module ({error})"
        ) from error
    linker = wasmtime.Linker(engine)
    linker.define_wasi()
    return linker, module


def _trim(samples: Samples) -> Samples:
    """Cut the silence that flite puts around an utterance, so that a voice starts at once."""
    loud = (abs(samples.astype("int32")) > 200).nonzero()[0]
    if not len(loud):
        return samples[:0]
    return samples[max(0, loud[0] - _LEAD) : loud[-1] + _TRAIL]
