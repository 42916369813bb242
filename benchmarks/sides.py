"""Side: an agent with a fake provider behind it, ours or the peer's, so that one benchmark drives both alike."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Literal, Protocol, TypeAlias

from .figures import UnavailableError

__all__ = ["PEER", "Feed", "Side", "alternating", "nothing", "our_side", "peer_side", "sides"]

PEER = "strands-agents"

Feed: TypeAlias = Callable[[], AsyncIterator[Any]]
"""Makes what the fake provider emits, in the vocabulary of its side."""


def nothing() -> None:
    """Do nothing."""


class Side(Protocol):
    """Makes agents whose model emits a feed, and speaks of their events in their own words."""

    name: str

    def agent(
        self,
        feed: Feed,
        tools: Sequence[Callable[..., Any]] = (),
        result: Callable[[], object] = nothing,
        heard: Callable[[], object] = nothing,
    ) -> Any:
        """Return an agent that is not started.

        Args:
            feed: What its model emits.
            tools: Functions, or what `background` returned.
            result: Called for each tool's result when it reaches the model, in whatever form.
            heard: Called for each chunk of the microphone when it reaches the model.
        """

    def background(self, function: Callable[..., Any]) -> Any:
        """Return a tool that runs while the conversation goes on, for `agent`."""

    def opening(self, response: str) -> list[Any]:
        """Return the events with which a response begins."""
        ...

    def closing(self, response: str) -> list[Any]:
        """Return the events with which a response ends that nobody cut off."""
        ...

    def audio(self, base64: str, response: str) -> Any:
        """Return a chunk of voice: 16 kHz, mono, 16 bit."""

    def interruption(self) -> Any:
        """Return the event of a barge-in."""

    def call(self, call_id: str, name: str, arguments: dict[str, Any]) -> Any:
        """Return the event of one tool call."""

    def calls(self, calls: Sequence[tuple[str, str, dict[str, Any]]]) -> list[Any]:
        """Return the events of calls (id, name, arguments) that a provider sends in one message."""
        ...

    def utterance(self, role: Literal["user", "assistant"], pieces: Sequence[str], name: str) -> Iterator[Any]:
        """Make the events of a transcript one by one: its pieces as they are recognised, and its end."""
        ...

    def microphone(self, samples: bytes) -> Any:
        """Return what `send` takes for a chunk of the user's voice: 16 kHz, mono, 16 bit."""

    def is_audio(self, event: Any) -> bool: ...
    def is_interruption(self, event: Any) -> bool: ...

    def is_whole_transcript(self, event: Any) -> bool:
        """Whether it is the last event of a transcript, with all of its text."""
        ...


def our_side() -> Side:
    """Return ours, without loading the peer."""
    from .ours import OurSide

    return OurSide()


def peer_side() -> Side:
    """Return the peer's, without loading ours.

    Raises:
        UnavailableError: If the peer is not installed.
    """
    try:
        name = f"{PEER} {version(PEER)}"
        from .strands_peer import StrandsSide
    except (PackageNotFoundError, ImportError) as error:
        raise UnavailableError(f"{PEER} is needed beside ours ({error}); pip install --group bench") from error
    return StrandsSide(name)


def sides() -> tuple[Side, Side]:
    """Return ours and the peer's.

    Raises:
        UnavailableError: If the peer is not installed.
    """
    return our_side(), peer_side()


def alternating(run: int, pair: tuple[Side, Side]) -> tuple[Side, ...]:
    """Return both sides, the other one first in every second run."""
    return pair if run % 2 == 0 else pair[::-1]
