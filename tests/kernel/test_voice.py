"""A conversation in a real kernel, while its cells are busy."""

from __future__ import annotations

import pytest

from .front_end import Cell, FrontEnd

pytestmark = pytest.mark.kernel

AGENT = '''
import asyncio, threading, time
from backchannel.events import (
    BidiAudioInputEvent, BidiAudioStreamEvent, BidiInterruptionEvent, BidiResponseCompleteEvent,
    BidiResponseStartEvent, BidiTranscriptStreamEvent,
)
from backchannel.models.realtime import ModelProfile
from backchannel.tools import ToolRegistry

class EchoAgent:
    """Answers each word with itself and a second of voice, and hears; "stop" interrupts."""
    model = None
    profile = ModelProfile(name="echo", place="stays here")
    def __init__(self):
        self.tool_registry, self.heard, self.reports = ToolRegistry(), [], []
        self.heard_enough = threading.Event()
    def expect_played(self, expected=True): pass
    async def start(self): self.events = asyncio.Queue()
    async def send(self, event):
        if isinstance(event, BidiAudioInputEvent):
            self.heard.append(event.data)
            if len(self.heard) == 50: self.heard_enough.set()
        elif event == "stop":
            self.events.put_nowait(BidiInterruptionEvent("user_speech"))
        else:
            name = f"r-{event}"
            for item in (BidiResponseStartEvent(name), BidiTranscriptStreamEvent({}, event, "assistant", True),
                         BidiAudioStreamEvent.from_data(bytes(32000), 16000, name),
                         BidiResponseCompleteEvent(name, "complete")):
                self.events.put_nowait(item)
    async def receive(self):
        while (event := await self.events.get()) is not None:
            yield event
    async def stop(self): self.events.put_nowait(None)
    def played(self, response_id, samples, finished=False):
        self.reports.append((response_id, samples, finished))

agent = EchoAgent()
'''
SLEEPING = 'print("busy", flush=True); print("heard" if agent.heard_enough.wait(15) else "deaf")'
COMPUTING = """
print("busy", flush=True)
end = time.monotonic() + 15
while not agent.heard_enough.is_set() and time.monotonic() < end:
    sum(range(1000))
print("heard" if agent.heard_enough.is_set() else "deaf")
"""


@pytest.fixture
def talk(front_end: FrontEnd) -> tuple[FrontEnd, str]:
    assert front_end.run("%load_ext backchannel").error == ""
    assert front_end.run(AGENT).error == ""
    assert front_end.run("%talk agent", cell="talk").error == ""
    voice = front_end.widget("VoiceWidget")
    front_end.send(voice, {"k": "hello", "client": "p", "version": 1, "lab": True})
    front_end.told(voice, "welcome")
    return front_end, voice


def claim(page: FrontEnd, voice: str) -> None:
    page.send(voice, {"k": "claim", "client": "p"})
    page.until(lambda: "listening" in states(page, voice), "it to listen")


def ops(page: FrontEnd, voice: str) -> list[dict[str, object]]:
    contents = [
        item["content"]["data"]["content"]
        for item in page.log
        if item["msg_type"] == "comm_msg" and item["content"]["comm_id"] == voice
    ]
    return [op for content in contents if content["k"] == "ops" for op in content["ops"]]


def states(page: FrontEnd, voice: str) -> list[object]:
    return [op["state"] for op in ops(page, voice) if op["op"] == "state"]


def begin(page: FrontEnd, code: str) -> Cell:
    cell = page.start(code)
    page.until(lambda: "busy" in cell.text, "the cell to be busy")
    return cell


@pytest.mark.parametrize("code", [SLEEPING, COMPUTING], ids=["sleeping", "computing"])
def test_microphone_voice_and_barge_in_go_on_while_a_cell_is_busy(talk: tuple[FrontEnd, str], code: str) -> None:
    page, voice = talk
    claim(page, voice)
    cell = begin(page, code)
    page.send(voice, {"k": "say", "client": "p", "text": "hello"})
    audio = page.told(voice, "audio")
    assert (audio["start"], audio["rate"], len(audio["_buffers"][0])) == (0, 16000, 1280)
    page.send(voice, {"k": "played", "client": "p", "gen": audio["gen"], "received": 640, "played": 640})
    page.told(voice, "audio", start=5600)
    page.send(voice, {"k": "say", "client": "p", "text": "stop"})
    page.until(lambda: {"op": "flush", "gen": audio["gen"] + 1} in ops(page, voice), "the flush")
    page.send(voice, {"k": "ping", "client": "p", "t": 1.5})
    page.told(voice, "pong", t=1.5)
    assert not cell.over
    for n in range(50):
        page.send(voice, {"k": "mic", "client": "p", "n": n, "rate": 16000}, [bytes([n, 0]) * 320])
    assert cell.wait().text == "busy\nheard\n"
    page.told(voice, "heard", n=49)
    checked = page.run("print([chunk[0] for chunk in agent.heard] == list(range(50)), agent.reports[-1])")
    assert checked.text == "True ('r-hello', 640, True)\n"


