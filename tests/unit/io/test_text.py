"""A conversation on a terminal."""

from __future__ import annotations

import asyncio
import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from prompt_toolkit.application import create_app_session
from prompt_toolkit.data_structures import Size
from prompt_toolkit.input import PipeInput, create_pipe_input
from prompt_toolkit.output import DummyOutput
from prompt_toolkit.output.vt100 import Vt100_Output

from backchannel import BidiAgent, ScriptedModel
from backchannel.errors import MissingExtraError
from backchannel.events import (
    ApprovalAnswerEvent,
    ApprovalRequestEvent,
    BidiConnectionCloseEvent,
    BidiErrorEvent,
    BidiInterruptionEvent,
    BidiTranscriptStreamEvent,
    TaskUpdateEvent,
    ToolResultEvent,
    TypedEvent,
)
from backchannel.io import BidiTextIO
from backchannel.models.scripted import expect_text, say
from tests.support.listening import ListeningAgent


@contextmanager
def keyboard(screen: io.StringIO | None = None) -> Iterator[PipeInput]:
    output = DummyOutput() if screen is None else Vt100_Output(screen, lambda: Size(rows=24, columns=80))
    with create_pipe_input() as pipe, create_app_session(input=pipe, output=output):
        yield pipe


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def transcript(text: str, final: bool, role: str = "assistant", whole: str | None = None) -> TypedEvent:
    return BidiTranscriptStreamEvent({"text": text}, text, role, final, whole)  # type: ignore[arg-type]


def task(status: str, **more: object) -> TaskUpdateEvent:
    return TaskUpdateEvent({"id": "1", "number": 3, "label": "train", "status": status, **more})


async def printed(events: list[TypedEvent], monkeypatch: pytest.MonkeyPatch, stream: io.StringIO | None = None) -> str:
    stream = stream or io.StringIO()
    monkeypatch.setattr(sys, "stdout", stream)
    output = BidiTextIO().output()
    await output.start(ListeningAgent())
    for event in events:
        await output(event)
    await output.stop()
    return stream.getvalue()


async def test_a_line_is_sent_without_the_white_space_around_it_and_empty_lines_are_not():
    with keyboard() as pipe:
        source = BidiTextIO("you> ").input()
        await source.start(ListeningAgent())
        pipe.send_text("\r   \r  Hello, 漢字!  \rnext\r")
        assert [(await source())["text"], (await source())["text"]] == ["Hello, 漢字!", "next"]
        await source.stop()


async def test_control_d_ends_the_input():
    agent = ListeningAgent()
    with keyboard() as pipe:
        source = BidiTextIO().input()
        await source.start(agent)
        pipe.send_text("\x04")
        with pytest.raises(StopAsyncIteration):
            await source()
        await source.stop()
    assert agent.stops == 0


async def test_control_c_is_a_keyboard_interrupt():
    with keyboard() as pipe:
        source = BidiTextIO().input()
        await source.start(ListeningAgent())
        pipe.send_text("half a line\x03")
        with pytest.raises(KeyboardInterrupt):
            await source()
        await source.stop()


def test_control_c_comes_out_of_run_after_everything_was_stopped():
    model = ScriptedModel(expect_text("Hello"))
    agent = BidiAgent(model)

    async def main() -> None:
        with keyboard() as pipe:
            channel = BidiTextIO()
            pipe.send_text("\x03")
            await agent.run(inputs=[channel.input()], outputs=[channel.output()])

    with pytest.raises(KeyboardInterrupt):
        asyncio.run(main())
    assert agent._conversation is None
    assert not model._connected


async def test_control_d_ends_the_conversation_where_that_is_wanted():
    stream = io.StringIO()
    with keyboard(stream) as pipe:
        channel = BidiTextIO(stop_agent=True)
        model = ScriptedModel(expect_text("Hello"), say("Good day."))

        async def leave(event: TypedEvent) -> None:
            if event.get("type") == "bidi_response_complete":
                pipe.send_text("\x04")

        pipe.send_text("Hello\r")
        async with asyncio.timeout(30):
            await BidiAgent(model).run(inputs=[channel.input()], outputs=[channel.output(), leave])
        model.check()
    assert "Good day." in stream.getvalue()


