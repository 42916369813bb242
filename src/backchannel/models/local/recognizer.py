"""The recogniser: pocketsphinx, held to the grammar and believed only where a language model agrees."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...audio.pcm import Samples, dither, normalise
from ...errors import MissingExtraError
from .expression import match
from .grammar import Grammar
from .parts import Recognition

__all__ = ["SphinxRecognizer", "agreement", "judge", "word_distance"]

_RATE = 16000
_DITHER = 16.0
_LEVEL_DB = -24.0
_MARGIN = _RATE // 10
_CHUNK = 2 * _RATE // 10
_ACCEPTED = 0.66
_LOOSE_ENDS = 2
_ONE_WORD = "#JSGF V1.0; grammar one; public <word> = stop ;"
_HEARD_NOTHING = Recognition("", 0.0, False)


def word_distance(one: Sequence[str], other: Sequence[str]) -> int:
    """Return how many words must be changed, added or left out to turn one into the other."""
    row = list(range(len(other) + 1))
    for index, word in enumerate(one, 1):
        before, row[0] = row[0], index
        for place, peer in enumerate(other, 1):
            before, row[place] = row[place], min(row[place] + 1, row[place - 1] + 1, before + (word != peer))
    return row[-1]


def agreement(one: str, other: str) -> float:
    """Return how alike two readings are, word by word: 1 for the same, 0 for nothing in common."""
    first, second = one.split(), other.split()
    longest = max(len(first), len(second))
    return 1.0 - word_distance(first, second) / longest if longest else 0.0


class SphinxRecognizer:
    """Two decoders over the same utterance: one may only hear the grammar, the other any order of its words.

    Args:
        phones: Says how a word that is in no dictionary is spoken, in ARPAbet.
    """

    def __init__(self, phones: Callable[[str], list[str]]) -> None:
        self._phones = phones
        self._grammar = Grammar()
        self._noise = np.random.default_rng(7)
        self._decoders: tuple[Any, Any, Any] | None = None
        self._heard: list[Samples] = []
        self._peeked: tuple[int, Recognition] | None = None

    def load(self) -> None:
        try:
            import pocketsphinx
        except ImportError:
            raise MissingExtraError("The embedded model", "local") from None
        pocketsphinx.set_loglevel("FATAL")

    def prepare(self, grammar: Grammar) -> None:
        """Build decoders for a grammar; those in use serve until they are ready."""
        self.load()
        from pocketsphinx import Decoder, get_model_path
        from pocketsphinx.lm import ArpaBoLM

        models = Path(get_model_path(), "en-us")
        with tempfile.TemporaryDirectory(prefix="backchannel-") as folder:
            words = Path(folder, "words.dict")
            words.write_text(_dictionary(models / "cmudict-en-us.dict", grammar.vocabulary, self._phones))
            settings = {"hmm": str(models / "en-us"), "dict": str(words), "lm": None, "loglevel": "FATAL"}
            strict = Decoder(**settings)
            strict.add_jsgf_string("grammar", grammar.jsgf)
            strict.activate_search("grammar")
            trigram = ArpaBoLM(text="\n".join(grammar.samples()), add_start=True)
            trigram.compute()
            arpa = io.StringIO()
            trigram.write(arpa)
            model = Path(folder, "words.arpa")
            model.write_text(arpa.getvalue())
            loose = Decoder(**(settings | {"lm": str(model), "fwdflat": False}))
            means = Decoder(**settings)
            means.add_jsgf_string("grammar", _ONE_WORD)
            means.activate_search("grammar")
        self._decoders, self._grammar = (means, strict, loose), grammar

    def start(self) -> None:
        self._heard, self._peeked = [], None

    def feed(self, samples: Samples) -> None:
        self._heard.append(samples)

    def peek(self) -> Recognition:
        if self._peeked is None or self._peeked[0] != len(self._heard):
            self._peeked = len(self._heard), self._decode()
        return self._peeked[1]

    def finish(self) -> Recognition:
        recognition = self.peek()
        self.start()
        return recognition

    def _decode(self) -> Recognition:
        if self._decoders is None or not self._heard:
            return _HEARD_NOTHING
        quiet = np.zeros(_MARGIN, dtype=np.int16)
        level = normalise(np.concatenate(self._heard), _LEVEL_DB)
        sound = dither(np.concatenate((quiet, level, quiet)), _DITHER, self._noise).tobytes()
        means, strict, loose = self._decoders
        channel = _mean_cepstrum(means, sound)
        said, guessed = (_hypothesis(decoder, sound, channel) for decoder in (strict, loose))
        return judge(said, guessed, lambda text: any(match(self._grammar.spoken, text.split())))


def judge(said: str, guessed: str, complete: Callable[[str], bool]) -> Recognition:
    """Weigh what the grammar allowed against what its words alone gave.

    ``complete`` tells whether a text is a whole phrase of the grammar: a decoder that ran out of sound gives less.
    """
    whole = next((text for text in _shortened(said) if complete(text)), "")
    if not whole:
        return Recognition(guessed, 0.0, False)
    sure = agreement(whole, guessed)
    others = (guessed,) if guessed != whole and complete(guessed) else ()
    return Recognition(whole, sure, sure >= _ACCEPTED, others)


def _shortened(text: str) -> Iterator[str]:
    words = text.split()
    for size in range(len(words), max(0, len(words) - _LOOSE_ENDS - 1), -1):
        yield " ".join(words[:size])


def _mean_cepstrum(decoder: Any, sound: bytes) -> str:
    """Return the utterance's own mean cepstrum: microphone and room, to be taken off."""
    decoder.start_utt()
    decoder.process_raw(sound, no_search=False, full_utt=True)
    decoder.end_utt()
    return str(decoder.get_cmn(False))


def _hypothesis(decoder: Any, sound: bytes, channel: str) -> str:
    decoder.start_utt()
    decoder.set_cmn(channel)
    for start in range(0, len(sound), _CHUNK):  # the decoder holds the interpreter: other threads go between chunks
        decoder.process_raw(sound[start : start + _CHUNK], no_search=False, full_utt=False)
    decoder.end_utt()
    found = decoder.hyp()
    return str(found.hypstr) if found is not None else ""


def _dictionary(path: Path, vocabulary: Iterable[str], phones: Callable[[str], list[str]]) -> str:
    """Return the dictionary's lines for these words; words that it does not have are spelled by ``phones``."""
    wanted, known = set(vocabulary), set()
    lines = []
    for line in path.read_text(encoding="utf-8").splitlines():
        word = line.split(" ", 1)[0].split("(", 1)[0]
        if word in wanted:
            known.add(word)
            lines.append(line)
    lines += [f"{word} {' '.join(spelled)}" for word in sorted(wanted - known) if (spelled := phones(word))]
    return "\n".join(lines) + "\n"
