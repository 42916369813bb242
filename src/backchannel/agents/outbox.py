"""What the agent itself sends to the model: results, announcements, orders. One after the other, past the gate."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import Any

from ..errors import AgentStateError, BidiModelTimeoutError
from ..events import (
    AnnouncementEvent,
    AnnouncementFailed,
    ApprovalQuestionEvent,
    ApprovalQuestionSent,
    LateResultEvent,
    ProgressEvent,
    TaskFinished,
    TaskProgressed,
    ToolResultEvent,
)
from ..messages import ToolResult, ToolSpec, ToolUse
from ..models import BidiModel
from ..models.realtime import CancelsResponses, TruncatesResponses, UpdatesTools
from .conversation import Conversation
from .history import late_result_text
from .link import Link
from .mentions import progress_text

__all__ = ["Outbox"]

logger = logging.getLogger(__name__)


class Outbox:
    """Sends in the order of asking; what is meant for an earlier connection is sent in another form, or not at all.

    Args:
        feed: Takes the facts that come of it.
        fail: Takes what the model raised.
    """

    def __init__(
        self,
        model: BidiModel,
        link: Link,
        conversation: Conversation,
        feed: Callable[[object], None],
        fail: Callable[[Exception], None],
    ) -> None:
        self._model = model
        self._link = link
        self._conversation = conversation
        self._feed = feed
        self._fail = fail
        self._waiting: asyncio.Queue[Callable[[], Awaitable[None]]] = asyncio.Queue()
        self._calls: dict[str, tuple[int, ToolUse]] = {}
        self._replayed: frozenset[str] = frozenset()

    def called(self, tool_use: ToolUse) -> None:
        """The present connection has made a call."""
        self._calls[tool_use["toolUseId"]] = (self._link.generation, tool_use)

    def replayed(self, call_ids: Iterable[str]) -> None:
        """The connection that is being made knows these calls, and takes their results."""
        self._replayed = frozenset(call_ids)

    def result(self, result: ToolResult, task: Any) -> None:
        """Give a call's result: to the connection that made the call as such, to a later one as text."""
        self._waiting.put_nowait(partial(self._result, result, task))

    def announce(self, text: str, tasks: tuple[TaskFinished, ...]) -> None:
        """Tell the results of background tasks, unless they have been taken back meanwhile."""
        self._waiting.put_nowait(partial(self._announce, text, tasks))

    def mention(
        self,
        notes: tuple[TaskProgressed, ...],
        aloud: bool,
        refresh: Callable[[tuple[TaskProgressed, ...]], tuple[TaskProgressed, ...]],
    ) -> None:
        """Tell how far background tasks are at the time of sending, without those that have ended by then.

        Args:
            refresh: Returns what is still to be told.
        """
        self._waiting.put_nowait(partial(self._mention, notes, aloud, refresh))

    def ask(self, event: ApprovalQuestionEvent) -> None:
        """Give the model a question for the user; what cannot be sent is logged."""
        self._waiting.put_nowait(partial(self._ask, event))

    def cancel_response(self, response_id: str) -> None:
        if isinstance(self._model, CancelsResponses):
            self._order(partial(self._model.cancel_response, response_id))

    def truncate_response(self, response_id: str, samples: int) -> None:
        if isinstance(self._model, TruncatesResponses):
            self._order(partial(self._model.truncate_response, response_id, samples))

    def update_tools(self, specs: Callable[[], list[ToolSpec]]) -> bool:
        """Give the model the tools of the time of sending; False if it takes none while connected."""
        model = self._model
        if not isinstance(model, UpdatesTools):
            return False

        async def update() -> None:
            await model.update_tools(specs())

        self._waiting.put_nowait(update)
        return True

    async def run(self) -> None:
        """Send until the gate fails."""
        while True:
            item = await self._waiting.get()
            sent = False
            while not sent:
                try:
                    await self._link.gate.opened()
                except AgentStateError:
                    return
                try:
                    await item()
                except BidiModelTimeoutError as error:
                    self._link.gate.close()
                    self._link.restart(error)
                    continue
                except Exception as error:  # noqa: BLE001 - the model's own error goes to receive()
                    if await self._link.gave_way():
                        continue
                    self._fail(error)
                sent = True

    def _order(self, work: Callable[[], Awaitable[None]]) -> None:
        """Have the model do something about a response of this connection."""
        generation = self._link.generation

        async def order() -> None:
            if generation == self._link.generation:
                await work()

        self._waiting.put_nowait(order)

    async def _result(self, result: ToolResult, task: Any) -> None:
        call_id = result["toolUseId"]
        made = self._calls.get(call_id)
        if made is None or made[0] == self._link.generation or call_id in self._replayed:
            await self._model.send(ToolResultEvent(result, task=task))
        else:
            await self._model.send(LateResultEvent(late_result_text(made[1], result), made[1], result))
        self._calls.pop(call_id, None)

    async def _announce(self, text: str, tasks: tuple[TaskFinished, ...]) -> None:
        if not self._conversation.tells(tasks):
            return
        try:
            await self._model.send(AnnouncementEvent(text, tasks))
        except BidiModelTimeoutError:
            raise
        except Exception as error:  # noqa: BLE001 - owed again, and tried again
            logger.warning("the result of %d task(s) could not be sent to the model: %s", len(tasks), error)
            self._feed(AnnouncementFailed(tasks))

    async def _mention(
        self,
        notes: tuple[TaskProgressed, ...],
        aloud: bool,
        refresh: Callable[[tuple[TaskProgressed, ...]], tuple[TaskProgressed, ...]],
    ) -> None:
        fresh = refresh(notes)
        if not fresh:
            self._conversation.drop_mention(notes)
            return
        if aloud and not self._conversation.send_mention(notes):
            return
        try:
            await self._model.send(ProgressEvent(progress_text(fresh, aloud=aloud), fresh, aloud))
        except Exception as error:
            self._conversation.drop_mention(notes)
            if isinstance(error, BidiModelTimeoutError):
                raise
            logger.warning("the progress of %d task(s) could not be sent to the model: %s", len(notes), error)

    async def _ask(self, event: ApprovalQuestionEvent) -> None:
        self._feed(ApprovalQuestionSent(event.approval_id))  # Before: the answer may come while it is sent.
        try:
            await self._model.send(event)
        except BidiModelTimeoutError:
            raise
        except Exception as error:  # noqa: BLE001 - the user can be asked without the model
            self._feed(ApprovalQuestionSent(event.approval_id, taken=False))
            logger.warning("the model could not be told: %s: %s", error, event["text"])
