"""A phrase expression: what can be said, written once for recogniser, samples and understanding. Pure.

Notation of `phrase`: words, ``(a | b)``, ``[optional]``, ``<name>`` for another expression.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

from .words import number_words, read_number

__all__ = [
    "Alt",
    "Capture",
    "Expression",
    "Free",
    "Number",
    "Opt",
    "Seq",
    "Tag",
    "Word",
    "jsgf",
    "match",
    "phrase",
    "sample",
    "starts",
    "vocabulary",
]


@dataclass(frozen=True, slots=True)
class Word:
    text: str


@dataclass(frozen=True, slots=True)
class Seq:
    items: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Alt:
    items: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Opt:
    item: Expression


@dataclass(frozen=True, slots=True)
class Tag:
    """Whoever says ``item`` means ``value`` for ``name``."""

    name: str
    value: Any
    item: Expression


@dataclass(frozen=True, slots=True)
class Number:
    """A number, said or in digits; ``top`` is the largest that is worth hearing."""

    name: str
    top: int = 100
    fraction: bool = False


@dataclass(frozen=True, slots=True)
class Free:
    """One or more words, whatever they are. Understood in typed text only; never recognised."""

    name: str


Expression: TypeAlias = Word | Seq | Alt | Opt | Tag | Number | Free
Capture: TypeAlias = tuple[tuple[str, Any], ...]

_NUMBER_WORDS = 60
_FREE_WORDS = 60
"""Words of free text that has something after it; at the end of a command it may be of any length."""
_LEXEME = re.compile(r"<[\w.]+>|[\w']+|[()\[\]|]")


def phrase(notation: str, parts: Mapping[str, Expression] | None = None) -> Expression:
    """Read the notation of this module; ``parts`` holds what ``<name>`` stands for.

    Raises:
        ValueError: If a bracket is open or a name unknown.
    """
    lexemes = _LEXEME.findall(notation)
    expression, rest = _alternatives(lexemes, 0, parts or {})
    if rest != len(lexemes):
        raise ValueError(f"phrase {notation!r}: unexpected {lexemes[rest]!r}")
    return expression


def _alternatives(lexemes: list[str], at: int, parts: Mapping[str, Expression]) -> tuple[Expression, int]:
    options: list[Expression] = []
    items: list[Expression] = []
    while at < len(lexemes) and lexemes[at] not in (")", "]"):
        lexeme = lexemes[at]
        at += 1
        if lexeme == "|":
            options.append(_one(items))
            items = []
        elif lexeme in ("(", "["):
            inner, at = _alternatives(lexemes, at, parts)
            if at >= len(lexemes):
                raise ValueError(f"phrase: {lexeme!r} is not closed")
            at += 1
            items.append(Opt(inner) if lexeme == "[" else inner)
        elif lexeme.startswith("<"):
            if lexeme[1:-1] not in parts:
                raise ValueError(f"phrase: nothing is called {lexeme}")
            items.append(parts[lexeme[1:-1]])
        else:
            items.append(Word(lexeme))
    options.append(_one(items))
    return (options[0] if len(options) == 1 else Alt(tuple(options))), at


def _one(items: list[Expression]) -> Expression:
    return items[0] if len(items) == 1 else Seq(tuple(items))


def match(
    expression: Expression, said: Sequence[str], written: Callable[[int, int], str] | None = None
) -> Iterator[Capture]:
    """Yield what a whole text means, once for every way to read it.

    Args:
        expression: What can be said.
        said: The words, lower-case.
        written: Gives the words from one index to another as they were written, for free text.
    """
    words = written or (lambda start, end: " ".join(said[start:end]))
    for end, captures in _walk(expression, said, 0):
        if end == len(said):
            yield tuple((name, words(*value) if type(value) is _Span else value) for name, value in captures)


def starts(expression: Expression, said: Sequence[str]) -> Iterator[int]:
    """Yield how many words at the start of a text the expression covers, once for every way to read it."""
    for end, _ in _walk(expression, said, 0):
        yield end


class _Span(NamedTuple):
    """Words of free text, which are written out where the whole is understood."""

    start: int
    end: int


def _walk(expression: Expression, said: Sequence[str], at: int) -> Iterator[tuple[int, Capture]]:
    match expression:
        case Word(text):
            if at < len(said) and said[at] == text:
                yield at + 1, ()
        case Alt(items):
            for item in items:
                yield from _walk(item, said, at)
        case Opt(item):
            yield from _walk(item, said, at)
            yield at, ()
        case Tag(name, value, item):
            for end, captures in _walk(item, said, at):
                yield end, ((name, value), *captures)
        case Seq(items):
            yield from _walk_all(items, said, at)
        case Number(name):
            found = read_number(said[at : at + _NUMBER_WORDS])
            for size in range(found[1] if found else 0, 0, -1):  # of "twenty five" also the twenty alone
                part = read_number(said[at : at + size])
                if part is not None and part[1] == size:
                    yield at + size, ((name, part[0]),)
        case Free(name):
            if at < len(said):
                yield len(said), ((name, _Span(at, len(said))),)
            for end in range(min(len(said) - 1, at + _FREE_WORDS), at, -1):
                yield end, ((name, _Span(at, end)),)


def _walk_all(items: tuple[Expression, ...], said: Sequence[str], at: int) -> Iterator[tuple[int, Capture]]:
    if not items:
        yield at, ()
        return
    for middle, first in _walk(items[0], said, at):
        for end, rest in _walk_all(items[1:], said, middle):
            yield end, first + rest


_NUMBER_RULES = """
<digit> = one | two | three | four | five | six | seven | eight | nine ;
<teen> = ten | eleven | twelve | thirteen | fourteen | fifteen | sixteen | seventeen | eighteen | nineteen ;
<tens> = ( twenty | thirty | forty | fifty | sixty | seventy | eighty | ninety ) [ <digit> ] ;
<small> = zero | <digit> | <teen> | <tens> ;
<hundreds> = <small> | <digit> hundred [ [ and ] ( <digit> | <teen> | <tens> ) ] ;
<thousands> = <hundreds> | ( <digit> | <teen> | <tens> ) thousand [ <hundreds> ] ;
<decimal> = <small> point <digit> [ <digit> ] ;
"""


def jsgf(expression: Expression) -> str:
    """Write the expression as a JSGF grammar; free text is left out."""
    return f"#JSGF V1.0;\ngrammar backchannel;\npublic <utterance> = {_rule(expression)} ;{_NUMBER_RULES}"


def _rule(expression: Expression) -> str:
    match expression:
        case Word(text):
            return text
        case Alt(items):
            rules = [rule for rule in map(_rule, items) if rule != "<VOID>"]
            return f"( {' | '.join(rules)} )" if rules else "<VOID>"
        case Opt(item):
            rule = _rule(item)
            return f"[ {rule} ]" if rule != "<VOID>" else "<NULL>"
        case Tag(_, _, item):
            return _rule(item)
        case Seq(items):
            rules = [_rule(item) for item in items]
            return "<VOID>" if "<VOID>" in rules else " ".join(rules) if rules else "<NULL>"
        case Number(_, top, fraction):
            rule = "<small>" if top < 100 else "<hundreds>" if top < 1000 else "<thousands>"
            return f"( {rule} | <decimal> )" if fraction else rule
        case Free():
            return "<VOID>"


def sample(expression: Expression, dice: random.Random) -> list[str]:
    """Say something that the expression allows, at random."""
    match expression:
        case Word(text):
            return [text]
        case Alt(items):
            return sample(dice.choice(items), dice)
        case Opt(item):
            return sample(item, dice) if dice.random() < 0.35 else []
        case Tag(_, _, item):
            return sample(item, dice)
        case Seq(items):
            return [word for item in items for word in sample(item, dice)]
        case Number(_, top, fraction):
            value: float = dice.choice((dice.randrange(1, 21), dice.randrange(0, 100), dice.randrange(0, top + 1)))
            return number_words(
                value + dice.randrange(1, 10) / 10 if fraction and dice.random() < 0.3 else value
            ).split()
        case Free():
            return []


def vocabulary(expression: Expression) -> frozenset[str]:
    """Return every word that `sample` or `jsgf` may use."""
    words = set(re.findall(r"[a-z']+", re.sub(r"<\w+>", " ", _NUMBER_RULES)))
    stack: list[Expression] = [expression]
    while stack:
        match stack.pop():
            case Word(text):
                words.add(text)
            case Seq(items) | Alt(items):
                stack += items
            case Opt(item) | Tag(_, _, item):
                stack.append(item)
            case Number() | Free():
                pass
    return frozenset(words)
