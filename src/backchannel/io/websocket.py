"""A conversation over a WebSocket: a web page, a phone or another program talks to the agent.

Text frames are JSON objects with a ``type``. From the client:

    {"type": "bidi_text_input", "text": "Hello"}         and the other input events of `backchannel.events`
    {"type": "played", "response_id": "r1", "samples": 4800, "finished": false}
                                                         heard of a response in all, at the rate of its audio
    {"type": "ping", "id": 7}                            answered with {"type": "pong", "id": 7}

Binary frames from the client are its voice: signed 16 bit little-endian samples at the model's input rate and channels.
PCM in a ``bidi_audio_input`` may have another rate; it is converted.

To the client go all output events as they are. ``bidi_audio_stream`` has also the ``response_id`` for ``played``. With
``binary=True`` it has ``bytes`` instead of ``audio``, and the next frame is binary and holds so many bytes of samples.
On ``bidi_interruption`` the client discards what it has not played; what was not sent yet is discarded here.

A message that cannot be used is answered with a ``bidi_error`` that says why; the twentieth closes the connection
(code 1008), one that is too long at once (1009).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import Collection, Mapping
from typing import Any

from ..errors import AgentStateError, InvalidInputError
from ..events import (
    BidiAudioInputEvent,
    BidiAudioStreamEvent,
    BidiErrorEvent,
    BidiInputEvent,
    BidiInterruptionEvent,
    BidiOutputEvent,
    TypedEvent,
    input_event,
)
from .ending import Ending
from .mailbox import Inbox, Outbox, encode
from .origins import check_origins, refusal
from .settings import AudioSettings, Converter
from .sockets import Socket, socket_of

__all__ = ["WebSocketIO"]

logger = logging.getLogger(__name__)

MOST_BAD = 20
FLUSH_S = 2.0
_POLICY_VIOLATION, _TOO_BIG = 1008, 1009


class WebSocketIO:
    """One connection as an input and as an output. The protocol is in the documentation of `backchannel.io.websocket`.

    The connection is accepted when the conversation starts, where that was not done, and closed at its end.

    Args:
        websocket: Of Starlette, FastAPI, aiohttp or ``websockets``, or ``(scope, receive, send)`` of ASGI. The pair
            ``(receive, send)`` is taken, too; which page asks is then for the caller to check.
        binary: Whether the model's voice is sent as binary frames, a third smaller than as JSON.
        stop_agent: Whether the agent is stopped when the client is gone, so that ``run`` ends.
        reports_played: Whether the client is known to send ``played``. Without it what was sent counts as heard,
            until the first ``played``.
        max_message_size: The longest message that is taken, bytes.
        origins: Web pages that may connect, as in ``"https://example.org"``, besides those of the same host; ``"*"``
            for all. Another page is refused (code 1008), and a warning says what to set. Clients that are no web page
            say no origin and are let in.

    Raises:
        TypeError: If the WebSocket is none of these.
        InvalidInputError: If the size or the origins cannot be used.
    """

    def __init__(
        self,
        websocket: Any,
        *,
        binary: bool = False,
        stop_agent: bool = True,
        reports_played: bool = False,
        max_message_size: int = 1 << 20,
        origins: Collection[str] = (),
    ) -> None:
        if isinstance(max_message_size, bool) or not isinstance(max_message_size, int) or max_message_size < 1:
            raise InvalidInputError(f"max_message_size must be bytes, 1 or more; it is {max_message_size!r}")
        self._session = _Session(
            socket_of(websocket),
            binary,
            Ending(stop_agent),
            reports_played,
            max_message_size,
            check_origins(origins),
        )

    @property
    def dropped(self) -> int:
        """Chunks of the client's voice that were dropped because the agent did not take them in time."""
        return self._session.inbox.dropped

    def input(self) -> WebSocketInput:
        """Return what the client sends as an input of `BidiAgent.run`."""
        self._session.has_input = True
        return WebSocketInput(self._session)

    def output(self) -> WebSocketOutput:
        """Return the client as an output of `BidiAgent.run`."""
        return WebSocketOutput(self._session)


