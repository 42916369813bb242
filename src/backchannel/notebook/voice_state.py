"""VoiceMachine: the one word that says what the voice is doing. Pure."""

from __future__ import annotations

from typing import Literal

from .wire import VoiceState

__all__ = ["VoiceMachine"]

Link = Literal["off", "connecting", "live", "reconnecting", "error"]


class VoiceMachine:
    """Facts in, `state` and `detail` out.

    The link to the model comes first, then who listens, then whose turn it is.
    """

    def __init__(self) -> None:
        self._link: Link = "off"
        self._sentence = ""
        self._owned = False
        self._vanished = False
        self._awaiting = False
        self._user_speaks = False
        self._playing = False
        self._responses: set[str] = set()

    @property
    def state(self) -> VoiceState:
        """One of `wire.STATES`."""
        if self._link != "live":
            return self._link
        if not self._owned:
            return "paused" if self._vanished else "off"
        if self._playing:
            return "speaking"
        if self._awaiting and not self._user_speaks:
            return "thinking"
        return "listening"

    @property
    def detail(self) -> str:
        """A sentence that says more, or ""."""
        state = self.state
        if state in ("connecting", "reconnecting", "error"):
            return self._sentence
        if state == "paused":
            return "The page that heard and spoke is gone. The conversation goes on when it is back, or in any page."
        return ""

    @property
    def live(self) -> bool:
        """Whether the model hears what is sent."""
        return self._link in ("live", "reconnecting")

    def connecting(self, sentence: str = "") -> None:
        """The agent is being started; ``sentence`` says what takes the time."""
        self._link, self._sentence = "connecting", sentence

    def connected(self) -> None:
        """The model hears."""
        self._link, self._sentence = "live", ""

    def reconnecting(self, sentence: str = "") -> None:
        """The connection is being made anew."""
        self._link, self._sentence = "reconnecting", sentence
        self._responses.clear()

    def failed(self, sentence: str) -> None:
        """The conversation ended with an error."""
        self._quiet()
        self._link, self._sentence = "error", sentence

    def stopped(self) -> None:
        """The conversation ended."""
        self._quiet()
        self._link, self._sentence = "off", ""

    def owned(self, owned: bool, *, vanished: bool = False) -> None:
        """A page hears and speaks, or none; ``vanished`` when it went without a word."""
        self._owned, self._vanished = owned, vanished and not owned
        if not owned:
            self._user_speaks = False

    def user_speaking(self, speaking: bool) -> None:
        """Voice activity began or ended."""
        self._user_speaks = speaking

    def user_said(self) -> None:
        """The user's words are complete, spoken or typed."""
        self._awaiting, self._user_speaks = True, False

    def not_sent(self) -> None:
        """What the user typed was not sent, so no answer comes of it."""
        self._awaiting = False

    def tool_called(self) -> None:
        """The model waits for a tool."""
        self._awaiting = True

    def response_started(self, response_id: str) -> None:
        """The model begins to answer."""
        self._responses.add(response_id)
        if len(self._responses) > 1000:  # a model that completes none
            self._responses = {response_id}

    def response_completed(self, response_id: str, *, tool_use: bool = False) -> None:
        """The model has sent all of an answer; with ``tool_use`` more will come."""
        self._responses.discard(response_id)
        if not self._responses and not tool_use:
            self._awaiting = False

    def playing(self, playing: bool) -> None:
        """There is voice that was not played yet, or there is none any more."""
        self._playing = playing
        if playing:
            self._awaiting = False

    def interrupted(self) -> None:
        """The answer was cut off."""
        self._responses.clear()
        self._playing = False

    def _quiet(self) -> None:
        self._awaiting = self._user_speaks = self._playing = False
        self._responses.clear()
