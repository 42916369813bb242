"""The grammar: what can be said to a set of tools, and what it means. Pure."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from ...messages import BACKGROUND_NOTICE, ToolSpec
from . import expression as ex
from .expression import Alt, Expression, Free, Number, Opt, Seq, Tag, Word, phrase
from .words import readings

__all__ = ["ANSWER_TOOL", "TASK_TOOL", "Grammar", "Slot", "SpokenTool", "read_slot"]

TASK_TOOL = "background_tasks"
"""The built-in tool through which tasks are listed, looked at and cancelled."""

ANSWER_TOOL = "answer_approval"
"""The built-in tool that passes on whether the user allows a call; nobody asks for it by name."""

RESULT_TOOL = "look_at_result"
"""The built-in tool through which a language model looks into results; no command asks for it."""

_NOT_SAID = (TASK_TOOL, ANSWER_TOOL, RESULT_TOOL)

SlotKind = Literal["choice", "number", "flag", "free"]
_MOST_VALUES = 2000
_BARE_VALUES = 200
_SAMPLES = 4000

_PREPOSITION = phrase("[on | about | for | of | with | in | to]")
_POLITE = phrase("[please | (can | could) you [please] | i want [you] to | i would like to]")
_TAIL = phrase("[please]")
_START = phrase("(start | run | begin) [a | the]")
_THE = phrase("[the | a]")

_BUILT_IN = {
    "status": "how far (is it | are you | along is it | is <which>) | how is (it | that | <which>) (going | doing)"
    " | how are things going | (what is | what's) the (status | progress) | status | how is <which>"
    " | how long will (it | that | <which>) take | how much longer | how much time is left"
    " | is (it | <which>) (done | finished | ready) [yet] | are you (done | finished) [yet]"
    " | (what is | what's) running | what are you doing | (list | show) [me] [the | my | all] tasks",
    "cancel": "[please] ((cancel | abort) (it | that) | (cancel | stop | abort) (<which> | <all>)) [please]",
    "help": "help [me] | what can (you do | i say) | what do you know | what tools do you have | who are you",
    "repeat": "[please] (say that again | repeat that) [please] | what did you say"
    " | can you (say that again | repeat that)",
    "quiet": "stop [it | that | talking | speaking] | be quiet | quiet | shut up",
    "thanks": "thank you [very much] | thanks",
    "greeting": "hello | hi [there] | good (morning | afternoon | evening)",
    "bye": "goodbye",
    "yes": "yes [please] | yeah | correct | that's right | that is right | okay | go ahead",
    "no": "no [thanks | thank you] | wrong | never mind | (don't | do not) [do it]",
}


@dataclass(frozen=True, slots=True)
class Slot:
    """One parameter of a tool, as it can be said.

    Attributes:
        values: For a choice, how each value is said (several readings) and the value itself.
        low, high: Bounds of a number, inclusive, None where open.
    """

    name: str
    kind: SlotKind
    required: bool
    values: tuple[tuple[tuple[tuple[str, ...], ...], Any], ...] = ()
    many: bool = False
    whole: bool = True
    low: float | None = None
    high: float | None = None

    @property
    def words(self) -> tuple[str, ...]:
        """The parameter's name in words."""
        said = readings(self.name, 1)
        return said[0] if said else ()


@dataclass(frozen=True, slots=True)
class SpokenTool:
    """A tool as it can be said: ``names`` are word tuples, the full one first."""

    name: str
    names: tuple[tuple[str, ...], ...]
    slots: tuple[Slot, ...]

    def slot(self, name: str) -> Slot:
        return next(slot for slot in self.slots if slot.name == name)

    @property
    def said(self) -> str:
        """The shortest name, to say it."""
        return " ".join(sorted(self.names, key=len)[0])