class WebSocketInput:
    """What the client sends. Ends when it is gone."""

    def __init__(self, session: _Session) -> None:
        self._session = session

    async def start(self, agent: Any) -> None:
        """Accept the connection and begin to read."""
        await self._session.start(self, agent)

    async def stop(self) -> None:
        """Read no more; whoever waits gets StopAsyncIteration. The last of both ends closes the connection."""
        self._session.inbox.close(discard=True)
        await self._session.stop(self)

    async def __call__(self) -> BidiInputEvent:
        if not self._session.started:
            raise AgentStateError("the WebSocket input is not started; give it to BidiAgent.run, or await start(agent)")
        self._session.use()
        event = await self._session.inbox.get()
        if event is None:
            raise StopAsyncIteration
        return event


class WebSocketOutput:
    """The client. Silent when it is gone."""

    def __init__(self, session: _Session) -> None:
        self._session = session

    async def start(self, agent: Any) -> None:
        """Accept the connection and begin to send."""
        await self._session.start(self, agent)

    async def stop(self) -> None:
        """Send what waits, for two seconds at most. The last of both ends closes the connection."""
        await self._session.stop(self)

    async def __call__(self, event: BidiOutputEvent) -> None:
        await self._session.put(event)


class _Session:
    """The connection that input and output share."""

    def __init__(
        self,
        socket: Socket,
        binary: bool,
        ending: Ending,
        reports_played: bool,
        max_message_size: int,
        origins: Collection[str],
    ) -> None:
        self._socket = socket
        self._binary = binary
        self._ending = ending
        self._reports_played = reports_played
        self._most_bytes = max_message_size
        self._origins = origins
        self._settings = AudioSettings()
        self._agent: Any = None
        self._users: set[object] = set()
        self._tasks: list[asyncio.Task[None]] = []
        self._lock = asyncio.Lock()
        self._bad = 0
        self._used = self._gone = False
        self._converter: Converter | None = None
        self.has_input = False
        self.started = False
        self.closed = False
        self.inbox = Inbox()
        self.outbox = Outbox()

    async def start(self, user: object, agent: Any) -> None:
        async with self._lock:
            self._users.add(user)
            if self.started:
                return
            self._agent, self._settings = agent, AudioSettings.of(agent)
            self.inbox.set_rate(2 * self._settings.channels * self._settings.input_rate)
            self._ending.start(agent)
            self.started = True
            if why := refusal(self._socket.handshake, self._origins):
                logger.warning("a WebSocket was refused: %s", why)
                await self._socket.close(_POLICY_VIOLATION, "not allowed")
                self._lost(None)
                return
            try:
                await self._socket.accept()
            except Exception as error:  # noqa: BLE001 - the client is gone already; its server says so in its own way
                self._lost(error)
                return
            if self._reports_played:
                agent.expect_played()
            self._tasks = [
                asyncio.create_task(self._read(), name="backchannel-websocket-reader"),
                asyncio.create_task(self._write(), name="backchannel-websocket-writer"),
            ]

    async def stop(self, user: object) -> None:
        self._users.discard(user)
        if not self._users and self.started:
            if not self.closed:
                await self._close(1000, "")
            tasks, self._tasks = self._tasks, []
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._ending.wait()

    def use(self) -> None:
        """The conversation runs; from now on it may be stopped."""
        self._used = True
        if self._gone:
            self._ending.begin()

    async def put(self, event: BidiOutputEvent) -> None:
        self.use()
        if not self.started or self.closed:
            return
        if isinstance(event, BidiInterruptionEvent):
            self.outbox.drop_audio()
        if not isinstance(event, BidiAudioStreamEvent):
            await self.outbox.put([encode(event)])
            return
        message: dict[str, Any] = {**event}
        if event.response_id is not None:
            message["response_id"] = event.response_id
        if not self._binary:
            await self.outbox.put([encode(message)], audio=True)
            return
        del message["audio"]
        message["bytes"] = len(event.data)
        await self.outbox.put([encode(message), event.data], audio=True)

    # The reader and the writer

    async def _read(self) -> None:
        try:
            while (message := await self._socket.receive()) is not None:
                if _longer(message, self._most_bytes):
                    await self._close(_TOO_BIG, f"a message may have {self._most_bytes} bytes")
                    return
                try:
                    await self._take(message)
                except (ValueError, TypeError) as error:
                    self._bad += 1
                    await self.outbox.put([encode(BidiErrorEvent(_bounded(error)))])
                    if self._bad >= MOST_BAD:
                        await self._close(_POLICY_VIOLATION, f"{MOST_BAD} messages could not be used")
                        return
            self._lost(None)
        except Exception as error:  # noqa: BLE001 - every library has its own way to say that the client is gone
            self._lost(error)

    async def _write(self) -> None:
        try:
            while (frames := await self.outbox.get()) is not None:
                for frame in frames:
                    await self._socket.send(frame)
                self.outbox.sent()
        except Exception as error:  # noqa: BLE001 - as above
            self._lost(error)

    def _lost(self, error: Exception | None) -> None:
        """The client is gone."""
        if error is not None:
            logger.debug("the WebSocket's client is gone: %r", error)
        if not self.closed:
            self.closed = True
            self.inbox.close()
            self.outbox.close()
            self._end()

    def _end(self) -> None:
        self._gone = True
        if self._used:
            self._ending.begin()

    async def _close(self, code: int, reason: str) -> None:
        """Send what waits, and close the connection."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FLUSH_S):
                await self.outbox.drained()
        self.closed = True
        self.inbox.close()
        self.outbox.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FLUSH_S):
                await self._socket.close(code, reason)
        if code != 1000:
            self._end()

    # What the client sends

    async def _take(self, message: str | bytes) -> None:
        if isinstance(message, bytes):
            if message:
                frame = 2 * self._settings.channels
                if len(message) % frame:
                    raise InvalidInputError(
                        f"binary frame: {len(message)} bytes are not whole 16 bit samples of "
                        f"{self._settings.channels} channel(s)"
                    )
                await self._input(
                    BidiAudioInputEvent.from_data(message, self._settings.input_rate, self._settings.channels)
                )
            return
        value = _json(message)
        match value["type"]:
            case "played":
                self._agent.played(*_played(value))
            case "ping":
                await self.outbox.put([encode({**_named(value, "id"), "type": "pong"})])
            case _:
                await self._input(self._fitted(input_event(value)))

    async def _input(self, event: BidiInputEvent) -> None:
        if not self.has_input:
            raise InvalidInputError("this connection takes no input")
        await self.inbox.put(event)

    def _fitted(self, event: BidiInputEvent) -> BidiInputEvent:
        """Return the event with its audio at the model's rate."""
        settings = self._settings
        if not isinstance(event, BidiAudioInputEvent) or event["format"] != "pcm":
            return event
        source = (event["sample_rate"], event["channels"])
        if source == (settings.input_rate, settings.channels):
            return event
        if self._converter is None or self._converter.source != source:
            self._converter = Converter(*source, settings.input_rate, settings.channels)
        return BidiAudioInputEvent.from_data(self._converter.feed(event.data), settings.input_rate, settings.channels)


