"""Understanding: what a recognised or typed text asks for. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Literal

from . import expression as ex
from .grammar import Grammar, Slot, SpokenTool
from .words import read_number, readings, tokens

__all__ = ["Intent", "IntentKind", "fill", "understand"]

IntentKind = Literal[
    "call", "value", "status", "cancel", "help", "repeat", "quiet", "thanks", "greeting", "bye", "yes", "no", "unknown"
]
_MOST_READINGS = 64


@dataclass(frozen=True, slots=True)
class Intent:
    """What is asked for.

    Attributes:
        tool: The tool that is meant, for ``call``, ``value`` and, where one is named, ``unknown``.
        input: The arguments, with the values that the tool's schema lists.
        missing: Required parameters that were not said.
        faults: What is wrong with the arguments, in sentences.
        task: For ``status`` and ``cancel``: a task's number, "all", or the name of a tool; None for "it".
        rest: For ``unknown`` with a tool: the words that do not fit it.
    """

    kind: IntentKind
    tool: str = ""
    input: dict[str, Any] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()
    task: str | None = None
    rest: str = ""


def understand(text: str, grammar: Grammar, *, typed: bool = False) -> Intent:
    """Return what a text asks for; typed text may hold digits, and free text in any parameter that takes it."""
    pieces = tokens(text)
    if not pieces:
        return Intent("unknown")
    expression = grammar.typed if typed else grammar.spoken
    for words, spans in _variants(pieces):

        def written(start: int, end: int, spans: Sequence[tuple[int, int]] = spans) -> str:
            return text[spans[start][0] : spans[end - 1][1]]

        found = [_intent(dict_of, grammar) for dict_of in islice(ex.match(expression, words, written), _MOST_READINGS)]
        if found:
            return min(found, key=lambda intent: len(intent.missing) + len(intent.faults))
    for words, spans in _variants(pieces):
        named = grammar.named(words)
        if named is not None:
            tool, used = named
            return Intent("unknown", tool, rest=text[spans[used][0] : spans[-1][1]])
    return Intent("unknown")


def fill(slot: Slot, text: str) -> tuple[bool, Any]:
    """Read a text as the value of one parameter; return whether it is one, and the value."""
    if slot.kind == "free":
        return bool(text.strip()), text.strip()
    for words, _ in _variants(tokens(text)):
        if slot.kind == "number":
            found = read_number(words)
            if found and (found[1] == len(words) or tuple(words[found[1] :]) == slot.words):
                return True, found[0]
        for ways, value in slot.values:
            if tuple(words) in ways:
                return True, [value] if slot.many else value
    return False, None


def _variants(pieces: Sequence[tuple[str, int, int]]) -> Iterator[tuple[list[str], list[tuple[int, int]]]]:
    """Give the words as they are, and with digits in words."""
    yield [word for word, _, _ in pieces], [(start, end) for _, start, end in pieces]
    if any(not word.isalpha() for word, _, _ in pieces):
        spoken = [(said, (start, end)) for word, start, end in pieces for said in (readings(word, 1) or ((word,),))[0]]
        yield [word for word, _ in spoken], [span for _, span in spoken]


def _intent(captures: ex.Capture, grammar: Grammar) -> Intent:
    values = [(name.removeprefix("slot:"), value) for name, value in captures if name.startswith("slot:")]
    facts = {name: value for name, value in captures if not name.startswith("slot:")}
    kind: IntentKind = facts["intent"]
    target = facts.get("task", facts.get("target"))
    task = None if target is None else str(target)
    tool = grammar.tool(facts.get("tool", ""))
    if tool is None:
        return Intent(kind, task=task)
    arguments: dict[str, Any] = {}
    faults = []
    for name, value in values:
        slot = tool.slot(name)
        if slot.many:
            arguments.setdefault(name, []).append(value)
            continue
        if name in arguments:
            faults.append(f"{name} was said twice")
        arguments[name] = value
        faults += _range_faults(slot, value)
    return Intent(kind, tool.name, arguments, _missing(tool, arguments), tuple(faults))


def _missing(tool: SpokenTool, arguments: dict[str, Any]) -> tuple[str, ...]:
    return tuple(slot.name for slot in tool.slots if slot.required and slot.name not in arguments)


def _range_faults(slot: Slot, value: Any) -> list[str]:
    if slot.kind != "number":
        return []
    name = " ".join(slot.words)
    if slot.whole and value != int(value):
        return [f"{name} must be a whole number"]
    if slot.low is not None and value < slot.low:
        return [f"{name} must be at least {slot.low:g}"]
    if slot.high is not None and value > slot.high:
        return [f"{name} must be at most {slot.high:g}"]
    return []