def read_slot(name: str, schema: Mapping[str, Any], required: bool, definitions: Mapping[str, Any]) -> Slot:
    """Return the slot of one parameter of a JSON schema."""
    schema = _resolve(schema, definitions)
    many = schema.get("type") == "array"
    if many:
        schema = _resolve(schema.get("items") or {}, definitions)
    kinds = schema.get("type")
    kind = next((item for item in kinds if item != "null"), None) if isinstance(kinds, list) else kinds
    values = schema["enum"] if "enum" in schema else [schema["const"]] if "const" in schema else None
    if values is not None:
        said = tuple((ways, value) for value in values if value is not None and (ways := readings(str(value))))
        return Slot(name, "choice", required, values=said, many=many)
    if kind in ("integer", "number") and not many:
        low, high = _bound(schema, "minimum", "exclusiveMinimum"), _bound(schema, "maximum", "exclusiveMaximum")
        return Slot(name, "number", required, whole=kind == "integer", low=low, high=high)
    if kind == "boolean" and not many:
        return Slot(name, "flag", required)
    return Slot(name, "free", required, many=many)


def _bound(schema: Mapping[str, Any], inclusive: str, exclusive: str) -> float | None:
    found = schema.get(inclusive, schema.get(exclusive))
    return found if isinstance(found, int | float) and not isinstance(found, bool) else None


