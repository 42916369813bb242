"""Text from elsewhere holds up nothing: what reads it takes time in proportion to its length.

The cost of 64 KB is at most eight times that of 16 KB, and nothing takes five seconds.
"""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest

from backchannel.agents.consent import consent_of
from backchannel.agents.history import shrunk
from backchannel.agents.playback import sentences
from backchannel.aws.athena import is_read_only
from backchannel.aws.definition import tool_name
from backchannel.errors import BackchannelError
from backchannel.events import TaskFinished
from backchannel.messages import ToolResult, ToolSpec
from backchannel.models.converse_messages import converse_messages
from backchannel.models.local import phrase
from backchannel.models.local.dialogue import Dialogue
from backchannel.models.local.grammar import Grammar
from backchannel.models.local.understand import understand
from backchannel.models.local.words import readings, tokens
from backchannel.models.task_notes import started, told
from backchannel.models.text import plain_id, plain_name
from backchannel.notebook.static_html import transcript_html
from backchannel.observability import redaction
from backchannel.tasks.builtin import _found
from backchannel.tools import tool
from backchannel.tools.confirmation import question_for
from backchannel.tools.docstring import parse
from backchannel.tools.schema import check
from backchannel.tools.text import cut, text_of

KB = 1024
RATIO = 8.0
TOO_SHORT_S = 0.05
"""What takes less than this at 64 KB holds nobody up, and is too short to be compared."""
STOP_S = 5


def spec(name: str, **properties: Any) -> ToolSpec:
    schema = {"type": "object", "properties": properties, "required": list(properties)}
    return {"name": name, "description": "A tool.", "inputSchema": {"json": schema}}


TEXT = {"type": "string"}
GRAMMAR = Grammar(
    [
        spec("note", text=TEXT),
        spec("copy", source=TEXT, target=TEXT, comment=TEXT),
        spec("scale", factor={"type": "number"}, label=TEXT),
        spec("pick", fruit={"enum": ["apple", "pear"]}),
    ]
)


@tool
def scale(x: float = 1.0, n: int = 1, xs: list[float] | None = None, flag: bool = False) -> str:
    """Scale."""
    return ""


@tool(confirm="Run {command}?")
def shell(command: str) -> str:
    """Run a command."""
    return ""


def argument(name: str) -> Callable[[str], object]:
    def read(text: str) -> object:
        try:
            return scale.schema.check({name: [text] if name == "xs" else text})
        except ValueError as error:
            return str(error)

    return read


def foreign(**words: Any) -> Callable[[str], object]:
    schema = {"type": "object", "properties": {"x": {"type": "string", **words}}, "required": ["x"]}

    def read(text: str) -> object:
        try:
            return check(schema, {"x": text}, "t")
        except ValueError as error:
            return str(error)

    return read


def result(text: str) -> ToolResult:
    return {"toolUseId": "c", "status": "success", "content": [{"text": text}]}


def finished(text: str) -> TaskFinished:
    return TaskFinished("0a1b2c3d", 1, "fetch", {"url": text}, "done", text, 1.0)


def understood(text: str) -> object:
    return understand(text, GRAMMAR, typed=True), understand(text, GRAMMAR)


def answered(text: str) -> object:
    dialogue = Dialogue(GRAMMAR, written=True)
    dialogue.read("copy")
    return dialogue.read(text), dialogue.read(text)


def found_task(text: str) -> object:
    return _found([], text)


READERS: dict[str, Callable[[str], object]] = {
    "consent": consent_of,
    "history line": shrunk,
    "heard sentences": sentences,
    "SQL": is_read_only,
    "tool name": tool_name,
    "document name": lambda text: converse_messages(
        [{"role": "user", "content": [{"document": {"name": text}}, {"text": "x"}]}], "anthropic.claude"
    ),
    "speakable": phrase.speakable,
    "spoken sentences": phrase.sentences,
    "announcement": lambda text: phrase.announcement([finished(text)]),
    "spoken result": lambda text: phrase.result_text(result(text)),
    "approval": lambda text: phrase.approval(text, {"toolUseId": "c", "name": "shell", "input": {"command": text}}),
    "label": lambda text: phrase.label(text, {text: text, "b": [text]}),
    "understanding": understood,
    "answer": answered,
    "readings": readings,
    "tokens": tokens,
    "acknowledgement": lambda text: started(result(text)),
    "told tasks": told,
    "call id": plain_id,
    "call name": plain_name,
    "transcript": lambda text: transcript_html([{"role": "user", "text": text, "final": True, "heard": True}]),
    "redaction": redaction.redact,
    "task reference": found_task,
    "number": argument("x"),
    "integer": argument("n"),
    "numbers": argument("xs"),
    "flag": argument("flag"),
    "docstring": parse,
    "question": lambda text: question_for(shell, {"toolUseId": "c", "name": "shell", "input": {"command": text}}),
    "bounded text": lambda text: (cut(text, 100), text_of({"a": [text] * 3}, 1000)),
    "pattern (\\w+\\s?)*": foreign(pattern=r"^(\w+\s?)*$"),
    "pattern (a|aa)+": foreign(pattern=r"^(a|aa)+$"),
    "pattern a*a*a*": foreign(pattern=r"^a*a*a*a*b$"),
    "pattern .*x.*": foreign(pattern=r".*x.*y.*z"),
    "pattern e-mail": foreign(pattern=r"^([a-zA-Z0-9_.-]+)+@([a-zA-Z0-9-]+\.)+[a-z]{2,}$"),
}

