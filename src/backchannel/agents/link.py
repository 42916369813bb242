"""The connection to the model: opened, read, and made anew when it comes to its limit."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import AsyncIterable, Awaitable, Callable
from typing import Any, Protocol

from ..errors import BidiModelTimeoutError, InvalidInputError, ModelError
from ..events import BidiErrorEvent, TypedEvent, output_event
from ..messages import Messages, ToolSpec
from ..models import BidiModel
from ..models.realtime import RenewsConnection
from .ending import CANCEL_S, begun, cancelled, completed, in_time
from .gate import SendGate
from .renewal import RETRY_DELAYS_S

__all__ = ["Link", "LinkOwner"]

logger = logging.getLogger(__name__)

WORD_S = 0.25
"""How long after a failed send the word may come that the connection has ended, seconds."""
MOST_REFUSED = 100
"""How many events of a model that cannot be used are reported, in one conversation."""
STOP_S = 5.0
"""How long a model may take to close a connection that is being replaced, seconds."""


class LinkOwner(Protocol):
    """What the link asks of the agent loop, and tells it."""

    def context(self) -> tuple[str | None, list[ToolSpec], Messages]:
        """The system prompt, the tools and the history for a new connection."""

    def take_event(self, event: TypedEvent) -> None:
        """The model sent this."""

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
        name: What the model is called in messages.
    """

    def __init__(
        self, model: BidiModel, owner: LinkOwner, deliver: Callable[[Any, bool], Awaitable[None]], *, overlaps: bool
    ) -> None:
        self.generation = 0
        self.gate = SendGate(deliver, self.restart, self.gave_way)
        self.name = type(model).__name__
        self._model = model
        self._owner = owner
        self._overlaps = overlaps and isinstance(model, RenewsConnection)
        self._wanted: asyncio.Future[BidiModelTimeoutError] = asyncio.get_running_loop().create_future()
        self._reading: asyncio.Task[None] | None = None
        self._refused = 0

    @property
    def reading(self) -> asyncio.Task[None] | None:
        """The task that reads from the model, if there has been one."""
        return self._reading

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
                        await self._end(reading)
                        await self._replace(reason)
                await self._end(reading)
                reading = self._read()
        finally:
            await self._end(reading)

    def _read(self) -> asyncio.Task[None]:
        self._reading = asyncio.create_task(self._receive(self.generation), name="backchannel-model")
        return self._reading

    async def _receive(self, generation: int) -> None:
        events = self._model.receive()
        if not isinstance(events, AsyncIterable):
            if inspect.iscoroutine(events):
                events.close()
            raise TypeError(
                f"{self.name}.receive returned {type(events).__name__}, which cannot be iterated with 'async for'; "
                "write it as 'async def' with 'yield'"
            )
        taken = 0
        async for event in events:
            if generation != self.generation:
                return
            try:
                known = output_event(event)
            except (InvalidInputError, TypeError) as error:
                self._refuse(error)
            else:
                self._owner.take_event(known)
            # A model that never waits must not keep everybody else from running.
            taken += 1
            if taken % 32 == 0:
                await asyncio.sleep(0)

    def _refuse(self, error: Exception) -> None:
        """The model sent what is no event: that is reported, and the conversation goes on."""
        self._refused += 1
        if self._refused <= MOST_REFUSED:
            last = "; further ones are dropped without a word" if self._refused == MOST_REFUSED else ""
            message = f"{self.name}.receive yielded an event that cannot be used: {error}. It was dropped{last}"
            logger.warning("%s", message)
            wrong = ModelError(message)
            wrong.__cause__ = error
            self._owner.take_event(BidiErrorEvent(wrong))

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
            renew = self._model.renew(system_prompt, tools, messages, **reason.restart_config)
            await completed(renew, f"{self.name}.renew", self._model)
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

    async def _end(self, reading: asyncio.Task[None]) -> None:
        await cancelled({reading: f"{self.name}.receive"}, CANCEL_S, self._model)

    async def _reconnect(self, restart_config: dict[str, Any]) -> Exception | None:
        self._owner.lost()
        for tries, delay in enumerate((*RETRY_DELAYS_S, None), start=1):
            try:
                stop = begun(self._model.stop())
                if not await in_time(stop, f"{self.name}.stop", STOP_S, self._model):
                    stop.cancel()
            except Exception as error:  # noqa: BLE001 - the old connection is of no use any more
                logger.warning("the old connection could not be closed: %s", error)
            try:
                # What the model gave to resume with may be what fails; the last tries do without it.
                start = self._model.start(*self._owner.context(), **(restart_config if tries <= 2 else {}))
                await completed(start, f"{self.name}.start", self._model)
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
