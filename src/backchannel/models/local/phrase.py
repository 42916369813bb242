"""Phrases: what the embedded model says. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from ...events import TaskFinished, TaskStarted
from ...messages import ToolResult, ToolUse
from .grammar import Grammar, Slot, SpokenTool
from .words import join, number_words, readings

__all__ = [
    "acknowledgement",
    "announcement",
    "approval",
    "ask_for",
    "help_text",
    "label",
    "plain_text",
    "result_text",
    "sentences",
    "speakable",
    "unknown_value",
]

_ON_BOARD = "The rest is on the board."
_LONGEST_SENTENCE = 220
_LONGEST_LABEL = 60
_EXAMPLES = 3
_MOST_TOLD = 8
_LOOKED_AT = 8000
"""Characters at the beginning of a text that are made fit to be said."""

_CODE = re.compile(r"```.*?(?:```|$)", re.S)
_LINK = re.compile(r"!?\[([^\[\]]*)\]\([^()]*\)")
_URL = re.compile(r"\b(?:https?|ftp|s3|file)://\S+|\bwww\.\S+")
_TAG = re.compile(r"</?[A-Za-z][^<>]*>")
_LINE_MARK = re.compile(r"^\s*(?:#{1,6}\s+|[-*+•]\s+|>\s+|\d+[.)]\s+)")
_EMPHASIS = re.compile(r"(\*\*|__|\*|`|~~)(?=\S)(.{1,200}?)(?<=\S)\1")
_RULE = re.compile(r"^[\s|:=_*-]+$")
_FRACTION = re.compile(r"(?<![\w.])(-?\d+\.\d{3,})(?!\w|\.\d)")
_UNITS = (
    (re.compile(r"(?<=\d)\s?%"), " percent"),
    (re.compile(r"(?<=\d)\s?s\b"), " seconds"),
    (re.compile(r"(?<=\d)\s?ms\b"), " milliseconds"),
)
_END = re.compile(r"(?<=[.!?])[\"')]{0,9}\s++(?=[\"'(]{0,9}[A-Z0-9])")
_LOOKED_BACK = 12
_ABBREVIATION = re.compile(r"(?:\b(?:Dr|Mr|Mrs|Ms|Prof|St|vs|etc|approx|No|Fig|e\.g|i\.e)|\b[A-Z])\.$")


def acknowledgement(task: TaskStarted) -> str:
    """Say that a task began: "Started research solar power, task one."."""
    said = f"Started {label(task.tool_name, task.arguments)}, task {number_words(task.number)}."
    if task.estimate_s is not None:
        said += f" It will take about {_duration(task.estimate_s)}."
    return said


def announcement(tasks: Sequence[TaskFinished]) -> str:
    """Say how tasks ended, one or several in one go."""
    if not tasks:
        return ""
    again = all(task.perhaps_told for task in tasks)
    opening = "You may have heard this already." if again else "By the way,"
    if len(tasks) == 1:
        said = _ending(tasks[0], 2)
        return f"{opening} {said[0].upper() + said[1:] if again else said}"
    count = f"{number_words(len(tasks))} tasks are finished."
    endings = [said[0].upper() + said[1:] for task in tasks[:_MOST_TOLD] if (said := _ending(task, 1))]
    if len(tasks) > _MOST_TOLD:
        endings.append(f"And {number_words(len(tasks) - _MOST_TOLD)} more. {_ON_BOARD}")
    return " ".join([opening, count[0].upper() + count[1:] if again else count, *endings])


def _ending(task: TaskFinished, most: int) -> str:
    name = label(task.tool_name, task.arguments)
    if task.superseded_by is not None:
        name = f"the earlier {name}"
    text = _bounded(task.text, limit=240, sentence_limit=most)
    if task.status == "done":
        return f"{name} is done. {text}".rstrip()
    if task.status == "failed":
        return f"{name} failed{': ' + text if text else '.'}"
    if task.status == "timed_out":
        return f"{name} ran out of time and was stopped."
    if task.status == "lost":
        return f"{name} was lost when its kernel ended. It can be run again."
    return f"{name} was cancelled."


def approval(question: str, tool_use: ToolUse, *, whole: bool = True) -> str:
    """Ask whether a call may run. Neither yes nor no is said here: the microphone may hear it."""
    if not whole:
        name = " ".join((readings(tool_use["name"], 1) or ((tool_use["name"],),))[0])
        return (
            f"I need your approval to run {name}. It is too long to be said: please look at the page, and answer there."
        )
    if question.startswith(f"Run {tool_use['name']}(") and isinstance(tool_use["input"], Mapping):
        name = " ".join((readings(tool_use["name"], 1) or ((tool_use["name"],),))[0])
        question = f"Run {', '.join([name, *([_data(tool_use['input'])] if tool_use['input'] else [])])}?"
    return f"I need your approval. {speakable(question, rest='The rest is on the screen.')}"


def plain_text(result: ToolResult) -> str:
    """Return what a tool returned, as one text."""
    pieces = []
    for block in result.get("content", []):
        if "text" in block:
            pieces.append(str(block["text"]))
        elif "json" in block:
            pieces.append(_data(block["json"]))
        else:
            pieces.append("There is something to see on the board.")
    return "\n".join(pieces)


def result_text(result: ToolResult) -> str:
    """Say what a tool returned."""
    text = _bounded(plain_text(result))
    if result.get("status") == "error":
        return f"That did not work. {text}".rstrip()
    return text or "Done."


def _bounded(text: str, limit: int = 360, sentence_limit: int | None = None) -> str:
    """Make a result fit to be said; the note that it is not all is for models that can look further."""
    beginning, note, _ = text.rpartition(TaskFinished.NOT_ALL)
    said = speakable(beginning if note else text, limit, sentence_limit)
    return f"{said} {_ON_BOARD}".lstrip() if note and not said.endswith(_ON_BOARD) else said


def _data(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{' '.join(sum(readings(str(key), 1), ()))} {_data(item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(_data(item) for item in value)
    return (
        {True: "yes", False: "no", None: "nothing"}.get(value, str(value))
        if value in (True, False, None)
        else str(value)
    )


def label(tool_name: str, arguments: Mapping[str, Any]) -> str:
    """Name a run by its tool and the values it was given: "research solar power"."""
    name = " ".join((readings(tool_name, 1) or ((tool_name,),))[0])
    values = []
    for key, value in arguments.items():
        key_words = " ".join((readings(str(key), 1) or ((str(key),),))[0])
        if isinstance(value, bool):
            values.append(f"with {key_words}" if value else f"without {key_words}")
        elif isinstance(value, int | float):
            values.append(f"{key_words} {value:g}")
        elif isinstance(value, str):
            values.append(speakable(value, limit=_LONGEST_LABEL, rest=""))
        elif isinstance(value, list | tuple) and all(isinstance(item, str) for item in value):
            values.append(join(list(value)))
    said = " ".join([name, *values])
    return said if len(said) <= _LONGEST_LABEL else said[:_LONGEST_LABEL].rsplit(" ", 1)[0]


def speakable(text: str, limit: int = 360, sentence_limit: int | None = None, rest: str = _ON_BOARD) -> str:
    """Make a text fit to be said: no markup, no addresses, no endless numbers, at most ``limit`` characters.

    What is left out is replaced by ``rest``.
    """
    looked_at, text = len(text) <= _LOOKED_AT, text[:_LOOKED_AT]
    text = _CODE.sub(" There is some code. ", text)
    text = _TAG.sub(" ", _URL.sub("a link", _LINK.sub(r"\1", text)))
    lines = []
    for line in text.splitlines():
        if _RULE.match(line):
            continue
        line = _LINE_MARK.sub("", line).replace("|", ", ").strip(" ,\t")
        if line:
            lines.append(line if line[-1] in ".!?:;," else line + ".")
    text = " ".join(lines)
    if len(lines) == 1 and not text.endswith(("!", "?", ":")) and len(text) <= _LONGEST_LABEL and not rest:
        text = text.rstrip(".")
    for _ in range(2):
        text = _EMPHASIS.sub(r"\2", text)
    text = _FRACTION.sub(
        lambda found: f"{float(found.group()):.3g}" if "e" not in f"{float(found.group()):.3g}" else found.group(), text
    )
    for pattern, words in _UNITS:
        text = pattern.sub(words, text)
    text = " ".join(text.split())
    kept: list[str] = []
    found = sentences(text)
    for sentence in found[:sentence_limit]:
        if sum(map(len, kept)) + len(sentence) > limit:
            break
        kept.append(sentence)
    if not kept and found:
        cut = found[0][:limit].rsplit(" ", 1)[0].rstrip(".,;:")
        kept.append(cut + ("." if rest else ""))
    complete = looked_at and len(kept) == len(found) and sum(map(len, kept)) >= sum(map(len, found))
    if not complete and rest:
        kept.append(rest)
    return " ".join(kept)


def sentences(text: str) -> list[str]:
    """Split into sentences, each short enough to be said in one breath."""
    found: list[str] = []
    start = 0
    for gap in _END.finditer(text):
        if _ABBREVIATION.search(text[max(start, gap.start() - _LOOKED_BACK) : gap.start()].rstrip("\"')")):
            continue
        found.append(text[start : gap.end()].strip())
        start = gap.end()
    found.append(text[start:].strip())
    return [part for sentence in found if sentence for part in _short(sentence)]


def _short(sentence: str) -> list[str]:
    parts = []
    while len(sentence) > _LONGEST_SENTENCE:
        head = sentence[:_LONGEST_SENTENCE]
        at = max(head.rfind(", "), head.rfind("; "), head.rfind(": ")) + 1
        at = at if at > _LONGEST_SENTENCE // 3 else head.rfind(" ")
        at = at if at > 0 else _LONGEST_SENTENCE
        parts.append(sentence[:at].strip())
        sentence = sentence[at:].strip()
    return [*parts, sentence] if sentence else parts


def help_text(grammar: Grammar) -> str:
    """Say what can be said."""
    if not grammar.tools:
        return "There are no tools yet. Declare one in a cell, and I can run it for you."
    said = [example(tool) for tool in grammar.tools[:_EXAMPLES]]
    more = len(grammar.tools) - len(said)
    text = f"You can say: {join(said, 'or')}."
    if more > 0:
        text += f" There {'is one more tool' if more == 1 else f'are {number_words(more)} more tools'}."
    text += _alternatives(grammar.tools[0])
    if grammar.knows_tasks:
        text += " While something runs, ask how far it is, or say cancel task one."
    return text


def _alternatives(tool: SpokenTool) -> str:
    """Name what can be said instead of the value in a tool's example."""
    slot = next((slot for slot in tool.slots if slot.required and len(slot.values) > 1), None)
    if slot is None:
        return ""
    first, *others = (" ".join(ways[0]) for ways, _ in slot.values)
    named, rest = others[:_EXAMPLES], len(others) - _EXAMPLES
    if rest > 0:
        named.append("one other" if rest == 1 else f"{number_words(rest)} others")
    return f" Instead of {first}, also {join(named, 'or')}."


