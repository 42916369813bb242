"""LocalModel: a realtime model that runs in this process: commands in, speech out, no network."""

from __future__ import annotations

import asyncio
import importlib.util
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any
from uuid import uuid4

from ...audio.pcm import read_wav
from ...errors import AgentStateError, AudioFormatError, InvalidInputError, MissingExtraError
from ...events import (
    AnnouncementEvent,
    ApprovalQuestionEvent,
    BidiAudioInputEvent,
    BidiAudioStreamEvent,
    BidiConnectionStartEvent,
    BidiErrorEvent,
    BidiInputEvent,
    BidiOutputEvent,
    BidiResponseCompleteEvent,
    BidiResponseStartEvent,
    BidiTextInputEvent,
    BidiTranscriptStreamEvent,
    LateResultEvent,
    ProgressEvent,
    StopReason,
    ToolResultEvent,
    ToolUseStreamEvent,
    UserSpeechEvent,
)
from ...messages import Messages, ToolSpec, ToolUse
from ..realtime import ModelProfile
from ..text import StreamEvent
from .activity import SileroActivity
from .dialogue import Call, Dialogue, Move, Say
from .ear import Ear, SpeechBegan, SpeechEnded, Utterance
from .grammar import Grammar
from .mind import Mind
from .parts import LanguageModel, Recognition, SpeechToText, TextToSpeech, VoiceActivity
from .phrase import sentences
from .recognizer import SphinxRecognizer
from .speech import FliteSpeech
from .understand import understand
from .written import LocalTextModel

__all__ = ["LocalModel"]

_log = logging.getLogger(__name__)

_RATE = 16000
_CHUNK_BYTES = _RATE * 40 // 1000 * 2
_MOST_WAITING = 250
_MOST_INPUT = 150
_NOISE_S = 0.5
_HEARD_LESS = 3 * _RATE // 10  # samples at the end of a question that need not be heard before it is answered
_STALLED_S = 2.0  # of no sound at all, within an utterance: the microphone is gone
_NOT_UNDERSTOOD = "(not understood)"


