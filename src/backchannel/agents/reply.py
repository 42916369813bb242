"""Reply: what an agent will answer to a prompt that it was sent."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import logging
from collections.abc import Callable, Generator
from typing import Any

from ..tools.text import error_text

__all__ = ["Reply"]

_log = logging.getLogger(__name__)


class Reply:
    """The answer to one prompt, as soon as there is one: ``await reply``, or `result` where nothing is awaited.

    Whoever stops waiting does not stop the agent.
    """

    def __init__(self, check_may_block: Callable[[], None]) -> None:
        self._check_may_block = check_may_block
        self._future: concurrent.futures.Future[Any] = concurrent.futures.Future()
        self._seen = False

    def done(self) -> bool:
        """Whether the agent has answered, has raised, or will not be asked."""
        return self._future.done()

    def cancel(self) -> bool:
        """Take the prompt back; False if the agent has been given it."""
        return self._future.cancel()

    def result(self, timeout: float | None = None) -> Any:
        """Wait for the answer, and block this thread meanwhile.

        Args:
            timeout: Longest wait, seconds; None for as long as it takes.

        Raises:
            Exception: What the agent raised.
            TimeoutError: If there is no answer after ``timeout`` seconds. The agent goes on.
            CancelledError: If the prompt was taken back.
            AgentStateError: If the agent needs this very thread to answer.
        """
        if not self.done():
            self._check_may_block()
        concurrent.futures.wait([self._future], timeout)
        if not self.done():
            raise TimeoutError(f"the agent has not answered after {timeout:g} s; it goes on")
        self._seen = True
        return self._future.result()

    def __await__(self) -> Generator[Any, None, Any]:
        yield from self._ended().__await__()
        self._seen = True
        if self._future.cancelled():
            raise asyncio.CancelledError
        return self._future.result()

    async def _ended(self) -> None:
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[None] = loop.create_future()

        def settle() -> None:
            if not ended.done():
                ended.set_result(None)

        def tell(_: object) -> None:
            with contextlib.suppress(RuntimeError):  # that loop is closed: nobody waits there
                loop.call_soon_threadsafe(settle)

        self._future.add_done_callback(tell)
        await ended

    def __repr__(self) -> str:
        state = "waits" if not self.done() else "taken back" if self._future.cancelled() else "answered"
        return f"<Reply: {state}>"

    def __del__(self) -> None:
        future = getattr(self, "_future", None)
        if future is None or self._seen or not future.done() or future.cancelled():
            return
        error = future.exception()
        if error is not None:
            _log.error("an agent raised, and nobody asked for its reply: %s", error_text(error), exc_info=error)

    # For the agent's wrapper

    def begin(self) -> bool:
        """The agent is about to be asked, perhaps once more; False if the prompt was taken back."""
        return self._future.running() or self._future.set_running_or_notify_cancel()

    def settle(self, answer: Any, error: BaseException | None = None) -> None:
        """The agent has answered, or raised."""
        if error is None:
            self._future.set_result(answer)
        else:
            self._future.set_exception(error)
