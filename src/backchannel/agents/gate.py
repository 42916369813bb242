"""The gate before the model: what is sent goes out in order, and waits while the connection is made anew."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import cast

from ..errors import BackchannelError, BidiModelTimeoutError
from ..events import BidiAudioInputEvent, BidiInputEvent

__all__ = ["HELD_AUDIO_S", "AudioDroppedError", "SendGate"]

HELD_AUDIO_S = 3.0
"""How much of the user's voice is kept while the gate is closed, seconds; of more the oldest is dropped."""


class AudioDroppedError(BackchannelError):
    """The user spoke for longer than what is kept while a connection is made anew."""


@dataclass(slots=True, eq=False)
class _Held:
    event: BidiInputEvent
    seconds: float
    sent: asyncio.Future[None] | None
    copy: bool = False


class SendGate:
    """Holds what is sent while it is closed, and lets it go in order. Closed at first; used on one event loop.

    Args:
        deliver: Gives an event to the model; True with it means that an earlier connection has had it too.
        timed_out: Called when the model says, on a send, that its connection has come to its limit.
        gave_way: Asked after another error of a send: whether the connection was gone, so that the next is to be tried.
    """

    def __init__(
        self,
        deliver: Callable[[BidiInputEvent, bool], Awaitable[None]],
        timed_out: Callable[[BidiModelTimeoutError], None],
        gave_way: Callable[[], Awaitable[bool]],
    ) -> None:
        self._deliver = deliver
        self._timed_out = timed_out
        self._gave_way = gave_way
        self._held: deque[_Held] = deque()
        self._held_s = 0.0
        self._dropped_s = 0.0
        self._open = asyncio.Event()
        self._copying = False
        self._closings = 0
        self._sending: set[asyncio.Task[None]] = set()
        self._error: BaseException | None = None

    @property
    def is_open(self) -> bool:
        """Whether what is sent goes out at once."""
        return self._open.is_set() and self._error is None

    async def send(self, event: BidiInputEvent) -> None:
        """Send an event, or hold it: returns at once for audio, for all else when it was sent.

        Raises:
            Exception: What the model raised, or what the gate failed with.
        """
        again = False
        while self._error is None and self._open.is_set():
            closings = self._closings
            try:
                await self._send(event, again)
            except BidiModelTimeoutError as error:
                again = True
                if closings == self._closings:
                    self.close()
                    self._timed_out(error)
            except (ValueError, TypeError):
                raise  # The event is to blame.
            except Exception:
                if not await self._gave_way():
                    raise
                again = True
            else:
                if self._copying:
                    self._hold(event, None, copy=True)
                return
        await self._wait(event, again=again)

    async def opened(self) -> None:
        """Wait until the gate is open.

        Raises:
            Exception: What the gate failed with.
        """
        await self._open.wait()
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        """Hold from now on what is sent; a gate that has failed stays as it is."""
        self._closings += 1
        if self._error is None:
            self._open.clear()

    def copy(self) -> None:
        """Go on sending, and keep what is sent for the connection that is being made."""
        self._copying = True

    async def open(self) -> float:
        """Send what was held, in order, and then all else directly. Return how much audio was dropped, seconds."""
        self._open.clear()
        self._copying = False
        while self._held:
            item = self._held.popleft()
            self._held_s -= item.seconds
            if item.sent is not None and item.sent.done():
                continue
            try:
                await self._deliver(item.event, item.copy)
            except BidiModelTimeoutError as error:
                item.copy = True
                self._held.appendleft(item)
                self._held_s += item.seconds
                self._closings += 1
                self._timed_out(error)
                return 0.0
            except Exception as error:
                if item.sent is None:
                    raise
                if not item.sent.done():
                    item.sent.set_exception(error)
            else:
                if item.sent is not None and not item.sent.done():
                    item.sent.set_result(None)
        self._open.set()
        dropped, self._dropped_s, self._held_s = self._dropped_s, 0.0, 0.0
        return dropped

    def forget_copies(self) -> None:
        """The connection that was being made did not come about; the old one has everything."""
        self._copying = False
        self._held = deque(item for item in self._held if not item.copy)
        self._held_s = sum(item.seconds for item in self._held)

    def fail(self, error: BaseException) -> None:
        """Raise ``error`` to everyone who waits, and to everyone who sends from now on; the first error wins."""
        self._error = self._error or error
        for item in self._held:
            if item.sent is not None and not item.sent.done():
                item.sent.set_exception(self._error)
        self._held.clear()
        self._open.set()
        for sending in self._sending:
            sending.cancel()

    async def _send(self, event: BidiInputEvent, again: bool) -> None:
        """Give an event to the model, and raise what the gate fails with meanwhile."""
        task = cast("asyncio.Task[None]", asyncio.current_task())
        self._sending.add(task)
        try:
            await self._deliver(event, again)
        except asyncio.CancelledError:
            # As in `asyncio.timeout`: ours is taken back, and anybody else's goes through.
            if self._error is not None and task.uncancel() == 0:
                raise self._error from None
            raise
        finally:
            self._sending.discard(task)

    async def _wait(self, event: BidiInputEvent, *, again: bool) -> None:
        if self._error is not None:
            raise self._error
        if isinstance(event, BidiAudioInputEvent):
            self._hold(event, None, copy=again)
            return
        sent: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._hold(event, sent, copy=again)
        await sent

    def _hold(self, event: BidiInputEvent, sent: asyncio.Future[None] | None, *, copy: bool = False) -> None:
        seconds = 0.0
        if isinstance(event, BidiAudioInputEvent) and event["format"] == "pcm":
            seconds = len(event.data) / (2 * event["channels"] * event["sample_rate"])
        self._held.append(_Held(event, seconds, sent, copy))
        self._held_s += seconds
        while self._held_s > HELD_AUDIO_S + 1e-6:
            oldest = next((item for item in self._held if item.seconds), None)
            if oldest is None:
                return
            self._held.remove(oldest)
            self._held_s -= oldest.seconds
            self._dropped_s += oldest.seconds
