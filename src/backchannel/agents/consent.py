"""Consent: whether a person's words allow what they were asked about. Pure.

Only a plain yes allows. What hesitates, asks back, sets a condition or takes something back is unclear, and is asked
again. The words are those of the languages below; for any other there are the buttons of the widget.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Literal, TypeAlias

__all__ = ["Consent", "consent_of"]

Consent: TypeAlias = Literal["yes", "no", "unclear"]

_LONGEST = 40
"""Words of an answer; whoever says more speaks of something else too."""
_LONGEST_OKAY = 4
"""Words of an answer that begins with a word such as "okay", with which other sentences begin too."""
_CHARS = 2000

_WORD = re.compile(r"\w+(?:'\w+)?")
_CLAUSE = re.compile(r"[.,;:!\n、。，！—–]")


def _phrases(text: str) -> frozenset[tuple[str, ...]]:
    return frozenset(tuple(phrase.split()) for phrase in text.split("|"))


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_YES = _phrases(
    "yes|yeah|yep|yup|yea|aye|absolutely|definitely|certainly|of course|by all means|please do|go ahead|do it|do that|"
    "do so|go for it|agree|agreed|approve|approved|allow|allowed|confirm|confirmed|affirmative|you may|correct|"
    "that's right|that is right|that's correct|that is correct|that's fine|that is fine|it's fine|it is fine|"
    "that's okay|that's ok|that is okay|it's okay|it is okay|sounds good|"
    "ja|jawohl|genau|natürlich|selbstverständlich|einverstanden|mach das|mach es|tu es|"
    "sí|si|claro|por supuesto|adelante|hazlo|de acuerdo|oui|ouais|bien sûr|vas y|allez y|d'accord|"
    "certo|certamente|va bene|fallo|procedi|d'accordo|sim|com certeza|pode fazer|"
    "jazeker|doe het|doe maar|akkoord|tak|oczywiście|zgoda|да|конечно|"
    "はい|ええ|お願いします|是|是的|好|好的|可以|네|예"
)
_OKAY = _phrases(
    "okay|ok|okey|alright|all right|sure|right|fine|good|great|perfect|run it|gut|klar|gern|gerne|vale|bien"
)
_FILLERS = _words(
    "um uh uhm er erm ah oh hm hmm well so then now and please thanks thank you i mean think guess say said actually"
    " bitte danke also na äh ähm por favor gracias s'il te vous plaît merci per favore grazie"
)
_NO = _words(
    "no nope nah not don't dont never none nothing nobody stop halt cancel abort refuse deny decline forbid reject"
    " disallow negative undo leave keep wrong incorrect can't cannot won't mustn't shouldn't isn't quit forget disagree"
    " nein nicht nee nö kein keine keinen nie niemals stopp abbrechen lass falsch"
    " nunca tampoco cancela déjalo non pas jamais rien arrête arrêtez annule laisse mai niente fermati annulla lascia"
    " não pare cancele nooit niet geen nie нет не стоп いいえ だめ やめて 不 不是 不要 不行 别 아니요 아니 안돼"
)
_UNSURE = _words(
    "but wait hold however although maybe perhaps possibly probably unsure depends unless if only except instead rather"
    " later before after first once until what why how when where which who whose whether almost another other"
    " different moment minute explain"
    " aber warte moment vielleicht später erst wenn falls außer statt was warum wie welche"
    " pero espera quizás después qué porque attends peut après pourquoi quel"
    " ma aspetta forse dopo cosa perché quale mas espere talvez depois maar wacht misschien"
)


def consent_of(words: str) -> Consent:
    """Return whether words, said or typed, are a plain yes, a plain no, or neither.

    What holds both is unclear: "no problem, go ahead" as well as "yes, but not now".
    """
    text = unicodedata.normalize("NFKC", words[:_CHARS]).casefold().replace("’", "'")
    clauses = [said for clause in _CLAUSE.split(text) if (said := _WORD.findall(clause))]
    everything = [word for said in clauses for word in said]
    agrees = any(_begins(said, _YES) for said in clauses)
    if _NO.intersection(everything):
        return "unclear" if agrees else "no"
    told = [word for word in everything if word not in _FILLERS]
    if len(words) > _CHARS or len(told) > _LONGEST or "?" in text or _UNSURE.intersection(told):
        return "unclear"
    if agrees or (len(told) <= _LONGEST_OKAY and _begins(everything, _OKAY)):
        return "yes"
    return "unclear"


def _begins(said: list[str], phrases: frozenset[tuple[str, ...]]) -> bool:
    """Whether words begin with one of the phrases, after nothing but fillers."""
    for start, word in enumerate(said):
        if any(tuple(said[start:end]) in phrases for end in range(start + 1, start + 4)):
            return True
        if word not in _FILLERS:
            return False
    return False