def test_an_interrupted_cell_leaves_the_conversation_alone(talk: tuple[FrontEnd, str]) -> None:
    page, voice = talk
    claim(page, voice)
    cell = begin(page, 'print("busy", flush=True); threading.Event().wait(20)')
    page.interrupt()
    assert "KeyboardInterrupt" in cell.wait().error
    page.send(voice, {"k": "say", "client": "p", "text": "still there"})
    page.told(voice, "audio")


def test_talk_again_shows_the_same_conversation_and_a_page_that_comes_back_finds_it(talk: tuple[FrontEnd, str]) -> None:
    page, voice = talk
    claim(page, voice)
    page.send(voice, {"k": "say", "client": "p", "text": "hello"})
    page.told(voice, "audio")
    opened = [item for item in page.log if item["msg_type"] == "comm_open"]
    page.run("%talk agent", cell="another")
    assert [item for item in page.log if item["msg_type"] == "comm_open"] == opened
    page.send(voice, {"k": "hello", "client": "reloaded", "version": 1, "lab": True})
    snapshot = page.told(voice, "welcome", to="reloaded")["snapshot"]
    assert [item["text"] for item in snapshot["captions"]] == ["hello", "hello"]
    assert snapshot["state"] == "speaking"
    assert snapshot["info"]["place"] == "stays here"


def test_a_thread_switches_faster_only_while_a_conversation_runs(talk: tuple[FrontEnd, str]) -> None:
    page, voice = talk
    claim(page, voice)
    assert page.run("import sys; print(sys.getswitchinterval())").text == "0.0005\n"
    page.run("%talk agent --stop")
    page.until(lambda: states(page, voice)[-1] == "off", "it to be off")
    assert page.run("print(sys.getswitchinterval())").text == "0.005\n"


def test_malformed_messages_cost_nothing(talk: tuple[FrontEnd, str]) -> None:
    page, voice = talk
    claim(page, voice)
    for content in (None, 7, {"k": "mic"}, {"k": "dance", "client": "p"}, {"k": "say", "client": "p", "text": 3}):
        page.send(voice, content)
    page.send(voice, {"k": "mic", "client": "p", "n": 0, "rate": 16000}, [b"\x01"])
    page.send(voice, {"k": "ping", "client": "p", "t": 2.0})
    page.told(voice, "pong", t=2.0)
    cell = page.run("print('quiet')")
    assert (cell.text, cell.error) == ("quiet\n", "")


def test_a_tool_that_is_declared_again_replaces_the_agents_own(talk: tuple[FrontEnd, str]) -> None:
    page, _ = talk
    page.run("%%async_tool\ndef go(): return 1")
    page.run("agent.tool_registry.register(go)")
    page.run("%%async_tool\ndef go(): return 2")
    page.run("%%async_tool\ndef other(): return 3")
    assert (
        page.run("print(agent.tool_registry.get('go') is go, agent.tool_registry.get('other'))").text == "True None\n"
    )


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("%talk nobody", "nobody is not an agent: NameError"),
        ("%talk 7", "is a int, not a BidiAgent"),
        ("%talk --model no-such-model", "no-such-model"),
        ("%talk agent --model local", "this agent has its model"),
    ],
)
def test_what_cannot_be_talked_to_is_said_in_words(shared_front_end: FrontEnd, line: str, said: str) -> None:
    shared_front_end.run("%reload_ext backchannel")
    shared_front_end.run(AGENT)
    error = shared_front_end.run(line).error
    assert error.startswith("UsageError: %talk")
    assert said in error


def test_a_kernel_with_a_running_conversation_shuts_down(talk: tuple[FrontEnd, str]) -> None:
    page, voice = talk
    claim(page, voice)
    process = page.manager.provisioner.process
    page.close()
    assert process.poll() == 0
