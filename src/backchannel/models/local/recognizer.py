"""The recogniser: pocketsphinx, held to the grammar and believed only where a language model agrees."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...audio.pcm import Samples, dither, speech_gain, to_int16
from ...errors import MissingExtraError
from .expression import match
from .grammar import Grammar
from .parts import Recognition

__all__ = ["SphinxRecognizer", "agreement", "judge", "word_distance"]

_RATE = 16000
_DITHER = 16.0
_QUIET = np.zeros(_RATE // 10, dtype=np.int16)
_FOLLOWED = 9 * _RATE // 10
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

    They follow the utterance while it is spoken. Where they do not agree at its end, they hear it again with the
    level and the room taken from the whole of it.

    Args:
        phones: Says how a word that is in no dictionary is spoken, in ARPAbet.
    """

    def __init__(self, phones: Callable[[str], list[str]]) -> None:
        self._phones = phones
        self._noise = np.random.default_rng(7)
        self._decoders: _Decoders | None = None
        self._heard: list[Samples] = []
        self._gain: float | None = None  # of an utterance that is followed
        self._following: _Decoders | None = None
        self._peeked: tuple[int, Recognition] | None = None

    def load(self) -> None:
        try:
            import pocketsphinx
        except ImportError:
            raise MissingExtraError("The embedded model", "local") from None
        pocketsphinx.set_loglevel("FATAL")

    def prepare(self, grammar: Grammar) -> None:
        """Build decoders for a grammar; an utterance that is under way ends with those that it began with."""
        self.load()
        from pocketsphinx import Decoder, get_model_path
        from pocketsphinx.lm import ArpaBoLM

        models = Path(get_model_path(), "en-us")
        with tempfile.TemporaryDirectory(prefix="backchannel-") as folder:
            words = Path(folder, "words.dict")
            words.write_text(_dictionary(models / "cmudict-en-us.dict", grammar.vocabulary, self._phones))
            settings = {"hmm": str(models / "en-us"), "dict": str(words), "lm": None, "loglevel": "FATAL"}
            strict, means = Decoder(**settings, bestpath=False), Decoder(**settings)
            for decoder, rules in ((strict, grammar.jsgf), (means, _ONE_WORD)):
                decoder.add_jsgf_string("grammar", rules)
                decoder.activate_search("grammar")
            trigram = ArpaBoLM(text="\n".join(grammar.samples()), add_start=True)
            trigram.compute()
            arpa = io.StringIO()
            trigram.write(arpa)
            model = Path(folder, "words.arpa")
            model.write_text(arpa.getvalue())
            loose = Decoder(**(settings | {"lm": str(model), "fwdflat": False}))
        self._decoders = _Decoders(strict, loose, means, grammar)

    def start(self) -> None:
        if self._following is not None:
            self._following.end()
        self._heard, self._gain, self._following, self._peeked = [], None, None, None

    def feed(self, samples: Samples) -> None:
        self._heard.append(samples)
        if self._following is not None:
            self._following.feed(self._sound(samples, self._gain))
        elif self._decoders is not None and sum(map(len, self._heard)) >= _FOLLOWED:
            sound = np.concatenate((_QUIET, *self._heard))
            self._gain, self._following = speech_gain(sound), self._decoders
            dithered = self._sound(sound, self._gain)
            self._following.begin(self._following.mean(dithered))
            self._following.feed(dithered)

    def peek(self) -> Recognition:
        if self._peeked is None or self._peeked[0] != len(self._heard):
            recognition = self._following.hypothesis() if self._following is not None else _HEARD_NOTHING
            self._peeked = len(self._heard), recognition if recognition.accepted else self._again()
        return self._peeked[1]

    def finish(self) -> Recognition:
        recognition = _HEARD_NOTHING
        if self._following is not None:
            self._following.end()
            recognition = self._following.hypothesis()
        if not recognition.accepted:
            recognition = self.peek()
        self.start()
        return recognition

    def _sound(self, samples: Samples, gain: float | None) -> bytes:
        return dither(to_int16(samples * (gain or 1.0)), _DITHER, self._noise).tobytes()

    def _again(self) -> Recognition:
        """Hear the utterance so far as a whole."""
        if self._decoders is None or not self._heard:
            return _HEARD_NOTHING
        decoders, self._following = self._following or self._decoders, None
        sound = np.concatenate((_QUIET, *self._heard, _QUIET))
        dithered = self._sound(sound, speech_gain(sound))
        decoders.begin(decoders.mean(dithered))
        decoders.feed(dithered)
        decoders.end()
        return decoders.hypothesis()


class _Decoders:
    """The decoders of one grammar: ``strict`` hears phrases of it, ``loose`` its words, ``means`` the room."""

    def __init__(self, strict: Any, loose: Any, means: Any, grammar: Grammar) -> None:
        self._both, self._means, self._grammar = (strict, loose), means, grammar
        self._open = False

    def mean(self, sound: bytes) -> str:
        """Return the mean cepstrum: microphone and room, to be taken off."""
        total, weight = np.zeros(0), 0
        for start in range(0, len(sound), _CHUNK):
            piece = sound[start : start + _CHUNK]
            self._means.start_utt()
            self._means.process_raw(piece, no_search=False, full_utt=True)
            self._means.end_utt()
            part = np.array([float(value) for value in self._means.get_cmn(False).split(",")]) * len(piece)
            total, weight = (total + part if weight else part), weight + len(piece)
        return ",".join(f"{value:.4f}" for value in total / weight)

    def begin(self, mean: str) -> None:
        self.end()
        for decoder in self._both:
            decoder.start_utt()
            decoder.set_cmn(mean)
        self._open = True

    def feed(self, sound: bytes) -> None:
        for start in range(0, len(sound), _CHUNK):  # a decoder holds the interpreter: others run between chunks
            for decoder in self._both:
                decoder.process_raw(sound[start : start + _CHUNK], no_search=False, full_utt=False)

    def end(self) -> None:
        if self._open:
            for decoder in self._both:
                decoder.end_utt()
            self._open = False

    def hypothesis(self) -> Recognition:
        found = [decoder.hyp() for decoder in self._both]
        said, guessed = (str(hypothesis.hypstr) if hypothesis is not None else "" for hypothesis in found)
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