def _resolve(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> Mapping[str, Any]:
    for _ in range(8):
        if "$ref" in schema:
            schema = definitions.get(str(schema["$ref"]).rsplit("/", 1)[-1]) or {}
            continue
        options = schema.get("anyOf") or schema.get("oneOf") or schema.get("allOf")
        if not options:
            break
        real = [option for option in options if option.get("type") != "null"]
        schema = next((option for option in real if "enum" in option or "const" in option), real[0] if real else {})
    return schema


def _spoken_tool(spec: ToolSpec) -> SpokenTool | None:
    schema = spec["inputSchema"].get("json", spec["inputSchema"])
    schema = schema if isinstance(schema, Mapping) else {}
    definitions = schema.get("$defs") or schema.get("definitions") or {}
    required = schema.get("required") or []
    slots = tuple(
        read_slot(name, entry if isinstance(entry, Mapping) else {}, name in required, definitions)
        for name, entry in (schema.get("properties") or {}).items()
    )
    ways = readings(spec["name"], 2)
    if not ways:
        return None
    names = list(ways)
    full = ways[0]
    for slot in slots[:1]:
        size = len(slot.words)
        if size and len(full) > size and full[-size:] == slot.words:
            names.append(full[:-size])
    if len(full) > 1 and full[0] in ("run", "start", "do", "get", "begin", "launch", "fetch"):
        names.append(full[1:])
    return SpokenTool(spec["name"], tuple(dict.fromkeys(names)), slots)


class Grammar:
    """What can be said while these tools are known.

    Attributes:
        tools: The tools that can be called.
        background: The names of those whose result comes later.
        notes: What could not be put into it, in sentences.
    """

    def __init__(self, specs: Sequence[ToolSpec] = ()) -> None:
        self.notes: list[str] = []
        self.knows_tasks = any(spec["name"] == TASK_TOOL for spec in specs)
        found = [tool for spec in specs if spec["name"] not in _NOT_SAID and (tool := _spoken_tool(spec))]
        self.tools = tuple(found)
        self.background = frozenset(spec["name"] for spec in specs if BACKGROUND_NOTICE in str(spec.get("description")))
        self._heard = tuple(self._bounded(found))
        self._by_name = {tool.name: tool for tool in self.tools}
        which = _which(self.tools)
        self._built_in = Alt(tuple(Tag("intent", intent, phrase(text, which)) for intent, text in _BUILT_IN.items()))

    def tool(self, name: str) -> SpokenTool | None:
        return self._by_name.get(name)

    def named(self, words: Sequence[str]) -> tuple[str, int] | None:
        """Return the tool that a text begins with, and how many words its name took, where more words follow."""
        for tool in self.tools:
            opening = Seq((_POLITE, Opt(_START), _named(tool)))
            ends = [end for end in ex.starts(opening, words) if end < len(words)]
            if ends:
                return tool.name, max(ends)
        return None

    @cached_property
    def spoken(self) -> Expression:
        """What can be recognised."""
        return Alt((*(_command(tool, False) for tool in self._heard), *_bare(self._heard, False), self._built_in))

    @cached_property
    def typed(self) -> Expression:
        """What can be understood when it is typed: free text, and parameters in any order, too."""
        return Alt((self._built_in, *(_command(tool, True) for tool in self.tools), *_bare(self.tools, True)))

    @cached_property
    def jsgf(self) -> str:
        return ex.jsgf(self.spoken)

    @cached_property
    def vocabulary(self) -> frozenset[str]:
        return ex.vocabulary(self.spoken)

    def samples(self, count: int = _SAMPLES, seed: int = 1) -> list[str]:
        """Return ``count`` or more sentences for a language model; every value of every tool occurs."""
        dice = random.Random(seed)  # noqa: S311 - reproducible, not secret
        said = []
        values = sum(len(slot.values) for tool in self._heard for slot in tool.slots) or 1
        repeats = max(1, min(40, count // 2 // values))
        for tool in self._heard:
            command = _command(tool, False)
            said += [" ".join(ex.sample(command, dice)) for _ in range(max(8, count // 4 // len(self._heard)))]
            for index, slot in enumerate(tool.slots):
                said += [line for ways, _ in slot.values for line in _around(tool, index, ways, repeats, dice)]
        built_in = self._built_in
        while len(said) < count:
            said.append(" ".join(ex.sample(dice.choice((built_in, built_in, self.spoken)), dice)))
        for line in _plain_built_in():
            said += [line] * 4
        return [line for line in said if line]

    def _bounded(self, tools: list[SpokenTool]) -> list[SpokenTool]:
        slots = [slot for tool in tools for slot in tool.slots if slot.kind == "choice"]
        if sum(len(slot.values) for slot in slots) <= _MOST_VALUES:
            return tools
        share = max(4, _MOST_VALUES // len(slots))
        kept = []
        for tool in tools:
            cut = []
            for slot in tool.slots:
                if len(slot.values) > share:
                    self.notes.append(
                        f"Tool {tool.name!r}: only the first {share} of {len(slot.values)} values of {slot.name!r}"
                        " can be spoken; all of them can be typed."
                    )
                cut.append(
                    Slot(slot.name, slot.kind, slot.required, slot.values[:share], slot.many)
                    if slot.kind == "choice"
                    else slot
                )
            kept.append(SpokenTool(tool.name, tool.names, tuple(cut)))
        return kept


def _words(words: Sequence[str]) -> Expression:
    return Word(words[0]) if len(words) == 1 else Seq(tuple(Word(word) for word in words))


def _ways(ways: Sequence[Sequence[str]]) -> Expression:
    options = tuple(_words(way) for way in ways)
    return options[0] if len(options) == 1 else Alt(options)


def _choice(slot: Slot) -> Expression:
    value = Alt(tuple(Tag(f"slot:{slot.name}", value, _ways(ways)) for ways, value in slot.values))
    return Seq((value, Opt(Seq((Word("and"), value))))) if slot.many else value


def _slot(slot: Slot, typed: bool) -> Expression | None:
    """The slot with the words around it, or None where it cannot be said."""
    label = _words(slot.words) if slot.words else phrase("")
    preposition, is_ = _PREPOSITION, phrase("[of | is | equals]")
    if slot.kind == "choice":
        if not slot.values:
            return None
        value = _choice(slot)
        return Alt(
            (Seq((preposition, Opt(Word("the")), value)), Seq((preposition, Opt(Word("the")), label, is_, value)))
        )
    if slot.kind == "number":
        number = Number(f"slot:{slot.name}", top=_top(slot), fraction=not slot.whole)
        forms: tuple[Expression, ...] = (
            Seq((preposition, number, label)),
            Seq((preposition, label, is_, number)),
        )
        return Alt((*forms, Seq((preposition, number))) if slot.required else forms)
    if slot.kind == "flag":
        yes = Tag(
            f"slot:{slot.name}", True, Alt((Seq((Word("with"), label)), Seq((label, phrase("[is] (on | true)")))))
        )
        no = Tag(
            f"slot:{slot.name}", False, Alt((Seq((Word("without"), label)), Seq((label, phrase("[is] (off | false)")))))
        )
        return Alt((yes, no))
    if not typed:
        return None
    free = Free(f"slot:{slot.name}")
    named = Seq((preposition, label, is_, free))
    if slot.required:
        return Alt((named, Seq((preposition, free)), free))
    return named


def _top(slot: Slot) -> int:
    high = slot.high if slot.high is not None else 9999
    return 99 if high < 100 else 999 if high < 1000 else 9999


def _named(tool: SpokenTool) -> Expression:
    options: list[Expression] = []
    for name in tool.names:
        if len(name) > 1:
            options.append(Seq((_words(name[:-1]), _THE, Word(name[-1]))))
        else:
            options.append(_words(name))
    return options[0] if len(options) == 1 else Alt(tuple(options))


def _command(tool: SpokenTool, typed: bool) -> Expression:
    slots = [(slot, said) for slot in tool.slots if (said := _slot(slot, typed)) is not None]
    parts: list[Expression] = []
    for index, (_, said) in enumerate(slots):
        parts.append(Opt(Seq((phrase("[and]"), said)) if index else said))
    if typed and 1 < len(slots) <= 4:
        any_order = Alt(tuple(Seq((phrase("[and]"), said)) for _, said in slots))
        parts += [Opt(any_order) for _ in slots[1:]]
    body = Seq((_POLITE, Opt(_START), _named(tool), *parts, _TAIL))
    return Tag("intent", "call", Tag("tool", tool.name, body))


def _bare(tools: Sequence[SpokenTool], typed: bool) -> list[Expression]:
    """Values alone: an answer to "research what?"."""
    slots = [(tool, slot) for tool in tools for slot in tool.slots if slot.kind == "choice" and slot.required]
    if not slots or (not typed and sum(len(slot.values) for _, slot in slots) > _BARE_VALUES):
        return []
    return [Tag("intent", "value", Tag("tool", tool.name, Seq((_THE, _choice(slot), _TAIL)))) for tool, slot in slots]


def _which(tools: Sequence[SpokenTool]) -> dict[str, Expression]:
    """How a task is named: "task three", "the research", "everything"."""
    number = Seq((phrase("[the] task [number]"), Number("task", top=99)))
    named = tuple(Tag("target", tool.name, Seq((_THE, _ways(tool.names)))) for tool in tools)
    last = phrase("the (task | run)")
    everything = Tag("task", "all", phrase("everything | all [of (them | it)] | all [the] tasks | both"))
    return {"which": Alt((number, *named, last)), "all": everything}


def _around(
    tool: SpokenTool, index: int, ways: Sequence[Sequence[str]], repeats: int, dice: random.Random
) -> list[str]:
    """Say one value of a tool in plain ways."""
    lines = []
    slot = tool.slots[index]
    before: list[str] = []
    for earlier in tool.slots[:index]:
        if earlier.required and earlier.values:
            before += dice.choice(dice.choice(earlier.values)[0])
    openings = ["", "", "", "please", "can you", "start", "run", "start the"]
    middles = ["", "", "", " ".join(slot.words), "on", "about", "for", "with"]
    for turn in range(repeats):
        name = tool.names[turn % len(tool.names)]
        value = ways[0] if turn % 3 != 2 else ways[turn % len(ways)]
        line = [
            dice.choice(openings),
            *name,
            *before,
            dice.choice(middles),
            *value,
            dice.choice(("", "", "", "please")),
        ]
        lines.append(" ".join(word for word in line if word))
    if slot.required and not index:
        lines.append(" ".join(ways[0]))
    return lines


def _plain_built_in() -> list[str]:
    numbers = ("one", "two", "three", "four", "five", "six")
    return [
        *(f"cancel task {number}" for number in numbers),
        *(f"how is task {number} doing" for number in numbers),
        *(f"how far is task {number}" for number in numbers),
        *("how far is it", "status", "what is running", "list tasks", "how long will it take", "how is it going"),
        *("cancel it", "cancel everything", "what can you do", "help", "say that again", "stop", "be quiet"),
        *(
            "yes",
            "no",
            "go ahead",
            "don't do it",
            "thank you",
            "hello",
            "is it done yet",
            "how much longer",
            "what's the status",
            "stop",
        ),
    ]