class LocalModel:
    """The embedded model: silero hears speech, pocketsphinx the commands that the tools allow, flite speaks.

    Time is the samples received: sound may come faster or slower than it was recorded. For an `Agent` it is a text
    model too, see `LocalTextModel`: then it needs none of its parts, and none of their packages.

    Args:
        stt, tts, vad: Other parts than the built-in ones; see `backchannel.models.local.parts`.
        llm: A language model that understands everything in place of the built-in commands.
        voice: Of the built-in speech: slt, rms, awb or kal16.
        name: What to call it.

    Attributes:
        on_loading: Called while loading with the fraction done and what is loading, on the loop.
    """

    def __init__(
        self,
        stt: SpeechToText | None = None,
        tts: TextToSpeech | None = None,
        vad: VoiceActivity | None = None,
        llm: LanguageModel | None = None,
        voice: str = "slt",
        *,
        name: str = "embedded model",
    ) -> None:
        self._needed = (["pocketsphinx", "wasmtime"] if stt is None else []) + (["wasmtime"] if tts is None else [])
        self.profile = ModelProfile(
            name=name, place="stays on this computer", interruption="agent", tools="live",
            input_rate=_RATE, output_rate=_RATE, silent_text=True,
        )  # fmt: skip
        audio = {"input_rate": _RATE, "output_rate": _RATE, "channels": 1, "format": "pcm", "voice": voice}
        self.config: dict[str, Any] = {"audio": audio}
        self.on_loading: Callable[[float, str], object] | None = None
        built_in = FliteSpeech(voice)
        self._tts = tts or built_in
        self._stt = stt or SphinxRecognizer(built_in.phones)
        self._vad = vad or SileroActivity()
        self._llm = llm
        self._written = LocalTextModel(llm)
        self._link: _Link | None = None

    def check_installed(self) -> None:
        """Do nothing if it can be started.

        Raises:
            MissingExtraError: If a built-in part is not installed.
        """
        if any(importlib.util.find_spec(package) is None for package in self._needed):
            raise MissingExtraError("The embedded model", "local")

    def stream(
        self,
        messages: Messages,
        tool_specs: list[ToolSpec] | None = None,
        system_prompt: str | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[StreamEvent]:
        """Answer in writing, as a `TextModel`; the conversation by voice is not touched."""
        return self._written.stream(messages, tool_specs, system_prompt, **kwargs)

    async def start(
        self,
        system_prompt: str | None = None,
        tools: list[ToolSpec] | None = None,
        messages: Messages | None = None,
        **_kwargs: Any,
    ) -> None:
        """Load, which takes up to a few seconds the first time, and listen.

        Raises:
            MissingExtraError: If a built-in part is not installed.
            AgentStateError: If it is started already.
            ModelError: If a part cannot be loaded.
        """
        if self._link is not None:
            raise AgentStateError(f"The {self.profile.name} is started already; stop it first.")
        self.check_installed()
        mind = Mind(self._llm, system_prompt, messages or []) if self._llm is not None else None
        link = self._link = _Link(self._stt, self._tts, self._vad, mind)
        try:
            await link.open(tools or [], self._loading)
        except BaseException:
            self._link = None
            await link.close()
            raise
        link.emit(BidiConnectionStartEvent(uuid4().hex, self.profile.name))

    async def stop(self) -> None:
        """End the conversation; what was not received is dropped."""
        link, self._link = self._link, None
        if link is not None:
            await link.close()

    async def receive(self) -> AsyncIterator[BidiOutputEvent]:
        """Yield events until the model is stopped."""
        link = self._started("receive")
        while (event := await link.next()) is not None:
            yield event

    async def send(self, content: BidiInputEvent | ToolResultEvent) -> None:
        """Take in voice, text, the result of a call, an announcement, or the question for an approval.

        Voice waits while too much of it is pending.

        Raises:
            AudioFormatError: If voice comes in a format other than pcm or wav.
            InvalidInputError: If it is something else, an image for example.
        """
        link = self._started("send")
        match content:
            case BidiAudioInputEvent():
                await link.sound.put(_pcm(content))
            case AnnouncementEvent():
                link.think(lambda: link.announce(content))
            case ProgressEvent():
                link.think(lambda: link.progress(content))
            case ApprovalQuestionEvent():
                link.think(lambda: link.approve(content))
            case LateResultEvent():
                link.think(lambda: link.late(content))
            case BidiTextInputEvent() if content.origin != "user":
                link.think(lambda: link.announce(AnnouncementEvent(content.text, ())))
            case BidiTextInputEvent():
                if content.role == "user":
                    link.think(lambda: link.read(content.text))
            case ToolResultEvent():
                link.think(lambda: link.result(content))
            case _:
                kind = content.get("type", type(content).__name__)
                raise InvalidInputError(f"The {self.profile.name} takes voice, text and tool results, not {kind}.")

    async def update_tools(self, tools: list[ToolSpec]) -> None:
        """Know these tools from the next turn on."""
        await self._started("update_tools").prepare(tools)

    async def cancel_response(self, response_id: str) -> None:
        """Stop saying a response."""
        if self._link is not None:
            self._link.cancel(response_id)

    async def truncate_response(self, response_id: str, samples: int) -> None:
        """Know that only ``samples`` of a response were heard."""
        if self._link is not None:
            self._link.truncate(response_id, samples)

    def _started(self, what: str) -> _Link:
        if self._link is None:
            raise AgentStateError(f"The {self.profile.name} is not started: call start() before {what}().")
        return self._link

    def _loading(self, fraction: float, what: str) -> None:
        _log.info("%s: %s (%.0f %%)", self.profile.name, what, 100 * fraction)
        if self.on_loading is not None:
            self.on_loading(fraction, what)


def _pcm(event: BidiAudioInputEvent) -> tuple[bytes, int, int]:
    if event["format"] == "pcm":
        return event.data, event["sample_rate"], event["channels"]
    if event["format"] == "wav":
        samples, rate = read_wav(event.data, "the audio")
        return samples.tobytes(), rate, 1
    raise AudioFormatError(f"The embedded model hears pcm and wav, not {event['format']}; decode it first.")


@dataclass(slots=True)
class _Asking:
    """The response that asks for an approval, and how long it is, in samples."""

    response_id: str
    approval: str
    samples: int = 0


class _Link:
    """One conversation: an ear and a mouth on threads of their own, three loops between them."""

    def __init__(self, stt: SpeechToText, tts: TextToSpeech, vad: VoiceActivity, mind: Mind | None) -> None:
        self.sound: asyncio.Queue[tuple[bytes, int, int]] = asyncio.Queue(_MOST_INPUT)
        self._tts, self._mind = tts, mind
        self._dialogue = Dialogue(Grammar())
        self._ear = Ear(stt, vad, self._whole)
        self._ear_thread = ThreadPoolExecutor(1, thread_name_prefix="backchannel-ear")
        self._mouth_thread = ThreadPoolExecutor(1, thread_name_prefix="backchannel-mouth")
        self._thoughts: asyncio.Queue[Callable[[], Awaitable[list[Move]]]] = asyncio.Queue()
        self._sayings: asyncio.Queue[Say] = asyncio.Queue()
        self._rehearsed: tuple[str, asyncio.Future[bytes]] | None = None
        self._asking: _Asking | None = None
        self._out: asyncio.Queue[tuple[str, BidiOutputEvent] | None] = asyncio.Queue()
        self._room = asyncio.Event()
        self._silent = asyncio.Event()
        self._silent.set()
        self._response: tuple[str, asyncio.Task[None]] | None = None
        self._loops: list[asyncio.Task[None]] = []
        self._closed = False

    async def open(self, tools: list[ToolSpec], loading: Callable[[float, str], None]) -> None:
        loop = asyncio.get_running_loop()
        loading(0.0, "loading the voice")
        await loop.run_in_executor(self._mouth_thread, self._tts.load)
        loading(0.5, "loading the ear")
        await loop.run_in_executor(self._ear_thread, self._ear.load)
        loading(0.7, "learning what the tools can be asked")
        await self.prepare(tools)
        loading(1.0, "ready")
        self._loops = [asyncio.create_task(part()) for part in (self._hear, self._think, self._talk)]

    async def close(self) -> None:
        self._closed = True
        tasks = [*self._loops, *([self._response[1]] if self._response else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._out.put_nowait(None)
        self._ear_thread.shutdown(wait=False, cancel_futures=True)
        self._mouth_thread.shutdown(wait=False, cancel_futures=True)

    async def prepare(self, tools: list[ToolSpec]) -> None:
        loop = asyncio.get_running_loop()
        grammar = Grammar(tools)
        await loop.run_in_executor(self._ear_thread, self._ear.prepare, grammar)
        for note in grammar.notes:
            _log.warning("%s", note)
        self._dialogue.update(grammar)
        if self._mind is not None:
            self._mind.update(tools)

    # Out

    def emit(self, event: BidiOutputEvent, response_id: str = "") -> None:
        self._out.put_nowait((response_id, event))

    async def next(self) -> BidiOutputEvent | None:
        """Return the next event; None when there are no more."""
        if self._closed:
            return None
        item = await self._out.get()
        if item is None:
            self._out.put_nowait(None)
            return None
        if self._out.qsize() < _MOST_WAITING:
            self._room.set()
        return item[1]

    def truncate(self, response_id: str, samples: int) -> None:
        asking = self._asking
        if asking is None or asking.response_id != response_id:
            return
        if samples < max(asking.samples - _HEARD_LESS, asking.samples / 2):
            self._dialogue.asked(asking.approval, heard=False)

    def cancel(self, response_id: str) -> None:
        if self._response is None or self._response[0] != response_id or self._response[1].done():
            return
        self._response[1].cancel()
        if self._asking is not None and self._asking.response_id == response_id:
            self._dialogue.asked(self._asking.approval, heard=False)
        waiting = [self._out.get_nowait() for _ in range(self._out.qsize())]
        for item in waiting:
            if item is None or item[0] != response_id:
                self._out.put_nowait(item)
        self._room.set()

    # In

    async def _hear(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                async with asyncio.timeout(_STALLED_S if self._ear.hearing else None):
                    chunk = await self.sound.get()
            except TimeoutError:
                chunk = None
            try:
                work = partial(self._ear.hear, *chunk) if chunk is not None else self._ear.finish
                facts = await loop.run_in_executor(self._ear_thread, work)
            except Exception as error:  # noqa: BLE001 - told, and the conversation goes on
                _log.exception("the ear failed on a chunk of sound")
                self.emit(BidiErrorEvent(error))
                continue
            for fact in facts:
                match fact:
                    case SpeechBegan():
                        self._silent.clear()
                        self.emit(UserSpeechEvent(True))
                    case SpeechEnded():
                        self._silent.set()
                        self.emit(UserSpeechEvent(False))
                    case Utterance(recognition, length_s):
                        self._heard(recognition, length_s)

    def _heard(self, recognition: Recognition, length_s: float) -> None:
        if not recognition.text and length_s < _NOISE_S:
            return
        text = recognition.text if recognition.accepted else self._guess(recognition)
        self.emit(BidiTranscriptStreamEvent({"text": text}, text, "user", True, text))
        self.think(lambda: self._answer(recognition))

    def _guess(self, recognition: Recognition) -> str:
        return f"{recognition.text} (?)" if recognition.confidence > 0 and recognition.text else _NOT_UNDERSTOOD

    def _whole(self, recognition: Recognition) -> bool:
        """Whether it is a whole command, so that no more is to be waited for. Runs on the ear's thread."""
        if not recognition.accepted or self._mind is not None:
            return False
        intent = understand(recognition.text, self._dialogue.grammar)
        return intent.kind != "unknown" and not intent.missing

    # Thinking

    def think(self, thought: Callable[[], Awaitable[list[Move]]]) -> None:
        self._thoughts.put_nowait(thought)

    async def _answer(self, recognition: Recognition) -> list[Move]:
        if self._mind is not None:
            return await self._mind.hear(recognition) if recognition.text else []
        return self._dialogue.hear(recognition)

    async def read(self, text: str) -> list[Move]:
        return await self._mind.read(text) if self._mind is not None else self._dialogue.read(text)

    async def result(self, event: ToolResultEvent) -> list[Move]:
        return await self._mind.result(event) if self._mind is not None else self._dialogue.result(event)

    async def announce(self, event: AnnouncementEvent) -> list[Move]:
        return await self._mind.announce(event) if self._mind is not None else self._dialogue.announce(event)

    async def progress(self, event: ProgressEvent) -> list[Move]:
        return await self._mind.progress(event) if self._mind is not None else self._dialogue.progress(event)

    async def late(self, event: LateResultEvent) -> list[Move]:
        if self._mind is not None:
            return await self._mind.announce(AnnouncementEvent(event.text, ()))
        return self._dialogue.result(ToolResultEvent(event.tool_result))

    async def approve(self, event: ApprovalQuestionEvent) -> list[Move]:
        return await self._mind.announce(event) if self._mind is not None else self._dialogue.approve(event)

    async def _think(self) -> None:
        while True:
            thought = await self._thoughts.get()
            try:
                moves = await thought()
            except Exception as error:  # noqa: BLE001 - told, and the conversation goes on
                _log.exception("no answer was found")
                self.emit(BidiErrorEvent(error))
                moves = [Say("Sorry, something went wrong while I was thinking about that.")]
            for move in moves:
                match move:
                    case Say():
                        self._sayings.put_nowait(move)
                    case Call(tool, arguments, call_id):
                        call_id = call_id or f"local-{uuid4().hex[:12]}"
                        use: ToolUse = {"name": tool, "input": arguments, "toolUseId": call_id}
                        self.emit(ToolUseStreamEvent({"toolUse": {"input": arguments}}, use))
                        if self._mind is None:
                            self._rehearse(self._dialogue.expected(move))

    # Talking

    async def _talk(self) -> None:
        while True:
            saying = await self._sayings.get()
            await self._silent.wait()  # what is owed is said when the user has finished
            response_id = f"response-{uuid4().hex[:12]}"
            if saying.approval:
                self._asking = _Asking(response_id, saying.approval)
                self._dialogue.asked(saying.approval)
            task = asyncio.create_task(self._say(response_id, saying.text))
            self._response = response_id, task
            await asyncio.wait([task])

    async def _say(self, response_id: str, text: str) -> None:
        reason: StopReason = "complete"
        self.emit(BidiResponseStartEvent(response_id), response_id)
        try:
            await self._say_sentences(response_id, sentences(text))
            self.emit(BidiTranscriptStreamEvent({"text": ""}, text, "assistant", True, text), response_id)
        except asyncio.CancelledError:
            reason = "interrupted"
        except Exception as error:  # noqa: BLE001 - told, and the conversation goes on
            _log.exception("the voice failed")
            self.emit(BidiErrorEvent(error))
            self.emit(BidiTranscriptStreamEvent({"text": ""}, text, "assistant", True, text), response_id)
            reason = "error"
        self.emit(BidiResponseCompleteEvent(response_id, reason))

    def _rehearse(self, text: str) -> None:
        """Have a voice ready for what is about to be said: the time that a call takes is long enough for it."""
        first = next(iter(sentences(text)), "")
        if first and (self._rehearsed is None or self._rehearsed[0] != first):
            voice = asyncio.get_running_loop().run_in_executor(self._mouth_thread, self._tts.speak, first)
            voice.add_done_callback(lambda done: done.cancelled() or done.exception())  # said otherwise: no matter
            self._rehearsed = first, voice

    async def _voice(self, sentence: str) -> bytes:
        """Return the voice that says a sentence."""
        if self._rehearsed is not None and self._rehearsed[0] == sentence:
            (_, voice), self._rehearsed = self._rehearsed, None
            return await voice
        return await asyncio.get_running_loop().run_in_executor(self._mouth_thread, self._tts.speak, sentence)

    async def _say_sentences(self, response_id: str, parts: list[str]) -> None:
        so_far = ""
        for sentence in parts:
            voice = await self._voice(sentence)
            if self._asking is not None and self._asking.response_id == response_id:
                self._asking.samples += len(voice) // 2
            piece = f" {sentence}" if so_far else sentence
            so_far += piece
            self.emit(BidiTranscriptStreamEvent({"text": piece}, piece, "assistant", False, so_far), response_id)
            for start in range(0, len(voice), _CHUNK_BYTES):
                chunk = voice[start : start + _CHUNK_BYTES]
                self.emit(BidiAudioStreamEvent.from_data(chunk, _RATE, response_id), response_id)
                if self._out.qsize() >= _MOST_WAITING:
                    self._room.clear()
                    await self._room.wait()
