"""The connection to the model: opened, read, and made anew when it comes to its limit."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from ..errors import BidiModelTimeoutError
from ..events import TypedEvent, output_event
from ..messages import Messages, ToolSpec
from ..models import BidiModel
from ..models.realtime import RenewsConnection
from .gate import SendGate
from .renewal import RETRY_DELAYS_S

__all__ = ["Link", "LinkOwner"]

logger = logging.getLogger(__name__)

WORD_S = 0.25
"""How long after a failed send the word may come that the connection has ended, seconds."""
STOP_S = 5.0
"""How long a model may take to close a connection that is being replaced, seconds."""


class LinkOwner(Protocol):
    """What the link asks of the agent loop, and tells it."""

    def context(self) -> tuple[str | None, list[ToolSpec], Messages]:
        """The system prompt, the tools and the history for a new connection."""

    def take_event(self, event: TypedEvent) -> bool:
        """The model sent this. True if many events wait to be read."""

    def lost(self) -> None:
        """Nothing more comes from this connection."""

    def connected(self) -> None:
        """There is a new connection from here on."""

    async def restarting(self, reason: BidiModelTimeoutError) -> None:
        """The connection is about to be made anew."""

    async def restarted(self, failure: Exception | None) -> None:
        """It was made anew, or could not be."""

    def audio_dropped(self, seconds: float) -> None:
        """The user spoke for longer than the gap is bridged."""


class Link:
    """One model's connections, one after the other.

    Attributes:
        generation: Counts the connections, from 1.
        gate: What is sent to the model goes through it.
    """

    def __init__(
        self, model: BidiModel, owner: LinkOwner, deliver: Callable[[Any, bool], Awaitable[None]], *, overlaps: bool
    ) -> None:
        self.generation = 0
        self.gate = SendGate(deliver, self.restart, self.gave_way)
        self._model = model
        self._owner = owner
        self._overlaps = overlaps and isinstance(model, RenewsConnection)
        self._wanted: asyncio.Future[BidiModelTimeoutError] = asyncio.get_running_loop().create_future()
        self._reading: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Make the first connection."""
        system_prompt, tools, messages = self._owner.context()
        await self._model.start(system_prompt=system_prompt, tools=tools, messages=messages)
        self.generation = 1
        self._owner.connected()
        await self.gate.open()

    def restart(self, reason: BidiModelTimeoutError) -> None:
        """Have the connection made anew now."""
        if not self._wanted.done():
            self._wanted.set_result(reason)

    async def gave_way(self) -> bool:
        """Whether a send failed because the connection has just ended; then the gate is closed until that is seen to.

        The word of it may come a moment after the failure.
        """
        generation, reading = self.generation, self._reading
        if reading is not None:
            await asyncio.wait({reading}, timeout=WORD_S)
            if reading.done() and generation == self.generation:
                self.gate.close()
        return generation != self.generation or not self.gate.is_open

    async def run(self) -> None:
        """Read from the model until its stream ends, over as many connections as it takes.

        Raises:
            Exception: What ended the conversation: an error of the model, of a hook, or the failed restart.
        """
        reading = self._read()
        try:
            while True:
                either: set[asyncio.Future[Any]] = {reading, self._wanted}
                await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
                if reading.done():
                    reason = _limit_in(reading)
                    if reason is None:
                        return
                    await self._replace(reason)
                else:
                    reason = self._wanted.result()
                    if self._overlaps and self.gate.is_open:
                        if not await self._renew(reason):
                            continue
                    else:
                        await _ended(reading)
                        await self._replace(reason)
                await _ended(reading)
                reading = self._read()
        finally:
            await _ended(reading)

    def _read(self) -> asyncio.Task[None]:
        self._reading = asyncio.create_task(self._receive(self.generation), name="backchannel-model")
        return self._reading

    async def _receive(self, generation: int) -> None:
        busy = 0
        async for event in self._model.receive():
            if generation != self.generation:
                return
            if not self._owner.take_event(event if isinstance(event, TypedEvent) else output_event(event)):
                busy = 0
                continue
            # A model that never waits must not keep the reader of the stream from its turn.
            busy += 1
            if busy % 32 == 0:
                await asyncio.sleep(0)

    async def _replace(self, reason: BidiModelTimeoutError) -> None:
        """Close the old connection, then make the new one."""
        self._wanted = asyncio.get_running_loop().create_future()
        self.gate.close()
        failure: Exception | None = None
        try:
            await self._owner.restarting(reason)
            failure = await self._reconnect(dict(reason.restart_config))
        except Exception as error:  # noqa: BLE001 - raised below, after the hooks
            failure = error
        await self._owner.restarted(failure)
        if failure is not None:
            raise failure
        await self._switch()

    async def _renew(self, reason: BidiModelTimeoutError) -> bool:
        """Make the new connection while the old one goes on; False if it goes on for longer."""
        assert isinstance(self._model, RenewsConnection)
        self._wanted = asyncio.get_running_loop().create_future()
        failure: Exception | None = None
        self.gate.copy()
        try:
            await self._owner.restarting(reason)
            system_prompt, tools, messages = self._owner.context()
            await self._model.renew(system_prompt, tools, messages, **reason.restart_config)
        except Exception as error:  # noqa: BLE001 - told to the hooks; the old connection is there still
            failure = error
            self.gate.forget_copies()
            logger.warning("a new connection could not be made ahead of time: %s", error)
        await self._owner.restarted(failure)
        if failure is None:
            self.gate.close()
            self._owner.lost()
            await self._switch()
        return failure is None

    async def _switch(self) -> None:
        self.generation += 1
        self._owner.connected()
        dropped = await self.gate.open()
        if dropped:
            self._owner.audio_dropped(dropped)

    async def _reconnect(self, restart_config: dict[str, Any]) -> Exception | None:
        self._owner.lost()
        for tries, delay in enumerate((*RETRY_DELAYS_S, None), start=1):
            try:
                async with asyncio.timeout(STOP_S):
                    await self._model.stop()
            except Exception as error:  # noqa: BLE001 - the old connection is of no use any more
                logger.warning("the old connection could not be closed: %s", error)
            try:
                # What the model gave to resume with may be what fails; the last tries do without it.
                await self._model.start(*self._owner.context(), **(restart_config if tries <= 2 else {}))
            except Exception as error:  # noqa: BLE001 - returned, and raised by who asked
                if delay is None:
                    error.add_note(f"the connection could not be made anew in {tries} tries")
                    return error
                logger.warning("try %d to connect again failed, the next in %.2g s: %s", tries, delay, error)
                await asyncio.sleep(delay)
            else:
                return None
        raise AssertionError


def _limit_in(reading: asyncio.Task[None]) -> BidiModelTimeoutError | None:
    """Return the time limit that ended the reading, or None if the stream just ended.

    Raises:
        Exception: Any other error that ended it.
    """
    error = None if reading.cancelled() else reading.exception()
    if error is None or isinstance(error, BidiModelTimeoutError):
        return error
    if _is_limit(error):
        limit = BidiModelTimeoutError(str(error), **getattr(error, "restart_config", {}))
        limit.__cause__ = error
        return limit
    raise error


def _is_limit(error: BaseException | None) -> bool:
    # A model that was written for Strands may bring its own class of that name.
    return error is not None and any(cls.__name__ == "BidiModelTimeoutError" for cls in type(error).__mro__)


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait({task})
    if not task.cancelled():
        task.exception()  # Looked at, or there is nothing to do about it any more.
