"""The first conversation, without a browser: real audio in, a background tool, real audio out."""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

from ..agents import BidiAgent
from ..audio.pcm import from_bytes, read_wav, write_wav
from ..audio.resample import resample
from ..errors import AudioFormatError, BackchannelError
from ..events import BidiAudioStreamEvent, BidiOutputEvent, TypedEvent
from ..io import VirtualMicrophone, VirtualSpeaker
from ..models.local import LocalModel
from ..models.local.speech import FliteSpeech
from ..paths import expanded
from ..tasks import AsyncToolManager
from .library import library
from .screen import Screen

__all__ = ["main"]

RATE = 16000
USER_VOICE = "rms"


class _View(Protocol):
    async def __call__(self, event: BidiOutputEvent) -> None: ...
    def note(self, text: str) -> None: ...
    def close(self) -> None: ...


class _Lines:
    """Prints every event as a line of JSON; of audio how much it is instead of the samples."""

    async def __call__(self, event: TypedEvent) -> None:
        shown: dict[str, Any] = dict(event)
        if isinstance(event, BidiAudioStreamEvent):
            shown = {**shown, "audio": None, "samples": event.samples, "response_id": event.response_id}
        print(json.dumps(shown, default=str, ensure_ascii=False), flush=True)

    def note(self, text: str) -> None:
        print(json.dumps({"type": "note", "text": text}, ensure_ascii=False), flush=True)

    def close(self) -> None:
        pass


class _Listener:
    """An output that lets the conversation's script wait for what happens."""

    def __init__(self) -> None:
        self._changed = asyncio.Event()
        self.connected = False
        self.answers = 0
        self.speaking = False

    async def __call__(self, event: BidiOutputEvent) -> None:
        if event.get("type") == "bidi_connection_start":
            self.connected = True
        elif event.get("type") == "bidi_response_start":
            self.speaking = True
        elif event.get("type") in ("bidi_response_complete", "bidi_interruption"):
            self.answers += 1
            self.speaking = False
        self._changed.set()

    async def until(self, holds: Any) -> None:
        while not holds():
            self._changed.clear()
            await self._changed.wait()


class _Conversation:
    """The two ends of the demonstration and the agent between them."""

    def __init__(self, options: argparse.Namespace, view: _View) -> None:
        self.manager = AsyncToolManager(max_workers=2)
        self.model = LocalModel(voice=options.voice)
        self.agent = BidiAgent(self.model, tools=[library(self.manager)])
        self.microphone = VirtualMicrophone(RATE)
        self.speaker = VirtualSpeaker(RATE)
        self.listener = _Listener()
        self.view = view

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Run the agent between microphone and speaker; errors of either side end both."""
        running = asyncio.create_task(
            self.agent.run(inputs=[self.microphone], outputs=[self.speaker, self.listener, self.view])
        )
        body = asyncio.current_task()

        def ended(task: asyncio.Task[None]) -> None:
            if body is not None and not task.cancelled() and task.exception() is not None:
                body.cancel()

        running.add_done_callback(ended)
        try:
            yield
        finally:
            running.remove_done_callback(ended)
            await self.agent.stop()
            await asyncio.gather(running, return_exceptions=True)
            self.manager.shutdown(wait=False, cancel=True)
            if not running.cancelled() and (error := running.exception()) is not None:
                raise error

    async def ask(self, data: bytes) -> None:
        """Say something, and wait for the whole answer."""
        before = self.listener.answers
        self.microphone.say(data)
        await self.microphone.said()
        await self.listener.until(lambda: self.listener.answers > before and not self.listener.speaking)
        await self.speaker.quiet()

    async def interrupt(self, data: bytes, by: bytes, after_s: float) -> None:
        """Say something, talk over the answer after a while, and wait for the answer to that."""
        self.microphone.say(data)
        await self.microphone.said()
        await self.listener.until(lambda: self.listener.speaking)
        await asyncio.sleep(after_s)
        before = self.listener.answers
        self.microphone.say(by)
        await self.listener.until(lambda: self.listener.answers >= before + 2 and not self.listener.speaking)
        await self.speaker.quiet()

    async def finish(self) -> None:
        """Wait until every task is done and told, and nobody speaks."""
        await self.microphone.said()
        calm = 0.0
        while calm < 2.5:
            await asyncio.sleep(0.1)
            await self.speaker.quiet()
            owing = any(not task.delivered for task in self.manager.tasks)
            calm = 0.0 if owing or self.listener.speaking else calm + 0.1


async def _converse(options: argparse.Namespace, view: _View) -> None:
    conversation = _Conversation(options, view)
    question = None if options.question is None else _read(options.question)
    voice = FliteSpeech(USER_VOICE)
    lines: dict[str, bytes] = {}
    if question is None:
        await asyncio.to_thread(voice.load)
        for text in ("research solar power", "how far is it", "what can you do"):
            lines[text] = await asyncio.to_thread(voice.speak, text)
    view.note("The voice model is loading.")
    try:
        async with conversation.open(), asyncio.timeout(options.timeout):
            await conversation.listener.until(lambda: conversation.listener.connected)
            if question is not None:
                view.note(f"Saying {options.question}.")
                conversation.microphone.say(question)
            else:
                await conversation.ask(lines["research solar power"])
                await conversation.ask(lines["how far is it"])
                await conversation.interrupt(lines["what can you do"], lines["how far is it"], after_s=1.2)
            await conversation.finish()
    except TimeoutError:
        raise BackchannelError(f"the conversation did not end within {options.timeout:g} s") from None
    finally:
        if options.out is not None:
            samples = from_bytes(bytes(conversation.speaker.recording))
            options.out.write_bytes(write_wav(samples, RATE))
            view.note(f"The answers are in {options.out}.")


def _read(path: Path) -> bytes:
    samples, rate = read_wav(path.read_bytes(), str(path))
    if len(samples) == 0:
        raise AudioFormatError(f"{path}: the file holds no audio")
    return bytes(resample(samples, rate, RATE).tobytes())


def main(options: argparse.Namespace) -> int:
    for name in ("question", "out"):
        path = getattr(options, name)
        setattr(options, name, None if path is None else expanded(path))
    view: _View = _Lines() if options.json else Screen()
    try:
        asyncio.run(_converse(options, view))
    finally:
        view.close()
    return 0
