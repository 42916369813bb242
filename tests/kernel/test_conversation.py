"""The whole chain in a real kernel: typed words, the embedded model, a background tool, and the voice."""

from __future__ import annotations

import importlib.util
from typing import Any

import pytest

from .front_end import FrontEnd, Message

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(
        any(importlib.util.find_spec(name) is None for name in ("pocketsphinx", "wasmtime")),
        reason="the extra 'local' is not installed",
    ),
]

TOOL = '''%%async_tool
import threading
from typing import Literal
from backchannel import progress
go = threading.Event()
def research(topic: Literal["solar power", "wind power", "fusion"]) -> str:
    """Research a topic."""
    progress(7, 20, "pages")
    go.wait(30)
    return f"{topic.capitalize()} is booming."
'''


class Player:
    """A page that plays everything at once, and keeps how much of it was sound."""

    def __init__(self, front_end: FrontEnd, voice: str) -> None:
        self._front_end, self._voice = front_end, voice
        self._read = 0
        self.captions: dict[str, Message] = {}
        self.states: list[str] = []
        self.loudest = 0

    def say(self, text: str) -> None:
        self._front_end.send(self._voice, {"k": "say", "client": "p", "text": text})

    def hears(self, text: str) -> None:
        """Play until an answer with ``text`` was heard whole."""

        def heard() -> bool:
            self._play()
            return any(
                text in item["text"].lower() and item["role"] == "assistant" and item["heard"]
                for item in self.captions.values()
            )

        self._front_end.until(heard, f"{text!r} to be heard in {list(self.captions.values())}")

    def _play(self) -> None:
        news = self._front_end.log[self._read :]
        self._read = len(self._front_end.log)
        for item in news:
            if item["msg_type"] == "comm_msg" and item["content"]["comm_id"] == self._voice:
                self._take(item["content"]["data"]["content"], item["buffers"])

    def _take(self, content: Message, buffers: list[Any]) -> None:
        match content["k"]:
            case "ops":
                for op in content["ops"]:
                    if op["op"] == "caption":
                        self.captions[op["id"]] = op
                    elif op["op"] == "state":
                        self.states.append(op["state"])
                ack = {"k": "ack", "client": "p", "seq": content["seq"] + len(content["ops"]) - 1}
                self._front_end.send(self._voice, ack)
            case "audio":
                samples = memoryview(bytes(buffers[0])).cast("h")
                self.loudest = max(self.loudest, *map(abs, samples))
                played = content["start"] + len(samples)
                report = {"k": "played", "client": "p", "gen": content["gen"], "received": played, "played": played}
                self._front_end.send(self._voice, report)


def test_a_tool_is_started_looked_at_and_told_by_voice_while_a_cell_is_busy(front_end: FrontEnd) -> None:
    assert front_end.run("%load_ext backchannel").error == ""
    assert front_end.run(TOOL).error == ""
    assert front_end.run("%talk --model local", cell="talk").error == ""
    voice = front_end.widget("VoiceWidget")
    player = Player(front_end, voice)
    front_end.send(voice, {"k": "hello", "client": "p", "version": 1, "lab": True})
    front_end.send(voice, {"k": "claim", "client": "p", "microphone": False})
    busy = front_end.start("threading.Event().wait(60)")
    player.say("research solar power")
    player.hears("started research solar power")
    player.say("how far is it")
    player.hears("35 percent")
    assert player.loudest > 1000
    assert not busy.over
    front_end.interrupt()
    busy.wait()
    front_end.run("go.set()")
    player.hears("solar power is booming")
    assert {"connecting", "thinking", "speaking", "listening"} <= set(player.states)


def test_the_next_conversation_goes_on_with_the_tasks_of_the_one_that_was_ended(front_end: FrontEnd) -> None:
    assert front_end.run("%load_ext backchannel").error == ""
    assert front_end.run(TOOL).error == ""
    assert front_end.run("%talk --model local", cell="talk").error == ""
    voice = front_end.widget("VoiceWidget")
    player = Player(front_end, voice)
    front_end.send(voice, {"k": "hello", "client": "p", "version": 1, "lab": True})
    front_end.send(voice, {"k": "claim", "client": "p", "microphone": False})
    player.say("research solar power")
    player.hears("started research solar power")
    assert front_end.run("%talk --stop").error == ""
    front_end.until(lambda: (player._play() or player.states[-1:]) == ["off"], "the first conversation to end")
    assert front_end.run("%talk --model local", cell="talk again").error == ""
    voice = front_end.widget("VoiceWidget")
    player = Player(front_end, voice)
    front_end.send(voice, {"k": "hello", "client": "p", "version": 1, "lab": True})
    front_end.send(voice, {"k": "claim", "client": "p", "microphone": False})
    player.say("how far is it")
    player.hears("35 percent")
    front_end.run("go.set()")
    player.hears("solar power is booming")