def _longer(message: str | bytes, most: int) -> bool:
    if isinstance(message, bytes):
        return len(message) > most
    return len(message) > most or (4 * len(message) > most and len(message.encode("utf-8", "replace")) > most)


def _json(message: str) -> Mapping[str, Any]:
    try:
        value = json.loads(message)
    except (ValueError, RecursionError) as error:
        raise InvalidInputError(f"a text frame must be a JSON object; this one is not JSON ({error})") from None
    if not isinstance(value, dict) or not isinstance(value.get("type"), str):
        raise InvalidInputError("a text frame must be a JSON object with a string under 'type'")
    return TypedEvent(value)


def _played(value: Mapping[str, Any]) -> tuple[str, int, bool]:
    response_id, samples, finished = value.get("response_id"), value.get("samples"), value.get("finished", False)
    if not isinstance(response_id, str):
        raise TypeError("played: response_id must be a string")
    if isinstance(samples, bool) or not isinstance(samples, int) or samples < 0:
        raise TypeError("played: samples must be an integer, 0 or more")
    if not isinstance(finished, bool):
        raise TypeError("played: finished must be true or false")
    return response_id, samples, finished


def _named(value: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return a short value of a message as its answer repeats it."""
    given = value.get(name)
    return {name: given} if isinstance(given, str | int | float) and len(str(given)) <= 100 else {}


def _bounded(error: Exception) -> Exception:
    text = str(error)
    return error if len(text) <= 500 else InvalidInputError(text[:499] + "…")