ACK = "Started . It runs in the background as task 1 (id 0a1b2c3d, tool "
ENDED = "[A background task has ended. This is not from the user: it is. "
HOSTILE: dict[str, Callable[[int], str]] = {
    "letters": lambda size: "a" * size,
    "letters and a sign": lambda size: "a" * size + "!",
    "capitals": lambda size: "A" * size + "a",
    "digits": lambda size: "1" * size,
    "digits and e": lambda size: "1" * size + "e",
    "a fraction": lambda size: "1." + "0" * size + "x",
    "nines with commas": lambda size: "999," * (size // 4),
    "dots": lambda size: "." * size + "x",
    "contents": lambda size: "Contents " + "." * size + "x",
    "ends and quotes": lambda size: ('."' * (size // 2)) + "x",
    "one end and quotes": lambda size: "a." + '"' * size,
    "abbreviations": lambda size: "A. " * (size // 3),
    "blanks": lambda size: "a." + " " * size + "x",
    "only blanks": lambda size: " " * size,
    "lines": lambda size: "\n" * size,
    "open brackets": lambda size: "[" * size,
    "links": lambda size: "[a](" * (size // 4),
    "half links": lambda size: "[](" + "[" * size,
    "images": lambda size: "![" * (size // 2),
    "tags": lambda size: "<a" * (size // 2),
    "stars": lambda size: "*a " * (size // 3),
    "stars only": lambda size: "*" * size,
    "emphasis": lambda size: "**a" * (size // 3),
    "ticks": lambda size: "`a " * (size // 3),
    "code": lambda size: "```" * (size // 3),
    "comments": lambda size: "/*" * (size // 2),
    "closed comments": lambda size: "/**/" * (size // 4) + "/*",
    "dashes": lambda size: "--\n" * (size // 3),
    "brackets of SQL": lambda size: "(" * size,
    "notes of a task": lambda size: "[Background task 01234567, t(" + "), is done after 1.0 s: " * (size // 24) + "x",
    "ended tasks": lambda size: ENDED + "\n\nTask 0a1b2c3d, tool t, arguments " * (size // 35),
    "acknowledgements": lambda size: ACK * (size // len(ACK)),
    "started": lambda size: "Started " + ". It runs in the background as task 1" * (size // 37),
    "words": lambda size: "copy a b " * (size // 9),
    "a command": lambda size: "scale " + "one " * (size // 4),
    "numbers in words": lambda size: "scale factor one point " + "one " * (size // 4),
    "ands": lambda size: "one hundred and " * (size // 16),
    "tasks": lambda size: "task " * (size // 5),
    "hashes": lambda size: "#" * size + "x",
    "noes": lambda size: "no." * (size // 3) + "x",
    "a parameter": lambda size: ":param" + " " * size + "x",
    "parameters": lambda size: "Args:\n    " + "a, " * (size // 3),
    "a parameter of many words": lambda size: ":param " + "a " * (size // 2),
    "Args and brackets": lambda size: "Args:\n    a" + " (" * (size // 2),
    "Parameters": lambda size: "Parameters\n----------\n" + "a , " * (size // 4) + "!",
    "bearers": lambda size: "Bearer " * (size // 7),
    "passwords": lambda size: "password=" * (size // 9),
    "quotes": lambda size: "password='" * (size // 10),
    "addresses": lambda size: "http://a:b" * (size // 10),
    "at signs": lambda size: "a@" * (size // 2),
    "e-mail": lambda size: "a" * size + "@",
    "dotted": lambda size: "eyJaaaa." * (size // 8),
    "keys": lambda size: "-----BEGIN PRIVATE KEY-----" * (size // 27),
    "backslashes": lambda size: "\\" * size,
    "escapes": lambda size: "\x1b[" * (size // 2),
    "surrogates": lambda size: "\ud83d" * size,
    "zero width": lambda size: "\u200b" * size,
    "combining": lambda size: "e" + "\u0301" * size,
    "hex": lambda size: "0123456789abcdef" * (size // 16),
    "ACGT": lambda size: "ACGT" * (size // 4),
}


class StoppedError(BaseException):
    pass


def seconds(read: Callable[[str], object], text: str) -> float:
    """Return how long a text takes, the shortest of a few tries; long ones are not tried again."""
    best = STOP_S * 1.0
    for _ in range(3):
        start = time.thread_time()  # A busy machine does not change it.
        with contextlib.suppress(BackchannelError):  # A refusal in words is an answer too.
            read(text)
        best = min(best, time.thread_time() - start)
        if best > 0.5:
            break
    return best


@pytest.mark.parametrize("reader", READERS)
def test_what_reads_foreign_text_takes_time_in_proportion_to_its_length(reader: str):
    read = READERS[reader]
    slow: list[str] = []

    def stop(number: int, frame: FrameType | None) -> None:
        raise StoppedError

    before = signal.signal(signal.SIGALRM, stop)
    try:
        for name, make in HOSTILE.items():
            signal.setitimer(signal.ITIMER_REAL, STOP_S)
            try:
                small, large = seconds(read, make(16 * KB)), seconds(read, make(64 * KB))
                if large > TOO_SHORT_S and large > RATIO * small:
                    slow.append(f"{name}: {small:.3f} s for 16 KB, {large:.3f} s for 64 KB")
            except StoppedError:
                slow.append(f"{name}: longer than {STOP_S} s")
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
    finally:
        signal.signal(signal.SIGALRM, before)
    assert not slow