def example(tool: SpokenTool) -> str:
    """Give a command that runs the tool."""
    words = [tool.said]
    for slot in tool.slots:
        if not slot.required:
            continue
        if slot.values:
            words.append(" ".join(slot.values[0][0][0]))
        elif slot.kind == "number":
            words.append(f"{' '.join(slot.words)} {number_words(max(slot.low or 0, min(10, slot.high or 10)))}")
        elif slot.kind == "flag":
            words.append(f"with {' '.join(slot.words)}")
    return " ".join(words)


def ask_for(tool: SpokenTool, slot: Slot, *, written: bool = False) -> str:
    """Ask for a parameter that was not said."""
    name = " ".join(slot.words) or slot.name
    if slot.kind == "free" and not written:
        return f"For {tool.said} I need the {name}. I cannot hear free text well, so please type it."
    if slot.kind in ("number", "free"):
        return f"What {name} for {tool.said}?"
    if slot.kind == "flag":
        return f"{tool.said[0].upper()}{tool.said[1:]} with or without {name}?"
    return f"What {name} for {tool.said}? {_choices(slot)}"


def unknown_value(tool: SpokenTool, rest: str) -> str:
    """Say that a tool does not take what was said."""
    slot = next((slot for slot in tool.slots if slot.values), None)
    opening = f"I do not know {speakable(rest, limit=60, rest='')} for {tool.said}."
    return f"{opening} {_choices(slot)}" if slot else f"{opening} You can say: {example(tool)}."


def _choices(slot: Slot) -> str:
    said = [" ".join(ways[0]) for ways, _ in slot.values]
    if len(said) <= _EXAMPLES + 1:
        return f"You can say {join(said, 'or')}."
    return f"For example {join(said[:_EXAMPLES], 'or')}."


def _duration(seconds: float) -> str:
    if seconds < 90:
        count = max(1, round(seconds))
        return f"{number_words(count)} second{'s' if count != 1 else ''}"
    count = round(seconds / 60)
    return (
        f"{number_words(count)} minute{'s' if count != 1 else ''}"
        if count < 90
        else f"{number_words(round(seconds / 3600))} hours"
    )