async def test_what_is_said_and_done_is_printed(monkeypatch: pytest.MonkeyPatch):
    events = [
        transcript("Good", final=False),
        transcript("Good day.", final=True),
        transcript("Train it", final=True, role="user"),
        BidiInterruptionEvent("user_speech"),
        task("running"),
        task("running", fraction=0.5),
        task("done", text="error 4 %"),
        ToolResultEvent({"toolUseId": "1", "status": "error", "content": [{"text": "no such file"}]}),
        ToolResultEvent({"toolUseId": "2", "status": "success", "content": [{"text": "fine"}]}),
        ApprovalRequestEvent("a1", "Delete x?", {"name": "delete", "input": {}, "toolUseId": "1"}),
        ApprovalAnswerEvent("a1", False, "voice", "not now"),
        BidiErrorEvent(ValueError("bad")),
        TypedEvent({"type": "from_the_future"}),
        TypedEvent({"message": {}}),
        BidiConnectionCloseEvent("c", "user_request"),
    ]
    assert (await printed(events, monkeypatch)).splitlines() == [
        "Preview: Good",
        "Good day.",
        "You: Train it",
        "interrupted",
        "[task 3, train: running]",
        "[task 3, train: done] error 4 %",
        "[tool failed] no such file",
        "Approval needed: Delete x?",
        "Not approved (voice): not now",
        "Error: bad",
        "The conversation has ended (user_request).",
    ]


async def test_a_preview_grows_in_place_on_a_terminal(monkeypatch: pytest.MonkeyPatch):
    erase = "\r\x1b[2K"
    pieces = [transcript("Good", False), transcript(" day", False), transcript("Good day.", True)]
    whole = [transcript("Good", False), transcript("Good day", False), transcript("Good day.", True)]
    told = [transcript("Good", False, whole="Good"), transcript(" day", False, whole="Good day")]
    shown = f"Preview: Good{erase}Preview: Good day{erase}"
    assert await printed(pieces, monkeypatch, Terminal()) == f"{shown}Good day.\n"
    assert await printed(whole, monkeypatch, Terminal()) == f"{shown}Good day.\n"
    assert await printed(told, monkeypatch, Terminal()) == shown


async def test_a_model_cannot_write_escapes_to_the_terminal(monkeypatch: pytest.MonkeyPatch):
    evil = "\x1b]0;title\a\x1b[2J\rYou: yes\nApproval needed: no\x9b31m\u202e"
    events = [
        transcript(evil, final=True),
        task("failed", error=evil),
        ApprovalRequestEvent("a1", evil, {"name": "delete", "input": {}, "toolUseId": "1"}),
        BidiErrorEvent(ValueError(evil)),
    ]
    text = await printed(events, monkeypatch)
    assert all(character.isprintable() or character == "\n" for character in text)
    assert [line for line in text.splitlines() if line.startswith("Approval needed: no")] == []


async def test_while_a_line_is_typed_the_preview_stands_under_it(monkeypatch: pytest.MonkeyPatch):
    stream = Terminal()
    with keyboard() as pipe:
        monkeypatch.setattr(sys, "stdout", stream)
        channel = BidiTextIO()
        source, output = channel.input(), channel.output()
        await source.start(ListeningAgent())
        waiting = asyncio.create_task(source())
        while channel._screen.application is None:
            await asyncio.sleep(0)
        channel._screen.lines._stream = stream
        await output(transcript("Hello\x1b[2J", final=False))
        assert channel._screen.toolbar() == [("", "Preview: Hello␛[2J")]
        await output(transcript("Hello.", final=True))
        assert channel._screen.toolbar() is None
        pipe.send_text("bye\r")
        assert (await waiting)["text"] == "bye"
        await source.stop()


def test_the_prompt_must_be_text():
    with pytest.raises(TypeError, match="input_prompt must be a str, not int"):
        BidiTextIO(3)  # type: ignore[arg-type]


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "prompt_toolkit", None)
    with pytest.raises(MissingExtraError, match=r"backchannel\[text\]"):
        BidiTextIO()


async def test_a_question_that_does_not_show_all_is_followed_by_all_arguments(monkeypatch: pytest.MonkeyPatch):
    command = "echo " + "a" * 5000 + "; rm -rf /data"
    use = {"toolUseId": "c", "name": "shell", "input": {"command": command, "force": True}}
    asked = ApprovalRequestEvent("a", "Run “echo …”?", use, whole=False)  # type: ignore[arg-type]
    text = await printed([asked], monkeypatch)
    assert text == f"Approval needed: Run “echo …”?\n  command: {command}\n  force: True\n"
